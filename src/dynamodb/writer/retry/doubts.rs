//! Items that were refused alone, until it is known whether they are at fault or their mapping ([`Suspects`] decides).

use super::RetryLoop;
use crate::dynamodb::batch::Index;
use crate::dynamodb::item::Operation;
use crate::dynamodb::mapping::TableId;
use crate::dynamodb::response::{Blame, Refusal};
use crate::dynamodb::writer::WriteOutcome;
use crate::dynamodb::writer::queue::Job;
use crate::dynamodb::writer::suspects::{CERTAIN_REFUSALS, Origin, Suspects, Verdict};
use std::collections::{HashMap, HashSet};
use std::sync::{MutexGuard, PoisonError};

/// What one event has seen of its mappings.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// Items that were refused alone, and how, while it is undecided who is at fault.
    undecided: Vec<(Index, Refusal)>,
    /// Items that may be sent and of which no response has said anything yet.
    untried: HashSet<Index>,
    /// Number of them by origin.
    untried_of: HashMap<Origin, usize>,
    /// Mappings that an operator must fix, and why. Nothing of them is sent any more.
    broken: HashMap<Origin, Box<str>>,
}

impl RetryLoop<'_> {
    fn origin(&self, index: Index) -> Option<Origin> {
        self.item(index).map(|item| Origin { subject: item.subject, operation: item.operation })
    }

    fn suspects(&self) -> MutexGuard<'_, Suspects> {
        self.writer.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that an item may be sent from now on.
    pub(super) fn set_untried(&mut self, index: Index) {
        let Some(origin) = self.origin(index) else { return };
        if self.doubts.untried.insert(index) {
            *self.doubts.untried_of.entry(origin).or_default() += 1;
        }
    }

    /// Notes that a response, or its absence, has said something of these items.
    pub(super) fn set_tried(&mut self, items: &[Index]) {
        for &index in items {
            let Some(origin) = self.origin(index) else { continue };
            if self.doubts.untried.remove(&index)
                && let Some(count) = self.doubts.untried_of.get_mut(&origin)
            {
                *count = count.saturating_sub(1);
            }
        }
    }

    /// Notes that the table has accepted these items.
    pub(super) fn accept(&self, items: &[Index]) {
        let mut suspects = self.suspects();
        let mut last = None;
        for origin in items.iter().filter_map(|&index| self.origin(index)) {
            if last.replace(origin) != Some(origin) {
                suspects.accept(origin);
            }
        }
    }

    /// Notes that the table has compared the versions of these items, and so has found nothing wrong with their keys.
    pub(super) fn accept_keys(&self, items: &[Index]) {
        let mut suspects = self.suspects();
        for origin in items.iter().filter_map(|&index| self.origin(index)) {
            suspects.accept(Origin { operation: Operation::Delete, ..origin });
        }
    }

    /// Finds the item of a refused call that is at fault, if it is one: the item is decided on when others were tried.
    pub(super) fn suspect(&mut self, table: TableId, job: &Job, refusal: Refusal) {
        if self.halve(table, job) {
            return;
        }
        let Some(&index) = job.items().first() else { return };
        let (Some(origin), Some(item)) = (self.origin(index), self.item(index)) else { return };
        self.suspects().refuse(origin, self.items.key(item));
        self.set_tried(&[index]);
        self.note(&[index], &refusal.said);
        self.doubts.undecided.push((index, refusal));
    }

    /// Decides on the items that were refused alone, where it can be said who is at fault. `is_quiet` says that nothing else
    /// of the event is under way. Returns whether there was any.
    pub(super) fn judge(&mut self, is_quiet: bool) -> bool {
        let mut refused: HashMap<Origin, (usize, usize)> = HashMap::new();
        for (index, refusal) in &self.doubts.undecided {
            let Some(origin) = self.origin(*index) else { continue };
            let (count, certain) = refused.entry(origin).or_insert((0, CERTAIN_REFUSALS));
            *count += 1;
            if refusal.blame == Blame::Key {
                *certain = 1;
            }
        }
        let mut is_any = false;
        for (origin, (count, certain)) in refused {
            let all_tried = is_quiet || self.doubts.untried_of.get(&origin).is_none_or(|count| *count == 0);
            let verdict = self.suspects().judge(origin, count, certain, all_tried);
            if verdict == Verdict::Open {
                continue;
            }
            is_any = true;
            let undecided = std::mem::take(&mut self.doubts.undecided);
            let (decided, others) = undecided.into_iter().partition(|(index, _)| self.origin(*index) == Some(origin));
            self.doubts.undecided = others;
            let decided: Vec<(Index, Refusal)> = decided;
            for (index, Refusal { said, .. }) in decided {
                if verdict == Verdict::Item {
                    self.reject(&[index], &said);
                } else {
                    self.break_mapping(index, origin, &said);
                    self.end(&[index], &WriteOutcome::Refused(said));
                }
            }
        }
        is_any
    }

    fn break_mapping(&mut self, index: Index, origin: Origin, said: &str) {
        self.doubts.broken.entry(origin).or_insert_with(|| said.into());
        let table = self.item(index).map_or("", |item| self.writer.table(item.table));
        self.report.fatal.get_or_insert_with(|| {
            format!("table {table} has accepted no item of a subject, and refuses each: {said}; compare the subject's types and its dynamodb property with the table's keys and indexes").into()
        });
    }

    /// What is left of a call without the items whose mapping is broken, which end here.
    pub(super) fn without_broken(&mut self, job: Job) -> Option<Job> {
        if self.doubts.broken.is_empty() {
            return Some(job);
        }
        let cause = |index: &Index| Some((*index, self.doubts.broken.get(&self.origin(*index)?)?.clone()));
        let broken: Vec<(Index, Box<str>)> = job.items().iter().filter_map(cause).collect();
        let indexes: Vec<Index> = broken.iter().map(|(index, _)| *index).collect();
        for (index, cause) in broken {
            self.end(&[index], &WriteOutcome::Refused(cause));
        }
        if indexes.is_empty() { Some(job) } else { job.without(&indexes) }
    }
}
