//! The write path: which write is sent when, and what its response means.
//!
//! `scheduler` decides, without I/O: it is told of messages, responses and the time, and says what to call next. `order`
//! has the rules of order, `queue` what is ready to be sent, `suspects` whether a refusal is the item's fault or the
//! table's. `drive` is the only file with I/O: it makes the calls and holds the timers. [`kind`] says what a write does.
//!
//! # The states of an item
//!
//! ```text
//!                                a predecessor is done
//!                 +---------+                          +-------+   a permit is there    +-----------+
//!  decoded ------>| Waiting |------------------------->| Ready |----------------------->| InFlight  |
//!                 +---------+                          +-------+                        +-----------+
//!                    ^    | a later item                   ^ |  a later item of its key      |
//!   the winner is    |    | of its key                     | |  supersedes it                | a response, or none
//!   invalid          |    v                   the backoff  | v                               |
//!                 +------------+              is over  +------------+      throttled,        |
//!                 | Superseded |                       | BackingOff |<-----------------------+
//!                 +------------+                       +------------+      failed            |
//!                       |                                                                    |
//!                       | the winner's outcome         +---------+   refused, and the fault  |
//!                       |                              | Suspect |<--------------------------+
//!                       |                              +---------+   may be the table's      |
//!                       v                                   | others are accepted, or none   | accepted,
//!                 +-----------------------------------------v----------------------+         | refused
//!                 | Done: written, superseded, invalid, denied, failed, ambiguous, |<--------+
//!                 |       blocked                                                  |
//!                 +----------------------------------------------------------------+
//! ```
//!
//! Every item ends in `Done` with one [`ItemOutcome`]. Only a response of DynamoDB makes that outcome a success: an item that is
//! in any other state when the time is over has failed, so no path has to remember to report a failure.
//!
//! # Isolation
//!
//! A call that is refused as invalid, or fails repeatedly, is bisected until the item at fault is alone. First attempts go
//! before retries, tables take turns, and each table has a limiter of its own.

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
    /// Index of an item among those of its event.
    ItemIndex
}
index_type! {
    /// Index of a message among those of its event that were added to the scheduler.
    MessageIndex
}

index_type! {
    /// Number of a call within its event.
    CallId
}

/// Position of a message in its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct MessagePosition(pub(crate) usize);

/// A FIFO group among those of its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct GroupId(pub(crate) usize);

/// A key of a table: a hash of 128 bits under keys that are drawn at random for each process. Two keys of one event are never
/// taken for one: with a million keys the probability is below 10^-26.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct KeyId(pub(crate) u128);

/// A version of an item: a hash. Two versions with one hash are only written one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct VersionId(pub(crate) u64);

/// What the scheduler knows of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Write {
    pub(crate) table: TableId,
    /// The mapping that made the item.
    pub(crate) subject: SubjectId,
    pub(crate) kind: WriteKind,
    pub(crate) key: KeyId,
    /// The version that a condition compares.
    pub(crate) version: Option<VersionId>,
    /// The version, if it is the order of the messages. Two of them can be compared without asking the table.
    pub(crate) order: Option<u128>,
    /// Size of the item in a request.
    pub(crate) bytes: usize,
}

/// The outcome of one item.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ItemOutcome {
    /// The item is in its table, or gone from it if that was asked.
    Written,
    /// A later item of the event, or what the table already has, takes its place.
    Superseded,
    /// DynamoDB refused this very item, and will again.
    Invalid(Arc<str>),
    /// DynamoDB refused the item for a cause that an operator must fix.
    Denied(Arc<str>),
    /// The item is not written: the time or the memory for retries ran out. The text is the last cause.
    Failed(Arc<str>),
    /// A write of the item got no response and may still take effect, and another write must follow it.
    Ambiguous(Arc<str>),
    /// A predecessor was not written.
    Blocked {
        /// What kind of predecessor.
        by: Blocker,
        /// Whether a write of the predecessor may still take effect.
        is_ambiguous: bool,
    },
}

/// Why an item is blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blocker {
    /// An earlier item of its key.
    Key,
    /// An earlier message of its FIFO group.
    Group,
}

impl ItemOutcome {
    /// Returns whether the item needs no further delivery, because it is written or takes no effect.
    pub(crate) fn is_durable(&self) -> bool {
        matches!(self, Self::Written | Self::Superseded)
    }

    /// Returns whether what follows the item may be written. An invalid item is never written, so nothing waits for it.
    pub(crate) fn lets_successors_proceed(&self) -> bool {
        self.is_durable() || matches!(self, Self::Invalid(_))
    }

    /// Returns whether a write may still take effect that what follows the item must not overtake.
    fn is_ambiguous(&self) -> bool {
        matches!(self, Self::Ambiguous(_) | Self::Blocked { is_ambiguous: true, .. })
    }
}
