//! Source of schemas: a registry with Confluent's API, or AWS Glue.

use super::glue::Glue;
use super::json::Json;
use super::registry::Registry;
use std::error::Error;
use std::fmt;

/// A version of a subject in a registry.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Version {
    pub(super) subject: String,
    pub(super) number: u32,
    /// Ids in the registry. An id is a number, or a UUID as a string.
    pub(super) ids: Vec<Json>,
    pub(super) schema: Json,
}

/// A version, or a whole subject, that is not pulled because it is not an Avro record or no longer exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub(super) subject: String,
    /// `None` for the whole subject.
    pub(super) version: Option<u32>,
    pub(super) why: String,
}

/// The Avro versions of a subject, and the versions that are left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct History {
    pub(super) versions: Vec<Version>,
    pub(super) left_out: Vec<LeftOut>,
}

/// Failure to read a subject.
#[derive(Debug)]
pub(super) enum Failure {
    /// The registry does not have the subject, or no longer has it.
    Gone(String),
    /// Only this subject cannot be pulled.
    Subject(String),
    /// The registry is unavailable.
    Registry(Box<dyn Error>),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone(cause) | Self::Subject(cause) => f.write_str(cause),
            Self::Registry(cause) => cause.fmt(f),
        }
    }
}

/// A registry of any kind.
pub(super) enum Source {
    Registry(Box<Registry>),
    Glue(Box<Glue>),
}

impl Source {
    pub(super) async fn subjects(&self) -> Result<Vec<String>, Box<dyn Error>> {
        match self {
            Self::Registry(registry) => registry.subjects().await,
            Self::Glue(glue) => glue.subjects().await,
        }
    }

    pub(super) async fn history(&self, subject: &str) -> Result<History, Failure> {
        match self {
            Self::Registry(registry) => registry.history(subject).await,
            Self::Glue(glue) => glue.history(subject).await,
        }
    }
}
