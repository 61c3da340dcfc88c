//! The report: one page without anything from elsewhere.

mod indicators;
mod plot;
mod table;
pub(crate) mod tuning;

use crate::compare::Comparison;
use crate::conditions::Conditions;
use crate::figures::{Figures, Ratio};
use crate::results::Results;
use crate::starts::STARTS;
use crate::steps::Step;
use crate::tune::Tuning;
use indicators::Indicator;
use plot::{Axes, Series, number};
use table::table;

const STYLE: &str = include_str!("style.css");
const OURS: &str = "avro-ingest";
const BASELINE: &str = "baseline";
const FLOOR: &str = "floor: the sockets alone";
const HASHING_FLOOR: &str = "floor, base64 and SHA-256";

/// The page of what there is; none of nothing.
pub(crate) fn page(results: Option<&Results>, tuning: Option<&Tuning>) -> Option<String> {
    let mut sections = Vec::new();
    if let Some(results) = results {
        sections.extend([
            header(results),
            indicators(results),
            batch_sizes(results),
            results.conditions.as_ref().map_or_else(String::new, conditions),
            starts(results),
            scaling(results),
            steps(results),
            json_and_avro(results),
            cost(results),
        ]);
    }
    sections.extend(tuning.map(tuning::section));
    sections.extend(results.map(method));
    (!sections.is_empty()).then(|| document(&sections.concat()))
}

fn document(body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>avro-ingest measured</title><style>{STYLE}</style></head>\n<body>{body}</body></html>\n"
    )
}

fn header(results: &Results) -> String {
    let ratio = |messages| indicators::at(&results.at_once, messages).map_or(f64::NAN, |both| both.ratio.median);
    let ours = indicators::at(&results.at_once, 1_000).map_or(f64::NAN, |both| both.ours.cpu_us);
    let cheapest = results.costs.iter().map(|cost| cost.total).fold(f64::INFINITY, f64::min);
    let tile = |value: String, what: &str| format!(r#"<div class="tile"><b>{value}</b><span>{what}</span></div>"#);
    let tiles = [
        tile(format!("{} µs", number(ours)), "CPU for a message, 1,000 a batch"),
        tile(format!("{} times", number(ratio(1_000))), "less than the baseline, 1,000 a batch"),
        tile(format!("{} times", number(ratio(10))), "less than the baseline, 10 a batch"),
        tile(number(indicators::sustained(results)), "messages a second, one process"),
        tile(format!("${cheapest:.2}"), "per million messages at best, all services"),
    ];
    let Results { revision, date, machine, .. } = results;
    format!(
        r#"<h1>avro-ingest, measured</h1><p class="soft">{date}, revision {revision}, {} cores of {}, Linux {}</p>
        <div class="tiles">{}</div>"#,
        machine.cores,
        machine.processor,
        machine.kernel,
        tiles.concat()
    )
}

fn indicators(results: &Results) -> String {
    let rows = |indicators: Vec<Indicator>| {
        let row = |Indicator { name, target, measured, met, how }| {
            let verdict = match met {
                Some(true) => r#"<span class="yes">met</span>"#,
                Some(false) => r#"<span class="no">missed</span>"#,
                None => "",
            };
            format!("<tr><td>{name}</td><td>{target}</td><td>{measured}</td><td>{verdict}</td><td>{how}</td></tr>")
        };
        let rows: String = indicators.into_iter().map(row).collect();
        format!(
            r#"<div class="wide"><table><tr><th>indicator</th><th>target</th><th>measured</th><th></th><th>how</th></tr>{rows}</table></div>"#
        )
    };
    format!(
        "<h2>Key indicators</h2>{}<h3>What this function promises beyond them</h3>{}",
        rows(indicators::of_the_decision(results)),
        rows(indicators::of_this_function(results))
    )
}

fn figure(title: &str, plot: &str, caption: &str) -> String {
    format!("<figure><h3>{title}</h3>{plot}<figcaption>{caption}</figcaption></figure>")
}

/// Both, over the batch sizes.
fn both(comparisons: &[Comparison], y: &str, value: impl Fn(&Figures) -> f64) -> String {
    let steps = comparisons.iter().map(|comparison| number(f64::from(comparison.messages))).collect();
    let values = |of: fn(&Comparison) -> &Figures| comparisons.iter().map(|both| value(of(both))).collect();
    let series = [
        Series { name: OURS, class: "a", values: values(|both| &both.ours) },
        Series { name: BASELINE, class: "b", values: values(|both| &both.baseline) },
    ];
    plot::lines(&Axes { steps, x: "messages of an event", y }, &series)
}

fn batch_sizes(results: &Results) -> String {
    let Results { at_once, delayed, delay_ms, .. } = results;
    let percentiles = |of: fn(&Comparison) -> &Figures| {
        let values = |value: fn(&Figures) -> f64| delayed.iter().map(|both| value(of(both))).collect();
        let series = [
            Series { name: "P50", class: "a", values: values(|figures| figures.p50_ms) },
            Series { name: "P95", class: "c", values: values(|figures| figures.p95_ms) },
            Series { name: "P99", class: "d", values: values(|figures| figures.p99_ms) },
        ];
        let steps = delayed.iter().map(|both| number(f64::from(both.messages))).collect();
        plot::lines(&Axes { steps, x: "messages of an event", y: "milliseconds" }, &series)
    };
    let rows = |comparisons: &[Comparison]| {
        let row = |name: &str, messages: u32, figures: &Figures, ratio: String| {
            let Figures { cpu_us, messages_per_second, p50_ms, p95_ms, p99_ms, peak_resident_mb, .. } = figures;
            let numbers = [*cpu_us, *messages_per_second, *p50_ms, *p95_ms, *p99_ms, *peak_resident_mb].map(number);
            let mut cells = vec![format!("{} messages, {name}", number(f64::from(messages)))];
            cells.extend(numbers);
            cells.push(ratio);
            cells
        };
        comparisons
            .iter()
            .flat_map(|both| {
                let times = |ratio: Ratio, what: &str| format!("{} times {what}", number(ratio.median));
                [
                    row(OURS, both.messages, &both.ours, String::new()),
                    row(BASELINE, both.messages, &both.baseline, times(both.ratio, "ours")),
                    row(FLOOR, both.messages, &both.floor, times(both.over_floor, "less than ours")),
                    row(
                        HASHING_FLOOR,
                        both.messages,
                        &both.hashing_floor,
                        times(both.over_hashing_floor, "less than ours"),
                    ),
                ]
            })
            .collect::<Vec<_>>()
    };
    let head = ["event", "CPU µs a message", "messages/s", "P50 ms", "P95 ms", "P99 ms", "peak MB", "CPU"];
    let plots = [
        figure(
            "CPU for a message, µs",
            &both(at_once, "microseconds", |figures| figures.cpu_us),
            "User and kernel time of the whole process; an endpoint that answers at once.",
        ),
        figure(
            "Messages a second",
            &both(at_once, "messages a second", |figures| figures.messages_per_second),
            "One invocation after the other; an endpoint that answers at once.",
        ),
        figure(
            "An invocation of avro-ingest, ms",
            &percentiles(|both| &both.ours),
            &format!("An endpoint that takes {delay_ms} ms."),
        ),
        figure(
            "An invocation of the baseline, ms",
            &percentiles(|both| &both.baseline),
            &format!("An endpoint that takes {delay_ms} ms."),
        ),
    ];
    format!(
        r#"<h2>By batch size</h2><div class="plots">{}</div><h3>An endpoint that answers at once</h3>{}<h3>An endpoint that takes {delay_ms} ms</h3>{}"#,
        plots.concat(),
        table(&head, rows(at_once)),
        table(&head, rows(delayed))
    )
}

fn conditions(conditions: &Conditions) -> String {
    let Conditions { p50_ms, p99_ms, unprocessed, broken, rows } = conditions;
    let row = |kind: &str, figures: &Figures, ratio: String| {
        let Figures { cpu_us, messages_per_second, p50_ms, p95_ms, p99_ms, returned, .. } = figures;
        let mut cells = vec![kind.to_owned()];
        cells.extend([*cpu_us, *messages_per_second, *p50_ms, *p95_ms, *p99_ms, returned * 100.0].map(number));
        cells.push(ratio);
        cells
    };
    let rows = rows.iter().flat_map(|both| {
        let kind = |name: &str| {
            let protocol = if both.tls { "TLS" } else { "plain HTTP" };
            format!("{} messages, {protocol}, {name}", number(f64::from(both.messages)))
        };
        let times = format!("{} times ours", number(both.ratio.median));
        [row(&kind(OURS), &both.ours, String::new()), row(&kind(BASELINE), &both.baseline, times)]
    });
    let head = ["event", "CPU µs a message", "messages/s", "P50 ms", "P95 ms", "P99 ms", "% returned", "CPU"];
    format!(
        r#"<h2>Under real conditions</h2><p class="soft">An endpoint whose latency is lognormal, {p50_ms} ms at the median and {p99_ms} ms at P99, rounded up to whole milliseconds; {} % of the items come back unprocessed, and {} % of the calls lose their connection before they are applied.</p>{}"#,
        number(unprocessed * 100.0),
        number(broken * 100.0),
        table(&head, rows)
    )
}

fn starts(results: &Results) -> String {
    if results.starts.is_empty() {
        return String::new();
    }
    let rows = results.starts.iter().map(|start| {
        let mut cells = vec![format!("{}, {}", start.kind, if start.ours { OURS } else { BASELINE })];
        cells.extend([start.init, start.first].iter().flat_map(|times| [times.p50_ms, times.p99_ms]).map(number));
        cells
    });
    let each = format!("{STARTS} starts each");
    let head = [each.as_str(), "start P50 ms", "start P99 ms", "first event P50 ms", "first event P99 ms"];
    format!(
        r#"<h2>Start</h2><p class="soft">From exec to the first call for an event, DynamoDB reached by then; and the first event, of ten messages.</p>{}"#,
        table(&head, rows)
    )
}

fn scaling(results: &Results) -> String {
    let Results { cores, limits, sustained, delay_ms, .. } = results;
    let values = limits.iter().map(|limit| limit.figures.messages_per_second).collect();
    let steps = limits.iter().map(|limit| limit.in_flight.to_string()).collect();
    let plot = plot::lines(
        &Axes { steps, x: "write calls at once", y: "messages a second" },
        &[Series { name: OURS, class: "a", values }],
    );
    let caption = format!("1,000 messages an event, an endpoint that takes {delay_ms} ms.");
    let by_cores = if cores.is_empty() {
        "<p>Not measured by cores: taskset, of util-linux, was missing.</p>".to_owned()
    } else {
        let rows = cores.iter().flat_map(|entry| {
            let row = |name: &str, figures: &Figures| {
                let Figures { messages_per_second, cpu_us, .. } = figures;
                vec![format!("{}, {name}", entry.cores), number(*messages_per_second), number(*cpu_us)]
            };
            [row(OURS, &entry.comparison.ours), row(BASELINE, &entry.comparison.baseline)]
        });
        table(&["cores", "messages/s", "CPU µs a message"], rows)
    };
    let rows = sustained.iter().map(|entry| {
        let Figures { messages_per_second, cpu_us, p50_ms, p95_ms, peak_resident_mb, .. } = entry.figures;
        let mut cells = vec![format!("{} × {} messages", entry.concurrency, number(f64::from(entry.messages)))];
        cells.extend([messages_per_second, cpu_us, p50_ms, p95_ms, peak_resident_mb].map(number));
        cells
    });
    let at_most =
        table(&["invocations at once", "messages/s", "CPU µs a message", "P50 ms", "P95 ms", "peak MB"], rows);
    format!(
        r#"<h2>Scaling</h2><div class="plots">{}<div><h3>By cores</h3><p class="soft">1,000 messages an event, an endpoint that answers at once.</p>{by_cores}<h3>One process at its most</h3><p class="soft">An endpoint that takes {delay_ms} ms; several invocations at once as on Lambda Managed Instances.</p>{at_most}</div></div>"#,
        figure("Messages a second by the limit", &plot, &caption)
    )
}

/// A table with a row for each candidate and a column for each shape.
fn by_shape(steps: &[Step]) -> String {
    let candidates = steps.first().map(|step| step.candidates.as_slice()).unwrap_or_default();
    let mut head = vec!["ns a record"];
    head.extend(steps.iter().map(|step| step.shape.as_str()));
    let rows = candidates.iter().map(|(candidate, _)| {
        let times = steps.iter().map(|step| number(step.nanoseconds(candidate)));
        [candidate.clone()].into_iter().chain(times).collect()
    });
    table(&head, rows)
}

fn steps(results: &Results) -> String {
    let steps = &results.steps;
    format!(
        "<h2>Single steps</h2><p class=\"soft\">The fastest of a hundred turns over a thousand records.</p>\
         <h3>From framed Avro to an item's JSON</h3>{}<h3>From an invocation's payload to messages</h3>{}",
        by_shape(&steps.to_items),
        by_shape(std::slice::from_ref(&steps.parse))
    )
}

fn json_and_avro(results: &Results) -> String {
    let steps = &results.steps;
    let sizes = steps.sizes.iter().map(|(shape, sizes)| {
        let saved = format!("{:.0} %", (1.0 - sizes.datum / sizes.json) * 100.0);
        let mut cells = vec![shape.clone()];
        cells.extend([sizes.json, sizes.datum].map(number));
        cells.push(saved);
        cells.extend([sizes.body, sizes.item].map(number));
        cells
    });
    let head = ["bytes a record", "JSON", "Avro datum", "saved", "Avro message body", "item as sent"];
    format!(
        "<h2>JSON and Avro</h2><p>Avro is smaller where a record is more than text, and base64 in the SQS body takes a third of it back.</p>{}<h3>Encode</h3>{}<h3>Decode</h3>{}",
        table(&head, sizes),
        by_shape(&steps.encode),
        by_shape(&steps.decode)
    )
}

fn cost(results: &Results) -> String {
    let Results { costs, prices, delay_ms, .. } = results;
    let steps: Vec<_> = costs.iter().map(|cost| number(f64::from(cost.messages))).collect();
    let values = |value: fn(&crate::cost::Cost) -> f64| costs.iter().map(value).collect();
    let series = [
        Series { name: "DynamoDB", class: "a", values: values(|cost| cost.dynamodb) },
        Series { name: "SQS", class: "b", values: values(|cost| cost.sqs) },
        Series { name: "Lambda", class: "c", values: values(|cost| cost.lambda) },
        Series { name: "CloudWatch", class: "d", values: values(|cost| cost.cloudwatch) },
    ];
    let plot = plot::stacked_bars(&Axes { steps, x: "messages of an event", y: "dollars" }, &series);
    let rows = costs.iter().map(|cost| {
        let mut cells = vec![number(f64::from(cost.messages))];
        let dollars = |dollars: f64| format!("${dollars:.4}");
        cells.extend([cost.sqs, cost.lambda, cost.dynamodb, cost.cloudwatch, cost.total].map(dollars));
        cells
    });
    let sources: Vec<_> = prices.sources.iter().map(|source| format!(r#"<a href="{source}">{source}</a>"#)).collect();
    format!(
        "<h2>Cost of a million messages</h2><div class=\"plots\">{}<div>{}<p class=\"soft\">List prices of {} in {}, in {}, without free tiers: {}. \
         SQS by three calls for ten messages; an item of up to 1 KB; Lambda on arm64 with {} MB, billed for the time an invocation took here at a \
         {delay_ms} ms endpoint and for what its processor time takes longer on that memory's share of a processor; CloudWatch for the log \
         lines and metrics as written here. A metric's own monthly price comes on top, whatever the load.</p></div></div>",
        figure("Dollars per million", &plot, "All services, by batch size."),
        table(&["messages of an event", "SQS", "Lambda", "DynamoDB", "CloudWatch", "all"], rows),
        prices.date,
        prices.region,
        prices.currency,
        sources.join(", "),
        crate::process::MEMORY_MB,
    )
}

fn method(results: &Results) -> String {
    let (rounds, seconds) = results.effort;
    format!(
        "<h2>How it was measured</h2><p>Both bootstraps run as they are deployed, each a process of its own under the same runtime API on loopback, writing \
         to an endpoint that takes everything, and have their turns one after the other: {rounds} turns of {} seconds each after a warm-up. \
         CPU time is the process's own, user and kernel, as the kernel counts it; a figure is the median of the turns and a ratio the median of the \
         ratios turn by turn. Events are orders of the example schema as SQS delivers them, each message a millisecond after the other. \
         The runtime API and the endpoint share the machine, so messages a second are what is left for the function, not what it could do alone.</p>\
         <p>The baseline is <code>benches/baseline</code>: lambda_runtime, aws_lambda_events, apache-avro into structs, serde_dynamo and the SDK, \
         25 items a call and 10 calls at once. The floor is <code>benches/floor</code>: it takes the event, sends as many \
         requests of the same size, writes a line of the same length and responds; it decodes and signs nothing.</p>",
        number(seconds)
    )
}
