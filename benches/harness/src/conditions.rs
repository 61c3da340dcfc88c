//! Both at an endpoint as it is on most days: latencies with a tail, items that come back unprocessed, connections that die.

use crate::compare::{self, Bootstraps, Effort};
use crate::endpoint::{Behaviour, Trust};
use crate::figures::{Figures, Ratio};
use crate::process::RunConfig;
use local::faults::{Chance, Fault, Plan};
use local::sink::Latency;
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::time::Duration;

/// Messages of an event.
const BATCHES: [u32; 3] = [10, 100, 1_000];
/// Half of the answers take longer, and one in a hundred.
const LATENCY: [Duration; 2] = [Duration::from_millis(4), Duration::from_millis(25)];
/// One item in a hundred is handed back.
const UNPROCESSED: f64 = 0.01;
/// One call in two hundred loses its connection, before it is applied: so no item is taken twice, and what the endpoint has
/// taken can be held against what was sent.
const BROKEN: f64 = 0.005;
/// Invocations from which a P99 has others above it.
const INVOCATIONS: usize = 200;
const SEED: u64 = 15;

/// Events of one size, over plain HTTP or TLS.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Condition {
    /// Messages of an event.
    pub(crate) messages: u32,
    pub(crate) tls: bool,
    pub(crate) ours: Figures,
    pub(crate) baseline: Figures,
    /// CPU time for a message: how many times more the baseline takes.
    pub(crate) ratio: Ratio,
}

/// What it was measured under.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Conditions {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Share of the items that come back unprocessed.
    pub(crate) unprocessed: f64,
    /// Share of the calls whose connection dies.
    pub(crate) broken: f64,
    pub(crate) rows: Vec<Condition>,
}

pub(crate) async fn measure(bootstraps: &Bootstraps, effort: Effort) -> Result<Conditions, Box<dyn Error>> {
    let [median, p99] = LATENCY;
    let faults = vec![
        Chance::new(BROKEN, Fault::ResetBefore),
        Chance::new(1.0 - BROKEN, Fault::Unprocessed { share: UNPROCESSED }),
    ];
    let faults = Plan::new(SEED, faults)?;
    let mut rows = Vec::new();
    for tls in [false, true] {
        let endpoint = Behaviour {
            latency: Latency::LogNormal { median, p99 },
            faults: Some(faults.clone()),
            tls: tls.then_some(Trust::Machine),
        };
        // there is no queue to tell when a message should come back
        let settings = vec![("RETURN_BACKOFF_SECONDS", "0".to_owned())];
        let config = RunConfig { endpoint, settings, ..RunConfig::default() };
        for messages in BATCHES {
            eprintln!("{messages} messages an event under real conditions, {}", if tls { "TLS" } else { "plain HTTP" });
            let (ours, baseline, ratio) = compare::both(bootstraps, messages, &config, effort, INVOCATIONS).await?;
            rows.push(Condition { messages, tls, ours, baseline, ratio });
        }
    }
    Ok(Conditions {
        p50_ms: median.as_secs_f64() * 1e3,
        p99_ms: p99.as_secs_f64() * 1e3,
        unprocessed: UNPROCESSED,
        broken: BROKEN,
        rows,
    })
}
