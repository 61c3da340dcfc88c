//! The writes of one event: what is sent when, and what each response means for its items.

use super::super::batch::{Distinct, Index};
use super::super::item::{Item, Items};
use super::super::mapping::TableId;
use super::super::response::{CallError, Throttle, WriteResponse};
use super::backoff::Backoff;
use super::delayed::{Delayed, Waiting};
use super::order::{Group, GroupOrder, lets_pass};
use super::queue::{Doubt, Failure, Job, TableQueue};
use super::{CallEnd, WriteOutcome, WriteReport, Writer};
use crate::clock;
use crate::limiter::{ConcurrencyLimiter, Permit, any_permit};
use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// A call starts while the bodies in flight have fewer bytes: the most of one call. So there are never more than twice as many.
const MAX_BYTES_IN_FLIGHT: usize = super::super::batch::MAX_BATCH_BYTES;

/// So many items that no key fits the table's, and nothing it has taken, are the mapping's mistake, not theirs: as many as a
/// call has.
const DOUBTS_ARE_CERTAIN: usize = super::super::batch::MAX_BATCH_ITEMS;

/// The writes of one event, under way.
pub(super) struct RetryLoop<'w> {
    writer: &'w Writer,
    items: &'w Arc<Items>,
    deadline: Instant,
    /// What waits to be sent, by table.
    tables: Vec<TableQueue>,
    /// The table whose turn is next.
    turn: usize,
    /// The items that each one to be written stands in for.
    superseded: HashMap<Index, Vec<Index>>,
    /// The items of its key that wait for the end of one to be written.
    followers: HashMap<Index, Vec<Index>>,
    /// Of a FIFO queue, the order within its groups, and which item of each key is to be written.
    fifo: Option<Fifo<'w>>,
    delayed: BinaryHeap<Reverse<Delayed>>,
    calls: JoinSet<CallEnd>,
    bytes_in_flight: usize,
    /// How often each item was sent.
    attempts: Vec<u8>,
    /// Why each item's last call failed.
    causes: Vec<Option<Arc<str>>>,
    report: WriteReport,
}

struct Fifo<'w> {
    groups: &'w [Group],
    order: GroupOrder,
    /// The item of each key that is not at its end. Two groups may write one key.
    active: HashMap<(TableId, &'w [u8]), Index>,
}

impl<'w> RetryLoop<'w> {
    /// The writes of all `items` of a queue without order, or those of a FIFO queue in the order of its `groups`.
    pub(super) fn new(
        writer: &'w Writer,
        items: &'w Arc<Items>,
        groups: Option<&'w [Group]>,
        deadline: Instant,
    ) -> Self {
        let count = items.as_slice().len();
        let mut run = Self {
            writer,
            items,
            deadline,
            tables: writer.limiters.iter().map(|_| TableQueue::default()).collect(),
            turn: 0,
            superseded: HashMap::new(),
            followers: HashMap::new(),
            fifo: None,
            delayed: BinaryHeap::new(),
            calls: JoinSet::new(),
            bytes_in_flight: 0,
            attempts: vec![0; count],
            causes: vec![None; count],
            report: WriteReport {
                outcomes: vec![WriteOutcome::unfinished("there was no time to write it"); count],
                ..WriteReport::default()
            },
        };
        match groups {
            None => run.enqueue_distinct(Distinct::of(items, 0..count)),
            Some(groups) => {
                let order = GroupOrder::new(groups, |message| items_of(items, message).len());
                let firsts: Vec<usize> = groups.iter().filter_map(|group| order.first_of(group)).collect();
                run.fifo = Some(Fifo { groups, order, active: HashMap::new() });
                for message in firsts {
                    run.enqueue_distinct(Distinct::of(items, items_of(items, message)));
                }
            }
        }
        run
    }

    fn enqueue_distinct(&mut self, Distinct { winners, superseded, followers }: Distinct) {
        self.superseded.extend(superseded);
        for (index, behind) in followers {
            self.followers.entry(index).or_default().extend(behind);
        }
        self.enqueue(winners);
    }

    fn enqueue(&mut self, items: Vec<Index>) {
        for index in items {
            let Some(item) = self.item(index) else { continue };
            if let Some(fifo) = &mut self.fifo {
                match fifo.active.entry((item.table, self.items.key(item))) {
                    Entry::Occupied(other) => {
                        self.followers.entry(*other.get()).or_default().push(index);
                        continue;
                    }
                    Entry::Vacant(free) => {
                        free.insert(index);
                    }
                }
            }
            let (is_conditional, is_final) = (self.items.is_conditional(item), self.is_final_if_ambiguous(index));
            match self.tables.get_mut(item.table.index()) {
                Some(queue) if is_final && !is_conditional => queue.push_apart(index, item.message),
                Some(queue) => queue.push(index, is_conditional),
                None => {}
            }
        }
    }

    /// Returns when each item has its end or the deadline is there.
    pub(super) async fn finish(mut self) -> WriteReport {
        self.write_all().await;
        for (outcome, cause) in self.report.outcomes.iter_mut().zip(&self.causes) {
            if let (WriteOutcome::Unfinished(_), Some(cause)) = (&*outcome, cause) {
                *outcome = WriteOutcome::Unfinished(cause.to_string().into());
            }
        }
        let Self { mut report, superseded, fifo, items, .. } = self;
        for (winner, losers) in superseded {
            let end = match report.outcomes.get(winner) {
                Some(WriteOutcome::Stored | WriteOutcome::Superseded) => WriteOutcome::Superseded,
                // the winner is not durable, so these must come again
                Some(WriteOutcome::Rejected(_)) | None => {
                    WriteOutcome::unfinished("the item that stood in its place was rejected")
                }
                Some(other) => other.clone(),
            };
            losers.into_iter().for_each(|loser| set(&mut report.outcomes, loser, end.clone()));
        }
        if let Some(Fifo { groups, .. }) = fifo {
            block(groups, items, &mut report.outcomes);
        }
        report
    }

    async fn write_all(&mut self) {
        loop {
            let now = clock::now();
            if now >= self.deadline {
                return;
            }
            self.requeue_due(now);
            self.start_all();
            let waiting = self.waiting_tables();
            let due = self.delayed.peek().map(|Reverse(delayed)| delayed.due);
            if waiting.is_empty() && due.is_none() && self.calls.is_empty() {
                if self.end_doubtful() {
                    continue;
                }
                return;
            }
            let has_room = self.bytes_in_flight < MAX_BYTES_IN_FLIGHT;
            let writer = self.writer;
            let limiters = waiting.iter().filter_map(|&table| Some((table, writer.limiters.get(table)?)));
            tokio::select! {
                biased;
                () = sleep_until(self.deadline) => return,
                Some(end) = self.calls.join_next() => {
                    // a call that panicked has left its items as they were: unfinished
                    if let Ok(end) = end {
                        self.on_completed(end, clock::now());
                    }
                }
                (table, permit) = any_permit(limiters), if has_room && !waiting.is_empty() => self.start(table, permit),
                () = until(due) => {}
            }
        }
    }

    /// Lets what has waited long enough go again.
    fn requeue_due(&mut self, now: Instant) {
        while self.delayed.peek().is_some_and(|Reverse(delayed)| delayed.due <= now) {
            let Some(Reverse(Delayed { table, what, .. })) = self.delayed.pop() else { return };
            let (apart, shared) = match &what {
                Waiting::Unprocessed(items) => items.iter().partition(|index| self.is_final_if_ambiguous(**index)),
                Waiting::Job(_) => (Vec::new(), Vec::new()),
            };
            let items = self.items.as_slice();
            let Some(queue) = self.tables.get_mut(table.index()) else { continue };
            match what {
                Waiting::Job(job) => queue.push_repeated(job),
                Waiting::Unprocessed(_) => {
                    queue.push_unprocessed(shared);
                    for index in apart {
                        items.get(index).into_iter().for_each(|item| queue.push_apart(index, item.message));
                    }
                }
            }
        }
    }

    /// Tables with something to send.
    fn waiting_tables(&self) -> Vec<usize> {
        (0..self.tables.len()).filter(|&table| self.tables.get(table).is_some_and(|queue| !queue.is_empty())).collect()
    }

    /// Starts whatever may start now, the tables in turn.
    fn start_all(&mut self) {
        let count = self.tables.len();
        let mut idle = 0;
        while idle < count && self.bytes_in_flight < MAX_BYTES_IN_FLIGHT {
            let table = self.turn % count;
            self.turn = table + 1;
            let is_waiting = self.tables.get(table).is_some_and(|queue| !queue.is_empty());
            match self.writer.limiters.get(table).filter(|_| is_waiting).and_then(ConcurrencyLimiter::try_acquire) {
                Some(permit) => {
                    self.start(table, permit);
                    idle = 0;
                }
                None => idle += 1,
            }
        }
    }

    fn start(&mut self, table: usize, permit: Permit) {
        let Some(queue) = self.tables.get_mut(table) else { return };
        let Some(job) = queue.pop(self.items, TableId::new(table)) else { return };
        if let Some(cause) = queue.broken.clone() {
            self.end(job.items(), &WriteOutcome::Refused(cause));
            return;
        }
        for &index in job.items() {
            if let Some(attempts) = self.attempts.get_mut(index) {
                self.report.figures.retried_items += usize::from(*attempts > 0);
                *attempts = attempts.saturating_add(1);
            }
        }
        self.bytes_in_flight += Writer::body_bytes(&job, self.items);
        self.calls.spawn(self.writer.clone().call(job, Arc::clone(self.items), permit, self.deadline));
        let figures = &mut self.report.figures;
        figures.calls += 1;
        figures.most_in_flight = figures.most_in_flight.max(self.calls.len());
    }

    fn on_completed(&mut self, CallEnd { job, result, latency, bytes, body_bytes }: CallEnd, now: Instant) {
        self.bytes_in_flight = self.bytes_in_flight.saturating_sub(body_bytes);
        let figures = &mut self.report.figures;
        figures.latencies.push(latency);
        figures.bytes += bytes;
        let Some(table) = job.items().first().and_then(|&index| self.item(index)).map(|item| item.table) else {
            return;
        };
        if matches!(result, Ok(_) | Err(CallError::StaleVersion)) {
            self.table_has_taken(table);
        }
        match result {
            Ok(response) => self.on_written(table, &job, &response, now),
            Err(CallError::StaleVersion) => self.end(job.items(), &WriteOutcome::Superseded),
            Err(CallError::Throttled(throttle)) => {
                self.report.figures.count_throttle(throttle, 1);
                let failure = match throttle {
                    Throttle::Table | Throttle::Index | Throttle::Account => Failure::Throttle,
                    Throttle::HotPartition | Throttle::Unknown => Failure::Other,
                };
                self.retry(table, job, failure, throttle.name(), now);
            }
            Err(CallError::Transient { connection, cause }) => {
                // a connection that died while the environment was frozen fails at once and costs one try
                if connection && self.attempts_of(job.items()) <= 1 {
                    self.note(job.items(), &cause);
                    self.delay(table, Waiting::Job(job), now);
                } else {
                    let job = if connection { self.leave_ambiguous(job, &cause) } else { Some(job) };
                    job.into_iter().for_each(|job| self.retry(table, job, Failure::Other, &cause, now));
                }
            }
            Err(CallError::TimedOut) => {
                let cause = "no response in time";
                let job = self.leave_ambiguous(job, cause);
                job.into_iter().for_each(|job| self.retry(table, job, Failure::Timeout, cause, now));
            }
            Err(CallError::Invalid(said)) => {
                if !self.halve(table, &job) {
                    self.reject(job.items(), &said);
                }
            }
            Err(CallError::KeyMismatch(said)) => self.doubt(table, &job, Doubt::KeyMismatch(said)),
            Err(CallError::AccessDenied(said)) => self.doubt(table, &job, Doubt::AccessDenied(said)),
            Err(CallError::ConditionFailed { .. }) => {
                let cause = "its condition failed, and the stored item does not say why";
                self.retry(table, job, Failure::Other, cause, now);
            }
            Err(CallError::Fatal(cause)) => {
                self.end(job.items(), &WriteOutcome::Refused(cause.clone()));
                self.break_table(table, cause);
            }
        }
    }

    fn on_written(&mut self, table: TableId, job: &Job, response: &WriteResponse, now: Instant) {
        let figures = &mut self.report.figures;
        figures.write_units += response.write_units;
        figures.unprocessed_items += response.unprocessed.len();
        // DynamoDB returns items for want of the table's throughput, and names no other limit
        figures.count_throttle(Throttle::Table, response.unprocessed.len());
        let (unprocessed, stored) = self.divide(job.items(), &response.unprocessed);
        self.end(&stored, &WriteOutcome::Stored);
        if !unprocessed.is_empty() {
            self.note(&unprocessed, "returned unprocessed");
            let due = now + self.backoff(Backoff::THROTTLE, &unprocessed);
            self.delay(table, Waiting::Unprocessed(unprocessed), due);
        }
    }

    /// Divides the items of a call into those returned unprocessed and those stored. If any key returned is not among them,
    /// none counts as stored.
    fn divide(&self, sent: &[Index], unprocessed: &[Vec<u8>]) -> (Vec<Index>, Vec<Index>) {
        if unprocessed.is_empty() {
            return (Vec::new(), sent.to_vec());
        }
        let is_unprocessed = |&index: &Index| {
            let key = self.item(index).map(|item| self.items.key(item));
            key.is_none_or(|key| unprocessed.iter().any(|other| other == key))
        };
        let (again, stored): (Vec<_>, Vec<_>) = sent.iter().copied().partition(is_unprocessed);
        if again.len() == unprocessed.len() { (again, stored) } else { (sent.to_vec(), Vec::new()) }
    }

    /// Sends a call again after a backoff, divided if it has failed often.
    fn retry(&mut self, table: TableId, job: Job, failure: Failure, cause: &str, now: Instant) {
        tracing::debug!(cause, items = job.items().len(), "write call failed");
        self.note(job.items(), cause);
        let base = if failure == Failure::Throttle { Backoff::THROTTLE } else { Backoff::TRANSIENT };
        let due = now + self.backoff(base, job.items());
        for job in job.after(failure) {
            self.delay(table, Waiting::Job(job), due);
        }
    }

    /// Leaves those items of a call unfinished that must not be sent again. Gives what is left of the call.
    fn leave_ambiguous(&mut self, job: Job, cause: &str) -> Option<Job> {
        let is_final = |&index: &Index| self.is_final_if_ambiguous(index);
        let ambiguous: Vec<Index> = job.items().iter().copied().filter(is_final).collect();
        if ambiguous.is_empty() {
            return Some(job);
        }
        self.note(&ambiguous, cause);
        job.without(&ambiguous)
    }

    /// Whether an item is left unfinished by a call without a response: something newer must be written after it, and the call
    /// may be applied even after that. In a FIFO group only a version guards an item.
    fn is_final_if_ambiguous(&self, index: Index) -> bool {
        let is_guarded = self.item(index).is_some_and(|item| self.items.version(item).is_some());
        (self.fifo.is_some() && !is_guarded) || self.followers.contains_key(&index)
    }

    /// Sends the halves of a call at once. False if an item stands alone.
    fn halve(&mut self, table: TableId, job: &Job) -> bool {
        match (job.halves(), self.tables.get_mut(table.index())) {
            (Some(halves), Some(queue)) => {
                queue.push_halves(halves);
                true
            }
            _ => false,
        }
    }

    /// Ends an item that can never be written. Those it stood in for are then to be written as if it had not been there: a
    /// good message must not go down with a bad one of its key.
    fn reject(&mut self, alone: &[Index], said: &str) {
        for index in alone {
            let others = self.superseded.remove(index).unwrap_or_default();
            let followers = self.followers.entry(*index).or_default();
            let behind = std::mem::replace(followers, others);
            followers.extend(behind);
        }
        self.end(alone, &WriteOutcome::Rejected(said.into()));
    }

    /// An item that failed alone may be at fault, or the table's set-up. It is the item if others get through.
    fn doubt(&mut self, table: TableId, job: &Job, doubt: Doubt) {
        if self.halve(table, job) {
            return;
        }
        let (Some(queue), Some(&index)) = (self.tables.get_mut(table.index()), job.items().first()) else { return };
        if queue.has_taken {
            self.end_doubted(index, doubt);
            return;
        }
        queue.doubtful.push((index, doubt));
        if queue.doubtful.len() >= DOUBTS_ARE_CERTAIN {
            self.end_doubtful_of(table);
        }
    }

    fn end_doubted(&mut self, index: Index, doubt: Doubt) {
        match doubt {
            Doubt::KeyMismatch(said) => self.reject(&[index], &said),
            Doubt::AccessDenied(said) => self.end(&[index], &WriteOutcome::Refused(said)),
        }
    }

    /// The table's set-up is right: items that failed alone are at fault themselves.
    fn table_has_taken(&mut self, table: TableId) {
        let Some(queue) = self.tables.get_mut(table.index()) else { return };
        queue.has_taken = true;
        for (index, doubt) in std::mem::take(&mut queue.doubtful) {
            self.end_doubted(index, doubt);
        }
    }

    /// Ends what failed alone at tables that have taken nothing. True if there was any.
    fn end_doubtful(&mut self) -> bool {
        let doubtful: Vec<usize> = (0..self.tables.len())
            .filter(|&table| self.tables.get(table).is_some_and(|queue| !queue.doubtful.is_empty()))
            .collect();
        doubtful.iter().for_each(|&table| self.end_doubtful_of(TableId::new(table)));
        !doubtful.is_empty()
    }

    /// Nothing gets through to this table: an operator must fix it, and no item is to blame.
    fn end_doubtful_of(&mut self, table: TableId) {
        let Some(queue) = self.tables.get_mut(table.index()) else { return };
        for (index, doubt) in std::mem::take(&mut queue.doubtful) {
            let (Doubt::KeyMismatch(cause) | Doubt::AccessDenied(cause)) = doubt;
            self.break_table(table, cause.clone());
            self.end(&[index], &WriteOutcome::Refused(cause));
        }
    }

    fn break_table(&mut self, table: TableId, cause: Box<str>) {
        if let Some(queue) = self.tables.get_mut(table.index()) {
            queue.broken.get_or_insert_with(|| cause.clone());
        }
        self.report.fatal.get_or_insert(cause);
    }

    fn item(&self, index: Index) -> Option<&'w Item> {
        self.items.as_slice().get(index)
    }

    fn note(&mut self, items: &[Index], cause: &str) {
        let cause: Arc<str> = cause.into();
        for &index in items {
            if let Some(slot) = self.causes.get_mut(index) {
                *slot = Some(Arc::clone(&cause));
            }
        }
    }

    fn delay(&mut self, table: TableId, what: Waiting, due: Instant) {
        self.delayed.push(Reverse(Delayed { due, table, what }));
    }

    fn attempts_of(&self, items: &[Index]) -> u8 {
        items.iter().filter_map(|&index| self.attempts.get(index)).copied().max().unwrap_or_default()
    }

    fn backoff(&self, backoff: Backoff, items: &[Index]) -> Duration {
        (self.writer.jitter)(backoff.longest(self.attempts_of(items)))
    }

    /// Ends items, and lets go what waited for them.
    fn end(&mut self, items: &[Index], outcome: &WriteOutcome) {
        for &index in items {
            set(&mut self.report.outcomes, index, outcome.clone());
            let Some(item) = self.item(index) else { continue };
            let mut next = None;
            if let Some(fifo) = &mut self.fifo {
                let key = (item.table, self.items.key(item));
                if fifo.active.get(&key) == Some(&index) {
                    fifo.active.remove(&key);
                }
                if lets_pass(outcome) {
                    next = fifo.order.item_ended(item.message);
                    for _ in self.superseded.get(&index).into_iter().flatten() {
                        next = next.or(fifo.order.item_ended(item.message));
                    }
                }
            }
            if let Some(followers) = self.followers.remove(&index) {
                self.enqueue_distinct(Distinct::of(self.items, followers.into_iter()));
            }
            if let Some(message) = next {
                self.enqueue_distinct(Distinct::of(self.items, items_of(self.items, message)));
            }
        }
    }
}

/// The indexes of a message's items, which stand side by side.
fn items_of(items: &Items, message: usize) -> std::ops::Range<Index> {
    let start = items.as_slice().partition_point(|item| item.message < message);
    let end = items.as_slice().partition_point(|item| item.message <= message);
    start..end
}

/// Marks what was not written because of a message before it in its group.
fn block(groups: &[Group], items: &Items, outcomes: &mut [WriteOutcome]) {
    for group in groups {
        let mut is_blocked = false;
        for &message in group {
            let Some(outcomes) = outcomes.get_mut(items_of(items, message)) else { continue };
            if is_blocked {
                outcomes.fill(WriteOutcome::Blocked);
            }
            is_blocked |= !outcomes.iter().all(lets_pass);
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
