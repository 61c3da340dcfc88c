//! Compiles a plan by walking two schemas side by side.

use super::{
    Mismatch, MismatchProblem, Node, Plan, Skip, TrackedFields,
    draft::Draft,
    matching,
    min_bytes::MinBytes,
    named::NamedNodes,
    problems::Problems,
    record::{Defaults, Wanted},
    skip::{KnownSkips, SkipCompiler},
};
use crate::avro::{
    path::{ENTRIES, ITEMS},
    schema::{Enum, Fixed, FixedMeaning, Schema, Time, Type, TypeId},
};

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
    let mut compiler = Compiler {
        writer,
        reader,
        purpose,
        origin,
        source: DatumSource::Message,
        draft: Draft::new(),
        problems: Problems::default(),
        named: NamedNodes::default(),
        defaults: Defaults::new(),
        skips: KnownSkips::new(),
        min_bytes: MinBytes::default(),
    };
    let wanted = if purpose == Purpose::Store { Wanted::all(Some(tracked)) } else { Wanted::Only(tracked) };
    let root = compiler.node(writer.root(), reader.root(), wanted);
    compiler.problems.finish()?;
    Ok(compiler.draft.finish(root))
}

/// Whose datums a node reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum DatumSource {
    /// Those of messages, in the writer's schema.
    Message,
    /// Those of defaults, in the reader's schema.
    Default,
}

/// Compiles pairs of types. The parts of its state have owners: this holds them, and decides.
pub(super) struct Compiler<'a> {
    pub(super) writer: &'a Schema,
    pub(super) reader: &'a Schema,
    pub(super) purpose: Purpose,
    pub(super) origin: SchemaOrigin,
    pub(super) source: DatumSource,
    pub(super) draft: Draft,
    pub(super) problems: Problems<'a>,
    pub(super) named: NamedNodes,
    pub(super) defaults: Defaults,
    skips: KnownSkips,
    min_bytes: MinBytes,
}

impl<'a> Compiler<'a> {
    /// The node that reads `writer` as `reader`. After a mismatch it is a placeholder in a plan that is never used.
    pub(super) fn node(&mut self, writer: TypeId, reader: TypeId, wanted: Wanted<'_>) -> Node {
        if let Some(problem) = self.problems.excess(&self.draft) {
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
                let item = self.below(ITEMS, |compiler| compiler.element(*writes, *reads));
                Node::Array { item: self.draft.push_node(item), min_bytes: self.min_bytes(*writes) }
            }
            (Type::Map(writes), Type::Map(reads)) => {
                let value = self.below(ENTRIES, |compiler| compiler.element(*writes, *reads));
                Node::Map { value: self.draft.push_node(value), min_bytes: self.min_bytes(*writes).saturating_add(1) }
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
        Node::Incompatible(self.draft.push_incompatible(self.problems.below_here(mismatch)))
    }

    fn enumeration(&mut self, (writer, writes): (TypeId, &Enum), (reader, reads): (TypeId, &Enum)) -> Node {
        let pair = (self.source, writer, reader);
        if let Some(node) = self.named.get(pair) {
            return node;
        }
        let known = |symbol| reads.symbols.iter().find(|known| *known == symbol).or(reads.default.as_ref()).cloned();
        let symbols: Vec<_> = writes.symbols.iter().map(known).collect();
        if symbols.iter().all(Option::is_none) {
            return self.mismatch(MismatchProblem::NoSymbol);
        }
        let node = Node::Enum(self.draft.push_symbols(symbols));
        self.named.remember(pair, node);
        node
    }

    /// The schema whose datums are being compiled.
    pub(super) fn written(&self) -> &'a Schema {
        match self.source {
            DatumSource::Message => self.writer,
            DatumSource::Default => self.reader,
        }
    }

    /// Compiles something below this place.
    pub(super) fn below<T>(&mut self, segment: &'a str, compile: impl FnOnce(&mut Self) -> T) -> T {
        self.problems.enter(segment);
        let compiled = compile(self);
        self.problems.leave();
        compiled
    }

    /// Compiles a part of the schema that may be unreadable without harm. The mismatches in it go to `problems`.
    pub(super) fn attempt(&mut self, problems: &mut Vec<Mismatch>, compile: impl FnOnce(&mut Self) -> Node) -> Node {
        let mark = self.problems.mark();
        let node = compile(self);
        match self.problems.take_back(mark) {
            None => node,
            Some(found) => {
                problems.extend(found);
                Node::Unresolvable
            }
        }
    }

    /// Reports a problem at this place, and returns the node that stands in its place.
    pub(super) fn mismatch(&mut self, problem: MismatchProblem) -> Node {
        self.problems.report(self.problems.here(problem));
        Node::Unresolvable
    }

    /// Compiles how to skip a value of the writer's that the reader has no field for.
    pub(super) fn skip(&mut self, writer: TypeId) -> Skip {
        let schema = self.written();
        let (source, draft, problems) = (self.source, &mut self.draft, &mut self.problems);
        let (known, min_bytes) = (&mut self.skips, &mut self.min_bytes);
        SkipCompiler { schema, source, draft, problems, known, min_bytes }.skip(writer)
    }

    fn min_bytes(&mut self, writer: TypeId) -> u32 {
        self.min_bytes.of(self.written(), self.source, writer)
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
