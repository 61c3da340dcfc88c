//! Identifiers of schemas in schema registries.

use super::super::text;
use crate::json::Json;
use std::fmt;

/// Identifier of a schema in a registry, from `schemaIds` in the schema's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SchemaId {
    /// Schema id of the Confluent schema registry.
    Number(u32),
    /// Schema version id of AWS Glue, or schema GUID of the Confluent schema registry.
    Uuid([u8; 16]),
}

impl SchemaId {
    pub(super) fn from_json(json: &Json<'_>) -> Option<Self> {
        match json {
            Json::Text(text) => text::uuid(text).map(Self::Uuid),
            json => json.as_integer().map(Self::Number),
        }
    }
}

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Uuid(bytes) => uuid::Uuid::from_bytes(*bytes).fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_four_byte_integer_or_a_uuid() {
        let read = |text| SchemaId::from_json(&Json::parse(text, 1).unwrap());
        assert_eq!(read("42"), Some(SchemaId::Number(42)));
        assert_eq!(read("4294967295"), Some(SchemaId::Number(u32::MAX)));
        let uuid = read("\"B7B4a7f0-9c96-4e4a-a687-fb5de9ef0c63\"").unwrap();
        assert_eq!(uuid.to_string(), "b7b4a7f0-9c96-4e4a-a687-fb5de9ef0c63");
        for wrong in ["-1", "4294967296", "1.0", "\"42\"", "null", "[1]"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
