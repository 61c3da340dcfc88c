//! The values of a record that its mapping uses: keys, time to live, version. Each is stored as the range of bytes to which
//! it was written, so that using it only copies bytes.

use crate::record::TrackedField;
use std::ops::Range;

/// The kind of a tracked field's value.
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
    /// Length of the value in bytes, before escaping and base64 encoding.
    pub(super) len: usize,
    /// The range to which it was written: in the buffer of the items or, if the item omits the field, in `kept`.
    pub(super) written: Range<usize>,
    is_kept: bool,
}

/// Memory that is reused for all records.
#[derive(Debug, Default)]
pub(super) struct TrackedBuffers {
    values: Vec<Option<TrackedValue>>,
    kept: Vec<u8>,
}

/// The tracked values of one record.
#[derive(Debug)]
pub(super) struct Tracked<'r> {
    values: &'r mut [Option<TrackedValue>],
    /// The values of tracked fields that the item omits.
    kept: &'r mut Vec<u8>,
    /// A bit for each tracked field whose value comes next.
    pending: u32,
}

impl<'r> Tracked<'r> {
    /// Prepares for the values of `places` fields.
    pub(super) fn new(buffers: &'r mut TrackedBuffers, places: usize) -> Self {
        let TrackedBuffers { values, kept } = buffers;
        values.clear();
        values.resize(places, None);
        kept.clear();
        Self { values, kept, pending: 0 }
    }

    /// Marks the next value as the value of `field`.
    pub(super) fn expect(&mut self, field: TrackedField) {
        self.pending |= 1 << field.0;
    }

    /// Returns whether the next value belongs to a tracked field.
    #[inline]
    pub(super) fn is_pending(&self) -> bool {
        self.pending != 0
    }

    /// Records the value of `len` bytes at `written` for all pending fields.
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

    /// Returns the DynamoDB JSON of `value`. `item_bytes` is the buffer of the items.
    pub(super) fn json<'b>(&'b self, value: &TrackedValue, item_bytes: &'b [u8]) -> &'b [u8] {
        let bytes = if value.is_kept { &*self.kept } else { item_bytes };
        bytes.get(value.written.clone()).unwrap_or_default()
    }

    /// Appends `range` of the buffer that contains `value`.
    pub(super) fn copy(&self, value: &TrackedValue, range: Range<usize>, out: &mut Vec<u8>) {
        if value.is_kept {
            out.extend_from_slice(self.kept.get(range).unwrap_or_default());
        } else {
            out.extend_from_within(range);
        }
    }

    /// Copies the values written at or after `start` to `kept`, because their field is about to be removed from
    /// `item_bytes`.
    pub(super) fn keep_from(&mut self, start: usize, item_bytes: &[u8]) {
        for value in self.values.iter_mut().flatten() {
            if !value.is_kept && value.written.start >= start {
                let kept = self.kept.len();
                self.kept.extend_from_slice(item_bytes.get(value.written.clone()).unwrap_or_default());
                (value.written, value.is_kept) = (kept..self.kept.len(), true);
            }
        }
    }

    /// Moves the ranges of the values after `replaced`, which was replaced by `len` bytes.
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
