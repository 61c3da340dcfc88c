//! Where in the schemas compilation is, and what it has found wrong.

use super::{Mismatch, MismatchProblem, draft::Draft};
use crate::avro::path::WithPath;

/// The deepest nesting of types that a plan follows; a union between two records counts as one level.
///
/// No message may be nested half as deep, so that only a crafted schema is refused, before it exhausts the stack.
pub(super) const MAX_TYPE_DEPTH: usize = 128;

/// The most mismatches that are reported for one pair of schemas.
const MAX_MISMATCHES: usize = 20;

/// The path to the types that are being compiled, and the mismatches so far.
#[derive(Default)]
pub(super) struct Problems<'a> {
    path: Vec<&'a str>,
    /// How many mismatches there are, those too that are not kept.
    count: usize,
    kept: Vec<Mismatch>,
}

/// A moment of the compilation, to see what was found since.
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

    /// Returns the mismatch of this problem at this place.
    pub(super) fn here(&self, problem: MismatchProblem) -> Mismatch {
        WithPath::at_types(&self.path, problem)
    }

    /// Returns a mismatch found below this place with its path from here.
    pub(super) fn below_here(&self, mismatch: &Mismatch) -> Mismatch {
        mismatch.clone().below_types(&self.path)
    }

    pub(super) fn report(&mut self, mismatch: Mismatch) {
        self.count += 1;
        if self.kept.len() < MAX_MISMATCHES {
            self.kept.push(mismatch);
        }
    }

    /// Returns the problem if the schemas are more than a plan can hold.
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

    /// Returns whether anything was found since `mark`.
    pub(super) fn is_any_since(&self, mark: Mark) -> bool {
        self.count > mark.count
    }

    /// Returns the first mismatch since `mark`, if it is kept.
    pub(super) fn first_since(&self, mark: Mark) -> Option<&Mismatch> {
        self.kept.get(mark.kept)
    }

    /// Forgets what was found since `mark` and returns it. `None` if nothing was, or if the schemas are more than a plan can
    /// hold, which nothing excuses.
    pub(super) fn take_back(&mut self, mark: Mark) -> Option<Vec<Mismatch>> {
        if !self.is_any_since(mark) || self.kept.iter().any(|mismatch| mismatch.error().is_excess()) {
            return None;
        }
        self.count = mark.count;
        Some(self.kept.split_off(mark.kept))
    }

    /// Returns the mismatches, if there are any.
    pub(super) fn finish(self) -> Result<(), Vec<Mismatch>> {
        if self.count == 0 { Ok(()) } else { Err(self.kept) }
    }
}
