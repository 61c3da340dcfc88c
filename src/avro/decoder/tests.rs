//! The decoder from outside: messages in, trees out.

use super::*;
use crate::{
    avro::{
        SchemaFile, Schemas,
        json::Json,
        tree::{Records, Tree, record},
        write,
    },
    outcome::Reason,
};

const ORDER: &str = r#"{"type": "record", "name": "Order", "fields": [
    {"name": "order_id", "type": "string"},
    {"name": "customer_id", "type": "string"},
    {"name": "items", "type": {"type": "array", "items": {"type": "record", "name": "Item", "fields": [
        {"name": "product_id", "type": "string"}, {"name": "quantity", "type": "int"}, {"name": "price", "type": "double"}]}}},
    {"name": "total_amount", "type": "double"},
    {"name": "timestamp", "type": "long"}]}"#;

fn file(name: &str, text: &str) -> SchemaFile {
    let (subject, version) = name.split_once('/').unwrap();
    let path = format!("{name}.avsc");
    SchemaFile { subject: subject.to_owned(), version: version.to_owned(), text: text.to_owned(), path }
}

fn schemas(files: &[(&str, &str)]) -> Schemas {
    Schemas::parse(files.iter().map(|(name, text)| file(name, text)).collect()).unwrap()
}

fn options(formats: &[WireFormat]) -> Options {
    Options { formats: formats.to_vec(), ..Options::default() }
}

/// A decoder of bare datums of the one subject `s`.
fn of_datums(versions: &[&str]) -> Decoder {
    let names: Vec<_> = (1..=versions.len()).map(|version| format!("s/{version}")).collect();
    let files: Vec<_> = names.iter().map(String::as_str).zip(versions.iter().copied()).collect();
    schemas(&files).compile(options(&[WireFormat::Datum])).unwrap()
}

fn binary(body: &[u8]) -> Input<'_> {
    Input { body: Body::Binary(body), schema: None, value_schema_id: None, keys_only: false }
}

fn datum<'a>(body: &'a [u8], schema: &'a str) -> Input<'a> {
    Input { schema: Some(schema), ..binary(body) }
}

fn read(decoder: &Decoder, input: Input<'_>) -> Result<Tree, DecodeError> {
    let mut records = Records::default();
    decoder.decode(&input, &mut Scratch::default(), &mut records)?;
    let (_, tree) = records.finished.pop().unwrap();
    assert!(records.finished.is_empty());
    Ok(tree)
}

fn reason(decoder: &Decoder, input: Input<'_>) -> (Reason, String) {
    let error = read(decoder, input).unwrap_err();
    (error.reason(), error.to_string())
}

fn order() -> Vec<u8> {
    let json = r#"{"order_id": "o-1", "customer_id": "c-1", "items": [
        {"product_id": "p-1", "quantity": 2, "price": 1.5}, {"product_id": "p-2", "quantity": -1, "price": 0}],
        "total_amount": 3.0, "timestamp": 1700000000000}"#;
    let schema = crate::avro::schema::Schema::parse(ORDER).unwrap();
    let mut datum = Vec::new();
    let bounds = write::Bounds { depth: 10, values: 100, bytes: 1000 };
    let json = Json::parse(json, 10).unwrap();
    write::record_datum(&schema, &json, crate::avro::plan::Presence::Full, bounds, &mut datum).unwrap();
    datum
}

fn order_tree() -> Tree {
    let item = |id, quantity, price| {
        record([("product_id", Tree::from(id)), ("quantity", Tree::Long(quantity)), ("price", Tree::Double(price))])
    };
    record([
        ("order_id", "o-1".into()),
        ("customer_id", "c-1".into()),
        ("items", Tree::Array(vec![item("p-1", 2, 1.5), item("p-2", -1, 0.0)])),
        ("total_amount", Tree::Double(3.0)),
        ("timestamp", Tree::Long(1_700_000_000_000)),
    ])
}

#[test]
fn a_single_object_is_read_by_its_fingerprint() {
    let schemas = schemas(&[("order/1", ORDER)]);
    let fingerprint = schemas.subjects().next().unwrap().newest().fingerprint();
    let decoder = schemas.compile(options(&[WireFormat::SingleObject])).unwrap();
    let body = [&[0xC3, 0x01][..], &fingerprint.to_le_bytes(), &order()].concat();
    assert_eq!(read(&decoder, binary(&body)), Ok(order_tree()));
    let unknown = [&[0xC3, 0x01][..], &7_u64.to_le_bytes(), &order()].concat();
    assert_eq!(
        reason(&decoder, binary(&unknown)),
        (Reason::UnknownSchema, "single-object: schema 0000000000000007 is not in the directory".to_owned())
    );
}

#[test]
fn a_datum_cut_at_any_byte_is_rejected() {
    let decoder = of_datums(&[ORDER]);
    let body = order();
    assert_eq!(read(&decoder, datum(&body, "s")), Ok(order_tree()));
    for len in 0..body.len() {
        assert_eq!(reason(&decoder, datum(&body[..len], "s")).0, Reason::Truncated, "{len}");
    }
    let longer = [&body[..], &[0]].concat();
    assert_eq!(reason(&decoder, datum(&longer, "s")).0, Reason::TrailingBytes);
}

#[test]
fn an_error_names_the_path_of_the_field() {
    let decoder = of_datums(&[ORDER]);
    let mut body = order();
    body.truncate(body.len() - 7);
    assert_eq!(reason(&decoder, datum(&body, "s")).1, "datum: total_amount: the datum ends before the value does");
    body.truncate(body.len() - 9);
    assert_eq!(reason(&decoder, datum(&body, "s")).1, "datum: items[1].price: the datum ends before the value does");
}
