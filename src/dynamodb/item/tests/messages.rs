//! The items of several messages in one event.

use super::super::super::mapping::PARTITION_KEY;
use super::super::{ItemEncoder, Operation};
use super::{Step, attributes, mapping, record};
use crate::record::{ItemError, Name, RecordSink, RecordVisitor, SubjectId};
use serde_json::{Value, json};
use std::time::Duration;

#[test]
fn a_discarded_message_leaves_the_others_as_they_were() {
    let mappings = mapping(json!({"partitionKey": "id"}));
    let mut encoder = ItemEncoder::new(&mappings, Duration::ZERO, 0);
    let mut write = |message: usize, ids: &[&str], keep: bool| {
        encoder.start_message(message, "m", Operation::Put);
        for (index, id) in ids.iter().enumerate() {
            record(&mut encoder, &mappings[0].1, Some(index), &[("id", &|e| e.string(id))]).unwrap();
        }
        if !keep {
            encoder.begin(SubjectId(0), None).unwrap().record_start().unwrap();
            encoder.discard_message(message);
        }
    };
    write(0, &["a"], true);
    write(1, &["b", "c"], false);
    write(2, &["d"], true);
    let items = encoder.finish_event();
    let ids: Vec<Value> =
        items.as_slice().iter().map(|item| serde_json::from_slice(items.attributes(item)).unwrap()).collect();
    assert_eq!(ids.iter().map(|item| &item["id"]["S"]).collect::<Vec<_>>(), ["a", "d"]);
    assert_eq!(items.as_slice().iter().map(|item| item.message).collect::<Vec<_>>(), [0, 2]);
}

#[test]
fn a_message_read_anew_leaves_nothing_of_the_first_reading() {
    let mappings = mapping(json!({"partitionKey": "id"}));
    let mut encoder = ItemEncoder::new(&mappings, Duration::ZERO, 0);
    encoder.start_message(0, "m", Operation::Put);
    for (index, id) in [(Some(0), "a"), (Some(1), "b"), (None, "c")] {
        record(&mut encoder, &mappings[0].1, index, &[("id", &|e| e.string(id))]).unwrap();
    }
    let items = encoder.finish_event();
    assert_eq!(items.as_slice().len(), 1);
    assert_eq!(attributes(&items)["id"]["S"], "c");
}

#[test]
fn a_message_that_has_written_nothing_takes_nothing_back() {
    let mappings = mapping(json!({"partitionKey": "id"}));
    let mut encoder = ItemEncoder::new(&mappings, Duration::ZERO, 0);
    encoder.start_message(0, "m", Operation::Put);
    record(&mut encoder, &mappings[0].1, None, &[("id", &|e| e.string("x"))]).unwrap();
    // the second message failed before it was started
    encoder.discard_message(1);
    assert_eq!(encoder.finish_event().as_slice().len(), 1);
}

#[test]
fn a_record_that_fails_leaves_nothing_to_the_next() {
    let property = json!({"partitionKey": "id", "sortKey": {"attribute": "sk", "template": "N#{n}"}, "nulls": "omit"});
    let mappings = mapping(property);
    let mapping = &mappings[0].1;
    let mut encoder = ItemEncoder::new(&mappings, Duration::ZERO, 0);
    encoder.start_message(0, "m", Operation::Put);
    let fail = |encoder: &mut ItemEncoder<'_>| {
        let mut failed = encoder.begin(SubjectId(0), None).unwrap();
        failed.record_start().unwrap();
        failed.field(&Name::omitted("id")).unwrap();
        failed.tracked_field(PARTITION_KEY).unwrap();
        failed.string("of the failed record").unwrap();
        failed.field(&Name::omitted("tags")).unwrap();
        failed.array_start().unwrap();
    };
    fail(&mut encoder);
    let without_key = record(&mut encoder, mapping, None, &[("n", &|e| e.long(1))]);
    assert!(matches!(without_key, Err(ItemError::Key { problem: "is missing", .. })), "{without_key:?}");
    fail(&mut encoder);
    let fields: [(&str, Step<'_>); 3] =
        [("id", &|e| e.string("x")), ("n", &|e| e.long(7)), ("note", &|e| e.string("y"))];
    record(&mut encoder, mapping, None, &fields).unwrap();
    let items = encoder.finish_event();
    let fresh = {
        let mut encoder = ItemEncoder::new(&mappings, Duration::ZERO, 0);
        encoder.start_message(0, "m", Operation::Put);
        record(&mut encoder, mapping, None, &fields).unwrap();
        encoder.finish_event()
    };
    let [item, expected] = [&items, &fresh].map(|items| &items.as_slice()[0]);
    assert_eq!(attributes(&items), attributes(&fresh));
    assert_eq!(items.key(item), fresh.key(expected));
    assert_eq!(items.memory(), fresh.memory());
}
