//! The items of one event that were refused alone in their calls, until it is decided who is at fault: the item, its
//! mapping or its table. Pure: no I/O, clock or randomness.

use super::calls::Accepted;
use super::entry::{ItemEntry, ItemState};
use super::event::EventState;
use super::queue::CallPlan;
use super::suspects::{CERTAIN_REFUSALS, Origin, Suspects, Verdict};
use super::{ItemIndex, ItemOutcome, TableId, Write};
use crate::dynamodb::response::{Blame, CallError, Refusal};
use std::collections::{BTreeMap, BTreeSet};

/// The undecided refusals of one event, and the evidence about tables and mappings.
#[derive(Debug, Clone)]
pub(super) struct Refusals {
    /// Items that were refused alone. An item that has since been judged is no longer in the state `Suspect`.
    refused: Vec<ItemIndex>,
    /// The tables that have accepted a call.
    accepting: BTreeSet<TableId>,
    evidence: Suspects,
    /// Whether the evidence contains facts that the process does not have yet.
    has_news: bool,
}

impl Refusals {
    /// Creates an instance that starts with the evidence of the process.
    pub(super) fn new(evidence: Suspects) -> Self {
        Self { refused: Vec::new(), accepting: BTreeSet::new(), evidence, has_news: false }
    }

    /// Returns whether no suspects are left.
    pub(super) fn is_empty(&self, event: &EventState) -> bool {
        self.suspects_of(event, |_, _| true).is_empty()
    }

    /// Records the evidence that a response provides about the table and the mappings.
    pub(super) fn note_response(
        &mut self,
        event: &mut EventState,
        table: TableId,
        plan: &CallPlan,
        response: &Result<Accepted, CallError>,
    ) {
        if !matches!(response, Err(CallError::NotSent(_) | CallError::Refused(_))) {
            for &index in &plan.items {
                event.items[index].is_tried = true;
            }
        }
        let unprocessed = match response {
            Ok(accepted) => &accepted.unprocessed[..],
            Err(CallError::Superseded) => &[],
            Err(_) => return,
        };
        let mut last = None;
        for index in plan.items.iter().filter(|index| !unprocessed.contains(index)) {
            let mut origin = Origin::from(&event.items[*index].write);
            // a failed condition proves that the key fits the table, but proves nothing about the other attributes
            origin.is_deletion |= response.is_err();
            if last.replace(origin) != Some(origin) {
                self.has_news |= self.evidence.accept(origin);
            }
        }
        if self.accepting.insert(table) {
            // the table accepts other calls, so an access error concerns only the refused items
            for index in self.suspects_of(event, |write, blame| blame == Blame::Operator && write.table == table) {
                event.complete(index, ItemOutcome::Denied(event.items[index].cause()));
            }
        }
    }

    /// Returns the suspects for which `is` returns true.
    fn suspects_of(&self, event: &EventState, is: impl Fn(&Write, Blame) -> bool) -> Vec<ItemIndex> {
        let is = |index: &&ItemIndex| match &event.items[**index] {
            ItemEntry { write, state: ItemState::Suspect(blame), .. } => is(write, *blame),
            _ => false,
        };
        self.refused.iter().filter(is).copied().collect()
    }

    /// Judges the suspects for which it can be decided who is at fault. `all_tried` is whether no other item of the event
    /// is in progress. `is_decoded` is whether no more items will be added.
    pub(super) fn judge(&mut self, event: &mut EventState, all_tried: bool, is_decoded: bool) {
        self.refused.retain(|index| matches!(event.items[*index].state, ItemState::Suspect(_)));
        let mut refused: BTreeMap<Origin, (usize, usize)> = BTreeMap::new();
        for index in self.suspects_of(event, |_, blame| blame != Blame::Operator) {
            let entry = &event.items[index];
            let (count, certain) = refused.entry(Origin::from(&entry.write)).or_insert((0, CERTAIN_REFUSALS));
            *count += 1;
            if entry.state == ItemState::Suspect(Blame::Key) {
                *certain = 1;
            }
        }
        for (origin, (count, certain)) in refused {
            let all_tried = all_tried || is_decoded && !has_untried(event, origin);
            let verdict = self.evidence.judge(origin, count, certain, all_tried);
            if verdict == Verdict::Open {
                continue;
            }
            let of = |write: &Write, blame| blame != Blame::Operator && Origin::from(write) == origin;
            for index in self.suspects_of(event, of) {
                let cause = event.items[index].cause();
                if verdict == Verdict::Item {
                    event.complete(index, ItemOutcome::Invalid(cause));
                } else {
                    event.break_mapping(event.items[index].write.table, origin, &cause);
                    event.complete(index, ItemOutcome::Denied(cause));
                }
            }
        }
    }

    /// Denies the items that were refused with an access error by a table that has accepted no call. An operator must fix
    /// the table, and no item is at fault.
    pub(super) fn blame_table(&self, event: &mut EventState, table: TableId) {
        for index in self.suspects_of(event, |write, blame| blame == Blame::Operator && write.table == table) {
            let cause = event.items[index].cause();
            event.break_table(table, &cause);
            event.complete(index, ItemOutcome::Denied(cause));
        }
    }

    pub(super) fn suspected_tables(&self, event: &EventState) -> BTreeSet<TableId> {
        let denied = self.suspects_of(event, |_, blame| blame == Blame::Operator);
        denied.into_iter().map(|index| event.items[index].write.table).collect()
    }

    /// Exchanges evidence about the mappings with the rest of the process.
    pub(super) fn share_evidence(&mut self, process: impl FnOnce(&mut dyn FnMut(&mut Suspects))) {
        if self.has_news {
            process(&mut |known| {
                known.learn(&self.evidence);
                self.evidence.clone_from(known);
            });
            self.has_news = false;
        }
    }

    /// Handles an item that was refused alone in its call.
    pub(super) fn on_refused_alone(
        &mut self,
        event: &mut EventState,
        index: ItemIndex,
        Refusal { blame, cause }: Refusal,
    ) {
        event.note(&[index], &cause);
        event.items[index].is_tried = true;
        let write = event.items[index].write;
        let table = write.table;
        match blame {
            Blame::Item => return event.complete(index, ItemOutcome::Invalid(cause.into())),
            Blame::Operator if self.accepting.contains(&table) => {
                return event.complete(index, ItemOutcome::Denied(cause.into()));
            }
            Blame::ItemOrMapping | Blame::Key => {
                self.evidence.refuse(Origin::from(&write), write.key);
                self.has_news = true;
            }
            Blame::Operator => {}
        }
        event.set_state(index, ItemState::Suspect(blame));
        self.refused.push(index);
        if self.suspects_of(event, |write, blame| blame == Blame::Operator && write.table == table).len()
            >= CERTAIN_REFUSALS
        {
            self.blame_table(event, table);
        }
    }

    /// Returns the suspects and the tables that have accepted a call.
    #[cfg(test)]
    pub(super) fn digest(&self, event: &EventState) -> (Vec<ItemIndex>, BTreeSet<TableId>) {
        (self.suspects_of(event, |_, _| true), self.accepting.clone())
    }
}

/// Returns whether an item of `origin` is in progress and no attempt to write it has had a result yet.
fn has_untried(event: &EventState, origin: Origin) -> bool {
    let is_untried = |entry: &ItemEntry| entry.state.is_under_way() && !entry.is_tried;
    event.items.iter().any(|(_, entry)| is_untried(entry) && Origin::from(&entry.write) == origin)
}
