//! From a message to its records: finds the schema, then walks the datum by the plan for it.

mod build;
mod index;

use super::{
    error::{DecodeError, Problem},
    framing::{self, Header},
    limits::Limits,
    plan::Plan,
    schema_set::{SchemaId, Subject},
    walk::{self, Budget, Ending, Keys},
    wire_format::WireFormat,
};
use crate::record::{Mark, RecordVisitor, SubjectId};
use index::Index;

/// What a decoder is made for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The wire formats a message may have, in the order in which they are tried.
    pub formats: Vec<WireFormat>,
    /// `subject` or `subject/version` of messages in `datum` or `json` that name none.
    pub default_schema: Option<String>,
    /// What a message may cost.
    pub limits: Limits,
    /// The fields, by their path in a subject's reader schema, that visitors are told of by a mark.
    pub marks: Vec<(SubjectId, Mark, String)>,
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
    /// Whether fields that carry no mark may be absent, of a body in `json` only. A field that is absent and has no
    /// default is not told of.
    pub keys_only: bool,
}

/// Memory that is reused from message to message.
#[derive(Debug, Default)]
pub struct Scratch {
    keys: Keys,
    /// What a compressed payload inflates to, or the datum that JSON is read through.
    buffer: Vec<u8>,
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
    limits: Limits,
    subjects: Vec<Subject>,
    writers: Vec<Writer>,
    by_fingerprint: Index<u64>,
    by_id: Index<SchemaId>,
    by_name: Index<Box<str>>,
    default: Option<usize>,
}

/// One version of a subject, with the plan to read what was written with it.
#[derive(Debug)]
struct Writer {
    subject: SubjectId,
    version: u32,
    plan: Plan,
}

/// Why a message is not read in one wire format, and how sure it is that the message is in that format. Of several the
/// surest is reported, and of equals the first.
struct Failure {
    error: DecodeError,
    sureness: Sureness,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sureness {
    /// It begins like one of the format, or nothing speaks against it.
    Likely,
    /// The header is complete and its schema known.
    Recognized,
    /// Records of it have been told of: no other format is tried.
    Certain,
}

/// Nothing, if the message is not in this format.
type Attempt = Result<Option<Decoded>, Failure>;

impl Decoder {
    /// Reads a message and tells `visitor` of its records, one after the other. See the [module](super) for how the
    /// allowed wire formats are tried.
    ///
    /// # Errors
    /// Why the message has no place in any table. The visitor may have been told of some of its records by then: what
    /// it made of them is void.
    pub fn decode<V: RecordVisitor>(
        &self,
        input: &Input<'_>,
        scratch: &mut Scratch,
        visitor: &mut V,
    ) -> Result<Decoded, DecodeError> {
        let mut failure: Option<Failure> = None;
        for format in &self.formats {
            match self.attempt(*format, input, scratch, visitor) {
                Ok(Some(decoded)) => return Ok(decoded),
                Ok(None) => {}
                Err(other) if other.sureness == Sureness::Certain => return Err(other.error),
                Err(other) => {
                    if failure.as_ref().is_none_or(|failure| failure.sureness < other.sureness) {
                        failure = Some(other);
                    }
                }
            }
        }
        Err(failure.map_or_else(DecodeError::unrecognized, |failure| failure.error))
    }

    /// The subject of this number.
    pub fn subject(&self, id: SubjectId) -> Option<&Subject> {
        self.subjects.get(usize::from(id.0))
    }

    fn attempt<V: RecordVisitor>(
        &self,
        format: WireFormat,
        input: &Input<'_>,
        scratch: &mut Scratch,
        visitor: &mut V,
    ) -> Attempt {
        match (format, input.body) {
            (WireFormat::SingleObject, Body::Binary(body)) => match framing::single_object(body) {
                Header::None => Ok(None),
                Header::Broken(problem) => likely(format, Problem::Header(problem)),
                Header::Complete(fingerprint, datum) => match self.by_fingerprint.get(&fingerprint) {
                    Some(writer) => self.read(format, writer, datum, scratch, visitor),
                    None => likely(format, Problem::UnknownSchema(format!("{fingerprint:016x}").into())),
                },
            },
            (WireFormat::Datum, Body::Binary(datum)) => match self.named(format, input)? {
                Some(writer) => self.read(format, writer, datum, scratch, visitor),
                None => likely(format, Problem::SchemaRequired),
            },
            _ => Ok(None),
        }
    }

    /// The version that the message or the settings name; none if neither does.
    fn named(&self, format: WireFormat, input: &Input<'_>) -> Result<Option<usize>, Failure> {
        match input.schema {
            None => Ok(self.default),
            Some(name) => match self.by_name.get(name) {
                Some(writer) => Ok(Some(writer)),
                None => likely(format, Problem::UnknownSchema(shortened(name))),
            },
        }
    }

    fn read<V: RecordVisitor>(
        &self,
        format: WireFormat,
        writer: usize,
        datum: &[u8],
        scratch: &mut Scratch,
        visitor: &mut V,
    ) -> Attempt {
        let Some(writer) = self.writers.get(writer) else { return Ok(None) };
        let mut budget = Budget::new(self.limits);
        let source = (datum, Ending::Last);
        let record = (writer.subject, None);
        match walk::read_record(&writer.plan, record, source, &mut budget, &mut scratch.keys, visitor) {
            Ok(_) => Ok(Some(Decoded { format, subject: writer.subject, version: Some(writer.version), records: 1 })),
            Err(fault) => Err(Failure {
                error: DecodeError::new(format, Problem::Datum { record: 0, fault }),
                sureness: Sureness::Recognized,
            }),
        }
    }
}

fn likely<T>(format: WireFormat, problem: Problem) -> Result<T, Failure> {
    Err(Failure { error: DecodeError::new(format, problem), sureness: Sureness::Likely })
}

/// A name that a stranger gave, fit for a log.
fn shortened(name: &str) -> Box<str> {
    name.chars().take(100).flat_map(char::escape_debug).collect::<String>().into()
}

#[cfg(test)]
mod tests;
