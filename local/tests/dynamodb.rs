//! Tests of the embedded database through its own client.
#![expect(clippy::panic, reason = "a test may fail")]

use local::dynamodb::{CallError, Embedded, Key, KeyKind, Table};
use serde_json::{Value, json};

fn code(error: CallError) -> String {
    match error {
        CallError::Refused { code, .. } => code,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn what_is_written_can_be_read_counted_and_scanned_over_all_pages() {
    let database = Embedded::start(0).unwrap();
    let client = database.client();
    client.create_table(&Table::keyed_by("orders", "id")).await.unwrap();
    let filling = "x".repeat(300_000);
    for number in 0..5 {
        let item = json!({"id": {"S": number.to_string()}, "filling": {"S": filling}});
        client.call("PutItem", &json!({"TableName": "orders", "Item": item})).await.unwrap();
    }
    assert_eq!(client.count("orders").await.unwrap(), 5);
    let mut ids: Vec<_> = client.scan("orders").await.unwrap().iter().map(|item| item["id"]["S"].to_string()).collect();
    ids.sort();
    assert_eq!(ids, ["\"0\"", "\"1\"", "\"2\"", "\"3\"", "\"4\""]);
    let found = client.get("orders", &json!({"id": {"S": "3"}})).await.unwrap().unwrap();
    assert_eq!(found["filling"]["S"], filling.as_str());
    assert_eq!(client.get("orders", &json!({"id": {"S": "9"}})).await.unwrap(), None);
}

#[tokio::test]
async fn keys_are_of_the_types_the_table_says() {
    let database = Embedded::start(0).unwrap();
    let client = database.client();
    let table = Table::keyed_by("orders", "id").sorted_by(Key::new("at", KeyKind::Number));
    client.create_table(&table).await.unwrap();
    let put = async |item: Value| client.call("PutItem", &json!({"TableName": "orders", "Item": item})).await;
    put(json!({"id": {"S": "1"}, "at": {"N": "1"}})).await.unwrap();
    let error = put(json!({"id": {"S": "1"}, "at": {"S": "1"}})).await.unwrap_err();
    assert_eq!(code(error), "ValidationException");
    assert_eq!(code(client.scan("nothing").await.unwrap_err()), "ResourceNotFoundException");
}

#[tokio::test]
async fn a_database_is_gone_when_it_is_dropped() {
    let database = Embedded::start(0).unwrap();
    let client = local::dynamodb::Client::new(database.address());
    client.create_table(&Table::keyed_by("orders", "id")).await.unwrap();
    drop(database);
    assert!(matches!(client.count("orders").await, Err(CallError::Unreachable(_))));
}
