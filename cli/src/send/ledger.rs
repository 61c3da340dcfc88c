//! State of each record that was read. Only this module settles records.

use super::identity::Entry;
use super::meter::Meter;
use super::unsent::Unsent;
use crate::journal::{Journal, Numbers, Reservation};
use crate::output::errln;
use crate::producer::Raw;
use crate::queue::Outgoing;
use std::collections::{BTreeMap, HashMap};
use std::io;

/// Maximum size of a journal entry without its record numbers, in bytes. A call has at most one entry per message.
const ENTRY_BYTES: usize = 256;

/// A message and its records.
pub(super) struct Pending {
    pub(super) outgoing: Outgoing,
    pub(super) records: Vec<Raw>,
}

impl Pending {
    fn first(&self) -> u64 {
        self.records.first().map_or(0, |raw| raw.number)
    }

    /// Returns the numbers of its records, and of the empty lines that precede each.
    fn numbers(&self) -> Numbers {
        let mut numbers = Numbers::default();
        self.records.iter().for_each(|raw| numbers.insert(raw.after + 1, raw.number));
        numbers
    }

    /// Returns the size of its records as read, in bytes.
    fn raw_bytes(&self) -> u64 {
        self.records.iter().map(bytes).sum()
    }
}

/// Returns the maximum size of a record in the file of unsent records, in bytes. A value of a container is no longer than its
/// message.
fn bytes(raw: &Raw) -> u64 {
    match raw.json() {
        Some(json) => json.len() as u64 + 1,
        None => crate::producer::MAX_MESSAGE_BYTES as u64,
    }
}

/// Counts of a run.
#[derive(Debug, Default, Clone)]
pub(super) struct Totals {
    pub(super) messages: u64,
    pub(super) records: u64,
    pub(super) retries: u64,
    /// Number of records that could not be encoded.
    pub(super) wrong: u64,
    /// Number of records that an earlier process of this run sent.
    pub(super) earlier: u64,
}

/// Space reserved for the results of a call.
#[must_use = "space stays reserved until it is released"]
pub(super) struct Promise {
    entries: Option<Reservation>,
    unsent_bytes: u64,
}

/// The state of all records.
pub(super) struct Ledger {
    journal: Option<Journal>,
    unsent: Unsent,
    /// Meter of a pipe, whose journal entries hold the hash of the bytes read.
    pipe: Option<Meter>,
    /// First line of each record that was read and is not settled, including empty lines before it, by record number.
    outstanding: BTreeMap<u64, u64>,
    /// Number of the last record that was read.
    read: u64,
    /// First refused record of each FIFO group.
    refused_groups: HashMap<String, u64>,
    totals: Totals,
    /// Whether the queue has, or may have, accepted or refused a message.
    may_have_sent: bool,
}

impl Ledger {
    pub(super) fn new(
        journal: Option<Journal>,
        unsent: Unsent,
        pipe: Option<Meter>,
        from: u64,
        has_sent: bool,
    ) -> Self {
        Self {
            journal,
            unsent,
            pipe,
            outstanding: BTreeMap::new(),
            read: from.saturating_sub(1),
            refused_groups: HashMap::new(),
            totals: Totals::default(),
            may_have_sent: has_sent,
        }
    }

    pub(super) fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Sets the journal of a new run.
    pub(super) fn begin(&mut self, journal: Journal) {
        self.journal = Some(journal);
    }

    /// Returns whether a message may be in the queue.
    pub(super) fn may_have_sent(&self) -> bool {
        self.may_have_sent
    }

    /// Records that a call got no response, so the queue may have its messages.
    pub(super) fn no_response(&mut self) {
        self.may_have_sent = true;
    }

    /// Counts messages that are sent again.
    pub(super) fn retry(&mut self, messages: usize) {
        self.totals.retries += messages as u64;
    }

    /// Returns the first line that is not settled. Every record before it is accepted, or is in the journal or the file of
    /// unsent records.
    pub(super) fn next_line(&self) -> u64 {
        self.outstanding.values().next().copied().unwrap_or(self.read + 1)
    }

    /// Adds a record that was read and will be sent.
    pub(super) fn read(&mut self, raw: &Raw) {
        self.outstanding.insert(raw.number, raw.after.max(self.read) + 1);
        self.read = self.read.max(raw.number);
    }

    /// Adds `count` records up to number `last` that an earlier process sent.
    pub(super) fn accepted_earlier(&mut self, last: u64, count: u64) {
        self.read = self.read.max(last);
        self.totals.earlier += count;
    }

    /// Adds a record that an earlier process recorded as refused or wrong.
    ///
    /// # Errors
    /// If the file of unsent records cannot be written.
    pub(super) fn unsent_earlier(&mut self, raw: &Raw, group: Option<String>) -> Result<(), String> {
        self.read = self.read.max(raw.number);
        if let Some(group) = group {
            self.refused_groups.entry(group).or_insert(raw.number);
        }
        self.collect(std::slice::from_ref(raw))
    }

    /// Settles a record that cannot be encoded.
    ///
    /// # Errors
    /// If this cannot be written to a file.
    pub(super) fn wrong(&mut self, raw: &Raw, problem: &str) -> Result<(), String> {
        errln!("line {}: {problem}", raw.number);
        self.totals.wrong += 1;
        self.collect(std::slice::from_ref(raw))?;
        self.append(&Entry { wrong: vec![(raw.after + 1, raw.number)], ..Entry::default() })?;
        self.outstanding.remove(&raw.number);
        Ok(())
    }

    /// Reserves space for any result of a call.
    ///
    /// # Errors
    /// If the disk is full. The call must then not be made.
    pub(super) fn promise(&mut self, messages: &[Pending]) -> Result<Promise, String> {
        if let Some(journal) = &mut self.journal {
            let padding = " ".repeat(ENTRY_BYTES * messages.len());
            let numbers = messages.iter().flat_map(|message| message.numbers().ranges().collect::<Vec<_>>());
            let longest = (numbers.collect::<Vec<_>>(), padding);
            let entries = journal.reserve(&longest).map_err(|error| error.to_string())?;
            return Ok(Promise { entries: Some(entries), unsent_bytes: 0 });
        }
        let unsent_bytes = messages.iter().map(Pending::raw_bytes).sum();
        self.unsent.reserve(unsent_bytes).map_err(|error| self.unsent_failed(&error))?;
        Ok(Promise { entries: None, unsent_bytes })
    }

    pub(super) fn release(&mut self, promise: Promise) {
        if let (Some(journal), Some(entries)) = (&mut self.journal, promise.entries) {
            journal.release(entries);
        }
        self.unsent.release(promise.unsent_bytes);
    }

    /// Settles the messages of a response. The queue has accepted some, and permanently refused others, each for a cause.
    ///
    /// # Errors
    /// If this cannot be written to a file.
    pub(super) fn respond(&mut self, accepted: &[Pending], refused: &[(Pending, String)]) -> Result<(), String> {
        if accepted.is_empty() && refused.is_empty() {
            return Ok(());
        }
        self.may_have_sent = true;
        let of = |messages: &mut dyn Iterator<Item = &Pending>| {
            let mut all = Numbers::default();
            for message in messages {
                message.numbers().ranges().for_each(|(first, last)| all.insert(first, last));
            }
            all.ranges().collect::<Vec<_>>()
        };
        let entry = Entry {
            accepted: of(&mut accepted.iter()),
            refused: of(&mut refused.iter().map(|(message, _)| message)),
            ..Entry::default()
        };
        // write the journal first, because the response cannot be obtained again
        self.append(&entry)?;
        self.totals.messages += accepted.len() as u64;
        self.totals.records += accepted.iter().map(|message| message.records.len() as u64).sum::<u64>();
        for message in accepted {
            self.settle(message);
        }
        report_refused(refused);
        for (message, _) in refused {
            if let Some(group) = &message.outgoing.group {
                self.refused_groups.entry(group.clone()).or_insert(message.first());
            }
            self.collect(&message.records)?;
            self.settle(message);
        }
        Ok(())
    }

    /// Returns the refused record that precedes a message in its group, if any.
    pub(super) fn refused_before(&self, message: &Pending) -> Option<u64> {
        let group = message.outgoing.group.as_ref()?;
        self.refused_groups.get(group).copied().filter(|refused| *refused < message.first())
    }

    /// Adds the records of messages that stay unsent because the run ends to the file of unsent records.
    ///
    /// # Errors
    /// If they cannot be written to the file.
    pub(super) fn leave(&mut self, messages: &[Pending]) -> Result<(), String> {
        for message in messages {
            self.collect(&message.records)?;
            self.settle(message);
        }
        Ok(())
    }

    /// Returns the number of records collected for the file of unsent records.
    pub(super) fn unsent(&self) -> usize {
        self.unsent.len()
    }

    /// Writes the file of unsent records, if there are any.
    ///
    /// # Errors
    /// If the file cannot be written. The journal and the collected records are then kept.
    pub(super) fn complete(&mut self) -> Result<(), String> {
        let count = self.unsent.len();
        if let Err(error) = self.publish() {
            return Err(self.abandoned(&error));
        }
        if count > 0 {
            errln!("{count} records were not sent: they are in {}", self.unsent.path().display());
        }
        self.unsent.discard();
        Ok(())
    }

    /// Removes the journal, because all records are settled. This is the last step of a run: if the process is killed earlier,
    /// the journal allows it to be resumed.
    ///
    /// # Errors
    /// If the journal cannot be removed.
    pub(super) fn close(&mut self) -> Result<(), String> {
        match self.journal.take() {
            Some(journal) => journal.remove().map_err(|error| error.to_string()),
            None => Ok(()),
        }
    }

    fn publish(&mut self) -> Result<(), String> {
        if self.write_unsent()? {
            self.unsent.publish().map_err(|error| self.unsent_failed(&error))?;
        }
        Ok(())
    }

    /// Writes the file of unsent records under a temporary name, and records its hash in the journal. Returns whether there are
    /// unsent records.
    fn write_unsent(&mut self) -> Result<bool, String> {
        let written = self.unsent.write().map_err(|error| self.unsent_failed(&error))?;
        let Some(written) = written else { return Ok(false) };
        self.append(&Entry { unsent: Some(written), ..Entry::default() })?;
        Ok(true)
    }

    /// Performs the first steps of the completion.
    #[cfg(test)]
    pub(super) fn complete_up_to(&mut self, steps: usize) -> Result<(), String> {
        match steps {
            0 => self.write_unsent().map(drop),
            1 => self.publish(),
            _ => self.complete().and_then(|()| self.close()),
        }
    }

    /// Keeps the collected records after `error`, and returns a message that says where they are.
    pub(super) fn abandoned(&mut self, error: &str) -> String {
        match (&self.journal, self.unsent.abandon()) {
            (Some(journal), _) => format!("{error}; the same command goes on, by {}", journal.path().display()),
            (None, Some(path)) => {
                let next = self.next_line();
                format!("{error}; the records before line {next} that were not sent are in {}", path.display())
            }
            (None, None) => error.to_owned(),
        }
    }

    /// Keeps the journal for the next process. Removes it if the queue has sent no response, so that the next run may have
    /// other options.
    ///
    /// # Errors
    /// If the journal cannot be removed.
    pub(super) fn suspend(&mut self) -> Result<(), String> {
        self.unsent.discard();
        match self.journal.take() {
            Some(journal) if !self.may_have_sent => journal.remove().map_err(|error| error.to_string())?,
            Some(journal) => journal.sync().map_err(|error| error.to_string())?,
            None => {}
        }
        Ok(())
    }

    fn settle(&mut self, message: &Pending) {
        for raw in &message.records {
            self.outstanding.remove(&raw.number);
        }
    }

    fn append(&mut self, entry: &Entry) -> Result<(), String> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        let read = self.pipe.as_ref().map(Meter::prefix);
        let entry = Entry { read, ..entry.clone() };
        if entry == Entry::default() { Ok(()) } else { journal.append(&entry).map_err(|error| error.to_string()) }
    }

    fn collect(&mut self, records: &[Raw]) -> Result<(), String> {
        for raw in records {
            self.unsent.add(raw).map_err(|error| self.unsent_failed(&error))?;
        }
        Ok(())
    }

    fn unsent_failed(&self, error: &io::Error) -> String {
        format!("cannot write {}: {error}", self.unsent.path().display())
    }
}

/// Reports the records that one response refused, with one line per cause and range of records.
fn report_refused(refused: &[(Pending, String)]) {
    let mut by_cause: BTreeMap<&str, Numbers> = BTreeMap::new();
    for (message, cause) in refused {
        let numbers = by_cause.entry(cause).or_default();
        message.records.iter().for_each(|raw| numbers.insert(raw.number, raw.number));
    }
    for (cause, numbers) in by_cause {
        for (first, last) in numbers.ranges() {
            let lines = if first == last { format!("line {first}") } else { format!("lines {first} to {last}") };
            errln!("{lines}: not taken: {cause}");
        }
    }
}
