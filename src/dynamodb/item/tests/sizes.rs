//! The size of an item as DynamoDB counts it.

use super::super::limits::{COLLECTION_OVERHEAD, ELEMENT_OVERHEAD, LEAST_NUMBER_BYTES};
use super::super::{MAX_ITEM_BYTES, Operation};
use super::{Step, encode};
use crate::record::{ItemError, Name, RecordVisitor};
use serde_json::json;

#[test]
fn an_item_is_at_most_400_kilobytes() {
    let item = |length: usize| encode(json!({}), Operation::Put, &[("note", &|e| e.string(&"x".repeat(length)))]);
    // message_id + m1, processed_at + a number, data + a map of one element, note
    let rest = (10 + 2) + (12 + LEAST_NUMBER_BYTES) + (4 + COLLECTION_OVERHEAD + ELEMENT_OVERHEAD) + 4;
    assert!(item(MAX_ITEM_BYTES - rest - 1).is_ok());
    assert!(item(MAX_ITEM_BYTES - rest).is_ok());
    let error = item(MAX_ITEM_BYTES - rest + 1).unwrap_err();
    assert_eq!(error, ItemError::TooLarge { bytes: MAX_ITEM_BYTES + 1, limit: MAX_ITEM_BYTES });
}

#[test]
fn attributes_and_a_key_beside_its_field_count_towards_the_size() {
    let property = json!({"partitionKey": {"attribute": "pk", "field": "id"}, "layout": "attributes"});
    let item = |length: usize| {
        let record: Step<'_> = &|e| {
            e.record_start()?;
            e.field(&Name::new("inner"))?;
            e.string(&"x".repeat(length))?;
            e.record_end()
        };
        encode(property.clone(), Operation::Put, &[("id", &|e| e.string("key")), ("note", record)])
    };
    // pk, id, processed_at + a number, note + a map of one element, inner
    let rest = (2 + 3) + (2 + 3) + (12 + LEAST_NUMBER_BYTES) + 4 + (COLLECTION_OVERHEAD + ELEMENT_OVERHEAD) + 5;
    assert!(item(MAX_ITEM_BYTES - rest).is_ok());
    let error = item(MAX_ITEM_BYTES - rest + 1).unwrap_err();
    assert_eq!(error, ItemError::TooLarge { bytes: MAX_ITEM_BYTES + 1, limit: MAX_ITEM_BYTES });
}

#[test]
fn the_keys_of_a_map_count_towards_the_size() {
    let key = "k".repeat(200);
    let item = |length: usize| {
        let map: Step<'_> = &|e| {
            e.map_start()?;
            e.map_key(&key)?;
            e.string(&"x".repeat(length))?;
            e.map_end()
        };
        encode(json!({}), Operation::Put, &[("note", map)])
    };
    let rest = (10 + 2) + (12 + LEAST_NUMBER_BYTES) + (4 + COLLECTION_OVERHEAD + ELEMENT_OVERHEAD) + 4;
    let map = COLLECTION_OVERHEAD + ELEMENT_OVERHEAD + key.len();
    assert!(item(MAX_ITEM_BYTES - rest - map).is_ok());
    let error = item(MAX_ITEM_BYTES - rest - map + 1).unwrap_err();
    assert_eq!(error, ItemError::TooLarge { bytes: MAX_ITEM_BYTES + 1, limit: MAX_ITEM_BYTES });
}
