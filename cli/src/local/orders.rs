//! Generates made-up orders of the example schema, and a few messages that no function can store.

use super::Sample;
use avro_ingest::avro::WireFormat;
use avro_ingest::encode::{EncodeError, Encoder};
use local::sqs::{Attribute, Message};
use serde_json::{Map, Value, json};
use std::error::Error;
use std::path::Path;

/// Number of orders after which one is sent again with a change, directly after the original.
const CORRECTION_EVERY: usize = 97;

/// The subject of the orders.
const SUBJECT: &str = "order";

/// Returns an encoder of orders, if `schemas` contains their schema.
pub(super) fn encoder(schemas: &Path) -> Result<Encoder, Box<dyn Error>> {
    Encoder::for_subject(schemas, SUBJECT).map_err(|error| match error {
        EncodeError::UnknownSchema { .. } => {
            "made-up orders need the schema order; for another give --sample N or --records FILE, and --schema".into()
        }
        other => other.into(),
    })
}

/// Returns the order with this number. It is deterministic.
fn order(number: usize) -> Map<String, Value> {
    let items: Vec<Value> = (0..1 + number % 4)
        .map(|item| json!({"product_id": format!("SKU-{:04}", (number * 7 + item * 13) % 1_000), "quantity": 1 + (number + item) % 5,
            "price": f64::from(u16::try_from(499 + (number * 31 + item * 17) % 9_000).unwrap_or_default()) / 100.0}))
        .collect();
    let total: f64 = items
        .iter()
        .map(|item| item["price"].as_f64().unwrap_or_default() * item["quantity"].as_f64().unwrap_or_default())
        .sum();
    let order = json!({
        "order_id": format!("order-{number:06}"),
        "customer_id": format!("customer-{:04}", number * 37 % 500),
        "items": items,
        "total_amount": (total * 100.0).round() / 100.0,
        "timestamp": 1_705_312_800_000_i64 + i64::try_from(number).unwrap_or_default() * 250,
    });
    order.as_object().cloned().unwrap_or_default()
}

/// Returns `count` orders with a few corrections, and the poison messages distributed among them.
pub(super) fn samples(encoder: &Encoder, count: usize) -> Result<Vec<Sample>, Box<dyn Error>> {
    let text = |bytes: &[u8]| Message::text(avro_ingest::encode::body(bytes));
    let good = |record: Map<String, Value>| -> Result<Sample, Box<dyn Error>> {
        Ok(Sample { message: text(&frame(encoder, record)?), name: "a good message".to_owned(), is_poison: false })
    };
    let mut samples = Vec::with_capacity(count + count / CORRECTION_EVERY + 8);
    for number in 0..count {
        let mut record = order(number);
        samples.push(good(record.clone())?);
        if number % CORRECTION_EVERY == CORRECTION_EVERY - 1 {
            record.insert("customer_id".into(), json!("customer-corrected"));
            samples.push(good(record)?);
        }
    }
    let poison = poison(&frame(encoder, order(count))?, encoder)?;
    let distance = samples.len() / poison.len().max(1);
    for (place, sample) in poison.into_iter().enumerate().rev() {
        samples.insert(place * distance, sample);
    }
    Ok(samples)
}

fn frame(encoder: &Encoder, record: Map<String, Value>) -> Result<Vec<u8>, EncodeError> {
    encoder.frame(WireFormat::SingleObject, &Value::Object(record))
}

fn poison(order: &[u8], encoder: &Encoder) -> Result<Vec<Sample>, Box<dyn Error>> {
    let body = |bytes: &[u8]| Message::text(avro_ingest::encode::body(bytes));
    let mut no_key = self::order(0);
    no_key.insert("order_id".into(), json!(""));
    let mut unknown = order.to_vec();
    if let Some(byte) = unknown.get_mut(2) {
        *byte ^= 0xFF;
    }
    let mut hostile = order.split_at(10).0.to_vec();
    // a string with a declared length of 2^60 bytes
    hostile.extend_from_slice(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20]);
    let cut = order.split_at(order.len() - 7).0;
    let attribute = Message::text("AAAA").with("avro", Attribute::String("AAAA".into()));
    let poison = [
        (Message::text("not base64 at all!"), "a body that is not base64"),
        (body(cut), "an order cut short"),
        (body(&[order, b"tail"].concat()), "bytes after the order"),
        (body(&unknown), "a schema nobody knows"),
        (body(&hostile), "a string of 2^60 bytes"),
        (body(&frame(encoder, no_key)?), "an order without an id"),
        (attribute, "an attribute of the wrong type"),
    ];
    Ok(poison.map(|(message, what)| Sample { message, name: what.to_owned(), is_poison: true }).into())
}
