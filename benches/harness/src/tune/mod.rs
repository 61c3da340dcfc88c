//! `harness tune`: the function with the share of a processor and the memory that Lambda gives it, to see which memory is
//! cheapest, and that the least is enough.

mod cgroup;
mod edge;
mod share;

use crate::compare::{self, Effort};
use crate::cost::Prices;
use crate::endpoint::Behaviour;
use crate::figures::Figures;
use crate::process::RunConfig;
use crate::report::tuning as tables;
use crate::results::{Machine, RunMetadata};
use cgroup::Cgroup;
pub(crate) use edge::Edge;
use serde::{Deserialize, Serialize};
use share::Share;
use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Memory of an instance, in MB.
const MEMORIES_MB: [u32; 6] = [128, 256, 512, 1_024, 1_769, 3_008];
/// Messages of an event.
const BATCHES: [u32; 3] = [10, 100, 1_000];
/// What an answer of the endpoint takes, in milliseconds.
const DELAYS_MS: [u64; 3] = [1, 5, 20];

/// Measures each memory of the function on the share of a processor that it buys, and writes it as JSON
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Bootstrap of avro-ingest
    #[arg(long, value_name = "FILE")]
    ours: PathBuf,
    #[command(flatten)]
    effort: Effort,
    #[command(flatten)]
    metadata: RunMetadata,
    /// Microseconds after which the share of processor time is given again. Lambda's own is not documented
    #[arg(long, default_value_t = 20_000, value_name = "MICROSECONDS", value_parser = clap::value_parser!(u32).range(20_000..=1_000_000))]
    period: u32,
    /// Only the largest events with the least memory
    #[arg(long)]
    edges: bool,
    /// Where the results go
    pub(crate) tuning: PathBuf,
}

/// What each memory of the function costs and takes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Tuning {
    pub(crate) machine: Machine,
    pub(crate) revision: String,
    pub(crate) date: String,
    /// Rounds, and the seconds of a turn.
    pub(crate) effort: (usize, f64),
    pub(crate) period_us: u32,
    /// The largest events with the least memory.
    pub(crate) edges: Vec<Edge>,
    pub(crate) runs: Vec<Run>,
    pub(crate) prices: Prices,
}

/// The function with one memory at one kind of work.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) memory_mb: u32,
    pub(crate) processors: f64,
    pub(crate) messages: u32,
    pub(crate) delay_ms: u64,
    pub(crate) figures: Figures,
    /// Dollars for a million messages: what Lambda takes, the part that depends on the memory.
    pub(crate) dollars: f64,
}

/// Why there is no result.
#[derive(Debug)]
enum TuneError {
    /// Nothing limits a process here.
    NoGroups(io::Error),
    /// The least memory was not enough.
    Killed(String),
}

impl fmt::Display for TuneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoGroups(source) => write!(
                f,
                "not measured: a function's share of a processor needs control groups that this user may make: {source}"
            ),
            Self::Killed(what) => write!(f, "neither stored nor returned: {what}"),
        }
    }
}

impl Error for TuneError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NoGroups(source) => Some(source),
            Self::Killed(_) => None,
        }
    }
}

/// Measures everything, and says on standard error how far it is.
pub(crate) async fn run(arguments: &Arguments, prices: Prices) -> Result<Tuning, Box<dyn Error>> {
    let Arguments { ours, effort, metadata, period, edges: only_edges, tuning } = arguments;
    let edges = edge::measure(ours, tuning.parent().unwrap_or(Path::new(".")), *period).await?;
    let mut runs = Vec::new();
    let memories = if *only_edges { &[][..] } else { &MEMORIES_MB };
    for &memory_mb in memories {
        let share = Share::of(memory_mb, *period);
        for messages in BATCHES {
            for delay_ms in DELAYS_MS {
                eprintln!("{memory_mb} MB, {messages} messages an event, an endpoint that takes {delay_ms} ms");
                let group = Cgroup::create(share, memory_mb).map_err(TuneError::NoGroups)?;
                let config = RunConfig {
                    endpoint: Behaviour::taking(Duration::from_millis(delay_ms)),
                    memory_mb,
                    launcher: group.launcher(),
                    ..RunConfig::default()
                };
                let figures = compare::alone(ours, messages, &config, *effort).await?;
                let dollars = prices.lambda(messages, memory_mb, figures.billed_ms);
                runs.push(Run { memory_mb, processors: share.processors(), messages, delay_ms, figures, dollars });
            }
        }
    }
    Ok(Tuning {
        machine: Machine::here()?,
        revision: metadata.revision.clone(),
        date: metadata.date.clone(),
        effort: (effort.rounds, effort.turn.as_secs_f64()),
        period_us: *period,
        edges,
        runs,
        prices,
    })
}

/// As tables of Markdown.
impl fmt::Display for Tuning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        table(f, &tables::EDGE_HEAD, self.edges.iter().map(tables::edge_cells))?;
        if self.runs.is_empty() { Ok(()) } else { table(f, &tables::HEAD, self.runs.iter().map(tables::cells)) }
    }
}

fn table(f: &mut fmt::Formatter<'_>, head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> fmt::Result {
    writeln!(f, "\n| {} |\n|{}", head.join(" | "), " --- |".repeat(head.len()))?;
    rows.into_iter().try_for_each(|cells| writeln!(f, "| {} |", cells.join(" | ")))
}
