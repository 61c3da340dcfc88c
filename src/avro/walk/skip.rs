//! Skips the writer's fields that the reader does not have.

use super::{
    DatumError, Walk,
    reader::{Read, datum_error},
};
use crate::{avro::plan::Skip, record::RecordVisitor};

impl<V: RecordVisitor> Walk<'_, '_, V> {
    /// Skips one value. Its structure must be valid, but the contents of strings and numbers are not checked.
    pub(super) fn skip(&mut self, skip: Skip) -> Read<()> {
        self.spend()?;
        match skip {
            Skip::Bytes(count) => self.reader.take(count as usize).map(drop),
            Skip::Varint => self.reader.long().map(drop),
            Skip::Prefixed => self.reader.bytes().map(drop),
            Skip::Recursive(id) => self.skip(self.plan.skip(id)),
            Skip::Union(branches) => {
                let index = usize::try_from(self.reader.long()?).ok();
                let branch = index.and_then(|index| self.plan.skip_branch(branches, index));
                self.skip(branch.ok_or_else(|| datum_error(DatumError::Branch))?)
            }
            Skip::Record(fields) => {
                self.descend()?;
                for field in self.plan.skip_fields(fields) {
                    self.skip(*field)?;
                }
                self.depth += 1;
                Ok(())
            }
            Skip::Array { item, min_bytes } => self.skip_blocks(self.plan.skip(item), min_bytes, false),
            Skip::Map { value, min_bytes } => self.skip_blocks(self.plan.skip(value), min_bytes, true),
        }
    }

    /// Skips the blocks of a collection. A block whose header states its size is skipped as a whole.
    fn skip_blocks(&mut self, item: Skip, min_bytes: u32, keyed: bool) -> Read<()> {
        self.descend()?;
        while let Some(block) = self.block(min_bytes)? {
            if let Some(end) = block.end {
                self.reader.take(self.reader.remaining() - end)?;
                continue;
            }
            for _ in 0..block.count {
                if keyed {
                    self.reader.bytes()?;
                }
                self.skip(item)?;
            }
        }
        self.depth += 1;
        Ok(())
    }
}
