//! The report of a run.

use super::Arguments;
use crate::output::{errln, json, outln};
use crate::table;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;

/// Maximum number of messages that are listed individually.
const MAX_NAMED: usize = 20;

/// Reason why a run ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Ending {
    /// The source was read completely.
    Complete,
    /// The requested number of messages was moved.
    Limit,
    /// A signal arrived.
    Interrupted,
    /// SQS allows no more messages in flight.
    HeldLimit,
    /// SQS allows no longer visibility timeout.
    TimeLimit,
    /// The source fails to delete messages.
    DeletionFailed,
    /// An error occurred.
    #[default]
    Error,
}

impl Ending {
    pub(super) fn is_complete(self) -> bool {
        self == Self::Complete
    }

    /// Returns the value in the JSON report.
    fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Limit => "limit",
            Self::Interrupted => "interrupted",
            Self::HeldLimit => "held_limit",
            Self::TimeLimit => "time_limit",
            Self::DeletionFailed => "deletion_failed",
            Self::Error => "error",
        }
    }

    fn explanation(self) -> Option<&'static str> {
        match self {
            Self::Complete | Self::Limit | Self::Error => None,
            Self::Interrupted => Some("interrupted: what was not moved is where it was"),
            Self::HeldLimit => Some(
                "stopped at 100000 held messages, because SQS allows 120000 in flight: use --rest-to to move the others out of the way",
            ),
            Self::TimeLimit => Some(
                "stopped after 11 hours, because SQS keeps a message invisible for 12 hours at most: run the same command again",
            ),
            Self::DeletionFailed => Some("stopped, because the source queue does not delete"),
        }
    }
}

/// A selected message that was not moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) message_id: String,
    pub(super) group: Option<String>,
    pub(super) why: String,
}

/// Counts of a run, and the messages that need attention.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Number of selected messages by reason, subject and expected outcome.
    pub(super) groups: BTreeMap<(String, String, String), usize>,
    pub(super) moved: usize,
    /// Number of messages moved by `--rest-to`.
    pub(super) set_aside: usize,
    /// Number of messages that an earlier run had moved and this run deleted from the source.
    pub(super) finished: usize,
    pub(super) left: Vec<Left>,
    /// Number of messages that are in both queues.
    pub(super) undeleted: usize,
    /// Number of messages that may be in both queues, because their call got no response.
    pub(super) unknown: usize,
    /// First held message of each group of a FIFO source, with the reason. It hides its successors.
    pub(super) in_front: BTreeMap<String, (String, String)>,
    /// Approximate number of hidden messages. `None` if the queue does not report it.
    pub(super) behind: Option<u64>,
    /// Whether messages of a FIFO source are hidden behind messages that another consumer has received.
    pub(super) is_locked_elsewhere: bool,
    /// Number of messages of this run that could not be made visible.
    pub(super) still_invisible: usize,
    /// Number of messages that another consumer has received.
    pub(super) received_elsewhere: u64,
    /// Path of the journal, if it is still needed.
    pub(super) journal: Option<PathBuf>,
    pub(super) ending: Ending,
}

impl Report {
    /// Returns whether a FIFO source has hidden messages.
    pub(super) fn has_hidden_messages(&self) -> bool {
        self.is_locked_elsewhere || !self.in_front.is_empty()
    }

    /// Returns whether all selected messages were moved, and no message was hidden.
    pub(super) fn is_all_well(&self) -> bool {
        matches!(self.ending, Ending::Complete | Ending::Limit)
            && self.left.is_empty()
            && self.undeleted + self.unknown + self.still_invisible == 0
            && !self.has_hidden_messages()
    }

    /// Prints the report to standard output, and problems and advice to standard error.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub(super) fn print(&self, arguments: &Arguments) -> Result<(), Box<dyn Error>> {
        self.explain(arguments);
        if arguments.json {
            return json(&self.to_json());
        }
        let mut table = table::with_headings(&["reason", "schema", "would be", "messages"]);
        for ((reason, schema, fate), count) in &self.groups {
            table.add_row([reason, schema, fate, &count.to_string()]);
        }
        outln!("{table}")?;
        if arguments.dry_run {
            outln!("nothing was moved")?;
            return Ok(());
        }
        outln!("{} messages moved, {} not taken", self.moved, self.left.len())?;
        if self.finished > 0 {
            outln!("{} messages deleted that an earlier run had moved", self.finished)?;
        }
        if arguments.rest_to.is_some() {
            outln!("{} other messages moved to {}", self.set_aside, arguments.rest_to.as_deref().unwrap_or_default())?;
        }
        Ok(())
    }

    fn explain(&self, arguments: &Arguments) {
        if let Some(explanation) = self.ending.explanation() {
            errln!("{explanation}");
        }
        for Left { message_id, group, why } in self.left.iter().take(MAX_NAMED) {
            let group = group.as_ref().map(|group| format!(" of group {group}")).unwrap_or_default();
            errln!("message {message_id}{group} was not moved: {why}");
        }
        if self.left.len() > MAX_NAMED {
            errln!("{} more messages were not moved", self.left.len() - MAX_NAMED);
        }
        if self.undeleted > 0 {
            errln!(
                "{} messages are in both queues, because they could not be deleted in {}",
                self.undeleted,
                arguments.from
            );
        }
        if self.unknown > 0 {
            errln!("{} messages may be in both queues, because no response came", self.unknown);
        }
        if let Some(journal) = &self.journal {
            errln!(
                "the same command with the journal {} goes on: it deletes what was moved and does not send it again",
                journal.display()
            );
        }
        self.explain_hidden(arguments);
        if self.still_invisible > 0 {
            let seconds = arguments.visibility_timeout;
            errln!(
                "up to {} messages of {} are invisible for up to {seconds} s more",
                self.still_invisible,
                arguments.from
            );
        }
        if self.received_elsewhere > 0 {
            errln!(
                "about {} messages of {} are in flight elsewhere and were not looked at",
                self.received_elsewhere,
                arguments.from
            );
        }
    }

    fn explain_hidden(&self, arguments: &Arguments) {
        if !self.has_hidden_messages() {
            return;
        }
        let behind = self.behind.map_or("an unknown number of".to_owned(), |count| format!("about {count}"));
        errln!("{behind} messages were not seen: a FIFO queue returns nothing of a group behind a message in flight");
        if self.is_locked_elsewhere {
            errln!(
                "some are behind messages that another consumer has received: run the same command again when those are done"
            );
        }
        if self.in_front.is_empty() {
            return;
        }
        for (group, (message_id, why)) in self.in_front.iter().take(MAX_NAMED) {
            errln!("group {group}: message {message_id} is in front ({why})");
        }
        if self.in_front.len() > MAX_NAMED {
            errln!("{} more groups", self.in_front.len() - MAX_NAMED);
        }
        if arguments.dry_run {
            errln!("a run without --dry-run and without a filter moves every group in its order");
        } else {
            errln!(
                "--rest-to QUEUE moves the messages in front to another queue; without a filter every group moves in its order"
            );
        }
    }

    fn to_json(&self) -> Value {
        let groups = self.groups.iter().map(|((reason, schema, fate), count)| {
            json!({"reason": reason, "schema": schema, "would_be": fate, "messages": count})
        });
        let left = self
            .left
            .iter()
            .map(|Left { message_id, group, why }| json!({"message_id": message_id, "group": group, "why": why}));
        let in_front = self
            .in_front
            .iter()
            .map(|(group, (message_id, why))| json!({"group": group, "message_id": message_id, "why": why}));
        json!({
            "groups": groups.collect::<Vec<_>>(),
            "moved": self.moved,
            "set_aside": self.set_aside,
            "finished": self.finished,
            "left": self.left.len(),
            "not_moved": left.collect::<Vec<_>>(),
            "in_both_queues": self.undeleted,
            "maybe_in_both_queues": self.unknown,
            "in_front": in_front.collect::<Vec<_>>(),
            "behind": self.behind,
            "ended": self.ending.name(),
        })
    }
}
