//! The origin of a record: everything about its item that is known before its first value.

use super::super::mapping::{Mapping, TableId};
use super::message::Message;
use crate::record::SubjectId;
use std::time::Duration;

/// The time at which the items of an event are written.
#[derive(Debug)]
pub(super) struct WriteTime {
    /// Since the Unix epoch.
    pub(super) now: Duration,
    /// The attribute that stores it, with a comma behind it.
    pub(super) attribute: String,
}

/// The subject, the message and the mapping of a record.
#[derive(Debug)]
pub(super) struct Origin<'r> {
    pub(super) subject: SubjectId,
    /// Its place in its container. `None` if the message is the record.
    pub(super) index: Option<usize>,
    pub(super) table: TableId,
    pub(super) mapping: &'r Mapping,
    pub(super) message: &'r Message<'r>,
    pub(super) time: &'r WriteTime,
    /// Memory for a key that is made of the message's id, reused from record to record.
    pub(super) id: &'r mut String,
}
