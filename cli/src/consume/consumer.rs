//! Processes one batch: the handler writes the items, then durable messages are deleted.

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

/// Timeout of each call that deletes, hides or releases messages.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Minimum number of attempts to delete messages. A message that is not deleted is redelivered and written again.
const MIN_DELETE_ATTEMPTS: u32 = 4;
/// Maximum pause before the second attempt. It grows by this amount with each further attempt.
const DELETE_BACKOFF: Duration = Duration::from_millis(500);
const MAX_DELETE_BACKOFF: Duration = Duration::from_secs(3);
/// Maximum number of attempts to release messages.
const RELEASE_ATTEMPTS: u32 = 3;
/// Pause after a batch of which nothing could be stored, if an operator must fix the cause.
const FATAL_PAUSE: Duration = Duration::from_secs(5);

/// Processes batches.
pub(super) struct Consumer {
    pub(super) handler: Handler,
    pub(super) queue: Arc<Queue>,
    /// ARN of the queue, for the events.
    pub(super) arn: String,
    pub(super) visibility_seconds: u32,
    pub(super) is_fifo: bool,
    /// Writer of the metrics.
    pub(super) metrics: BackgroundWriter,
    /// Becomes `true` when no further batch may begin.
    pub(super) stopped: watch::Receiver<bool>,
    /// Messages that are not deleted yet. `None` unless the run ends when the queue is empty.
    pub(super) unsettled: Option<Arc<Unsettled>>,
    pub(super) counts: MessageCounts,
}

/// Number of messages so far.
#[derive(Default)]
pub(super) struct MessageCounts {
    pub(super) received: AtomicUsize,
    pub(super) deleted: AtomicUsize,
}

/// Result of a batch as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BatchEnd {
    /// Every message has an outcome.
    Handled,
    /// Nothing could be stored or deleted, and an operator must fix the cause.
    Fatal,
}

/// Marks the remaining messages of a batch as failed when the batch ends, even by a panic, because the run waits for every
/// message in progress.
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
    /// Passes one batch to the handler, and deletes the durable messages.
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
        // a lost line costs only metrics
        self.metrics.send(result.metrics);
        match result.response {
            Ok(response) => {
                let returned: HashSet<&str> = response.failures().collect();
                let durable = batch.iter().filter(|message| !returned.contains(message.id.as_str())).collect();
                // before the batch began, a message has been invisible for at most a sixth of its visibility timeout
                self.delete(durable, started + self.visibility() * 5 / 6).await
            }
            Err(error) => {
                tracing::error!(%error, "batch not handled");
                if let Some(unsettled) = &self.unsettled {
                    let messages = batch.iter().map(|message| (message.id.as_str(), message.receipt_handle.as_str()));
                    unsettled.leave_batch(messages, &error.to_string());
                } else {
                    // a shutdown interrupts the pause
                    let _ = timeout(FATAL_PAUSE, self.stopped.clone().wait_for(|stopped| *stopped)).await;
                }
                BatchEnd::Fatal
            }
        }
    }

    fn visibility(&self) -> Duration {
        Duration::from_secs(self.visibility_seconds.into())
    }

    /// Returns the messages that stay invisible until the batch completes. Extends the visibility timeout of messages that have
    /// waited in the buffer. If that fails, another consumer may have received the message, so this batch skips it and it is
    /// redelivered.
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
        // in a FIFO queue, skipped messages would be written after their successors, so all waiting messages are skipped
        let is_left =
            |message: &Received| failed.contains(&message.receipt_handle) || (self.is_fifo && !failed.is_empty());
        let kept = old.into_iter().filter(|message| !is_left(message));
        hidden.extend(kept);
        hidden
    }

    /// Deletes messages, and retries failures until `until`. A run that ends when the queue is empty does not retry permanent
    /// failures.
    ///
    /// In a FIFO queue, a message is deleted only after all its predecessors in its group. A message that is not deleted is
    /// redelivered and written again. Its successors must then be redelivered after it, because it would otherwise overwrite
    /// their items.
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
        // a run that ends when the queue is empty waits for the redelivery, so it makes the messages visible at once
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

    /// Makes messages visible immediately. Returns the receipt handles for which this failed.
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

    /// Makes messages visible that no batch has started.
    pub(super) async fn give_back(&self, messages: &[Received]) {
        self.release(messages.iter().map(|message| message.receipt_handle.clone()).collect()).await;
        if let Some(unsettled) = &self.unsettled {
            unsettled.give_back(messages.iter().map(|message| message.id.as_str()));
        }
    }

    /// Reports the messages that a run with `--once` has not stored or not deleted, and the number of messages in the queue.
    /// Returns `true` if there is nothing to report.
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

    /// Makes the messages visible that no batch will retry.
    pub(super) async fn release_unsettled(&self) {
        if let Some(unsettled) = &self.unsettled {
            self.release(unsettled.handles()).await;
        }
    }
}

/// Returns the result of a call, or an error if the call exceeds its timeout.
async fn in_time<T>(call: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
    timeout(CALL_TIMEOUT, call).await.unwrap_or_else(|_| Err(CallError::NoResponse("no response in time".to_owned())))
}
