//! The scheduler: decides which write is sent when, and what each response means. It is pure: time and jitter are
//! arguments, and [`drive`](super::drive) sends the calls.
//!
//! It combines three parts. [`EventState`] holds the states and the order of the items. [`Calls`] decides which items share
//! a call, and when it is sent. [`Refusals`] decides who is at fault for a refusal.

use super::backoff::Backoff;
use super::broken::Fatal;
use super::calls::{Accepted, Call, Calls, Delayed, NextCall, bisect};
use super::entry::{ItemEntry, ItemState};
use super::event::EventState;
use super::figures::WriteFigures;
use super::flaw::Flaw;
use super::queue::{CallPlan, Failure};
use super::refusals::Refusals;
use super::suspects::Suspects;
use super::{CallId, GroupId, ItemIndex, ItemOutcome, MessageIndex, MessagePosition, TableId, Write};
use crate::dynamodb::response::{CallError, Refusal, Throttle};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Function that returns a random duration between zero and its argument.
pub(crate) type Jitter<'j> = &'j mut dyn FnMut(Duration) -> Duration;

/// Whether more messages will be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Decoding {
    /// More messages will be added soon. Batches that are not full wait for them.
    Running,
    /// Decoding waits until memory is free.
    Paused,
    /// No more messages will be added.
    Ended,
}

/// The writes of one event. All times are durations since the start of the event.
#[derive(Debug, Clone)]
pub(crate) struct Scheduler {
    pub(super) event: EventState,
    pub(super) calls: Calls,
    pub(super) refusals: Refusals,
    pub(super) decoding: Decoding,
    /// Index of the table whose turn is next.
    turn: usize,
    figures: WriteFigures,
}

impl Scheduler {
    /// Creates the scheduler of one event that writes to `tables` tables. `evidence` is what the process knows about its
    /// mappings.
    pub(crate) fn new(tables: usize, is_fifo: bool, evidence: Suspects) -> Self {
        Self {
            event: EventState::new(tables, is_fifo),
            calls: Calls::default(),
            refusals: Refusals::new(evidence),
            decoding: Decoding::Running,
            turn: 0,
            figures: WriteFigures::default(),
        }
    }

    // ---- messages -------------------------------------------------------------------------------------------------------

    /// Adds a message after all its records are decoded. Messages must be added in the order of the event.
    pub(crate) fn add_message(
        &mut self,
        position: MessagePosition,
        group: Option<GroupId>,
        writes: impl Iterator<Item = Write>,
        now: Duration,
    ) -> MessageIndex {
        self.event.now = now;
        self.event.add_message(position, group, writes)
    }

    /// Blocks all messages of a FIFO group that are added from now on, because a message of the group could not be decoded.
    pub(crate) fn block_group(&mut self, group: GroupId) {
        self.event.block_group(group);
    }

    /// Sets whether more messages will be added.
    pub(crate) fn set_decoding(&mut self, decoding: Decoding) {
        self.decoding = decoding;
    }

    fn is_decoding(&self) -> bool {
        self.decoding == Decoding::Running
    }

    /// Takes the messages that were completed since the previous call.
    pub(crate) fn take_completed(&mut self) -> Vec<MessageIndex> {
        self.event.take_completed()
    }

    /// Returns the position of a message in the event.
    pub(crate) fn position(&self, message: MessageIndex) -> MessagePosition {
        self.event.messages[message].position
    }

    /// Returns the outcomes of the items of a complete message, or `None` if the message has no items and is blocked.
    pub(crate) fn outcomes(&self, message: MessageIndex) -> Option<impl Iterator<Item = &ItemOutcome>> {
        self.event.outcomes(message)
    }

    /// Returns the number of items added so far.
    pub(crate) fn item_count(&self) -> usize {
        self.event.items.len()
    }

    /// Returns all messages added so far.
    pub(crate) fn messages(&self) -> impl Iterator<Item = MessageIndex> + use<> {
        self.event.messages.indexes()
    }

    /// Returns the items of a message.
    pub(crate) fn items_of(&self, message: MessageIndex) -> Range<usize> {
        self.event.messages[message].items.clone()
    }

    /// Returns whether every message added so far is complete and no call is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.calls.in_flight.is_empty() && self.event.open_messages == 0
    }

    // ---- calls ----------------------------------------------------------------------------------------------------------

    /// Starts the next call, if a table has a call ready and `permit` grants a permit for that table. Tables take turns.
    pub(crate) fn next_call<P>(
        &mut self,
        now: Duration,
        mut permit: impl FnMut(TableId) -> Option<P>,
    ) -> Option<(NextCall, P)> {
        self.event.now = now;
        self.calls.release_due(&mut self.event);
        let count = self.event.lanes.len();
        for _ in 0..count {
            if !self.calls.has_room() {
                return None;
            }
            let table = TableId::new(self.turn % count);
            self.turn = (self.turn + 1) % count;
            if self.event.lanes[table].has_call(self.is_decoding())
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
        let has_room = self.calls.has_room();
        let tables = self.event.lanes.iter();
        tables.filter(move |(_, lanes)| has_room && lanes.has_call(self.is_decoding())).map(|(table, _)| table)
    }

    /// Starts a call with the items that are ready for `table`.
    pub(crate) fn start(&mut self, table: TableId, now: Duration) -> Option<NextCall> {
        self.event.now = now;
        let is_decoding = self.is_decoding();
        let call = self.calls.start(&mut self.event, table, is_decoding)?;
        for &index in &call.items {
            let entry = &mut self.event.items[index];
            self.figures.retried_items += usize::from(entry.attempts > 0);
            entry.attempts = entry.attempts.saturating_add(1);
        }
        self.figures.most_in_flight = self.figures.most_in_flight.max(self.calls.in_flight.len());
        Some(call)
    }

    /// Returns when the next backoff ends.
    pub(crate) fn next_wake_up(&self) -> Option<Duration> {
        self.calls.next_wake_up()
    }

    // ---- responses ------------------------------------------------------------------------------------------------------

    /// Handles the result of a call: its response, or the failure to get one. `latency` is `None` if nothing was sent.
    pub(crate) fn on_response(
        &mut self,
        call: CallId,
        response: Result<Accepted, CallError>,
        latency: Option<Duration>,
        now: Duration,
        jitter: Jitter<'_>,
    ) {
        self.event.now = now;
        let Some(Call { table, plan, .. }) = self.calls.in_flight.remove(&call) else { return };
        self.figures.latencies.extend(latency);
        self.refusals.note_response(&mut self.event, table, &plan, &response);
        self.take_response(table, plan, response, jitter);
        self.refusals.judge(&mut self.event, false, self.decoding == Decoding::Ended);
    }

    fn take_response(
        &mut self,
        table: TableId,
        plan: CallPlan,
        response: Result<Accepted, CallError>,
        jitter: Jitter<'_>,
    ) {
        match response {
            Ok(accepted) => self.on_accepted(table, &plan, &accepted, jitter),
            Err(CallError::Superseded) => self.event.complete_each(&plan.items, &ItemOutcome::Superseded),
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
                let Some(plan) = self.event.on_no_response(plan, &cause) else { return };
                // a connection that died while the environment was frozen fails at once, so the first such failure is
                // retried without a backoff
                if self.event.attempts_of(&plan.items) <= 1 {
                    self.event.note(&plan.items, &cause);
                    let now = self.event.now;
                    self.calls.delay(&mut self.event, table, Delayed::Plan(plan), now);
                } else {
                    self.retry(table, plan, Failure::Other, &cause, jitter);
                }
            }
            Err(CallError::TimedOut(cause)) => {
                let Some(plan) = self.event.on_no_response(plan, &cause) else { return };
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
                self.event.break_table(table, &cause);
                self.event.complete_each(&plan.items, &ItemOutcome::Denied(cause));
            }
        }
    }

    fn on_accepted(&mut self, table: TableId, plan: &CallPlan, accepted: &Accepted, jitter: Jitter<'_>) {
        let unprocessed = &accepted.unprocessed;
        self.figures.write_units += accepted.write_units;
        self.figures.unprocessed_items += unprocessed.len();
        // DynamoDB returns unprocessed items when the table's throughput is exceeded, and names no other limit
        self.figures.count_throttle(Throttle::Table, unprocessed.len());
        let written: Vec<ItemIndex> = plan.items.iter().copied().filter(|index| !unprocessed.contains(index)).collect();
        self.event.complete_each(&written, &ItemOutcome::Written);
        let again = CallPlan { items: unprocessed.clone(), ..*plan };
        self.event.note(&again.items, "returned unprocessed");
        let Some(again) = self.event.without_evicted(again) else { return };
        if self.event.has(Flaw::ForgetsUnprocessed) {
            self.event.complete_each(&again.items, &ItemOutcome::Written);
            return;
        }
        let due = self.event.now + jitter(Backoff::THROTTLE.longest(self.event.attempts_of(&again.items)));
        self.calls.delay(&mut self.event, table, Delayed::Unprocessed(again.items), due);
    }

    /// Retries a plan after a backoff. A plan that has failed repeatedly is bisected.
    fn retry(&mut self, table: TableId, plan: CallPlan, failure: Failure, cause: &str, jitter: Jitter<'_>) {
        self.event.note(&plan.items, cause);
        let Some(plan) = self.event.without_evicted(plan) else { return };
        let base = if failure == Failure::Throttle { Backoff::THROTTLE } else { Backoff::TRANSIENT };
        let due = self.event.now + jitter(base.longest(self.event.attempts_of(&plan.items)));
        for plan in plan.after(failure) {
            self.calls.delay(&mut self.event, table, Delayed::Plan(plan), due);
        }
    }

    /// Retries a plan that could not be sent. This does not count as an attempt, and the plan is not bisected.
    fn send_later(&mut self, table: TableId, mut plan: CallPlan, cause: &str, jitter: Jitter<'_>) {
        if self.event.has(Flaw::ForgetsUnsent) {
            return;
        }
        self.event.note(&plan.items, cause);
        for &index in &plan.items {
            let attempts = &mut self.event.items[index].attempts;
            *attempts = attempts.saturating_sub(1);
            self.figures.retried_items -= usize::from(*attempts > 0);
        }
        plan.unsent = plan.unsent.saturating_add(1);
        let Some(plan) = self.event.without_evicted(plan) else { return };
        let due = self.event.now + jitter(Backoff::TRANSIENT.longest(plan.unsent));
        self.calls.delay(&mut self.event, table, Delayed::Plan(plan), due);
    }

    /// Bisects a refused call, because the response does not name the item at fault. If the call had a single item, passes
    /// that item to the refusals.
    fn on_refused(&mut self, table: TableId, mut plan: CallPlan, refusal: Refusal) {
        if self.event.has(Flaw::BisectsNothing) {
            return self.event.complete_each(&plan.items, &ItemOutcome::Invalid(refusal.cause.into()));
        }
        self.event.deny_broken(&mut plan.items);
        if let Some(index) = bisect(&mut self.event, table, &plan) {
            self.refusals.on_refused_alone(&mut self.event, index, refusal);
        }
    }

    /// Judges the suspects once nothing else is in progress that could provide evidence about them. Returns whether there
    /// were any suspects.
    pub(crate) fn settle(&mut self) -> bool {
        let is_quiet = !self.is_decoding()
            && self.calls.is_empty()
            && self.event.lanes.iter().all(|(_, lanes)| !lanes.has_call(false));
        if !is_quiet || self.refusals.is_empty(&self.event) {
            return false;
        }
        self.refusals.judge(&mut self.event, true, self.decoding == Decoding::Ended);
        for table in self.refusals.suspected_tables(&self.event) {
            self.refusals.blame_table(&mut self.event, table);
        }
        true
    }

    /// Exchanges evidence about the mappings with the rest of the process.
    pub(crate) fn share_evidence(&mut self, process: impl FnOnce(&mut dyn FnMut(&mut Suspects))) {
        self.refusals.share_evidence(process);
    }

    // ---- memory and the end ---------------------------------------------------------------------------------------------

    /// Returns the message that has been failing longest to the queue; see [`EventState::evict`]. Returns whether there was
    /// such a message.
    pub(crate) fn evict(&mut self, now: Duration) -> bool {
        self.event.now = now;
        self.event.evict()
    }

    /// Returns the earliest time at which a message may be evicted.
    pub(crate) fn eviction_at(&self) -> Duration {
        self.event.eviction_at()
    }

    /// Ends the writes. Every item that is not done fails. A call that is in flight may still take effect.
    pub(crate) fn finish(&mut self, now: Duration) {
        self.event.now = now;
        self.decoding = Decoding::Ended;
        for table in self.refusals.suspected_tables(&self.event) {
            let is_tried = |entry: &ItemEntry| entry.attempts > 0 || entry.cause.is_some();
            let is_open = |entry: &ItemEntry| {
                let is_judged = matches!(entry.state, ItemState::Done(_) | ItemState::Suspect(_));
                entry.write.table == table && is_tried(entry) && !is_judged
            };
            // other attempts at this table could still have shown that the table accepts writes
            if !self.event.items.iter().any(|(_, entry)| is_open(entry)) {
                self.refusals.blame_table(&mut self.event, table);
            }
        }
        loop {
            let under_way = |entry: &ItemEntry| {
                !matches!(entry.state, ItemState::Done(_) | ItemState::Waiting | ItemState::Superseded { .. })
            };
            let open: Vec<ItemIndex> =
                self.event.items.iter().filter(|(_, entry)| under_way(entry)).map(|(index, _)| index).collect();
            if open.is_empty() {
                break;
            }
            open.into_iter().for_each(|index| self.event.give_up(index));
        }
        self.calls = Calls::default();
    }

    /// Takes the figures of the writes, and the first problem that an operator must fix.
    pub(crate) fn take_report(&mut self) -> (WriteFigures, Option<Fatal>) {
        (std::mem::take(&mut self.figures), self.event.broken.take_fatal())
    }
}
