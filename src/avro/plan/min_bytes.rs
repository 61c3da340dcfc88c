//! Computes the minimum size of a datum. The item count of an array or map is checked against it before any item is
//! read.

use super::{compile::DatumSource, problems::MAX_TYPE_DEPTH};
use crate::avro::schema::{Schema, Type, TypeId};
use std::collections::HashMap;

/// Minimum sizes of the records that were computed before.
#[derive(Default)]
pub(super) struct MinBytes(HashMap<(DatumSource, TypeId), u32>);

impl MinBytes {
    /// Returns a lower bound for the size of a datum of the type `ty`, in bytes. `source` identifies the schema in the
    /// cache.
    pub(super) fn lower_bound(&mut self, schema: &Schema, source: DatumSource, ty: TypeId) -> u32 {
        self.at_depth(schema, source, ty, 0)
    }

    fn at_depth(&mut self, schema: &Schema, source: DatumSource, ty: TypeId, depth: usize) -> u32 {
        match schema.get(ty) {
            Type::Null => 0,
            Type::Float => 4,
            Type::Double => 8,
            Type::Fixed(fixed) => fixed.size,
            Type::Union(branches) => {
                let least = branches.iter().map(|branch| self.at_depth(schema, source, *branch, depth + 1)).min();
                least.unwrap_or_default().saturating_add(1)
            }
            Type::Record(record) => {
                let key = (source, ty);
                if depth >= MAX_TYPE_DEPTH {
                    return 0;
                }
                if let Some(known) = self.0.get(&key) {
                    return *known;
                }
                // A record within itself counts as 0 bytes. This keeps the result a lower bound and the recursion
                // finite.
                self.0.insert(key, 0);
                let fields = record.fields.iter().map(|field| self.at_depth(schema, source, field.ty, depth + 1));
                let min_bytes = fields.fold(0, u32::saturating_add);
                self.0.insert(key, min_bytes);
                min_bytes
            }
            _ => 1,
        }
    }
}
