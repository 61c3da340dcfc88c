//! Applies changes to a schema directory atomically.
//!
//! The new state is built in a folder next to the directory and then exchanged with it in a single step. However the process
//! ends, readers see either all old schemas or all new ones. Unchanged files are hard links.

use super::changes::{Action, Change};
use avro_ingest::avro::SchemaFile;
use avro_ingest::schema_dir;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

type Stored = Result<(), Box<dyn Error>>;

/// Paths of the directory and of the temporary folders next to it.
struct Places {
    directory: PathBuf,
    parent: PathBuf,
    /// Folder in which the new state is built. After the exchange it holds the old state.
    staged: PathBuf,
    /// Folder for the old state, if the file system cannot exchange two folders.
    aside: PathBuf,
}

impl Places {
    /// Resolves `directory`. Its parent must exist.
    fn of(directory: &Path) -> io::Result<Self> {
        let directory = if directory.exists() {
            directory.canonicalize()?
        } else {
            let name = directory.file_name().ok_or_else(|| io::Error::other("it has no name"))?;
            parent_of(directory).canonicalize()?.join(name)
        };
        let parent = parent_of(&directory).to_owned();
        let name = directory.file_name().unwrap_or_default().to_string_lossy();
        let beside = |what: &str| parent.join(format!(".{name}.pull-{what}"));
        let (staged, aside) = (beside("new"), beside("old"));
        Ok(Self { directory, parent, staged, aside })
    }
}

/// Returns the parent folder of `path`.
fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Locks the parent of a schema directory until the returned file is dropped, so that concurrent pulls write one after the
/// other. Does nothing if the file system does not support locks.
fn lock(parent: &Path) -> Option<File> {
    let folder = File::open(parent).ok()?;
    folder.lock().ok()?;
    Some(folder)
}

/// Restores the old state if an earlier process ended between the two steps of [`swap_in_two_steps`].
///
/// # Errors
/// If the old state exists and cannot be restored.
pub(super) fn recover(directory: &Path) -> Stored {
    if directory.exists() || !parent_of(directory).is_dir() {
        return Ok(());
    }
    let failed = |error: io::Error| format!("cannot restore {}: {error}", directory.display());
    let places = Places::of(directory).map_err(failed)?;
    let _lock = lock(&places.parent);
    if !places.directory.exists() && places.aside.exists() {
        fs::rename(&places.aside, &places.directory).map_err(failed)?;
    }
    Ok(())
}

/// Applies `changes` to `directory`. `files` is the content on which the changes are based.
///
/// # Errors
/// If the directory has changed in the meantime, or cannot be written. It is then left unchanged.
pub(super) fn replace(directory: &Path, files: &[SchemaFile], changes: &[Change]) -> Stored {
    replace_in_steps(directory, files, changes, &mut || {})
}

/// Does the work of [`replace`], and calls `step` after each change of the file system.
fn replace_in_steps(directory: &Path, files: &[SchemaFile], changes: &[Change], step: &mut dyn FnMut()) -> Stored {
    if changes.iter().all(|change| change.action == Action::Unchanged) {
        return Ok(());
    }
    let failed = |error: io::Error| format!("nothing is written, cannot replace {}: {error}", directory.display());
    fs::create_dir_all(parent_of(directory)).map_err(failed)?;
    let places = Places::of(directory).map_err(failed)?;
    let _lock = lock(&places.parent);
    let exists = places.directory.exists();
    if std::env::current_dir().is_ok_and(|here| here.starts_with(&places.directory)) {
        return Err(failed(io::Error::other("it is the working directory; call ingest pull from another one")).into());
    }
    let is = if exists { schema_dir::read(directory)? } else { Vec::new() };
    if !same_files(&is, files) {
        return Err("nothing is written, because the schema directory was changed meanwhile: pull again".into());
    }
    let built = stage(&places, exists, directory, changes, step).and_then(|()| swap(&places, exists, step));
    // this is the old state after an exchange, and an incomplete new state after a failure
    let _ = fs::remove_dir_all(&places.staged);
    step();
    built.map_err(failed)?;
    let _ = fs::remove_dir_all(&places.aside);
    step();
    Ok(())
}

fn same_files(one: &[SchemaFile], other: &[SchemaFile]) -> bool {
    let parts = |file: &SchemaFile| (file.path.clone(), file.text.clone());
    one.iter().map(parts).eq(other.iter().map(parts))
}

/// Builds the new state and flushes it to the disk.
fn stage(
    places: &Places,
    exists: bool,
    directory: &Path,
    changes: &[Change],
    step: &mut dyn FnMut(),
) -> io::Result<()> {
    // remove the leftovers of a process that was killed
    match fs::remove_dir_all(&places.staged) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => step(),
    }
    if exists {
        link_tree(&places.directory, &places.staged, step)?;
    } else {
        fs::create_dir(&places.staged)?;
    }
    step();
    for Change { action, path, after, .. } in changes {
        let relative = path.strip_prefix(directory).map_err(io::Error::other)?;
        let staged = places.staged.join(relative);
        let folder = parent_of(&staged);
        if folder.symlink_metadata().is_ok_and(|folder| folder.is_symlink()) {
            return Err(io::Error::other(format!("{} is a link", parent_of(path).display())));
        }
        match action {
            Action::Unchanged => continue,
            Action::Deleted => {
                fs::remove_file(&staged)?;
                // removes the folder only if no version of the subject remains
                let _ = fs::remove_dir(folder);
            }
            Action::New | Action::Changed => {
                fs::create_dir_all(folder)?;
                write(&staged, after)?;
            }
        }
        step();
        if folder.is_dir() {
            sync(folder)?;
        }
    }
    sync(&places.staged)
}

/// Writes a new file instead of overwriting the existing one, so that other hard links to it keep the old text.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let permissions = fs::metadata(path).map(|old| old.permissions());
    if permissions.is_ok() {
        fs::remove_file(path)?;
    }
    let mut file = File::create_new(path)?;
    file.write_all(text.as_bytes())?;
    if let Ok(permissions) = permissions {
        file.set_permissions(permissions)?;
    }
    file.sync_all()
}

/// Copies the folder `from` to `to` with hard links, or with copies if the file system does not support hard links.
fn link_tree(from: &Path, to: &Path, step: &mut dyn FnMut()) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target, kind) = (entry.path(), to.join(entry.file_name()), entry.file_type()?);
        if kind.is_dir() {
            link_tree(&source, &target, step)?;
        } else if kind.is_symlink() {
            link(&fs::read_link(&source)?, &target)?;
        } else if fs::hard_link(&source, &target).is_err() {
            fs::copy(&source, &target)?;
        }
        step();
    }
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    sync(to)
}

#[cfg(unix)]
fn link(to: &Path, at: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(to, at)
}

#[cfg(not(unix))]
fn link(_: &Path, at: &Path) -> io::Result<()> {
    Err(io::Error::other(format!("{} is a link", at.display())))
}

/// Flushes the entries of a folder to the disk.
#[cfg(unix)]
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Replaces the old state by the new state.
fn swap(places: &Places, exists: bool, step: &mut dyn FnMut()) -> io::Result<()> {
    let Places { directory, parent, staged, aside } = places;
    if !exists {
        fs::rename(staged, directory)?;
    } else if !exchange(staged, directory)? {
        swap_in_two_steps(directory, staged, aside, step)?;
    }
    step();
    sync(parent)
}

/// Exchanges two folders atomically. Returns `false` if the file system or the operating system does not support this.
#[cfg(any(target_os = "linux", target_vendor = "apple"))]
fn exchange(one: &Path, other: &Path) -> io::Result<bool> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    match renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(true),
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
fn exchange(_: &Path, _: &Path) -> io::Result<bool> {
    Ok(false)
}

/// Replaces the old state by the new state with two renames. If the process ends between them, the directory does not exist.
/// Every reader notices this, and the next pull restores the old state.
fn swap_in_two_steps(directory: &Path, staged: &Path, aside: &Path, step: &mut dyn FnMut()) -> io::Result<()> {
    match fs::remove_dir_all(aside) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::rename(directory, aside)?;
    step();
    if let Err(error) = fs::rename(staged, directory) {
        fs::rename(aside, directory)?;
        return Err(error);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// A temporary folder of one test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("ingest-store-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        /// Returns all files in the folder, with their text.
        fn files(&self) -> BTreeMap<PathBuf, String> {
            fn walk(folder: &Path, files: &mut BTreeMap<PathBuf, String>) {
                for entry in fs::read_dir(folder).into_iter().flatten() {
                    let path = entry.unwrap().path();
                    if path.is_dir() {
                        walk(&path, files);
                    } else {
                        files.insert(path.clone(), fs::read_to_string(&path).unwrap());
                    }
                }
            }
            let mut files = BTreeMap::new();
            walk(&self.0, &mut files);
            files.into_iter().map(|(path, text)| (path.strip_prefix(&self.0).unwrap().to_owned(), text)).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn change(directory: &Path, action: Action, subject: &str, version: u32, after: &str) -> Change {
        Change {
            action,
            subject: subject.to_owned(),
            version,
            path: directory.join(subject).join(format!("{version}.avsc")),
            lost: Vec::new(),
            before: String::new(),
            after: after.to_owned(),
        }
    }

    fn put(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Creates a directory with three files, and a change of each kind.
    fn case(folder: &Folder) -> (PathBuf, Vec<Change>) {
        let directory = folder.0.join("schemas");
        put(&directory.join("a/1.avsc"), "a1");
        put(&directory.join("b/1.avsc"), "b1");
        put(&directory.join("README.md"), "kept");
        let changes = vec![
            change(&directory, Action::Changed, "a", 1, "a1 new"),
            change(&directory, Action::New, "a", 2, "a2"),
            change(&directory, Action::Deleted, "b", 1, ""),
            change(&directory, Action::New, "c", 1, "c1"),
        ];
        (directory, changes)
    }

    #[test]
    fn at_every_step_the_directory_has_the_old_state_or_the_new_one() {
        let folder = Folder::new("steps");
        let (directory, changes) = case(&folder);
        let schemas = || {
            let inside = |(path, text): (PathBuf, String)| Some((path.strip_prefix("schemas").ok()?.to_owned(), text));
            folder.files().into_iter().filter_map(inside).collect::<BTreeMap<_, _>>()
        };
        let mut states = vec![schemas()];
        let files = schema_dir::read(&directory).unwrap();
        replace_in_steps(&directory, &files, &changes, &mut || states.push(schemas())).unwrap();
        assert!(states.len() > 8, "{}", states.len());
        let (old, new) = (states[0].clone(), states.last().unwrap().clone());
        let expected = [("README.md", "kept"), ("a/1.avsc", "a1 new"), ("a/2.avsc", "a2"), ("c/1.avsc", "c1")];
        assert_eq!(new, expected.map(|(path, text)| (PathBuf::from(path), text.to_owned())).into());
        assert!(states.iter().all(|state| *state == old || *state == new), "{states:#?}");
        assert_eq!(folder.files().len(), new.len(), "nothing is left beside it");
        assert!(!directory.join("b").exists());
    }

    #[test]
    fn what_a_killed_process_left_behind_is_no_obstacle() {
        let folder = Folder::new("left");
        let (directory, changes) = case(&folder);
        put(&folder.0.join(".schemas.pull-new/a/1.avsc"), "half");
        replace(&directory, &schema_dir::read(&directory).unwrap(), &changes).unwrap();
        assert_eq!(folder.files().len(), 4, "{:?}", folder.files());
    }

    #[test]
    fn without_an_exchange_a_kill_in_between_leaves_nothing_and_the_next_pull_restores_it() {
        let folder = Folder::new("two-steps");
        let (directory, _) = case(&folder);
        let old = folder.files();
        let places = Places::of(&directory).unwrap();
        put(&places.staged.join("a/1.avsc"), "new");
        swap_in_two_steps(&places.directory, &places.staged, &places.aside, &mut || {
            assert!(!directory.exists());
            recover(&directory).unwrap();
            assert_eq!(fs::read_to_string(directory.join("a/1.avsc")).unwrap(), "a1");
            fs::rename(&places.directory, &places.aside).unwrap();
        })
        .unwrap();
        assert_eq!(fs::read_to_string(directory.join("a/1.avsc")).unwrap(), "new");
        assert_eq!(old.len(), 3);
    }

    #[test]
    fn a_failure_leaves_the_old_state_and_nothing_beside_it() {
        let folder = Folder::new("failure");
        let (directory, mut changes) = case(&folder);
        let old = folder.files();
        // a folder cannot be created where a file exists
        changes.push(change(&directory, Action::New, "README.md", 1, "x"));
        let error = replace(&directory, &schema_dir::read(&directory).unwrap(), &changes).unwrap_err().to_string();
        assert!(error.contains("nothing is written"), "{error}");
        assert_eq!(folder.files(), old);
    }

    #[test]
    fn a_directory_that_was_changed_meanwhile_is_left_alone() {
        let folder = Folder::new("meanwhile");
        let (directory, changes) = case(&folder);
        let files = schema_dir::read(&directory).unwrap();
        put(&directory.join("a/1.avsc"), "a1, by hand");
        let old = folder.files();
        assert!(replace(&directory, &files, &changes).unwrap_err().to_string().contains("meanwhile"));
        assert_eq!(folder.files(), old);
    }

    #[cfg(unix)]
    #[test]
    fn a_subject_that_is_a_link_is_not_written_through() {
        let folder = Folder::new("link");
        let (directory, changes) = case(&folder);
        put(&folder.0.join("elsewhere/1.avsc"), "c0");
        std::os::unix::fs::symlink("../elsewhere", directory.join("c")).unwrap();
        let old = folder.files();
        let error = replace(&directory, &schema_dir::read(&directory).unwrap(), &changes).unwrap_err().to_string();
        assert!(error.contains("c is a link"), "{error}");
        assert_eq!(folder.files(), old);
    }
}
