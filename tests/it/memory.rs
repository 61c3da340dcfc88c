//! Tests that the memory of an event is bounded. Messages that do not fit wait for others to complete, and nothing else
//! changes.

use crate::support::fake_dynamodb::{FakeDynamoDb, Faults};
use crate::support::figures;
use crate::support::random::Random;
use avro_ingest::avro::SchemaFile;
use avro_ingest::encode::{Codec, Encoder};
use avro_ingest::invocation::Memory;
use avro_ingest::invocation::{Context, Handler};
use avro_ingest::limiter::AimdLimit;
use avro_ingest::metrics::Metrics;
use avro_ingest::settings::Settings;
use avro_ingest::transcode::Transcoder;
use avro_ingest::write::Writer;
use base64_simd::STANDARD;
use bytes::Bytes;
use local::lambda::{self, Function, Outcome};
use local::sink::Sink;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

const TABLE: &str = "notes";

/// A schema whose reader adds a field: messages omit it, and its default is a text of `filler` bytes.
fn schema(filler: usize) -> Value {
    json!({"type": "record", "name": "Note", "dynamodb": {"partitionKey": "id"}, "fields": [
        {"name": "id", "type": "string"},
        {"name": "note", "type": "string"},
        {"name": "filler", "type": "string", "default": "f".repeat(filler)},
    ]})
}

fn transcoder(filler: usize) -> Transcoder {
    let lookup = |name: &str| (name == "TABLE_NAME").then(|| TABLE.to_owned());
    let text = schema(filler).to_string();
    let file = SchemaFile { subject: "note".into(), version: "1".into(), text, path: "note/1.avsc".into() };
    Transcoder::new(&Settings::parse(lookup).unwrap(), vec![file]).unwrap()
}

fn handler(table: &FakeDynamoDb, megabytes: usize) -> Handler {
    let transcoder = transcoder(0);
    let limit = AimdLimit::new(Duration::from_millis(50), 1, 50).unwrap();
    let writer = Writer::new(table.client(), transcoder.mappings().clone(), limit, |most| most);
    let metrics = Metrics::new("AvroIngest", "test");
    Handler::new(transcoder, writer, None, metrics, Duration::from_millis(500))
        .with_memory(Memory::new(Some(megabytes), 1))
}

/// An event of containers with notes that share few keys. The table refuses a few of the notes, and some bodies are not Avro.
fn event(random: &mut Random, encoder: &Encoder) -> String {
    let record = |number: usize, body: String| {
        let attributes = json!({"MessageGroupId": format!("g{}", number % 3)});
        json!({"messageId": format!("m{number}"), "body": body, "attributes": attributes})
    };
    let mut records = Vec::new();
    for number in 0..1 + random.below(20) as usize {
        if random.percent(10) {
            records.push(record(number, "%%%".into()));
            continue;
        }
        let notes: Vec<Value> = (0..random.below(8))
            .map(|_| {
                // a refused note has a unique key, because a later item with its key in the same chunk would supersede it
                if random.percent(3) {
                    return json!({"id": format!("poison of {number}"), "note": "poison", "filler": ""});
                }
                let note = "n".repeat(random.below(300_000) as usize);
                // different FIFO groups have no order, so each has distinct keys
                json!({"id": format!("k{}", number % 3 + 3 * random.below(7) as usize), "note": note, "filler": ""})
            })
            .collect();
        records.push(record(number, STANDARD.encode_to_string(encoder.container(&notes, Codec::Deflate).unwrap())));
    }
    let queue = if random.percent(30) { "arn:aws:sqs:x:1:q.fifo" } else { "arn:aws:sqs:x:1:q" };
    records.iter_mut().for_each(|record| record["eventSourceARN"] = json!(queue));
    json!({"Records": records}).to_string()
}

/// Handles an event. Returns the returned ids, the metrics that must not change, and the table's contents.
async fn outcome(event: &str, megabytes: usize) -> (Vec<String>, Vec<Value>, Vec<Option<Value>>, usize) {
    let table = FakeDynamoDb::new(&["id"], Faults::default(), 1);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let context = Context { deadline: now + Duration::from_secs(300), ..Context::default() };
    let result = handler(&table, megabytes).handle(event.as_bytes(), &context).await;
    let returned = result.response.unwrap().failures().map(str::to_owned).collect();
    let metrics = String::from_utf8(result.metrics).unwrap();
    let figures = figures(metrics.lines().next().unwrap());
    let names = ["MessagesReceived", "MessagesReturned", "MessagesRejected", "Records", "LedgerImbalance"];
    let figures = names.map(|name| figures[name].clone()).to_vec();
    let mut items: Vec<Option<Value>> =
        (0..21).map(|key| table.item(TABLE, &json!({"id": {"S": format!("k{key}")}}).to_string())).collect();
    items.iter_mut().flatten().for_each(|item| drop(item.as_object_mut().unwrap().remove("processed_at")));
    (returned, figures, items, table.calls())
}

#[tokio::test(start_paused = true)]
async fn an_event_that_does_not_fit_at_once_ends_as_if_it_did() {
    let directory = Schemas::with("memory-property", 0);
    let encoder = Encoder::for_subject(&directory.0, "note").unwrap();
    let mut divided = 0;
    for seed in 0..30 {
        let event = event(&mut Random::new(seed), &encoder);
        let (at_once, in_chunks) = (outcome(&event, 10_000).await, outcome(&event, 1).await);
        assert_eq!((&at_once.0, &at_once.1), (&in_chunks.0, &in_chunks.1), "seed {seed}");
        assert!(at_once.2 == in_chunks.2, "seed {seed}: the tables differ");
        divided += usize::from(in_chunks.3 > at_once.3);
    }
    assert!(divided > 4, "only {divided} of the events were divided");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_never_fits_is_rejected_by_the_name_of_the_setting_and_costs_no_neighbour() {
    let directory = Schemas::with("memory-rejected", 0);
    let encoder = Encoder::for_subject(&directory.0, "note").unwrap();
    let container = |id: &str, count: usize| {
        let note = |index| json!({"id": format!("{id}{index}"), "note": "n".repeat(100_000), "filler": ""});
        let notes: Vec<Value> = (0..count).map(note).collect();
        let body = STANDARD.encode_to_string(encoder.container(&notes, Codec::Deflate).unwrap());
        json!({"messageId": id, "body": body})
    };
    let event = json!({"Records": [container("a", 3), container("b", 60), container("c", 3)]}).to_string();
    let table = FakeDynamoDb::new(&["id"], Faults::default(), 1);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let context = Context { deadline: now + Duration::from_secs(300), ..Context::default() };
    let result = handler(&table, 1).handle(event.as_bytes(), &context).await;
    assert_eq!(result.response.unwrap().failures().collect::<Vec<_>>(), ["b"]);
    assert_eq!(table.count(), 6);
    assert!(String::from_utf8(result.metrics).unwrap().contains("limit_exceeded"));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_fits_alone_is_not_rejected_beside_large_ones() {
    let directory = Schemas::with("memory-beside", 0);
    let encoder = Encoder::for_subject(&directory.0, "note").unwrap();
    let note = |index| json!({"id": format!("n{index}"), "note": "n".repeat(100_000), "filler": ""});
    let notes: Vec<Value> = (0..70).map(note).collect();
    let body = STANDARD.encode_to_string(encoder.container(&notes, Codec::Deflate).unwrap());
    let large = json!({"messageId": "large", "body": body});
    // bodies that are not Avro but use memory
    let others = (0..24).map(|id| json!({"messageId": format!("other{id}"), "body": "A".repeat(245_000)}));
    let beside: Vec<Value> = std::iter::once(large.clone()).chain(others).collect();
    let table = FakeDynamoDb::new(&["id"], Faults::default(), 1);
    let handler = handler(&table, 90);
    let handle = async |records: &[Value]| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let context = Context { deadline: now + Duration::from_secs(300), ..Context::default() };
        let result = handler.handle(json!({"Records": records}).to_string().as_bytes(), &context).await;
        let figures = figures(String::from_utf8(result.metrics).unwrap().lines().next().unwrap());
        (result.response.unwrap().failures().count(), figures["MessagesRejected"].as_u64().unwrap())
    };
    assert_eq!(handle(&beside).await, (25, 24), "it is returned, but not rejected");
    assert_eq!((handle(&[large]).await, table.count()), ((0, 0), 70));
}

/// A temporary schema directory, removed when the value is dropped.
struct Schemas(PathBuf);

impl Schemas {
    fn with(name: &str, filler: usize) -> Self {
        Self::of(name, &schema(filler))
    }

    fn of(name: &str, schema: &Value) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(directory.join("note")).unwrap();
        std::fs::write(directory.join("note/1.avsc"), schema.to_string()).unwrap();
        Self(directory)
    }
}

impl Drop for Schemas {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Returns the peak resident memory of the real binary after an event, in bytes, and the number of messages that it returned.
async fn peak(schemas: &Schemas, megabytes: u32, event: &Value) -> (u64, usize) {
    let sink = Sink::start(0, Duration::from_millis(5)).unwrap();
    let mut settings = lambda::Settings::new(env!("CARGO_BIN_EXE_avro-ingest"));
    settings.memory_mb = megabytes;
    let environment = [
        ("TABLE_NAME", TABLE.to_owned()),
        ("SCHEMA_DIR", schemas.0.display().to_string()),
        ("AWS_ENDPOINT_URL_DYNAMODB", sink.url()),
    ];
    settings.environment.extend(environment.map(|(name, value)| (name.to_owned(), value)));
    let function = Function::start(settings).await.unwrap();
    let invocation = function.invoke(Bytes::from(event.to_string()), Duration::from_secs(120)).await;
    let Outcome::Response(response) = &invocation.outcome else { panic!("{:?}", invocation.outcome) };
    let response: Value = serde_json::from_slice(response).unwrap();
    (function.usage().unwrap().peak_resident_bytes, response["batchItemFailures"].as_array().unwrap().len())
}

fn records(bodies: Vec<Vec<u8>>) -> Value {
    let record = |(number, body): (usize, Vec<u8>)| json!({"messageId": format!("m{number}"), "body": STANDARD.encode_to_string(body)});
    json!({"Records": bodies.into_iter().enumerate().map(record).collect::<Vec<_>>()})
}

async fn assert_peak_within(schemas: &Schemas, event: &Value, returned: usize) {
    for megabytes in [512, 128] {
        let (peak, failures) = peak(schemas, megabytes, event).await;
        eprintln!("{} MB: {} MiB", megabytes, peak >> 20);
        assert!(peak < u64::from(megabytes) << 20, "{} MiB of {megabytes}", peak >> 20);
        assert_eq!(failures, returned);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_message_cannot_grow_to_any_size_by_defaults() {
    let filler = json!({"type": "record", "name": "Filler", "fields": [
        {"name": "text", "type": "string", "default": "f".repeat(500)}]});
    let note = |filler: Value| {
        json!({"type": "record", "name": "Note",
        "fields": [{"name": "fillers", "type": {"type": "array", "items": filler}}]})
    };
    let schemas = Schemas::of("memory-defaults", &note(filler));
    let written = note(json!({"type": "record", "name": "Filler", "fields": []})).to_string();
    let long = |value: u64| {
        let (mut rest, mut bytes) = (value << 1, Vec::new());
        while rest >= 0x80 {
            bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
        bytes
    };
    let string = |text: &[u8]| [long(text.len() as u64), text.to_vec()].concat();
    let datum = [long(1_000_000), long(0)].concat();
    let header = [b"Obj\x01".to_vec(), long(1), string(b"avro.schema"), string(written.as_bytes()), long(0)].concat();
    let container = [header, vec![7; 16], long(1), string(&datum), vec![7; 16]].concat();
    assert!(container.len() < 364, "{}", container.len());
    assert_peak_within(&schemas, &records(vec![container]), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_of_control_characters_fit_the_functions_memory() {
    let schemas = Schemas::with("memory-controls", 0);
    let encoder = Encoder::for_subject(&schemas.0, "note").unwrap();
    let container = |number: usize, notes: usize| {
        // a text that repeats one character would exceed the allowed expansion of decompression
        let mut random = Random::new(number as u64);
        let controls: String = (0..2_000).map(|_| char::from(14 + random.below(18) as u8)).collect();
        let note = |index| json!({"id": format!("{number}-{index}"), "note": controls.clone() + &"\u{1}".repeat(388_000), "filler": ""});
        encoder.container(&(0..notes).map(note).collect::<Vec<_>>(), Codec::Deflate).unwrap()
    };
    // a container of six notes is 14 MB of JSON
    let event = records((0..10).map(|number| container(number, 6)).collect());
    assert_peak_within(&schemas, &event, 0).await;
    // one of 25 is 59 MB, which fits into 512 MB of memory but not into 128 MB
    let event = records((0..3).map(|number| container(number, 25)).collect());
    let (peak_of_large, returned) = peak(&schemas, 512, &event).await;
    assert_eq!((returned, peak_of_large < 512 << 20), (0, true), "{} MiB", peak_of_large >> 20);
    let (peak_of_small, returned) = peak(&schemas, 128, &event).await;
    assert_eq!((returned, peak_of_small < 128 << 20), (3, true), "{} MiB", peak_of_small >> 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_of_small_numbers_fit_the_functions_memory() {
    let schema = json!({"type": "record", "name": "Note", "dynamodb": {"partitionKey": "id"}, "fields": [
        {"name": "id", "type": "string"}, {"name": "values", "type": {"type": "array", "items": "long"}}]});
    let schemas = Schemas::of("memory-numbers", &schema);
    let encoder = Encoder::for_subject(&schemas.0, "note").unwrap();
    let container = |number: usize| {
        let values: Vec<usize> = (0..1_000).map(|value| value % 10).collect();
        let note = |index| json!({"id": format!("{number}-{index}"), "values": values});
        encoder.container(&(0..700).map(note).collect::<Vec<_>>(), Codec::Deflate).unwrap()
    };
    let one = container(0);
    assert!(one.len() < 30_000, "{}", one.len());
    let event = records((0..20).map(container).collect());
    assert_peak_within(&schemas, &event, 0).await;
}
