#![no_main]

use avro_ingest::sqs::Event;
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;

// In every payload that parses as an event, each message has an id, and its body opens or is rejected with a reason.
fuzz_target!(|data: &[u8]| {
    if let Ok(event) = Event::parse(data) {
        // Every payload that is accepted as an event is valid JSON for other parsers too.
        assert!(serde_json::from_slice::<IgnoredAny>(data).is_ok());
        assert!(!event.messages.is_empty());
        let mut scratch = Vec::new();
        for message in &event.messages {
            assert!(!message.id.is_empty());
            let _ = message.open(&mut scratch).map_err(|error| error.reason());
            let _ = message.original_attributes();
        }
    }
});
