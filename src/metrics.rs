//! Every metric: its name, its unit, its value; one record an invocation, in CloudWatch's embedded metric format.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use crate::dynamodb::writer::WriteFigures;
use crate::outcome::{Ledger, Reason};
use metrique::emf::{Emf, EntryDimensions};
use metrique::writer::core::Entry;
use metrique::writer::format::Format;
use metrique::writer::unit::{Byte, Count, Millisecond, UnitTag};
use metrique::writer::value::{MetricFlags, ValueWriter};
use metrique::writer::{EntryWriter, Observation, Unit, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, UNIX_EPOCH};

/// The most values of one metric in one record. What is over goes into further records. Same specification.
pub const MAX_VALUES: usize = 100;
/// How many schemas have a series of their own. The rest share one, so that a large directory costs no large bill.
pub const MAX_SCHEMAS: usize = 20;
/// The dimension value of the schemas over [`MAX_SCHEMAS`].
const OTHER_SCHEMAS: &str = "other";

/// What one invocation came to.
#[derive(Debug, Clone, Default)]
pub struct Invocation {
    /// Time since the Unix epoch.
    pub at: Duration,
    /// The request's id, a property to search for.
    pub request_id: String,
    /// Whether it is the process's first.
    pub cold_start: bool,
    /// The four figures.
    pub ledger: Ledger,
    /// Rejected messages by reason, whether quarantined or returned.
    pub rejected: BTreeMap<Reason, usize>,
    /// Decoded records by subject.
    pub records: BTreeMap<String, usize>,
    /// Bytes of the bodies, as they came.
    pub bytes_in: usize,
    /// Time to read the event.
    pub parse_time: Duration,
    /// Time to turn messages into items.
    pub decode_time: Duration,
    /// Time to write the items and quarantine the rejected.
    pub write_time: Duration,
    /// Time of the whole.
    pub handler_time: Duration,
    /// What the writes took.
    pub writes: WriteFigures,
    /// Write calls the limiter allows at the end.
    pub write_limit: usize,
    /// From sent to received, of each message.
    pub delivery_latency: Histogram,
    /// From sent to answered, of each message.
    pub end_to_end_latency: Histogram,
}

/// Values and how often each came. Values are kept to two significant digits: a percentile is off by 5 % at most, and a
/// batch of 10,000 messages has few distinct ones.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram(BTreeMap<u64, u64>);

impl Histogram {
    /// Counts a latency. Below a millisecond it is kept to 10 microseconds.
    pub fn add(&mut self, latency: Duration) {
        let microseconds = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let mut step = 10;
        while microseconds / step >= 100 {
            step *= 10;
        }
        *self.0.entry(microseconds / step * step).or_default() += 1;
    }

    fn observations(&self) -> Vec<Observation> {
        let observation = |(&microseconds, &occurrences): (&u64, &u64)| {
            let milliseconds = microseconds as f64 / 1_000.0;
            Observation::Repeated { total: milliseconds * occurrences as f64, occurrences }
        };
        self.0.iter().map(observation).collect()
    }
}

impl FromIterator<Duration> for Histogram {
    fn from_iter<I: IntoIterator<Item = Duration>>(latencies: I) -> Self {
        let mut histogram = Self::default();
        latencies.into_iter().for_each(|latency| histogram.add(latency));
        histogram
    }
}

impl Invocation {
    /// Every metric of the `Service` dimension alone.
    fn metrics(&self) -> Vec<Metric> {
        let count = |name, value: usize| Metric::one(name, Count::UNIT, value as f64);
        let bytes = |name, value: usize| Metric::one(name, Byte::UNIT, value as f64);
        let time = |name, value: Duration| Metric::one(name, Millisecond::UNIT, value.as_secs_f64() * 1_000.0);
        let Ledger { received, stored, superseded, quarantined, returned, .. } = self.ledger;
        let latency = |name, histogram: &Histogram| Metric {
            name,
            unit: Millisecond::UNIT,
            observations: histogram.observations(),
        };
        vec![
            count("MessagesReceived", received),
            count("MessagesStored", stored),
            count("MessagesSuperseded", superseded),
            count("MessagesQuarantined", quarantined),
            count("MessagesReturned", returned),
            count("MessagesRejected", self.rejected.values().sum()),
            count("Records", self.records.values().sum()),
            count("LedgerImbalance", self.ledger.imbalance()),
            count("Invocations", 1),
            count("ColdStart", usize::from(self.cold_start)),
            count("WriteCalls", self.writes.calls),
            count("RetriedItems", self.writes.retried_items),
            count("UnprocessedItems", self.writes.unprocessed_items),
            Metric::one("ConsumedWriteUnits", Count::UNIT, self.writes.write_units),
            bytes("BytesIn", self.bytes_in),
            bytes("BytesWritten", self.writes.bytes),
            time("ParseTime", self.parse_time),
            time("DecodeTime", self.decode_time),
            time("WriteTime", self.write_time),
            time("HandlerTime", self.handler_time),
            latency("WriteLatency", &self.writes.latencies.iter().copied().collect()),
            latency("DeliveryLatency", &self.delivery_latency),
            latency("EndToEndLatency", &self.end_to_end_latency),
            count("WriteLimit", self.write_limit),
            count("WritesInFlight", self.writes.most_in_flight),
            count("Throttles", self.writes.throttles()),
            count("ThrottlesTable", self.writes.throttles_table),
            count("ThrottlesIndex", self.writes.throttles_index),
            count("ThrottlesHotPartition", self.writes.throttles_hot_partition),
            count("ThrottlesAccount", self.writes.throttles_account),
        ]
    }

    /// The records to write: the invocation's own, what does not fit it, and one for each value of a further dimension.
    fn records(&self) -> Vec<EmfRecord<'_>> {
        let (mut main, mut further) = (Vec::new(), Vec::new());
        for metric in self.metrics() {
            let mut pieces = metric.pieces();
            main.extend(pieces.next());
            further.extend(pieces.map(|piece| self.record(None, vec![piece])));
        }
        let mut records = vec![self.record(None, main)];
        records.append(&mut further);
        for (reason, &count) in &self.rejected {
            let metric = Metric::one("RejectedByReason", Count::UNIT, count as f64);
            records.push(self.record(Some(("Reason", reason.code())), vec![metric]));
        }
        let mut others = 0;
        for (position, (schema, &count)) in self.records.iter().enumerate() {
            if position < MAX_SCHEMAS {
                let metric = Metric::one("RecordsBySchema", Count::UNIT, count as f64);
                records.push(self.record(Some(("Schema", schema)), vec![metric]));
            } else {
                others += count;
            }
        }
        if others > 0 {
            let metric = Metric::one("RecordsBySchema", Count::UNIT, others as f64);
            records.push(self.record(Some(("Schema", OTHER_SCHEMAS)), vec![metric]));
        }
        records
    }

    fn record<'a>(&'a self, dimension: Option<(&'static str, &'a str)>, metrics: Vec<Metric>) -> EmfRecord<'a> {
        let dimensions =
            dimension.map(|(name, _)| EntryDimensions::new(Cow::Owned(vec![Cow::Owned(vec![Cow::Borrowed(name)])])));
        EmfRecord { invocation: self, dimension, dimensions, metrics }
    }
}

/// One metric of one record.
#[derive(Debug, Clone)]
struct Metric {
    name: &'static str,
    unit: Unit,
    observations: Vec<Observation>,
}

impl Metric {
    fn one(name: &'static str, unit: Unit, value: f64) -> Self {
        Self { name, unit, observations: vec![Observation::Floating(value)] }
    }

    /// At most [`MAX_VALUES`] values each.
    fn pieces(self) -> impl Iterator<Item = Self> {
        let Self { name, unit, observations } = self;
        let pieces: Vec<Self> =
            observations.chunks(MAX_VALUES).map(|piece| Self { name, unit, observations: piece.to_vec() }).collect();
        pieces.into_iter()
    }
}

impl Value for Metric {
    fn write(&self, writer: impl ValueWriter) {
        writer.metric(self.observations.iter().copied(), self.unit, [], MetricFlags::empty());
    }
}

struct EmfRecord<'a> {
    invocation: &'a Invocation,
    dimension: Option<(&'static str, &'a str)>,
    dimensions: Option<EntryDimensions>,
    metrics: Vec<Metric>,
}

/// A record as metrique writes it, with the service's name that every one of them has.
struct Line<'a> {
    service: &'a str,
    record: EmfRecord<'a>,
}

impl Entry for Line<'_> {
    fn write<'a>(&'a self, writer: &mut impl EntryWriter<'a>) {
        let EmfRecord { invocation, dimension, dimensions, metrics } = &self.record;
        writer.timestamp(UNIX_EPOCH + invocation.at);
        if let Some(dimensions) = dimensions {
            writer.config(dimensions);
        }
        writer.value("Service", self.service);
        writer.value("RequestId", &invocation.request_id);
        if let Some((name, value)) = dimension {
            writer.value(*name, *value);
        }
        for metric in metrics {
            writer.value(Cow::Borrowed(metric.name), metric);
        }
    }
}

/// Writes invocations as lines of EMF.
pub struct Metrics {
    service: String,
    format: Mutex<Emf>,
}

impl Metrics {
    /// Metrics of `service` in `namespace`.
    pub fn new(namespace: &str, service: &str) -> Self {
        let format = Emf::builder(namespace.to_owned(), vec![vec!["Service".to_owned()]]).build();
        Self { service: service.to_owned(), format: Mutex::new(format) }
    }

    /// The lines of an invocation, each ended by a line feed. A metric that cannot be written is logged and left out.
    pub fn lines(&self, invocation: &Invocation) -> Vec<u8> {
        let mut lines = Vec::with_capacity(4096);
        let mut format = self.format.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for record in invocation.records() {
            if let Err(error) = format.format(&Line { service: &self.service, record }, &mut lines) {
                tracing::error!(%error, "metrics record not written");
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value as Json;

    fn lines(invocation: &Invocation) -> Vec<Json> {
        let lines = Metrics::new("AvroIngest", "orders").lines(invocation);
        String::from_utf8(lines).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn an_invocation_is_one_record_of_its_service() {
        let ledger = Ledger { received: 10, stored: 9, returned: 1, ..Ledger::default() };
        let invocation =
            Invocation { at: Duration::from_secs(1_700_000_000), ledger, cold_start: true, ..Invocation::default() };
        let [line] = &lines(&invocation)[..] else { panic!("more than one line") };
        assert_eq!(line["_aws"]["Timestamp"], 1_700_000_000_000_u64);
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(directive["Namespace"], "AvroIngest");
        assert_eq!(directive["Dimensions"], serde_json::json!([["Service"]]));
        assert_eq!(
            (&line["Service"], &line["MessagesStored"], &line["ColdStart"]),
            (&"orders".into(), &9.into(), &1.into())
        );
        assert_eq!(line["LedgerImbalance"], 0);
    }

    #[test]
    fn the_metrics_are_those_the_dashboard_and_the_alarms_know() {
        let mut invocation = Invocation::default();
        invocation.rejected.insert(Reason::Truncated, 1);
        invocation.records.insert("order".to_owned(), 1);
        let latency = || std::iter::once(Duration::from_millis(5));
        invocation.writes.latencies.extend(latency());
        (invocation.delivery_latency, invocation.end_to_end_latency) = (latency().collect(), latency().collect());
        let mut written = Vec::new();
        for line in lines(&invocation) {
            let directive = &line["_aws"]["CloudWatchMetrics"][0];
            for metric in directive["Metrics"].as_array().unwrap() {
                let unit = metric["Unit"].as_str().unwrap();
                written.push((
                    metric["Name"].as_str().unwrap().to_owned(),
                    unit.to_owned(),
                    directive["Dimensions"][0].clone(),
                ));
            }
        }
        let known: Json = serde_json::from_str(include_str!("../deploy/metrics.json")).unwrap();
        let known = known.as_array().unwrap().iter().map(|metric| {
            (
                metric["name"].as_str().unwrap().to_owned(),
                metric["unit"].as_str().unwrap().to_owned(),
                metric["dimensions"].clone(),
            )
        });
        let mut known: Vec<_> = known.collect();
        let sort = |metrics: &mut Vec<(String, String, Json)>| metrics.sort_by(|one, other| one.0.cmp(&other.0));
        sort(&mut written);
        sort(&mut known);
        assert_eq!(written, known);
    }

    #[test]
    fn a_ledger_that_does_not_balance_shows() {
        let ledger = Ledger { received: 10, stored: 7, ..Ledger::default() };
        assert_eq!(lines(&Invocation { ledger, ..Invocation::default() })[0]["LedgerImbalance"], 3);
    }

    #[test]
    fn values_over_the_limit_go_into_further_records() {
        for (distinct, expected) in [(99, 1), (100, 1), (101, 2), (201, 3)] {
            let latencies = (0..distinct)
                .map(|n| Duration::from_micros(10 * (10 + n % 90) * 10u64.pow(u32::try_from(n / 90).unwrap())));
            let invocation = Invocation { end_to_end_latency: latencies.collect(), ..Invocation::default() };
            let lines = lines(&invocation);
            assert_eq!(lines.len(), expected, "{distinct}");
            let counts = |line: &Json| line["EndToEndLatency"]["Values"].as_array().map_or(0, Vec::len);
            assert!(lines.iter().all(|line| counts(line) <= MAX_VALUES));
        }
    }

    #[test]
    fn reasons_and_schemas_are_dimensions_of_their_own() {
        let invocation = Invocation {
            rejected: [(Reason::Truncated, 2)].into(),
            records: [("order".to_owned(), 7)].into(),
            ..Invocation::default()
        };
        let lines = lines(&invocation);
        assert_eq!(lines[0]["MessagesRejected"], 2);
        assert_eq!((&lines[1]["Reason"], &lines[1]["RejectedByReason"]), (&"truncated".into(), &2.into()));
        assert_eq!((&lines[2]["Schema"], &lines[2]["RecordsBySchema"]), (&"order".into(), &7.into()));
        assert_eq!(lines[2]["_aws"]["CloudWatchMetrics"][0]["Dimensions"], serde_json::json!([["Service", "Schema"]]));
    }

    #[test]
    fn schemas_over_the_limit_share_a_series() {
        let records = |count: usize| (0..count).map(|n| (format!("s{n:03}"), 1)).collect();
        let schemas = |count| {
            let lines = lines(&Invocation { records: records(count), ..Invocation::default() });
            lines.iter().filter_map(|line| line["Schema"].as_str().map(str::to_owned)).collect::<Vec<_>>()
        };
        assert_eq!(schemas(MAX_SCHEMAS).len(), MAX_SCHEMAS);
        let over = schemas(MAX_SCHEMAS + 5);
        assert_eq!((over.len(), over.last().map(String::as_str)), (MAX_SCHEMAS + 1, Some("other")));
    }

    #[test]
    fn a_histogram_keeps_every_value_to_two_digits() {
        let latencies = [1, 999, 1_234, 1_239, 98_765_432].map(Duration::from_micros);
        let histogram: Histogram = latencies.into_iter().collect();
        assert_eq!(histogram.0, [(0, 1), (990, 1), (1_200, 2), (98_000_000, 1)].into());
    }
}
