//! The encoder of one event. It converts records to DynamoDB JSON as they are decoded, and appends them to a single buffer.
//!
//! State is split by its lifetime. [`ItemEncoder`] lives as long as the event and owns the reused memory. [`Message`] is
//! replaced with each message. [`RecordEncoder`] is created for each record and borrows the reused memory, so that no state
//! of one record can affect the next.

use super::super::mapping::{Mapping, PROCESSED_AT, TableId};
use super::items::{DraftLimits, Items};
use super::message::{Message, MessageStamps, Operation};
use super::origin::{EventTime, Origin};
use super::record::RecordEncoder;
use super::tracked::TrackedBuffers;
use crate::record::{Interruption, ItemError, RecordSink, SubjectId};
use std::time::Duration;

/// Encodes records as items. Call [`start_message`](Self::start_message) first, then pass it to a decoder.
pub struct ItemEncoder<'a> {
    mappings: &'a [(TableId, Mapping)],
    time: EventTime,
    items: Items,
    /// Maximum total memory of all items, in bytes.
    budget: usize,
    /// Returns whether the deadline has passed.
    is_over: Option<&'a dyn Fn() -> bool>,
    /// The stamps of the next message.
    stamps: MessageStamps,
    message: Message<'a>,
    tracked: TrackedBuffers,
    id: String,
}

impl<'a> ItemEncoder<'a> {
    /// Creates an encoder. `mappings` are the mappings of the decoder's subjects, in the same order. `now` is the time
    /// since the Unix epoch. `capacity` is the expected size of the output, in bytes.
    pub fn new(mappings: &'a [(TableId, Mapping)], now: Duration, capacity: usize) -> Self {
        let attribute = format!("\"{PROCESSED_AT}\":{{\"N\":\"{}.{:03}\"}},", now.as_secs(), now.subsec_millis());
        Self {
            mappings,
            time: EventTime { now, attribute },
            items: Items::with_capacity(capacity),
            budget: usize::MAX,
            is_over: None,
            stamps: MessageStamps::default(),
            message: Message::default(),
            tracked: TrackedBuffers::default(),
            id: String::new(),
        }
    }

    /// Sets the stamps of the next message.
    pub fn stamp_message(&mut self, stamps: MessageStamps) {
        self.stamps = stamps;
    }

    /// Sets the memory limit. The message that would exceed a total of `bytes` is interrupted.
    #[must_use]
    pub fn within(self, bytes: usize) -> Self {
        Self { budget: bytes, ..self }
    }

    /// Sets the deadline. A message with several records is interrupted once `is_over` returns true.
    #[must_use]
    pub fn until(self, is_over: &'a dyn Fn() -> bool) -> Self {
        Self { is_over: Some(is_over), ..self }
    }

    /// Starts the message at `position` in the event. The following records belong to it.
    pub fn start_message(&mut self, position: usize, id: &'a str, operation: Operation) {
        self.message = Message { position, id, operation, stamps: self.stamps };
    }

    /// Discards all items of the message at `position`, which must be the last one. A message is stored only if all its
    /// records are valid.
    pub fn discard_message(&mut self, position: usize) {
        self.items.discard_message(position);
    }

    /// Returns the number of bytes written so far.
    pub(crate) fn bytes(&self) -> usize {
        self.items.written()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.items.capacity()
    }

    /// Returns all items written.
    pub fn finish_event(self) -> Items {
        self.items
    }

    /// Prepares for a record. For the first record of a message, discards the items of an earlier attempt to decode the
    /// same message. For a later record of a container, checks the deadline.
    fn prepare(&mut self, index: Option<usize>) -> Result<(), ItemError> {
        let position = self.message.position;
        match index {
            None | Some(0) if self.items.end_with(position) => self.discard_message(position),
            None | Some(0) => {}
            Some(_) if self.is_over.is_some_and(|is_over| is_over()) => {
                return Err(ItemError::Interrupted(Interruption::Deadline));
            }
            Some(_) => {}
        }
        Ok(())
    }
}

impl RecordSink for ItemEncoder<'_> {
    type Record<'r>
        = RecordEncoder<'r>
    where
        Self: 'r;

    fn begin(&mut self, subject: SubjectId, index: Option<usize>) -> Result<RecordEncoder<'_>, ItemError> {
        self.prepare(index)?;
        // the decoder's subjects and the mappings come from the same schema set
        let mapping = self.mappings.get(usize::from(subject.0));
        let (table, mapping) = mapping.ok_or(ItemError::Name("the record's subject has no mapping"))?;
        let limits = DraftLimits { memory: self.budget, size: self.message.operation.max_record_bytes() };
        let Self { time, message, id, .. } = self;
        let origin = Origin { subject, index, table: *table, mapping, message, time, id };
        RecordEncoder::new(origin, (&mut self.items, limits), &mut self.tracked)
    }
}
