#![no_main]

use avro_ingest::avro::Body;
use avro_ingest::transcode::Transcoder;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static TRANSCODER: LazyLock<Transcoder> = LazyLock::new(|| fuzz::transcoder("single-object,container,confluent,glue"));

// The input is an arbitrary body, once without and once with a schema id in the message attribute.
fuzz_target!(|data: &[u8]| {
    fuzz::check(&TRANSCODER, Body::Binary(data), None, None);
    if let Some((id, body)) = data.split_at_checked(5) {
        fuzz::check(&TRANSCODER, Body::Binary(body), None, Some(id));
    }
});
