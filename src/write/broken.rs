//! The tables and mappings to which no item can be written until an operator fixes them. Pure: no I/O, clock or randomness.

use super::suspects::Origin;
use super::{TableId, Write};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A table or a mapping that an operator must fix before any of its items can be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fatal {
    pub(crate) table: TableId,
    /// Whether the problem is a mapping of the table rather than the table itself.
    pub(crate) is_mapping: bool,
    pub(crate) cause: Arc<str>,
}

/// The tables and mappings of an event that an operator must fix, each with the cause that was found first.
#[derive(Debug, Clone, Default)]
pub(super) struct Broken {
    tables: BTreeMap<TableId, Arc<str>>,
    mappings: BTreeMap<Origin, Arc<str>>,
    /// The problem that was found first.
    fatal: Option<Fatal>,
}

impl Broken {
    /// Returns the cause if the table or the mapping of a write is broken.
    pub(super) fn cause(&self, write: &Write) -> Option<&Arc<str>> {
        self.tables.get(&write.table).or_else(|| self.mappings.get(&Origin::from(write)))
    }

    /// Marks a table as broken. Returns whether it was not marked before.
    pub(super) fn add_table(&mut self, table: TableId, cause: &Arc<str>) -> bool {
        self.fatal.get_or_insert_with(|| Fatal { table, is_mapping: false, cause: Arc::clone(cause) });
        let is_news = !self.tables.contains_key(&table);
        self.tables.entry(table).or_insert_with(|| Arc::clone(cause));
        is_news
    }

    /// Marks a mapping of `table` as broken. Returns whether it was not marked before.
    pub(super) fn add_mapping(&mut self, table: TableId, origin: Origin, cause: &Arc<str>) -> bool {
        self.fatal.get_or_insert_with(|| Fatal { table, is_mapping: true, cause: Arc::clone(cause) });
        self.mappings.insert(origin, Arc::clone(cause)).is_none()
    }

    /// Takes the first problem that an operator must fix.
    pub(super) fn take_fatal(&mut self) -> Option<Fatal> {
        self.fatal.take()
    }

    #[cfg(test)]
    pub(super) fn has_table(&self, table: TableId) -> bool {
        self.tables.contains_key(&table)
    }
}
