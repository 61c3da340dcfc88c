//! Sums and distributions of many metric lines, in total and over time. Pure.

use super::emf::Line;
use super::formats::Content;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;

/// Metrics with percentiles, in the order of a message's path. Of all other metrics only the sum matters.
pub(crate) const DISTRIBUTIONS: [&str; 9] = [
    "DeliveryLatency",
    "EndToEndLatency",
    "DecodeTime",
    "WriteTime",
    "HandlerTime",
    "WriteLatency",
    "WriteLimit",
    "WritesInFlight",
    "MessagesReceived",
];
/// Those whose percentiles are plotted over time.
pub(crate) const PLOTTED: [&str; 4] = ["DeliveryLatency", "EndToEndLatency", "HandlerTime", "WriteLatency"];
/// Values are kept to a thousandth.
const SCALE: f64 = 1e3;
/// Maximum number of points over time: with more, neighbours become one.
const MAX_BUCKETS: usize = 600;
/// Minimum number of lines in a stretch, on average, as long as [`MIN_BUCKETS`] stretches are left.
const MIN_LINES: u64 = 5;
const MIN_BUCKETS: u64 = 30;
/// Lengths of the stretch of a point over time. Each divides the next, so that stretches can be merged.
const WIDTHS_MS: [u64; 11] =
    [1_000, 5_000, 15_000, 60_000, 300_000, 900_000, 3_600_000, 10_800_000, 21_600_000, 43_200_000, 86_400_000];

/// Values, as often as each came.
#[derive(Debug, Clone)]
pub(crate) struct Distribution(Histogram<u64>);

impl Distribution {
    /// Keeps values to so many digits, and grows with the largest.
    fn new(digits: u8) -> Self {
        Self(Histogram::new(digits).unwrap_or_else(|_| unreachable!("between 0 and 5 digits")))
    }

    fn add(&mut self, value: f64, count: f64) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast saturates, and nothing is negative"
        )]
        let (value, count) = ((value * SCALE).round() as u64, count.round() as u64);
        // the histogram resizes itself up to the maximum of `u64`, so no value is out of range
        let _ = self.0.record_n(value, count);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    pub(crate) fn mean(&self) -> f64 {
        self.0.mean() / SCALE
    }

    pub(crate) fn most(&self) -> f64 {
        self.0.max() as f64 / SCALE
    }

    /// Returns the value that a fraction `share` of the values do not exceed.
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / SCALE
    }
}

/// Sums and distributions.
#[derive(Debug, Clone)]
pub(crate) struct Totals {
    /// Metrics whose distributions are stored, and their precision in digits.
    kept: &'static [&'static str],
    digits: u8,
    sums: BTreeMap<String, f64>,
    distributions: BTreeMap<&'static str, Distribution>,
    /// Counts by the name and value of a dimension.
    pub(crate) by_dimension: BTreeMap<(String, String), f64>,
    pub(crate) bytes: u64,
    /// Number of lines without a second dimension. Each invocation writes at least one.
    lines: u64,
    first_ms: Option<u64>,
    last_ms: u64,
}

impl Default for Totals {
    fn default() -> Self {
        Self::new(&DISTRIBUTIONS, 3)
    }
}

impl Totals {
    fn new(kept: &'static [&'static str], digits: u8) -> Self {
        Self {
            kept,
            digits,
            sums: BTreeMap::new(),
            distributions: BTreeMap::new(),
            by_dimension: BTreeMap::new(),
            bytes: 0,
            lines: 0,
            first_ms: None,
            last_ms: 0,
        }
    }

    /// Creates the totals of a time bucket, with fewer distributions and digits to save memory.
    fn of_bucket() -> Self {
        Self::new(&PLOTTED, 2)
    }

    fn merge(&mut self, other: Self) {
        for (name, sum) in other.sums {
            *self.sums.entry(name).or_default() += sum;
        }
        for (name, distribution) in other.distributions {
            let own = self.distributions.entry(name).or_insert_with(|| Distribution::new(self.digits));
            // both histograms resize themselves, so adding cannot fail
            let _ = own.0.add(&distribution.0);
        }
        for (dimension, sum) in other.by_dimension {
            *self.by_dimension.entry(dimension).or_default() += sum;
        }
        self.bytes += other.bytes;
        self.lines += other.lines;
        self.first_ms = self.first_ms.into_iter().chain(other.first_ms).min();
        self.last_ms = self.last_ms.max(other.last_ms);
    }

    pub(crate) fn add(&mut self, line: &Line) {
        self.bytes += line.bytes as u64;
        self.lines += u64::from(line.dimension.is_none());
        self.first_ms = Some(self.first_ms.map_or(line.at_ms, |first| first.min(line.at_ms)));
        self.last_ms = self.last_ms.max(line.at_ms);
        for (name, values) in &line.metrics {
            let sum: f64 = values.iter().map(|(value, count)| value * count).sum();
            if let Some(dimension) = &line.dimension {
                *self.by_dimension.entry(dimension.clone()).or_default() += sum;
                continue;
            }
            *self.sums.entry(name.clone()).or_default() += sum;
            if let Some(&name) = self.kept.iter().find(|kept| *kept == name) {
                let distribution = self.distributions.entry(name).or_insert_with(|| Distribution::new(self.digits));
                values.iter().for_each(|(value, count)| distribution.add(*value, *count));
            }
        }
    }

    /// Returns the sum of a metric, or 0 if no line contains it.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        self.sums.get(name).copied().unwrap_or_default()
    }

    /// Returns the number of handled events.
    pub(crate) fn invocations(&self) -> f64 {
        self.distribution("HandlerTime").map_or(0.0, |times| times.count() as f64)
    }

    pub(crate) fn distribution(&self, name: &str) -> Option<&Distribution> {
        self.distributions.get(name).filter(|distribution| distribution.count() > 0)
    }

    /// Returns the time from the first line to the last in seconds, and at least 1.
    pub(crate) fn seconds(&self) -> f64 {
        let first = self.first_ms.unwrap_or(self.last_ms);
        ((self.last_ms - first) as f64 / 1e3).max(1.0)
    }

    /// Returns the timestamps of the first and the last line, in milliseconds since the Unix epoch.
    pub(crate) fn period_ms(&self) -> (u64, u64) {
        (self.first_ms.unwrap_or(self.last_ms), self.last_ms)
    }

    /// Returns the number of CloudWatch metrics that the lines define.
    pub(crate) fn series(&self) -> usize {
        self.sums.len() + self.by_dimension.len()
    }
}

/// The totals of all lines, and of each time bucket.
#[derive(Debug, Clone)]
pub(crate) struct History {
    pub(crate) all: Totals,
    /// Totals by the start of their bucket, in milliseconds since the Unix epoch.
    pub(crate) buckets: BTreeMap<u64, Totals>,
    /// Width of a bucket, in milliseconds.
    pub(crate) width_ms: u64,
}

/// The lines of a log, grouped by function.
#[derive(Debug, Default)]
pub(crate) struct Histories {
    /// Histories by the value of the dimension `Service`.
    pub(crate) functions: BTreeMap<String, History>,
    /// Number of lines that are not metrics.
    pub(crate) other_lines: u64,
}

impl Histories {
    pub(crate) fn add(&mut self, content: &Content) {
        self.other_lines += content.other_lines;
        for line in &content.metrics {
            self.functions.entry(line.service.clone()).or_default().add(line);
        }
    }
}

impl Default for History {
    fn default() -> Self {
        Self { all: Totals::default(), buckets: BTreeMap::new(), width_ms: WIDTHS_MS[0] }
    }
}

/// Returns the next larger length of a stretch.
fn wider(width_ms: u64) -> u64 {
    WIDTHS_MS.into_iter().find(|width| *width > width_ms).unwrap_or(width_ms * 2)
}

/// A stretch of time.
#[derive(Debug, Clone)]
pub(crate) struct Stretch {
    pub(crate) start_ms: u64,
    /// Number of its seconds that are between the first line and the last.
    pub(crate) seconds: f64,
    /// None if no line was written in it.
    pub(crate) totals: Option<Totals>,
}

impl Stretch {
    /// Returns how often something happened in a second.
    pub(crate) fn rate(&self, of: impl Fn(&Totals) -> f64) -> f64 {
        self.totals.as_ref().map_or(0.0, of) / self.seconds
    }
}

impl History {
    pub(crate) fn add(&mut self, line: &Line) {
        self.all.add(line);
        let start = line.at_ms / self.width_ms * self.width_ms;
        self.buckets.entry(start).or_insert_with(Totals::of_bucket).add(line);
        while self.buckets.len() > MAX_BUCKETS {
            self.widen();
        }
    }

    /// Returns at most `most` buckets that cover the time from the first line to the last, and their width in milliseconds.
    pub(crate) fn stretches(&self, most: u64) -> (Vec<Stretch>, u64) {
        let (first_ms, last_ms) = self.all.period_ms();
        let mut history = self.clone();
        // the last line covers the time until the next one would have come
        let interval_ms = (last_ms - first_ms).checked_div(self.all.lines.saturating_sub(1)).unwrap_or_default();
        let interval_ms = interval_ms.max(WIDTHS_MS[0]);
        let count = |width_ms: u64| last_ms / width_ms - first_ms / width_ms + 1;
        // stretches with a few lines each would show their number, which goes up and down by one, instead of the load
        let is_ragged = |width_ms: u64| width_ms < MIN_LINES * interval_ms && count(wider(width_ms)) >= MIN_BUCKETS;
        while count(history.width_ms) > most || is_ragged(history.width_ms) {
            history.widen();
        }
        let width_ms = history.width_ms;
        let stretches = (first_ms / width_ms..=last_ms / width_ms).map(|index| {
            let start_ms = index * width_ms;
            let end_ms = (start_ms + width_ms).min(last_ms + interval_ms);
            let seconds = (end_ms - start_ms.max(first_ms)) as f64 / 1e3;
            Stretch { start_ms, seconds: seconds.max(1.0), totals: history.buckets.remove(&start_ms) }
        });
        (stretches.collect(), width_ms)
    }

    fn widen(&mut self) {
        self.width_ms = wider(self.width_ms);
        for (start, totals) in std::mem::take(&mut self.buckets) {
            let start = start / self.width_ms * self.width_ms;
            self.buckets.entry(start).or_insert_with(Totals::of_bucket).merge(totals);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at_ms: u64, metrics: &str) -> Line {
        let names: Vec<String> = serde_json::from_str::<BTreeMap<String, serde_json::Value>>(metrics)
            .unwrap()
            .into_keys()
            .map(|name| format!(r#"{{"Name":"{name}"}}"#))
            .collect();
        let names = names.join(",");
        let text = format!(
            r#"{{"_aws":{{"Timestamp":{at_ms},"CloudWatchMetrics":[{{"Dimensions":[["Service"]],"Metrics":[{names}]}}]}},{}"#,
            &metrics[1..]
        );
        Line::of(&serde_json::from_str(&text).unwrap(), text.len()).unwrap()
    }

    #[test]
    fn sums_and_percentiles_are_over_all_lines_and_over_time() {
        let mut history = History::default();
        history.add(&line(
            60_000,
            r#"{"MessagesStored": 10, "EndToEndLatency": {"Values": [10, 100], "Counts": [95, 5]}}"#,
        ));
        history.add(&line(121_000, r#"{"MessagesStored": 5, "EndToEndLatency": 200}"#));
        assert_eq!((history.all.sum("MessagesStored"), history.all.sum("Throttles")), (15.0, 0.0));
        let latency = history.all.distribution("EndToEndLatency").unwrap();
        assert_eq!(latency.count(), 101);
        assert!((latency.percentile(0.5) - 10.0).abs() < 0.01);
        assert!((latency.percentile(0.99) - 100.0).abs() < 0.1 && (latency.most() - 200.0).abs() < 0.2);
        assert!((latency.mean() - (950.0 + 500.0 + 200.0) / 101.0).abs() < 0.1);
        assert_eq!(history.buckets.keys().copied().collect::<Vec<_>>(), [60_000, 121_000]);
        assert_eq!(history.all.seconds(), 61.0);
    }

    #[test]
    fn the_lines_of_several_functions_are_kept_apart() {
        let of = |service: &str| Line { service: service.to_owned(), ..line(0, r#"{"MessagesStored": 2}"#) };
        let mut histories = Histories::default();
        histories.add(&Content {
            metrics: vec![of("orders"), of("payments"), of("orders")],
            other_lines: 3,
            note: None,
        });
        let stored = |service: &str| histories.functions[service].all.sum("MessagesStored");
        assert_eq!((stored("orders"), stored("payments"), histories.other_lines), (4.0, 2.0, 3));
    }

    #[test]
    fn a_latency_of_zero_counts() {
        let mut history = History::default();
        history.add(&line(0, r#"{"DecodeTime": 0}"#));
        assert_eq!(history.all.distribution("DecodeTime").map(Distribution::count), Some(1));
    }

    #[test]
    fn stretches_have_no_gap_and_count_the_time_that_the_log_covers() {
        let mut history = History::default();
        for second in [10, 40, 70, 100] {
            history.add(&line(second * 1_000, r#"{"MessagesStored": 6}"#));
        }
        let (stretches, width_ms) = history.stretches(50);
        assert_eq!((stretches.len(), width_ms), (19, 5_000));
        let rates = stretches.iter().map(|stretch| stretch.rate(|totals| totals.sum("MessagesStored")));
        let expected = (0..19).map(|index| if index % 6 == 0 { 1.2 } else { 0.0 });
        assert_eq!(rates.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        assert!(stretches[1].totals.is_none());
        assert_eq!(history.stretches(200).0.len(), 91);
        // a partial bucket has only the duration that the log covers
        let (stretches, _) = history.stretches(2);
        assert_eq!(stretches.iter().map(|stretch| stretch.seconds).collect::<Vec<_>>(), [50.0, 60.0]);
    }

    #[test]
    fn a_steady_load_of_few_lines_is_a_steady_line() {
        let mut history = History::default();
        for second in (0..3_600).step_by(10) {
            history.add(&line(second * 1_000, r#"{"MessagesStored": 10}"#));
        }
        let (stretches, width_ms) = history.stretches(300);
        assert_eq!((stretches.len(), width_ms), (60, 60_000));
        assert!(stretches.iter().all(|stretch| stretch.rate(|totals| totals.sum("MessagesStored")) == 1.0));
    }

    #[test]
    fn a_long_time_has_no_more_points_and_loses_nothing() {
        let mut history = History::default();
        for second in 0..5_000 {
            history.add(&line(second * 1_000, r#"{"MessagesStored": 2, "EndToEndLatency": 10}"#));
        }
        assert!(history.buckets.len() <= MAX_BUCKETS && history.width_ms == 15_000);
        let stored: f64 = history.buckets.values().map(|totals| totals.sum("MessagesStored")).sum();
        let latencies: u64 =
            history.buckets.values().filter_map(|totals| Some(totals.distribution("EndToEndLatency")?.count())).sum();
        assert_eq!((stored, latencies), (10_000.0, 5_000));
    }
}
