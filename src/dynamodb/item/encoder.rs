//! The encoder of an event: its records become DynamoDB JSON as they are decoded, appended to one buffer.
//!
//! State is split by its lifetime. [`ItemEncoder`] lives as long as the event, and owns the memory that is reused. [`Message`] is
//! replaced with each message. [`RecordEncoder`] is built for each record and borrows that memory, so that nothing of one
//! record can reach the next.

use super::super::mapping::{Mapping, PROCESSED_AT, TableId};
use super::items::{DraftLimits, Items};
use super::message::{Message, MessageStamps, Operation};
use super::origin::{Origin, WriteTime};
use super::record::RecordEncoder;
use super::tracked::TrackedBuffers;
use crate::record::{Interruption, ItemError, RecordSink, SubjectId};
use std::time::Duration;

/// Writes records as items. Set the message first, then let a decoder drive it.
pub struct ItemEncoder<'a> {
    mappings: &'a [(TableId, Mapping)],
    time: WriteTime,
    items: Items,
    /// Maximum memory of all items.
    budget: usize,
    /// Whether the deadline has passed.
    is_over: Option<&'a dyn Fn() -> bool>,
    /// The stamps of the message that is started next.
    stamps: MessageStamps,
    message: Message<'a>,
    tracked: TrackedBuffers,
    id: String,
}

impl<'a> ItemEncoder<'a> {
    /// `mappings` are those of the decoder's subjects, in their order; `now` is the time since the Unix epoch;
    /// `capacity` is a guess of the bytes to come.
    pub fn new(mappings: &'a [(TableId, Mapping)], now: Duration, capacity: usize) -> Self {
        let attribute = format!("\"{PROCESSED_AT}\":{{\"N\":\"{}.{:03}\"}},", now.as_secs(), now.subsec_millis());
        Self {
            mappings,
            time: WriteTime { now, attribute },
            items: Items::with_capacity(capacity),
            budget: usize::MAX,
            is_over: None,
            stamps: MessageStamps::default(),
            message: Message::default(),
            tracked: TrackedBuffers::default(),
            id: String::new(),
        }
    }

    /// The message to start next has these stamps.
    pub fn stamp_message(&mut self, stamps: MessageStamps) {
        self.stamps = stamps;
    }

    /// Interrupts the message with which all items would take more than `bytes`.
    #[must_use]
    pub fn within(self, bytes: usize) -> Self {
        Self { budget: bytes, ..self }
    }

    /// Interrupts a message of several records when `is_over` says so.
    #[must_use]
    pub fn until(self, is_over: &'a dyn Fn() -> bool) -> Self {
        Self { is_over: Some(is_over), ..self }
    }

    /// The records to come are those of the message at `position` in the event.
    pub fn start_message(&mut self, position: usize, id: &'a str, operation: Operation) {
        self.message = Message { position, id, operation, stamps: self.stamps };
    }

    /// Takes back whatever the message at `position`, the last one, has written: it is stored only if all its records are.
    pub fn discard_message(&mut self, position: usize) {
        self.items.discard_message(position);
    }

    /// Returns the size of what was written so far.
    pub(crate) fn bytes(&self) -> usize {
        self.items.written()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.items.capacity()
    }

    /// All that was written.
    pub fn finish_event(self) -> Items {
        self.items
    }

    /// Prepares for a record: whatever an earlier reading of the message has written is void, and a later record of a container
    /// is not begun after the deadline.
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
        // the decoder's subjects and the mappings are made from one schema set
        let mapping = self.mappings.get(usize::from(subject.0));
        let (table, mapping) = mapping.ok_or(ItemError::Name("the record's subject has no mapping"))?;
        let limits = DraftLimits { memory: self.budget, size: self.message.operation.max_record_bytes() };
        let Self { time, message, id, .. } = self;
        let origin = Origin { subject, index, table: *table, mapping, message, time, id };
        RecordEncoder::new(origin, (&mut self.items, limits), &mut self.tracked)
    }
}
