//! Decides whether a refused item or its mapping is at fault. Pure: no I/O, clock or randomness.
//!
//! Some refusals may be the fault of either, as described at [`Blame`](crate::dynamodb::response::Blame). For example, an
//! index may require another type of key than the schema's field has. Then the table refuses every item of the mapping. But
//! if the field is a union and only some of its branches have the wrong type, only the items with those branches are at
//! fault. A process decides by the following rules:
//!
//! - If an item of a mapping was ever accepted, the mapping fits its table. Every later refusal is the fault of the item.
//! - If no item was accepted and [`CERTAIN_REFUSALS`] distinct items were refused, the mapping is at fault. An operator
//!   must change the schema or the table, and no item is rejected.
//! - If fewer items were refused, the items are at fault. The exception is a key that does not fit the table. All items of
//!   a mapping have the same key attributes with the same types, so a single refusal is sufficient evidence.
//!
//! A deletion consists of a key only, so an accepted deletion is no evidence about the puts of its mapping.

use super::{KeyId, Write};
use crate::record::SubjectId;
use std::collections::BTreeMap;

/// Number of distinct refused items that prove a mapping to be at fault: the maximum number of items of one call.
pub(super) const CERTAIN_REFUSALS: usize = crate::dynamodb::batch::MAX_BATCH_ITEMS;

/// The unit that may be at fault: the puts of a mapping, or its deletions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Origin {
    pub(super) subject: SubjectId,
    pub(super) is_deletion: bool,
}

impl From<&Write> for Origin {
    fn from(write: &Write) -> Self {
        Self { subject: write.subject, is_deletion: write.kind.is_deletion() }
    }
}

/// The decision about who is at fault for a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The item can never be written.
    Item,
    /// The mapping does not fit its table, and an operator must fix it.
    Mapping,
    /// Undecided: other items of the mapping must be tried first.
    Open,
}

/// The evidence about each mapping that a process has collected. Each event starts with a copy and adds its own evidence.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Suspects(BTreeMap<Origin, Evidence>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Evidence {
    /// An item was accepted.
    Fits,
    /// No item was accepted, and items with these keys were refused. Holds at most [`CERTAIN_REFUSALS`] keys.
    Refused(Vec<KeyId>),
}

impl Suspects {
    /// Records that an item of `origin` was accepted. Returns whether that was unknown before.
    pub(super) fn accept(&mut self, origin: Origin) -> bool {
        // a deletion requires nothing that a put does not require
        let deletions = Origin { is_deletion: true, ..origin };
        let is_news = self.0.get(&origin) != Some(&Evidence::Fits) || self.0.get(&deletions) != Some(&Evidence::Fits);
        if is_news {
            self.0.insert(origin, Evidence::Fits);
            self.0.insert(deletions, Evidence::Fits);
        }
        is_news
    }

    /// Records that the item of `origin` with this key was refused alone in its call. A redelivered item counts only once.
    pub(super) fn refuse(&mut self, origin: Origin, key: KeyId) {
        if let Evidence::Refused(keys) = self.0.entry(origin).or_insert_with(|| Evidence::Refused(Vec::new()))
            && keys.len() < CERTAIN_REFUSALS
            && !keys.contains(&key)
        {
            keys.push(key);
        }
    }

    /// Merges other evidence into this one.
    pub(super) fn learn(&mut self, others: &Self) {
        for (origin, evidence) in &others.0 {
            match evidence {
                Evidence::Fits => drop(self.0.insert(*origin, Evidence::Fits)),
                Evidence::Refused(keys) => keys.iter().for_each(|key| self.refuse(*origin, *key)),
            }
        }
    }

    /// Decides about the refusals of `origin`. `refused` is the number of undecided refusals in one event. `certain` is the
    /// number of known refusals that prove the mapping to be at fault. `all_tried` is whether the event has no further item
    /// of `origin` whose first attempt might still be accepted.
    ///
    /// Before all items have been tried, only the refusals of the event itself count. The cause of refusals in earlier
    /// events may have been fixed since.
    pub(super) fn judge(&self, origin: Origin, refused: usize, certain: usize, all_tried: bool) -> Verdict {
        let known = match self.0.get(&origin) {
            Some(Evidence::Fits) => return Verdict::Item,
            Some(Evidence::Refused(keys)) => keys.len(),
            None => 0,
        };
        match (refused >= CERTAIN_REFUSALS, all_tried) {
            (true, _) => Verdict::Mapping,
            (false, false) => Verdict::Open,
            (false, true) if known >= certain => Verdict::Mapping,
            (false, true) => Verdict::Item,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUTS: Origin = Origin { subject: SubjectId(0), is_deletion: false };
    const DELETIONS: Origin = Origin { subject: SubjectId(0), is_deletion: true };
    const OTHERS: Origin = Origin { subject: SubjectId(3), is_deletion: false };

    /// Returns the evidence of `items` distinct refused items.
    fn refused(origin: Origin, items: usize) -> Suspects {
        let mut suspects = Suspects::default();
        (0..items).for_each(|item| suspects.refuse(origin, KeyId(item as u128)));
        suspects
    }

    #[test]
    fn a_refusal_that_meets_25_distinct_items_is_the_mappings_and_one_that_meets_fewer_theirs() {
        for (items, verdict) in
            [(1, Verdict::Item), (24, Verdict::Item), (25, Verdict::Mapping), (300, Verdict::Mapping)]
        {
            assert_eq!(
                refused(PUTS, items).judge(PUTS, items, CERTAIN_REFUSALS, true),
                verdict,
                "{items} in one event"
            );
            assert_eq!(
                refused(PUTS, items).judge(PUTS, 1, CERTAIN_REFUSALS, true),
                verdict,
                "{items} in several events"
            );
        }
    }

    #[test]
    fn one_key_that_does_not_fit_is_the_mappings_until_an_item_is_accepted() {
        let mut suspects = refused(PUTS, 1);
        assert_eq!(suspects.judge(PUTS, 1, 1, false), Verdict::Open);
        assert_eq!(suspects.judge(PUTS, 1, 1, true), Verdict::Mapping);
        suspects.accept(PUTS);
        assert_eq!(suspects.judge(PUTS, 1, 1, true), Verdict::Item);
    }

    #[test]
    fn an_item_that_comes_again_counts_once() {
        let mut suspects = Suspects::default();
        (0..100).for_each(|_| suspects.refuse(PUTS, KeyId(1000)));
        assert_eq!(suspects.judge(PUTS, 1, CERTAIN_REFUSALS, true), Verdict::Item);
        (0..23_u8).for_each(|item| suspects.refuse(PUTS, KeyId(item.into())));
        assert_eq!(suspects.judge(PUTS, 1, CERTAIN_REFUSALS, true), Verdict::Item);
        suspects.refuse(PUTS, KeyId(2000));
        assert_eq!(suspects.judge(PUTS, 1, CERTAIN_REFUSALS, true), Verdict::Mapping);
    }

    #[test]
    fn once_an_item_is_accepted_what_is_refused_is_at_fault_itself() {
        let mut suspects = refused(PUTS, 300);
        suspects.accept(PUTS);
        assert_eq!(suspects.judge(PUTS, 300, CERTAIN_REFUSALS, true), Verdict::Item);
        (0..300_u16).for_each(|item| suspects.refuse(PUTS, KeyId(item as u128)));
        assert_eq!(suspects.judge(PUTS, 300, CERTAIN_REFUSALS, false), Verdict::Item);
    }

    #[test]
    fn nothing_is_decided_while_items_may_still_be_accepted_unless_the_event_itself_makes_it_certain() {
        assert_eq!(refused(PUTS, 24).judge(PUTS, 24, CERTAIN_REFUSALS, false), Verdict::Open);
        // the cause of the refusals in earlier events may have been fixed
        assert_eq!(refused(PUTS, 300).judge(PUTS, 24, CERTAIN_REFUSALS, false), Verdict::Open);
        assert_eq!(refused(PUTS, 25).judge(PUTS, 25, CERTAIN_REFUSALS, false), Verdict::Mapping);
    }

    #[test]
    fn mappings_are_judged_apart() {
        let mut suspects = refused(PUTS, 25);
        suspects.accept(OTHERS);
        assert_eq!(suspects.judge(PUTS, 1, CERTAIN_REFUSALS, true), Verdict::Mapping);
        assert_eq!(suspects.judge(OTHERS, 1, CERTAIN_REFUSALS, true), Verdict::Item);
        assert_eq!(suspects.judge(Origin { subject: SubjectId(9), ..PUTS }, 1, CERTAIN_REFUSALS, true), Verdict::Item);
    }

    #[test]
    fn a_deletion_proves_the_key_and_nothing_of_the_other_attributes() {
        let mut suspects = refused(PUTS, 25);
        suspects.accept(DELETIONS);
        assert_eq!(suspects.judge(PUTS, 1, CERTAIN_REFUSALS, true), Verdict::Mapping);
        let mut suspects = refused(DELETIONS, 25);
        assert_eq!(suspects.judge(DELETIONS, 1, CERTAIN_REFUSALS, true), Verdict::Mapping);
        suspects.accept(PUTS);
        assert_eq!(suspects.judge(DELETIONS, 1, CERTAIN_REFUSALS, true), Verdict::Item);
    }
}
