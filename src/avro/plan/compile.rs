//! Compiles a plan by walking two schemas side by side.

use super::{
    Action, Mismatch, MismatchProblem, Node, NodeId, Plan, SkipId, Span, Step, TrackedFields,
    matching::{self, describe},
};
use crate::{
    avro::{
        path::WithPath,
        schema::{Enum, Field, Fixed, FixedMeaning, Int, Record, Schema, Type, TypeId},
        write,
    },
    record::{Name, TrackedField},
};
use std::collections::HashMap;

/// The deepest nesting of types that a plan follows; a union between two records counts as one level.
///
/// No message may be nested half as deep, so that only a crafted schema is refused, before it exhausts the stack.
pub(super) const MAX_TYPE_DEPTH: usize = 128;

/// The most steps, branches, symbols and skips of a plan. Two schemas of 64 KiB can ask for millions.
const MAX_PLAN_PARTS: usize = 1 << 16;

/// The most mismatches that are told of one pair of schemas.
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

/// The plan that reads datums of `writer` as records of `reader` and tells of the `tracked` fields, or everything that
/// prevents it.
pub(crate) fn compile(
    writer: &Schema,
    reader: &Schema,
    tracked: &TrackedFields,
    purpose: Purpose,
) -> Result<Plan, Vec<Mismatch>> {
    let plan = Plan {
        root: Node::Null,
        nodes: Vec::new(),
        steps: Vec::new(),
        symbols: Vec::new(),
        skips: Vec::new(),
        defaults: Vec::new(),
    };
    let mut compiler = Compiler {
        writer,
        reader,
        purpose,
        source: Source::Message,
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
    };
    let wanted = if purpose == Purpose::Store { Wanted::all(Some(tracked)) } else { Wanted::Only(tracked) };
    let root = compiler.node(writer.root(), reader.root(), wanted);
    compiler.plan.root = root;
    if compiler.failures == 0 { Ok(compiler.plan) } else { Err(compiler.mismatches) }
}

/// Which fields of a record are read.
#[derive(Debug, Clone, Copy)]
enum Wanted<'t> {
    /// All, and none of them is tracked.
    All,
    /// All, and these are tracked.
    Tracking(&'t TrackedFields),
    /// These alone, which are tracked.
    Only(&'t TrackedFields),
}

impl<'t> Wanted<'t> {
    fn all(tracked: Option<&'t TrackedFields>) -> Self {
        tracked.filter(|tracked| !tracked.is_empty()).map_or(Self::All, Self::Tracking)
    }

    /// What the reader's field `name` is tracked as, and which fields are read below it; none if it is not read itself.
    fn field(self, name: &str) -> Option<(&'t [TrackedField], Self)> {
        match self {
            Self::All => Some((&[], Self::All)),
            Self::Tracking(tracked) => {
                let (as_itself, below) = tracked.field(name);
                Some((as_itself, Self::all(below)))
            }
            Self::Only(tracked) => match tracked.field(name) {
                ([], None) => None,
                ([], Some(below)) => Some((&[], Self::Only(below))),
                (as_itself, below) => Some((as_itself, Self::all(below))),
            },
        }
    }
}

/// Whose datums a node reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// Those of messages, in the writer's schema.
    Message,
    /// Those of defaults, in the reader's schema.
    Default,
}

/// A writer's named type as one of the reader's.
type Pair = (Source, TypeId, TypeId);

pub(super) struct Compiler<'a> {
    writer: &'a Schema,
    reader: &'a Schema,
    purpose: Purpose,
    pub(super) source: Source,
    pub(super) plan: Plan,
    /// Nodes of records and enums, so that each pair is compiled once and recursion ends. Not those with tracked fields,
    /// which hold for one path and not for a type.
    named: HashMap<Pair, Node>,
    /// The keys of `named` as they came.
    named_in_order: Vec<Pair>,
    /// Pairs that cannot be read, each with the first reason.
    unreadable: HashMap<Pair, Box<Mismatch>>,
    pub(super) skipped: HashMap<(Source, TypeId), SkipId>,
    /// The datums that stand for the reader's field in writers that lack it.
    defaults: HashMap<(TypeId, usize), Span>,
    pub(super) min_bytes: HashMap<(Source, TypeId), u32>,
    path: Vec<&'a str>,
    /// How many mismatches there are, those too that are not kept.
    failures: usize,
    mismatches: Vec<Mismatch>,
}

impl<'a> Compiler<'a> {
    /// The node that reads `writer` as `reader`. After a mismatch it is a placeholder in a plan that is never used.
    fn node(&mut self, writer: TypeId, reader: TypeId, wanted: Wanted<'_>) -> Node {
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

    /// A union is resolved branch by branch when a datum chooses one. A branch that cannot be read is a matter of the
    /// messages that use it: they are rejected. It is a mismatch only if nothing but null can be read, or if the branch is
    /// a decimal or a fixed that the reader has with another size, precision or scale.
    fn writer_union(&mut self, branches: &'a [TypeId], reader: TypeId, wanted: Wanted<'_>) -> Node {
        let mut nodes = Vec::with_capacity(branches.len());
        let mut problems = Vec::new();
        let (mut has_place, mut is_readable) = (false, false);
        for branch in branches {
            let writes = self.written().get(*branch);
            let node = match self.place_of(writes, reader) {
                Ok(()) => {
                    has_place = true;
                    self.attempt(&mut problems, |compiler| compiler.node(*branch, reader, wanted))
                }
                Err(problem) if problem.is_changed_type() => self.mismatch(problem),
                Err(problem) => {
                    problems.push(self.here(problem));
                    Node::Unresolvable
                }
            };
            is_readable |= node != Node::Unresolvable && (!matches!(writes, Type::Null) || branches.len() == 1);
            nodes.push(node);
        }
        if !has_place {
            let kinds: Vec<_> = branches.iter().map(|branch| describe(self.written().get(*branch))).collect();
            let writer = format!("union of {}", kinds.join(", ")).into();
            return self.mismatch(MismatchProblem::Kind { writer, reader: describe(self.reader.get(reader)) });
        }
        if !is_readable {
            problems.into_iter().for_each(|problem| self.fail(problem));
        }
        Node::Union(append(&mut self.plan.nodes, nodes))
    }

    /// Compiles a branch of a union that may be unreadable without harm. Why it is goes to `problems`.
    fn attempt(&mut self, problems: &mut Vec<Mismatch>, compile: impl FnOnce(&mut Self) -> Node) -> Node {
        let (failures, kept) = (self.failures, self.mismatches.len());
        let node = self.below("", compile);
        if self.failures == failures || self.mismatches.iter().any(|mismatch| mismatch.error().is_excess()) {
            return node;
        }
        self.failures = failures;
        problems.extend(self.mismatches.drain(kept..));
        Node::Unresolvable
    }

    /// Whether the reader has something of the kind of `writes`.
    fn place_of(&self, writes: &Type, reader: TypeId) -> Result<(), MismatchProblem> {
        match self.reader.get(reader) {
            Type::Union(branches) => matching::branch_for(writes, self.reader, branches).map(drop),
            reads => matching::fit(writes, reads).map(drop),
        }
    }

    fn matched(
        &mut self,
        (writer, writes): (TypeId, &'a Type),
        (reader, reads): (TypeId, &'a Type),
        wanted: Wanted<'_>,
    ) -> Node {
        match (writes, reads) {
            (Type::Record(writes), Type::Record(reads)) => self.record((writer, writes), (reader, reads), wanted),
            (Type::Enum(writes), Type::Enum(reads)) => self.enumeration((writer, writes), (reader, reads)),
            (Type::Array(writes), Type::Array(reads)) => {
                let item = self.below("[]", |compiler| compiler.node(*writes, *reads, Wanted::All));
                Node::Array { item: self.push(item), min_bytes: self.min_bytes(*writes, 0) }
            }
            (Type::Map(writes), Type::Map(reads)) => {
                let value = self.below("{}", |compiler| compiler.node(*writes, *reads, Wanted::All));
                Node::Map { value: self.push(value), min_bytes: self.min_bytes(*writes, 0).saturating_add(1) }
            }
            (Type::Int(_), Type::Long(_)) => Node::Int,
            (Type::Int(_), Type::Float) => Node::IntAsFloat,
            (Type::Int(_), Type::Double) => Node::IntAsDouble,
            (Type::Long(_), Type::Float) => Node::LongAsFloat,
            (Type::Long(_), Type::Double) => Node::LongAsDouble,
            (Type::Float, Type::Double) => Node::FloatAsDouble,
            (_, reads) => scalar(reads),
        }
    }

    fn record(
        &mut self,
        (writer, writes): (TypeId, &'a Record),
        (reader, reads): (TypeId, &'a Record),
        wanted: Wanted<'_>,
    ) -> Node {
        if !matches!(wanted, Wanted::All) {
            return self.steps(writes, (reader, reads), wanted);
        }
        let pair = (self.source, writer, reader);
        if let Some(node) = self.named.get(&pair) {
            return *node;
        }
        if let Some(first) = self.unreadable.get(&pair).cloned() {
            return self.mismatch(MismatchProblem::Record { name: reads.named.name.clone(), first });
        }
        let (failures, kept, known) = (self.failures, self.mismatches.len(), self.named_in_order.len());
        let id = self.push(Node::Null);
        self.remember(pair, Node::Recursive(id));
        let node = self.steps(writes, (reader, reads), wanted);
        let is_readable = self.failures == failures;
        if let Some(reserved) = self.plan.nodes.get_mut(id.0 as usize) {
            *reserved = if is_readable { node } else { Node::Unresolvable };
        }
        if is_readable {
            self.named.insert(pair, node);
            return node;
        }
        // What was compiled meanwhile may hold this record.
        for pair in self.named_in_order.drain(known..) {
            self.named.remove(&pair);
        }
        if let Some(first) = self.mismatches.get(kept) {
            self.unreadable.insert(pair, Box::new(first.clone()));
        }
        Node::Unresolvable
    }

    fn steps(&mut self, writes: &'a Record, (reader, reads): (TypeId, &'a Record), wanted: Wanted<'_>) -> Node {
        let is_sparse = matches!(wanted, Wanted::Only(_))
            && self.purpose == Purpose::DeleteFromJson
            && self.source == Source::Message;
        let sources = reads.sources(|name| writes.fields.iter().position(|field| *field.name == *name));
        let mut steps = Vec::with_capacity(writes.fields.len());
        for (index, field) in writes.fields.iter().enumerate() {
            let target = sources.iter().position(|source| *source == Some(index));
            let target = target.and_then(|target| reads.fields.get(target));
            match target.and_then(|target| Some((target, wanted.field(&target.name)?))) {
                Some((target, (tracked, below))) => {
                    let node = self.below(&target.name, |compiler| compiler.node(field.ty, target.ty, below));
                    let number = u32::try_from(index).unwrap_or(u32::MAX);
                    let action = if is_sparse { Action::ReadIfPresent(node, number) } else { Action::Read(node) };
                    steps.push(step(target, tracked, action));
                }
                None if is_sparse => {}
                None => {
                    let skip = self.below(&field.name, |compiler| compiler.skip(field.ty));
                    steps.push(step(field, &[], Action::Skip(self.push_skip(skip))));
                }
            }
        }
        for (index, field) in reads.fields.iter().enumerate() {
            if sources.get(index) == Some(&None)
                && let Some((tracked, below)) = wanted.field(&field.name)
            {
                let default = self.below(&field.name, |compiler| compiler.default(reader, index, field, below));
                if let Some((node, datum)) = default {
                    steps.push(step(field, tracked, Action::Default(node, datum)));
                }
            }
        }
        let steps = append(&mut self.plan.steps, steps);
        if is_sparse { Node::KeyRecord(steps) } else { Node::Record(steps) }
    }

    /// The node and the datum of the reader's default for a field; none if that is a mismatch.
    fn default(&mut self, reader: TypeId, index: usize, field: &'a Field, wanted: Wanted<'_>) -> Option<(Node, Span)> {
        let datum = match self.defaults.get(&(reader, index)) {
            Some(known) => *known,
            None => {
                let datum = self.default_datum(field);
                let datum = datum.map_err(|problem| self.mismatch(problem)).ok()?;
                *self.defaults.entry((reader, index)).or_insert(append(&mut self.plan.defaults, datum))
            }
        };
        let around = std::mem::replace(&mut self.source, Source::Default);
        let node = self.node(field.ty, field.ty, wanted);
        self.source = around;
        Some((node, datum))
    }

    fn default_datum(&self, field: &Field) -> Result<Vec<u8>, MismatchProblem> {
        let default = field.default.as_ref().ok_or(MismatchProblem::MissingField)?;
        let mut datum = Vec::new();
        write::default_datum(self.reader, field.ty, default, &mut datum)
            .map_err(|error| MismatchProblem::Default(*error))?;
        Ok(datum)
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

    fn remember(&mut self, pair: Pair, node: Node) {
        self.named.insert(pair, node);
        self.named_in_order.push(pair);
    }

    pub(super) fn written(&self) -> &'a Schema {
        match self.source {
            Source::Message => self.writer,
            Source::Default => self.reader,
        }
    }

    pub(super) fn excess(&self) -> Option<MismatchProblem> {
        let plan = &self.plan;
        let parts = plan.nodes.len() + plan.steps.len() + plan.symbols.len() + plan.skips.len();
        if parts > MAX_PLAN_PARTS {
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

    fn fail(&mut self, mismatch: Mismatch) {
        self.failures += 1;
        if self.mismatches.len() < MAX_MISMATCHES {
            self.mismatches.push(mismatch);
        }
    }

    /// The problem at the place that is being compiled.
    fn here(&self, problem: MismatchProblem) -> Mismatch {
        let mut path = String::new();
        for segment in self.path.iter().filter(|segment| !segment.is_empty()) {
            if !path.is_empty() && !segment.starts_with(['[', '{']) {
                path.push('.');
            }
            path.push_str(segment);
        }
        WithPath::new(&path, problem)
    }

    fn push(&mut self, node: Node) -> NodeId {
        NodeId(append(&mut self.plan.nodes, vec![node]).start)
    }
}

/// The node of a type that is read as itself, or as what promotes to it without a change of bytes.
fn scalar(reads: &Type) -> Node {
    match reads {
        Type::Null => Node::Null,
        Type::Boolean => Node::Boolean,
        Type::Int(Int::Plain) => Node::Int,
        Type::Int(Int::Date) => Node::Date,
        Type::Long(_) => Node::Long,
        Type::Float => Node::Float,
        Type::Double => Node::Double,
        Type::String => Node::String,
        Type::Bytes(None) => Node::Bytes,
        Type::Bytes(Some(decimal)) => Node::Decimal { scale: decimal.scale },
        Type::Fixed(Fixed { size, meaning, .. }) => match meaning {
            FixedMeaning::Plain => Node::Fixed { size: *size },
            FixedMeaning::Decimal(decimal) => Node::FixedDecimal { size: *size, scale: decimal.scale },
            FixedMeaning::Uuid => Node::Uuid,
        },
        Type::Enum(_) | Type::Array(_) | Type::Map(_) | Type::Union(_) | Type::Record(_) => Node::Unresolvable,
    }
}

fn step(field: &Field, tracked: &[TrackedField], action: Action) -> Step {
    Step { name: Name::new(&field.name), tracked: tracked.into(), action }
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
