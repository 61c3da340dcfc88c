//! The write path: decides which write is sent when, and what each response means.
//!
//! - `scheduler` is the state machine. It takes messages, responses and the current time as arguments, and returns the next
//!   call to send. It does no I/O.
//! - `order` holds all rules about the order of writes.
//! - `queue` holds the items that are ready to be sent.
//! - `suspects` decides whether a refusal is the fault of the item or of the table.
//! - `drive` is the only file with I/O. It sends the calls and owns the timers.
//! - [`kind`] defines the kinds of writes.
//!
//! # The states of an item
//!
//! ```text
//!                                predecessors completed
//!                 +---------+                          +-------+   a permit is free     +-----------+
//!  decoded ------>| Waiting |------------------------->| Ready |----------------------->| InFlight  |
//!                 +---------+                          +-------+                        +-----------+
//!                    ^    | a later item                   ^ |  a later item of its key      |
//!   the winner is    |    | of its key                     | |  supersedes it                | a response, or
//!   invalid          |    v                   the backoff  | v                               | a timeout
//!                 +------------+              is over  +------------+      throttled,        |
//!                 | Superseded |                       | BackingOff |<-----------------------+
//!                 +------------+                       +------------+      failed            |
//!                       |                                                                    |
//!                       | the winner's outcome         +---------+   refused, and the        |
//!                       |                              | Suspect |<--------------------------+
//!                       |                              +---------+   table may be at fault   |
//!                       v                                   | the fault is decided           | accepted,
//!                 +-----------------------------------------v----------------------+         | refused
//!                 | Done: written, superseded, invalid, denied, failed, ambiguous, |<--------+
//!                 |       blocked                                                  |
//!                 +----------------------------------------------------------------+
//! ```
//!
//! Every item ends in `Done` with exactly one [`ItemOutcome`]. Only a response from DynamoDB can turn that outcome into a
//! success. An item in any other state at the deadline has failed, so no code path needs to remember to report a failure.
//!
//! # Isolation
//!
//! A call that is refused as invalid, or that fails repeatedly, is bisected until the item at fault is alone. First
//! attempts go before retries, tables take turns, and each table has its own limiter.

mod backoff;
mod broken;
mod calls;
#[cfg(test)]
mod check;
pub(crate) mod drive;
mod entry;
mod event;
mod failing;
mod figures;
mod flaw;
mod indexed;
pub mod kind;
#[cfg(test)]
mod model;
pub(crate) mod order;
pub(crate) mod queue;
mod refusals;
pub(crate) mod scheduler;
mod suspects;

pub use drive::Writer;
pub use figures::WriteFigures;
pub use kind::WriteKind;

pub(crate) use crate::dynamodb::mapping::TableId;
use crate::record::SubjectId;
use indexed::index_type;
use std::sync::Arc;

index_type! {
    /// Index of an item within its event.
    ItemIndex
}
index_type! {
    /// Index of a message among the messages of its event that were added to the scheduler.
    MessageIndex
}

index_type! {
    /// Sequence number of a call within its event.
    CallId
}

/// Position of a message within its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct MessagePosition(pub(crate) usize);

/// Index of a FIFO group within its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct GroupId(pub(crate) usize);

/// Identifies a key of a table by a 128-bit hash. The hash is seeded at random for each process. Among a million keys the
/// probability of a collision is below 10^-26, so equal hashes count as equal keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct KeyId(pub(crate) u128);

/// Identifies a version of an item by its hash. If two versions collide, their writes are sent one after the other, which
/// is always correct.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct VersionId(pub(crate) u64);

/// The properties of a write that the scheduler needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Write {
    pub(crate) table: TableId,
    /// The subject whose mapping made the item.
    pub(crate) subject: SubjectId,
    pub(crate) kind: WriteKind,
    pub(crate) key: KeyId,
    /// The version that the write's condition compares.
    pub(crate) version: Option<VersionId>,
    /// The version as a number, if it follows the order of the messages. Two such versions can be compared without a
    /// request to the table.
    pub(crate) order: Option<u128>,
    /// Size of the item in a request, in bytes.
    pub(crate) bytes: usize,
}

/// The outcome of one item.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ItemOutcome {
    /// The item is in its table. For a deletion: the item is gone from its table.
    Written,
    /// A later item of the event, or a newer item that is already in the table, replaces this one.
    Superseded,
    /// DynamoDB refused this item, and would refuse it again.
    Invalid(Arc<str>),
    /// DynamoDB refused the item for a reason that an operator must fix.
    Denied(Arc<str>),
    /// The item was not written, because the time or the memory for retries ran out. The text is the cause of the last
    /// failure.
    Failed(Arc<str>),
    /// A write of the item got no response and may still take effect, and other writes must not overtake it.
    Ambiguous(Arc<str>),
    /// A predecessor was not written.
    Blocked {
        /// The kind of predecessor.
        by: Blocker,
        /// Whether a write of the predecessor may still take effect.
        is_ambiguous: bool,
    },
}

/// The kind of predecessor that blocks an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blocker {
    /// An earlier item of its key.
    Key,
    /// An earlier message of its FIFO group.
    Group,
}

impl ItemOutcome {
    /// Returns whether the item needs no redelivery, because it was written or superseded.
    pub(crate) fn is_durable(&self) -> bool {
        matches!(self, Self::Written | Self::Superseded)
    }

    /// Returns whether the successors of the item may be written. An invalid item is never written, so its successors need
    /// not wait for it.
    pub(crate) fn lets_successors_proceed(&self) -> bool {
        self.is_durable() || matches!(self, Self::Invalid(_))
    }

    /// Returns whether a write may still take effect that the successors of the item must not overtake.
    fn is_ambiguous(&self) -> bool {
        matches!(self, Self::Ambiguous(_) | Self::Blocked { is_ambiguous: true, .. })
    }
}
