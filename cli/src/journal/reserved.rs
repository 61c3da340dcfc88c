//! A file that is appended to, with space that is reserved beforehand.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes by which reserved space grows.
const GROWTH_BYTES: u64 = 64 * 1024;

/// A file whose end is known apart from its length: the bytes between are zeros, which hold space for later.
#[derive(Debug)]
pub(crate) struct ReservedFile {
    file: File,
    /// Offset at which the next bytes are written.
    end: u64,
    /// Length of the file.
    length: u64,
    /// Bytes behind `end` that are promised to later writes.
    reserved: u64,
}

impl ReservedFile {
    /// Takes a file that is written up to `end`.
    pub(crate) fn resumed(file: File, end: u64, length: u64) -> Self {
        Self { file, end, length, reserved: 0 }
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Offset at which the next bytes are written.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Empties the file.
    pub(super) fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        (self.end, self.length) = (0, 0);
        Ok(())
    }

    /// Promises space for `bytes` more bytes.
    ///
    /// # Errors
    /// If there is none. Then nothing is promised.
    pub(crate) fn reserve(&mut self, bytes: u64) -> io::Result<()> {
        const ZEROS: [u8; 4096] = [0; 4096];
        let needed = self.end + self.reserved + bytes;
        if needed > self.length {
            let length = needed.div_ceil(GROWTH_BYTES) * GROWTH_BYTES;
            while self.length < length {
                let missing = usize::try_from(length - self.length).unwrap_or(usize::MAX).min(ZEROS.len());
                self.file.write_all_at(ZEROS.get(..missing).unwrap_or(&ZEROS), self.length)?;
                self.length += missing as u64;
            }
        }
        self.reserved += bytes;
        Ok(())
    }

    /// Takes a promise back.
    pub(crate) fn release(&mut self, bytes: u64) {
        self.reserved = self.reserved.saturating_sub(bytes);
    }

    /// Writes `bytes` at the end.
    ///
    /// # Errors
    /// If they cannot all be written. Then the next write replaces what was.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.end)?;
        self.end += bytes.len() as u64;
        self.length = self.length.max(self.end);
        Ok(())
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}
