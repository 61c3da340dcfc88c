//! Encoding of records as items, with one test file per topic.

mod budget;
mod keys;
mod messages;
mod omission;
mod sizes;
mod templates;
mod ttl;
mod values;
mod versions;

use super::super::mapping::{Fields, Mapping, TableId};
use super::{ItemEncoder, Items, Operation, RecordEncoder};
use crate::record::{FieldKind, ItemError, Name, Quantity, RecordSink, RecordVisitor, SubjectId, Unit};
use serde_json::Value;
use std::time::Duration;

/// The fields `id` (text), `at` (milliseconds), `n` (plain number), `note` (text), `raw` (binary) and `tags` (other).
struct Sample;

impl Fields for Sample {
    fn kind(&self, path: &str) -> Result<FieldKind, String> {
        match path {
            "id" | "note" => Ok(FieldKind::Text),
            "at" => Ok(FieldKind::Number(Quantity::Timestamp(Unit::Milliseconds))),
            "n" => Ok(FieldKind::Number(Quantity::Plain)),
            "raw" => Ok(FieldKind::Binary),
            "tags" => Ok(FieldKind::Other),
            _ => Err("no such field".into()),
        }
    }

    fn names(&self) -> Vec<&str> {
        vec!["id", "at", "n", "note", "raw", "tags"]
    }
}

#[expect(clippy::needless_pass_by_value, reason = "reads better at the many calls")]
fn mapping(property: Value) -> Vec<(TableId, Mapping)> {
    vec![(TableId::new(0), Mapping::parse(Some(&property), "table", &Sample).unwrap())]
}

type Step<'s> = &'s dyn Fn(&mut RecordEncoder<'_>) -> Result<(), ItemError>;

/// Encodes one record with `fields`, and tracks the fields that its mapping uses.
fn encode(property: Value, operation: Operation, fields: &[(&str, Step<'_>)]) -> Result<Items, ItemError> {
    let mappings = mapping(property);
    let mut encoder = ItemEncoder::new(&mappings, Duration::from_millis(1_700_000_000_123), 0);
    encoder.start_message(0, "m1", operation);
    record(&mut encoder, &mappings[0].1, None, fields)?;
    Ok(encoder.finish_event())
}

fn record(
    encoder: &mut ItemEncoder<'_>,
    mapping: &Mapping,
    index: Option<usize>,
    fields: &[(&str, Step<'_>)],
) -> Result<(), ItemError> {
    let mut record = encoder.begin(SubjectId(0), index)?;
    write_values(&mut record, mapping, fields)?;
    record.finish()
}

fn write_values(
    record: &mut RecordEncoder<'_>,
    mapping: &Mapping,
    fields: &[(&str, Step<'_>)],
) -> Result<(), ItemError> {
    record.record_start()?;
    for (name, value) in fields {
        record.field(&Name::new(name))?;
        for (field, _) in mapping.tracked_fields().iter().filter(|(_, path)| path == name) {
            record.tracked_field(*field)?;
        }
        value(record)?;
    }
    record.record_end()
}

fn attributes(items: &Items) -> Value {
    serde_json::from_slice(items.attributes(&items.as_slice()[0])).unwrap()
}

fn put(property: Value, fields: &[(&str, Step<'_>)]) -> Value {
    attributes(&encode(property, Operation::Put, fields).unwrap())
}
