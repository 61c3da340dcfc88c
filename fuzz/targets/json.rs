#![no_main]

use avro_ingest::avro::Body;
use avro_ingest::transcode::Transcoder;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static TRANSCODER: LazyLock<Transcoder> = LazyLock::new(|| fuzz::transcoder("json"));

const SUBJECTS: [&str; 6] = ["order", "primitive", "logical", "optional", "union", "defaults"];

// The first byte selects the subject, and the rest is the text.
fuzz_target!(|data: &[u8]| {
    if let Some((&choice, text)) = data.split_first()
        && let Ok(text) = std::str::from_utf8(text)
    {
        let subject = SUBJECTS[usize::from(choice) % SUBJECTS.len()];
        fuzz::check(&TRANSCODER, Body::Json(text), Some(subject), None);
    }
});
