//! Tests `ingest replay` and `ingest inspect --queue-url` through their command lines, with moto's queues.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, reason = "each test uses what it needs of the support")]

mod support;

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::Output;
use support::Moto;

fn sqs(moto: &Moto, operation: &str, body: &Value) -> Value {
    let answer = moto.json("sqs", &format!("AmazonSQS.{operation}"), &body.to_string());
    serde_json::from_str(&answer).unwrap_or_default()
}

fn queue(moto: &Moto, name: &str) -> String {
    sqs(moto, "CreateQueue", &json!({"QueueName": name}))["QueueUrl"].as_str().unwrap().to_owned()
}

/// Returns the number of visible messages and of invisible messages.
fn count(moto: &Moto, queue: &str) -> (String, String) {
    let names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
    let answer = sqs(moto, "GetQueueAttributes", &json!({"QueueUrl": queue, "AttributeNames": names}));
    let of = |name: &str| answer["Attributes"][name].as_str().unwrap().to_owned();
    (of(names[0]), of(names[1]))
}

fn text(value: &str) -> Value {
    json!({"DataType": "String", "StringValue": value})
}

/// Returns the body of an order.
fn order(number: usize) -> String {
    let event: Value = serde_json::from_str(include_str!("../../events/orders.json")).unwrap();
    event["Records"][number]["body"].as_str().unwrap().to_owned()
}

/// Sends three messages that look dead-lettered, and three that look quarantined by the function.
fn letters(moto: &Moto, queue: &str) {
    let send = |body: &str, attributes: Value| {
        sqs(moto, "SendMessage", &json!({"QueueUrl": queue, "MessageBody": body, "MessageAttributes": attributes}));
    };
    (0..3).for_each(|number| send(&order(number), json!({"source": text("shop")})));
    let quarantined = |reason: &str| {
        json!({"reason": text(reason), "detail": text("why"), "source_message_id": text("m"), "receive_count": text("1"),
            "operation": text("delete"), "original_attributes": text(r#"{"reason":{"dataType":"String","stringValue":"theirs"}}"#)})
    };
    send(&order(4), quarantined("unknown_schema"));
    send("not avro", quarantined("invalid_base64"));
    send("still not", quarantined("invalid_base64"));
}

fn replay(moto: &Moto, from: &str, to: &str, more: &[&str]) -> (Output, Value) {
    let schemas = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas");
    let journal = std::env::temp_dir().join(format!("ingest-replay-moto-{}.journal", moto.port()));
    let journal = journal.to_str().unwrap();
    let arguments = ["replay", "--from", from, "--to", to, "--schemas", schemas, "--json", "--journal", journal];
    let output = moto.ingest(&[&arguments[..], more].concat());
    let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output, report)
}

#[test]
#[ignore = "needs moto: make test-moto"]
fn letters_are_shown_by_reason_and_moved_as_they_came() {
    let moto = Moto::start();
    let (from, to) = (queue(&moto, "dead"), queue(&moto, "orders"));
    letters(&moto, &from);
    let (output, report) = replay(&moto, &from, &to, &["--dry-run"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let group = |reason: &str, schema: &str, fate: &str, count: usize| json!({"reason": reason, "schema": schema, "would_be": fate, "messages": count});
    let expected = [
        group("dead letter", "order", "1 items", 3),
        group("invalid_base64", "unknown", "rejected: invalid_base64", 2),
        group("unknown_schema", "order", "1 items", 1),
    ];
    assert_eq!(report["groups"], json!(expected));
    assert_eq!(
        (count(&moto, &from).0.as_str(), count(&moto, &to).0.as_str()),
        ("6", "0"),
        "nothing moves, all is in sight"
    );

    let (output, report) = replay(&moto, &from, &to, &["--reason", "unknown_schema"]);
    assert_eq!((output.status.code(), &report["moved"]), (Some(0), &json!(1)), "{output:?}");
    let received = sqs(&moto, "ReceiveMessage", &json!({"QueueUrl": to, "MessageAttributeNames": ["All"]}));
    let message = &received["Messages"][0];
    assert_eq!(message["Body"], order(4));
    let attributes = message["MessageAttributes"].as_object().unwrap();
    let values: BTreeSet<_> =
        attributes.iter().map(|(name, value)| (name.as_str(), value["StringValue"].as_str().unwrap())).collect();
    assert_eq!(values, BTreeSet::from([("operation", "delete"), ("reason", "theirs")]), "as before it was quarantined");

    let (_, report) = replay(&moto, &from, &to, &["--schema", "order", "--limit", "2"]);
    assert_eq!(report["moved"], 2);
    let (_, report) = replay(&moto, &from, &to, &["--since", "1h"]);
    assert_eq!(report["moved"], 3);
    assert_eq!(count(&moto, &from), ("0".to_owned(), "0".to_owned()));
}

#[test]
#[ignore = "needs moto: make test-moto"]
fn a_queue_that_is_not_there_moves_nothing_and_is_named() {
    let moto = Moto::start();
    let from = queue(&moto, "dead");
    letters(&moto, &from);
    let missing = format!("{}/123456789012/nothing", moto.url());
    for (from, to) in [(&from, &missing), (&missing, &from)] {
        let (output, _) = replay(&moto, from, to, &[]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(&missing), "{output:?}");
    }
    assert_eq!(count(&moto, &from), ("6".to_owned(), "0".to_owned()));
}

#[test]
#[ignore = "needs moto: make test-moto"]
fn messages_that_are_looked_at_stay_where_they_are() {
    let moto = Moto::start();
    let from = queue(&moto, "dead");
    letters(&moto, &from);
    let schemas = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas");
    let output = moto.ingest(&["inspect", "--queue-url", &from, "--max", "4", "--schemas", schemas]);
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(shown.matches("received 1 times").count(), 4, "{shown}");
    assert!(shown.contains("schema    order"));
    assert_eq!(count(&moto, &from), ("6".to_owned(), "0".to_owned()));
}
