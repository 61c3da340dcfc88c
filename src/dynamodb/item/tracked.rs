//! The values of a record that its mapping asks for: keys, a time to live, a version. Each is remembered as the range it was
//! written to, so that its use is a copy of bytes.

use crate::record::TrackedField;
use std::ops::Range;

/// The kind of value that was written in a tracked field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TrackedKind {
    Text,
    Number(Option<i64>),
    Binary,
    Null,
    Other,
}

#[derive(Debug, Clone)]
pub(super) struct TrackedValue {
    pub(super) kind: TrackedKind,
    /// Bytes of the value itself, before escapes and base64.
    pub(super) len: usize,
    /// Where it was written: in the items' bytes, or in those kept of fields that the item omits.
    pub(super) written: Range<usize>,
    is_kept: bool,
}

/// Memory that is reused from record to record.
#[derive(Debug, Default)]
pub(super) struct TrackedBuffers {
    values: Vec<Option<TrackedValue>>,
    kept: Vec<u8>,
}

/// The tracked values of one record.
#[derive(Debug)]
pub(super) struct Tracked<'r> {
    values: &'r mut [Option<TrackedValue>],
    /// The bytes of values in fields that the item omits.
    kept: &'r mut Vec<u8>,
    /// A bit for each field whose value comes next.
    pending: u32,
}

impl<'r> Tracked<'r> {
    /// Expects the values of `places` fields.
    pub(super) fn new(buffers: &'r mut TrackedBuffers, places: usize) -> Self {
        let TrackedBuffers { values, kept } = buffers;
        values.clear();
        values.resize(places, None);
        kept.clear();
        Self { values, kept, pending: 0 }
    }

    /// The next value is that of `field`.
    pub(super) fn expect(&mut self, field: TrackedField) {
        self.pending |= 1 << field.0;
    }

    /// Whether the next value is that of a tracked field.
    #[inline]
    pub(super) fn is_pending(&self) -> bool {
        self.pending != 0
    }

    /// Remembers the value of `len` bytes at `written` for the fields that expect one.
    #[cold]
    pub(super) fn remember(&mut self, kind: TrackedKind, len: usize, written: Range<usize>) {
        for (field, slot) in self.values.iter_mut().enumerate() {
            if self.pending & (1 << field) != 0 {
                *slot = Some(TrackedValue { kind, len, written: written.clone(), is_kept: false });
            }
        }
        self.pending = 0;
    }

    pub(super) fn get(&self, field: TrackedField) -> Option<&TrackedValue> {
        self.values.get(usize::from(field.0))?.as_ref()
    }

    /// Returns the DynamoDB JSON of `value`, whose item is in `item_bytes`.
    pub(super) fn json<'b>(&'b self, value: &TrackedValue, item_bytes: &'b [u8]) -> &'b [u8] {
        let bytes = if value.is_kept { &*self.kept } else { item_bytes };
        bytes.get(value.written.clone()).unwrap_or_default()
    }

    /// Appends the part `range` of what `value` was written to.
    pub(super) fn copy(&self, value: &TrackedValue, range: Range<usize>, out: &mut Vec<u8>) {
        if value.is_kept {
            out.extend_from_slice(self.kept.get(range).unwrap_or_default());
        } else {
            out.extend_from_within(range);
        }
    }

    /// Keeps the values written from `start` on, whose field is about to be taken out of `item_bytes`.
    pub(super) fn keep_from(&mut self, start: usize, item_bytes: &[u8]) {
        for value in self.values.iter_mut().flatten() {
            if !value.is_kept && value.written.start >= start {
                let kept = self.kept.len();
                self.kept.extend_from_slice(item_bytes.get(value.written.clone()).unwrap_or_default());
                (value.written, value.is_kept) = (kept..self.kept.len(), true);
            }
        }
    }

    /// Adjusts the values behind `replaced`, which `len` bytes have replaced.
    pub(super) fn shift(&mut self, replaced: &Range<usize>, len: usize) {
        let Range { start, end } = *replaced;
        for value in self.values.iter_mut().flatten().filter(|value| !value.is_kept) {
            if value.written.start >= end {
                value.written = (value.written.start - end + start + len)..(value.written.end - end + start + len);
            } else if value.written.start == start {
                value.written.end = start + len;
            }
        }
    }
}
