//! What the writes of an event came to: an end for each item, and what it took.

use std::time::Duration;

/// The end of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteOutcome {
    /// Nothing is known of it: there was no time, or its call was lost.
    Unfinished,
    /// It is in its table, or gone from it if that was asked.
    Stored,
    /// A later item of the event, or a newer one in the table, stands in its place.
    Superseded,
    /// DynamoDB refused this very item as invalid, and said why.
    Rejected(Box<str>),
    /// DynamoDB would not take it for a cause that is not the item's.
    Refused(Box<str>),
}

/// What the writes of an event came to.
#[derive(Debug, Default)]
pub struct WriteReport {
    /// The end of each item, in the order of [`Items::as_slice`].
    pub outcomes: Vec<WriteOutcome>,
    /// A cause an operator must mend, if there was one.
    pub fatal: Option<Box<str>>,
    /// What it took.
    pub figures: WriteFigures,
}

/// What the writes took.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WriteFigures {
    /// Calls that were sent.
    pub calls: usize,
    /// The time of each call that was answered, in the order of the answers.
    pub latencies: Vec<Duration>,
    /// Items sent again, each time counted.
    pub retried_items: usize,
    /// Items DynamoDB handed back unprocessed, each time counted.
    pub unprocessed_items: usize,
    /// Write request units consumed.
    pub write_units: f64,
    /// Bytes of the calls' bodies.
    pub bytes: usize,
    /// Throttled calls by the table's own throughput.
    pub throttles_table: usize,
    /// Throttled calls by an index's throughput.
    pub throttles_index: usize,
    /// Throttled calls by one partition's throughput.
    pub throttles_hot_partition: usize,
    /// Throttled calls by the account's quota.
    pub throttles_account: usize,
    /// Throttled calls that gave no reason.
    pub throttles_unknown: usize,
    /// The most calls in flight at once.
    pub most_in_flight: usize,
}

impl std::ops::AddAssign for WriteFigures {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.latencies.extend(other.latencies);
        self.retried_items += other.retried_items;
        self.unprocessed_items += other.unprocessed_items;
        self.write_units += other.write_units;
        self.bytes += other.bytes;
        self.throttles_table += other.throttles_table;
        self.throttles_index += other.throttles_index;
        self.throttles_hot_partition += other.throttles_hot_partition;
        self.throttles_account += other.throttles_account;
        self.throttles_unknown += other.throttles_unknown;
        self.most_in_flight = self.most_in_flight.max(other.most_in_flight);
    }
}

impl WriteFigures {
    /// Calls that were throttled, for whatever reason.
    pub fn throttles(&self) -> usize {
        self.throttles_table
            + self.throttles_index
            + self.throttles_hot_partition
            + self.throttles_account
            + self.throttles_unknown
    }
}
