//! A queue with visibility timeouts, receive counts, a redrive policy and ordered FIFO groups.
//!
//! The queue has no clock. Every call that depends on the time takes it as `now`, the time since the Unix epoch, which must
//! never decrease. A test therefore need not wait for a visibility timeout.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use super::api::MAX_VISIBILITY_TIMEOUT;
use super::event::{self, ReceivedMessage};
use super::message::{InvalidMessage, Message};
use crate::random;

/// Interval within which a FIFO queue accepts only one message per deduplication id.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-key-terms.html>
pub(super) const DEDUPLICATION_INTERVAL: Duration = Duration::from_secs(300);

/// Maximum size of an invocation's event, in bytes.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
const MAX_EVENT_BYTES: usize = 6 * 1024 * 1024;

const EVENT_START: &[u8] = br#"{"Records":["#;
const EVENT_END: &[u8] = b"]}";

/// Configuration of a queue.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The queue's name. A name that ends in `.fifo` creates a FIFO queue.
    pub name: String,
    /// Visibility timeout of received messages. Default: 180 s, six times a function timeout of 30 s.
    pub visibility_timeout: Duration,
    /// Number of receives after which a message moves to the dead-letter queue. Default: 5.
    pub max_receive_count: u32,
    /// Rates at which a standard queue reorders and duplicates messages. Default: zero.
    pub disorder: Disorder,
}

/// Reordering and duplication of messages, which a standard queue may do at any time. A FIFO queue ignores it.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/standard-queues.html>
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Disorder {
    /// Selects the affected messages.
    pub seed: u64,
    /// Maximum number of positions by which a message may be delivered early or late.
    pub reach: u64,
    /// Share of receives, 0 to 1, after which a message stays visible and is therefore delivered again.
    pub duplicates: f64,
}

impl Settings {
    /// Creates the settings of a queue called `name`, with everything else at its default.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            visibility_timeout: Duration::from_secs(180),
            max_receive_count: 5,
            disorder: Disorder::default(),
        }
    }
}

/// An event for a function, and the receipts with which its messages are deleted.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The event's JSON, `{"Records": [...]}`, at most 6 MB.
    pub event: Bytes,
    /// One receipt per record, in the event's order.
    pub receipts: Vec<Receipt>,
}

/// One receive of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The message's id.
    pub message_id: String,
    /// Number of times the message has been received, including this one.
    pub receive_count: u32,
    /// Time of the first receive, since the Unix epoch.
    pub first_received: Duration,
    sequence: u64,
}

/// A message that reached its maximum receive count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The message's id.
    pub message_id: String,
    /// The message.
    pub message: Message,
    /// Number of times it was received.
    pub receive_count: u32,
}

#[derive(Debug)]
struct Stored {
    message: Message,
    message_id: String,
    lane: Lane,
    sent: Duration,
    first_received: Option<Duration>,
    /// Time of the latest receive.
    last_received: Option<Duration>,
    /// Whether its visibility was changed after the latest receive.
    is_changed: bool,
    receive_count: u32,
    hidden_until: Option<Duration>,
}

/// A message in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The message's id.
    pub message_id: String,
    /// The message.
    pub message: Message,
    /// Number of times it has been received.
    pub receive_count: u32,
    /// End of its invisibility, since the Unix epoch. `None` if it is visible.
    pub hidden_until: Option<Duration>,
}

/// Error of a call with a receipt handle that the queue does not accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HandleError {
    /// It is not a receipt handle.
    Invalid,
    /// The message is no longer in the queue.
    Gone,
    /// The message is visible again.
    NotInFlight,
    /// A FIFO queue accepts only the handles of messages in flight.
    Expired,
    /// The visibility would end more than 12 hours after the receive.
    BeyondLimit,
}

/// Messages that must be delivered in order. The messages of a FIFO group share a lane. Each message of a standard queue has
/// its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Lane {
    Group(String),
    Alone(u64),
}

#[derive(Debug, Default)]
struct LaneState {
    /// Its visible messages, in the order in which they were sent.
    visible: BTreeSet<u64>,
    /// Number of its invisible messages. If there are any, no message of the lane is delivered.
    hidden: usize,
}

/// An SQS queue with its dead-letter queue.
#[derive(Debug)]
pub struct Queue {
    settings: Settings,
    arn: String,
    /// Seed that makes message ids differ between queues.
    seed: u64,
    /// Every message that is neither deleted nor dead-lettered, by sequence, the order in which they were sent.
    messages: BTreeMap<u64, Stored>,
    lanes: HashMap<Lane, LaneState>,
    /// Lanes that can deliver: the rank and the sequence of the first visible message of each lane that has no invisible
    /// messages.
    open: BTreeSet<(u64, u64)>,
    /// Invisible messages, by the time at which they become visible.
    hidden: BTreeSet<(Duration, u64)>,
    dead_letters: Vec<DeadLetter>,
    sent: u64,
    /// Time and message of each deduplication id that a FIFO queue accepted.
    deduplicated: HashMap<String, (Duration, u64)>,
    changes: VisibilityChanges,
}

/// Visibility changes that a queue's endpoint has accepted. They are applied before the next receive.
#[derive(Debug, Clone, Default)]
pub(super) struct VisibilityChanges(Arc<Mutex<Vec<VisibilityChange>>>);

#[derive(Debug)]
struct VisibilityChange {
    sequence: u64,
    receive_count: u32,
    timeout: Duration,
}

impl VisibilityChanges {
    /// Records a visibility change. Returns `false` if `receipt_handle` does not belong to the queue.
    pub(super) fn take(&self, receipt_handle: &str, timeout: Duration) -> bool {
        let Some((sequence, receive_count)) = event::receive_of(receipt_handle) else { return false };
        let mut changes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        changes.push(VisibilityChange { sequence, receive_count, timeout });
        true
    }
}

impl Queue {
    /// Creates an empty queue.
    pub fn new(settings: Settings) -> Self {
        Self {
            arn: format!("arn:aws:sqs:us-east-1:000000000000:{}", settings.name),
            seed: settings.name.bytes().fold(0, |seed, byte| random::number(seed, byte.into())),
            settings,
            messages: BTreeMap::new(),
            lanes: HashMap::new(),
            open: BTreeSet::new(),
            hidden: BTreeSet::new(),
            dead_letters: Vec::new(),
            sent: 0,
            deduplicated: HashMap::new(),
            changes: VisibilityChanges::default(),
        }
    }

    /// Returns a handle through which an endpoint records visibility changes.
    pub(super) fn visibility_changes(&self) -> VisibilityChanges {
        self.changes.clone()
    }

    /// Adds `message` and returns its message id. If a FIFO queue accepted a message with the same deduplication id in the last
    /// five minutes, nothing is added and the id of that message is returned.
    ///
    /// # Errors
    /// Returns an error if SQS would refuse the message: empty, over 1 MiB, over ten attributes, or without a group on a FIFO
    /// queue.
    pub fn send(&mut self, message: Message, now: Duration) -> Result<String, InvalidMessage> {
        message.check()?;
        let sequence = self.sent;
        let lane = match &message.group {
            Some(group) if self.is_fifo() => Lane::Group(group.clone()),
            None if self.is_fifo() => return Err(InvalidMessage::GroupRequired),
            _ => Lane::Alone(sequence),
        };
        if let (Some(id), true) = (&message.deduplication_id, self.is_fifo()) {
            match self.deduplicated.get(id) {
                Some(&(accepted, first)) if now < accepted + DEDUPLICATION_INTERVAL => {
                    return Ok(random::uuid(self.seed, first));
                }
                _ => drop(self.deduplicated.insert(id.clone(), (now, sequence))),
            }
        }
        self.sent += 1;
        let message_id = random::uuid(self.seed, sequence);
        let stored = Stored {
            message,
            message_id: message_id.clone(),
            lane: lane.clone(),
            sent: now,
            first_received: None,
            last_received: None,
            is_changed: false,
            receive_count: 0,
            hidden_until: None,
        };
        self.messages.insert(sequence, stored);
        self.lanes.entry(lane.clone()).or_default().visible.insert(sequence);
        self.reopen(&lane);
        Ok(message_id)
    }

    /// Receives up to `batch_size` visible messages as one event of at most 6 MB and hides them for the visibility timeout.
    /// Messages that reached the maximum receive count move to the dead-letter queue instead. Returns `None` if nothing can be
    /// delivered.
    ///
    /// Standard queues deliver messages in the order in which they were sent, except for invisible messages and as far as
    /// [`Disorder`] does not change the order. FIFO queues deliver as many messages of one group as they can, and none of a
    /// group that has an invisible message.
    pub fn receive(&mut self, batch_size: usize, now: Duration) -> Option<Delivery> {
        let mut event = EVENT_START.to_vec();
        let visibility = self.settings.visibility_timeout;
        let receipts = self.take(batch_size, visibility, now, |received| {
            let length = event.len();
            if length > EVENT_START.len() {
                event.push(b',');
            }
            let is_written = received.write(&mut event).is_ok() && event.len() + EVENT_END.len() <= MAX_EVENT_BYTES;
            if !is_written {
                event.truncate(length);
            }
            is_written
        });
        event.extend_from_slice(EVENT_END);
        (!receipts.is_empty()).then(|| Delivery { event: event.into(), receipts })
    }

    /// Receives up to `most` visible messages in the form of a `ReceiveMessage` response and hides them for `visibility`.
    pub(super) fn receive_messages(
        &mut self,
        most: usize,
        visibility: Duration,
        now: Duration,
    ) -> Vec<(Receipt, Value)> {
        let mut responses = Vec::new();
        let receipts = self.take(most, visibility, now, |received| {
            responses.push(received.response());
            true
        });
        receipts.into_iter().zip(responses).collect()
    }

    /// Receives up to `most` visible messages while `admit` returns `true`, and hides them for `visibility`.
    fn take(
        &mut self,
        most: usize,
        visibility: Duration,
        now: Duration,
        mut admit: impl FnMut(&ReceivedMessage<'_>) -> bool,
    ) -> Vec<Receipt> {
        self.reveal(now);
        let mut receipts = Vec::new();
        let mut drained = Vec::new();
        'lanes: while receipts.len() < most
            && let Some((_, first)) = self.open.pop_first()
        {
            let Some(lane) = self.messages.get(&first).map(|stored| stored.lane.clone()) else { continue };
            drained.push(lane.clone());
            while receipts.len() < most
                && let Some(sequence) = self.lanes.get(&lane).and_then(|state| state.visible.first().copied())
            {
                if self.move_to_dead_letters(sequence) {
                    continue;
                }
                let Some(received) = self.received(sequence, now) else { break };
                if !admit(&received) {
                    break 'lanes;
                }
                let (message_id, receive_count) = (received.message_id.to_owned(), received.receive_count);
                receipts.push(Receipt { message_id, receive_count, first_received: received.first_received, sequence });
                self.hide(sequence, visibility, now);
            }
        }
        drained.iter().for_each(|lane| self.reopen(lane));
        receipts
    }

    /// Restarts the visibility timeout of the messages of `receipts` with `visibility`. Returns `false` without any change
    /// unless all are still in flight under these receipts and none has had its visibility changed.
    pub(super) fn receive_again(&mut self, receipts: &[Receipt], visibility: Duration, now: Duration) -> bool {
        self.reveal(now);
        let is_unchanged = |receipt: &Receipt| {
            self.messages.get(&receipt.sequence).is_some_and(|stored| {
                stored.receive_count == receipt.receive_count && stored.hidden_until.is_some() && !stored.is_changed
            })
        };
        if !receipts.iter().all(is_unchanged) {
            return false;
        }
        receipts.iter().for_each(|receipt| self.hide_until(receipt.sequence, now + visibility));
        true
    }

    /// Deletes the message of a receipt handle. A standard queue ignores a handle that is not the latest one.
    /// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html>
    pub(super) fn delete_by_handle(
        &mut self,
        receipt_handle: &str,
        now: Duration,
    ) -> Result<Option<String>, HandleError> {
        self.reveal(now);
        let (sequence, receive_count) = event::receive_of(receipt_handle).ok_or(HandleError::Invalid)?;
        let Some(stored) = self.messages.get(&sequence) else { return Ok(None) };
        let first_received = stored.first_received.unwrap_or_default();
        let receipt = Receipt { message_id: stored.message_id.clone(), receive_count, first_received, sequence };
        match self.delete(&receipt) {
            true => Ok(Some(receipt.message_id)),
            false if self.is_fifo() => Err(HandleError::Expired),
            false => Ok(None),
        }
    }

    /// Makes the message of a receipt handle visible after `timeout`. A standard queue ignores a handle that is not the latest
    /// one.
    /// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html>
    pub(super) fn change_visibility_by_handle(
        &mut self,
        receipt_handle: &str,
        timeout: Duration,
        now: Duration,
    ) -> Result<(), HandleError> {
        self.reveal(now);
        let is_fifo = self.is_fifo();
        let (sequence, receive_count) = event::receive_of(receipt_handle).ok_or(HandleError::Invalid)?;
        let stored = self.messages.get_mut(&sequence).ok_or(HandleError::Gone)?;
        let (true, Some(received)) = (stored.hidden_until.is_some(), stored.last_received) else {
            return Err(HandleError::NotInFlight);
        };
        if stored.receive_count != receive_count {
            return if is_fifo { Err(HandleError::Expired) } else { Ok(()) };
        }
        if now + timeout > received + Duration::from_secs(MAX_VISIBILITY_TIMEOUT) {
            return Err(HandleError::BeyondLimit);
        }
        stored.is_changed = true;
        self.hide_until(sequence, now + timeout);
        self.reveal(now);
        Ok(())
    }

    /// Returns the number of visible messages and the number of messages in flight.
    pub(super) fn counts(&mut self, now: Duration) -> (usize, usize) {
        self.reveal(now);
        (self.messages.len() - self.hidden.len(), self.hidden.len())
    }

    /// Returns every message of the queue, visible or not, in the order in which they were sent.
    pub fn held(&self) -> Vec<Held> {
        let held = |stored: &Stored| Held {
            message_id: stored.message_id.clone(),
            message: stored.message.clone(),
            receive_count: stored.receive_count,
            hidden_until: stored.hidden_until,
        };
        self.messages.values().map(held).collect()
    }

    /// Deletes a received message. Returns `false` without any change if the receipt is not the message's latest one, if the
    /// message is gone, or if it is visible again and belongs to a FIFO queue.
    pub fn delete(&mut self, receipt: &Receipt) -> bool {
        let sequence = receipt.sequence;
        let Some(stored) = self.messages.get(&sequence) else { return false };
        let expired = stored.hidden_until.is_none();
        if stored.receive_count != receipt.receive_count || (expired && self.is_fifo()) {
            return false;
        }
        let lane = stored.lane.clone();
        if expired {
            self.open.remove(&(self.rank(sequence), sequence));
            self.lanes.entry(lane.clone()).or_default().visible.remove(&sequence);
        } else {
            self.unhide(sequence);
        }
        self.messages.remove(&sequence);
        self.reopen(&lane);
        true
    }

    /// Returns the time at which the next invisible message becomes visible. `None` if all are visible.
    pub fn next_visible(&self) -> Option<Duration> {
        self.hidden.first().map(|(until, _)| *until)
    }

    /// Returns the number of messages in the queue, visible or not, without dead letters.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Returns whether every message is deleted or dead-lettered.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Returns the messages of the dead-letter queue, in order of arrival.
    pub fn dead_letters(&self) -> &[DeadLetter] {
        &self.dead_letters
    }

    /// Returns whether it is a FIFO queue.
    pub fn is_fifo(&self) -> bool {
        self.settings.name.ends_with(".fifo")
    }

    /// Returns the queue's name.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Returns the queue's ARN, as it appears in events.
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// Returns the sort key by which messages are delivered: the message's sequence, plus a random offset of up to `reach` for
    /// a standard queue.
    fn rank(&self, sequence: u64) -> u64 {
        let Disorder { seed, reach, .. } = self.settings.disorder;
        if self.is_fifo() { sequence } else { sequence + random::number(seed, sequence) % (reach + 1) }
    }

    /// Returns whether a message is delivered again after the receive with this number.
    fn is_duplicated(&self, sequence: u64, receive_count: u32) -> bool {
        let Disorder { seed, duplicates, .. } = self.settings.disorder;
        !self.is_fifo() && random::share(random::number(!seed, sequence), receive_count.into()) < duplicates
    }

    /// Applies the visibility changes recorded since the last call. Changes of messages that are visible, or that have been
    /// received again, are ignored.
    fn change_visibility(&mut self, now: Duration) {
        let changes = std::mem::take(&mut *self.changes.0.lock().unwrap_or_else(PoisonError::into_inner));
        for VisibilityChange { sequence, receive_count, timeout } in changes {
            let Some(stored) = self.messages.get(&sequence) else { continue };
            if stored.receive_count == receive_count {
                self.hide_until(sequence, now + timeout);
            }
        }
    }

    /// Makes messages visible whose visibility timeout has expired.
    fn reveal(&mut self, now: Duration) {
        self.change_visibility(now);
        while let Some(&(until, sequence)) = self.hidden.first()
            && until <= now
        {
            self.unhide(sequence);
            if let Some(lane) = self.messages.get(&sequence).map(|stored| stored.lane.clone()) {
                self.lanes.entry(lane.clone()).or_default().visible.insert(sequence);
                self.reopen(&lane);
            }
        }
    }

    fn hide(&mut self, sequence: u64, visibility: Duration, now: Duration) {
        let receive_count = self.messages.get(&sequence).map_or(0, |stored| stored.receive_count) + 1;
        let until = if self.is_duplicated(sequence, receive_count) { now } else { now + visibility };
        let Some(stored) = self.messages.get_mut(&sequence) else { return };
        stored.receive_count = receive_count;
        stored.first_received.get_or_insert(now);
        stored.last_received = Some(now);
        stored.is_changed = false;
        stored.hidden_until = Some(until);
        self.hidden.insert((until, sequence));
        if let Some(lane) = self.lanes.get_mut(&stored.lane) {
            lane.visible.remove(&sequence);
            lane.hidden += 1;
        }
    }

    /// Changes the end of the invisibility of a message in flight.
    fn hide_until(&mut self, sequence: u64, until: Duration) {
        let Some(hidden_until) = self.messages.get_mut(&sequence).and_then(|stored| stored.hidden_until.as_mut())
        else {
            return;
        };
        self.hidden.remove(&(*hidden_until, sequence));
        *hidden_until = until;
        self.hidden.insert((until, sequence));
    }

    fn unhide(&mut self, sequence: u64) -> Option<()> {
        let stored = self.messages.get_mut(&sequence)?;
        self.hidden.remove(&(stored.hidden_until.take()?, sequence));
        self.lanes.get_mut(&stored.lane)?.hidden -= 1;
        Some(())
    }

    /// Moves a message to the dead-letter queue if it has reached the maximum receive count. Returns whether it did.
    fn move_to_dead_letters(&mut self, sequence: u64) -> bool {
        let is_due = |stored: &Stored| stored.receive_count >= self.settings.max_receive_count;
        if !self.messages.get(&sequence).is_some_and(is_due) {
            return false;
        }
        if let Some(Stored { message, message_id, receive_count, lane, .. }) = self.messages.remove(&sequence) {
            if let Some(lane) = self.lanes.get_mut(&lane) {
                lane.visible.remove(&sequence);
            }
            self.dead_letters.push(DeadLetter { message_id, message, receive_count });
        }
        true
    }

    /// Marks a lane as deliverable if it has visible and no invisible messages, and removes it if it is empty.
    fn reopen(&mut self, lane: &Lane) {
        let Some(state) = self.lanes.get(lane) else { return };
        match (state.hidden, state.visible.first()) {
            (0, None) => drop(self.lanes.remove(lane)),
            (0, Some(&first)) => drop(self.open.insert((self.rank(first), first))),
            _ => {}
        }
    }

    fn received(&self, sequence: u64, now: Duration) -> Option<ReceivedMessage<'_>> {
        let stored = self.messages.get(&sequence)?;
        Some(ReceivedMessage {
            message: &stored.message,
            message_id: &stored.message_id,
            sequence,
            is_fifo: self.is_fifo(),
            queue_arn: &self.arn,
            receive_count: stored.receive_count + 1,
            sent: stored.sent,
            first_received: stored.first_received.unwrap_or(now),
        })
    }
}
