//! Everything that is measured, in the order in which it is measured.

use crate::compare::{self, Bootstraps, Comparison, Effort};
use crate::conditions::{self, Conditions};
use crate::cost::{Cost, Prices};
use crate::endpoint::Behaviour;
use crate::events;
use crate::figures::{Figures, median};
use crate::process::{MEMORY_OF_A_PROCESSOR_MB, Process, RunConfig};
use crate::starts::{self, Start};
use crate::steps::Steps;
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::fs;
use std::num::NonZero;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::available_parallelism;
use std::time::Duration;

/// Messages of an event.
const BATCHES: [u32; 4] = [10, 100, 1_000, 5_000];
/// What an answer of DynamoDB takes within a region.
const DELAY: Duration = Duration::from_millis(5);
/// Write calls at once.
const LIMITS: [u32; 6] = [1, 2, 5, 10, 20, 50];
/// Messages of an event and invocations at once, for one process at its most.
const SUSTAINED: [(u32, u32); 4] = [(1_000, 1), (5_000, 1), (1_000, 2), (1_000, 4)];
/// The event that cores and limits are tried on.
const BATCH: u32 = 1_000;
/// Starts of each bootstrap.
const STARTS: usize = 10;

/// Everything that is measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    /// What was measured: the revision of the sources.
    pub(crate) revision: String,
    pub(crate) date: String,
    /// Rounds, and the seconds of a turn.
    pub(crate) effort: (usize, f64),
    pub(crate) start: Started,
    /// By what is there at the start.
    #[serde(default)]
    pub(crate) starts: Vec<Start>,
    /// By the size of the event, with an endpoint that answers at once.
    pub(crate) at_once: Vec<Comparison>,
    /// The same with an endpoint that takes [`DELAY`].
    pub(crate) delayed: Vec<Comparison>,
    pub(crate) delay_ms: u64,
    #[serde(default)]
    pub(crate) conditions: Option<Conditions>,
    /// By cores; none where `taskset` is missing.
    pub(crate) cores: Vec<Cores>,
    pub(crate) limits: Vec<Limit>,
    pub(crate) sustained: Vec<Sustained>,
    /// The largest event Lambda delivers.
    pub(crate) largest: Largest,
    pub(crate) steps: Steps,
    pub(crate) prices: Prices,
    pub(crate) costs: Vec<Cost>,
}

/// Where it was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
}

/// From exec to the first call for an event.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Started {
    /// Medians, in milliseconds.
    pub(crate) ours_ms: f64,
    pub(crate) baseline_ms: f64,
    pub(crate) ours_bytes: u64,
    pub(crate) baseline_bytes: u64,
}

/// Both on so many cores.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Cores {
    pub(crate) cores: u32,
    pub(crate) comparison: Comparison,
}

/// avro-ingest with so many write calls at once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Limit {
    pub(crate) in_flight: u32,
    pub(crate) figures: Figures,
}

/// avro-ingest at its most.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sustained {
    pub(crate) messages: u32,
    /// Invocations at once.
    pub(crate) concurrency: u32,
    pub(crate) figures: Figures,
}

/// avro-ingest on the largest event.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Largest {
    pub(crate) messages: u32,
    pub(crate) figures: Figures,
}

/// What the caller knows and this program does not.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RunMetadata {
    /// Revision of the sources
    #[arg(long, default_value = "unknown")]
    pub(crate) revision: String,
    /// Today
    #[arg(long, default_value = "unknown")]
    pub(crate) date: String,
}

/// Measures everything, and says on standard error how far it is. What it needs on disk goes to `folder`.
pub(crate) async fn measure(
    bootstraps: &Bootstraps,
    effort: Effort,
    metadata: RunMetadata,
    prices: Prices,
    folder: &Path,
) -> Result<Results, Box<dyn Error>> {
    eprintln!("single steps");
    // one of the candidates has a runtime of its own
    let steps = tokio::task::block_in_place(Steps::time)?;
    eprintln!("start");
    let start = start(bootstraps).await?;
    let starts = starts::measure(bootstraps, folder).await?;
    let delayed_surroundings = RunConfig { endpoint: Behaviour::taking(DELAY), ..RunConfig::default() };
    let at_once = batches(bootstraps, Duration::ZERO, effort).await?;
    let delayed = batches(bootstraps, DELAY, effort).await?;
    let conditions = Some(conditions::measure(bootstraps, effort).await?);
    let cores = cores(bootstraps, effort).await?;
    let ours = &bootstraps.ours;

    let mut limits = Vec::new();
    for in_flight in LIMITS {
        eprintln!("{in_flight} write calls at once");
        let settings = ["MIN_IN_FLIGHT", "MAX_IN_FLIGHT"].map(|name| (name, in_flight.to_string())).to_vec();
        let config = RunConfig { settings, ..delayed_surroundings.clone() };
        limits.push(Limit { in_flight, figures: compare::alone(ours, BATCH, &config, effort.less()).await? });
    }
    let mut sustained = Vec::new();
    for (messages, concurrency) in SUSTAINED {
        eprintln!("{concurrency} invocations of {messages} messages at once");
        let at_once = NonZero::new(concurrency).unwrap_or(NonZero::<u32>::MIN);
        let config = RunConfig { concurrency: at_once, ..delayed_surroundings.clone() };
        let figures = compare::alone(ours, messages, &config, effort.less()).await?;
        sustained.push(Sustained { messages, concurrency, figures });
    }
    let messages = events::most()?;
    eprintln!("{messages} messages, the most an event has room for");
    let largest =
        Largest { messages, figures: compare::alone(ours, messages, &delayed_surroundings, effort.less()).await? };

    let item_bytes = steps.sizes.first().map_or(f64::NAN, |(_, sizes)| sizes.item);
    Ok(Results {
        machine: Machine::here()?,
        revision: metadata.revision,
        date: metadata.date,
        effort: (effort.rounds, effort.turn.as_secs_f64()),
        start,
        starts,
        costs: delayed.iter().map(|comparison| prices.cost(comparison, item_bytes)).collect(),
        at_once,
        delayed,
        delay_ms: u64::try_from(DELAY.as_millis())?,
        conditions,
        cores,
        limits,
        sustained,
        largest,
        steps,
        prices,
    })
}

async fn batches(bootstraps: &Bootstraps, delay: Duration, effort: Effort) -> Result<Vec<Comparison>, Box<dyn Error>> {
    let config = RunConfig { endpoint: Behaviour::taking(delay), ..RunConfig::default() };
    let mut comparisons = Vec::new();
    for messages in BATCHES {
        eprintln!("{messages} messages an event, an endpoint that takes {delay:?}");
        comparisons.push(compare::all(bootstraps, messages, &config, effort).await?);
    }
    Ok(comparisons)
}

/// Both pinned to the first so many cores.
async fn cores(bootstraps: &Bootstraps, effort: Effort) -> Result<Vec<Cores>, Box<dyn Error>> {
    let taskset = Command::new("taskset").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !taskset.is_ok_and(|status| status.success()) {
        eprintln!("cores skipped: taskset, of util-linux, is not installed");
        return Ok(Vec::new());
    }
    let mut results = Vec::new();
    let most = u32::try_from(available_parallelism()?.get())?.min(2);
    for cores in 1..=most {
        eprintln!("{cores} of {most} cores");
        let launcher = format!("taskset --cpu-list 0-{}", cores - 1);
        let memory_mb = MEMORY_OF_A_PROCESSOR_MB * cores;
        let config = RunConfig { launcher, memory_mb, ..RunConfig::default() };
        let comparison = compare::all(bootstraps, BATCH, &config, effort.less()).await?;
        results.push(Cores { cores, comparison });
    }
    Ok(results)
}

async fn start(bootstraps: &Bootstraps) -> Result<Started, Box<dyn Error>> {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..STARTS {
        for (bootstrap, times) in [&bootstraps.ours, &bootstraps.baseline].into_iter().zip(&mut times) {
            let process = Process::start(bootstrap, &RunConfig::default()).await?;
            times.push(process.init()?.as_secs_f64() * 1e3);
        }
    }
    let [ours, baseline] = times.map(|times| median(times.into_iter()));
    let bytes = |path: &Path| fs::metadata(path).map(|metadata| metadata.len());
    Ok(Started {
        ours_ms: ours,
        baseline_ms: baseline,
        ours_bytes: bytes(&bootstraps.ours)?,
        baseline_bytes: bytes(&bootstraps.baseline)?,
    })
}

impl Machine {
    pub(crate) fn here() -> Result<Self, Box<dyn Error>> {
        let info = fs::read_to_string("/proc/cpuinfo")?;
        let model =
            info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name));
        Ok(Self {
            processor: model.unwrap_or("a processor of unknown model").trim().to_owned(),
            cores: available_parallelism()?.get(),
            // the version, without what a distribution or a cloud adds
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?
                .trim()
                .split('-')
                .next()
                .unwrap_or_default()
                .to_owned(),
        })
    }
}
