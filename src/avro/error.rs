//! Errors of messages that cannot be decoded.

use super::{
    clean::{Clean, HasNames, Rename},
    container::FrameError,
    inflate::InflateError,
    json_encode::JsonEncodeError,
    path::WithPath,
    plan::Mismatch,
    schema::SchemaError,
    schema_set::SchemaId,
    walk::DatumError,
    wire_format::WireFormat,
};
use crate::{json::JsonError, outcome::Reason, record::Interruption};
use std::fmt;

/// A reason why a message cannot be decoded. It names fields and types of the schema directory, but contains nothing of
/// the message itself except positions, sizes and ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError {
    format: Option<WireFormat>,
    problem: Problem,
}

/// A reason why a message has no records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undecoded<E> {
    /// The message is rejected, because no retry can help.
    Rejected(E),
    /// Decoding was interrupted. The message is returned to the queue for another invocation.
    Interrupted(Interruption),
}

impl<E> Undecoded<E> {
    /// Converts the error of a rejection with `map`.
    pub fn map_rejected<F>(self, map: impl FnOnce(E) -> F) -> Undecoded<F> {
        match self {
            Self::Rejected(error) => Undecoded::Rejected(map(error)),
            Self::Interrupted(interruption) => Undecoded::Interrupted(interruption),
        }
    }
}

impl<E: fmt::Display> fmt::Display for Undecoded<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(error) => error.fmt(f),
            Self::Interrupted(interruption) => interruption.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for Undecoded<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Rejected(error) => error.source(),
            Self::Interrupted(_) => None,
        }
    }
}

/// The error of a rejected message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Problem {
    Unrecognized,
    Header(&'static str),
    /// The message attribute of this name has an invalid value.
    Attribute(&'static str),
    UnknownSchema(Clean<SchemaReference>),
    SchemaRequired,
    Incompatible(Clean<Vec<Mismatch>>),
    /// The schema of the container is not valid.
    ContainerSchema(Clean<Box<SchemaError>>),
    /// The schema of the container is not a record.
    ContainerOfNoRecords,
    Container(FrameError),
    /// The payload after a header cannot be inflated.
    Inflate(InflateError),
    /// A block of a container cannot be inflated.
    InflateBlock(InflateError),
    Limit {
        what: &'static str,
        limit: usize,
    },
    Json(JsonError),
    JsonEncode(Clean<Box<WithPath<JsonEncodeError>>>),
    /// The datum of the record with this number is not valid. The first record has number 0.
    Datum {
        record: usize,
        error: Clean<Box<WithPath<DatumError>>>,
    },
}

/// A message's reference to its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SchemaReference {
    Fingerprint(u64),
    Id(SchemaId),
    /// A version of a subject. The directory has the subject but not the version.
    Version {
        subject: Box<str>,
        number: u32,
    },
    Name(Box<str>),
}

impl HasNames for SchemaReference {
    fn rename(&mut self, rename: &Rename<'_>) {
        match self {
            Self::Version { subject: name, .. } | Self::Name(name) => rename(name),
            Self::Fingerprint(_) | Self::Id(_) => {}
        }
    }
}

impl fmt::Display for SchemaReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fingerprint(fingerprint) => write!(f, "{fingerprint:016x}"),
            Self::Id(id) => id.fmt(f),
            Self::Version { subject, number } => write!(f, "{subject}/{number}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl DecodeError {
    pub(super) fn new(format: WireFormat, problem: Problem) -> Self {
        Self { format: Some(format), problem }
    }

    /// Returns whether compressed data inflates to more than the limit.
    pub(super) fn inflates_too_far(&self) -> bool {
        matches!(
            self.problem,
            Problem::Inflate(InflateError::TooLarge(_)) | Problem::InflateBlock(InflateError::TooLarge(_))
        )
    }

    pub(super) fn unrecognized() -> Self {
        Self { format: None, problem: Problem::Unrecognized }
    }

    /// Returns the reason code of the error.
    pub fn reason(&self) -> Reason {
        match &self.problem {
            Problem::Unrecognized => Reason::UnrecognizedFormat,
            Problem::Header(_) => Reason::InvalidHeader,
            Problem::Attribute(_) => Reason::InvalidAttribute,
            Problem::UnknownSchema(_) => Reason::UnknownSchema,
            Problem::SchemaRequired => Reason::SchemaRequired,
            Problem::Incompatible(_) | Problem::ContainerOfNoRecords => Reason::IncompatibleSchema,
            Problem::ContainerSchema(_) | Problem::Container(_) => Reason::InvalidContainer,
            Problem::Limit { .. } => Reason::LimitExceeded,
            Problem::Inflate(InflateError::TooLarge(_)) | Problem::InflateBlock(InflateError::TooLarge(_)) => {
                Reason::LimitExceeded
            }
            Problem::InflateBlock(_) => Reason::InvalidContainer,
            Problem::Inflate(InflateError::Corrupt) => Reason::MalformedDatum,
            Problem::Inflate(InflateError::Truncated) => Reason::Truncated,
            Problem::Inflate(InflateError::Trailing) => Reason::TrailingBytes,
            Problem::Json(JsonError::TooDeep) => Reason::LimitExceeded,
            Problem::Json(_) => Reason::InvalidJson,
            Problem::JsonEncode(at) => match at.get().error() {
                JsonEncodeError::TooDeep | JsonEncodeError::TooLarge => Reason::LimitExceeded,
                _ => Reason::InvalidJson,
            },
            Problem::Datum { error, .. } => error.get().error().reason(),
        }
    }

    /// Returns the wire format in which decoding failed, or `None` if the message matches none of the allowed formats.
    pub fn format(&self) -> Option<WireFormat> {
        self.format
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe(&mut Short { to: f, left: MAX_DETAIL })
    }
}

impl DecodeError {
    fn describe(&self, f: &mut impl fmt::Write) -> fmt::Result {
        if let Some(format) = self.format {
            write!(f, "{format}: ")?;
        }
        match &self.problem {
            Problem::Unrecognized => f.write_str("the body is in none of the allowed wire formats"),
            Problem::Header(problem) => f.write_str(problem),
            Problem::Container(problem) => write!(f, "{problem}"),
            Problem::Attribute(name) => write!(f, "message attribute {name} has no usable value"),
            Problem::UnknownSchema(schema) => write!(f, "schema {schema} is not in the directory"),
            Problem::SchemaRequired => f.write_str("neither the message nor the settings name a schema"),
            Problem::Incompatible(mismatches) => {
                f.write_str("the schema cannot be read by the newest of its subject")?;
                mismatches.get().iter().try_for_each(|mismatch| write!(f, "; {mismatch}"))
            }
            Problem::ContainerSchema(error) => write!(f, "its schema is not valid: {error}"),
            Problem::ContainerOfNoRecords => f.write_str("its schema is not a record"),
            Problem::Inflate(error) | Problem::InflateBlock(error) => write!(f, "{error}"),
            Problem::Limit { what, limit } => write!(f, "more than {limit} {what}"),
            Problem::Json(error) => write!(f, "{error}"),
            Problem::JsonEncode(at) => write!(f, "{at}"),
            Problem::Datum { record: 0, error } => write!(f, "{error}"),
            Problem::Datum { record, error } => write!(f, "record {record}: {error}"),
        }
    }
}

/// Maximum length of a message's error, in characters. A container's schema may have any number of mismatches.
const MAX_DETAIL: usize = 1_000;

/// Writes text for a log line: escapes control characters and truncates the text.
struct Short<'a, 'f> {
    to: &'a mut fmt::Formatter<'f>,
    left: usize,
}

impl fmt::Write for Short<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars().take(self.left) {
            self.left -= 1;
            if character.is_control() {
                write!(self.to, "{}", character.escape_default())?;
            } else {
                self.to.write_char(character)?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for DecodeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.problem {
            Problem::ContainerSchema(error) => Some(error.get()),
            Problem::Inflate(error) | Problem::InflateBlock(error) => Some(error),
            Problem::Json(error) => Some(error),
            Problem::JsonEncode(at) => Some(at.get()),
            Problem::Datum { error, .. } => Some(error.get()),
            _ => None,
        }
    }
}
