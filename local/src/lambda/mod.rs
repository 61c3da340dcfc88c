//! An AWS Lambda emulator that runs a real bootstrap process: the Runtime API 2018-06-01 and the lifecycle of execution
//! environments.
//!
//! A [`Function`] has one execution environment at a time, which is one process with its own Runtime API. The environment lives
//! until its process exits, is killed or, as on Lambda, exceeds the timeout of an invocation. The next invocation then starts a
//! new environment. If [`Settings::max_concurrency`] is greater than 1, it behaves like Lambda Managed Instances: it runs
//! several invocations at once, and a timeout fails only its own invocation while the process continues.

mod api;
mod environment;
mod function;
mod output;
mod usage;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use bytes::Bytes;

pub use function::{ACCOUNT, Function, REGION};
pub use output::{Line, Stream};
pub use usage::Usage;

/// Configuration of a function.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The executable that uses the Runtime API.
    pub bootstrap: PathBuf,
    /// A program and its arguments, which executes the bootstrap passed as its last argument, replacing itself (`exec`).
    /// Default: none.
    pub launcher: Vec<OsString>,
    /// `AWS_LAMBDA_FUNCTION_NAME`. Default: `avro-ingest`.
    pub name: String,
    /// `AWS_LAMBDA_FUNCTION_MEMORY_SIZE` in MB. It is passed to the process but not enforced. Default: 512.
    pub memory_mb: u32,
    /// Environment variables of the process. They override those that Lambda itself sets. Nothing is inherited.
    pub environment: BTreeMap<String, String>,
    /// Maximum number of concurrent invocations per environment. If it is greater than 1, `AWS_LAMBDA_MAX_CONCURRENCY` is set.
    /// Default: 1.
    pub max_concurrency: NonZero<u32>,
    /// Maximum time from the start of an environment to its first request for an event. Default: 10 s, as on Lambda.
    pub init_timeout: Duration,
}

impl Settings {
    /// Creates the settings of a function that runs `bootstrap`, with everything else at its default.
    pub fn new(bootstrap: impl Into<PathBuf>) -> Self {
        Self {
            bootstrap: bootstrap.into(),
            launcher: Vec::new(),
            name: "avro-ingest".to_owned(),
            memory_mb: 512,
            environment: BTreeMap::new(),
            max_concurrency: NonZero::<u32>::MIN,
            init_timeout: Duration::from_secs(10),
        }
    }
}

/// A completed invocation.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// `Lambda-Runtime-Aws-Request-Id`.
    pub request_id: String,
    /// The outcome.
    pub outcome: Outcome,
    /// Time from passing the event to the process until the outcome. It excludes waiting for the process to start or to become
    /// free.
    pub duration: Duration,
}

/// Outcome of an invocation.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The process responded with these bytes.
    Response(Bytes),
    /// The process reported an error of the invocation or of its own initialization.
    Error {
        /// `errorType`
        error_type: String,
        /// `errorMessage`
        message: String,
    },
    /// No response arrived within the timeout.
    TimedOut,
    /// The process ended without a response.
    Crashed(Exit),
}

/// How a process ended.
#[derive(Debug, Clone)]
pub struct Exit {
    /// Exit status, if it could be determined.
    pub status: Option<ExitStatus>,
    /// The last lines it wrote to standard error.
    pub stderr: Vec<String>,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "{status}")?,
            None => f.write_str("unknown exit status")?,
        }
        self.stderr.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// Reason why an environment never requested its first event.
#[derive(Debug)]
pub enum InitError {
    /// The thread, the listener or the process could not be started.
    NotStarted(io::Error),
    /// The process reported an initialization error.
    Reported {
        /// `errorType`
        error_type: String,
        /// `errorMessage`
        message: String,
        /// The last lines it wrote to standard error.
        stderr: Vec<String>,
    },
    /// The process ended.
    Exited(Exit),
    /// The process took longer than [`Settings::init_timeout`] and was killed.
    TimedOut(Exit),
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted(_) => f.write_str("the bootstrap could not be started"),
            Self::Reported { error_type, message, .. } => write!(f, "the bootstrap reported {error_type}: {message}"),
            Self::Exited(exit) => write!(f, "the bootstrap ended during init: {exit}"),
            Self::TimedOut(exit) => write!(f, "the bootstrap asked for no event in time: {exit}"),
        }
    }
}

impl std::error::Error for InitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotStarted(source) => Some(source),
            _ => None,
        }
    }
}
