//! The state of one item and of one message. No other part of the write path holds it.

use super::order::KeyItems;
use super::queue::Lane;
use super::{CallId, GroupId, ItemIndex, ItemOutcome, MessageIndex, MessagePosition, Write};
use crate::dynamodb::response::Blame;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// The cause of an item that nothing stood in the way of but the time.
const NO_TIME: &str = "there was no time to write it";

/// The state of one item. The diagram is in [`super`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum ItemState {
    /// It waits for earlier items of its key, or for earlier messages of its FIFO group.
    Waiting,
    /// Another item of its key supersedes it. It shares that one's outcome.
    Superseded {
        by: ItemIndex,
    },
    /// It waits in a lane of its table for a permit.
    Ready(Lane),
    InFlight(CallId),
    /// It is sent again at `until`.
    BackingOff {
        until: Duration,
    },
    /// It was refused alone, and it is not known yet who is at fault.
    Suspect(Blame),
    Done(ItemOutcome),
}

impl ItemState {
    /// Returns whether the item may be sent, was sent, or is sent again.
    pub(super) fn is_under_way(&self) -> bool {
        matches!(self, Self::Ready(_) | Self::InFlight(_) | Self::BackingOff { .. })
    }

    pub(super) fn is_backing_off(&self) -> bool {
        matches!(self, Self::BackingOff { .. })
    }
}

/// One item.
#[derive(Debug, Clone)]
pub(super) struct ItemEntry {
    pub(super) write: Write,
    pub(super) message: MessageIndex,
    pub(super) state: ItemState,
    /// Number of times it was sent.
    pub(super) attempts: u8,
    /// Whether a response, or its absence, has said anything about it.
    pub(super) is_tried: bool,
    /// Whether an attempt got no response: it may still take effect.
    pub(super) is_ambiguous: bool,
    /// Whether another item is blocked because this one is ambiguous.
    pub(super) holds_back: bool,
    /// Cause of its last failure.
    pub(super) cause: Option<Arc<str>>,
    /// When it failed first without others in its call, which may have been at fault.
    pub(super) failed_at: Option<Duration>,
    /// The items whose states say that this one supersedes them.
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

    /// Returns why the last attempt failed.
    pub(super) fn cause(&self) -> Arc<str> {
        self.cause.clone().unwrap_or_else(|| NO_TIME.into())
    }
}

/// One message.
#[derive(Debug, Clone)]
pub(super) struct MessageEntry {
    pub(super) position: MessagePosition,
    pub(super) group: Option<GroupId>,
    pub(super) items: Range<usize>,
    /// Number of its items that are not done.
    pub(super) open: usize,
    /// Whether it waits for nothing but its own items.
    pub(super) has_joined: bool,
    /// Whether it is complete: all its items are done, and its turn in its group has come.
    pub(super) is_complete: bool,
    /// Set if an earlier message of its group was not written: whether that one's write may still take effect.
    pub(super) blocked: Option<bool>,
    /// Whether it gives its memory back as soon as none of its items is in flight.
    pub(super) is_evicted: bool,
}
