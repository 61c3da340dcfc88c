#![no_main]

use avro_ingest::avro::Body;
use avro_ingest::transcode::Transcoder;
use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::LazyLock;

static TRANSCODER: LazyLock<Transcoder> = LazyLock::new(|| fuzz::transcoder("datum"));

/// Names of all schemas, as `subject/version`.
static SCHEMAS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/bodies/schemas");
    let files = avro_ingest::schema_dir::read(&directory).expect("the schema directory can be read");
    files.iter().map(|file| format!("{}/{}", file.subject, file.version)).collect()
});

// The first byte selects the writer schema, and the rest is the datum.
fuzz_target!(|data: &[u8]| {
    if let Some((&choice, datum)) = data.split_first() {
        let schema = &SCHEMAS[usize::from(choice) % SCHEMAS.len()];
        fuzz::check(&TRANSCODER, Body::Binary(datum), Some(schema), None);
    }
});
