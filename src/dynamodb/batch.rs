//! Write batches: which items go out together, and the bytes of the call. Pure.

use super::item::{Items, Operation};
use super::mapping::TableId;
use crate::json;
use std::collections::{HashMap, HashSet, VecDeque};

/// The most items of one BatchWriteItem call.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html>
pub const MAX_BATCH_ITEMS: usize = 25;
/// The most bytes of one BatchWriteItem call, as sent. Same source.
pub const MAX_BATCH_BYTES: usize = 16 * 1024 * 1024;

/// What stands around each item in the body: `{"DeleteRequest":{"Key":` … `}},`.
pub(crate) const ITEM_OVERHEAD: usize = 32;

/// Index of an item within [`Items::as_slice`].
pub(crate) type Index = usize;

/// Items of which no two have the same key in the same table, except versions, which are written one by one.
#[derive(Debug)]
pub(crate) struct Distinct {
    /// The items to write, in their order.
    pub(crate) winners: Vec<Index>,
    /// The items each winner stands in for, in their order.
    pub(crate) superseded: HashMap<Index, Vec<Index>>,
    /// The items of its key that may be written only when an item has its end, in their order.
    pub(crate) followers: HashMap<Index, Vec<Index>>,
}

/// What of one key comes later in the event.
enum Later {
    /// Versions alone, the last first: which of them stays, the database decides.
    Versions(Vec<Index>),
    /// A write that nothing before it outlasts.
    Winner(Index),
}

impl Distinct {
    /// Of several items with one key the last is written. Where versions decide, the database does; but it keeps no version
    /// of what is deleted, and a write without a version has none. Such writes keep their place among the versions.
    pub(crate) fn of(items: &Items, among: impl DoubleEndedIterator<Item = Index>) -> Self {
        let most = among.size_hint().1.unwrap_or_default();
        let mut keys: HashMap<(TableId, &[u8]), Later> = HashMap::with_capacity(most);
        let mut winners = Vec::with_capacity(most);
        let mut superseded: HashMap<Index, Vec<Index>> = HashMap::new();
        let mut followers: HashMap<Index, Vec<Index>> = HashMap::new();
        for index in among.rev() {
            let Some(item) = items.as_slice().get(index) else { continue };
            let later = keys.entry((item.table, items.key(item))).or_insert(Later::Versions(Vec::new()));
            match later {
                Later::Winner(winner) => superseded.entry(*winner).or_default().push(index),
                Later::Versions(versions) if items.is_conditional(item) => versions.push(index),
                Later::Versions(versions) => {
                    let mut versions = std::mem::take(versions);
                    if let Some(winner) = decided(items, &versions) {
                        versions.retain(|other| *other != winner);
                        superseded.insert(winner, std::mem::replace(&mut versions, vec![winner]));
                    }
                    if !versions.is_empty() {
                        followers.insert(index, versions);
                    }
                    winners.push(index);
                    *later = Later::Winner(index);
                }
            }
        }
        let is_deletion =
            |index: &Index| items.as_slice().get(*index).is_some_and(|item| item.operation == Operation::Delete);
        for later in keys.into_values() {
            let Later::Versions(mut versions) = later else { continue };
            if let Some(winner) = decided(items, &versions) {
                versions.retain(|other| *other != winner);
                superseded.insert(winner, versions);
                winners.push(winner);
            // side by side, the deletion of a newer version and the put of an older one would leave the older one there, and of
            // equal versions either
            } else if (versions.iter().any(is_deletion) || has_equal(items, &versions))
                && let Some(first) = versions.pop()
            {
                if !versions.is_empty() {
                    followers.insert(first, versions);
                }
                winners.push(first);
            } else {
                winners.extend(versions);
            }
        }
        winners.sort_unstable();
        superseded.values_mut().chain(followers.values_mut()).for_each(|list| list.reverse());
        Self { winners, superseded, followers }
    }
}

/// Whether two of these have the same version.
fn has_equal(items: &Items, versions: &[Index]) -> bool {
    let mut seen = HashSet::with_capacity(versions.len());
    let version = |index: &Index| items.as_slice().get(*index).and_then(|item| items.version(item));
    !versions.iter().all(|index| seen.insert(version(index)))
}

/// Which of several conditional writes of one key stays, where that can be told without asking the database: the last in the
/// messages' order, and of items that are only created the first.
fn decided(items: &Items, versions: &[Index]) -> Option<Index> {
    let all = || versions.iter().filter_map(|&index| Some((items.as_slice().get(index)?, index)));
    if versions.len() > 1 && all().all(|(item, _)| item.order.is_some()) {
        all().max_by_key(|(item, index)| (item.order, *index)).map(|(_, index)| index)
    } else if versions.len() > 1 && all().all(|(item, _)| item.creates) {
        versions.iter().min().copied()
    } else {
        None
    }
}

/// The items of one call: at most 25 of one table, at most 16 MB, no two with one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WriteBatch {
    table: TableId,
    items: Vec<Index>,
}

/// The bytes of an item as it is sent, with what stands around it.
fn sent_bytes(items: &Items, index: Index) -> usize {
    items.as_slice().get(index).map_or(0, |item| items.attributes(item).len()) + ITEM_OVERHEAD
}

impl WriteBatch {
    /// Takes as many items from the front of `waiting` as one call holds. They come from one [`Distinct`] and one table.
    pub(crate) fn take(items: &Items, table: TableId, waiting: &mut VecDeque<Index>) -> Option<Self> {
        let mut batch = Self { table, items: Vec::with_capacity(waiting.len().min(MAX_BATCH_ITEMS)) };
        let mut batch_bytes = 0;
        while let Some(&index) = waiting.front() {
            let bytes = sent_bytes(items, index);
            let full = batch.items.len() == MAX_BATCH_ITEMS || batch_bytes + bytes > MAX_BATCH_BYTES - PREFIX_ROOM;
            if full && !batch.items.is_empty() {
                break;
            }
            batch.items.push(index);
            batch_bytes += bytes;
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

    /// The bytes of its items as they are sent.
    pub(crate) fn bytes(&self, items: &Items) -> usize {
        self.items.iter().map(|&index| sent_bytes(items, index)).sum()
    }

    /// The batch without some of its items. `None` if no item is left.
    pub(crate) fn without(&self, items: &[Index]) -> Option<Self> {
        let left: Vec<Index> = self.items.iter().copied().filter(|index| !items.contains(index)).collect();
        (!left.is_empty()).then_some(Self { table: self.table, items: left })
    }

    /// The two halves of a refused batch. `None` if the refused item stands alone.
    pub(crate) fn halves(&self) -> Option<[Self; 2]> {
        let (first, second) = self.items.split_at_checked(self.items.len().div_ceil(2))?;
        let half = |items: &[Index]| Self { table: self.table, items: items.to_vec() };
        (!second.is_empty()).then(|| [half(first), half(second)])
    }

    /// The call's body.
    pub(crate) fn body(&self, items: &Items, table: &str) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.bytes(items) + table.len() + PREFIX_ROOM);
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
pub(crate) const PREFIX_ROOM: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamodb::item::{ItemEncoder, MessageStamps};
    use crate::dynamodb::mapping::{Mapping, PARTITION_KEY};
    use crate::dynamodb::sample_fields::SampleFields;
    use crate::record::{Name, RecordVisitor, SubjectId};
    use serde_json::{Value, json};
    use std::time::Duration;

    const NAMES: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

    fn mappings() -> Vec<(TableId, Mapping)> {
        let order = json!({"attribute": "_version", "from": "sent-timestamp"});
        let mapping = |table: &str, property: Value| Mapping::parse(Some(&property), table, &SampleFields).unwrap();
        vec![
            (TableId::new(0), mapping("orders", json!({"partitionKey": "id"}))),
            (TableId::new(1), mapping("others", json!({"partitionKey": "id"}))),
            (TableId::new(0), mapping("orders", json!({"partitionKey": "id", "version": "at"}))),
            (TableId::new(0), mapping("orders", json!({"partitionKey": "id", "write": "create"}))),
            (TableId::new(0), mapping("orders", json!({"partitionKey": "id", "version": order}))),
        ]
    }

    /// One item for each (subject, key, bytes of padding).
    fn items(of: &[(u16, &str, usize)]) -> Items {
        with_operations(of, |_| Operation::Put)
    }

    fn with_operations(of: &[(u16, &str, usize)], operation: impl Fn(usize) -> Operation) -> Items {
        let mappings = mappings();
        let mut encoder = ItemEncoder::new(&mappings, Duration::ZERO, 0);
        for (position, (subject, id, padding)) in of.iter().enumerate() {
            // the messages were sent in pairs
            let sent_ms = u64::try_from(position / 2).ok();
            encoder.stamp_message(MessageStamps { sent_ms, sequence_number: None });
            encoder.start_message(position, "m", operation(position));
            encoder.begin(SubjectId(*subject), None).unwrap();
            encoder.record_start().unwrap();
            encoder.field(&Name::new("id")).unwrap();
            encoder.tracked_field(PARTITION_KEY).unwrap();
            encoder.string(id).unwrap();
            encoder.field(&Name::new("at")).unwrap();
            encoder.tracked_field(crate::dynamodb::mapping::VERSION).unwrap();
            encoder.long(i64::try_from(position).unwrap()).unwrap();
            encoder.field(&Name::new("padding")).unwrap();
            // a control character is one byte in the table and six on the way there
            encoder.string(&"\u{1}".repeat(*padding)).unwrap();
            encoder.record_end().unwrap();
            encoder.finish().unwrap();
        }
        encoder.finish_event()
    }

    fn distinct(items: &Items) -> Distinct {
        Distinct::of(items, 0..items.as_slice().len())
    }

    fn batches(items: &Items) -> Vec<WriteBatch> {
        let mut waiting = distinct(items).winners.into();
        std::iter::from_fn(|| WriteBatch::take(items, TableId::new(0), &mut waiting)).collect()
    }

    #[test]
    fn the_last_item_of_a_key_wins_within_its_table() {
        let items = items(&[(0, "a", 0), (0, "b", 0), (1, "a", 0), (0, "a", 0), (0, "a", 0)]);
        let distinct = distinct(&items);
        assert_eq!(distinct.winners, [1, 2, 4]);
        assert_eq!(distinct.superseded, [(4, vec![0, 3])].into());
    }

    #[test]
    fn where_versions_decide_every_item_is_written() {
        let distinct = distinct(&items(&[(2, "a", 0), (2, "a", 0)]));
        assert_eq!((distinct.winners, distinct.superseded, distinct.followers), (vec![0, 1], [].into(), [].into()));
    }

    #[test]
    fn a_write_without_a_version_keeps_its_place_among_versions() {
        // subjects 0 and 2 share a table; only the latter's items have versions
        let distinct = distinct(&items(&[(2, "a", 0), (0, "a", 0), (2, "a", 0), (2, "b", 0), (2, "a", 0)]));
        assert_eq!(distinct.winners, [1, 3]);
        assert_eq!(distinct.superseded, [(1, vec![0])].into(), "what came before is gone with it");
        assert_eq!(distinct.followers, [(1, vec![2, 4])].into(), "what came after waits for it");
    }

    #[test]
    fn of_items_that_are_only_created_the_first_is_written() {
        let distinct = distinct(&items(&[(3, "a", 0), (3, "b", 0), (3, "a", 0), (3, "a", 0)]));
        assert_eq!((distinct.winners, distinct.followers), (vec![0, 1], [].into()));
        assert_eq!(distinct.superseded, [(0, vec![2, 3])].into());
    }

    #[test]
    fn where_the_messages_order_decides_the_last_is_written() {
        let distinct = distinct(&items(&[(4, "a", 0), (4, "b", 0), (4, "a", 0), (4, "a", 0)]));
        assert_eq!((distinct.winners, distinct.followers), (vec![1, 3], [].into()));
        assert_eq!(distinct.superseded, [(3, vec![0, 2])].into(), "of equal times the later arrival");
    }

    #[test]
    fn what_is_decided_keeps_its_place_behind_a_write_without_a_condition() {
        let distinct = distinct(&items(&[(4, "a", 0), (0, "a", 0), (4, "a", 0), (4, "a", 0)]));
        assert_eq!(distinct.winners, [1]);
        assert_eq!(distinct.followers, [(1, vec![3])].into());
        assert_eq!(distinct.superseded, [(1, vec![0]), (3, vec![2])].into());
    }

    #[test]
    fn versions_are_written_one_after_the_other_if_one_of_them_is_a_deletion() {
        let of = [(2, "a", 0), (2, "b", 0), (2, "a", 0), (2, "a", 0), (2, "b", 0)];
        let deletes = |position| if position == 2 { Operation::Delete } else { Operation::Put };
        let distinct = distinct(&with_operations(&of, deletes));
        assert_eq!(distinct.winners, [0, 1, 4], "all versions of b, the first of a");
        assert_eq!(distinct.followers, [(0, vec![2, 3])].into());
    }

    #[test]
    fn a_batch_has_at_most_25_items() {
        let names: Vec<String> = (0..51).map(|n| n.to_string()).collect();
        let sizes = |count: usize| {
            let of: Vec<_> = names.iter().take(count).map(|name| (0, name.as_str(), 0)).collect();
            batches(&items(&of)).iter().map(|batch| batch.items().len()).collect::<Vec<_>>()
        };
        assert_eq!(sizes(24), [24]);
        assert_eq!(sizes(25), [25]);
        assert_eq!(sizes(26), [25, 1]);
        assert_eq!(sizes(51), [25, 25, 1]);
    }

    #[test]
    fn a_batch_has_at_most_16_megabytes_as_sent() {
        let items = items(&NAMES.map(|name| (0, name, 400_000)));
        let batches = batches(&items);
        assert_eq!(batches.iter().map(|batch| batch.items().len()).collect::<Vec<_>>(), [6, 4], "2.4 MB each");
        for batch in &batches {
            assert!(batch.body(&items, &"t".repeat(255)).len() <= MAX_BATCH_BYTES);
        }
    }

    #[test]
    fn an_item_that_fits_to_the_byte_is_taken_and_one_that_does_not_is_not() {
        // a control character takes six bytes as it is sent: six items have 14.4 MB
        let batches_of = |last| {
            let items = items(&(0..7).map(|n| (0, NAMES[n], if n < 6 { 400_000 } else { last })).collect::<Vec<_>>());
            batches(&items).iter().map(|batch| batch.body(&items, &"t".repeat(255)).len()).collect::<Vec<_>>()
        };
        let bodies: Vec<_> = (395_800..396_300).step_by(20).map(batches_of).collect();
        let (together, apart): (Vec<_>, Vec<_>) = bodies.iter().partition(|bodies| bodies.len() == 1);
        let most = together.iter().map(|bodies| bodies[0]).max().unwrap();
        assert!((MAX_BATCH_BYTES - PREFIX_ROOM..=MAX_BATCH_BYTES).contains(&most), "{most}");
        assert!(apart.iter().all(|bodies| bodies.iter().sum::<usize>() > MAX_BATCH_BYTES - PREFIX_ROOM));
    }

    #[test]
    fn halving_ends_with_each_item_alone_after_five_steps() {
        let names: Vec<String> = (0..25).map(|n| n.to_string()).collect();
        let of: Vec<_> = names.iter().map(|name| (0, name.as_str(), 0)).collect();
        let mut layer = batches(&items(&of));
        for _ in 0..5 {
            layer =
                layer.iter().flat_map(|batch| batch.halves().map_or_else(|| vec![batch.clone()], Vec::from)).collect();
        }
        assert_eq!(layer.len(), 25);
        assert!(layer.iter().all(|batch| batch.halves().is_none()));
    }

    #[test]
    fn a_part_of_a_batch_has_the_bytes_of_its_own_items() {
        let items = items(&[(0, "a", 1_000), (0, "b", 10), (0, "c", 10)]);
        let [whole] = &batches(&items)[..] else { panic!() };
        let [first, second] = whole.halves().unwrap();
        assert_eq!(first.bytes(&items) + second.bytes(&items), whole.bytes(&items));
        assert_eq!(Some(second.bytes(&items)), whole.without(&[0, 1]).map(|part| part.bytes(&items)));
        assert!(second.bytes(&items) < 1_000 && first.bytes(&items) > 6_000);
    }

    #[test]
    fn the_body_is_what_the_api_asks_for() {
        let items = items(&[(0, "a", 0), (0, "b", 0)]);
        let body: Value = serde_json::from_slice(&batches(&items)[0].body(&items, "orders")).unwrap();
        assert_eq!(body["ReturnConsumedCapacity"], "TOTAL");
        let requests = &body["RequestItems"]["orders"];
        assert_eq!(requests[0]["PutRequest"]["Item"]["id"], json!({"S": "a"}));
        assert_eq!(requests[1]["PutRequest"]["Item"]["data"]["M"]["at"], json!({"N": "1"}));
        assert_eq!(requests.as_array().unwrap().len(), 2);
    }
}
