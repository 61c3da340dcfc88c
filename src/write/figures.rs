//! Figures about the writes of an event.

use crate::dynamodb::response::Throttle;
use std::time::Duration;

/// Figures about the writes of an event.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WriteFigures {
    /// Latency of each call that was sent, in the order of completion.
    pub latencies: Vec<Duration>,
    /// Number of retried items. An item counts once for each retry.
    pub retried_items: usize,
    /// Number of items that DynamoDB returned unprocessed. An item counts each time.
    pub unprocessed_items: usize,
    /// Write request units consumed.
    pub write_units: f64,
    /// Number of calls throttled by the throughput of the table, plus number of items returned unprocessed.
    pub throttles_table: usize,
    /// Number of calls throttled by the throughput of an index.
    pub throttles_index: usize,
    /// Number of calls throttled by the throughput of a single partition.
    pub throttles_hot_partition: usize,
    /// Number of calls throttled by the account's quota.
    pub throttles_account: usize,
    /// Number of calls throttled without a stated reason.
    pub throttles_unknown: usize,
    /// Maximum number of calls that were in flight at the same time.
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

    /// Returns the number of throttles of all kinds.
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
