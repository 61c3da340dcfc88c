//! The frame of an object container file: a header with the schema, then blocks of records.

use super::{inflate::Compression, walk::DatumReader};

/// What a container begins with.
pub(crate) const MAGIC: [u8; 4] = *b"Obj\x01";

/// The length of the marker that ends the header and each block.
pub(crate) const SYNC_LEN: usize = 16;

/// A container that is read from its first block on.
#[derive(Debug)]
pub(super) struct Container<'a> {
    /// The schema of its records, as JSON.
    pub(super) schema: &'a str,
    /// How its blocks are compressed, if they are.
    pub(super) compression: Option<Compression>,
    sync: &'a [u8],
    rest: DatumReader<'a>,
}

/// Some records of a container.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ContainerBlock<'a> {
    pub(super) records: usize,
    /// Their datums, one after the other, compressed if the container is.
    pub(super) data: &'a [u8],
}

/// What breaks the frame.
pub(super) type FrameError = &'static str;

impl<'a> Container<'a> {
    /// Reads the header of `body`; none if it is not a container at all.
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
                    return Err("the metadata has a key twice");
                }
            }
        }
        let sync = reader.take(SYNC_LEN).map_err(|_| "the header ends before its sync marker does")?;
        let schema = schema.ok_or("the metadata has no schema")?;
        let schema = std::str::from_utf8(schema).map_err(|_| "the schema is not utf-8")?;
        let compression = match codec.unwrap_or(b"null") {
            b"null" => None,
            b"deflate" => Some(Compression::Deflate),
            b"snappy" => Some(Compression::Snappy),
            b"zstandard" => Some(Compression::Zstandard),
            b"bzip2" => Some(Compression::Bzip2),
            b"xz" => Some(Compression::Xz),
            _ => return Err("the codec is unknown"),
        };
        Ok(Self { schema, compression, sync, rest: reader })
    }

    /// The next block; none at the end.
    pub(super) fn next_block(&mut self) -> Result<Option<ContainerBlock<'a>>, FrameError> {
        if self.rest.remaining() == 0 {
            return Ok(None);
        }
        let count = self.rest.long().ok().and_then(|count| usize::try_from(count).ok());
        let records = count.ok_or("a block has no usable count")?;
        let data = self.rest.bytes().map_err(|_| "a block ends before its data does")?;
        let sync = self.rest.take(SYNC_LEN).map_err(|_| "a block ends before its sync marker does")?;
        if sync != self.sync {
            return Err("a sync marker differs from the header's");
        }
        Ok(Some(ContainerBlock { records, data }))
    }
}

const METADATA: FrameError = "the metadata is cut short or no map";

/// The number of entries of the metadata's next block, which may be followed by its size; none at the end. An entry takes
/// two bytes at least.
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
