//! What is wrong with a schema directory.

use super::{
    super::{json_encode::JsonEncodeError, path::WithPath, plan::Mismatch, schema::SchemaError},
    FieldError, SchemaId,
};
use std::fmt;

/// Everything that is wrong with a set of schemas; at least one thing.
#[derive(Debug)]
pub struct SchemaErrors {
    problems: Vec<SetProblem>,
}

impl SchemaErrors {
    pub(crate) fn new(problems: Vec<SetProblem>) -> Self {
        Self { problems }
    }

    /// Each problem, in the order of the directory.
    pub fn problems(&self) -> &[SetProblem] {
        &self.problems
    }
}

impl fmt::Display for SchemaErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for SchemaErrors {}

/// One thing that is wrong with a set of schemas.
#[derive(Debug)]
pub enum SetProblem {
    /// There is no schema at all.
    Empty,
    /// More subjects than can be numbered.
    TooManySubjects,
    /// A file name that is not a positive integer without leading zeros.
    Version {
        /// The file.
        path: Box<str>,
    },
    /// A file that is not a schema.
    Schema {
        /// The file.
        path: Box<str>,
        /// What is wrong with it.
        error: Box<SchemaError>,
    },
    /// A schema that is not a record.
    NotARecord {
        /// The file.
        path: Box<str>,
    },
    /// A `schemaIds` that is not a list of four-byte integers and UUIDs.
    Ids {
        /// The file.
        path: Box<str>,
    },
    /// Two files of the same subject and version.
    DuplicateVersion {
        /// One file.
        first: Box<str>,
        /// The other.
        second: Box<str>,
    },
    /// A default of a newest version that is not a value of its field.
    Default {
        /// The file.
        path: Box<str>,
        /// The record and the field.
        field: Box<str>,
        /// What is wrong with it.
        error: WithPath<JsonEncodeError>,
    },
    /// An older version that the newest cannot read.
    Incompatible {
        /// The subject of both.
        subject: Box<str>,
        /// The older version.
        writer: u32,
        /// The newest.
        reader: u32,
        /// Where and why.
        mismatch: Mismatch,
    },
    /// An id that two files carry.
    DuplicateId {
        /// The id.
        id: SchemaId,
        /// One file.
        first: Box<str>,
        /// The other.
        second: Box<str>,
    },
    /// Two subjects that a message of this wire format cannot tell apart.
    Ambiguous {
        /// What both have in common, such as their fingerprint.
        what: Box<str>,
        /// One subject.
        first: Box<str>,
        /// The other.
        second: Box<str>,
    },
    /// Two versions of one subject that single-object encoding cannot tell apart, though they mean different things.
    SameFingerprint {
        /// The subject of both.
        subject: Box<str>,
        /// One version.
        first: u32,
        /// The other.
        second: u32,
    },
    /// The default schema is not in the directory.
    UnknownDefaultSchema {
        /// Its name.
        name: Box<str>,
    },
    /// A field that an item mapping names is not in the reader schema.
    Field {
        /// The subject.
        subject: Box<str>,
        /// The field's path.
        path: Box<str>,
        /// Why there is none.
        error: FieldError,
    },
}

impl fmt::Display for SetProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("there is no schema"),
            Self::TooManySubjects => write!(f, "more than {} subjects", u16::MAX),
            Self::Version { path } => {
                write!(f, "{path}: the version in the file's name is not a positive integer, such as 1.avsc")
            }
            Self::Schema { path, error } => write!(f, "{path}: {error}"),
            Self::NotARecord { path } => write!(f, "{path}: the schema is not a record"),
            Self::Ids { path } => write!(f, "{path}: schemaIds is not a list of four-byte integers and uuids"),
            Self::DuplicateVersion { first, second } => write!(f, "{first} and {second} are the same version"),
            Self::Default { path, field, error } => write!(f, "{path}: the default of {field} does not fit: {error}"),
            Self::Incompatible { subject, writer, reader, mismatch } => {
                write!(f, "subject {subject}: version {writer} cannot be read by version {reader}: {mismatch}")
            }
            Self::DuplicateId { id, first, second } => {
                write!(f, "schema id {id} is both that of {first} and of {second}")
            }
            Self::Ambiguous { what, first, second } => {
                write!(f, "subjects {first} and {second} have the same {what}: a message cannot say which it is for")
            }
            Self::SameFingerprint { subject, first, second } => write!(
                f,
                "subject {subject}: versions {first} and {second} differ in a logical type and have the same fingerprint: a \
                 message in single-object encoding cannot say which it is; change a name with the unit, or leave \
                 single-object out of WIRE_FORMATS"
            ),
            Self::UnknownDefaultSchema { name } => write!(f, "the default schema {name} is not in the directory"),
            Self::Field { subject, path, error } => write!(f, "subject {subject}: field {path}: {error}"),
        }
    }
}

impl std::error::Error for SetProblem {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Schema { error, .. } => Some(error),
            Self::Default { error, .. } => Some(error),
            Self::Incompatible { mismatch, .. } => Some(mismatch),
            Self::Field { error, .. } => Some(error),
            _ => None,
        }
    }
}
