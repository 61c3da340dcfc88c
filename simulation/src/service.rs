//! Durations of invocations, from a benchmark of the function or from a single figure given by the user.

use crate::limits::MEMORY_PER_PROCESSOR_MB;
use rand_distr::{Distribution, Exp1, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Deserialize;
use std::error::Error;
use std::path::Path;

/// The part of results.json, written by `make bench`, that a plan needs. Other fields are ignored.
#[derive(Debug, Clone, Deserialize)]
struct Results {
    revision: String,
    date: String,
    machine: Machine,
    start: Start,
    /// Durations with a DynamoDB latency of `delay_ms`, by messages per invocation.
    delayed: Vec<Comparison>,
    delay_ms: f64,
}

#[derive(Debug, Clone, Deserialize)]
struct Machine {
    processor: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Start {
    ours_ms: f64,
}

#[derive(Debug, Clone, Deserialize)]
struct Comparison {
    messages: u32,
    ours: MeasuredSize,
}

#[derive(Debug, Clone, Deserialize)]
struct MeasuredSize {
    cpu_us: f64,
    p50_ms: f64,
    p95_ms: f64,
    peak_resident_mb: f64,
    log_bytes: f64,
}

/// Measurements of invocations of one size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeasuredInvocation {
    /// Number of records in an invocation.
    records: f64,
    /// Median duration with a whole processor.
    median_seconds: f64,
    /// Standard deviation of the logarithm of the duration. `None` if the duration is exponentially distributed.
    deviation: Option<f64>,
    processor_seconds: f64,
    pub resident_mb: f64,
    pub log_bytes: f64,
}

/// Durations of invocations by their size.
#[derive(Debug, Clone)]
pub struct ServiceTimes {
    /// Measurements, in ascending order of records. There is at least one.
    sizes: Vec<MeasuredInvocation>,
    pub cold_start_seconds: f64,
    /// Description of the source, for people.
    pub source: String,
}

/// The 95th percentile of the standard normal distribution.
const NORMAL_P95: f64 = 1.644_853_626_951;

impl ServiceTimes {
    /// Reads the file that `make bench` writes.
    pub fn read(path: &Path) -> Result<Self, Box<dyn Error>> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        Self::parse(&text)
            .map_err(|error| format!("{} is not a measurement as make bench writes it: {error}", path.display()).into())
    }

    fn parse(text: &str) -> Result<Self, Box<dyn Error>> {
        let results: Results = serde_json::from_str(text)?;
        let mut sizes: Vec<MeasuredInvocation> = results.delayed.iter().map(Comparison::invocation).collect();
        sizes.sort_by(|one, other| one.records.total_cmp(&other.records));
        if sizes.is_empty() || sizes.iter().any(|size| !(size.median_seconds > 0.0 && size.records > 0.0)) {
            return Err("no times, or times that are not above zero".into());
        }
        let Results { revision, date, machine, delay_ms, .. } = &results;
        Ok(Self {
            sizes,
            cold_start_seconds: results.start.ours_ms / 1e3,
            source: format!(
                "measured on {date} at revision {revision} on {}, with a DynamoDB that takes {delay_ms} ms",
                machine.processor
            ),
        })
    }

    /// Creates service times that are exponentially distributed with a mean of `milliseconds` for every size. This is a
    /// pessimistic assumption.
    pub fn constant(milliseconds: f64) -> Self {
        let mean = milliseconds / 1e3;
        let size = MeasuredInvocation {
            records: 1.0,
            median_seconds: mean * std::f64::consts::LN_2,
            deviation: None,
            processor_seconds: 0.0,
            resident_mb: 0.0,
            log_bytes: 0.0,
        };
        Self {
            sizes: vec![size],
            cold_start_seconds: 0.0,
            source: format!(
                "--service-time {milliseconds}: exponential, the same for every size; no start, memory or log is known"
            ),
        }
    }

    /// Returns whether the duration depends on the size.
    pub fn knows_sizes(&self) -> bool {
        self.sizes.len() > 1
    }

    /// Returns an estimate for invocations of `records`. It is interpolated linearly between two measured sizes, and
    /// extrapolated along the nearest line outside of them.
    pub fn time_of(&self, records: f64) -> MeasuredInvocation {
        let after = self.sizes.partition_point(|size| size.records < records).clamp(1, self.sizes.len().max(2) - 1);
        match (self.sizes.get(after - 1), self.sizes.get(after)) {
            (Some(one), Some(other)) => one.towards(other, records),
            (Some(only), None) => *only,
            (None, _) => unreachable!("there is one size or more"),
        }
    }
}

impl Comparison {
    fn invocation(&self) -> MeasuredInvocation {
        let Self { messages, ours } = self;
        let deviation = (ours.p95_ms / ours.p50_ms).ln().max(0.0) / NORMAL_P95;
        MeasuredInvocation {
            records: f64::from(*messages),
            median_seconds: ours.p50_ms / 1e3,
            deviation: Some(deviation),
            processor_seconds: ours.cpu_us * f64::from(*messages) / 1e6,
            resident_mb: ours.peak_resident_mb,
            log_bytes: ours.log_bytes,
        }
    }
}

impl MeasuredInvocation {
    fn towards(&self, other: &Self, records: f64) -> Self {
        let part = (records - self.records) / (other.records - self.records);
        // extrapolated values do not go below half of the smaller measurement
        let between = |one: f64, other: f64| (one + part * (other - one)).max(one.min(other) / 2.0);
        Self {
            records,
            median_seconds: between(self.median_seconds, other.median_seconds),
            deviation: self.deviation.zip(other.deviation).map(|(one, other)| between(one, other)),
            processor_seconds: between(self.processor_seconds, other.processor_seconds),
            resident_mb: between(self.resident_mb, other.resident_mb),
            log_bytes: between(self.log_bytes, other.log_bytes),
        }
    }

    /// Returns the median duration with `memory_mb` of memory. CPU time is longer if the memory provides only a share of a
    /// processor.
    pub fn median_seconds(&self, memory_mb: u32) -> f64 {
        let share = (f64::from(memory_mb) / MEMORY_PER_PROCESSOR_MB).min(1.0);
        self.median_seconds + self.processor_seconds * (1.0 / share - 1.0)
    }

    pub fn mean_seconds(&self, memory_mb: u32) -> f64 {
        let median = self.median_seconds(memory_mb);
        match self.deviation {
            Some(deviation) => median * (deviation * deviation / 2.0).exp(),
            None => median / std::f64::consts::LN_2,
        }
    }

    /// Returns the share of its processors that a busy instance uses.
    pub fn processor_utilisation(&self, memory_mb: u32) -> f64 {
        let processors = (f64::from(memory_mb) / MEMORY_PER_PROCESSOR_MB).min(1.0);
        self.processor_seconds / processors / self.median_seconds(memory_mb)
    }

    /// Returns a random duration of one invocation.
    pub fn sample(&self, memory_mb: u32, random: &mut Xoshiro256PlusPlus) -> f64 {
        match self.deviation {
            Some(deviation) => {
                let normal: f64 = StandardNormal.sample(random);
                self.median_seconds(memory_mb) * (deviation * normal).exp()
            }
            None => {
                let exponential: f64 = Exp1.sample(random);
                self.mean_seconds(memory_mb) * exponential
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_xoshiro::rand_core::SeedableRng;

    /// The committed benchmark results.
    const RESULTS: &str = include_str!("../../benches/results.json");

    fn measured() -> ServiceTimes {
        ServiceTimes::parse(RESULTS).unwrap()
    }

    /// Returns a percentile of the measured durations of invocations with this number of messages, in seconds.
    fn seconds(messages: u64, percentile: &str) -> f64 {
        let results: serde_json::Value = serde_json::from_str(RESULTS).unwrap();
        let row = results["delayed"].as_array().unwrap().iter().find(|row| row["messages"] == messages).unwrap();
        row["ours"][percentile].as_f64().unwrap() / 1e3
    }

    #[test]
    fn measured_sizes_come_back_as_they_were_measured() {
        let times = measured();
        let [ten, hundred] = [10.0, 100.0].map(|records| times.time_of(records).median_seconds(1_769));
        assert!((ten - seconds(10, "p50_ms")).abs() < 1e-9 && (hundred - seconds(100, "p50_ms")).abs() < 1e-9);
        assert!(ten < times.time_of(50.0).median_seconds(1_769) && times.time_of(50.0).median_seconds(1_769) < hundred);
        assert!(times.time_of(1.0).median_seconds(1_769) > 0.005, "DynamoDB's latency remains");
        assert!(times.time_of(10_000.0).median_seconds(1_769) > times.time_of(5_000.0).median_seconds(1_769));
    }

    #[test]
    fn samples_have_the_percentiles_that_were_measured() {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
        let invocation = measured().time_of(100.0);
        let mut samples: Vec<f64> = (0..20_000).map(|_| invocation.sample(1_769, &mut random)).collect();
        samples.sort_unstable_by(f64::total_cmp);
        assert!((samples[10_000] / seconds(100, "p50_ms") - 1.0).abs() < 0.02);
        assert!((samples[19_000] / seconds(100, "p95_ms") - 1.0).abs() < 0.02);
        let mean = samples.iter().sum::<f64>() / 20_000.0;
        assert!((mean / invocation.mean_seconds(1_769) - 1.0).abs() < 0.02);
    }

    #[test]
    fn less_memory_takes_longer_and_uses_its_processor_more() {
        let invocation = measured().time_of(1_000.0);
        assert!(invocation.median_seconds(512) > invocation.median_seconds(1_769));
        assert_eq!(invocation.median_seconds(1_769), invocation.median_seconds(3_000));
        assert!(invocation.processor_utilisation(512) > invocation.processor_utilisation(1_769));
        assert!(invocation.processor_utilisation(128) < 1.0);
    }

    #[test]
    fn one_figure_is_the_mean_of_an_exponential_time_of_every_size() {
        let times = ServiceTimes::constant(20.0);
        assert!((times.time_of(1.0).mean_seconds(512) - 0.02).abs() < 1e-12);
        assert_eq!(times.time_of(1.0).mean_seconds(512), times.time_of(5_000.0).mean_seconds(512));
    }

    #[test]
    fn what_is_no_measurement_is_refused() {
        for text in ["{}", "[]", "not json", &RESULTS.replace("\"delayed\"", "\"other\"")] {
            assert!(ServiceTimes::parse(text).is_err());
        }
    }
}
