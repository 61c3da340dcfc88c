//! The state of one message: its place in the event, its order among others, the operation it asks for.

use super::super::mapping::MessageOrder;
use super::limits::MAX_ITEM_BYTES;
use crate::record::ItemError;

/// The operation that a message requests for its records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Operation {
    /// Write each as an item.
    #[default]
    Put,
    /// Delete the item that has each one's key.
    Delete,
}

impl Operation {
    /// Returns the maximum size of a record, as the database counts it. A deletion sends the key alone, so that its record may
    /// have any size.
    pub(super) fn max_record_bytes(self) -> usize {
        match self {
            Self::Put => MAX_ITEM_BYTES,
            Self::Delete => usize::MAX,
        }
    }
}

/// The order of a message among others, as its queue reports it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MessageStamps {
    /// The number that a FIFO queue gave it.
    pub sequence_number: Option<u128>,
    /// When it was sent, in milliseconds since the Unix epoch.
    pub sent_ms: Option<u64>,
}

/// The message whose records are being encoded.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Message<'a> {
    /// Position in the event.
    pub(super) position: usize,
    pub(super) id: &'a str,
    pub(super) operation: Operation,
    pub(super) stamps: MessageStamps,
}

impl Message<'_> {
    /// Returns the message's place in `order`, which is the version in the attribute `attribute`.
    pub(super) fn place_in(&self, order: MessageOrder, attribute: &str) -> Result<u128, ItemError> {
        let (stamp, problem) = match order {
            MessageOrder::SequenceNumber => (
                self.stamps.sequence_number,
                "is the version, and only messages of a FIFO queue have a sequence number",
            ),
            MessageOrder::SentTimestamp => {
                (self.stamps.sent_ms.map(u128::from), "is the version, and the message has no sent timestamp")
            }
        };
        stamp.ok_or_else(|| ItemError::Mapping { attribute: attribute.into(), problem })
    }
}
