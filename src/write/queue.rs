//! Queues of the items that are ready to be sent to one table. The queues are called lanes, and first attempts go before
//! retries. Pure: no I/O, clock or randomness.
//!
//! A lane holds indexes and decides nothing. The items of a lane are those with the state `Ready` and that lane. An index
//! whose item has since changed its state is skipped.

use super::{ItemIndex, MessageIndex};
use crate::dynamodb::batch::MAX_BATCH_ITEMS;
use std::collections::VecDeque;

/// Number of consecutive failures after which a call is bisected. One of its items may cause the failures, and the others
/// must not wait for it.
const FAILURES_BEFORE_BISECTION: u8 = 2;
/// Number of consecutive throttles after which a call is bisected. Smaller calls hardly help a throttled table, but the
/// throttling of a single item's partition may look like that of the whole table.
const THROTTLES_BEFORE_BISECTION: u8 = 4;

/// The queue in which a ready item waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    /// First attempts of unconditional writes.
    Batch,
    /// First attempts of unconditional writes of a FIFO queue. Only items of the same message share a call. If one of them
    /// is not written, the message is returned anyway, and it must not cause the return of other messages.
    Message,
    /// First attempts of conditional writes. Each is a call of its own.
    Single,
    /// Items that DynamoDB returned unprocessed.
    Unprocessed,
    /// Calls that failed and are retried.
    Retry,
}

impl Lane {
    pub(super) const COUNT: usize = 5;
}

/// The items of one call, and the failures of the call so far.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct CallPlan {
    pub(super) items: Vec<ItemIndex>,
    pub(super) is_single: bool,
    /// Number of consecutive failures.
    pub(super) failures: u8,
    /// Whether it is a part of a call that failed.
    pub(super) is_divided: bool,
    /// Number of times that it could not be sent.
    pub(super) unsent: u8,
}

/// The kind of a retryable failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The table, an index or the account is throttled as a whole.
    Throttle,
    /// No response arrived before the timeout. No other failure takes as long.
    Timeout,
    /// Any other failure.
    Other,
}

impl CallPlan {
    pub(super) fn batch(items: Vec<ItemIndex>) -> Self {
        Self { items, is_single: false, failures: 0, is_divided: false, unsent: 0 }
    }

    pub(super) fn single(item: ItemIndex) -> Self {
        Self { is_single: true, ..Self::batch(vec![item]) }
    }

    /// Splits the plan into halves. Returns `None` if it has only one item.
    pub(super) fn halves(&self) -> Option<[Self; 2]> {
        let (first, second) = self.items.split_at_checked(self.items.len().div_ceil(2))?;
        let half = |items: &[ItemIndex]| Self { is_divided: true, ..Self::batch(items.to_vec()) };
        (!second.is_empty()).then(|| [half(first), half(second)])
    }

    /// Returns the plans to send after the plan has failed once more: the plan itself, or its halves.
    pub(super) fn after(mut self, failure: Failure) -> Vec<Self> {
        self.failures = self.failures.saturating_add(1);
        let patience = match failure {
            Failure::Throttle => THROTTLES_BEFORE_BISECTION,
            Failure::Timeout if self.is_divided => 1,
            Failure::Timeout | Failure::Other => FAILURES_BEFORE_BISECTION,
        };
        match self.halves() {
            Some(halves) if self.failures >= patience => halves.into(),
            _ => vec![self],
        }
    }
}

/// The items that are ready to be sent to one table.
#[derive(Debug, Clone, Default)]
pub(super) struct TableQueue {
    pub(super) batch: VecDeque<ItemIndex>,
    pub(super) messages: VecDeque<(MessageIndex, ItemIndex)>,
    pub(super) single: VecDeque<ItemIndex>,
    pub(super) unprocessed: VecDeque<ItemIndex>,
    pub(super) retries: VecDeque<CallPlan>,
    /// Number of items in each lane, by the items' states.
    pub(super) ready: [usize; Lane::COUNT],
}

impl TableQueue {
    /// Returns whether a call is ready to be sent. While messages are still being decoded, a batch waits until it is full.
    pub(super) fn has_call(&self, is_decoding: bool) -> bool {
        let batch = self.ready(Lane::Batch);
        let others: usize = self.ready.iter().sum::<usize>() - batch;
        others > 0 || batch >= if is_decoding { MAX_BATCH_ITEMS } else { 1 }
    }

    /// Appends an item of `message` to a lane. Has no effect on [`Lane::Retry`], which queues whole calls.
    pub(super) fn push(&mut self, lane: Lane, message: MessageIndex, index: ItemIndex) {
        match lane {
            Lane::Batch => self.batch.push_back(index),
            Lane::Message => self.messages.push_back((message, index)),
            Lane::Single => self.single.push_back(index),
            Lane::Unprocessed => self.unprocessed.push_back(index),
            Lane::Retry => {}
        }
    }

    /// Returns the first entry of a lane whose items share calls. The entry includes its message if only items of one
    /// message may share a call.
    pub(super) fn front(&self, lane: Lane) -> Option<(Option<MessageIndex>, ItemIndex)> {
        match lane {
            Lane::Message => self.messages.front().map(|(message, index)| (Some(*message), *index)),
            Lane::Batch => self.batch.front().map(|index| (None, *index)),
            Lane::Unprocessed => self.unprocessed.front().map(|index| (None, *index)),
            Lane::Single | Lane::Retry => None,
        }
    }

    /// Removes the first entry of a lane whose items share calls.
    pub(super) fn pop(&mut self, lane: Lane) {
        match lane {
            Lane::Message => drop(self.messages.pop_front()),
            Lane::Batch => drop(self.batch.pop_front()),
            Lane::Unprocessed => drop(self.unprocessed.pop_front()),
            Lane::Single | Lane::Retry => {}
        }
    }

    pub(super) fn ready(&self, lane: Lane) -> usize {
        self.ready.get(lane as usize).copied().unwrap_or_default()
    }

    /// Adds `change` (`1` or `-1`) to the number of items in a lane.
    pub(super) fn count(&mut self, lane: Lane, change: isize) {
        if let Some(count) = self.ready.get_mut(lane as usize) {
            *count = count.saturating_add_signed(change);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(items: usize) -> CallPlan {
        CallPlan::batch((0..items).map(ItemIndex::new).collect())
    }

    #[test]
    fn a_call_is_bisected_the_second_time_it_fails_and_a_part_without_response_at_once() {
        let sizes = |failures, is_divided, failure| {
            let plans = CallPlan { failures, is_divided, ..plan(4) }.after(failure);
            plans.iter().map(|plan| plan.items.len()).collect::<Vec<_>>()
        };
        for is_divided in [false, true] {
            assert_eq!(sizes(0, is_divided, Failure::Other), [4]);
            assert_eq!(sizes(1, is_divided, Failure::Other), [2, 2]);
            assert_eq!(sizes(2, is_divided, Failure::Throttle), [4], "smaller calls hardly help a throttled table");
            assert_eq!(sizes(3, is_divided, Failure::Throttle), [2, 2]);
        }
        assert_eq!(sizes(0, false, Failure::Timeout), [4]);
        assert_eq!(sizes(1, false, Failure::Timeout), [2, 2]);
        assert_eq!(sizes(0, true, Failure::Timeout), [2, 2], "each further timeout costs two seconds");
    }

    #[test]
    fn bisection_ends_with_each_item_alone_after_five_steps() {
        let mut layer = vec![plan(MAX_BATCH_ITEMS)];
        for _ in 0..5 {
            layer = layer.iter().flat_map(|plan| plan.halves().map_or_else(|| vec![plan.clone()], Vec::from)).collect();
        }
        assert_eq!(layer.len(), MAX_BATCH_ITEMS);
        assert!(layer.iter().all(|plan| plan.halves().is_none()));
    }

    #[test]
    fn a_batch_that_is_not_full_waits_while_messages_are_decoded() {
        let mut queue = TableQueue::default();
        queue.count(Lane::Batch, 24);
        assert_eq!([true, false].map(|is_decoding| queue.has_call(is_decoding)), [false, true]);
        queue.count(Lane::Batch, 1);
        assert!(queue.has_call(true));
        queue.count(Lane::Batch, -25);
        assert!(!queue.has_call(false));
        queue.count(Lane::Single, 1);
        assert!(queue.has_call(true), "a conditional write is sent in a call of its own");
    }
}
