//! The main loop of a run: receive, select, send, record, delete.

use super::calls::next_call;
use super::held::Held;
use super::interrupt::Interrupt;
use super::letter::Letter;
use super::record::Record;
use super::report::{Ending, Left, Report};
use super::{Arguments, SourceAndTargets};
use crate::aws::CallError;
use crate::duration::jitter;
use crate::journal::run_id;
use crate::output::errln;
use crate::queue::{MAX_CALL_MESSAGES, Outgoing, Queue, Received, Refusal};
use avro_ingest::transcode::Transcoder;
use local::clock;
use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::time::Duration;
use tokio::time::Instant;

/// Number of consecutive empty receives after which the queue counts as empty. One is not enough, because a receive may sample
/// a server without messages.
const EMPTY_RECEIVES: u32 = 3;
/// Maximum number of attempts of a receive, or of one entry of a batch.
const ATTEMPTS: u32 = 5;
/// Pause after the first attempt. It doubles with each further attempt.
const PAUSE: Duration = Duration::from_millis(200);
/// Error codes with which SQS refuses a whole call because of one of its messages.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>
const MESSAGE_CODES: [&str; 7] = [
    "BatchRequestTooLong",
    "InvalidMessageContents",
    "InvalidParameterValue",
    "InvalidParameterValueException",
    "MissingParameter",
    "MissingRequiredParameterException",
    "ValidationException",
];

/// Limits at which a run stops.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    held: usize,
    time: Duration,
}

impl Limits {
    /// SQS allows about 120,000 messages in flight and 12 hours from the receive. These limits leave a margin for the end of
    /// the run.
    /// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html>
    /// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html>
    pub(super) const SQS: Self = Self { held: 100_000, time: Duration::from_secs(11 * 3600) };

    fn reached(self, held: usize, elapsed: Duration) -> Option<Ending> {
        if held >= self.held {
            return Some(Ending::HeldLimit);
        }
        (elapsed >= self.time).then_some(Ending::TimeLimit)
    }
}

/// State of a run.
pub(super) struct Mover<'a> {
    pub(super) arguments: &'a Arguments,
    pub(super) transcoder: &'a Transcoder,
    pub(super) queues: &'a SourceAndTargets,
    pub(super) interrupt: &'a Interrupt,
    pub(super) held: &'a Held,
    pub(super) limits: Limits,
    pub(super) record: Record,
    pub(super) report: Report,
    /// Instant until which messages that appear in no response may be invisible.
    pub(super) invisible_until: Option<Instant>,
    /// Stopped groups of a FIFO target, and the message at which each stopped.
    pub(super) stopped_groups: HashMap<String, String>,
    pub(super) selected: u64,
    /// Number of receives of messages that were already held.
    pub(super) redelivered: usize,
}

/// Destination of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    To,
    Rest,
}

/// A message to send, and its number of failed attempts.
struct Unit {
    letter: Letter,
    tries: u32,
}

type Waiting = VecDeque<(Unit, Outgoing)>;

impl Mover<'_> {
    /// Moves messages until the source is empty or the run must stop.
    ///
    /// # Errors
    /// If a call fails permanently, or the journal cannot be written.
    pub(super) async fn run(&mut self) -> Result<Ending, Box<dyn Error>> {
        let start = clock::now();
        if let Some(visibility) = self.record.start(self.held.visibility())? {
            errln!("an earlier run was killed: its messages are invisible for up to {} s", visibility.as_secs());
            self.invisible_until = Some(start + visibility);
        }
        let limit = self.arguments.limit.unwrap_or(u64::MAX);
        let mut empty = 0;
        loop {
            if self.interrupt.is_raised() {
                return Ok(Ending::Interrupted);
            }
            let wanted = usize::try_from(limit - self.selected).unwrap_or(usize::MAX);
            if wanted == 0 {
                return Ok(Ending::Limit);
            }
            if let Some(ending) = self.limits.reached(self.held.len(), clock::now() - start) {
                return Ok(ending);
            }
            let asked = clock::now();
            let Some(messages) = self.receive(wanted.min(MAX_CALL_MESSAGES)).await? else {
                return Ok(Ending::Interrupted);
            };
            if messages.is_empty() {
                empty += 1;
                if empty >= EMPTY_RECEIVES && self.invisible_until.is_none_or(|until| clock::now() >= until) {
                    self.look_for_hidden().await;
                    return Ok(Ending::Complete);
                }
                continue;
            }
            empty = 0;
            if self.redelivered > self.held.len().max(MAX_CALL_MESSAGES) {
                let why = self.held.failure().unwrap_or_else(|| "the visibility timeout is too short".to_owned());
                return Err(format!("{}: held messages are redelivered: {why}", self.queues.from.url()).into());
            }
            if let Some(ending) = self.handle(messages, asked).await? {
                return Ok(ending);
            }
        }
    }

    /// Receives messages. Returns `None` if a signal arrived.
    async fn receive(&mut self, most: usize) -> Result<Option<Vec<Received>>, Box<dyn Error>> {
        let from = &self.queues.from;
        let seconds = u32::try_from(self.held.visibility().as_secs()).unwrap_or(u32::MAX);
        let attempt_id = if from.is_fifo() { Some(run_id()?) } else { None };
        let mut pause = PAUSE;
        for attempt in 1.. {
            let call = from.receive_once(most, seconds, 1, attempt_id.as_deref());
            let result = self.interrupt.grace(call).await;
            let lost = result.as_ref().is_none_or(|result| result.as_ref().is_err_and(CallError::is_ambiguous));
            if lost {
                self.invisible_until = Some(clock::now() + self.held.visibility());
            }
            match result {
                None => break,
                Some(Ok(messages)) => return Ok(Some(messages)),
                Some(Err(error)) if error.is_transient() && attempt < ATTEMPTS => {
                    self.interrupt.pause(pause / 2 + jitter(pause / 2)).await;
                    pause *= 2;
                }
                Some(Err(error)) => return Err(named(from, &error)),
            }
            if self.interrupt.is_raised() {
                break;
            }
        }
        Ok(None)
    }

    /// Moves the received messages that are selected, and holds the others.
    async fn handle(&mut self, messages: Vec<Received>, asked: Instant) -> Result<Option<Ending>, Box<dyn Error>> {
        let now = clock::since_epoch();
        let queues = self.queues;
        let limit = self.arguments.limit.unwrap_or(u64::MAX);
        let mut finished = Vec::new();
        let (mut to, mut rest) = (Waiting::new(), Waiting::new());
        for message in messages {
            let is_held = self.held.insert(&message.id, &message.receipt_handle, asked);
            let is_first = !self.record.is_of_this_run(&message.id);
            if self.record.is_accepted(&message.id) {
                self.report.finished += usize::from(is_first);
                finished.push(message.id);
                continue;
            }
            if is_held {
                self.redelivered += 1;
                continue;
            }
            let letter = Letter::read(message, self.transcoder, now);
            let is_selected = letter.is_selected(self.arguments, now) && self.selected < limit;
            if is_selected {
                self.selected += 1;
                *self.report.groups.entry(letter.group()).or_default() += 1;
            }
            if self.arguments.dry_run {
                self.keep(&letter, "a dry run moves nothing");
            } else if is_selected {
                let outgoing = letter.restored(queues.to.is_fifo());
                to.push_back((Unit { letter, tries: 0 }, outgoing));
            } else if let Some(queue) = &queues.rest_to {
                let outgoing = letter.unchanged(queue.is_fifo());
                rest.push_back((Unit { letter, tries: 0 }, outgoing));
            } else {
                self.keep(&letter, "the filter does not select it");
            }
        }
        if !finished.is_empty() && !self.delete(finished).await? {
            self.leave_all(to.into_iter().chain(rest), "the run ended before");
            return Ok(Some(self.after_failed_deletion()));
        }
        let ending = self.send(to, Target::To).await;
        if !matches!(ending, Ok(None)) {
            self.leave_all(rest, "the run ended before");
            return ending;
        }
        match &self.queues.rest_to {
            Some(_) => self.send(rest, Target::Rest).await,
            None => Ok(None),
        }
    }

    /// Sends messages one call at a time, records the accepted messages and deletes them from the source.
    async fn send(&mut self, mut waiting: Waiting, target: Target) -> Result<Option<Ending>, Box<dyn Error>> {
        let queues = self.queues;
        let queue = match (target, &queues.rest_to) {
            (Target::Rest, Some(rest)) => rest,
            _ => &queues.to,
        };
        let is_fifo = queue.is_fifo();
        self.leave_stopped_groups(&mut waiting, is_fifo);
        let mut ready: VecDeque<Vec<(Unit, Outgoing)>> = VecDeque::new();
        loop {
            let call = match ready.pop_front() {
                Some(call) => call,
                None => next_call(&mut waiting, is_fifo),
            };
            if call.is_empty() {
                return Ok(None);
            }
            let left = |mover: &mut Self, call: Vec<_>, waiting: Waiting, ready: VecDeque<Vec<_>>, why: &str| {
                mover.leave_all(call.into_iter().chain(ready.into_iter().flatten()).chain(waiting), why);
            };
            if self.interrupt.is_raised() {
                left(self, call, waiting, ready, "interrupted");
                return Ok(Some(Ending::Interrupted));
            }
            let ids: Vec<String> = call.iter().map(|(unit, _)| unit.letter.message.id.clone()).collect();
            let reserved = match self.record.reserve(&ids) {
                Ok(reserved) => reserved,
                Err(error) => {
                    left(self, call, waiting, ready, "the journal has no space");
                    return Err(error.into());
                }
            };
            let outgoing: Vec<Outgoing> = call.iter().map(|(_, outgoing)| outgoing.clone()).collect();
            let result = self.interrupt.grace(queue.send(&outgoing)).await;
            let results = match result {
                Some(Ok(results)) => results,
                Some(Err(error)) if is_of_a_message(&error) && call.len() > 1 => {
                    // retry each message alone, so that the valid messages are accepted
                    self.record.release(reserved);
                    call.into_iter().rev().for_each(|unit| ready.push_front(vec![unit]));
                    continue;
                }
                Some(Err(error)) if is_of_a_message(&error) => {
                    vec![Err(Refusal { code: error.to_string(), is_final: true })]
                }
                failed => {
                    self.record.release(reserved);
                    let is_unknown =
                        failed.as_ref().is_none_or(|failed| failed.as_ref().is_err_and(CallError::is_ambiguous));
                    if is_unknown {
                        self.report.unknown += call.len();
                    } else {
                        left(self, call, Waiting::new(), VecDeque::new(), "the call failed");
                    }
                    left(self, Vec::new(), waiting, ready, "the run ended before");
                    return match failed {
                        Some(Err(error)) => Err(named(queue, &error)),
                        _ => Ok(Some(Ending::Interrupted)),
                    };
                }
            };
            let accepted = self.sort(call, results, &mut waiting, is_fifo).await;
            let ending = self.finish(&accepted, target).await;
            self.record.release(reserved);
            if !matches!(ending, Ok(None)) {
                left(self, Vec::new(), waiting, ready, "the run ended before");
                return ending;
            }
        }
    }

    /// Handles the result of each message of a call, and returns the ids of the accepted messages. Messages that failed because
    /// of the service are put back at the front of `waiting`.
    async fn sort(
        &mut self,
        call: Vec<(Unit, Outgoing)>,
        results: Vec<Result<(), Refusal>>,
        waiting: &mut Waiting,
        is_fifo: bool,
    ) -> Vec<String> {
        let (mut accepted, mut again) = (Vec::new(), Vec::new());
        for ((unit, outgoing), result) in call.into_iter().zip(results) {
            match result {
                Ok(()) => accepted.push(unit.letter.message.id),
                Err(refusal) if !refusal.is_final && unit.tries + 1 < ATTEMPTS => {
                    again.push((Unit { tries: unit.tries + 1, ..unit }, outgoing));
                }
                Err(refusal) => {
                    let message = &unit.letter.message;
                    let why = format!("refused: {}", refusal.code);
                    if let (true, Some(group)) = (is_fifo, &outgoing.group) {
                        self.stopped_groups.insert(group.clone(), message.id.clone());
                    }
                    self.leave(&unit.letter, &why);
                }
            }
        }
        self.leave_stopped_groups(waiting, is_fifo);
        if let Some(tries) = again.iter().map(|(unit, _)| unit.tries).max() {
            let pause = PAUSE * 2_u32.saturating_pow(tries - 1);
            self.interrupt.pause(pause / 2 + jitter(pause / 2)).await;
        }
        again.into_iter().rev().for_each(|unit| waiting.push_front(unit));
        accepted
    }

    /// Records accepted messages, counts them and deletes them from the source.
    async fn finish(&mut self, ids: &[String], target: Target) -> Result<Option<Ending>, Box<dyn Error>> {
        if ids.is_empty() {
            return Ok(None);
        }
        match target {
            Target::To => self.report.moved += ids.len(),
            Target::Rest => self.report.set_aside += ids.len(),
        }
        let recorded = self.record.accepted(ids);
        // delete even if recording failed, because otherwise the next run would send the messages again
        let deleted = self.delete(ids.to_vec()).await?;
        recorded?;
        Ok((!deleted).then(|| self.after_failed_deletion()))
    }

    /// Deletes accepted messages from the source. Messages that cannot be deleted are in both queues. Returns `false` if a call
    /// fails as a whole.
    async fn delete(&mut self, ids: Vec<String>) -> Result<bool, Box<dyn Error>> {
        let from = &self.queues.from;
        let (mut remaining, mut pause) = (ids, PAUSE);
        for attempt in 1..=ATTEMPTS {
            let handles: Vec<(String, String)> =
                remaining.iter().filter_map(|id| Some((id.clone(), self.held.receipt_handle(id)?))).collect();
            let all: Vec<String> = handles.iter().map(|(_, handle)| handle.clone()).collect();
            match self.interrupt.grace(from.delete(&all)).await {
                Some(Ok(failed)) => {
                    let (kept, deleted): (Vec<_>, Vec<_>) =
                        handles.into_iter().partition(|(_, handle)| failed.contains(handle));
                    let deleted: Vec<String> = deleted.into_iter().map(|(id, _)| id).collect();
                    deleted.iter().for_each(|id| self.held.remove(id));
                    if !deleted.is_empty() {
                        self.record.deleted(&deleted)?;
                    }
                    remaining = kept.into_iter().map(|(id, _)| id).collect();
                }
                Some(Err(error)) => {
                    errln!("{}", named(from, &error));
                    return Ok(false);
                }
                None => return Ok(false),
            }
            if remaining.is_empty() || attempt == ATTEMPTS || self.interrupt.is_raised() {
                break;
            }
            self.interrupt.pause(pause / 2 + jitter(pause / 2)).await;
            pause *= 2;
        }
        Ok(true)
    }

    fn after_failed_deletion(&self) -> Ending {
        if self.interrupt.is_raised() { Ending::Interrupted } else { Ending::DeletionFailed }
    }

    /// Records that a message stays held until the end of the run. In a FIFO source it hides its successors.
    fn keep(&mut self, letter: &Letter, why: &str) {
        let message = &letter.message;
        if let (true, Some(group)) = (self.queues.from.is_fifo(), &message.group) {
            let in_front = &mut self.report.in_front;
            in_front.entry(group.clone()).or_insert_with(|| (message.id.clone(), why.to_owned()));
        }
    }

    /// Records that a selected message was not moved, and holds it.
    fn leave(&mut self, letter: &Letter, why: &str) {
        self.keep(letter, why);
        let (message_id, group) = (letter.message.id.clone(), letter.message.group.clone());
        self.report.left.push(Left { message_id, group, why: why.to_owned() });
    }

    fn leave_all(&mut self, units: impl IntoIterator<Item = (Unit, Outgoing)>, why: &str) {
        units.into_iter().for_each(|(unit, _)| self.leave(&unit.letter, why));
    }

    /// Removes the messages from `waiting` whose group has stopped at a predecessor, because they would overtake it.
    fn leave_stopped_groups(&mut self, waiting: &mut Waiting, is_fifo: bool) {
        if !is_fifo || self.stopped_groups.is_empty() {
            return;
        }
        for (unit, outgoing) in std::mem::take(waiting) {
            let stopped_at = outgoing.group.as_ref().and_then(|group| self.stopped_groups.get(group)).cloned();
            match stopped_at {
                Some(id) => self.leave(&unit.letter, &format!("behind message {id} of its group")),
                None => waiting.push_back((unit, outgoing)),
            }
        }
    }

    /// Queries how many messages an apparently empty source still has, hidden behind held messages or received by other
    /// consumers.
    async fn look_for_hidden(&mut self) {
        let counts = self.interrupt.grace(self.queues.from.counts()).await;
        let counts = counts.and_then(Result::ok);
        let held = u64::try_from(self.held.len()).unwrap_or(u64::MAX);
        self.report.received_elsewhere = counts.map_or(0, |counts| counts.in_flight.saturating_sub(held));
        self.report.behind = counts.map(|counts| counts.visible);
        if self.report.behind == Some(0) {
            self.report.in_front.clear();
        }
        // the count of visible messages lags behind deletions, so it is only meaningful if other consumers have messages in
        // flight
        self.report.is_locked_elsewhere = self.queues.from.is_fifo()
            && self.report.received_elsewhere > 0
            && self.report.behind.is_some_and(|behind| behind > 0);
    }
}

/// Returns an error that names the queue whose call failed.
fn named(queue: &Queue, error: &CallError) -> Box<dyn Error> {
    format!("{}: {error}", queue.url()).into()
}

/// Returns whether SQS refused a call because of one of its messages.
fn is_of_a_message(error: &CallError) -> bool {
    matches!(error, CallError::Refused { code, status, .. } if !status.is_server_error() && MESSAGE_CODES.contains(&code.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_stops_at_a_hundred_thousand_held_messages_or_eleven_hours() {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let second = Duration::from_secs(1);
        assert_eq!(Limits::SQS.reached(99_999, hours(11) - second), None);
        assert_eq!(Limits::SQS.reached(100_000, Duration::ZERO), Some(Ending::HeldLimit));
        assert_eq!(Limits::SQS.reached(100_001, Duration::ZERO), Some(Ending::HeldLimit));
        assert_eq!(Limits::SQS.reached(0, hours(11)), Some(Ending::TimeLimit));
        assert_eq!(Limits::SQS.reached(0, hours(11) + second), Some(Ending::TimeLimit));
    }
}
