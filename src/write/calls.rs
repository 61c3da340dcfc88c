//! The calls of one event: which items of a lane share a call, which calls are in flight, and which calls back off. Pure:
//! no I/O, clock or randomness.

use super::entry::ItemState;
use super::event::EventState;
use super::queue::{CallPlan, Lane};
use super::{CallId, ItemIndex, TableId};
use crate::dynamodb::batch::{ITEM_OVERHEAD, MAX_BATCH_BYTES, MAX_BATCH_ITEMS, PREFIX_ROOM};
use std::collections::BTreeMap;
use std::time::Duration;

/// Maximum total size of the calls in flight at which another call may start, in bytes. It is the maximum size of one call,
/// so the total stays below twice this value.
const MAX_BYTES_IN_FLIGHT: usize = MAX_BATCH_BYTES;

/// A call in flight.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) table: TableId,
    pub(super) plan: CallPlan,
    bytes: usize,
}

/// A call to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NextCall {
    pub(crate) id: CallId,
    pub(crate) table: TableId,
    pub(crate) items: Vec<ItemIndex>,
    /// Whether the item is written by a PutItem or DeleteItem call instead of BatchWriteItem.
    pub(crate) is_single: bool,
    /// Whether one of its items has failed before. Another failure then provides no evidence about the table.
    pub(crate) is_suspicious: bool,
}

/// DynamoDB's response to a call that it accepted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Accepted {
    /// The items that DynamoDB returned unprocessed.
    pub(crate) unprocessed: Vec<ItemIndex>,
    pub(crate) write_units: f64,
}

/// Items that wait for the end of a backoff.
#[derive(Debug, Clone)]
pub(super) enum Delayed {
    Plan(CallPlan),
    /// Unprocessed items. After the backoff they may share calls with other items of their table.
    Unprocessed(Vec<ItemIndex>),
}

/// The calls in flight, and the items that wait for a retry.
#[derive(Debug, Clone, Default)]
pub(super) struct Calls {
    pub(super) in_flight: BTreeMap<CallId, Call>,
    pub(super) delayed: BTreeMap<(Duration, u64), (TableId, Delayed)>,
    /// Counter that keeps entries with the same due time in the order in which they were added.
    ticket: u64,
    next: usize,
}

impl Calls {
    /// Starts a call with the items that are ready for `table`.
    pub(super) fn start(&mut self, event: &mut EventState, table: TableId, is_decoding: bool) -> Option<NextCall> {
        let id = CallId::new(self.next);
        let plan = take_plan(event, table, id, is_decoding)?;
        self.next += 1;
        let bytes = plan.items.iter().map(|index| event.items[*index].write.bytes).sum();
        let is_suspicious = plan.is_divided || plan.failures > 0;
        let call = NextCall { id, table, items: plan.items.clone(), is_single: plan.is_single, is_suspicious };
        self.in_flight.insert(id, Call { table, plan, bytes });
        Some(call)
    }

    /// Returns whether no call is in flight and no item waits for the end of a backoff.
    pub(super) fn is_empty(&self) -> bool {
        self.in_flight.is_empty() && self.delayed.is_empty()
    }

    /// Returns whether the calls in flight are small enough for another call to start.
    pub(super) fn has_room(&self) -> bool {
        self.in_flight.values().map(|call| call.bytes).sum::<usize>() < MAX_BYTES_IN_FLIGHT
    }

    /// Makes the items ready whose backoff has ended.
    pub(super) fn release_due(&mut self, event: &mut EventState) {
        while let Some(entry) = self.delayed.first_entry() {
            if entry.key().0 > event.now {
                return;
            }
            let (table, delayed) = entry.remove();
            match delayed {
                Delayed::Plan(plan) => release_plan(event, table, plan, false),
                Delayed::Unprocessed(items) => {
                    for index in
                        items.into_iter().filter(|index| event.items[*index].state.is_backing_off()).collect::<Vec<_>>()
                    {
                        release_unprocessed(event, table, index);
                    }
                }
            }
        }
    }

    /// Returns when the next backoff ends.
    pub(super) fn next_wake_up(&self) -> Option<Duration> {
        self.delayed.first_key_value().map(|((due, _), _)| *due)
    }

    /// Starts a backoff for items.
    pub(super) fn delay(&mut self, event: &mut EventState, table: TableId, mut delayed: Delayed, until: Duration) {
        let (Delayed::Plan(CallPlan { items, .. }) | Delayed::Unprocessed(items)) = &mut delayed;
        event.deny_broken(items);
        for &index in items.iter() {
            event.set_state(index, ItemState::BackingOff { until });
        }
        if !items.is_empty() {
            self.ticket += 1;
            self.delayed.insert((until, self.ticket), (table, delayed));
        }
    }
}

/// Takes the items of the next call from their lane. First attempts go before retries.
fn take_plan(event: &mut EventState, table: TableId, call: CallId, is_decoding: bool) -> Option<CallPlan> {
    if event.lanes[table].ready(Lane::Batch) >= if is_decoding { MAX_BATCH_ITEMS } else { 1 }
        && let Some(plan) = take_batch(event, table, Lane::Batch, call)
    {
        return Some(plan);
    }
    if let Some(plan) = take_batch(event, table, Lane::Message, call) {
        return Some(plan);
    }
    while let Some(index) = event.lanes[table].single.pop_front() {
        if event.items[index].state == ItemState::Ready(Lane::Single) {
            event.set_state(index, ItemState::InFlight(call));
            return Some(CallPlan::single(index));
        }
    }
    if let Some(plan) = take_batch(event, table, Lane::Unprocessed, call) {
        return Some(plan);
    }
    while let Some(mut plan) = event.lanes[table].retries.pop_front() {
        plan.items.retain(|index| event.items[*index].state == ItemState::Ready(Lane::Retry));
        for &index in &plan.items {
            event.set_state(index, ItemState::InFlight(call));
        }
        if !plan.items.is_empty() {
            return Some(plan);
        }
    }
    None
}

/// Takes as many items from the front of a lane as fit into one call.
fn take_batch(event: &mut EventState, table: TableId, lane: Lane, call: CallId) -> Option<CallPlan> {
    let mut items = Vec::new();
    let (mut bytes, mut message) = (0, None);
    while items.len() < MAX_BATCH_ITEMS
        && let Some((next_message, index)) = event.lanes[table].front(lane)
    {
        let entry = &event.items[index];
        if entry.state != ItemState::Ready(lane) {
            event.lanes[table].pop(lane);
            continue;
        }
        let size = entry.write.bytes + ITEM_OVERHEAD;
        let goes_alone = !event.is_fifo && event.goes_alone(index);
        let fits = next_message == message && bytes + size <= MAX_BATCH_BYTES - PREFIX_ROOM;
        if !items.is_empty() && (goes_alone || !fits) {
            break;
        }
        event.lanes[table].pop(lane);
        event.set_state(index, ItemState::InFlight(call));
        (message, bytes) = (next_message, bytes + size);
        items.push(index);
        if goes_alone {
            break;
        }
    }
    (!items.is_empty()).then(|| CallPlan::batch(items))
}

/// Makes the items of a plan ready. The halves of a refused call go to the front, so that the item at fault is found before
/// another refused call is bisected.
fn release_plan(event: &mut EventState, table: TableId, mut plan: CallPlan, is_first: bool) {
    plan.items.retain(|index| event.items[*index].state.is_backing_off());
    for &index in &plan.items {
        event.set_state(index, ItemState::Ready(Lane::Retry));
    }
    let retries = &mut event.lanes[table].retries;
    if is_first { retries.push_front(plan) } else { retries.push_back(plan) }
}

fn release_unprocessed(event: &mut EventState, table: TableId, index: ItemIndex) {
    let lane = if event.is_fifo { Lane::Message } else { Lane::Unprocessed };
    event.set_state(index, ItemState::Ready(lane));
    let message = event.items[index].message;
    event.lanes[table].push(lane, message, index);
}

/// Makes the halves of a refused plan ready. Returns the item if the plan has only one.
pub(super) fn bisect(event: &mut EventState, table: TableId, plan: &CallPlan) -> Option<ItemIndex> {
    match plan.halves() {
        Some(halves) => {
            for half in halves.into_iter().rev() {
                for &index in &half.items {
                    event.set_state(index, ItemState::BackingOff { until: event.now });
                }
                release_plan(event, table, half, true);
            }
            None
        }
        None => plan.items.first().copied(),
    }
}
