//! The scheduler: decides which write is sent when, and what each response means. Pure: time and jitter are arguments, and the
//! calls are made by [`drive`](super::drive).
//!
//! The state of an item lives in its [`ItemEntry`] and nowhere else. Lanes, key queues and plans hold indexes and speed up a
//! lookup; `check` rebuilds them from the states in tests.

use super::backoff::{Backoff, MAX_BACKOFF};
use super::figures::WriteFigures;
use super::flaw::Flaw;
use super::indexed::{Indexed, index_type};
use super::order::{Earlier, GroupQueue, KeyItems, KeyQueues, Phase, Turn, turn};
use super::queue::{Failure, Lane, Plan, TableQueue};
use super::suspects::{CERTAIN_REFUSALS, Origin, Suspects, Verdict};
use super::{Blocker, GroupId, ItemIndex, ItemOutcome, KeyId, MessageIndex, MessagePosition, TableId, Write};
use crate::dynamodb::batch::{ITEM_OVERHEAD, MAX_BATCH_BYTES, MAX_BATCH_ITEMS, PREFIX_ROOM};
use crate::dynamodb::response::{Blame, CallError, Refusal, Throttle};
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Maximum size of the items in flight before a call starts: the size of one call. So there are never more than twice as many.
const MAX_BYTES_IN_FLIGHT: usize = MAX_BATCH_BYTES;

/// The cause of an item that nothing stood in the way of but the time.
const NO_TIME: &str = "there was no time to write it";

index_type! {
    /// Number of a call within its event.
    CallId
}

/// The state of one item. The diagram is in [`super`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum ItemState {
    /// It waits for earlier items of its key, or for earlier messages of its FIFO group.
    Waiting,
    /// Another item of its key is written in its place. It shares that one's outcome.
    Superseded {
        by: ItemIndex,
    },
    /// It waits in a lane of its table for a permit.
    Ready(Lane),
    InFlight(CallId),
    /// It is sent again at `until`.
    BackingOff {
        until: Duration,
    },
    /// It was refused alone, and it is not known yet who is at fault.
    Suspect(Blame),
    Done(ItemOutcome),
}

/// One item.
#[derive(Debug, Clone)]
pub(super) struct ItemEntry {
    pub(super) write: Write,
    pub(super) message: MessageIndex,
    pub(super) state: ItemState,
    /// How often it was sent.
    pub(super) attempts: u8,
    /// Whether a response, or its absence, has said anything about it.
    pub(super) is_tried: bool,
    /// Whether an attempt got no response: it may still take effect.
    pub(super) is_ambiguous: bool,
    /// Whether another item is blocked because this one is ambiguous.
    pub(super) holds_back: bool,
    /// Why its last attempt failed.
    pub(super) cause: Option<Arc<str>>,
    /// When it failed first without others in its call, which may have been at fault.
    pub(super) failed_at: Option<Duration>,
    /// The items whose states say that this one supersedes them.
    pub(super) losers: KeyItems,
}

/// One message.
#[derive(Debug, Clone)]
pub(super) struct MessageEntry {
    pub(super) position: MessagePosition,
    pub(super) group: Option<GroupId>,
    pub(super) items: Range<usize>,
    /// Number of its items that are not done.
    pub(super) open: usize,
    /// Whether it waits for nothing but its own items.
    pub(super) has_joined: bool,
    /// Whether it is complete: all its items are done, and its turn in its group has come.
    pub(super) is_complete: bool,
    /// Set if an earlier message of its group was not written: whether that one's write may still take effect.
    pub(super) blocked: Option<bool>,
    /// Whether it gives its memory back as soon as none of its items is in flight.
    pub(super) is_evicted: bool,
}

/// A call in flight.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) table: TableId,
    pub(super) plan: Plan,
    bytes: usize,
}

/// A call to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NextCall {
    pub(crate) id: CallId,
    pub(crate) table: TableId,
    pub(crate) items: Vec<ItemIndex>,
    /// Whether the item is written by a call of its own kind and not by BatchWriteItem.
    pub(crate) is_single: bool,
    /// Whether one of its items has failed before, so that another failure says nothing of the table.
    pub(crate) is_suspicious: bool,
}

/// What DynamoDB says to a call that it accepted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Accepted {
    /// The items that it handed back.
    pub(crate) unprocessed: Vec<ItemIndex>,
    pub(crate) write_units: f64,
}

/// What waits for its backoff to be over.
#[derive(Debug, Clone)]
pub(super) enum Delayed {
    Plan(Plan),
    /// Items that join others of their table again.
    Unprocessed(Vec<ItemIndex>),
}

/// Draws a random duration from zero to the one given.
pub(crate) type Jitter<'j> = &'j mut dyn FnMut(Duration) -> Duration;

/// What follows from a step and is not done yet.
#[derive(Debug, Default)]
struct Work {
    /// Items to complete, with their outcomes. They go first: an item that is about to be blocked must not proceed.
    completions: VecDeque<(ItemIndex, ItemOutcome)>,
    /// Messages whose turn in their group has come.
    turns: Vec<MessageIndex>,
    /// Keys whose waiting items may proceed.
    keys: Vec<KeyId>,
}

impl Work {
    fn complete(&mut self, index: ItemIndex, outcome: ItemOutcome) {
        self.completions.push_back((index, outcome));
    }
}

/// The writes of one event. Its clock starts with the event.
#[derive(Debug, Clone)]
pub(crate) struct Scheduler {
    pub(super) is_fifo: bool,
    pub(super) decoding: Decoding,
    pub(super) items: Indexed<ItemIndex, ItemEntry>,
    pub(super) messages: Indexed<MessageIndex, MessageEntry>,
    pub(super) keys: KeyQueues,
    pub(super) groups: HashMap<GroupId, GroupQueue>,
    pub(super) tables: Vec<TableSlot>,
    pub(super) delayed: BTreeMap<(Duration, u64), (TableId, Delayed)>,
    pub(super) calls: BTreeMap<CallId, Call>,
    /// Items that were refused alone, while it is not known who is at fault.
    pub(super) suspects: Vec<ItemIndex>,
    /// What is known of each mapping.
    evidence: Suspects,
    /// Whether the evidence holds more than the process knows.
    has_news: bool,
    /// Mappings that an operator must fix, and why.
    broken_mappings: BTreeMap<Origin, Arc<str>>,
    /// Number of messages that are not complete.
    pub(super) open_messages: usize,
    /// Whether an item was blocked by its key, so that its outcome may change.
    has_blocked_keys: bool,
    completed: Vec<MessageIndex>,
    /// When a message was completed last, and not by an eviction.
    completed_at: Duration,
    now: Duration,
    /// Numbers what waits, so that what is due at one time keeps its order.
    ticket: u64,
    next_call: usize,
    /// Table whose turn is next.
    turn: usize,
    figures: WriteFigures,
    /// First cause that an operator must fix.
    fatal: Option<Fatal>,
    #[cfg(test)]
    pub(super) flaw: Option<Flaw>,
}

/// Whether more messages are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Decoding {
    /// Soon. Batches that are not full wait for them.
    Running,
    /// When there is room in memory.
    Paused,
    /// No.
    Ended,
}

/// Why nothing of a table or of a mapping can be written until an operator has fixed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fatal {
    pub(crate) table: TableId,
    /// Whether it is a mapping of the table, and not the table itself.
    pub(crate) is_mapping: bool,
    pub(crate) cause: Arc<str>,
}

/// What is ready to be sent to one table, and why nothing can be.
#[derive(Debug, Clone, Default)]
pub(super) struct TableSlot {
    pub(super) queue: TableQueue,
    /// Whether the table has accepted a call.
    pub(super) has_accepted: bool,
    /// Set once an operator must fix the table.
    broken: Option<Arc<str>>,
}

#[cfg(test)]
impl TableSlot {
    pub(super) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }
}

impl Scheduler {
    /// Creates the scheduler of one event, for so many tables. `evidence` is what the process knows of its mappings.
    pub(crate) fn new(tables: usize, is_fifo: bool, evidence: Suspects) -> Self {
        Self {
            is_fifo,
            decoding: Decoding::Running,
            items: Indexed::default(),
            messages: Indexed::default(),
            keys: KeyQueues::default(),
            groups: HashMap::new(),
            tables: vec![TableSlot::default(); tables],
            delayed: BTreeMap::new(),
            calls: BTreeMap::new(),
            suspects: Vec::new(),
            evidence,
            has_news: false,
            broken_mappings: BTreeMap::new(),
            open_messages: 0,
            has_blocked_keys: false,
            completed: Vec::new(),
            completed_at: Duration::ZERO,
            now: Duration::ZERO,
            ticket: 0,
            next_call: 0,
            turn: 0,
            figures: WriteFigures::default(),
            fatal: None,
            #[cfg(test)]
            flaw: None,
        }
    }

    // ---- messages -------------------------------------------------------------------------------------------------------

    /// Adds a message whose records are all decoded. Messages are added in the order of the event.
    pub(crate) fn add_message(
        &mut self,
        position: MessagePosition,
        group: Option<GroupId>,
        writes: impl Iterator<Item = Write>,
        now: Duration,
    ) -> MessageIndex {
        self.now = now;
        let start = self.items.len();
        let message = MessageIndex::new(self.messages.len());
        for write in writes {
            self.items.push(ItemEntry {
                write,
                message,
                state: ItemState::Waiting,
                attempts: 0,
                is_tried: false,
                is_ambiguous: false,
                holds_back: false,
                cause: None,
                failed_at: None,
                losers: KeyItems::new(),
            });
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
        let ignores_groups = self.has(Flaw::IgnoresGroups);
        let mut work = Work::default();
        match group {
            None => self.join(message, &mut work),
            Some(group) => {
                let queue = self.groups.entry(group).or_default();
                if let Some(is_ambiguous) = queue.blocked {
                    self.block_message(message, is_ambiguous, &mut work);
                } else if queue.current.is_some() && !ignores_groups {
                    queue.waiting.push_back(message);
                } else {
                    queue.current = Some(message);
                    self.join(message, &mut work);
                }
            }
        }
        self.work_off(work);
        message
    }

    /// Blocks the messages of a FIFO group that are added from now on, because one of the group could not be decoded.
    pub(crate) fn block_group(&mut self, group: GroupId) {
        if self.is_fifo {
            // earlier messages of the group are not behind it
            self.groups.entry(group).or_default().blocked.get_or_insert(false);
        }
    }

    /// Says whether more messages are added.
    pub(crate) fn set_decoding(&mut self, decoding: Decoding) {
        self.decoding = decoding;
    }

    fn is_decoding(&self) -> bool {
        self.decoding == Decoding::Running
    }

    /// Takes the messages that were completed since the last time.
    pub(crate) fn take_completed(&mut self) -> Vec<MessageIndex> {
        std::mem::take(&mut self.completed)
    }

    /// Returns the position of a message in the event.
    pub(crate) fn position(&self, message: MessageIndex) -> MessagePosition {
        self.messages[message].position
    }

    /// Returns the outcomes of a complete message's items. `None` if the message has no items and is blocked.
    pub(crate) fn outcomes(&self, message: MessageIndex) -> Option<impl Iterator<Item = &ItemOutcome>> {
        let entry = &self.messages[message];
        let is_blocked = entry.items.is_empty() && entry.blocked.is_some();
        let outcomes = entry.items.clone().filter_map(|index| match &self.items[ItemIndex::new(index)].state {
            ItemState::Done(outcome) => Some(outcome),
            _ => None,
        });
        (!is_blocked).then_some(outcomes)
    }

    /// Returns the number of items that were added.
    pub(crate) fn item_count(&self) -> usize {
        self.items.len()
    }

    /// Returns every message that was added.
    pub(crate) fn messages(&self) -> impl Iterator<Item = MessageIndex> + use<> {
        self.messages.indexes()
    }

    /// Returns the items of a message.
    pub(crate) fn items_of(&self, message: MessageIndex) -> Range<usize> {
        self.messages[message].items.clone()
    }

    /// Returns whether every message that was added is complete. No call is in flight then.
    pub(crate) fn is_idle(&self) -> bool {
        self.calls.is_empty() && self.open_messages == 0
    }

    /// Lets the items of a message take their places in the queues of their keys.
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

    /// Completes a message, and returns the next of its group whose turn has come.
    fn complete_message(&mut self, message: MessageIndex) -> Option<MessageIndex> {
        let entry = &mut self.messages[message];
        entry.is_complete = true;
        self.open_messages -= 1;
        if !entry.is_evicted {
            self.completed_at = self.now;
        }
        let group = entry.group;
        self.completed.push(message);
        let queue = self.groups.get_mut(&group?)?;
        if queue.current != Some(message) {
            return None;
        }
        // of a blocked group nothing waits: it was blocked with the first item that failed
        queue.current = queue.waiting.pop_front();
        queue.current
    }

    // ---- order ----------------------------------------------------------------------------------------------------------

    /// Lets the waiting items of a key proceed as far as its queue allows.
    fn advance(&mut self, key: KeyId, work: &mut Work) {
        let queue: KeyItems = self.keys.items(key).iter().copied().collect();
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
            match turn(&write, &before) {
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
            // which lane it is, depends on the states of those behind it
            self.set_state(index, ItemState::Ready(Lane::Batch));
            ready.push(index);
        }
        for index in ready {
            if self.items[index].state == ItemState::Ready(Lane::Batch) {
                self.enqueue(index, work);
            }
        }
    }

    /// Lets `winner` be written in the place of `loser`.
    fn supersede(&mut self, loser: ItemIndex, winner: ItemIndex) {
        self.keys.leave(self.items[loser].write.key, loser, &[]);
        self.set_state(loser, ItemState::Superseded { by: winner });
        self.items[winner].losers.push(loser);
    }

    /// Blocks an item because of an earlier one of its key. Those whose late effect it must not overtake are marked.
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

    /// Returns whether a test has given the scheduler this flaw.
    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "only a test gives the scheduler a flaw"))]
    fn has(&self, flaw: Flaw) -> bool {
        #[cfg(test)]
        return self.flaw == Some(flaw);
        #[cfg(not(test))]
        {
            let _ = flaw;
            false
        }
    }

    /// Returns what later items of its key need to know of an unfinished one.
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

    /// Puts a ready item into its lane.
    fn enqueue(&mut self, index: ItemIndex, work: &mut Work) {
        let (write, message) = (self.items[index].write, self.items[index].message);
        if let Some(cause) = self.broken_cause(&write) {
            work.complete(index, ItemOutcome::Denied(cause));
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
        let queue = &mut self.table(write.table).queue;
        match lane {
            Lane::Single => queue.single.push_back(index),
            Lane::Message => queue.messages.push_back((message, index)),
            _ => queue.batch.push_back(index),
        }
    }

    /// Returns whether an item is sent without others, because later items of its key wait for it: a neighbour that gets no response
    /// would leave it ambiguous, and block them in each delivery.
    fn goes_alone(&self, index: ItemIndex) -> bool {
        let items = self.keys.items(self.items[index].write.key);
        items.len() > 1 && items.iter().any(|other| self.items[*other].state == ItemState::Waiting)
    }

    // ---- completion -----------------------------------------------------------------------------------------------------

    fn complete(&mut self, index: ItemIndex, outcome: ItemOutcome) {
        self.work_off(Work { completions: [(index, outcome)].into(), ..Work::default() });
    }

    fn complete_each(&mut self, items: &[ItemIndex], outcome: &ItemOutcome) {
        let completions = items.iter().map(|index| (*index, outcome.clone())).collect();
        self.work_off(Work { completions, ..Work::default() });
    }

    /// Does what follows from a step, and whatever follows from that.
    fn work_off(&mut self, mut work: Work) {
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
        if matches!(entry.state, ItemState::Suspect(_)) {
            self.suspects.retain(|suspect| *suspect != index);
        }
        let (proceeds, is_ambiguous) = (outcome.lets_successors_proceed(), outcome.is_ambiguous());
        let mut revived = KeyItems::new();
        for loser in std::mem::take(&mut self.items[index].losers) {
            match &outcome {
                ItemOutcome::Written | ItemOutcome::Superseded => work.complete(loser, ItemOutcome::Superseded),
                // it is written as if the winner had not been there
                ItemOutcome::Invalid(_) if !self.has(Flaw::RevivesNothing) => revived.push(loser),
                _ if self.is_unrelated(index, loser) => revived.push(loser),
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

    /// Returns whether the failure of `failed` does not concern `other`, an item of the same key: SQS gives FIFO groups no order
    /// among themselves, and nothing else orders writes without versions.
    fn is_unrelated(&self, failed: ItemIndex, other: ItemIndex) -> bool {
        let (failed, other) = (&self.items[failed], &self.items[other]);
        self.is_fifo && !failed.write.kind.has_version() && failed.message != other.message
    }

    /// Spreads the failure of an item to what follows it in its key.
    fn spread(&mut self, index: ItemIndex, is_ambiguous: bool, work: &mut Work) {
        if self.has(Flaw::SpreadsNothing) {
            return;
        }
        let write = self.items[index].write;
        if !self.is_fifo || write.kind.has_version() {
            self.keys.close(&write, is_ambiguous);
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

    /// Makes items ambiguous that an earlier failure of their key has blocked: another write of the key, which went beside that
    /// one, may still take effect.
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

    /// Spreads the failure of a message to what follows it in its FIFO group.
    fn spread_to_group(&mut self, group: GroupId, message: MessageIndex, is_ambiguous: bool, work: &mut Work) {
        if self.has(Flaw::GroupGoesOn) {
            return;
        }
        let Some(queue) = self.groups.get_mut(&group) else { return };
        if queue.current != Some(message) {
            return;
        }
        let blocked = queue.blocked.get_or_insert(false);
        *blocked |= is_ambiguous;
        let is_ambiguous = *blocked;
        for waiting in std::mem::take(&mut queue.waiting) {
            self.block_message(waiting, is_ambiguous, work);
        }
    }

    fn set_state(&mut self, index: ItemIndex, state: ItemState) {
        let lane = |state: &ItemState| if let ItemState::Ready(lane) = state { Some(*lane) } else { None };
        let entry = &mut self.items[index];
        let (table, after) = (entry.write.table, lane(&state));
        let before = lane(&std::mem::replace(&mut entry.state, state));
        let queue = &mut self.table(table).queue;
        before.into_iter().for_each(|lane| queue.count(lane, -1));
        after.into_iter().for_each(|lane| queue.count(lane, 1));
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "a table's id is below the number of tables the scheduler was made for"
    )]
    fn table(&mut self, table: TableId) -> &mut TableSlot {
        &mut self.tables[table.index()]
    }

    // ---- calls ----------------------------------------------------------------------------------------------------------

    /// Starts the next call, if one can start and `permit` grants one for its table. Tables take turns.
    pub(crate) fn next_call<P>(
        &mut self,
        now: Duration,
        mut permit: impl FnMut(TableId) -> Option<P>,
    ) -> Option<(NextCall, P)> {
        self.release_due(now);
        let count = self.tables.len();
        for _ in 0..count {
            if !self.has_room() {
                return None;
            }
            let table = TableId::new(self.turn % count);
            self.turn = (self.turn + 1) % count;
            let is_decoding = self.is_decoding();
            if self.table(table).queue.has_call(is_decoding)
                && let Some(permit) = permit(table)
                && let Some(call) = self.start(table, now)
            {
                return Some((call, permit));
            }
        }
        None
    }

    /// Returns the tables that wait for a permit.
    pub(crate) fn waiting_tables(&self) -> impl Iterator<Item = TableId> {
        let has_room = self.has_room();
        let tables = self.tables.iter().enumerate();
        tables
            .filter(move |(_, slot)| has_room && slot.queue.has_call(self.is_decoding()))
            .map(|(table, _)| TableId::new(table))
    }

    /// Starts a call of what is ready for `table`.
    pub(crate) fn start(&mut self, table: TableId, now: Duration) -> Option<NextCall> {
        self.now = now;
        let id = CallId::new(self.next_call);
        let plan = self.take_plan(table, id)?;
        self.next_call += 1;
        let mut is_suspicious = plan.is_part || plan.failures > 0;
        let mut bytes = 0;
        for &index in &plan.items {
            let entry = &mut self.items[index];
            self.figures.retried_items += usize::from(entry.attempts > 0);
            entry.attempts = entry.attempts.saturating_add(1);
            bytes += entry.write.bytes;
        }
        is_suspicious &= !plan.items.is_empty();
        let call = NextCall { id, table, items: plan.items.clone(), is_single: plan.is_single, is_suspicious };
        self.calls.insert(id, Call { table, plan, bytes });
        self.figures.most_in_flight = self.figures.most_in_flight.max(self.calls.len());
        Some(call)
    }

    fn has_room(&self) -> bool {
        self.calls.values().map(|call| call.bytes).sum::<usize>() < MAX_BYTES_IN_FLIGHT
    }

    /// Takes the next call's items out of their lane: first attempts before retries.
    fn take_plan(&mut self, table: TableId, call: CallId) -> Option<Plan> {
        let (is_decoding, queue) = (self.is_decoding(), &self.table(table).queue);
        if queue.ready(Lane::Batch) >= if is_decoding { MAX_BATCH_ITEMS } else { 1 }
            && let Some(plan) = self.take_batch(table, Lane::Batch, call)
        {
            return Some(plan);
        }
        if let Some(plan) = self.take_batch(table, Lane::Message, call) {
            return Some(plan);
        }
        while let Some(index) = self.table(table).queue.single.pop_front() {
            if self.items[index].state == ItemState::Ready(Lane::Single) {
                self.set_state(index, ItemState::InFlight(call));
                return Some(Plan::single(index));
            }
        }
        if let Some(plan) = self.take_batch(table, Lane::Unprocessed, call) {
            return Some(plan);
        }
        while let Some(mut plan) = self.table(table).queue.retries.pop_front() {
            plan.items.retain(|index| self.items[*index].state == ItemState::Ready(Lane::Retry));
            for &index in &plan.items {
                self.set_state(index, ItemState::InFlight(call));
            }
            if !plan.items.is_empty() {
                return Some(plan);
            }
        }
        None
    }

    /// Takes as many items from the front of a lane as one call holds.
    fn take_batch(&mut self, table: TableId, lane: Lane, call: CallId) -> Option<Plan> {
        let mut items = Vec::new();
        let (mut bytes, mut message) = (0, None);
        while items.len() < MAX_BATCH_ITEMS
            && let Some((next_message, index)) = self.front(table, lane)
        {
            let entry = &self.items[index];
            if entry.state != ItemState::Ready(lane) {
                self.pop(table, lane);
                continue;
            }
            let size = entry.write.bytes + ITEM_OVERHEAD;
            let goes_alone = !self.is_fifo && self.goes_alone(index);
            let fits = next_message == message && bytes + size <= MAX_BATCH_BYTES - PREFIX_ROOM;
            if !items.is_empty() && (goes_alone || !fits) {
                break;
            }
            self.pop(table, lane);
            self.set_state(index, ItemState::InFlight(call));
            (message, bytes) = (next_message, bytes + size);
            items.push(index);
            if goes_alone {
                break;
            }
        }
        (!items.is_empty()).then(|| Plan::batch(items))
    }

    fn front(&mut self, table: TableId, lane: Lane) -> Option<(Option<MessageIndex>, ItemIndex)> {
        let queue = &self.table(table).queue;
        match lane {
            Lane::Message => queue.messages.front().map(|(message, index)| (Some(*message), *index)),
            Lane::Batch => queue.batch.front().map(|index| (None, *index)),
            Lane::Unprocessed => queue.unprocessed.front().map(|index| (None, *index)),
            Lane::Single | Lane::Retry => None,
        }
    }

    fn pop(&mut self, table: TableId, lane: Lane) {
        let queue = &mut self.table(table).queue;
        match lane {
            Lane::Message => drop(queue.messages.pop_front()),
            Lane::Batch => drop(queue.batch.pop_front()),
            Lane::Unprocessed => drop(queue.unprocessed.pop_front()),
            Lane::Single | Lane::Retry => {}
        }
    }

    /// Lets what has waited for its backoff go again.
    fn release_due(&mut self, now: Duration) {
        self.now = now;
        while let Some(entry) = self.delayed.first_entry() {
            if entry.key().0 > now {
                return;
            }
            let (table, delayed) = entry.remove();
            match delayed {
                Delayed::Plan(plan) => self.release_plan(table, plan, false),
                Delayed::Unprocessed(items) => {
                    for index in items.into_iter().filter(|index| self.is_backing_off(*index)).collect::<Vec<_>>() {
                        self.release_unprocessed(table, index);
                    }
                }
            }
        }
    }

    fn is_backing_off(&self, index: ItemIndex) -> bool {
        matches!(self.items[index].state, ItemState::BackingOff { .. })
    }

    /// Makes a plan ready. Halves of a refused call go first, so that the item at fault is found before the next such call is
    /// bisected.
    fn release_plan(&mut self, table: TableId, mut plan: Plan, is_first: bool) {
        plan.items.retain(|index| self.is_backing_off(*index));
        for &index in &plan.items {
            self.set_state(index, ItemState::Ready(Lane::Retry));
        }
        let retries = &mut self.table(table).queue.retries;
        if is_first { retries.push_front(plan) } else { retries.push_back(plan) }
    }

    fn release_unprocessed(&mut self, table: TableId, index: ItemIndex) {
        let message = self.items[index].message;
        self.set_state(index, ItemState::Ready(if self.is_fifo { Lane::Message } else { Lane::Unprocessed }));
        let (is_fifo, queue) = (self.is_fifo, &mut self.table(table).queue);
        if is_fifo { queue.messages.push_back((message, index)) } else { queue.unprocessed.push_back(index) }
    }

    /// Returns when a backoff is over next.
    pub(crate) fn next_wake_up(&self) -> Option<Duration> {
        self.delayed.first_key_value().map(|((due, _), _)| *due)
    }

    // ---- responses ------------------------------------------------------------------------------------------------------

    /// Takes the response to a call, or that there was none. `latency` is `None` if nothing was sent.
    pub(crate) fn on_response(
        &mut self,
        call: CallId,
        response: Result<Accepted, CallError>,
        latency: Option<Duration>,
        now: Duration,
        jitter: Jitter<'_>,
    ) {
        self.now = now;
        let Some(Call { table, plan, .. }) = self.calls.remove(&call) else { return };
        self.figures.latencies.extend(latency);
        self.note_evidence(table, &plan, &response);
        self.take_response(table, plan, response, jitter);
        self.judge(false);
    }

    fn take_response(&mut self, table: TableId, plan: Plan, response: Result<Accepted, CallError>, jitter: Jitter<'_>) {
        match response {
            Ok(accepted) => self.on_accepted(table, &plan, &accepted, jitter),
            Err(CallError::Superseded) => self.complete_each(&plan.items, &ItemOutcome::Superseded),
            Err(CallError::Throttled(throttle)) => {
                self.figures.count_throttle(throttle, 1);
                let failure = match throttle {
                    Throttle::Table | Throttle::Index | Throttle::Account => Failure::Throttle,
                    Throttle::HotPartition | Throttle::Unknown => Failure::Other,
                };
                self.retry(table, plan, failure, throttle.name(), jitter);
            }
            Err(CallError::NotSent(cause)) => self.send_later(table, plan, &cause, jitter),
            Err(CallError::Broken(cause)) => {
                let Some(plan) = self.on_no_response(plan, &cause) else { return };
                // a connection that died while the environment was frozen fails at once and costs one attempt
                if self.attempts_of(&plan.items) <= 1 {
                    self.note(&plan.items, &cause);
                    self.delay(table, Delayed::Plan(plan), self.now);
                } else {
                    self.retry(table, plan, Failure::Other, &cause, jitter);
                }
            }
            Err(CallError::TimedOut(cause)) => {
                let Some(plan) = self.on_no_response(plan, &cause) else { return };
                self.retry(table, plan, Failure::Timeout, &cause, jitter);
            }
            Err(CallError::Transient(cause)) => self.retry(table, plan, Failure::Other, &cause, jitter),
            Err(CallError::ConditionFailed { .. }) => {
                let cause = "its condition failed, and the stored item does not say why";
                self.retry(table, plan, Failure::Other, cause, jitter);
            }
            Err(CallError::Refused(refusal)) => self.on_refused(table, plan, refusal),
            Err(CallError::Fatal(cause)) => {
                let cause: Arc<str> = cause.into();
                self.break_table(table, &cause);
                self.complete_each(&plan.items, &ItemOutcome::Denied(cause));
            }
        }
    }

    fn on_accepted(&mut self, table: TableId, plan: &Plan, accepted: &Accepted, jitter: Jitter<'_>) {
        let unprocessed = &accepted.unprocessed;
        self.figures.write_units += accepted.write_units;
        self.figures.unprocessed_items += unprocessed.len();
        // DynamoDB hands items back for want of the table's throughput, and names no other limit
        self.figures.count_throttle(Throttle::Table, unprocessed.len());
        let written: Vec<ItemIndex> = plan.items.iter().copied().filter(|index| !unprocessed.contains(index)).collect();
        self.complete_each(&written, &ItemOutcome::Written);
        let again = Plan { items: unprocessed.clone(), ..*plan };
        self.note(&again.items, "returned unprocessed");
        let Some(again) = self.without_evicted(again) else { return };
        if self.has(Flaw::ForgetsUnprocessed) {
            self.complete_each(&again.items, &ItemOutcome::Written);
            return;
        }
        let due = self.now + jitter(Backoff::THROTTLE.longest(self.attempts_of(&again.items)));
        self.delay(table, Delayed::Unprocessed(again.items), due);
    }

    /// Takes in that a call got no response: any of its items may still take effect. Returns the part that is sent again.
    fn on_no_response(&mut self, mut plan: Plan, cause: &str) -> Option<Plan> {
        self.note(&plan.items, cause);
        if self.has(Flaw::HidesAmbiguity) {
            return Some(plan);
        }
        for &index in &plan.items {
            self.items[index].is_ambiguous = true;
        }
        if self.is_fifo {
            // Nothing guards it: the next message of the group may delete the item, or have the same version. So the group stops
            // here, and comes back when the write can no longer take effect.
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
        // what was blocked was waiting, so the plan itself is as it was
        plan.items.retain(|index| matches!(self.items[*index].state, ItemState::InFlight(_)));
        Some(plan)
    }

    /// Sends a plan again after a backoff, bisected if it has failed often.
    fn retry(&mut self, table: TableId, plan: Plan, failure: Failure, cause: &str, jitter: Jitter<'_>) {
        self.note(&plan.items, cause);
        let Some(plan) = self.without_evicted(plan) else { return };
        let base = if failure == Failure::Throttle { Backoff::THROTTLE } else { Backoff::TRANSIENT };
        let due = self.now + jitter(base.longest(self.attempts_of(&plan.items)));
        for plan in plan.after(failure) {
            self.delay(table, Delayed::Plan(plan), due);
        }
    }

    /// Sends a plan later that could not be sent: it was no attempt, and is not bisected.
    fn send_later(&mut self, table: TableId, mut plan: Plan, cause: &str, jitter: Jitter<'_>) {
        if self.has(Flaw::ForgetsUnsent) {
            return;
        }
        self.note(&plan.items, cause);
        for &index in &plan.items {
            let attempts = &mut self.items[index].attempts;
            *attempts = attempts.saturating_sub(1);
            self.figures.retried_items -= usize::from(*attempts > 0);
        }
        plan.unsent = plan.unsent.saturating_add(1);
        let Some(plan) = self.without_evicted(plan) else { return };
        let due = self.now + jitter(Backoff::TRANSIENT.longest(plan.unsent));
        self.delay(table, Delayed::Plan(plan), due);
    }

    /// Makes the halves of a refused plan ready. Returns the item if it was alone.
    fn bisect(&mut self, table: TableId, plan: &Plan) -> Option<ItemIndex> {
        match plan.halves() {
            Some(halves) => {
                for half in halves.into_iter().rev() {
                    for &index in &half.items {
                        self.set_state(index, ItemState::BackingOff { until: self.now });
                    }
                    self.release_plan(table, half, true);
                }
                None
            }
            None => plan.items.first().copied(),
        }
    }

    /// Lets items wait for their backoff.
    fn delay(&mut self, table: TableId, mut delayed: Delayed, until: Duration) {
        let (Delayed::Plan(Plan { items, .. }) | Delayed::Unprocessed(items)) = &mut delayed;
        self.deny_broken(items);
        for &index in items.iter() {
            self.set_state(index, ItemState::BackingOff { until });
        }
        if !items.is_empty() {
            self.ticket += 1;
            self.delayed.insert((until, self.ticket), (table, delayed));
        }
    }

    /// Completes those of the items whose table or mapping was found broken while they were in flight, and removes them.
    fn deny_broken(&mut self, items: &mut Vec<ItemIndex>) {
        let mut work = Work::default();
        items.retain(|&index| match self.broken_cause(&self.items[index].write) {
            Some(cause) => {
                work.complete(index, ItemOutcome::Denied(cause));
                false
            }
            None => true,
        });
        self.work_off(work);
    }

    fn attempts_of(&self, items: &[ItemIndex]) -> u8 {
        items.iter().map(|index| self.items[*index].attempts).max().unwrap_or_default()
    }

    fn note(&mut self, items: &[ItemIndex], cause: &str) {
        let cause: Arc<str> = cause.into();
        for &index in items {
            let entry = &mut self.items[index];
            entry.cause = Some(Arc::clone(&cause));
            if items.len() == 1 {
                entry.failed_at.get_or_insert(self.now);
            }
        }
    }

    // ---- suspects -------------------------------------------------------------------------------------------------------

    /// Notes what a response says of the table and of the mappings.
    fn note_evidence(&mut self, table: TableId, plan: &Plan, response: &Result<Accepted, CallError>) {
        if !matches!(response, Err(CallError::NotSent(_) | CallError::Refused(_))) {
            for &index in &plan.items {
                self.items[index].is_tried = true;
            }
        }
        let unprocessed = match response {
            Ok(accepted) => &accepted.unprocessed[..],
            Err(CallError::Superseded) => &[],
            Err(_) => return,
        };
        let mut last = None;
        for index in plan.items.iter().filter(|index| !unprocessed.contains(index)) {
            let mut origin = Origin::from(&self.items[*index].write);
            // whose condition failed, its key has been compared and no other attribute
            origin.is_deletion |= response.is_err();
            if last.replace(origin) != Some(origin) {
                self.has_news |= self.evidence.accept(origin);
            }
        }
        if !self.table(table).has_accepted {
            self.table(table).has_accepted = true;
            // only those that are denied alone are denied
            for index in self.suspects_of(|write, blame| blame == Blame::Operator && write.table == table) {
                self.complete(index, ItemOutcome::Denied(self.cause(index)));
            }
        }
    }

    /// Returns the suspects for which `is` holds.
    fn suspects_of(&self, is: impl Fn(&Write, Blame) -> bool) -> Vec<ItemIndex> {
        let is = |index: &&ItemIndex| match &self.items[**index] {
            ItemEntry { write, state: ItemState::Suspect(blame), .. } => is(write, *blame),
            _ => false,
        };
        self.suspects.iter().filter(is).copied().collect()
    }

    fn cause(&self, index: ItemIndex) -> Arc<str> {
        self.items[index].cause.clone().unwrap_or_else(|| NO_TIME.into())
    }

    /// Takes in that a call was refused by a response that does not name the item.
    fn on_refused(&mut self, table: TableId, mut plan: Plan, Refusal { blame, said }: Refusal) {
        if self.has(Flaw::BisectsNothing) {
            return self.complete_each(&plan.items, &ItemOutcome::Invalid(said.into()));
        }
        self.deny_broken(&mut plan.items);
        let Some(index) = self.bisect(table, &plan) else { return };
        self.note(&[index], &said);
        self.items[index].is_tried = true;
        let (origin, key) = (Origin::from(&self.items[index].write), self.items[index].write.key);
        match blame {
            Blame::Item => return self.complete(index, ItemOutcome::Invalid(said.into())),
            Blame::Operator if self.table(table).has_accepted => {
                return self.complete(index, ItemOutcome::Denied(said.into()));
            }
            Blame::ItemOrMapping | Blame::Key => {
                self.evidence.refuse(origin, key);
                self.has_news = true;
            }
            Blame::Operator => {}
        }
        self.set_state(index, ItemState::Suspect(blame));
        self.suspects.push(index);
        if self.suspects_of(|write, blame| blame == Blame::Operator && write.table == table).len() >= CERTAIN_REFUSALS {
            self.blame_table(table);
        }
    }

    /// Judges the items that were refused alone, where it can be said who is at fault. `is_quiet` says that nothing else of the
    /// event is under way. Returns whether there was any.
    fn judge(&mut self, is_quiet: bool) -> bool {
        let mut refused: BTreeMap<Origin, (usize, usize)> = BTreeMap::new();
        for index in self.suspects_of(|_, blame| blame != Blame::Operator) {
            let entry = &self.items[index];
            let (count, certain) = refused.entry(Origin::from(&entry.write)).or_insert((0, CERTAIN_REFUSALS));
            *count += 1;
            if entry.state == ItemState::Suspect(Blame::Key) {
                *certain = 1;
            }
        }
        let mut is_any = false;
        for (origin, (count, certain)) in refused {
            let all_tried = is_quiet || self.decoding == Decoding::Ended && !self.has_untried(origin);
            let verdict = self.evidence.judge(origin, count, certain, all_tried);
            if verdict == Verdict::Open {
                continue;
            }
            is_any = true;
            let of = |write: &Write, blame| blame != Blame::Operator && Origin::from(write) == origin;
            for index in self.suspects_of(of) {
                let cause = self.cause(index);
                if verdict == Verdict::Item {
                    self.complete(index, ItemOutcome::Invalid(cause));
                } else {
                    self.break_mapping(self.items[index].write.table, origin, &cause);
                    self.complete(index, ItemOutcome::Denied(cause));
                }
            }
        }
        is_any
    }

    /// Returns whether an item of `origin` may be sent of which no response has said anything yet.
    fn has_untried(&self, origin: Origin) -> bool {
        self.items.iter().any(|(_, entry)| {
            let is_under_way =
                matches!(entry.state, ItemState::Ready(_) | ItemState::InFlight(_) | ItemState::BackingOff { .. });
            is_under_way && !entry.is_tried && Origin::from(&entry.write) == origin
        })
    }

    /// Completes the items to which a table denies access while it accepts none: an operator must fix it, and no item is to blame.
    fn blame_table(&mut self, table: TableId) {
        for index in self.suspects_of(|write, blame| blame == Blame::Operator && write.table == table) {
            let cause = self.cause(index);
            self.break_table(table, &cause);
            self.complete(index, ItemOutcome::Denied(cause));
        }
    }

    /// Judges the suspects once nothing else is under way that could prove them at fault. Returns whether there were any.
    pub(crate) fn settle(&mut self) -> bool {
        let is_quiet = !self.is_decoding()
            && self.calls.is_empty()
            && self.delayed.is_empty()
            && self.tables.iter().all(|slot| !slot.queue.has_call(false));
        if !is_quiet || self.suspects.is_empty() {
            return false;
        }
        self.judge(true);
        self.suspected_tables().into_iter().for_each(|table| self.blame_table(table));
        true
    }

    fn suspected_tables(&self) -> BTreeSet<TableId> {
        let denied = self.suspects_of(|_, blame| blame == Blame::Operator);
        denied.into_iter().map(|index| self.items[index].write.table).collect()
    }

    /// Returns why nothing of a write's table or mapping can be written.
    fn broken_cause(&self, write: &Write) -> Option<Arc<str>> {
        let table = self.tables.get(write.table.index())?;
        table.broken.clone().or_else(|| self.broken_mappings.get(&Origin::from(write)).cloned())
    }

    fn break_table(&mut self, table: TableId, cause: &Arc<str>) {
        self.fatal.get_or_insert_with(|| Fatal { table, is_mapping: false, cause: Arc::clone(cause) });
        let slot = self.table(table);
        if slot.broken.is_none() {
            slot.broken = Some(Arc::clone(cause));
            self.deny(|write| write.table == table, cause);
        }
    }

    fn break_mapping(&mut self, table: TableId, origin: Origin, cause: &Arc<str>) {
        self.fatal.get_or_insert_with(|| Fatal { table, is_mapping: true, cause: Arc::clone(cause) });
        if self.broken_mappings.insert(origin, Arc::clone(cause)).is_none() {
            self.deny(|write| Origin::from(write) == origin, cause);
        }
    }

    /// Completes what is not in flight of the writes for which `is` holds.
    fn deny(&mut self, is: impl Fn(&Write) -> bool, cause: &Arc<str>) {
        let is_affected = |entry: &ItemEntry| {
            is(&entry.write) && matches!(entry.state, ItemState::Ready(_) | ItemState::BackingOff { .. })
        };
        let affected = self.items.iter().filter(|(_, entry)| is_affected(entry)).map(|(index, _)| index);
        let affected: Vec<ItemIndex> = affected.collect();
        self.complete_each(&affected, &ItemOutcome::Denied(Arc::clone(cause)));
    }

    /// Exchanges what is known of the mappings with the rest of the process.
    pub(crate) fn share_evidence(&mut self, process: impl FnOnce(&mut dyn FnMut(&mut Suspects))) {
        if self.has_news {
            process(&mut |known| {
                known.learn(&self.evidence);
                self.evidence.clone_from(known);
            });
            self.has_news = false;
        }
    }

    // ---- memory and the end ---------------------------------------------------------------------------------------------

    /// Returns the message that has failed longest, so that its memory is free for others, if every message that is not
    /// complete has failed or waits for one that has, and none was completed for the longest backoff. Returns whether there was one.
    pub(crate) fn evict(&mut self, now: Duration) -> bool {
        self.now = now;
        let may_be_written = |entry: &ItemEntry| {
            let is_under_way =
                matches!(entry.state, ItemState::Ready(_) | ItemState::InFlight(_) | ItemState::BackingOff { .. });
            is_under_way && entry.failed_at.is_none()
        };
        if now < self.eviction_at() || self.items.iter().any(|(_, entry)| may_be_written(entry)) {
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

    /// Returns when a message may be evicted at the earliest.
    pub(crate) fn eviction_at(&self) -> Duration {
        self.completed_at + MAX_BACKOFF
    }

    /// Gives up the items of evicted messages. Returns what is left of the plan.
    fn without_evicted(&mut self, mut plan: Plan) -> Option<Plan> {
        let is_evicted = |index: &ItemIndex| self.messages[self.items[*index].message].is_evicted;
        let evicted: Vec<ItemIndex> = plan.items.iter().copied().filter(is_evicted).collect();
        if !evicted.is_empty() {
            plan.items.retain(|index| !evicted.contains(index));
            evicted.into_iter().for_each(|index| self.give_up(index));
        }
        (!plan.items.is_empty()).then_some(plan)
    }

    /// Completes an item for which there is no further attempt.
    fn give_up(&mut self, index: ItemIndex) {
        let mut work = Work::default();
        if matches!(self.items[index].state, ItemState::InFlight(_)) {
            self.items[index].is_ambiguous = true;
        }
        if self.items[index].is_ambiguous && !self.is_fifo {
            self.spread(index, true, &mut work);
            self.work_off(work);
        }
        let entry = &self.items[index];
        let cause = entry.cause.clone().unwrap_or_else(|| NO_TIME.into());
        let outcome = if entry.is_ambiguous && (self.is_fifo || entry.holds_back) {
            ItemOutcome::Ambiguous(cause)
        } else {
            ItemOutcome::Failed(cause)
        };
        self.complete(index, outcome);
    }

    /// Ends the writes: whatever is not done has failed. A call in flight may still take effect.
    pub(crate) fn finish(&mut self, now: Duration) {
        self.now = now;
        self.decoding = Decoding::Ended;
        for table in self.suspected_tables() {
            let is_tried = |entry: &ItemEntry| entry.attempts > 0 || entry.cause.is_some();
            let is_open = |entry: &ItemEntry| {
                let is_judged = matches!(entry.state, ItemState::Done(_) | ItemState::Suspect(_));
                entry.write.table == table && is_tried(entry) && !is_judged
            };
            // what else was tried there could have proved the table right
            if !self.items.iter().any(|(_, entry)| is_open(entry)) {
                self.blame_table(table);
            }
        }
        loop {
            let under_way = |entry: &ItemEntry| {
                !matches!(entry.state, ItemState::Done(_) | ItemState::Waiting | ItemState::Superseded { .. })
            };
            let open: Vec<ItemIndex> =
                self.items.iter().filter(|(_, entry)| under_way(entry)).map(|(index, _)| index).collect();
            if open.is_empty() {
                break;
            }
            open.into_iter().for_each(|index| self.give_up(index));
        }
        self.calls.clear();
        self.delayed.clear();
    }

    /// Takes what the writes took, and the first cause that an operator must fix.
    pub(crate) fn take_report(&mut self) -> (WriteFigures, Option<Fatal>) {
        (std::mem::take(&mut self.figures), self.fatal.take())
    }
}
