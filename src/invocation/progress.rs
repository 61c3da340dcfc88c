//! The progress of an event: the outcome of each message so far, and figures about the work. Pure: no I/O, clock or
//! randomness.
//!
//! Every outcome starts as [`Outcome::Returned`]. Only the outcomes of a message's items, or the quarantine queue, can
//! change it to a success.

use crate::avro::Decoded;
use crate::outcome::{Cause, Evidence, Ledger, Outcome, Reason, Rejection};
use crate::record::SubjectId;
use crate::write::{Blocker, ItemOutcome, WriteFigures};
use std::sync::Arc;
use std::time::Duration;

/// Cause of a message that was never decoded.
const NOT_REACHED: &str = "the deadline came before it was decoded";
/// Cause of an item that was blocked by an earlier item of its key.
const NOT_DONE: &str = "the write of its key before it is not done";

/// The progress of an event.
pub(crate) struct Progress {
    /// Outcome of each message, by position.
    pub(crate) outcomes: Vec<Outcome>,
    /// Subject of each message's records, if the message could be decoded.
    pub(crate) subjects: Vec<Option<SubjectId>>,
    /// Number of decoded records of each subject.
    pub(crate) records: Vec<usize>,
    pub(crate) figures: WriteFigures,
    /// A problem that an operator must fix, if there was one.
    pub(crate) fatal: Option<Box<str>>,
    pub(crate) decode_time: Duration,
    pub(crate) write_time: Duration,
    /// Positions of rejected messages that [`take_rejected`](Self::take_rejected) has not returned yet.
    rejected: Vec<usize>,
    evidence: Evidence,
}

impl Progress {
    pub(crate) fn new(messages: usize, subjects: usize) -> Self {
        Self {
            outcomes: vec![Outcome::Returned(Cause::Failed(NOT_REACHED.into())); messages],
            subjects: vec![None; messages],
            records: vec![0; subjects],
            figures: WriteFigures::default(),
            fatal: None,
            decode_time: Duration::ZERO,
            write_time: Duration::ZERO,
            rejected: Vec::new(),
            evidence: Evidence::new(messages),
        }
    }

    pub(crate) fn set(&mut self, position: usize, outcome: Outcome) {
        if let Some(slot) = self.outcomes.get_mut(position) {
            if matches!(outcome, Outcome::Returned(Cause::Rejected(_))) {
                self.rejected.push(position);
            }
            *slot = outcome;
        }
    }

    pub(crate) fn set_some(&mut self, position: usize, outcome: Option<Outcome>) {
        outcome.into_iter().for_each(|outcome| self.set(position, outcome));
    }

    pub(crate) fn decoded(&mut self, position: usize, decoded: &Decoded) {
        self.evidence.decoded(position, decoded.records);
        if let Some(records) = self.records.get_mut(usize::from(decoded.subject.0)) {
            *records += decoded.records;
        }
        if let Some(subject) = self.subjects.get_mut(position) {
            *subject = Some(decoded.subject);
        }
        self.set(position, Outcome::Returned(Cause::Failed("the deadline came before it was written".into())));
    }

    /// Sets the outcome of the message at `position` from the outcomes of its items. `None` means that the message has no
    /// items and its group is blocked.
    pub(crate) fn written<'o>(&mut self, position: usize, items: Option<impl Iterator<Item = &'o ItemOutcome>>) {
        let outcome = match items {
            Some(items) => {
                let mut durable = 0;
                let outcome = add_up(items.inspect(|outcome| durable += usize::from(outcome.is_durable())));
                self.evidence.items_are_durable(position, durable);
                outcome
            }
            None => Outcome::Returned(Cause::Blocked),
        };
        self.set(position, outcome);
    }

    /// Takes the positions of the messages that were rejected since the previous call.
    pub(crate) fn take_rejected(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.rejected)
    }

    /// Records the figures of the writes, and the first problem that an operator must fix.
    pub(crate) fn take_report(&mut self, (figures, fatal): (WriteFigures, Option<Box<str>>)) {
        self.figures = figures;
        self.fatal = self.fatal.take().or(fatal);
    }

    /// Records that the quarantine queue accepted the messages at `positions`.
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

    /// Checks the outcomes against the evidence and counts them.
    pub(crate) fn settle(&mut self) -> Ledger {
        Ledger::settle(&self.evidence, &mut self.outcomes)
    }

    /// Returns the rejections of all rejected messages, whether quarantined or returned.
    pub(crate) fn rejections(&self) -> impl Iterator<Item = &Rejection> {
        self.outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::Quarantined(rejection) | Outcome::Returned(Cause::Rejected(rejection)) => Some(rejection),
            _ => None,
        })
    }
}

/// Combines the outcomes of a message's items. A message is stored only if all its items are stored. It is rejected only if
/// no retry can help any other item either.
fn add_up<'o>(items: impl Iterator<Item = &'o ItemOutcome>) -> Outcome {
    let (mut is_superseded, mut rejection, mut denial, mut failure) = (false, None, None, None);
    let mut is_written = false;
    for outcome in items {
        match outcome {
            // an ambiguous write takes precedence over a failed one, because an ambiguous message must stay invisible for
            // longer
            ItemOutcome::Ambiguous(cause) => failure = Some(Cause::Ambiguous(text(cause))),
            ItemOutcome::Blocked { by: Blocker::Key, is_ambiguous: true } => {
                failure = Some(Cause::Ambiguous(NOT_DONE.into()));
            }
            ItemOutcome::Blocked { by: Blocker::Key, is_ambiguous: false } => {
                failure.get_or_insert(Cause::Failed(NOT_DONE.into()));
            }
            ItemOutcome::Failed(cause) => {
                failure.get_or_insert_with(|| Cause::Failed(text(cause)));
            }
            ItemOutcome::Blocked { by: Blocker::Group, .. } => {
                failure.get_or_insert(Cause::Blocked);
            }
            ItemOutcome::Written => is_written = true,
            ItemOutcome::Superseded => is_superseded = true,
            ItemOutcome::Invalid(cause) => rejection = Some(cause),
            ItemOutcome::Denied(cause) => denial = Some(cause),
        }
    }
    match (failure, denial, rejection) {
        (Some(cause), _, _) => Outcome::Returned(cause),
        (_, Some(cause), _) => Outcome::Returned(Cause::Denied((**cause).into())),
        (_, _, Some(cause)) => {
            let detail = (**cause).into();
            Outcome::Returned(Cause::Rejected(Rejection { reason: Reason::RefusedByTable, detail }))
        }
        _ if is_superseded && !is_written => Outcome::Superseded,
        // a container without records is complete
        _ => Outcome::Stored,
    }
}

fn text(cause: &Arc<str>) -> std::borrow::Cow<'static, str> {
    cause.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_acknowledged_only_if_each_of_its_items_is_durable() {
        let bad = [
            ItemOutcome::Failed("timeout".into()),
            ItemOutcome::Blocked { by: Blocker::Group, is_ambiguous: false },
            ItemOutcome::Invalid("it has no key".into()),
            ItemOutcome::Denied("no such table".into()),
        ];
        for bad in bad {
            for place in 0..3 {
                for good in [ItemOutcome::Written, ItemOutcome::Superseded] {
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
        let rejected = ItemOutcome::Invalid("it has no key".into());
        let refused = ItemOutcome::Denied("no such table".into());
        let cause = |ends: &[&ItemOutcome]| match add_up(ends.iter().copied()) {
            Outcome::Returned(cause) => cause,
            outcome => panic!("{outcome:?}"),
        };
        assert!(matches!(cause(&[&rejected, &ItemOutcome::Failed("timeout".into())]), Cause::Failed(_)));
        assert!(matches!(cause(&[&rejected, &refused]), Cause::Denied(_)));
        assert!(matches!(cause(&[&rejected, &ItemOutcome::Written]), Cause::Rejected(_)));
    }

    #[test]
    fn a_message_is_superseded_only_if_all_its_items_are() {
        let (stored, superseded) = (ItemOutcome::Written, ItemOutcome::Superseded);
        assert_eq!(add_up([&superseded, &superseded].into_iter()), Outcome::Superseded);
        assert_eq!(add_up([&superseded, &stored].into_iter()), Outcome::Stored);
    }
}
