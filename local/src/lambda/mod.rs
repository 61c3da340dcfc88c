//! AWS Lambda around a real bootstrap process: the Runtime API 2018-06-01, the execution environment, its lifecycle.
//!
//! A [`Function`] has one execution environment at a time: one process with a Runtime API of its own. It lives until it
//! exits, is killed or, as on Lambda, lets an invocation time out; the next invocation then starts another. With
//! [`Settings::max_concurrency`] over 1 it is an environment of Lambda Managed Instances: several invocations at once, and
//! a timeout fails its own invocation only, while the process runs on.

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

/// What a function is made of.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The executable that speaks to the Runtime API.
    pub bootstrap: PathBuf,
    /// A program and its arguments that execute the bootstrap, their last argument, in their own place. Default: none.
    pub launcher: Vec<OsString>,
    /// `AWS_LAMBDA_FUNCTION_NAME`. Default: `avro-ingest`.
    pub name: String,
    /// `AWS_LAMBDA_FUNCTION_MEMORY_SIZE` in MB. Said to the process, not enforced. Default: 512.
    pub memory_mb: u32,
    /// What the process finds in its environment besides what Lambda itself sets; wins over that. Nothing is inherited.
    pub environment: BTreeMap<String, String>,
    /// How many invocations an environment works on at once; over 1, `AWS_LAMBDA_MAX_CONCURRENCY` is set. Default: 1.
    pub max_concurrency: NonZero<u32>,
    /// How long an environment may take from its start to asking for its first event. Default: 10 s, as on Lambda.
    pub init_timeout: Duration,
}

impl Settings {
    /// A function that runs `bootstrap`, with everything else at its default.
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

/// One invocation that has ended.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// `Lambda-Runtime-Aws-Request-Id`.
    pub request_id: String,
    /// How it ended.
    pub outcome: Outcome,
    /// From handing the event to the process until the outcome. Waiting for the process to start or to be free is not in it.
    pub duration: Duration,
}

/// How an invocation ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The process answered: the response's bytes.
    Response(Bytes),
    /// The process reported an error of this invocation or of its start.
    Error {
        /// `errorType`
        error_type: String,
        /// `errorMessage`
        message: String,
    },
    /// No answer within the timeout.
    TimedOut,
    /// The process ended without an answer.
    Crashed(Exit),
}

/// How a process ended.
#[derive(Debug, Clone)]
pub struct Exit {
    /// Its status, unless even that could not be learned.
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

/// Why an environment never asked for its first event.
#[derive(Debug)]
pub enum InitError {
    /// The thread, the listener or the process could not be started.
    NotStarted(io::Error),
    /// The process reported what is wrong.
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
