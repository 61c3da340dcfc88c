//! Records into messages, by their number and by their size.

use super::Record;
use avro_ingest::avro::WireFormat;
use avro_ingest::encode::{self, Codec, EncodeError, Encoder};

/// Maximum size of a message, and of the messages of a call together, attributes included.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
pub(crate) const MAX_MESSAGE_BYTES: usize = 1_048_576;
/// Size reserved for a container's own bytes beside its schema.
const RESERVED_BYTES: usize = 16_384;

/// How records become messages.
pub(crate) struct Packing {
    encoder: Encoder,
    format: WireFormat,
    codec: Codec,
    records: usize,
    /// `subject/version`.
    name: String,
    /// Size of the attributes that every message has.
    attribute_bytes: usize,
}

/// A message and the records it holds.
pub(crate) struct Packed {
    pub(crate) body: String,
    /// The message attribute `schema`, for the formats without a header.
    pub(crate) schema: Option<String>,
    /// The message group, if there is one.
    pub(crate) group: Option<String>,
    /// The deduplication id, if it is a field of the record.
    pub(crate) deduplication: Option<String>,
    pub(crate) records: Vec<Record>,
}

impl Packing {
    pub(super) fn new(encoder: Encoder, format: WireFormat, codec: Codec, records: usize, name: String) -> Self {
        Self { encoder, format, codec, records, name, attribute_bytes: 0 }
    }

    /// Leaves room for attributes of `bytes` in each message.
    pub(crate) fn with_attributes(self, bytes: usize) -> Self {
        Self { attribute_bytes: bytes, ..self }
    }

    /// Everything but the attributes that decides which messages records become, by its option.
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
        held.len() < self.records && all.div_ceil(3) * 4 + self.attribute_bytes <= MAX_MESSAGE_BYTES
    }

    /// Whether a message that holds `held` takes no other record.
    pub(super) fn is_full(&self, held: &[Record]) -> bool {
        held.len() >= self.records
    }

    /// The message of `records`, all of which are good.
    ///
    /// # Errors
    /// Why there is none, and its records.
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
