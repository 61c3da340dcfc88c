//! The state of one message: its position in the event, its order among other messages, and its operation.

use super::super::mapping::MessageOrder;
use super::limits::MAX_ITEM_BYTES;
use crate::record::ItemError;

/// The operation that a message requests for its records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Operation {
    /// Write each record as an item.
    #[default]
    Put,
    /// Delete the item with the key of each record.
    Delete,
}

impl Operation {
    /// Returns the maximum size of a record, in bytes as DynamoDB counts them. A deletion sends only the key, so its record
    /// may have any size.
    pub(super) fn max_record_bytes(self) -> usize {
        match self {
            Self::Put => MAX_ITEM_BYTES,
            Self::Delete => usize::MAX,
        }
    }
}

/// The properties of a message that define its order among other messages, as reported by the queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MessageStamps {
    /// The sequence number that a FIFO queue assigned to the message.
    pub sequence_number: Option<u128>,
    /// The time at which the message was sent, in milliseconds since the Unix epoch.
    pub sent_ms: Option<u64>,
}

/// The message whose records are being encoded.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Message<'a> {
    /// Position of the message in the event.
    pub(super) position: usize,
    pub(super) id: &'a str,
    pub(super) operation: Operation,
    pub(super) stamps: MessageStamps,
}

impl Message<'_> {
    /// Returns the position of the message in `order`, which is the version stored in `attribute`.
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
