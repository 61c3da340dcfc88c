//! Write batches: which items go out together, and the bytes of the call. Pure.

use super::item::{Item, Items, Operation};
use super::json;
use super::mapping::{Mapping, TableId};
use std::collections::{HashMap, VecDeque};

/// The most items of one BatchWriteItem call.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html>
pub const MAX_BATCH_ITEMS: usize = 25;
/// The most bytes of one BatchWriteItem call, as sent. Same source.
pub const MAX_BATCH_BYTES: usize = 16 * 1024 * 1024;

/// What stands around each item in the body: `{"DeleteRequest":{"Key":` … `}},`.
const ITEM_OVERHEAD: usize = 32;

/// Index of an item within [`Items::as_slice`].
pub(crate) type Index = usize;

/// Items of which no two have the same key in the same table, except guarded ones, which are written one by one.
#[derive(Debug)]
pub(crate) struct Distinct {
    /// The items to write, in their order.
    pub(crate) winners: Vec<Index>,
    /// Items a later one stands in for, and which.
    pub(crate) superseded: Vec<(Index, Index)>,
}

impl Distinct {
    /// Of several items with one key the last is written. Where versions decide, the database does.
    pub(crate) fn of(items: &Items, among: impl DoubleEndedIterator<Item = Index>) -> Self {
        let mut last: HashMap<(TableId, &[u8]), Index> = HashMap::with_capacity(among.size_hint().0);
        let (mut winners, mut superseded) = (Vec::with_capacity(among.size_hint().0), Vec::new());
        for index in among.rev() {
            let Some(item) = items.as_slice().get(index) else { continue };
            if item.guarded {
                winners.push(index);
                continue;
            }
            match last.entry((item.table, items.key(item))) {
                std::collections::hash_map::Entry::Occupied(winner) => superseded.push((index, *winner.get())),
                std::collections::hash_map::Entry::Vacant(free) => {
                    free.insert(index);
                    winners.push(index);
                }
            }
        }
        winners.reverse();
        Self { winners, superseded }
    }
}

/// The items of one call: at most 25 of one table, at most 16 MB, no two with one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WriteBatch {
    table: TableId,
    items: Vec<Index>,
    bytes: usize,
}

impl WriteBatch {
    /// Takes as many items from the front of `waiting` as one call holds. They come from one [`Distinct`] and one table.
    pub(crate) fn take(items: &Items, table: TableId, waiting: &mut VecDeque<Index>) -> Option<Self> {
        let mut batch = Self { table, items: Vec::with_capacity(waiting.len().min(MAX_BATCH_ITEMS)), bytes: 0 };
        while let Some(&index) = waiting.front() {
            let bytes = items.as_slice().get(index).map_or(0, |item| items.attributes(item).len()) + ITEM_OVERHEAD;
            let full = batch.items.len() == MAX_BATCH_ITEMS || batch.bytes + bytes > MAX_BATCH_BYTES - PREFIX_ROOM;
            if full && !batch.items.is_empty() {
                break;
            }
            batch.items.push(index);
            batch.bytes += bytes;
            waiting.pop_front();
        }
        (!batch.items.is_empty()).then_some(batch)
    }

    pub(crate) fn items(&self) -> &[Index] {
        &self.items
    }

    pub(crate) fn table(&self) -> TableId {
        self.table
    }

    /// The two halves of a refused batch. None if the refused item stands alone.
    pub(crate) fn halves(&self) -> Option<[Self; 2]> {
        let (first, second) = self.items.split_at_checked(self.items.len().div_ceil(2))?;
        let half = |items: &[Index]| Self { table: self.table, items: items.to_vec(), bytes: self.bytes };
        (!second.is_empty()).then(|| [half(first), half(second)])
    }

    /// The call's body.
    pub(crate) fn body(&self, items: &Items, table: &str) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.bytes + table.len() + PREFIX_ROOM);
        body.extend_from_slice(b"{\"RequestItems\":{");
        json::push_string(&mut body, table);
        body.extend_from_slice(b":[");
        for item in self.items.iter().filter_map(|&index| items.as_slice().get(index)) {
            body.extend_from_slice(match item.operation {
                Operation::Put => b"{\"PutRequest\":{\"Item\":",
                Operation::Delete => b"{\"DeleteRequest\":{\"Key\":",
            });
            body.extend_from_slice(items.attributes(item));
            body.extend_from_slice(b"}},");
        }
        if body.last() == Some(&b',') {
            body.pop();
        }
        body.extend_from_slice(b"]},\"ReturnConsumedCapacity\":\"TOTAL\"}");
        body
    }
}

/// Room for what stands before and after the items, the table's name (at most 255 characters) included.
const PREFIX_ROOM: usize = 512;

/// The body of a write only a condition may allow: PutItem or DeleteItem, refused if the item there has a newer version.
pub(crate) fn guarded_body(items: &Items, item: &Item, mapping: &Mapping) -> Vec<u8> {
    let attributes = items.attributes(item);
    let mut body = Vec::with_capacity(attributes.len() + PREFIX_ROOM);
    body.extend_from_slice(b"{\"TableName\":");
    json::push_string(&mut body, &mapping.table);
    body.extend_from_slice(match item.operation {
        Operation::Put => b",\"Item\":",
        Operation::Delete => b",\"Key\":",
    });
    body.extend_from_slice(attributes);
    if let (Some(version), Some(path)) = (items.version(item), mapping.version_path()) {
        let segments: Vec<&str> = path.collect();
        let names: Vec<String> = (0..segments.len()).map(|at| format!("#v{at}")).collect();
        let path = names.join(".");
        let condition = format!("attribute_not_exists({path}) OR {path} <= :version");
        body.extend_from_slice(b",\"ConditionExpression\":");
        json::push_string(&mut body, &condition);
        body.extend_from_slice(b",\"ExpressionAttributeNames\":{");
        for (name, segment) in names.iter().zip(&segments) {
            json::push_string(&mut body, name);
            body.push(b':');
            json::push_string(&mut body, segment);
            body.push(b',');
        }
        body.pop();
        body.extend_from_slice(b"},\"ExpressionAttributeValues\":{\":version\":");
        body.extend_from_slice(version);
        body.push(b'}');
    }
    body.extend_from_slice(b",\"ReturnConsumedCapacity\":\"TOTAL\"}");
    body
}
