//! Compiles the unions of a writer.

use super::{
    Mismatch, MismatchProblem, Node, UnionCheck,
    compile::{Compiler, append},
    matching::{self, describe},
    record::Wanted,
};
use crate::avro::schema::{Type, TypeId};

impl<'a> Compiler<'a> {
    /// A union is resolved branch by branch when a datum chooses one. A branch that cannot be read is a matter of the
    /// messages that use it: they are rejected. When it is a mismatch all the same, [`UnionCheck`] says.
    pub(super) fn writer_union(&mut self, branches: &'a [TypeId], reader: TypeId, wanted: Wanted<'_>) -> Node {
        let is_strict = self.unions == UnionCheck::Strict;
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
                Err(problem) if is_strict && problem.is_changed_type() => self.mismatch(problem),
                Err(problem) => {
                    problems.push(self.here(problem));
                    Node::Unresolvable
                }
            };
            is_readable |=
                node != Node::Unresolvable && (!is_strict || !matches!(writes, Type::Null) || branches.len() == 1);
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
}
