//! What rounds come to.

use crate::process::Round;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One bootstrap at one kind of work.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// CPU time of the process, user and kernel, for a message, in microseconds. The median of the rounds.
    pub(crate) cpu_us: f64,
    pub(crate) messages_per_second: f64,
    /// Percentiles of an invocation, in milliseconds.
    pub(crate) p50_ms: f64,
    pub(crate) p95_ms: f64,
    pub(crate) p99_ms: f64,
    /// What Lambda bills for an invocation on average: each is rounded up to whole milliseconds.
    pub(crate) billed_ms: f64,
    pub(crate) peak_resident_mb: f64,
    pub(crate) invocations: usize,
    /// Bytes of log and metrics an invocation, on average.
    pub(crate) log_bytes: f64,
    /// Share of the messages that were given back.
    #[serde(default)]
    pub(crate) returned: f64,
}

/// Percentiles of a time, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Percentiles {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

impl Percentiles {
    pub(crate) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let percentile = |percent| at(&times, percent).as_secs_f64() * 1e3;
        Self { p50_ms: percentile(50), p99_ms: percentile(99) }
    }
}

/// A ratio and how far it went from round to round.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Ratio {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Figures {
    pub(crate) fn of(rounds: &[Round], peak_resident_bytes: u64) -> Self {
        let mut latencies: Vec<Duration> = rounds.iter().flat_map(|round| &round.latencies).copied().collect();
        latencies.sort_unstable();
        let percentile = |percent| at(&latencies, percent).as_secs_f64() * 1_000.0;
        let rates = rounds.iter().map(|round| round.messages as f64 / round.wall.as_secs_f64());
        Self {
            cpu_us: median(rounds.iter().map(cpu_us)),
            messages_per_second: median(rates),
            p50_ms: percentile(50),
            p95_ms: percentile(95),
            p99_ms: percentile(99),
            billed_ms: billed_ms(&latencies),
            peak_resident_mb: peak_resident_bytes as f64 / f64::from(1 << 20),
            invocations: latencies.len(),
            returned: {
                let sum = |of: fn(&Round) -> usize| rounds.iter().map(of).sum::<usize>() as f64;
                let returned = sum(|round| round.returned);
                returned / (returned + sum(|round| round.messages))
            },
            log_bytes: rounds.iter().map(|round| round.log_bytes).sum::<usize>() as f64 / latencies.len() as f64,
        }
    }
}

impl Ratio {
    /// How many times more `theirs` took than `ours`, round by round.
    pub(crate) fn of(ours: &[Round], theirs: &[Round]) -> Self {
        let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| cpu_us(theirs) / cpu_us(ours)).collect();
        Self {
            median: median(ratios.iter().copied()),
            least: ratios.iter().copied().fold(f64::INFINITY, f64::min),
            most: ratios.iter().copied().fold(0.0, f64::max),
        }
    }
}

fn cpu_us(round: &Round) -> f64 {
    round.cpu.as_secs_f64() * 1e6 / round.messages as f64
}

/// The mean of `latencies`, each rounded up to whole milliseconds.
fn billed_ms(latencies: &[Duration]) -> f64 {
    let billed = latencies.iter().map(|latency| (latency.as_secs_f64() * 1_000.0).ceil());
    billed.sum::<f64>() / latencies.len() as f64
}

/// The value that `percent` of the sorted `values` do not exceed.
fn at(values: &[Duration], percent: usize) -> Duration {
    let rank = (values.len() * percent).div_ceil(100).saturating_sub(1);
    values.get(rank).copied().unwrap_or_default()
}

/// The middle one, or the mean of the middle two.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let middle = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    (middle(values.len().saturating_sub(1) / 2) + middle(values.len() / 2)) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_or_between_the_middle_two() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 3.0, 2.0].into_iter()), 2.5);
        assert!(median(std::iter::empty()).is_nan());
    }

    #[test]
    fn a_percentile_is_a_value_that_came() {
        let values: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!([50, 95, 99].map(|percent| at(&values, percent).as_millis()), [50, 95, 99]);
        assert_eq!(at(&[Duration::from_secs(1)], 99).as_secs(), 1);
        assert_eq!(at(&[], 50), Duration::ZERO);
    }

    #[test]
    fn every_millisecond_that_has_begun_is_billed() {
        let latencies = [1_000, 1_001, 2_500].map(Duration::from_micros);
        assert_eq!(billed_ms(&latencies), (1.0 + 2.0 + 3.0) / 3.0);
    }

    #[test]
    fn a_ratio_compares_round_with_round() {
        let round =
            |milliseconds| Round { messages: 1_000, cpu: Duration::from_millis(milliseconds), ..Round::default() };
        let ratio = Ratio::of(&[round(10), round(20), round(10)], &[round(50), round(80), round(60)]);
        assert_eq!((ratio.least, ratio.median, ratio.most), (4.0, 5.0, 6.0));
    }
}
