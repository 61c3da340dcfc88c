#![no_main]

use avro_ingest::avro::Body;
use avro_ingest::transcode::Transcoder;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static TRANSCODER: LazyLock<Transcoder> = LazyLock::new(|| fuzz::transcoder("container"));

// The input is the part of a container after its magic bytes.
fuzz_target!(|data: &[u8]| fuzz::check(&TRANSCODER, Body::Binary(&[b"Obj\x01", data].concat()), None, None));
