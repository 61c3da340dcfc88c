//! Versions from a field and from the order of the messages.

use super::super::{ItemEncoder, MessageStamps, Operation, RecordEncoder};
use super::{Step, attributes, encode, mapping, record};
use crate::record::{ItemError, RecordVisitor};
use serde_json::{Value, json};
use std::time::Duration;

#[test]
fn the_messages_order_is_an_attribute_of_its_own_and_the_version() {
    let stamps = MessageStamps { sequence_number: Some(18_849_496_460_467_696_128), sent_ms: Some(1_700_000_000_001) };
    let encode = |from: &str, operation, stamps| {
        let mappings = mapping(json!({"partitionKey": "id", "version": {"attribute": "_version", "from": from}}));
        let mut encoder = ItemEncoder::new(&mappings, Duration::ZERO, 0);
        encoder.stamp_message(stamps);
        encoder.start_message(0, "m1", operation);
        record(&mut encoder, &mappings[0].1, None, &[("id", &|e| e.string("x"))])?;
        Ok::<_, ItemError>(encoder.finish_event())
    };
    for (from, number) in [("sequence-number", "18849496460467696128"), ("sent-timestamp", "1700000000001")] {
        for operation in [Operation::Put, Operation::Delete] {
            let items = encode(from, operation, stamps).unwrap();
            let item = &items.as_slice()[0];
            let version: Value = serde_json::from_slice(items.version(item).unwrap()).unwrap();
            assert_eq!(version, json!({"N": number}));
            assert_eq!(item.order.map(|order| order.to_string()).as_deref(), Some(number));
            let item = attributes(&items);
            assert_eq!(item.get("_version"), (operation == Operation::Put).then_some(&version));
            assert_eq!(item["id"], json!({"S": "x"}));
        }
        let error = encode(from, Operation::Put, MessageStamps::default()).unwrap_err();
        assert!(matches!(error, ItemError::Mapping { .. }), "{error}");
    }
}

#[test]
fn an_item_without_its_version_is_none_and_a_deletion_needs_none() {
    let encode = |operation, version: Option<Step<'_>>| {
        let mut fields: Vec<(&str, Step<'_>)> = vec![("id", &|e| e.string("x"))];
        fields.extend(version.map(|version| ("n", version)));
        encode(json!({"partitionKey": "id", "version": "n"}), operation, &fields)
    };
    for missing in [None, Some((&|e: &mut RecordEncoder<'_>| e.null()) as Step<'_>)] {
        let error = encode(Operation::Put, missing).unwrap_err().to_string();
        assert!(error.contains("n is the version and is missing"), "{error}");
        let deletion = encode(Operation::Delete, missing).unwrap();
        assert_eq!(deletion.version(&deletion.as_slice()[0]), None);
    }
    let stored = encode(Operation::Put, Some(&|e| e.long(7))).unwrap();
    assert!(stored.version(&stored.as_slice()[0]).is_some());
}
