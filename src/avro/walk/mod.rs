//! Decodes a datum according to its plan and passes its values to a visitor.
//!
//! No value is copied and no memory is allocated for one: strings and bytes are passed as slices of the datum. The only
//! memory is the list of a map's keys, which is reused.

mod error;
mod reader;
mod skip;

use super::{
    limits::Limits,
    path::WithPath,
    plan::{Action, FieldStep, MismatchId, Node, NodeId, Plan, Span},
};
use crate::record::{ItemError, RecordSink, RecordVisitor, SubjectId};
pub(crate) use error::DatumError;
pub(crate) use reader::DatumReader;
use reader::{Read, datum_error};

/// The remaining budget of a message, shared by all of its records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    values: usize,
    /// Remaining bytes by which the message may grow, by inflation and by defaults of absent fields.
    expansion: usize,
    limits: Limits,
}

impl Budget {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { values: limits.max_values, expansion: limits.max_inflated_bytes, limits }
    }

    pub(crate) fn expansion(&self) -> usize {
        self.expansion
    }

    /// Subtracts `bytes` from the remaining expansion. Returns an error if less remains.
    #[inline]
    pub(crate) fn expand(&mut self, bytes: usize) -> Result<(), DatumError> {
        let left = self.expansion.checked_sub(bytes);
        self.expansion = left.ok_or(DatumError::Expansion(self.limits.max_inflated_bytes))?;
        Ok(())
    }
}

/// Keys of the maps that are being read, innermost last. Each is stored as its distance from the end of the datum and
/// its length.
#[derive(Debug, Default)]
pub(crate) struct Keys(Vec<(usize, usize)>);

impl Keys {
    /// Frees the memory if it exceeds `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        if self.0.capacity() * size_of::<(usize, usize)>() > bytes {
            self.0 = Vec::new();
        }
    }
}

/// Whether another record may follow in the same data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The record is the last. It is complete only if it uses every byte.
    Last,
    /// More records follow.
    More,
}

/// Reads the first record of `datum` into `sink` and returns the bytes after it. `index` is the record's position in
/// its container, or `None` if the message is a single record.
pub(crate) fn read_record<'a, S: RecordSink>(
    plan: &'a Plan,
    (subject, index): (SubjectId, Option<usize>),
    (datum, ending): (&'a [u8], Ending),
    budget: &mut Budget,
    keys: &mut Keys,
    sink: &mut S,
) -> Read<&'a [u8]> {
    keys.0.clear();
    let mut visitor = sink.begin(subject, index)?;
    let (reader, depth) = (DatumReader::new(datum), budget.limits.max_depth);
    let mut walk =
        Walk { plan, whole: datum, reader, depth, budget: *budget, keys: &mut keys.0, visitor: &mut visitor };
    let walked = walk.value(plan.root);
    *budget = walk.budget;
    let rest = walk.reader.rest();
    walked?;
    if ending == Ending::Last && !rest.is_empty() {
        return Err(datum_error(DatumError::Trailing(rest.len())));
    }
    visitor.finish()?;
    Ok(rest)
}

struct Walk<'a, 'v, V> {
    plan: &'a Plan,
    /// The whole datum or default that is being read. `reader` is positioned within it.
    whole: &'a [u8],
    reader: DatumReader<'a>,
    /// Remaining levels of nesting.
    depth: usize,
    budget: Budget,
    keys: &'v mut Vec<(usize, usize)>,
    visitor: &'v mut V,
}

/// The header of a block of items in an array or map. `end` is the number of bytes after the block, if the header
/// states the block's size.
struct CollectionBlock {
    count: usize,
    end: Option<usize>,
}

impl<'a, V: RecordVisitor> Walk<'a, '_, V> {
    fn value(&mut self, node: Node) -> Read<()> {
        self.spend()?;
        match node {
            Node::Record(steps) | Node::KeyRecord(steps) => self.record(steps),
            Node::Array { item, min_bytes } => self.array(item, min_bytes),
            Node::Map { value, min_bytes } => self.map(value, min_bytes),
            Node::Union(branches) => {
                let branch = self.branch(branches)?;
                self.value(branch)
            }
            Node::Recursive(id) => self.value(self.plan.node(id)),
            scalar => self.scalar(scalar),
        }
    }

    /// Reads a value that does not contain other values. This is a separate function to save stack: in an unoptimized
    /// build its temporaries take kilobytes, which must not be allocated at every level of nesting.
    #[inline]
    fn scalar(&mut self, node: Node) -> Read<()> {
        match node {
            Node::Null => self.visitor.null()?,
            Node::Boolean => self.visitor.boolean(self.reader.boolean()?)?,
            Node::Int => self.visitor.long(self.reader.int()?.into())?,
            Node::Long => self.visitor.long(self.reader.long()?)?,
            // The product cannot overflow, because a factor has at most 20 bits.
            Node::IntTimes(factor) => self.visitor.long(i64::from(self.reader.int()?) * i64::from(factor))?,
            Node::LongTimes(factor) => {
                let value = self.reader.long()?.checked_mul(factor.into());
                self.visitor.long(value.ok_or_else(|| datum_error(DatumError::Unit))?)?;
            }
            Node::Date => self.visitor.date(self.reader.int()?)?,
            Node::Float => self.visitor.float(self.reader.float()?)?,
            Node::Double => self.visitor.double(f64::from_le_bytes(self.reader.array()?))?,
            Node::IntAsFloat => self.visitor.float(self.reader.int()? as f32)?,
            Node::IntAsDouble => self.visitor.double(self.reader.int()?.into())?,
            Node::LongAsFloat => self.visitor.float(self.reader.long()? as f32)?,
            Node::LongAsDouble => self.visitor.double(self.reader.long()? as f64)?,
            Node::FloatAsDouble => self.visitor.double(self.reader.float()?.into())?,
            Node::String => self.visitor.string(self.reader.string()?)?,
            Node::Bytes => self.visitor.bytes(self.reader.bytes()?)?,
            Node::Decimal { scale } => self.visitor.decimal(self.reader.bytes()?, scale)?,
            Node::Fixed { size } => self.visitor.bytes(self.reader.take(size as usize)?)?,
            Node::FixedDecimal { size, scale } => self.visitor.decimal(self.reader.take(size as usize)?, scale)?,
            Node::Uuid => self.visitor.uuid(self.reader.array()?)?,
            Node::Enum(symbols) => {
                let index = usize::try_from(self.reader.int()?).ok();
                let symbol = index.and_then(|index| self.plan.symbol(symbols, index));
                let symbol = symbol.ok_or_else(|| datum_error(DatumError::Symbol))?;
                self.visitor.string(symbol.ok_or_else(|| datum_error(DatumError::UnknownSymbol))?)?;
            }
            Node::Incompatible(id) => return Err(self.incompatible(id)),
            // `value` handles all of these before, except for `Unresolvable`.
            Node::Unresolvable
            | Node::Record(_)
            | Node::KeyRecord(_)
            | Node::Array { .. }
            | Node::Map { .. }
            | Node::Union(_)
            | Node::Recursive(_) => return Err(datum_error(DatumError::UnknownBranch)),
        }
        Ok(())
    }

    #[cold]
    fn incompatible(&self, id: MismatchId) -> Box<WithPath<DatumError>> {
        match self.plan.incompatible(id) {
            Some(mismatch) => Box::new(mismatch.with_error(DatumError::Incompatible(mismatch.error().clone()))),
            None => datum_error(DatumError::UnknownBranch),
        }
    }

    /// Reads the index of a union's branch and returns the node of that branch.
    #[inline]
    fn branch(&mut self, branches: Span) -> Read<Node> {
        let index = usize::try_from(self.reader.long()?).ok();
        let branch = index.and_then(|index| self.plan.branch(branches, index));
        branch.ok_or_else(|| datum_error(DatumError::Branch))
    }

    fn record(&mut self, steps: Span) -> Read<()> {
        self.descend()?;
        self.visitor.record_start()?;
        for step in self.plan.steps(steps) {
            self.step(step).map_err(|error| error.in_field(step.name.text()))?;
        }
        self.visitor.record_end()?;
        self.depth += 1;
        Ok(())
    }

    #[inline]
    fn step(&mut self, step: &FieldStep) -> Read<()> {
        let node = match step.action {
            Action::Read(node) => node,
            Action::ReadIfPresent(node, _) => {
                if !self.reader.boolean()? {
                    return Ok(());
                }
                node
            }
            Action::Default(node, datum) => {
                self.announce(step)?;
                return self.default(node, self.plan.default_datum(datum));
            }
            Action::Skip(id) => return self.skip(self.plan.skip(id)),
        };
        self.announce(step)?;
        self.value(node)
    }

    #[inline]
    fn announce(&mut self, step: &FieldStep) -> Result<(), ItemError> {
        self.visitor.field(&step.name)?;
        for field in &step.tracked {
            self.visitor.tracked_field(*field)?;
        }
        Ok(())
    }

    fn array(&mut self, item: NodeId, min_bytes: u32) -> Read<()> {
        self.descend()?;
        self.visitor.array_start()?;
        let item = self.plan.node(item);
        let mut index = 0;
        while let Some(block) = self.block(min_bytes)? {
            for _ in 0..block.count {
                self.visitor.array_item()?;
                self.value(item).map_err(|error| error.in_item(index))?;
                index += 1;
            }
            self.end(&block)?;
        }
        self.visitor.array_end()?;
        self.depth += 1;
        Ok(())
    }

    fn map(&mut self, value: NodeId, min_bytes: u32) -> Read<()> {
        self.descend()?;
        self.visitor.map_start()?;
        let value = self.plan.node(value);
        let first = self.keys.len();
        while let Some(block) = self.block(min_bytes)? {
            for _ in 0..block.count {
                let index = self.keys.len() - first;
                self.entry(value).map_err(|error| error.in_entry(index))?;
            }
            self.end(&block)?;
        }
        self.check_keys(first)?;
        self.visitor.map_end()?;
        self.depth += 1;
        Ok(())
    }

    fn entry(&mut self, value: Node) -> Read<()> {
        let key = self.reader.string()?;
        self.keys.push((self.reader.remaining() + key.len(), key.len()));
        self.visitor.map_key(key)?;
        self.value(value)
    }

    /// Checks that the keys of the map that started at `first` are distinct, and removes them.
    fn check_keys(&mut self, first: usize) -> Read<()> {
        /// Maximum number of keys that are compared pairwise, which is faster than sorting a short list.
        const FEW: usize = 8;
        let whole = self.whole;
        let text = |(from_end, len): (usize, usize)| {
            whole.get(whole.len() - from_end..).and_then(|tail| tail.get(..len)).unwrap_or_default()
        };
        let keys = self.keys.get_mut(first..).unwrap_or_default();
        let duplicate = if keys.len() <= FEW {
            keys.iter().enumerate().any(|(i, key)| keys.iter().take(i).any(|other| text(*other) == text(*key)))
        } else {
            keys.sort_unstable_by_key(|key| text(*key));
            keys.windows(2).any(|pair| matches!(pair, [one, other] if text(*one) == text(*other)))
        };
        self.keys.truncate(first);
        if duplicate { Err(datum_error(DatumError::DuplicateKey)) } else { Ok(()) }
    }

    /// Reads a default, which is a datum of its own, and then continues in the datum around it.
    fn default(&mut self, node: Node, datum: &'a [u8]) -> Read<()> {
        self.budget.expand(datum.len()).map_err(datum_error)?;
        let around = (self.whole, self.reader);
        (self.whole, self.reader) = (datum, DatumReader::new(datum));
        let read = self.value(node);
        (self.whole, self.reader) = around;
        read
    }

    /// Returns the header of the next block, or `None` at the end of the collection. Each item takes at least
    /// `min_bytes` bytes, so a count that exceeds the remaining bytes is rejected before the first item is read.
    fn block(&mut self, min_bytes: u32) -> Read<Option<CollectionBlock>> {
        let count = self.reader.long()?;
        if count == 0 {
            return Ok(None);
        }
        let remaining = self.reader.remaining();
        let end = if count < 0 { Some(self.block_end()?) } else { None };
        let available = end.map_or(remaining, |end| self.reader.remaining() - end);
        let count = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
        if min_bytes > 0 && count > available / min_bytes as usize {
            return Err(datum_error(if end.is_some() { DatumError::Block } else { DatumError::Truncated }));
        }
        if count > self.budget.values {
            return Err(datum_error(DatumError::Values(self.budget.limits.max_values)));
        }
        Ok(Some(CollectionBlock { count, end }))
    }

    fn block_end(&mut self) -> Read<usize> {
        let size = usize::try_from(self.reader.long()?).map_err(|_| datum_error(DatumError::Length))?;
        self.reader.remaining().checked_sub(size).ok_or_else(|| datum_error(DatumError::Truncated))
    }

    fn end(&self, block: &CollectionBlock) -> Read<()> {
        match block.end {
            Some(end) if end != self.reader.remaining() => Err(datum_error(DatumError::Block)),
            _ => Ok(()),
        }
    }

    #[inline]
    fn descend(&mut self) -> Read<()> {
        match self.depth.checked_sub(1) {
            Some(depth) => self.depth = depth,
            None => return Err(datum_error(DatumError::Depth(self.budget.limits.max_depth))),
        }
        Ok(())
    }

    #[inline]
    fn spend(&mut self) -> Read<()> {
        match self.budget.values.checked_sub(1) {
            Some(values) => self.budget.values = values,
            None => return Err(datum_error(DatumError::Values(self.budget.limits.max_values))),
        }
        Ok(())
    }
}
