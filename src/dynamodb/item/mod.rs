//! Items: the writes of an event and the bytes they share. `encoder` makes them of records, `value` writes their values.

mod encoder;
mod value;

pub use encoder::ItemEncoder;

use super::mapping::TableId;
use super::number;
use crate::record::SubjectId;
use crate::write::WriteKind;
use std::ops::Range;
use std::sync::Arc;

/// The largest item, in bytes as the database counts them.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html#limits-items>
pub const MAX_ITEM_BYTES: usize = 400 * 1024;
/// The longest partition key, in bytes.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html#limits-partition-sort-keys>
pub const MAX_PARTITION_KEY_BYTES: usize = 2048;
/// The longest sort key, in bytes. Same source.
pub const MAX_SORT_KEY_BYTES: usize = 1024;
/// How deep values may be nested, an attribute's own value being the first level.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html#limits-attributes>
pub const MAX_DEPTH: usize = 32;
/// The longest attribute name, in bytes. Same source.
pub const MAX_NAME_BYTES: usize = 65_535;

/// What a message asks to be done with its records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Operation {
    /// Write each as an item.
    #[default]
    Put,
    /// Delete the item that has each one's key.
    Delete,
}

/// One write: where its bytes are, and what is to be done with them.
#[derive(Debug, Clone)]
pub struct Item {
    /// Position of its message in the event.
    pub message: usize,
    pub(crate) table: TableId,
    pub(crate) kind: WriteKind,
    /// Its attributes as a JSON object; of a deletion, its key's.
    attributes: Range<usize>,
    /// Its key, spelled so that equal keys are equal bytes.
    key: Range<usize>,
    /// The version's value, if its mapping has one: then only a condition may decide between two writes of its key.
    version: Option<Range<usize>>,
    /// The version, where it is the order of the messages.
    pub(crate) order: Option<u128>,
    pub(crate) subject: SubjectId,
}

/// What a queue says of a message's place among others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MessageStamps {
    /// The number that a FIFO queue gave it.
    pub sequence_number: Option<u128>,
    /// When it was sent, in milliseconds since the Unix epoch.
    pub sent_ms: Option<u64>,
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
        self.bytes.get(item.attributes.clone()).unwrap_or_default()
    }

    pub(crate) fn key(&self, item: &Item) -> &[u8] {
        self.keys.get(item.key.clone()).unwrap_or_default()
    }

    pub(crate) fn version(&self, item: &Item) -> Option<&[u8]> {
        self.bytes.get(item.version.clone()?)
    }

    /// Returns about how much memory the items take.
    pub(crate) fn memory(&self) -> usize {
        self.bytes.len() + self.keys.len() + self.items.len() * ITEM_OVERHEAD_BYTES
    }
}

/// What an item costs in memory besides its bytes: its entry here and what the scheduler keeps of it.
const ITEM_OVERHEAD_BYTES: usize = 320;

/// One item among those it shares its bytes with.
#[derive(Debug, Clone)]
pub(crate) struct ItemRef {
    items: Arc<Items>,
    index: usize,
}

impl ItemRef {
    /// Refers to the item at `index`. `None` if there is none.
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

/// Appends the key `value`, a DynamoDB JSON value, so that keys the database takes for equal become equal bytes and no two
/// others do: the type, the length, the value.
pub(crate) fn push_canonical(keys: &mut Vec<u8>, value: &[u8]) {
    let number = value.strip_prefix(b"{\"N\":\"").and_then(|rest| rest.strip_suffix(b"\"}"));
    keys.push(if number.is_some() { b'N' } else { b'V' });
    let start = keys.len();
    keys.extend_from_slice(&[0; size_of::<usize>()]);
    match number.and_then(|number| std::str::from_utf8(number).ok()) {
        Some(number) => number::push_canonical_number(keys, number),
        None => keys.extend_from_slice(value),
    }
    let len = keys.len() - start;
    if let Some(place) = keys.get_mut(start..start + size_of::<usize>()) {
        place.copy_from_slice(&len.to_le_bytes());
    }
}
