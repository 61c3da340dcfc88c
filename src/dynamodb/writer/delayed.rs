//! What waits for its backoff to be over, in the order of the time.

use super::super::batch::Index;
use super::super::mapping::TableId;
use super::queue::Job;
use std::cmp::Ordering;
use tokio::time::Instant;

/// What waits for its time.
pub(super) struct Delayed {
    pub(super) due: Instant,
    pub(super) table: TableId,
    pub(super) what: Waiting,
}

pub(super) enum Waiting {
    Job(Job),
    /// Items that join whatever else waits for their table.
    Unprocessed(Vec<Index>),
}

impl PartialEq for Delayed {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}
impl Eq for Delayed {}
impl PartialOrd for Delayed {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Delayed {
    fn cmp(&self, other: &Self) -> Ordering {
        self.due.cmp(&other.due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;
    use std::time::Duration;

    #[test]
    fn what_is_due_first_comes_first() {
        let now = clock::now();
        let due = |seconds| now + Duration::from_secs(seconds);
        let delayed = |due| Delayed { due, table: TableId::new(0), what: Waiting::Unprocessed(Vec::new()) };
        let mut heap: BinaryHeap<_> = [3, 1, 4, 2].map(|seconds| Reverse(delayed(due(seconds)))).into();
        heap.push(Reverse(delayed(due(0))));
        let order: Vec<_> = std::iter::from_fn(|| heap.pop()).map(|Reverse(delayed)| delayed.due).collect();
        assert_eq!(order, [0, 1, 2, 3, 4].map(due));
        assert!(delayed(now) == delayed(now) && delayed(now) != delayed(due(1)));
    }
}
