//! The key indicators: target, measured, how.

use crate::compare::Comparison;
use crate::process::MEMORY_MB;
use crate::results::Results;
use pages::number;

/// What a requirement asks for, and what was found.
pub(super) struct Indicator {
    pub(super) name: &'static str,
    pub(super) target: &'static str,
    pub(super) measured: String,
    /// Whether the target is met; none where it is the fleet's or the table's to meet.
    pub(super) met: Option<bool>,
    pub(super) how: String,
}

/// The architecture decision's indicators, as far as one machine can show them.
pub(super) fn of_the_decision(results: &Results) -> Vec<Indicator> {
    let rate = sustained(results);
    let instances = |messages: f64| number((messages / rate).ceil());
    let small = at(&results.delayed, 10);
    let [p95, invocations] = [
        small.map_or(f64::NAN, |small| small.ours.p95_ms),
        small.map_or(f64::NAN, |small| small.ours.messages_per_second / 10.0),
    ];
    let delay = results.delay_ms;
    let serialization_us =
        results.steps.to_items.iter().map(|step| step.nanoseconds("avro-ingest") / 1e3).fold(0.0, f64::max);
    let dearest = results.costs.iter().map(|cost| cost.total).fold(0.0, f64::max);
    let peak = results.largest.figures.peak_resident_mb;
    let messages = |comparison: &Comparison| comparison.ours.invocations * comparison.messages as usize;
    let sent: usize = results.at_once.iter().chain(&results.delayed).map(messages).sum();
    vec![
        Indicator {
            name: "throughput, sustained and peak",
            target: "100,000 and 500,000 messages a second over the fleet",
            measured: format!("{} a second by one process", number(rate)),
            met: Some(rate >= 100_000.0),
            how: format!(
                "the best of the runs at a {delay} ms endpoint; on processes like this {} carry the sustained and {} the peak load",
                instances(1e5),
                instances(5e5)
            ),
        },
        Indicator {
            name: "batch processing rate",
            target: "10,000 invocations a second over the fleet",
            measured: format!("{} a second by one process", number(invocations)),
            met: Some(invocations >= 10.0),
            how: format!(
                "10 messages each, one after the other, at a {delay} ms endpoint; Lambda counts at most 10 a second for an instance, so 1,000 instances make 10,000"
            ),
        },
        Indicator {
            name: "end-to-end latency P95",
            target: "100 ms, of which 50 ms delivery",
            measured: format!("{} ms are the function's", number(p95)),
            met: Some(p95 < 50.0),
            how: format!("an invocation of 10 messages at a {delay} ms endpoint; the time in SQS comes on top"),
        },
        Indicator {
            name: "serialization overhead",
            target: "under 1 ms a message",
            measured: format!("{} µs", number(serialization_us)),
            met: Some(serialization_us < 1_000.0),
            how: "from framed Avro to DynamoDB's JSON, the slowest of the four shapes".into(),
        },
        Indicator {
            name: "delivered, errors",
            target: "99.9 % at least, 0.1 % at most",
            measured: format!("100 % of {} messages", number(sent as f64)),
            met: Some(true),
            how: "each answer returns nothing and the endpoint has got every item, else there is no report".into(),
        },
        Indicator {
            name: "cost",
            target: "under $1 per million messages",
            measured: format!("${dearest:.2} per million"),
            met: Some(dearest < 1.0),
            how: "the dearest batch size of the table below".into(),
        },
        Indicator {
            name: "memory utilisation",
            target: "80 %",
            measured: format!("{} % of {MEMORY_MB} MB", number(peak / f64::from(MEMORY_MB) * 100.0)),
            met: Some(peak < f64::from(MEMORY_MB) * 0.8),
            how: format!("the peak at an event of {} messages, 6 MB", number(f64::from(results.largest.messages))),
        },
    ]
}

/// What this implementation promises beyond them.
pub(super) fn of_this_function(results: &Results) -> Vec<Indicator> {
    let ratio = |messages| at(&results.at_once, messages).map(|comparison| comparison.ratio);
    let promised = |messages, name, target, least: f64| {
        let ratio = ratio(messages);
        Indicator {
            name,
            target,
            measured: ratio.map_or_else(String::new, |ratio| {
                format!("{} times ({} to {})", number(ratio.median), number(ratio.least), number(ratio.most))
            }),
            met: ratio.map(|ratio| ratio.median >= least),
            how: "user and kernel time of the process, the baseline's over ours, turn by turn".into(),
        }
    };
    let multiple = |messages, name, target, value: fn(&Comparison) -> f64, most: f64| {
        let multiple = at(&results.at_once, messages).map(value);
        Indicator {
            name,
            target,
            measured: multiple.map_or_else(String::new, |multiple| format!("{} times", number(multiple))),
            met: multiple.map(|multiple| multiple <= most),
            how: "ours over benches/floor: the same requests, line and response, and nothing else".into(),
        }
    };
    let order = results.steps.to_items.first();
    let [ours, values, fast] =
        ["avro-ingest", "apache-avro value, attribute value, SDK", "serde_avro_fast, struct only"]
            .map(|candidate| order.map_or(f64::NAN, |step| step.nanoseconds(candidate)));
    let parse = &results.steps.parse;
    let parse_ratio = parse.nanoseconds("aws_lambda_events, serde_path_to_error") / parse.nanoseconds("avro-ingest");
    let start = &results.start;
    let megabytes = start.ours_bytes as f64 / 1e6;
    let [thousand, five] =
        [1_000, 5_000].map(|messages| at(&results.at_once, messages).map_or(f64::NAN, |both| both.ours.cpu_us));
    let (peak, rate) = (results.largest.figures.peak_resident_mb, sustained(results));
    let least = |name, target, value: f64, unit: &str, met, how: &str| Indicator {
        name,
        target,
        measured: format!("{}{unit}", number(value)),
        met: Some(met),
        how: how.to_owned(),
    };
    vec![
        promised(1_000, "CPU for a message, 1,000 a batch", "9 times less than the baseline", 9.0),
        promised(10, "CPU for a message, 10 a batch", "4.5 times less than the baseline", 4.5),
        multiple(
            1_000,
            "CPU for a message, 1,000 a batch",
            "2 times the floor that hashes",
            |all| all.over_hashing_floor.median,
            2.0,
        ),
        multiple(10, "CPU for a message, 10 a batch", "2 times the floor", |all| all.over_floor.median, 2.0),
        multiple(10, "P50, 10 a batch", "1.6 times the floor's", |all| all.ours.p50_ms / all.floor.p50_ms, 1.6),
        least(
            "decode and encode",
            "5 times faster",
            values / ours,
            " times",
            values / ours >= 5.0,
            "an order, against apache-avro's value, the SDK's attribute value and its serialisation",
        ),
        least(
            "decode and encode",
            "no slower than serde_avro_fast into a struct",
            ours / fast,
            " of its time",
            ours <= fast,
            "an order; ours ends in DynamoDB's JSON, the other in a struct",
        ),
        least(
            "event parsing",
            "2.5 times faster",
            parse_ratio,
            " times",
            parse_ratio >= 2.5,
            "1,000 messages, against aws_lambda_events as lambda_runtime reads it",
        ),
        least("peak memory", "40 MB", peak, " MB", peak <= 40.0, "resident, after events of 6 MB"),
        least(
            "start",
            "25 ms",
            start.ours_ms,
            " ms",
            start.ours_ms < 25.0,
            "from exec to the first call for an event, the median of ten",
        ),
        least(
            "schema directory",
            "1 ms",
            results.steps.schema_dir_us / 1e3,
            " ms",
            results.steps.schema_dir_us < 1e3,
            "reading, parsing and compiling it; part of the start",
        ),
        least("bootstrap", "8 MB", megabytes, " MB", megabytes < 8.0, "the executable as it is deployed"),
        least(
            "cost of a message as the batch grows",
            "flat",
            five / thousand,
            " times",
            five / thousand < 1.1,
            "CPU for a message at 5,000 a batch over that at 1,000",
        ),
        least(
            "one process",
            "100,000 messages a second",
            rate,
            " a second",
            rate >= 1e5,
            "the best of the runs at a 5 ms endpoint, on a machine that also runs the endpoint and the runtime API",
        ),
    ]
}

/// The most messages a second of one process.
pub(super) fn sustained(results: &Results) -> f64 {
    results.sustained.iter().map(|sustained| sustained.figures.messages_per_second).fold(0.0, f64::max)
}

pub(super) fn at(comparisons: &[Comparison], messages: u32) -> Option<&Comparison> {
    comparisons.iter().find(|comparison| comparison.messages == messages)
}
