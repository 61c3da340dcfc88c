//! Keys from fields and from the message's id, and the canonical form of keys.

use super::super::{
    ItemEncoder, MAX_PARTITION_KEY_BYTES, MAX_SORT_KEY_BYTES, Operation, RecordEncoder, push_canonical,
};
use super::{Step, attributes, encode, mapping, record};
use crate::record::{ItemError, RecordVisitor};
use serde_json::{Value, json};
use std::time::Duration;

#[test]
fn without_a_key_the_messages_id_is_it_and_a_containers_records_are_counted() {
    let mappings = mapping(json!({}));
    let mut encoder = ItemEncoder::new(&mappings, Duration::ZERO, 0);
    encoder.start_message(0, "m1", Operation::Put);
    record(&mut encoder, &mappings[0].1, None, &[]).unwrap();
    encoder.start_message(1, "m2", Operation::Put);
    for index in 0..2 {
        record(&mut encoder, &mappings[0].1, Some(index), &[]).unwrap();
    }
    let items = encoder.finish_event();
    let id = |at: usize| {
        serde_json::from_slice::<Value>(items.attributes(&items.as_slice()[at])).unwrap()["message_id"]["S"].clone()
    };
    assert_eq!([id(0), id(1), id(2)], ["m1", "m2#0", "m2#1"]);
    let mut key = Vec::new();
    push_canonical(&mut key, br#"{"S":"m2#1"}"#);
    assert_eq!(items.key(&items.as_slice()[2]), key, "identifies an unprocessed item");
}

#[test]
fn a_deletion_is_its_key_alone() {
    let property = json!({"partitionKey": "id", "sortKey": "n", "ttl": {"attribute": "expires", "days": 1}});
    let items = encode(
        property,
        Operation::Delete,
        &[("id", &|e| e.string("x")), ("n", &|e| e.long(1)), ("note", &|e| e.string("y"))],
    );
    assert_eq!(attributes(&items.unwrap()), json!({"id": {"S": "x"}, "n": {"N": "1"}}));
    let in_place = json!({"layout": "attributes", "partitionKey": "id"});
    assert_eq!(
        attributes(&encode(in_place, Operation::Delete, &[("id", &|e| e.string("x"))]).unwrap()),
        json!({"id": {"S": "x"}})
    );
}

#[test]
fn keys_are_checked_before_they_are_sent() {
    let key = |limit_name: &str, length: usize| {
        let (partition, sort) = if limit_name == "sort" { (1, length) } else { (length, 1) };
        let property = json!({"partitionKey": "id", "sortKey": "note"});
        // as many characters of two bytes as fit
        let id = "é".repeat(partition / 2) + &"k".repeat(partition % 2);
        encode(property, Operation::Put, &[("id", &|e| e.string(&id)), ("note", &|e| e.string(&"k".repeat(sort)))])
            .is_ok()
    };
    for (name, limit) in [("partition", MAX_PARTITION_KEY_BYTES), ("sort", MAX_SORT_KEY_BYTES)] {
        assert_eq!(
            [0, 1, limit - 1, limit, limit + 1].map(|length| key(name, length)),
            [false, true, true, true, false],
            "{name}"
        );
    }
    let property = json!({"partitionKey": "id"});
    let list: Step<'_> = &|e| {
        e.array_start()?;
        // the elements of a list cannot be a key either
        e.string("k")?;
        e.array_end()
    };
    let other = "is no string, number or binary";
    for (value, expected) in
        [(&(|e: &mut RecordEncoder<'_>| e.null()) as Step<'_>, "is null"), (&|e| e.boolean(true), other), (list, other)]
    {
        let Err(ItemError::Key { problem, .. }) = encode(property.clone(), Operation::Put, &[("id", value)]) else {
            panic!("{expected}")
        };
        assert_eq!(problem, expected);
    }
    assert!(matches!(encode(property, Operation::Put, &[]), Err(ItemError::Key { problem: "is missing", .. })));
}

#[test]
fn keys_are_equal_where_the_database_finds_them_equal() {
    let key = |value: Step<'_>| {
        let items = encode(json!({"partitionKey": "n"}), Operation::Put, &[("n", value)]).unwrap();
        items.key(&items.as_slice()[0]).to_vec()
    };
    assert_eq!(key(&|e| e.long(1)), key(&|e| e.double(1.0)));
    assert_eq!(key(&|e| e.long(1)), key(&|e| e.decimal(&[100], 2)));
    assert_ne!(key(&|e| e.long(1)), key(&|e| e.string("1")), "keys of different types never match");
    assert_ne!(key(&|e| e.string("AQI=")), key(&|e| e.bytes(&[1, 2])));
}
