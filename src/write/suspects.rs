//! Whether a refusal is the item's fault, or the table's or mapping's, which an operator must fix. Pure.
//!
//! An item that is refused alone may be at fault itself, or every item of its mapping may be refused for the same cause. It is the
//! item if the table accepts others, and it is the operator's matter if the table accepts none.

use super::{ItemIndex, TableId, Write};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Number of items whose refusal is certain to be the mapping's mistake and not theirs, if the table has accepted nothing: as many
/// as a call has.
const CERTAIN: usize = crate::dynamodb::batch::MAX_BATCH_ITEMS;

/// Why an item was refused that was alone in its call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Doubt {
    /// Its key does not fit the table.
    KeyMismatch(Arc<str>),
    /// Access is denied, or the cause is not known.
    Denied(Arc<str>),
}

/// The refused items of tables that have accepted nothing yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Suspects {
    tables: BTreeMap<TableId, Table>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Table {
    has_accepted: bool,
    suspects: Vec<(ItemIndex, Doubt)>,
}

/// Whose fault a refusal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The item's.
    Item,
    /// The table's or the mapping's.
    Table,
    /// Not known yet: the item waits as a suspect.
    Open,
}

impl Suspects {
    /// Adds the refusal of an item and judges it.
    pub(super) fn add(&mut self, write: &Write, index: ItemIndex, doubt: &Doubt) -> Verdict {
        let table = self.tables.entry(write.table).or_default();
        if table.has_accepted {
            return Verdict::Item;
        }
        table.suspects.push((index, doubt.clone()));
        if table.suspects.len() >= CERTAIN { Verdict::Table } else { Verdict::Open }
    }

    /// Notes that the table of `write` has accepted an item, and returns the suspects, which are at fault themselves.
    pub(super) fn accepted(&mut self, write: &Write) -> Vec<(ItemIndex, Doubt)> {
        let table = self.tables.entry(write.table).or_default();
        table.has_accepted = true;
        std::mem::take(&mut table.suspects)
    }

    /// Returns the suspects of a table, for which it or their mapping is at fault.
    pub(super) fn take(&mut self, table: TableId) -> Vec<(ItemIndex, Doubt)> {
        self.tables.get_mut(&table).map(|table| std::mem::take(&mut table.suspects)).unwrap_or_default()
    }

    /// Removes an item that is done for another cause.
    pub(super) fn remove(&mut self, write: &Write, index: ItemIndex) {
        if let Some(table) = self.tables.get_mut(&write.table) {
            table.suspects.retain(|(suspect, _)| *suspect != index);
        }
    }

    /// Returns the tables with suspects.
    pub(super) fn tables(&self) -> Vec<TableId> {
        self.tables.iter().filter(|(_, table)| !table.suspects.is_empty()).map(|(table, _)| *table).collect()
    }
}
