//! The state of one item and of one message. No other part of the write path stores it.

use super::order::KeyItems;
use super::queue::Lane;
use super::{CallId, GroupId, ItemIndex, ItemOutcome, MessageIndex, MessagePosition, Write};
use crate::dynamodb::response::Blame;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Cause of failure for an item that was never tried before the deadline.
const NO_TIME: &str = "there was no time to write it";

/// The state of one item. [`super`] has the state diagram.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum ItemState {
    /// The item waits for earlier items of its key, or for earlier messages of its FIFO group.
    Waiting,
    /// The item at `by`, which has the same key, supersedes this item. This item shares its outcome.
    Superseded {
        by: ItemIndex,
    },
    /// The item waits in a lane of its table for a permit.
    Ready(Lane),
    InFlight(CallId),
    /// The item is retried at `until`.
    BackingOff {
        until: Duration,
    },
    /// The item was refused alone in its call. It is still undecided whether the item, its mapping or its table is at
    /// fault.
    Suspect(Blame),
    Done(ItemOutcome),
}

impl ItemState {
    /// Returns whether the item is ready to be sent, in flight, or waiting for a retry.
    pub(super) fn is_under_way(&self) -> bool {
        matches!(self, Self::Ready(_) | Self::InFlight(_) | Self::BackingOff { .. })
    }

    pub(super) fn is_backing_off(&self) -> bool {
        matches!(self, Self::BackingOff { .. })
    }
}

/// An item and its state.
#[derive(Debug, Clone)]
pub(super) struct ItemEntry {
    pub(super) write: Write,
    pub(super) message: MessageIndex,
    pub(super) state: ItemState,
    /// Number of attempts to send it.
    pub(super) attempts: u8,
    /// Whether an attempt has had a result: a response, or a timeout.
    pub(super) is_tried: bool,
    /// Whether an attempt got no response and may still take effect.
    pub(super) is_ambiguous: bool,
    /// Whether another item is blocked because this one is ambiguous.
    pub(super) holds_back: bool,
    /// Cause of its last failure.
    pub(super) cause: Option<Arc<str>>,
    /// Time at which it first failed as the only item of its call, when no other item can have caused the failure.
    pub(super) failed_at: Option<Duration>,
    /// The items that this one supersedes.
    pub(super) losers: KeyItems,
}

impl ItemEntry {
    pub(super) fn new(write: Write, message: MessageIndex) -> Self {
        Self {
            write,
            message,
            state: ItemState::Waiting,
            attempts: 0,
            is_tried: false,
            is_ambiguous: false,
            holds_back: false,
            cause: None,
            failed_at: None,
            losers: KeyItems::new(),
        }
    }

    /// Returns the cause of the last failure.
    pub(super) fn cause(&self) -> Arc<str> {
        self.cause.clone().unwrap_or_else(|| NO_TIME.into())
    }
}

/// A message and its state.
#[derive(Debug, Clone)]
pub(super) struct MessageEntry {
    pub(super) position: MessagePosition,
    pub(super) group: Option<GroupId>,
    pub(super) items: Range<usize>,
    /// Number of its items that are not done.
    pub(super) open: usize,
    /// Whether its items have joined the queues of their keys, so that it no longer waits for its FIFO group.
    pub(super) has_joined: bool,
    /// Whether it is complete: all its items are done, and all earlier messages of its group are complete.
    pub(super) is_complete: bool,
    /// Set if an earlier message of its group was not written. The value is whether a write of that message may still take
    /// effect.
    pub(super) blocked: Option<bool>,
    /// Whether it is evicted: it releases its memory as soon as none of its items is in flight.
    pub(super) is_evicted: bool,
}
