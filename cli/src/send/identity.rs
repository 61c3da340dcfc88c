//! Identity of a run: its queue, input and options. It is the journal's header, and only the same run can resume the journal.

use super::meter::{Prefix, whole};
use crate::journal::Numbers;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Prefix of the names of options that hold attribute values. Errors must not print such values.
pub(super) const ATTRIBUTE_OPTION: &str = "--attribute ";

/// Header of the journal of `ingest send`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    /// Identifies the command, so that no other command resumes the journal.
    pub(super) command: Command,
    /// Random id of the run. Deduplication ids are derived from it.
    pub(super) run: String,
    pub(super) queue: String,
    pub(super) input: InputIdentity,
    /// Options that determine the messages, by name.
    pub(super) options: BTreeMap<String, String>,
    pub(super) from_line: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Command {
    #[serde(rename = "ingest send")]
    Send,
}

/// Identity of the input of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum InputIdentity {
    /// A file, identified by its size and hash.
    File(Prefix),
    /// A pipe. Its size is unknown, so journal entries hold the hash of the bytes read so far.
    Pipe,
}

/// An entry of the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Entry {
    /// Ranges of the records that the queue has accepted, as first and last numbers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) accepted: Vec<(u64, u64)>,
    /// Ranges of the records that the queue has refused, or that follow a refused record of their group.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) refused: Vec<(u64, u64)>,
    /// Ranges of the records that cannot be encoded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) wrong: Vec<(u64, u64)>,
    /// Length and hash of the bytes read so far, if the input is a pipe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) read: Option<Prefix>,
    /// Length and hash of the file of unsent records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unsent: Option<Prefix>,
}

/// Union of all entries of a journal.
#[derive(Debug, Default)]
pub(super) struct Settled {
    pub(super) accepted: Numbers,
    pub(super) refused: Numbers,
    pub(super) wrong: Numbers,
    pub(super) read: Option<Prefix>,
    pub(super) unsent: Option<Prefix>,
}

/// Action of a resumed run on a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Send it.
    Pending,
    /// Skip it, because the queue has accepted it.
    Accepted,
    /// Add it to the file of unsent records, because the queue has refused it.
    Refused,
    Wrong,
}

impl Settled {
    pub(super) fn add(&mut self, entry: Entry) {
        let sets =
            [(&mut self.accepted, entry.accepted), (&mut self.refused, entry.refused), (&mut self.wrong, entry.wrong)];
        for (set, ranges) in sets {
            ranges.into_iter().for_each(|(first, last)| set.insert(first, last));
        }
        self.read = entry.read.or(self.read.take());
        self.unsent = entry.unsent.or(self.unsent.take());
    }

    pub(super) fn fate(&self, number: u64) -> Fate {
        if self.accepted.contains(number) {
            Fate::Accepted
        } else if self.refused.contains(number) {
            Fate::Refused
        } else if self.wrong.contains(number) {
            Fate::Wrong
        } else {
            Fate::Pending
        }
    }

    /// Returns whether the journal records no response of the queue.
    pub(super) fn is_empty(&self) -> bool {
        self.accepted.is_empty() && self.refused.is_empty()
    }

    /// Returns the first record number from `from` on that has no entry.
    fn first_pending(&self, from: u64) -> u64 {
        let mut all = self.accepted.clone();
        for (first, last) in self.refused.ranges().chain(self.wrong.ranges()) {
            all.insert(first, last);
        }
        all.first_missing(from)
    }
}

impl Header {
    /// Returns the first difference between this header and `now`, the header of a command that wants to resume the journal.
    /// Returns `None` if it may.
    ///
    /// The first line may differ, unless that would skip a pending record.
    pub(super) fn difference(&self, now: &Self, settled: &Settled) -> Option<String> {
        if self.queue != now.queue {
            return Some(format!("it is of the queue {}", self.queue));
        }
        match (&self.input, &now.input) {
            (InputIdentity::File(then), InputIdentity::File(now)) if then != now => {
                return Some("the file has changed since".to_owned());
            }
            (InputIdentity::File(_), InputIdentity::File(_)) | (InputIdentity::Pipe, InputIdentity::Pipe) => {}
            (InputIdentity::File(_), InputIdentity::Pipe) => return Some("it is of a file, not of a pipe".to_owned()),
            (InputIdentity::Pipe, InputIdentity::File(_)) => return Some("it is of a pipe, not of a file".to_owned()),
        }
        let names: std::collections::BTreeSet<_> = self.options.keys().chain(now.options.keys()).collect();
        for name in names {
            let value = |header: &Self| header.options.get(name).cloned().unwrap_or_else(|| "not given".to_owned());
            if value(self) == value(now) {
                continue;
            }
            // the value of an attribute may be a secret
            let is_secret = name.starts_with(ATTRIBUTE_OPTION);
            return Some(match (self.options.contains_key(name), now.options.contains_key(name)) {
                (true, true) if is_secret => format!("{name} had another value"),
                (false, _) if is_secret => format!("{name} was not given"),
                (_, false) if is_secret => format!("{name} was given, and is not"),
                _ => format!("{name} was {}, and is {}", value(self), value(now)),
            });
        }
        let pending = settled.first_pending(self.from_line);
        if !(self.from_line..=pending).contains(&now.from_line) {
            return Some(match now.from_line < self.from_line {
                true => format!("it begins at line {}", self.from_line),
                false => format!("line {pending} is not sent yet: --from-line {pending} goes on"),
            });
        }
        None
    }
}

/// Returns whether `file` is a regular file, which can be read twice.
pub(super) fn is_regular(file: &Path) -> bool {
    file.to_str() != Some("-") && fs::metadata(file).is_ok_and(|metadata| metadata.is_file())
}

/// Returns the identity of a regular file.
///
/// # Errors
/// If the file cannot be read.
pub(super) fn of_file(file: &Path) -> Result<InputIdentity, String> {
    let read = File::open(file).and_then(whole);
    read.map(InputIdentity::File).map_err(|error| format!("cannot read {}: {error}", file.display()))
}

/// Returns whether `output` is the same file as the input, even by another name or link.
pub(super) fn is_input(input: &Path, output: &Path) -> bool {
    let input = match input.to_str() {
        Some("-") => standard_input(),
        _ => fs::metadata(input),
    };
    input.is_ok_and(|input| is_file_at(&input, output))
}

/// Returns whether two paths refer to the same existing file, even by different names or links.
pub(super) fn is_one_file(one: &Path, other: &Path) -> bool {
    fs::metadata(one).is_ok_and(|one| is_file_at(&one, other))
}

/// Returns whether a path refers to the file with this metadata.
fn is_file_at(metadata: &Metadata, path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|other| (metadata.dev(), metadata.ino()) == (other.dev(), other.ino()))
}

fn standard_input() -> io::Result<Metadata> {
    File::from(io::stdin().as_fd().try_clone_to_owned()?).metadata()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            command: Command::Send,
            run: "one".to_owned(),
            queue: "q".to_owned(),
            input: InputIdentity::File(Prefix { bytes: 3, sha256: "x".to_owned() }),
            options: BTreeMap::from([("--codec".to_owned(), "null".to_owned())]),
            from_line: 10,
        }
    }

    #[test]
    fn a_journal_goes_on_with_its_own_run_and_says_what_is_different_in_another() {
        let mut settled = Settled::default();
        settled.add(Entry { accepted: vec![(10, 19), (25, 29)], wrong: vec![(20, 20)], ..Entry::default() });
        let now = |change: &dyn Fn(&mut Header)| {
            let mut now = Header { run: "two".to_owned(), ..header() };
            change(&mut now);
            header().difference(&now, &settled)
        };
        assert_eq!(now(&|_| {}), None);
        assert_eq!(now(&|now| now.from_line = 21), None);
        assert_eq!(now(&|now| now.from_line = 22).unwrap(), "line 21 is not sent yet: --from-line 21 goes on");
        assert_eq!(now(&|now| now.from_line = 9).unwrap(), "it begins at line 10");
        assert_eq!(now(&|now| now.queue = "p".to_owned()).unwrap(), "it is of the queue q");
        assert_eq!(now(&|now| now.input = InputIdentity::Pipe).unwrap(), "it is of a file, not of a pipe");
        let other = InputIdentity::File(Prefix { bytes: 3, sha256: "y".to_owned() });
        assert_eq!(now(&|now| now.input = other.clone()).unwrap(), "the file has changed since");
        let codec = |now: &mut Header| drop(now.options.insert("--codec".to_owned(), "xz".to_owned()));
        assert_eq!(now(&codec).unwrap(), "--codec was null, and is xz");
        let more = |now: &mut Header| drop(now.options.insert("--group-id".to_owned(), "f".to_owned()));
        assert_eq!(now(&more).unwrap(), "--group-id was not given, and is f");
        let attribute = |now: &mut Header| drop(now.options.insert("--attribute a".to_owned(), "secret".to_owned()));
        assert_eq!(now(&attribute).unwrap(), "--attribute a was not given");
        let with =
            |value: &str| Header { options: [("--attribute a".to_owned(), value.to_owned())].into(), ..header() };
        let (one, none) = (with("secret-one"), Header { options: BTreeMap::new(), ..header() });
        assert_eq!(one.difference(&with("secret-two"), &settled).unwrap(), "--attribute a had another value");
        assert_eq!(one.difference(&none, &settled).unwrap(), "--attribute a was given, and is not");
    }

    #[test]
    fn an_entry_takes_no_room_for_what_it_does_not_say() {
        let entry = Entry { accepted: vec![(1, 10)], ..Entry::default() };
        let json = serde_json::to_string(&entry).unwrap();
        assert_eq!(json, r#"{"accepted":[[1,10]]}"#);
        assert_eq!(serde_json::from_str::<Entry>(&json).unwrap(), entry);
        assert!(serde_json::from_str::<Entry>(r#"{"later":1}"#).is_err());
    }

    #[test]
    fn an_output_is_the_input_by_any_link() {
        let folder = std::env::temp_dir().join(format!("ingest-identity-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let of = |name: &str| folder.join(name);
        fs::write(of("input"), "x").unwrap();
        fs::write(of("other"), "x").unwrap();
        std::os::unix::fs::symlink(of("input"), of("symbolic")).unwrap();
        fs::hard_link(of("input"), of("hard")).unwrap();
        assert!(["input", "symbolic", "hard"].iter().all(|name| is_input(&of("input"), &of(name))));
        assert!(!is_input(&of("input"), &of("other")) && !is_input(&of("input"), &of("missing")));
        fs::remove_dir_all(folder).unwrap();
    }
}
