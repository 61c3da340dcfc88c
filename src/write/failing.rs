//! The consequences of a failed attempt for its items: recording the cause, ambiguity, and giving up. Pure: no I/O, clock
//! or randomness.

use super::entry::{ItemEntry, ItemState};
use super::event::{EventState, Work};
use super::flaw::Flaw;
use super::queue::CallPlan;
use super::suspects::Origin;
use super::{ItemIndex, ItemOutcome, TableId, Write};
use std::sync::Arc;

impl EventState {
    /// Records the cause of the last failure of `items`.
    pub(super) fn note(&mut self, items: &[ItemIndex], cause: &str) {
        let cause: Arc<str> = cause.into();
        for &index in items {
            let entry = &mut self.items[index];
            entry.cause = Some(Arc::clone(&cause));
            if items.len() == 1 {
                entry.failed_at.get_or_insert(self.now);
            }
        }
    }

    /// Returns the maximum number of attempts among the items.
    pub(super) fn attempts_of(&self, items: &[ItemIndex]) -> u8 {
        items.iter().map(|index| self.items[*index].attempts).max().unwrap_or_default()
    }

    /// Handles a call without a response: each of its items may still take effect. Returns the part of the plan to retry.
    pub(super) fn on_no_response(&mut self, mut plan: CallPlan, cause: &str) -> Option<CallPlan> {
        self.note(&plan.items, cause);
        if self.has(Flaw::HidesAmbiguity) {
            return Some(plan);
        }
        for &index in &plan.items {
            self.items[index].is_ambiguous = true;
        }
        if self.is_fifo {
            // A retry is unsafe in a FIFO queue: the next message of the group may delete the item or have the same
            // version, and the first attempt could then take effect after it. So the group stops here, and is redelivered
            // after the write can no longer take effect.
            if !self.has(Flaw::RetriesAmbiguousInGroups) {
                self.complete_each(&plan.items, &ItemOutcome::Ambiguous(cause.into()));
                return None;
            }
            return Some(plan);
        }
        let mut work = Work::default();
        for &index in &plan.items {
            self.spread(index, true, &mut work);
        }
        self.work_off(work);
        // only waiting items were blocked, so the plan normally keeps all its items
        plan.items.retain(|index| matches!(self.items[*index].state, ItemState::InFlight(_)));
        Some(plan)
    }

    /// Denies all items of a table that are not in flight, because an operator must fix the table.
    pub(super) fn break_table(&mut self, table: TableId, cause: &Arc<str>) {
        if self.broken.add_table(table, cause) {
            self.deny(|write| write.table == table, cause);
        }
    }

    /// Denies all items of a mapping that are not in flight, because an operator must fix the mapping.
    pub(super) fn break_mapping(&mut self, table: TableId, origin: Origin, cause: &Arc<str>) {
        if self.broken.add_mapping(table, origin, cause) {
            self.deny(|write| Origin::from(write) == origin, cause);
        }
    }

    /// Denies the ready and backing-off items for whose writes `is` returns true.
    fn deny(&mut self, is: impl Fn(&Write) -> bool, cause: &Arc<str>) {
        let is_affected = |entry: &ItemEntry| {
            is(&entry.write) && matches!(entry.state, ItemState::Ready(_) | ItemState::BackingOff { .. })
        };
        let affected = self.items.iter().filter(|(_, entry)| is_affected(entry)).map(|(index, _)| index);
        let affected: Vec<ItemIndex> = affected.collect();
        self.complete_each(&affected, &ItemOutcome::Denied(Arc::clone(cause)));
    }

    /// Denies those of the items whose table or mapping turned out to be broken while they were in flight, and removes them
    /// from `items`.
    pub(super) fn deny_broken(&mut self, items: &mut Vec<ItemIndex>) {
        let mut work = Work::default();
        items.retain(|&index| match self.broken.cause(&self.items[index].write) {
            Some(cause) => {
                work.complete(index, ItemOutcome::Denied(Arc::clone(cause)));
                false
            }
            None => true,
        });
        self.work_off(work);
    }

    /// Returns the message that has been failing longest to the queue, to free its memory for other messages. This happens
    /// only if every incomplete message has failed or waits for one that has, and if no message was completed during the
    /// last [`MAX_BACKOFF`](super::backoff::MAX_BACKOFF). Returns whether there was such a message.
    pub(super) fn evict(&mut self) -> bool {
        let may_be_written = |entry: &ItemEntry| entry.state.is_under_way() && entry.failed_at.is_none();
        if self.now < self.eviction_at() || self.items.iter().any(|(_, entry)| may_be_written(entry)) {
            return false;
        }
        let failed = self.items.iter().filter(|(_, entry)| {
            !matches!(entry.state, ItemState::Done(_)) && !self.messages[entry.message].is_evicted
        });
        let longest = failed.filter_map(|(_, entry)| Some((entry.failed_at?, entry.message))).min();
        let Some((_, message)) = longest else { return false };
        self.messages[message].is_evicted = true;
        for index in self.messages[message].items.clone().map(ItemIndex::new) {
            if !matches!(self.items[index].state, ItemState::InFlight(_) | ItemState::Done(_)) {
                self.give_up(index);
            }
        }
        true
    }

    /// Gives up the items of evicted messages, and returns the rest of the plan, if any.
    pub(super) fn without_evicted(&mut self, mut plan: CallPlan) -> Option<CallPlan> {
        let is_evicted = |index: &ItemIndex| self.messages[self.items[*index].message].is_evicted;
        let evicted: Vec<ItemIndex> = plan.items.iter().copied().filter(is_evicted).collect();
        if !evicted.is_empty() {
            plan.items.retain(|index| !evicted.contains(index));
            evicted.into_iter().for_each(|index| self.give_up(index));
        }
        (!plan.items.is_empty()).then_some(plan)
    }

    /// Completes an item that gets no further attempt.
    pub(super) fn give_up(&mut self, index: ItemIndex) {
        let mut work = Work::default();
        if matches!(self.items[index].state, ItemState::InFlight(_)) {
            self.items[index].is_ambiguous = true;
        }
        if self.items[index].is_ambiguous && !self.is_fifo {
            self.spread(index, true, &mut work);
            self.work_off(work);
        }
        let entry = &self.items[index];
        let cause = entry.cause();
        let outcome = if entry.is_ambiguous && (self.is_fifo || entry.holds_back) {
            ItemOutcome::Ambiguous(cause)
        } else {
            ItemOutcome::Failed(cause)
        };
        self.complete(index, outcome);
    }
}
