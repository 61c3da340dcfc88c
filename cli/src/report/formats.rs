//! Finds metric lines in the various formats of a log: the log itself, all output formats of `aws logs tail`, exports to S3,
//! the JSON of `filter-log-events` and of Insights queries, and the CSV of Insights. Pure.
//!
//! All formats keep an event on one line, unchanged or escaped as JSON or CSV. The only exception is
//! `aws logs tail --format json`, which spreads an event over several lines.
//! <https://docs.aws.amazon.com/cli/latest/reference/logs/tail.html>
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/S3Export.html>
//! <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html>

use super::emf::Line;
use serde_json::{Map, Value};

/// Maximum size of a document over several lines. An event of CloudWatch has 1 MB, and indentation multiplies that.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html>
const MAX_DOCUMENT_BYTES: usize = 8 * 1024 * 1024;

/// Reads a log line by line.
#[derive(Debug, Default)]
pub(crate) struct LogReader {
    /// The lines of an indented document so far.
    document: Option<String>,
}

/// The content of a line.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Content {
    pub(crate) metrics: Vec<Line>,
    /// Lines that are not metrics.
    pub(crate) other_lines: u64,
    /// A sentence for who reads along: why something is left out or late.
    pub(crate) note: Option<String>,
}

impl LogReader {
    /// Reads the next line, with or without its line feed.
    pub(crate) fn line(&mut self, text: &str) -> Content {
        let text = text.trim_end();
        if let Some(document) = &mut self.document {
            document.push_str(text);
            let is_last = text == "}";
            if !is_last && document.len() < MAX_DOCUMENT_BYTES {
                // a document of events has each of them, quoted, on a line
                let metrics = quoted(text);
                if !metrics.is_empty() {
                    self.document = None;
                }
                return Content { metrics, ..Content::default() };
            }
            let metrics = embedded(&std::mem::take(document));
            self.document = None;
            return Content { other_lines: u64::from(metrics.is_empty()), metrics, note: None };
        }
        if text == "{" {
            self.document = Some("{".to_owned());
            return Content::default();
        }
        let mut metrics = embedded(text);
        if metrics.is_empty() {
            metrics = quoted(text);
        }
        let other_lines = u64::from(metrics.is_empty() && !text.trim().is_empty());
        Content { other_lines, metrics, note: None }
    }
}

/// Returns the metrics in the first JSON object in `text`, ignoring the text around it.
fn embedded(text: &str) -> Vec<Line> {
    let Some((_, rest)) = text.split_at_checked(text.find('{').unwrap_or(text.len())) else { return Vec::new() };
    // CSV doubles quotation marks within a field
    let single = rest.starts_with("{\"\"").then(|| rest.replace("\"\"", "\""));
    let mut values =
        serde_json::Deserializer::from_str(single.as_deref().unwrap_or(rest)).into_iter::<Map<String, Value>>();
    let mut lines = Vec::new();
    if let Some(Ok(object)) = values.next() {
        let bytes = values.byte_offset() + 1;
        in_object(&object, bytes, &mut lines);
    }
    lines
}

/// Returns the metrics in the string of an indented JSON line: `"message": "{...}",`.
fn quoted(text: &str) -> Vec<Line> {
    let text = text.trim();
    if !text.starts_with('"') || !text.contains("CloudWatchMetrics") {
        return Vec::new();
    }
    let object = format!("{{{}}}", text.trim_end_matches(','));
    serde_json::from_str::<Map<String, Value>>(&object).map_or_else(
        |_| Vec::new(),
        |object| {
            let mut lines = Vec::new();
            object.values().for_each(|value| in_value(value, &mut lines));
            lines
        },
    )
}

/// Adds the metrics of an object, or of the events that it contains.
fn in_object(object: &Map<String, Value>, bytes: usize, lines: &mut Vec<Line>) {
    if object.contains_key("_aws") {
        lines.extend(Line::of(object, bytes));
    } else {
        object.values().for_each(|value| in_value(value, lines));
    }
}

fn in_value(value: &Value, lines: &mut Vec<Line>) {
    match value {
        Value::String(text) if text.contains("CloudWatchMetrics") => lines.extend(embedded(text)),
        Value::Array(values) => values.iter().for_each(|value| in_value(value, lines)),
        Value::Object(object) => in_object(object, value.to_string().len() + 1, lines),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const EVENT: &str = r#"{"_aws":{"Timestamp":1700000000123,"CloudWatchMetrics":[{"Namespace":"AvroIngest","Dimensions":[["Service"]],"Metrics":[{"Name":"MessagesStored"}]}]},"Service":"orders","MessagesStored":7}"#;

    fn read(log: &str) -> (Vec<Line>, u64) {
        let mut reader = LogReader::default();
        let (mut metrics, mut other) = (Vec::new(), 0);
        for line in log.lines() {
            let content = reader.line(line);
            metrics.extend(content.metrics);
            other += content.other_lines;
        }
        (metrics, other)
    }

    fn expected() -> Line {
        Line::of(&serde_json::from_str(EVENT).unwrap(), EVENT.len() + 1).unwrap()
    }

    #[test]
    fn an_event_with_something_before_or_behind_it_is_read() {
        for line in [
            EVENT.to_owned(),
            format!("2024-01-15T10:00:00.123Z {EVENT}"),
            format!("2022-10-05T08:32:51 {EVENT}"),
            format!("2022-10-05T08:32:51.123000+00:00 2022/10/05/[$LATEST]0123456789abcdef {EVENT}"),
            format!(
                "\u{1b}[32m2022-10-05T08:32:51.123000+00:00\u{1b}[0m \u{1b}[36m2022/10/05/[$LATEST]0123\u{1b}[0m {EVENT}"
            ),
            format!("EVENTS\t3876\t1700000001000\t2022/10/05/[$LATEST]0123\t{EVENT}\t1700000000123"),
            format!("    message: '{EVENT}"),
            format!("2023-11-14 22:13:20.123,\"{}\",2022/10/05/[$LATEST]0123", EVENT.replace('"', "\"\"")),
            format!("2023-11-14 22:13:20.123,\"{}", EVENT.replace('"', "\"\"")),
        ] {
            assert_eq!(read(&line), (vec![expected()], 0), "{line}");
        }
    }

    #[test]
    fn an_event_over_several_lines_is_read() {
        let event: Value = serde_json::from_str(EVENT).unwrap();
        let event = serde_json::to_string_pretty(&event).unwrap();
        let head = "2022-10-05T08:32:51.123000+00:00 2022/10/05/[$LATEST]0123";
        let (metrics, other) = read(&format!("{head}\n{event}\n{head}\nSTART RequestId\n{head}\n{event}\n"));
        assert_eq!((metrics.len(), other), (2, 4));
        assert_eq!(metrics[0].metrics, expected().metrics);
    }

    #[test]
    fn documents_of_events_are_read() {
        let event = |message: String| json!({"logStreamName": "s", "timestamp": 1, "message": message, "eventId": "1"});
        let message = format!("{EVENT}\n");
        let events = json!({"events": [event("START".to_owned()), event(message.clone()), event(message.clone())]});
        let insights = json!({"results": [[{"field": "@message", "value": message}, {"field": "@ptr", "value": "x"}]]});
        let subscription = json!({"messageType": "DATA_MESSAGE", "logEvents": [{"id": "1", "message": EVENT}]});
        for (document, count) in [(&events, 2), (&insights, 1), (&subscription, 1), (&event(message.clone()), 1)] {
            for text in [document.to_string(), serde_json::to_string_pretty(document).unwrap()] {
                let (metrics, _) = read(&text);
                assert_eq!(metrics, vec![expected(); count], "{text}");
            }
        }
    }

    #[test]
    fn a_document_without_an_end_is_given_up() {
        let mut reader = LogReader::default();
        reader.line("{");
        let line = format!("  \"a\": \"{}\",", "x".repeat(1 << 20));
        (0..10).for_each(|_| drop(reader.line(&line)));
        assert_eq!(reader.line(EVENT).metrics, [expected()]);
    }
}
