//! Two threads between the input and the calls. One reads, because reading blocks. The other packs records into messages,
//! because an incomplete message must be sent after a while even if the reader still waits for input.

use super::identity::{Fate, Settled};
use super::ledger::{Ledger, Pending};
use super::meter::Meter;
use super::{Plan, lock};
use crate::producer::{Input, MAX_MESSAGE_BYTES, Packed, Packer, Produced, Raw, Record};
use crate::queue::{MAX_CALL_MESSAGES, Outgoing};
use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Maximum number of records read ahead.
const READ_AHEAD: usize = 16;
/// Maximum time that a record from a pipe waits for its message and its call to fill up.
const MAX_WAIT: Duration = Duration::from_secs(1);
/// Pause after which a stopped input that still waits for bytes counts as ended.
const DRAIN_PAUSE: Duration = Duration::from_millis(50);

/// Result of reading.
enum Found {
    Pending(Record),
    /// Consecutive records: the number of the last one, and their count.
    AcceptedEarlier {
        last: u64,
        count: u64,
    },
    RefusedEarlier(Raw),
    WrongEarlier(Raw),
    /// The input could not be read.
    Failed(String),
    /// The input has ended. A thread that panics does not send this.
    End,
}

/// The messages of one call, or the reason why there are no more.
pub(super) enum Batch {
    Messages(Vec<Pending>),
    Failed(String),
    End,
}

/// The parts of a run that the two threads use.
pub(super) struct Reading {
    pub(super) plan: Arc<Plan>,
    pub(super) ledger: Arc<Mutex<Ledger>>,
    pub(super) meter: Meter,
    pub(super) settled: Settled,
    /// Number of the first record to send.
    pub(super) from: u64,
    pub(super) is_pipe: bool,
}

/// Starts the threads, and returns the messages of each call.
///
/// # Errors
/// If a thread cannot be started.
pub(super) fn start(reading: Reading, input: Input, packer: Packer) -> io::Result<mpsc::Receiver<Batch>> {
    let (found, records) = sync_channel(READ_AHEAD);
    let (batches, receiver) = mpsc::channel(1);
    let Reading { plan, ledger, meter, settled, from, is_pipe } = reading;
    let reader = Reader { input, meter: meter.clone(), settled, from, is_pipe, found };
    std::thread::Builder::new().name("read".to_owned()).spawn(move || reader.run())?;
    let batcher = Batcher {
        records,
        batches,
        packer,
        plan,
        ledger,
        meter,
        is_pipe,
        messages: VecDeque::new(),
        waiting_since: None,
    };
    std::thread::Builder::new().name("pack".to_owned()).spawn(move || batcher.run())?;
    Ok(receiver)
}

struct Reader {
    input: Input,
    meter: Meter,
    settled: Settled,
    from: u64,
    is_pipe: bool,
    found: SyncSender<Found>,
}

impl Reader {
    /// Reads until the input ends. Nothing is sent from a pipe before its beginning is recognised.
    fn run(mut self) {
        let mut unrecognised: Vec<Found> = Vec::new();
        loop {
            let found = self.next();
            let is_last = matches!(found, Found::Failed(_) | Found::End);
            // a file was compared with its journal before, and is compared again after it was read
            let is_recognised = !self.is_pipe || self.meter.is_expected();
            if !is_recognised && !is_last {
                match (unrecognised.last_mut(), &found) {
                    (Some(Found::AcceptedEarlier { last, count }), Found::AcceptedEarlier { last: next, .. }) => {
                        (*last, *count) = (*next, *count + 1);
                    }
                    _ => unrecognised.push(found),
                }
                continue;
            }
            if !is_recognised {
                unrecognised.clear();
            }
            for found in unrecognised.drain(..).chain([found]) {
                if self.found.send(found).is_err() {
                    return;
                }
            }
            if is_last {
                return;
            }
        }
    }

    fn next(&mut self) -> Found {
        loop {
            let raw = match self.input.next() {
                Err(error) => return Found::Failed(error.to_string()),
                Ok(None) if self.meter.is_expected() => return Found::End,
                Ok(None) => return Found::Failed(format!("{}: it is shorter", self.meter.mismatch())),
                // the line is incomplete, so its record counts as unread, and the next run starts with it
                Ok(Some(_)) if !self.input.is_terminated() && self.meter.is_cut() => return Found::End,
                Ok(Some(raw)) if raw.number < self.from => continue,
                Ok(Some(raw)) => raw,
            };
            return match self.settled.fate(raw.number) {
                Fate::Pending => Found::Pending(self.input.encode(raw)),
                Fate::Accepted => Found::AcceptedEarlier { last: raw.number, count: 1 },
                Fate::Refused => Found::RefusedEarlier(raw),
                Fate::Wrong => Found::WrongEarlier(raw),
            };
        }
    }
}

/// Next step of the packing thread.
enum Next {
    Found(Found),
    /// No record arrives for now. Held records and messages must be sent.
    Nothing,
    /// The run ends, and nothing more is read.
    Stopped,
}

struct Batcher {
    records: Receiver<Found>,
    batches: mpsc::Sender<Batch>,
    packer: Packer,
    plan: Arc<Plan>,
    ledger: Arc<Mutex<Ledger>>,
    meter: Meter,
    is_pipe: bool,
    /// Messages that wait for a call to fill up.
    messages: VecDeque<Pending>,
    /// Instant at which the first held record was received.
    waiting_since: Option<Instant>,
}

impl Batcher {
    fn run(mut self) {
        let last = match self.work() {
            Ok(()) => Batch::End,
            Err(None) => return,
            Err(Some(error)) => Batch::Failed(error),
        };
        // records that were read are sent or collected, whatever ended the reading
        let flushed = self.flush();
        let last = match (last, flushed) {
            (Batch::End, Err(Some(error))) => Batch::Failed(error),
            (last, _) => last,
        };
        // the receiver is dropped if the run has ended
        let _ = self.batches.blocking_send(last);
    }

    /// Packs records until the input ends.
    ///
    /// # Errors
    /// Returns the reason why there are no more batches, or `None` if the receiver was dropped.
    fn work(&mut self) -> Result<(), Option<String>> {
        loop {
            match self.next().map_err(Some)? {
                Next::Found(Found::End) | Next::Stopped => return Ok(()),
                Next::Found(Found::Failed(error)) => return Err(Some(error)),
                Next::Found(Found::Pending(record)) => {
                    lock(&self.ledger).read(&record.raw);
                    self.waiting_since.get_or_insert_with(local::clock::now);
                    self.packer.take(record);
                }
                // an earlier process sent a whole message here, so the current message ends before it
                Next::Found(Found::AcceptedEarlier { last, count }) => {
                    self.packer.pack();
                    lock(&self.ledger).accepted_earlier(last, count);
                }
                Next::Found(Found::RefusedEarlier(raw)) => {
                    self.packer.pack();
                    let group = self.plan.fields.group_of(&raw).filter(|_| self.plan.is_fifo);
                    lock(&self.ledger).unsent_earlier(&raw, group).map_err(Some)?;
                }
                Next::Found(Found::WrongEarlier(raw)) => lock(&self.ledger).unsent_earlier(&raw, None).map_err(Some)?,
                Next::Nothing => {
                    self.flush()?;
                    continue;
                }
            }
            self.pack()?;
            self.offer(false)?;
        }
    }

    /// Sends all held records and messages.
    fn flush(&mut self) -> Result<(), Option<String>> {
        self.packer.pack();
        let packed = self.pack();
        self.offer(true)?;
        packed
    }

    /// Waits for the next record, but no longer than records may be held.
    fn next(&mut self) -> Result<Next, String> {
        loop {
            let wait = match (self.is_pipe, self.waiting_since) {
                (true, Some(since)) => MAX_WAIT.saturating_sub(local::clock::now().saturating_duration_since(since)),
                _ => MAX_WAIT,
            };
            match self.records.recv_timeout(wait.min(DRAIN_PAUSE)) {
                Ok(found) => return Ok(Next::Found(found)),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err("the input cannot be read: its thread ended".to_owned());
                }
                Err(RecvTimeoutError::Timeout) if self.meter.is_stopped() && self.meter.is_waiting() => {
                    return Ok(Next::Stopped);
                }
                Err(RecvTimeoutError::Timeout) if self.is_pipe && wait <= DRAIN_PAUSE && self.waits() => {
                    return Ok(Next::Nothing);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Returns whether a record or message waits to be sent.
    fn waits(&self) -> bool {
        self.packer.holds() || !self.messages.is_empty()
    }

    /// Takes the messages that the packer has completed.
    fn pack(&mut self) -> Result<(), Option<String>> {
        while let Some(produced) = self.packer.pop() {
            match produced {
                Produced::Message(packed) => self.messages.push_back(self.plan.pending(packed)),
                Produced::Wrong(record, problem) => lock(&self.ledger).wrong(&record.raw, &problem).map_err(Some)?,
            }
        }
        Ok(())
    }

    /// Sends the messages of each full call, or all messages if `all` is set.
    fn offer(&mut self, all: bool) -> Result<(), Option<String>> {
        loop {
            let (count, is_full) = self.plan.fits(&self.messages);
            if count == 0 || !(all || is_full) {
                break;
            }
            let messages = self.messages.drain(..count).collect();
            if self.batches.blocking_send(Batch::Messages(messages)).is_err() {
                return Err(None);
            }
            // time spent waiting for the receiver does not count as waiting for records
            self.waiting_since = self.waits().then(local::clock::now);
        }
        if !self.waits() {
            self.waiting_since = None;
        }
        Ok(())
    }
}

impl Plan {
    /// Returns the number of messages for the next call, and whether that call is full.
    fn fits(&self, messages: &VecDeque<Pending>) -> (usize, bool) {
        let most = self.rate.map_or(MAX_CALL_MESSAGES, |rate| MAX_CALL_MESSAGES.min(rate as usize));
        let (mut count, mut bytes) = (0, 0);
        for message in messages {
            bytes += message.outgoing.bytes();
            // a FIFO queue may temporarily refuse a message, and its retry must not be overtaken by the next message of its
            // group
            let follows = |other: &Pending| other.outgoing.group == message.outgoing.group;
            let is_behind = self.is_fifo && messages.iter().take(count).any(follows);
            if count == most || is_behind || (count > 0 && bytes > MAX_MESSAGE_BYTES) {
                return (count, true);
            }
            count += 1;
        }
        (count, count == most)
    }

    /// Returns a message in the form in which it is sent.
    fn pending(&self, packed: Packed) -> Pending {
        let Packed { body, schema, group, deduplication, records } = packed;
        let mut attributes = self.attributes.clone();
        attributes.extend(schema.map(|name| ("schema".to_owned(), crate::queue::string(name))));
        let records: Vec<Raw> = records.into_iter().map(|record| record.raw).collect();
        let number = |raw: Option<&Raw>| raw.map_or(0, |raw| raw.number);
        let (first, last) = (number(records.first()), number(records.last()));
        // The id stays the same if a message is sent again, also by another process. It contains the last record number,
        // because the messages from a pipe depend on its speed.
        let own =
            || if first == last { format!("{first}-{}", self.run) } else { format!("{first}-{last}-{}", self.run) };
        let deduplication_id = self.is_fifo.then(|| deduplication.unwrap_or_else(own));
        Pending { outgoing: Outgoing { body, attributes, group, deduplication_id }, records }
    }
}
