//! The writer: every item of an event has its end here, and only an response of DynamoDB makes that end a success.
//!
//! An item's slot starts as [`WriteOutcome::Unfinished`]. A call that is dropped at the deadline, panics or is lost leaves
//! it so, and the message goes back to the queue: no path has to remember to report a failure.

mod report;
mod retry;

pub use report::{WriteFigures, WriteOutcome, WriteReport};

use super::batch::{Distinct, Index, WriteBatch, conditional_body};
use super::client::Client;
use super::item::{Items, Operation};
use super::mapping::{Mapping, TableId};
use super::response::{CallError, Throttle, WriteResponse};
use crate::clock;
use crate::limiter::{self, AimdLimit, ConcurrencyLimiter, Permit};
use bytes::Bytes;
use retry::RetryLoop;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// How long one call may take. An response later than this is worth less than another try.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);

/// Writes items. One for the process; its limiter outlives the invocations.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    mappings: Arc<[(TableId, Mapping)]>,
    limiter: ConcurrencyLimiter,
    /// A random duration from zero to the one given.
    jitter: fn(Duration) -> Duration,
}

impl Writer {
    /// `mappings` are those of the encoder; `limit` steers how many calls go at once; `jitter` draws a random duration from
    /// zero to the one given.
    pub fn new(
        client: Client,
        mappings: Arc<[(TableId, Mapping)]>,
        limit: AimdLimit,
        jitter: fn(Duration) -> Duration,
    ) -> Self {
        Self { client, mappings, limiter: ConcurrencyLimiter::new(limit, clock::now()), jitter }
    }

    /// How many calls the limiter allows at once now.
    pub fn limit(&self) -> usize {
        self.limiter.limit()
    }

    /// Loads credentials and opens as many connections as calls are allowed at first, before the first event needs them.
    ///
    /// # Errors
    /// Why DynamoDB could not be reached.
    pub async fn warm_up(&self) -> Result<(), Box<str>> {
        let mut calls = JoinSet::new();
        for _ in 0..self.limit() {
            let client = self.client.clone();
            calls.spawn(async move { client.warm_up().await });
        }
        calls.join_all().await.into_iter().collect::<Result<(), _>>().map_err(|error| match error {
            CallError::Transient { cause, .. } | CallError::Fatal(cause) | CallError::Invalid(cause) => cause,
            CallError::Throttled(_) | CallError::StaleVersion => "throttled".into(),
        })
    }

    /// Writes the items `among` those of the event, all but the last of each key, and returns when each has its end or the
    /// deadline is there.
    pub async fn write(
        &self,
        items: &Arc<Items>,
        among: impl DoubleEndedIterator<Item = Index>,
        deadline: Instant,
    ) -> WriteReport {
        RetryLoop::new(self, items, deadline, Distinct::of(items, among)).finish().await
    }

    fn table(&self, table: TableId) -> &str {
        self.mappings_of(table).next().map_or("", |mapping| mapping.table.as_str())
    }

    fn mappings_of(&self, table: TableId) -> impl Iterator<Item = &Mapping> {
        self.mappings.iter().filter(move |(of, _)| *of == table).map(|(_, mapping)| mapping)
    }

    async fn call(self, job: Job, items: Arc<Items>, permit: Permit, deadline: Instant) -> CallEnd {
        let started = clock::now();
        let mut bytes = 0;
        let response = async {
            match &job {
                Job::Batch(batch) => {
                    let table = batch.table();
                    let body = Bytes::from(batch.body(&items, self.table(table)));
                    bytes = body.len();
                    self.client.batch_write(body, &self.mappings_of(table).collect::<Vec<_>>()).await
                }
                Job::Conditional(index) => {
                    let item = items.as_slice().get(*index);
                    let mapping =
                        item.and_then(|item| Some((item, &self.mappings.get(usize::from(item.subject.0))?.1)));
                    let Some((item, mapping)) = mapping else { return Err(CallError::Invalid("no such item".into())) };
                    let body = Bytes::from(conditional_body(&items, item, mapping));
                    bytes = body.len();
                    match item.operation {
                        Operation::Put => self.client.put(body).await,
                        Operation::Delete => self.client.delete(body).await,
                    }
                }
            }
        };
        let late = deadline.min(started + ATTEMPT_TIMEOUT);
        let result =
            timeout_at(late, response).await.unwrap_or_else(|_| Err(CallError::transient("no response in time")));
        let now = clock::now();
        let latency = now - started;
        match sample(&job, &result) {
            // cut short by the deadline, a call says nothing of the table
            Some(limiter::CallOutcome::Failed) if now >= deadline => drop(permit),
            Some(response) => permit.record(response, latency, now),
            None => drop(permit),
        }
        CallEnd { job, result, latency, bytes }
    }
}

/// What a call's end tells the limiter of the table's load. None if it tells nothing.
fn sample(job: &Job, result: &Result<WriteResponse, CallError>) -> Option<limiter::CallOutcome> {
    let items = job.items().len();
    match result {
        Ok(response) => Some(limiter::CallOutcome::Served { items, unprocessed: response.unprocessed.len() }),
        // fewer calls would not cool a hot key, which refuses its own items only
        Err(CallError::Throttled(Throttle::HotPartition)) => None,
        Err(CallError::Throttled(_)) => Some(limiter::CallOutcome::Throttled { items }),
        // a connection that broke, as one does in a freeze, is the network's
        Err(CallError::Transient { connection: true, .. }) => None,
        Err(CallError::Transient { connection: false, .. }) => Some(limiter::CallOutcome::Failed),
        // a refusal says nothing of the load, but its latency does
        Err(CallError::Invalid(_) | CallError::StaleVersion | CallError::Fatal(_)) => {
            Some(limiter::CallOutcome::Served { items, unprocessed: 0 })
        }
    }
}

/// What one call carries.
#[derive(Debug, Clone)]
enum Job {
    Batch(WriteBatch),
    Conditional(Index),
}

impl Job {
    fn items(&self) -> &[Index] {
        match self {
            Self::Batch(batch) => batch.items(),
            Self::Conditional(index) => std::slice::from_ref(index),
        }
    }
}

struct CallEnd {
    job: Job,
    result: Result<WriteResponse, CallError>,
    latency: Duration,
    bytes: usize,
}
