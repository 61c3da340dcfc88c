//! Keys of an event whose last write is not known to be the last. An event that is written in parts leaves later items of such a
//! key alone: an earlier one will come again, or may still be applied, and would outlast them. Pure.

use super::super::item::{Item, Items};
use super::super::mapping::TableId;
use std::collections::HashSet;

/// The open keys of one event.
#[derive(Debug, Default)]
pub(crate) struct OpenKeys(HashSet<(TableId, Box<[u8]>)>);

impl OpenKeys {
    pub(super) fn contains(&self, items: &Items, item: &Item) -> bool {
        // the usual event has none, and looks up nothing
        !self.0.is_empty() && self.0.contains(&(item.table, items.key(item).into()))
    }

    pub(super) fn add(&mut self, items: &Items, item: &Item) {
        self.0.insert((item.table, items.key(item).into()));
    }
}
