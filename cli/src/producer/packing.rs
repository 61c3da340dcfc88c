//! Records into messages, by their number and by their size.

use super::Record;
use avro_ingest::avro::WireFormat;
use avro_ingest::encode::{self, Codec, EncodeError, Encoder};

/// The most bytes of a message, and of the messages of a call together, attributes included.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
pub(crate) const MAX_MESSAGE_BYTES: usize = 1_048_576;
/// What is kept of it for attributes and a container's own bytes beside its schema.
const RESERVED_BYTES: usize = 16_384;

/// How records become messages.
pub(crate) struct Packing {
    encoder: Encoder,
    format: WireFormat,
    codec: Codec,
    records: usize,
    /// `subject/version`.
    name: String,
}

/// A message and the records it holds.
pub(crate) struct Packed {
    pub(crate) body: String,
    /// The message attribute `schema`, for the formats without a header.
    pub(crate) schema: Option<String>,
    /// The message group, if there is one.
    pub(crate) group: Option<String>,
    pub(crate) records: Vec<Record>,
}

impl Packing {
    pub(super) fn new(encoder: Encoder, format: WireFormat, codec: Codec, records: usize, name: String) -> Self {
        Self { encoder, format, codec, records, name }
    }

    pub(crate) fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The bytes of a message that holds `datums`: one, unless it is a container.
    pub(super) fn frame(&self, datums: &[&[u8]]) -> Result<Vec<u8>, EncodeError> {
        match self.format {
            WireFormat::Container => self.encoder.container_of_datums(datums, self.codec),
            format => self.encoder.frame_datum(format, datums.first().copied().unwrap_or_default()),
        }
    }

    /// Whether a message that holds `held` has room for another record.
    pub(super) fn has_room(&self, held: &[Record], next: &Record) -> bool {
        let bytes = |record: &Record| record.datum.as_ref().map_or(0, Vec::len);
        let overhead = RESERVED_BYTES + self.encoder.version().text().len();
        let all = overhead + held.iter().map(bytes).sum::<usize>() + bytes(next);
        // base64 makes four bytes of three
        held.len() < self.records && all.div_ceil(3) * 4 <= MAX_MESSAGE_BYTES
    }

    /// The message of `records`, all of which are good.
    ///
    /// # Errors
    /// Why there is none, and its records.
    pub(super) fn pack(&self, records: Vec<Record>, group: Option<String>) -> Result<Packed, (String, Vec<Record>)> {
        let datums: Vec<&[u8]> = records.iter().filter_map(|record| record.datum.as_deref().ok()).collect();
        let body = match (self.format, records.first().and_then(|record| record.json.clone())) {
            (WireFormat::Json, Some(json)) => json,
            (WireFormat::Json, None) => return Err(("a container file's records are no json".to_owned(), records)),
            _ => match self.frame(&datums) {
                Ok(framed) => encode::body(&framed),
                Err(error) => return Err((error.to_string(), records)),
            },
        };
        let schema = matches!(self.format, WireFormat::Datum | WireFormat::Json).then(|| self.name.clone());
        let bytes = body.len() + schema.as_ref().map_or(0, |name| "schema".len() + "String".len() + name.len());
        if bytes > MAX_MESSAGE_BYTES {
            let problem = format!("a message of {bytes} bytes, and SQS takes {MAX_MESSAGE_BYTES}");
            return Err((problem, records));
        }
        Ok(Packed { body, schema, group, records })
    }
}
