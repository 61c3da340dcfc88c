#![no_main]

use avro_ingest::sqs::Event;
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;

// a payload that is a batch of messages has ids, and each body opens or says why not
fuzz_target!(|data: &[u8]| {
    if let Ok(event) = Event::parse(data) {
        // whatever is taken for an event is JSON to others too
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
