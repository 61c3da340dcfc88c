//! The writes of one event: what waits, what is sent when. What a response means for its items is in `completed`.

mod completed;
mod doubts;

use super::super::batch::{Distinct, Index};
use super::super::item::{Item, Items};
use super::super::mapping::TableId;
use super::backoff::Backoff;
use super::delayed::{Delayed, Waiting};
use super::order::{Group, GroupOrder, lets_pass};
use super::queue::TableQueue;
use super::{CallEnd, OpenKeys, PATIENCE, WriteOutcome, WriteReport, WriteTime, Writer};
use crate::clock;
use crate::limiter::{ConcurrencyLimiter, Permit, any_permit};
use doubts::Doubts;
use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::future::pending;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

/// A call starts while the bodies in flight have fewer bytes: the most of one call. So there are never more than twice as many.
const MAX_BYTES_IN_FLIGHT: usize = super::super::batch::MAX_BATCH_BYTES;

/// The writes of one event, under way.
pub(super) struct RetryLoop<'w> {
    writer: &'w Writer,
    items: &'w Arc<Items>,
    /// Keys that are left alone, and in the end those that are open besides.
    open: &'w mut OpenKeys,
    time: WriteTime,
    /// By table, this event's share of the limit.
    limiters: Vec<ConcurrencyLimiter>,
    /// When an item had its end last.
    ended_at: Instant,
    /// What waits to be sent, by table.
    tables: Vec<TableQueue>,
    /// The table whose turn is next.
    turn: usize,
    /// The items that each one to be written stands in for.
    superseded: HashMap<Index, Vec<Index>>,
    /// The items of its key that wait for the end of one to be written.
    followers: HashMap<Index, Vec<Index>>,
    /// Of a FIFO queue, the order within its groups, and which item of each key is to be written.
    fifo: Option<Fifo<'w>>,
    delayed: BinaryHeap<Reverse<Delayed>>,
    calls: JoinSet<CallEnd>,
    /// About as many bytes as each call's body has. Kept here: a call that panics does not say them.
    bytes_in_flight: HashMap<task::Id, usize>,
    /// How often each item was sent.
    attempts: Vec<u8>,
    /// How many of these calls have no response: any of them may be applied yet.
    unanswered: Vec<u8>,
    doubts: Doubts,
    /// Why each item's last call failed.
    causes: Vec<Option<Arc<str>>>,
    report: WriteReport,
}

struct Fifo<'w> {
    groups: &'w [Group],
    order: GroupOrder,
    /// The item of each key that is not at its end. Two groups may write one key.
    active: HashMap<(TableId, &'w [u8]), Index>,
}

impl<'w> RetryLoop<'w> {
    /// The writes of all `items` of a queue without order, or those of a FIFO queue in the order of its `groups`.
    pub(super) fn new(
        writer: &'w Writer,
        items: &'w Arc<Items>,
        groups: Option<&'w [Group]>,
        open: &'w mut OpenKeys,
        time: WriteTime,
    ) -> Self {
        let count = items.as_slice().len();
        let mut run = Self {
            writer,
            items,
            open,
            time,
            limiters: writer.limiters.iter().map(ConcurrencyLimiter::for_invocation).collect(),
            ended_at: clock::now(),
            tables: writer.limiters.iter().map(|_| TableQueue::default()).collect(),
            turn: 0,
            superseded: HashMap::new(),
            followers: HashMap::new(),
            fifo: None,
            delayed: BinaryHeap::new(),
            calls: JoinSet::new(),
            bytes_in_flight: HashMap::new(),
            attempts: vec![0; count],
            unanswered: vec![0; count],
            doubts: Doubts::default(),
            causes: vec![None; count],
            report: WriteReport {
                outcomes: vec![WriteOutcome::unfinished("there was no time to write it"); count],
                ..WriteReport::default()
            },
        };
        match groups {
            None => run.enqueue_distinct(run.distinct(0..count)),
            Some(groups) => {
                let order = GroupOrder::new(groups, |message| items_of(items, message).len());
                let firsts: Vec<usize> = groups.iter().filter_map(|group| order.first_of(group)).collect();
                run.fifo = Some(Fifo { groups, order, active: HashMap::new() });
                for message in firsts {
                    run.enqueue_distinct(run.distinct(items_of(items, message)));
                }
            }
        }
        run
    }

    /// What to write of items that wait for nothing else. Those of open keys stay unfinished.
    fn distinct(&self, among: Range<Index>) -> Distinct {
        let is_free = |index: &Index| self.item(*index).is_some_and(|item| self.open.get(self.items, item).is_none());
        Distinct::of(self.items, among.filter(is_free))
    }

    fn enqueue_distinct(&mut self, Distinct { winners, superseded, followers }: Distinct) {
        // an item that waited may have stood for others before
        for (index, others) in superseded {
            self.superseded.entry(index).or_default().extend(others);
        }
        for (index, behind) in followers {
            self.followers.entry(index).or_default().extend(behind);
        }
        self.enqueue(winners);
    }

    fn enqueue(&mut self, items: Vec<Index>) {
        for index in items {
            let Some(item) = self.item(index) else { continue };
            if let Some(fifo) = &mut self.fifo {
                match fifo.active.entry((item.table, self.items.key(item))) {
                    Entry::Occupied(other) => {
                        self.followers.entry(*other.get()).or_default().push(index);
                        continue;
                    }
                    Entry::Vacant(free) => {
                        free.insert(index);
                    }
                }
            }
            self.set_untried(index);
            let (is_conditional, is_final) = (self.items.is_conditional(item), self.is_final_if_ambiguous(index));
            let scope = self.failure_scope(index);
            match self.tables.get_mut(item.table.index()) {
                Some(queue) if is_final && !is_conditional => queue.push_apart(index, scope),
                Some(queue) => queue.push(index, is_conditional),
                None => {}
            }
        }
    }

    /// Returns when each item has its end or the deadline is there.
    pub(super) async fn finish(mut self) -> WriteReport {
        self.write_all().await;
        self.end_doubtful_at_quiet_tables();
        self.name_causes();
        self.end_superseded();
        if let Some(Fifo { groups, .. }) = &self.fifo {
            block(groups, self.items, &mut self.report.outcomes);
        }
        self.open_keys();
        self.report
    }

    /// Opens the keys that later parts of the event must leave alone. Other groups of a FIFO queue have no order with what has
    /// none, and its own is blocked; elsewhere what has no version and is stored may have been sent twice, as ever.
    fn open_keys(&mut self) {
        for (index, (item, outcome)) in self.items.as_slice().iter().zip(&self.report.outcomes).enumerate() {
            let calls = self.unanswered.get(index).copied().unwrap_or_default();
            let has_version = self.items.version(item).is_some();
            let was_sent = self.causes.get(index).is_some_and(Option::is_some) || calls > 0;
            let is_unanswered = calls > 0 || matches!(outcome, WriteOutcome::Unanswered(_));
            let is_open = match self.fifo {
                Some(_) => has_version && was_sent && (is_unanswered || !lets_pass(outcome)),
                None => !lets_pass(outcome) || has_version && is_unanswered,
            };
            if is_open {
                self.open.add(self.items, item, is_unanswered);
            }
        }
    }

    /// Says of each item that is unfinished what stood in its way last, and whether it must not come again soon: it may be
    /// applied yet and something must follow it, or it is what must follow.
    fn name_causes(&mut self) {
        let is_unanswered = |index: Index| self.unanswered.get(index).is_some_and(|calls| *calls > 0);
        let behind = self
            .followers
            .iter()
            .flat_map(|(&index, followers)| followers.iter().map(move |&follower| (follower, index)));
        let behind: HashMap<Index, Index> = behind.collect();
        for (index, item) in self.items.as_slice().iter().enumerate() {
            let Some(WriteOutcome::Unfinished(text)) = self.report.outcomes.get(index) else { continue };
            let open = self.open.get(self.items, item);
            let cause = match self.causes.get(index) {
                Some(Some(cause)) => cause.to_string().into(),
                _ if open.is_some() || behind.contains_key(&index) => {
                    "the write of its key before it is not done".into()
                }
                _ => text.clone(),
            };
            let must_wait = open == Some(true)
                || behind.get(&index).is_some_and(|&before| is_unanswered(before))
                || is_unanswered(index) && self.is_final_if_ambiguous(index);
            let end = if must_wait { WriteOutcome::Unanswered(cause) } else { WriteOutcome::Unfinished(cause) };
            set(&mut self.report.outcomes, index, end);
        }
    }

    /// Gives the items that another stood for the end of that one.
    fn end_superseded(&mut self) {
        let losers: HashSet<Index> = self.superseded.values().flatten().copied().collect();
        for &winner in self.superseded.keys().filter(|winner| !losers.contains(winner)) {
            let end = match self.report.outcomes.get(winner) {
                Some(WriteOutcome::Stored | WriteOutcome::Superseded) => WriteOutcome::Superseded,
                // the winner is not durable, so these must come again
                Some(WriteOutcome::Rejected(_)) | None => {
                    WriteOutcome::unfinished("the item that stood in its place was rejected")
                }
                Some(other) => other.clone(),
            };
            for loser in self.with_superseded(winner).into_iter().skip(1) {
                set(&mut self.report.outcomes, loser, end.clone());
            }
        }
    }

    async fn write_all(&mut self) {
        loop {
            let now = clock::now();
            let until = self.end_of_time();
            let is_over = now >= until;
            if is_over && (self.calls.is_empty() || now >= self.time.deadline) {
                self.read_what_has_arrived(now);
                return;
            }
            // what is under way may end, and is more than a call cut off: that might be applied yet
            let (waiting, due) = if is_over {
                (Vec::new(), None)
            } else {
                self.requeue_due(now);
                self.start_all();
                (self.waiting_tables(), self.delayed.peek().map(|Reverse(delayed)| delayed.due))
            };
            if waiting.is_empty() && due.is_none() && self.calls.is_empty() {
                if self.end_doubtful() {
                    continue;
                }
                return;
            }
            let has_room = self.has_room();
            let limiters = waiting.iter().filter_map(|&table| Some((table, self.limiters.get(table)?)));
            tokio::select! {
                biased;
                // no call outlives the deadline, so while there is one it needs no timer of its own
                () = sleep_until(until), if !is_over && (self.calls.is_empty() || until < self.time.deadline) => {}
                Some(end) = self.calls.join_next_with_id() => {
                    self.bytes_in_flight.remove(&end.as_ref().map_or_else(JoinError::id, |(id, _)| *id));
                    // a call that panicked has left its items as they were, unfinished
                    if let Ok((_, end)) = end {
                        self.on_completed(end, clock::now());
                    }
                }
                (table, permit) = any_permit(limiters), if has_room && !waiting.is_empty() => self.start(table, permit),
                () = sleep_until_some(due) => {}
            }
        }
    }

    /// Reads the responses that are there although the time is over: the runtime may have been late.
    fn read_what_has_arrived(&mut self, now: Instant) {
        while let Some(end) = self.calls.try_join_next() {
            if let Ok(end) = end {
                self.on_completed(end, now);
            }
        }
    }

    /// When the writes end, if no further item gets through.
    fn end_of_time(&self) -> Instant {
        let WriteTime { share, deadline } = self.time;
        share.max(self.ended_at + PATIENCE).min(deadline)
    }

    /// Lets what has waited long enough go again.
    fn requeue_due(&mut self, now: Instant) {
        while self.delayed.peek().is_some_and(|Reverse(delayed)| delayed.due <= now) {
            let Some(Reverse(Delayed { table, what, .. })) = self.delayed.pop() else { return };
            let (apart, shared): (Vec<Index>, Vec<Index>) = match &what {
                Waiting::Unprocessed(items) => items.iter().partition(|index| self.is_final_if_ambiguous(**index)),
                Waiting::Job(_) => (Vec::new(), Vec::new()),
            };
            let apart: Vec<(Index, usize)> =
                apart.into_iter().map(|index| (index, self.failure_scope(index))).collect();
            let Some(queue) = self.tables.get_mut(table.index()) else { continue };
            match what {
                Waiting::Job(job) => queue.push_repeated(job),
                Waiting::Unprocessed(_) => {
                    queue.push_unprocessed(shared);
                    apart.into_iter().for_each(|(index, scope)| queue.push_apart(index, scope));
                }
            }
        }
    }

    /// Tables with something to send.
    fn waiting_tables(&self) -> Vec<usize> {
        (0..self.tables.len()).filter(|&table| self.tables.get(table).is_some_and(|queue| !queue.is_empty())).collect()
    }

    /// Starts whatever may start now, the tables in turn.
    fn start_all(&mut self) {
        let count = self.tables.len();
        let mut idle = 0;
        while idle < count && self.has_room() {
            let table = self.turn % count;
            self.turn = table + 1;
            let is_waiting = self.tables.get(table).is_some_and(|queue| !queue.is_empty());
            match self.limiters.get(table).filter(|_| is_waiting).and_then(ConcurrencyLimiter::try_acquire) {
                Some(permit) => {
                    self.start(table, permit);
                    idle = 0;
                }
                None => idle += 1,
            }
        }
    }

    fn has_room(&self) -> bool {
        self.bytes_in_flight.values().sum::<usize>() < MAX_BYTES_IN_FLIGHT
    }

    fn start(&mut self, table: usize, permit: Permit) {
        let Some(queue) = self.tables.get_mut(table) else { return };
        let Some(job) = queue.pop(self.items, TableId::new(table)) else { return };
        if let Some(cause) = queue.broken.clone() {
            self.end(job.items(), &WriteOutcome::Refused(cause));
            return;
        }
        let Some(job) = self.without_broken(job) else { return };
        for &index in job.items() {
            if let Some(attempts) = self.attempts.get_mut(index) {
                self.report.figures.retried_items += usize::from(*attempts > 0);
                *attempts = attempts.saturating_add(1);
            }
            if let Some(unanswered) = self.unanswered.get_mut(index) {
                *unanswered = unanswered.saturating_add(1);
            }
        }
        let bytes = Writer::body_bytes(&job, self.items);
        let call = self.calls.spawn(self.writer.clone().call(job, Arc::clone(self.items), permit, self.time.deadline));
        self.bytes_in_flight.insert(call.id(), bytes);
        let figures = &mut self.report.figures;
        figures.most_in_flight = figures.most_in_flight.max(self.calls.len());
    }

    /// Which items may fail together. In a FIFO queue those of a message: one of them that is not written returns it with what
    /// is behind it in its group. Elsewhere other messages wait for this very item, or it stands for theirs, and for no other.
    fn failure_scope(&self, index: Index) -> usize {
        if self.fifo.is_some() { self.item(index).map_or(index, |item| item.message) } else { index }
    }

    fn item(&self, index: Index) -> Option<&'w Item> {
        self.items.as_slice().get(index)
    }

    fn delay(&mut self, table: TableId, what: Waiting, due: Instant) {
        self.delayed.push(Reverse(Delayed { due, table, what }));
    }

    fn attempts_of(&self, items: &[Index]) -> u8 {
        items.iter().filter_map(|&index| self.attempts.get(index)).copied().max().unwrap_or_default()
    }

    fn backoff(&self, backoff: Backoff, items: &[Index]) -> Duration {
        (self.writer.jitter)(backoff.longest(self.attempts_of(items)))
    }
}

/// The indexes of a message's items, which stand side by side.
fn items_of(items: &Items, message: usize) -> Range<Index> {
    let start = items.as_slice().partition_point(|item| item.message < message);
    let end = items.as_slice().partition_point(|item| item.message <= message);
    start..end
}

/// Marks what was not written because of a message before it in its group.
fn block(groups: &[Group], items: &Items, outcomes: &mut [WriteOutcome]) {
    for group in groups {
        let mut is_blocked = false;
        for &message in group {
            let Some(outcomes) = outcomes.get_mut(items_of(items, message)) else { continue };
            if is_blocked {
                outcomes.fill(WriteOutcome::Blocked);
            }
            is_blocked |= !outcomes.iter().all(lets_pass);
        }
    }
}

fn set(outcomes: &mut [WriteOutcome], index: Index, outcome: WriteOutcome) {
    if let Some(slot) = outcomes.get_mut(index) {
        *slot = outcome;
    }
}

async fn sleep_until_some(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => pending().await,
    }
}
