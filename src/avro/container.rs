//! Parses the framing of an object container file: a header with the schema, followed by blocks of records.

use super::{inflate::Compression, walk::DatumReader};
use std::fmt;

/// First bytes of every container.
pub(crate) const MAGIC: [u8; 4] = *b"Obj\x01";

/// Length of the sync marker that ends the header and each block, in bytes.
pub(crate) const SYNC_LEN: usize = 16;

/// A container whose header has been read, positioned at its next block.
#[derive(Debug)]
pub(super) struct Container<'a> {
    /// Schema of the records, as JSON.
    pub(super) schema: &'a str,
    /// Compression of the blocks, if any.
    pub(super) compression: Option<Compression>,
    sync: &'a [u8],
    rest: DatumReader<'a>,
}

/// A block of records in a container.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ContainerBlock<'a> {
    pub(super) records: usize,
    /// Datums of the records, one after the other, compressed if the container is compressed.
    pub(super) data: &'a [u8],
}

/// An error in the framing of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameError {
    Broken(&'static str),
    /// The specification does not define the codec. Contains the codec's name if it is in [`FOREIGN_CODECS`].
    UnknownCodec(Option<&'static str>),
}

impl From<&'static str> for FrameError {
    fn from(problem: &'static str) -> Self {
        Self::Broken(problem)
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(problem) => f.write_str(problem),
            Self::UnknownCodec(name) => {
                let (before, name) = name.map_or(("the codec", ""), |name| ("the codec ", name));
                write!(f, "{before}{name} is none of {}", CODECS.map(|(name, _)| name).join(", "))
            }
        }
    }
}

/// Codecs of the specification, with their names in a container.
/// <https://avro.apache.org/docs/1.12.0/specification/#required-codecs>
const CODECS: [(&str, Option<Compression>); 6] = [
    ("null", None),
    ("deflate", Some(Compression::Deflate)),
    ("snappy", Some(Compression::Snappy)),
    ("zstandard", Some(Compression::Zstandard)),
    ("bzip2", Some(Compression::Bzip2)),
    ("xz", Some(Compression::Xz)),
];

/// Names of codecs that the specification does not define, from other implementations and compression tools. A codec
/// name in a container is part of the payload, so an error shows it only if it is in this list.
const FOREIGN_CODECS: [&str; 12] =
    ["lz4", "zstd", "gzip", "zlib", "lzma", "lzo", "brotli", "bzip", "zip", "lzf", "none", "uncompressed"];

impl<'a> Container<'a> {
    /// Reads the header of `body`. Returns `None` if `body` does not start like a container.
    pub(super) fn open(body: &'a [u8]) -> Option<Result<Self, FrameError>> {
        body.strip_prefix(&MAGIC).map(Self::header)
    }

    fn header(body: &'a [u8]) -> Result<Self, FrameError> {
        let mut reader = DatumReader::new(body);
        let (mut schema, mut codec) = (None, None);
        while let Some(count) = block_count(&mut reader)? {
            for _ in 0..count {
                let key = reader.bytes().map_err(|_| METADATA)?;
                let value = reader.bytes().map_err(|_| METADATA)?;
                let known = match key {
                    b"avro.schema" => schema.replace(value),
                    b"avro.codec" => codec.replace(value),
                    _ => None,
                };
                if known.is_some() {
                    return Err("the metadata has a key twice".into());
                }
            }
        }
        let sync = reader.take(SYNC_LEN).map_err(|_| "the header ends before its sync marker does")?;
        let schema = schema.ok_or("the metadata has no schema")?;
        let schema = std::str::from_utf8(schema).map_err(|_| "the schema is not utf-8")?;
        let compression = compression(codec.unwrap_or(b"null"))?;
        Ok(Self { schema, compression, sync, rest: reader })
    }

    /// Returns the next block, or `None` at the end of the container.
    pub(super) fn next_block(&mut self) -> Result<Option<ContainerBlock<'a>>, FrameError> {
        if self.rest.remaining() == 0 {
            return Ok(None);
        }
        let count = self.rest.long().ok().and_then(|count| usize::try_from(count).ok());
        let records = count.ok_or("a block has no usable count")?;
        let data = self.rest.bytes().map_err(|_| "a block ends before its data does")?;
        let sync = self.rest.take(SYNC_LEN).map_err(|_| "a block ends before its sync marker does")?;
        if sync != self.sync {
            return Err("a sync marker differs from the header's".into());
        }
        Ok(Some(ContainerBlock { records, data }))
    }
}

const METADATA: FrameError = FrameError::Broken("the metadata is cut short or no map");

fn compression(codec: &[u8]) -> Result<Option<Compression>, FrameError> {
    let found = CODECS.into_iter().find(|(name, _)| name.as_bytes() == codec);
    found.map(|(_, compression)| compression).ok_or_else(|| {
        let mut foreign = FOREIGN_CODECS.into_iter();
        FrameError::UnknownCodec(foreign.find(|name| name.as_bytes().eq_ignore_ascii_case(codec)))
    })
}

/// Returns the number of entries in the metadata's next block, or `None` at the end. Skips the size that may follow the
/// count. An entry takes at least two bytes, so a count that is too large for the remaining bytes is an error.
fn block_count(reader: &mut DatumReader<'_>) -> Result<Option<u64>, FrameError> {
    let count = reader.long().map_err(|_| METADATA)?;
    if count < 0 {
        reader.long().map_err(|_| METADATA)?;
    }
    match count.unsigned_abs() {
        0 => Ok(None),
        count if usize::try_from(count).is_ok_and(|count| count <= reader.remaining() / 2) => Ok(Some(count)),
        _ => Err(METADATA),
    }
}
