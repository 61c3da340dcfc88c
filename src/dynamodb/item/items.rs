//! The writes of an event and the bytes they share, of which the last are the draft of the item under way.

use super::super::mapping::TableId;
use super::canonical::push_canonical;
use crate::record::{Interruption, ItemError, Name, SubjectId};
use crate::write::WriteKind;
use std::ops::Range;
use std::sync::Arc;

/// Memory of an item beside its bytes, for its entry here and its state in the scheduler.
pub(super) const ITEM_OVERHEAD_BYTES: usize = 320;

/// Minimum growth of an item, in bytes, between two checks of its limits.
const CHECK_STEP_BYTES: usize = 4 * 1024;

/// One write: where its bytes are, and what is to be done with them.
#[derive(Debug, Clone)]
pub struct Item {
    /// Position of its message in the event.
    pub message: usize,
    pub(crate) table: TableId,
    pub(crate) kind: WriteKind,
    pub(super) place: Place,
    /// The version, where it is the order of the messages.
    pub(crate) order: Option<u128>,
    pub(crate) subject: SubjectId,
}

/// The bytes of one write among those of its event.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Its attributes as a JSON object; of a deletion, its key's.
    attributes: Range<usize>,
    /// Its key, spelled so that equal keys are equal bytes.
    key: Range<usize>,
    /// The version's value, if its mapping has one: then only a condition may decide between two writes of its key.
    version: Option<Range<usize>>,
}

/// The writes of an event and the bytes they share.
#[derive(Debug, Default)]
pub struct Items {
    bytes: Vec<u8>,
    keys: Vec<u8>,
    items: Vec<Item>,
}

impl Items {
    /// The writes, in the order of their messages.
    pub fn as_slice(&self) -> &[Item] {
        &self.items
    }

    /// The attributes of one of them as a JSON object; of a deletion, its key's.
    pub fn attributes(&self, item: &Item) -> &[u8] {
        self.bytes.get(item.place.attributes.clone()).unwrap_or_default()
    }

    pub(crate) fn key(&self, item: &Item) -> &[u8] {
        self.keys.get(item.place.key.clone()).unwrap_or_default()
    }

    pub(crate) fn version(&self, item: &Item) -> Option<&[u8]> {
        self.bytes.get(item.place.version.clone()?)
    }

    /// Returns about how much memory the items take.
    pub(crate) fn memory(&self) -> usize {
        self.bytes.len() + self.keys.len() + self.items.len() * ITEM_OVERHEAD_BYTES
    }

    /// Returns no items, with room for `bytes`.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Returns the number of bytes written so far, those of a draft included.
    pub(super) fn written(&self) -> usize {
        self.bytes.len()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Whether the last item is one of the message at `position`.
    pub(super) fn end_with(&self, position: usize) -> bool {
        self.items.last().is_some_and(|item| item.message == position)
    }

    /// Removes the items of the message at `position`, the last one, and its draft.
    pub(super) fn discard_message(&mut self, position: usize) {
        let first = self.items.partition_point(|item| item.message < position);
        self.items.truncate(first);
        self.discard_draft();
    }

    fn discard_draft(&mut self) {
        let (bytes, keys) = self.items.last().map_or((0, 0), |item| (item.place.attributes.end, item.place.key.end));
        self.bytes.truncate(bytes);
        self.keys.truncate(keys);
    }
}

/// A point in a draft that it can be taken back to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    /// Position of the first byte after it.
    pub(super) at: usize,
    size: usize,
}

/// The limits of a draft.
#[derive(Debug, Clone, Copy)]
pub(super) struct DraftLimits {
    /// Maximum memory of all items of the event.
    pub(super) memory: usize,
    /// Maximum size of the draft, as the database counts it.
    pub(super) size: usize,
}

/// The item under way. It is void until it is finished: the next draft begins where this one began.
#[derive(Debug)]
pub(super) struct Draft<'r> {
    items: &'r mut Items,
    start: usize,
    keys_start: usize,
    /// The size so far, as the database counts it.
    size: usize,
    limits: DraftLimits,
    /// The number of bytes at which the limits are checked again.
    check_at: usize,
}

impl<'r> Draft<'r> {
    /// Begins an item behind those of `items`.
    pub(super) fn new(items: &'r mut Items, limits: DraftLimits) -> Self {
        items.discard_draft();
        let (start, keys_start) = (items.bytes.len(), items.keys.len());
        items.bytes.push(b'{');
        Self { items, start, keys_start, size: 0, limits, check_at: 0 }
    }

    /// Begins anew behind the bytes written so far, which stay for values to be copied from.
    pub(super) fn restart(&mut self) {
        self.start = self.items.bytes.len();
        self.items.bytes.push(b'{');
    }

    /// Returns the event's bytes, the draft being the last of them.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.items.bytes
    }

    /// Returns the event's bytes to append to.
    #[inline]
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.items.bytes
    }

    /// Returns the position of the next byte.
    #[inline]
    pub(super) fn position(&self) -> usize {
        self.items.bytes.len()
    }

    /// Returns the size so far, as the database counts it.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Adds `bytes` to the size.
    #[inline]
    pub(super) fn count(&mut self, bytes: usize) {
        self.size += bytes;
    }

    #[inline]
    pub(super) fn mark(&self) -> Mark {
        Mark { at: self.position(), size: self.size }
    }

    /// Takes back everything written and counted since `mark`.
    pub(super) fn return_to(&mut self, mark: Mark) {
        self.items.bytes.truncate(mark.at);
        self.size = mark.size;
    }

    /// Checks the limits if `len` more bytes may exceed one. Called while the item grows, so that it never grows far beyond.
    #[inline]
    pub(super) fn reserve(&mut self, len: usize) -> Result<(), ItemError> {
        if self.position() + len <= self.check_at { Ok(()) } else { self.check_limits(len) }
    }

    /// Checks the limits for `len` more bytes.
    #[cold]
    pub(super) fn check_limits(&mut self, len: usize) -> Result<(), ItemError> {
        let overhead = self.items.keys.len() + (self.items.items.len() + 1) * ITEM_OVERHEAD_BYTES;
        let (bytes, budget) = (self.position() + len, self.limits.memory.saturating_sub(overhead));
        if bytes > budget {
            return Err(ItemError::Interrupted(Interruption::Memory));
        }
        // the JSON of a value has at least as many bytes as the database counts
        let Some(left) = self.limits.size.checked_sub(self.size + len) else {
            return Err(ItemError::TooLarge { bytes: self.size + len, limit: self.limits.size });
        };
        self.check_at = bytes.saturating_add(left.max(CHECK_STEP_BYTES)).min(budget);
        Ok(())
    }

    /// Adds an attribute, whose value has `len` bytes as the database counts them. Returns where the value is.
    pub(super) fn attribute(&mut self, name: &Name, len: usize, write: impl FnOnce(&mut Vec<u8>)) -> Range<usize> {
        self.size += name.text().len() + len;
        let out = &mut self.items.bytes;
        out.extend_from_slice(name.member().as_bytes());
        let start = out.len();
        write(out);
        let end = out.len();
        out.push(b',');
        start..end
    }

    /// Removes the comma behind the last value of a collection.
    #[inline]
    pub(super) fn take_comma(&mut self) {
        if self.items.bytes.last() == Some(&b',') {
            self.items.bytes.pop();
        }
    }

    /// Adds to the item's key a value in DynamoDB JSON, which `value` finds, given the event's bytes.
    pub(super) fn push_key<'b>(&'b mut self, value: impl FnOnce(&'b [u8]) -> &'b [u8]) {
        let Items { bytes, keys, .. } = &mut *self.items;
        push_canonical(keys, value(bytes));
    }

    /// Completes the item, whose version is at `version`: `item` describes it, given the place of its bytes.
    pub(super) fn finish(
        mut self,
        version: Option<Range<usize>>,
        item: impl FnOnce(Place) -> Item,
    ) -> Result<(), ItemError> {
        self.take_comma();
        self.items.bytes.push(b'}');
        if self.size > self.limits.size {
            return Err(ItemError::TooLarge { bytes: self.size, limit: self.limits.size });
        }
        let attributes = self.start..self.items.bytes.len();
        let key = self.keys_start..self.items.keys.len();
        self.items.items.push(item(Place { attributes, key, version }));
        Ok(())
    }
}

/// One item among those it shares its bytes with.
#[derive(Debug, Clone)]
pub(crate) struct ItemRef {
    items: Arc<Items>,
    index: usize,
}

impl ItemRef {
    /// Refers to the item at `index`. `None` if there are fewer items.
    pub(crate) fn new(items: &Arc<Items>, index: usize) -> Option<Self> {
        (index < items.items.len()).then(|| Self { items: Arc::clone(items), index })
    }

    #[expect(clippy::indexing_slicing, reason = "`new` has checked the index")]
    pub(crate) fn item(&self) -> &Item {
        &self.items.items[self.index]
    }

    /// Returns its attributes as a JSON object; of a deletion, its key's.
    pub(crate) fn attributes(&self) -> &[u8] {
        self.items.attributes(self.item())
    }

    pub(crate) fn key(&self) -> &[u8] {
        self.items.key(self.item())
    }

    pub(crate) fn version(&self) -> Option<&[u8]> {
        self.items.version(self.item())
    }
}
