//! A report as text and as JSON.

use super::indicators::{
    COUNTS, DistributionSummary, Indicator, LoggedCost, Shares, THROTTLES, Targets, by_dimension, indicators, summaries,
};
use super::totals::{Histories, History};
use crate::prices::Prices;
use crate::table;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;

/// The reports of all functions.
pub(crate) struct LogReports<'a> {
    pub(super) functions: Vec<(&'a str, LogReport<'a>)>,
    pub(super) other_lines: u64,
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

    /// Returns the report if there is only one function, and otherwise a map `functions` from name to report.
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
}

impl fmt::Display for LogReports<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [(_, report)] = &self.functions[..] {
            return report.fmt(f);
        }
        self.functions.iter().try_for_each(|(name, report)| writeln!(f, "function {name}\n\n{report}"))
    }
}

/// The report of one function.
pub(crate) struct LogReport<'a> {
    pub(super) history: &'a History,
    pub(super) targets: Targets,
    pub(super) memory_mb: u32,
    pub(super) arm: bool,
    pub(super) prices: &'a Prices,
    pub(super) cost: LoggedCost,
    pub(super) indicators: Vec<Indicator>,
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
}

impl fmt::Display for LogReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = &self.history.all;
        let mut table = table::with_headings(&["indicator", "is", "target", ""]);
        for Indicator { name, value, unit, target, met, .. } in &self.indicators {
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

        let mut table = table::with_headings(&["", "mean", "P50", "P95", "P99", "most"]);
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

/// Formats a count as an integer, and any other number with three digits.
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
