//! The encoder's language: each value a decoder tells of, as DynamoDB JSON.

use super::super::mapping::Layout;
use super::super::number;
use super::encoder::{
    COLLECTION_OVERHEAD, ELEMENT_OVERHEAD, ItemEncoder, LEAST_NUMBER_BYTES, Omission, TrackedKind, TrackedValue,
};
use super::{MAX_DEPTH, MAX_NAME_BYTES};
use crate::record::{ItemError, Name, RecordVisitor, SubjectId, TrackedField};
use crate::{calendar, json};
use std::ops::Range;
use uuid::Uuid;

impl ItemEncoder<'_> {
    /// Writes a value that holds no other, with a comma behind it, and remembers it if it is tracked.
    fn scalar(
        &mut self,
        kind: TrackedKind,
        len: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), ItemError>,
    ) -> Result<(), ItemError> {
        self.check_depth()?;
        self.reserve(len)?;
        let start = self.out.bytes.len();
        write(&mut self.out.bytes)?;
        self.size += len;
        if self.pending != 0 {
            self.remember(kind, len, start..self.out.bytes.len() - 1);
        }
        Ok(())
    }

    #[cold]
    fn remember(&mut self, kind: TrackedKind, len: usize, written: Range<usize>) {
        for (field, slot) in self.tracked.iter_mut().enumerate() {
            if self.pending & (1 << field) != 0 {
                *slot = Some(TrackedValue { kind, len, written: written.clone(), is_kept: false });
            }
        }
        self.pending = 0;
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
        if self.pending != 0 {
            let at = self.out.bytes.len();
            self.remember(TrackedKind::Other, 0, at..at);
        }
        self.check_depth()?;
        self.reserve(0)?;
        self.depth += 1;
        self.size += COLLECTION_OVERHEAD;
        self.out.bytes.extend_from_slice(text);
        Ok(())
    }

    /// A value at this place is one level below what holds it.
    fn check_depth(&self) -> Result<(), ItemError> {
        if self.depth < MAX_DEPTH { Ok(()) } else { Err(ItemError::TooDeep { limit: MAX_DEPTH }) }
    }

    fn close(&mut self, text: &[u8]) -> Result<(), ItemError> {
        self.depth = self.depth.saturating_sub(1);
        self.take_comma();
        self.out.bytes.extend_from_slice(text);
        Ok(())
    }

    pub(super) fn take_comma(&mut self) {
        if self.out.bytes.last() == Some(&b',') {
            self.out.bytes.pop();
        }
    }
}

impl RecordVisitor for ItemEncoder<'_> {
    fn begin(&mut self, subject: SubjectId, index: Option<usize>) -> Result<(), ItemError> {
        self.begin_item(subject, index)
    }

    fn finish(&mut self) -> Result<(), ItemError> {
        self.finish_item()
    }

    fn null(&mut self) -> Result<(), ItemError> {
        if self.omits_nulls
            && let Some((start, size)) = self.member.take()
        {
            self.out.bytes.truncate(start);
            self.size = size;
            if self.pending != 0 {
                self.remember(TrackedKind::Null, 0, start..start);
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
        // ten bytes are the least a date has
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
        self.size += ELEMENT_OVERHEAD;
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
            1..=MAX_NAME_BYTES => self.size += key.len() + ELEMENT_OVERHEAD,
            _ => return Err(ItemError::Name("a map has a key longer than an attribute name may be")),
        }
        self.reserve(key.len())?;
        json::push_string(&mut self.out.bytes, key);
        self.out.bytes.push(b':');
        Ok(())
    }

    fn map_end(&mut self) -> Result<(), ItemError> {
        self.close(b"}},")
    }

    fn record_start(&mut self) -> Result<(), ItemError> {
        if self.layout == Layout::Attributes && self.depth == 0 && !self.in_item {
            // the item's own braces are the record's
            self.in_item = true;
            return Ok(());
        }
        self.open(b"{\"M\":{")
    }

    fn field(&mut self, name: &Name) -> Result<(), ItemError> {
        if self.omission.is_some() {
            self.end_omission(self.depth);
        }
        self.member = Some((self.out.bytes.len(), self.size));
        if name.is_omitted() && self.omission.is_none() {
            self.omission = Some(Omission { start: self.out.bytes.len(), size: self.size, depth: self.depth });
        }
        let overhead = if self.in_item && self.depth == 0 { 0 } else { ELEMENT_OVERHEAD };
        self.size += name.text().len() + overhead;
        self.out.bytes.extend_from_slice(name.member().as_bytes());
        Ok(())
    }

    fn tracked_field(&mut self, field: TrackedField) -> Result<(), ItemError> {
        self.pending |= 1 << field.0;
        Ok(())
    }

    fn record_end(&mut self) -> Result<(), ItemError> {
        if self.omission.is_some() {
            self.end_omission(self.depth);
        }
        if self.in_item && self.depth == 0 {
            return Ok(());
        }
        self.close(b"}},")
    }
}
