//! What to do with the bytes of one writer schema to read them as one reader schema, worked out once.
//!
//! A plan is a few flat arrays. A record is a run of steps in the writer's order of fields, with the reader's defaults at
//! its end; a union is a run of nodes, one a branch of the writer; an enum a run of symbols. What names and matches was
//! settled when the plan was compiled: walking a datum compares no text and looks nothing up.

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

/// The way from a writer's datum to a visitor of the reader's record.
#[derive(Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) root: Node,
    nodes: Vec<Node>,
    steps: Vec<FieldStep>,
    symbols: Vec<Option<Box<str>>>,
    skips: Vec<Skip>,
    defaults: Vec<u8>,
    /// The reasons why parts of the writer's schema cannot be read, by the path below that part.
    incompatible: Vec<Mismatch>,
}

/// A run within one of a plan's arrays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    start: u32,
    len: u32,
}

/// How to read one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Node {
    Null,
    Boolean,
    Int,
    Long,
    /// An int that is multiplied by this number, because the reader's unit is finer.
    IntTimes(u32),
    /// A long that is multiplied by this number. The product may need more than 64 bits.
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
    /// Runs over [`Plan::symbol`]s.
    Enum(Span),
    /// The node of an item, and the lower bound of the bytes that one takes.
    Array {
        item: NodeId,
        min_bytes: u32,
    },
    /// The node of a value, and a lower bound of the bytes that a key and a value take.
    Map {
        value: NodeId,
        min_bytes: u32,
    },
    /// Runs over nodes.
    Union(Span),
    /// Runs over steps.
    Record(Span),
    /// A record of a deletion in JSON: runs over the steps of those of its fields alone that are read.
    KeyRecord(Span),
    /// Stands for another node: the record that is being compiled around here.
    Recursive(NodeId),
    /// A branch of the writer's union that the reader has no place for.
    Unresolvable,
    /// A branch, an item or a value of a container's own schema that the reader cannot read.
    Incompatible(MismatchId),
}

/// Index of a mismatch that a plan keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MismatchId(u32);

/// Index of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NodeId(u32);

/// Index of a [`Skip`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SkipId(u32);

/// One field of a record.
#[derive(Debug, PartialEq)]
pub(crate) struct FieldStep {
    /// The reader's name of it; the writer's, if the reader lacks it.
    pub(crate) name: Name,
    pub(crate) tracked: Box<[TrackedField]>,
    pub(crate) action: Action,
}

/// Where the value of a field comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// The next bytes of the datum.
    Read(Node),
    /// The next bytes if the byte before them is 1, in a [`Node::KeyRecord`]. That is not Avro, but how the keys of a
    /// deletion travel from JSON to here. The number is the field's in the writer's record.
    ReadIfPresent(Node, u32),
    /// The reader's default, which is a datum too.
    Default(Node, Span),
    /// The next bytes are of a field the reader lacks.
    Skip(SkipId),
}

/// How to skip one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Skip {
    Bytes(u32),
    Varint,
    Prefixed,
    /// The item, and the lower bound of the bytes that one takes.
    Array {
        item: SkipId,
        min_bytes: u32,
    },
    /// The value, and a lower bound of the bytes that a key and a value take.
    Map {
        value: SkipId,
        min_bytes: u32,
    },
    /// Runs over skips, one a branch.
    Union(Span),
    /// Runs over skips, one a field.
    Record(Span),
    /// Stands for another skip.
    Recursive(SkipId),
}

impl Span {
    fn of<T>(self, all: &[T]) -> &[T] {
        let start = self.start as usize;
        all.get(start..start + self.len as usize).unwrap_or_default()
    }
}

impl Plan {
    /// The bytes that it takes, about.
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

    /// The node at `id`. An id is only made together with its node.
    #[inline]
    pub(crate) fn node(&self, id: NodeId) -> Node {
        self.nodes.get(id.0 as usize).copied().unwrap_or(Node::Unresolvable)
    }

    #[inline]
    pub(crate) fn steps(&self, span: Span) -> &[FieldStep] {
        span.of(&self.steps)
    }

    /// The node of a writer's union at `branch`.
    #[inline]
    pub(crate) fn branch(&self, span: Span, branch: usize) -> Option<Node> {
        span.of(&self.nodes).get(branch).copied()
    }

    /// The reader's symbol for the writer's at `index`; the inner option is empty if the reader has none.
    #[inline]
    pub(crate) fn symbol(&self, span: Span, index: usize) -> Option<Option<&str>> {
        span.of(&self.symbols).get(index).map(Option::as_deref)
    }

    /// The reason why the part of the writer's schema at `id` cannot be read.
    pub(crate) fn incompatible(&self, id: MismatchId) -> Option<&Mismatch> {
        self.incompatible.get(id.0 as usize)
    }

    pub(crate) fn default_datum(&self, span: Span) -> &[u8] {
        span.of(&self.defaults)
    }

    pub(crate) fn skip(&self, id: SkipId) -> Skip {
        self.skips.get(id.0 as usize).copied().unwrap_or(Skip::Bytes(0))
    }

    /// The skip of a writer's union at `branch`.
    pub(crate) fn skip_branch(&self, span: Span, branch: usize) -> Option<Skip> {
        span.of(&self.skips).get(branch).copied()
    }

    pub(crate) fn skip_fields(&self, span: Span) -> &[Skip] {
        span.of(&self.skips)
    }
}
