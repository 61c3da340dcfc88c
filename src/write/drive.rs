//! The only file of the write path with I/O. It sends the calls that the scheduler requests, and owns the permits, the
//! timers and the encoded items.

use super::broken::Fatal;
use super::calls::{Accepted, NextCall};
use super::scheduler::{Decoding, Scheduler};
use super::suspects::Suspects;
use super::{
    CallId, GroupId, ItemIndex, ItemOutcome, KeyId, MessageIndex, MessagePosition, TableId, VersionId, Write,
    WriteFigures,
};
use crate::clock;
use crate::dynamodb::batch::{batch_body, unprocessed_items};
use crate::dynamodb::client::Client;
use crate::dynamodb::conditional::{conditional_body, superseded_if_proven};
use crate::dynamodb::item::{Item, ItemRef, Items};
use crate::dynamodb::mapping::Mapping;
use crate::dynamodb::response::{CallError, Throttle, WriteResponse};
use crate::limiter::{AimdLimit, CallOutcome, ConcurrencyLimiter, Permit, any_permit};
use bytes::Bytes;
use std::collections::HashMap;
use std::future::pending;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

/// Writes items to DynamoDB. There is one writer per process, and its limiters outlive the invocations.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    mappings: Arc<[(TableId, Mapping)]>,
    /// The limiter of each table.
    limiters: Arc<[ConcurrencyLimiter]>,
    /// Evidence about the mappings, shared by all invocations of the process.
    suspects: Arc<Mutex<Suspects>>,
    /// Returns a random duration between zero and its argument.
    jitter: fn(Duration) -> Duration,
    /// The hashers for the two halves of a [`KeyId`].
    hashers: [RandomState; 2],
}

impl Writer {
    /// Creates a writer. `mappings` are the mappings of the encoder. `limit` controls the number of calls to a table in
    /// flight. `jitter` returns a random duration between zero and its argument.
    pub fn new(
        client: Client,
        mappings: Arc<[(TableId, Mapping)]>,
        limit: AimdLimit,
        jitter: fn(Duration) -> Duration,
    ) -> Self {
        let tables = mappings.iter().map(|(table, _)| table.index() + 1).max().unwrap_or_default();
        let limiters = (0..tables).map(|_| ConcurrencyLimiter::new(limit, clock::now())).collect();
        Self {
            client,
            mappings,
            limiters,
            suspects: Arc::default(),
            jitter,
            hashers: [RandomState::new(), RandomState::new()],
        }
    }

    /// Returns the current total limit of calls in flight over all tables.
    pub fn limit(&self) -> usize {
        self.limiters.iter().map(ConcurrencyLimiter::limit).sum()
    }

    /// Loads credentials and opens connections before the first event needs them. Opens as many connections as the initial
    /// limit of one table allows calls.
    ///
    /// # Errors
    /// Returns an error if DynamoDB could not be reached.
    pub async fn warm_up(&self) -> Result<(), Box<str>> {
        let mut calls = JoinSet::new();
        for _ in 0..self.limiters.first().map_or(0, ConcurrencyLimiter::limit) {
            let client = self.client.clone();
            calls.spawn(async move { client.warm_up().await });
        }
        calls.join_all().await.into_iter().collect::<Result<(), _>>().map_err(CallError::into_cause)
    }

    /// Starts the writes of one event. Every call ends at the deadline at the latest.
    pub(crate) fn begin(&self, is_fifo: bool, now: Instant, deadline: Instant) -> EventWrites<'_> {
        let evidence = self.suspects.lock().unwrap_or_else(PoisonError::into_inner).clone();
        EventWrites {
            writer: self,
            limiters: self.limiters.iter().map(ConcurrencyLimiter::for_invocation).collect(),
            scheduler: Scheduler::new(self.limiters.len(), is_fifo, evidence),
            segments: Vec::new(),
            held_bytes: 0,
            calls: JoinSet::new(),
            running: HashMap::new(),
            origin: now,
            deadline,
        }
    }

    fn write_of(&self, items: &Items, item: &Item) -> Write {
        let [first, second] = &self.hashers;
        let key = (item.table, items.key(item));
        let key = u128::from(first.hash_one(key)) << 64 | u128::from(second.hash_one(key));
        Write {
            table: item.table,
            subject: item.subject,
            kind: item.kind,
            key: KeyId(key),
            version: items.version(item).map(|version| VersionId(first.hash_one(version))),
            order: item.order,
            bytes: items.attributes(item).len(),
        }
    }

    fn table_name(&self, table: TableId) -> &str {
        self.mappings_of(table).next().map_or("", |mapping| mapping.table.as_str())
    }

    fn mappings_of(&self, table: TableId) -> impl Iterator<Item = &Mapping> {
        self.mappings.iter().filter(move |(of, _)| *of == table).map(|(_, mapping)| mapping)
    }

    async fn call(self, call: NextCall, items: Vec<ItemRef>, permit: Permit, deadline: Instant) -> CallEnd {
        if let Err(error) = self.client.ready(deadline).await {
            drop(permit);
            return CallEnd { response: Err(error), latency: None };
        }
        let started = clock::now();
        let response = self.send(&call, &items, deadline).await;
        let now = clock::now();
        let latency = now - started;
        match call_outcome(&call, &response) {
            // a call that the deadline cut short provides no evidence about the load of the table
            Some(CallOutcome::Failed) if now >= deadline => drop(permit),
            Some(outcome) => permit.record(outcome, latency, now),
            None => drop(permit),
        }
        let is_sent = !matches!(response, Err(CallError::NotSent(_)));
        CallEnd { response, latency: is_sent.then_some(latency) }
    }

    async fn send(&self, call: &NextCall, items: &[ItemRef], deadline: Instant) -> Result<Accepted, CallError> {
        let accepted = |WriteResponse { unprocessed, write_units }| {
            let handed_back = unprocessed_items(items, &unprocessed);
            let of_call = handed_back.into_iter().filter_map(|place| call.items.get(place).copied());
            Accepted { unprocessed: of_call.collect(), write_units }
        };
        if !call.is_single {
            let body = Bytes::from(batch_body(items, self.table_name(call.table)));
            let mappings: Vec<&Mapping> = self.mappings_of(call.table).collect();
            return self.client.batch_write(body, &mappings, deadline).await.map(accepted);
        }
        let item =
            items.first().and_then(|item| Some((item, &self.mappings.get(usize::from(item.item().subject.0))?.1)));
        let Some((item, mapping)) = item else { return Err(CallError::Fatal("its mapping is missing".into())) };
        let body = Bytes::from(conditional_body(item, mapping));
        let response = if item.item().kind.is_deletion() {
            self.client.delete(body, deadline).await
        } else {
            self.client.put(body, deadline).await
        };
        superseded_if_proven(response, item, mapping).map(accepted)
    }
}

/// Returns what the result of a call reveals about the load of the table, or `None` if it reveals nothing.
fn call_outcome(call: &NextCall, response: &Result<Accepted, CallError>) -> Option<CallOutcome> {
    let items = call.items.len();
    match response {
        Ok(response) => Some(CallOutcome::Served { items, unprocessed: response.unprocessed.len() }),
        // a hot partition refuses only its own items, so a lower limit for the whole table would not help
        Err(CallError::Throttled(Throttle::HotPartition)) => None,
        Err(CallError::Throttled(_)) => Some(CallOutcome::Throttled { items }),
        // the failure lies with the network or with the source of the credentials, not with the table
        Err(CallError::NotSent(_) | CallError::Broken(_)) => None,
        // an item that keeps failing on its own provides no evidence about the load of the table
        Err(CallError::Transient(_) | CallError::TimedOut(_)) if call.is_suspicious => None,
        Err(CallError::Transient(_) | CallError::TimedOut(_)) => Some(CallOutcome::Failed),
        // a refusal does not depend on the load, but its latency does
        Err(
            CallError::Refused(_) | CallError::Superseded | CallError::ConditionFailed { .. } | CallError::Fatal(_),
        ) => Some(CallOutcome::Served { items, unprocessed: 0 }),
    }
}

struct CallEnd {
    response: Result<Accepted, CallError>,
    /// `None` if nothing was sent.
    latency: Option<Duration>,
}

/// The items of messages that were decoded together, and the memory that they share.
struct Segment {
    /// The items, or `None` once all their messages are complete.
    items: Option<Arc<Items>>,
    /// Index of the first item.
    first: usize,
    /// Number of items whose messages are not complete.
    open: usize,
    bytes: usize,
}

/// A message whose records are all decoded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DecodedMessage {
    pub(crate) position: MessagePosition,
    pub(crate) group: Option<GroupId>,
}

/// The writes of one event.
pub(crate) struct EventWrites<'w> {
    writer: &'w Writer,
    /// The event's share of the limit of each table.
    limiters: Vec<ConcurrencyLimiter>,
    scheduler: Scheduler,
    segments: Vec<Segment>,
    held_bytes: usize,
    calls: JoinSet<CallEnd>,
    /// The call that each task executes. It identifies the call of a task that panicked.
    running: HashMap<task::Id, CallId>,
    origin: Instant,
    deadline: Instant,
}

impl EventWrites<'_> {
    fn now(&self) -> Duration {
        clock::now() - self.origin
    }

    /// Adds messages in the order of the event, with all their items. Each entry of `blocking` is a number of messages and
    /// a FIFO group: further messages of that group are blocked after that number of `messages` has been added.
    pub(crate) fn add(&mut self, items: Items, messages: &[DecodedMessage], blocking: &[(usize, GroupId)]) {
        let now = self.now();
        let items = Arc::new(items);
        let mut rest = items.as_slice();
        let (first, open, bytes) = (self.scheduler.item_count(), rest.len(), items.memory());
        let mut blocking = blocking.iter().peekable();
        for (place, message) in messages.iter().enumerate() {
            while let Some((_, group)) = blocking.next_if(|(behind, _)| *behind <= place) {
                self.scheduler.block_group(*group);
            }
            let count = rest.iter().take_while(|item| item.message == message.position.0).count();
            let (own, others) = rest.split_at_checked(count).unwrap_or_default();
            rest = others;
            let writes = own.iter().map(|item| self.writer.write_of(&items, item));
            self.scheduler.add_message(message.position, message.group, writes, now);
        }
        blocking.for_each(|(_, group)| self.scheduler.block_group(*group));
        if open > 0 {
            self.held_bytes += bytes;
            self.segments.push(Segment { items: Some(items), first, open, bytes });
        }
    }

    /// Sets whether more messages will be added.
    pub(crate) fn set_decoding(&mut self, decoding: Decoding) {
        self.scheduler.set_decoding(decoding);
    }

    /// Returns the total size of the items of incomplete messages, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Returns the message that has been failing longest to the queue, if only failing messages occupy the memory. Returns
    /// whether there was such a message.
    pub(crate) fn evict(&mut self) -> bool {
        self.scheduler.evict(self.now())
    }

    /// Returns the earliest time at which a message may be evicted.
    pub(crate) fn eviction_at(&self) -> Instant {
        self.origin + self.scheduler.eviction_at()
    }

    /// Starts every call that can start now.
    pub(crate) fn start_calls(&mut self) {
        loop {
            let (now, limiters) = (self.now(), &self.limiters);
            let permit = |table: TableId| limiters.get(table.index()).and_then(ConcurrencyLimiter::try_acquire);
            match self.scheduler.next_call(now, permit) {
                Some((call, permit)) => self.start(call, permit),
                None if self.scheduler.settle() => {}
                None => return,
            }
        }
    }

    fn start(&mut self, call: NextCall, permit: Permit) {
        let items: Vec<ItemRef> = call.items.iter().filter_map(|index| self.item(*index)).collect();
        let id = call.id;
        let task = self.calls.spawn(self.writer.clone().call(call, items, permit, self.deadline));
        self.running.insert(task.id(), id);
    }

    fn item(&self, index: ItemIndex) -> Option<ItemRef> {
        let segment = self.segments.partition_point(|segment| segment.first <= index.get()).checked_sub(1)?;
        let segment = self.segments.get(segment)?;
        ItemRef::new(segment.items.as_ref()?, index.get() - segment.first)
    }

    /// Waits until a call ends, another call can start, or a backoff ends, but no longer than `wake_at`. It is cancel safe.
    pub(crate) async fn progress(&mut self, wake_at: Option<Instant>) {
        let due = self.scheduler.next_wake_up().map(|due| self.origin + due);
        let due = [due, wake_at].into_iter().flatten().min();
        let waiting: Vec<TableId> = self.scheduler.waiting_tables().collect();
        let limiters = &self.limiters;
        let permits = waiting.iter().filter_map(|&table| Some((table, limiters.get(table.index())?)));
        tokio::select! {
            biased;
            // no call outlives the deadline, so the timer is only needed if no call is in flight
            () = sleep_until(self.deadline), if self.calls.is_empty() => {}
            Some(end) = self.calls.join_next_with_id() => self.on_end(end),
            (table, permit) = any_permit(permits), if !waiting.is_empty() => {
                if let Some(call) = self.scheduler.start(table, self.now()) {
                    self.start(call, permit);
                }
            }
            () = sleep_until_some(due) => {}
        }
        self.take_ended();
    }

    /// Handles the calls that have ended.
    pub(crate) fn take_ended(&mut self) {
        while let Some(end) = self.calls.try_join_next_with_id() {
            self.on_end(end);
        }
    }

    fn on_end(&mut self, end: Result<(task::Id, CallEnd), JoinError>) {
        let (now, mut jitter) = (self.now(), self.writer.jitter);
        let task = end.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(id) = self.running.remove(&task) else { return };
        let (response, latency) = match end {
            Ok((_, CallEnd { response, latency, .. })) => (response, latency),
            // it is unknown whether the call was sent before the panic
            Err(_) => (Err(CallError::TimedOut("the call panicked".into())), None),
        };
        self.scheduler.on_response(id, response, latency, now, &mut jitter);
        let suspects = &self.writer.suspects;
        self.scheduler
            .share_evidence(|exchange| exchange(&mut suspects.lock().unwrap_or_else(PoisonError::into_inner)));
    }

    /// Takes the messages that were completed since the previous call, and frees the memory of segments whose messages are
    /// all complete.
    pub(crate) fn take_completed(&mut self) -> Vec<MessageIndex> {
        let completed = self.scheduler.take_completed();
        for &message in &completed {
            let items = self.scheduler.items_of(message);
            let segment = self.segments.partition_point(|segment| segment.first <= items.start).checked_sub(1);
            let Some(segment) = segment.and_then(|segment| self.segments.get_mut(segment)) else { continue };
            segment.open = segment.open.saturating_sub(items.len());
            if segment.open == 0 && segment.items.take().is_some() {
                self.held_bytes = self.held_bytes.saturating_sub(segment.bytes);
            }
        }
        completed
    }

    /// Returns the position of a message in the event.
    pub(crate) fn position(&self, message: MessageIndex) -> MessagePosition {
        self.scheduler.position(message)
    }

    /// Returns the outcomes of the items of a complete message, or `None` if the message has no items and an earlier
    /// message of its group was not written.
    pub(crate) fn outcomes(&self, message: MessageIndex) -> Option<impl Iterator<Item = &ItemOutcome>> {
        self.scheduler.outcomes(message)
    }

    /// Returns all messages added so far.
    pub(crate) fn messages(&self) -> impl Iterator<Item = MessageIndex> + use<> {
        self.scheduler.messages()
    }

    /// Returns whether every message added so far is complete.
    pub(crate) fn is_idle(&self) -> bool {
        self.scheduler.is_idle()
    }

    /// Ends the writes. Every item that is not written yet fails.
    pub(crate) fn finish(&mut self) {
        self.take_ended();
        self.scheduler.finish(self.now());
        self.calls.abort_all();
    }

    /// Takes the figures of the writes, and the first problem that an operator must fix.
    pub(crate) fn take_report(&mut self) -> (WriteFigures, Option<Box<str>>) {
        let (figures, fatal) = self.scheduler.take_report();
        (figures, fatal.map(|fatal| self.describe(&fatal).into()))
    }
}

impl EventWrites<'_> {
    fn describe(&self, Fatal { table, is_mapping, cause }: &Fatal) -> String {
        let table = self.writer.table_name(*table);
        if *is_mapping {
            format!(
                "table {table} has accepted no item of a subject, and refuses each: {cause}; compare the subject's types and its \
                 dynamodb property with the table's keys and indexes"
            )
        } else {
            format!("table {table}: {cause}")
        }
    }
}

async fn sleep_until_some(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamodb::response::{Blame, Refusal};

    #[test]
    fn what_ends_a_call_is_the_tables_load_only_if_it_is_not_the_items_or_the_networks() {
        let failed = |is_suspicious, error| {
            let items = vec![ItemIndex::new(0)];
            let call = NextCall { id: CallId::new(0), table: TableId::new(0), items, is_single: true, is_suspicious };
            call_outcome(&call, &Err(error))
        };
        let silent = || CallError::TimedOut("no response in time".into());
        for error in [silent(), CallError::Transient("500".into())] {
            assert_eq!(failed(false, error.clone()), Some(CallOutcome::Failed));
            assert_eq!(failed(true, error), None, "an item that keeps failing on its own");
        }
        assert_eq!(failed(false, CallError::Broken("reset".into())), None, "a network failure");
        assert_eq!(failed(false, CallError::NotSent("no credentials".into())), None, "no credentials");
        assert_eq!(failed(false, CallError::Throttled(Throttle::HotPartition)), None, "only one partition");
        let throttled = CallError::Throttled(Throttle::Table);
        assert_eq!(failed(true, throttled), Some(CallOutcome::Throttled { items: 1 }));
        let refused = CallError::Refused(Refusal { blame: Blame::Item, cause: "too large".into() });
        assert_eq!(failed(false, refused), Some(CallOutcome::Served { items: 1, unprocessed: 0 }));
    }
}
