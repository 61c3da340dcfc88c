//! What each response means for the items of its call: their end, another attempt, or a doubt that others settle.

use super::{RetryLoop, items_of, set};
use crate::clock;
use crate::dynamodb::batch::{Distinct, Index};
use crate::dynamodb::mapping::TableId;
use crate::dynamodb::response::{Blame, CallError, Throttle, WriteResponse};
use crate::dynamodb::writer::backoff::Backoff;
use crate::dynamodb::writer::delayed::Waiting;
use crate::dynamodb::writer::order::lets_pass;
use crate::dynamodb::writer::queue::{Failure, Job};
use crate::dynamodb::writer::{CallEnd, WriteOutcome};
use std::sync::Arc;
use tokio::time::Instant;

/// So many items that are refused for an operator's cause, at a table that has taken nothing, are no matter of single keys: as
/// many as a call has.
const DOUBTS_ARE_CERTAIN: usize = crate::dynamodb::batch::MAX_BATCH_ITEMS;

impl RetryLoop<'_> {
    pub(super) fn on_completed(&mut self, CallEnd { job, result, latency }: CallEnd, now: Instant) {
        self.report.figures.latencies.extend(latency);
        if !matches!(result, Err(CallError::Broken(_) | CallError::TimedOut(_))) {
            for &index in job.items() {
                if let Some(unanswered) = self.unanswered.get_mut(index) {
                    *unanswered = unanswered.saturating_sub(1);
                }
            }
        }
        let Some(table) = job.items().first().and_then(|&index| self.item(index)).map(|item| item.table) else {
            return;
        };
        if matches!(result, Ok(_) | Err(CallError::StaleVersion)) {
            self.table_has_taken(table);
        }
        if !matches!(result, Err(CallError::NotSent(_) | CallError::Refused(_))) {
            self.set_tried(job.items());
        }
        match result {
            Ok(response) => self.on_written(table, &job, &response, now),
            Err(CallError::StaleVersion) => {
                self.accept_keys(job.items());
                self.end(job.items(), &WriteOutcome::Superseded);
            }
            Err(CallError::Throttled(throttle)) => {
                self.report.figures.count_throttle(throttle, 1);
                let failure = match throttle {
                    Throttle::Table | Throttle::Index | Throttle::Account => Failure::Throttle,
                    Throttle::HotPartition | Throttle::Unknown => Failure::Other,
                };
                self.retry(table, job, failure, throttle.name(), now);
            }
            Err(CallError::NotSent(cause)) => self.send_later(table, job, &cause, now),
            Err(CallError::Broken(cause)) => {
                let Some(job) = self.leave_ambiguous(job, &cause) else { return };
                // a connection that died while the environment was frozen fails at once and costs one try
                if self.attempts_of(job.items()) <= 1 {
                    self.note(job.items(), &cause);
                    self.delay(table, Waiting::Job(job), now);
                } else {
                    self.retry(table, job, Failure::Other, &cause, now);
                }
            }
            Err(CallError::Transient(cause)) => self.retry(table, job, Failure::Other, &cause, now),
            Err(CallError::TimedOut(cause)) => {
                let job = self.leave_ambiguous(job, &cause);
                job.into_iter().for_each(|job| self.retry(table, job, Failure::Timeout, &cause, now));
            }
            Err(CallError::Refused(refusal)) => match refusal.blame {
                Blame::Item => {
                    if !self.halve(table, &job) {
                        self.reject(job.items(), &refusal.said);
                    }
                }
                Blame::ItemOrMapping | Blame::Key => self.suspect(table, &job, refusal),
                Blame::Operator => self.doubt(table, &job, refusal.said),
            },
            Err(CallError::ConditionFailed { .. }) => {
                let cause = "its condition failed, and the stored item does not say why";
                self.retry(table, job, Failure::Other, cause, now);
            }
            Err(CallError::Fatal(cause)) => {
                self.break_table(table, &cause);
                self.end(job.items(), &WriteOutcome::Refused(cause));
            }
        }
        self.judge(false);
    }

    fn on_written(&mut self, table: TableId, job: &Job, response: &WriteResponse, now: Instant) {
        let figures = &mut self.report.figures;
        figures.write_units += response.write_units;
        figures.unprocessed_items += response.unprocessed.len();
        // DynamoDB returns items for want of the table's throughput, and names no other limit
        figures.count_throttle(Throttle::Table, response.unprocessed.len());
        let (unprocessed, stored) = self.divide(job.items(), &response.unprocessed);
        self.accept(&stored);
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

    /// Makes a call later that could not be sent: it was no attempt, and is not divided.
    fn send_later(&mut self, table: TableId, mut job: Job, cause: &str, now: Instant) {
        self.note(job.items(), cause);
        for &index in job.items() {
            if let Some(attempts) = self.attempts.get_mut(index) {
                *attempts = attempts.saturating_sub(1);
                self.report.figures.retried_items -= usize::from(*attempts > 0);
            }
        }
        job.unsent = job.unsent.saturating_add(1);
        let due = now + (self.writer.jitter)(Backoff::TRANSIENT.longest(job.unsent));
        self.delay(table, Waiting::Job(job), due);
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
        self.release_other_groups(&ambiguous);
        job.without(&ambiguous)
    }

    /// Lets go what waits for items that are left unfinished, or is stood for by them, only because two groups write one key.
    /// Groups have no order among them: one that gets no response must not hold up another. Versions have an order whatever
    /// their groups: what waits for one keeps its place, or a late put would outlast the deletion of a newer version.
    fn release_other_groups(&mut self, ambiguous: &[Index]) {
        for &index in ambiguous {
            let item = self.item(index);
            let (Some(fifo), Some(item)) = (&mut self.fifo, item) else { continue };
            if self.items.version(item).is_some() {
                continue;
            }
            let key = (item.table, self.items.key(item));
            if fifo.active.get(&key) == Some(&index) {
                fifo.active.remove(&key);
            }
            let items = self.items.as_slice();
            let is_own = |other: &Index| items.get(*other).is_some_and(|other| other.message == item.message);
            let mut released = Vec::new();
            for waiting in [&mut self.superseded, &mut self.followers] {
                let (own, others): (Vec<_>, Vec<_>) =
                    waiting.remove(&index).unwrap_or_default().into_iter().partition(is_own);
                if !own.is_empty() {
                    waiting.insert(index, own);
                }
                released.extend(others);
            }
            self.enqueue_distinct(self.released(released));
        }
    }

    /// What to write of items of one key that have waited, those of several groups in the order of the event.
    fn released(&self, mut waited: Vec<Index>) -> Distinct {
        waited.sort_unstable();
        Distinct::of(self.items, waited.into_iter())
    }

    /// Whether an item is left unfinished by a call without a response: something newer must be written after it, and the call
    /// may be applied even after that. In a FIFO group no version guards an item: what comes after it may be a deletion, which
    /// leaves nothing to compare with, or have the same version.
    pub(super) fn is_final_if_ambiguous(&self, index: Index) -> bool {
        self.fifo.is_some() || self.followers.contains_key(&index)
    }

    /// Sends the halves of a call at once. False if an item stands alone.
    pub(super) fn halve(&mut self, table: TableId, job: &Job) -> bool {
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
    pub(super) fn reject(&mut self, alone: &[Index], said: &str) {
        for index in alone {
            let others = self.superseded.remove(index).unwrap_or_default();
            let followers = self.followers.entry(*index).or_default();
            let behind = std::mem::replace(followers, others);
            followers.extend(behind);
        }
        self.end(alone, &WriteOutcome::Rejected(said.into()));
    }

    /// An item that failed alone may be the one that is denied, or the whole table is. It is the item if others get through.
    fn doubt(&mut self, table: TableId, job: &Job, said: Box<str>) {
        if self.halve(table, job) {
            return;
        }
        let (Some(queue), Some(&index)) = (self.tables.get_mut(table.index()), job.items().first()) else { return };
        let has_taken = queue.has_taken;
        if !has_taken {
            queue.doubtful.push((index, said.clone()));
        }
        let is_certain = queue.doubtful.len() >= DOUBTS_ARE_CERTAIN;
        self.set_tried(&[index]);
        if has_taken {
            self.end(&[index], &WriteOutcome::Refused(said));
        } else if is_certain {
            self.end_doubtful_of(table);
        }
    }

    /// The table may be written to: only items that failed alone are denied.
    fn table_has_taken(&mut self, table: TableId) {
        let Some(queue) = self.tables.get_mut(table.index()) else { return };
        queue.has_taken = true;
        for (index, said) in std::mem::take(&mut queue.doubtful) {
            self.end(&[index], &WriteOutcome::Refused(said));
        }
    }

    /// Ends what failed alone, when nothing else is under way. True if there was any.
    pub(super) fn end_doubtful(&mut self) -> bool {
        let is_judged = self.judge(true);
        let doubtful: Vec<usize> = (0..self.tables.len())
            .filter(|&table| self.tables.get(table).is_some_and(|queue| !queue.doubtful.is_empty()))
            .collect();
        doubtful.iter().for_each(|&table| self.end_doubtful_of(TableId::new(table)));
        is_judged || !doubtful.is_empty()
    }

    /// The same at the end of the time, which other tables may have taken: of tables at which nothing else was still tried.
    pub(super) fn end_doubtful_at_quiet_tables(&mut self) {
        for table in (0..self.tables.len()).map(TableId::new) {
            let Some(queue) = self.tables.get(table.index()) else { continue };
            let is_doubtful = |index: Index| queue.doubtful.iter().any(|(doubtful, _)| *doubtful == index);
            // what could not be sent has a cause and no attempt
            let is_tried = |index: usize| {
                self.attempts.get(index).is_some_and(|attempts| *attempts > 0)
                    || self.causes.get(index).is_some_and(Option::is_some)
            };
            let ends = self.items.as_slice().iter().zip(&self.report.outcomes).enumerate();
            let mut open = ends.filter(|(index, (item, end))| {
                item.table == table && is_tried(*index) && matches!(end, WriteOutcome::Unfinished(_))
            });
            if open.all(|(index, _)| is_doubtful(index)) {
                self.end_doubtful_of(table);
            }
        }
    }

    /// Nothing gets through to this table: an operator must fix it, and no item is to blame.
    fn end_doubtful_of(&mut self, table: TableId) {
        let Some(queue) = self.tables.get_mut(table.index()) else { return };
        for (index, cause) in std::mem::take(&mut queue.doubtful) {
            self.break_table(table, &cause);
            self.end(&[index], &WriteOutcome::Refused(cause));
        }
    }

    fn break_table(&mut self, table: TableId, cause: &str) {
        if let Some(queue) = self.tables.get_mut(table.index()) {
            queue.broken.get_or_insert_with(|| cause.into());
        }
        let name = self.writer.table(table);
        self.report.fatal.get_or_insert_with(|| format!("table {name}: {cause}").into());
    }

    pub(super) fn note(&mut self, items: &[Index], cause: &str) {
        let cause: Arc<str> = cause.into();
        for &index in items {
            if let Some(slot) = self.causes.get_mut(index) {
                *slot = Some(Arc::clone(&cause));
            }
        }
    }

    /// Ends items, and lets go what waited for them.
    pub(super) fn end(&mut self, items: &[Index], outcome: &WriteOutcome) {
        if !items.is_empty() {
            self.ended_at = clock::now();
        }
        self.set_tried(items);
        for &index in items {
            set(&mut self.report.outcomes, index, outcome.clone());
            let Some(item) = self.item(index) else { continue };
            if !lets_pass(outcome) {
                // it may be written when it comes again, and what waits for it must not be written before
                self.release_other_groups(&[index]);
                continue;
            }
            // those it stands for may be of other messages, each in a group of its own
            let ended = self.with_superseded(index);
            let mut next = Vec::new();
            if let Some(fifo) = &mut self.fifo {
                let key = (item.table, self.items.key(item));
                if fifo.active.get(&key) == Some(&index) {
                    fifo.active.remove(&key);
                }
                let ended = ended.into_iter().filter_map(|index| self.items.as_slice().get(index));
                next.extend(ended.filter_map(|item| fifo.order.item_ended(item.message)));
            }
            if let Some(followers) = self.followers.remove(&index) {
                self.enqueue_distinct(self.released(followers));
            }
            for message in next {
                self.enqueue_distinct(self.distinct(items_of(self.items, message)));
            }
        }
    }

    /// An item, those it stands for, those that they stood for before, and so on.
    pub(super) fn with_superseded(&self, index: Index) -> Vec<Index> {
        let mut all = vec![index];
        let mut next = 0;
        while let Some(index) = all.get(next) {
            all.extend(self.superseded.get(index).into_iter().flatten());
            next += 1;
        }
        all
    }
}
