//! Keys of an event whose last write is not known to be the last. An event that is written in parts leaves later items of such a
//! key alone: an earlier one will come again, or may still be applied, and would outlast them. Pure.

use super::super::item::{Item, Items};
use super::super::mapping::TableId;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// The most open keys of a table that are told apart, in a megabyte or so. With more, the table takes next to nothing, and all
/// its keys are left alone.
const MOST_KEYS: usize = 50_000;

/// The open keys of one event.
#[derive(Debug, Default)]
pub(crate) struct OpenKeys {
    tables: HashMap<TableId, TableKeys>,
    /// Keys are kept as their hashes: two that share one cost a message a delivery.
    hasher: RandomState,
}

/// The open keys of one table, and whether a write of each may still be applied.
#[derive(Debug, Default)]
struct TableKeys {
    keys: HashMap<u64, bool>,
    is_any_unanswered: bool,
}

impl OpenKeys {
    /// Whether a write of the item's key may still be applied. `None` if the key is not open.
    pub(super) fn get(&self, items: &Items, item: &Item) -> Option<bool> {
        let TableKeys { keys, is_any_unanswered } = self.tables.get(&item.table)?;
        if keys.len() < MOST_KEYS {
            keys.get(&self.hasher.hash_one(items.key(item))).copied()
        } else {
            Some(*is_any_unanswered)
        }
    }

    pub(super) fn add(&mut self, items: &Items, item: &Item, is_unanswered: bool) {
        let table = self.tables.entry(item.table).or_default();
        table.is_any_unanswered |= is_unanswered;
        if table.keys.len() < MOST_KEYS {
            *table.keys.entry(self.hasher.hash_one(items.key(item))).or_default() |= is_unanswered;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamodb::item::{ItemEncoder, Operation};
    use crate::dynamodb::mapping::Mapping;
    use crate::dynamodb::sample_fields::SampleFields;
    use crate::record::{RecordVisitor, SubjectId};
    use std::time::Duration;

    /// So many items of two tables, each with a key of its own.
    fn items(count: usize) -> Items {
        let mapping = || Mapping::parse(None, "orders", &SampleFields).unwrap();
        let mappings = [(TableId::new(0), mapping()), (TableId::new(1), mapping())];
        let mut encoder = ItemEncoder::new(&mappings, Duration::ZERO, 0);
        for (table, subject) in [SubjectId(0), SubjectId(1)].into_iter().enumerate() {
            encoder.start_message(table, ["m0", "m1"][table], Operation::Put);
            for index in 0..count {
                encoder.begin(subject, Some(index)).unwrap();
                encoder.record_start().unwrap();
                encoder.record_end().unwrap();
                encoder.finish().unwrap();
            }
        }
        encoder.finish_event()
    }

    #[test]
    fn a_key_is_open_once_it_is_added_and_unanswered_once_that_is_said() {
        let items = items(3);
        let [one, two, three] = [0, 1, 2].map(|index| &items.as_slice()[index]);
        let mut open = OpenKeys::default();
        assert_eq!(open.get(&items, one), None);
        open.add(&items, one, false);
        open.add(&items, two, true);
        open.add(&items, two, false);
        assert_eq!([one, two, three].map(|item| open.get(&items, item)), [Some(false), Some(true), None]);
    }

    #[test]
    fn with_many_open_keys_all_of_the_table_are_and_no_more_are_kept() {
        let items = items(MOST_KEYS + 2);
        let all = items.as_slice();
        let (last, other) = (&all[MOST_KEYS + 1], &all[MOST_KEYS + 2]);
        let mut open = OpenKeys::default();
        all[..MOST_KEYS - 1].iter().for_each(|item| open.add(&items, item, false));
        assert_eq!(open.get(&items, last), None);
        open.add(&items, &all[MOST_KEYS - 1], false);
        assert_eq!((open.get(&items, last), open.get(&items, other)), (Some(false), None), "of its table alone");
        open.add(&items, &all[MOST_KEYS], true);
        assert_eq!(open.get(&items, last), Some(true));
        assert_eq!(open.tables[&TableId::new(0)].keys.len(), MOST_KEYS);
    }
}
