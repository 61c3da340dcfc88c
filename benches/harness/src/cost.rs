//! What a million messages cost, by the prices of `benches/prices.json`. Pure.

use crate::compare::Comparison;
use crate::process::{MEMORY_MB, MEMORY_OF_A_PROCESSOR_MB};
use serde::{Deserialize, Serialize};

/// List prices in dollars, without free tiers and volume discounts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Prices {
    pub(crate) date: String,
    pub(crate) region: String,
    pub(crate) currency: String,
    pub(crate) sources: Vec<String>,
    sqs_per_million_requests: f64,
    lambda_per_million_requests: f64,
    lambda_arm64_per_gb_second: f64,
    dynamodb_per_million_write_request_units: f64,
    cloudwatch_logs_per_gb: f64,
}

/// Dollars for a million messages.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// Messages of an invocation.
    pub(crate) messages: u32,
    pub(crate) sqs: f64,
    pub(crate) lambda: f64,
    pub(crate) dynamodb: f64,
    /// The log and the metrics in it; a metric's own monthly price does not depend on the messages.
    pub(crate) cloudwatch: f64,
    pub(crate) total: f64,
}

/// Messages of one SQS call: the producer's, the receive and the delete of the event source mapping.
const MESSAGES_A_CALL: f64 = 10.0;
const CALLS: f64 = 3.0;
/// Bytes of an item that one write request unit covers.
const BYTES_A_WRITE_UNIT: f64 = 1024.0;

impl Prices {
    /// What messages cost in batches of `comparison`'s size, whose items have `item_bytes` as DynamoDB counts them.
    ///
    /// An invocation is billed for as long as it took here, and for the time its processor time takes longer on the share
    /// of a processor that its memory buys.
    pub(crate) fn cost(&self, comparison: &Comparison, item_bytes: f64) -> Cost {
        let Comparison { messages, ours, .. } = comparison;
        let size = f64::from(*messages);
        let memory = f64::from(MEMORY_MB);
        let share = (memory / f64::from(MEMORY_OF_A_PROCESSOR_MB)).min(1.0);
        let processor_seconds = ours.cpu_us * size / 1e6;
        let billed_seconds = ours.p50_ms / 1e3 + processor_seconds * (1.0 / share - 1.0);
        let invocations = 1e6 / size;
        let sqs = CALLS / MESSAGES_A_CALL * self.sqs_per_million_requests;
        let lambda = self.lambda(*messages, MEMORY_MB, billed_seconds * 1e3);
        let dynamodb = (item_bytes / BYTES_A_WRITE_UNIT).ceil() * self.dynamodb_per_million_write_request_units;
        let cloudwatch = invocations * ours.log_bytes / 1e9 * self.cloudwatch_logs_per_gb;
        Cost { messages: *messages, sqs, lambda, dynamodb, cloudwatch, total: sqs + lambda + dynamodb + cloudwatch }
    }

    /// What Lambda takes on arm64 for a million messages in events of `messages`, each billed for `billed_ms`.
    pub(crate) fn lambda(&self, messages: u32, memory_mb: u32, billed_ms: f64) -> f64 {
        let invocations = 1e6 / f64::from(messages);
        let gigabyte_seconds = billed_ms / 1e3 * f64::from(memory_mb) / 1_024.0;
        invocations * (self.lambda_per_million_requests / 1e6 + gigabyte_seconds * self.lambda_arm64_per_gb_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::{Figures, Ratio};

    fn prices() -> Prices {
        serde_json::from_str(include_str!("../../prices.json")).unwrap()
    }

    fn comparison(messages: u32, p50_ms: f64) -> Comparison {
        let figures = Figures {
            returned: 0.0,
            cpu_us: 0.0,
            messages_per_second: 1.0,
            p50_ms,
            p95_ms: 0.0,
            p99_ms: 0.0,
            billed_ms: 0.0,
            peak_resident_mb: 0.0,
            invocations: 1,
            log_bytes: 0.0,
        };
        let ratio = Ratio { median: 1.0, least: 1.0, most: 1.0 };
        Comparison {
            messages,
            event_bytes: 0,
            ours: figures.clone(),
            baseline: figures.clone(),
            floor: figures.clone(),
            hashing_floor: figures,
            ratio,
            over_floor: ratio,
            over_hashing_floor: ratio,
        }
    }

    #[test]
    fn an_item_is_charged_by_the_kilobyte_begun() {
        let dynamodb = |bytes| prices().cost(&comparison(10, 1.0), bytes).dynamodb;
        assert_eq!(dynamodb(1.0), dynamodb(1024.0));
        assert_eq!(dynamodb(1025.0), 2.0 * dynamodb(1024.0));
    }

    #[test]
    fn larger_batches_share_an_invocation() {
        let [small, large] = [10, 1_000].map(|messages| prices().cost(&comparison(messages, 10.0), 500.0));
        assert!((small.lambda / large.lambda - 100.0).abs() < 1e-6);
        assert_eq!((small.sqs, small.dynamodb), (large.sqs, large.dynamodb));
        assert!((small.total - small.sqs - small.lambda - small.dynamodb - small.cloudwatch).abs() < 1e-12);
    }

    #[test]
    fn an_invocation_is_charged_by_itself_and_by_its_memory_and_time() {
        let [call, second] = [0.0, 1_000.0].map(|billed_ms| prices().lambda(1, 1_024, billed_ms));
        assert!((call - 0.20).abs() < 1e-9);
        assert!((second - call - 13.3334).abs() < 1e-9, "a million gigabyte-seconds");
        assert!((prices().lambda(1, 512, 2_000.0) - second).abs() < 1e-9);
    }

    #[test]
    fn processor_time_counts_more_on_a_share_of_a_processor() {
        let mut busy = comparison(10, 1.0);
        let idle = prices().cost(&busy, 500.0).lambda;
        busy.ours.cpu_us = 50.0;
        assert!(prices().cost(&busy, 500.0).lambda > idle);
    }
}
