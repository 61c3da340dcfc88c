//! An event under way: the outcome of each message so far, and what it took. Pure.
//!
//! An outcome starts as [`Outcome::Returned`]; only the ends of a message's items or the quarantine queue make it a success.

use crate::avro::Decoded;
use crate::dynamodb::item::Items;
use crate::dynamodb::writer::{OpenKeys, WriteFigures, WriteOutcome, WriteReport};
use crate::outcome::{Cause, Evidence, Ledger, Outcome, Reason, Rejection};
use crate::record::SubjectId;
use std::ops::Range;
use std::time::Duration;

/// Why a message is unfinished that nothing has touched.
const NOT_REACHED: &str = "the deadline came before it was decoded";

/// Messages that are decoded and written together. They follow one another in the event.
pub(crate) struct Chunk {
    pub(crate) positions: Range<usize>,
    pub(crate) items: Items,
}

/// An event under way.
pub(crate) struct Progress {
    /// By position of the message.
    pub(crate) outcomes: Vec<Outcome>,
    /// What each message's records are, as far as it could be decoded.
    pub(crate) subjects: Vec<Option<SubjectId>>,
    /// Decoded records by subject.
    pub(crate) records: Vec<usize>,
    pub(crate) figures: WriteFigures,
    /// A cause an operator must fix, if there was one.
    pub(crate) fatal: Option<Box<str>>,
    /// The keys that later chunks leave alone.
    pub(crate) open_keys: OpenKeys,
    pub(crate) decode_time: Duration,
    pub(crate) write_time: Duration,
    evidence: Evidence,
}

impl Progress {
    pub(crate) fn new(messages: usize, subjects: usize) -> Self {
        Self {
            outcomes: vec![Outcome::Returned(Cause::Unfinished(NOT_REACHED.into())); messages],
            subjects: vec![None; messages],
            records: vec![0; subjects],
            figures: WriteFigures::default(),
            fatal: None,
            open_keys: OpenKeys::default(),
            decode_time: Duration::ZERO,
            write_time: Duration::ZERO,
            evidence: Evidence::of(messages),
        }
    }

    pub(crate) fn set(&mut self, position: usize, outcome: Outcome) {
        if let Some(slot) = self.outcomes.get_mut(position) {
            *slot = outcome;
        }
    }

    pub(crate) fn decoded(&mut self, position: usize, decoded: &Decoded) {
        self.evidence.decoded(position, decoded.records);
        if let Some(records) = self.records.get_mut(usize::from(decoded.subject.0)) {
            *records += decoded.records;
        }
        if let Some(subject) = self.subjects.get_mut(position) {
            *subject = Some(decoded.subject);
        }
        if decoded.records == 0 {
            // a container without records has nothing left to store
            self.set(position, Outcome::Stored);
        } else {
            self.set(position, Outcome::Returned(Cause::Unfinished("the deadline came before it was written".into())));
        }
    }

    /// Gives each message that `is_written` the outcome its items add up to, and says which of them are rejected by it.
    pub(crate) fn written(
        &mut self,
        items: &Items,
        report: WriteReport,
        is_written: impl Fn(usize) -> bool,
    ) -> Vec<usize> {
        self.figures += report.figures;
        self.fatal = self.fatal.take().or(report.fatal);
        for (item, end) in items.as_slice().iter().zip(&report.outcomes) {
            if matches!(end, WriteOutcome::Stored | WriteOutcome::Superseded) {
                self.evidence.item_is_durable(item.message);
            }
        }
        let mut rejected = Vec::new();
        let mut ends = report.outcomes.iter();
        for items in items.as_slice().chunk_by(|one, next| one.message == next.message) {
            let ends = ends.by_ref().take(items.len());
            let Some(position) = items.first().map(|item| item.message).filter(|&position| is_written(position)) else {
                ends.for_each(drop);
                continue;
            };
            let outcome = add_up(ends);
            if matches!(outcome, Outcome::Returned(Cause::Rejected(_))) {
                rejected.push(position);
            }
            self.set(position, outcome);
        }
        rejected
    }

    /// The quarantine queue has these.
    pub(crate) fn quarantined(&mut self, positions: impl IntoIterator<Item = usize>) {
        for position in positions {
            if let Some(outcome) = self.outcomes.get_mut(position)
                && let Outcome::Returned(Cause::Rejected(rejection)) = outcome
            {
                *outcome = Outcome::Quarantined(rejection.clone());
                self.evidence.quarantined(position);
            }
        }
    }

    /// Holds the outcomes against the evidence and counts them.
    pub(crate) fn settle(&mut self) -> Ledger {
        Ledger::settle(&self.evidence, &mut self.outcomes)
    }

    /// Why the rejected messages are rejected, whether quarantined or returned.
    pub(crate) fn rejections(&self) -> impl Iterator<Item = &Rejection> {
        self.outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::Quarantined(rejection) | Outcome::Returned(Cause::Rejected(rejection)) => Some(rejection),
            _ => None,
        })
    }
}

/// A message is stored only if all its items are. One that may yet be stored comes again before one that cannot is rejected.
fn add_up<'a>(ends: impl Iterator<Item = &'a WriteOutcome>) -> Outcome {
    let (mut stored, mut rejection, mut refusal, mut unfinished) = (false, None, None, None);
    for end in ends {
        match end {
            // what may yet be applied must not be forgotten beside what is only unfinished
            WriteOutcome::Unanswered(cause) => unfinished = Some(Cause::Unanswered(cause.clone())),
            WriteOutcome::Unfinished(cause) => {
                unfinished.get_or_insert_with(|| Cause::Unfinished(cause.clone()));
            }
            WriteOutcome::Blocked => {
                unfinished.get_or_insert(Cause::Blocked);
            }
            WriteOutcome::Stored => stored = true,
            WriteOutcome::Superseded => {}
            WriteOutcome::Rejected(said) => rejection = Some(said),
            WriteOutcome::Refused(cause) => refusal = Some(cause),
        }
    }
    match (unfinished, refusal, rejection) {
        (Some(cause), _, _) => Outcome::Returned(cause),
        (_, Some(cause), _) => Outcome::Returned(Cause::Refused(cause.clone())),
        (_, _, Some(said)) => {
            Outcome::Returned(Cause::Rejected(Rejection { reason: Reason::RefusedByTable, detail: said.clone() }))
        }
        _ if stored => Outcome::Stored,
        _ => Outcome::Superseded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_acknowledged_only_if_each_of_its_items_is_durable() {
        let bad = [
            WriteOutcome::Unfinished("timeout".into()),
            WriteOutcome::Blocked,
            WriteOutcome::Rejected("it has no key".into()),
            WriteOutcome::Refused("no such table".into()),
        ];
        for bad in bad {
            for place in 0..3 {
                for good in [WriteOutcome::Stored, WriteOutcome::Superseded] {
                    let mut ends = vec![good; 3];
                    ends[place] = bad.clone();
                    let outcome = add_up(ends.iter());
                    assert!(matches!(outcome, Outcome::Returned(_)), "{ends:?}");
                }
            }
        }
    }

    #[test]
    fn what_may_yet_be_stored_is_not_rejected() {
        let rejected = WriteOutcome::Rejected("it has no key".into());
        let refused = WriteOutcome::Refused("no such table".into());
        let cause = |ends: &[&WriteOutcome]| match add_up(ends.iter().copied()) {
            Outcome::Returned(cause) => cause,
            outcome => panic!("{outcome:?}"),
        };
        assert!(matches!(cause(&[&rejected, &WriteOutcome::Unfinished("timeout".into())]), Cause::Unfinished(_)));
        assert!(matches!(cause(&[&rejected, &refused]), Cause::Refused(_)));
        assert!(matches!(cause(&[&rejected, &WriteOutcome::Stored]), Cause::Rejected(_)));
    }

    #[test]
    fn a_message_is_superseded_only_if_all_its_items_are() {
        let (stored, superseded) = (WriteOutcome::Stored, WriteOutcome::Superseded);
        assert_eq!(add_up([&superseded, &superseded].into_iter()), Outcome::Superseded);
        assert_eq!(add_up([&superseded, &stored].into_iter()), Outcome::Stored);
    }
}
