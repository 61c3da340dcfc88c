//! Summarizes a local run from the function's own output: its metrics and its log.

use local::lambda::{Line, Stream};
use local::mapping::Totals;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Totals over the function's output.
#[derive(Default)]
pub(super) struct Summary {
    counts: BTreeMap<String, f64>,
    /// Last logged reason for each message that was not stored.
    reasons: BTreeMap<String, String>,
    last_metrics: Option<String>,
    /// Every line of metrics.
    metrics: Vec<String>,
}

/// The file that `--metrics` names, if it is given.
pub(super) struct Metrics(Option<(PathBuf, File)>);

impl Metrics {
    /// Creates the file.
    ///
    /// # Errors
    /// If it cannot be created.
    pub(super) fn create(path: Option<&Path>) -> Result<Self, String> {
        let create = |path: &Path| {
            let file = File::create(path).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
            Ok::<_, String>((path.to_owned(), file))
        };
        path.map(create).transpose().map(Self)
    }

    /// Writes every line of metrics that `summary` has read.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn write(&mut self, summary: &Summary) -> Result<(), String> {
        let Some((path, file)) = &mut self.0 else { return Ok(()) };
        let lines: String = summary.metrics.iter().flat_map(|line| [line, "\n"]).collect();
        file.write_all(lines.as_bytes()).map_err(|error| format!("cannot write {}: {error}", path.display()))
    }
}

const SUMMED: [&str; 7] = [
    "MessagesReceived",
    "MessagesStored",
    "MessagesSuperseded",
    "MessagesQuarantined",
    "MessagesReturned",
    "LedgerImbalance",
    "Records",
];

impl Summary {
    /// Adds the lines that the function wrote.
    pub(super) fn read(&mut self, lines: Vec<Line>) {
        for Line { stream, text } in lines {
            let Ok(line) = serde_json::from_str::<Value>(&text) else { continue };
            for name in SUMMED {
                if let Some(value) = line.get(name).and_then(Value::as_f64) {
                    *self.counts.entry(name.to_owned()).or_default() += value;
                }
            }
            let text_of = |name| line.get(name).and_then(Value::as_str);
            if let (Some(id), Some(reason)) = (text_of("message_id"), text_of("reason")) {
                let detail = text_of("detail").unwrap_or_default();
                self.reasons.insert(id.to_owned(), format!("{reason}: {detail}"));
            }
            if stream == Stream::Stdout && line.get("_aws").is_some() {
                self.metrics.push(text.clone());
            }
            if stream == Stream::Stdout && line.get("MessagesReceived").is_some() {
                self.last_metrics = Some(text);
            }
        }
    }

    pub(super) fn count(&self, name: &str) -> usize {
        // sums of counts are integers far below 2^53
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts are whole and not negative"
        )]
        let count = self.counts.get(name).copied().unwrap_or_default() as usize;
        count
    }

    pub(super) fn reason(&self, message_id: &str) -> Option<&str> {
        self.reasons.get(message_id).map(String::as_str)
    }

    pub(super) fn last_metrics(&self) -> Option<&str> {
        self.last_metrics.as_deref()
    }

    /// Returns the number of durable messages, stored or superseded by a later message.
    pub(super) fn durable(&self) -> usize {
        self.count("MessagesStored") + self.count("MessagesSuperseded")
    }

    /// Returns whether the function received `delivered` messages and recorded exactly one outcome for each.
    pub(super) fn balances(&self, delivered: usize) -> bool {
        let ends = ["MessagesStored", "MessagesSuperseded", "MessagesQuarantined", "MessagesReturned"];
        let ended: usize = ends.iter().map(|name| self.count(name)).sum();
        self.count("LedgerImbalance") == 0 && self.count("MessagesReceived") == delivered && ended == delivered
    }
}

/// Formats the figures, one per line.
pub(super) struct Figures<'a> {
    pub(super) summary: &'a Summary,
    pub(super) totals: &'a Totals,
    pub(super) sent: usize,
    pub(super) items: u64,
}

impl fmt::Display for Figures<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { summary, totals, sent, items } = self;
        let mut line =
            |name: &str, value: &dyn fmt::Display, note: &str| writeln!(f, "  {name:<14}{value:>10}  {note}");
        line("sent", sent, "messages")?;
        line("received", &summary.count("MessagesReceived"), "deliveries, redeliveries among them")?;
        line("stored", &summary.count("MessagesStored"), "")?;
        line(
            "superseded",
            &summary.count("MessagesSuperseded"),
            "by a later message of the batch with the same key, or what was there",
        )?;
        line("returned", &summary.count("MessagesReturned"), "to the queue")?;
        line("redeliveries", &totals.redelivered, "")?;
        line("dead-lettered", &totals.dead_lettered, "")?;
        line("items", items, "in the table")?;
        let percentile = |percent| totals.percentile(percent).map_or_else(|| "-".to_owned(), milliseconds);
        let invocations = format!("P50 {}  P95 {}  P99 {}", percentile(50), percentile(95), percentile(99));
        writeln!(f, "  {:<14}{:>10}  {invocations}", "invocations", totals.invocations())?;
        let per_second = summary.count("MessagesReceived") as f64 / totals.elapsed.as_secs_f64().max(f64::EPSILON);
        writeln!(f, "  {:<14}{per_second:>10.0}  messages a second, one invocation at a time", "throughput")
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1_000.0)
}
