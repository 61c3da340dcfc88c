//! Errors in a schema directory.

use super::{
    super::{json_encode::JsonEncodeError, path::WithPath, plan::Mismatch, schema::SchemaError},
    FieldError, SchemaId,
};
use std::fmt;

/// All problems of a set of schemas. There is at least one.
#[derive(Debug)]
pub struct SchemaErrors {
    problems: Vec<SetProblem>,
}

impl SchemaErrors {
    pub(crate) fn new(problems: Vec<SetProblem>) -> Self {
        Self { problems }
    }

    /// Returns the problems, in the order of the directory.
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

/// A problem of a set of schemas.
#[derive(Debug)]
pub enum SetProblem {
    /// The directory contains no schema.
    Empty,
    /// The directory has more subjects than a [`SubjectId`](crate::record::SubjectId) can number.
    TooManySubjects,
    /// The name of a file is not a positive integer without leading zeros.
    Version {
        /// Path of the file.
        path: Box<str>,
    },
    /// The content of a file is not a valid schema.
    Schema {
        /// Path of the file.
        path: Box<str>,
        /// The error in the schema.
        error: Box<SchemaError>,
    },
    /// The outermost type of a schema is not a record.
    NotARecord {
        /// Path of the file.
        path: Box<str>,
    },
    /// The value of `schemaIds` is not a list of four-byte integers and UUIDs.
    Ids {
        /// Path of the file.
        path: Box<str>,
    },
    /// Two files have the same subject and version.
    DuplicateVersion {
        /// Path of the first file.
        first: Box<str>,
        /// Path of the second file.
        second: Box<str>,
    },
    /// A default in the newest version of a subject is not a valid value of its field.
    Default {
        /// Path of the file.
        path: Box<str>,
        /// Record and name of the field.
        field: Box<str>,
        /// The reason why the default is not valid.
        error: WithPath<JsonEncodeError>,
    },
    /// The newest version of a subject cannot read an older one.
    Incompatible {
        /// Name of the subject.
        subject: Box<str>,
        /// Number of the older version.
        writer: u32,
        /// Number of the newest version.
        reader: u32,
        /// The incompatibility, with its path.
        mismatch: Mismatch,
    },
    /// Two files have the same id in `schemaIds`.
    DuplicateId {
        /// The id.
        id: SchemaId,
        /// Path of the first file.
        first: Box<str>,
        /// Path of the second file.
        second: Box<str>,
    },
    /// Two subjects have the same identifier in one wire format, so that a message cannot say which of them it is for.
    Ambiguous {
        /// The identifier that both have, such as their fingerprint.
        what: Box<str>,
        /// Name of the first subject.
        first: Box<str>,
        /// Name of the second subject.
        second: Box<str>,
    },
    /// Two versions of one subject have the same fingerprint but different meanings, so single-object encoding cannot
    /// distinguish them.
    SameFingerprint {
        /// Name of the subject.
        subject: Box<str>,
        /// Number of the first version.
        first: u32,
        /// Number of the second version.
        second: u32,
    },
    /// The default schema is not in the directory.
    UnknownDefaultSchema {
        /// Name of the default schema.
        name: Box<str>,
    },
    /// A field that an item mapping names is not in the reader schema.
    Field {
        /// Name of the subject.
        subject: Box<str>,
        /// Path of the field.
        path: Box<str>,
        /// The reason why the path does not lead to a field.
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
