//! The settings: environment variables, read once, every mistake reported together.

use crate::avro::WireFormat;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// What the function was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Table of the records whose schema names none.
    pub table_name: String,
    /// Where the schema files are.
    pub schema_dir: PathBuf,
    /// Framings that are looked for, in this order.
    pub wire_formats: Vec<WireFormat>,
    /// `subject` or `subject/version` of bare data and JSON without a `schema` attribute.
    pub default_schema: Option<String>,
    /// The P95 of a write the limiter steers to. Low: fewer calls at once and fewer throttles; high: more throughput.
    pub target_latency: Duration,
    /// The fewest write calls the limiter allows at once. High: a throttled table is pressed on.
    pub min_in_flight: NonZeroUsize,
    /// The most write calls at once, and the connections kept. Low: slow on large batches; high: more memory and sockets.
    pub max_in_flight: NonZeroUsize,
    /// Kept back from the Lambda deadline for the answer. Low: a late answer loses the invocation; high: less is written.
    pub deadline_margin: Duration,
    /// Where rejected messages go, with their reason.
    pub quarantine_queue_url: Option<String>,
    /// EMF namespace.
    pub metrics_namespace: String,
    /// EMF dimension `Service`.
    pub service_name: String,
    /// How deep a datum may be nested. DynamoDB itself takes 32 levels of lists and maps.
    pub max_depth: usize,
    /// How many records one message may hold.
    pub max_records: usize,
    /// How many bytes one message may inflate to.
    pub max_inflated_bytes: usize,
}

/// The settings that are wrong, one sentence each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(Vec<String>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid settings: {}", self.0.join("; "))
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads each setting by its name. An empty value counts as none: a template cannot leave a variable out.
    pub fn parse(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut reader = Reader { lookup, problems: Vec::new() };
        let limits = crate::avro::Limits::default();
        let config = Self {
            table_name: reader.required("TABLE_NAME"),
            schema_dir: reader.text("SCHEMA_DIR").unwrap_or_else(|| "/opt/schemas".into()).into(),
            wire_formats: reader.wire_formats(),
            default_schema: reader.text("DEFAULT_SCHEMA"),
            target_latency: Duration::from_millis(reader.number("TARGET_LATENCY_MS", 50, 1, 60_000)),
            min_in_flight: reader.count("MIN_IN_FLIGHT", 1),
            max_in_flight: reader.count("MAX_IN_FLIGHT", 50),
            deadline_margin: Duration::from_millis(reader.number("DEADLINE_MARGIN_MS", 500, 0, 60_000)),
            quarantine_queue_url: reader.text("QUARANTINE_QUEUE_URL"),
            metrics_namespace: reader.text("METRICS_NAMESPACE").unwrap_or_else(|| "AvroIngest".into()),
            service_name: reader
                .text("SERVICE_NAME")
                .or_else(|| reader.text("AWS_LAMBDA_FUNCTION_NAME"))
                .unwrap_or_else(|| "avro-ingest".into()),
            max_depth: reader.number("MAX_DEPTH", limits.max_depth, 1, 256),
            max_records: reader.number("MAX_RECORDS", limits.max_records, 1, 1_000_000),
            max_inflated_bytes: reader.number("MAX_INFLATED_BYTES", limits.max_inflated_bytes, 1_024, 1 << 30),
        };
        if config.min_in_flight > config.max_in_flight {
            reader.problems.push("MIN_IN_FLIGHT is over MAX_IN_FLIGHT".into());
        }
        if reader.problems.is_empty() { Ok(config) } else { Err(ConfigError(reader.problems)) }
    }
}

struct Reader<F> {
    lookup: F,
    problems: Vec<String>,
}

impl<F: Fn(&str) -> Option<String>> Reader<F> {
    fn text(&self, name: &str) -> Option<String> {
        (self.lookup)(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn required(&mut self, name: &str) -> String {
        self.text(name).unwrap_or_else(|| {
            self.problems.push(format!("{name} is required"));
            String::new()
        })
    }

    fn number<T: FromStr + PartialOrd + Copy + fmt::Display>(
        &mut self,
        name: &str,
        default: T,
        least: T,
        most: T,
    ) -> T {
        let Some(text) = self.text(name) else { return default };
        match text.parse::<T>() {
            Ok(number) if least <= number && number <= most => number,
            _ => {
                self.problems.push(format!("{name} is {text:?}, but must be a whole number from {least} to {most}"));
                default
            }
        }
    }

    /// A count of write calls. A thousand is far over what one table's share of a function needs.
    fn count(&mut self, name: &str, default: usize) -> NonZeroUsize {
        NonZeroUsize::new(self.number(name, default, 1, 1_000)).unwrap_or(NonZeroUsize::MIN)
    }

    fn wire_formats(&mut self) -> Vec<WireFormat> {
        let text = self.text("WIRE_FORMATS").unwrap_or_else(|| "single-object,container".into());
        let mut formats = Vec::new();
        for name in text.split(',').map(str::trim) {
            match name.parse() {
                Ok(format) if formats.contains(&format) => {
                    self.problems.push(format!("WIRE_FORMATS names {name} twice"));
                }
                Ok(format) => formats.push(format),
                Err(_) => {
                    let known: Vec<_> = WireFormat::ALL.iter().map(ToString::to_string).collect();
                    self.problems.push(format!("WIRE_FORMATS names {name:?}, but knows only {}", known.join(", ")));
                }
            }
        }
        formats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(settings: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::parse(|name| settings.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn only_the_table_is_required() {
        let config = parse(&[("TABLE_NAME", "orders")]).unwrap();
        assert_eq!(config.table_name, "orders");
        assert_eq!(config.schema_dir, PathBuf::from("/opt/schemas"));
        assert_eq!(config.wire_formats, [WireFormat::SingleObject, WireFormat::Container]);
        assert_eq!((config.min_in_flight.get(), config.max_in_flight.get()), (1, 50));
        assert_eq!((config.target_latency.as_millis(), config.deadline_margin.as_millis()), (50, 500));
        assert_eq!(config.metrics_namespace, "AvroIngest");
    }

    #[test]
    fn an_empty_variable_counts_as_none() {
        let bare = parse(&[("TABLE_NAME", "orders")]).unwrap();
        let empty = parse(&[
            ("TABLE_NAME", "orders"),
            ("QUARANTINE_QUEUE_URL", ""),
            ("MAX_IN_FLIGHT", " "),
            ("WIRE_FORMATS", ""),
        ]);
        assert_eq!(empty.unwrap(), bare);
    }

    #[test]
    fn the_service_is_the_function_unless_it_is_named() {
        let lambda = ("AWS_LAMBDA_FUNCTION_NAME", "fn");
        assert_eq!(parse(&[("TABLE_NAME", "t"), lambda]).unwrap().service_name, "fn");
        assert_eq!(parse(&[("TABLE_NAME", "t"), lambda, ("SERVICE_NAME", "orders")]).unwrap().service_name, "orders");
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let error = parse(&[
            ("WIRE_FORMATS", "datum, xml,datum"),
            ("TARGET_LATENCY_MS", "0"),
            ("MIN_IN_FLIGHT", "51"),
            ("DEADLINE_MARGIN_MS", "-1"),
            ("MAX_DEPTH", "deep"),
        ])
        .unwrap_err()
        .to_string();
        for part in [
            "TABLE_NAME",
            "\"xml\"",
            "datum twice",
            "TARGET_LATENCY_MS",
            "MIN_IN_FLIGHT is over",
            "DEADLINE_MARGIN_MS",
            "MAX_DEPTH",
        ] {
            assert!(error.contains(part), "{part} in {error}");
        }
    }

    #[test]
    fn bounds_are_inclusive() {
        for (value, fits) in [("0", false), ("1", true), ("1000", true), ("1001", false)] {
            let result = parse(&[("TABLE_NAME", "t"), ("MIN_IN_FLIGHT", "1"), ("MAX_IN_FLIGHT", value)]);
            assert_eq!(result.is_ok(), fits, "{value}");
        }
    }
}
