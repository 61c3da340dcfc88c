//! The writer: every item of an event has its end here, and only a response of DynamoDB makes that end a success.
//!
//! An item's outcome starts as [`WriteOutcome::Unfinished`]. A call that is dropped at the deadline, panics or is lost leaves
//! it so, and the message goes back to the queue: no path has to remember to report a failure.
//!
//! # Order
//!
//! - Of two items with one key in one event, the later one is written. Versions are all written, and the table decides; they
//!   go one after the other where one of them is a deletion.
//! - In a FIFO queue the items of a message go when the message before it in its group has its end (`order`). Groups do not
//!   wait for one another.
//! - A write whose response does not come may be applied later than what is sent after it. So nothing is sent after it that
//!   must follow it: both are left unfinished, and come back no sooner than it can be applied no more
//!   ([`WriteOutcome::Unanswered`]). Between invocations of a standard queue only `version` keeps order.
//! - An event may be written in parts. What an earlier one leaves open, a later one leaves alone (`open_keys`).
//!
//! # One item never takes others with it
//!
//! A call that is refused as invalid, or fails again and again, is halved until the item at fault stands alone (`queue`).
//! First attempts go before repeated ones, tables have their turns, and each has a limiter of its own.

mod backoff;
mod delayed;
mod open_keys;
mod order;
mod queue;
mod report;
mod retry;
mod suspects;

pub(crate) use open_keys::OpenKeys;
pub(crate) use order::Group;
pub use report::{WriteFigures, WriteOutcome, WriteReport};

use super::client::Client;
use super::conditional::{conditional_body, proven};
use super::item::{Items, Operation};
use super::mapping::{Mapping, TableId};
use super::response::{CallError, Refusal, Throttle, WriteResponse};
use crate::clock;
use crate::limiter::{AimdLimit, CallOutcome, ConcurrencyLimiter, Permit};
use bytes::Bytes;
use queue::{Job, JobWrite};
use retry::RetryLoop;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use suspects::Suspects;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long items that are not all written yet are worth waiting for without one getting through: the longest backoff.
const PATIENCE: Duration = backoff::MAX_BACKOFF;

/// When writes end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WriteTime {
    /// From then on the writes go on only while items get through: others wait for the time.
    pub(crate) share: Instant,
    /// Nothing goes on after it.
    pub(crate) deadline: Instant,
}

/// Writes items. One for the process; its limiters outlive the invocations.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    mappings: Arc<[(TableId, Mapping)]>,
    /// By table.
    limiters: Arc<[ConcurrencyLimiter]>,
    /// Evidence of which mappings fit their tables.
    suspects: Arc<Mutex<Suspects>>,
    /// A random duration from zero to the one given.
    jitter: fn(Duration) -> Duration,
}

impl Writer {
    /// `mappings` are those of the encoder; `limit` steers how many calls to a table are in flight; `jitter` draws a random
    /// duration from zero to the one given.
    pub fn new(
        client: Client,
        mappings: Arc<[(TableId, Mapping)]>,
        limit: AimdLimit,
        jitter: fn(Duration) -> Duration,
    ) -> Self {
        let tables = mappings.iter().map(|(table, _)| table.index() + 1).max().unwrap_or_default();
        let limiters = (0..tables).map(|_| ConcurrencyLimiter::new(limit, clock::now())).collect();
        Self { client, mappings, limiters, suspects: Arc::default(), jitter }
    }

    /// How many calls the limiters allow in flight now, all tables together.
    pub fn limit(&self) -> usize {
        self.limiters.iter().map(ConcurrencyLimiter::limit).sum()
    }

    /// Loads credentials and opens as many connections as calls are allowed at first, before the first event needs them.
    ///
    /// # Errors
    /// Why DynamoDB could not be reached.
    pub async fn warm_up(&self) -> Result<(), Box<str>> {
        let mut calls = JoinSet::new();
        for _ in 0..self.limiters.first().map_or(0, ConcurrencyLimiter::limit) {
            let client = self.client.clone();
            calls.spawn(async move { client.warm_up().await });
        }
        calls.join_all().await.into_iter().collect::<Result<(), _>>().map_err(|error| match error {
            CallError::NotSent(cause)
            | CallError::Broken(cause)
            | CallError::Transient(cause)
            | CallError::Fatal(cause)
            | CallError::Refused(Refusal { said: cause, .. }) => cause,
            CallError::Throttled(throttle) => throttle.name().into(),
            CallError::TimedOut(cause) => cause.into(),
            CallError::StaleVersion | CallError::ConditionFailed { .. } => "a condition failed".into(),
        })
    }

    /// Writes `items`, all but the last of each key, and returns when each has its end or the time is over. Those of a
    /// FIFO queue go in the order of its `groups`; items of messages that are in no group are left unfinished, and so are those
    /// whose key is `open`. The keys that are open then are added to it.
    pub(crate) async fn write(
        &self,
        items: &Arc<Items>,
        groups: Option<&[Group]>,
        open: &mut OpenKeys,
        time: WriteTime,
    ) -> WriteReport {
        RetryLoop::new(self, items, groups, open, time).finish().await
    }

    fn table(&self, table: TableId) -> &str {
        self.mappings_of(table).next().map_or("", |mapping| mapping.table.as_str())
    }

    fn mappings_of(&self, table: TableId) -> impl Iterator<Item = &Mapping> {
        self.mappings.iter().filter(move |(of, _)| *of == table).map(|(_, mapping)| mapping)
    }

    /// About as many bytes as the call's body will have.
    fn body_bytes(job: &Job, items: &Items) -> usize {
        match &job.write {
            JobWrite::Batch(batch) => batch.bytes(items),
            JobWrite::Conditional(index) => items.as_slice().get(*index).map_or(0, |item| items.attributes(item).len()),
        }
    }

    async fn call(self, job: Job, items: Arc<Items>, permit: Permit, deadline: Instant) -> CallEnd {
        if let Err(error) = self.client.ready(deadline).await {
            drop(permit);
            return CallEnd { job, result: Err(error), latency: None };
        }
        let started = clock::now();
        let result = self.send(&job, &items, deadline).await;
        let now = clock::now();
        let latency = now - started;
        match call_outcome(&job, &result) {
            // cut short by the deadline, a call says nothing of the table
            Some(CallOutcome::Failed) if now >= deadline => drop(permit),
            Some(outcome) => permit.record(outcome, latency, now),
            None => drop(permit),
        }
        let is_sent = !matches!(result, Err(CallError::NotSent(_)));
        CallEnd { job, result, latency: is_sent.then_some(latency) }
    }

    async fn send(&self, job: &Job, items: &Items, deadline: Instant) -> Result<WriteResponse, CallError> {
        match &job.write {
            JobWrite::Batch(batch) => {
                let table = batch.table();
                let body = Bytes::from(batch.body(items, self.table(table)));
                self.client.batch_write(body, &self.mappings_of(table).collect::<Vec<_>>(), deadline).await
            }
            JobWrite::Conditional(index) => {
                let item = items.as_slice().get(*index);
                let mapping = item.and_then(|item| Some((item, &self.mappings.get(usize::from(item.subject.0))?.1)));
                let Some((item, mapping)) = mapping else { return Err(CallError::transient("no such item")) };
                let body = Bytes::from(conditional_body(items, item, mapping));
                let result = match item.operation {
                    Operation::Put => self.client.put(body, deadline).await,
                    Operation::Delete => self.client.delete(body, deadline).await,
                };
                proven(result, items, item, mapping)
            }
        }
    }
}

/// What a call's end tells the limiter of the table's load. `None` if it tells nothing.
fn call_outcome(job: &Job, result: &Result<WriteResponse, CallError>) -> Option<CallOutcome> {
    let items = job.items().len();
    // an item that fails by itself, again and again, says nothing of the table
    let is_suspect = job.is_part || job.failures > 0;
    match result {
        Ok(response) => Some(CallOutcome::Served { items, unprocessed: response.unprocessed.len() }),
        // fewer calls would not cool a hot key, which refuses its own items only
        Err(CallError::Throttled(Throttle::HotPartition)) => None,
        Err(CallError::Throttled(_)) => Some(CallOutcome::Throttled { items }),
        // no connection, or one that broke as one does in a freeze, is the network's; no credentials, their source's
        Err(CallError::NotSent(_) | CallError::Broken(_)) => None,
        Err(CallError::Transient(_) | CallError::TimedOut(_)) if is_suspect => None,
        Err(CallError::Transient(_) | CallError::TimedOut(_)) => Some(CallOutcome::Failed),
        // a refusal says nothing of the load, but its latency does
        Err(
            CallError::Refused(_) | CallError::StaleVersion | CallError::ConditionFailed { .. } | CallError::Fatal(_),
        ) => Some(CallOutcome::Served { items, unprocessed: 0 }),
    }
}

struct CallEnd {
    job: Job,
    result: Result<WriteResponse, CallError>,
    /// None if nothing was sent.
    latency: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::super::response::Blame;
    use super::*;

    #[test]
    fn what_ends_a_call_is_the_tables_load_only_if_it_is_not_the_items_or_the_networks() {
        let failed_after = |failures, is_part, error| {
            call_outcome(&Job { failures, is_part, ..Job::new(JobWrite::Conditional(0)) }, &Err(error))
        };
        let silent = || CallError::TimedOut("no response in time".into());
        for first in [silent(), CallError::transient("500")] {
            assert_eq!(failed_after(0, false, first), Some(CallOutcome::Failed));
        }
        for (failures, is_part) in [(1, false), (2, false), (0, true), (2, true)] {
            for again in [silent(), CallError::transient("500")] {
                assert_eq!(failed_after(failures, is_part, again), None, "an item that fails by itself");
            }
        }
        assert_eq!(failed_after(0, false, CallError::Broken("reset".into())), None, "the network's");
        assert_eq!(failed_after(0, false, CallError::NotSent("no credentials".into())), None, "their source's");
        assert_eq!(failed_after(0, false, CallError::Throttled(Throttle::HotPartition)), None, "its own partition's");
        let throttled = CallError::Throttled(Throttle::Table);
        assert_eq!(failed_after(3, true, throttled), Some(CallOutcome::Throttled { items: 1 }));
        let refused = CallError::Refused(Refusal { blame: Blame::Item, said: "too large".into() });
        assert_eq!(failed_after(0, false, refused), Some(CallOutcome::Served { items: 1, unprocessed: 0 }));
    }
}
