//! The key indicators of docs/requirements.md, each compared with its target. Pure.

use super::totals::{DISTRIBUTIONS, Distribution, Totals};
use crate::prices::Prices;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;

/// Targets of the indicators. A target that the file omits has the value of docs/requirements.md. Throughput is judged only if
/// the file sets a target, because low traffic is not a failure.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Targets {
    messages_per_second: Option<f64>,
    invocations_per_second: Option<f64>,
    pub(crate) delivery_p95_ms: f64,
    pub(crate) end_to_end_p95_ms: f64,
    serialization_ms_per_message: f64,
    delivered_percent: f64,
    errors_percent: f64,
    dollars_per_million_messages: f64,
}

impl Default for Targets {
    fn default() -> Self {
        Self {
            messages_per_second: None,
            invocations_per_second: None,
            delivery_p95_ms: 50.0,
            end_to_end_p95_ms: 100.0,
            serialization_ms_per_message: 1.0,
            delivered_percent: 99.9,
            errors_percent: 0.1,
            dollars_per_million_messages: 1.0,
        }
    }
}

impl Targets {
    pub(crate) fn read(path: &Path) -> Result<Self, Box<dyn Error>> {
        let text = fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        Ok(toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?)
    }
}

/// The value of an indicator, and whether it meets its target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Indicator {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// `None` if there is no target.
    pub(crate) target: Option<f64>,
    pub(crate) met: Option<bool>,
    /// Whether the target is a minimum.
    #[serde(skip)]
    pub(crate) is_minimum: bool,
}

#[derive(Clone, Copy)]
enum Aim {
    AtLeast(f64),
    AtMost(f64),
    None,
}

fn indicator(name: &'static str, value: f64, unit: &'static str, aim: Aim) -> Indicator {
    let (target, met) = match aim {
        Aim::AtLeast(target) => (Some(target), Some(value >= target)),
        Aim::AtMost(target) => (Some(target), Some(value <= target)),
        Aim::None => (None, None),
    };
    Indicator { name, value, unit, target, met, is_minimum: matches!(aim, Aim::AtLeast(_)) }
}

/// Returns `part` divided by `whole`, or 0 if `whole` is 0.
fn part(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// Returns the indicators. Leaves out latencies that no line contains.
pub(crate) fn indicators(totals: &Totals, targets: &Targets, cost: &LoggedCost) -> Vec<Indicator> {
    let at_least = |target: Option<f64>| target.map_or(Aim::None, Aim::AtLeast);
    let sum = |name| totals.sum(name);
    let (received, seconds) = (sum("MessagesReceived"), totals.seconds());
    let handled = sum("MessagesStored") + sum("MessagesSuperseded");
    let delivered = if received > 0.0 { handled / received * 100.0 } else { 100.0 };
    let mut indicators = vec![
        indicator("messages a second", received / seconds, "", at_least(targets.messages_per_second)),
        indicator("invocations a second", totals.invocations() / seconds, "", at_least(targets.invocations_per_second)),
    ];
    let latencies = [
        ("delivery P95", "DeliveryLatency", targets.delivery_p95_ms),
        ("end-to-end P95", "EndToEndLatency", targets.end_to_end_p95_ms),
    ];
    for (name, metric, target) in latencies {
        if let Some(latency) = totals.distribution(metric) {
            indicators.push(indicator(name, latency.percentile(0.95), "ms", Aim::AtMost(target)));
        }
    }
    let serialization = part(sum("DecodeTime"), received);
    let rejected = part(sum("MessagesRejected"), received) * 100.0;
    indicators.extend([
        indicator(
            "parsing and decoding a message",
            serialization,
            "ms",
            Aim::AtMost(targets.serialization_ms_per_message),
        ),
        indicator("stored of received", delivered, "%", Aim::AtLeast(targets.delivered_percent)),
        indicator("rejected of received", rejected, "%", Aim::AtMost(targets.errors_percent)),
        indicator("ledger imbalance", sum("LedgerImbalance"), "messages", Aim::AtMost(0.0)),
        indicator("cost of a million messages", cost.total, "$", Aim::AtMost(targets.dollars_per_million_messages)),
    ]);
    indicators
}

/// How the time of the invocations is divided, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Shares {
    pub(crate) decoding_percent: f64,
    pub(crate) database_percent: f64,
    pub(crate) rest_percent: f64,
}

impl Shares {
    pub(crate) fn of(totals: &Totals) -> Self {
        let share = |name| part(totals.sum(name), totals.sum("HandlerTime")) * 100.0;
        let [decoding_percent, database_percent] = ["DecodeTime", "WriteTime"].map(share);
        let whole = if totals.sum("HandlerTime") > 0.0 { 100.0 } else { 0.0 };
        let rest_percent = (whole - decoding_percent - database_percent).max(0.0);
        Self { decoding_percent, database_percent, rest_percent }
    }
}

/// Summary of a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct DistributionSummary {
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) most: f64,
}

impl DistributionSummary {
    fn of(distribution: &Distribution) -> Self {
        let at = |share| distribution.percentile(share);
        Self { mean: distribution.mean(), p50: at(0.5), p95: at(0.95), p99: at(0.99), most: distribution.most() }
    }
}

/// Returns a summary of each metric with percentiles, in the order of a message's path.
pub(crate) fn summaries(totals: &Totals) -> Vec<(&'static str, DistributionSummary)> {
    DISTRIBUTIONS
        .into_iter()
        .filter_map(|name| Some((name, DistributionSummary::of(totals.distribution(name)?))))
        .collect()
}

/// Metrics of which the sum is shown.
pub(crate) const COUNTS: [&str; 12] = [
    "MessagesReceived",
    "MessagesStored",
    "MessagesSuperseded",
    "MessagesQuarantined",
    "MessagesReturned",
    "MessagesRejected",
    "Records",
    "ColdStart",
    "RetriedItems",
    "UnprocessedItems",
    "ConsumedWriteUnits",
    "Throttles",
];

/// Throttle metrics, by the limit that was exceeded.
pub(crate) const THROTTLES: [&str; 5] =
    ["ThrottlesTable", "ThrottlesIndex", "ThrottlesHotPartition", "ThrottlesAccount", "ThrottlesUnknown"];

/// Returns the values of one dimension in descending order of their counts.
pub(crate) fn by_dimension(totals: &Totals, dimension: &str) -> Vec<(String, f64)> {
    let of: BTreeMap<&String, f64> = totals
        .by_dimension
        .iter()
        .filter(|((name, _), _)| name == dimension)
        .map(|((_, value), count)| (value, *count))
        .collect();
    let mut values: Vec<(String, f64)> = of.into_iter().map(|(value, count)| (value.clone(), count)).collect();
    values.sort_by(|one, other| other.1.total_cmp(&one.1));
    values
}

/// Cost per million messages in US dollars, estimated from the function's metrics.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct LoggedCost {
    pub(crate) sqs: f64,
    pub(crate) lambda: f64,
    pub(crate) dynamodb: f64,
    pub(crate) cloudwatch: f64,
    pub(crate) total: f64,
}

const MESSAGES_PER_CALL: f64 = 10.0;
const SECONDS_A_MONTH: f64 = 30.0 * 86_400.0;

impl LoggedCost {
    /// Estimates the cost. Assumes that messages are sent and deleted ten per call, and that an invocation's messages are
    /// received ten per call. Leaves out empty receives, provisioned concurrency and pollers, which the metrics do not show.
    pub(crate) fn of(totals: &Totals, memory_mb: u32, arm: bool, prices: &Prices) -> Self {
        let (received, invocations) = (totals.sum("MessagesReceived"), totals.invocations());
        let calls_an_invocation = part(received, invocations * MESSAGES_PER_CALL).max(1.0);
        let requests = received / MESSAGES_PER_CALL + 2.0 * invocations * calls_an_invocation;
        let gigabyte_seconds = totals.sum("HandlerTime") / 1e3 * f64::from(memory_mb) / 1_024.0;
        let sqs = requests / 1e6 * prices.sqs_per_million_requests;
        let lambda = invocations / 1e6 * prices.lambda_per_million_requests
            + gigabyte_seconds * prices.gigabyte_second(arm).running;
        let dynamodb = totals.sum("ConsumedWriteUnits") / 1e6 * prices.dynamodb_per_million_write_request_units;
        let cloudwatch = totals.bytes as f64 / 1e9 * prices.cloudwatch_logs_per_gb
            + totals.series() as f64 * prices.cloudwatch_per_metric_month * totals.seconds() / SECONDS_A_MONTH;
        let per_million = |dollars: f64| part(dollars * 1e6, received);
        let [sqs, lambda, dynamodb, cloudwatch] = [sqs, lambda, dynamodb, cloudwatch].map(per_million);
        Self { sqs, lambda, dynamodb, cloudwatch, total: sqs + lambda + dynamodb + cloudwatch }
    }
}

#[cfg(test)]
mod tests {
    use super::super::totals::History;
    use super::*;
    use crate::report::emf::Line;
    use avro_ingest::metrics::{Invocation, Metrics};
    use avro_ingest::outcome::{Ledger, Reason};
    use std::time::Duration;

    /// Returns the totals of one invocation of 100 messages per second for `seconds`. In each invocation, `rejected` messages
    /// are rejected.
    fn totals(seconds: u64, rejected: usize, latency_ms: u64) -> Totals {
        let mut history = History::default();
        let metrics = Metrics::new("AvroIngest", "orders");
        for second in 0..seconds {
            let mut invocation = Invocation {
                at: Duration::from_secs(1_700_000_000 + second),
                ledger: Ledger { received: 100, stored: 100 - rejected, returned: rejected, ..Ledger::default() },
                records: [("order".to_owned(), 100 - rejected)].into(),
                decode_time: Duration::from_millis(3),
                write_time: Duration::from_millis(6),
                handler_time: Duration::from_millis(10),
                delivery_latency: [latency_ms / 2; 100].map(Duration::from_millis).into_iter().collect(),
                end_to_end_latency: [latency_ms; 100].map(Duration::from_millis).into_iter().collect(),
                ..Invocation::default()
            };
            invocation.writes.write_units = 100.0;
            if rejected > 0 {
                invocation.rejected.insert(Reason::Truncated, rejected);
            }
            let lines = String::from_utf8(metrics.lines(&invocation)).unwrap();
            for text in lines.lines() {
                let line = Line::of(&serde_json::from_str(text).unwrap(), text.len() + 1).unwrap();
                history.add(&line);
            }
        }
        history.all
    }

    fn cost(totals: &Totals) -> LoggedCost {
        LoggedCost::of(totals, 512, true, &Prices::new().unwrap())
    }

    fn missed(totals: &Totals, targets: &Targets) -> Vec<&'static str> {
        let indicators = indicators(totals, targets, &cost(totals));
        indicators
            .into_iter()
            .filter(|indicator| indicator.met == Some(false))
            .map(|indicator| indicator.name)
            .collect()
    }

    #[test]
    fn a_good_hour_meets_every_target() {
        assert_eq!(missed(&totals(60, 0, 40), &Targets::default()), Vec::<&str>::new());
    }

    #[test]
    fn what_is_missed_is_named() {
        assert_eq!(missed(&totals(60, 0, 130), &Targets::default()), ["delivery P95", "end-to-end P95"]);
        assert_eq!(missed(&totals(60, 1, 40), &Targets::default()), ["stored of received", "rejected of received"]);
    }

    #[test]
    fn throughput_is_judged_if_a_file_says_so() {
        let targets: Targets = toml::from_str("messages_per_second = 100000").unwrap();
        assert_eq!(missed(&totals(60, 0, 40), &targets), ["messages a second"]);
        assert!(toml::from_str::<Targets>("messages_a_second = 1").is_err(), "a misspelt target is an error");
        let adr: Targets = toml::from_str(include_str!("../../../docs/report-targets.toml")).unwrap();
        assert_eq!((adr.messages_per_second, adr.delivery_p95_ms), (Some(100_000.0), 50.0));
    }

    #[test]
    fn time_is_shared_between_decoding_and_the_database() {
        let shares = Shares::of(&totals(10, 0, 40));
        let percent = [shares.decoding_percent, shares.database_percent, shares.rest_percent];
        assert!(percent.iter().zip([30.0, 60.0, 10.0]).all(|(is, should)| (is - should).abs() < 1e-6), "{percent:?}");
    }

    #[test]
    fn reasons_and_schemas_are_counted() {
        let totals = totals(10, 2, 40);
        assert_eq!(by_dimension(&totals, "Reason"), [("truncated".to_owned(), 20.0)]);
        assert_eq!(by_dimension(&totals, "Schema"), [("order".to_owned(), 980.0)]);
    }

    #[test]
    fn a_million_messages_of_one_unit_each_cost_dynamodbs_price_of_a_million_units() {
        let cost = cost(&totals(60, 0, 40));
        assert!((cost.dynamodb - 0.625).abs() < 1e-9);
        // ten send calls, ten receive calls and ten delete calls per 100 messages
        assert!((cost.sqs - 0.3 * 0.4).abs() < 1e-9);
        assert!((cost.total - cost.sqs - cost.lambda - cost.dynamodb - cost.cloudwatch).abs() < 1e-12);
    }

    #[test]
    fn nothing_received_costs_nothing_and_divides_by_nothing() {
        let nothing = Totals::default();
        assert_eq!(cost(&nothing).total, 0.0);
        let indicators = indicators(&nothing, &Targets::default(), &cost(&nothing));
        assert!(indicators.iter().all(|indicator| indicator.value.is_finite()));
    }
}
