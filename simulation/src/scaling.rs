//! The number of processes that read the queue, as AWS documents it for event source mappings.

use crate::limits::{
    BYTES_PER_POLLER_SECOND, INVOCATIONS_PER_POLLER, INVOCATIONS_PER_SECOND, MESSAGES_PER_CALL,
    POLLERS_CONCURRENCY_PER_MINUTE, POLLS_PER_SECOND, STANDARD_MAX, STANDARD_PER_MINUTE, STANDARD_START,
};
use serde::Serialize;

/// The template's ScalingMode and the parameters that belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "mode", rename_all = "lowercase")]
pub enum Scaling {
    /// Lambda chooses the number of processes that read the queue. Each runs one invocation at a time.
    Standard { max_instances: u32 },
    /// Dedicated pollers. Each polls at a fixed pace and runs several invocations concurrently.
    Pollers { minimum: u32, maximum: u32 },
}

impl Scaling {
    /// Returns the maximum number of concurrent invocations of one process or poller.
    pub fn invocations_each(self) -> u32 {
        match self {
            Self::Standard { .. } => 1,
            Self::Pollers { .. } => INVOCATIONS_PER_POLLER,
        }
    }

    pub fn least(self) -> u32 {
        match self {
            Self::Standard { max_instances } => STANDARD_START.min(max_instances),
            Self::Pollers { minimum, maximum } => minimum.min(maximum),
        }
    }

    pub fn most(self) -> u32 {
        match self {
            Self::Standard { max_instances } => max_instances.min(STANDARD_MAX),
            Self::Pollers { maximum, .. } => maximum,
        }
    }

    /// Returns the number of processes or pollers added per second while messages wait. AWS documents the number per minute.
    /// The simulation assumes that they are added evenly, and removed at the same rate.
    pub fn added_per_second(self) -> f64 {
        match self {
            Self::Standard { .. } => STANDARD_PER_MINUTE / 60.0,
            Self::Pollers { .. } => POLLERS_CONCURRENCY_PER_MINUTE / f64::from(INVOCATIONS_PER_POLLER) / 60.0,
        }
    }

    /// Returns the number of processes or pollers after `seconds` with messages waiting, starting at `from`.
    #[cfg(test)]
    fn after(self, from: u32, seconds: f64) -> f64 {
        (f64::from(from) + seconds * self.added_per_second()).min(f64::from(self.most()))
    }

    /// Returns the maximum number of messages of `message_bytes` that one process or poller handles per second, in invocations
    /// of `batch` messages that take `invocation_seconds`.
    pub fn messages_per_second(self, batch: f64, invocation_seconds: f64, message_bytes: f64) -> f64 {
        let by_time = batch * f64::from(self.invocations_each()) / invocation_seconds;
        match self {
            Self::Standard { .. } => by_time.min(batch * INVOCATIONS_PER_SECOND),
            Self::Pollers { .. } => by_time
                .min(POLLS_PER_SECOND * batch.min(f64::from(MESSAGES_PER_CALL)))
                .min(BYTES_PER_POLLER_SECOND / message_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANDARD: Scaling = Scaling::Standard { max_instances: 2_000 };
    const POLLERS: Scaling = Scaling::Pollers { minimum: 2, maximum: 2_000 };

    // https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
    #[test]
    fn standard_mode_goes_from_five_to_1250_by_300_a_minute() {
        assert_eq!(STANDARD.least(), 5);
        assert_eq!(STANDARD.after(STANDARD.least(), 60.0), 305.0);
        assert_eq!(STANDARD.after(STANDARD.least(), 240.0), 1_205.0);
        assert_eq!(STANDARD.after(STANDARD.least(), 300.0), 1_250.0);
    }

    #[test]
    fn pollers_add_1000_concurrent_invocations_a_minute_three_times_as_many_as_standard_mode() {
        let concurrency = |pollers: f64| pollers * f64::from(POLLERS.invocations_each());
        let added = concurrency(POLLERS.after(2, 60.0)) - concurrency(2.0);
        assert!((added - 1_000.0).abs() < 1e-9);
        assert!(added / (STANDARD.added_per_second() * 60.0) > 3.0);
    }

    // https://aws.amazon.com/blogs/aws/aws-lambda-enhances-sqs-processing-with-new-provisioned-mode-3x-faster-scaling-16x-higher-capacity
    #[test]
    fn two_thousand_pollers_run_20000_invocations_and_take_2_gigabytes_a_second() {
        assert_eq!(POLLERS.most() * POLLERS.invocations_each(), 20_000);
        assert_eq!(POLLERS.most() * POLLERS.invocations_each() / STANDARD.most(), 16);
        let bytes = f64::from(POLLERS.most()) * POLLERS.messages_per_second(10.0, 0.001, 500_000.0) * 500_000.0;
        assert!((bytes / 2e9 - 1.0).abs() < 0.05);
    }

    #[test]
    fn a_poller_takes_100_messages_a_second_however_large_its_batches() {
        for batch in [10.0, 100.0, 10_000.0] {
            assert_eq!(POLLERS.messages_per_second(batch, 0.001, 300.0), 100.0);
        }
        assert_eq!(POLLERS.messages_per_second(10.0, 2.0, 300.0), 50.0);
    }

    #[test]
    fn an_instance_serves_ten_invocations_a_second_at_most() {
        assert_eq!(STANDARD.messages_per_second(10.0, 0.005, 300.0), 100.0);
        assert_eq!(STANDARD.messages_per_second(10.0, 0.5, 300.0), 20.0);
    }
}
