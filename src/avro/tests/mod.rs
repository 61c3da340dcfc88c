//! Tests of the decoder's public interface: messages are decoded into trees.

mod basics;
mod container;
mod evolution;
mod formats;
mod hostile;
mod json;
mod json_avro;
mod logical_types;
pub(crate) mod model;
pub(crate) mod model_times;
pub(crate) mod model_values;
mod oracle;
mod sample;
mod schemas;
mod times;
mod tracked;
pub(crate) mod tree;
mod unions;

use super::{
    Body, DecodeError, Decoder, Input, JsonEncoding, Options, SchemaFile, Schemas, Scratch, Undecoded, WireFormat,
    binary,
    json_encode::{self, Bounds},
    schema::Schema,
};
use crate::{json::Json, outcome::Reason};
use tree::{Records, Tree};

const ORDER: &str = r#"{"type": "record", "name": "Order", "fields": [
    {"name": "order_id", "type": "string"},
    {"name": "customer_id", "type": "string"},
    {"name": "items", "type": {"type": "array", "items": {"type": "record", "name": "Item", "fields": [
        {"name": "product_id", "type": "string"}, {"name": "quantity", "type": "int"}, {"name": "price", "type": "double"}]}}},
    {"name": "total_amount", "type": "double"},
    {"name": "timestamp", "type": "long"}]}"#;

const ORDER_JSON: &str = r#"{"order_id": "o-1", "customer_id": "c-1", "items": [
    {"product_id": "p-1", "quantity": 2, "price": 1.5}, {"product_id": "p-2", "quantity": -1, "price": 0}],
    "total_amount": 3.0, "timestamp": 1700000000000}"#;

fn order_tree() -> Tree {
    let item = |id, quantity, price| {
        tree::record([
            ("product_id", Tree::from(id)),
            ("quantity", Tree::Long(quantity)),
            ("price", Tree::Double(price)),
        ])
    };
    tree::record([
        ("order_id", "o-1".into()),
        ("customer_id", "c-1".into()),
        ("items", Tree::Array(vec![item("p-1", 2, 1.5), item("p-2", -1, 0.0)])),
        ("total_amount", Tree::Double(3.0)),
        ("timestamp", Tree::Long(1_700_000_000_000)),
    ])
}

/// Returns the schema of a record `R` with these fields, each as JSON.
pub(super) fn record_of(fields: &str) -> String {
    format!(r#"{{"type": "record", "name": "R", "fields": [{fields}]}}"#)
}

/// Returns the schema of a record `R` with a single field `f` of this type.
pub(super) fn field_of(ty: &str) -> String {
    record_of(&format!(r#"{{"name": "f", "type": {ty}}}"#))
}

fn file(name: &str, text: &str) -> SchemaFile {
    let (subject, version) = name.split_once('/').unwrap();
    let path = format!("{name}.avsc");
    SchemaFile { subject: subject.to_owned(), version: version.to_owned(), text: text.to_owned(), path }
}

/// Parses schemas from files named `subject/version`.
fn parse(files: &[(&str, &str)]) -> Result<Schemas, String> {
    Schemas::parse(files.iter().map(|(name, text)| file(name, text)).collect()).map_err(|errors| errors.to_string())
}

fn options(formats: &[WireFormat]) -> Options {
    Options { formats: formats.to_vec(), ..Options::default() }
}

fn decoder(files: &[(&str, &str)], formats: &[WireFormat]) -> Decoder {
    parse(files).unwrap().compile(options(formats)).unwrap()
}

/// Parses the versions of a single subject `s`.
pub(super) fn versions(texts: &[&str]) -> Result<Schemas, String> {
    let names: Vec<_> = (1..=texts.len()).map(|version| format!("s/{version}")).collect();
    parse(&names.iter().map(String::as_str).zip(texts.iter().copied()).collect::<Vec<_>>())
}

/// Creates a decoder of datums without headers for the single subject `s`.
fn of_datums(texts: &[&str]) -> Decoder {
    versions(texts).unwrap().compile(options(&[WireFormat::Datum])).unwrap()
}

fn binary(body: &[u8]) -> Input<'_> {
    Input { body: Body::Binary(body), schema: None, value_schema_id: None, keys_only: false }
}

/// Returns a JSON body for the subject `s`.
fn json_of(text: &str) -> Input<'_> {
    Input { body: Body::Json(text), schema: Some("s"), value_schema_id: None, keys_only: false }
}

fn datum<'a>(body: &'a [u8], schema: &'a str) -> Input<'a> {
    Input { schema: Some(schema), ..binary(body) }
}

fn read_all(decoder: &Decoder, input: &Input<'_>) -> Result<Vec<Tree>, DecodeError> {
    let mut records = Records::default();
    let decoded =
        decoder.decode(input, &mut Scratch::default(), &mut records).map_err(|undecoded| match undecoded {
            Undecoded::Rejected(error) => error,
            Undecoded::Interrupted(interruption) => panic!("{interruption}"),
        })?;
    assert_eq!(decoded.records, records.finished.len());
    assert!(records.finished.iter().all(|(subject, _)| *subject == decoded.subject));
    Ok(records.finished.into_iter().map(|(_, tree)| tree).collect())
}

fn read(decoder: &Decoder, input: &Input<'_>) -> Result<Tree, DecodeError> {
    let mut trees = read_all(decoder, input)?;
    let tree = trees.pop().unwrap();
    assert!(trees.is_empty(), "the message has more than one record");
    Ok(tree)
}

fn reason(decoder: &Decoder, input: &Input<'_>) -> (Reason, String) {
    let error = read_all(decoder, input).unwrap_err();
    (error.reason(), error.to_string())
}

/// Encodes `json` as a datum of `schema`.
fn write(schema: &str, json: &str) -> Vec<u8> {
    let mut datum = Vec::new();
    let bounds = Bounds { depth: 100, values: 1_000_000, bytes: 1 << 30 };
    let json = Json::parse(json, 200).unwrap();
    json_encode::record_datum(&Schema::parse(schema).unwrap(), (&json, JsonEncoding::Plain), bounds, &mut datum)
        .unwrap();
    datum
}

/// Encodes `json` with the schema `writer` and decodes it with the schema `reader`.
fn evolve(writer: &str, json: &str, reader: &str) -> Result<Tree, (Reason, String)> {
    let decoder = of_datums(&[writer, reader]);
    let body = write(writer, json);
    read(&decoder, &datum(&body, "s/1")).map_err(|error| (error.reason(), error.to_string()))
}

/// Returns a container with this schema and codec. Each block has a number of records and its data, which is written
/// unchanged.
fn container(schema: &str, codec: &str, blocks: &[(i64, &[u8])]) -> Vec<u8> {
    let mut body = b"Obj\x01".to_vec();
    binary::push_len(&mut body, 2);
    for text in ["avro.schema", schema, "avro.codec", codec] {
        binary::push_bytes(&mut body, text.as_bytes());
    }
    body.push(0);
    body.extend([7; 16]);
    for (count, data) in blocks {
        binary::push_long(&mut body, *count);
        binary::push_bytes(&mut body, data);
        body.extend([7; 16]);
    }
    body
}
