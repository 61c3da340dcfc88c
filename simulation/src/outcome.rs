//! The results of a simulation.

use hdrhistogram::Histogram;
use serde::Serialize;

/// Maximum number of points in a series. More would not be visible in a plot.
const MAX_POINTS: u64 = 720;
/// Maximum latency that the histograms can record, in microseconds.
const LONGEST_US: u64 = 24 * 3_600 * 1_000_000;

/// Percentiles of a latency, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Percentiles {
    pub p50_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
}

impl Percentiles {
    fn from_histogram(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        Self { p50_ms: at(0.5), p95_ms: at(0.95), p99_ms: at(0.99) }
    }
}

/// A period of a simulation.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Point {
    pub second: u64,
    /// Number of messages sent per second.
    pub rate: f64,
    pub stored_per_second: f64,
    /// Number of batch-reading processes in standard mode, or of dedicated pollers.
    pub pollers: u32,
    /// Number of running invocations.
    pub running: u64,
    pub instances: u64,
    /// Number of messages that wait in the queue.
    pub waiting: u64,
    pub end_to_end_p95_ms: f64,
}

/// Results of a simulation.
#[derive(Debug, Clone)]
pub struct SimulationOutcome {
    /// Number of seconds counted.
    pub seconds: f64,
    pub sent: u64,
    pub stored: u64,
    /// Number of messages stored within the counted seconds, whether they were sent in them or before.
    pub stored_in_time: u64,
    pub returned: u64,
    pub dead_lettered: u64,
    /// Number of messages that still wait at the end.
    pub left: u64,
    pub delivery: Percentiles,
    pub end_to_end: Percentiles,
    pub mean_delivery_seconds: f64,
    /// Mean number of messages that are received but neither deleted nor visible again.
    pub mean_in_flight: f64,
    pub most_in_flight: u64,
    pub invocations: u64,
    pub cold_starts: u64,
    /// Total duration of all invocations, in seconds.
    pub invocation_seconds: f64,
    /// Number of receive calls, including empty ones.
    pub polls: f64,
    /// Number of delete calls.
    pub deletes: f64,
    pub write_units: f64,
    pub throttles: u64,
    pub most_pollers: u32,
    pub most_running: u64,
    pub poller_seconds: f64,
    pub series: Vec<Point>,
}

impl SimulationOutcome {
    pub fn messages_per_invocation(&self) -> f64 {
        self.stored_in_time as f64 / (self.invocations as f64).max(1.0)
    }
}

/// Collects the statistics of a simulation.
pub(crate) struct Recorder {
    warm_up_us: u64,
    /// Length of a period of the series, in seconds.
    stretch: u64,
    delivery: Histogram<u64>,
    end_to_end: Histogram<u64>,
    of_stretch: Histogram<u64>,
    in_flight_steps: u64,
    in_flight_sum: f64,
    stored_in_stretch: u64,
    outcome: SimulationOutcome,
}

fn histogram() -> Histogram<u64> {
    // the library accepts three significant digits up to a day
    Histogram::new_with_bounds(1, LONGEST_US, 3).unwrap_or_else(|_| unreachable!("constant bounds"))
}

impl Recorder {
    pub(crate) fn new(seconds: u64, warm_up_us: u64) -> Self {
        let nothing = Percentiles { p50_ms: 0.0, p95_ms: 0.0, p99_ms: 0.0 };
        Self {
            warm_up_us,
            stretch: seconds.div_ceil(MAX_POINTS).max(1),
            delivery: histogram(),
            end_to_end: histogram(),
            of_stretch: histogram(),
            in_flight_steps: 0,
            in_flight_sum: 0.0,
            stored_in_stretch: 0,
            outcome: SimulationOutcome {
                seconds: seconds as f64 - warm_up_us as f64 / 1e6,
                sent: 0,
                stored: 0,
                stored_in_time: 0,
                returned: 0,
                dead_lettered: 0,
                left: 0,
                delivery: nothing,
                end_to_end: nothing,
                mean_delivery_seconds: 0.0,
                mean_in_flight: 0.0,
                most_in_flight: 0,
                invocations: 0,
                cold_starts: 0,
                invocation_seconds: 0.0,
                polls: 0.0,
                deletes: 0.0,
                write_units: 0.0,
                throttles: 0,
                most_pollers: 0,
                most_running: 0,
                poller_seconds: 0.0,
                series: Vec::new(),
            },
        }
    }

    fn counts(&self, at_us: u64) -> bool {
        at_us >= self.warm_up_us
    }

    pub(crate) fn sent(&mut self, now: u64, messages: u32) {
        if self.counts(now) {
            self.outcome.sent += u64::from(messages);
        }
    }

    pub(crate) fn step(&mut self, now: u64, in_flight: u64) {
        if self.counts(now) {
            self.in_flight_steps += 1;
            self.in_flight_sum += in_flight as f64;
            self.outcome.most_in_flight = self.outcome.most_in_flight.max(in_flight);
        }
    }

    pub(crate) fn polls(&mut self, now: u64, polls: f64) {
        if self.counts(now) {
            self.outcome.polls += polls;
        }
    }

    pub(crate) fn invocation(&mut self, now: u64, cold: bool) {
        if self.counts(now) {
            self.outcome.invocations += 1;
            self.outcome.cold_starts += u64::from(cold);
        }
    }

    pub(crate) fn delivered(&mut self, sent_us: u64, at_us: u64, messages: u32) {
        if self.counts(sent_us) {
            self.delivery.saturating_record_n(at_us - sent_us, u64::from(messages));
        }
    }

    pub(crate) fn ended(&mut self, started_us: u64, now: u64, messages: u32) {
        if self.counts(started_us) {
            self.outcome.invocation_seconds += now.saturating_sub(started_us) as f64 / 1e6;
            self.outcome.deletes += f64::from(messages.div_ceil(crate::limits::MESSAGES_PER_CALL));
        }
    }

    pub(crate) fn stored(&mut self, sent_us: u64, at_us: u64, messages: u32) {
        let latency = at_us - sent_us;
        self.of_stretch.saturating_record_n(latency, u64::from(messages));
        self.stored_in_stretch += u64::from(messages);
        if self.counts(at_us) {
            self.outcome.stored_in_time += u64::from(messages);
        }
        if self.counts(sent_us) {
            self.outcome.stored += u64::from(messages);
            self.end_to_end.saturating_record_n(latency, u64::from(messages));
        }
    }

    pub(crate) fn returned(&mut self, now: u64, messages: u32) {
        if self.counts(now) {
            self.outcome.returned += u64::from(messages);
        }
    }

    pub(crate) fn dead_lettered(&mut self, sent_us: u64, messages: u32) {
        if self.counts(sent_us) {
            self.outcome.dead_lettered += u64::from(messages);
        }
    }

    pub(crate) fn written(&mut self, now: u64, units: f64) {
        if self.counts(now) {
            self.outcome.write_units += units;
        }
    }

    pub(crate) fn throttle(&mut self, now: u64) {
        if self.counts(now) {
            self.outcome.throttles += 1;
        }
    }

    pub(crate) fn left(&mut self, sent_us: u64, end_us: u64, messages: u32) {
        if self.counts(sent_us) {
            self.outcome.left += u64::from(messages);
            self.delivery.saturating_record_n(end_us - sent_us, u64::from(messages));
            self.end_to_end.saturating_record_n(end_us - sent_us, u64::from(messages));
        }
    }

    pub(crate) fn second(&mut self, second: u64, rate: f64, pollers: u32, running: u64, instances: u64, waiting: u64) {
        self.outcome.most_pollers = self.outcome.most_pollers.max(pollers);
        self.outcome.most_running = self.outcome.most_running.max(running);
        if self.counts(second * 1_000_000) {
            self.outcome.poller_seconds += f64::from(pollers);
        }
        if (second + 1).is_multiple_of(self.stretch) {
            let end_to_end_p95_ms = self.of_stretch.value_at_quantile(0.95) as f64 / 1e3;
            self.of_stretch.reset();
            let stored_per_second = std::mem::take(&mut self.stored_in_stretch) as f64 / self.stretch as f64;
            self.outcome.series.push(Point {
                second: second + 1 - self.stretch,
                rate,
                stored_per_second,
                pollers,
                running,
                instances,
                waiting,
                end_to_end_p95_ms,
            });
        }
    }

    pub(crate) fn finish(mut self) -> SimulationOutcome {
        self.outcome.delivery = Percentiles::from_histogram(&self.delivery);
        self.outcome.end_to_end = Percentiles::from_histogram(&self.end_to_end);
        self.outcome.mean_delivery_seconds = self.delivery.mean() / 1e6;
        self.outcome.mean_in_flight = self.in_flight_sum / (self.in_flight_steps as f64).max(1.0);
        self.outcome
    }
}
