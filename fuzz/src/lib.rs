//! Code shared by the fuzz targets: a transcoder of the tests' schemas, and the check that any input is either decoded
//! into items or rejected, without a panic.

use avro_ingest::avro::{Body, Input, Scratch};
use avro_ingest::settings::Settings;
use avro_ingest::schema_dir;
use avro_ingest::transcode::Transcoder;
use std::path::Path;
use std::time::Duration;

/// Creates a transcoder of the tests' schema directory that allows `wire_formats`.
pub fn transcoder(wire_formats: &str) -> Transcoder {
    let lookup = |name: &str| match name {
        "TABLE_NAME" => Some("table".to_owned()),
        "WIRE_FORMATS" => Some(wire_formats.to_owned()),
        _ => None,
    };
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/bodies/schemas");
    let files = schema_dir::read(&directory).expect("the schema directory can be read");
    Transcoder::new(&Settings::parse(lookup).expect("valid settings"), files).expect("valid schemas")
}

/// Decodes a body as the function does, first to store and then to delete its records, and checks the result.
pub fn check(transcoder: &Transcoder, body: Body<'_>, schema: Option<&str>, value_schema_id: Option<&[u8]>) {
    for keys_only in [false, true] {
        check_input(transcoder, &Input { body, schema, value_schema_id, keys_only });
    }
}

fn check_input(transcoder: &Transcoder, input: &Input<'_>) {
    let mut encoder = transcoder.encoder(Duration::ZERO, 0);
    let result = transcoder.transcode(input, (0, "message"), &mut encoder, &mut Scratch::default());
    let items = encoder.finish_event();
    match result {
        Ok(transcoded) => assert_eq!(items.as_slice().len(), transcoded.records),
        Err(_) => assert!(items.as_slice().is_empty(), "a rejected message must not leave items"),
    }
    for item in items.as_slice() {
        let attributes = items.attributes(item);
        assert!(attributes.starts_with(b"{\"") && attributes.ends_with(b"}"));
        assert!(std::str::from_utf8(attributes).is_ok(), "JSON is UTF-8");
    }
}
