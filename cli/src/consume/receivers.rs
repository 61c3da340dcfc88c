//! Long polling with a number of concurrent polls that follows the load.

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

/// Maximum time that a poll waits for a message, in seconds. A running poll is never cancelled, because the messages in its
/// response would stay invisible for the whole visibility timeout. A shutdown therefore waits for it.
const LONG_POLL_SECONDS: u32 = 5;
/// Maximum time that a poll waits for a message in a run with `--once`, in seconds.
const SHORT_POLL_SECONDS: u32 = 1;
/// Number of consecutive empty polls of all receivers together after which the queue counts as empty.
const EMPTY_POLLS: usize = 3;
/// Pause after a failed poll. It doubles with each consecutive failure.
const PAUSE: Duration = Duration::from_millis(500);
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// Time for which polls are retried after the credentials were refused, because they may be renewed. With `once`, it limits
/// retries for any cause.
const PATIENCE: Duration = Duration::from_secs(60);

/// Receives messages until stopped or, with `once`, until the queue is empty.
pub(super) struct Receivers {
    pub(super) queue: Arc<Queue>,
    /// Maximum number of concurrent polls.
    pub(super) most: usize,
    pub(super) visibility_seconds: u32,
    /// Messages of a run that ends when the queue is empty. `None` otherwise.
    pub(super) once: Option<Arc<Unsettled>>,
    /// Becomes `true` when no further poll may begin.
    pub(super) stop: watch::Sender<bool>,
}

impl Receivers {
    /// Sends received messages to `sender`, whose capacity provides backpressure. A running poll is never cancelled, even after
    /// another one has failed, because the messages in its response would stay invisible for the whole visibility timeout.
    ///
    /// # Errors
    /// If a poll fails permanently.
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
                    // a single poll tests whether the cause persists
                    wanted = 1;
                    let pause = failures.pause();
                    let _ = timeout(pause / 2 + jitter(pause / 2), stopped.wait_for(|stopped| *stopped)).await;
                }
                Some(Ok(Err(error))) => {
                    self.stop.send_replace(true);
                    // report the first error, because later ones usually follow from it
                    failed = failed.and(Err(error));
                }
                Some(Err(panic)) => tracing::error!(%panic, "a poll ended early"),
            }
        }
    }

    /// Performs one poll.
    fn poll(&self, sender: mpsc::Sender<Vec<Received>>) -> impl Future<Output = Result<Poll, CallError>> + use<> {
        let (queue, once, visibility_seconds, mut stopped) =
            (Arc::clone(&self.queue), self.once.clone(), self.visibility_seconds, self.stop.subscribe());
        async move {
            // without room in the buffer there is no poll, because the visibility timeout of messages in the queue does not run
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
    /// Number of messages received.
    count: usize,
    /// Whether the queue has no message for this run: the poll was empty, and during the poll no message of this run was
    /// invisible. Such a message could block its group or be redelivered.
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

/// Consecutive failed polls.
#[derive(Debug, Default)]
struct Failures {
    count: u32,
    /// Instant of the first failure.
    since: Option<Instant>,
}

impl Failures {
    /// Counts a failure at `now`, and returns whether to retry.
    fn may_pass(&mut self, error: &CallError, once: bool, now: Instant) -> bool {
        self.count += 1;
        let has_patience = now - *self.since.get_or_insert(now) < PATIENCE;
        error.is_transient() && (has_patience || !(once || error.refuses_signature()))
    }

    /// Returns the pause before the next poll.
    fn pause(&self) -> Duration {
        PAUSE.saturating_mul(1 << self.count.saturating_sub(1).min(8)).min(MAX_PAUSE)
    }
}

/// Returns the number of concurrent polls after one of `wanted` returned `count` messages. A full response adds a poll, and an
/// empty one removes a poll.
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
        assert_eq!(after(&[10, 10, 9, 1]), 3, "a partly filled poll changes nothing");
        assert_eq!(after(&[10, 10, 0, 0, 0]), 1, "one always waits");
    }
}
