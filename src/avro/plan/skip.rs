//! Compiles how to skip values that are not read.

use super::{Skip, SkipId, compile::DatumSource, draft::Draft, min_bytes::MinBytes, problems::Problems};
use crate::avro::{
    path::{ENTRIES, ITEMS},
    schema::{Schema, Type, TypeId},
};
use std::collections::HashMap;

/// Skips of the records that were compiled before.
pub(super) type KnownSkips = HashMap<(DatumSource, TypeId), SkipId>;

/// Compiles the skips for types of one schema.
pub(super) struct SkipCompiler<'c, 'a> {
    pub(super) schema: &'a Schema,
    pub(super) source: DatumSource,
    pub(super) draft: &'c mut Draft,
    pub(super) problems: &'c mut Problems<'a>,
    pub(super) known: &'c mut KnownSkips,
    pub(super) min_bytes: &'c mut MinBytes,
}

impl<'a> SkipCompiler<'_, 'a> {
    /// Returns the instruction that skips a value of the type `ty`. After a mismatch it is a placeholder.
    pub(super) fn skip(&mut self, ty: TypeId) -> Skip {
        if let Some(problem) = self.problems.excess(self.draft) {
            self.problems.report(self.problems.here(problem));
            return Skip::Bytes(0);
        }
        match self.schema.get(ty) {
            Type::Null => Skip::Bytes(0),
            Type::Boolean => Skip::Bytes(1),
            Type::Float => Skip::Bytes(4),
            Type::Double => Skip::Bytes(8),
            Type::Fixed(fixed) => Skip::Bytes(fixed.size),
            Type::Int(_) | Type::Long(_) | Type::Enum(_) => Skip::Varint,
            Type::Bytes(_) | Type::String => Skip::Prefixed,
            Type::Array(items) => {
                let (item, min_bytes) = self.repeated(ITEMS, *items);
                Skip::Array { item, min_bytes }
            }
            Type::Map(values) => {
                let (value, min_bytes) = self.repeated(ENTRIES, *values);
                Skip::Map { value, min_bytes: min_bytes.saturating_add(1) }
            }
            Type::Union(branches) => {
                let skips = branches.iter().map(|branch| self.below("", *branch)).collect();
                Skip::Union(self.draft.push_skips(skips))
            }
            Type::Record(record) => {
                let key = (self.source, ty);
                if let Some(id) = self.known.get(&key) {
                    return Skip::Recursive(*id);
                }
                let id = self.draft.push_skip(Skip::Bytes(0));
                self.known.insert(key, id);
                let skips = record.fields.iter().map(|field| self.below(&field.name, field.ty)).collect();
                let skip = Skip::Record(self.draft.push_skips(skips));
                self.draft.set_skip(id, skip);
                Skip::Recursive(id)
            }
        }
    }

    /// Compiles the skip of an item of an array or a map. Returns it with the minimum size of an item in bytes.
    fn repeated(&mut self, segment: &'a str, ty: TypeId) -> (SkipId, u32) {
        let skip = self.below(segment, ty);
        (self.draft.push_skip(skip), self.min_bytes.lower_bound(self.schema, self.source, ty))
    }

    fn below(&mut self, segment: &'a str, ty: TypeId) -> Skip {
        self.problems.enter(segment);
        let skip = self.skip(ty);
        self.problems.leave();
        skip
    }
}
