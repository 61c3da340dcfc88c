//! What waits to be sent to one table: first attempts go before repeated ones, and what failed is divided. Pure.

use super::super::batch::{Index, WriteBatch};
use super::super::item::Items;
use super::super::mapping::TableId;
use std::collections::VecDeque;

/// After so many failures in a row a call is halved: one of its items may be what fails, and its neighbours must not wait.
const FAILURES_BEFORE_HALVING: u8 = 2;
/// The same where the table itself is throttled. Smaller calls help little there, but an item's own throttle may look like it.
const THROTTLES_BEFORE_HALVING: u8 = 4;

/// One call to be made.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) write: JobWrite,
    /// How often it failed in a row.
    pub(super) failures: u8,
    /// It is a part of a call that failed.
    pub(super) is_part: bool,
    /// How often it could not be sent.
    pub(super) unsent: u8,
}

/// What a call carries.
#[derive(Debug, Clone)]
pub(super) enum JobWrite {
    Batch(WriteBatch),
    /// An item that only a condition may write.
    Conditional(Index),
}

/// How a call failed that may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The table, an index or the account is throttled as a whole.
    Throttle,
    /// There was no response in time, which costs long.
    Timeout,
    Other,
}

impl Job {
    pub(super) fn new(write: JobWrite) -> Self {
        Self { write, failures: 0, is_part: false, unsent: 0 }
    }

    pub(super) fn items(&self) -> &[Index] {
        match &self.write {
            JobWrite::Batch(batch) => batch.items(),
            JobWrite::Conditional(index) => std::slice::from_ref(index),
        }
    }

    /// What is left of it without some of its items.
    pub(super) fn without(mut self, items: &[Index]) -> Option<Self> {
        self.write = match self.write {
            JobWrite::Batch(batch) => JobWrite::Batch(batch.without(items)?),
            JobWrite::Conditional(index) if items.contains(&index) => return None,
            JobWrite::Conditional(index) => JobWrite::Conditional(index),
        };
        Some(self)
    }

    /// Its halves. `None` if an item stands alone.
    pub(super) fn halves(&self) -> Option<[Self; 2]> {
        let JobWrite::Batch(batch) = &self.write else { return None };
        Some(batch.halves()?.map(|half| Self { write: JobWrite::Batch(half), failures: 0, is_part: true, unsent: 0 }))
    }

    /// What to send after it failed again: itself, or its halves.
    pub(super) fn after(mut self, failure: Failure) -> Vec<Self> {
        self.failures = self.failures.saturating_add(1);
        let patience = match failure {
            Failure::Throttle => THROTTLES_BEFORE_HALVING,
            Failure::Timeout if self.is_part => 1,
            Failure::Timeout | Failure::Other => FAILURES_BEFORE_HALVING,
        };
        match self.halves() {
            Some(halves) if self.failures >= patience => halves.into(),
            _ => vec![self],
        }
    }
}

/// What waits to be sent to one table.
#[derive(Debug, Default)]
pub(super) struct TableQueue {
    /// Items that were never sent and go in batches.
    first: VecDeque<Index>,
    /// Items, by failure scope, that share a call only with those of the same one.
    apart: VecDeque<(usize, VecDeque<Index>)>,
    /// Items that were never sent and go alone.
    conditional: VecDeque<Index>,
    /// Items that came back unprocessed.
    unprocessed: VecDeque<Index>,
    /// Calls that failed.
    repeated: VecDeque<Job>,
    /// Why no call can write to the table.
    pub(super) broken: Option<Box<str>>,
    /// Whether the table has taken a call.
    pub(super) has_taken: bool,
    /// Items that were refused alone for an operator's cause while the table has taken no call, and the cause: it is the whole
    /// table's if no other item gets through.
    pub(super) doubtful: Vec<(Index, Box<str>)>,
}

impl TableQueue {
    pub(super) fn push(&mut self, index: Index, is_conditional: bool) {
        if is_conditional { self.conditional.push_back(index) } else { self.first.push_back(index) }
    }

    /// An item that shares a call only with those of the same `scope`: a call without a response is not repeated for it, so
    /// that a neighbour that never gets one would keep it from being written each time.
    pub(super) fn push_apart(&mut self, index: Index, scope: usize) {
        match self.apart.back_mut() {
            Some((last, items)) if *last == scope => items.push_back(index),
            _ => self.apart.push_back((scope, VecDeque::from([index]))),
        }
    }

    pub(super) fn push_unprocessed(&mut self, items: Vec<Index>) {
        self.unprocessed.extend(items);
    }

    /// A call that failed, after its backoff.
    pub(super) fn push_repeated(&mut self, job: Job) {
        self.repeated.push_back(job);
    }

    /// The halves of a call that one of its items has failed: they go before other repeated ones, so that the item is found
    /// before the next such call is divided.
    pub(super) fn push_halves(&mut self, halves: [Job; 2]) {
        halves.into_iter().rev().for_each(|half| self.repeated.push_front(half));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty()
            && self.apart.is_empty()
            && self.conditional.is_empty()
            && self.unprocessed.is_empty()
            && self.repeated.is_empty()
    }

    /// The next call: first attempts before repeated ones.
    pub(super) fn pop(&mut self, items: &Items, table: TableId) -> Option<Job> {
        if let Some(batch) = WriteBatch::take(items, table, &mut self.first) {
            return Some(Job::new(JobWrite::Batch(batch)));
        }
        while let Some((_, apart)) = self.apart.front_mut() {
            if let Some(batch) = WriteBatch::take(items, table, apart) {
                return Some(Job::new(JobWrite::Batch(batch)));
            }
            self.apart.pop_front();
        }
        if let Some(index) = self.conditional.pop_front() {
            return Some(Job::new(JobWrite::Conditional(index)));
        }
        if let Some(batch) = WriteBatch::take(items, table, &mut self.unprocessed) {
            return Some(Job::new(JobWrite::Batch(batch)));
        }
        self.repeated.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamodb::item::{ItemEncoder, Operation};
    use crate::dynamodb::mapping::Mapping;
    use crate::dynamodb::sample_fields::SampleFields;
    use crate::record::{RecordVisitor, SubjectId};
    use std::time::Duration;

    /// A call of four items that was never sent.
    fn call_of_four() -> Job {
        let mappings = [(TableId::new(0), Mapping::parse(None, "orders", &SampleFields).unwrap())];
        let mut encoder = ItemEncoder::new(&mappings, Duration::ZERO, 0);
        encoder.start_message(0, "m", Operation::Put);
        for index in 0..4 {
            encoder.begin(SubjectId(0), Some(index)).unwrap();
            encoder.record_start().unwrap();
            encoder.record_end().unwrap();
            encoder.finish().unwrap();
        }
        let batch = WriteBatch::take(&encoder.finish_event(), TableId::new(0), &mut (0..4).collect());
        Job::new(JobWrite::Batch(batch.unwrap()))
    }

    #[test]
    fn a_call_is_halved_the_second_time_it_fails_and_a_part_without_response_at_once() {
        let sizes = |failures, is_part, failure| {
            let jobs = Job { failures, is_part, ..call_of_four() }.after(failure);
            jobs.iter().map(|job| job.items().len()).collect::<Vec<_>>()
        };
        for is_part in [false, true] {
            assert_eq!(sizes(0, is_part, Failure::Other), [4]);
            assert_eq!(sizes(1, is_part, Failure::Other), [2, 2]);
            assert_eq!(sizes(2, is_part, Failure::Throttle), [4], "smaller calls help a throttled table little");
            assert_eq!(sizes(3, is_part, Failure::Throttle), [2, 2]);
        }
        assert_eq!(sizes(0, false, Failure::Timeout), [4]);
        assert_eq!(sizes(1, false, Failure::Timeout), [2, 2]);
        assert_eq!(sizes(0, true, Failure::Timeout), [2, 2], "it costs two seconds each time");
    }
}
