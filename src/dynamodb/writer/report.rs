//! The result of writing: an end for each item, and what it took.

use super::super::response::Throttle;
use std::borrow::Cow;
use std::time::Duration;

/// The end of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteOutcome {
    /// It is not known to be stored. The last thing that stood in its way says why.
    Unfinished(Cow<'static, str>),
    /// The same, and it, or what it must follow, may yet be applied: a call has no response.
    Unanswered(Cow<'static, str>),
    /// A message before it in its FIFO group is unfinished or refused.
    Blocked,
    /// It is in its table, or gone from it if that was asked.
    Stored,
    /// A later item of the event, or a newer one in the table, stands in its place.
    Superseded,
    /// DynamoDB refused this very item as invalid, and said why.
    Rejected(Box<str>),
    /// DynamoDB would not take it for a cause that is not the item's.
    Refused(Box<str>),
}

impl WriteOutcome {
    pub(super) const fn unfinished(cause: &'static str) -> Self {
        Self::Unfinished(Cow::Borrowed(cause))
    }
}

/// The result of writing.
#[derive(Debug, Default)]
pub struct WriteReport {
    /// The end of each item, in the order of [`Items::as_slice`](crate::dynamodb::item::Items::as_slice).
    pub outcomes: Vec<WriteOutcome>,
    /// A cause an operator must fix, if there was one.
    pub fatal: Option<Box<str>>,
    /// What it took.
    pub figures: WriteFigures,
}

/// What the writes took.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WriteFigures {
    /// The time of each call that was answered, in the order of the answers.
    pub latencies: Vec<Duration>,
    /// Items sent again, each time counted.
    pub retried_items: usize,
    /// Items DynamoDB returned unprocessed, each time counted.
    pub unprocessed_items: usize,
    /// Write request units consumed.
    pub write_units: f64,
    /// Calls throttled by the table's own throughput, and items returned unprocessed.
    pub throttles_table: usize,
    /// Calls throttled by an index's throughput.
    pub throttles_index: usize,
    /// Calls throttled by one partition's throughput.
    pub throttles_hot_partition: usize,
    /// Calls throttled by the account's quota.
    pub throttles_account: usize,
    /// Calls throttled for a reason that was not given.
    pub throttles_unknown: usize,
    /// The most calls in flight at once.
    pub most_in_flight: usize,
}

impl std::ops::AddAssign for WriteFigures {
    fn add_assign(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.retried_items += other.retried_items;
        self.unprocessed_items += other.unprocessed_items;
        self.write_units += other.write_units;
        self.throttles_table += other.throttles_table;
        self.throttles_index += other.throttles_index;
        self.throttles_hot_partition += other.throttles_hot_partition;
        self.throttles_account += other.throttles_account;
        self.throttles_unknown += other.throttles_unknown;
        self.most_in_flight = self.most_in_flight.max(other.most_in_flight);
    }
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

    /// Throttles of every kind.
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
    fn the_figures_of_two_chunks_are_added_up_each_with_its_own() {
        let figures = |n: usize| WriteFigures {
            latencies: vec![Duration::from_millis(1); n],
            retried_items: 10 + n,
            unprocessed_items: 20 + n,
            write_units: 30.0 + n as f64,
            throttles_table: 50 + n,
            throttles_index: 60 + n,
            throttles_hot_partition: 70 + n,
            throttles_account: 80 + n,
            throttles_unknown: 90 + n,
            most_in_flight: n,
        };
        let mut sum = figures(3);
        sum += figures(5);
        let expected = WriteFigures {
            latencies: vec![Duration::from_millis(1); 8],
            retried_items: 28,
            unprocessed_items: 48,
            write_units: 68.0,
            throttles_table: 108,
            throttles_index: 128,
            throttles_hot_partition: 148,
            throttles_account: 168,
            throttles_unknown: 188,
            most_in_flight: 5,
        };
        assert_eq!(sum, expected);
        assert_eq!(sum.throttles(), 740);
    }
}
