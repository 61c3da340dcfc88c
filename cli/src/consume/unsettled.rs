//! The messages that a run to the end of the queue has received and not deleted, each with its one state.
//!
//! ```text
//! received ──> in progress ──> (deleted)      forgotten
//!   ▲            │  │  └─────> hidden         not stored, or stored and not deleted: it comes back, at the latest after its visibility timeout
//!   └────────────┼──┼───────────┘ └─> left    not waited for: it failed twice, or no batch will try it again
//!                │  └────────> (given back)   the run ends before a batch began it: forgotten, or left if it has failed before
//!                └───────────> left
//! ```
//!
//! The run is not at the end of the queue while a message is in progress or hidden. In a FIFO queue such a message also keeps its group out
//! of sight, so an empty poll says nothing then.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Maximum number of message ids in the log.
const MAX_NAMED: usize = 10;
/// Maximum number of failures of a message for which the run waits, because it would never end otherwise.
const MAX_FAILURES: u32 = 2;

/// Number of visibility timeouts after which a receive without a response no longer keeps the run from ending: one for its messages to come back, one to
/// receive them.
const UNKNOWN_VISIBILITIES: u32 = 2;

/// The messages that were received and are not deleted so far.
#[derive(Default)]
pub(super) struct Unsettled(Mutex<State>);

#[derive(Default)]
struct State {
    messages: BTreeMap<String, Message>,
    /// Instant until which a receive without a response may keep messages out of sight.
    unknown_until: Option<Instant>,
    /// Instant after which no such receive is waited for, unless a receive has brought messages since. A network that loses one response after the
    /// other would keep the run from ending.
    unknown_limit: Option<Instant>,
    /// Number of changes so far.
    changes: u64,
    /// Cause of the last batch that was not stored as a whole.
    cause: Option<String>,
}

/// A message that is in the queue.
struct Message {
    place: Place,
    is_stored: bool,
    failures: u32,
}

impl Message {
    /// Counts `failures` more, and waits for the message unless these are too many.
    fn fail(&mut self, until: Instant, failures: u32) {
        self.failures += failures;
        self.place = if self.failures < MAX_FAILURES { Place::Hidden(until) } else { Place::Left(None) };
    }
}

/// Place of a message.
enum Place {
    /// In the buffer or in a batch.
    InProgress,
    /// Out of sight until this instant at the latest.
    Hidden(Instant),
    /// In the queue, and nobody waits for it. The receipt handle is there if it is to be released.
    Left(Option<String>),
}

/// Number of changes at an instant at which nothing was in progress or hidden. An empty poll counts if it is the same after the poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quiet(u64);

impl Unsettled {
    /// Locks the state and counts a change.
    fn change(&self) -> MutexGuard<'_, State> {
        let mut state = self.state();
        state.changes += 1;
        state
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds messages that were received, maybe not for the first time.
    pub(super) fn receive<'a>(&self, ids: impl Iterator<Item = &'a str>) {
        let mut state = self.state();
        for id in ids {
            state.changes += 1;
            state.unknown_limit = None;
            let message = state.messages.entry(id.to_owned());
            let message = message.or_insert(Message { place: Place::InProgress, is_stored: false, failures: 0 });
            message.place = Place::InProgress;
        }
    }

    /// Notes at `now` that a receive got no response, so that messages may be out of sight for `visibility`.
    pub(super) fn receive_unknown(&self, now: Instant, visibility: Duration) {
        let mut state = self.change();
        state.unknown_limit.get_or_insert(now + visibility * UNKNOWN_VISIBILITIES);
        state.unknown_until = Some(now + visibility);
    }

    /// Notes that a batch has ended, and that its messages without an outcome are out of sight until `until` at the latest.
    pub(super) fn fail<'a>(&self, ids: impl Iterator<Item = &'a str>, until: Instant) {
        let mut state = self.change();
        for id in ids {
            if let Some(message) = state.messages.get_mut(id)
                && matches!(message.place, Place::InProgress)
            {
                message.fail(until, 1);
            }
        }
    }

    /// Notes that a message is stored and could not be deleted, and is out of sight until `until` at the latest. A `final` failure is one
    /// that no repetition helps.
    pub(super) fn keep(&self, id: &str, until: Instant, is_final: bool) {
        let mut state = self.change();
        if let Some(message) = state.messages.get_mut(id) {
            message.is_stored = true;
            message.fail(until, if is_final { MAX_FAILURES } else { 1 });
        }
    }

    /// Notes that no batch tries the messages of this one again, each with its receipt handle, and keeps them to be released.
    pub(super) fn leave_batch<'a>(&self, messages: impl Iterator<Item = (&'a str, &'a str)>, cause: &str) {
        let mut state = self.change();
        for (id, handle) in messages {
            if let Some(message) = state.messages.get_mut(id) {
                message.place = Place::Left(Some(handle.to_owned()));
            }
        }
        state.cause = Some(cause.to_owned());
    }

    /// Notes that messages are given back before a batch began them. Those that have failed before are left.
    pub(super) fn give_back<'a>(&self, ids: impl Iterator<Item = &'a str>) {
        let mut state = self.change();
        for id in ids {
            match state.messages.get_mut(id) {
                Some(message) if message.failures > 0 => message.place = Place::Left(None),
                _ => drop(state.messages.remove(id)),
            }
        }
    }

    /// Forgets messages that are deleted.
    pub(super) fn forget<'a>(&self, ids: impl Iterator<Item = &'a str>) {
        let mut state = self.change();
        for id in ids {
            state.messages.remove(id);
        }
    }

    /// Returns a mark if nothing is in progress or hidden at `now`, so that an empty poll says something of the queue.
    pub(super) fn quiet(&self, now: Instant) -> Option<Quiet> {
        let state = self.state();
        let is_here = |message: &Message| match message.place {
            Place::InProgress => true,
            Place::Hidden(until) => now < until,
            Place::Left(_) => false,
        };
        let unknown = state.unknown_until.min(state.unknown_limit.or(state.unknown_until));
        let is_quiet = unknown.is_none_or(|until| until <= now) && !state.messages.values().any(is_here);
        is_quiet.then_some(Quiet(state.changes))
    }

    /// Returns whether a receive without a response may keep messages out of sight at `now`.
    pub(super) fn may_hide(&self, now: Instant) -> bool {
        self.state().unknown_until.is_some_and(|until| now < until)
    }

    /// Returns whether a message that is stored could not be deleted again and again.
    pub(super) fn is_undeletable(&self) -> bool {
        let state = self.state();
        state.messages.values().any(|message| message.is_stored && message.failures >= MAX_FAILURES)
    }

    /// Gives the receipt handles to be released.
    pub(super) fn handles(&self) -> Vec<String> {
        let mut state = self.state();
        let places = state.messages.values_mut().map(|message| &mut message.place);
        places.filter_map(|place| if let Place::Left(handle) = place { handle.take() } else { None }).collect()
    }

    /// Logs the messages that are not stored, and those that are stored and not deleted at `now`. Returns true if it logs nothing.
    ///
    /// A message that a batch still has is neither. A stored one that did not come back by the time that it could is not in the queue.
    pub(super) fn report(&self, now: Instant) -> bool {
        let state = self.state();
        let is_unstored = |message: &Message| !message.is_stored && !matches!(message.place, Place::InProgress);
        let is_undeleted = |message: &Message| match message.place {
            Place::Hidden(until) => message.is_stored && now < until,
            Place::Left(_) => message.is_stored,
            Place::InProgress => false,
        };
        let (unstored, undeleted) = (state.named(is_unstored), state.named(is_undeleted));
        if let Some((count, messages)) = &unstored {
            let cause = state.cause.as_deref().unwrap_or("each has its reason in the log");
            tracing::error!(count, messages, cause, "not every message is stored");
        }
        if let Some((count, messages)) = &undeleted {
            tracing::error!(count, messages, "stored messages are not deleted: they come back and are written again");
        }
        unstored.is_none() && undeleted.is_none()
    }
}

impl State {
    /// Returns the number of messages that `is_meant` chooses, and the first ids. It is never 0.
    fn named(&self, is_meant: impl Fn(&Message) -> bool) -> Option<(usize, String)> {
        let ids: Vec<&str> =
            self.messages.iter().filter(|(_, message)| is_meant(message)).map(|(id, _)| id.as_str()).collect();
        let named: Vec<&str> = ids.iter().copied().take(MAX_NAMED).collect();
        (!ids.is_empty()).then(|| (ids.len(), named.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use local::clock::now;

    const HIDDEN: Duration = Duration::from_secs(90);

    fn received(ids: &[&str]) -> Unsettled {
        let unsettled = Unsettled::default();
        unsettled.receive(ids.iter().copied());
        unsettled
    }

    #[test]
    fn a_queue_is_quiet_only_while_nothing_is_in_progress_or_hidden() {
        let start = now();
        let unsettled = received(&["a", "b"]);
        assert_eq!(unsettled.quiet(start), None, "a batch has them");
        unsettled.forget(["a"].into_iter());
        unsettled.fail(["b"].into_iter(), start + HIDDEN);
        assert_eq!(unsettled.quiet(start), None, "b comes back");
        let quiet = unsettled.quiet(start + HIDDEN).unwrap();
        assert_eq!(unsettled.quiet(start + HIDDEN), Some(quiet));
        // whatever happens meanwhile, an empty poll says nothing
        unsettled.receive(["b"].into_iter());
        unsettled.forget(["b"].into_iter());
        assert!(unsettled.quiet(start).is_some_and(|now| now != quiet));
        unsettled.receive_unknown(start, HIDDEN);
        assert_eq!(unsettled.quiet(start), None, "a receive without a response may hide messages");
        assert!(unsettled.quiet(start + HIDDEN).is_some() && unsettled.report(start));
    }

    #[test]
    fn a_network_that_keeps_losing_responses_does_not_keep_the_run_from_ending() {
        let start = now();
        let unsettled = Unsettled::default();
        let lose = |seconds: u64| {
            let now = start + Duration::from_secs(seconds);
            unsettled.receive_unknown(now, HIDDEN);
            (unsettled.quiet(now).is_some(), unsettled.may_hide(now))
        };
        assert_eq!(
            [0, 60, 120, 179, 180, 200].map(lose),
            [(false, true), (false, true), (false, true), (false, true), (true, true), (true, true)]
        );
        // a message shows that receives get through, and that there were some to wait for
        unsettled.receive(["a"].into_iter());
        unsettled.forget(["a"].into_iter());
        assert_eq!(lose(201), (false, true));
        assert!(!unsettled.may_hide(start + Duration::from_secs(201) + HIDDEN));
    }

    #[test]
    fn a_message_that_fails_twice_is_not_waited_for_and_one_that_is_stored_later_is_settled() {
        let start = now();
        let unsettled = received(&["a", "b"]);
        let fail = || unsettled.fail(["a", "b"].into_iter(), start + HIDDEN);
        fail();
        // a second look at messages that have their outcome changes nothing
        fail();
        assert_eq!(unsettled.quiet(start), None);
        unsettled.receive(["a", "b"].into_iter());
        unsettled.forget(["a"].into_iter());
        fail();
        assert!(unsettled.quiet(start).is_some() && !unsettled.report(start), "b is not stored");
        unsettled.receive(["b"].into_iter());
        unsettled.forget(["b"].into_iter());
        assert!(unsettled.report(start));
    }

    #[test]
    fn a_message_that_cannot_be_deleted_is_waited_for_once_and_reported_while_it_may_come_back() {
        let start = now();
        let unsettled = received(&["a"]);
        unsettled.keep("a", start + HIDDEN, false);
        assert!(unsettled.quiet(start).is_none() && !unsettled.is_undeletable() && !unsettled.report(start));
        assert!(unsettled.report(start + HIDDEN), "it is deleted after all, or somebody else has it");
        unsettled.receive(["a"].into_iter());
        unsettled.keep("a", start + HIDDEN, false);
        assert!(unsettled.is_undeletable() && !unsettled.report(start + HIDDEN));
        let unsettled = received(&["a", "b"]);
        unsettled.keep("a", start, true);
        assert!(unsettled.is_undeletable(), "no repetition helps");
        // it is released at once, and may be received again before the receivers stop
        unsettled.receive(["a"].into_iter());
        unsettled.give_back(["a", "b"].into_iter());
        assert!(unsettled.quiet(start).is_some() && !unsettled.report(start), "a is not deleted, b was not begun");
    }

    #[test]
    fn what_no_batch_tries_again_is_released_once() {
        let unsettled = received(&["a"]);
        unsettled.leave_batch([("a", "handle")].into_iter(), "no table");
        assert_eq!((unsettled.handles(), unsettled.handles().len()), (vec!["handle".to_owned()], 0));
        assert!(unsettled.quiet(now()).is_some() && !unsettled.report(now()));
    }
}
