//! Keys of an event whose last write is not known to be the last. An event that is written in parts leaves later items of such a
//! key alone: an earlier one will come again, or may still be applied, and would outlast them. Pure.

use super::super::item::{Item, Items};
use super::super::mapping::TableId;
use std::collections::HashMap;

/// The open keys of one event, and whether a write of each may still be applied.
#[derive(Debug, Default)]
pub(crate) struct OpenKeys(HashMap<(TableId, Box<[u8]>), bool>);

impl OpenKeys {
    /// Whether a write of the item's key may still be applied. `None` if the key is not open.
    pub(super) fn get(&self, items: &Items, item: &Item) -> Option<bool> {
        // the usual event has none, and looks up nothing
        if self.0.is_empty() { None } else { self.0.get(&(item.table, items.key(item).into())).copied() }
    }

    pub(super) fn add(&mut self, items: &Items, item: &Item, is_unanswered: bool) {
        *self.0.entry((item.table, items.key(item).into())).or_default() |= is_unanswered;
    }
}
