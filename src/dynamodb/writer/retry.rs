//! The writes of one event: what waits, what is under way, and what each response means for its items.

use super::super::batch::{Distinct, Index, WriteBatch};
use super::super::item::Items;
use super::super::mapping::TableId;
use super::super::response::{CallError, Throttle};
use super::{CallEnd, Job, WriteOutcome, WriteReport, Writer};
use crate::clock;
use crate::limiter::Permit;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Backoff after the first throttle; it doubles with each.
const THROTTLE_BACKOFF: Duration = Duration::from_millis(50);
/// Backoff after the first transient error; it doubles with each.
const TRANSIENT_BACKOFF: Duration = Duration::from_millis(10);
/// The longest backoff.
const MAX_BACKOFF: Duration = Duration::from_secs(1);

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
pub(super) struct RetryLoop<'w> {
    writer: &'w Writer,
    items: &'w Arc<Items>,
    deadline: Instant,
    /// Items that wait for a batch, by table.
    pending: HashMap<TableId, VecDeque<Index>>,
    /// The items that each one to be written stands in for.
    superseded: HashMap<Index, Vec<Index>>,
    /// The items that wait for the end of one to be written.
    followers: HashMap<Index, Vec<Index>>,
    /// Calls that wait for a permit.
    jobs: VecDeque<Job>,
    delayed: BinaryHeap<Reverse<Delayed>>,
    calls: JoinSet<CallEnd>,
    /// Tables no call can write to, and why.
    broken: HashMap<TableId, Box<str>>,
    /// How often each item was sent.
    attempts: Vec<u8>,
    report: WriteReport,
}

impl<'w> RetryLoop<'w> {
    /// The writes of `distinct` items.
    pub(super) fn new(writer: &'w Writer, items: &'w Arc<Items>, deadline: Instant, distinct: Distinct) -> Self {
        let count = items.as_slice().len();
        let mut run = Self {
            writer,
            items,
            deadline,
            pending: HashMap::new(),
            superseded: HashMap::new(),
            followers: HashMap::new(),
            jobs: VecDeque::new(),
            delayed: BinaryHeap::new(),
            calls: JoinSet::new(),
            broken: HashMap::new(),
            attempts: vec![0; count],
            report: WriteReport { outcomes: vec![WriteOutcome::Unfinished; count], ..WriteReport::default() },
        };
        run.adopt(distinct);
        run
    }

    fn adopt(&mut self, Distinct { winners, superseded, followers }: Distinct) {
        self.superseded.extend(superseded);
        self.followers.extend(followers);
        self.enqueue(winners);
    }

    fn enqueue(&mut self, items: Vec<Index>) {
        for index in items {
            match self.items.as_slice().get(index) {
                Some(item) if self.items.version(item).is_some() => self.jobs.push_back(Job::Conditional(index)),
                Some(item) => self.pending.entry(item.table).or_default().push_back(index),
                None => {}
            }
        }
    }

    /// Returns when each item has its end or the deadline is there.
    pub(super) async fn finish(mut self) -> WriteReport {
        self.write_all().await;
        let Self { mut report, superseded, .. } = self;
        for (winner, losers) in superseded {
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

    async fn write_all(&mut self) {
        loop {
            self.requeue_due(clock::now());
            let ready = !self.jobs.is_empty() || !self.pending.is_empty();
            let due = self.delayed.peek().map(|Reverse(delayed)| delayed.due);
            if !ready && due.is_none() && self.calls.is_empty() {
                return;
            }
            let limiter = &self.writer.limiter;
            tokio::select! {
                biased;
                () = sleep_until(self.deadline) => return,
                Some(end) = self.calls.join_next() => {
                    // a call that panicked has left its items as they were: unfinished
                    if let Ok(end) = end {
                        self.on_completed(end, clock::now());
                    }
                }
                permit = limiter.acquire(), if ready => self.start(permit),
                () = until(due), if !ready => {}
            }
        }
    }

    /// Lets what has waited long enough go again.
    fn requeue_due(&mut self, now: Instant) {
        while self.delayed.peek().is_some_and(|Reverse(delayed)| delayed.due <= now) {
            match self.delayed.pop() {
                Some(Reverse(Delayed { what: Waiting::Job(job), .. })) => self.jobs.push_back(job),
                Some(Reverse(Delayed { what: Waiting::Items(items), .. })) => {
                    for index in items.into_iter().rev() {
                        if let Some(table) = self.table_of(index) {
                            self.pending.entry(table).or_default().push_front(index);
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
                    let (&table, waiting) = self.pending.iter_mut().next()?;
                    let batch = WriteBatch::take(self.items, table, waiting);
                    if waiting.is_empty() {
                        self.pending.remove(&table);
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
        self.calls.spawn(self.writer.clone().call(job, Arc::clone(self.items), permit, self.deadline));
        let figures = &mut self.report.figures;
        figures.calls += 1;
        figures.most_in_flight = figures.most_in_flight.max(self.calls.len());
    }

    fn on_completed(&mut self, CallEnd { job, result, latency, bytes }: CallEnd, now: Instant) {
        let figures = &mut self.report.figures;
        figures.latencies.push(latency);
        figures.bytes += bytes;
        match result {
            Ok(response) => {
                figures.write_units += response.write_units;
                figures.unprocessed_items += response.unprocessed.len();
                let (again, stored) = self.divide(job.items(), &response.unprocessed);
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
                _ => self.reject(job.items(), &said),
            },
            Err(CallError::StaleVersion) => self.end(job.items(), &WriteOutcome::Superseded),
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

    /// Ends an item that can never be written. Those it stood in for are then to be written as if it had not been there: a
    /// good message must not go down with a bad one of its key.
    fn reject(&mut self, alone: &[Index], said: &str) {
        for index in alone {
            let mut others = self.superseded.remove(index).unwrap_or_default();
            others.extend(self.followers.remove(index).unwrap_or_default());
            self.adopt(Distinct::of(self.items, others.into_iter()));
        }
        self.end(alone, &WriteOutcome::Rejected(said.into()));
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
            if let Some(followers) = self.followers.remove(&index) {
                self.enqueue(followers);
            }
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
