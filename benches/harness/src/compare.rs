//! The bootstraps at the same work, in turns.

use crate::events::{self, Events};
use crate::figures::{Figures, Ratio};
use crate::process::{Process, Round, RunConfig};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The bootstraps.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Bootstraps {
    /// Bootstrap of avro-ingest
    #[arg(long, value_name = "FILE")]
    pub(crate) ours: PathBuf,
    /// Bootstrap of the baseline
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: PathBuf,
    /// Bootstrap of the floor: the sockets alone
    #[arg(long, value_name = "FILE")]
    pub(crate) floor: PathBuf,
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

/// The figures of all contenders.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Comparison {
    /// Messages of an event.
    pub(crate) messages: u32,
    /// Bytes of an event.
    pub(crate) event_bytes: usize,
    pub(crate) ours: Figures,
    pub(crate) baseline: Figures,
    /// The sockets alone.
    pub(crate) floor: Figures,
    /// The sockets, base64 and SHA-256.
    pub(crate) hashing_floor: Figures,
    /// CPU time for a message: how many times more the baseline takes.
    pub(crate) ratio: Ratio,
    /// CPU time for a message: how many times more ours takes than the floor.
    pub(crate) over_floor: Ratio,
    /// CPU time for a message: how many times more ours takes than the floor that hashes.
    pub(crate) over_hashing_floor: Ratio,
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

/// Ours and the baseline at work on events of `messages` messages, in turns until each has had at least so many
/// `invocations`, and how many times more CPU the baseline takes.
pub(crate) async fn both(
    bootstraps: &Bootstraps,
    messages: u32,
    config: &RunConfig,
    effort: Effort,
    invocations: usize,
) -> Result<(Figures, Figures, Ratio), Box<dyn Error>> {
    let events = events::of(messages)?;
    let mut ours = Turns::start(&bootstraps.ours, &events, config, effort).await?;
    let mut baseline = Turns::start(&bootstraps.baseline, &events, config, effort).await?;
    while ours.rounds.len() < effort.rounds || [&ours, &baseline].iter().any(|turns| turns.invocations() < invocations)
    {
        ours.take(effort).await?;
        baseline.take(effort).await?;
    }
    Ok((ours.figures()?, baseline.figures()?, Ratio::of(&ours.rounds, &baseline.rounds)))
}

/// All at work on events of `messages` messages, in turns.
pub(crate) async fn all(
    bootstraps: &Bootstraps,
    messages: u32,
    config: &RunConfig,
    effort: Effort,
) -> Result<Comparison, Box<dyn Error>> {
    let events = events::of(messages)?;
    let mut ours = Turns::start(&bootstraps.ours, &events, config, effort).await?;
    let mut baseline = Turns::start(&bootstraps.baseline, &events, config, effort).await?;
    // the floor sends and logs as many bytes as ours, so ours has a first turn
    ours.take(effort).await?;
    let [plain, hashing] = floor_configs(config, &ours.rounds);
    let mut floor = Turns::start(&bootstraps.floor, &events, &plain, effort).await?;
    let mut hashing_floor = Turns::start(&bootstraps.floor, &events, &hashing, effort).await?;
    ours.rounds.clear();
    for _ in 0..effort.rounds {
        ours.take(effort).await?;
        baseline.take(effort).await?;
        floor.take(effort).await?;
        hashing_floor.take(effort).await?;
    }
    Ok(Comparison {
        messages,
        event_bytes: events.payloads.first().map_or(0, Bytes::len),
        ratio: Ratio::of(&ours.rounds, &baseline.rounds),
        over_floor: Ratio::of(&floor.rounds, &ours.rounds),
        over_hashing_floor: Ratio::of(&hashing_floor.rounds, &ours.rounds),
        ours: ours.figures()?,
        baseline: baseline.figures()?,
        floor: floor.figures()?,
        hashing_floor: hashing_floor.figures()?,
    })
}

/// The floor's configurations, without and with hashing, for requests and lines as large as those of `rounds`.
fn floor_configs(config: &RunConfig, rounds: &[Round]) -> [RunConfig; 2] {
    let sum = |value: fn(&Round) -> usize| rounds.iter().map(value).sum::<usize>();
    let item_bytes = sum(|round| round.sent_bytes) / sum(|round| round.messages).max(1);
    let line_bytes = sum(|round| round.log_bytes) / sum(|round| round.latencies.len()).max(1);
    ["0", "1"].map(|hashes| {
        let mut config = config.clone();
        config.settings.extend([
            ("FLOOR_ITEM_BYTES", item_bytes.to_string()),
            ("FLOOR_LINE_BYTES", line_bytes.to_string()),
            ("FLOOR_HASHES", hashes.to_owned()),
        ]);
        config
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

    fn invocations(&self) -> usize {
        self.rounds.iter().map(|round| round.latencies.len()).sum()
    }

    fn figures(&self) -> Result<Figures, Box<dyn Error>> {
        Ok(Figures::of(&self.rounds, self.process.peak_resident_bytes()?))
    }
}
