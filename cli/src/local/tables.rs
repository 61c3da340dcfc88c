//! Creates the tables that the schemas need.

use avro_ingest::dynamodb::mapping::KeyType;
use avro_ingest::transcode::Transcoder;
use local::dynamodb::{Client, Key, KeyKind, Table};
use std::collections::BTreeMap;
use std::error::Error;

/// Creates the default table and every table that the schemas name, with the keys of their mappings. A table that two subjects
/// name differently is created once.
///
/// # Errors
/// If a call fails, or if a schema names its table by an ARN, because the embedded database does not support ARNs.
pub(super) async fn create(
    client: &Client,
    default_table: &str,
    transcoder: &Transcoder,
) -> Result<Vec<String>, Box<dyn Error>> {
    let kind = |key_type| match key_type {
        KeyType::S => KeyKind::String,
        KeyType::N => KeyKind::Number,
        KeyType::B => KeyKind::Binary,
    };
    let mut tables: BTreeMap<&str, Table> = BTreeMap::new();
    for (subject, mapping) in transcoder.subjects() {
        if mapping.table.name() != mapping.table.as_str() {
            let (subject, name) = (subject.name(), mapping.table.name());
            return Err(
                format!("subject {subject}: the local database has no ARNs; name its table {name} instead").into()
            );
        }
        let mut keys = mapping.key_schema().map(|(name, key_type)| Key::new(name, kind(key_type)));
        let (partition_key, sort_key) = (keys.next(), keys.next());
        let Some(partition_key) = partition_key else { continue };
        let mut table = Table { name: mapping.table.name().to_owned(), partition_key, sort_key: None };
        if let Some(sort_key) = sort_key {
            table = table.sorted_by(sort_key);
        }
        tables.entry(mapping.table.name()).or_insert(table);
    }
    tables.entry(default_table).or_insert_with(|| Table::keyed_by(default_table, "message_id"));
    for table in tables.values() {
        client.create_table(table).await?;
    }
    Ok(tables.into_values().map(|table| table.name).collect())
}
