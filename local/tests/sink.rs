//! Tests of the DynamoDB sink.

use std::sync::Arc;
use std::time::Duration;

use local::dynamodb::Client;
use local::sink::{Received, Sink};
use serde_json::{Value, json};
use tokio::task::JoinSet;

fn batch(items: usize) -> Value {
    let put =
        |id: usize| json!({"PutRequest": {"Item": {"id": {"S": id.to_string()}, "filling": {"S": "x".repeat(1000)}}}});
    json!({"RequestItems": {"orders": (0..items).map(put).collect::<Vec<_>>()}})
}

#[tokio::test]
async fn everything_is_taken_and_counted() {
    let sink = Sink::start(0, Duration::ZERO).unwrap();
    let client = Client::new(sink.address());
    let mut bytes = 0;
    for items in [1, 25, 25] {
        let batch = batch(items);
        bytes += batch.to_string().len() as u64;
        assert_eq!(client.call("BatchWriteItem", &batch).await.unwrap(), json!({"UnprocessedItems": {}}));
    }
    assert_eq!(sink.received(), Received { calls: 3, items: 51, bytes });
    assert_eq!(client.call("PutItem", &json!({})).await.unwrap(), json!({}));
    assert_eq!(sink.received(), Received { calls: 4, items: 51, bytes: bytes + 2 });
}

#[tokio::test]
async fn a_call_that_asks_for_the_consumed_capacity_gets_it() {
    let sink = Sink::start(0, Duration::ZERO).unwrap();
    let client = Client::new(sink.address());
    let mut batch = batch(25);
    for (asked_for, expected) in
        [("TOTAL", json!([{"TableName": "orders", "CapacityUnits": 25.0}])), ("NONE", Value::Null)]
    {
        batch["ReturnConsumedCapacity"] = asked_for.into();
        let answer = client.call("BatchWriteItem", &batch).await.unwrap();
        assert_eq!((&answer["UnprocessedItems"], &answer["ConsumedCapacity"]), (&json!({}), &expected));
    }
}

#[tokio::test]
async fn an_answer_leaves_no_sooner_than_its_delay() {
    let delay = Duration::from_millis(20);
    let sink = Sink::start(0, delay).unwrap();
    let before = local::clock::since_epoch();
    Client::new(sink.address()).call("BatchWriteItem", &batch(1)).await.unwrap();
    assert!(local::clock::since_epoch() - before >= delay);
}

#[tokio::test]
async fn calls_that_wait_for_their_answer_hold_up_no_other() {
    let sink = Sink::start(0, Duration::from_secs(600)).unwrap();
    let client = Arc::new(Client::new(sink.address()));
    let mut calls = JoinSet::new();
    for _ in 0..100 {
        let client = client.clone();
        calls.spawn(async move { client.call("BatchWriteItem", &batch(1)).await });
    }
    while sink.received().calls < 100 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(calls.try_join_next().is_none());
}
