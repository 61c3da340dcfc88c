//! The final steps of a record: adds the attributes that are not fields of the record.

use super::super::mapping::{self, Mapping, PARTITION_KEY, PROCESSED_AT, SORT_KEY, VERSION, Version};
use super::items::{Draft, Item};
use super::limits::{LEAST_NUMBER_BYTES, MAX_PARTITION_KEY_BYTES, MAX_SORT_KEY_BYTES};
use super::message::{Message, Operation};
use super::origin::Origin;
use super::tracked::{Tracked, TrackedKind, TrackedValue};
use super::{key, ttl};
use crate::record::{ItemError, Name};
use crate::write::WriteKind;
use std::ops::Range;

/// Completes the item in `draft`, using the tracked values of its record.
pub(super) fn finish(mut origin: Origin<'_>, mut draft: Draft<'_>, mut tracked: Tracked<'_>) -> Result<(), ItemError> {
    let (mapping, message) = (origin.mapping, origin.message);
    if let Some(ttl) = &mapping.ttl
        && message.operation == Operation::Put
    {
        ttl::write(ttl, origin.time.now, &mut draft, &mut tracked)?;
    }
    let order = message_order(mapping, message)?;
    let written_order = match message.operation {
        Operation::Put => {
            write_time(&origin, &mut draft);
            order.map(|(attribute, order)| draft.attribute(attribute, LEAST_NUMBER_BYTES, |out| push_order(out, order)))
        }
        Operation::Delete => {
            let written = order.map(|(_, order)| {
                let start = draft.position();
                push_order(draft.out(), order);
                start..draft.position()
            });
            // the record's bytes stay before the item, because the key is copied from them
            draft.restart();
            written
        }
    };
    key::write(&mapping.partition_key, (PARTITION_KEY, MAX_PARTITION_KEY_BYTES), &mut origin, &mut draft, &tracked)?;
    if let Some(key) = &mapping.sort_key {
        key::write(key, (SORT_KEY, MAX_SORT_KEY_BYTES), &mut origin, &mut draft, &tracked)?;
    }
    let version = match &mapping.version {
        None => None,
        Some(Version::Message { .. }) => written_order,
        Some(Version::Field { path, .. }) => version_of_field(path, message.operation, &tracked)?,
    };
    let kind = kind(message.operation, mapping.write, version.is_some());
    draft.finish(version, |place| Item {
        message: message.position,
        table: origin.table,
        kind,
        place,
        order: order.map(|(_, order)| order),
        subject: origin.subject,
    })
}

/// Returns the position of the message in the message order and the attribute that stores it, if the version comes from the
/// message.
fn message_order<'m>(mapping: &'m Mapping, message: &Message<'_>) -> Result<Option<(&'m Name, u128)>, ItemError> {
    match &mapping.version {
        Some(Version::Message { attribute, order }) => {
            Ok(Some((attribute, message.place_in(*order, attribute.text())?)))
        }
        _ => Ok(None),
    }
}

fn write_time(origin: &Origin<'_>, draft: &mut Draft<'_>) {
    draft.count(PROCESSED_AT.len() + LEAST_NUMBER_BYTES);
    draft.out().extend_from_slice(origin.time.attribute.as_bytes());
}

fn push_order(out: &mut Vec<u8>, order: u128) {
    out.extend_from_slice(b"{\"N\":\"");
    out.extend_from_slice(itoa::Buffer::new().format(order).as_bytes());
    out.extend_from_slice(b"\"}");
}

/// Returns the range of the version's value, given that the version is the field at `path`. The record of a deletion may
/// lack it, because it may consist of the key only.
fn version_of_field(
    path: &str,
    operation: Operation,
    tracked: &Tracked<'_>,
) -> Result<Option<Range<usize>>, ItemError> {
    match tracked.get(VERSION) {
        Some(TrackedValue {
            kind: TrackedKind::Text | TrackedKind::Number(_) | TrackedKind::Binary, written, ..
        }) => Ok(Some(written.clone())),
        _ if operation == Operation::Delete => Ok(None),
        _ => Err(ItemError::Mapping { attribute: path.into(), problem: "is the version and is missing" }),
    }
}

/// Returns the kind of the write.
fn kind(operation: Operation, write: mapping::Write, has_version: bool) -> WriteKind {
    match (operation, write) {
        (Operation::Put, mapping::Write::Create) => WriteKind::Create,
        (Operation::Put, mapping::Write::Put) if has_version => WriteKind::PutIfNewer,
        (Operation::Put, mapping::Write::Put) => WriteKind::Put,
        (Operation::Delete, _) if has_version => WriteKind::DeleteIfNewer,
        (Operation::Delete, _) => WriteKind::Delete,
    }
}
