//! An append-only file with space reserved in advance.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Increment by which the reserved space grows, in bytes.
const GROWTH_BYTES: u64 = 64 * 1024;

/// A file with content up to `end` and zeros after it. The zeros reserve space for later writes.
#[derive(Debug)]
pub(crate) struct ReservedFile {
    file: File,
    /// Offset of the next write.
    end: u64,
    /// Length of the file.
    length: u64,
    /// Number of bytes after `end` that are reserved for later writes.
    reserved: u64,
}

impl ReservedFile {
    /// Resumes a file that has content up to `end`.
    pub(crate) fn resumed(file: File, end: u64, length: u64) -> Self {
        Self { file, end, length, reserved: 0 }
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Returns the offset of the next write.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Truncates the file to zero bytes.
    pub(super) fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        (self.end, self.length) = (0, 0);
        Ok(())
    }

    /// Reserves space for `bytes` more bytes.
    ///
    /// # Errors
    /// If there is not enough space. The reservation is then unchanged.
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

    /// Releases a reservation of `bytes`.
    pub(crate) fn release(&mut self, bytes: u64) {
        self.reserved = self.reserved.saturating_sub(bytes);
    }

    /// Writes `bytes` after the content.
    ///
    /// # Errors
    /// If the bytes cannot all be written. The next write then overwrites the written part.
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
