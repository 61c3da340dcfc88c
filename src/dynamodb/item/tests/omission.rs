//! Omission of nulls and of fields.

use super::super::{ItemEncoder, Operation};
use super::{Step, attributes, encode, mapping, put, write_values};
use crate::record::{ItemError, Name, RecordSink, RecordVisitor, SubjectId};
use serde_json::{Value, json};
use std::time::Duration;

#[test]
fn nulls_of_fields_are_left_out_where_that_is_asked() {
    let record_of_nulls: Step<'_> = &|e| {
        e.record_start()?;
        e.field(&Name::new("x"))?;
        e.null()?;
        e.field(&Name::new("list"))?;
        e.array_start()?;
        e.array_item()?;
        e.null()?;
        e.array_end()?;
        e.field(&Name::new("map"))?;
        e.map_start()?;
        e.map_key("k")?;
        e.null()?;
        e.map_end()?;
        e.record_end()
    };
    let fields: [(&str, Step<'_>); 4] =
        [("note", &|e| e.null()), ("id", &|e| e.string("x")), ("tags", record_of_nulls), ("raw", &|e| e.null())];
    for layout in ["document", "attributes"] {
        let ttl = json!({"attribute": "expires", "field": "at"});
        let property = json!({"layout": layout, "partitionKey": "id", "nulls": "omit", "ttl": ttl});
        let item = put(property, &fields);
        let record = if layout == "document" { &item["data"]["M"] } else { &item };
        assert_eq!((record.get("note"), record.get("raw")), (None, None));
        let nested = json!({"M": {"list": {"L": [{"NULL": true}]}, "map": {"M": {"k": {"NULL": true}}}}});
        assert_eq!(record["tags"], nested, "only fields are omitted");
    }
    let null_key = encode(json!({"partitionKey": "id", "nulls": "omit"}), Operation::Put, &[("id", &|e| e.null())]);
    assert!(matches!(null_key, Err(ItemError::Key { problem: "is null", .. })));
}

#[test]
fn a_field_that_is_left_out_may_still_be_a_key() {
    let write = |layout: &str, omitted: &[&str], operation| {
        let mappings = mapping(json!({"layout": layout, "partitionKey": {"attribute": "pk", "field": "id"},
            "sortKey": {"attribute": "sk", "template": "N#{n}"}}));
        let mut encoder = ItemEncoder::new(&mappings, Duration::ZERO, 0);
        encoder.start_message(0, "m1", operation);
        let mut record = encoder.begin(SubjectId(0), None).unwrap();
        record.record_start().unwrap();
        let fields: [(&str, Step<'_>); 4] = [
            ("id", &|e| e.string("é")),
            ("tags", &|e| {
                e.record_start()?;
                e.field(&Name::omitted("inner"))?;
                e.null()?;
                e.record_end()
            }),
            ("note", &|e| e.string("x")),
            ("n", &|e| e.long(7)),
        ];
        for (name, value) in fields {
            let tracked = mappings[0].1.tracked_fields().iter().filter(|(_, path)| path == name);
            record.field(&if omitted.contains(&name) { Name::omitted(name) } else { Name::new(name) }).unwrap();
            tracked.for_each(|(field, _)| record.tracked_field(*field).unwrap());
            value(&mut record).unwrap();
        }
        record.record_end().unwrap();
        let size = record.size();
        record.finish().unwrap();
        (attributes(&encoder.finish_event()), size)
    };
    let all = json!({"id": {"S": "é"}, "tags": {"M": {}}, "note": {"S": "x"}, "n": {"N": "7"}});
    for layout in ["document", "attributes"] {
        let (_, whole) = write(layout, &[], Operation::Put);
        for omitted in [&["id"][..], &["n"], &["tags"], &["id", "n"], &["id", "tags", "note", "n"]] {
            let (item, size) = write(layout, omitted, Operation::Put);
            let mut expected = all.as_object().unwrap().clone();
            expected.retain(|name, _| !omitted.contains(&name.as_str()));
            let record = if layout == "document" { item["data"]["M"].clone() } else { item.clone() };
            for (name, value) in &all.as_object().unwrap().clone() {
                assert_eq!(record.get(name), expected.get(name), "{omitted:?}: {value}");
            }
            assert_eq!((&item["pk"], &item["sk"]), (&json!({"S": "é"}), &json!({"S": "N#7"})), "{omitted:?}");
            assert!(size < whole);
            let (key, _) = write(layout, omitted, Operation::Delete);
            assert_eq!(key, json!({"pk": {"S": "é"}, "sk": {"S": "N#7"}}));
        }
    }
}

#[test]
fn an_omitted_null_does_not_count_towards_the_size() {
    let size = |property: Value, fields: &[(&str, Step<'_>)]| {
        let mappings = mapping(property);
        let mut encoder = ItemEncoder::new(&mappings, Duration::ZERO, 0);
        encoder.start_message(0, "m1", Operation::Put);
        let mut record = encoder.begin(SubjectId(0), None).unwrap();
        write_values(&mut record, &mappings[0].1, fields).unwrap();
        record.size()
    };
    assert_eq!(size(json!({"nulls": "omit"}), &[("note", &|e| e.null())]), size(json!({}), &[]));
}
