//! Bodies of BatchWriteItem requests, and the identification of unprocessed items. Pure: no I/O, clock or randomness.

use super::item::ItemRef;
use crate::json;

/// Maximum number of items of one BatchWriteItem call.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html>
pub const MAX_BATCH_ITEMS: usize = 25;
/// Maximum size of one BatchWriteItem request, in bytes.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html>
pub const MAX_BATCH_BYTES: usize = 16 * 1024 * 1024;

/// Maximum number of bytes around each item in the body: `{"DeleteRequest":{"Key":` … `}},`.
pub(crate) const ITEM_OVERHEAD: usize = 32;

/// Returns the body of a BatchWriteItem that writes `items` to `table`.
pub(crate) fn batch_body(items: &[ItemRef], table: &str) -> Vec<u8> {
    let bytes: usize = items.iter().map(|item| item.attributes().len() + ITEM_OVERHEAD).sum();
    let mut body = Vec::with_capacity(bytes + table.len() + PREFIX_ROOM);
    body.extend_from_slice(b"{\"RequestItems\":{");
    json::push_string(&mut body, table);
    body.extend_from_slice(b":[");
    for item in items {
        body.extend_from_slice(if item.item().kind.is_deletion() {
            b"{\"DeleteRequest\":{\"Key\":"
        } else {
            b"{\"PutRequest\":{\"Item\":"
        });
        body.extend_from_slice(item.attributes());
        body.extend_from_slice(b"}},");
    }
    if body.last() == Some(&b',') {
        body.pop();
    }
    body.extend_from_slice(b"]},\"ReturnConsumedCapacity\":\"TOTAL\"}");
    body
}

/// Returns the indexes of the unprocessed items of a call, given their `keys`. If a key does not belong to any item of the
/// call, all items count as unprocessed.
pub(crate) fn unprocessed_items(sent: &[ItemRef], keys: &[Vec<u8>]) -> Vec<usize> {
    let is_handed_back = |item: &ItemRef| keys.iter().any(|key| key == item.key());
    let handed_back: Vec<usize> =
        sent.iter().enumerate().filter(|(_, item)| is_handed_back(item)).map(|(place, _)| place).collect();
    if handed_back.len() == keys.len() { handed_back } else { (0..sent.len()).collect() }
}

/// Maximum number of bytes before and after the items, including the table's name of at most 255 characters.
pub(crate) const PREFIX_ROOM: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamodb::item::{ItemEncoder, Operation};
    use crate::dynamodb::mapping::{Mapping, PARTITION_KEY, TableId};
    use crate::dynamodb::sample_fields::SampleFields;
    use crate::record::{Name, RecordSink, RecordVisitor, SubjectId};
    use serde_json::{Value, json};
    use std::sync::Arc;
    use std::time::Duration;

    /// Returns one item for each key, with padding of the given number of bytes, from a message with the given operation.
    fn items(of: &[(&str, usize, Operation)]) -> Vec<ItemRef> {
        let property = json!({"partitionKey": "id"});
        let mappings = [(TableId::new(0), Mapping::parse(Some(&property), "orders", &SampleFields).unwrap())];
        let mut encoder = ItemEncoder::new(&mappings, Duration::ZERO, 0);
        for (position, (id, padding, operation)) in of.iter().enumerate() {
            encoder.start_message(position, "m", *operation);
            let mut record = encoder.begin(SubjectId(0), None).unwrap();
            record.record_start().unwrap();
            record.field(&Name::new("id")).unwrap();
            record.tracked_field(PARTITION_KEY).unwrap();
            record.string(id).unwrap();
            record.field(&Name::new("padding")).unwrap();
            // a control character takes one byte in the table and six bytes in JSON
            record.string(&"\u{1}".repeat(*padding)).unwrap();
            record.record_end().unwrap();
            record.finish().unwrap();
        }
        let items = Arc::new(encoder.finish_event());
        (0..of.len()).filter_map(|index| ItemRef::new(&items, index)).collect()
    }

    #[test]
    fn the_body_is_what_the_api_asks_for() {
        let items = items(&[("a", 0, Operation::Put), ("b", 0, Operation::Delete)]);
        let body: Value = serde_json::from_slice(&batch_body(&items, "orders")).unwrap();
        assert_eq!(body["ReturnConsumedCapacity"], "TOTAL");
        let requests = &body["RequestItems"]["orders"];
        assert_eq!(requests[0]["PutRequest"]["Item"]["id"], json!({"S": "a"}));
        assert_eq!(requests[1], json!({"DeleteRequest": {"Key": {"id": {"S": "b"}}}}));
        assert_eq!(requests.as_array().unwrap().len(), 2);
    }

    #[test]
    fn the_room_of_a_body_is_never_too_small() {
        let puts = [("a", 400_000), ("b", 10), ("c", 0)].map(|(id, padding)| (id, padding, Operation::Put));
        let items = items(&puts);
        let bytes: usize = items.iter().map(|item| item.attributes().len() + ITEM_OVERHEAD).sum();
        assert!(batch_body(&items, &"t".repeat(255)).len() <= bytes + PREFIX_ROOM);
    }

    #[test]
    fn items_are_handed_back_by_their_keys_and_all_of_them_if_a_key_is_none_of_theirs() {
        let items = items(&["a", "b", "c"].map(|id| (id, 0, Operation::Put)));
        let key = |place: usize| items[place].key().to_vec();
        assert_eq!(unprocessed_items(&items, &[]), Vec::<usize>::new());
        assert_eq!(unprocessed_items(&items, &[key(2), key(0)]), [0, 2]);
        assert_eq!(unprocessed_items(&items, &[key(1), b"another".to_vec()]), [0, 1, 2]);
    }
}
