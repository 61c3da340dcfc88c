//! Compiles what is not read: how to skip a value, and how few bytes it can take.

use super::{
    Skip, SkipId,
    compile::{Compiler, MAX_TYPE_DEPTH, append},
};
use crate::avro::{
    path::{ENTRIES, ITEMS},
    schema::{Type, TypeId},
};

impl Compiler<'_> {
    /// How to skip a value of the writer's that the reader has no field for.
    pub(super) fn skip(&mut self, writer: TypeId) -> Skip {
        if let Some(problem) = self.excess() {
            self.mismatch(problem);
            return Skip::Bytes(0);
        }
        match self.written().get(writer) {
            Type::Null => Skip::Bytes(0),
            Type::Boolean => Skip::Bytes(1),
            Type::Float => Skip::Bytes(4),
            Type::Double => Skip::Bytes(8),
            Type::Fixed(fixed) => Skip::Bytes(fixed.size),
            Type::Int(_) | Type::Long(_) | Type::Enum(_) => Skip::Varint,
            Type::Bytes(_) | Type::String => Skip::Prefixed,
            Type::Array(items) => {
                let item = self.below(ITEMS, |compiler| compiler.skip(*items));
                let item = self.push_skip(item);
                Skip::Array { item, min_bytes: self.min_bytes(*items, 0) }
            }
            Type::Map(values) => {
                let value = self.below(ENTRIES, |compiler| compiler.skip(*values));
                let value = self.push_skip(value);
                Skip::Map { value, min_bytes: self.min_bytes(*values, 0).saturating_add(1) }
            }
            Type::Union(branches) => {
                let skips = branches.iter().map(|branch| self.below("", |compiler| compiler.skip(*branch))).collect();
                Skip::Union(append(&mut self.plan.skips, skips))
            }
            Type::Record(record) => {
                let key = (self.source, writer);
                if let Some(id) = self.skipped.get(&key) {
                    return Skip::Recursive(*id);
                }
                let id = self.push_skip(Skip::Bytes(0));
                self.skipped.insert(key, id);
                let fields = &record.fields;
                let skips =
                    fields.iter().map(|field| self.below(&field.name, |compiler| compiler.skip(field.ty))).collect();
                let skip = Skip::Record(append(&mut self.plan.skips, skips));
                if let Some(reserved) = self.plan.skips.get_mut(id.0 as usize) {
                    *reserved = skip;
                }
                Skip::Recursive(id)
            }
        }
    }

    /// A lower bound of the bytes that a datum of `writer` takes.
    pub(super) fn min_bytes(&mut self, writer: TypeId, depth: usize) -> u32 {
        match self.written().get(writer) {
            Type::Null => 0,
            Type::Float => 4,
            Type::Double => 8,
            Type::Fixed(fixed) => fixed.size,
            Type::Union(branches) => {
                let branches = branches.iter().map(|branch| self.min_bytes(*branch, depth + 1));
                branches.min().unwrap_or_default().saturating_add(1)
            }
            Type::Record(record) => {
                let key = (self.source, writer);
                if depth >= MAX_TYPE_DEPTH {
                    return 0;
                }
                if let Some(known) = self.min_bytes.get(&key) {
                    return *known;
                }
                // Within itself a record counts for nothing, which keeps the bound low and the recursion finite.
                self.min_bytes.insert(key, 0);
                let fields = record.fields.iter().map(|field| self.min_bytes(field.ty, depth + 1));
                let min_bytes = fields.fold(0, u32::saturating_add);
                self.min_bytes.insert(key, min_bytes);
                min_bytes
            }
            _ => 1,
        }
    }

    pub(super) fn push_skip(&mut self, skip: Skip) -> SkipId {
        SkipId(append(&mut self.plan.skips, vec![skip]).start)
    }
}
