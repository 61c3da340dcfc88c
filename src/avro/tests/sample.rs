//! Tests of generated sample records.

use super::model::{model, schema};
use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Returns sample record `number` of the schema, as JSON.
fn sample(schema: &str, number: u32) -> Option<serde_json::Value> {
    let file =
        SchemaFile { subject: "s".into(), version: "1".into(), text: schema.to_owned(), path: "s/1.avsc".into() };
    let schemas = Schemas::parse(vec![file]).unwrap();
    let version = schemas.subjects().next().unwrap().newest();
    let sample = |encoding| {
        let record = version.sample(number, encoding)?;
        version.datum(&record.to_string(), encoding).unwrap_or_else(|error| panic!("{error}: {record} of {schema}"));
        Some(record)
    };
    let (plain, avro) = (sample(JsonEncoding::Plain), sample(JsonEncoding::Avro));
    assert_eq!(plain.is_some(), avro.is_some());
    plain
}

const KEYS: &str = r#"
    {"name": "text", "type": "string"}, {"name": "long", "type": "long"}, {"name": "int", "type": ["null", "int"]},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-nanos"}},
    {"name": "day", "type": {"type": "int", "logicalType": "date"}},
    {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
    {"name": "bytes", "type": "bytes"}, {"name": "hash", "type": {"type": "fixed", "name": "H", "size": 4}},
    {"name": "uuid", "type": {"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"}},
    {"name": "ratio", "type": "double"}, {"name": "share", "type": "float"}"#;

#[test]
fn what_may_be_a_key_is_another_in_each_record() {
    let schema = record_of(KEYS);
    let records: Vec<_> = (0..1_000).map(|number| sample(&schema, number).unwrap()).collect();
    for name in records[0].as_object().unwrap().keys() {
        let values: BTreeSet<String> = records.iter().map(|record| record[name].to_string()).collect();
        assert_eq!(values.len(), records.len(), "{name}");
    }
}

#[test]
fn a_schema_that_holds_itself_ends_and_one_without_an_end_has_no_record() {
    let tree = r#"{"type": "record", "name": "N", "fields": [{"name": "id", "type": "long"},
        {"name": "left", "type": ["null", "N"]}, {"name": "right", "type": ["null", "N"]},
        {"name": "all", "type": {"type": "array", "items": "N"}}, {"name": "by", "type": {"type": "map", "values": "N"}}]}"#;
    assert!((0..10).all(|number| sample(tree, number).is_some()));
    let endless = r#"{"type": "record", "name": "N", "fields": [{"name": "more", "type": ["N"]}]}"#;
    assert_eq!(sample(endless, 0), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_made_up_record_is_one_of_its_schema(model in model(), number: u32) {
        prop_assert!(sample(&schema(&model), number).is_some());
    }
}
