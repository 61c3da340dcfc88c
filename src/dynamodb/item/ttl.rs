//! The time to live of an item.

use super::super::mapping::{TTL, Ttl, TtlSource};
use super::super::number;
use super::items::Draft;
use super::limits::LEAST_NUMBER_BYTES;
use super::tracked::{Tracked, TrackedKind};
use crate::record::ItemError;
use std::time::Duration;

const SECONDS_A_DAY: i64 = 86_400;

/// Writes the time to live of an item that is stored at `now`. It replaces its field or becomes an attribute of its own.
pub(super) fn write(
    ttl: &Ttl,
    now: Duration,
    draft: &mut Draft<'_>,
    tracked: &mut Tracked<'_>,
) -> Result<(), ItemError> {
    let Some(seconds) = seconds(ttl, now, tracked)? else { return Ok(()) };
    let mut text = Vec::with_capacity(32);
    text.extend_from_slice(b"{\"N\":\"");
    number::push_long(&mut text, seconds);
    text.extend_from_slice(b"\"}");
    match tracked.get(TTL).map(|field| field.written.clone()) {
        Some(written) if ttl.in_place => {
            tracked.shift(&written, text.len());
            draft.out().splice(written, text);
        }
        _ => {
            draft.attribute(&ttl.attribute, LEAST_NUMBER_BYTES, |out| out.extend_from_slice(&text));
        }
    }
    Ok(())
}

/// Returns the expiry time in seconds since the Unix epoch, or `None` if its field is missing or null, so that the item
/// never expires.
fn seconds(ttl: &Ttl, now: Duration, tracked: &Tracked<'_>) -> Result<Option<i64>, ItemError> {
    match ttl.source {
        TtlSource::Days(days) => {
            Ok(Some(i64::try_from(now.as_secs()).unwrap_or(i64::MAX) + i64::from(days) * SECONDS_A_DAY))
        }
        TtlSource::Field { per_second } => match tracked.get(TTL).map(|field| field.kind) {
            None | Some(TrackedKind::Null) => Ok(None),
            Some(TrackedKind::Number(Some(value))) => Ok(Some(value.div_euclid(per_second))),
            Some(_) => {
                let problem = "is no whole number of seconds";
                Err(ItemError::Mapping { attribute: ttl.attribute.text().into(), problem })
            }
        },
    }
}
