//! The journal of a command that moves data: a file that records what a queue has accepted, so that repeating the command
//! resumes the work, however the process ended.
//!
//! # What a journal is
//!
//! A journal belongs to one *move*: one input that is sent to one queue. Its header identifies the input, the queue and the
//! options. Each entry records a fact about units of the move. `ingest send` identifies a unit by its record number,
//! `ingest replay` by its message id. Each command defines its own header and entry types, which this module stores as JSON.
//!
//! The states of a unit:
//!
//! ```text
//! pending ──> in flight ──> accepted     an entry, written after the response of the queue
//!                 │  └────> refused      an entry, written after the response of the queue
//!                 └───────> pending      no entry: the response was lost, or the process was killed
//! ```
//!
//! A unit without an entry is pending. A missing entry can therefore cause a duplicate, but never a loss.
//!
//! # How a command uses it
//!
//! 1. [`Journal::open`] takes the header of the move that is about to begin. It creates the journal, or reads an existing one
//!    and returns its header and entries. The command compares the two headers. If they differ, it exits with code 2 and
//!    sends nothing. The header contains a random [`run_id`], from which deduplication ids are derived: they stay the
//!    same when the move is resumed.
//! 2. [`Journal::reserve`] before each call ensures that the call's entry can be written, even if the disk becomes full in the
//!    meantime. If it fails, the command sends nothing more.
//! 3. [`Journal::append`] after each response, before anything else. [`Journal::release`] then frees the reservation.
//! 4. [`Journal::remove`] when every unit is accepted or refused, and the file that lists the refused units is on the disk.
//!
//! # File format
//!
//! The first line names the format. The second holds the header, and each further line an entry. The header and the entries
//! have the form of an eight-digit CRC-32, a space and JSON. Each entry is written with a single write. If a process is killed
//! at any byte, the journal contains whole lines and at most one truncated line, which readers ignore. Zeros at the end are
//! reserved space. A line with a wrong checksum is ignored, so its units are pending.
//!
//! The header is flushed to the disk (`fsync`, including the folder) before [`Journal::open`] returns, and so before the first
//! call. Entries are not flushed, because the page cache survives the death of a process. If a machine loses power, entries may
//! be lost and their units are sent again. A command that needs a stronger guarantee calls [`Journal::sync`].
//!
//! A journal is locked while a process has it open. A second process gets [`JournalError::Busy`].

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
/// Number of bytes before the JSON of a line: the checksum and a space.
const PREFIX_BYTES: usize = 9;
/// Number of bytes of an entry in addition to its JSON: the prefix and the line feed.
const LINE_BYTES: usize = PREFIX_BYTES + 1;
/// Maximum number of attempts to open a journal that another process removes at the same moment.
const OPEN_ATTEMPTS: usize = 8;

/// An open, locked journal.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    /// Path of the file itself, which differs if `path` is a symbolic link.
    target: PathBuf,
    file: ReservedFile,
}

/// Result of [`Journal::open`].
#[derive(Debug)]
pub(crate) struct Opened<H> {
    pub(crate) journal: Journal,
    /// Header of an existing journal. `None` if the journal is new.
    pub(crate) found: Option<H>,
    /// Number of unreadable lines that were ignored, not counting a truncated last line.
    pub(crate) damaged: usize,
}

/// Space reserved for an entry.
#[derive(Debug)]
#[must_use = "space stays reserved until it is released"]
pub(crate) struct Reservation(u64);

impl Journal {
    /// Opens the journal at `path` and calls `entry` with each of its entries, or creates the journal with `header`.
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

    /// Reserves space for `entry`, or for several entries of at most its length in total, so that they can be written even if
    /// the disk becomes full.
    ///
    /// # Errors
    /// If there is not enough space.
    pub(crate) fn reserve(&mut self, entry: &impl Serialize) -> Result<Reservation, JournalError> {
        let bytes = line(entry).map_err(|error| self.failed(error))?.len() as u64;
        self.file.reserve(bytes).map_err(|error| self.failed(error))?;
        Ok(Reservation(bytes))
    }

    /// Releases the space reserved for an entry.
    #[expect(clippy::needless_pass_by_value, reason = "a reservation is released once")]
    pub(crate) fn release(&mut self, reservation: Reservation) {
        self.file.release(reservation.0);
    }

    /// Writes an entry. If the process is killed meanwhile, readers see the whole entry or none of it.
    ///
    /// # Errors
    /// If the entry cannot be written. The journal stays valid, and the entry's units stay pending.
    pub(crate) fn append(&mut self, entry: &impl Serialize) -> Result<(), JournalError> {
        let line = line(entry).map_err(|error| self.failed(error))?;
        self.file.append(&line).map_err(|error| self.failed(error))
    }

    /// Flushes all entries to the disk.
    ///
    /// # Errors
    /// If the disk fails.
    pub(crate) fn sync(&self) -> Result<(), JournalError> {
        self.file.sync().map_err(|error| self.failed(error))
    }

    /// Removes the journal, because no unit of the move is pending. If the path is a symbolic link, the link stays and the file
    /// is removed. Without the link, a later command could find the file and take it for the journal of an unfinished move.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub(crate) fn remove(self) -> Result<(), JournalError> {
        // the lock lasts until the file is closed, so no other process can open the journal before it is removed
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

/// Returns a random id for a move, as 32 hexadecimal digits.
///
/// # Errors
/// If the operating system provides no random numbers.
pub(crate) fn run_id() -> io::Result<String> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| io::Error::other("the system gives no random numbers"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Flushes the folder of `path`, so that creating or removing the file survives a power loss.
///
/// # Errors
/// If the folder cannot be opened or the disk fails.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Opens and locks the file at `path`. Creates the file if it does not exist. Also returns the path with symbolic links
/// resolved.
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
        // another process may have completed its move and removed the file after it was opened here and before it was locked
        let ours = file.metadata().map_err(failed)?;
        let Ok(target) = fs::canonicalize(path) else { continue };
        let named = fs::symlink_metadata(&target);
        if named.is_ok_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino())) {
            return Ok((file, target));
        }
    }
    Err(JournalError::Busy(path.to_owned()))
}

/// Extent of the readable lines of a journal.
#[derive(Default)]
struct Contents {
    /// Offset of the first byte after the last readable line.
    end: u64,
    damaged: usize,
}

/// Reads a journal, and calls `line` with the JSON of the header and of each entry. If a process was killed before it had
/// written the header, the journal has no lines.
///
/// A line with a valid checksum and unexpected content comes from another command or version. This is an error, because
/// ignoring the entry would send its units again.
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
            // the header is damaged, so the entries cannot be interpreted
            None if contents.end == 0 && bytes.ends_with(b"\n") => {
                return Err(JournalError::Foreign(path.to_owned()));
            }
            None => unreadable += 1,
        }
    }
    Ok(contents)
}

/// Returns the JSON of a line, if the checksum is correct.
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

/// Reason why a journal cannot be used.
#[derive(Debug)]
pub(crate) enum JournalError {
    /// Another process has the journal open.
    Busy(PathBuf),
    /// The file is not a journal, or was written by another command or version.
    Foreign(PathBuf),
    /// A file system operation failed.
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
