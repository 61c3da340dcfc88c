//! The key attributes of an item, made from a field, from a template, or from the message's id.

use super::super::mapping::{Key, KeySource, Part, Template};
use super::items::Draft;
use super::message::Operation;
use super::origin::Origin;
use super::tracked::{Tracked, TrackedKind};
use crate::json;
use crate::record::{ItemError, TrackedField};
use std::fmt::Write;

/// Number of bytes before the text of a value in DynamoDB JSON, `{"S":"` or `{"N":"`. [`BEHIND_TEXT`] is the number of
/// bytes after it, `"}`.
const BEFORE_TEXT: usize = 6;
const BEHIND_TEXT: usize = 2;

/// Checks the key in `field`, whose maximum length is `limit` bytes. Appends its canonical form to the item's key. Also
/// adds its attribute to the item, if the item does not contain it yet.
pub(super) fn write(
    key: &Key,
    (field, limit): (TrackedField, usize),
    origin: &mut Origin<'_>,
    draft: &mut Draft<'_>,
    tracked: &Tracked<'_>,
) -> Result<(), ItemError> {
    let written = match &key.source {
        KeySource::MessageId => {
            write_message_id(key, origin, draft);
            Ok(())
        }
        KeySource::Template(template) => write_template(key, (template, limit), draft, tracked),
        KeySource::Field { in_place } => {
            let is_in_item = *in_place && origin.message.operation == Operation::Put;
            write_field(key, (field, limit), is_in_item, draft, tracked)
        }
    };
    written.map_err(|problem| ItemError::Key { attribute: key.attribute.text().into(), problem })
}

fn write_field(
    key: &Key,
    (field, limit): (TrackedField, usize),
    is_in_item: bool,
    draft: &mut Draft<'_>,
    tracked: &Tracked<'_>,
) -> Result<(), &'static str> {
    let value = tracked.get(field).ok_or("is missing")?;
    match value.kind {
        TrackedKind::Null => return Err("is null"),
        TrackedKind::Other => return Err("is no string, number or binary"),
        TrackedKind::Text | TrackedKind::Binary if value.len == 0 => return Err("is empty"),
        TrackedKind::Text | TrackedKind::Binary if value.len > limit => return Err("is longer than a key may be"),
        TrackedKind::Text | TrackedKind::Binary | TrackedKind::Number(_) => {}
    }
    draft.push_key(|bytes| tracked.json(value, bytes));
    if !is_in_item {
        draft.attribute(&key.attribute, value.len, |out| tracked.copy(value, value.written.clone(), out));
    }
    Ok(())
}

/// Writes a key made from the message's id and, in a container, from the index of the record.
fn write_message_id(key: &Key, origin: &mut Origin<'_>, draft: &mut Draft<'_>) {
    let id = &mut *origin.id;
    id.clear();
    id.push_str(origin.message.id);
    if let Some(index) = origin.index {
        // writing to memory cannot fail
        let _ = write!(id, "#{index}");
    }
    let written = draft.attribute(&key.attribute, id.len(), |out| {
        out.extend_from_slice(b"{\"S\":");
        json::push_string(out, id);
        out.push(b'}');
    });
    draft.push_key(|bytes| bytes.get(written).unwrap_or_default());
}

fn write_template(
    key: &Key,
    (template, limit): (&Template, usize),
    draft: &mut Draft<'_>,
    tracked: &Tracked<'_>,
) -> Result<(), &'static str> {
    let len = template_len(template, tracked)?;
    if len > limit {
        return Err("is longer than a key may be");
    }
    let written = draft.attribute(&key.attribute, len, |out| {
        out.extend_from_slice(b"{\"S\":\"");
        for part in template.parts() {
            match part {
                Part::Text { escaped, .. } => out.extend_from_slice(escaped),
                Part::Field(field) => {
                    if let Some(value) = tracked.get(*field) {
                        let text = value.written.start + BEFORE_TEXT..value.written.end.saturating_sub(BEHIND_TEXT);
                        tracked.copy(value, text, out);
                    }
                }
            }
        }
        out.extend_from_slice(b"\"}");
    });
    draft.push_key(|bytes| bytes.get(written).unwrap_or_default());
    Ok(())
}

/// Returns the length of the key that `template` generates, in bytes as DynamoDB counts them.
fn template_len(template: &Template, tracked: &Tracked<'_>) -> Result<usize, &'static str> {
    let mut sum = 0;
    for part in template.parts() {
        sum += match part {
            Part::Text { len, .. } => *len,
            Part::Field(field) => {
                let value = tracked.get(*field).ok_or("has a field in its template that is missing")?;
                match value.kind {
                    TrackedKind::Text if value.len > 0 => value.len,
                    TrackedKind::Text => return Err("has a field in its template that is empty"),
                    TrackedKind::Number(_) => value.written.len().saturating_sub(BEFORE_TEXT + BEHIND_TEXT),
                    TrackedKind::Null => return Err("has a field in its template that is null"),
                    TrackedKind::Binary | TrackedKind::Other => {
                        return Err("has a field in its template that is no string or number");
                    }
                }
            }
        };
    }
    Ok(sum)
}
