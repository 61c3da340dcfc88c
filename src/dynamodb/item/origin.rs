//! The origin of a record: everything about its item that is known before its first value.

use super::super::mapping::{Mapping, TableId};
use super::message::Message;
use crate::record::SubjectId;
use std::time::Duration;

/// The time at which the items of an event are written.
#[derive(Debug)]
pub(super) struct EventTime {
    /// The time since the Unix epoch.
    pub(super) now: Duration,
    /// The attribute with this time, as JSON with a trailing comma.
    pub(super) attribute: String,
}

/// The subject, the message and the mapping of a record.
#[derive(Debug)]
pub(super) struct Origin<'r> {
    pub(super) subject: SubjectId,
    /// Index of the record in its container, or `None` if the message is a single record.
    pub(super) index: Option<usize>,
    pub(super) table: TableId,
    pub(super) mapping: &'r Mapping,
    pub(super) message: &'r Message<'r>,
    pub(super) time: &'r EventTime,
    /// Memory for a key made from the message's id, reused for all records.
    pub(super) id: &'r mut String,
}
