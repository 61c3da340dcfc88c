//! Tracks the current path in the schemas during compilation, and collects the mismatches.

use super::{Mismatch, MismatchProblem, draft::Draft};
use crate::avro::path::WithPath;

/// Maximum nesting depth of types that a plan supports. A union between two records counts as one level.
///
/// Messages are limited to less than half of this depth, so only a crafted schema is rejected, before it overflows the
/// stack.
pub(super) const MAX_TYPE_DEPTH: usize = 128;

/// Maximum number of mismatches that are reported for one pair of schemas.
const MAX_MISMATCHES: usize = 20;

/// Path to the types that are being compiled, and the mismatches found so far.
#[derive(Default)]
pub(super) struct Problems<'a> {
    path: Vec<&'a str>,
    /// Total number of mismatches, including those that are not in `kept`.
    count: usize,
    kept: Vec<Mismatch>,
}

/// A point in the compilation, used to find the mismatches that are reported after it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    count: usize,
    kept: usize,
}

impl<'a> Problems<'a> {
    pub(super) fn enter(&mut self, segment: &'a str) {
        self.path.push(segment);
    }

    pub(super) fn leave(&mut self) {
        self.path.pop();
    }

    /// Returns a mismatch for `problem` at the current path.
    pub(super) fn here(&self, problem: MismatchProblem) -> Mismatch {
        WithPath::at_types(&self.path, problem)
    }

    /// Returns a copy of `mismatch`, which was found below the current path, with its path from here.
    pub(super) fn below_here(&self, mismatch: &Mismatch) -> Mismatch {
        mismatch.clone().below_types(&self.path)
    }

    pub(super) fn report(&mut self, mismatch: Mismatch) {
        self.count += 1;
        if self.kept.len() < MAX_MISMATCHES {
            self.kept.push(mismatch);
        }
    }

    /// Returns the problem if the schemas exceed the maximum size or depth of a plan.
    pub(super) fn excess(&self, draft: &Draft) -> Option<MismatchProblem> {
        if draft.is_too_large() {
            Some(MismatchProblem::TooLarge)
        } else {
            (self.path.len() > MAX_TYPE_DEPTH).then_some(MismatchProblem::TooDeep)
        }
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { count: self.count, kept: self.kept.len() }
    }

    /// Returns whether a mismatch was reported since `mark`.
    pub(super) fn is_any_since(&self, mark: Mark) -> bool {
        self.count > mark.count
    }

    /// Returns the first mismatch reported since `mark`, if it was kept.
    pub(super) fn first_since(&self, mark: Mark) -> Option<&Mismatch> {
        self.kept.get(mark.kept)
    }

    /// Removes the mismatches reported since `mark` and returns them.
    ///
    /// Returns `None` if nothing was reported since `mark`, or if the schemas exceed the maximum size or depth of a plan.
    /// The latter error must remain.
    pub(super) fn take_back(&mut self, mark: Mark) -> Option<Vec<Mismatch>> {
        if !self.is_any_since(mark) || self.kept.iter().any(|mismatch| mismatch.error().is_excess()) {
            return None;
        }
        self.count = mark.count;
        Some(self.kept.split_off(mark.kept))
    }

    /// Returns the mismatches as an error if there are any.
    pub(super) fn finish(self) -> Result<(), Vec<Mismatch>> {
        if self.count == 0 { Ok(()) } else { Err(self.kept) }
    }
}
