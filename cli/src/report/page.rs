//! A report as an HTML page.

use super::indicators::{
    COUNTS, DistributionSummary, Indicator, LoggedCost, Shares, THROTTLES, by_dimension, indicators, summaries,
};
use super::print::{LogReport, LogReports};
use super::totals::{Distribution, Stretch, Totals};
use pages::{
    Across, Block, Chart, Colour, Drawn, Fact, Page, Part, Scale, Section, Series, Share, Table, Tile, Verdict,
    capital, number,
};

/// Maximum number of points of a chart. A line on a screen shows no more, and a table of more is not read.
const MAX_POINTS: u64 = 300;
/// Outcomes of messages, and the metric that counts each.
const OUTCOMES: [(&str, &str, Colour); 4] = [
    ("stored", "MessagesStored", Colour::Blue),
    ("superseded", "MessagesSuperseded", Colour::Teal),
    ("quarantined", "MessagesQuarantined", Colour::Orange),
    ("returned", "MessagesReturned", Colour::Red),
];
/// Causes of throttles, in the order of [`THROTTLES`].
const THROTTLED_BY: [&str; 5] = ["table", "index", "hot partition", "account", "not given"];

/// Origin of a page.
pub(crate) struct Origin<'a> {
    /// Description of the source of the lines.
    pub(crate) source: &'a str,
    /// Revision of the deployment, if known.
    pub(crate) revision: Option<&'a str>,
}

/// Creates the page of `reports`.
pub(crate) fn page(reports: &LogReports<'_>, origin: &Origin<'_>) -> Page {
    let functions = &reports.functions;
    let mut parts: Vec<Part> = functions.iter().map(|(_, report)| report.part()).collect();
    let several = parts.len() > 1;
    let (title, verdict) = if let ([(name, _)], [part]) = (&functions[..], &mut parts[..]) {
        (if name.is_empty() { "avro-ingest" } else { name }.to_owned(), std::mem::take(&mut part.verdict))
    } else {
        (format!("{} functions", functions.len()), of_all(functions))
    };
    if several {
        for (part, (name, _)) in parts.iter_mut().zip(functions) {
            part.title = Some((*name).to_owned());
        }
    }
    let periods = || functions.iter().map(|(_, report)| report.history.all.period_ms());
    let (first_ms, last_ms) = (periods().map(|period| period.0).min(), periods().map(|period| period.1).max());
    let (first_ms, last_ms) = (first_ms.unwrap_or_default(), last_ms.unwrap_or_default());
    let mut facts = vec![
        ("Period".to_owned(), Fact::Period(first_ms, last_ms)),
        ("Length".to_owned(), Fact::Text(length(last_ms - first_ms))),
        ("Source".to_owned(), Fact::Text(origin.source.to_owned())),
    ];
    facts.extend(origin.revision.map(|revision| ("Revision".to_owned(), Fact::Text(revision.to_owned()))));
    facts.extend(functions.first().map(|(_, report)| {
        let architecture = if report.arm { "arm64" } else { "x86_64" };
        ("Memory".to_owned(), Fact::Text(format!("{} MB, {architecture}", report.memory_mb)))
    }));
    Page { kind: "avro-ingest report".to_owned(), title, lead: None, facts, verdict, parts, notes: notes(reports) }
}

fn of_all(functions: &[(&str, LogReport<'_>)]) -> Verdict {
    let missed = functions.iter().filter(|(_, report)| !report.all_met()).count();
    let sentence = match missed {
        0 => format!("All {} functions meet their targets.", functions.len()),
        1 => format!("1 of {} functions misses a target.", functions.len()),
        missed => format!("{missed} of {} functions miss a target.", functions.len()),
    };
    Verdict { met: Some(missed == 0), sentence, details: Vec::new() }
}

fn notes(reports: &LogReports<'_>) -> Vec<String> {
    let mut notes = vec![
        "Percentiles are over all messages or calls, as exact as the function's own values. A point of a chart stands for a stretch of time.".to_owned(),
        "The cost is an estimate at list prices: SQS calls of ten messages, the handler's time, the write units that DynamoDB charged, the bytes of the \
         metrics' lines, and the price of each metric for this period. Empty receives, warm instances, pollers and other log lines are not in it."
            .to_owned(),
    ];
    notes.extend(reports.functions.first().map(|(_, report)| {
        let prices = report.prices;
        format!(
            "Prices of {} in {}. Made by ingest {} from the lines of metrics; {} other lines were left out.",
            prices.date,
            prices.region,
            env!("CARGO_PKG_VERSION"),
            number(reports.other_lines as f64)
        )
    }));
    notes
}

/// Formats a period with its two largest units.
fn length(milliseconds: u64) -> String {
    let seconds = milliseconds / 1_000;
    let units = [("d", seconds / 86_400), ("h", seconds / 3_600 % 24), ("min", seconds / 60 % 60), ("s", seconds % 60)];
    let from = units.iter().position(|(_, count)| *count > 0).unwrap_or(units.len() - 1);
    let largest = units.iter().skip(from).take(2).filter(|(_, count)| *count > 0);
    let text: Vec<String> = largest.map(|(unit, count)| format!("{count} {unit}")).collect();
    if text.is_empty() { "under a second".to_owned() } else { text.join(" ") }
}

/// Formats the value of an indicator with its unit.
pub(super) fn with_unit(value: f64, unit: &str) -> String {
    match unit {
        "" => number(value),
        "$" => format!("${}", dollars(value)),
        unit => format!("{} {unit}", number(value)),
    }
}

fn dollars(value: f64) -> String {
    if value >= 10.0 || value.fract() == 0.0 { number(value) } else { format!("{value:.3}") }
}

/// Describes the target of an indicator.
pub(super) fn aim(indicator: &Indicator) -> Option<String> {
    let target = with_unit(indicator.target?, indicator.unit);
    Some(format!("{} {target}", if indicator.is_minimum { "at least" } else { "at most" }))
}

/// Returns the verdict on all indicators.
pub(super) fn verdict(indicators: &[Indicator]) -> Verdict {
    let judged = indicators.iter().filter(|indicator| indicator.met.is_some()).count();
    let missed: Vec<&Indicator> = indicators.iter().filter(|indicator| indicator.met == Some(false)).collect();
    let sentence = match missed.len() {
        0 => format!("All {judged} targets are met."),
        1 => format!("1 of {judged} targets is missed."),
        count => format!("{count} of {judged} targets are missed."),
    };
    let detail = |indicator: &&Indicator| {
        let value = with_unit(indicator.value, indicator.unit);
        format!("{}: {value}, and the target is {}", capital(indicator.name), aim(indicator).unwrap_or_default())
    };
    Verdict { met: Some(missed.is_empty()), sentence, details: missed.iter().map(detail).collect() }
}

impl LogReport<'_> {
    /// Returns a tile for each key indicator, with its values over time.
    pub(super) fn tiles(&self, stretches: &[Stretch]) -> Vec<Tile> {
        let over_time: Vec<Vec<Indicator>> = stretches
            .iter()
            .map(|stretch| stretch.totals.as_ref().map_or_else(Vec::new, |totals| self.indicators_of(totals)))
            .collect();
        let tile = |indicator: &Indicator| {
            let rate = match indicator.name {
                "messages a second" => Some("MessagesReceived"),
                "invocations a second" => Some(""),
                _ => None,
            };
            let course = stretches.iter().zip(&over_time).map(|(stretch, indicators)| match rate {
                Some("") => Some(stretch.rate(Totals::invocations)),
                Some(metric) => Some(stretch.rate(|totals| totals.sum(metric))),
                None => indicators.iter().find(|other| other.name == indicator.name).map(|other| other.value),
            });
            let value = match indicator.unit {
                "$" => (format!("${}", dollars(indicator.value)), String::new()),
                unit => (number(indicator.value), unit.to_owned()),
            };
            Tile {
                name: capital(indicator.name),
                value,
                target: aim(indicator),
                met: indicator.met,
                over_time: course.collect(),
            }
        };
        self.indicators.iter().map(tile).collect()
    }

    fn indicators_of(&self, totals: &Totals) -> Vec<Indicator> {
        let cost = self.cost_of(totals);
        indicators(totals, &self.targets, &cost)
    }

    fn cost_of(&self, totals: &Totals) -> LoggedCost {
        LoggedCost::of(totals, self.memory_mb, self.arm, self.prices)
    }

    fn part(&self) -> Part {
        let (stretches, width_ms) = self.history.stretches(MAX_POINTS);
        let charts = Charts { stretches: &stretches, width_ms };
        Part {
            title: None,
            verdict: verdict(&self.indicators),
            tiles: self.tiles(&stretches),
            sections: vec![
                section(
                    "Traffic",
                    vec![Block::Charts(vec![
                        charts.outcomes(&self.history.all),
                        charts.rate("Invocations", "a second", Totals::invocations),
                        charts.rate("Write units", "a second", |totals| totals.sum("ConsumedWriteUnits")),
                    ])],
                ),
                section(
                    "Latency",
                    vec![Block::Charts(vec![
                        charts.percentiles(
                            "End to end: from sending to the response",
                            "EndToEndLatency",
                            Some(self.targets.end_to_end_p95_ms),
                        ),
                        charts.percentiles(
                            "Delivery: from sending to the handler's start",
                            "DeliveryLatency",
                            Some(self.targets.delivery_p95_ms),
                        ),
                    ])],
                ),
                section(
                    "Where the time goes",
                    vec![
                        self.time(),
                        Block::Charts(vec![
                            charts.percentiles("An invocation", "HandlerTime", None),
                            charts.percentiles("A call to DynamoDB", "WriteLatency", None),
                        ]),
                    ],
                ),
                self.failures(&charts),
                section("Cost", vec![self.price(), Block::Charts(vec![self.cost_over_time(&charts)])]),
                self.figures(),
            ],
        }
    }

    fn time(&self) -> Block {
        let Shares { decoding_percent, database_percent, rest_percent } = Shares::of(&self.history.all);
        let mean = self.history.all.distribution("HandlerTime").map_or(0.0, Distribution::mean);
        let part = |percent: f64| (percent, format!("{} ms", number(mean * percent / 100.0)));
        Block::Shares(pages::Shares {
            title: "Time of an invocation, on average".to_owned(),
            parts: [("decoding", Colour::Blue), ("database", Colour::Orange), ("the rest", Colour::Grey)]
                .map(|(name, colour)| (name.to_owned(), colour))
                .to_vec(),
            rows: vec![Share {
                name: (String::new(), format!("{} ms", number(mean))),
                parts: [decoding_percent, database_percent, rest_percent].map(part).to_vec(),
            }],
        })
    }

    /// Returns a section with failures and throttles, or with a statement that there were none.
    fn failures(&self, charts: &Charts<'_>) -> Section {
        let all = &self.history.all;
        let mut blocks = Vec::new();
        let failed =
            ["MessagesReturned", "MessagesQuarantined", "MessagesRejected"].iter().any(|name| all.sum(name) > 0.0);
        let throttled: Vec<(&str, &'static str)> =
            THROTTLED_BY.into_iter().zip(THROTTLES).filter(|(_, metric)| all.sum(metric) > 0.0).collect();
        let mut shown = Vec::new();
        if failed {
            let failures = OUTCOMES
                .into_iter()
                .filter(|(name, metric, _)| ["quarantined", "returned"].contains(name) && all.sum(metric) > 0.0);
            shown.push(charts.stack("Messages that were not stored", "messages a second", failures.collect()));
        } else {
            blocks.push(Block::Nothing("No message was returned, quarantined or rejected in this period.".to_owned()));
        }
        if throttled.is_empty() {
            blocks.push(Block::Nothing("No write was throttled in this period.".to_owned()));
        } else {
            let causes =
                throttled.into_iter().zip(Colour::SERIES).map(|((name, metric), colour)| (name, metric, colour));
            shown.push(charts.stack("Throttled writes by cause", "a second", causes.collect()));
        }
        blocks.push(Block::Charts(shown));
        let reasons = by_dimension(all, "Reason");
        if !reasons.is_empty() {
            blocks.push(counts("Rejected messages", ["reason", "messages"], reasons));
        }
        section("Failures and throttles", blocks)
    }

    fn price(&self) -> Block {
        let LoggedCost { sqs, lambda, dynamodb, cloudwatch, total } = self.cost;
        Block::Shares(pages::Shares {
            title: "A million messages, by service".to_owned(),
            parts: SERVICES.map(|(name, colour, _)| (name.to_owned(), colour)).to_vec(),
            rows: vec![Share {
                name: (String::new(), format!("${}", dollars(total))),
                parts: [dynamodb, sqs, lambda, cloudwatch].map(|part| (part, format!("${}", dollars(part)))).to_vec(),
            }],
        })
    }

    fn cost_over_time(&self, charts: &Charts<'_>) -> Chart {
        let series = SERVICES.map(|(name, colour, of)| {
            let cost = |totals: &Totals| {
                let cost = self.cost_of(totals);
                (totals.sum("MessagesReceived") > 0.0).then(|| of(&cost))
            };
            Series::stacked(name, colour, charts.values(cost))
        });
        charts.chart(
            "A million messages",
            "dollars, by what each stretch of time received",
            Scale::Linear,
            series.to_vec(),
        )
    }

    fn figures(&self) -> Section {
        let all = &self.history.all;
        let row = |(name, summary): (&str, DistributionSummary)| {
            let DistributionSummary { mean, p50, p95, p99, most } = summary;
            std::iter::once(name.to_owned()).chain([mean, p50, p95, p99, most].map(number)).collect()
        };
        let distributions = Table {
            name: "distributions".to_owned(),
            head: ["metric", "mean", "P50", "P95", "P99", "largest"].map(str::to_owned).to_vec(),
            rows: summaries(all).into_iter().map(row).collect(),
        };
        let sums = COUNTS.iter().chain(&THROTTLES).map(|name| ((*name).to_owned(), all.sum(name)));
        let mut blocks = vec![
            Block::Text("Times are in milliseconds. A metric that no line has counts as 0 and is left out.".to_owned()),
            Block::Table(distributions),
            counts("Counts", ["metric", "sum"], sums.filter(|(_, sum)| *sum > 0.0).collect()),
        ];
        let schemas = by_dimension(all, "Schema");
        if !schemas.is_empty() {
            blocks.push(counts("Records by schema", ["schema", "records"], schemas));
        }
        section("All figures", blocks)
    }
}

/// A service's name, colour and share of the cost.
type Service = (&'static str, Colour, fn(&LoggedCost) -> f64);
const SERVICES: [Service; 4] = [
    ("DynamoDB", Colour::Blue, |cost| cost.dynamodb),
    ("SQS", Colour::Orange, |cost| cost.sqs),
    ("Lambda", Colour::Green, |cost| cost.lambda),
    ("logs and metrics", Colour::Purple, |cost| cost.cloudwatch),
];

fn section(title: &str, blocks: Vec<Block>) -> Section {
    Section { title: title.to_owned(), blocks }
}

fn counts(name: &str, head: [&str; 2], counts: Vec<(String, f64)>) -> Block {
    let rows = counts.into_iter().map(|(name, count)| vec![name, number(count)]).collect();
    Block::Table(Table { name: name.to_owned(), head: head.map(str::to_owned).to_vec(), rows })
}

/// Charts over time.
struct Charts<'a> {
    stretches: &'a [Stretch],
    width_ms: u64,
}

impl Charts<'_> {
    fn chart(&self, title: &str, unit: &str, scale: Scale, series: Vec<Series>) -> Chart {
        let starts_ms = self.stretches.iter().map(|stretch| stretch.start_ms).collect();
        Chart {
            title: title.to_owned(),
            unit: unit.to_owned(),
            across: Across::Time { starts_ms, width_ms: self.width_ms },
            scale,
            series,
            target: None,
            note: None,
        }
    }

    fn values(&self, of: impl Fn(&Totals) -> Option<f64>) -> Vec<Option<f64>> {
        self.stretches.iter().map(|stretch| of(stretch.totals.as_ref()?)).collect()
    }

    fn rates(&self, of: impl Fn(&Totals) -> f64) -> Vec<Option<f64>> {
        self.stretches.iter().map(|stretch| Some(stretch.rate(&of))).collect()
    }

    fn rate(&self, title: &str, unit: &str, of: impl Fn(&Totals) -> f64) -> Chart {
        let series = Series { name: title.to_lowercase(), colour: Colour::Blue, drawn: Drawn::Area(self.rates(of)) };
        self.chart(title, unit, Scale::Linear, vec![series])
    }

    fn stack(&self, title: &str, unit: &str, layers: Vec<(&str, &'static str, Colour)>) -> Chart {
        let layer = |(name, metric, colour): (&str, &'static str, Colour)| {
            Series::stacked(name, colour, self.rates(|totals| totals.sum(metric)))
        };
        self.chart(title, unit, Scale::Linear, layers.into_iter().map(layer).collect())
    }

    /// Returns a chart of messages by outcome. Leaves out outcomes that did not occur.
    fn outcomes(&self, all: &Totals) -> Chart {
        let present: Vec<_> = OUTCOMES.into_iter().filter(|(_, metric, _)| all.sum(metric) > 0.0).collect();
        if let [(name, metric, colour)] = present[..] {
            let drawn = Drawn::Area(self.rates(|totals| totals.sum(metric)));
            let series = vec![Series { name: name.to_owned(), colour, drawn }];
            return self.chart("Messages", "a second", Scale::Linear, series);
        }
        self.stack("Messages by outcome", "a second", present)
    }

    /// Returns a chart with P50 to P99 as a band, and P95 as a line.
    fn percentiles(&self, title: &str, metric: &str, target: Option<f64>) -> Chart {
        let percentile = |share: f64| self.values(|totals| Some(totals.distribution(metric)?.percentile(share)));
        let band = Drawn::Band { low: ("P50".to_owned(), percentile(0.5)), high: ("P99".to_owned(), percentile(0.99)) };
        let series = vec![
            Series { name: "P50 to P99".to_owned(), colour: Colour::Blue, drawn: band },
            Series::line("P95", Colour::Blue, percentile(0.95)),
        ];
        let target = target.map(|target| (target, format!("target of P95, {} ms", number(target))));
        Chart { target, ..self.chart(title, "milliseconds", Scale::Fitting, series) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_said_in_its_two_largest_units() {
        let texts = [0, 999, 59_000, 3_600_000, 90_061_000, 604_800_000].map(length);
        assert_eq!(texts, ["under a second", "under a second", "59 s", "1 h", "1 d 1 h", "7 d"]);
    }

    #[test]
    fn a_verdict_names_what_is_missed_with_its_figure_and_its_target() {
        let indicator = |met| Indicator {
            name: "end-to-end P95",
            value: 130.0,
            unit: "ms",
            target: Some(100.0),
            met,
            is_minimum: false,
        };
        let missed = verdict(&[indicator(Some(false)), indicator(Some(true)), indicator(None)]);
        assert_eq!((missed.met, missed.sentence.as_str()), (Some(false), "1 of 2 targets is missed."));
        assert_eq!(missed.details, ["End-to-end P95: 130 ms, and the target is at most 100 ms"]);
        let met = verdict(&[indicator(Some(true))]);
        assert_eq!((met.met, met.sentence.as_str(), met.details.len()), (Some(true), "All 1 targets are met.", 0));
    }
}
