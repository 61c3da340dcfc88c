//! Test support for the scheduler: checks that its indexes agree with the states, and hashes states so that equivalent
//! states are recognised.

use super::calls::Delayed;
use super::entry::{ItemEntry, ItemState};
use super::queue::{CallPlan, Lane};
use super::scheduler::Scheduler;
use super::{CallId, ItemIndex, ItemOutcome, KeyId, MessageIndex};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;
use std::time::Duration;

impl Scheduler {
    /// Rebuilds each index from the states of the items, and compares it with the actual index.
    pub(super) fn check(&self) {
        let in_state = |is: &dyn Fn(&ItemState) -> bool| -> BTreeSet<ItemIndex> {
            self.event.items.iter().filter(|(_, entry)| is(&entry.state)).map(|(index, _)| index).collect()
        };
        for (table, queue) in self.event.lanes.iter() {
            let of = |lane| {
                let is = |entry: &ItemEntry| entry.write.table == table && entry.state == ItemState::Ready(lane);
                self.event.items.iter().filter(|(_, entry)| is(entry)).map(|(index, _)| index).collect::<BTreeSet<_>>()
            };
            let has = |lane, entries: BTreeSet<ItemIndex>| {
                assert!(of(lane).is_subset(&entries), "{lane:?} of {table:?} lacks an item");
                assert_eq!(of(lane).len(), queue.ready(lane), "{lane:?} of {table:?} has a wrong count");
            };
            has(Lane::Batch, queue.batch.iter().copied().collect());
            has(Lane::Message, queue.messages.iter().map(|(_, index)| *index).collect());
            has(Lane::Single, queue.single.iter().copied().collect());
            has(Lane::Unprocessed, queue.unprocessed.iter().copied().collect());
            has(Lane::Retry, queue.retries.iter().flat_map(|plan| plan.items.iter().copied()).collect());
        }
        let in_flight: BTreeSet<ItemIndex> =
            self.calls.in_flight.values().flat_map(|call| call.plan.items.iter().copied()).collect();
        assert_eq!(in_flight, in_state(&|state| matches!(state, ItemState::InFlight(_))), "calls in flight");
        let delayed = self.calls.delayed.values().flat_map(|(_, delayed)| match delayed {
            Delayed::Plan(plan) => plan.items.clone(),
            Delayed::Unprocessed(items) => items.clone(),
        });
        let backing_off = in_state(&|state| matches!(state, ItemState::BackingOff { .. }));
        assert!(backing_off.is_subset(&delayed.collect()), "each item that backs off is retried");
        let suspects = in_state(&|state| matches!(state, ItemState::Suspect(_)));
        assert_eq!(suspects, self.refusals.digest(&self.event).0.into_iter().collect(), "suspects");
        let mut queues: BTreeMap<KeyId, BTreeSet<ItemIndex>> = BTreeMap::new();
        for (index, entry) in self.event.items.iter() {
            let has_joined = self.event.messages[entry.message].has_joined;
            if has_joined && !matches!(entry.state, ItemState::Done(_) | ItemState::Superseded { .. }) {
                queues.entry(entry.write.key).or_default().insert(index);
            }
            let losers: BTreeSet<ItemIndex> = entry.losers.iter().copied().collect();
            assert_eq!(losers, in_state(&|state| *state == ItemState::Superseded { by: index }), "losers of {index:?}");
        }
        let known = self.event.keys.all().filter(|(_, queue)| !queue.items.is_empty());
        let known: BTreeMap<KeyId, BTreeSet<ItemIndex>> =
            known.map(|(key, queue)| (*key, queue.items.iter().copied().collect())).collect();
        assert_eq!(known, queues, "key queues");
        for (_, message) in self.event.messages.iter() {
            let is_open = |index: &usize| !matches!(self.event.items[ItemIndex::new(*index)].state, ItemState::Done(_));
            assert_eq!(message.items.clone().filter(is_open).count(), message.open, "open items");
        }
        let open = self.event.messages.iter().filter(|(_, message)| !message.is_complete).count();
        assert_eq!(open, self.event.open_messages, "open messages");
    }

    pub(super) fn message_count(&self) -> usize {
        self.event.messages.len()
    }

    pub(super) fn is_complete(&self, message: MessageIndex) -> bool {
        self.event.messages[message].is_complete
    }

    pub(super) fn outcome(&self, index: ItemIndex) -> Option<&ItemOutcome> {
        match &self.event.items[index].state {
            ItemState::Done(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// Hashes everything that determines the future behaviour of the scheduler. Omits times, texts and call numbers.
    pub(super) fn digest(&self, hasher: &mut impl std::hash::Hasher) {
        for (_, entry) in self.event.items.iter() {
            let state = match &entry.state {
                ItemState::BackingOff { .. } => ItemState::BackingOff { until: Duration::ZERO },
                ItemState::InFlight(_) => ItemState::InFlight(CallId::new(0)),
                ItemState::Done(outcome) => {
                    std::mem::discriminant(outcome).hash(hasher);
                    outcome.is_ambiguous().hash(hasher);
                    continue;
                }
                state => state.clone(),
            };
            (state, entry.attempts.min(2), entry.is_tried, entry.is_ambiguous, entry.holds_back).hash(hasher);
            (entry.cause.is_some(), &entry.losers).hash(hasher);
        }
        for (_, message) in self.event.messages.iter() {
            (message.is_complete, message.has_joined, message.blocked).hash(hasher);
        }
        let ready = |index: &ItemIndex, lane| self.event.items[*index].state == ItemState::Ready(lane);
        let plan = |plan: &CallPlan| (plan.items.clone(), plan.failures, plan.is_divided);
        for (table, queue) in self.event.lanes.iter() {
            queue.batch.iter().filter(|index| ready(index, Lane::Batch)).for_each(|index| index.hash(hasher));
            queue.messages.iter().filter(|(_, index)| ready(index, Lane::Message)).for_each(|entry| entry.hash(hasher));
            queue.single.iter().filter(|index| ready(index, Lane::Single)).for_each(|index| index.hash(hasher));
            queue
                .unprocessed
                .iter()
                .filter(|index| ready(index, Lane::Unprocessed))
                .for_each(|index| index.hash(hasher));
            queue.retries.iter().map(plan).for_each(|plan| plan.hash(hasher));
            self.event.broken.has_table(table).hash(hasher);
        }
        for (table, delayed) in self.calls.delayed.values() {
            match delayed {
                Delayed::Plan(delayed) => (table, true, plan(delayed)).hash(hasher),
                Delayed::Unprocessed(items) => (table, false, items).hash(hasher),
            }
        }
        self.calls.in_flight.values().map(|call| plan(&call.plan)).for_each(|plan| plan.hash(hasher));
        self.event.keys.all().collect::<BTreeMap<_, _>>().hash(hasher);
        self.event.groups.digest(hasher);
        (self.refusals.digest(&self.event), self.decoding).hash(hasher);
    }
}
