//! The report: one page without anything from elsewhere.

mod indicators;
pub(crate) mod tuning;

use crate::compare::Comparison;
use crate::conditions::Conditions;
use crate::figures::{Figures, Ratio};
use crate::results::Results;
use crate::starts::STARTS;
use crate::steps::Step;
use crate::tune::Tuning;
use indicators::Indicator;
use pages::{
    Across, Block, Chart, Check, Colour, Drawn, Fact, Page, Part, Scale, Section, Series, Table, Tile, Verdict,
    capital, number,
};

const OURS: &str = "avro-ingest";
const BASELINE: &str = "baseline";
const FLOOR: &str = "floor: the sockets alone";
const HASHING_FLOOR: &str = "floor, base64 and SHA-256";

/// The page of what there is; none of nothing.
pub(crate) fn page(results: Option<&Results>, tuning: Option<&Tuning>) -> Option<Page> {
    let mut sections = Vec::new();
    if let Some(results) = results {
        sections.extend([indicators(results), batch_sizes(results)]);
        sections.extend(results.conditions.as_ref().map(conditions));
        sections.extend(starts(results));
        sections.extend([scaling(results), steps(results), json_and_avro(results), cost(results)]);
    }
    sections.extend(tuning.map(tuning::of));
    sections.extend(results.map(method));
    let (machine, revision, date) = match (results, tuning) {
        (Some(results), _) => (&results.machine, &results.revision, &results.date),
        (None, Some(tuning)) => (&tuning.machine, &tuning.revision, &tuning.date),
        (None, None) => return None,
    };
    let fact = |name: &str, text: String| (name.to_owned(), Fact::Text(text));
    Some(Page {
        kind: "avro-ingest benchmarks".to_owned(),
        title: "avro-ingest, measured".to_owned(),
        facts: vec![
            fact("Date", date.clone()),
            fact("Revision", revision.clone()),
            fact("Machine", format!("{} cores of {}, Linux {}", machine.cores, machine.processor, machine.kernel)),
        ],
        verdict: results.map(verdict).unwrap_or_default(),
        parts: vec![Part { tiles: results.map(tiles).unwrap_or_default(), sections, ..Part::default() }],
        ..Page::default()
    })
}

fn section(title: &str, blocks: Vec<Block>) -> Section {
    Section { title: title.to_owned(), blocks }
}

fn table(name: &str, head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Block {
    let head = head.iter().map(|name| (*name).to_owned()).collect();
    Block::Table(Table { name: name.to_owned(), head, rows: rows.into_iter().collect() })
}

fn chart(title: &str, unit: &str, across: Across, series: Vec<Series>) -> Chart {
    let (title, unit) = (title.to_owned(), unit.to_owned());
    Chart { title, unit, across, scale: Scale::Linear, series, target: None, note: None }
}

fn verdict(results: &Results) -> Verdict {
    let all: Vec<Indicator> =
        indicators::of_the_decision(results).into_iter().chain(indicators::of_this_function(results)).collect();
    let judged = all.iter().filter(|indicator| indicator.met.is_some()).count();
    let missed: Vec<&Indicator> = all.iter().filter(|indicator| indicator.met == Some(false)).collect();
    let sentence = match missed.len() {
        0 => format!("All {judged} targets are met."),
        1 => format!("1 of {judged} targets is missed."),
        count => format!("{count} of {judged} targets are missed."),
    };
    let detail = |missed: &&Indicator| {
        format!("{}: {}, and the target is {}", capital(missed.name), missed.measured, missed.target)
    };
    Verdict { met: Some(missed.is_empty()), sentence, details: missed.iter().map(detail).collect() }
}

fn tiles(results: &Results) -> Vec<Tile> {
    let ratio = |messages| indicators::at(&results.at_once, messages).map_or(f64::NAN, |both| both.ratio.median);
    let ours = indicators::at(&results.at_once, 1_000).map_or(f64::NAN, |both| both.ours.cpu_us);
    let cheapest = results.costs.iter().map(|cost| cost.total).fold(f64::INFINITY, f64::min);
    let tile = |name: &str, value: String, unit: &str, what: &str| Tile {
        name: name.to_owned(),
        value: (value, unit.to_owned()),
        target: Some(what.to_owned()),
        met: None,
        over_time: Vec::new(),
    };
    vec![
        tile("CPU for a message", number(ours), "µs", "1,000 a batch"),
        tile("Less CPU than the baseline", number(ratio(1_000)), "times", "1,000 a batch"),
        tile("Less CPU than the baseline", number(ratio(10)), "times", "10 a batch"),
        tile("Messages a second", number(indicators::sustained(results)), "", "one process"),
        tile("A million messages", format!("${cheapest:.2}"), "", "all services, at best"),
    ]
}

fn indicators(results: &Results) -> Section {
    let check = |Indicator { name, target, measured, met, how }| Check {
        name: capital(name),
        value: measured,
        limit: format!("target: {target}"),
        share: None,
        met,
        note: Some(how),
    };
    let checks = |indicators: Vec<Indicator>| Block::Checks(indicators.into_iter().map(check).collect());
    section(
        "Key indicators",
        vec![
            checks(indicators::of_the_decision(results)),
            Block::Heading("What this function promises beyond them".to_owned()),
            checks(indicators::of_this_function(results)),
        ],
    )
}

/// The sizes of the events of `comparisons`, as the horizontal axis.
fn sizes(comparisons: &[Comparison]) -> Across {
    let names = comparisons.iter().map(|comparison| number(f64::from(comparison.messages))).collect();
    Across::Steps { label: "messages of an event".to_owned(), names }
}

/// Both, over the batch sizes.
fn both(title: &str, unit: &str, comparisons: &[Comparison], value: fn(&Figures) -> f64, note: &str) -> Chart {
    let values = |of: fn(&Comparison) -> &Figures| comparisons.iter().map(|both| Some(value(of(both)))).collect();
    let series = vec![
        Series::line(OURS, Colour::Blue, values(|both| &both.ours)),
        Series::line(BASELINE, Colour::Orange, values(|both| &both.baseline)),
    ];
    Chart { note: Some(note.to_owned()), ..chart(title, unit, sizes(comparisons), series) }
}

/// P50 to P99 of an invocation as a band, and P95 as a line.
fn percentiles(title: &str, results: &Results, of: fn(&Comparison) -> &Figures) -> Chart {
    let values = |value: fn(&Figures) -> f64| results.delayed.iter().map(|both| Some(value(of(both)))).collect();
    let drawn = Drawn::Band {
        low: ("P50".to_owned(), values(|figures| figures.p50_ms)),
        high: ("P99".to_owned(), values(|figures| figures.p99_ms)),
    };
    let series = vec![
        Series { name: "P50 to P99".to_owned(), colour: Colour::Blue, drawn },
        Series::line("P95", Colour::Blue, values(|figures| figures.p95_ms)),
    ];
    Chart {
        note: Some(format!("An endpoint that takes {} ms.", results.delay_ms)),
        ..chart(title, "milliseconds", sizes(&results.delayed), series)
    }
}

fn batch_sizes(results: &Results) -> Section {
    let Results { at_once, delayed, delay_ms, .. } = results;
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
    let charts = vec![
        both(
            "CPU for a message",
            "microseconds",
            at_once,
            |figures| figures.cpu_us,
            "User and kernel time of the whole process; an endpoint that answers at once.",
        ),
        both(
            "Messages a second",
            "of one process",
            at_once,
            |figures| figures.messages_per_second,
            "One invocation after the other; an endpoint that answers at once.",
        ),
        percentiles("An invocation of avro-ingest", results, |both| &both.ours),
        percentiles("An invocation of the baseline", results, |both| &both.baseline),
    ];
    section(
        "By batch size",
        vec![
            Block::Charts(charts),
            Block::Heading("An endpoint that answers at once".to_owned()),
            table("An endpoint that answers at once", &head, rows(at_once)),
            Block::Heading(format!("An endpoint that takes {delay_ms} ms")),
            table("An endpoint that takes time", &head, rows(delayed)),
        ],
    )
}

fn conditions(conditions: &Conditions) -> Section {
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
    let text = format!(
        "An endpoint whose latency is lognormal, {p50_ms} ms at the median and {p99_ms} ms at P99, rounded up to whole milliseconds; {} % of the items come \
         back unprocessed, and {} % of the calls lose their connection before they are applied.",
        number(unprocessed * 100.0),
        number(broken * 100.0),
    );
    section("Under real conditions", vec![Block::Text(text), table("Under real conditions", &head, rows)])
}

fn starts(results: &Results) -> Option<Section> {
    if results.starts.is_empty() {
        return None;
    }
    let rows = results.starts.iter().map(|start| {
        let mut cells = vec![format!("{}, {}", start.kind, if start.ours { OURS } else { BASELINE })];
        cells.extend([start.init, start.first].iter().flat_map(|times| [times.p50_ms, times.p99_ms]).map(number));
        cells
    });
    let each = format!("{STARTS} starts each");
    let head = [each.as_str(), "start P50 ms", "start P99 ms", "first event P50 ms", "first event P99 ms"];
    let text =
        "From exec to the first call for an event, DynamoDB reached by then; and the first event, of ten messages.";
    Some(section("Start", vec![Block::Text(text.to_owned()), table("Start", &head, rows)]))
}

fn scaling(results: &Results) -> Section {
    let Results { cores, limits, sustained, delay_ms, .. } = results;
    let across = Across::Steps {
        label: "write calls at once".to_owned(),
        names: limits.iter().map(|limit| limit.in_flight.to_string()).collect(),
    };
    let values = limits.iter().map(|limit| Some(limit.figures.messages_per_second)).collect();
    let by_limit = Chart {
        note: Some(format!("1,000 messages an event, an endpoint that takes {delay_ms} ms.")),
        ..chart(
            "Messages a second by the limit",
            "of one process",
            across,
            vec![Series::line(OURS, Colour::Blue, values)],
        )
    };
    let mut blocks = vec![Block::Charts(vec![by_limit]), Block::Heading("By cores".to_owned())];
    if cores.is_empty() {
        blocks.push(Block::Text("Not measured by cores: taskset, of util-linux, was missing.".to_owned()));
    } else {
        let rows = cores.iter().flat_map(|entry| {
            let row = |name: &str, figures: &Figures| {
                let Figures { messages_per_second, cpu_us, .. } = figures;
                vec![format!("{}, {name}", entry.cores), number(*messages_per_second), number(*cpu_us)]
            };
            [row(OURS, &entry.comparison.ours), row(BASELINE, &entry.comparison.baseline)]
        });
        let text = "1,000 messages an event, an endpoint that answers at once.";
        blocks.push(Block::Text(text.to_owned()));
        blocks.push(table("By cores", &["cores", "messages/s", "CPU µs a message"], rows));
    }
    let rows = sustained.iter().map(|entry| {
        let Figures { messages_per_second, cpu_us, p50_ms, p95_ms, peak_resident_mb, .. } = entry.figures;
        let mut cells = vec![format!("{} × {} messages", entry.concurrency, number(f64::from(entry.messages)))];
        cells.extend([messages_per_second, cpu_us, p50_ms, p95_ms, peak_resident_mb].map(number));
        cells
    });
    let head = ["invocations at once", "messages/s", "CPU µs a message", "P50 ms", "P95 ms", "peak MB"];
    let text =
        format!("An endpoint that takes {delay_ms} ms; several invocations at once as on Lambda Managed Instances.");
    blocks.extend([
        Block::Heading("One process at its most".to_owned()),
        Block::Text(text),
        table("One process at its most", &head, rows),
    ]);
    section("Scaling", blocks)
}

/// A table with a row for each candidate and a column for each shape.
fn by_shape(name: &str, steps: &[Step]) -> Block {
    let candidates = steps.first().map(|step| step.candidates.as_slice()).unwrap_or_default();
    let mut head = vec!["ns a record"];
    head.extend(steps.iter().map(|step| step.shape.as_str()));
    let rows = candidates.iter().map(|(candidate, _)| {
        let times = steps.iter().map(|step| number(step.nanoseconds(candidate)));
        [candidate.clone()].into_iter().chain(times).collect()
    });
    table(name, &head, rows)
}

fn steps(results: &Results) -> Section {
    let steps = &results.steps;
    let [to_items, parse] = ["From framed Avro to an item's JSON", "From an invocation's payload to messages"];
    section(
        "Single steps",
        vec![
            Block::Text("The fastest of a hundred turns over a thousand records.".to_owned()),
            Block::Heading(to_items.to_owned()),
            by_shape(to_items, &steps.to_items),
            Block::Heading(parse.to_owned()),
            by_shape(parse, std::slice::from_ref(&steps.parse)),
        ],
    )
}

fn json_and_avro(results: &Results) -> Section {
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
    let text = "Avro is smaller where a record is more than text, and base64 in the SQS body takes a third of it back.";
    section(
        "JSON and Avro",
        vec![
            Block::Text(text.to_owned()),
            table("Sizes", &head, sizes),
            Block::Heading("Encode".to_owned()),
            by_shape("Encode", &steps.encode),
            Block::Heading("Decode".to_owned()),
            by_shape("Decode", &steps.decode),
        ],
    )
}

fn cost(results: &Results) -> Section {
    let Results { costs, prices, delay_ms, .. } = results;
    let names = costs.iter().map(|cost| number(f64::from(cost.messages))).collect();
    let values = |value: fn(&crate::cost::Cost) -> f64| costs.iter().map(|cost| Some(value(cost))).collect();
    let series = vec![
        Series::stacked("DynamoDB", Colour::Blue, values(|cost| cost.dynamodb)),
        Series::stacked("SQS", Colour::Orange, values(|cost| cost.sqs)),
        Series::stacked("Lambda", Colour::Green, values(|cost| cost.lambda)),
        Series::stacked("CloudWatch", Colour::Purple, values(|cost| cost.cloudwatch)),
    ];
    let across = Across::Steps { label: "messages of an event".to_owned(), names };
    let by_size = Chart {
        note: Some("All services, by batch size.".to_owned()),
        ..chart("A million messages", "dollars", across, series)
    };
    let rows = costs.iter().map(|cost| {
        let mut cells = vec![number(f64::from(cost.messages))];
        let dollars = |dollars: f64| format!("${dollars:.4}");
        cells.extend([cost.sqs, cost.lambda, cost.dynamodb, cost.cloudwatch, cost.total].map(dollars));
        cells
    });
    let text = format!(
        "List prices of {} in {}, in {}, without free tiers. SQS by three calls for ten messages; an item of up to 1 KB; Lambda on arm64 with {} MB, billed \
         for the time an invocation took here at a {delay_ms} ms endpoint and for what its processor time takes longer on that memory's share of a \
         processor; CloudWatch for the log lines and metrics as written here. A metric's own monthly price comes on top, whatever the load.",
        prices.date,
        prices.region,
        prices.currency,
        crate::process::MEMORY_MB,
    );
    section(
        "Cost of a million messages",
        vec![
            Block::Charts(vec![by_size]),
            table(
                "Cost of a million messages",
                &["messages of an event", "SQS", "Lambda", "DynamoDB", "CloudWatch", "all"],
                rows,
            ),
            Block::Text(text),
            Block::Links(prices.sources.clone()),
        ],
    )
}

fn method(results: &Results) -> Section {
    let (rounds, seconds) = results.effort;
    let both = format!(
        "Both bootstraps run as they are deployed, each a process of its own under the same runtime API on loopback, writing to an endpoint that takes \
         everything, and have their turns one after the other: {rounds} turns of {} seconds each after a warm-up. CPU time is the process's own, user and \
         kernel, as the kernel counts it; a figure is the median of the turns and a ratio the median of the ratios turn by turn. Events are orders of the \
         example schema as SQS delivers them, each message a millisecond after the other. The runtime API and the endpoint share the machine, so messages a \
         second are what is left for the function, not what it could do alone.",
        number(seconds)
    );
    let baseline = "The baseline is benches/baseline: lambda_runtime, aws_lambda_events, apache-avro into structs, serde_dynamo and the SDK, 25 items a call \
                    and 10 calls at once. The floor is benches/floor: it takes the event, sends as many requests of the same size, writes a line of the same \
                    length and responds; it decodes and signs nothing.";
    section("How it was measured", vec![Block::Text(both), Block::Text(baseline.to_owned())])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured() -> Results {
        serde_json::from_str(include_str!("../../../results.json")).unwrap()
    }

    #[test]
    fn the_page_has_every_measurement_and_needs_nothing_from_outside() {
        let html = page(Some(&measured()), None).unwrap().html();
        assert_eq!(html.matches("<figure").count(), 6);
        for text in ["CPU for a message", "Under real conditions", "Cost of a million messages", "How it was measured"]
        {
            assert!(html.contains(text), "{text}");
        }
        assert!(!html.contains("src=") && !html.contains("NaN") && !html.contains("inf\""));
        assert!(page(None, None).is_none());
    }

    #[test]
    #[ignore = "needs chromium: make test-pages"]
    fn chromium_finds_nothing_wrong_with_the_page_of_the_measurements() {
        let path = std::env::temp_dir().join(format!("harness-page-{}.html", std::process::id()));
        std::fs::write(&path, page(Some(&measured()), None).unwrap().html()).unwrap();
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let look = std::process::Command::new("node").arg("tests/pages/look.mjs").arg(&path).current_dir(root).output();
        std::fs::remove_file(path).unwrap();
        let look = look.unwrap();
        let findings = [look.stdout, look.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(look.status.success(), "{findings}");
    }

    #[test]
    fn a_target_that_is_missed_is_named_at_the_top() {
        let mut results = measured();
        results.start.ours_ms = 26.0;
        let verdict = verdict(&results);
        assert_eq!(verdict.met, Some(false));
        assert!(verdict.details.contains(&"Start: 26 ms, and the target is 25 ms".to_owned()), "{:?}", verdict.details);
    }
}
