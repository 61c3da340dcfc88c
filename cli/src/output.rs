//! Standard output and standard error. Commands print with [`outln!`] and [`errln!`], because `println!` and `eprintln!` panic
//! if a disk is full or a pipe is closed.
//!
//! A command that moves data first finishes its work, or records it in the journal, and then returns the [`OutputError`].

use serde::Serialize;
use std::error::Error;
use std::fmt;
use std::io::{self, Write};

/// Reason why text could not be written to standard output.
#[derive(Debug)]
pub(crate) enum OutputError {
    /// The reader, for example `head`, has closed the pipe. `main` then ends the process without a message.
    Closed,
    /// The operating system refused the write, for example because the disk is full.
    Failed(io::Error),
}

impl From<io::Error> for OutputError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Self::Closed } else { Self::Failed(error) }
    }
}

impl fmt::Display for OutputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the standard output is closed"),
            Self::Failed(error) => write!(f, "cannot write to the standard output: {error}"),
        }
    }
}

impl Error for OutputError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Closed => None,
            Self::Failed(error) => Some(error),
        }
    }
}

/// Writes formatted text to standard output, as `print!` does, but returns an [`OutputError`] instead of panicking.
macro_rules! out {
    ($($text:tt)*) => { $crate::output::write(format_args!($($text)*)) };
}

/// Writes a formatted line to standard output, as `println!` does, but returns an [`OutputError`] instead of panicking.
macro_rules! outln {
    ($($text:tt)*) => { $crate::output::write(format_args!("{}\n", format_args!($($text)*))) };
}

/// Writes a formatted line to standard error, as `eprintln!` does. Failures are ignored, because they cannot be reported
/// anywhere.
macro_rules! errln {
    ($($text:tt)*) => { $crate::output::report(format_args!($($text)*)) };
}

pub(crate) use {errln, out, outln};

/// Writes `text` to standard output, and flushes it.
pub(crate) fn write(text: fmt::Arguments<'_>) -> Result<(), OutputError> {
    // a single write for the whole text, because a report consists of hundreds of pieces
    let text = text.to_string();
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}

/// Writes `value` to standard output as indented JSON with a trailing line feed.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Box<dyn Error>> {
    Ok(write(format_args!("{}\n", serde_json::to_string_pretty(value)?))?)
}

/// Writes a line to standard error.
pub(crate) fn report(text: fmt::Arguments<'_>) {
    // a single write, so that lines of several threads are not interleaved
    let _ = io::stderr().lock().write_all(format!("{text}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_told_from_a_full_disk() {
        let of = |kind: io::ErrorKind| OutputError::from(io::Error::from(kind));
        assert!(matches!(of(io::ErrorKind::BrokenPipe), OutputError::Closed));
        let full = of(io::ErrorKind::StorageFull);
        assert!(matches!(full, OutputError::Failed(_)));
        assert!(full.to_string().starts_with("cannot write to the standard output: "), "{full}");
    }
}
