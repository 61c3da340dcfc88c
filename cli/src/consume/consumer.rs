//! One batch: has the handler write it, and deletes what is durable.

use super::background::BackgroundWriter;
use super::unsettled::Unsettled;
use crate::aws::CallError;
use crate::duration::jitter;
use crate::queue::{Counts, Queue, Received};
use avro_ingest::invocation::{Context, Handler};
use local::clock::now;
use serde_json::json;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// Timeout of the calls of one attempt to delete, hide or release messages.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Minimum number of attempts to delete messages. A message that is not deleted comes back and is written again.
const MIN_DELETE_ATTEMPTS: u32 = 4;
/// The longest pause before the second attempt; later ones are longer by as much.
const DELETE_BACKOFF: Duration = Duration::from_millis(500);
const MAX_DELETE_BACKOFF: Duration = Duration::from_secs(3);
/// Maximum number of attempts to release messages.
const RELEASE_ATTEMPTS: u32 = 3;
/// The pause after a batch that nothing could be stored of, for a cause that an operator must fix.
const FATAL_PAUSE: Duration = Duration::from_secs(5);

/// Handles batches.
pub(super) struct Consumer {
    pub(super) handler: Handler,
    pub(super) queue: Arc<Queue>,
    /// The queue's ARN, which events name.
    pub(super) arn: String,
    pub(super) visibility_seconds: u32,
    pub(super) is_fifo: bool,
    /// Writer of the metrics.
    pub(super) metrics: BackgroundWriter,
    /// Becomes true when no further batch begins.
    pub(super) stopped: watch::Receiver<bool>,
    /// Messages that are not deleted. None where the process goes on until it is stopped.
    pub(super) unsettled: Option<Arc<Unsettled>>,
    pub(super) counts: MessageCounts,
}

/// Messages so far.
#[derive(Default)]
pub(super) struct MessageCounts {
    pub(super) received: AtomicUsize,
    pub(super) deleted: AtomicUsize,
}

/// Result of a batch as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BatchEnd {
    /// Each message has its outcome.
    Handled,
    /// Nothing could be stored or deleted, for a cause that an operator must fix.
    Fatal,
}

/// Settles the messages of a batch that has ended, even if it has panicked, because the run waits for every message in progress.
struct Settlement<'a> {
    consumer: &'a Consumer,
    ids: Vec<String>,
}

impl Drop for Settlement<'_> {
    fn drop(&mut self) {
        if let Some(unsettled) = &self.consumer.unsettled {
            unsettled.fail(self.ids.iter().map(String::as_str), now() + self.consumer.visibility());
        }
    }
}

impl Consumer {
    /// Has one batch handled, and deletes what is durable.
    pub(super) async fn batch(self: Arc<Self>, batch: Vec<Received>) -> BatchEnd {
        let started = now();
        let _settlement = Settlement { consumer: &self, ids: batch.iter().map(|message| message.id.clone()).collect() };
        let batch = self.still_hidden(batch).await;
        if batch.is_empty() {
            return BatchEnd::Handled;
        }
        self.counts.received.fetch_add(batch.len(), Ordering::Relaxed);
        let records: Vec<_> = batch.iter().map(|message| message.record(&self.arn)).collect();
        let event = json!({"Records": records}).to_string();
        let since_epoch = local::clock::since_epoch();
        let context = Context {
            request_id: format!("consume-{}", since_epoch.as_nanos()),
            deadline: since_epoch + self.visibility() * 2 / 3,
            trace_id: None,
        };
        let result = self.handler.handle(event.as_bytes(), &context).await;
        // a line lost costs a metric, not a message
        self.metrics.send(result.metrics);
        match result.response {
            Ok(response) => {
                let returned: HashSet<&str> = response.failures().collect();
                let durable = batch.iter().filter(|message| !returned.contains(message.id.as_str())).collect();
                // a message has waited for a sixth of its time at most before the batch began
                self.delete(durable, started + self.visibility() * 5 / 6).await
            }
            Err(error) => {
                tracing::error!(%error, "batch not handled");
                if let Some(unsettled) = &self.unsettled {
                    let messages = batch.iter().map(|message| (message.id.as_str(), message.receipt_handle.as_str()));
                    unsettled.leave_batch(messages, &error.to_string());
                } else {
                    // a shutdown does not wait for it
                    let _ = timeout(FATAL_PAUSE, self.stopped.clone().wait_for(|stopped| *stopped)).await;
                }
                BatchEnd::Fatal
            }
        }
    }

    fn visibility(&self) -> Duration {
        Duration::from_secs(self.visibility_seconds.into())
    }

    /// Returns the messages that stay out of sight until the batch completes. A message that has waited in the buffer for a part of its time
    /// gets all of it once more. If that fails another consumer may have it by now, so it is left to come back.
    async fn still_hidden(&self, batch: Vec<Received>) -> Vec<Received> {
        let earliest = local::clock::since_epoch().saturating_sub(self.visibility() / 6);
        let (old, mut hidden): (Vec<_>, Vec<_>) = batch.into_iter().partition(|message| message.received_at < earliest);
        let handles: Vec<String> = old.iter().map(|message| message.receipt_handle.clone()).collect();
        let failed = match in_time(self.queue.change_visibility(&handles, self.visibility_seconds)).await {
            Ok(failed) => failed,
            Err(error) => {
                tracing::warn!(%error, "visibility not extended");
                handles
            }
        };
        if !failed.is_empty() {
            tracing::warn!(count = failed.len(), "messages waited too long and are left to come back");
        }
        let failed: HashSet<String> = failed.into_iter().collect();
        // in a FIFO queue the messages that are left would be written after those sent later
        let is_left =
            |message: &Received| failed.contains(&message.receipt_handle) || (self.is_fifo && !failed.is_empty());
        let kept = old.into_iter().filter(|message| !is_left(message));
        hidden.extend(kept);
        hidden
    }

    /// Deletes messages, and tries again until `until` what fails. A run to the end of the queue does not repeat what no repetition helps.
    ///
    /// In a FIFO queue a message is deleted only after every message before it in its group, because one that is not deleted comes back and is
    /// written again: after it must come all that it would otherwise overwrite.
    async fn delete(&self, messages: Vec<&Received>, until: Instant) -> BatchEnd {
        let (mut left, mut failures, mut is_final) = (messages, 0, false);
        while !left.is_empty() && !is_final {
            let mut groups = HashSet::new();
            let first = left.iter().filter(|message| !self.is_fifo || groups.insert(&message.group));
            let handles: Vec<String> = first.map(|message| message.receipt_handle.clone()).collect();
            let failed = match in_time(self.queue.delete(&handles)).await {
                Ok(failed) => failed,
                Err(error) => {
                    tracing::warn!(%error, "messages not deleted");
                    is_final = self.unsettled.is_some() && !error.is_transient();
                    handles.clone()
                }
            };
            let is_deleted = |message: &Received| {
                handles.contains(&message.receipt_handle) && !failed.contains(&message.receipt_handle)
            };
            let (deleted, rest): (Vec<_>, Vec<_>) = left.into_iter().partition(|message| is_deleted(message));
            left = rest;
            self.counts.deleted.fetch_add(deleted.len(), Ordering::Relaxed);
            if let Some(unsettled) = &self.unsettled {
                unsettled.forget(deleted.iter().map(|message| message.id.as_str()));
            }
            if failed.is_empty() {
                continue;
            }
            failures += 1;
            if failures >= MIN_DELETE_ATTEMPTS && now() >= until {
                break;
            }
            if !is_final {
                sleep(jitter((DELETE_BACKOFF * failures).min(MAX_DELETE_BACKOFF))).await;
            }
        }
        if left.is_empty() {
            return BatchEnd::Handled;
        }
        tracing::warn!(count = left.len(), "messages not deleted: they come back and are written again");
        // a run to the end of the queue waits for them to come back
        let hidden = if self.is_fifo || self.unsettled.is_some() {
            self.release(left.iter().map(|message| message.receipt_handle.clone()).collect()).await
        } else {
            Vec::new()
        };
        let Some(unsettled) = &self.unsettled else { return BatchEnd::Handled };
        let now = now();
        for message in left {
            let is_hidden = hidden.contains(&message.receipt_handle);
            unsettled.keep(&message.id, if is_hidden { now + self.visibility() } else { now }, is_final);
        }
        if unsettled.is_undeletable() { BatchEnd::Fatal } else { BatchEnd::Handled }
    }

    /// Brings messages back into sight at once. Returns the handles of those of which that failed.
    pub(super) async fn release(&self, handles: Vec<String>) -> Vec<String> {
        let mut left = handles;
        for attempt in 1..=RELEASE_ATTEMPTS {
            if left.is_empty() {
                return left;
            }
            match in_time(self.queue.change_visibility(&left, 0)).await {
                Ok(failed) => left = failed,
                Err(error) => tracing::warn!(%error, "messages not released"),
            }
            if !left.is_empty() && attempt < RELEASE_ATTEMPTS {
                sleep(jitter(DELETE_BACKOFF * attempt)).await;
            }
        }
        if !left.is_empty() {
            tracing::warn!(count = left.len(), "messages not released: they come back after the visibility timeout");
        }
        left
    }

    /// Brings messages back into sight that no batch has begun.
    pub(super) async fn give_back(&self, messages: &[Received]) {
        self.release(messages.iter().map(|message| message.receipt_handle.clone()).collect()).await;
        if let Some(unsettled) = &self.unsettled {
            unsettled.give_back(messages.iter().map(|message| message.id.as_str()));
        }
    }

    /// Reports the messages that a run to the end of the queue has not stored or not deleted, and how many there are in the queue. Returns
    /// true if it reports nothing.
    pub(super) async fn report(&self) -> bool {
        let Some(unsettled) = &self.unsettled else { return true };
        let is_settled = unsettled.report(now());
        let may_hide = unsettled.may_hide(now());
        if is_settled && !may_hide {
            return true;
        }
        match in_time(self.queue.counts()).await {
            Ok(Counts { in_flight: 0, .. }) if is_settled => return true,
            Ok(Counts { visible, in_flight }) => {
                if may_hide {
                    tracing::error!("a receive got no response, and may keep messages out of sight");
                }
                tracing::error!(
                    visible,
                    hidden = in_flight,
                    "messages are left in the queue, by its own approximate count"
                );
            }
            Err(error) => tracing::error!(%error, "messages left in the queue not counted"),
        }
        false
    }

    /// Brings back into sight what no batch will try again.
    pub(super) async fn release_unsettled(&self) {
        if let Some(unsettled) = &self.unsettled {
            self.release(unsettled.handles()).await;
        }
    }
}

/// The result of a call, or an error if it takes too long.
async fn in_time<T>(call: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
    timeout(CALL_TIMEOUT, call).await.unwrap_or_else(|_| Err(CallError::NoResponse("no response in time".to_owned())))
}
