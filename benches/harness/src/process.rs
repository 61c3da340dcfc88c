//! A bootstrap as a process of its own, between a runtime API that feeds it and an endpoint that takes everything.

use crate::clock;
use crate::endpoint::{Behaviour, Endpoint};
use crate::events::Events;
use bytes::Bytes;
use local::lambda::{Function, Invocation, Outcome, Settings};
use std::error::Error;
use std::fs;
use std::num::NonZero;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::task::JoinSet;

/// As long as a real function may take; none of these comes near it.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Memory of an instance in MB: the template's default.
pub(crate) const MEMORY_MB: u32 = 512;
/// Memory in MB that buys one processor.
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>
pub(crate) const MEMORY_OF_A_PROCESSOR_MB: u32 = 1_769;
/// An answer that returns no message.
const ALL_STORED: &[u8] = br#"{"batchItemFailures":[]}"#;

/// Where a bootstrap stands.
#[derive(Debug, Clone)]
pub(crate) struct RunConfig {
    /// What it writes to.
    pub(crate) endpoint: Behaviour,
    /// How many invocations it works on at once.
    pub(crate) concurrency: NonZero<u32>,
    /// Memory it is told it has, in MB, by which it chooses its threads.
    pub(crate) memory_mb: u32,
    /// A command that starts the bootstrap, its path being the last argument; empty for none.
    pub(crate) launcher: String,
    /// Its schema directory.
    pub(crate) schemas: PathBuf,
    /// Settings of its own.
    pub(crate) settings: Vec<(&'static str, String)>,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            endpoint: Behaviour::taking(Duration::ZERO),
            concurrency: NonZero::<u32>::MIN,
            memory_mb: MEMORY_MB,
            launcher: String::new(),
            schemas: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas"),
            settings: Vec::new(),
        }
    }
}

/// A bootstrap that has asked for its first event.
pub(crate) struct Process {
    function: Function,
    endpoint: Endpoint,
    concurrency: usize,
    /// Whether messages may come back.
    has_faults: bool,
}

/// What one turn of work took.
#[derive(Debug, Clone, Default)]
pub(crate) struct Round {
    /// Messages that were stored.
    pub(crate) messages: usize,
    /// Messages that were given back.
    pub(crate) returned: usize,
    pub(crate) wall: Duration,
    /// User and kernel time of the process alone, to 10 ms.
    pub(crate) cpu: Duration,
    /// Of each invocation, from handing out its event to taking its answer.
    pub(crate) latencies: Vec<Duration>,
    /// Bytes of its requests' bodies.
    pub(crate) sent_bytes: usize,
    /// What the process wrote: its log and its metrics.
    pub(crate) log_bytes: usize,
}

impl Process {
    /// Starts `bootstrap`.
    pub(crate) async fn start(bootstrap: &Path, config: &RunConfig) -> Result<Self, Box<dyn Error>> {
        let endpoint = Endpoint::start(&config.endpoint)?;
        let mut settings = Settings::new(launched(bootstrap, &config.launcher)?);
        settings.memory_mb = config.memory_mb;
        settings.max_concurrency = config.concurrency;
        settings.init_timeout = TIMEOUT;
        let schemas = config.schemas.display().to_string();
        let common = [
            ("TABLE_NAME", "orders".to_owned()),
            ("SCHEMA_DIR", schemas),
            ("AWS_ENDPOINT_URL_DYNAMODB", endpoint.url()),
        ];
        let all = common.into_iter().chain(config.settings.iter().cloned());
        settings.environment.extend(all.map(|(name, value)| (name.to_owned(), value)));
        if let Some(certificates) = endpoint.certificates()? {
            let file = bootstrap.with_extension("pem");
            fs::write(&file, certificates)?;
            settings.environment.insert("SSL_CERT_FILE".to_owned(), file.display().to_string());
        }
        let function = Function::start(settings).await?;
        let concurrency = function.max_concurrency();
        Ok(Self { function, endpoint, concurrency, has_faults: config.endpoint.faults.is_some() })
    }

    /// Sends `events` over and over for as long as `duration`, and checks that every message is stored.
    pub(crate) async fn work(&self, events: &Events, duration: Duration) -> Result<Round, Box<dyn Error>> {
        let (started, cpu, taken) = (clock::now(), self.function.usage()?.cpu, self.endpoint.received());
        let mut payloads = events.payloads.iter().cycle();
        let mut round = Round::default();
        let mut running = JoinSet::new();
        loop {
            let over = clock::now() - started >= duration;
            while !over && running.len() < self.concurrency {
                let payload = payloads.next().ok_or("no events")?;
                running.spawn(self.function.invoke(payload.clone(), TIMEOUT));
            }
            let Some(invocation) = running.join_next().await.transpose()? else { break };
            round.returned += self.returned(&invocation)?;
            round.latencies.push(invocation.duration);
        }
        round.wall = clock::now() - started;
        round.cpu = self.function.usage()?.cpu - cpu;
        round.log_bytes = self.function.take_output().iter().map(|line| line.text.len() + 1).sum();
        round.messages = events.messages * round.latencies.len() - round.returned;
        let now = self.endpoint.received();
        round.sent_bytes = usize::try_from(now.bytes - taken.bytes)?;
        let taken = usize::try_from(now.items - taken.items)?;
        // a message that was given back may be stored as well
        if !(round.messages..=round.messages + round.returned).contains(&taken) {
            return Err(
                format!("{} messages and {} given back, but {taken} items", round.messages, round.returned).into()
            );
        }
        Ok(round)
    }

    /// How many messages came back: none, unless something goes wrong on purpose.
    fn returned(&self, invocation: &Invocation) -> Result<usize, Box<dyn Error>> {
        match &invocation.outcome {
            Outcome::Response(answer) if answer == ALL_STORED => Ok(0),
            Outcome::Response(answer) if self.has_faults => {
                let answer: serde_json::Value = serde_json::from_slice(answer)?;
                let returned = answer.get("batchItemFailures").and_then(serde_json::Value::as_array);
                Ok(returned.ok_or_else(|| format!("no batch response: {answer}"))?.len())
            }
            other => {
                let log: Vec<_> = self.function.take_output().into_iter().map(|line| line.text).collect();
                Err(format!("an invocation ended with {other:?}\n{}", log.join("\n")).into())
            }
        }
    }

    /// Sends one of `events`, checks that it is stored, and gives the time it took.
    pub(crate) async fn once(&self, events: &Events) -> Result<Duration, Box<dyn Error>> {
        let payload = events.payloads.first().ok_or("no events")?.clone();
        let invocation = self.function.invoke(payload, TIMEOUT).await;
        self.returned(&invocation)?;
        Ok(invocation.duration)
    }

    /// Sends one event, whatever becomes of it.
    pub(crate) async fn invoke(&self, payload: Bytes, timeout: Duration) -> Invocation {
        self.function.invoke(payload, timeout).await
    }

    /// Items that its endpoint has got.
    pub(crate) fn items(&self) -> u64 {
        self.endpoint.received().items
    }

    /// From its start to its first call for an event.
    pub(crate) fn init(&self) -> Result<Duration, Box<dyn Error>> {
        Ok(self.function.init_duration().ok_or("the process has ended")?)
    }

    /// Its largest resident set so far, in bytes.
    pub(crate) fn peak_resident_bytes(&self) -> Result<u64, Box<dyn Error>> {
        Ok(self.function.usage()?.peak_resident_bytes)
    }
}

/// The executable that starts `bootstrap` by `launcher` and becomes it, so that both are one process.
fn launched(bootstrap: &Path, launcher: &str) -> Result<PathBuf, Box<dyn Error>> {
    if launcher.is_empty() {
        return Ok(bootstrap.to_owned());
    }
    let script = bootstrap.with_extension("launched");
    fs::write(&script, format!("#!/bin/sh\nexec {launcher} {}\n", bootstrap.display()))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    Ok(script)
}
