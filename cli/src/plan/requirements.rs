//! What is asked of a deployment: ADR-005's figures, or the operator's own.

use serde::Serialize;
use simulation::limits::BYTES_PER_WRITE_UNIT;

/// The load and the targets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Requirements {
    /// Records in a second, all day.
    pub(crate) rate: f64,
    /// Records in a second at the most.
    pub(crate) peak: f64,
    /// Bytes of a record in Avro.
    pub(crate) record_bytes: f64,
    /// Bytes of a record as an item.
    pub(crate) item_bytes: f64,
    pub(crate) records_per_message: f64,
    /// P95 from sending a message to the handler's start, and to its answer.
    pub(crate) delivery_target_ms: f64,
    pub(crate) end_to_end_target_ms: f64,
    /// What SQS and Lambda take for a message beside polling, waiting and running.
    pub(crate) overhead_ms: f64,
}

/// Bytes of a message's frame: an object container's header and sync markers where records are packed, else the single-object header.
const CONTAINER_BYTES: f64 = 200.0;
const SINGLE_OBJECT_BYTES: f64 = 10.0;
/// Base64: four characters for three bytes.
const BASE64: f64 = 4.0 / 3.0;
/// Bytes that an SQS record has in an invocation's event beside its body.
const EVENT_RECORD_BYTES: f64 = 600.0;

impl Requirements {
    /// Bytes of a message as it is sent.
    pub(crate) fn message_bytes(&self) -> f64 {
        let frame = if self.records_per_message > 1.0 { CONTAINER_BYTES } else { SINGLE_OBJECT_BYTES };
        (self.record_bytes * self.records_per_message + frame) * BASE64
    }

    /// Bytes of a message in an invocation's event.
    pub(crate) fn event_bytes(&self) -> f64 {
        self.message_bytes() + EVENT_RECORD_BYTES
    }

    pub(crate) fn units_per_message(&self) -> f64 {
        (self.item_bytes / BYTES_PER_WRITE_UNIT).ceil().max(1.0) * self.records_per_message
    }

    /// Messages in a second that carry so many records.
    pub(crate) fn messages(&self, records_per_second: f64) -> f64 {
        records_per_second / self.records_per_message
    }

    /// Write units in a second.
    pub(crate) fn units(&self, records_per_second: f64) -> f64 {
        self.messages(records_per_second) * self.units_per_message()
    }
}
