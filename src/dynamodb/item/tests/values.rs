//! Values and layouts.

use super::super::{MAX_NAME_BYTES, Operation, RecordEncoder};
use super::{Step, encode, put};
use crate::record::RecordVisitor;
use serde_json::json;

#[test]
fn a_document_holds_the_record_beside_its_keys() {
    let property = json!({"partitionKey": {"attribute": "pk", "field": "id"}, "sortKey": "n"});
    let item = put(property, &[("n", &|e| e.long(7)), ("id", &|e| e.string("a\"b"))]);
    assert_eq!(
        item,
        json!({"pk": {"S": "a\"b"}, "n": {"N": "7"}, "processed_at": {"N": "1700000000.123"},
            "data": {"M": {"n": {"N": "7"}, "id": {"S": "a\"b"}}}})
    );
}

#[test]
fn in_the_attributes_layout_each_field_is_an_attribute() {
    let property = json!({"layout": "attributes", "partitionKey": "id"});
    let item = put(property, &[("id", &|e| e.string("x")), ("n", &|e| e.null())]);
    assert_eq!(item, json!({"id": {"S": "x"}, "n": {"NULL": true}, "processed_at": {"N": "1700000000.123"}}));
}

#[test]
fn every_kind_of_value_has_its_type() {
    let list: Step<'_> = &|e| {
        e.array_start()?;
        for step in
            [&(|e: &mut RecordEncoder<'_>| e.boolean(true)) as Step<'_>, &|e| e.double(0.5), &|e| e.float(0.1), &|e| {
                e.bytes(&[1, 2])
            }]
        {
            e.array_item()?;
            step(e)?;
        }
        e.array_end()
    };
    let map: Step<'_> = &|e| {
        e.map_start()?;
        e.map_key("k")?;
        e.date(0)?;
        e.map_key("u")?;
        e.uuid(*b"\x12\x34\x56\x78\x9a\xbc\xde\xf0\x12\x34\x56\x78\x9a\xbc\xde\xf0")?;
        e.map_key("d")?;
        e.decimal(&[0x30, 0x39], 2)?;
        e.map_end()
    };
    let item = put(json!({}), &[("tags", list), ("note", map)]);
    assert_eq!(
        item["data"]["M"],
        json!({
            "tags": {"L": [{"BOOL": true}, {"N": "0.5"}, {"N": "0.1"}, {"B": "AQI="}]},
            "note": {"M": {"k": {"S": "1970-01-01"}, "u": {"S": "12345678-9abc-def0-1234-56789abcdef0"}, "d": {"N": "123.45"}}},
        })
    );
}

#[test]
fn empty_collections_stay_empty() {
    let item = put(
        json!({}),
        &[
            ("tags", &|e| e.array_start().and_then(|()| e.array_end())),
            ("n", &|e| e.map_start().and_then(|()| e.map_end())),
        ],
    );
    assert_eq!(item["data"]["M"], json!({"tags": {"L": []}, "n": {"M": {}}}));
}

#[test]
fn values_are_nested_at_most_32_deep() {
    // the innermost value counts as a level, and so does the map of the `document` layout
    let nested = |layout: &str, levels: usize| {
        let property = json!({"layout": layout, "partitionKey": "id"});
        let lists: Step<'_> = &|e| {
            for _ in 0..levels {
                e.array_start()?;
                e.array_item()?;
            }
            e.null()?;
            (0..levels).try_for_each(|_| e.array_end())
        };
        encode(property, Operation::Put, &[("id", &|e| e.string("x")), ("tags", lists)]).is_ok()
    };
    assert_eq!([30, 31, 32].map(|levels| nested("attributes", levels)), [true, true, false]);
    assert_eq!([29, 30, 31].map(|levels| nested("document", levels)), [true, true, false]);
}

#[test]
fn a_map_key_is_a_legal_attribute_name() {
    let with_key = |length: usize| {
        let map: Step<'_> = &|e| {
            e.map_start()?;
            e.map_key(&"k".repeat(length))?;
            e.null()?;
            e.map_end()
        };
        encode(json!({}), Operation::Put, &[("tags", map)]).is_ok()
    };
    let lengths = [0, 1, MAX_NAME_BYTES - 1, MAX_NAME_BYTES, MAX_NAME_BYTES + 1];
    assert_eq!(lengths.map(with_key), [false, true, true, true, false]);
}
