//! Generates commands that create the tables which are not part of the stack. Pure.

use avro_ingest::dynamodb::mapping::{Mapping, TableName};
use avro_ingest::transcode::Transcoder;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A table that receives records and is not part of the stack.
pub(super) struct OtherTable {
    pub(super) table: String,
    /// Commands that create the table and enable time to live for its items.
    pub(super) commands: Vec<String>,
}

/// Returns each table that is not part of the stack, without duplicates.
pub(super) fn other_tables(transcoder: &Transcoder) -> Vec<OtherTable> {
    let tables = transcoder.mappings().iter().map(|(table, _)| *table);
    let subjects =
        transcoder.subjects().zip(tables).filter(|((subject, _), _)| !transcoder.writes_default_table(subject));
    let mut mappings: BTreeMap<_, Vec<&Mapping>> = BTreeMap::new();
    for ((_, mapping), table) in subjects {
        mappings.entry(table).or_default().push(mapping);
    }
    mappings.values().filter_map(|mappings| other_table(mappings)).collect()
}

/// Returns the table of `mappings`, all of which have the same keys.
fn other_table(mappings: &[&Mapping]) -> Option<OtherTable> {
    let first = mappings.first()?;
    let keys: Vec<(&str, String)> = first.key_schema().map(|(name, kind)| (name, format!("{kind:?}"))).collect();
    let definitions = keys.iter().map(|(name, kind)| json!({"AttributeName": name, "AttributeType": kind}));
    let roles = keys.iter().zip(["HASH", "RANGE"]);
    let schema = roles.map(|((name, _), role)| json!({"AttributeName": name, "KeyType": role}));
    let table = options(&first.table);
    let mut commands = vec![format!(
        "aws dynamodb create-table {table} --billing-mode PAY_PER_REQUEST --attribute-definitions {} --key-schema {}",
        quoted(&definitions.collect()),
        quoted(&schema.collect())
    )];
    if let Some(attribute) = mappings.iter().find_map(|mapping| mapping.ttl_attribute()) {
        let expiry = quoted(&json!({"AttributeName": attribute, "Enabled": true}));
        commands.push(format!("aws dynamodb update-time-to-live {table} --time-to-live-specification {expiry}"));
    }
    Some(OtherTable { table: first.table.as_str().to_owned(), commands })
}

/// Returns the command-line options that name a table. A table is created by its name, in the region of its ARN.
fn options(table: &TableName) -> String {
    let region = table.region().map(|region| format!("--region {region} ")).unwrap_or_default();
    format!("{region}--table-name {}", table.name())
}

/// Quotes JSON as one shell word.
fn quoted(json: &Value) -> String {
    format!("'{}'", json.to_string().replace('\'', r"'\''"))
}
