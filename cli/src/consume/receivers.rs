//! Long polls: as many as there is work for.

use super::unsettled::Unsettled;
use crate::aws::CallError;
use crate::duration::jitter;
use crate::queue::{MAX_CALL_MESSAGES, Queue, Received};
use local::clock::now;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Seconds that a poll waits for a message. It is never dropped, since what the queue has given to it would be out of sight for
/// the whole visibility timeout: so a shutdown waits for it.
const LONG_POLL_SECONDS: u32 = 5;
/// The same where the end of the queue ends the command.
const SHORT_POLL_SECONDS: u32 = 1;
/// Empty polls one after another, of all receivers, after which a queue counts as empty.
const EMPTY_POLLS: usize = 3;
/// The pause after a poll that failed. It doubles with each failure in a row.
const PAUSE: Duration = Duration::from_millis(500);
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// Time for which refused credentials are tried again, because somebody may renew them. With `once` it holds for every cause.
const PATIENCE: Duration = Duration::from_secs(60);

/// Receives until it is stopped, or, with `once`, until the queue is empty.
pub(super) struct Receivers {
    pub(super) queue: Arc<Queue>,
    /// Polls at once at most.
    pub(super) most: usize,
    pub(super) visibility_seconds: u32,
    /// Messages of a run to the end of the queue. None where there is no end.
    pub(super) once: Option<Arc<Unsettled>>,
    /// Becomes true when no further poll may begin.
    pub(super) stop: watch::Sender<bool>,
}

impl Receivers {
    /// Sends what it receives to `sender`, whose room holds the receivers back. A poll that has begun is never dropped, even after another one
    /// failed, because its messages would be out of sight for the whole visibility timeout.
    ///
    /// # Errors
    /// If a poll fails for a cause that no repetition helps.
    pub(super) async fn run(self, sender: mpsc::Sender<Vec<Received>>) -> Result<(), CallError> {
        let (mut wanted, mut empty_polls) = (1, 0);
        let (mut polls, mut failures, mut failed) = (JoinSet::new(), Failures::default(), Ok(()));
        let mut stopped = self.stop.subscribe();
        loop {
            let is_empty = self.once.is_some() && empty_polls >= EMPTY_POLLS;
            while polls.len() < wanted && !*stopped.borrow() && !is_empty {
                polls.spawn(self.poll(sender.clone()));
            }
            match polls.join_next().await {
                None => return failed,
                Some(Ok(Ok(poll))) => {
                    wanted = next_wanted(wanted, poll.count, self.most);
                    empty_polls = if poll.found_nothing { empty_polls + 1 } else { 0 };
                    failures = Failures::default();
                }
                Some(Ok(Err(error))) if failures.may_pass(&error, self.once.is_some(), now()) => {
                    tracing::warn!(%error, "messages not received");
                    // one poll finds out whether the cause has gone
                    wanted = 1;
                    let pause = failures.pause();
                    let _ = timeout(pause / 2 + jitter(pause / 2), stopped.wait_for(|stopped| *stopped)).await;
                }
                Some(Ok(Err(error))) => {
                    self.stop.send_replace(true);
                    // the first cause explains the later ones
                    failed = failed.and(Err(error));
                }
                Some(Err(panic)) => tracing::error!(%panic, "a poll ended early"),
            }
        }
    }

    /// Polls once.
    fn poll(&self, sender: mpsc::Sender<Vec<Received>>) -> impl Future<Output = Result<Poll, CallError>> + use<> {
        let (queue, once, visibility_seconds, mut stopped) =
            (Arc::clone(&self.queue), self.once.clone(), self.visibility_seconds, self.stop.subscribe());
        async move {
            // no room, no poll: messages wait in the queue, where their visibility does not run
            let room = tokio::select! {
                room = sender.reserve() => room,
                _ = stopped.wait_for(|stopped| *stopped) => return Ok(Poll::default()),
            };
            let Ok(room) = room else { return Ok(Poll::default()) };
            let Some(unsettled) = once else {
                let received = queue.receive(MAX_CALL_MESSAGES, visibility_seconds, LONG_POLL_SECONDS).await?;
                return Ok(Poll { count: give(received, room), found_nothing: false });
            };
            let quiet = unsettled.quiet(now());
            let received = queue.receive_once(MAX_CALL_MESSAGES, visibility_seconds, SHORT_POLL_SECONDS, None).await;
            let received = received.inspect_err(|error| {
                if error.is_ambiguous() {
                    unsettled.receive_unknown(now(), Duration::from_secs(visibility_seconds.into()));
                }
            })?;
            unsettled.receive(received.iter().map(|message| message.id.as_str()));
            let found_nothing = received.is_empty() && quiet.is_some() && quiet == unsettled.quiet(now());
            Ok(Poll { count: give(received, room), found_nothing })
        }
    }
}

/// Result of a poll.
#[derive(Debug, Default)]
struct Poll {
    /// Messages that it brought.
    count: usize,
    /// Whether the queue has nothing for this run: the poll was empty, and all the while no message of the run's own could keep others
    /// out of sight or come back.
    found_nothing: bool,
}

/// Puts messages into the buffer, and returns their number.
fn give(received: Vec<Received>, room: mpsc::Permit<'_, Vec<Received>>) -> usize {
    let count = received.len();
    if count > 0 {
        room.send(received);
    }
    count
}

/// Failed polls in a row.
#[derive(Debug, Default)]
struct Failures {
    count: u32,
    /// Instant of the first of them.
    since: Option<Instant>,
}

impl Failures {
    /// Counts a failure at `now`, and returns whether a later poll may pass.
    fn may_pass(&mut self, error: &CallError, once: bool, now: Instant) -> bool {
        self.count += 1;
        let has_patience = now - *self.since.get_or_insert(now) < PATIENCE;
        error.is_transient() && (has_patience || !(once || error.refuses_signature()))
    }

    /// The pause before the next poll.
    fn pause(&self) -> Duration {
        PAUSE.saturating_mul(1 << self.count.saturating_sub(1).min(8)).min(MAX_PAUSE)
    }
}

/// How many polls there should be after one of `wanted` brought `count` messages: a full one wants another beside it, an empty
/// one wants one less.
fn next_wanted(wanted: usize, count: usize, most: usize) -> usize {
    match count {
        0 => wanted.saturating_sub(1).max(1),
        MAX_CALL_MESSAGES => (wanted + 1).min(most),
        _ => wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: &str) -> CallError {
        let (status, code) = (http::StatusCode::BAD_REQUEST, code.to_owned());
        CallError::Refused { status, code, message: String::new() }
    }

    #[test]
    fn a_throttle_is_waited_for_and_refused_credentials_are_for_a_minute() {
        let start = now();
        let after = |code: &str, once: bool, seconds: u64| {
            let mut failures = Failures::default();
            let passed = failures.may_pass(&refused(code), once, start);
            (passed, failures.may_pass(&refused(code), once, start + Duration::from_secs(seconds)))
        };
        assert_eq!(after("RequestThrottled", false, 3_600), (true, true));
        assert_eq!(after("OverLimit", false, 3_600), (true, true));
        assert_eq!(after("ExpiredToken", false, 59), (true, true));
        assert_eq!(after("ExpiredToken", false, 60), (true, false));
        assert_eq!(after("RequestThrottled", true, 60), (true, false), "once has an end");
        assert_eq!(after("QueueDoesNotExist", false, 0), (false, false));
    }

    #[test]
    fn the_pause_grows_to_ten_seconds() {
        let of = |count: u32| Failures { count, since: None }.pause().as_millis();
        assert_eq!([1, 2, 3, 6, 100].map(of), [500, 1_000, 2_000, 10_000, 10_000]);
    }

    #[test]
    fn there_are_as_many_polls_as_bring_messages() {
        let after = |counts: &[usize]| counts.iter().fold(1, |wanted, count| next_wanted(wanted, *count, 4));
        assert_eq!(after(&[10, 10]), 3);
        assert_eq!(after(&[10; 9]), 4, "and no more than allowed");
        assert_eq!(after(&[10, 10, 9, 1]), 3, "a part of a poll says nothing");
        assert_eq!(after(&[10, 10, 0, 0, 0]), 1, "one always waits");
    }
}
