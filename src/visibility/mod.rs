//! Shortens the time until returned messages are redelivered. Before the response is sent, their visibility timeout is
//! changed from the queue's own, which must cover the longest invocation, to a backoff by receive count. `delay` computes
//! the backoff.
//!
//! Correctness does not depend on it. If a change fails, the queue's own timeout applies, and the message is redelivered
//! after that.
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibilityBatch.html>

mod delay;

pub use delay::{MAX_DELAY, after};

use crate::clock;
use crate::error_text;
use crate::outcome::Outcome;
use crate::refusals::Refusals;
use crate::sqs::Event;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::ChangeMessageVisibilityBatchRequestEntry;
use delay::Delay;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// Maximum number of messages in one call.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibilityBatch.html>
const MAX_CALL_ENTRIES: usize = 10;
/// Maximum number of calls in flight. If a whole batch is returned, up to 1,000 calls must fit into the remaining time.
const CALLS_IN_FLIGHT: usize = 20;
/// Timeout of one call, including its retries.
const CALL_TIMEOUT: Duration = Duration::from_secs(1);
/// Maximum time reserved for these calls after the writes.
const RESERVED_TIME: Duration = Duration::from_secs(1);

/// Changes the visibility timeout of returned messages.
pub struct Visibility {
    client: Client,
    endpoint_url: String,
    first_delay: Duration,
    jitter: fn(Duration) -> Duration,
}

/// Number of returned messages by the result of changing their visibility timeout.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VisibilityFigures {
    /// The queue accepted the change.
    pub changed: usize,
    /// The queue refused the change or did not respond in time.
    pub failed: usize,
}

impl Visibility {
    /// Creates an instance. `client` sends requests to SQS at `endpoint_url`. `first_delay` is the delay after the first
    /// receive of a message. `jitter` returns a random duration between zero and its argument.
    pub fn new(client: Client, endpoint_url: String, first_delay: Duration, jitter: fn(Duration) -> Duration) -> Self {
        Self { client, endpoint_url, first_delay, jitter }
    }

    /// Returns the time to reserve for the changes, given the time left.
    pub(crate) fn reserved(left: Duration) -> Duration {
        RESERVED_TIME.min(left / 8)
    }

    /// Changes the visibility timeout of the returned messages, as far as the calls end before `deadline`. `quarantines` is
    /// whether a quarantine queue will accept rejected messages.
    pub(crate) async fn change(
        &self,
        event: &Event<'_>,
        outcomes: &[Outcome],
        quarantines: bool,
        deadline: Instant,
    ) -> VisibilityFigures {
        let delays = delay::delays(event, outcomes, self.first_delay, quarantines, self.jitter);
        let mut figures = VisibilityFigures { changed: 0, failed: delays.len() };
        let Some(queue) = event.queue_path() else { return figures };
        let queue_url = format!("{}/{queue}", self.endpoint_url.trim_end_matches('/'));
        let entries: Vec<_> = delays.iter().filter_map(|delay| entry(event, *delay)).collect();
        let mut waiting = entries.chunks(MAX_CALL_ENTRIES);
        let refusals = Refusals::default();
        let mut calls = JoinSet::new();
        loop {
            while calls.len() < CALLS_IN_FLIGHT
                && clock::now() < deadline
                && let Some(entries) = waiting.next()
            {
                let (client, queue_url) = (self.client.clone(), queue_url.clone());
                calls.spawn(call(client, queue_url, entries.to_vec(), deadline, refusals.clone()));
            }
            match calls.join_next().await {
                Some(Ok(Ok(changed))) => {
                    figures.changed += changed;
                    figures.failed -= changed;
                }
                Some(Ok(Err(NotReached))) => waiting = [].chunks(1),
                // it is unknown whether a call that panicked has changed anything
                Some(Err(_)) => {}
                None => break,
            }
        }
        refusals.log(|cause, count| tracing::warn!(cause, count, "visibility of returned messages not changed"));
        figures
    }
}

/// The queue was not reached or refuses every change, so further calls would fail too.
struct NotReached;

/// Returns the request entry of one message, or `None` if the message has no receipt handle.
fn entry(event: &Event<'_>, delay: Delay) -> Option<ChangeMessageVisibilityBatchRequestEntry> {
    let receipt_handle = event.messages.get(delay.position)?.receipt_handle.as_deref()?;
    ChangeMessageVisibilityBatchRequestEntry::builder()
        .id(delay.position.to_string())
        .receipt_handle(receipt_handle)
        .visibility_timeout(delay.seconds.try_into().ok()?)
        .build()
        .ok()
}

/// Sends one call. Returns the number of messages that it changed.
async fn call(
    client: Client,
    queue_url: String,
    entries: Vec<ChangeMessageVisibilityBatchRequestEntry>,
    deadline: Instant,
    refusals: Refusals,
) -> Result<usize, NotReached> {
    let sent = entries.len();
    let call = client.change_message_visibility_batch().queue_url(queue_url).set_entries(Some(entries)).send();
    match timeout_at(deadline.min(clock::now() + CALL_TIMEOUT), call).await {
        Ok(Ok(output)) => {
            output.failed().iter().for_each(|failed| refusals.add(error_text::code_text(failed.code()), 1));
            Ok(output.successful().len().min(sent))
        }
        Ok(Err(error)) => {
            refusals.add(error_text::call_error_text(&error), sent);
            Err(NotReached)
        }
        Err(_) => {
            refusals.add("no response in time", sent);
            Err(NotReached)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_is_kept_back_is_a_second_or_the_eighth_of_a_short_one() {
        let reserved = [8_000, 800, 60_000].map(|left| Visibility::reserved(Duration::from_millis(left)).as_millis());
        assert_eq!(reserved, [1_000, 100, 1_000]);
    }
}
