//! The items and messages of one event: their states, and the effect of an outcome on the items that wait for it. Pure: no
//! I/O, clock or randomness.
//!
//! The state of an item is stored in its [`ItemEntry`] and nowhere else. Lanes, key queues and plans only hold indexes that
//! speed up lookups. In tests, `check` rebuilds them from the states and compares.

use super::backoff::MAX_BACKOFF;
use super::broken::Broken;
use super::entry::{ItemEntry, ItemState, MessageEntry};
use super::flaw::Flaw;
use super::indexed::Indexed;
use super::order::{Arrival, Earlier, GroupQueues, KeyItems, KeyQueues, Phase, Turn, turn};
use super::queue::{Lane, TableQueue};
use super::{Blocker, GroupId, ItemIndex, ItemOutcome, KeyId, MessageIndex, MessagePosition, TableId, Write};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Consequences of a step that are not carried out yet.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// Items to complete, with their outcomes. They go first, because an item that is about to be blocked must not become
    /// ready.
    completions: VecDeque<(ItemIndex, ItemOutcome)>,
    /// Messages whose turn in their group has come.
    turns: Vec<MessageIndex>,
    /// Keys whose waiting items may have become ready.
    keys: Vec<KeyId>,
}

impl Work {
    pub(super) fn complete(&mut self, index: ItemIndex, outcome: ItemOutcome) {
        self.completions.push_back((index, outcome));
    }
}

/// The items and messages of one event.
#[derive(Debug, Clone)]
pub(super) struct EventState {
    pub(super) is_fifo: bool,
    pub(super) items: Indexed<ItemIndex, ItemEntry>,
    pub(super) messages: Indexed<MessageIndex, MessageEntry>,
    pub(super) keys: KeyQueues,
    pub(super) groups: GroupQueues,
    pub(super) lanes: Indexed<TableId, TableQueue>,
    pub(super) broken: Broken,
    /// Number of messages that are not complete.
    pub(super) open_messages: usize,
    /// Whether any item was blocked by its key. The outcome of such an item may still become ambiguous.
    has_blocked_keys: bool,
    completed: Vec<MessageIndex>,
    /// Time of the last completion of a message, not counting evictions.
    completed_at: Duration,
    /// Time of the current step.
    pub(super) now: Duration,
    #[cfg(test)]
    pub(super) flaw: Option<Flaw>,
}

impl EventState {
    pub(super) fn new(tables: usize, is_fifo: bool) -> Self {
        Self {
            is_fifo,
            items: Indexed::default(),
            messages: Indexed::default(),
            keys: KeyQueues::default(),
            groups: GroupQueues::default(),
            lanes: Indexed::new(vec![TableQueue::default(); tables]),
            broken: Broken::default(),
            open_messages: 0,
            has_blocked_keys: false,
            completed: Vec::new(),
            completed_at: Duration::ZERO,
            now: Duration::ZERO,
            #[cfg(test)]
            flaw: None,
        }
    }

    // ---- messages ------------------------------------------------------------------------------------------------------

    /// Adds a message after all its records are decoded. Messages must be added in the order of the event.
    pub(super) fn add_message(
        &mut self,
        position: MessagePosition,
        group: Option<GroupId>,
        writes: impl Iterator<Item = Write>,
    ) -> MessageIndex {
        let start = self.items.len();
        let message = MessageIndex::new(self.messages.len());
        for write in writes {
            self.items.push(ItemEntry::new(write, message));
        }
        let items = start..self.items.len();
        let group = group.filter(|_| self.is_fifo);
        self.messages.push(MessageEntry {
            position,
            group,
            open: items.len(),
            items,
            has_joined: false,
            is_complete: false,
            blocked: None,
            is_evicted: false,
        });
        self.open_messages += 1;
        let mut work = Work::default();
        let ordered = group.filter(|_| !self.has(Flaw::IgnoresGroups));
        match ordered.map_or(Arrival::Joins, |group| self.groups.add(group, message)) {
            Arrival::Joins => self.join(message, &mut work),
            Arrival::Waits => {}
            Arrival::Blocked { is_ambiguous } => self.block_message(message, is_ambiguous, &mut work),
        }
        self.work_off(work);
        message
    }

    /// Blocks all messages of a FIFO group that are added from now on, because a message of the group could not be decoded.
    pub(super) fn block_group(&mut self, group: GroupId) {
        if self.is_fifo {
            self.groups.block(group);
        }
    }

    /// Takes the messages that were completed since the previous call.
    pub(super) fn take_completed(&mut self) -> Vec<MessageIndex> {
        std::mem::take(&mut self.completed)
    }

    /// Returns the outcomes of the items of a complete message, or `None` if the message has no items and is blocked.
    pub(super) fn outcomes(&self, message: MessageIndex) -> Option<impl Iterator<Item = &ItemOutcome>> {
        let entry = &self.messages[message];
        let is_blocked = entry.items.is_empty() && entry.blocked.is_some();
        let outcomes = entry.items.clone().filter_map(|index| match &self.items[ItemIndex::new(index)].state {
            ItemState::Done(outcome) => Some(outcome),
            _ => None,
        });
        (!is_blocked).then_some(outcomes)
    }

    /// Adds the items of a message to the queues of their keys.
    fn join(&mut self, message: MessageIndex, work: &mut Work) {
        let entry = &mut self.messages[message];
        entry.has_joined = true;
        if entry.items.is_empty() {
            work.turns.extend(self.complete_message(message));
            return;
        }
        let items = entry.items.clone().map(ItemIndex::new);
        for index in items.clone() {
            let write = self.items[index].write;
            self.keys.join(&write, index);
        }
        for index in items {
            if self.items[index].state == ItemState::Waiting {
                self.advance(self.items[index].write.key, work);
            }
        }
    }

    /// Blocks a message that waits for its group.
    fn block_message(&mut self, message: MessageIndex, is_ambiguous: bool, work: &mut Work) {
        self.messages[message].blocked = Some(is_ambiguous);
        let items = self.messages[message].items.clone();
        if items.is_empty() {
            self.complete_message(message);
        }
        let outcome = ItemOutcome::Blocked { by: Blocker::Group, is_ambiguous };
        work.completions.extend(items.map(|index| (ItemIndex::new(index), outcome.clone())));
    }

    /// Completes a message. Returns the next message of its group, whose turn it is now.
    fn complete_message(&mut self, message: MessageIndex) -> Option<MessageIndex> {
        let entry = &mut self.messages[message];
        entry.is_complete = true;
        self.open_messages -= 1;
        if !entry.is_evicted {
            self.completed_at = self.now;
        }
        let group = entry.group;
        self.completed.push(message);
        self.groups.complete(group?, message)
    }

    // ---- order ---------------------------------------------------------------------------------------------------------

    /// Advances the waiting items of a key as far as its queue allows.
    fn advance(&mut self, key: KeyId, work: &mut Work) {
        let queue: KeyItems = self.keys.items(key).iter().copied().collect();
        let is_overwritable = self.keys.is_overwritable(key);
        let mut ready = KeyItems::new();
        for (place, &index) in queue.iter().enumerate() {
            if self.items[index].state != ItemState::Waiting {
                continue;
            }
            let write = self.items[index].write;
            if let Some(closure) = self.keys.refuses(&write).filter(|_| !self.has(Flaw::ClosesNoKey)) {
                self.block_by_key(index, closure.is_ambiguous, work);
                continue;
            }
            let before = queue.get(..place).filter(|_| !self.has(Flaw::IgnoresKeys)).unwrap_or_default().iter();
            let before: SmallVec<[Earlier; 2]> = before.map(|&index| self.earlier(index)).collect();
            match turn(&write, &before, is_overwritable) {
                Turn::Ready => {}
                Turn::Supersedes => {
                    let losers: KeyItems = before.iter().map(|earlier| earlier.index).collect();
                    losers.into_iter().for_each(|loser| self.supersede(loser, index));
                }
                Turn::SupersededBy(winner) => {
                    self.supersede(index, winner);
                    continue;
                }
                Turn::Waits => continue,
            }
            // `enqueue` chooses the actual lane later, because that depends on the states of the items behind this one
            self.set_state(index, ItemState::Ready(Lane::Batch));
            ready.push(index);
        }
        for index in ready {
            if self.items[index].state == ItemState::Ready(Lane::Batch) {
                self.enqueue(index, work);
            }
        }
    }

    /// Marks `loser` as superseded by `winner`.
    fn supersede(&mut self, loser: ItemIndex, winner: ItemIndex) {
        self.keys.leave(self.items[loser].write.key, loser, &[]);
        self.set_state(loser, ItemState::Superseded { by: winner });
        self.items[winner].losers.push(loser);
    }

    /// Blocks an item because of an earlier item of its key. If the reason is an ambiguous write, marks the ambiguous items
    /// of the key as holding back another item.
    fn block_by_key(&mut self, index: ItemIndex, is_ambiguous: bool, work: &mut Work) {
        work.complete(index, ItemOutcome::Blocked { by: Blocker::Key, is_ambiguous });
        self.has_blocked_keys = true;
        if is_ambiguous {
            let queue: KeyItems = self.keys.items(self.items[index].write.key).iter().copied().collect();
            for other in queue.into_iter().filter(|other| *other != index) {
                let entry = &mut self.items[other];
                entry.holds_back |= entry.is_ambiguous;
            }
        }
    }

    /// Returns the properties of an unfinished item that later items of its key depend on.
    fn earlier(&self, index: ItemIndex) -> Earlier {
        let entry = &self.items[index];
        let phase = match entry.state {
            ItemState::Waiting => Phase::Waiting,
            ItemState::Ready(_) if entry.attempts == 0 => Phase::Unsent,
            ItemState::InFlight(_) if self.has(Flaw::SupersedesSent) => Phase::Unsent,
            _ => Phase::Sent,
        };
        Earlier { index, write: entry.write, phase }
    }

    /// Moves a ready item to its lane.
    fn enqueue(&mut self, index: ItemIndex, work: &mut Work) {
        let (write, message) = (self.items[index].write, self.items[index].message);
        if let Some(cause) = self.broken.cause(&write) {
            work.complete(index, ItemOutcome::Denied(Arc::clone(cause)));
            return;
        }
        let lane = if write.kind.is_conditional() {
            Lane::Single
        } else if self.is_fifo {
            Lane::Message
        } else {
            Lane::Batch
        };
        self.set_state(index, ItemState::Ready(lane));
        self.lanes[write.table].push(lane, message, index);
    }

    /// Returns whether an item must be sent in a call of its own, because later items of its key wait for it. If it shared
    /// a call, a neighbour that causes a timeout would make it ambiguous and block the later items, and the same would
    /// happen after each redelivery.
    pub(super) fn goes_alone(&self, index: ItemIndex) -> bool {
        let items = self.keys.items(self.items[index].write.key);
        items.len() > 1 && items.iter().any(|other| self.items[*other].state == ItemState::Waiting)
    }

    // ---- completion ----------------------------------------------------------------------------------------------------

    pub(super) fn complete(&mut self, index: ItemIndex, outcome: ItemOutcome) {
        self.work_off(Work { completions: [(index, outcome)].into(), ..Work::default() });
    }

    pub(super) fn complete_each(&mut self, items: &[ItemIndex], outcome: &ItemOutcome) {
        let completions = items.iter().map(|index| (*index, outcome.clone())).collect();
        self.work_off(Work { completions, ..Work::default() });
    }

    /// Carries out the consequences of a step, and the consequences of those.
    pub(super) fn work_off(&mut self, mut work: Work) {
        loop {
            if let Some((index, outcome)) = work.completions.pop_front() {
                self.complete_one(index, outcome, &mut work);
            } else if let Some(message) = work.turns.pop() {
                self.join(message, &mut work);
            } else if let Some(key) = work.keys.pop() {
                self.advance(key, &mut work);
            } else {
                return;
            }
        }
    }

    fn complete_one(&mut self, index: ItemIndex, outcome: ItemOutcome, work: &mut Work) {
        let entry = &self.items[index];
        if matches!(entry.state, ItemState::Done(_)) {
            return;
        }
        let (write, message) = (entry.write, entry.message);
        let (proceeds, is_ambiguous) = (outcome.lets_successors_proceed(), outcome.is_ambiguous());
        let mut revived = KeyItems::new();
        for loser in std::mem::take(&mut self.items[index].losers) {
            match &outcome {
                ItemOutcome::Written | ItemOutcome::Superseded => work.complete(loser, ItemOutcome::Superseded),
                // the loser is written as if the winner had never existed
                _ if self.is_revived(index, loser, &outcome) => match self.failure_of(loser) {
                    Some(is_ambiguous) => {
                        work.complete(loser, ItemOutcome::Blocked { by: Blocker::Key, is_ambiguous });
                    }
                    None => revived.push(loser),
                },
                _ => work.complete(loser, outcome.clone()),
            }
        }
        revived.iter().for_each(|&loser| self.set_state(loser, ItemState::Waiting));
        self.set_state(index, ItemState::Done(outcome));
        self.keys.leave(write.key, index, &revived);
        if !proceeds {
            self.spread(index, is_ambiguous, work);
        }
        work.keys.push(write.key);
        let entry = &mut self.messages[message];
        entry.open = entry.open.saturating_sub(1);
        let (is_last, group) = (entry.open == 0, entry.group);
        if !proceeds && let Some(group) = group {
            self.spread_to_group(group, message, is_ambiguous, work);
        }
        if is_last {
            work.turns.extend(self.complete_message(message));
        }
    }

    /// Returns whether a superseded item must be written after all, given the outcome of its `winner`.
    fn is_revived(&self, winner: ItemIndex, loser: ItemIndex, outcome: &ItemOutcome) -> bool {
        let is_invalid = matches!(outcome, ItemOutcome::Invalid(_)) && !self.has(Flaw::RevivesNothing);
        is_invalid || self.is_unrelated(winner, loser)
    }

    /// Returns whether another item of the same message of a FIFO queue was not written. If so, the message is returned.
    /// The value is whether a write of that other item may still take effect, in which case the unsent items of the message
    /// must not overtake it.
    fn failure_of(&self, index: ItemIndex) -> Option<bool> {
        let items = self.messages[self.items[index].message].items.clone().filter(|_| self.is_fifo);
        let failures = items.filter_map(|item| match &self.items[ItemIndex::new(item)].state {
            ItemState::Done(outcome) if !outcome.lets_successors_proceed() => Some(outcome.is_ambiguous()),
            _ => None,
        });
        failures.reduce(|one, other| one | other)
    }

    /// Returns whether the failure of `failed` does not affect `other`, an item of the same key. This is the case if they
    /// belong to different messages of a FIFO queue and have no versions, because SQS defines no order between groups.
    fn is_unrelated(&self, failed: ItemIndex, other: ItemIndex) -> bool {
        let (failed, other) = (&self.items[failed], &self.items[other]);
        self.is_fifo && !failed.write.kind.has_version() && failed.message != other.message
    }

    /// Spreads the failure of an item to the later items of its key.
    pub(super) fn spread(&mut self, index: ItemIndex, is_ambiguous: bool, work: &mut Work) {
        if self.has(Flaw::SpreadsNothing) {
            return;
        }
        let write = self.items[index].write;
        if !self.is_fifo || write.kind.has_version() {
            self.keys.close(&write, is_ambiguous);
        } else if is_ambiguous && !write.kind.is_conditional() {
            self.keys.note_overwritable(write.key);
        }
        let queue: KeyItems = self.keys.items(write.key).iter().copied().collect();
        for other in queue {
            let entry = &self.items[other];
            let is_admitted = self.keys.closure(write.key).is_some_and(|closure| closure.admits(&entry.write));
            if entry.state == ItemState::Waiting && !is_admitted && !self.is_unrelated(index, other) {
                self.block_by_key(other, is_ambiguous, work);
            }
        }
        if is_ambiguous {
            self.note_ambiguity(write.key);
        }
    }

    /// Marks the blocked items of a key as ambiguous, because a write to the key may still take effect. They were blocked
    /// by an earlier failure of another write, which was in flight at the same time.
    fn note_ambiguity(&mut self, key: KeyId) {
        if !self.has_blocked_keys {
            return;
        }
        for index in self.items.indexes() {
            let entry = &mut self.items[index];
            if let ItemState::Done(ItemOutcome::Blocked { by: Blocker::Key, is_ambiguous }) = &mut entry.state
                && entry.write.key == key
            {
                *is_ambiguous = true;
            }
        }
    }

    /// Spreads the failure of a message to the later messages of its FIFO group.
    fn spread_to_group(&mut self, group: GroupId, message: MessageIndex, is_ambiguous: bool, work: &mut Work) {
        if self.has(Flaw::GroupGoesOn) {
            return;
        }
        let Some((waiting, is_ambiguous)) = self.groups.fail(group, message, is_ambiguous) else { return };
        for waiting in waiting {
            self.block_message(waiting, is_ambiguous, work);
        }
    }

    pub(super) fn set_state(&mut self, index: ItemIndex, state: ItemState) {
        let lane = |state: &ItemState| if let ItemState::Ready(lane) = state { Some(*lane) } else { None };
        let entry = &mut self.items[index];
        let (table, after) = (entry.write.table, lane(&state));
        let before = lane(&std::mem::replace(&mut entry.state, state));
        let queue = &mut self.lanes[table];
        before.into_iter().for_each(|lane| queue.count(lane, -1));
        after.into_iter().for_each(|lane| queue.count(lane, 1));
    }

    /// Returns the earliest time at which a message may be evicted.
    pub(super) fn eviction_at(&self) -> Duration {
        self.completed_at + MAX_BACKOFF
    }

    /// Returns whether a test has enabled this flaw.
    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "only a test gives the scheduler a flaw"))]
    pub(super) fn has(&self, flaw: Flaw) -> bool {
        #[cfg(test)]
        return self.flaw == Some(flaw);
        #[cfg(not(test))]
        {
            let _ = flaw;
            false
        }
    }
}
