//! Tests every rejection reason: a message that causes it is rejected with its code, and the other message of the event is
//! stored.

use crate::support::fake_dynamodb::{FakeDynamoDb, Faults};
use apache_avro::types::Value as Avro;
use avro_ingest::avro::SchemaFile;
use avro_ingest::invocation::{Context, Handler};
use avro_ingest::limiter::AimdLimit;
use avro_ingest::metrics::Metrics;
use avro_ingest::outcome::Reason;
use avro_ingest::settings::Settings;
use avro_ingest::transcode::Transcoder;
use avro_ingest::write::Writer;
use base64_simd::STANDARD;
use serde_json::{Value, json};
use std::time::Duration;

/// A schema of a record with an enum field whose symbols are `symbols`.
fn schema(symbols: &[&str]) -> String {
    json!({"type": "record", "name": "Thing", "dynamodb": {"partitionKey": "id"}, "fields": [
        {"name": "id", "type": "string"},
        {"name": "note", "type": "string"},
        {"name": "price", "type": "double"},
        {"name": "tags", "type": {"type": "map", "values": "string"}},
        {"name": "size", "type": {"type": "enum", "name": "Size", "symbols": symbols}},
    ]})
    .to_string()
}

fn parsed(symbols: &[&str]) -> apache_avro::Schema {
    apache_avro::Schema::parse_str(&schema(symbols)).unwrap()
}

/// Symbols of the enum in the older version, one of which the newest version has dropped, and those of the newest.
const OLD: &[&str] = &["S", "L"];
const NEW: &[&str] = &["S"];

#[derive(Clone, Copy)]
struct Thing<'a> {
    id: &'a str,
    note: &'a str,
    price: f64,
    tag: Option<&'a str>,
}

const GOOD: Thing<'_> = Thing { id: "good", note: "fine", price: 1.5, tag: None };

impl Thing<'_> {
    fn value(self) -> Avro {
        let tags = self.tag.iter().map(|tag| ((*tag).to_owned(), Avro::String("x".into()))).collect();
        Avro::Record(vec![
            ("id".into(), Avro::String(self.id.into())),
            ("note".into(), Avro::String(self.note.into())),
            ("price".into(), Avro::Double(self.price)),
            ("tags".into(), Avro::Map(tags)),
            ("size".into(), Avro::Enum(0, "S".into())),
        ])
    }

    fn datum(self) -> Vec<u8> {
        let schema = parsed(NEW);
        let writer = apache_avro::writer::datum::GenericDatumWriter::builder(&schema).build().unwrap();
        writer.write_value_to_vec(self.value()).unwrap()
    }

    fn framed(self) -> Vec<u8> {
        framed(NEW, self.datum())
    }
}

fn framed(symbols: &[&str], datum: Vec<u8>) -> Vec<u8> {
    let fingerprint = parsed(symbols).fingerprint::<apache_avro::rabin::Rabin>().bytes;
    [vec![0xC3, 0x01], fingerprint, datum].concat()
}

fn container(schema: &str, records: &[Avro]) -> Vec<u8> {
    let schema = apache_avro::Schema::parse_str(schema).unwrap();
    let mut writer = apache_avro::Writer::new(&schema, Vec::new()).unwrap();
    for record in records {
        writer.append_value(record.clone()).unwrap();
    }
    writer.into_inner().unwrap()
}

/// A message and the value of `WIRE_FORMATS` that it needs.
struct Case {
    record: Value,
    wire_formats: &'static str,
}

fn text(body: &str) -> Case {
    Case { record: json!({"messageId": "bad", "body": body}), wire_formats: "single-object,container,json" }
}

fn bytes(body: Vec<u8>) -> Case {
    text(&STANDARD.encode_to_string(body))
}

fn attribute(mut case: Case, name: &str, value: &str) -> Case {
    case.record["messageAttributes"] = json!({name: {"stringValue": value, "dataType": "String"}});
    case
}

fn thing(change: impl FnOnce(&mut Thing<'_>)) -> Case {
    let mut thing = Thing { id: "bad", ..GOOD };
    change(&mut thing);
    bytes(thing.framed())
}

/// Returns a message that is rejected for `reason`. The exhaustive match makes a new reason without a message a compile error.
fn bad(reason: Reason) -> Case {
    match reason {
        Reason::MissingBody => text(""),
        Reason::InvalidBase64 => text("no base64"),
        Reason::InvalidEnvelope => text(r#"{"Type": "Notification", "Message": ""}"#),
        Reason::InvalidAttribute => attribute(thing(|_| {}), "operation", "upsert"),
        Reason::UnrecognizedFormat => bytes(vec![1, 2, 3]),
        Reason::InvalidHeader => bytes(vec![0xC3, 0x01, 0x00]),
        Reason::UnknownSchema => bytes([&[0xC3, 0x01][..], &[7; 8], &GOOD.datum()].concat()),
        Reason::SchemaRequired => Case { wire_formats: "datum", ..bytes(GOOD.datum()) },
        Reason::IncompatibleSchema => {
            let other = r#"{"type": "record", "name": "Thing", "fields": [{"name": "id", "type": "long"}]}"#;
            bytes(container(other, &[Avro::Record(vec![("id".into(), Avro::Long(1))])]))
        }
        Reason::InvalidContainer => {
            let mut container = container(&schema(NEW), &[GOOD.value()]);
            // corrupt the last byte of the sync marker
            *container.last_mut().unwrap() ^= 1;
            bytes(container)
        }
        Reason::Truncated => {
            let mut framed = GOOD.framed();
            framed.pop();
            bytes(framed)
        }
        Reason::TrailingBytes => bytes([GOOD.framed(), vec![0]].concat()),
        // a string of negative length
        Reason::MalformedDatum => bytes(framed(NEW, vec![0x01])),
        Reason::Unresolvable => {
            let mut datum = GOOD.datum();
            *datum.last_mut().unwrap() = 2;
            bytes(framed(OLD, datum))
        }
        Reason::InvalidJson => attribute(text(r#"{"id": 7}"#), "schema", "thing"),
        // two records, where one is allowed
        Reason::LimitExceeded => bytes(container(&schema(NEW), &[GOOD.value(), GOOD.value()])),
        Reason::NumberOutOfRange => thing(|thing| thing.price = f64::NAN),
        Reason::InvalidKey => thing(|thing| thing.id = ""),
        Reason::ItemTooLarge => {
            let note = "x".repeat(400 * 1024);
            bytes(Thing { note: &note, ..GOOD }.framed())
        }
        Reason::InvalidItem => thing(|thing| thing.tag = Some("")),
        Reason::RefusedByTable => thing(|thing| thing.note = "poison"),
    }
}

fn handler(table: &FakeDynamoDb, wire_formats: &str) -> Handler {
    let config = Settings::parse(|name| match name {
        "TABLE_NAME" => Some("things".to_owned()),
        "WIRE_FORMATS" => Some(wire_formats.to_owned()),
        "MAX_RECORDS" => Some("1".to_owned()),
        _ => None,
    });
    let file = |version: &str, symbols: &[&str]| SchemaFile {
        subject: "thing".into(),
        version: version.into(),
        text: schema(symbols),
        path: format!("thing/{version}.avsc"),
    };
    let transcoder = Transcoder::new(&config.unwrap(), vec![file("1", OLD), file("2", NEW)]).unwrap();
    let limit = AimdLimit::new(Duration::from_millis(50), 1, 50).unwrap();
    let writer = Writer::new(table.client(), transcoder.mappings().clone(), limit, |most| most);
    Handler::new(transcoder, writer, None, Metrics::new("AvroIngest", "test"), Duration::from_millis(500))
}

#[tokio::test(start_paused = true)]
async fn each_reason_is_told_and_costs_no_neighbour() {
    for reason in Reason::ALL {
        let table = FakeDynamoDb::new(&["id"], Faults::default(), 1);
        let Case { record, wire_formats } = bad(*reason);
        let good = match wire_formats {
            "datum" => attribute(bytes(GOOD.datum()), "schema", "thing"),
            _ => bytes(GOOD.framed()),
        };
        let mut good = good.record;
        good["messageId"] = json!("good");
        let event = json!({"Records": [record, good]}).to_string();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let context = Context { deadline: now + Duration::from_secs(10), ..Context::default() };
        let answer = handler(&table, wire_formats).handle(event.as_bytes(), &context).await;

        assert_eq!(answer.response.unwrap().failures().collect::<Vec<_>>(), ["bad"], "{reason:?}");
        assert!(
            table.item("things", r#"{"id":{"S":"good"}}"#).is_some(),
            "{reason:?}: the valid message is not stored"
        );
        let metrics = String::from_utf8(answer.metrics).unwrap();
        let lines = metrics.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let told: Vec<Value> = lines.filter_map(|line| line.get("Reason").cloned()).collect();
        assert_eq!(told, [reason.code()]);
    }
}
