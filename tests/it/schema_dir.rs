//! Tests of which files in a schema directory are read.

use avro_ingest::schema_dir;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

#[test]
fn schemas_are_found_in_folders_and_in_links_to_folders_in_the_order_of_their_names() {
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("schema_dir");
    let _ = fs::remove_dir_all(&root);
    let directory = root.join("schemas");
    for file in
        ["schemas/b/1.avsc", "schemas/b/2.avsc", "schemas/b/README.md", "schemas/stray.avsc", "elsewhere/1.avsc"]
    {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    symlink(root.join("elsewhere"), directory.join("a")).unwrap();
    symlink(root.join("elsewhere/1.avsc"), directory.join("b/3.avsc")).unwrap();
    let found = schema_dir::read(&directory).unwrap();
    let found: Vec<_> = found.iter().map(|file| (&*file.subject, &*file.version, &*file.text)).collect();
    let linked = "elsewhere/1.avsc";
    assert_eq!(
        found,
        [("a", "1", linked), ("b", "1", "schemas/b/1.avsc"), ("b", "2", "schemas/b/2.avsc"), ("b", "3", linked)]
    );
}
