//! Walks a datum by its plan and tells a visitor what is in it.
//!
//! No value is kept and nothing is allocated: strings and bytes go to the visitor as they stand in the datum. The only
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

/// What is left of a message's bounds, shared by its records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    values: usize,
    /// Bytes that the message may still grow by: what it inflates to, and defaults that stand for what it lacks.
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

    /// Takes `bytes` of the expansion, if that many are left.
    #[inline]
    pub(crate) fn expand(&mut self, bytes: usize) -> Result<(), DatumError> {
        let left = self.expansion.checked_sub(bytes);
        self.expansion = left.ok_or(DatumError::Expansion(self.limits.max_inflated_bytes))?;
        Ok(())
    }
}

/// The keys of the maps that are being read, innermost last, each by its distance from the datum's end and its length.
#[derive(Debug, Default)]
pub(crate) struct Keys(Vec<(usize, usize)>);

impl Keys {
    /// Gives back the memory if it is more than `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        if self.0.capacity() * size_of::<(usize, usize)>() > bytes {
            self.0 = Vec::new();
        }
    }
}

/// Whether a datum may be followed by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Its record is the last: every byte must be used before the visitor is told that it is complete.
    Last,
    /// More records follow.
    More,
}

/// Reads the record at the front of `datum` into `sink` and returns the bytes behind it. `index` is the record's place in its
/// container, and none if the message is the record.
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
    /// The datum, or the default, that `reader` reads to the end of.
    whole: &'a [u8],
    reader: DatumReader<'a>,
    /// How many levels deeper it may go.
    depth: usize,
    budget: Budget,
    keys: &'v mut Vec<(usize, usize)>,
    visitor: &'v mut V,
}

/// A run of items that an array or map has on its own, and what must be left of the datum behind it, if it says so.
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

    /// A value without values below it. It is a function of its own for the sake of the stack: without optimisation its
    /// temporaries take kilobytes, which a level of nesting must not.
    #[inline]
    fn scalar(&mut self, node: Node) -> Read<()> {
        match node {
            Node::Null => self.visitor.null()?,
            Node::Boolean => self.visitor.boolean(self.reader.boolean()?)?,
            Node::Int => self.visitor.long(self.reader.int()?.into())?,
            Node::Long => self.visitor.long(self.reader.long()?)?,
            // no factor of a unit has more than 20 bits
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
            // The others are dispatched before.
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

    /// The node of the branch that the datum chooses.
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

    /// Forgets the keys of the map that started at `first`, once they are known to differ.
    fn check_keys(&mut self, first: usize) -> Read<()> {
        /// So few are compared pairwise, which is faster than sorting them.
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

    /// Reads a default, which is a datum apart, and goes on where it was.
    fn default(&mut self, node: Node, datum: &'a [u8]) -> Read<()> {
        self.budget.expand(datum.len()).map_err(datum_error)?;
        let around = (self.whole, self.reader);
        (self.whole, self.reader) = (datum, DatumReader::new(datum));
        let read = self.value(node);
        (self.whole, self.reader) = around;
        read
    }

    /// The head of the next block; none at the end of the collection. Each item takes `min_bytes` bytes, so that a count
    /// beyond what is left is known to be one before the first item is read.
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
