//! The format of scenario files.

use std::time::Duration;

use serde::Deserialize;

/// One file of `scenarios/`: a link, its load, and the expected behaviour of the limit.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// Purpose of the scenario, and the reasons for its expected ranges.
    pub(crate) why: Vec<String>,
    pub(crate) target_ms: u64,
    pub(crate) min: usize,
    pub(crate) max: usize,
    /// Number of limiters that share the link without knowing of each other.
    #[serde(default = "one")]
    pub(crate) instances: usize,
    pub(crate) phases: Vec<Phase>,
    pub(crate) until_s: f64,
    pub(crate) expect: Vec<Expectation>,
}

/// Settings that apply from `from_s` until the next phase.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Phase {
    pub(crate) from_s: f64,
    pub(crate) load: Load,
    pub(crate) link: Link,
}

/// Load that each instance generates.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Load {
    /// Number of callers, each of which starts its next call when the previous one ends.
    Callers(usize),
    /// A burst of concurrent calls, as an invocation makes them, repeated with nothing in between.
    Bursts { calls: usize, every_s: f64 },
}

/// The network link to the table, and the table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Link {
    /// Median duration of a call that does not wait.
    pub(crate) service_ms: f64,
    /// Maximum number of calls served concurrently. The others wait in a queue. Unlimited if absent.
    pub(crate) served_at_once: Option<usize>,
    /// Sigma of the log-normal factor of the duration.
    #[serde(default)]
    pub(crate) jitter: f64,
    /// Random calls that take longer.
    pub(crate) stalls: Option<Stalls>,
    /// Share of calls that fail immediately with a 5xx status.
    #[serde(default)]
    pub(crate) failing: f64,
    /// Capacity of the table. Unlimited if absent.
    pub(crate) items_per_s: Option<f64>,
    /// Share of items on a hot partition, which refuses them regardless of the load.
    #[serde(default)]
    pub(crate) hot_items: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stalls {
    pub(crate) share: f64,
    pub(crate) ms: f64,
}

/// Conditions that must hold from `from_s` to `to_s`. Absent fields are not checked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expectation {
    pub(crate) from_s: f64,
    pub(crate) to_s: f64,
    /// Range of the limit of every instance.
    pub(crate) limit: Option<[usize; 2]>,
    /// Range of the mean limit over time of every instance.
    pub(crate) mean_limit: Option<[f64; 2]>,
    /// Maximum share of calls that take longer than the target.
    pub(crate) over_target: Option<f64>,
    /// Maximum share of items that are refused.
    pub(crate) refused: Option<f64>,
    /// Minimum number of items stored per second, by all instances together.
    pub(crate) items_per_s: Option<f64>,
}

impl Phase {
    pub(crate) fn from(&self) -> Duration {
        Duration::from_secs_f64(self.from_s)
    }
}

fn one() -> usize {
    1
}
