//! A plan: the steps that decode datums of one writer schema into records of one reader schema, compiled once.
//!
//! A plan consists of a few flat arrays. A record is a range of steps: first the fields in the writer's order, then the
//! reader's defaults. A union is a range of nodes, one for each branch of the writer. An enum is a range of symbols.
//! All names are resolved when the plan is compiled, so decoding a datum needs neither comparisons of names nor
//! look-ups.

mod compile;
mod draft;
mod matching;
mod min_bytes;
mod named;
mod problems;
mod record;
mod skip;
mod tracked;
mod union;

pub use matching::{Mismatch, MismatchProblem};

pub(crate) use compile::{Purpose, SchemaOrigin, compile};
pub(crate) use tracked::TrackedFields;

use crate::record::{Name, TrackedField};

/// The steps that decode a writer's datum and pass the reader's record to a visitor.
#[derive(Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) root: Node,
    nodes: Vec<Node>,
    steps: Vec<FieldStep>,
    symbols: Vec<Option<Box<str>>>,
    skips: Vec<Skip>,
    defaults: Vec<u8>,
    /// Reasons why parts of the writer's schema cannot be read, with paths relative to those parts.
    incompatible: Vec<Mismatch>,
}

/// A range in one of the arrays of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    start: u32,
    len: u32,
}

/// Instruction that reads one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Node {
    Null,
    Boolean,
    Int,
    Long,
    /// An int that is multiplied by this factor, because the reader's unit is finer.
    IntTimes(u32),
    /// A long that is multiplied by this factor, because the reader's unit is finer. The product may exceed 64 bits.
    LongTimes(u32),
    Date,
    Float,
    Double,
    IntAsFloat,
    IntAsDouble,
    LongAsFloat,
    LongAsDouble,
    FloatAsDouble,
    String,
    Bytes,
    Decimal {
        scale: u32,
    },
    Fixed {
        size: u32,
    },
    FixedDecimal {
        size: u32,
        scale: u32,
    },
    Uuid,
    /// A range of symbols; see [`Plan::symbol`].
    Enum(Span),
    /// The node of an item, and the minimum size of an item in bytes.
    Array {
        item: NodeId,
        min_bytes: u32,
    },
    /// The node of a value, and the minimum size of a key with its value in bytes.
    Map {
        value: NodeId,
        min_bytes: u32,
    },
    /// A range of nodes, one for each branch.
    Union(Span),
    /// A range of steps, one for each field.
    Record(Span),
    /// A record of a deletion in JSON: a range of steps for only those fields that are read.
    KeyRecord(Span),
    /// A reference to the node of a record. It is used where the record refers to itself.
    Recursive(NodeId),
    /// A branch of the writer's union that the reader's type cannot represent.
    Unresolvable,
    /// A branch, item or value that the reader cannot read, in the schema of a container.
    Incompatible(MismatchId),
}

/// Index of a mismatch in a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MismatchId(u32);

/// Index of a node in a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NodeId(u32);

/// Index of a [`Skip`] in a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SkipId(u32);

/// One field of a record.
#[derive(Debug, PartialEq)]
pub(crate) struct FieldStep {
    /// Name of the field in the reader's schema, or in the writer's if the reader does not have it.
    pub(crate) name: Name,
    pub(crate) tracked: Box<[TrackedField]>,
    pub(crate) action: Action,
}

/// Source of a field's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// The next value of the datum.
    Read(Node),
    /// In a [`Node::KeyRecord`]: the value after a marker byte of 1, or no value if the marker is 0. This is not Avro,
    /// but an internal encoding for the keys of a deletion in JSON. The number is the field's position in the writer's
    /// record.
    ReadIfPresent(Node, u32),
    /// The reader's default, which is also encoded as a datum.
    Default(Node, Span),
    /// No value. The next value of the datum is skipped, because the reader does not have the field.
    Skip(SkipId),
}

/// Instruction that skips one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Skip {
    Bytes(u32),
    Varint,
    Prefixed,
    /// The skip of an item, and the minimum size of an item in bytes.
    Array {
        item: SkipId,
        min_bytes: u32,
    },
    /// The skip of a value, and the minimum size of a key with its value in bytes.
    Map {
        value: SkipId,
        min_bytes: u32,
    },
    /// A range of skips, one for each branch.
    Union(Span),
    /// A range of skips, one for each field.
    Record(Span),
    /// A reference to another skip. It is used where a record refers to itself.
    Recursive(SkipId),
}

impl Span {
    fn slice<T>(self, all: &[T]) -> &[T] {
        let start = self.start as usize;
        all.get(start..start + self.len as usize).unwrap_or_default()
    }
}

impl Plan {
    /// Returns the approximate memory use of the plan, in bytes.
    pub(crate) fn size(&self) -> usize {
        let names = self.steps.iter().map(|step| 2 * step.name.text().len() + size_of_val(&*step.tracked));
        let symbols = self.symbols.iter().flatten().map(|symbol| symbol.len());
        let mismatches =
            self.incompatible.iter().map(|mismatch| size_of_val(mismatch) + matching::text_bytes(mismatch));
        names.chain(symbols).chain(mismatches).sum::<usize>()
            + size_of_val(&*self.nodes)
            + size_of_val(&*self.steps)
            + size_of_val(&*self.symbols)
            + size_of_val(&*self.skips)
            + self.defaults.len()
    }

    /// Returns the node at `id`. It exists, because an id is only created together with its node.
    #[inline]
    pub(crate) fn node(&self, id: NodeId) -> Node {
        self.nodes.get(id.0 as usize).copied().unwrap_or(Node::Unresolvable)
    }

    #[inline]
    pub(crate) fn steps(&self, span: Span) -> &[FieldStep] {
        span.slice(&self.steps)
    }

    /// Returns the node at `branch` of a writer's union.
    #[inline]
    pub(crate) fn branch(&self, span: Span, branch: usize) -> Option<Node> {
        span.slice(&self.nodes).get(branch).copied()
    }

    /// Returns the reader's symbol for the writer's symbol at `index`. The inner option is `None` if the reader has no
    /// such symbol.
    #[inline]
    pub(crate) fn symbol(&self, span: Span, index: usize) -> Option<Option<&str>> {
        span.slice(&self.symbols).get(index).map(Option::as_deref)
    }

    /// Returns the reason why the part of the writer's schema at `id` cannot be read.
    pub(crate) fn incompatible(&self, id: MismatchId) -> Option<&Mismatch> {
        self.incompatible.get(id.0 as usize)
    }

    pub(crate) fn default_datum(&self, span: Span) -> &[u8] {
        span.slice(&self.defaults)
    }

    pub(crate) fn skip(&self, id: SkipId) -> Skip {
        self.skips.get(id.0 as usize).copied().unwrap_or(Skip::Bytes(0))
    }

    /// Returns the skip at `branch` of a writer's union.
    pub(crate) fn skip_branch(&self, span: Span, branch: usize) -> Option<Skip> {
        span.slice(&self.skips).get(branch).copied()
    }

    pub(crate) fn skip_fields(&self, span: Span) -> &[Skip] {
        span.slice(&self.skips)
    }
}
