//! Tests of the real binary with a real Lambda Runtime API and a real HTTP DynamoDB endpoint.

mod concurrent;
mod failover;
mod runtime_api;
mod visibility;

use crate::support::figures;
use bytes::Bytes;
use local::dynamodb::{Embedded, Key, KeyKind, Table};
use local::lambda::{Function, InitError, Invocation, Outcome, Settings, Stream};
use local::sqs::{Attribute, Endpoint, EntryRefusal, Sent};
use local::tls::TlsEndpoint;
use runtime_api::{Process, RuntimeApi};
use serde_json::{Value, json};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::TcpListener;

const TABLE: &str = "processed_messages";
const TIMEOUT: Duration = Duration::from_secs(20);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn settings(database: &Embedded) -> Settings {
    let mut settings = Settings::new(env!("CARGO_BIN_EXE_avro-ingest"));
    let schemas = root().join("schemas").display().to_string();
    let environment = [
        ("TABLE_NAME", TABLE.to_owned()),
        ("SCHEMA_DIR", schemas),
        ("AWS_ENDPOINT_URL_DYNAMODB", database.url()),
        // visibility changes are disabled, because most tests have no queue endpoint
        ("RETURN_BACKOFF_SECONDS", "0".to_owned()),
    ];
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

/// Returns the metric lines and the log lines that the function wrote.
async fn output(function: Function) -> (Vec<Value>, Vec<Value>) {
    let lines = function.stop().await;
    let json = lines
        .iter()
        .filter(|line| line.stream == Stream::Stdout)
        .filter_map(|line| serde_json::from_str(&line.text).ok());
    let (metrics, log): (Vec<Value>, Vec<Value>) = json.partition(|line: &Value| line.get("_aws").is_some());
    let filled = |line: Value| if line.get("MessagesReceived").is_some() { figures(&line.to_string()) } else { line };
    (metrics.into_iter().map(filled).collect(), log)
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
async fn the_metrics_of_an_ordinary_invocation_are_one_line_of_900_bytes() {
    let database = database().await;
    let function = Function::start(settings(&database)).await.unwrap();
    let mut orders = event("orders.json");
    // the messages are sent one after the other and received soon afterwards
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    for (number, record) in (0..).zip(orders["Records"].as_array_mut().unwrap()) {
        record["attributes"]["SentTimestamp"] = json!((now - 40 + 4 * number).to_string());
    }
    // the line of the first invocation is longer, because it includes the cold start
    for _ in 0..2 {
        assert!(returned(&invoke(&function, &orders).await).is_empty());
    }
    let lines = function.stop().await;
    let lines: Vec<&str> = lines.iter().map(|line| line.text.as_str()).filter(|line| line.contains("_aws")).collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[1].len() <= 900, "{} bytes: {}", lines[1].len(), lines[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ordinary_invocation_makes_six_calls_of_write_at_most() {
    const INVOCATIONS: u64 = 50;
    let database = database().await;
    let function = Function::start(settings(&database)).await.unwrap();
    let orders = event("orders.json");
    // the first invocation opens the connections
    invoke(&function, &orders).await;
    let before = function.usage().unwrap().writes;
    for _ in 0..INVOCATIONS {
        invoke(&function, &orders).await;
    }
    let writes = (function.usage().unwrap().writes - before) as f64 / INVOCATIONS as f64;
    // three requests, a line of metrics, and two timers that wake the runtime: that of a write call and that of its response
    assert!((5.0..6.5).contains(&writes), "{writes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn items_go_out_encrypted_to_whom_the_machine_trusts_and_nobody_else() {
    let database = database().await;
    // the endpoint prefers HTTP/2, so a client that supports it would use it
    let endpoint = TlsEndpoint::start(database.address(), &["h2", "http/1.1"]).unwrap();
    let certificate = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("localhost.pem");
    std::fs::write(&certificate, endpoint.certificate()).unwrap();
    let mut settings = settings(&database);
    settings.environment.insert("AWS_ENDPOINT_URL_DYNAMODB".into(), endpoint.url());
    let orders = event("orders.json");

    let function = Function::start(settings.clone()).await.unwrap();
    let invocation = function.invoke(Bytes::from(orders.to_string()), Duration::from_secs(2)).await;
    assert_eq!(returned(&invocation).len(), 10, "the certificate is not trusted");
    assert_eq!(database.client().count(TABLE).await.unwrap(), 0);
    drop(function);

    settings.environment.insert("SSL_CERT_FILE".into(), certificate.display().to_string());
    let function = Function::start(settings).await.unwrap();
    assert_eq!(returned(&invoke(&function, &orders).await), Vec::<String>::new());
    assert_eq!(database.client().count(TABLE).await.unwrap(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_goes_back_with_its_reason_and_its_neighbours_are_stored() {
    let database = database().await;
    let function = Function::start(settings(&database)).await.unwrap();
    let mixed = event("mixed.json");
    let invocation = invoke(&function, &mixed).await;
    let returned = returned(&invocation);
    let total = mixed["Records"].as_array().unwrap().len();
    let right = event("mixed.response.json");
    let right = right["batchItemFailures"].as_array().unwrap().iter().map(|failure| &failure["itemIdentifier"]);
    assert_eq!(returned, right.map(|id| id.as_str().unwrap()).collect::<Vec<_>>());
    let stored = database.client().count(TABLE).await.unwrap();

    let (metrics, log) = output(function).await;
    assert_eq!(metrics[0]["MessagesReturned"], returned.len());
    assert_eq!(metrics[0]["MessagesStored"], total - returned.len());
    assert_eq!(metrics[0]["Records"], stored, "a container holds several records");
    let warnings: Vec<&Value> = log.iter().filter(|line| line["message"] == "message not stored").collect();
    assert_eq!(warnings.len(), returned.len(), "one warning per failed message");
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
    for malformed in [json!({}), json!({"Records": null}), json!({"Records": [{"body": "AAAA"}]})] {
        let invocation = invoke(&function, &malformed).await;
        let Outcome::Error { error_type, .. } = &invocation.outcome else { panic!("{:?}", invocation.outcome) };
        assert_eq!(error_type, "MalformedEvent");
    }
    assert_eq!(returned(&invoke(&function, &json!({"Records": []})).await), Vec::<String>::new());
    let null_body = json!({"Records": [{"messageId": "m1", "body": null}]});
    assert_eq!(returned(&invoke(&function, &null_body).await), ["m1"]);

    let invocation = invoke(&function, &event("orders.json")).await;
    let Outcome::Error { error_type, message } = &invocation.outcome else { panic!("{:?}", invocation.outcome) };
    assert_eq!(error_type, "NothingStored");
    assert!(message.contains("table processed_messages: ResourceNotFoundException"), "{message}");
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

/// A temporary schema directory, removed when the value is dropped.
struct Schemas(PathBuf);

impl Schemas {
    fn with(name: &str, subject: &str, schema: &Value) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(directory.join(subject)).unwrap();
        std::fs::write(directory.join(subject).join("1.avsc"), schema.to_string()).unwrap();
        Self(directory)
    }
}

impl Drop for Schemas {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Settings for JSON bodies of the schema in `schemas`, whose items are keyed by `id`.
fn json_settings(database: &Embedded, schemas: &Schemas, subject: &str) -> Settings {
    let mut settings = settings(database);
    let environment = [
        ("SCHEMA_DIR", schemas.0.display().to_string()),
        ("WIRE_FORMATS", "json".into()),
        ("DEFAULT_SCHEMA", subject.into()),
    ];
    settings.environment.extend(environment.map(|(name, value)| (name.to_owned(), value)));
    settings
}

fn record(id: &str, body: &Value, operation: Option<&str>) -> Value {
    let attributes =
        operation.map_or(json!({}), |operation| json!({"operation": {"stringValue": operation, "dataType": "String"}}));
    json!({"messageId": id, "body": body.to_string(), "messageAttributes": attributes,
        "attributes": {"ApproximateReceiveCount": "2", "SentTimestamp": "1700000000000"}})
}

async fn stored_version(database: &Embedded, id: &str) -> Option<String> {
    let item = database.client().get(TABLE, &json!({"message_id": {"S": id}})).await.unwrap()?;
    Some(item["data"]["M"]["version"]["N"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_version_never_overwrites_a_newer_one_and_a_deletion_deletes() {
    let database = database().await;
    let schema = json!({"type": "record", "name": "Item", "fields": [{"name": "id", "type": "string"}, {"name": "version", "type": "long"}],
        "dynamodb": {"partitionKey": {"attribute": "message_id", "field": "id"}, "version": "version"}});
    let schemas = Schemas::with("versions", "item", &schema);
    let function = Function::start(json_settings(&database, &schemas, "item")).await.unwrap();
    let send = |records: Value| {
        let invocation = function.invoke(Bytes::from(json!({"Records": records}).to_string()), TIMEOUT);
        async { returned(&invocation.await) }
    };
    let version = |version: i64| json!({"id": "a", "version": version});

    // the newest version wins regardless of its position in a batch, and from batch to batch
    assert!(
        send(json!([record("1", &version(2), None), record("2", &version(3), None), record("3", &version(1), None)]))
            .await
            .is_empty()
    );
    assert_eq!(stored_version(&database, "a").await.as_deref(), Some("3"));
    assert!(send(json!([record("4", &version(2), None)])).await.is_empty());
    assert_eq!(stored_version(&database, "a").await.as_deref(), Some("3"));
    // a redelivery of the same version is stored again
    assert!(send(json!([record("5", &version(3), None)])).await.is_empty());

    assert!(send(json!([record("6", &version(2), Some("delete"))])).await.is_empty());
    assert_eq!(stored_version(&database, "a").await.as_deref(), Some("3"), "an older deletion has no effect");
    assert!(send(json!([record("7", &json!({"id": "a"}), Some("delete"))])).await.is_empty());
    assert_eq!(stored_version(&database, "a").await, None, "a deletion needs only the key fields");
    assert_eq!(send(json!([record("8", &version(1), Some("burn"))])).await, ["8"]);

    let (metrics, _) = output(function).await;
    let superseded: u64 = metrics.iter().filter_map(|line| line["MessagesSuperseded"].as_u64()).sum();
    assert_eq!(superseded, metrics[0]["MessagesSuperseded"].as_u64().unwrap() + 2, "messages 4 and 6");
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_messages_are_acknowledged_once_the_quarantine_queue_has_them() {
    let database = database().await;
    let quarantine = Endpoint::start(0, "quarantine").unwrap();
    let mut settings = settings(&database);
    settings.environment.insert("QUARANTINE_QUEUE_URL".into(), quarantine.queue_url());
    settings.environment.insert("AWS_ENDPOINT_URL_SQS".into(), quarantine.url());
    let function = Function::start(settings).await.unwrap();
    let mixed = event("mixed.json");
    let records = mixed["Records"].as_array().unwrap();
    assert!(returned(&invoke(&function, &mixed).await).is_empty());
    let sent = quarantine.sent();
    assert!(!sent.is_empty());
    for sent in &sent {
        let attribute = |name: &str| attribute_of(sent, name);
        let source = attribute("source_message_id");
        let original = records.iter().find(|record| record["messageId"] == *source).unwrap();
        assert_eq!(original["body"], sent.message.body);
        assert!(!attribute("reason").is_empty() && !attribute("detail").is_empty());
        assert_eq!(attribute("receive_count"), original["attributes"]["ApproximateReceiveCount"].as_str().unwrap());
    }

    // messages that the queue refuses are returned
    let refused = attribute_of(&sent[0], "source_message_id");
    let refusing = refused.clone();
    quarantine.refuse_entries(move |message| {
        let is_refused = matches!(&message.attributes["source_message_id"], Attribute::String(id) if *id == refusing);
        is_refused.then(|| EntryRefusal { code: "InternalError".into(), sender_fault: false })
    });
    assert_eq!(returned(&invoke(&function, &mixed).await), [refused]);
    let (metrics, _) = output(function).await;
    let first = metrics.iter().find(|line| line.get("MessagesQuarantined").is_some()).unwrap();
    assert_eq!((&first["MessagesQuarantined"], &first["MessagesReturned"]), (&json!(sent.len()), &json!(0)));
}

fn attribute_of(sent: &Sent, name: &str) -> String {
    match &sent.message.attributes[name] {
        Attribute::String(text) => text.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_with_another_key_fails_the_invocation_and_rejects_no_message() {
    let database = Embedded::start(0).unwrap();
    let quarantine = Endpoint::start(0, "quarantine").unwrap();
    let keyed_by_number =
        Table { name: TABLE.into(), partition_key: Key::new("message_id", KeyKind::Number), sort_key: None };
    database.client().create_table(&keyed_by_number).await.unwrap();
    let mut settings = settings(&database);
    settings.environment.insert("QUARANTINE_QUEUE_URL".into(), quarantine.queue_url());
    settings.environment.insert("AWS_ENDPOINT_URL_SQS".into(), quarantine.url());
    let function = Function::start(settings).await.unwrap();
    let invocation = invoke(&function, &event("orders.json")).await;
    let Outcome::Error { error_type, message } = &invocation.outcome else { panic!("{:?}", invocation.outcome) };
    assert_eq!(error_type, "NothingStored");
    assert!(message.contains("key element does not match the schema"), "{message}");
    assert_eq!(quarantine.sent().len(), 0);
}

/// Starts a function whose table has the string keys `pk` and `sk`. `property` maps its records to them.
async fn mapped(name: &str, property: &Value) -> (Embedded, Function, Schemas) {
    let database = Embedded::start(0).unwrap();
    let table = Table::keyed_by(TABLE, "pk").sorted_by(Key::new("sk", KeyKind::String));
    database.client().create_table(&table).await.unwrap();
    let optional = json!(["null", "string"]);
    let schema = json!({"type": "record", "name": "Item", "dynamodb": property, "fields": [
        {"name": "tenant", "type": "string"}, {"name": "id", "type": "long"},
        {"name": "note", "type": optional, "default": null}, {"name": "text", "type": "string", "default": ""}]});
    let schemas = Schemas::with(name, "item", &schema);
    let function = Function::start(json_settings(&database, &schemas, "item")).await.unwrap();
    (database, function, schemas)
}

/// The mapping used with `mapped`, extended by `more`.
fn property(more: &Value) -> Value {
    let mut property = json!({"partitionKey": {"attribute": "pk", "template": "TENANT#{tenant}"},
        "sortKey": {"attribute": "sk", "template": "ITEM#{id}"}});
    property.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    property
}

async fn item_of_a(database: &Embedded) -> Value {
    let key = json!({"pk": {"S": "TENANT#a"}, "sk": {"S": "ITEM#1"}});
    database.client().get(TABLE, &key).await.unwrap().map_or(Value::Null, Value::Object)
}

fn text_of_a(text: &str) -> Value {
    json!({"tenant": "a", "id": 1, "note": null, "text": text})
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_of_templates_and_nulls_are_left_out() {
    let (database, function, _schemas) =
        mapped("templates", &property(&json!({"nulls": "omit", "layout": "attributes"}))).await;
    let put = json!({"Records": [record("1", &text_of_a("t"), None)]});
    assert!(returned(&invoke(&function, &put).await).is_empty());
    let item = item_of_a(&database).await;
    assert_eq!((&item["text"]["S"], item.get("note")), (&json!("t"), None), "{item}");
    let delete = json!({"Records": [record("2", &json!({"tenant": "a", "id": 1}), Some("delete"))]});
    assert!(returned(&invoke(&function, &delete).await).is_empty());
    assert_eq!(item_of_a(&database).await, Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_have_attribute_names_of_their_own_or_none() {
    let database = database().await;
    let address = json!({"type": "record", "name": "Address", "fields": [
        {"name": "city", "type": "string", "dynamodb": {"attribute": "c"}},
        {"name": "secret", "type": "string", "dynamodb": {"omit": true}}]});
    let schema = json!({"type": "record", "name": "Item", "dynamodb": {"layout": "attributes", "partitionKey": "id"}, "fields": [
        {"name": "id", "type": "string", "dynamodb": {"attribute": "message_id"}},
        {"name": "address", "type": address}, {"name": "internal", "type": "long", "dynamodb": {"omit": true}}]});
    let schemas = Schemas::with("attribute-names", "item", &schema);
    let function = Function::start(json_settings(&database, &schemas, "item")).await.unwrap();
    let body = json!({"id": "a", "address": {"city": "Bern", "secret": "s"}, "internal": 7});
    assert!(returned(&invoke(&function, &json!({"Records": [record("1", &body, None)]})).await).is_empty());
    let items = database.client().scan(TABLE).await.unwrap();
    let mut item = Value::Object(items[0].clone());
    item.as_object_mut().unwrap().remove("processed_at");
    assert_eq!(item, json!({"message_id": {"S": "a"}, "address": {"M": {"c": {"S": "Bern"}}}}));
    let delete = json!({"Records": [record("2", &json!({"id": "a"}), Some("delete"))]});
    assert!(returned(&invoke(&function, &delete).await).is_empty());
    assert_eq!(database.client().count(TABLE).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_is_created_is_never_overwritten_and_its_redelivery_is_acknowledged() {
    let (database, function, _schemas) = mapped("create", &property(&json!({"write": "create"}))).await;
    for batch in [vec!["first", "second"], vec!["third"], vec!["first"]] {
        let records: Vec<_> = batch.iter().map(|text| record(text, &text_of_a(text), None)).collect();
        assert!(returned(&invoke(&function, &json!({"Records": records})).await).is_empty());
        assert_eq!(item_of_a(&database).await["data"]["M"]["text"]["S"], "first");
    }
    let (metrics, _) = output(function).await;
    let sum = |name: &str| metrics.iter().filter_map(|line| line[name].as_u64()).sum::<u64>();
    assert_eq!((sum("MessagesStored"), sum("MessagesSuperseded")), (1, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_redelivery_never_overwrites_what_was_sent_after_it() {
    for from in ["sent-timestamp", "sequence-number"] {
        let version = json!({"version": {"attribute": "_version", "from": from}});
        let (database, function, _schemas) = mapped(from, &property(&version)).await;
        let sent = |text: &str, stamp: u64, operation| {
            let mut record = record(text, &text_of_a(text), operation);
            // sequence numbers of a FIFO queue have 20 digits
            let stamp =
                if from == "sent-timestamp" { stamp.to_string() } else { format!("188494964604676961{stamp:02}") };
            let name = if from == "sent-timestamp" { "SentTimestamp" } else { "SequenceNumber" };
            record["attributes"][name] = stamp.into();
            record
        };
        let newest = async |records: Value, expected: &str| {
            assert!(returned(&invoke(&function, &json!({"Records": records})).await).is_empty(), "{from}: {expected}");
            assert_eq!(item_of_a(&database).await["data"]["M"]["text"]["S"], expected, "{from}");
        };
        newest(json!([sent("five", 5, None), sent("four", 4, None)]), "five").await;
        newest(json!([sent("three", 3, None), sent("old delete", 4, Some("delete"))]), "five").await;
        newest(json!([sent("five again", 5, None), sent("later arrival", 5, None)]), "later arrival").await;
        newest(json!([sent("six", 6, Some("delete")), sent("seven", 7, None)]), "seven").await;
        let item = item_of_a(&database).await;
        assert_eq!(item["_version"]["N"], if from == "sent-timestamp" { "7" } else { "18849496460467696107" });
        assert!(returned(&invoke(&function, &json!({"Records": [sent("8", 8, Some("delete"))]})).await).is_empty());
        assert_eq!(item_of_a(&database).await, Value::Null);
    }
}

/// Settings for records whose key is their message's id.
fn keyed_by_message(database: &Embedded, name: &str) -> (Settings, Schemas) {
    let schema = json!({"type": "record", "name": "Any", "fields": [{"name": "text", "type": "string"}]});
    let schemas = Schemas::with(name, "any", &schema);
    (json_settings(database, &schemas, "any"), schemas)
}

#[tokio::test(flavor = "multi_thread")]
async fn invocations_run_side_by_side_and_each_answers_for_its_own_payload() {
    let database = database().await;
    let (mut settings, _schemas) = keyed_by_message(&database, "side-by-side");
    settings.max_concurrency = NonZero::new(4).unwrap();
    let function = Function::start(settings).await.unwrap();
    let mut running = tokio::task::JoinSet::new();
    for number in 0..32 {
        let (good, bad) = (format!("good-{number}"), format!("bad-{number}"));
        let text = format!("text of {number}");
        let event =
            json!({"Records": [record(&good, &json!({"text": text}), None), record(&bad, &json!({"text": 7}), None)]});
        let invocation = function.invoke(Bytes::from(event.to_string()), TIMEOUT);
        running.spawn(async move { (invocation.await, bad) });
    }
    while let Some(ended) = running.join_next().await {
        let (invocation, bad) = ended.unwrap();
        assert_eq!(returned(&invocation), [bad]);
    }
    for number in 0..32 {
        let key = json!({"message_id": {"S": format!("good-{number}")}});
        let item = database.client().get(TABLE, &key).await.unwrap().unwrap();
        assert_eq!(item["data"]["M"]["text"]["S"], format!("text of {number}"));
    }
    let (metrics, _) = output(function).await;
    let invocations = metrics.iter().filter(|line| line.get("MessagesReceived").is_some());
    assert_eq!(invocations.clone().count(), 32);
    assert!(invocations.clone().all(|line| line["LedgerImbalance"] == 0 && line["MessagesStored"] == 1));
    assert_eq!(invocations.filter(|line| line["ColdStart"] == 1).count(), 1);
}

/// Starts a server that accepts connections and never responds. Returns its URL.
async fn silent() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            held.push(connection);
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_database_does_not_hold_up_the_start_and_the_answer_keeps_its_margin() {
    let database = database().await;
    let mut settings = settings(&database);
    settings.environment.insert("AWS_ENDPOINT_URL_DYNAMODB".into(), silent().await);
    settings.environment.insert("DEADLINE_MARGIN_MS".into(), "2500".into());
    let started = tokio::time::Instant::now();
    let function = Function::start(settings).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());

    let orders = event("orders.json");
    let invocation = function.invoke(Bytes::from(orders.to_string()), Duration::from_secs(4)).await;
    assert_eq!(returned(&invocation).len(), 10);
    let range = Duration::from_millis(1_300)..Duration::from_millis(2_500);
    assert!(range.contains(&invocation.duration), "{:?}", invocation.duration);
    let (_, log) = output(function).await;
    let first = &log[0];
    assert_eq!(
        (&first["message"], &first["cause"]),
        (&json!("dynamodb not reached at start"), &json!("no response in time"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_quarantine_queue_does_not_cost_the_whole_invocation() {
    let database = database().await;
    let mut settings = settings(&database);
    let queue = silent().await;
    settings.environment.insert("QUARANTINE_QUEUE_URL".into(), format!("{queue}/1/quarantine"));
    settings.environment.insert("AWS_ENDPOINT_URL_SQS".into(), queue);
    let function = Function::start(settings).await.unwrap();
    let invocation = invoke(&function, &event("mixed.json")).await;
    let expected = event("mixed.response.json");
    assert_eq!(returned(&invocation).len(), expected["batchItemFailures"].as_array().unwrap().len());
    assert!(invocation.duration < Duration::from_secs(8), "{:?}", invocation.duration);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_least_calls_in_flight_are_those_of_the_setting() {
    let database = database().await;
    let (mut settings, _schemas) = keyed_by_message(&database, "in-flight");
    for (name, value) in [("MIN_IN_FLIGHT", "23"), ("MAX_IN_FLIGHT", "30"), ("TARGET_LATENCY_MS", "1")] {
        settings.environment.insert(name.into(), value.into());
    }
    let function = Function::start(settings).await.unwrap();
    let records: Vec<Value> = (0..1000).map(|n| record(&format!("m{n}"), &json!({"text": "t"}), None)).collect();
    assert!(returned(&invoke(&function, &json!({"Records": records})).await).is_empty());
    let (metrics, _) = output(function).await;
    for figures in metrics.iter().filter(|line| line.get("WriteLimit").is_some()) {
        assert!(figures["WriteLimit"].as_u64().unwrap() >= 23, "{}", figures["WriteLimit"]);
        assert!(figures["WritesInFlight"].as_u64().unwrap() >= 23, "{}", figures["WritesInFlight"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_line_holds_a_payload_whatever_fails() {
    let database = database().await;
    let refusing = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let refusing = format!("http://{refusing}");
    for broken in ["AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL_DYNAMODB"] {
        let mut settings = settings(&database);
        settings.environment.insert("QUARANTINE_QUEUE_URL".into(), format!("{refusing}/1/quarantine"));
        settings.environment.insert("AWS_LAMBDA_LOG_LEVEL".into(), "DEBUG".into());
        settings.environment.insert(broken.into(), refusing.clone());
        let function = Function::start(settings).await.unwrap();
        let mixed = event("mixed.json");
        let invocation = function.invoke(Bytes::from(mixed.to_string()), Duration::from_secs(2)).await;
        assert!(!returned(&invocation).is_empty());
        let bodies: Vec<&str> =
            mixed["Records"].as_array().unwrap().iter().filter_map(|r| r["body"].as_str()).collect();
        let lines = function.stop().await;
        let says_why = if broken == "AWS_ENDPOINT_URL_SQS" { "quarantine queue" } else { "\"unfinished\"" };
        let has_cause = |text: &str| text.contains(says_why) && text.contains("Connection refused");
        assert!(lines.iter().any(|line| has_cause(&line.text)), "{broken}: {lines:?}");
        for line in lines {
            for body in bodies.iter().filter(|body| body.len() > 12) {
                assert!(!line.text.contains(*body), "{broken}: {}", line.text);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_checked_at_the_start_and_an_empty_one_is_none() {
    let database = database().await;
    let mut settings = settings(&database);
    settings.environment.insert("QUARANTINE_QUEUE_URL".into(), "localhost:1".into());
    settings.environment.insert("AWS_ENDPOINT_URL_SQS".into(), "localhost:1".into());
    settings.environment.insert("AWS_REGION".into(), "eu central".into());
    let Err(InitError::Reported { message, .. }) = Function::start(settings.clone()).await else {
        panic!("no init error")
    };
    for name in ["QUARANTINE_QUEUE_URL", "AWS_ENDPOINT_URL_SQS", "AWS_REGION"] {
        assert!(message.contains(name), "{message}");
    }
    settings.environment.insert("QUARANTINE_QUEUE_URL".into(), "http://localhost:1/1/quarantine".into());
    settings.environment.insert("AWS_ENDPOINT_URL_SQS".into(), String::new());
    settings.environment.insert("AWS_ENDPOINT_URL".into(), String::new());
    settings.environment.insert("AWS_REGION".into(), "eu-central-1".into());
    let function = Function::start(settings).await.unwrap();
    assert!(returned(&invoke(&function, &event("orders.json")).await).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn cargo_lambda_watch_gives_a_url_as_its_address_and_a_duration_as_its_deadline() {
    let database = database().await;
    let mut environment = settings(&database).environment;
    let mut api = RuntimeApi::start("600000", 0).await;
    let runtime_api = format!("http://{}/.rt", api.address());
    let process = Process::start(&runtime_api, &environment);
    api.submit(&event("orders.json"));
    let (path, response) = api.post().await;
    assert!(path.starts_with("/.rt/2018-06-01/runtime/invocation/") && path.ends_with("/response"), "{path}");
    assert_eq!(response, json!({"batchItemFailures": []}));
    assert_eq!(database.client().count(TABLE).await.unwrap(), 10);
    drop(process);

    environment.insert("TABLE_NAME".into(), String::new());
    let process = Process::start(&runtime_api, &environment);
    let (path, report) = api.post().await;
    assert_eq!(path, "/.rt/2018-06-01/runtime/init/error");
    assert!(report["errorMessage"].as_str().unwrap().contains("TABLE_NAME is required"));
    assert!(!process.ended().await.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invocation_that_makes_no_sense_fails_alone() {
    let database = database().await;
    let mut api = RuntimeApi::start("soon", 0).await;
    let _process = Process::start(&api.address().to_string(), &settings(&database).environment);
    for _ in 0..2 {
        api.submit(&event("orders.json"));
        let (path, report) = api.post().await;
        assert!(path.ends_with("/error"), "{path}");
        assert_eq!(report, json!({"errorType": "InvalidInvocation", "errorMessage": "no proper deadline"}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_runtime_api_says_instead_of_an_invocation_the_next_one_is_handled() {
    let database = database().await;
    let orders = event("orders.json");
    let broken = [
        "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy",
        "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n",
        // a response without an invocation id
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        // connections closed within the head, within the body, and before either
        "HTTP/1.1 200",
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf",
        "",
        "not HTTP at all\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
    ];
    for concurrency in [1, 3] {
        let mut environment = settings(&database).environment;
        environment.insert("AWS_LAMBDA_MAX_CONCURRENCY".into(), concurrency.to_string());
        let mut api = RuntimeApi::start("9999999999999", 0).await;
        let _process = Process::start(&api.address().to_string(), &environment);
        for response in broken.into_iter().cycle().take(2 * broken.len()) {
            api.break_next(response);
        }
        for _ in 0..2 * concurrency {
            api.submit(&orders);
        }
        for _ in 0..2 * concurrency {
            assert_eq!(api.post().await.1, json!({"batchItemFailures": []}), "{concurrency}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_runtime_api_is_no_error() {
    let database = database().await;
    let mut api = RuntimeApi::start("9999999999999", 0).await;
    let process = Process::start(&api.address().to_string(), &settings(&database).environment);
    api.submit(&event("orders.json"));
    api.post().await;
    api.stop();
    let (success, output) = process.ended().await;
    assert!(success && !output.contains("ERROR"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_be_delivered_ends_no_worker() {
    let database = database().await;
    for concurrency in [1, 2] {
        let mut environment = settings(&database).environment;
        environment.insert("AWS_LAMBDA_MAX_CONCURRENCY".into(), concurrency.to_string());
        let broken = 4;
        let mut api = RuntimeApi::start("9999999999999", broken).await;
        let _process = Process::start(&api.address().to_string(), &environment);
        let orders = event("orders.json");
        (0..broken + 3).for_each(|_| api.submit(&orders));
        for _ in 0..3 {
            assert_eq!(api.post().await.1, json!({"batchItemFailures": []}), "{concurrency}");
        }
    }
}
