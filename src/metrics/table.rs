//! The table of all metrics, with name, unit, meaning and value. It is the only source for the code. Tests compare
//! `docs/metrics.md` and `deploy/metrics.json` with it.

use super::Invocation;
use super::emf::Sample;
use super::histogram::{Histogram, milliseconds};

/// The declaration of one metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Name in CloudWatch.
    pub name: &'static str,
    /// Unit. It is not written to the logs, because CloudWatch makes no use of it and it would take a tenth of a record.
    pub unit: Unit,
    /// Name of the additional dimension in addition to `Service`, if any.
    pub dimension: Option<&'static str>,
    /// Description of the counted or measured quantity.
    pub meaning: &'static str,
    pub(super) value: fn(&Invocation) -> Values,
}

/// The unit of a metric, with CloudWatch's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A count.
    Count,
    /// A duration.
    Milliseconds,
}

/// The values of a metric in one invocation.
pub(super) enum Values {
    /// Samples without an additional dimension. Empty if there is nothing to count.
    Plain(Vec<Sample>),
    /// One sample for each value of the additional dimension.
    ByDimension(Vec<(String, Sample)>),
}

/// Maximum number of schemas with a metric series of their own. All further schemas share one series, so that a large
/// directory does not cause a large bill.
pub const MAX_SCHEMAS: usize = 20;
/// Dimension value of the schemas beyond [`MAX_SCHEMAS`].
const OTHER_SCHEMAS: &str = "other";

/// Declares all metrics in one table.
macro_rules! metrics {
    ($($name:ident: $unit:ident $(by $dimension:literal)? = $value:expr, $meaning:literal;)+) => {
        impl Metric {
            /// All metrics, in the order in which they are written.
            pub const ALL: &[Self] = &[$(Self {
                name: stringify!($name),
                unit: Unit::$unit,
                dimension: metrics!(@dimension $($dimension)?),
                meaning: $meaning,
                value: $value,
            },)+];
        }
    };
    (@dimension $dimension:literal) => { Some($dimension) };
    (@dimension) => { None };
}

metrics! {
    MessagesReceived: Count = |i| one(i.ledger.received as f64), "messages of the event batch";
    MessagesStored: Count = |i| count(i.ledger.stored), "messages whose every item is in its table";
    MessagesSuperseded: Count = |i| count(i.ledger.superseded), "messages overtaken by a later one of the batch, a newer version or, with `write: create`, an item that is there";
    MessagesQuarantined: Count = |i| count(i.ledger.quarantined), "rejected messages the quarantine queue accepted";
    MessagesReturned: Count = |i| count(i.ledger.returned), "messages given back to SQS as batch item failures";
    MessagesFailed: Count = |i| count(i.ledger.quarantined + i.ledger.returned), "messages quarantined or returned, for the alarm";
    VisibilityChanged: Count = |i| count(i.visibility.changed), "returned messages that come back after RETURN_BACKOFF_SECONDS and its doublings";
    VisibilityFailed: Count = |i| count(i.visibility.failed), "returned messages that come back after the queue's visibility timeout, as the change failed";
    MessagesRejected: Count = |i| count(i.rejected.values().sum()), "messages no retry can help, quarantined or returned";
    RejectedByReason: Count by "Reason" = by_reason, "rejected messages of one reason";
    Records: Count = |i| count(i.records.values().sum()), "Avro records decoded";
    RecordsBySchema: Count by "Schema" = by_schema, "Avro records decoded of one schema, where the directory has several";
    LedgerImbalance: Count = |i| count(i.ledger.imbalance()), "messages whose outcome and whose items' ends contradict each other, always 0";
    ColdStart: Count = |i| count(usize::from(i.cold_start)), "1 for the first event batch of an instance";
    RetriedItems: Count = |i| count(i.writes.retried_items), "items written again after a throttle or a transient error";
    UnprocessedItems: Count = |i| count(i.writes.unprocessed_items), "items DynamoDB returned unprocessed";
    ConsumedWriteUnits: Count = |i| units(i.writes.write_units), "write request units DynamoDB charged";
    DecodeTime: Milliseconds = |i| one(milliseconds(i.decode_time)), "reading the event of an event batch and turning its messages into items";
    WriteTime: Milliseconds = |i| one(milliseconds(i.write_time)), "writing the items of an event batch, retries included";
    HandlerTime: Milliseconds = |i| one(milliseconds(i.handler_time)), "handling an event batch, start to answer; as many samples as event batches";
    WriteLatency: Milliseconds = |i| Values::Plain(i.writes.latencies.iter().copied().collect::<Histogram>().samples()), "one call to DynamoDB that ended, repeated ones included";
    DeliveryLatency: Milliseconds = |i| Values::Plain(i.delivery_latency.samples()), "time from send to handler start";
    EndToEndLatency: Milliseconds = |i| Values::Plain(i.end_to_end_latency.samples()), "time from send to handler response";
    WriteLimit: Count = |i| count(i.write_limit), "concurrent write calls the limiter allows";
    WritesInFlight: Count = |i| count(i.writes.most_in_flight), "concurrent write calls at their most in an event batch";
    Throttles: Count = |i| count(i.writes.throttles()), "write calls throttled and items returned unprocessed, of every kind";
    ThrottlesTable: Count = |i| count(i.writes.throttles_table), "throttled by the table's own maximum or capacity; items returned unprocessed count here";
    ThrottlesIndex: Count = |i| count(i.writes.throttles_index), "throttled by a secondary index of the table";
    ThrottlesHotPartition: Count = |i| count(i.writes.throttles_hot_partition), "throttled because one partition takes too many writes";
    ThrottlesAccount: Count = |i| count(i.writes.throttles_account), "throttled by the account's quota";
    ThrottlesUnknown: Count = |i| count(i.writes.throttles_unknown), "throttled for a reason that was not given";
}

fn one(value: f64) -> Values {
    Values::Plain(vec![Sample { value, count: 1 }])
}

fn units(value: f64) -> Values {
    if value == 0.0 { Values::Plain(Vec::new()) } else { one(value) }
}

fn count(value: usize) -> Values {
    units(value as f64)
}

fn by_reason(invocation: &Invocation) -> Values {
    let rejected = invocation.rejected.iter();
    Values::ByDimension(rejected.map(|(reason, &count)| sample(reason.code(), count)).collect())
}

fn by_schema(invocation: &Invocation) -> Values {
    // with a single schema, a separate record would only repeat the metric `Records`
    if invocation.schemas == 1 {
        return Values::ByDimension(Vec::new());
    }
    let mut values = Vec::new();
    let mut others = 0;
    for (position, (schema, &count)) in invocation.records.iter().enumerate() {
        if position < MAX_SCHEMAS { values.push(sample(schema, count)) } else { others += count }
    }
    if others > 0 {
        values.push(sample(OTHER_SCHEMAS, others));
    }
    Values::ByDimension(values)
}

/// Returns a count for one value of the dimension.
fn sample(dimension: &str, count: usize) -> (String, Sample) {
    (dimension.to_owned(), Sample { value: count as f64, count: 1 })
}
