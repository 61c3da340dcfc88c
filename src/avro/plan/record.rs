//! Compiles records: decides which fields are read, skipped, or set to their default.

use super::{
    Action, FieldStep, MismatchProblem, Node, Purpose, Span, TrackedFields,
    compile::{Compiler, DatumSource},
};
use crate::{
    avro::{
        json_encode,
        schema::{Field, Record, TypeId},
    },
    record::{Name, TrackedField},
};
use std::collections::HashMap;

/// The fields of a record that are read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted<'t> {
    /// All fields are read, and none is tracked.
    All,
    /// All fields are read, and these are tracked.
    Tracking(&'t TrackedFields),
    /// Only these fields are read, and they are tracked.
    Only(&'t TrackedFields),
}

impl<'t> Wanted<'t> {
    pub(super) fn all(tracked: Option<&'t TrackedFields>) -> Self {
        tracked.filter(|tracked| !tracked.is_empty()).map_or(Self::All, Self::Tracking)
    }

    /// Returns how the reader's field `name` is tracked and which fields within it are read, or `None` if the field is
    /// not read.
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

    /// Returns the same as [`field`](Self::field), but a field that is omitted from the item is read only for tracked
    /// fields.
    fn in_item(self, field: &Field) -> Option<(&'t [TrackedField], Self)> {
        let found = self.field(&field.name)?;
        let is_needed = field.item_name().is_some() || !matches!(found, ([], Self::All));
        is_needed.then_some(found)
    }
}

/// Positions of the datums of the reader's defaults, by record and field.
pub(super) type Defaults = HashMap<(TypeId, usize), Span>;

impl<'a> Compiler<'a> {
    pub(super) fn record(
        &mut self,
        (writer, writes): (TypeId, &'a Record),
        (reader, reads): (TypeId, &'a Record),
        wanted: Wanted<'_>,
    ) -> Node {
        if !matches!(wanted, Wanted::All) {
            return self.steps(writes, (reader, reads), wanted);
        }
        let pair = (self.source, writer, reader);
        if let Some(node) = self.named.get(pair) {
            return node;
        }
        if let Some(first) = self.named.unreadable(pair) {
            return self.mismatch(MismatchProblem::Record { name: reads.named.name.clone(), first });
        }
        let mark = self.problems.mark();
        let id = self.draft.push_node(Node::Null);
        self.named.remember(pair, Node::Recursive(id));
        let node = self.steps(writes, (reader, reads), wanted);
        if self.problems.is_any_since(mark) {
            self.draft.set_node(id, Node::Unresolvable);
            self.named.forget_from(pair, self.problems.first_since(mark));
            return Node::Unresolvable;
        }
        self.draft.set_node(id, node);
        self.named.remember(pair, node);
        node
    }

    fn steps(&mut self, writes: &'a Record, (reader, reads): (TypeId, &'a Record), wanted: Wanted<'_>) -> Node {
        let is_sparse = matches!(wanted, Wanted::Only(_))
            && self.purpose == Purpose::DeleteFromJson
            && self.source == DatumSource::Message;
        let sources = reads.sources(|name| writes.fields.iter().position(|field| *field.name == *name));
        let mut steps = Vec::with_capacity(writes.fields.len());
        for (index, field) in writes.fields.iter().enumerate() {
            let target = sources.iter().position(|source| *source == Some(index));
            let target = target.and_then(|target| reads.fields.get(target));
            match target.and_then(|target| Some((target, wanted.in_item(target)?))) {
                Some((target, (tracked, below))) => {
                    let node = self.below(&target.name, |compiler| compiler.node(field.ty, target.ty, below));
                    let number = u32::try_from(index).unwrap_or(u32::MAX);
                    let action = if is_sparse { Action::ReadIfPresent(node, number) } else { Action::Read(node) };
                    steps.push(step(target, tracked, action));
                }
                None if is_sparse => {}
                None => {
                    let skip = self.below(&field.name, |compiler| compiler.skip(field.ty));
                    steps.push(step(field, &[], Action::Skip(self.draft.push_skip(skip))));
                }
            }
        }
        for (index, field) in reads.fields.iter().enumerate() {
            if sources.get(index) == Some(&None)
                && let Some((tracked, below)) = wanted.in_item(field)
            {
                let default = self.below(&field.name, |compiler| compiler.default(reader, index, field, below));
                if let Some((node, datum)) = default {
                    steps.push(step(field, tracked, Action::Default(node, datum)));
                }
            }
        }
        let steps = self.draft.push_steps(steps);
        if is_sparse { Node::KeyRecord(steps) } else { Node::Record(steps) }
    }

    /// Returns the node and the datum of a field's default in the reader schema, or `None` if the default is a
    /// mismatch.
    fn default(&mut self, reader: TypeId, index: usize, field: &'a Field, wanted: Wanted<'_>) -> Option<(Node, Span)> {
        let datum = match self.defaults.get(&(reader, index)) {
            Some(known) => *known,
            None => {
                let datum = self.default_datum(field);
                let datum = datum.map_err(|problem| self.mismatch(problem)).ok()?;
                *self.defaults.entry((reader, index)).or_insert(self.draft.push_default(datum))
            }
        };
        let around = std::mem::replace(&mut self.source, DatumSource::Default);
        let node = self.node(field.ty, field.ty, wanted);
        self.source = around;
        Some((node, datum))
    }

    fn default_datum(&self, field: &Field) -> Result<Vec<u8>, MismatchProblem> {
        let default = field.default.as_ref().ok_or(MismatchProblem::MissingField)?;
        let mut datum = Vec::new();
        json_encode::default_datum(self.reader, field.ty, default, &mut datum)
            .map_err(|error| MismatchProblem::Default(*error))?;
        Ok(datum)
    }
}

fn step(field: &Field, tracked: &[TrackedField], action: Action) -> FieldStep {
    let name = field.item_name().map_or_else(|| Name::omitted(&field.name), Name::new);
    FieldStep { name, tracked: tracked.into(), action }
}
