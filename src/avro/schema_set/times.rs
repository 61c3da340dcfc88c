//! Finds the logical types that one field has in the versions of a subject.
//!
//! A record is converted to the newest version's unit when it is read, but an item that is already in the table is not.
//! Therefore some fields must have the same unit in all versions.

use super::{
    super::plan::{Mismatch, MismatchProblem},
    super::schema::{Schema, Time, Type, TypeId},
    Subject,
    subject::without_null,
};

impl Subject {
    /// Returns the logical types of time that the reader schema's field at `path` has in each version, with the
    /// version's number. A number without a logical type is `None`. Values of other types are left out.
    pub(crate) fn times(&self, path: &str) -> Vec<(u32, Option<Time>)> {
        let reader = self.newest().schema();
        self.versions()
            .flat_map(|version| {
                let mut times = times_of(version.schema(), reader, path);
                times.dedup();
                times.into_iter().map(|time| (version.number(), time))
            })
            .collect()
    }
}

/// A field that has no logical type in the reader schema but must have the same unit in all writer schemas.
#[derive(Debug, Clone)]
pub(crate) struct FieldUnit {
    /// Path of the field in the reader schema.
    pub(crate) path: String,
    /// Logical types with the required unit. Empty if no logical type has it, as for seconds.
    pub(crate) times: Vec<Time>,
}

impl FieldUnit {
    /// Returns a mismatch if the field is a time of another unit in the writer schema.
    pub(crate) fn mismatch(&self, writer: &Schema, reader: &Schema) -> Option<Mismatch> {
        let times = times_of(writer, reader, &self.path);
        let other = times.into_iter().flatten().find(|time| !self.times.contains(time))?;
        let segments: Vec<&str> = self.path.split('.').collect();
        Some(Mismatch::at_types(&segments, MismatchProblem::UnitOfNumber { writer: other.to_string().into() }))
    }
}

/// Returns the logical types of the values in `writer` that the field of `reader` at `path` is read from.
fn times_of(writer: &Schema, reader: &Schema, path: &str) -> Vec<Option<Time>> {
    let mut target = reader.root();
    let mut sources = vec![writer.root()];
    for name in path.split('.') {
        let Type::Record(reads) = reader.get(without_null(reader, target)) else { return Vec::new() };
        let Some(index) = reads.fields.iter().position(|field| *field.name == *name) else { return Vec::new() };
        let Some(field) = reads.fields.get(index) else { return Vec::new() };
        target = field.ty;
        let found = |source: TypeId| {
            let Type::Record(writes) = writer.get(source) else { return None };
            let sources = reads.sources(|name| writes.fields.iter().position(|field| *field.name == *name));
            Some(writes.fields.get((*sources.get(index)?)?)?.ty)
        };
        sources = branches(writer, sources).into_iter().filter_map(found).collect();
    }
    let time = |ty| match writer.get(ty) {
        Type::Int(time) | Type::Long(time) => Some(*time),
        Type::Float | Type::Double => Some(None),
        _ => None,
    };
    branches(writer, sources).into_iter().filter_map(time).collect()
}

/// Replaces each union among `types` by its branches.
fn branches(schema: &Schema, types: Vec<TypeId>) -> Vec<TypeId> {
    let branches = |ty| match schema.get(ty) {
        Type::Union(branches) => branches.to_vec(),
        _ => vec![ty],
    };
    types.into_iter().flat_map(branches).collect()
}
