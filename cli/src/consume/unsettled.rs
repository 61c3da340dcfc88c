//! The state of each message that a run with `--once` has received and not deleted.
//!
//! ```text
//! received ──> in progress ──> (deleted)      forgotten
//!   ▲            │  │  └─────> hidden         not stored, or stored and not deleted: it is redelivered after its visibility timeout or earlier
//!   └────────────┼──┼───────────┘ └─> left    the run does not wait for it: it failed twice, or no batch will retry it
//!                │  └────────> (given back)   the run ends before a batch starts it: forgotten, or left if it has failed before
//!                └───────────> left
//! ```
//!
//! The queue does not count as empty while a message is in progress or hidden. In a FIFO queue, such a message also blocks its
//! group, so an empty poll proves nothing.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Maximum number of message ids in a log line.
const MAX_NAMED: usize = 10;
/// Number of failures after which the run no longer waits for a message, because it might never end otherwise.
const MAX_FAILURES: u32 = 2;

/// Number of visibility timeouts after which a receive without a response no longer keeps the run from ending: one for its messages to come back, one to
/// receive them.
const UNKNOWN_VISIBILITIES: u32 = 2;

/// The messages that were received and are not deleted yet.
#[derive(Default)]
pub(super) struct Unsettled(Mutex<State>);

#[derive(Default)]
struct State {
    messages: BTreeMap<String, Message>,
    /// Instant until which a receive without a response may keep messages invisible.
    unknown_until: Option<Instant>,
    /// Instant after which no such receive is waited for, unless a receive has brought messages since. A network that loses one response after the
    /// other would keep the run from ending.
    unknown_limit: Option<Instant>,
    /// Number of changes so far.
    changes: u64,
    /// Cause of the last batch whose event could not be handled at all.
    cause: Option<String>,
}

/// A message that is still in the queue.
struct Message {
    place: Place,
    is_stored: bool,
    failures: u32,
}

impl Message {
    /// Adds `failures`, and stops waiting for the message if it has failed too often.
    fn fail(&mut self, until: Instant, failures: u32) {
        self.failures += failures;
        self.place = if self.failures < MAX_FAILURES { Place::Hidden(until) } else { Place::Left(None) };
    }
}

/// State of a message.
enum Place {
    /// In the buffer or in a batch.
    InProgress,
    /// Invisible until this instant at the latest.
    Hidden(Instant),
    /// In the queue, and the run does not wait for it. Holds the receipt handle if the message must still be released.
    Left(Option<String>),
}

/// Change counter at an instant at which no message was in progress or hidden. An empty poll proves that the queue is empty if
/// the counter is the same before and after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quiet(u64);

impl Unsettled {
    /// Locks the state and increments the change counter.
    fn change(&self) -> MutexGuard<'_, State> {
        let mut state = self.state();
        state.changes += 1;
        state
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds received messages. A message may have been received before.
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

    /// Records that a receive got no response at `now`, so that messages may be invisible for `visibility`.
    pub(super) fn receive_unknown(&self, now: Instant, visibility: Duration) {
        let mut state = self.change();
        state.unknown_limit.get_or_insert(now + visibility * UNKNOWN_VISIBILITIES);
        state.unknown_until = Some(now + visibility);
    }

    /// Records that a batch has ended. Its remaining messages are invisible until `until` at the latest.
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

    /// Records that a message is stored but could not be deleted, and is invisible until `until` at the latest. `is_final`
    /// marks a permanent failure.
    pub(super) fn keep(&self, id: &str, until: Instant, is_final: bool) {
        let mut state = self.change();
        if let Some(message) = state.messages.get_mut(id) {
            message.is_stored = true;
            message.fail(until, if is_final { MAX_FAILURES } else { 1 });
        }
    }

    /// Records that no batch retries these messages, and keeps their receipt handles for [`Self::handles`].
    pub(super) fn leave_batch<'a>(&self, messages: impl Iterator<Item = (&'a str, &'a str)>, cause: &str) {
        let mut state = self.change();
        for (id, handle) in messages {
            if let Some(message) = state.messages.get_mut(id) {
                message.place = Place::Left(Some(handle.to_owned()));
            }
        }
        state.cause = Some(cause.to_owned());
    }

    /// Records that messages were released before a batch started them. A message that has failed before is left in the queue.
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

    /// Returns the change counter if no message is in progress or hidden at `now`, so that an empty poll is conclusive.
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

    /// Returns whether a stored message could repeatedly not be deleted.
    pub(super) fn is_undeletable(&self) -> bool {
        let state = self.state();
        state.messages.values().any(|message| message.is_stored && message.failures >= MAX_FAILURES)
    }

    /// Takes the receipt handles of the messages to release.
    pub(super) fn handles(&self) -> Vec<String> {
        let mut state = self.state();
        let places = state.messages.values_mut().map(|message| &mut message.place);
        places.filter_map(|place| if let Place::Left(handle) = place { handle.take() } else { None }).collect()
    }

    /// Logs the messages that are not stored, and the messages that are stored and not deleted at `now`. Returns whether
    /// there is nothing to log.
    ///
    /// Skips messages that a batch is still processing. A stored message that was not redelivered after its visibility timeout
    /// is no longer in the queue.
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
    /// Returns the number of messages that match `is_meant`, and the first ids. Returns `None` if no message matches.
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
        // any change in the meantime makes an empty poll inconclusive
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
        // a second call does not affect messages that have an outcome
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
        assert!(unsettled.report(start + HIDDEN), "the message was deleted after all, or another consumer has it");
        unsettled.receive(["a"].into_iter());
        unsettled.keep("a", start + HIDDEN, false);
        assert!(unsettled.is_undeletable() && !unsettled.report(start + HIDDEN));
        let unsettled = received(&["a", "b"]);
        unsettled.keep("a", start, true);
        assert!(unsettled.is_undeletable(), "the failure is permanent");
        // the message is released at once and may be received again before the receivers stop
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
