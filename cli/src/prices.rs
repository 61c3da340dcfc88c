//! List prices, from `benches/prices.json`.

use serde::Deserialize;
use std::error::Error;

/// Prices in US dollars, without free tiers and volume discounts.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Prices {
    pub(crate) date: String,
    pub(crate) region: String,
    pub(crate) sqs_per_million_requests: f64,
    pub(crate) lambda_per_million_requests: f64,
    lambda_arm64_per_gb_second: f64,
    lambda_arm64_per_warm_gb_second: f64,
    lambda_arm64_per_gb_second_kept_warm: f64,
    lambda_x86_per_gb_second: f64,
    lambda_x86_per_warm_gb_second: f64,
    lambda_x86_per_gb_second_kept_warm: f64,
    pub(crate) lambda_per_sqs_poller_hour: f64,
    pub(crate) dynamodb_per_million_write_request_units: f64,
    pub(crate) cloudwatch_logs_per_gb: f64,
    pub(crate) cloudwatch_per_metric_month: f64,
    pub(crate) cloudwatch_per_alarm_metric_month: f64,
    pub(crate) cloudwatch_per_dashboard_month: f64,
}

/// Prices of one gigabyte of memory for one second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GigabyteSecond {
    /// Price during an invocation on an on-demand instance.
    pub(crate) running: f64,
    /// Price during an invocation on an instance with provisioned concurrency.
    pub(crate) running_warm: f64,
    /// Price of provisioned concurrency itself, whether busy or idle.
    pub(crate) kept_warm: f64,
}

impl Prices {
    pub(crate) fn new() -> Result<Self, Box<dyn Error>> {
        Ok(serde_json::from_str(include_str!("../../benches/prices.json"))?)
    }

    pub(crate) fn gigabyte_second(&self, arm: bool) -> GigabyteSecond {
        if arm {
            GigabyteSecond {
                running: self.lambda_arm64_per_gb_second,
                running_warm: self.lambda_arm64_per_warm_gb_second,
                kept_warm: self.lambda_arm64_per_gb_second_kept_warm,
            }
        } else {
            GigabyteSecond {
                running: self.lambda_x86_per_gb_second,
                running_warm: self.lambda_x86_per_warm_gb_second,
                kept_warm: self.lambda_x86_per_gb_second_kept_warm,
            }
        }
    }
}
