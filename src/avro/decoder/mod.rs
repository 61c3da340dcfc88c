//! From a message to its records: finds the schema, then walks the datum by the plan for it.

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

/// What a decoder is made for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The wire formats a message may have, in the order in which they are tried.
    pub formats: Vec<WireFormat>,
    /// `subject` or `subject/version` of messages in `datum` or `json` that name none.
    pub default_schema: Option<String>,
    /// How records are spelled in bodies in `json`.
    pub json_encoding: JsonEncoding,
    /// What a message may cost.
    pub limits: Limits,
    /// The fields that are reported to visitors as tracked, by their path in a subject's reader schema.
    pub tracked: Vec<(SubjectId, TrackedField, String)>,
    /// The numbers without logical type that must be of one unit. A container that has a time of another unit for one of them is
    /// incompatible.
    pub(crate) units: Vec<(SubjectId, FieldUnit)>,
}

/// A message's body, as it is once base64 and envelopes are taken off.
#[derive(Debug, Clone, Copy)]
pub enum Body<'a> {
    /// Bytes, in any wire format but `json`.
    Binary(&'a [u8]),
    /// Text, which can only be `json`.
    Json(&'a str),
}

/// What the decoder needs to know of a message.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The body.
    pub body: Body<'a>,
    /// The message attribute `schema`: `subject` or `subject/version`.
    pub schema: Option<&'a str>,
    /// The message attribute `__value_schema_id`.
    pub value_schema_id: Option<&'a [u8]>,
    /// Whether any field may be absent, of a body in `json` only: a deletion needs no more than its key. A field that is
    /// absent and has no default is skipped.
    pub keys_only: bool,
}

/// Memory that is reused from message to message.
#[derive(Debug)]
pub struct Scratch {
    keys: Keys,
    /// What a compressed payload inflates to, or the datum that JSON is read through.
    buffer: Vec<u8>,
    max_bytes: usize,
}

impl Default for Scratch {
    fn default() -> Self {
        Self::bounded(usize::MAX)
    }
}

/// The most bytes of each buffer that are kept for the next message.
const KEPT_BYTES: usize = 1 << 20;

impl Scratch {
    /// Memory of which the buffer may grow to `max_bytes`, the event's share of what the process has. A message that would
    /// inflate to more is interrupted, while one over [`Limits::max_inflated_bytes`] is rejected; the smaller of both holds.
    pub fn bounded(max_bytes: usize) -> Self {
        Self { keys: Keys::default(), buffer: Vec::new(), max_bytes }
    }

    /// Gives back what one large message needed.
    fn release(&mut self) {
        self.keys.shrink_to(KEPT_BYTES);
        if self.buffer.capacity() > KEPT_BYTES {
            self.buffer = Vec::new();
        }
    }
}

/// What a message turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// How it was framed.
    pub format: WireFormat,
    /// The subject of its records.
    pub subject: SubjectId,
    /// The version it was written with; none if it is a container, which brings its own schema.
    pub version: Option<u32>,
    /// How many records it has.
    pub records: usize,
}

/// Reads messages of any of a set of schemas. Made once and shared by all threads.
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
    /// Positions of subjects by the names and aliases of their reader schemas, for containers.
    by_record_name: KeyIndex<Box<str>>,
    default: Option<usize>,
    /// The tracked fields of each subject.
    tracked: Vec<TrackedFields>,
    /// The fields of each subject that must be of one unit in containers.
    units: Vec<(SubjectId, FieldUnit)>,
    names: KnownNames,
    containers: PlanCache,
}

/// One version of a subject, with the plan to read what was written with it.
#[derive(Debug)]
struct VersionPlans {
    subject: SubjectId,
    version: u32,
    store: Plan,
    delete: Plan,
    /// None if JSON is not allowed.
    delete_from_json: Option<Plan>,
}

impl VersionPlans {
    /// The plan for datums of this version.
    fn plan(&self, keys_only: bool) -> &Plan {
        if keys_only { &self.delete } else { &self.store }
    }
}

/// Why a message is not read in one wire format, and how likely it is that the message is in that format. Of several
/// failures the most likely is reported, and of equals the first.
enum FormatFailure {
    Rejected(DecodeError, MatchConfidence),
    /// No other format is tried.
    Interrupted(Interruption),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum MatchConfidence {
    /// It begins like one of the format, or nothing speaks against it.
    Likely,
    /// The header is complete and its schema known.
    Recognized,
}

impl Decoder {
    /// The wire formats that a message may have, in the order in which they are tried.
    pub fn wire_formats(&self) -> &[WireFormat] {
        &self.formats
    }

    /// Reads a message and passes its records to `sink`, one after the other. See the [module](super) for how the
    /// allowed wire formats are tried.
    ///
    /// # Errors
    /// Why the message has no records, or what interrupted it. The sink may have received some records by then: they are
    /// void.
    pub fn decode<S: RecordSink>(
        &self,
        input: &Input<'_>,
        scratch: &mut Scratch,
        sink: &mut S,
    ) -> Result<Decoded, Undecoded<DecodeError>> {
        let decoded = self.decode_as_any(input, scratch, sink);
        scratch.release();
        match decoded {
            // its own limit is larger, so in another event it may have place
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

    /// Every subject, in the order of their numbers.
    pub fn subjects(&self) -> impl Iterator<Item = &Subject> {
        self.subjects.iter()
    }

    /// The subject of this number.
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

    /// The version that the message names, or else the settings.
    fn named(&self, format: WireFormat, input: &Input<'_>) -> Result<usize, FormatFailure> {
        match input.schema {
            None => self.default.ok_or_else(|| likely(format, Problem::SchemaRequired)),
            Some(name) => {
                let writer = self.by_name.get(name);
                writer.ok_or_else(|| self.unknown_schema(format, self.reference(name)))
            }
        }
    }

    /// Returns the reference that `name` is, which names no schema of the directory.
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

    /// The version that the message attribute or the header names, and the datum; none if there is neither.
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

    /// The limits of a message that is read with `scratch`.
    fn limits_of(&self, scratch: &Scratch) -> Limits {
        Limits { max_inflated_bytes: self.limits.max_inflated_bytes.min(scratch.max_bytes), ..self.limits }
    }

    fn by_schema_id(&self, format: WireFormat, id: SchemaId) -> Result<usize, FormatFailure> {
        let writer = self.by_id.get(&id);
        writer.ok_or_else(|| self.unknown_schema(format, SchemaReference::Id(id)))
    }

    /// Writes JSON as a datum of the schema that is named and reads that.
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
        // A branch of a union may stand in an object of its own, which is not a level of the record.
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
