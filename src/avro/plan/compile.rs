//! Compiles a plan by walking the writer's and the reader's schema side by side.

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

/// Purpose of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To store records. All fields are read.
    Store,
    /// To delete records. Only the tracked fields are read and all others are skipped, because the value of another
    /// field must not prevent the deletion.
    Delete,
    /// To delete records whose body is JSON. Their datums contain only the tracked fields; see [`Node::KeyRecord`].
    DeleteFromJson,
}

/// Origin of a writer schema. It decides how to treat a part that the reader cannot read but that not every datum uses:
/// a branch of a union, or the items of an array or a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SchemaOrigin {
    /// The schema directory. The rules are strict, because mistakes should be found at startup.
    ///
    /// Unreadable items are a mismatch. An unreadable branch is a mismatch if no branch but null can be read, or if the
    /// reader has the same type with another size, precision, scale, unit or meaning.
    Directory,
    /// A container. Messages with its schema already exist, and those that do not use the unreadable part are valid. An
    /// unreadable branch is a mismatch only if no branch can be read.
    Container,
}

/// Compiles the plan that decodes datums of `writer` into records of `reader` and reports the `tracked` fields.
///
/// # Errors
/// All mismatches between the two schemas.
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

/// Source of the datums that a node reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum DatumSource {
    /// Messages, whose datums are in the writer's schema.
    Message,
    /// Defaults, whose datums are in the reader's schema.
    Default,
}

/// Compiles pairs of a writer's and a reader's type, and holds the state of the compilation.
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
    /// Returns the node that reads `writer` as `reader`. After a mismatch it is a placeholder, because the plan is
    /// never used.
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

    /// Returns the node for an item of an array or a value of a map.
    fn element(&mut self, writer: TypeId, reader: TypeId) -> Node {
        if self.origin == SchemaOrigin::Directory {
            return self.node(writer, reader, Wanted::All);
        }
        let mut problems = Vec::new();
        let node = self.attempt(&mut problems, |compiler| compiler.node(writer, reader, Wanted::All));
        problems.into_iter().next().map_or(node, |first| self.incompatible(&first))
    }

    /// Returns a node that rejects every datum which uses the part of the schema that is being compiled.
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

    /// Returns the schema of the datums that are being compiled.
    pub(super) fn written(&self) -> &'a Schema {
        match self.source {
            DatumSource::Message => self.writer,
            DatumSource::Default => self.reader,
        }
    }

    /// Compiles a part of the current type, with `segment` added to the path.
    pub(super) fn below<T>(&mut self, segment: &'a str, compile: impl FnOnce(&mut Self) -> T) -> T {
        self.problems.enter(segment);
        let compiled = compile(self);
        self.problems.leave();
        compiled
    }

    /// Compiles a part of the schema that is allowed to be unreadable. Adds its mismatches to `problems`.
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

    /// Reports a problem at the current path and returns a placeholder node.
    pub(super) fn mismatch(&mut self, problem: MismatchProblem) -> Node {
        self.problems.report(self.problems.here(problem));
        Node::Unresolvable
    }

    /// Compiles how to skip a value that the reader has no field for.
    pub(super) fn skip(&mut self, writer: TypeId) -> Skip {
        let schema = self.written();
        let (source, draft, problems) = (self.source, &mut self.draft, &mut self.problems);
        let (known, min_bytes) = (&mut self.skips, &mut self.min_bytes);
        SkipCompiler { schema, source, draft, problems, known, min_bytes }.skip(writer)
    }

    fn min_bytes(&mut self, writer: TypeId) -> u32 {
        self.min_bytes.lower_bound(self.written(), self.source, writer)
    }
}

/// Returns the node that reads a scalar from the same type, or from a type with the same encoding.
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
