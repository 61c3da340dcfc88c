//! What a scenario file says.

use std::time::Duration;

use serde::Deserialize;

/// One file of `scenarios/`: a link, the load on it, and what the limit must make of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// What is shown, and why the bands are where they are.
    pub(crate) why: Vec<String>,
    pub(crate) target_ms: u64,
    pub(crate) min: usize,
    pub(crate) max: usize,
    /// Limiters that share the link and know nothing of one another.
    #[serde(default = "one")]
    pub(crate) instances: usize,
    pub(crate) phases: Vec<Phase>,
    pub(crate) until_s: f64,
    pub(crate) expect: Vec<Expectation>,
}

/// From `from_s` until the next phase.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Phase {
    pub(crate) from_s: f64,
    pub(crate) load: Load,
    pub(crate) link: Link,
}

/// What each instance wants to send.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Load {
    /// So many callers, each of which has its next call ready when the last one ends.
    Callers(usize),
    /// So many calls at once, as an invocation has them, and nothing in between.
    Bursts { calls: usize, every_s: f64 },
}

/// The way to the table and the table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Link {
    /// Median time of a call that does not wait.
    pub(crate) service_ms: f64,
    /// Calls served at a time: the others wait in line. Unbounded when absent.
    pub(crate) served_at_once: Option<usize>,
    /// Sigma of the log-normal factor on the service time.
    #[serde(default)]
    pub(crate) jitter: f64,
    /// Calls that take longer, at random.
    pub(crate) stalls: Option<Stalls>,
    /// The share of calls answered at once with a 5xx.
    #[serde(default)]
    pub(crate) failing: f64,
    /// The table's capacity; unbounded when absent.
    pub(crate) items_per_s: Option<f64>,
    /// The share of items on a hot partition, which refuses them whatever the load.
    #[serde(default)]
    pub(crate) hot_items: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stalls {
    pub(crate) share: f64,
    pub(crate) ms: f64,
}

/// What must hold from `from_s` to `to_s`; what is absent is free.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expectation {
    pub(crate) from_s: f64,
    pub(crate) to_s: f64,
    /// The limit of every instance stays in here.
    pub(crate) limit: Option<[usize; 2]>,
    /// The mean over time of every instance's limit is in here.
    pub(crate) mean_limit: Option<[f64; 2]>,
    /// At most this share of calls takes longer than the target.
    pub(crate) over_target: Option<f64>,
    /// At most this share of items is refused.
    pub(crate) refused: Option<f64>,
    /// At least so many items are stored a second, by all instances together.
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
