//! What the writes of an event took.

use crate::dynamodb::response::Throttle;
use std::time::Duration;

/// What the writes of an event took.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WriteFigures {
    /// Latency of each call that was sent, in the order in which they ended.
    pub latencies: Vec<Duration>,
    /// Number of items that were sent again, counted for each attempt.
    pub retried_items: usize,
    /// Number of items that DynamoDB handed back unprocessed, counted for each time.
    pub unprocessed_items: usize,
    /// Write request units consumed.
    pub write_units: f64,
    /// Number of calls throttled by the table's own throughput, and of items handed back unprocessed.
    pub throttles_table: usize,
    /// Number of calls throttled by an index's throughput.
    pub throttles_index: usize,
    /// Number of calls throttled by one partition's throughput.
    pub throttles_hot_partition: usize,
    /// Number of calls throttled by the account's quota.
    pub throttles_account: usize,
    /// Number of calls throttled for a reason that was not given.
    pub throttles_unknown: usize,
    /// Maximum number of calls in flight at once.
    pub most_in_flight: usize,
}

impl WriteFigures {
    pub(super) fn count_throttle(&mut self, throttle: Throttle, count: usize) {
        *match throttle {
            Throttle::Table => &mut self.throttles_table,
            Throttle::Index => &mut self.throttles_index,
            Throttle::HotPartition => &mut self.throttles_hot_partition,
            Throttle::Account => &mut self.throttles_account,
            Throttle::Unknown => &mut self.throttles_unknown,
        } += count;
    }

    /// Returns the number of throttles of every kind.
    pub fn throttles(&self) -> usize {
        self.throttles_table
            + self.throttles_index
            + self.throttles_hot_partition
            + self.throttles_account
            + self.throttles_unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttles_are_counted_by_their_kind_and_together() {
        let mut figures = WriteFigures::default();
        let kinds = [Throttle::Table, Throttle::Index, Throttle::HotPartition, Throttle::Account, Throttle::Unknown];
        kinds.into_iter().zip(1..).for_each(|(throttle, count)| figures.count_throttle(throttle, count));
        let WriteFigures { throttles_table, throttles_index, throttles_hot_partition, .. } = figures;
        assert_eq!([throttles_table, throttles_index, throttles_hot_partition], [1, 2, 3]);
        assert_eq!([figures.throttles_account, figures.throttles_unknown, figures.throttles()], [4, 5, 15]);
    }
}
