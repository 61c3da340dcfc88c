//! The encoder of a record: writes each value that a decoder reports as DynamoDB JSON.
//!
//! Each value is written with a trailing comma, and the end of a collection removes the last comma. This way no nesting
//! level needs its own state.

use super::super::mapping::{DATA, Layout, Nulls};
use super::super::number;
use super::finish::finish;
use super::items::{Draft, DraftLimits, Items, Mark};
use super::limits::{COLLECTION_OVERHEAD, ELEMENT_OVERHEAD, LEAST_NUMBER_BYTES, MAX_DEPTH, MAX_NAME_BYTES};
use super::origin::Origin;
use super::tracked::{Tracked, TrackedBuffers, TrackedKind};
use crate::record::{ItemError, Name, RecordVisitor, TrackedField};
use crate::{calendar, json};
use uuid::Uuid;

/// A field that is omitted from the item, and its start.
#[derive(Debug, Clone, Copy)]
struct Omission {
    begin: Mark,
    depth: usize,
}

/// Encodes one record as an item. If it is dropped before it is finished, it leaves no item behind.
#[derive(Debug)]
pub struct RecordEncoder<'r> {
    origin: Origin<'r>,
    draft: Draft<'r>,
    tracked: Tracked<'r>,
    /// Number of open lists and maps, not counting the item itself.
    depth: usize,
    /// Whether the outermost record is open and its fields are the attributes of the item.
    is_in_item: bool,
    /// Whether fields that are null are omitted.
    omits_nulls: bool,
    /// Start of the field whose value comes next.
    member: Option<Mark>,
    /// The outermost open field that is omitted from the item.
    omission: Option<Omission>,
}

impl<'r> RecordEncoder<'r> {
    /// Starts the item of a record after those of `items`.
    pub(super) fn new(
        origin: Origin<'r>,
        (items, limits): (&'r mut Items, DraftLimits),
        buffers: &'r mut TrackedBuffers,
    ) -> Result<Self, ItemError> {
        let mut draft = Draft::new(items, limits);
        if origin.mapping.layout == Layout::Document {
            draft.count(DATA.len());
            draft.out().extend_from_slice(b"\"data\":");
        }
        draft.check_limits(0)?;
        Ok(Self {
            tracked: Tracked::new(buffers, origin.mapping.tracked_places()),
            omits_nulls: origin.mapping.nulls == Nulls::Omit,
            origin,
            draft,
            depth: 0,
            is_in_item: false,
            member: None,
            omission: None,
        })
    }

    /// Returns the current size of the item, in bytes as DynamoDB counts them.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.draft.size()
    }

    /// Writes a value without nested values, with a trailing comma. Records its location if the field is tracked.
    fn scalar(
        &mut self,
        kind: TrackedKind,
        len: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), ItemError>,
    ) -> Result<(), ItemError> {
        self.check_depth()?;
        self.draft.reserve(len)?;
        let start = self.draft.position();
        write(self.draft.out())?;
        self.draft.count(len);
        if self.tracked.is_pending() {
            self.tracked.remember(kind, len, start..self.draft.position() - 1);
        }
        Ok(())
    }

    fn number(
        &mut self,
        long: Option<i64>,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), ItemError>,
    ) -> Result<(), ItemError> {
        self.scalar(TrackedKind::Number(long), LEAST_NUMBER_BYTES, |out| {
            out.extend_from_slice(b"{\"N\":\"");
            write(out)?;
            out.extend_from_slice(b"\"},");
            Ok(())
        })
    }

    fn open(&mut self, text: &[u8]) -> Result<(), ItemError> {
        if self.tracked.is_pending() {
            let at = self.draft.position();
            self.tracked.remember(TrackedKind::Other, 0, at..at);
        }
        self.check_depth()?;
        self.draft.reserve(0)?;
        self.depth += 1;
        self.draft.count(COLLECTION_OVERHEAD);
        self.draft.out().extend_from_slice(text);
        Ok(())
    }

    /// Checks that a value at the current position does not exceed the maximum nesting depth. A value is one level below
    /// its list or map.
    fn check_depth(&self) -> Result<(), ItemError> {
        if self.depth < MAX_DEPTH { Ok(()) } else { Err(ItemError::TooDeep { limit: MAX_DEPTH }) }
    }

    fn close(&mut self, text: &[u8]) -> Result<(), ItemError> {
        self.depth = self.depth.saturating_sub(1);
        self.draft.take_comma();
        self.draft.out().extend_from_slice(text);
        Ok(())
    }

    /// Returns whether the current level is the item itself, so that a field is an attribute.
    fn is_at_attributes(&self) -> bool {
        self.is_in_item && self.depth == 0
    }

    /// Removes the omitted field from the item once its value is complete. Keeps the tracked values in it.
    fn end_omission(&mut self) {
        if let Some(omission) = self.omission
            && omission.depth == self.depth
        {
            self.tracked.keep_from(omission.begin.at, self.draft.bytes());
            self.draft.return_to(omission.begin);
            self.omission = None;
        }
    }
}

impl RecordVisitor for RecordEncoder<'_> {
    fn null(&mut self) -> Result<(), ItemError> {
        if self.omits_nulls
            && let Some(member) = self.member.take()
        {
            self.draft.return_to(member);
            if self.tracked.is_pending() {
                self.tracked.remember(TrackedKind::Null, 0, member.at..member.at);
            }
            return Ok(());
        }
        self.scalar(TrackedKind::Null, 1, |out| {
            out.extend_from_slice(b"{\"NULL\":true},");
            Ok(())
        })
    }

    fn boolean(&mut self, value: bool) -> Result<(), ItemError> {
        self.scalar(TrackedKind::Other, 1, |out| {
            out.extend_from_slice(if value { b"{\"BOOL\":true}," } else { b"{\"BOOL\":false}," });
            Ok(())
        })
    }

    fn long(&mut self, value: i64) -> Result<(), ItemError> {
        self.number(Some(value), |out| {
            number::push_long(out, value);
            Ok(())
        })
    }

    fn float(&mut self, value: f32) -> Result<(), ItemError> {
        self.number(None, |out| number::push_float(out, value))
    }

    fn double(&mut self, value: f64) -> Result<(), ItemError> {
        self.number(None, |out| number::push_double(out, value))
    }

    fn decimal(&mut self, unscaled: &[u8], scale: u32) -> Result<(), ItemError> {
        self.number(None, |out| number::push_decimal(out, unscaled, scale))
    }

    fn date(&mut self, days: i32) -> Result<(), ItemError> {
        // 10 is the minimum length of a date, in bytes
        self.scalar(TrackedKind::Text, 10, |out| {
            out.extend_from_slice(b"{\"S\":\"");
            calendar::push_date(out, days);
            out.extend_from_slice(b"\"},");
            Ok(())
        })
    }

    fn string(&mut self, value: &str) -> Result<(), ItemError> {
        self.scalar(TrackedKind::Text, value.len(), |out| {
            out.extend_from_slice(b"{\"S\":\"");
            json::push_escaped(out, value);
            out.extend_from_slice(b"\"},");
            Ok(())
        })
    }

    fn uuid(&mut self, value: [u8; 16]) -> Result<(), ItemError> {
        let mut text = Uuid::encode_buffer();
        self.string(Uuid::from_bytes(value).hyphenated().encode_lower(&mut text))
    }

    fn bytes(&mut self, value: &[u8]) -> Result<(), ItemError> {
        self.scalar(TrackedKind::Binary, value.len(), |out| {
            out.extend_from_slice(b"{\"B\":\"");
            base64_simd::STANDARD.encode_append(value, out);
            out.extend_from_slice(b"\"},");
            Ok(())
        })
    }

    fn array_start(&mut self) -> Result<(), ItemError> {
        self.open(b"{\"L\":[")
    }

    fn array_item(&mut self) -> Result<(), ItemError> {
        self.member = None;
        self.draft.count(ELEMENT_OVERHEAD);
        Ok(())
    }

    fn array_end(&mut self) -> Result<(), ItemError> {
        self.close(b"]},")
    }

    fn map_start(&mut self) -> Result<(), ItemError> {
        self.open(b"{\"M\":{")
    }

    fn map_key(&mut self, key: &str) -> Result<(), ItemError> {
        self.member = None;
        match key.len() {
            0 => return Err(ItemError::Name("a map has an empty key, which is no attribute name")),
            1..=MAX_NAME_BYTES => self.draft.count(key.len() + ELEMENT_OVERHEAD),
            _ => return Err(ItemError::Name("a map has a key longer than an attribute name may be")),
        }
        self.draft.reserve(key.len())?;
        json::push_string(self.draft.out(), key);
        self.draft.out().push(b':');
        Ok(())
    }

    fn map_end(&mut self) -> Result<(), ItemError> {
        self.close(b"}},")
    }

    fn record_start(&mut self) -> Result<(), ItemError> {
        if self.origin.mapping.layout == Layout::Attributes && self.depth == 0 && !self.is_in_item {
            // the braces of the item are also those of the record
            self.is_in_item = true;
            return Ok(());
        }
        self.open(b"{\"M\":{")
    }

    fn field(&mut self, name: &Name) -> Result<(), ItemError> {
        if self.omission.is_some() {
            self.end_omission();
        }
        let begin = self.draft.mark();
        self.member = Some(begin);
        if name.is_omitted() && self.omission.is_none() {
            self.omission = Some(Omission { begin, depth: self.depth });
        }
        let overhead = if self.is_at_attributes() { 0 } else { ELEMENT_OVERHEAD };
        self.draft.count(name.text().len() + overhead);
        self.draft.out().extend_from_slice(name.member().as_bytes());
        Ok(())
    }

    fn tracked_field(&mut self, field: TrackedField) -> Result<(), ItemError> {
        self.tracked.expect(field);
        Ok(())
    }

    fn record_end(&mut self) -> Result<(), ItemError> {
        if self.omission.is_some() {
            self.end_omission();
        }
        if self.is_at_attributes() {
            return Ok(());
        }
        self.close(b"}},")
    }

    fn finish(self) -> Result<(), ItemError> {
        finish(self.origin, self.draft, self.tracked)
    }
}
