//! Interruption of a message by the memory limit or the deadline of the event.

use super::super::items::ITEM_OVERHEAD_BYTES;
use super::super::{ItemEncoder, MAX_ITEM_BYTES, Operation, RecordEncoder};
use super::{mapping, record};
use crate::record::{Interruption, ItemError, Name, RecordSink, RecordVisitor, SubjectId};
use serde_json::json;
use std::time::Duration;

/// Writes a list of `count` nulls, whose JSON is far longer than the size that DynamoDB counts.
fn nulls(record: &mut RecordEncoder<'_>, count: usize) -> Result<(), ItemError> {
    record.array_start()?;
    for _ in 0..count {
        record.array_item()?;
        record.null()?;
    }
    record.array_end()
}

#[test]
fn an_item_is_refused_while_it_grows_and_not_when_it_is_finished() {
    let mappings = mapping(json!({"partitionKey": "id"}));
    let mut encoder = ItemEncoder::new(&mappings, Duration::ZERO, 0);
    encoder.start_message(0, "m", Operation::Put);
    let mut record = encoder.begin(SubjectId(0), None).unwrap();
    record.record_start().unwrap();
    record.field(&Name::new("tags")).unwrap();
    assert!(matches!(nulls(&mut record, 10_000_000), Err(ItemError::TooLarge { .. })));
    // DynamoDB counts two bytes for a null, and its JSON has 14
    assert!(encoder.bytes() < 8 * MAX_ITEM_BYTES, "{}", encoder.bytes());
    let capacity = encoder.capacity();
    let mut record = encoder.begin(SubjectId(0), None).unwrap();
    record.record_start().unwrap();
    assert!(matches!(record.string(&"\u{1}".repeat(10_000_000)), Err(ItemError::TooLarge { .. })));
    assert_eq!(encoder.capacity(), capacity, "none of its bytes are written");
}

#[test]
fn a_message_is_interrupted_where_the_items_would_take_more_memory_than_there_is() {
    const BUDGET: usize = 100_000;
    let mappings = mapping(json!({"partitionKey": "id"}));
    for operation in [Operation::Put, Operation::Delete] {
        let mut encoder = ItemEncoder::new(&mappings, Duration::ZERO, 0).within(BUDGET);
        let write = |encoder: &mut ItemEncoder<'_>, position, note: &str| {
            encoder.start_message(position, "m", operation);
            record(encoder, &mappings[0].1, None, &[("id", &|e| e.string("x")), ("note", &|e| e.string(note))])
        };
        let mut fit = 0;
        let error = loop {
            match write(&mut encoder, fit, &"n".repeat(1_000)) {
                Ok(()) => fit += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error, ItemError::Interrupted(Interruption::Memory));
        encoder.discard_message(fit);
        assert!((60..100).contains(&fit), "{fit}");
        assert!(encoder.bytes() <= BUDGET);
    }
}

#[test]
fn records_of_no_size_take_memory_too() {
    let mappings = mapping(json!({}));
    let mut encoder = ItemEncoder::new(&mappings, Duration::ZERO, 0).within(100_000);
    encoder.start_message(0, "m", Operation::Put);
    let fit = (0..).find(|&index| record(&mut encoder, &mappings[0].1, Some(index), &[]).is_err()).unwrap();
    assert!(fit < 100_000 / ITEM_OVERHEAD_BYTES, "{fit}");
}

#[test]
fn a_message_of_many_records_is_interrupted_when_the_time_is_over() {
    let mappings = mapping(json!({}));
    let is_over = || true;
    let mut encoder = ItemEncoder::new(&mappings, Duration::ZERO, 0).until(&is_over);
    encoder.start_message(0, "m", Operation::Put);
    record(&mut encoder, &mappings[0].1, Some(0), &[]).unwrap();
    let error = record(&mut encoder, &mappings[0].1, Some(1), &[]).unwrap_err();
    assert_eq!(error, ItemError::Interrupted(Interruption::Deadline));
}
