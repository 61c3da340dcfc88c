//! Metrics in the CloudWatch embedded metric format (EMF), with one record per invocation. `table` declares the metrics.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

mod emf;
mod histogram;
mod table;

pub use histogram::Histogram;
pub use table::{MAX_SCHEMAS, Metric, Unit};

use crate::outcome::{Ledger, Reason};
use crate::visibility::VisibilityFigures;
use crate::write::WriteFigures;
use emf::Record;
use std::collections::BTreeMap;
use std::time::Duration;
use table::Values;

/// Maximum number of values of one metric in one record. Further values go into additional records.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
pub const MAX_VALUES: usize = 100;

/// The figures of one invocation.
#[derive(Debug, Clone, Default)]
pub struct Invocation {
    /// Time since the Unix epoch.
    pub at: Duration,
    /// The id of the request, which is searchable in the logs.
    pub request_id: String,
    /// Whether it is the first invocation of the process.
    pub cold_start: bool,
    /// The numbers of messages by outcome.
    pub ledger: Ledger,
    /// Number of rejected messages of each reason, whether quarantined or returned.
    pub rejected: BTreeMap<Reason, usize>,
    /// Number of decoded records of each subject.
    pub records: BTreeMap<String, usize>,
    /// Number of subjects in the schema directory.
    pub schemas: usize,
    /// Time for parsing the event and converting its messages to items.
    pub decode_time: Duration,
    /// Time for writing the items and quarantining the rejected messages.
    pub write_time: Duration,
    /// Total time of the invocation.
    pub handler_time: Duration,
    /// Figures about the writes.
    pub writes: WriteFigures,
    /// Limit of concurrent write calls at the end of the invocation.
    pub write_limit: usize,
    /// Figures about visibility timeout changes of returned messages.
    pub visibility: VisibilityFigures,
    /// Time from sending a message to receiving it, for each message.
    pub delivery_latency: Histogram,
    /// Time from sending a message to the response, for each message.
    pub end_to_end_latency: Histogram,
}

impl Invocation {
    /// Returns the EMF records to write: the main record of the invocation, additional records for values that exceed its
    /// limits, and one record for each value of an additional dimension.
    fn records<'a>(
        &'a self,
        namespace: &'a str,
        service: &'a str,
        values: &'a [(&'static Metric, Values)],
    ) -> Vec<Record<'a>> {
        let record = |dimension, metrics| Record {
            namespace,
            timestamp: u64::try_from(self.at.as_millis()).unwrap_or(u64::MAX),
            dimensions: std::iter::once(("Service", service)).chain(dimension).collect(),
            properties: vec![("RequestId", self.request_id.as_str())],
            metrics,
        };
        let (mut main, mut further) = (Vec::new(), Vec::new());
        for (metric, values) in values {
            match values {
                Values::Plain(samples) => {
                    let mut pieces = samples.chunks(MAX_VALUES).map(|piece| (metric.name, piece));
                    main.extend(pieces.next());
                    further.extend(pieces.map(|piece| record(None, vec![piece])));
                }
                Values::ByDimension(samples) => further.extend(samples.iter().map(|(value, sample)| {
                    let sample = std::slice::from_ref(sample);
                    record(metric.dimension.map(|name| (name, value.as_str())), vec![(metric.name, sample)])
                })),
            }
        }
        further.insert(0, record(None, main));
        further
    }
}

/// Formats the metrics of invocations as lines of EMF.
pub struct Metrics {
    namespace: String,
    service: String,
}

impl Metrics {
    /// Creates metrics with the dimension `service` in `namespace`.
    pub fn new(namespace: &str, service: &str) -> Self {
        Self { namespace: namespace.to_owned(), service: service.to_owned() }
    }

    /// Returns the lines of an invocation, each terminated by a line feed. A record that cannot be serialized is logged and
    /// omitted.
    pub fn lines(&self, invocation: &Invocation) -> Vec<u8> {
        let values: Vec<_> = Metric::ALL.iter().map(|metric| (metric, (metric.value)(invocation))).collect();
        let mut lines = Vec::with_capacity(1024);
        for record in invocation.records(&self.namespace, &self.service, &values) {
            let start = lines.len();
            if let Err(error) = serde_json::to_writer(&mut lines, &record) {
                tracing::error!(%error, "metrics record not written");
                lines.truncate(start);
                continue;
            }
            lines.push(b'\n');
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
        assert_eq!(line.get("LedgerImbalance"), None, "a count of zero is omitted");
    }

    /// Returns an invocation whose figures are all different.
    fn distinct() -> Invocation {
        let milliseconds = Duration::from_millis;
        Invocation {
            at: Duration::from_secs(1_700_000_000),
            request_id: "r".into(),
            cold_start: true,
            // 4 messages have no outcome at all
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
    fn a_latency_that_came_once_is_a_number_and_others_are_counted() {
        let written = |latencies: &[u64]| {
            let latencies = latencies.iter().copied().map(Duration::from_micros).collect();
            let invocation = Invocation { end_to_end_latency: latencies, ..Invocation::default() };
            lines(&invocation)[0]["EndToEndLatency"].to_string()
        };
        assert_eq!(written(&[12_000]), "12");
        assert_eq!(written(&[1_234]), "1.2");
        assert_eq!(written(&[1_234, 1_239, 340]), r#"{"Counts":[1,2],"Values":[0.34,1.2]}"#);
        assert_eq!(written(&[]), "null");
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
