//! What a million messages cost, by the prices of `benches/prices.json`. Pure.

use crate::compare::Comparison;
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

/// Memory of an instance in MB: the template's default.
pub(crate) const MEMORY_MB: f64 = 512.0;
/// Memory that buys one processor. <https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>
const MEMORY_OF_A_PROCESSOR_MB: f64 = 1769.0;
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
        let share = (MEMORY_MB / MEMORY_OF_A_PROCESSOR_MB).min(1.0);
        let processor_seconds = ours.cpu_us * size / 1e6;
        let billed_seconds = ours.p50_ms / 1e3 + processor_seconds * (1.0 / share - 1.0);
        let invocations = 1e6 / size;
        let sqs = CALLS / MESSAGES_A_CALL * self.sqs_per_million_requests;
        let lambda = invocations / 1e6 * self.lambda_per_million_requests
            + invocations * billed_seconds * MEMORY_MB / 1024.0 * self.lambda_arm64_per_gb_second;
        let dynamodb = (item_bytes / BYTES_A_WRITE_UNIT).ceil() * self.dynamodb_per_million_write_request_units;
        let cloudwatch = invocations * ours.log_bytes / 1e9 * self.cloudwatch_logs_per_gb;
        Cost { messages: *messages, sqs, lambda, dynamodb, cloudwatch, total: sqs + lambda + dynamodb + cloudwatch }
    }
}
