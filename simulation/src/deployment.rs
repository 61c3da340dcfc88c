//! The template's parameters that a plan chooses or depends on.

use crate::limits::{
    BATCH_SIZE, MAX_BATCH_WITHOUT_WINDOW, MAXIMUM_CONCURRENCY, MAXIMUM_POLLERS, MEMORY_MEGABYTES, MINIMUM_POLLERS,
};
use crate::scaling::Scaling;
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// The properties of a deployment that determine its throughput, latency and cost. The defaults are those of the template.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Deployment {
    pub batch_size: u32,
    pub window_seconds: u32,
    pub scaling: Scaling,
    pub min_instances: u32,
    pub memory_mb: u32,
    pub timeout_seconds: u32,
    pub deadline_margin_ms: u32,
    pub max_receive_count: u32,
    pub return_backoff_seconds: u32,
    pub warm_write_units: u32,
    pub max_write_units: u32,
    pub delivery_target_ms: u32,
    pub end_to_end_target_ms: u32,
    pub arm: bool,
    pub metrics_series: u32,
    pub alarm_metrics: u32,
}

/// Number of metrics with the dimension Service. Each is a separate series. deploy/metrics.json lists them.
const METRICS_SERIES: u32 = 29;
/// Number of metrics that the template's alarms use.
const ALARM_METRICS: u32 = 13;

impl Default for Deployment {
    fn default() -> Self {
        Self {
            batch_size: 10,
            window_seconds: 0,
            scaling: Scaling::Standard { max_instances: 10 },
            min_instances: 0,
            memory_mb: 512,
            timeout_seconds: 30,
            deadline_margin_ms: 500,
            max_receive_count: 12,
            return_backoff_seconds: 1,
            warm_write_units: 0,
            max_write_units: 0,
            delivery_target_ms: 50,
            end_to_end_target_ms: 100,
            arm: true,
            metrics_series: METRICS_SERIES,
            alarm_metrics: ALARM_METRICS,
        }
    }
}

impl Deployment {
    /// Creates a deployment from the template's `parameters`. Missing ones have the template's defaults.
    pub fn new(parameters: &BTreeMap<String, String>) -> Result<Self, String> {
        let default = Self::default();
        let number = |name: &str, default: u32| match parameters.get(name) {
            None => Ok(default),
            Some(text) => text.parse::<u32>().map_err(|_| format!("{name}={text} is not a whole number")),
        };
        let deployment = Self {
            batch_size: number("BatchSize", default.batch_size)?,
            window_seconds: number("BatchingWindowSeconds", default.window_seconds)?,
            scaling: match parameters.get("ScalingMode").map(String::as_str) {
                None | Some("standard") => Scaling::Standard { max_instances: number("MaxInstances", 10)? },
                Some("pollers") => {
                    Scaling::Pollers { minimum: number("MinimumPollers", 2)?, maximum: number("MaximumPollers", 200)? }
                }
                Some(other) => return Err(format!("ScalingMode={other} is neither standard nor pollers")),
            },
            min_instances: number("MinInstances", default.min_instances)?,
            memory_mb: number("MemoryMegabytes", default.memory_mb)?,
            timeout_seconds: number("TimeoutSeconds", default.timeout_seconds)?,
            deadline_margin_ms: number("DeadlineMarginMs", default.deadline_margin_ms)?,
            max_receive_count: number("MaxReceiveCount", default.max_receive_count)?,
            return_backoff_seconds: number("ReturnBackoffSeconds", default.return_backoff_seconds)?,
            warm_write_units: number("WarmWriteUnits", default.warm_write_units)?,
            max_write_units: number("MaxWriteUnits", default.max_write_units)?,
            delivery_target_ms: number("DeliveryTargetMs", default.delivery_target_ms)?,
            end_to_end_target_ms: number("EndToEndTargetMs", default.end_to_end_target_ms)?,
            arm: match parameters.get("Architecture").map(String::as_str) {
                None | Some("arm64") => true,
                Some("x86_64") => false,
                Some(other) => return Err(format!("Architecture={other} is neither arm64 nor x86_64")),
            },
            metrics_series: default.metrics_series,
            alarm_metrics: default.alarm_metrics,
        };
        deployment.check()?;
        deployment.check_mode(parameters)?;
        Ok(deployment)
    }

    /// Rejects parameters that have no effect in the selected scaling mode or queue type.
    fn check_mode(&self, parameters: &BTreeMap<String, String>) -> Result<(), String> {
        if matches!(self.scaling, Scaling::Standard { .. }) {
            for name in ["MinimumPollers", "MaximumPollers"] {
                if parameters.contains_key(name) {
                    return Err(format!(
                        "{name} has no effect in standard mode: set ScalingMode=pollers, or leave it out"
                    ));
                }
            }
        }
        // with pollers, MaxInstances limits the warm instances, but only if it is set
        let most = match self.scaling {
            Scaling::Standard { max_instances } => Some(max_instances),
            Scaling::Pollers { .. } => parameters.get("MaxInstances").and_then(|most| most.parse().ok()),
        };
        if let Some(most) = most
            && self.min_instances > most
        {
            return Err(format!("MinInstances={} is over MaxInstances={most}", self.min_instances));
        }
        let is_fifo = parameters.get("QueueType").is_some_and(|queue| queue == "fifo");
        if is_fifo && self.batch_size > MAX_BATCH_WITHOUT_WINDOW {
            return Err(format!(
                "BatchSize={} is over {MAX_BATCH_WITHOUT_WINDOW}, the most of QueueType=fifo",
                self.batch_size
            ));
        }
        if is_fifo && self.window_seconds > 0 {
            return Err(format!("BatchingWindowSeconds={} excludes QueueType=fifo", self.window_seconds));
        }
        Ok(())
    }

    /// Rejects values that AWS or the template would refuse.
    fn check(&self) -> Result<(), String> {
        within("BatchSize", self.batch_size, &BATCH_SIZE)?;
        within("MemoryMegabytes", self.memory_mb, &MEMORY_MEGABYTES)?;
        match self.scaling {
            Scaling::Standard { max_instances } => within("MaxInstances", max_instances, &MAXIMUM_CONCURRENCY)?,
            Scaling::Pollers { minimum, maximum } => {
                within("MinimumPollers", minimum, &MINIMUM_POLLERS)?;
                within("MaximumPollers", maximum, &MAXIMUM_POLLERS)?;
                if minimum > maximum {
                    return Err(format!("MinimumPollers={minimum} is over MaximumPollers={maximum}"));
                }
            }
        }
        if self.batch_size > MAX_BATCH_WITHOUT_WINDOW && self.window_seconds == 0 {
            return Err(format!("BatchSize={} needs BatchingWindowSeconds=1 or more", self.batch_size));
        }
        if u64::from(self.deadline_margin_ms) >= u64::from(self.timeout_seconds) * 1_000 {
            return Err(format!(
                "DeadlineMarginMs={} leaves nothing of TimeoutSeconds={}",
                self.deadline_margin_ms, self.timeout_seconds
            ));
        }
        if self.max_write_units > 0 && self.max_write_units < self.warm_write_units {
            return Err(format!(
                "MaxWriteUnits={} is below WarmWriteUnits={}",
                self.max_write_units, self.warm_write_units
            ));
        }
        if self.delivery_target_ms > self.end_to_end_target_ms {
            return Err(format!(
                "DeliveryTargetMs={} is over EndToEndTargetMs={}, which includes it",
                self.delivery_target_ms, self.end_to_end_target_ms
            ));
        }
        Ok(())
    }

    /// Returns the parameters for `sam deploy --parameter-overrides`. Those with default values are omitted.
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let default = Self::default();
        let mut parameters = Vec::new();
        let mut set = |name, value: u32, default: u32| {
            if value != default {
                parameters.push((name, value.to_string()));
            }
        };
        set("BatchSize", self.batch_size, default.batch_size);
        set("BatchingWindowSeconds", self.window_seconds, default.window_seconds);
        match self.scaling {
            Scaling::Standard { max_instances } => set("MaxInstances", max_instances, 10),
            Scaling::Pollers { minimum, maximum } => {
                set("MinimumPollers", minimum, 2);
                set("MaximumPollers", maximum, 200);
            }
        }
        set("MinInstances", self.min_instances, default.min_instances);
        set("MemoryMegabytes", self.memory_mb, default.memory_mb);
        set("TimeoutSeconds", self.timeout_seconds, default.timeout_seconds);
        set("DeadlineMarginMs", self.deadline_margin_ms, default.deadline_margin_ms);
        set("MaxReceiveCount", self.max_receive_count, default.max_receive_count);
        set("ReturnBackoffSeconds", self.return_backoff_seconds, default.return_backoff_seconds);
        set("WarmWriteUnits", self.warm_write_units, default.warm_write_units);
        set("MaxWriteUnits", self.max_write_units, default.max_write_units);
        set("DeliveryTargetMs", self.delivery_target_ms, default.delivery_target_ms);
        set("EndToEndTargetMs", self.end_to_end_target_ms, default.end_to_end_target_ms);
        if matches!(self.scaling, Scaling::Pollers { .. }) {
            parameters.insert(0, ("ScalingMode", "pollers".to_owned()));
            // warm instances scale with the load up to MaxInstances, whose default of 10 would be too low
            if self.min_instances > 10 {
                parameters.push(("MaxInstances", self.min_instances.to_string()));
            }
        }
        if !self.arm {
            parameters.push(("Architecture", "x86_64".to_owned()));
        }
        parameters
    }
}

fn within(name: &str, value: u32, range: &RangeInclusive<u32>) -> Result<(), String> {
    if range.contains(&value) {
        Ok(())
    } else {
        Err(format!("{name}={value} is not between {} and {}", range.start(), range.end()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(parameters: &[&str]) -> Result<Deployment, String> {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Deployment::new(&parameters.iter().map(|text| owned(text.split_once('=').unwrap())).collect())
    }

    #[test]
    fn the_defaults_are_the_templates() {
        let template = include_str!("../../template.yaml");
        let default_of = |name: &str| {
            let (_, section) = template.split_once(&format!("\n  {name}:\n")).unwrap();
            let (_, rest) = section.split_once("Default: ").unwrap();
            rest.lines().next().unwrap().trim_matches('\'').to_owned()
        };
        let default = Deployment::default();
        for (name, value) in [
            ("BatchSize", default.batch_size),
            ("BatchingWindowSeconds", default.window_seconds),
            ("MaxInstances", default.scaling.most()),
            ("MinInstances", default.min_instances),
            ("MinimumPollers", 2),
            ("MaximumPollers", 200),
            ("MemoryMegabytes", default.memory_mb),
            ("TimeoutSeconds", default.timeout_seconds),
            ("DeadlineMarginMs", default.deadline_margin_ms),
            ("MaxReceiveCount", default.max_receive_count),
            ("ReturnBackoffSeconds", default.return_backoff_seconds),
            ("WarmWriteUnits", default.warm_write_units),
            ("MaxWriteUnits", default.max_write_units),
            ("DeliveryTargetMs", default.delivery_target_ms),
            ("EndToEndTargetMs", default.end_to_end_target_ms),
        ] {
            assert_eq!(default_of(name), value.to_string(), "{name}");
        }
        assert_eq!((default_of("ScalingMode").as_str(), default_of("Architecture").as_str()), ("standard", "arm64"));
    }

    #[test]
    fn the_parameter_line_makes_the_same_deployment() {
        for parameters in [
            &[][..],
            &["BatchSize=100", "BatchingWindowSeconds=1", "MaxInstances=700", "ReturnBackoffSeconds=5"],
            &[
                "ScalingMode=pollers",
                "MinimumPollers=20",
                "MaximumPollers=2000",
                "MinInstances=50",
                "Architecture=x86_64",
            ],
        ] {
            let one = deployment(parameters).unwrap();
            let line = one.parameters().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            assert_eq!(Deployment::new(&line).unwrap(), one);
        }
    }

    #[test]
    fn what_aws_would_refuse_is_refused_with_its_name() {
        for (parameter, named) in [
            ("BatchSize=100", "BatchingWindowSeconds"),
            ("BatchSize=10001", "BatchSize"),
            ("BatchSize=ten", "BatchSize"),
            ("MaxInstances=1001", "MaxInstances"),
            ("ScalingMode=fast", "ScalingMode"),
            ("MemoryMegabytes=64", "MemoryMegabytes"),
        ] {
            assert!(deployment(&[parameter]).unwrap_err().contains(named), "{parameter}");
        }
        assert!(deployment(&["ScalingMode=pollers", "MaximumPollers=2001"]).unwrap_err().contains("MaximumPollers"));
    }

    #[test]
    fn as_many_series_are_billed_as_the_function_writes() {
        let metrics: serde_json::Value = serde_json::from_str(include_str!("../../deploy/metrics.json")).unwrap();
        let of_service = |metric: &&serde_json::Value| metric["dimensions"] == serde_json::json!(["Service"]);
        let series = metrics.as_array().unwrap().iter().filter(of_service).count();
        assert_eq!(u32::try_from(series).unwrap(), METRICS_SERIES);
        let of_alarms = include_str!("../../template.yaml").matches("MetricName: ").count();
        assert_eq!(u32::try_from(of_alarms).unwrap(), ALARM_METRICS);
    }

    #[test]
    fn parameters_that_contradict_each_other_are_refused_with_their_names() {
        for parameters in [
            &["ScalingMode=standard", "MinimumPollers=5"][..],
            &["MaximumPollers=5"],
            &["ScalingMode=pollers", "MinimumPollers=50", "MaximumPollers=5"],
            &["MinInstances=20", "MaxInstances=10"],
            &["QueueType=fifo", "BatchSize=20", "BatchingWindowSeconds=1"],
            &["QueueType=fifo", "BatchingWindowSeconds=1"],
            &["TimeoutSeconds=10", "DeadlineMarginMs=10000"],
            &["MaxWriteUnits=5000", "WarmWriteUnits=6000"],
            &["DeliveryTargetMs=200", "EndToEndTargetMs=100"],
            &["Architecture=arm"],
        ] {
            let (name, _) = parameters.last().unwrap().split_once('=').unwrap();
            let error = deployment(parameters).unwrap_err();
            let named = parameters.iter().any(|parameter| error.contains(parameter.split_once('=').unwrap().0));
            assert!(named, "{name}: {error}");
        }
        for parameters in [
            &["QueueType=fifo", "BatchSize=10"][..],
            &["MinInstances=10"],
            &["MaxWriteUnits=6000", "WarmWriteUnits=6000"],
        ] {
            assert!(deployment(parameters).is_ok(), "{parameters:?}");
        }
    }
}
