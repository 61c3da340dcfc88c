//! Histograms of latencies with few distinct values, each close to the measured ones. We do not use a library, because its
//! histograms have fixed buckets, many of them empty, and EMF needs only the values that occurred.

use super::emf::Sample;
use std::collections::BTreeMap;
use std::time::Duration;

/// Distinct values with their numbers of occurrences. Each value is rounded to two significant digits. A percentile is
/// therefore off by at most 5 % in either direction, and an event of 10,000 messages has few distinct values.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram(BTreeMap<u64, u64>);

impl Histogram {
    /// Adds a latency. A latency below one millisecond is rounded to 10 microseconds.
    pub fn add(&mut self, latency: Duration) {
        let microseconds = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let mut step = 10;
        while microseconds / step >= 100 {
            step *= 10;
        }
        let rounded = microseconds.saturating_add(step / 2) / step * step;
        *self.0.entry(rounded).or_default() += 1;
    }

    pub(super) fn samples(&self) -> Vec<Sample> {
        self.0.iter().map(|(&microseconds, &count)| Sample { value: microseconds as f64 / 1e3, count }).collect()
    }
}

impl FromIterator<Duration> for Histogram {
    fn from_iter<I: IntoIterator<Item = Duration>>(latencies: I) -> Self {
        let mut histogram = Self::default();
        latencies.into_iter().for_each(|latency| histogram.add(latency));
        histogram
    }
}

/// Converts a duration to milliseconds, rounded to three significant digits.
pub(super) fn milliseconds(duration: Duration) -> f64 {
    let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let mut step = 1;
    while nanoseconds / step >= 1_000 {
        step *= 10;
    }
    (nanoseconds.saturating_add(step / 2) / step * step) as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_is_rounded_to_the_nearest_of_two_digits() {
        let recorded = |microseconds| {
            let histogram: Histogram = [Duration::from_micros(microseconds)].into_iter().collect();
            histogram.0.into_keys().next().unwrap()
        };
        let cases =
            [(4, 0), (5, 10), (994, 990), (995, 1_000), (109_900, 110_000), (104_999, 100_000), (105_000, 110_000)];
        for (microseconds, expected) in cases {
            assert_eq!(recorded(microseconds), expected, "{microseconds}");
        }
        assert_eq!(recorded(98_765_432), 99_000_000);
    }

    #[test]
    fn equal_values_are_one_with_their_count() {
        let histogram: Histogram = [1_234, 1_239, 1_151].map(Duration::from_micros).into_iter().collect();
        assert_eq!(histogram.0, [(1_200, 3)].into());
    }

    #[test]
    fn a_time_has_three_digits() {
        let shown = |nanoseconds| milliseconds(Duration::from_nanos(nanoseconds)).to_string();
        assert_eq!(
            [0, 7, 3_876, 3_996, 1_234_567, 987_654_321].map(shown),
            ["0", "0.000007", "0.00388", "0.004", "1.23", "988"]
        );
    }
}
