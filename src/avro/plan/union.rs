//! Compiles the unions of a writer schema.

use super::{
    MismatchProblem, Node, SchemaOrigin,
    compile::Compiler,
    matching::{self, describe},
    record::Wanted,
};
use crate::avro::schema::{Type, TypeId};

impl<'a> Compiler<'a> {
    /// Compiles a union branch by branch, because a datum chooses the branch. A branch that cannot be read usually
    /// affects only the messages that use it, which are rejected. [`SchemaOrigin`] describes when such a branch is a
    /// mismatch of the schemas.
    pub(super) fn writer_union(&mut self, branches: &'a [TypeId], reader: TypeId, wanted: Wanted<'_>) -> Node {
        let is_strict = self.origin == SchemaOrigin::Directory;
        let mut nodes = Vec::with_capacity(branches.len());
        let mut problems = Vec::new();
        let (mut has_place, mut is_readable) = (false, false);
        for branch in branches {
            let writes = self.written().get(*branch);
            let node = match self.place_of(writes, reader) {
                Ok(()) => {
                    has_place = true;
                    let known = problems.len();
                    let node = self.attempt(&mut problems, |compiler| {
                        compiler.below("", |compiler| compiler.node(*branch, reader, wanted))
                    });
                    match problems.get(known) {
                        Some(first) if !is_strict => self.incompatible(first),
                        _ => node,
                    }
                }
                Err(problem) if is_strict && problem.is_changed_type() => self.mismatch(problem),
                Err(problem) => {
                    let is_changed = problem.is_changed_type();
                    let mismatch = self.problems.here(problem);
                    let node = if is_changed { self.incompatible(&mismatch) } else { Node::Unresolvable };
                    problems.push(mismatch);
                    node
                }
            };
            is_readable |= !matches!(node, Node::Unresolvable | Node::Incompatible(_))
                && (!is_strict || !matches!(writes, Type::Null) || branches.len() == 1);
            nodes.push(node);
        }
        if !has_place {
            let kinds: Vec<_> = branches.iter().map(|branch| describe(self.written().get(*branch))).collect();
            let writer = format!("union of {}", kinds.join(", ")).into();
            return self.mismatch(MismatchProblem::Kind { writer, reader: describe(self.reader.get(reader)) });
        }
        if !is_readable {
            problems.into_iter().for_each(|problem| self.problems.report(problem));
        }
        Node::Union(self.draft.push_nodes(nodes))
    }

    /// Checks whether the reader's type matches `writes`, without comparing their parts.
    fn place_of(&self, writes: &Type, reader: TypeId) -> Result<(), MismatchProblem> {
        match self.reader.get(reader) {
            Type::Union(branches) => matching::branch_for(writes, self.reader, branches).map(drop),
            reads => matching::fit(writes, reads).map(drop),
        }
    }
}
