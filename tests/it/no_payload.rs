//! Tests that error texts, log lines and metrics contain no part of a message. Hostile messages contain a marker everywhere: in
//! names, symbols, defaults, codecs, metadata, attributes, keys and values.

use crate::support::fake_dynamodb::{FakeDynamoDb, Faults};
use crate::support::random::Random;
use avro_ingest::avro::SchemaFile;
use avro_ingest::invocation::{Context, Handler};
use avro_ingest::limiter::AimdLimit;
use avro_ingest::metrics::Metrics;
use avro_ingest::settings::Settings;
use avro_ingest::transcode::Transcoder;
use avro_ingest::write::Writer;
use base64_simd::STANDARD;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Appears in every text of a hostile message. It is a valid name, and occurs in no schema and no error text.
const MARKER: &str = "Zq7secret";
/// Number of events, each with [`MESSAGES`] messages.
const EVENTS: u64 = 60;
const MESSAGES: usize = 40;

fn own_schema(symbols: &[&str]) -> Value {
    json!({"type": "record", "name": "Thing", "namespace": "shop", "dynamodb": {"partitionKey": "id", "layout": "attributes"}, "fields": [
        {"name": "id", "type": "string"},
        {"name": "note", "type": ["null", "string"], "default": null},
        {"name": "price", "type": "double", "default": 0},
        {"name": "tags", "type": {"type": "map", "values": "string"}, "default": {}},
        {"name": "parts", "type": {"type": "array", "items": {"type": "record", "name": "Part", "fields": [
            {"name": "size", "type": {"type": "enum", "name": "Size", "symbols": symbols}}]}}, "default": []},
    ]})
}

/// Returns a text that contains the marker.
fn marked(random: &mut Random) -> String {
    match random.below(10) {
        0..4 => MARKER.to_owned(),
        4 => format!("{MARKER} {MARKER}"),
        5 => format!("shop.{MARKER}"),
        6 => format!("{MARKER}.Thing"),
        7 => format!("\n{MARKER}\u{1b}[31m"),
        8 => format!("1{MARKER}-x"),
        _ => MARKER.repeat(500),
    }
}

fn one_of<T: Clone>(random: &mut Random, of: &[T]) -> T {
    of[usize::try_from(random.below(of.len() as u64)).unwrap()].clone()
}

/// Returns a name of the schema directory, or one with the marker.
fn name(random: &mut Random, own: &str) -> Value {
    if random.percent(50) { json!(own) } else { json!(marked(random)) }
}

/// Returns a type, which is often invalid.
fn ty(random: &mut Random, depth: usize) -> Value {
    let deeper = |random: &mut Random| if depth == 0 { json!("int") } else { ty(random, depth - 1) };
    match random.below(12) {
        0..3 => json!(one_of(random, &["int", "string", "double", "bytes", "null"])),
        3 => json!(marked(random)),
        4 => json!({"type": "array", "items": deeper(random)}),
        5 => json!({"type": "map", "values": deeper(random), MARKER: MARKER}),
        6 => json!([deeper(random), deeper(random), "null"]),
        7 => {
            json!({"type": "enum", "name": name(random, "Size"), "symbols": [marked(random), "S"], "default": marked(random)})
        }
        8 => {
            json!({"type": "fixed", "name": name(random, "Part"), "size": one_of(random, &[json!(1), json!(MARKER), json!(-1)])})
        }
        9 => json!({"type": marked(random), "logicalType": marked(random)}),
        10 => json!(MARKER.len()),
        _ => record(random, depth.saturating_sub(1)),
    }
}

fn record(random: &mut Random, depth: usize) -> Value {
    let own = ["id", "note", "price", "tags", "parts"];
    let fields: Vec<_> = (0..random.below(5))
        .map(|_| {
            let own = one_of(random, &own);
            json!({"name": name(random, own), "type": ty(random, depth), "default": marked(random), "doc": MARKER,
                "aliases": [marked(random)], "dynamodb": {"attribute": MARKER}})
        })
        .collect();
    json!({"type": "record", "name": name(random, "Thing"), "namespace": name(random, "shop"), "fields": fields,
        "aliases": [marked(random)], "dynamodb": {"partitionKey": MARKER}})
}

fn push_long(bytes: &mut Vec<u8>, value: usize) {
    let mut rest = value << 1;
    while rest >= 0x80 {
        bytes.push((rest & 0x7F) as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

fn push_bytes(bytes: &mut Vec<u8>, value: &[u8]) {
    push_long(bytes, value.len());
    bytes.extend_from_slice(value);
}

fn container(random: &mut Random) -> Vec<u8> {
    let schema = match random.below(6) {
        // the directory's schema with an additional field or type, so that the datum is decoded
        0 => {
            let mut schema = own_schema(&["S"]);
            let extra = json!({"name": MARKER, "type": "string", "dynamodb": {"attribute": MARKER}});
            schema["fields"].as_array_mut().unwrap().insert(0, extra);
            schema
        }
        1 => own_schema(&[MARKER]),
        2 => json!({"type": "record", "name": "shop.Thing", "fields": [{"name": "id", "type":
            {"type": "fixed", "name": MARKER, "size": 4}}]}),
        3 => own_schema(&["S"]),
        _ => record(random, 3),
    };
    let mut schema = schema.to_string();
    if random.percent(5) {
        schema.truncate(schema.floor_char_boundary(schema.len() / 2));
    }
    let codec = if random.percent(85) { "null".to_owned() } else { marked(random) };
    let mut bytes = b"Obj\x01".to_vec();
    push_long(&mut bytes, 3);
    for (key, value) in [("avro.schema", &*schema), ("avro.codec", &codec), (MARKER, MARKER)] {
        push_bytes(&mut bytes, key.as_bytes());
        push_bytes(&mut bytes, value.as_bytes());
    }
    bytes.push(0);
    let sync = &MARKER.repeat(2).into_bytes()[..16];
    bytes.extend_from_slice(sync);
    let mut data = Vec::new();
    for _ in 0..random.below(4) {
        push_bytes(&mut data, marked(random).as_bytes());
    }
    push_long(&mut bytes, 1);
    push_bytes(&mut bytes, &data);
    bytes.extend_from_slice(if random.percent(90) { sync } else { &[0; 16] });
    bytes
}

/// Returns a JSON body that is a valid record except for one change.
fn json_body(random: &mut Random) -> String {
    let mut body =
        json!({"id": MARKER, "note": MARKER, "price": 1, "tags": {MARKER: MARKER}, "parts": [{"size": "S"}]});
    match random.below(8) {
        0 => body[marked(random)] = json!(1),
        1 => body["price"] = json!(marked(random)),
        2 => body["tags"] = json!({marked(random): 1}),
        3 => body["parts"][0]["size"] = json!(marked(random)),
        4 => body["parts"][0][marked(random)] = json!(1),
        5 => body["id"] = json!(MARKER.repeat(500)),
        6 => body["note"] = json!({marked(random): MARKER}),
        _ => return format!("{{\"id\": \"{MARKER}\", {MARKER}"),
    }
    body.to_string()
}

/// Returns a body that is not Avro.
fn text_body(random: &mut Random) -> String {
    match random.below(6) {
        0 => marked(random),
        1 => format!("\"{MARKER}\""),
        2 => format!("b'{MARKER}'"),
        3 => json!(["software.amazon.payloadoffloading.PayloadS3Pointer", {"s3BucketName": MARKER}]).to_string(),
        4 => json!({"Type": "Notification", "Message": name(random, ""), "MessageAttributes": {MARKER: MARKER,
            "schema": {"Type": MARKER, "Value": MARKER}}})
        .to_string(),
        _ => String::new(),
    }
}

fn message(random: &mut Random, id: usize) -> Value {
    let body = match random.below(10) {
        0..5 => STANDARD.encode_to_string(container(random)),
        5..8 => json_body(random),
        8 => text_body(random),
        _ => STANDARD.encode_to_string(marked(random)),
    };
    let mut attributes = json!({MARKER: {"stringValue": MARKER, "dataType": "String"}});
    for (name, own) in [("schema", "thing"), ("operation", "put"), ("__value_schema_id", "AQ=="), ("avro", "AQ==")] {
        let (percent, is_own) = if name == "schema" { (90, random.percent(80)) } else { (5, random.percent(50)) };
        if random.percent(percent) {
            let value = if is_own { own.to_owned() } else { marked(random) };
            let (kind, member) =
                one_of(random, &[("String", "stringValue"), ("String", "stringValue"), ("Binary", "binaryValue")]);
            attributes[name] = json!({member: value, "dataType": if random.percent(95) { kind } else { MARKER }});
        }
    }
    json!({"messageId": format!("m{id}"), "receiptHandle": MARKER, "body": body, "messageAttributes": attributes,
        "attributes": {"AWSTraceHeader": format!("Root={MARKER}"), "ApproximateReceiveCount": "1", "SenderId": MARKER}})
}

/// Buffer of the logged lines.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn handler(table: &FakeDynamoDb) -> Handler {
    let settings = Settings::parse(|name| match name {
        "TABLE_NAME" => Some("things".to_owned()),
        "WIRE_FORMATS" => Some("single-object,container,confluent,glue,datum,json".to_owned()),
        _ => None,
    });
    let file = |version: &str, symbols: &[&str]| SchemaFile {
        subject: "thing".into(),
        version: version.into(),
        text: own_schema(symbols).to_string(),
        path: format!("thing/{version}.avsc"),
    };
    let transcoder = Transcoder::new(&settings.unwrap(), vec![file("1", &["S", "L"]), file("2", &["S"])]).unwrap();
    let limit = AimdLimit::new(Duration::from_millis(50), 1, 50).unwrap();
    let writer = Writer::new(table.client(), transcoder.mappings().clone(), limit, |most| most);
    Handler::new(transcoder, writer, None, Metrics::new("AvroIngest", "test"), Duration::from_millis(500))
}

#[tokio::test(start_paused = true)]
async fn no_error_text_and_no_log_line_holds_anything_of_a_message() {
    let log = Log::default();
    let to = log.clone();
    let subscriber = tracing_subscriber::fmt().json().with_writer(move || to.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let handler = handler(&FakeDynamoDb::new(&["id"], Faults::default(), 1));
    let mut reasons = BTreeSet::new();
    for seed in 0..EVENTS {
        let mut random = Random::new(seed);
        let messages: Vec<_> = (0..MESSAGES).map(|id| message(&mut random, id)).collect();
        let event = json!({"Records": messages}).to_string();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let context = Context { deadline: now + Duration::from_secs(100), ..Context::default() };
        let result = handler.handle(event.as_bytes(), &context).await;
        let response = serde_json::to_string(&result.response.unwrap()).unwrap();
        let metrics = String::from_utf8(result.metrics).unwrap();
        let lines = String::from_utf8(std::mem::take(&mut *log.0.lock().unwrap())).unwrap();
        for text in lines.lines().chain(metrics.lines()).chain([&*response]) {
            let texts = text.to_lowercase();
            assert!(!texts.contains("secret") && !texts.contains("zq7"), "seed {seed}: {text}");
        }
        let reason =
            |line: &str| serde_json::from_str::<Value>(line).unwrap()["fields"]["reason"].as_str().map(str::to_owned);
        reasons.extend(lines.lines().filter_map(reason));
    }
    // checks that the messages reached the code for each of these reasons
    for reason in [
        "incompatible_schema",
        "invalid_attribute",
        "invalid_base64",
        "invalid_container",
        "invalid_envelope",
        "invalid_json",
        "invalid_key",
        "malformed_datum",
        "missing_body",
        "schema_required",
        "truncated",
        "unknown_schema",
    ] {
        assert!(reasons.contains(reason), "{reason} in {reasons:?}");
    }
}
