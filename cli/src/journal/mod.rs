//! The journal of a command that moves data: a file that records what a queue has accepted, so that the same command goes on
//! after any end of the process.
//!
//! # What a journal is
//!
//! A journal belongs to one *move*: one input that goes to one queue. Its header says what is moved, whereto and how. Each
//! entry states a fact about units of the move, which the command identifies by record number (`ingest send`) or by message id
//! (`ingest replay`). A command defines both types; this module stores them as JSON.
//!
//! The states of a unit, as far as a journal is concerned:
//!
//! ```text
//! pending ──> in flight ──> accepted     an entry, written after the response of the queue
//!                 │  └────> refused      an entry, written after the response of the queue
//!                 └───────> pending      no entry: the response was lost, or the process was killed
//! ```
//!
//! A unit without an entry is pending. So an entry that was never written leads to a duplicate and never to a loss.
//!
//! # How a command uses it
//!
//! 1. [`Journal::open`] takes the header of the move that is about to begin. It creates the journal, or reads the one that is there
//!    and returns its header and its entries. The command compares the two headers; if they differ it ends with exit code 2 and
//!    sends nothing. A random [`run_id`] is part of the header: deduplication ids that are derived from it
//!    stay the same when the move goes on.
//! 2. [`Journal::reserve`] before each call makes sure that the call's entry can be written, also when the disk is full by then. If it
//!    fails, the command sends nothing more.
//! 3. [`Journal::append`] after each response, before anything else happens. [`Journal::release`] gives the reservation back.
//! 4. [`Journal::remove`] when every unit is accepted or refused, and whatever names the refused units is on the disk.
//!
//! # What is on the disk
//!
//! A line that names the format, the header, and the entries, each a line of an eight-digit CRC-32, a space and JSON. An entry is
//! one write. A process that is killed at any byte leaves whole lines and at most one cut line, which a reader ignores. Zeros at the
//! end are reserved space. A line whose checksum is wrong states nothing; its units are pending.
//!
//! The header is synchronised to the disk (`fsync`, of the folder also) before [`Journal::open`] returns, and so before the
//! first call. Entries are not: the page cache outlives a process that is killed. A machine that loses power may lose entries, whose
//! units are then sent again. A command that needs more calls [`Journal::sync`].
//!
//! A journal is locked while a process has it open. A second process is told so and ends.

mod numbers;
mod reserved;

pub(crate) use numbers::Numbers;
pub(crate) use reserved::ReservedFile;

use ring::rand::{SecureRandom, SystemRandom};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::error::Error;
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// First line of every journal.
const FORMAT: &[u8] = b"ingest journal 1\n";
/// Bytes before the JSON of a line: the checksum and a space.
const PREFIX_BYTES: usize = 9;
/// Bytes that an entry takes beside its JSON: the prefix and the line feed.
const LINE_BYTES: usize = PREFIX_BYTES + 1;
/// How often a journal is opened that another process removes at the same moment.
const OPEN_ATTEMPTS: usize = 8;

/// An open, locked journal.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    /// Path of the file itself, where `path` is a symbolic link.
    target: PathBuf,
    file: ReservedFile,
}

/// A journal as [`Journal::open`] found or made it.
#[derive(Debug)]
pub(crate) struct Opened<H> {
    pub(crate) journal: Journal,
    /// Header of an earlier process. None if the journal is new.
    pub(crate) found: Option<H>,
    /// Number of lines that were unreadable and are ignored, the cut last one aside.
    pub(crate) damaged: usize,
}

/// Space that is kept for an entry.
#[derive(Debug)]
#[must_use = "space stays reserved until it is released"]
pub(crate) struct Reservation(u64);

impl Journal {
    /// Opens the journal at `path`, or creates it with `header`, and calls `entry` with each entry that it has.
    ///
    /// # Errors
    /// If another process has it open, the file is not a journal, or it cannot be read or written.
    pub(crate) fn open<H, E>(path: &Path, header: &H, mut entry: impl FnMut(E)) -> Result<Opened<H>, JournalError>
    where
        H: Serialize + DeserializeOwned,
        E: DeserializeOwned,
    {
        let failed = |doing| move |error| JournalError::Io { path: path.to_owned(), doing, error };
        let (file, target) = locked(path)?;
        let mut found: Option<H> = None;
        let Contents { end, damaged } = read(&file, path, |json| {
            if found.is_none() {
                found = Some(serde_json::from_slice(json)?);
            } else {
                entry(serde_json::from_slice(json)?);
            }
            Ok(())
        })?;
        let length = file.metadata().map_err(failed("read"))?.len();
        let mut journal = Self { path: path.to_owned(), target, file: ReservedFile::resumed(file, end, length) };
        if found.is_none() {
            journal.file.restart().map_err(failed("write"))?;
            let line = line(header).map_err(failed("write"))?;
            journal.file.append(&[FORMAT, &line].concat()).map_err(failed("write"))?;
            journal.sync()?;
            sync_folder(&journal.target).map_err(failed("write"))?;
        }
        Ok(Opened { journal, found, damaged })
    }

    /// Makes sure that `entry`, or entries that are not longer together, can be written even if the disk is full by then.
    ///
    /// # Errors
    /// If there is no space.
    pub(crate) fn reserve(&mut self, entry: &impl Serialize) -> Result<Reservation, JournalError> {
        let bytes = line(entry).map_err(|error| self.failed(error))?.len() as u64;
        self.file.reserve(bytes).map_err(|error| self.failed(error))?;
        Ok(Reservation(bytes))
    }

    /// Gives back what was reserved for an entry.
    #[expect(clippy::needless_pass_by_value, reason = "a reservation is released once")]
    pub(crate) fn release(&mut self, reservation: Reservation) {
        self.file.release(reservation.0);
    }

    /// Writes an entry, as a whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written. The journal stays true, and its unit pending.
    pub(crate) fn append(&mut self, entry: &impl Serialize) -> Result<(), JournalError> {
        let line = line(entry).map_err(|error| self.failed(error))?;
        self.file.append(&line).map_err(|error| self.failed(error))
    }

    /// Waits until every entry is on the disk.
    ///
    /// # Errors
    /// If the disk fails.
    pub(crate) fn sync(&self) -> Result<(), JournalError> {
        self.file.sync().map_err(|error| self.failed(error))
    }

    /// Removes the journal, because nothing of the move is pending. A symbolic link stays, because a link that is removed would leave the
    /// file to be found as the journal of an unfinished move.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub(crate) fn remove(self) -> Result<(), JournalError> {
        // the lock lasts until the file is closed, and so until there is nothing left to open
        let removed = fs::remove_file(&self.target).and_then(|()| sync_folder(&self.target));
        removed.map_err(|error| JournalError::Io { path: self.path.clone(), doing: "remove", error })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn failed(&self, error: io::Error) -> JournalError {
        JournalError::Io { path: self.path.clone(), doing: "write", error }
    }
}

/// Returns a random id for a move: 32 hexadecimal digits.
///
/// # Errors
/// If the system has no random numbers.
pub(crate) fn run_id() -> io::Result<String> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| io::Error::other("the system gives no random numbers"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Synchronises the folder of `path`, so that a new or removed name of it outlasts a loss of power.
///
/// # Errors
/// If the folder cannot be opened or the disk fails.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Opens and locks the file at `path`, and creates it if there is none. Returns its path without symbolic links, too.
fn locked(path: &Path) -> Result<(File, PathBuf), JournalError> {
    let failed = |error| JournalError::Io { path: path.to_owned(), doing: "open", error };
    for _ in 0..OPEN_ATTEMPTS {
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = options.map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(JournalError::Foreign(path.to_owned()));
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::Busy(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // a process that has just completed may have removed the file between the opening and the lock
        let ours = file.metadata().map_err(failed)?;
        let Ok(target) = fs::canonicalize(path) else { continue };
        let named = fs::symlink_metadata(&target);
        if named.is_ok_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino())) {
            return Ok((file, target));
        }
    }
    Err(JournalError::Busy(path.to_owned()))
}

/// Extent of the readable lines of a file.
#[derive(Default)]
struct Contents {
    /// Offset of the first byte after the last readable line.
    end: u64,
    damaged: usize,
}

/// Reads a journal, and calls `line` with the JSON of its header and of each entry. A process that was killed before it had written the
/// header leaves a file without lines.
///
/// A line that has the right checksum and the wrong content belongs to another command or version. It is an error, because the
/// units of an ignored entry would be sent again.
fn read(
    file: &File,
    path: &Path,
    mut line: impl FnMut(&[u8]) -> Result<(), serde_json::Error>,
) -> Result<Contents, JournalError> {
    let failed = |error| JournalError::Io { path: path.to_owned(), doing: "read", error };
    let mut reader = BufReader::new(file);
    let mut contents = Contents::default();
    let mut bytes = Vec::new();
    reader.read_until(b'\n', &mut bytes).map_err(failed)?;
    if bytes != FORMAT {
        let written = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        let is_cut = bytes.get(..written).is_some_and(|start| FORMAT.starts_with(start));
        return if is_cut { Ok(contents) } else { Err(JournalError::Foreign(path.to_owned())) };
    }
    let mut position = bytes.len() as u64;
    let mut unreadable = 0;
    loop {
        bytes.clear();
        let length = reader.read_until(b'\n', &mut bytes).map_err(failed)? as u64;
        if length == 0 || bytes.first() == Some(&0) {
            break;
        }
        position += length;
        match json(&bytes) {
            Some(json) => {
                contents.damaged += std::mem::take(&mut unreadable);
                line(json).map_err(|_| JournalError::Foreign(path.to_owned()))?;
                contents.end = position;
            }
            // without a header nothing can be said of the entries
            None if contents.end == 0 && bytes.ends_with(b"\n") => {
                return Err(JournalError::Foreign(path.to_owned()));
            }
            None => unreadable += 1,
        }
    }
    Ok(contents)
}

/// The JSON of a line whose checksum is right.
fn json(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_suffix(b"\n")?;
    let (checksum, json) = line.split_at_checked(PREFIX_BYTES)?;
    let checksum = u32::from_str_radix(std::str::from_utf8(checksum).ok()?.strip_suffix(' ')?, 16).ok()?;
    (crc32fast::hash(json) == checksum).then_some(json)
}

fn line(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(value)?;
    let mut line = Vec::with_capacity(json.len() + LINE_BYTES);
    line.extend_from_slice(format!("{:08x} ", crc32fast::hash(&json)).as_bytes());
    line.extend_from_slice(&json);
    line.push(b'\n');
    Ok(line)
}

/// Reason that a journal cannot be used.
#[derive(Debug)]
pub(crate) enum JournalError {
    /// Another process has it open.
    Busy(PathBuf),
    /// The file is not a journal, or one of another version.
    Foreign(PathBuf),
    /// The file system refused it.
    Io { path: PathBuf, doing: &'static str, error: io::Error },
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy(path) => write!(f, "{}: another process uses this journal", path.display()),
            Self::Foreign(path) => {
                write!(
                    f,
                    "{} is no journal of this command, or its first line is damaged: name another by --journal",
                    path.display()
                )
            }
            Self::Io { path, doing, error } => write!(f, "cannot {doing} the journal {}: {error}", path.display()),
        }
    }
}

impl Error for JournalError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Busy(_) | Self::Foreign(_) => None,
            Self::Io { error, .. } => Some(error),
        }
    }
}

#[cfg(test)]
mod tests;
