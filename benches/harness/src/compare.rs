//! Both bootstraps at the same work, in turns.

use crate::events::{self, Events};
use crate::figures::{Figures, Ratio};
use crate::process::{Process, Round, RunConfig};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The two bootstraps.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Bootstraps {
    /// Bootstrap of avro-ingest
    #[arg(long, value_name = "FILE")]
    pub(crate) ours: PathBuf,
    /// Bootstrap of the baseline
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: PathBuf,
}

/// How long it is measured.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Effort {
    /// How often each has its turn
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// Length of a turn in seconds
    #[arg(long, default_value = "2", value_parser = seconds)]
    pub(crate) turn: Duration,
}

impl Effort {
    /// Enough for what is not compared round by round.
    pub(crate) fn less(self) -> Self {
        Self { rounds: self.rounds.div_ceil(2), ..self }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// The figures of both.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Comparison {
    /// Messages of an event.
    pub(crate) messages: u32,
    /// Bytes of an event.
    pub(crate) event_bytes: usize,
    pub(crate) ours: Figures,
    pub(crate) baseline: Figures,
    /// CPU time for a message: how many times more the baseline takes.
    pub(crate) ratio: Ratio,
}

/// One bootstrap at work on events of `messages` messages.
pub(crate) async fn alone(
    bootstrap: &Path,
    messages: u32,
    config: &RunConfig,
    effort: Effort,
) -> Result<Figures, Box<dyn Error>> {
    let events = events::of(messages)?;
    let mut turns = Turns::start(bootstrap, &events, config, effort).await?;
    for _ in 0..effort.rounds {
        turns.take(effort).await?;
    }
    turns.figures()
}

/// Both at work on events of `messages` messages, in turns.
pub(crate) async fn both(
    bootstraps: &Bootstraps,
    messages: u32,
    config: &RunConfig,
    effort: Effort,
) -> Result<Comparison, Box<dyn Error>> {
    let events = events::of(messages)?;
    let mut ours = Turns::start(&bootstraps.ours, &events, config, effort).await?;
    let mut baseline = Turns::start(&bootstraps.baseline, &events, config, effort).await?;
    for _ in 0..effort.rounds {
        ours.take(effort).await?;
        baseline.take(effort).await?;
    }
    Ok(Comparison {
        messages,
        event_bytes: events.payloads.first().map_or(0, Bytes::len),
        ratio: Ratio::of(&ours.rounds, &baseline.rounds),
        ours: ours.figures()?,
        baseline: baseline.figures()?,
    })
}

/// A process and the turns it has had.
struct Turns<'e> {
    process: Process,
    events: &'e Events,
    rounds: Vec<Round>,
}

impl<'e> Turns<'e> {
    async fn start(
        bootstrap: &Path,
        events: &'e Events,
        config: &RunConfig,
        effort: Effort,
    ) -> Result<Self, Box<dyn Error>> {
        let process = Process::start(bootstrap, config).await?;
        // after this, connections are open, caches are warm and the limiter is steady
        process.work(events, effort.turn / 4).await?;
        Ok(Self { process, events, rounds: Vec::new() })
    }

    async fn take(&mut self, effort: Effort) -> Result<(), Box<dyn Error>> {
        self.rounds.push(self.process.work(self.events, effort.turn).await?);
        Ok(())
    }

    fn figures(&self) -> Result<Figures, Box<dyn Error>> {
        Ok(Figures::of(&self.rounds, self.process.peak_resident_bytes()?))
    }
}
