//! A report as text, as JSON, and as a page.

use super::indicators::{
    COUNTS, DistributionSummary, Indicator, LoggedCost, Shares, THROTTLES, Targets, by_dimension, indicators, summaries,
};
use super::totals::{Histories, History, Totals};
use crate::page;
use crate::plot::Plot;
use crate::prices::Prices;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;

/// A report for each function.
pub(crate) struct LogReports<'a> {
    functions: Vec<(&'a str, LogReport<'a>)>,
    other_lines: u64,
}

impl<'a> LogReports<'a> {
    pub(crate) fn new(
        histories: &'a Histories,
        targets: Targets,
        memory_mb: u32,
        arm: bool,
        prices: &'a Prices,
    ) -> Self {
        let report = |history| LogReport::new(history, targets, memory_mb, arm, prices);
        let functions = histories.functions.iter().map(|(name, history)| (name.as_str(), report(history)));
        Self { functions: functions.collect(), other_lines: histories.other_lines }
    }

    pub(crate) fn all_met(&self) -> bool {
        self.functions.iter().all(|(_, report)| report.all_met())
    }

    /// The report of the only function, or one for each in `functions`.
    pub(crate) fn json(&self) -> Value {
        let mut json = match &self.functions[..] {
            [(_, report)] => report.json(),
            several => {
                let functions: BTreeMap<&str, Value> =
                    several.iter().map(|(name, report)| (*name, report.json())).collect();
                json!({"functions": functions, "met": self.all_met()})
            }
        };
        if let Some(json) = json.as_object_mut() {
            json.insert("lines_without_metrics".to_owned(), json!(self.other_lines));
        }
        json
    }

    /// A page with plots over time.
    pub(crate) fn page(&self) -> Result<String, Box<dyn Error>> {
        let mut plots = Vec::new();
        for (_, report) in &self.functions {
            plots.extend(report.plots()?);
        }
        Ok(page::page("ingest report", &self.to_string(), plots.iter().map(String::as_str)))
    }
}

impl fmt::Display for LogReports<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [(_, report)] = &self.functions[..] {
            return report.fmt(f);
        }
        self.functions.iter().try_for_each(|(name, report)| writeln!(f, "function {name}\n\n{report}"))
    }
}

/// Everything that the lines of metrics of one function say.
pub(crate) struct LogReport<'a> {
    history: &'a History,
    targets: Targets,
    memory_mb: u32,
    arm: bool,
    prices: &'a Prices,
    cost: LoggedCost,
    indicators: Vec<Indicator>,
}

impl<'a> LogReport<'a> {
    pub(crate) fn new(history: &'a History, targets: Targets, memory_mb: u32, arm: bool, prices: &'a Prices) -> Self {
        let cost = LoggedCost::of(&history.all, memory_mb, arm, prices);
        let indicators = indicators(&history.all, &targets, &cost);
        Self { history, targets, memory_mb, arm, prices, cost, indicators }
    }

    pub(crate) fn all_met(&self) -> bool {
        self.indicators.iter().all(|indicator| indicator.met != Some(false))
    }

    pub(crate) fn json(&self) -> Value {
        let all = &self.history.all;
        let sums = |names: &[&'static str]| names.iter().map(|name| (*name, all.sum(name))).collect::<BTreeMap<_, _>>();
        let dimension = |name| by_dimension(all, name).into_iter().collect::<BTreeMap<_, _>>();
        json!({
            "seconds": all.seconds(),
            "indicators": self.indicators,
            "met": self.all_met(),
            "distributions": summaries(all).into_iter().collect::<BTreeMap<_, _>>(),
            "shares_of_the_handler": Shares::of(all),
            "counts": sums(&COUNTS),
            "throttles": sums(&THROTTLES),
            "rejected_by_reason": dimension("Reason"),
            "records_by_schema": dimension("Schema"),
            "dollars_per_million_messages": self.cost,
        })
    }

    fn plots(&self) -> Result<Vec<String>, Box<dyn Error>> {
        let seconds = self.history.width_ms as f64 / 1e3;
        let first = self.history.buckets.keys().next().copied().unwrap_or_default();
        let length = self.history.buckets.keys().next_back().copied().unwrap_or_default() - first;
        let (unit, x) = match length {
            0..600_000 => (1e3, "seconds"),
            600_000..36_000_000 => (60e3, "minutes"),
            _ => (3_600e3, "hours"),
        };
        let line = |name: &str, of: &dyn Fn(&Totals) -> Option<f64>| {
            let points = self.history.buckets.iter();
            let points = points.filter_map(|(start, totals)| Some(((start - first) as f64 / unit, of(totals)?)));
            (name.to_owned(), points.collect())
        };
        let rate = |name: &str, metric: &'static str| line(name, &|totals| Some(totals.sum(metric) / seconds));
        let percentile = |name: &str, metric: &'static str, share: f64| {
            // a logarithmic axis has no zero
            line(name, &|totals| Some(totals.distribution(metric)?.percentile(share).max(0.01)))
        };
        let plot = |title, y, logarithmic, target, lines| {
            Plot { title, x, y, logarithmic: (false, logarithmic), target, lines }.svg()
        };
        let three = |metric| {
            [("P50", 0.5), ("P95", 0.95), ("P99", 0.99)].map(|(name, share)| percentile(name, metric, share)).to_vec()
        };
        let cost = |totals: &Totals| Some(LoggedCost::of(totals, self.memory_mb, self.arm, self.prices).total);
        let target = Some(self.targets.end_to_end_p95_ms);
        Ok(vec![
            plot(
                "Messages",
                "messages a second",
                false,
                None,
                vec![
                    rate("received", "MessagesReceived"),
                    rate("stored", "MessagesStored"),
                    rate("returned", "MessagesReturned"),
                    rate("rejected", "MessagesRejected"),
                ],
            )?,
            plot("End-to-end latency", "milliseconds", true, target, three("EndToEndLatency"))?,
            plot("Delivery latency", "milliseconds", true, None, three("DeliveryLatency"))?,
            plot("Time of an invocation", "milliseconds", true, None, three("HandlerTime"))?,
            plot("Time of a write call", "milliseconds", true, None, three("WriteLatency"))?,
            plot("Throttles", "a second", false, None, THROTTLES.map(|name| rate(name, name)).to_vec())?,
            plot("Write units", "a second", false, None, vec![rate("consumed", "ConsumedWriteUnits")])?,
            plot("Cost of a million messages", "dollars", false, None, vec![line("all", &cost)])?,
        ])
    }
}

impl fmt::Display for LogReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = &self.history.all;
        let mut table = page::table(&["indicator", "is", "target", ""]);
        for Indicator { name, value, unit, target, met } in &self.indicators {
            let verdict = match met {
                Some(true) => "met",
                Some(false) => "MISSED",
                None => "",
            };
            let number = |value: f64| format!("{} {unit}", short(value));
            table.add_row([
                (*name).to_owned(),
                number(*value),
                target.map(number).unwrap_or_default(),
                verdict.to_owned(),
            ]);
        }
        writeln!(f, "{table}\n")?;

        let mut table = page::table(&["", "mean", "P50", "P95", "P99", "most"]);
        for (name, DistributionSummary { mean, p50, p95, p99, most }) in summaries(all) {
            let cells = [mean, p50, p95, p99, most].map(short);
            table.add_row(std::iter::once(name.to_owned()).chain(cells));
        }
        writeln!(f, "{table}\n")?;

        let Shares { decoding_percent, database_percent, rest_percent } = Shares::of(all);
        writeln!(
            f,
            "time of the handler   decoding {decoding_percent:.1} %, database {database_percent:.1} %, \
             the rest {rest_percent:.1} %"
        )?;
        let LoggedCost { sqs, lambda, dynamodb, cloudwatch, .. } = self.cost;
        writeln!(
            f,
            "dollars a million     SQS {sqs:.3}, Lambda {lambda:.3}, DynamoDB {dynamodb:.3}, logs and metrics {cloudwatch:.3} (estimate, {}, {} MB)",
            self.prices.region, self.memory_mb
        )?;
        let mut list = |title: &str, values: Vec<(String, f64)>| {
            let values: Vec<String> = values.iter().map(|(name, value)| format!("{name} {}", short(*value))).collect();
            if values.is_empty() { Ok(()) } else { writeln!(f, "{title:<21} {}", values.join(", ")) }
        };
        let present = |names: &[&str]| -> Vec<(String, f64)> {
            names.iter().map(|name| ((*name).to_owned(), all.sum(name))).filter(|(_, sum)| *sum > 0.0).collect()
        };
        list("counts", present(&COUNTS))?;
        list("throttles", present(&THROTTLES))?;
        list("rejected", by_dimension(all, "Reason"))?;
        list("records", by_dimension(all, "Schema"))
    }
}

/// A count whole, and anything else with three digits.
fn short(value: f64) -> String {
    let decimals = match value.abs() {
        _ if value.fract() == 0.0 => 0,
        size if size >= 1_000.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 0.1 => 2,
        _ => 4,
    };
    format!("{value:.decimals$}")
}
