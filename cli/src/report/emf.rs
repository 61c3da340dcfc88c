//! A line in CloudWatch's embedded metric format. Pure.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The metrics of one line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    /// Timestamp in milliseconds since the Unix epoch.
    pub(crate) at_ms: u64,
    pub(crate) service: String,
    /// Name and value of the second dimension, `Reason` or `Schema`, if the line has one.
    pub(crate) dimension: Option<(String, String)>,
    /// Values of each metric, with their counts.
    pub(crate) metrics: BTreeMap<String, Vec<(f64, f64)>>,
    pub(crate) bytes: usize,
}

impl Line {
    /// Parses a line from its JSON, which has `bytes` bytes in the log. Returns `None` if it is another kind of log line, or if
    /// a metric value is not a non-negative number.
    pub(crate) fn of(json: &Map<String, Value>, bytes: usize) -> Option<Self> {
        let metadata = json.get("_aws")?;
        let at_ms = metadata.get("Timestamp")?.as_u64()?;
        let mut line = Self {
            at_ms,
            service: json.get("Service").and_then(Value::as_str).unwrap_or_default().to_owned(),
            dimension: None,
            metrics: BTreeMap::new(),
            bytes,
        };
        for directive in metadata.get("CloudWatchMetrics")?.as_array()? {
            let dimensions = directive.get("Dimensions").and_then(Value::as_array).into_iter().flatten();
            for name in dimensions.filter_map(Value::as_array).flatten().filter_map(Value::as_str) {
                if let (true, Some(value)) = (name != "Service", json.get(name).and_then(Value::as_str)) {
                    line.dimension = Some((name.to_owned(), value.to_owned()));
                }
            }
            let metrics = directive.get("Metrics").and_then(Value::as_array).into_iter().flatten();
            for name in metrics.filter_map(|metric| metric.get("Name")?.as_str()) {
                if let Some(value) = json.get(name) {
                    line.metrics.insert(name.to_owned(), values(value)?);
                }
            }
        }
        Some(line)
    }
}

/// Parses a metric value: a number, a list of numbers, or lists of values and counts. Returns `None` if a number is negative.
fn values(value: &Value) -> Option<Vec<(f64, f64)>> {
    let number = |value: &Value| value.as_f64().filter(|number| *number >= 0.0);
    let numbers = |value: &Value| value.as_array()?.iter().map(number).collect::<Option<Vec<f64>>>();
    match value {
        Value::Array(_) => Some(numbers(value)?.into_iter().map(|value| (value, 1.0)).collect()),
        Value::Object(object) => {
            let values = numbers(object.get("Values")?)?;
            let counts = object.get("Counts").map_or_else(|| Some(vec![1.0; values.len()]), numbers)?;
            (values.len() == counts.len()).then(|| values.into_iter().zip(counts).collect())
        }
        single => Some(vec![(number(single)?, 1.0)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use avro_ingest::metrics::{Invocation, Metrics};
    use avro_ingest::outcome::{Ledger, Reason};
    use std::time::Duration;

    fn parse(text: &str) -> Option<Line> {
        Line::of(&serde_json::from_str(text).ok()?, text.len())
    }

    #[test]
    fn what_the_function_writes_is_read_whole() {
        let invocation = Invocation {
            at: Duration::from_millis(1_700_000_000_123),
            ledger: Ledger { received: 10, stored: 9, returned: 1, ..Ledger::default() },
            rejected: [(Reason::Truncated, 1)].into(),
            records: [("order".to_owned(), 9)].into(),
            end_to_end_latency: [20, 20, 30].map(Duration::from_millis).into_iter().collect(),
            ..Invocation::default()
        };
        let text = String::from_utf8(Metrics::new("AvroIngest", "orders").lines(&invocation)).unwrap();
        let lines: Vec<Line> = text.lines().map(|line| parse(line).unwrap()).collect();
        let [main, further @ ..] = &lines[..] else { panic!("no line") };
        assert_eq!((main.at_ms, main.service.as_str(), &main.dimension), (1_700_000_000_123, "orders", &None));
        assert_eq!(main.metrics["MessagesStored"], [(9.0, 1.0)]);
        assert_eq!(main.metrics["EndToEndLatency"], [(20.0, 2.0), (30.0, 1.0)]);
        let dimensions: Vec<_> = further.iter().filter_map(|line| line.dimension.clone()).collect();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(dimensions, [pair("Reason", "truncated"), pair("Schema", "order")]);
    }

    #[test]
    fn every_form_of_values_is_read() {
        let parse = |text: &str| values(&serde_json::from_str(text).unwrap());
        assert_eq!(parse("1.5"), Some(vec![(1.5, 1.0)]));
        assert_eq!(parse("[1, 2]"), Some(vec![(1.0, 1.0), (2.0, 1.0)]));
        assert_eq!(parse(r#"{"Values": [5, 6]}"#), Some(vec![(5.0, 1.0), (6.0, 1.0)]));
        assert_eq!(parse(r#"{"Values": [5, 6], "Counts": [2, 1]}"#), Some(vec![(5.0, 2.0), (6.0, 1.0)]));
        for wrong in [r#""text""#, "-1", "[1, -1]", r#"[1, "2"]"#, "{}", r#"{"Values": [5, 6], "Counts": [2]}"#] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn log_lines_are_no_metrics() {
        for text in [
            "",
            "START RequestId",
            r#"{"level":"WARN"}"#,
            r#"{"_aws": 1}"#,
            r#"{"_aws":{"Timestamp":1}}"#,
            "[]",
            r#"{"_aws":{"Timestamp":1,"CloudWatchMetrics":[{"Metrics":[{"Name":"Records"}]}]},"Records":"ten"}"#,
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
