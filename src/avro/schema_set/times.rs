//! The logical types of one field in all versions of a subject.
//!
//! A record is converted to the newest version's unit when it is read. An item that is in the table already is not, so that
//! some fields must count the same in all versions.

use super::{
    super::plan::{Mismatch, MismatchProblem},
    super::schema::{Schema, Time, Type, TypeId},
    Subject,
    subject::without_null,
};

impl Subject {
    /// The logical types of time that the reader schema's field at `path` has in each version, by the version's number. A
    /// number without logical type is `None`, and a value of any other type is left out.
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

/// A field that is a number without logical type in the reader schema, and yet must be of one unit.
#[derive(Debug, Clone)]
pub(crate) struct FieldUnit {
    /// The path in the reader schema.
    pub(crate) path: String,
    /// The logical types that have the unit. Empty if none has.
    pub(crate) times: Vec<Time>,
}

impl FieldUnit {
    /// Returns the mismatch of a writer's schema that has the field as a time of another unit.
    pub(crate) fn mismatch(&self, writer: &Schema, reader: &Schema) -> Option<Mismatch> {
        let times = times_of(writer, reader, &self.path);
        let other = times.into_iter().flatten().find(|time| !self.times.contains(time))?;
        let segments: Vec<&str> = self.path.split('.').collect();
        Some(Mismatch::at_types(&segments, MismatchProblem::UnitOfNumber { writer: other.to_string().into() }))
    }
}

/// The logical types of the values that `writer` has for the field of `reader` at `path`.
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

/// The branches of those of `types` that are unions, and the other types.
fn branches(schema: &Schema, types: Vec<TypeId>) -> Vec<TypeId> {
    let branches = |ty| match schema.get(ty) {
        Type::Union(branches) => branches.to_vec(),
        _ => vec![ty],
    };
    types.into_iter().flat_map(branches).collect()
}
