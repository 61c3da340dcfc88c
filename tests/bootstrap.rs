//! The real binary under a real Lambda runtime API, writing into a real HTTP DynamoDB endpoint.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test may panic, and reads the machine it runs on"
)]

use bytes::Bytes;
use local::dynamodb::{Embedded, Table};
use local::lambda::{Function, InitError, Invocation, Outcome, Settings, Stream};
use serde_json::{Value, json};
use std::num::NonZero;
use std::path::Path;
use std::time::Duration;

const TABLE: &str = "processed_messages";
const TIMEOUT: Duration = Duration::from_secs(20);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn settings(database: &Embedded) -> Settings {
    let mut settings = Settings::new(env!("CARGO_BIN_EXE_avro-ingest"));
    let schemas = root().join("schemas").display().to_string();
    let environment =
        [("TABLE_NAME", TABLE.to_owned()), ("SCHEMA_DIR", schemas), ("AWS_ENDPOINT_URL_DYNAMODB", database.url())];
    settings.environment.extend(environment.map(|(name, value)| (name.to_owned(), value)));
    settings
}

async fn database() -> Embedded {
    let database = Embedded::start(0).unwrap();
    database.client().create_table(&Table::keyed_by(TABLE, "message_id")).await.unwrap();
    database
}

fn event(name: &str) -> Value {
    let text = std::fs::read_to_string(root().join("events").join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

async fn invoke(function: &Function, event: &Value) -> Invocation {
    function.invoke(Bytes::from(event.to_string()), TIMEOUT).await
}

#[track_caller]
fn returned(invocation: &Invocation) -> Vec<String> {
    let Outcome::Response(response) = &invocation.outcome else { panic!("{:?}", invocation.outcome) };
    let response: Value = serde_json::from_slice(response).unwrap();
    let failures = response["batchItemFailures"].as_array().unwrap();
    failures.iter().map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned()).collect()
}

/// The lines of metrics and the lines of the log that the function wrote.
async fn output(function: Function) -> (Vec<Value>, Vec<Value>) {
    let lines = function.stop().await;
    let json = lines
        .iter()
        .filter(|line| line.stream == Stream::Stdout)
        .filter_map(|line| serde_json::from_str(&line.text).ok());
    json.partition(|line: &Value| line.get("_aws").is_some())
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_become_items() {
    let database = database().await;
    let function = Function::start(settings(&database)).await.unwrap();
    let orders = event("orders.json");
    assert_eq!(returned(&invoke(&function, &orders).await), Vec::<String>::new());
    assert_eq!(database.client().count(TABLE).await.unwrap(), 10);
    let items = database.client().scan(TABLE).await.unwrap();
    let item = &items[0];
    assert_eq!(item["message_id"]["S"], item["data"]["M"]["order_id"]["S"]);
    assert!(item["data"]["M"]["items"]["L"][0]["M"]["price"]["N"].is_string());

    let (metrics, _) = output(function).await;
    let figures = &metrics[0];
    assert_eq!((&figures["MessagesReceived"], &figures["MessagesStored"]), (&json!(10), &json!(10)));
    assert_eq!((&figures["ColdStart"], &figures["LedgerImbalance"]), (&json!(1), &json!(0)));
    assert_eq!(figures["Service"], "avro-ingest");
    assert!(figures["EndToEndLatency"]["Values"].is_array());
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_goes_back_with_its_reason_and_its_neighbours_are_stored() {
    let database = database().await;
    let function = Function::start(settings(&database)).await.unwrap();
    let mixed = event("mixed.json");
    let invocation = invoke(&function, &mixed).await;
    let returned = returned(&invocation);
    let total = mixed["Records"].as_array().unwrap().len();
    assert!(!returned.is_empty() && returned.len() < total);
    let stored = database.client().count(TABLE).await.unwrap();
    assert_eq!(usize::try_from(stored).unwrap(), total - returned.len());

    let (metrics, log) = output(function).await;
    assert_eq!(metrics[0]["MessagesReturned"], returned.len());
    let warnings: Vec<&Value> = log.iter().filter(|line| line["message"] == "message not stored").collect();
    assert_eq!(warnings.len(), returned.len(), "one warning a failed message");
    for warning in warnings {
        assert!(returned.iter().any(|id| warning["message_id"] == **id));
        assert_eq!(warning["level"], "WARN");
        assert_eq!(warning["request_id"], invocation.request_id);
        assert!(warning["reason"].is_string() && warning["detail"].is_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_duplicate_keys_the_last_is_stored() {
    let database = database().await;
    let function = Function::start(settings(&database)).await.unwrap();
    let duplicates = event("duplicates.json");
    assert!(returned(&invoke(&function, &duplicates).await).is_empty());
    let (metrics, _) = output(function).await;
    let figures = &metrics[0];
    let stored = figures["MessagesStored"].as_u64().unwrap();
    assert_eq!(stored, database.client().count(TABLE).await.unwrap());
    assert!(figures["MessagesSuperseded"].as_u64().unwrap() > 0);
    let total = duplicates["Records"].as_array().unwrap().len() as u64;
    assert_eq!(stored + figures["MessagesSuperseded"].as_u64().unwrap(), total);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_event_and_a_missing_table_fail_the_invocation() {
    let database = Embedded::start(0).unwrap();
    let function = Function::start(settings(&database)).await.unwrap();
    for malformed in [json!({}), json!({"Records": []}), json!({"Records": [{"body": "AAAA"}]})] {
        let invocation = invoke(&function, &malformed).await;
        let Outcome::Error { error_type, .. } = &invocation.outcome else { panic!("{:?}", invocation.outcome) };
        assert_eq!(error_type, "MalformedEvent");
    }
    let null_body = json!({"Records": [{"messageId": "m1", "body": null}]});
    assert_eq!(returned(&invoke(&function, &null_body).await), ["m1"]);

    let invocation = invoke(&function, &event("orders.json")).await;
    let Outcome::Error { error_type, message } = &invocation.outcome else { panic!("{:?}", invocation.outcome) };
    assert_eq!(error_type, "NothingStored");
    assert!(message.contains("ResourceNotFoundException"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_cannot_start_says_why() {
    let database = database().await;
    let mut settings = settings(&database);
    settings.environment.insert("TABLE_NAME".into(), String::new());
    settings.environment.insert("MAX_IN_FLIGHT".into(), "many".into());
    let Err(InitError::Reported { message, .. }) = Function::start(settings).await else { panic!("no init error") };
    assert!(message.contains("TABLE_NAME is required") && message.contains("MAX_IN_FLIGHT"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn invocations_may_run_side_by_side() {
    let database = database().await;
    let mut settings = settings(&database);
    settings.max_concurrency = NonZero::new(4).unwrap();
    let function = Function::start(settings).await.unwrap();
    let orders = event("orders.json");
    let payload = Bytes::from(orders.to_string());
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..16 {
        running.spawn(function.invoke(payload.clone(), TIMEOUT));
    }
    while let Some(invocation) = running.join_next().await {
        assert!(returned(&invocation.unwrap()).is_empty());
    }
    let (metrics, _) = output(function).await;
    let invocations = metrics.iter().filter(|line| line.get("MessagesReceived").is_some());
    assert_eq!(invocations.clone().count(), 16);
    assert!(invocations.clone().all(|line| line["LedgerImbalance"] == 0 && line["MessagesStored"] == 10));
    assert_eq!(invocations.filter(|line| line["ColdStart"] == 1).count(), 1);
}
