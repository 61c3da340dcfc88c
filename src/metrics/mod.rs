//! Metrics in CloudWatch's embedded metric format, one record an invocation. `table` declares them.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

mod histogram;
mod table;

pub use histogram::Histogram;
pub use table::{MAX_SCHEMAS, Metric};

use crate::dynamodb::writer::WriteFigures;
use crate::outcome::{Ledger, Reason};
use crate::visibility::VisibilityFigures;
use metrique::emf::{Emf, EntryDimensions};
use metrique::writer::core::Entry;
use metrique::writer::format::Format;
use metrique::writer::value::{MetricFlags, ValueWriter};
use metrique::writer::{EntryWriter, Observation, Unit, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, UNIX_EPOCH};
use table::Values;

/// The most values of one metric in one record. What is over goes into further records. Same specification.
pub const MAX_VALUES: usize = 100;
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
    /// Subjects of the schema directory.
    pub schemas: usize,
    /// Time to read the event and turn its messages into items.
    pub decode_time: Duration,
    /// Time to write the items and quarantine the rejected.
    pub write_time: Duration,
    /// Time of the whole.
    pub handler_time: Duration,
    /// What the writes took.
    pub writes: WriteFigures,
    /// Write calls the limiter allows at the end.
    pub write_limit: usize,
    /// What became of the visibility of returned messages.
    pub visibility: VisibilityFigures,
    /// From sent to received, of each message.
    pub delivery_latency: Histogram,
    /// From sent to answered, of each message.
    pub end_to_end_latency: Histogram,
}

impl Invocation {
    /// The records to write: the invocation's own, what does not fit it, and one for each value of a further dimension.
    fn emf_records(&self) -> Vec<EmfRecord<'_>> {
        let (mut main, mut further) = (Vec::new(), Vec::new());
        for metric in Metric::ALL {
            match (metric.value)(self) {
                Values::None => {}
                Values::Plain(observations) => {
                    let mut pieces =
                        observations.chunks(MAX_VALUES).map(|piece| MetricValues { metric, piece: piece.to_vec() });
                    main.extend(pieces.next());
                    further.extend(pieces.map(|piece| self.emf_record(None, vec![piece])));
                }
                Values::ByDimension(values) => further.extend(values.into_iter().map(|(value, count)| {
                    let sample = MetricValues { metric, piece: vec![Observation::Floating(count)] };
                    self.emf_record(metric.dimension.map(|name| (name, value)), vec![sample])
                })),
            }
        }
        let mut records = vec![self.emf_record(None, main)];
        records.append(&mut further);
        records
    }

    fn emf_record(&self, dimension: Option<(&'static str, String)>, samples: Vec<MetricValues>) -> EmfRecord<'_> {
        let names = |name| EntryDimensions::new(Cow::Owned(vec![Cow::Owned(vec![Cow::Borrowed(name)])]));
        let dimensions = dimension.as_ref().map(|(name, _)| names(*name));
        EmfRecord { invocation: self, dimension, dimensions, samples }
    }
}

/// Observations of one metric in one record.
struct MetricValues {
    metric: &'static Metric,
    piece: Vec<Observation>,
}

impl Value for MetricValues {
    fn write(&self, writer: impl ValueWriter) {
        writer.metric(self.piece.iter().copied(), Unit::None, [], MetricFlags::empty());
    }
}

struct EmfRecord<'a> {
    invocation: &'a Invocation,
    dimension: Option<(&'static str, String)>,
    dimensions: Option<EntryDimensions>,
    samples: Vec<MetricValues>,
}

/// A record as metrique writes it, with the service's name that every one of them has.
struct Line<'a> {
    service: &'a str,
    record: EmfRecord<'a>,
}

impl Entry for Line<'_> {
    fn write<'a>(&'a self, writer: &mut impl EntryWriter<'a>) {
        let EmfRecord { invocation, dimension, dimensions, samples } = &self.record;
        writer.timestamp(UNIX_EPOCH + invocation.at);
        if let Some(dimensions) = dimensions {
            writer.config(dimensions);
        }
        writer.value("Service", self.service);
        writer.value("RequestId", &invocation.request_id);
        if let Some((name, value)) = dimension {
            writer.value(*name, value);
        }
        for sample in samples {
            writer.value(Cow::Borrowed(sample.metric.name), sample);
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
        let mut lines = Vec::with_capacity(1024);
        let mut format = self.format.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for record in invocation.emf_records() {
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
        assert_eq!(
            directive["Metrics"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|metric| metric["Name"] == "LedgerImbalance")
                .count(),
            0
        );
        assert_eq!(line.get("LedgerImbalance"), None, "a counter of nothing is left out");
    }

    /// An invocation of which no two figures are equal.
    fn distinct() -> Invocation {
        let milliseconds = Duration::from_millis;
        Invocation {
            at: Duration::from_secs(1_700_000_000),
            request_id: "r".into(),
            cold_start: true,
            // 4 messages are in none of the last four figures
            ledger: Ledger { received: 114, stored: 50, superseded: 30, quarantined: 20, returned: 10, unproven: 0 },
            rejected: [(Reason::Truncated, 21), (Reason::InvalidKey, 3)].into(),
            records: [("order".to_owned(), 60), ("payment".to_owned(), 9)].into(),
            schemas: 2,
            decode_time: milliseconds(12),
            write_time: milliseconds(13),
            handler_time: milliseconds(14),
            writes: WriteFigures {
                latencies: vec![milliseconds(41)],
                retried_items: 32,
                unprocessed_items: 33,
                write_units: 34.5,
                throttles_table: 101,
                throttles_index: 102,
                throttles_hot_partition: 103,
                throttles_account: 105,
                throttles_unknown: 107,
                most_in_flight: 35,
            },
            write_limit: 36,
            visibility: VisibilityFigures { changed: 37, failed: 38 },
            delivery_latency: [milliseconds(42)].into_iter().collect(),
            end_to_end_latency: [milliseconds(43)].into_iter().collect(),
        }
    }

    #[test]
    fn each_metric_has_its_own_value() {
        let lines = lines(&distinct());
        let expected = serde_json::json!({
            "MessagesReceived": 114, "MessagesStored": 50, "MessagesSuperseded": 30, "MessagesQuarantined": 20,
            "MessagesReturned": 10, "MessagesFailed": 30, "MessagesRejected": 24, "Records": 69, "LedgerImbalance": 4,
            "ColdStart": 1, "RetriedItems": 32, "UnprocessedItems": 33, "ConsumedWriteUnits": 34.5,
            "DecodeTime": 12, "WriteTime": 13,
            "HandlerTime": 14, "WriteLatency": 41, "DeliveryLatency": 42, "EndToEndLatency": 43,
            "VisibilityChanged": 37, "VisibilityFailed": 38, "WriteLimit": 36, "WritesInFlight": 35, "Throttles": 518, "ThrottlesTable": 101, "ThrottlesIndex": 102,
            "ThrottlesHotPartition": 103, "ThrottlesAccount": 105, "ThrottlesUnknown": 107,
        });
        let names = lines[0]["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap();
        assert_eq!(names.len(), expected.as_object().unwrap().len());
        for (name, value) in expected.as_object().unwrap() {
            let written = &lines[0][name];
            let is_equal = written == value || written.as_f64().is_some_and(|written| Some(written) == value.as_f64());
            assert!(is_equal, "{name}: {written}, not {value}");
        }
        let of = |name: &str| lines.iter().filter_map(|line| line[name].as_f64()).collect::<Vec<_>>();
        assert_eq!((of("RejectedByReason"), of("RecordsBySchema")), (vec![21.0, 3.0], vec![60.0, 9.0]));
    }

    #[test]
    fn what_is_written_is_what_is_declared() {
        let mut written = Vec::new();
        for line in lines(&distinct()) {
            let directive = &line["_aws"]["CloudWatchMetrics"][0];
            for metric in directive["Metrics"].as_array().unwrap() {
                written.push((metric["Name"].clone(), directive["Dimensions"][0].clone()));
            }
        }
        written.sort_by_key(|(name, ..)| name.to_string());
        written.dedup();
        let mut declared: Vec<_> = Metric::ALL
            .iter()
            .map(|metric| {
                let dimensions: Vec<&str> = std::iter::once("Service").chain(metric.dimension).collect();
                (Json::from(metric.name), Json::from(dimensions))
            })
            .collect();
        declared.sort_by_key(|(name, ..)| name.to_string());
        assert_eq!(written, declared);
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
}
