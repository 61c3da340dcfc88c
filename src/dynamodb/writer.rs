//! The writer: every item of an event has its end here, and only an answer of DynamoDB makes that end a success.
//!
//! An item's slot starts as [`WriteOutcome::Unfinished`]. A call that is dropped at the deadline, panics or is lost leaves
//! it so, and the message goes back to the queue: no path has to remember to report a failure.

use super::batch::{Distinct, Index, WriteBatch, guarded_body};
use super::client::{self, Answer, CallError, Throttle};
use super::item::{Items, Operation};
use super::mapping::{Mapping, TableId};
use crate::clock;
use crate::limiter::{self, Gate, Law, Permit};
use aws_sdk_dynamodb::Client;
use bytes::Bytes;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

/// How long one call may take. An answer later than this is worth less than another try.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
/// Backoff after the first throttle; it doubles with each.
const THROTTLE_BACKOFF: Duration = Duration::from_millis(50);
/// Backoff after the first transient error; it doubles with each.
const TRANSIENT_BACKOFF: Duration = Duration::from_millis(10);
/// The longest backoff.
const MAX_BACKOFF: Duration = Duration::from_secs(1);

/// The end of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteOutcome {
    /// Nothing is known of it: there was no time, or its call was lost.
    Unfinished,
    /// It is in its table, or gone from it if that was asked.
    Stored,
    /// A later item of the event, or a newer one in the table, stands in its place.
    Superseded,
    /// DynamoDB refused this very item as invalid, and said why.
    Rejected(Box<str>),
    /// DynamoDB would not take it for a cause that is not the item's.
    Refused(Box<str>),
}

/// What the writes of an event came to.
#[derive(Debug, Default)]
pub struct WriteReport {
    /// The end of each item, in the order of [`Items::as_slice`].
    pub outcomes: Vec<WriteOutcome>,
    /// A cause an operator must mend, if there was one.
    pub fatal: Option<Box<str>>,
    /// What it took.
    pub figures: WriteFigures,
}

/// What the writes took.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WriteFigures {
    /// Calls that were sent.
    pub calls: usize,
    /// The time of each call that was answered, in the order of the answers.
    pub latencies: Vec<Duration>,
    /// Items sent again, each time counted.
    pub retried_items: usize,
    /// Items DynamoDB handed back unprocessed, each time counted.
    pub unprocessed_items: usize,
    /// Write request units consumed.
    pub write_units: f64,
    /// Bytes of the calls' bodies.
    pub bytes: usize,
    /// Throttled calls by the table's own throughput.
    pub throttles_table: usize,
    /// Throttled calls by an index's throughput.
    pub throttles_index: usize,
    /// Throttled calls by one partition's throughput.
    pub throttles_hot_partition: usize,
    /// Throttled calls by the account's quota.
    pub throttles_account: usize,
    /// Throttled calls that gave no reason.
    pub throttles_unknown: usize,
    /// The most calls in flight at once.
    pub most_in_flight: usize,
}

impl std::ops::AddAssign for WriteFigures {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.latencies.extend(other.latencies);
        self.retried_items += other.retried_items;
        self.unprocessed_items += other.unprocessed_items;
        self.write_units += other.write_units;
        self.bytes += other.bytes;
        self.throttles_table += other.throttles_table;
        self.throttles_index += other.throttles_index;
        self.throttles_hot_partition += other.throttles_hot_partition;
        self.throttles_account += other.throttles_account;
        self.throttles_unknown += other.throttles_unknown;
        self.most_in_flight = self.most_in_flight.max(other.most_in_flight);
    }
}

impl WriteFigures {
    /// Calls that were throttled, for whatever reason.
    pub fn throttles(&self) -> usize {
        self.throttles_table
            + self.throttles_index
            + self.throttles_hot_partition
            + self.throttles_account
            + self.throttles_unknown
    }
}

/// Writes items. One for the process; its limiter outlives the invocations.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    mappings: Arc<[(TableId, Mapping)]>,
    gate: Gate,
    /// A random duration from zero to the one given.
    jitter: fn(Duration) -> Duration,
}

impl Writer {
    /// `mappings` are those of the encoder; `law` steers how many calls go at once; `jitter` draws a random duration from
    /// zero to the one given.
    pub fn new(
        client: Client,
        mappings: Arc<[(TableId, Mapping)]>,
        law: Law,
        jitter: fn(Duration) -> Duration,
    ) -> Self {
        Self { client, mappings, gate: Gate::new(law, clock::now()), jitter }
    }

    /// How many calls the limiter allows at once now.
    pub fn limit(&self) -> usize {
        self.gate.limit()
    }

    /// Loads credentials and opens as many connections as calls are allowed at first, before the first event needs them.
    ///
    /// # Errors
    /// Why DynamoDB could not be reached.
    pub async fn warm_up(&self) -> Result<(), Box<str>> {
        let mut calls = JoinSet::new();
        for _ in 0..self.limit() {
            let client = self.client.clone();
            calls.spawn(async move { client::warm_up(&client).await });
        }
        calls.join_all().await.into_iter().collect::<Result<(), _>>().map_err(|error| match error {
            CallError::Transient { cause, .. } | CallError::Fatal(cause) | CallError::Invalid(cause) => cause,
            CallError::Throttled(_) | CallError::Newer => "throttled".into(),
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
        let distinct = Distinct::of(items, among);
        let mut run = Run::new(self, items, deadline, distinct);
        run.finish().await;
        let mut report = run.report;
        report.figures.most_in_flight = run.most_in_flight;
        for (winner, losers) in run.superseded {
            let end = match report.outcomes.get(winner) {
                Some(WriteOutcome::Stored | WriteOutcome::Superseded) => WriteOutcome::Superseded,
                Some(WriteOutcome::Refused(cause)) => WriteOutcome::Refused(cause.clone()),
                // the winner is not durable, so these must come again
                _ => WriteOutcome::Unfinished,
            };
            losers.into_iter().for_each(|loser| set(&mut report.outcomes, loser, end.clone()));
        }
        report
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
        let answer = async {
            match &job {
                Job::Batch(batch) => {
                    let table = batch.table();
                    let body = Bytes::from(batch.body(&items, self.table(table)));
                    bytes = body.len();
                    client::batch_write(&self.client, body, &self.mappings_of(table).collect::<Vec<_>>()).await
                }
                Job::Guarded(index) => {
                    let item = items.as_slice().get(*index);
                    let mapping =
                        item.and_then(|item| Some((item, &self.mappings.get(usize::from(item.subject.0))?.1)));
                    let Some((item, mapping)) = mapping else { return Err(CallError::Invalid("no such item".into())) };
                    let body = Bytes::from(guarded_body(&items, item, mapping));
                    bytes = body.len();
                    match item.operation {
                        Operation::Put => client::put(&self.client, body, &mapping.table).await,
                        Operation::Delete => client::delete(&self.client, body, &mapping.table).await,
                    }
                }
            }
        };
        let late = deadline.min(started + ATTEMPT_TIMEOUT);
        let result = timeout_at(late, answer)
            .await
            .unwrap_or_else(|_| Err(CallError::Transient { connection: false, cause: "no answer in time".into() }));
        let now = clock::now();
        let latency = now - started;
        match sample(&job, &result) {
            // cut short by the deadline, a call says nothing of the table
            Some(limiter::Answer::Failed) if now >= deadline => drop(permit),
            Some(answer) => permit.record(answer, latency, now),
            None => drop(permit),
        }
        CallEnd { job, result, latency, bytes }
    }
}

/// What a call's end tells the limiter of the table's load. None if it tells nothing.
fn sample(job: &Job, result: &Result<Answer, CallError>) -> Option<limiter::Answer> {
    let items = job.items().len();
    match result {
        Ok(answer) => Some(limiter::Answer::Served { items, unprocessed: answer.unprocessed.len() }),
        // fewer calls would not cool a hot key, which refuses its own items only
        Err(CallError::Throttled(Throttle::HotPartition)) => None,
        Err(CallError::Throttled(_)) => Some(limiter::Answer::Throttled { items }),
        // a connection that broke, as one does in a freeze, is the network's
        Err(CallError::Transient { connection: true, .. }) => None,
        Err(CallError::Transient { connection: false, .. }) => Some(limiter::Answer::Failed),
        // a refusal says nothing of the load, but its latency does
        Err(CallError::Invalid(_) | CallError::Newer | CallError::Fatal(_)) => {
            Some(limiter::Answer::Served { items, unprocessed: 0 })
        }
    }
}

/// What one call carries.
#[derive(Debug, Clone)]
enum Job {
    Batch(WriteBatch),
    Guarded(Index),
}

impl Job {
    fn items(&self) -> &[Index] {
        match self {
            Self::Batch(batch) => batch.items(),
            Self::Guarded(index) => std::slice::from_ref(index),
        }
    }
}

struct CallEnd {
    job: Job,
    result: Result<Answer, CallError>,
    latency: Duration,
    bytes: usize,
}

/// What waits for its time.
struct Delayed {
    due: Instant,
    what: Waiting,
}

enum Waiting {
    Job(Job),
    /// Items that join whatever else waits for their table.
    Items(Vec<Index>),
}

impl PartialEq for Delayed {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}
impl Eq for Delayed {}
impl PartialOrd for Delayed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Delayed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.due.cmp(&other.due)
    }
}

/// The writes of one event, under way.
struct Run<'w> {
    writer: &'w Writer,
    items: &'w Arc<Items>,
    deadline: Instant,
    /// Items that wait for a batch, by table.
    fresh: HashMap<TableId, VecDeque<Index>>,
    /// The items that each one to be written stands in for.
    superseded: HashMap<Index, Vec<Index>>,
    /// Calls that wait for a permit.
    jobs: VecDeque<Job>,
    delayed: BinaryHeap<Reverse<Delayed>>,
    calls: JoinSet<CallEnd>,
    most_in_flight: usize,
    /// Tables no call can write to, and why.
    broken: HashMap<TableId, Box<str>>,
    /// How often each item was sent.
    attempts: Vec<u8>,
    report: WriteReport,
}

impl<'w> Run<'w> {
    fn new(writer: &'w Writer, items: &'w Arc<Items>, deadline: Instant, distinct: Distinct) -> Self {
        let Distinct { winners, superseded } = distinct;
        let count = items.as_slice().len();
        let mut run = Self {
            writer,
            items,
            deadline,
            fresh: HashMap::new(),
            superseded,
            jobs: VecDeque::new(),
            delayed: BinaryHeap::new(),
            calls: JoinSet::new(),
            most_in_flight: 0,
            broken: HashMap::new(),
            attempts: vec![0; count],
            report: WriteReport { outcomes: vec![WriteOutcome::Unfinished; count], ..WriteReport::default() },
        };
        for index in winners {
            match items.as_slice().get(index) {
                Some(item) if item.guarded => run.jobs.push_back(Job::Guarded(index)),
                Some(item) => run.fresh.entry(item.table).or_default().push_back(index),
                None => {}
            }
        }
        run
    }

    async fn finish(&mut self) {
        loop {
            self.wake(clock::now());
            let ready = !self.jobs.is_empty() || !self.fresh.is_empty();
            let due = self.delayed.peek().map(|Reverse(delayed)| delayed.due);
            if !ready && due.is_none() && self.calls.is_empty() {
                return;
            }
            let gate = &self.writer.gate;
            tokio::select! {
                biased;
                () = sleep_until(self.deadline) => return,
                Some(end) = self.calls.join_next() => {
                    // a call that panicked has left its items as they were: unfinished
                    if let Ok(end) = end {
                        self.settle(end, clock::now());
                    }
                }
                permit = gate.acquire(), if ready => self.start(permit),
                () = until(due), if !ready => {}
            }
        }
    }

    /// Lets what has waited long enough go again.
    fn wake(&mut self, now: Instant) {
        while self.delayed.peek().is_some_and(|Reverse(delayed)| delayed.due <= now) {
            match self.delayed.pop() {
                Some(Reverse(Delayed { what: Waiting::Job(job), .. })) => self.jobs.push_back(job),
                Some(Reverse(Delayed { what: Waiting::Items(items), .. })) => {
                    for index in items.into_iter().rev() {
                        if let Some(table) = self.table_of(index) {
                            self.fresh.entry(table).or_default().push_front(index);
                        }
                    }
                }
                None => {}
            }
        }
    }

    fn table_of(&self, index: Index) -> Option<TableId> {
        self.items.as_slice().get(index).map(|item| item.table)
    }

    fn next_job(&mut self) -> Option<Job> {
        loop {
            let job = match self.jobs.pop_front() {
                Some(job) => job,
                None => {
                    let (&table, waiting) = self.fresh.iter_mut().next()?;
                    let batch = WriteBatch::take(self.items, table, waiting);
                    if waiting.is_empty() {
                        self.fresh.remove(&table);
                    }
                    Job::Batch(batch?)
                }
            };
            let table = job.items().first().and_then(|&index| self.table_of(index));
            match table.and_then(|table| self.broken.get(&table)) {
                None => return Some(job),
                Some(cause) => {
                    let cause = cause.clone();
                    self.end(job.items(), &WriteOutcome::Refused(cause));
                }
            }
        }
    }

    fn start(&mut self, permit: Permit) {
        let Some(job) = self.next_job() else { return };
        for &index in job.items() {
            if let Some(attempts) = self.attempts.get_mut(index) {
                self.report.figures.retried_items += usize::from(*attempts > 0);
                *attempts = attempts.saturating_add(1);
            }
        }
        self.report.figures.calls += 1;
        self.calls.spawn(self.writer.clone().call(job, Arc::clone(self.items), permit, self.deadline));
        self.most_in_flight = self.most_in_flight.max(self.calls.len());
    }

    fn settle(&mut self, CallEnd { job, result, latency, bytes }: CallEnd, now: Instant) {
        let figures = &mut self.report.figures;
        figures.latencies.push(latency);
        figures.bytes += bytes;
        match result {
            Ok(answer) => {
                figures.write_units += answer.write_units;
                figures.unprocessed_items += answer.unprocessed.len();
                let (again, stored) = self.divide(job.items(), &answer.unprocessed);
                self.end(&stored, &WriteOutcome::Stored);
                if !again.is_empty() {
                    let due = now + self.backoff(THROTTLE_BACKOFF, &again);
                    self.delayed.push(Reverse(Delayed { due, what: Waiting::Items(again) }));
                }
            }
            Err(CallError::Throttled(throttle)) => {
                *match throttle {
                    Throttle::Table => &mut figures.throttles_table,
                    Throttle::Index => &mut figures.throttles_index,
                    Throttle::HotPartition => &mut figures.throttles_hot_partition,
                    Throttle::Account => &mut figures.throttles_account,
                    Throttle::Unknown => &mut figures.throttles_unknown,
                } += 1;
                let due = now + self.backoff(THROTTLE_BACKOFF, job.items());
                self.delayed.push(Reverse(Delayed { due, what: Waiting::Job(job) }));
            }
            Err(CallError::Transient { connection, cause }) => {
                tracing::debug!(error = %cause, items = job.items().len(), "write call failed");
                // a connection that died while the environment was frozen fails at once and costs one try
                let stale = connection && self.first_attempt(job.items());
                let due = if stale { now } else { now + self.backoff(TRANSIENT_BACKOFF, job.items()) };
                self.delayed.push(Reverse(Delayed { due, what: Waiting::Job(job) }));
            }
            Err(CallError::Invalid(said)) => match &job {
                Job::Batch(batch) if let Some(halves) = batch.halves() => self.jobs.extend(halves.map(Job::Batch)),
                _ => self.reject(job.items(), said),
            },
            Err(CallError::Newer) => self.end(job.items(), &WriteOutcome::Superseded),
            Err(CallError::Fatal(cause)) => {
                self.end(job.items(), &WriteOutcome::Refused(cause.clone()));
                if let Some(table) = job.items().first().and_then(|&index| self.table_of(index)) {
                    self.broken.insert(table, cause.clone());
                }
                self.report.fatal.get_or_insert(cause);
            }
        }
    }

    /// Divides the items of an answered call into those handed back and those stored. If any key handed back is not among
    /// them, none counts as stored.
    fn divide(&self, sent: &[Index], unprocessed: &[Vec<u8>]) -> (Vec<Index>, Vec<Index>) {
        if unprocessed.is_empty() {
            return (Vec::new(), sent.to_vec());
        }
        let handed_back = |&index: &Index| {
            let key = self.items.as_slice().get(index).map(|item| self.items.key(item));
            key.is_none_or(|key| unprocessed.iter().any(|other| other == key))
        };
        let (again, stored): (Vec<_>, Vec<_>) = sent.iter().copied().partition(handed_back);
        if again.len() == unprocessed.len() { (again, stored) } else { (sent.to_vec(), Vec::new()) }
    }

    /// Ends an item that can never be written. The last of those it stood in for is then the one to write: a good message
    /// must not go down with a bad one of its key.
    fn reject(&mut self, alone: &[Index], said: Box<str>) {
        self.end(alone, &WriteOutcome::Rejected(said));
        for index in alone {
            let Some(mut losers) = self.superseded.remove(index) else { continue };
            let Some(next) = losers.pop() else { continue };
            if let Some(table) = self.table_of(next) {
                self.fresh.entry(table).or_default().push_back(next);
            }
            self.superseded.insert(next, losers);
        }
    }

    fn first_attempt(&self, items: &[Index]) -> bool {
        self.attempts_of(items) <= 1
    }

    fn attempts_of(&self, items: &[Index]) -> u8 {
        items.iter().filter_map(|&index| self.attempts.get(index)).copied().max().unwrap_or_default()
    }

    /// Full jitter: anything from nothing to the base doubled with each attempt.
    fn backoff(&self, base: Duration, items: &[Index]) -> Duration {
        let doublings = u32::from(self.attempts_of(items).saturating_sub(1)).min(16);
        (self.writer.jitter)(base.saturating_mul(1 << doublings).min(MAX_BACKOFF))
    }

    fn end(&mut self, items: &[Index], outcome: &WriteOutcome) {
        for &index in items {
            set(&mut self.report.outcomes, index, outcome.clone());
        }
    }
}

fn set(outcomes: &mut [WriteOutcome], index: Index, outcome: WriteOutcome) {
    if let Some(slot) = outcomes.get_mut(index) {
        *slot = outcome;
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => pending().await,
    }
}
