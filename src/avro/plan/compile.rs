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

/// Which fields of a record its datum holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// All of them, as Avro has it.
    Full,
    /// Any of them, each behind a byte that says whether it is there; see [`Action::ReadIfPresent`].
    Sparse,
}

/// The plan that reads datums of `writer` as records of `reader` and tells of the `tracked` fields, or everything that prevents it.
pub(crate) fn compile(
    writer: &Schema,
    reader: &Schema,
    tracked: &TrackedFields,
    presence: Presence,
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
        presence,
        source: Source::Message,
        plan,
        named: HashMap::new(),
        skipped: HashMap::new(),
        defaults: HashMap::new(),
        min_bytes: HashMap::new(),
        path: Vec::new(),
        mismatches: Vec::new(),
    };
    let root = compiler.node(writer.root(), reader.root(), Some(tracked).filter(|tracked| !tracked.is_empty()));
    compiler.plan.root = root;
    if compiler.mismatches.is_empty() { Ok(compiler.plan) } else { Err(compiler.mismatches) }
}

/// Whose datums a node reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// Those of messages, in the writer's schema.
    Message,
    /// Those of defaults, in the reader's schema.
    Default,
}

pub(super) struct Compiler<'a> {
    writer: &'a Schema,
    reader: &'a Schema,
    presence: Presence,
    pub(super) source: Source,
    pub(super) plan: Plan,
    /// Nodes of records and enums, so that each pair is compiled once and recursion ends. Not those with tracked fields, which
    /// hold for one path and not for a type.
    named: HashMap<(Source, TypeId, TypeId), Node>,
    pub(super) skipped: HashMap<TypeId, SkipId>,
    /// What stands for the reader's field in writers that lack it.
    defaults: HashMap<(TypeId, usize), (Node, Span)>,
    pub(super) min_bytes: HashMap<(Source, TypeId), u32>,
    path: Vec<&'a str>,
    mismatches: Vec<Mismatch>,
}

impl<'a> Compiler<'a> {
    /// The node that reads `writer` as `reader`. After a mismatch it is a placeholder in a plan that is never used.
    fn node(&mut self, writer: TypeId, reader: TypeId, tracked: Option<&TrackedFields>) -> Node {
        if let Some(problem) = self.excess() {
            return self.mismatch(problem);
        }
        match (self.written().get(writer), self.reader.get(reader)) {
            (Type::Union(branches), _) => self.writer_union(branches, reader, tracked),
            (writes, Type::Union(branches)) => match matching::branch_for(writes, self.reader, branches) {
                Ok(branch) => self.node(writer, branch, tracked),
                Err(problem) => self.mismatch(problem),
            },
            (writes, reads) => match matching::fit(writes, reads) {
                Ok(_) => self.matched((writer, writes), (reader, reads), tracked),
                Err(problem) => self.mismatch(problem),
            },
        }
    }

    /// A union is resolved branch by branch when a datum chooses one. That some have no place in the reader is normal,
    /// that none has is a mismatch, and so is a branch that has one but cannot be read there.
    fn writer_union(&mut self, branches: &'a [TypeId], reader: TypeId, tracked: Option<&TrackedFields>) -> Node {
        let places: Vec<_> = branches.iter().map(|branch| self.has_place(*branch, reader)).collect();
        if !places.contains(&true) {
            let kinds: Vec<_> = branches.iter().map(|branch| describe(self.written().get(*branch))).collect();
            let writer = format!("union of {}", kinds.join(", ")).into();
            return self.mismatch(MismatchProblem::Kind { writer, reader: describe(self.reader.get(reader)) });
        }
        let mut nodes = Vec::with_capacity(branches.len());
        for (branch, place) in branches.iter().zip(places) {
            let node = |compiler: &mut Self| compiler.node(*branch, reader, tracked);
            nodes.push(if place { self.below("", node) } else { Node::Unresolvable });
        }
        Node::Union(append(&mut self.plan.nodes, nodes))
    }

    fn has_place(&self, branch: TypeId, reader: TypeId) -> bool {
        let writes = self.written().get(branch);
        match self.reader.get(reader) {
            Type::Union(branches) => matching::branch_for(writes, self.reader, branches).is_ok(),
            reads => matching::fit(writes, reads).is_ok(),
        }
    }

    fn matched(
        &mut self,
        (writer, writes): (TypeId, &'a Type),
        (reader, reads): (TypeId, &'a Type),
        tracked: Option<&TrackedFields>,
    ) -> Node {
        match (writes, reads) {
            (Type::Record(writes), Type::Record(reads)) => self.record((writer, writes), (reader, reads), tracked),
            (Type::Enum(writes), Type::Enum(reads)) => self.enumeration((writer, writes), (reader, reads)),
            (Type::Array(writes), Type::Array(reads)) => {
                let item = self.below("[]", |compiler| compiler.node(*writes, *reads, None));
                Node::Array { item: self.push(item), min_bytes: self.min_bytes(*writes, 0) }
            }
            (Type::Map(writes), Type::Map(reads)) => {
                let value = self.below("{}", |compiler| compiler.node(*writes, *reads, None));
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
        tracked: Option<&TrackedFields>,
    ) -> Node {
        if tracked.is_some() {
            return self.steps(writes, (reader, reads), tracked);
        }
        let key = (self.source, writer, reader);
        if let Some(node) = self.named.get(&key) {
            return *node;
        }
        let id = self.push(Node::Null);
        self.named.insert(key, Node::Recursive(id));
        let node = self.steps(writes, (reader, reads), None);
        if let Some(reserved) = self.plan.nodes.get_mut(id.0 as usize) {
            *reserved = node;
        }
        self.named.insert(key, node);
        node
    }

    fn steps(
        &mut self,
        writes: &'a Record,
        (reader, reads): (TypeId, &'a Record),
        tracked: Option<&TrackedFields>,
    ) -> Node {
        let sources = sources(writes, reads);
        let mut steps = Vec::with_capacity(writes.fields.len());
        for (index, field) in writes.fields.iter().enumerate() {
            let target = sources.iter().position(|source| *source == Some(index));
            steps.push(match target.and_then(|target| reads.fields.get(target)) {
                Some(target) => self.read(field, target, tracked),
                None => {
                    let skip = self.below(&field.name, |compiler| compiler.skip(field.ty));
                    step(field, &[], Action::Skip(self.push_skip(skip)))
                }
            });
        }
        for (index, field) in reads.fields.iter().enumerate() {
            if sources.get(index) == Some(&None) {
                let (node, datum) = self.below(&field.name, |compiler| compiler.default(reader, index, field));
                let tracked = tracked.map_or(&[][..], |tracked| tracked.field(&field.name).0);
                steps.push(step(field, tracked, Action::Default(node, datum)));
            }
        }
        Node::Record(append(&mut self.plan.steps, steps))
    }

    fn read(&mut self, writes: &'a Field, reads: &'a Field, tracked: Option<&TrackedFields>) -> Step {
        let (tracked, below) = tracked.map_or((&[][..], None), |tracked| tracked.field(&reads.name));
        let node = self.below(&reads.name, |compiler| compiler.node(writes.ty, reads.ty, below));
        let action = match (self.source, self.presence) {
            (Source::Message, Presence::Sparse) => Action::ReadIfPresent(node),
            (Source::Default, _) | (_, Presence::Full) => Action::Read(node),
        };
        step(reads, tracked, action)
    }

    /// The node and the datum of the reader's default for a field.
    fn default(&mut self, reader: TypeId, index: usize, field: &'a Field) -> (Node, Span) {
        if let Some(known) = self.defaults.get(&(reader, index)) {
            return *known;
        }
        let Some(default) = &field.default else {
            return (self.mismatch(MismatchProblem::MissingField), Span::default());
        };
        let mut datum = Vec::new();
        if let Err(error) = write::default_datum(self.reader, field.ty, default, &mut datum) {
            return (self.mismatch(MismatchProblem::Default(*error)), Span::default());
        }
        let datum = append(&mut self.plan.defaults, datum);
        let around = std::mem::replace(&mut self.source, Source::Default);
        let node = self.node(field.ty, field.ty, None);
        self.source = around;
        self.defaults.insert((reader, index), (node, datum));
        (node, datum)
    }

    fn enumeration(&mut self, (writer, writes): (TypeId, &Enum), (reader, reads): (TypeId, &Enum)) -> Node {
        let key = (self.source, writer, reader);
        if let Some(node) = self.named.get(&key) {
            return *node;
        }
        let known = |symbol| reads.symbols.iter().find(|known| *known == symbol).or(reads.default.as_ref()).cloned();
        let symbols: Vec<_> = writes.symbols.iter().map(known).collect();
        if symbols.iter().all(Option::is_none) {
            return self.mismatch(MismatchProblem::NoSymbol);
        }
        let node = Node::Enum(append(&mut self.plan.symbols, symbols));
        self.named.insert(key, node);
        node
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
        let mut path = String::new();
        for segment in self.path.iter().filter(|segment| !segment.is_empty()) {
            if !path.is_empty() && !segment.starts_with(['[', '{']) {
                path.push('.');
            }
            path.push_str(segment);
        }
        if self.mismatches.len() < MAX_MISMATCHES {
            self.mismatches.push(WithPath::new(&path, problem));
        }
        Node::Unresolvable
    }

    fn push(&mut self, node: Node) -> NodeId {
        NodeId(append(&mut self.plan.nodes, vec![node]).start)
    }
}

/// For each of the reader's fields, the writer's that it is read from: the one of its name, else the first that one of
/// its aliases names and that no other field is read from.
fn sources(writes: &Record, reads: &Record) -> Vec<Option<usize>> {
    let index_of = |name: &str| writes.fields.iter().position(|field| *field.name == *name);
    let mut sources: Vec<_> = reads.fields.iter().map(|field| index_of(&field.name)).collect();
    for (position, field) in reads.fields.iter().enumerate() {
        if sources.get(position) == Some(&None) {
            let mut renamed = field.aliases.iter().filter_map(|alias| index_of(alias));
            let source = renamed.find(|index| !sources.contains(&Some(*index)));
            if let Some(slot) = sources.get_mut(position) {
                *slot = source;
            }
        }
    }
    sources
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
