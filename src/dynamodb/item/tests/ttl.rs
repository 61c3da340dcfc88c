//! The time to live.

use super::super::{Operation, push_canonical};
use super::{Step, attributes, encode, put};
use crate::record::{ItemError, RecordVisitor};
use serde_json::json;

#[test]
fn a_time_to_live_is_in_seconds_whatever_the_fields_unit() {
    let field = json!({"ttl": {"attribute": "expires", "field": "at"}});
    assert_eq!(put(field.clone(), &[("at", &|e| e.long(1_999))])["expires"], json!({"N": "1"}));
    assert_eq!(put(field.clone(), &[("at", &|e| e.long(-1))])["expires"], json!({"N": "-1"}));
    assert_eq!(put(field, &[("at", &|e| e.null())]).get("expires"), None);
    let plain = json!({"ttl": {"attribute": "expires", "field": "n"}});
    assert_eq!(put(plain.clone(), &[("n", &|e| e.long(5))])["expires"], json!({"N": "5"}));
    assert!(matches!(encode(plain, Operation::Put, &[("n", &|e| e.double(5.5))]), Err(ItemError::Mapping { .. })));
    let days = json!({"ttl": {"attribute": "expires", "days": 2}});
    assert_eq!(put(days, &[])["expires"], json!({"N": (1_700_000_000 + 2 * 86_400).to_string()}));
}

#[test]
fn a_time_to_live_in_place_of_its_field_is_converted_there() {
    let property = json!({"layout": "attributes", "partitionKey": "id", "ttl": {"attribute": "at", "field": "at"}});
    let item = put(property, &[("at", &|e| e.long(2_500)), ("id", &|e| e.string("x"))]);
    assert_eq!(item, json!({"id": {"S": "x"}, "at": {"N": "2"}, "processed_at": {"N": "1700000000.123"}}));
}

#[test]
fn the_keys_and_the_version_beside_a_converted_time_to_live_stay_what_they_are() {
    let property = json!({"layout": "attributes", "partitionKey": {"attribute": "pk", "field": "id"}, "sortKey": "note",
        "version": "n", "ttl": {"attribute": "at", "field": "at"}});
    let fields: [(&str, Step<'_>); 4] = [
        ("id", &|e| e.string("x")),
        ("note", &|e| e.string("y")),
        ("n", &|e| e.long(7)),
        ("at", &|e| e.long(1_700_000_000_000)),
    ];
    for turn in 0..fields.len() {
        let mut fields = fields;
        fields.rotate_left(turn);
        let items = encode(property.clone(), Operation::Put, &fields).unwrap();
        let item = &items.as_slice()[0];
        let mut key = Vec::new();
        push_canonical(&mut key, br#"{"S":"x"}"#);
        push_canonical(&mut key, br#"{"S":"y"}"#);
        assert_eq!((items.key(item), items.version(item)), (&key[..], Some(&br#"{"N":"7"}"#[..])), "turn {turn}");
        let stored = attributes(&items);
        assert_eq!((&stored["pk"], &stored["at"]), (&json!({"S": "x"}), &json!({"N": "1700000000"})), "turn {turn}");
    }
}
