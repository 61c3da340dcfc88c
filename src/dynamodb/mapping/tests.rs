//! Mappings: the accepted properties, and the error text for each refused one.

use super::*;
use crate::record::{Quantity, Unit};
use serde_json::json;

struct Order;

impl Fields for Order {
    fn kind(&self, path: &str) -> Result<FieldKind, String> {
        match path {
            "order_id" | "customer.id" => Ok(FieldKind::Text),
            "at" => Ok(FieldKind::Number(Quantity::Timestamp(Unit::Milliseconds))),
            "seconds" => Ok(FieldKind::Number(Quantity::Plain)),
            "items" => Ok(FieldKind::Other),
            _ => Err(format!("there is no field {path}")),
        }
    }

    fn names(&self) -> Vec<&str> {
        vec!["order_id", "customer", "at", "seconds", "items"]
    }
}

#[expect(clippy::needless_pass_by_value, reason = "reads better at the many calls")]
fn parse(property: serde_json::Value) -> Result<Mapping, MappingError> {
    Mapping::parse(Some(&property), "orders", &Order)
}

#[test]
fn without_a_property_the_key_is_the_messages_id_and_the_table_the_default() {
    let mapping = Mapping::parse(None, "orders", &Order).unwrap();
    assert_eq!((mapping.table.as_str(), mapping.layout), ("orders", Layout::Document));
    assert_eq!(mapping.partition_key.attribute.text(), "message_id");
    assert!(matches!(mapping.partition_key.source, KeySource::MessageId) && mapping.tracked_fields().is_empty());
}

#[test]
fn a_key_may_be_a_path_and_have_a_name_of_its_own() {
    let mapping = parse(json!({
        "table": "other", "partitionKey": {"attribute": "pk", "field": "customer.id"}, "sortKey": "order_id"
    }))
    .unwrap();
    assert_eq!(mapping.table.as_str(), "other");
    assert_eq!(mapping.tracked_fields(), [(PARTITION_KEY, "customer.id".into()), (SORT_KEY, "order_id".into())]);
    assert_eq!(mapping.key_schema().collect::<Vec<_>>(), [("pk", KeyType::S), ("order_id", KeyType::S)]);
}

#[test]
fn in_the_attributes_layout_a_field_of_the_same_name_is_the_attribute() {
    let property =
        json!({"layout": "attributes", "partitionKey": "order_id", "ttl": {"attribute": "at", "field": "at"}});
    let mapping = parse(property).unwrap();
    assert!(matches!(mapping.partition_key.source, KeySource::Field { in_place: true }));
    assert!(mapping.ttl.unwrap().in_place);
}

#[test]
fn a_time_to_live_converted_in_place_is_neither_key_nor_version() {
    let ttl = json!({"attribute": "at", "field": "at"});
    let property = |role: &str, ttl: &serde_json::Value| {
        let mut property = json!({"layout": "attributes", "partitionKey": "order_id", "ttl": ttl});
        property[role] = if role == "version" { json!("at") } else { json!({"attribute": "key", "field": "at"}) };
        property
    };
    for role in ["partitionKey", "sortKey", "version"] {
        let error = parse(property(role, &ttl)).unwrap_err().to_string();
        assert!(error.contains(&format!("ttl: field at is also the {role}, ")), "{error}");
        parse(property(role, &json!({"attribute": "expires", "field": "at"}))).unwrap();
    }
    // a field that already counts seconds is not converted
    let property =
        json!({"layout": "attributes", "ttl": {"attribute": "seconds", "field": "seconds"}, "version": "seconds"});
    parse(property).unwrap();
}

#[test]
fn a_table_that_aws_refuses_is_an_error() {
    let long = "t".repeat(255);
    let arn = |name: &str| format!("arn:aws:dynamodb:eu-central-1:123456789012:{name}");
    let cases = [
        ("ab", false),
        ("abc", true),
        (&long, true),
        (&format!("{long}t"), false),
        ("my table", false),
        ("", false),
        (&arn("table/abc"), true),
        (&arn("table/ab"), false),
        (&arn("index/abc"), false),
        (&arn("table/abc/index/i"), false),
        ("arn:aws:s3:::bucket", false),
        ("arn:aws:dynamodb:eu-central-1::table/abc", false),
    ];
    for (table, fits) in cases {
        assert_eq!(parse(json!({"table": table})).is_ok(), fits, "{table}");
    }
}

#[test]
fn a_versions_path_starts_where_the_layout_puts_the_record() {
    let path = |layout| {
        let mapping = parse(json!({"layout": layout, "version": "at"})).unwrap();
        mapping.version_path().unwrap().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(path("document"), ["data", "at"]);
    assert_eq!(path("attributes"), ["at"]);
}

#[test]
fn every_mistake_is_named_at_once() {
    let property = json!({
        "partitionKey": "nowhere", "sortKey": "items", "ttl": {"attribute": "processed_at", "field": "order_id"}, "version": "x"
    });
    let error = parse(property).unwrap_err();
    assert_eq!(
        error.problems(),
        [
            "partitionKey: there is no field nowhere",
            "sortKey: field items must be a string, a number or binary",
            "attribute processed_at is used twice",
            "ttl: field order_id must be a number: epoch seconds or a timestamp",
            "version: there is no field x",
        ]
    );
}

#[test]
fn a_property_nobody_knows_is_an_error() {
    for property in [
        json!({"tabel": "orders"}),
        json!({"layout": "rows"}),
        json!({"partitionKey": {"attribute": "a"}}),
        json!({"partitionKey": 7}),
        json!({"ttl": {"attribute": "a"}}),
        json!({"ttl": {"attribute": "a", "field": "at", "days": 3}}),
        json!({"ttl": {"attribute": "a", "days": -1}}),
        json!({"partitionKey": {"attribute": "", "field": "order_id"}}),
        json!("orders"),
    ] {
        assert!(parse(property.clone()).is_err(), "{property}");
    }
}

#[test]
fn an_attribute_that_hides_another_field_is_an_error() {
    let property = json!({"layout": "attributes", "partitionKey": {"attribute": "at", "field": "order_id"}});
    assert!(parse(property).is_err());
}

#[test]
fn a_template_makes_a_string_of_text_and_fields() {
    let key = json!({"attribute": "pk", "template": "ORDER#{order_id}#{customer.id}"});
    let mapping = parse(json!({"partitionKey": key, "sortKey": {"attribute": "sk", "template": "AT#{at}"}})).unwrap();
    let tracked = [(4, "order_id"), (5, "customer.id"), (6, "at")].map(|(n, path)| (TrackedField(n), path.to_owned()));
    assert_eq!(mapping.tracked_fields(), tracked);
    assert_eq!(mapping.key_schema().collect::<Vec<_>>(), [("pk", KeyType::S), ("sk", KeyType::S)]);
    assert!(parse(json!({"partitionKey": "order_id", "sortKey": {"attribute": "sk", "template": "PROFILE"}})).is_ok());
}

#[test]
fn a_template_that_cannot_work_is_an_error() {
    let problem = |attribute: &str, template: &str| {
        parse(json!({"layout": "attributes", "partitionKey": {"attribute": attribute, "template": template}}))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(problem("pk", "{nowhere}"), "partitionKey: there is no field nowhere");
    assert_eq!(problem("pk", "{items}"), "partitionKey: field items must be a string or a number");
    assert_eq!(problem("pk", "{order_id"), "partitionKey: the template has a { without a }");
    assert!(problem("pk", "ALL").starts_with("partitionKey: the template names no field"));
    assert!(problem("at", "{order_id}").contains("attribute at is also a field"));
    assert!(problem("pk", &"{order_id}".repeat(29)).contains("too many fields"));
    let ttl = json!({"attribute": "at", "field": "at"});
    let key = json!({"attribute": "pk", "template": "{order_id}{at}"});
    let error = parse(json!({"layout": "attributes", "partitionKey": key, "ttl": ttl})).unwrap_err().to_string();
    assert!(error.contains("ttl: field at is also in a key template"), "{error}");
}

#[test]
fn a_version_may_be_the_order_of_the_messages() {
    for (from, order) in
        [("sequence-number", MessageOrder::SequenceNumber), ("sent-timestamp", MessageOrder::SentTimestamp)]
    {
        let mapping = parse(json!({"version": {"attribute": "_version", "from": from}})).unwrap();
        assert!(matches!(&mapping.version, Some(Version::Message { order: known, .. }) if *known == order));
        assert_eq!(mapping.version_path().unwrap().collect::<Vec<_>>(), ["_version"], "outside the document");
    }
    for property in [
        json!({"version": {"attribute": "_version", "from": "clock"}}),
        json!({"version": {"attribute": "_version"}}),
        json!({"version": {"attribute": "data", "from": "sent-timestamp"}}),
        json!({"layout": "attributes", "version": {"attribute": "at", "from": "sent-timestamp"}}),
        json!({"write": "create", "version": {"attribute": "_version", "from": "sent-timestamp"}}),
        json!({"write": "create", "version": "at"}),
        json!({"write": "update"}),
        json!({"nulls": "drop"}),
    ] {
        assert!(parse(property.clone()).is_err(), "{property}");
    }
}

#[test]
fn a_property_that_is_not_as_it_should_be_is_named_and_so_is_the_next_one() {
    let property = json!({
        "version": {"attribute": "v", "field": "at"},
        "partitionKey": {"attribute": "pk"},
        "ttl": {"attribute": "t", "hours": 3},
        "layout": "flat",
        "sortkey": "at",
    });
    let problems = parse(property).unwrap_err().problems().to_vec();
    for (property, problem) in [
        ("version", "dynamodb.version: a field name, or an object of `attribute` and `from`"),
        ("partitionKey", "dynamodb.partitionKey: a field name, or an object of `attribute` and `field` or `template`"),
        ("ttl", "dynamodb.ttl: unknown field `hours`, expected one of `attribute`, `field`, `days`"),
        ("layout", "dynamodb.layout: unknown variant `flat`"),
        ("sortkey", "dynamodb: unknown field `sortkey`"),
    ] {
        assert!(problems.iter().any(|found| found.starts_with(problem)), "{property}: {problems:#?}");
    }
    assert_eq!(problems.len(), 5, "{problems:#?}");
    assert!(parse(json!("order_id")).unwrap_err().to_string().starts_with("dynamodb: "));
}
