//! The journal of a replay, which records the messages that the target has accepted and the source has deleted.

use super::report::Report;
use crate::journal::{Journal, JournalError, Opened, Reservation};
use crate::output::errln;
use crate::queue::QueueName;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::error::Error;
use std::path::Path;
use std::time::Duration;

/// The move that a journal belongs to. The field names are unique to this command, so that it cannot open another command's
/// journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    replay_from: String,
    replay_to: String,
}

/// A fact about messages of the source, by message id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry {
    /// A run started with this visibility timeout.
    Started { visibility_seconds: u64 },
    /// The target has accepted these messages.
    Accepted(Vec<String>),
    /// The source has deleted these messages.
    Deleted(Vec<String>),
    /// The run ended cleanly and released its held messages.
    Stopped,
}

/// Acceptances and deletions of this run and of earlier runs.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// `None` for a dry run, which moves nothing.
    journal: Option<Journal>,
    /// Messages that the target has accepted, in this run or earlier.
    accepted: HashSet<String>,
    /// Accepted messages whose deletion is not recorded.
    undeleted: HashSet<String>,
    /// Accepted messages that this run sent or received.
    seen: HashSet<String>,
    /// Visibility timeout of an earlier run that did not end cleanly.
    unclean: Option<Duration>,
}

/// Space reserved for the entries of a call and of the end of the run.
#[must_use = "space stays reserved until it is released"]
pub(super) struct Reserved(Vec<Reservation>);

impl Record {
    /// Returns the record of a dry run.
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

    /// Records that this run begins. If an earlier run was killed, returns its visibility timeout, because its messages may
    /// still be invisible.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub(super) fn start(&mut self, visibility: Duration) -> Result<Option<Duration>, JournalError> {
        let unclean = self.unclean;
        self.append(&Entry::Started { visibility_seconds: visibility.as_secs() })?;
        Ok(unclean)
    }

    /// Returns whether the target accepted a message in this run, or this run received a message that was accepted earlier.
    pub(super) fn is_of_this_run(&self, id: &str) -> bool {
        self.seen.contains(id)
    }

    /// Returns whether the target has accepted a message that the source returned. If so, marks the message as seen and not
    /// deleted.
    pub(super) fn is_accepted(&mut self, id: &str) -> bool {
        let is_accepted = self.accepted.contains(id);
        if is_accepted {
            self.seen.insert(id.to_owned());
            self.undeleted.insert(id.to_owned());
        }
        is_accepted
    }

    /// Reserves space for the entries of a call.
    ///
    /// # Errors
    /// If there is not enough space.
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

    /// Releases reserved space.
    pub(super) fn release(&mut self, reserved: Reserved) {
        if let Some(journal) = &mut self.journal {
            reserved.0.into_iter().for_each(|reservation| journal.release(reservation));
        }
    }

    /// Records that the target has accepted messages.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub(super) fn accepted(&mut self, ids: &[String]) -> Result<(), JournalError> {
        self.seen.extend(ids.iter().cloned());
        let entry = Entry::Accepted(ids.to_vec());
        self.apply(entry.clone());
        self.append(&entry)
    }

    /// Records that the source has deleted messages.
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

    /// Ends the run. Removes the journal if no message is in both queues and none is still invisible.
    ///
    /// # Errors
    /// If the journal cannot be written or removed.
    pub(super) fn close(&mut self, report: &mut Report) -> Result<(), JournalError> {
        let Some(journal) = self.journal.take() else { return Ok(()) };
        report.undeleted = self.undeleted.intersection(&self.seen).count();
        if report.ending.is_complete() && !report.has_hidden_messages() && report.received_elsewhere == 0 {
            // the source was read completely, so messages that an earlier run could not delete are no longer in it
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
