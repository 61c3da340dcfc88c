//! Counts and hashes the bytes read from an input, and can end the input early.

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Length and hash of the first bytes of an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Prefix {
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// Counter and hash of the bytes read.
#[derive(Clone)]
pub(super) struct Meter(Arc<Mutex<State>>);

struct State {
    hash: Context,
    bytes: u64,
    /// Prefix that the input must have. `None` after it has been verified.
    expected: Option<Prefix>,
    /// Error if the input has another prefix.
    mismatch: &'static str,
    is_stopped: bool,
    /// Whether a read returned end of file because the run stopped the input.
    is_cut: bool,
    /// Whether a read is waiting for bytes.
    is_waiting: bool,
}

/// A metered input.
pub(super) struct Metered<R> {
    inner: R,
    meter: Meter,
}

impl Meter {
    /// Meters `inner`. If it does not begin with `expected`, reading fails with the error `mismatch`.
    pub(super) fn of<R: Read>(inner: R, expected: Option<Prefix>, mismatch: &'static str) -> (Metered<R>, Self) {
        let expected = expected.filter(|expected| expected.bytes > 0);
        let hash = Context::new(&SHA256);
        let state = State { hash, bytes: 0, expected, mismatch, is_stopped: false, is_cut: false, is_waiting: false };
        let meter = Self(Arc::new(Mutex::new(state)));
        (Metered { inner, meter: meter.clone() }, meter)
    }

    /// Returns the length and hash of the bytes read so far.
    pub(super) fn prefix(&self) -> Prefix {
        let state = self.lock();
        Prefix { bytes: state.bytes, sha256: hex(&state.hash) }
    }

    /// Returns whether the input begins as expected. Returns `false` while this is not known yet.
    pub(super) fn is_expected(&self) -> bool {
        self.lock().expected.is_none()
    }

    /// Returns the error for an input that does not begin as expected, or ends too early to tell.
    pub(super) fn mismatch(&self) -> &'static str {
        self.lock().mismatch
    }

    /// Ends the input. No more bytes are read.
    pub(super) fn stop(&self) {
        self.lock().is_stopped = true;
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.lock().is_stopped
    }

    /// Returns whether a read returned end of file because the run stopped the input.
    pub(super) fn is_cut(&self) -> bool {
        self.lock().is_cut
    }

    /// Returns whether a read is waiting for bytes.
    pub(super) fn is_waiting(&self) -> bool {
        self.lock().is_waiting
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Adds bytes. Verifies the expected prefix as soon as enough bytes were read.
    fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        if let Some(expected) = &self.expected {
            let missing = usize::try_from(expected.bytes - self.bytes).unwrap_or(usize::MAX);
            if let Some((first, others)) = bytes.split_at_checked(missing) {
                self.hash.update(first);
                if hex(&self.hash) != expected.sha256 {
                    return Err(io::Error::other(self.mismatch));
                }
                self.bytes += first.len() as u64;
                (self.expected, rest) = (None, others);
            }
        }
        self.hash.update(rest);
        self.bytes += rest.len() as u64;
        Ok(())
    }
}

fn hex(hash: &Context) -> String {
    hash.clone().finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        {
            let mut state = self.meter.lock();
            if state.is_stopped {
                state.is_cut = true;
                return Ok(0);
            }
            state.is_waiting = true;
        }
        let read = self.inner.read(buffer);
        let mut state = self.meter.lock();
        state.is_waiting = false;
        // bytes that arrive after the stop count as unread
        if state.is_stopped {
            state.is_cut = true;
            return Ok(0);
        }
        let read = read?;
        state.add(buffer.get(..read).unwrap_or_default())?;
        Ok(read)
    }
}

/// Reads all of `reader`, and returns the length and hash.
///
/// # Errors
/// If reading fails.
pub(super) fn whole(mut reader: impl Read) -> io::Result<Prefix> {
    let mut buffer = vec![0; 64 * 1024];
    let (mut hash, mut bytes) = (Context::new(&SHA256), 0);
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(Prefix { bytes, sha256: hex(&hash) }),
            Ok(read) => {
                hash.update(buffer.get(..read).unwrap_or_default());
                bytes += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that returns a few bytes at a time.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(buffer.len());
            self.0.read(&mut buffer[..length])
        }
    }

    const TEXT: &[u8] = b"one\ntwo\nthree\n";

    #[test]
    fn a_prefix_is_recognised_however_the_bytes_arrive() {
        for length in 0..=TEXT.len() {
            let expected = whole(&TEXT[..length]).unwrap();
            for piece in 1..=TEXT.len() {
                let (mut metered, meter) = Meter::of(Pieces(TEXT, piece), Some(expected.clone()), "another");
                let mut read = Vec::new();
                metered.read_to_end(&mut read).unwrap();
                assert_eq!((read.as_slice(), meter.is_expected()), (TEXT, true));
                assert_eq!(meter.prefix(), whole(TEXT).unwrap());
            }
        }
    }

    #[test]
    fn another_input_is_an_error_and_a_shorter_one_is_not_expected() {
        let expected = whole(&TEXT[..8]).unwrap();
        let (mut metered, _) = Meter::of(Pieces(b"one\ntwi\nthree", 3), Some(expected.clone()), "another");
        assert!(metered.read_to_end(&mut Vec::new()).is_err());
        let (mut metered, meter) = Meter::of(&TEXT[..7], Some(expected), "another");
        metered.read_to_end(&mut Vec::new()).unwrap();
        assert!(!meter.is_expected());
    }

    #[test]
    fn a_stopped_input_ends() {
        let (mut metered, meter) = Meter::of(Pieces(TEXT, 4), None, "another");
        let mut buffer = [0; 64];
        assert_eq!(metered.read(&mut buffer).unwrap(), 4);
        assert!(!meter.is_cut());
        meter.stop();
        assert_eq!((metered.read(&mut buffer).unwrap(), meter.prefix().bytes, meter.is_cut()), (0, 4, true));
    }
}
