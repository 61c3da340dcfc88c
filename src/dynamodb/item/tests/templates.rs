//! Keys from templates.

use super::super::{MAX_PARTITION_KEY_BYTES, Operation};
use super::{Step, attributes, encode};
use crate::record::{ItemError, RecordVisitor};
use serde_json::json;

#[test]
fn a_template_puts_strings_and_numbers_together() {
    let property = json!({"partitionKey": {"attribute": "pk", "template": "T\"#{id}#{n}"},
        "sortKey": {"attribute": "sk", "template": "{note}/{id}"}});
    let fields: [(&str, Step<'_>); 3] =
        [("note", &|e| e.string("a\nb")), ("n", &|e| e.double(1.5)), ("id", &|e| e.string("é\""))];
    let expected = json!({"pk": {"S": "T\"#é\"#1.5"}, "sk": {"S": "a\nb/é\""}});
    let deleted = encode(property.clone(), Operation::Delete, &fields).unwrap();
    assert_eq!(attributes(&deleted), expected);
    let stored = encode(property, Operation::Put, &fields).unwrap();
    let item = attributes(&stored);
    assert_eq!((&item["pk"], &item["sk"]), (&expected["pk"], &expected["sk"]));
    assert_eq!(item["data"]["M"]["id"], json!({"S": "é\""}));
    assert_eq!(stored.key(&stored.as_slice()[0]), deleted.key(&deleted.as_slice()[0]));
}

#[test]
fn every_field_of_a_template_is_needed_and_the_key_is_as_long_as_a_key_may_be() {
    let property = json!({"partitionKey": {"attribute": "pk", "template": "é{id}"}});
    let problem = |value: Option<Step<'_>>| {
        let fields: Vec<_> = value.into_iter().map(|value| ("id", value)).collect();
        match encode(property.clone(), Operation::Put, &fields) {
            Ok(_) => None,
            Err(ItemError::Key { problem, .. }) => Some(problem),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(problem(None), Some("has a field in its template that is missing"));
    assert_eq!(problem(Some(&|e| e.null())), Some("has a field in its template that is null"));
    assert_eq!(problem(Some(&|e| e.string(""))), Some("has a field in its template that is empty"));
    let with = |len: usize| problem(Some(&|e| e.string(&"k".repeat(len))));
    let limit = MAX_PARTITION_KEY_BYTES - 2;
    assert_eq!([limit - 1, limit, limit + 1].map(with), [None, None, Some("is longer than a key may be")]);
}
