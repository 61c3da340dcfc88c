//! Cost per million records, by service. Pure.

use super::requirements::Requirements;
use crate::prices::Prices;
use serde::Serialize;
use simulation::deployment::Deployment;
use simulation::limits::{BYTES_PER_REQUEST, MESSAGES_PER_CALL};
use simulation::outcome::SimulationOutcome;

/// Cost per million records, in US dollars.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Cost {
    pub(crate) sqs: f64,
    pub(crate) lambda: f64,
    pub(crate) pollers: f64,
    pub(crate) dynamodb: f64,
    pub(crate) logs: f64,
    pub(crate) metrics: f64,
    pub(crate) total: f64,
}

const SECONDS_A_MONTH: f64 = 30.0 * 24.0 * 3_600.0;

impl Cost {
    /// Returns the cost of `outcome`. `rate` is the load in records per second, and `log_bytes` is the log volume per
    /// invocation.
    pub(crate) fn of(
        outcome: &SimulationOutcome,
        deployment: &Deployment,
        requirements: &Requirements,
        rate: f64,
        log_bytes: f64,
        prices: &Prices,
    ) -> Self {
        let stored = outcome.stored_in_time as f64 * requirements.records_per_message;
        // if the simulation stores no record, divide the fixed cost by the expected number of records
        let millions = if stored > 0.0 { stored } else { rate * outcome.seconds } / 1e6;
        // SQS bills a call per started 64 KB of all its messages together
        let per_call = |messages: f64| (messages * requirements.message_bytes() / BYTES_PER_REQUEST).ceil().max(1.0);
        let sends = outcome.sent as f64 / f64::from(MESSAGES_PER_CALL);
        let received_by_call =
            (outcome.stored_in_time as f64 / outcome.polls.max(1.0)).min(f64::from(MESSAGES_PER_CALL));
        let requests = sends * per_call(f64::from(MESSAGES_PER_CALL))
            + outcome.polls * per_call(received_by_call)
            + outcome.deletes;
        let sqs = requests / 1e6 * prices.sqs_per_million_requests;

        let gigabytes = f64::from(deployment.memory_mb) / 1_024.0;
        let price = prices.gigabyte_second(deployment.arm);
        let kept_warm = f64::from(deployment.min_instances) * outcome.seconds;
        // invocations run on instances with provisioned concurrency first, at their lower price
        let on_warm = outcome.invocation_seconds.min(kept_warm);
        let on_demand = outcome.invocation_seconds - on_warm;
        let lambda = outcome.invocations as f64 / 1e6 * prices.lambda_per_million_requests
            + gigabytes * (on_demand * price.running + on_warm * price.running_warm + kept_warm * price.kept_warm);
        let pollers = match deployment.scaling {
            simulation::scaling::Scaling::Standard { .. } => 0.0,
            simulation::scaling::Scaling::Pollers { .. } => {
                outcome.poller_seconds / 3_600.0 * prices.lambda_per_sqs_poller_hour
            }
        };
        let dynamodb = outcome.write_units / 1e6 * prices.dynamodb_per_million_write_request_units;
        let logs = outcome.invocations as f64 * log_bytes / 1e9 * prices.cloudwatch_logs_per_gb;
        // count the dashboard, because other stacks may have used the account's three free dashboards
        let a_month = f64::from(deployment.metrics_series) * prices.cloudwatch_per_metric_month
            + f64::from(deployment.alarm_metrics) * prices.cloudwatch_per_alarm_metric_month
            + prices.cloudwatch_per_dashboard_month;
        let metrics = a_month * outcome.seconds / SECONDS_A_MONTH;
        let [sqs, lambda, pollers, dynamodb, logs, metrics] =
            [sqs, lambda, pollers, dynamodb, logs, metrics].map(|dollars| dollars / millions);
        Self {
            sqs,
            lambda,
            pollers,
            dynamodb,
            logs,
            metrics,
            total: sqs + lambda + pollers + dynamodb + logs + metrics,
        }
    }
}
