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
