//! The journal of a replay: which messages the target has accepted, and which of them are deleted in the source.

use super::report::Report;
use crate::journal::{Journal, JournalError, Opened, Reservation};
use crate::output::errln;
use crate::queue::QueueName;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::error::Error;
use std::path::Path;
use std::time::Duration;

/// The move that a journal belongs to. Its fields have names of their own, so that the journal of another command is not one of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    replay_from: String,
    replay_to: String,
}

/// A fact about messages of the source, by their ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry {
    /// A run began with this visibility timeout.
    Started { visibility_seconds: u64 },
    /// The target has accepted these.
    Accepted(Vec<String>),
    /// The source has deleted these.
    Deleted(Vec<String>),
    /// The run released what it held.
    Stopped,
}

/// The acceptances and deletions of this run and of earlier ones.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// None for a dry run, which moves nothing.
    journal: Option<Journal>,
    /// Messages that the target has accepted, in this run or before.
    accepted: HashSet<String>,
    /// Those of them that are not known to be deleted.
    undeleted: HashSet<String>,
    /// Those of them that this run accepted or received again.
    seen: HashSet<String>,
    /// Visibility timeout of an earlier run that did not end cleanly.
    unclean: Option<Duration>,
}

/// Space for the two entries of a call.
#[must_use = "space stays reserved until it is released"]
pub(super) struct Reserved(Vec<Reservation>);

impl Record {
    /// The record of a run that moves nothing.
    pub(super) fn none() -> Self {
        Self::default()
    }

    /// Opens or creates the journal of a replay between two queues.
    ///
    /// # Errors
    /// If the journal belongs to another move, or cannot be used.
    pub(super) fn open(path: &Path, from: &QueueName, to: &QueueName) -> Result<Self, Box<dyn Error>> {
        let header = Header { replay_from: from.to_string(), replay_to: to.to_string() };
        let mut record = Self::default();
        let Opened { journal, found, damaged } = Journal::open(path, &header, |entry| record.apply(entry))?;
        if let Some(found) = found.filter(|found| *found != header) {
            return Err(format!(
                "{}: this journal belongs to a replay from {} to {}; finish that one, or name another journal by --journal",
                path.display(),
                found.replay_from,
                found.replay_to
            )
            .into());
        }
        if damaged > 0 {
            errln!("{}: {damaged} unreadable lines are ignored; their messages may be sent twice", path.display());
        }
        record.journal = Some(journal);
        Ok(record)
    }

    fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Started { visibility_seconds } => self.unclean = Some(Duration::from_secs(visibility_seconds)),
            Entry::Accepted(ids) => {
                self.undeleted.extend(ids.iter().cloned());
                self.accepted.extend(ids);
            }
            Entry::Deleted(ids) => self.undeleted.retain(|id| !ids.contains(id)),
            Entry::Stopped => self.unclean = None,
        }
    }

    /// Notes that this run begins. Returns the visibility timeout of an earlier run that was killed, which may have left messages invisible.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub(super) fn start(&mut self, visibility: Duration) -> Result<Option<Duration>, JournalError> {
        let unclean = self.unclean;
        self.append(&Entry::Started { visibility_seconds: visibility.as_secs() })?;
        Ok(unclean)
    }

    /// Says whether this run has accepted a message, or received it after an earlier one had.
    pub(super) fn is_of_this_run(&self, id: &str) -> bool {
        self.seen.contains(id)
    }

    /// Says whether the target has accepted a message of the source.
    pub(super) fn is_accepted(&mut self, id: &str) -> bool {
        let is_accepted = self.accepted.contains(id);
        if is_accepted {
            self.seen.insert(id.to_owned());
            self.undeleted.insert(id.to_owned());
        }
        is_accepted
    }

    /// Makes sure that both entries of a call can be written.
    ///
    /// # Errors
    /// If there is no space.
    pub(super) fn reserve(&mut self, ids: &[String]) -> Result<Reserved, JournalError> {
        let mut reserved = Reserved(Vec::new());
        if let Some(journal) = &mut self.journal {
            for entry in [Entry::Accepted(ids.to_vec()), Entry::Deleted(ids.to_vec()), Entry::Stopped] {
                match journal.reserve(&entry) {
                    Ok(reservation) => reserved.0.push(reservation),
                    Err(error) => {
                        self.release(reserved);
                        return Err(error);
                    }
                }
            }
        }
        Ok(reserved)
    }

    /// Gives reserved space back.
    pub(super) fn release(&mut self, reserved: Reserved) {
        if let Some(journal) = &mut self.journal {
            reserved.0.into_iter().for_each(|reservation| journal.release(reservation));
        }
    }

    /// Notes that the target has accepted messages.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub(super) fn accepted(&mut self, ids: &[String]) -> Result<(), JournalError> {
        self.seen.extend(ids.iter().cloned());
        let entry = Entry::Accepted(ids.to_vec());
        self.apply(entry.clone());
        self.append(&entry)
    }

    /// Notes that the source has deleted messages.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub(super) fn deleted(&mut self, ids: &[String]) -> Result<(), JournalError> {
        let entry = Entry::Deleted(ids.to_vec());
        self.apply(entry.clone());
        self.append(&entry)
    }

    fn append(&mut self, entry: &Entry) -> Result<(), JournalError> {
        self.journal.as_mut().map_or(Ok(()), |journal| journal.append(entry))
    }

    /// Ends the run: removes the journal if no message is in both queues and none is left invisible.
    ///
    /// # Errors
    /// If the journal cannot be written or removed.
    pub(super) fn close(&mut self, report: &mut Report) -> Result<(), JournalError> {
        let Some(journal) = self.journal.take() else { return Ok(()) };
        report.undeleted = self.undeleted.intersection(&self.seen).count();
        if report.ending.is_complete() && !report.has_hidden_messages() && report.received_elsewhere == 0 {
            // the source was read to its end: what an earlier run could not delete is no longer in it
            self.undeleted.retain(|id| self.seen.contains(id));
        }
        if report.still_invisible > 0 {
            self.journal = Some(journal);
            report.journal = self.journal.as_ref().map(|journal| journal.path().to_owned());
            return Ok(());
        }
        if self.undeleted.is_empty() {
            return journal.remove();
        }
        report.journal = Some(journal.path().to_owned());
        self.journal = Some(journal);
        self.append(&Entry::Stopped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_of_send_is_not_one_of_replay() {
        assert!(serde_json::from_str::<Header>(r#"{"replay_from":"a","replay_to":"b","input":"c"}"#).is_err());
    }

    #[test]
    fn what_is_accepted_and_not_deleted_is_known_to_the_next_run() {
        let mut record = Record::none();
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        for entry in
            [Entry::Started { visibility_seconds: 7 }, Entry::Accepted(ids(&["a", "b"])), Entry::Deleted(ids(&["a"]))]
        {
            record.apply(entry);
        }
        assert_eq!((record.undeleted.len(), record.unclean), (1, Some(Duration::from_secs(7))));
        assert!(record.is_accepted("a") && record.is_accepted("b") && !record.is_accepted("c"));
        record.apply(Entry::Stopped);
        assert_eq!(record.unclean, None);
    }
}
