//! Compiles a plan by walking two schemas side by side.

use super::{
    Mismatch, MismatchId, MismatchProblem, Node, NodeId, Plan, SkipId, Span, TrackedFields, matching, record::Wanted,
};
use crate::avro::{
    path::{ENTRIES, ITEMS, WithPath},
    schema::{Enum, Fixed, FixedMeaning, Schema, Time, Type, TypeId},
};
use std::collections::HashMap;

/// The deepest nesting of types that a plan follows; a union between two records counts as one level.
///
/// No message may be nested half as deep, so that only a crafted schema is refused, before it exhausts the stack.
pub(super) const MAX_TYPE_DEPTH: usize = 128;

/// The most steps, branches, symbols and skips of a plan. Two schemas of 64 KiB can ask for millions.
const MAX_PLAN_PARTS: usize = 1 << 16;

/// Maximum size of the names and paths of all mismatches that a plan keeps. A crafted schema may have a long path to each of
/// thousands.
const MAX_INCOMPATIBLE_BYTES: usize = 64 << 10;

/// The most mismatches that are reported for one pair of schemas.
const MAX_MISMATCHES: usize = 20;

/// What a plan is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To store records: all fields are read.
    Store,
    /// To delete records: the tracked fields alone are read, and the others skipped. Whatever they hold, it is no reason
    /// to keep the item.
    Delete,
    /// The same of a body in JSON, whose datum has no other fields; see [`Node::KeyRecord`].
    DeleteFromJson,
}

/// Where a writer's schema comes from, which decides what becomes of a part of it that the reader cannot read and that a datum
/// may leave out: a branch of a union, or the items of an array or a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SchemaOrigin {
    /// The schema directory. Unreadable items are a mismatch. An unreadable branch is a mismatch if nothing but null can be
    /// read, or if the reader has its type with another size, precision, scale, unit or meaning. They are mistakes that the
    /// start should find.
    Directory,
    /// A container. There are messages of its schema already, and a message that does not use the part is good. An unreadable
    /// branch is a mismatch if there is no other branch.
    Container,
}

/// The plan that reads datums of `writer` as records of `reader` and reports the `tracked` fields, or everything that
/// prevents it.
pub(crate) fn compile(
    writer: &Schema,
    reader: &Schema,
    tracked: &TrackedFields,
    purpose: Purpose,
    origin: SchemaOrigin,
) -> Result<Plan, Vec<Mismatch>> {
    let plan = Plan {
        root: Node::Null,
        nodes: Vec::new(),
        steps: Vec::new(),
        symbols: Vec::new(),
        skips: Vec::new(),
        defaults: Vec::new(),
        incompatible: Vec::new(),
    };
    let mut compiler = Compiler {
        writer,
        reader,
        purpose,
        origin,
        source: DatumSource::Message,
        plan,
        named: HashMap::new(),
        named_in_order: Vec::new(),
        unreadable: HashMap::new(),
        skipped: HashMap::new(),
        defaults: HashMap::new(),
        min_bytes: HashMap::new(),
        path: Vec::new(),
        failures: 0,
        mismatches: Vec::new(),
        incompatible_bytes: 0,
    };
    let wanted = if purpose == Purpose::Store { Wanted::all(Some(tracked)) } else { Wanted::Only(tracked) };
    let root = compiler.node(writer.root(), reader.root(), wanted);
    compiler.plan.root = root;
    if compiler.failures == 0 { Ok(compiler.plan) } else { Err(compiler.mismatches) }
}

/// Whose datums a node reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum DatumSource {
    /// Those of messages, in the writer's schema.
    Message,
    /// Those of defaults, in the reader's schema.
    Default,
}

/// A writer's named type as one of the reader's.
pub(super) type Pair = (DatumSource, TypeId, TypeId);

pub(super) struct Compiler<'a> {
    pub(super) writer: &'a Schema,
    pub(super) reader: &'a Schema,
    pub(super) purpose: Purpose,
    pub(super) origin: SchemaOrigin,
    pub(super) source: DatumSource,
    pub(super) plan: Plan,
    /// Nodes of records and enums, so that each pair is compiled once and recursion ends. Not those with tracked fields,
    /// which hold for one path and not for a type.
    pub(super) named: HashMap<Pair, Node>,
    /// The keys of `named` as they came.
    pub(super) named_in_order: Vec<Pair>,
    /// Pairs that cannot be read, each with the first reason.
    pub(super) unreadable: HashMap<Pair, Box<Mismatch>>,
    pub(super) skipped: HashMap<(DatumSource, TypeId), SkipId>,
    /// The datums that stand for the reader's field in writers that lack it.
    pub(super) defaults: HashMap<(TypeId, usize), Span>,
    pub(super) min_bytes: HashMap<(DatumSource, TypeId), u32>,
    pub(super) path: Vec<&'a str>,
    /// How many mismatches there are, those too that are not kept.
    pub(super) failures: usize,
    pub(super) mismatches: Vec<Mismatch>,
    /// The bytes that the names and paths of the plan's mismatches take.
    incompatible_bytes: usize,
}

impl<'a> Compiler<'a> {
    /// The node that reads `writer` as `reader`. After a mismatch it is a placeholder in a plan that is never used.
    pub(super) fn node(&mut self, writer: TypeId, reader: TypeId, wanted: Wanted<'_>) -> Node {
        if let Some(problem) = self.excess() {
            return self.mismatch(problem);
        }
        match (self.written().get(writer), self.reader.get(reader)) {
            (Type::Union(branches), _) => self.writer_union(branches, reader, wanted),
            (writes, Type::Union(branches)) => match matching::branch_for(writes, self.reader, branches) {
                Ok(branch) => self.node(writer, branch, wanted),
                Err(problem) => self.mismatch(problem),
            },
            (writes, reads) => match matching::fit(writes, reads) {
                Ok(_) => self.matched((writer, writes), (reader, reads), wanted),
                Err(problem) => self.mismatch(problem),
            },
        }
    }

    pub(super) fn matched(
        &mut self,
        (writer, writes): (TypeId, &'a Type),
        (reader, reads): (TypeId, &'a Type),
        wanted: Wanted<'_>,
    ) -> Node {
        match (writes, reads) {
            (Type::Record(writes), Type::Record(reads)) => self.record((writer, writes), (reader, reads), wanted),
            (Type::Enum(writes), Type::Enum(reads)) => self.enumeration((writer, writes), (reader, reads)),
            (Type::Array(writes), Type::Array(reads)) => {
                let item = self.below(ITEMS, |compiler| compiler.element(*writes, *reads));
                Node::Array { item: self.push(item), min_bytes: self.min_bytes(*writes, 0) }
            }
            (Type::Map(writes), Type::Map(reads)) => {
                let value = self.below(ENTRIES, |compiler| compiler.element(*writes, *reads));
                Node::Map { value: self.push(value), min_bytes: self.min_bytes(*writes, 0).saturating_add(1) }
            }
            (Type::Int(writes), Type::Long(reads)) => match matching::conversion(*writes, *reads) {
                Ok(1) => Node::Int,
                Ok(factor) => Node::IntTimes(factor),
                Err(problem) => self.mismatch(problem),
            },
            (Type::Long(writes), Type::Long(reads)) => match matching::conversion(*writes, *reads) {
                Ok(1) => Node::Long,
                Ok(factor) => Node::LongTimes(factor),
                Err(problem) => self.mismatch(problem),
            },
            (Type::Int(_), Type::Float) => Node::IntAsFloat,
            (Type::Int(_), Type::Double) => Node::IntAsDouble,
            (Type::Long(_), Type::Float) => Node::LongAsFloat,
            (Type::Long(_), Type::Double) => Node::LongAsDouble,
            (Type::Float, Type::Double) => Node::FloatAsDouble,
            (_, reads) => scalar(reads),
        }
    }

    /// The node of an item of an array or a map.
    fn element(&mut self, writer: TypeId, reader: TypeId) -> Node {
        if self.origin == SchemaOrigin::Directory {
            return self.node(writer, reader, Wanted::All);
        }
        let mut problems = Vec::new();
        let node = self.attempt(&mut problems, |compiler| compiler.node(writer, reader, Wanted::All));
        problems.into_iter().next().map_or(node, |first| self.incompatible(&first))
    }

    /// The node that rejects a datum which uses the part of the schema that is being compiled.
    pub(super) fn incompatible(&mut self, mismatch: &Mismatch) -> Node {
        let kept = mismatch.clone().below_types(&self.path);
        self.incompatible_bytes += matching::text_bytes(&kept);
        Node::Incompatible(MismatchId(append(&mut self.plan.incompatible, vec![kept]).start))
    }

    fn enumeration(&mut self, (writer, writes): (TypeId, &Enum), (reader, reads): (TypeId, &Enum)) -> Node {
        let pair = (self.source, writer, reader);
        if let Some(node) = self.named.get(&pair) {
            return *node;
        }
        let known = |symbol| reads.symbols.iter().find(|known| *known == symbol).or(reads.default.as_ref()).cloned();
        let symbols: Vec<_> = writes.symbols.iter().map(known).collect();
        if symbols.iter().all(Option::is_none) {
            return self.mismatch(MismatchProblem::NoSymbol);
        }
        let node = Node::Enum(append(&mut self.plan.symbols, symbols));
        self.remember(pair, node);
        node
    }

    pub(super) fn remember(&mut self, pair: Pair, node: Node) {
        self.named.insert(pair, node);
        self.named_in_order.push(pair);
    }

    pub(super) fn written(&self) -> &'a Schema {
        match self.source {
            DatumSource::Message => self.writer,
            DatumSource::Default => self.reader,
        }
    }

    pub(super) fn excess(&self) -> Option<MismatchProblem> {
        let plan = &self.plan;
        let parts = plan.nodes.len() + plan.steps.len() + plan.symbols.len() + plan.skips.len();
        if parts > MAX_PLAN_PARTS || self.incompatible_bytes > MAX_INCOMPATIBLE_BYTES {
            Some(MismatchProblem::TooLarge)
        } else {
            (self.path.len() > MAX_TYPE_DEPTH).then_some(MismatchProblem::TooDeep)
        }
    }

    pub(super) fn below<T>(&mut self, segment: &'a str, compile: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(segment);
        let compiled = compile(self);
        self.path.pop();
        compiled
    }

    pub(super) fn mismatch(&mut self, problem: MismatchProblem) -> Node {
        let mismatch = self.here(problem);
        self.fail(mismatch);
        Node::Unresolvable
    }

    pub(super) fn fail(&mut self, mismatch: Mismatch) {
        self.failures += 1;
        if self.mismatches.len() < MAX_MISMATCHES {
            self.mismatches.push(mismatch);
        }
    }

    /// The problem at the place that is being compiled.
    pub(super) fn here(&self, problem: MismatchProblem) -> Mismatch {
        WithPath::at_types(&self.path, problem)
    }

    pub(super) fn push(&mut self, node: Node) -> NodeId {
        NodeId(append(&mut self.plan.nodes, vec![node]).start)
    }
}

/// The node of a type that is read as itself, or as what promotes to it without a change of bytes.
fn scalar(reads: &Type) -> Node {
    match reads {
        Type::Null => Node::Null,
        Type::Boolean => Node::Boolean,
        Type::Int(Some(Time::Date)) => Node::Date,
        Type::Int(_) => Node::Int,
        Type::Long(_) => Node::Long,
        Type::Float => Node::Float,
        Type::Double => Node::Double,
        Type::String => Node::String,
        Type::Bytes(None) => Node::Bytes,
        Type::Bytes(Some(decimal)) => Node::Decimal { scale: decimal.scale },
        Type::Fixed(Fixed { size, meaning, .. }) => match meaning {
            FixedMeaning::Plain | FixedMeaning::Duration => Node::Fixed { size: *size },
            FixedMeaning::Decimal(decimal) => Node::FixedDecimal { size: *size, scale: decimal.scale },
            FixedMeaning::Uuid => Node::Uuid,
        },
        Type::Enum(_) | Type::Array(_) | Type::Map(_) | Type::Union(_) | Type::Record(_) => Node::Unresolvable,
    }
}

/// Appends `more` and tells where it is. No array outgrows `u32`: parts are counted, and defaults are bounded by theirs.
pub(super) fn append<T>(all: &mut Vec<T>, more: Vec<T>) -> Span {
    let span = Span {
        start: u32::try_from(all.len()).unwrap_or(u32::MAX),
        len: u32::try_from(more.len()).unwrap_or_default(),
    };
    all.extend(more);
    span
}
