//! The guarantee, asserted from the table's contents over thousands of seeded invocations in virtual time: whatever fails,
//! a message that is not returned is durable, and nothing is said twice or made up.

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

mod support;

use apache_avro::types::Value as Avro;
use avro_ingest::avro::SchemaFile;
use avro_ingest::config::Config;
use avro_ingest::dynamodb::writer::Writer;
use avro_ingest::handler::{Context, Handler, InvocationError};
use avro_ingest::limiter::AimdLimit;
use avro_ingest::metrics::Metrics;
use avro_ingest::transcode::Transcoder;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use support::fake_dynamodb::{FakeDynamoDb, Faults};
use support::random::Random;

const TABLE: &str = "orders";
const DEADLINE: Duration = Duration::from_secs(10);

/// `plain` items are put as they come, `guarded` ones under their version.
const PLAIN: &str = r#"{"type": "record", "name": "Plain", "dynamodb": {"partitionKey": "id"},
    "fields": [{"name": "id", "type": "string"}, {"name": "version", "type": "long"}, {"name": "note", "type": "string"}]}"#;
const GUARDED: &str = r#"{"type": "record", "name": "Guarded", "dynamodb": {"partitionKey": "id", "version": "version"},
    "fields": [{"name": "id", "type": "string"}, {"name": "version", "type": "long"}, {"name": "note", "type": "string"}]}"#;

/// As `guarded`, but a deletion need not know the version.
const REMOVABLE: &str = r#"{"type": "record", "name": "Removable", "dynamodb": {"partitionKey": "id", "version": "version"},
    "fields": [{"name": "id", "type": "string"}, {"name": "version", "type": ["null", "long"]}]}"#;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Order {
    subject: &'static str,
    id: String,
    version: i64,
    note: String,
}

impl Order {
    fn body(&self) -> Vec<u8> {
        let schema = apache_avro::Schema::parse_str(if self.subject == "plain" { PLAIN } else { GUARDED }).unwrap();
        let mut framed = vec![0xC3, 0x01];
        framed.extend(schema.fingerprint::<apache_avro::rabin::Rabin>().bytes);
        let record = Avro::Record(vec![
            ("id".into(), Avro::String(self.id.clone())),
            ("version".into(), Avro::Long(self.version)),
            ("note".into(), Avro::String(self.note.clone())),
        ]);
        let writer = apache_avro::writer::datum::GenericDatumWriter::builder(&schema).build().unwrap();
        framed.extend(writer.write_value_to_vec(record).unwrap());
        framed
    }

    fn key(&self) -> String {
        json!({"id": {"S": self.id}}).to_string()
    }

    /// The order an item in the table holds.
    fn stored(item: &Value) -> (String, i64, String) {
        let data = &item["data"]["M"];
        let text = |name: &str| data[name]["S"].as_str().unwrap().to_owned();
        (text("id"), data["version"]["N"].as_str().unwrap().parse().unwrap(), text("note"))
    }

    fn content(&self) -> (String, i64, String) {
        (self.id.clone(), self.version, self.note.clone())
    }
}

#[derive(Debug, Clone)]
struct Sent {
    message_id: String,
    group: Option<String>,
    body: String,
    /// None of a message that cannot be decoded.
    order: Option<Order>,
}

impl Sent {
    fn record(&self, queue: &str) -> Value {
        let mut attributes = json!({"ApproximateReceiveCount": "1", "SentTimestamp": "1700000000000"});
        if let Some(group) = &self.group {
            attributes["MessageGroupId"] = json!(group);
        }
        json!({"messageId": self.message_id, "receiptHandle": "r", "body": self.body, "attributes": attributes,
            "messageAttributes": {}, "eventSourceARN": format!("arn:aws:sqs:us-east-1:1:{queue}")})
    }

    fn is_poison(&self) -> bool {
        self.order.as_ref().is_none_or(|order| order.note == "poison")
    }
}

fn message(random: &mut Random, number: usize, subjects: &[&'static str]) -> Sent {
    use base64_simd::STANDARD;
    let message_id = format!("m{number}");
    let group = Some(format!("g{}", random.below(3)));
    let roll = random.below(100);
    if roll < 6 {
        let body = ["%%%", "AAAA", "wwE="][random.below(3) as usize].to_owned();
        return Sent { message_id, group, body, order: None };
    }
    let subject = subjects[random.below(subjects.len() as u64) as usize];
    let note = if roll < 9 { "poison".to_owned() } else { format!("note {number}") };
    // keys of the two subjects never meet: which of two rules would hold is not said anywhere
    let order =
        Order { subject, id: format!("{subject}-{}", random.below(30)), version: random.below(1_000) as i64, note };
    Sent { message_id, group, body: STANDARD.encode_to_string(order.body()), order: Some(order) }
}

fn noted(number: usize, note: &str) -> Sent {
    let order = Order { subject: "plain", id: format!("o{number}"), version: 0, note: note.into() };
    let body = base64_simd::STANDARD.encode_to_string(order.body());
    Sent { message_id: format!("m{number}"), group: None, body, order: Some(order) }
}

fn good(number: usize) -> Sent {
    noted(number, "good")
}

fn handler(table: &FakeDynamoDb, seed: u64) -> Handler {
    handler_with_jitter(table, seed, |most| most / 2)
}

fn handler_with_jitter(table: &FakeDynamoDb, seed: u64, jitter: fn(Duration) -> Duration) -> Handler {
    let settings = BTreeMap::from([("TABLE_NAME", TABLE)]);
    let config = Config::parse(|name| settings.get(name).map(|value| (*value).to_owned())).unwrap();
    let file = |subject: &str, text: &str| SchemaFile {
        subject: subject.into(),
        version: "1".into(),
        text: text.into(),
        path: format!("{subject}/1.avsc"),
    };
    let files = vec![file("guarded", GUARDED), file("plain", PLAIN), file("removable", REMOVABLE)];
    let transcoder = Transcoder::new(&config, files).unwrap();
    let limit = AimdLimit::new(Duration::from_millis(50), 1, 1 + (seed % 50) as usize).unwrap();
    let writer = Writer::new(table.client(), transcoder.mappings().clone(), limit, jitter);
    Handler::new(transcoder, writer, None, Metrics::new("AvroIngest", "test"), Duration::from_millis(500))
}

/// The ids that go back, after every check of the answer itself.
async fn invoke(handler: &Handler, batch: &[Sent], queue: &str) -> (BTreeSet<String>, Value) {
    let event = json!({"Records": batch.iter().map(|sent| sent.record(queue)).collect::<Vec<_>>()}).to_string();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let context = Context { request_id: "r".into(), deadline: now + DEADLINE, trace_id: None };
    let started = tokio::time::Instant::now();
    let answer = handler.handle(event.as_bytes(), &context).await;
    assert!(started.elapsed() < DEADLINE, "the answer leaves before the deadline: {:?}", started.elapsed());

    let metrics = String::from_utf8(answer.metrics).unwrap();
    let figures: Value = serde_json::from_str(metrics.lines().next().unwrap()).unwrap();
    assert_eq!(figures["LedgerImbalance"], 0);
    assert_eq!(figures["MessagesReceived"], batch.len());
    let ids: BTreeSet<String> = batch.iter().map(|sent| sent.message_id.clone()).collect();
    let returned: BTreeSet<String> = match answer.response {
        Ok(response) => {
            let named = response.failures().count();
            let returned: BTreeSet<String> = response.failures().map(str::to_owned).collect();
            assert_eq!(returned.len(), named, "each id once");
            assert!(returned.is_subset(&ids), "only ids of the batch");
            assert_eq!(figures["MessagesReturned"], returned.len());
            returned
        }
        Err(InvocationError::Fatal(_)) => {
            assert_eq!((&figures["MessagesStored"], &figures["MessagesSuperseded"]), (&json!(0), &json!(0)));
            ids
        }
        Err(error) => panic!("{error}"),
    };
    (returned, figures)
}

/// What must hold after an invocation on a queue without order.
fn check(table: &FakeDynamoDb, batch: &[Sent], returned: &BTreeSet<String>) {
    let is_returned = |sent: &Sent| returned.contains(&sent.message_id);
    let mut last: BTreeMap<String, &Sent> = BTreeMap::new();
    for sent in batch.iter().filter(|sent| !is_returned(sent)) {
        let order = sent.order.as_ref().unwrap_or_else(|| panic!("acknowledged and no order: {sent:?}"));
        last.insert(order.key(), sent);
    }
    for (key, sent) in last {
        // one that is refused may be superseded, but never be the winner
        assert!(!sent.is_poison(), "acknowledged and refused by the table: {sent:?}");
        let order = sent.order.as_ref().unwrap();
        let item = table.item(TABLE, &key).unwrap_or_else(|| panic!("acknowledged and not there: {order:?}"));
        if order.subject == "plain" {
            assert_eq!(Order::stored(&item), order.content(), "acknowledged and not the winner of its key");
        } else {
            let (_, version, _) = Order::stored(&item);
            let acknowledged = batch.iter().filter(|sent| !is_returned(sent)).filter_map(|sent| sent.order.as_ref());
            let newest = acknowledged.filter(|other| other.key() == key).map(|other| other.version).max().unwrap();
            assert!(version >= newest, "an older record has overwritten a newer one");
        }
    }
}

fn faults(random: &mut Random) -> Faults {
    let mut some = |most: u64| if random.percent(40) { random.below(most) } else { 0 };
    Faults {
        throttled: some(30),
        unprocessed: some(40),
        server_error: some(15),
        reset_before: some(10),
        reset_after: some(10),
        stall: some(5),
        malformed: some(10),
        expired: some(3),
        panic: some(3),
    }
}

async fn run(seed: u64) {
    let mut random = Random::new(seed);
    let faults = faults(&mut random);
    let table = FakeDynamoDb::new(&["id"], faults, seed);
    let handler = handler(&table, seed);
    let count = 1 + random.below(80) as usize;
    let mut waiting: Vec<Sent> = (0..count).map(|number| message(&mut random, number, &["plain", "guarded"])).collect();
    for round in 0..6 {
        // the last deliveries find all well, so that what can be stored is
        if round == 4 {
            table.set_faults(Faults::default());
        }
        let (returned, _) = invoke(&handler, &waiting, "standard").await;
        check(&table, &waiting, &returned);
        waiting.retain(|sent| returned.contains(&sent.message_id));
        if waiting.is_empty() {
            break;
        }
    }
    assert!(waiting.iter().all(Sent::is_poison), "a good message was not stored on a healthy table: {waiting:?}");
}

/// Seeds that have failed once.
const REGRESSIONS: [u64; 2] = [3, 19];

#[tokio::test(start_paused = true)]
async fn whatever_fails_an_acknowledged_message_is_durable() {
    std::panic::set_hook(Box::new(|info| {
        // panics told to happen are not worth a trace
        if !info.to_string().contains("told to panic") {
            eprintln!("{info}");
        }
    }));
    for seed in REGRESSIONS.into_iter().chain(0..400) {
        let outcome = tokio::spawn(run(seed)).await;
        assert!(outcome.is_ok(), "seed {seed}");
    }
}

/// A put of a version, or a deletion that knows none.
fn removable(number: usize, id: &str, version: Option<i64>) -> Value {
    let schema = apache_avro::Schema::parse_str(REMOVABLE).unwrap();
    let mut framed = vec![0xC3, 0x01];
    framed.extend(schema.fingerprint::<apache_avro::rabin::Rabin>().bytes);
    let branch = version.map_or((0, Avro::Null), |version| (1, Avro::Long(version)));
    let record = Avro::Record(vec![
        ("id".into(), Avro::String(id.into())),
        ("version".into(), Avro::Union(branch.0, branch.1.into())),
    ]);
    let writer = apache_avro::writer::datum::GenericDatumWriter::builder(&schema).build().unwrap();
    framed.extend(writer.write_value_to_vec(record).unwrap());
    let operation = if version.is_some() { "put" } else { "delete" };
    json!({"messageId": format!("m{number}"), "body": base64_simd::STANDARD.encode_to_string(framed),
        "messageAttributes": {"operation": {"stringValue": operation, "dataType": "String"}}})
}

#[tokio::test(start_paused = true)]
async fn a_deletion_without_a_version_keeps_its_place_among_versions() {
    for seed in 0..400 {
        let mut random = Random::new(seed);
        let faults = Faults { throttled: 20, unprocessed: 20, reset_after: 20, ..Faults::default() };
        let table = FakeDynamoDb::new(&["id"], faults, seed);
        let handler = handler(&table, seed);
        let mut expected: BTreeMap<String, i64> = BTreeMap::new();
        let mut records = Vec::new();
        for number in 0..1 + random.below(30) {
            let id = format!("k{}", random.below(4));
            // no two are equal, or either might stay
            let version = random.percent(70).then(|| (random.below(100) * 100 + number) as i64);
            match version {
                Some(version) if expected.get(&id).is_none_or(|there| *there <= version) => {
                    expected.insert(id.clone(), version);
                }
                Some(_) => {}
                None => {
                    expected.remove(&id);
                }
            }
            records.push(removable(number as usize, &id, version));
        }
        let event = json!({"Records": records}).to_string();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let context = Context { request_id: "r".into(), deadline: now + 10 * DEADLINE, trace_id: None };
        let answer = handler.handle(event.as_bytes(), &context).await;
        assert_eq!(answer.response.unwrap().failures().count(), 0, "seed {seed}");
        let there = (0..4).filter_map(|number| {
            let id = format!("k{number}");
            let item = table.item(TABLE, &json!({"id": {"S": id}}).to_string())?;
            Some((id, item["data"]["M"]["version"]["N"].as_str().unwrap().parse().unwrap()))
        });
        assert_eq!(there.collect::<BTreeMap<_, i64>>(), expected, "seed {seed}: not as if one had come after another");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fifo_group_keeps_its_order_and_stops_at_its_first_failure() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let faults = faults(&mut random);
        let table = FakeDynamoDb::new(&["id"], Faults { panic: 0, ..faults }, seed);
        let handler = handler(&table, seed);
        let count = 1 + random.below(10) as usize;
        let batch: Vec<Sent> = (0..count).map(|number| message(&mut random, number, &["plain"])).collect();
        let (returned, _) = invoke(&handler, &batch, "queue.fifo").await;
        for group in batch.iter().filter_map(|sent| sent.group.clone()).collect::<BTreeSet<_>>() {
            let members: Vec<&Sent> = batch.iter().filter(|sent| sent.group.as_ref() == Some(&group)).collect();
            let failed = members.iter().position(|sent| returned.contains(&sent.message_id)).unwrap_or(members.len());
            let (_, after) = members.split_at(failed);
            assert!(
                after.iter().all(|sent| returned.contains(&sent.message_id)),
                "seed {seed}: acknowledged behind a failure"
            );
            let place = |item: &Value| {
                members
                    .iter()
                    .position(|sent| sent.order.as_ref().is_some_and(|order| order.content() == Order::stored(item)))
            };
            let written: Vec<usize> = table.written().iter().filter_map(place).collect();
            assert!(written.iter().all(|place| *place <= failed), "seed {seed}: written behind a failure");
            assert!(written.is_sorted(), "seed {seed}: written out of order");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_bad_item_in_25_costs_ten_calls_and_none_of_its_neighbours() {
    for place in 0..25 {
        let table = FakeDynamoDb::new(&["id"], Faults::default(), 1);
        let handler = handler(&table, 49);
        let batch: Vec<Sent> =
            (0..25).map(|number| if number == place { noted(number, "poison") } else { good(number) }).collect();
        let (returned, figures) = invoke(&handler, &batch, "standard").await;
        assert_eq!(returned, BTreeSet::from([format!("m{place}")]));
        assert_eq!(table.count(), 24);
        assert!(table.calls() <= 1 + 10, "{} calls", table.calls());
        assert_eq!(figures["MessagesRejected"], 1);
    }
}

#[tokio::test(start_paused = true)]
async fn when_nothing_can_be_stored_for_an_operators_cause_the_invocation_fails() {
    let table = FakeDynamoDb::new(&["id"], Faults { expired: 100, ..Faults::default() }, 1);
    let handler = handler(&table, 1);
    let batch = [message(&mut Random::new(9), 0, &["plain"])];
    let (returned, _) = invoke(&handler, &batch, "standard").await;
    assert_eq!(returned.len(), 1);
    assert_eq!(table.calls(), 1, "no retry can fix it");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_no_batch_of_messages_fails_the_invocation() {
    let handler = handler(&FakeDynamoDb::new(&["id"], Faults::default(), 1), 1);
    for payload in ["", "{}", "null", r#"{"Records": [{"body": "AAAA"}]}"#] {
        let answer = handler.handle(payload.as_bytes(), &Context::default()).await;
        assert!(matches!(answer.response, Err(InvocationError::Malformed(_))), "{payload}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_without_messages_is_a_success() {
    let handler = handler(&FakeDynamoDb::new(&["id"], Faults::default(), 1), 1);
    let (returned, _) = invoke(&handler, &[], "standard").await;
    assert!(returned.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_died_in_the_freeze_costs_one_immediate_try() {
    let table = FakeDynamoDb::new(&["id"], Faults { reset_before: 100, ..Faults::default() }, 1);
    table.heal_after(1);
    let handler = handler_with_jitter(&table, 1, |most| most.max(Duration::from_secs(1)));
    let batch = [good(0)];
    let started = tokio::time::Instant::now();
    let (returned, figures) = invoke(&handler, &batch, "standard").await;
    assert!(returned.is_empty());
    assert_eq!((table.calls(), &figures["RetriedItems"]), (2, &json!(1)));
    assert!(started.elapsed() < Duration::from_secs(1), "without waiting: {:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_reasons_of_throttles_are_counted_apart() {
    let table = FakeDynamoDb::new(&["id"], Faults { throttled: 100, ..Faults::default() }, 3);
    table.heal_after(40);
    let handler = handler(&table, 1);
    let (returned, figures) = invoke(&handler, &[good(0)], "standard").await;
    assert_eq!(returned.len() as u64 + figures["MessagesStored"].as_u64().unwrap(), 1);
    let kinds = ["ThrottlesTable", "ThrottlesIndex", "ThrottlesHotPartition", "ThrottlesAccount"];
    let counts = kinds.map(|kind| figures[kind].as_u64().unwrap());
    assert_eq!(figures["Throttles"].as_u64().unwrap(), counts.iter().sum::<u64>());
    assert!(counts.iter().filter(|count| **count > 0).count() >= 2, "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn no_call_starts_after_the_deadline() {
    let table = FakeDynamoDb::new(&["id"], Faults::default(), 1);
    let handler = handler(&table, 1);
    let event = json!({"Records": [good(0).record("standard")]}).to_string();
    let answer = handler.handle(event.as_bytes(), &Context::default()).await;
    assert_eq!(answer.response.unwrap().failures().collect::<Vec<_>>(), ["m0"]);
    assert_eq!(table.calls(), 0);
}
