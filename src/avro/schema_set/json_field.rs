//! Finds a field of a record in JSON.

use super::{
    super::{
        json_encode::{JsonEncoding, branch_named},
        schema::{Schema, Type, TypeId},
    },
    SchemaVersion,
};
use serde_json::Value;

impl SchemaVersion {
    /// Returns the value at `path` in `record`, which is JSON in `encoding`. A path consists of field names joined by
    /// dots. A union's value is returned without its tag.
    pub fn json_field<'j>(&self, record: &'j Value, path: &str, encoding: JsonEncoding) -> Option<&'j Value> {
        if encoding == JsonEncoding::Plain {
            return record.pointer(&format!("/{}", path.replace('.', "/")));
        }
        let schema = self.schema();
        let mut found = untagged(schema, schema.root(), record)?;
        for name in path.split('.') {
            let (ty, value) = found;
            let inner = match schema.get(ty) {
                Type::Record(record) => record.fields.iter().find(|field| *field.name == *name)?.ty,
                Type::Map(values) => *values,
                _ => return None,
            };
            found = untagged(schema, inner, value.get(name)?)?;
        }
        Some(found.1)
    }
}

/// Removes the tag of the union branch from a value in Avro's own JSON encoding.
fn untagged<'j>(schema: &Schema, ty: TypeId, value: &'j Value) -> Option<(TypeId, &'j Value)> {
    let Type::Union(branches) = schema.get(ty) else { return Some((ty, value)) };
    match value {
        Value::Object(members) if members.len() == 1 => {
            let (name, value) = members.iter().next()?;
            Some((*branches.get(branch_named(schema, branches, name)?)?, value))
        }
        Value::Null => Some((ty, value)),
        _ => None,
    }
}
