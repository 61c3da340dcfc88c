//! Load and targets of a deployment, from docs/requirements.md or the operator.

use serde::Serialize;
use simulation::limits::BYTES_PER_WRITE_UNIT;

/// The load and the targets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Requirements {
    /// Average load over the day, in records per second.
    pub(crate) rate: f64,
    /// Peak load, in records per second.
    pub(crate) peak: f64,
    /// Size of a record in Avro, in bytes.
    pub(crate) record_bytes: f64,
    /// Size of a record as an item, in bytes.
    pub(crate) item_bytes: f64,
    pub(crate) records_per_message: f64,
    /// Targets for the P95 from sending a message to the handler's start, and to its response.
    pub(crate) delivery_target_ms: f64,
    pub(crate) end_to_end_target_ms: f64,
    /// Latency that SQS and Lambda add to each message, in addition to polling, waiting and running.
    pub(crate) overhead_ms: f64,
}

/// Size of a message's framing, in bytes: the header and sync markers of a container with packed records, or the header in
/// single-object encoding.
const CONTAINER_BYTES: f64 = 200.0;
const SINGLE_OBJECT_BYTES: f64 = 10.0;
/// Growth by base64 encoding: four characters for three bytes.
const BASE64: f64 = 4.0 / 3.0;
/// Size of an SQS record in an event without its body, in bytes.
const EVENT_RECORD_BYTES: f64 = 600.0;

impl Requirements {
    /// Returns the size of a message as sent, in bytes.
    pub(crate) fn message_bytes(&self) -> f64 {
        let frame = if self.records_per_message > 1.0 { CONTAINER_BYTES } else { SINGLE_OBJECT_BYTES };
        (self.record_bytes * self.records_per_message + frame) * BASE64
    }

    /// Returns the size of a message in an event, in bytes.
    pub(crate) fn event_bytes(&self) -> f64 {
        self.message_bytes() + EVENT_RECORD_BYTES
    }

    pub(crate) fn units_per_message(&self) -> f64 {
        (self.item_bytes / BYTES_PER_WRITE_UNIT).ceil().max(1.0) * self.records_per_message
    }

    /// Returns the messages per second that carry `records_per_second`.
    pub(crate) fn messages(&self, records_per_second: f64) -> f64 {
        records_per_second / self.records_per_message
    }

    /// Returns the write units per second for `records_per_second`.
    pub(crate) fn units(&self, records_per_second: f64) -> f64 {
        self.messages(records_per_second) * self.units_per_message()
    }
}
