//! Decodes a message into its records: finds the schema, then reads the datum according to the plan for that schema.

mod build;
mod container;
mod index;

use super::{
    clean::KnownNames,
    error::{DecodeError, Problem, SchemaReference, Undecoded},
    framing::{self, GlueCompression, Header},
    inflate::{Compression, inflate},
    json_encode::{self, Bounds, JsonEncoding},
    json_keys,
    limits::Limits,
    path::WithPath,
    plan::{Plan, TrackedFields},
    schema_set::{FieldUnit, SchemaId, Subject},
    walk::{self, Budget, DatumError, Ending, Keys},
    wire_format::WireFormat,
};
use crate::json::Json;
use crate::record::{Interruption, RecordSink, SubjectId, TrackedField};
use container::PlanCache;
use index::KeyIndex;

/// Configuration of a [`Decoder`].
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Allowed wire formats of a message, in the order in which they are tried.
    pub formats: Vec<WireFormat>,
    /// Default schema, as `subject` or `subject/version`, for messages in `datum` or `json` that do not name one.
    pub default_schema: Option<String>,
    /// JSON encoding of records in `json` bodies.
    pub json_encoding: JsonEncoding,
    /// Limits on the cost of a message.
    pub limits: Limits,
    /// Fields that are reported to visitors as tracked, by their path in the reader schema of a subject.
    pub tracked: Vec<(SubjectId, TrackedField, String)>,
    /// Fields without a logical type whose unit is fixed. A container in which such a field is a time of another unit
    /// is incompatible.
    pub(crate) units: Vec<(SubjectId, FieldUnit)>,
}

/// Body of a message, after base64 and envelopes are removed.
#[derive(Debug, Clone, Copy)]
pub enum Body<'a> {
    /// Bytes, in any wire format except `json`.
    Binary(&'a [u8]),
    /// Text, in the wire format `json`.
    Json(&'a str),
}

/// The parts of a message that the decoder needs.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Body of the message.
    pub body: Body<'a>,
    /// Value of the message attribute `schema`: `subject` or `subject/version`.
    pub schema: Option<&'a str>,
    /// Value of the message attribute `__value_schema_id`.
    pub value_schema_id: Option<&'a [u8]>,
    /// Whether only the key is needed, as for a deletion. In a `json` body any field may then be absent. An absent
    /// field without a default is skipped.
    pub keys_only: bool,
}

/// Buffers that are reused for all messages.
#[derive(Debug)]
pub struct Scratch {
    keys: Keys,
    /// Output of decompression, or the datum that a JSON body is converted to.
    buffer: Vec<u8>,
    max_bytes: usize,
}

impl Default for Scratch {
    fn default() -> Self {
        Self::bounded(usize::MAX)
    }
}

/// Maximum capacity of a buffer that is reused for the next message, in bytes. A larger buffer is freed.
const KEPT_BYTES: usize = 1 << 20;

impl Scratch {
    /// Creates buffers with a limit of `max_bytes` for inflated data, which is the event's share of the process memory.
    ///
    /// A message that would inflate to more than `max_bytes` is interrupted, and one that would inflate to more than
    /// [`Limits::max_inflated_bytes`] is rejected. The smaller of the two limits applies.
    pub fn bounded(max_bytes: usize) -> Self {
        Self { keys: Keys::default(), buffer: Vec::new(), max_bytes }
    }

    /// Frees the buffers that a large message has enlarged.
    fn release(&mut self) {
        self.keys.shrink_to(KEPT_BYTES);
        if self.buffer.capacity() > KEPT_BYTES {
            self.buffer = Vec::new();
        }
    }
}

/// Result of decoding a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// Wire format of the message.
    pub format: WireFormat,
    /// Subject of its records.
    pub subject: SubjectId,
    /// Version of the writer schema, or `None` for a container, which brings its own schema.
    pub version: Option<u32>,
    /// Number of records in the message.
    pub records: usize,
}

/// Decodes messages of a set of schemas. It is created once and shared by all threads.
#[derive(Debug)]
pub struct Decoder {
    formats: Vec<WireFormat>,
    json_encoding: JsonEncoding,
    limits: Limits,
    subjects: Vec<Subject>,
    writers: Vec<VersionPlans>,
    by_fingerprint: KeyIndex<u64>,
    by_id: KeyIndex<SchemaId>,
    by_name: KeyIndex<Box<str>>,
    /// Positions of subjects for containers, by the names and aliases of their reader schemas.
    by_record_name: KeyIndex<Box<str>>,
    default: Option<usize>,
    /// Tracked fields of each subject, by its position.
    tracked: Vec<TrackedFields>,
    /// Fields of each subject that must have a fixed unit in containers.
    units: Vec<(SubjectId, FieldUnit)>,
    names: KnownNames,
    containers: PlanCache,
}

/// Plans for the datums of one version of a subject.
#[derive(Debug)]
struct VersionPlans {
    subject: SubjectId,
    version: u32,
    store: Plan,
    delete: Plan,
    /// `None` if the wire format `json` is not allowed.
    delete_from_json: Option<Plan>,
}

impl VersionPlans {
    /// Returns the plan for datums of this version.
    fn plan(&self, keys_only: bool) -> &Plan {
        if keys_only { &self.delete } else { &self.store }
    }
}

/// A reason why a message cannot be decoded in one wire format. Among several failures, the one with the highest
/// confidence that the message is in that format is reported. With equal confidence, the first is reported.
enum FormatFailure {
    Rejected(DecodeError, MatchConfidence),
    /// The message was interrupted. No other format is tried.
    Interrupted(Interruption),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum MatchConfidence {
    /// The message has the marker or the attribute of the format, or the format has neither.
    Likely,
    /// The header is complete, and its schema is known.
    Recognized,
}

impl Decoder {
    /// Returns the wire formats that a message may have, in the order in which they are tried.
    pub fn wire_formats(&self) -> &[WireFormat] {
        &self.formats
    }

    /// Decodes a message and passes its records to `sink`, one after the other. See the [module](super) for the order
    /// in which the allowed wire formats are tried.
    ///
    /// # Errors
    /// The reason why the message has no records, or why it was interrupted. Records that the sink has already received
    /// must be discarded.
    pub fn decode<S: RecordSink>(
        &self,
        input: &Input<'_>,
        scratch: &mut Scratch,
        sink: &mut S,
    ) -> Result<Decoded, Undecoded<DecodeError>> {
        let decoded = self.decode_as_any(input, scratch, sink);
        scratch.release();
        match decoded {
            // The message is within its own limit, so it may fit into the memory of another invocation.
            Err(Undecoded::Rejected(error))
                if error.inflates_too_far() && scratch.max_bytes < self.limits.max_inflated_bytes =>
            {
                Err(Undecoded::Interrupted(Interruption::Memory))
            }
            decoded => decoded,
        }
    }

    fn decode_as_any<S: RecordSink>(
        &self,
        input: &Input<'_>,
        scratch: &mut Scratch,
        sink: &mut S,
    ) -> Result<Decoded, Undecoded<DecodeError>> {
        let mut rejected: Option<(DecodeError, MatchConfidence)> = None;
        for format in &self.formats {
            match self.attempt(*format, input, scratch, sink) {
                Ok(Some(decoded)) => return Ok(decoded),
                Ok(None) => {}
                Err(FormatFailure::Interrupted(interruption)) => return Err(Undecoded::Interrupted(interruption)),
                Err(FormatFailure::Rejected(error, confidence)) => {
                    if rejected.as_ref().is_none_or(|(_, first)| *first < confidence) {
                        rejected = Some((error, confidence));
                    }
                }
            }
        }
        Err(Undecoded::Rejected(rejected.map_or_else(DecodeError::unrecognized, |(error, _)| error)))
    }

    /// Returns the subjects, in the order of their numbers.
    pub fn subjects(&self) -> impl Iterator<Item = &Subject> {
        self.subjects.iter()
    }

    /// Returns the subject with this number.
    pub fn subject(&self, id: SubjectId) -> Option<&Subject> {
        self.subjects.get(usize::from(id.0))
    }

    fn attempt<S: RecordSink>(
        &self,
        format: WireFormat,
        input: &Input<'_>,
        scratch: &mut Scratch,
        sink: &mut S,
    ) -> Result<Option<Decoded>, FormatFailure> {
        let (writer, datum) = match (format, input.body) {
            (WireFormat::Json, Body::Json(text)) => return self.json(text, input, scratch, sink),
            (WireFormat::Container, Body::Binary(body)) => {
                return self.container(body, input.keys_only, scratch, sink);
            }
            (WireFormat::Glue, Body::Binary(body)) => return self.glue(body, input.keys_only, scratch, sink),
            (WireFormat::Confluent, Body::Binary(body)) => match self.confluent(body, input.value_schema_id)? {
                Some(found) => found,
                None => return Ok(None),
            },
            (WireFormat::SingleObject, Body::Binary(body)) => match framing::single_object(body) {
                Header::None => return Ok(None),
                Header::Broken(problem) => return Err(likely(format, Problem::Header(problem))),
                Header::Complete(fingerprint, datum) => {
                    let writer = self.by_fingerprint.get(&fingerprint);
                    let unknown = || self.unknown_schema(format, SchemaReference::Fingerprint(fingerprint));
                    (writer.ok_or_else(unknown)?, datum)
                }
            },
            (WireFormat::Datum, Body::Binary(datum)) => (self.named(format, input)?, datum),
            (WireFormat::Json, Body::Binary(_)) | (_, Body::Json(_)) => return Ok(None),
        };
        let Some(writer) = self.writers.get(writer) else { return Ok(None) };
        self.read(format, writer, writer.plan(input.keys_only), datum, &mut scratch.keys, sink)
    }

    /// Returns the version that the message names, or the default schema from the settings.
    fn named(&self, format: WireFormat, input: &Input<'_>) -> Result<usize, FormatFailure> {
        match input.schema {
            None => self.default.ok_or_else(|| likely(format, Problem::SchemaRequired)),
            Some(name) => {
                let writer = self.by_name.get(name);
                writer.ok_or_else(|| self.unknown_schema(format, self.reference(name)))
            }
        }
    }

    /// Converts `name`, which is not the name of a schema in the directory, to a reference for the error.
    fn reference(&self, name: &str) -> SchemaReference {
        let version = || {
            let (subject, number) = name.split_once('/')?;
            self.by_name.get(subject)?;
            Some(SchemaReference::Version { subject: subject.into(), number: number.parse().ok()? })
        };
        version().unwrap_or_else(|| SchemaReference::Name(name.into()))
    }

    #[cold]
    fn unknown_schema(&self, format: WireFormat, schema: SchemaReference) -> FormatFailure {
        likely(format, Problem::UnknownSchema(self.names.clean(schema)))
    }

    #[cold]
    fn unread(&self, format: WireFormat, record: usize, error: Box<WithPath<DatumError>>) -> FormatFailure {
        match error.error().interruption() {
            Some(interruption) => FormatFailure::Interrupted(interruption),
            None => recognized(format, Problem::Datum { record, error: self.names.clean(error) }),
        }
    }

    /// Returns the version and the datum, with the schema id from the message attribute or the header. Returns `None`
    /// if there is neither.
    fn confluent<'b>(
        &self,
        body: &'b [u8],
        attribute: Option<&[u8]>,
    ) -> Result<Option<(usize, &'b [u8])>, FormatFailure> {
        const FORMAT: WireFormat = WireFormat::Confluent;
        let (id, datum) = match (attribute.map(framing::value_schema_id), framing::confluent(body)) {
            (Some(Some(id)), _) => (id, body),
            (Some(None), _) => return Err(likely(FORMAT, Problem::Attribute("__value_schema_id"))),
            (None, Header::None) => return Ok(None),
            (None, Header::Broken(problem)) => return Err(likely(FORMAT, Problem::Header(problem))),
            (None, Header::Complete(id, datum)) => (id, datum),
        };
        self.by_schema_id(FORMAT, id).map(|writer| Some((writer, datum)))
    }

    fn glue<S: RecordSink>(
        &self,
        body: &[u8],
        keys_only: bool,
        scratch: &mut Scratch,
        sink: &mut S,
    ) -> Result<Option<Decoded>, FormatFailure> {
        const FORMAT: WireFormat = WireFormat::Glue;
        let (compression, id, payload) = match framing::glue(body) {
            Header::None => return Ok(None),
            Header::Broken(problem) => return Err(likely(FORMAT, Problem::Header(problem))),
            Header::Complete((compression, id), payload) => (compression, id, payload),
        };
        let Some(writer) = self.writers.get(self.by_schema_id(FORMAT, id)?) else { return Ok(None) };
        let limits = self.limits_of(scratch);
        let Scratch { keys, buffer, .. } = scratch;
        let datum = match compression {
            GlueCompression::None => payload,
            GlueCompression::Zlib => {
                inflate(Compression::Zlib, payload, limits.max_inflated_bytes, &limits, buffer)
                    .map_err(|error| recognized(FORMAT, Problem::Inflate(error)))?
                    .data
            }
        };
        self.read(FORMAT, writer, writer.plan(keys_only), datum, keys, sink)
    }

    /// Returns the limits for a message that is decoded with `scratch`.
    fn limits_of(&self, scratch: &Scratch) -> Limits {
        Limits { max_inflated_bytes: self.limits.max_inflated_bytes.min(scratch.max_bytes), ..self.limits }
    }

    fn by_schema_id(&self, format: WireFormat, id: SchemaId) -> Result<usize, FormatFailure> {
        let writer = self.by_id.get(&id);
        writer.ok_or_else(|| self.unknown_schema(format, SchemaReference::Id(id)))
    }

    /// Converts a JSON body to a datum of the schema that the message names, and then decodes the datum.
    fn json<S: RecordSink>(
        &self,
        text: &str,
        input: &Input<'_>,
        scratch: &mut Scratch,
        sink: &mut S,
    ) -> Result<Option<Decoded>, FormatFailure> {
        const FORMAT: WireFormat = WireFormat::Json;
        let Some(writer) = self.writers.get(self.named(FORMAT, input)?) else { return Ok(None) };
        let version = self.subject(writer.subject).and_then(|subject| subject.version(writer.version));
        let Some(version) = version else { return Ok(None) };
        let Limits { max_depth: depth, max_values: values, max_inflated_bytes: bytes, .. } = self.limits_of(scratch);
        // A value of a union may be nested in an object with its tag, which does not count as a level of the record.
        let json = Json::parse(text, 2 * depth).map_err(|error| recognized(FORMAT, Problem::Json(error)))?;
        let Scratch { keys, buffer, .. } = scratch;
        buffer.clear();
        let bounds = Bounds { depth, values, bytes };
        let record = (&json, self.json_encoding);
        let (plan, encoded) = match &writer.delete_from_json {
            Some(plan) if input.keys_only => (plan, json_keys::datum(version.schema(), plan, record, bounds, buffer)),
            _ => (&writer.store, json_encode::record_datum(version.schema(), record, bounds, buffer)),
        };
        encoded.map_err(|error| recognized(FORMAT, Problem::JsonEncode(self.names.clean(error))))?;
        self.read(FORMAT, writer, plan, buffer, keys, sink)
    }

    fn read<S: RecordSink>(
        &self,
        format: WireFormat,
        writer: &VersionPlans,
        plan: &Plan,
        datum: &[u8],
        keys: &mut Keys,
        sink: &mut S,
    ) -> Result<Option<Decoded>, FormatFailure> {
        let mut budget = Budget::new(self.limits);
        let place = (writer.subject, None);
        walk::read_record(plan, place, (datum, Ending::Last), &mut budget, keys, sink)
            .map_err(|error| self.unread(format, 0, error))?;
        Ok(Some(Decoded { format, subject: writer.subject, version: Some(writer.version), records: 1 }))
    }
}

#[cold]
fn likely(format: WireFormat, problem: Problem) -> FormatFailure {
    FormatFailure::Rejected(DecodeError::new(format, problem), MatchConfidence::Likely)
}

#[cold]
fn recognized(format: WireFormat, problem: Problem) -> FormatFailure {
    FormatFailure::Rejected(DecodeError::new(format, problem), MatchConfidence::Recognized)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avro::{SchemaFile, Schemas, tests::tree::Records};

    #[test]
    fn a_decoder_is_shared_by_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<Decoder>();
    }

    #[test]
    fn memory_that_one_large_message_needed_is_given_back() {
        let mut scratch = Scratch { buffer: Vec::with_capacity(KEPT_BYTES), ..Scratch::default() };
        scratch.release();
        assert!(scratch.buffer.capacity() >= KEPT_BYTES);
        let decoder = Schemas::parse(vec![SchemaFile {
            subject: "s".to_owned(),
            version: "1".to_owned(),
            text: r#"{"type": "record", "name": "R", "fields": []}"#.to_owned(),
            path: String::new(),
        }]);
        let decoder = decoder.unwrap().compile(Options::default()).unwrap();
        scratch.buffer.reserve(2 * KEPT_BYTES);
        let input = Input { body: Body::Binary(&[]), schema: None, value_schema_id: None, keys_only: false };
        assert!(decoder.decode(&input, &mut scratch, &mut Records::default()).is_err());
        assert_eq!(scratch.buffer.capacity(), 0);
    }
}
