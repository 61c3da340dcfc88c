//! A plan as text and as JSON.

use super::checks::{PlanCheck, quotas};
use super::planner::{Plan, Planner, Steady};
use crate::table;
use serde_json::{Value, json};
use simulation::deployment::Deployment;
use simulation::outcome::SimulationOutcome;
use simulation::scaling::Scaling;
use std::fmt;

/// A plan with its input.
pub(crate) struct PlanReport<'a> {
    pub(crate) planner: &'a Planner<'a>,
    pub(crate) plan: &'a Plan,
    pub(crate) day: Option<&'a SimulationOutcome>,
}

impl PlanReport<'_> {
    pub(super) fn parameter_line(&self) -> String {
        let parameters: Vec<String> =
            self.plan.deployment.parameters().into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        if parameters.is_empty() {
            "sam deploy".to_owned()
        } else {
            format!("sam deploy --parameter-overrides {}", parameters.join(" "))
        }
    }

    /// Returns the first check that is not met, or else the check nearest to its limit.
    pub(super) fn binding(&self) -> Option<&PlanCheck> {
        let load = |check: &&PlanCheck| check.unit != "%" || !check.name.starts_with("delivered");
        let nearness = |check: &&PlanCheck| check.value / check.limit;
        let near = self.plan.checks.iter().filter(load).max_by(|one, other| nearness(one).total_cmp(&nearness(other)));
        self.plan.checks.iter().find(|check| !check.met).or(near)
    }

    pub(super) fn steady(&self) -> impl Iterator<Item = (&'static str, &Steady)> {
        [("rate", Some(&self.plan.at_rate)), ("peak", self.plan.at_peak.as_ref())]
            .into_iter()
            .filter_map(|(name, steady)| Some((name, steady?)))
    }

    /// Returns a table row for each figure of the steady loads.
    pub(super) fn rows(&self) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        let mut row = |name: &str, of: &dyn Fn(&Steady) -> String| {
            let cells = self.steady().map(|(_, steady)| of(steady));
            rows.push(std::iter::once(name.to_owned()).chain(cells).collect());
        };
        row("records a second", &|steady| format!("{:.0}", steady.rate));
        row("delivery P50 / P95 / P99, ms", &|steady| percentiles(steady.outcome.delivery));
        row("end-to-end P50 / P95 / P99, ms", &|steady| percentiles(steady.outcome.end_to_end));
        row("messages an invocation", &|steady| format!("{:.1}", steady.outcome.messages_per_invocation()));
        row("invocations a second", &|steady| {
            format!("{:.0}", steady.outcome.invocations as f64 / steady.outcome.seconds)
        });
        row("invocations under way", &|steady| {
            format!("{:.0}", steady.outcome.invocation_seconds / steady.outcome.seconds)
        });
        let readers = match self.plan.deployment.scaling {
            Scaling::Standard { .. } => "processes that read the queue",
            Scaling::Pollers { .. } => "pollers",
        };
        row(readers, &|steady| steady.outcome.most_pollers.to_string());
        row("messages in flight, mean / most", &|steady| {
            format!("{:.0} / {}", steady.outcome.mean_in_flight, steady.outcome.most_in_flight)
        });
        row("throttled writes", &|steady| steady.outcome.throttles.to_string());
        row("dollars for a million records", &|steady| format!("{:.3}", steady.cost.total));
        type Part = (&'static str, fn(&super::cost::Cost) -> f64);
        let parts: [Part; 6] = [
            ("  SQS", |cost| cost.sqs),
            ("  Lambda", |cost| cost.lambda),
            ("  pollers", |cost| cost.pollers),
            ("  DynamoDB", |cost| cost.dynamodb),
            ("  logs", |cost| cost.logs),
            ("  metrics", |cost| cost.metrics),
        ];
        for (name, part) in parts {
            row(name, &|steady| format!("{:.3}", part(&steady.cost)));
        }
        rows
    }

    pub(crate) fn json(&self) -> Value {
        let steady = |steady: &Steady| {
            let Steady { rate, outcome, cost } = steady;
            json!({
                "records_per_second": rate,
                "delivery": outcome.delivery,
                "end_to_end": outcome.end_to_end,
                "messages_per_invocation": outcome.messages_per_invocation(),
                "invocations_per_second": outcome.invocations as f64 / outcome.seconds,
                "concurrent_invocations": outcome.invocation_seconds / outcome.seconds,
                "messages_in_flight": {"mean": outcome.mean_in_flight, "most": outcome.most_in_flight},
                "pollers": outcome.most_pollers,
                "cold_starts": outcome.cold_starts,
                "throttles": outcome.throttles,
                "returned": outcome.returned,
                "dead_lettered": outcome.dead_lettered,
                "dollars_per_million_records": cost,
            })
        };
        let Plan { deployment, table_units, at_rate, at_peak, burst, checks, .. } = self.plan;
        json!({
            "requirements": self.planner.requirements,
            "times": self.planner.service.source,
            "prices": {"region": self.planner.prices.region, "date": self.planner.prices.date},
            "seed": self.planner.seed,
            "deployment": deployment,
            "parameters": deployment.parameters().into_iter().collect::<std::collections::BTreeMap<_, _>>(),
            "command": self.parameter_line(),
            "table_write_units": table_units,
            "at_rate": steady(at_rate),
            "at_peak": at_peak.as_ref().map(steady),
            "burst": burst.as_ref().map(|burst| json!({
                "caught_up_after_seconds": burst.caught_up_after,
                "worst_end_to_end_p95_ms": burst.worst_p95_ms,
                "most_messages_waiting": burst.most_waiting,
            })),
            "checks": checks,
            "binding": self.binding().map(|check| check.name),
            "holds": checks.iter().all(|check| check.met),
            "quotas": quotas(self.planner, deployment),
            "day": self.day.map(|day| &day.series),
        })
    }
}

impl fmt::Display for PlanReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { deployment, burst, checks, .. } = self.plan;
        let requirements = &self.planner.requirements;
        writeln!(f, "times     {}", self.planner.service.source)?;
        writeln!(f, "prices    {}, {}", self.planner.prices.region, self.planner.prices.date)?;
        let mode = match deployment.scaling {
            Scaling::Standard { max_instances } => format!("standard mode, {max_instances} instances at most"),
            Scaling::Pollers { minimum, maximum } => format!("{minimum} to {maximum} pollers"),
        };
        let Deployment { batch_size, window_seconds, memory_mb, .. } = deployment;
        let packed = requirements.records_per_message;
        writeln!(
            f,
            "plan      {mode}; batches of {batch_size}, window {window_seconds} s; {memory_mb} MB; {packed} record(s) a message\n"
        )?;

        let headings: Vec<&str> = std::iter::once("").chain(self.steady().map(|(name, _)| name)).collect();
        let mut table = table::with_headings(&headings);
        self.rows().into_iter().for_each(|row| {
            table.add_row(row);
        });
        writeln!(f, "{table}\n")?;

        let mut table = table::with_headings(&["check", "is", "limit", ""]);
        for check in checks {
            let verdict = if check.met { "holds" } else { "DOES NOT HOLD" };
            let number = |value: f64| format!("{} {}", significant(value), check.unit);
            table.add_row([check.name.to_owned(), number(check.value), number(check.limit), verdict.to_owned()]);
        }
        writeln!(f, "{table}\n")?;
        if let Some(burst) = burst {
            let caught_up = match burst.caught_up_after {
                Some(0) => "nothing piles up".to_owned(),
                Some(seconds) => format!("the backlog is gone after {seconds} s"),
                None => "the backlog is not gone after ten minutes".to_owned(),
            };
            writeln!(
                f,
                "from the rate to the peak at once: {caught_up}; {} messages wait at most; P95 at worst {:.0} ms",
                burst.most_waiting, burst.worst_p95_ms
            )?;
        }
        if let Some(check) = self.binding() {
            writeln!(f, "what binds: {}", check.name)?;
        }
        for check in checks {
            if let Some(change) = &check.change {
                writeln!(f, "cannot be had: {}: {change}", check.name)?;
            }
        }
        for quota in quotas(self.planner, deployment) {
            writeln!(f, "ask Service Quotas for: {quota}")?;
        }
        if requirements.overhead_ms == 0.0 {
            writeln!(f, "not counted: what SQS and Lambda themselves take for a message; see --overhead")?;
        }
        writeln!(f, "\n{}", self.parameter_line())
    }
}

fn percentiles(of: simulation::outcome::Percentiles) -> String {
    // the simulation has a resolution of one millisecond
    let one = |value: f64| if value < 1.0 { "<1".to_owned() } else { significant(value) };
    format!("{} / {} / {}", one(of.p50_ms), one(of.p95_ms), one(of.p99_ms))
}

/// Formats a number with three significant digits, and with all digits before the decimal point.
fn significant(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 99.95 => usize::from(value.fract() != 0.0 && size < 1_000.0),
        size if size >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}
