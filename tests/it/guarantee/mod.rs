//! Tests of the guarantee, checked against the table's contents over thousands of seeded invocations in virtual time. Whatever
//! fails, a message that is not returned is durable, and nothing is reported twice or invented.

mod concurrent;
mod groups;
mod isolation;
mod late;
mod mappings;
mod messages;
mod mixed;
mod names;
mod parts;
mod sharing;
use crate::support::fake_dynamodb::{FakeDynamoDb, Faults, StickyFault};
use crate::support::figures;
use crate::support::transport::{self, Responding};
use avro_ingest::dynamodb::client::Client;
use avro_ingest::invocation::{Context, Handler, InvocationError};
use avro_ingest::limiter::AimdLimit;
use avro_ingest::metrics::Metrics;
use avro_ingest::quarantine::Quarantine;
use avro_ingest::settings::Settings;
use avro_ingest::transcode::Transcoder;
use avro_ingest::transport::ResponseFuture;
use avro_ingest::write::Writer;
use bytes::Bytes;
use http::Request;
use messages::{ORDERS, Sent, Subject, Write, state_of};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(30);

fn noted(number: usize, note: &str) -> Sent {
    let (id, note) = (format!("o{number}"), note.to_owned());
    let write = Write { subject: Subject::Plain, id, version: Some(0), note, delete: false };
    Sent::single(&format!("m{number}"), write)
}

fn good(number: usize) -> Sent {
    noted(number, "good")
}

fn handler(table: &FakeDynamoDb, seed: u64) -> Handler {
    handler_of(table, seed, None, |most| most / 2)
}

fn handler_of(
    table: &FakeDynamoDb,
    seed: u64,
    quarantine: Option<Quarantine>,
    jitter: fn(Duration) -> Duration,
) -> Handler {
    let limit = AimdLimit::new(Duration::from_millis(50), 1, 1 + (seed % 50) as usize).unwrap();
    handler_calling(table.client(), limit, quarantine, jitter)
}

/// Creates a handler that calls its table through `client`.
fn handler_calling(
    client: Client,
    limit: AimdLimit,
    quarantine: Option<Quarantine>,
    jitter: fn(Duration) -> Duration,
) -> Handler {
    let settings = Settings::parse(|name| match name {
        "TABLE_NAME" => Some(ORDERS.to_owned()),
        "AWS_REGION" => Some(messages::REGION.to_owned()),
        "ACCOUNT_ID" => Some(messages::ACCOUNT.to_owned()),
        _ => None,
    });
    let settings = settings.unwrap();
    let transcoder = Transcoder::new(&settings, messages::schema_files()).unwrap();
    let writer = Writer::new(client, transcoder.mappings().clone(), limit, jitter);
    Handler::new(transcoder, writer, quarantine, Metrics::new("AvroIngest", "test"), Duration::from_millis(500))
}

/// Creates a handler whose table responds as `respond` does.
fn handler_over(respond: impl Fn(Request<Bytes>) -> ResponseFuture + Send + Sync + 'static) -> Handler {
    handler_calling(transport::dynamodb(Responding(respond)), limit(), None, |most| most / 2)
}

fn limit() -> AimdLimit {
    AimdLimit::new(Duration::from_millis(50), 1, 50).unwrap()
}

/// Returns the note of the order with this key.
fn note_of(table: &FakeDynamoDb, id: &str) -> Option<String> {
    state_of(table.item(ORDERS, &json!({"id": {"S": id}}).to_string()).as_ref()).map(|(_, note)| note)
}

/// Hides the messages of panics that a test injects.
fn silence_planned_panics() {
    std::panic::set_hook(Box::new(|info| {
        if !info.to_string().contains("told to panic") {
            eprintln!("{info}");
        }
    }));
}

/// Creates a table without faults.
fn healthy() -> FakeDynamoDb {
    FakeDynamoDb::new(&["id"], Faults::default(), 1)
}

/// Invokes the handler with `batch`. Checks the response, and returns the ids of the returned messages and the metrics.
async fn invoke(handler: &Handler, batch: &[Sent], queue: &str) -> (BTreeSet<String>, Value) {
    let event = json!({"Records": batch.iter().map(|sent| sent.record(queue)).collect::<Vec<_>>()}).to_string();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let context = Context { request_id: "r".into(), deadline: now + DEADLINE, trace_id: None };
    let started = tokio::time::Instant::now();
    let answer = handler.handle(event.as_bytes(), &context).await;
    assert!(started.elapsed() < DEADLINE, "the response missed the deadline: {:?}", started.elapsed());

    let metrics = String::from_utf8(answer.metrics).unwrap();
    let figures = figures(metrics.lines().next().unwrap());
    assert_eq!((&figures["LedgerImbalance"], &figures["RequestId"]), (&json!(0), &json!("r")));
    assert_eq!(figures["MessagesReceived"], batch.len());
    let ids: BTreeSet<String> = batch.iter().map(|sent| sent.message_id.clone()).collect();
    let returned: BTreeSet<String> = match answer.response {
        Ok(response) => {
            let named = response.failures().count();
            let returned: BTreeSet<String> = response.failures().map(str::to_owned).collect();
            assert_eq!(returned.len(), named, "an id is repeated");
            assert!(returned.is_subset(&ids), "an id is not of the batch");
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

#[tokio::test(start_paused = true)]
async fn one_bad_item_in_25_costs_ten_calls_and_none_of_its_neighbours() {
    for place in 0..25 {
        let table = healthy();
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
async fn a_key_that_does_not_fit_a_table_that_takes_others_is_its_messages_own_fault() {
    for place in 0..25 {
        let table = healthy();
        table.stick(&format!("o{place}"), StickyFault::KeyMismatch);
        let batch: Vec<Sent> = (0..25).map(good).collect();
        let (returned, figures) = invoke(&handler(&table, 49), &batch, "standard").await;
        assert_eq!(returned, BTreeSet::from([format!("m{place}")]));
        assert_eq!((table.count(), &figures["MessagesRejected"]), (24, &json!(1)));
    }
}

#[tokio::test(start_paused = true)]
async fn when_nothing_can_be_stored_for_an_operators_cause_the_invocation_fails() {
    let table = FakeDynamoDb::new(&["id"], Faults { expired: 100, ..Faults::default() }, 1);
    let handler = handler(&table, 1);
    let batch = [good(0)];
    let (returned, _) = invoke(&handler, &batch, "standard").await;
    assert_eq!(returned.len(), 1);
    assert_eq!(table.calls(), 1, "a retry cannot succeed");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_no_batch_of_messages_fails_the_invocation() {
    let handler = handler(&healthy(), 1);
    for (payload, cold_starts) in [("", 1), ("{}", 0), ("null", 0), (r#"{"Records": [{"body": "AAAA"}]}"#, 0)] {
        let context = Context { request_id: "r".into(), ..Context::default() };
        let answer = handler.handle(payload.as_bytes(), &context).await;
        assert!(matches!(answer.response, Err(InvocationError::Malformed(_))), "{payload}");
        let line: Value = serde_json::from_slice(&answer.metrics).unwrap();
        let figures = figures(&line.to_string());
        assert_eq!((&line["RequestId"], &line["MessagesReceived"]), (&json!("r"), &json!(0)));
        assert_eq!(figures["ColdStart"], json!(cold_starts));
        assert!(
            figures["_aws"]["Timestamp"].as_u64().unwrap() > 1_700_000_000_000,
            "the timestamp is missing: {figures}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_without_messages_is_a_success() {
    let handler = handler(&healthy(), 1);
    let (returned, _) = invoke(&handler, &[], "standard").await;
    assert!(returned.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_died_in_the_freeze_costs_one_immediate_try() {
    let table = FakeDynamoDb::new(&["id"], Faults { reset_before: 100, ..Faults::default() }, 1);
    table.heal_after(1);
    let handler = handler_of(&table, 1, None, |most| most.max(Duration::from_secs(1)));
    let batch = [good(0)];
    let started = tokio::time::Instant::now();
    let (returned, figures) = invoke(&handler, &batch, "standard").await;
    assert!(returned.is_empty());
    assert_eq!((table.calls(), &figures["RetriedItems"]), (2, &json!(1)));
    assert!(started.elapsed() < Duration::from_secs(1), "the retry waited: {:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_reasons_of_throttles_are_counted_apart() {
    let table = FakeDynamoDb::new(&["id"], Faults { throttled: 100, ..Faults::default() }, 3);
    table.heal_after(40);
    let handler = handler(&table, 1);
    let (returned, figures) = invoke(&handler, &[good(0)], "standard").await;
    assert_eq!(returned.len() as u64 + figures["MessagesStored"].as_u64().unwrap(), 1);
    let kinds = ["ThrottlesTable", "ThrottlesIndex", "ThrottlesHotPartition", "ThrottlesAccount", "ThrottlesUnknown"];
    let counts = kinds.map(|kind| figures[kind].as_u64().unwrap());
    assert_eq!(figures["Throttles"].as_u64().unwrap(), counts.iter().sum::<u64>());
    assert!(counts.iter().filter(|count| **count > 0).count() >= 2, "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn what_fails_again_and_again_is_sent_ever_less_often() {
    for fault in [
        StickyFault::Throttled,
        StickyFault::ServerError,
        StickyFault::Reset,
        StickyFault::Refused,
        StickyFault::Unprocessed,
    ] {
        let table = healthy();
        table.stick("o0", fault);
        let (returned, figures) = invoke(&handler(&table, 1), &[good(0)], "standard").await;
        assert_eq!(returned.len(), 1, "{fault:?}");
        // about half a second apart in the end, after at most ten closer ones
        assert!((40..100).contains(&table.calls()), "{fault:?}: {} calls", table.calls());
        let retried = if fault == StickyFault::Refused { 0 } else { table.calls() - 1 };
        assert_eq!(figures["RetriedItems"], retried, "{fault:?}");
        let unprocessed = if fault == StickyFault::Unprocessed { table.calls() } else { 0 };
        assert!(unprocessed.abs_diff(figures["UnprocessedItems"].as_u64().unwrap() as usize) <= 1, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_item_that_comes_back_unprocessed_is_told_from_those_that_are_stored() {
    for count in [2, 3, 25] {
        let table = healthy();
        table.stick("o1", StickyFault::Unprocessed);
        let batch: Vec<Sent> = (0..count).map(good).collect();
        let (returned, _) = invoke(&handler(&table, 1), &batch, "standard").await;
        assert_eq!(returned, BTreeSet::from(["m1".to_owned()]));
        assert_eq!(table.written().len(), count - 1, "every other item is written exactly once");
    }
}

#[tokio::test(start_paused = true)]
async fn what_dynamodb_charges_is_added_up() {
    let table = healthy();
    let batch: Vec<Sent> = (0..75).map(good).collect();
    let (_, figures) = invoke(&handler(&table, 1), &batch, "standard").await;
    assert_eq!(figures["ConsumedWriteUnits"].as_f64(), Some(3.0), "one unit per call");
    assert_eq!((&figures["RetriedItems"], &figures["UnprocessedItems"]), (&json!(0), &json!(0)));
}

#[tokio::test(start_paused = true)]
async fn no_call_starts_after_the_deadline() {
    let table = healthy();
    let handler = handler(&table, 1);
    let event = json!({"Records": [good(0).record("standard")]}).to_string();
    let answer = handler.handle(event.as_bytes(), &Context::default()).await;
    assert_eq!(answer.response.unwrap().failures().collect::<Vec<_>>(), ["m0"]);
    assert_eq!(table.calls(), 0);
}
