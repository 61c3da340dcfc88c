//! Tests with bodies that other Avro libraries encoded, and the values that they decode from them.
//! `tests/bodies/make_bodies.py` creates the files.

use avro_ingest::avro::Undecoded;
use avro_ingest::decode::{DecodeBuffers, decode_message};
use avro_ingest::outcome::Rejection;
use avro_ingest::schema_dir;
use avro_ingest::settings::Settings;
use avro_ingest::sqs::Event;
use avro_ingest::transcode::Transcoder;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bodies")
}

fn cases(file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(directory().join(file)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Transcoders by value of WIRE_FORMATS.
#[derive(Default)]
struct Transcoders(BTreeMap<String, Transcoder>);

impl Transcoders {
    fn allowing(&mut self, wire_formats: &str) -> &Transcoder {
        self.0.entry(wire_formats.to_owned()).or_insert_with(|| {
            let lookup = |name: &str| match name {
                "TABLE_NAME" => Some("table".to_owned()),
                "WIRE_FORMATS" => Some(wire_formats.to_owned()),
                _ => None,
            };
            let files = schema_dir::read(&directory().join("schemas")).unwrap();
            Transcoder::new(&Settings::parse(lookup).unwrap(), files).unwrap()
        })
    }
}

/// Decodes a body and returns its items.
fn read(transcoder: &Transcoder, case: &Value) -> Result<Vec<Value>, Rejection> {
    let mut attributes = serde_json::Map::new();
    if let Some(schema) = case.get("schema_attribute") {
        attributes.insert("schema".into(), json!({"dataType": "String", "stringValue": schema}));
    }
    if let Some(id) = case.get("value_schema_id") {
        attributes.insert("__value_schema_id".into(), json!({"dataType": "Binary", "binaryValue": id}));
    }
    let event =
        json!({"Records": [{"messageId": "m", "body": case["body"], "messageAttributes": attributes}]}).to_string();
    let event = Event::parse(event.as_bytes()).unwrap();
    let mut encoder = transcoder.encoder(Duration::ZERO, 0);
    decode_message(transcoder, &event.messages[0], 0, &mut encoder, &mut DecodeBuffers::default()).map_err(
        |undecoded| match undecoded {
            Undecoded::Rejected(rejection) => rejection,
            Undecoded::Interrupted(interruption) => panic!("{interruption}"),
        },
    )?;
    let items = encoder.finish_event();
    Ok(items.as_slice().iter().map(|item| serde_json::from_slice(items.attributes(item)).unwrap()).collect())
}

/// Makes numbers comparable by value: 1E+2 and 100 are equal.
fn with_canonical_numbers(value: Value) -> Value {
    match value {
        Value::Object(map) => match map.get("N").and_then(Value::as_str) {
            Some(number) if map.len() == 1 => json!({"N": canonical(number)}),
            _ => map.into_iter().map(|(name, value)| (name, with_canonical_numbers(value))).collect(),
        },
        Value::Array(list) => list.into_iter().map(with_canonical_numbers).collect(),
        other => other,
    }
}

/// Returns sign, digits and exponent of a number, with neither leading nor trailing zeros in the digits.
fn canonical(number: &str) -> (bool, String, i64) {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let unsigned = mantissa.trim_start_matches(['-', '+']);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0').trim_end_matches('0').to_owned();
    if significant.is_empty() {
        return (false, significant, 0);
    }
    let trailing = digits.len() - digits.trim_end_matches('0').len();
    let exponent = exponent.parse::<i64>().unwrap() + trailing as i64 - fraction.len() as i64;
    (mantissa.starts_with('-'), significant, exponent)
}

fn check(file: &str, least: usize) {
    let mut transcoders = Transcoders::default();
    let cases = cases(file);
    assert!(cases.len() >= least, "{file} has too few cases");
    let mut wrong = Vec::new();
    for case in &cases {
        let name = &case["name"];
        let expected: Vec<Value> =
            case["items"].as_array().unwrap().iter().cloned().map(with_canonical_numbers).collect();
        match read(transcoders.allowing(case["wire_format"].as_str().unwrap()), case) {
            Ok(items) => {
                let data: Vec<Value> =
                    items.into_iter().map(|item| with_canonical_numbers(item["data"].clone())).collect();
                if data != expected {
                    wrong.push(format!("{name}: {data:?}, not {expected:?}"));
                }
            }
            Err(rejection) => wrong.push(format!("{name}: {rejection}")),
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn bodies_of_other_implementations_become_the_items_they_say() {
    check("bodies.jsonl", 250);
}

#[test]
fn a_body_inflates_to_no_more_than_its_buffers_may_hold() {
    let mut transcoders = Transcoders::default();
    let mut interrupted = 0;
    for case in cases("bodies.jsonl").iter().filter(|case| case["name"].as_str().unwrap().contains("/deflate/orders")) {
        let transcoder = transcoders.allowing(case["wire_format"].as_str().unwrap());
        let event = json!({"Records": [{"messageId": "m", "body": case["body"]}]}).to_string();
        let event = Event::parse(event.as_bytes()).unwrap();
        let mut encoder = transcoder.encoder(Duration::ZERO, 0);
        let buffers = &mut DecodeBuffers::bounded(1);
        let decoded = decode_message(transcoder, &event.messages[0], 0, &mut encoder, buffers);
        assert!(matches!(decoded, Err(Undecoded::Interrupted(_))), "{}", case["name"]);
        interrupted += 1;
    }
    assert!(interrupted > 0);
}

#[test]
fn a_body_may_be_spelled_in_many_ways() {
    check("envelopes.jsonl", 5);
}

#[test]
fn bad_bodies_are_rejected_for_the_right_reason() {
    let mut transcoders = Transcoders::default();
    let cases = cases("rejected.jsonl");
    assert!(cases.len() >= 200, "rejected.jsonl has too few cases");
    let mut wrong = Vec::new();
    for case in &cases {
        let allowed: Vec<&str> =
            case["reasons"].as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
        match read(transcoders.allowing(case["wire_format"].as_str().unwrap()), case) {
            Err(rejection) if allowed.contains(&rejection.reason.code()) => {}
            Err(rejection) => wrong.push(format!("{}: {rejection}, not {allowed:?}", case["name"])),
            Ok(_) => wrong.push(format!("{}: accepted, not {allowed:?}", case["name"])),
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
