//! One batch: has the handler write it, and deletes what is durable.

use super::background::BackgroundWriter;
use super::unsettled::Unsettled;
use crate::aws::CallError;
use crate::duration::jitter;
use crate::queue::{Queue, Received};
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
    /// Messages that are not stored. None where the process goes on until it is stopped.
    pub(super) unsettled: Option<Unsettled>,
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
    /// Nothing could be stored, for a cause that an operator must fix.
    Fatal,
}

impl Consumer {
    /// Has one batch handled, and deletes what is durable.
    pub(super) async fn batch(self: Arc<Self>, batch: Vec<Received>) -> BatchEnd {
        let started = now();
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
                let (returned, durable): (Vec<_>, Vec<_>) =
                    batch.iter().partition(|message| returned.contains(message.id.as_str()));
                if let Some(unsettled) = &self.unsettled {
                    unsettled.add(returned.iter().map(|message| message.id.as_str()));
                    unsettled.settle(durable.iter().map(|message| message.id.as_str()));
                }
                // a message has waited for a sixth of its time at most before the batch began
                self.delete(durable, started + self.visibility() * 5 / 6).await;
                BatchEnd::Handled
            }
            Err(error) => {
                tracing::error!(%error, "batch not handled");
                if let Some(unsettled) = &self.unsettled {
                    let messages = batch.iter().map(|message| (message.id.as_str(), message.receipt_handle.as_str()));
                    unsettled.add_batch(messages, &error.to_string());
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
        let (left, kept): (Vec<_>, Vec<_>) = old
            .into_iter()
            .partition(|message| failed.contains(&message.receipt_handle) || (self.is_fifo && !failed.is_empty()));
        if let Some(unsettled) = &self.unsettled {
            unsettled.add(left.iter().map(|message| message.id.as_str()));
        }
        hidden.extend(kept);
        hidden
    }

    /// Deletes messages, and tries again until `until` what fails.
    ///
    /// In a FIFO queue a message is deleted only after every message before it in its group, because one that is not deleted comes back and is
    /// written again: after it must come all that it would otherwise overwrite.
    async fn delete(&self, messages: Vec<&Received>, until: Instant) {
        let (mut left, mut failures) = (messages, 0);
        while !left.is_empty() {
            let mut groups = HashSet::new();
            let first = left.iter().filter(|message| !self.is_fifo || groups.insert(&message.group));
            let handles: Vec<String> = first.map(|message| message.receipt_handle.clone()).collect();
            let failed = match in_time(self.queue.delete(&handles)).await {
                Ok(failed) => failed,
                Err(error) => {
                    tracing::warn!(%error, "messages not deleted");
                    handles.clone()
                }
            };
            let deleted: HashSet<&String> = handles.iter().filter(|handle| !failed.contains(handle)).collect();
            self.counts.deleted.fetch_add(deleted.len(), Ordering::Relaxed);
            left.retain(|message| !deleted.contains(&message.receipt_handle));
            if failed.is_empty() {
                continue;
            }
            failures += 1;
            if failures >= MIN_DELETE_ATTEMPTS && now() >= until {
                break;
            }
            sleep(jitter((DELETE_BACKOFF * failures).min(MAX_DELETE_BACKOFF))).await;
        }
        if left.is_empty() {
            return;
        }
        tracing::warn!(count = left.len(), "messages not deleted: they come back and are written again");
        if self.is_fifo {
            self.release(left.iter().map(|message| message.receipt_handle.clone()).collect()).await;
        }
    }

    /// Brings messages back into sight at once.
    pub(super) async fn release(&self, handles: Vec<String>) {
        let mut left = handles;
        for attempt in 1..=RELEASE_ATTEMPTS {
            if left.is_empty() {
                return;
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
    }

    /// Brings back into sight what no batch will try again.
    pub(super) async fn release_unsettled(&self) {
        if let Some(unsettled) = &self.unsettled {
            self.release(unsettled.hidden()).await;
        }
    }
}

/// The result of a call, or an error if it takes too long.
async fn in_time<T>(call: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
    timeout(CALL_TIMEOUT, call).await.unwrap_or_else(|_| Err(CallError::NoResponse("no response in time".to_owned())))
}
