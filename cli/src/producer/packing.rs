//! Packs records into messages by number and size.

use super::Record;
use avro_ingest::avro::WireFormat;
use avro_ingest::encode::{self, Codec, EncodeError, Encoder};

/// Maximum size of a message, and of all messages of a call together, including attributes, in bytes.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
pub(crate) const MAX_MESSAGE_BYTES: usize = 1_048_576;
/// Number of bytes reserved for a container's framing, in addition to its schema.
const RESERVED_BYTES: usize = 16_384;

/// Rules for packing records into messages.
pub(crate) struct Packing {
    encoder: Encoder,
    format: WireFormat,
    codec: Codec,
    records: usize,
    /// `subject/version`.
    name: String,
    /// Size of the attributes of every message, in bytes.
    attribute_bytes: usize,
}

/// A message and the records it holds.
pub(crate) struct Packed {
    pub(crate) body: String,
    /// Value of the message attribute `schema`, for wire formats without a header.
    pub(crate) schema: Option<String>,
    /// Message group id, if any.
    pub(crate) group: Option<String>,
    /// Deduplication id, if a field of the record provides it.
    pub(crate) deduplication: Option<String>,
    pub(crate) records: Vec<Record>,
}

impl Packing {
    pub(super) fn new(encoder: Encoder, format: WireFormat, codec: Codec, records: usize, name: String) -> Self {
        Self { encoder, format, codec, records, name, attribute_bytes: 0 }
    }

    /// Reserves `bytes` of each message for attributes.
    pub(crate) fn with_attributes(self, bytes: usize) -> Self {
        Self { attribute_bytes: bytes, ..self }
    }

    /// Returns the options that determine the messages, except the attributes, as pairs of name and value.
    pub(crate) fn options(&self) -> [(&'static str, String); 4] {
        [
            ("--schema", self.name.clone()),
            ("--wire-format", self.format.to_string()),
            ("--codec", self.codec.to_string()),
            ("--records-per-message", self.records.to_string()),
        ]
    }

    pub(crate) fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// Returns the bytes of a message with `datums`. Only a container can hold more than one datum.
    pub(super) fn frame(&self, datums: &[&[u8]]) -> Result<Vec<u8>, EncodeError> {
        match self.format {
            WireFormat::Container => self.encoder.container_of_datums(datums, self.codec),
            format => self.encoder.frame_datum(format, datums.first().copied().unwrap_or_default()),
        }
    }

    /// Returns whether another record fits into a message that holds `held`.
    pub(super) fn has_room(&self, held: &[Record], next: &Record) -> bool {
        let bytes = |record: &Record| record.datum.as_ref().map_or(0, Vec::len);
        let overhead = RESERVED_BYTES + self.encoder.version().text().len();
        let all = overhead + held.iter().map(bytes).sum::<usize>() + bytes(next);
        // base64 encodes three bytes as four characters
        held.len() < self.records && all.div_ceil(3) * 4 + self.attribute_bytes <= MAX_MESSAGE_BYTES
    }

    /// Returns whether a message that holds `held` has the maximum number of records.
    pub(super) fn is_full(&self, held: &[Record]) -> bool {
        held.len() >= self.records
    }

    /// Packs `records`, all of which must be valid, into a message.
    ///
    /// # Errors
    /// Returns the cause and the records.
    pub(super) fn pack(
        &self,
        records: Vec<Record>,
        group: Option<String>,
        deduplication: Option<String>,
    ) -> Result<Packed, (String, Vec<Record>)> {
        let datums: Vec<&[u8]> = records.iter().filter_map(|record| record.datum.as_deref().ok()).collect();
        let body = match (self.format, records.first().and_then(|record| record.raw.json())) {
            (WireFormat::Json, Some(json)) => json.to_owned(),
            (WireFormat::Json, None) => return Err(("a container file's records are no json".to_owned(), records)),
            _ => match self.frame(&datums) {
                Ok(framed) => encode::body(&framed),
                Err(error) => return Err((error.to_string(), records)),
            },
        };
        let schema = matches!(self.format, WireFormat::Datum | WireFormat::Json).then(|| self.name.clone());
        let bytes = body.len()
            + self.attribute_bytes
            + schema.as_ref().map_or(0, |name| "schema".len() + "String".len() + name.len());
        if bytes > MAX_MESSAGE_BYTES {
            let problem = format!("a message of {bytes} bytes, and SQS takes {MAX_MESSAGE_BYTES}");
            return Err((problem, records));
        }
        Ok(Packed { body, schema, group, deduplication, records })
    }
}
