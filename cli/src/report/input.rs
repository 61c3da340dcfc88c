//! Reads lines of bounded length from files, folders and standard input, compressed or not. A single file can be followed.

use flate2::read::MultiGzDecoder;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Maximum length of a line, in bytes. A CloudWatch event has at most 1 MB, and escaping it as JSON or CSV at most doubles its
/// size.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html>
pub(super) const MAX_LINE_BYTES: usize = 8 * 1024 * 1024;
/// First bytes of a gzip file. <https://www.rfc-editor.org/rfc/rfc1952>
const GZIP: [u8; 2] = [0x1F, 0x8B];

/// A part of an input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    Line(String),
    /// A line longer than [`MAX_LINE_BYTES`], which is skipped.
    TooLong,
    /// No more input so far. An incomplete line stays buffered until its line feed arrives.
    End,
}

/// Splits input into lines, and buffers at most [`MAX_LINE_BYTES`] of each.
#[derive(Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    is_too_long: bool,
}

impl Lines {
    /// Returns the next line of `reader`, without its line feed.
    pub(super) fn next(&mut self, reader: &mut dyn BufRead) -> io::Result<Part> {
        loop {
            let available = match reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                available => available?,
            };
            if available.is_empty() {
                return Ok(Part::End);
            }
            let (part, used, is_whole) = match available.iter().position(|byte| *byte == b'\n') {
                Some(end) => (available.get(..end).unwrap_or_default(), end + 1, true),
                None => (available, available.len(), false),
            };
            self.is_too_long |= self.line.len() + part.len() > MAX_LINE_BYTES;
            if self.is_too_long {
                self.line = Vec::new();
            } else {
                self.line.extend_from_slice(part);
            }
            reader.consume(used);
            if is_whole {
                return Ok(self.rest().unwrap_or_else(|| Part::Line(String::new())));
            }
        }
    }

    /// Returns a last line without a line feed.
    pub(super) fn rest(&mut self) -> Option<Part> {
        let line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.is_too_long) {
            return Some(Part::TooLong);
        }
        (!line.is_empty()).then(|| Part::Line(String::from_utf8_lossy(&line).into_owned()))
    }
}

/// Returns the content of `input`, decompressed if it is gzip.
pub(super) fn decompressed(mut input: impl Read + Send + 'static) -> io::Result<Box<dyn BufRead + Send>> {
    let mut first = Vec::new();
    input.by_ref().take(GZIP.len() as u64).read_to_end(&mut first)?;
    let is_gzip = first == GZIP;
    let whole = Cursor::new(first).chain(input);
    // an export may consist of several concatenated gzip files
    Ok(if is_gzip { Box::new(BufReader::new(MultiGzDecoder::new(whole))) } else { Box::new(BufReader::new(whole)) })
}

/// Returns `path` itself, or all files in the folder and its subfolders, sorted by name.
pub(super) fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut entries = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    let mut found = Vec::new();
    for entry in entries {
        found.extend(files(&entry)?);
    }
    Ok(found)
}

/// A file that other processes append to, and may truncate or replace.
pub(super) struct FollowedFile {
    path: PathBuf,
    file: BufReader<File>,
}

impl FollowedFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: BufReader::new(File::open(path)?) })
    }

    pub(super) fn reader(&mut self) -> &mut dyn BufRead {
        &mut self.file
    }

    /// Seeks to the start if the file was truncated, or opens the file that replaced it. Returns whether it did.
    pub(super) fn restarted(&mut self) -> io::Result<bool> {
        let position = self.file.stream_position()?;
        // a log rotation removes the file before it creates the next one
        let Ok(at_path) = fs::metadata(&self.path) else { return Ok(false) };
        let open = self.file.get_ref().metadata()?;
        if (at_path.dev(), at_path.ino()) != (open.dev(), open.ino()) {
            self.file = BufReader::new(File::open(&self.path)?);
            return Ok(true);
        }
        if open.len() < position {
            self.file.seek(SeekFrom::Start(0))?;
            return Ok(true);
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn lines(mut reader: impl BufRead) -> Vec<Part> {
        let (mut lines, mut parts) = (Lines::default(), Vec::new());
        loop {
            match lines.next(&mut reader).unwrap() {
                Part::End => break,
                part => parts.push(part),
            }
        }
        parts.extend(lines.rest());
        parts
    }

    fn line(text: &str) -> Part {
        Part::Line(text.to_owned())
    }

    #[test]
    fn a_log_ends_with_or_without_a_line_feed() {
        assert_eq!(lines(&b"one\n\ntwo\n"[..]), [line("one"), line(""), line("two")]);
        assert_eq!(lines(&b"one\ntwo"[..]), [line("one"), line("two")]);
        assert_eq!(lines(&b""[..]), []);
    }

    #[test]
    fn a_line_has_a_longest_length_and_a_longer_one_takes_no_more_memory() {
        let of = |length: usize| lines(Cursor::new([&vec![b'x'; length][..], b"\nnext"].concat()));
        for length in [MAX_LINE_BYTES - 1, MAX_LINE_BYTES] {
            assert_eq!(of(length), [line(&"x".repeat(length)), line("next")]);
        }
        assert_eq!(of(MAX_LINE_BYTES + 1), [Part::TooLong, line("next")]);
        let mut endless = BufReader::new(io::repeat(b'x').take(300 * 1024 * 1024));
        let mut lines = Lines::default();
        assert_eq!(lines.next(&mut endless).unwrap(), Part::End);
        assert_eq!((lines.line.capacity(), lines.rest()), (0, Some(Part::TooLong)));
    }

    #[test]
    fn compressed_files_one_after_another_are_one() {
        let compressed = |text: &str| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(text.as_bytes()).unwrap();
            encoder.finish().unwrap()
        };
        let both = [compressed("one\ntw"), compressed("o\nthree")].concat();
        assert_eq!(lines(decompressed(Cursor::new(both)).unwrap()), [line("one"), line("two"), line("three")]);
        for plain in ["", "x", "\u{1f}", "one"] {
            let expected: Vec<Part> = Some(line(plain)).into_iter().filter(|_| !plain.is_empty()).collect();
            assert_eq!(lines(decompressed(Cursor::new(plain)).unwrap()), expected);
        }
    }
}
