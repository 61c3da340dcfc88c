//! Computes the minimum depth of a schema's records, and finds records that contain themselves and so have no finite
//! value.

use super::{
    super::{
        path::WithPath,
        schema::{Field, Schema, Type, TypeId},
    },
    SchemaVersion,
};
use std::fmt;

/// A record that always contains itself and therefore has no finite value.
pub type EndlessRecord = WithPath<NoFiniteValue>;

/// The record has no finite value. This is the problem of an [`EndlessRecord`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoFiniteValue;

impl fmt::Display for NoFiniteValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the record holds itself without an end, so that there is no message of it")
    }
}

impl std::error::Error for NoFiniteValue {}

impl SchemaVersion {
    /// Returns the minimum number of levels in the item of a record. The record is the first level, and each list, map
    /// or value inside it adds one. Fields that are omitted from the item do not count.
    ///
    /// # Errors
    /// Returns the path to the record that contains itself if the schema has no finite record.
    pub fn least_levels(&self) -> Result<usize, EndlessRecord> {
        let schema = self.schema();
        let finite = least(schema, |_| true);
        if least_of(&finite, schema.root()).is_none() {
            return Err(WithPath::at_types(&endless_path(schema, &finite), NoFiniteValue));
        }
        let levels = least(schema, |field| field.item_name().is_some());
        Ok(least_of(&levels, schema.root()).unwrap_or_default())
    }
}

fn least_of(levels: &[Option<usize>], ty: TypeId) -> Option<usize> {
    levels.get(ty.index()).copied().flatten()
}

/// Returns the minimum number of levels of a value of each type, or `None` for a type without a finite value. Only
/// those fields of records count for which `counted` returns true.
///
/// This is a fixed point: each round computes the types whose parts were computed in the previous rounds.
fn least(schema: &Schema, counted: impl Fn(&Field) -> bool) -> Vec<Option<usize>> {
    let mut levels = vec![None; schema.types().len()];
    loop {
        let mut has_changed = false;
        for (index, ty) in schema.types().iter().enumerate() {
            let found = match ty {
                // The minimum is an empty array or map.
                Type::Array(_) | Type::Map(_) => Some(1),
                Type::Union(branches) => branches.iter().filter_map(|branch| least_of(&levels, *branch)).min(),
                Type::Record(record) => {
                    let fields = record.fields.iter().filter(|field| counted(field));
                    let deepest = fields
                        .map(|field| least_of(&levels, field.ty))
                        .try_fold(0, |deepest, levels| levels.map(|levels| deepest.max(levels)));
                    deepest.map(|deepest| deepest + 1)
                }
                _ => Some(1),
            };
            if let Some(slot) = levels.get_mut(index)
                && *slot != found
            {
                *slot = found;
                has_changed = true;
            }
        }
        if !has_changed {
            return levels;
        }
    }
}

/// Returns the names of the fields from the root to the first record that contains itself.
fn endless_path<'s>(schema: &'s Schema, levels: &[Option<usize>]) -> Vec<&'s str> {
    let (mut path, mut seen, mut ty) = (Vec::new(), Vec::new(), schema.root());
    while !seen.contains(&ty) {
        seen.push(ty);
        let endless = |ty: &TypeId| least_of(levels, *ty).is_none();
        match schema.get(ty) {
            Type::Record(record) => {
                let Some(field) = record.fields.iter().find(|field| endless(&field.ty)) else { break };
                path.push(&*field.name);
                ty = field.ty;
            }
            Type::Union(branches) => {
                let Some(branch) = branches.iter().find(|branch| endless(branch)) else { break };
                ty = *branch;
            }
            _ => break,
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::{field_of, record_of, versions};

    fn least(schema: &str) -> Result<usize, String> {
        let schemas = versions(&[schema]).unwrap();
        schemas.subjects().next().unwrap().newest().least_levels().map_err(|error| error.to_string())
    }

    #[test]
    fn a_record_has_at_least_the_levels_that_no_value_leaves_out() {
        let inner = r#"{"type": "record", "name": "I", "fields": [{"name": "n", "type": "int"}]}"#;
        assert_eq!(least(&record_of("")), Ok(1));
        assert_eq!(least(&field_of("\"int\"")), Ok(2));
        assert_eq!(least(&field_of(r#"{"type": "array", "items": "int"}"#)), Ok(2));
        assert_eq!(least(&field_of(inner)), Ok(3));
        assert_eq!(least(&field_of(&format!(r#"["null", {inner}]"#))), Ok(2));
        let omitted = format!(r#"{{"name": "f", "type": {inner}, "dynamodb": {{"omit": true}}}}"#);
        assert_eq!(least(&record_of(&omitted)), Ok(1));
    }

    #[test]
    fn a_record_that_holds_itself_without_an_end_has_no_value() {
        let error = |path: &str| {
            Err(format!("{path}: the record holds itself without an end, so that there is no message of it"))
        };
        assert_eq!(least(&field_of("\"R\"")), error("f"));
        let inner = r#"{"type": "record", "name": "I", "fields": [{"name": "n", "type": "int"}, {"name": "up", "type": ["R", "I"]}]}"#;
        assert_eq!(least(&field_of(inner)), error("f.up"));
        for ty in [r#"["null", "R"]"#, r#"{"type": "array", "items": "R"}"#, r#"{"type": "map", "values": "R"}"#] {
            assert_eq!(least(&field_of(ty)), Ok(2), "{ty}");
        }
    }
}
