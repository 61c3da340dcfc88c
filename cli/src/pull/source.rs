//! The source of schemas: a registry with Confluent's API, or AWS Glue.

use super::glue::Glue;
use super::json::Json;
use super::registry::Registry;
use std::error::Error;
use std::fmt;

/// A version of a subject, as its registry has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Version {
    pub(super) subject: String,
    pub(super) number: u32,
    /// Its names in the registry: numbers, and UUIDs as texts.
    pub(super) ids: Vec<Json>,
    pub(super) schema: Json,
}

/// A version, or a whole subject, that is not pulled because it is not an Avro record or does not exist any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub(super) subject: String,
    /// None: the whole subject.
    pub(super) version: Option<u32>,
    pub(super) why: String,
}

/// A subject's versions in Avro, and the other ones.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct History {
    pub(super) versions: Vec<Version>,
    pub(super) left_out: Vec<LeftOut>,
}

/// The failure of reading a subject.
#[derive(Debug)]
pub(super) enum Failure {
    /// The registry does not have it, or not any more.
    Gone(String),
    /// It alone cannot be pulled.
    Subject(String),
    /// The registry serves nothing.
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

/// A registry of either kind.
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
