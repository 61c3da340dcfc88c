//! Prints the items in the tables.

use crate::output::outln;
use local::dynamodb::Client;
use serde_json::{Map, Value};
use std::error::Error;

/// Prints at most `most` items per table.
pub(super) async fn items(client: &Client, tables: &[String], most: usize) -> Result<(), Box<dyn Error>> {
    for table in tables {
        let mut items = client.scan(table).await?;
        items.sort_by_cached_key(|item| Value::Object(item.clone()).to_string());
        outln!("\n{} of {} items of {table}", items.len().min(most), items.len())?;
        for item in items.into_iter().take(most) {
            outln!("  {}", Value::Object(plain(item)))?;
        }
    }
    Ok(())
}

/// Returns an item as plain JSON, without DynamoDB's type descriptors.
fn plain(item: Map<String, Value>) -> Map<String, Value> {
    fn value(typed: Value) -> Value {
        let Value::Object(typed) = typed else { return typed };
        match typed.into_iter().next() {
            Some((name, Value::Object(map))) if name == "M" => Value::Object(plain(map)),
            Some((name, Value::Array(list))) if name == "L" => list.into_iter().map(value).collect(),
            Some((name, Value::String(text))) if name == "N" => {
                serde_json::from_str(&text).unwrap_or(Value::String(text))
            }
            Some((name, _)) if name == "NULL" => Value::Null,
            Some((_, value)) => value,
            None => Value::Null,
        }
    }
    item.into_iter().map(|(name, typed)| (name, value(typed))).collect()
}
