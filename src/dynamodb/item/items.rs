//! The writes of an event, and the buffer that holds their bytes. The draft of the current item is at the end of the
//! buffer.

use super::super::mapping::TableId;
use super::canonical::push_canonical;
use crate::record::{Interruption, ItemError, Name, SubjectId};
use crate::write::WriteKind;
use std::ops::Range;
use std::sync::Arc;

/// Memory of an item in addition to its encoded bytes: its entry in this module and its state in the scheduler, in bytes.
pub(super) const ITEM_OVERHEAD_BYTES: usize = 320;

/// Minimum growth of an item between two checks of its limits, in bytes.
const CHECK_STEP_BYTES: usize = 4 * 1024;

/// One write: the location of its bytes, and the operation.
#[derive(Debug, Clone)]
pub struct Item {
    /// Position of its message in the event.
    pub message: usize,
    pub(crate) table: TableId,
    pub(crate) kind: WriteKind,
    pub(super) place: Place,
    /// The version, if it comes from the order of the messages.
    pub(crate) order: Option<u128>,
    pub(crate) subject: SubjectId,
}

/// The location of one write's bytes.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The attributes as a JSON object. For a deletion, only the key attributes.
    attributes: Range<usize>,
    /// The key in canonical form.
    key: Range<usize>,
    /// The value of the version, if the mapping has one. In that case only a condition may decide between two writes of the
    /// same key.
    version: Option<Range<usize>>,
}

/// The writes of an event, and the buffers that hold their bytes.
#[derive(Debug, Default)]
pub struct Items {
    bytes: Vec<u8>,
    keys: Vec<u8>,
    items: Vec<Item>,
}

impl Items {
    /// Returns the writes, in the order of their messages.
    pub fn as_slice(&self) -> &[Item] {
        &self.items
    }

    /// Returns the attributes of an item as a JSON object. For a deletion, these are only the key attributes.
    pub fn attributes(&self, item: &Item) -> &[u8] {
        self.bytes.get(item.place.attributes.clone()).unwrap_or_default()
    }

    pub(crate) fn key(&self, item: &Item) -> &[u8] {
        self.keys.get(item.place.key.clone()).unwrap_or_default()
    }

    pub(crate) fn version(&self, item: &Item) -> Option<&[u8]> {
        self.bytes.get(item.place.version.clone()?)
    }

    /// Returns the approximate memory used by the items, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.bytes.len() + self.keys.len() + self.items.len() * ITEM_OVERHEAD_BYTES
    }

    /// Creates an empty collection with a capacity of `bytes`.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Returns the number of bytes written so far, including a draft.
    pub(super) fn written(&self) -> usize {
        self.bytes.len()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Returns whether the last item belongs to the message at `position`.
    pub(super) fn end_with(&self, position: usize) -> bool {
        self.items.last().is_some_and(|item| item.message == position)
    }

    /// Removes the draft and the items of the message at `position`, which must be the last one.
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

/// A position in a draft to which the draft can be reset.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    /// Length of the buffer at this point, in bytes.
    pub(super) at: usize,
    size: usize,
}

/// The limits of a draft.
#[derive(Debug, Clone, Copy)]
pub(super) struct DraftLimits {
    /// Maximum total memory of all items of the event, in bytes.
    pub(super) memory: usize,
    /// Maximum size of the draft, in bytes as DynamoDB counts them.
    pub(super) size: usize,
}

/// The current item. If it is dropped before [`finish`](Self::finish), the next draft overwrites it.
#[derive(Debug)]
pub(super) struct Draft<'r> {
    items: &'r mut Items,
    start: usize,
    keys_start: usize,
    /// Current size, in bytes as DynamoDB counts them.
    size: usize,
    limits: DraftLimits,
    /// Length of the buffer at which the limits are checked again, in bytes.
    check_at: usize,
}

impl<'r> Draft<'r> {
    /// Starts an item after those of `items`.
    pub(super) fn new(items: &'r mut Items, limits: DraftLimits) -> Self {
        items.discard_draft();
        let (start, keys_start) = (items.bytes.len(), items.keys.len());
        items.bytes.push(b'{');
        Self { items, start, keys_start, size: 0, limits, check_at: 0 }
    }

    /// Starts the item again after the bytes written so far. Those bytes stay, so that values can be copied from them.
    pub(super) fn restart(&mut self) {
        self.start = self.items.bytes.len();
        self.items.bytes.push(b'{');
    }

    /// Returns the bytes of the event. The draft is at the end.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.items.bytes
    }

    /// Returns the buffer of the event, for appending.
    #[inline]
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.items.bytes
    }

    /// Returns the position of the next byte.
    #[inline]
    pub(super) fn position(&self) -> usize {
        self.items.bytes.len()
    }

    /// Returns the current size, in bytes as DynamoDB counts them.
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

    /// Undoes everything written and counted since `mark`.
    pub(super) fn return_to(&mut self, mark: Mark) {
        self.items.bytes.truncate(mark.at);
        self.size = mark.size;
    }

    /// Checks the limits if `len` more bytes might exceed one. Must be called before each write, so that an item that is
    /// too large is detected early.
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
        // a value in JSON takes at least as many bytes as DynamoDB counts for it
        let Some(left) = self.limits.size.checked_sub(self.size + len) else {
            return Err(ItemError::TooLarge { bytes: self.size + len, limit: self.limits.size });
        };
        self.check_at = bytes.saturating_add(left.max(CHECK_STEP_BYTES)).min(budget);
        Ok(())
    }

    /// Adds an attribute whose value has `len` bytes as DynamoDB counts them. Returns the range of the value.
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

    /// Removes the comma after the last value of a collection.
    #[inline]
    pub(super) fn take_comma(&mut self) {
        if self.items.bytes.last() == Some(&b',') {
            self.items.bytes.pop();
        }
    }

    /// Appends a value to the item's key. `value` returns it in DynamoDB JSON, given the bytes of the event.
    pub(super) fn push_key<'b>(&'b mut self, value: impl FnOnce(&'b [u8]) -> &'b [u8]) {
        let Items { bytes, keys, .. } = &mut *self.items;
        push_canonical(keys, value(bytes));
    }

    /// Completes the item. `version` is the range of its version. `item` creates its entry, given the location of its
    /// bytes.
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

/// A reference to one item of an event.
#[derive(Debug, Clone)]
pub(crate) struct ItemRef {
    items: Arc<Items>,
    index: usize,
}

impl ItemRef {
    /// Creates a reference to the item at `index`, or returns `None` if there is no such item.
    pub(crate) fn new(items: &Arc<Items>, index: usize) -> Option<Self> {
        (index < items.items.len()).then(|| Self { items: Arc::clone(items), index })
    }

    #[expect(clippy::indexing_slicing, reason = "`new` has checked the index")]
    pub(crate) fn item(&self) -> &Item {
        &self.items.items[self.index]
    }

    /// Returns the attributes as a JSON object. For a deletion, these are only the key attributes.
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
