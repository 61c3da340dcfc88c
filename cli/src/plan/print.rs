//! A plan as text, as JSON, and as plots.

use super::checks::{PlanCheck, quotas};
use super::planner::{CHOOSING, Plan, Planner, Steady};
use crate::page;
use crate::plot::Plot;
use serde_json::{Value, json};
use simulation::deployment::Deployment;
use simulation::limits::MAX_BATCH_WITHOUT_WINDOW;
use simulation::outcome::{Point, SimulationOutcome};
use simulation::scaling::Scaling;
use std::error::Error;
use std::fmt;

/// A plan with what it was made from.
pub(crate) struct PlanReport<'a> {
    pub(crate) planner: &'a Planner<'a>,
    pub(crate) plan: &'a Plan,
    pub(crate) day: Option<&'a SimulationOutcome>,
}

/// Shares of the peak, and batch sizes, that are plotted.
const SHARES: [f64; 8] = [0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0, 1.15];
const BATCH_SIZES: [u32; 8] = [1, 2, 5, 10, 50, 100, 500, 1_000];

impl PlanReport<'_> {
    fn parameter_line(&self) -> String {
        let parameters: Vec<String> =
            self.plan.deployment.parameters().into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        if parameters.is_empty() {
            "sam deploy".to_owned()
        } else {
            format!("sam deploy --parameter-overrides {}", parameters.join(" "))
        }
    }

    /// The check that is not met, or else the one nearest to its limit.
    fn binding(&self) -> Option<&PlanCheck> {
        let load = |check: &&PlanCheck| check.unit != "%" || !check.name.starts_with("delivered");
        let nearness = |check: &&PlanCheck| check.value / check.limit;
        let near = self.plan.checks.iter().filter(load).max_by(|one, other| nearness(one).total_cmp(&nearness(other)));
        self.plan.checks.iter().find(|check| !check.met).or(near)
    }

    fn steady(&self) -> impl Iterator<Item = (&'static str, &Steady)> {
        [("rate", Some(&self.plan.at_rate)), ("peak", self.plan.at_peak.as_ref())]
            .into_iter()
            .filter_map(|(name, steady)| Some((name, steady?)))
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
        let Plan { deployment, table_units, at_rate, at_peak, burst, checks } = self.plan;
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

    /// Every plot with its name.
    pub(crate) fn plots(&self) -> Result<Vec<(&'static str, String)>, Box<dyn Error>> {
        let Self { planner, plan, day } = self;
        let requirements = &planner.requirements;
        let by_rate: Vec<Steady> =
            SHARES.iter().map(|share| planner.steady(&plan.deployment, share * requirements.peak, CHOOSING)).collect();
        let by_batch: Vec<(f64, Steady)> = BATCH_SIZES
            .iter()
            .filter(|_| planner.service.knows_sizes())
            .map(|&batch_size| {
                let window_seconds = u32::from(batch_size > MAX_BATCH_WITHOUT_WINDOW);
                let deployment = Deployment { batch_size, window_seconds, ..plan.deployment.clone() };
                (f64::from(batch_size), planner.steady(&deployment, requirements.rate, CHOOSING))
            })
            .collect();
        let at = |steady: &Steady| steady.rate;
        let rates: Vec<(f64, &Steady)> = by_rate.iter().map(|steady| (at(steady), steady)).collect();
        let batches: Vec<(f64, &Steady)> = by_batch.iter().map(|(batch, steady)| (*batch, steady)).collect();
        let target = Some(requirements.end_to_end_target_ms);
        let (rate, batch) = ("records a second", "BatchSize");
        let mut plots = vec![
            ("latency-by-rate", latency("End-to-end latency by load", (rate, false), &rates, target)?),
            ("cost-by-rate", cost("Dollars for a million records by load", (rate, false), &rates)?),
        ];
        if !batches.is_empty() {
            plots.push((
                "latency-by-batch",
                latency("End-to-end latency by batch size", (batch, true), &batches, target)?,
            ));
            plots
                .push(("cost-by-batch", cost("Dollars for a million records by batch size", (batch, true), &batches)?));
        }
        if let Some(burst) = &plan.burst {
            plots.extend(over_time(
                "burst",
                "From the rate to the peak",
                "seconds",
                1.0,
                &burst.outcome.series,
                target,
            )?);
        }
        if let Some(day) = day {
            plots.extend(over_time("day", "A day", "hours", 3_600.0, &day.series, target)?);
        }
        Ok(plots)
    }

    /// A page with everything.
    pub(crate) fn page(&self, plots: &[(&'static str, String)]) -> String {
        page::page("ingest plan", &self.to_string(), plots.iter().map(|(_, svg)| svg.as_str()))
    }
}

fn latency(
    title: &str,
    (x, logarithmic): (&str, bool),
    points: &[(f64, &Steady)],
    target: Option<f64>,
) -> Result<String, Box<dyn Error>> {
    let line = |of: fn(&SimulationOutcome) -> f64| {
        points.iter().map(|(x, steady)| (*x, of(&steady.outcome).max(0.1))).collect()
    };
    let lines = vec![
        ("P50".to_owned(), line(|outcome| outcome.end_to_end.p50_ms)),
        ("P95".to_owned(), line(|outcome| outcome.end_to_end.p95_ms)),
        ("P99".to_owned(), line(|outcome| outcome.end_to_end.p99_ms)),
    ];
    Plot { title, x, y: "milliseconds", logarithmic: (logarithmic, true), target, lines }.svg()
}

fn cost(title: &str, (x, logarithmic): (&str, bool), points: &[(f64, &Steady)]) -> Result<String, Box<dyn Error>> {
    let line = |of: fn(&Steady) -> f64| points.iter().map(|(x, steady)| (*x, of(steady))).collect();
    let lines = vec![
        ("all".to_owned(), line(|steady| steady.cost.total)),
        ("DynamoDB".to_owned(), line(|steady| steady.cost.dynamodb)),
        ("Lambda".to_owned(), line(|steady| steady.cost.lambda + steady.cost.pollers)),
        ("SQS".to_owned(), line(|steady| steady.cost.sqs)),
        ("logs and metrics".to_owned(), line(|steady| steady.cost.logs + steady.cost.metrics)),
    ];
    Plot { title, x, y: "dollars", logarithmic: (logarithmic, false), target: None, lines }.svg()
}

/// Load, readers and latency over time.
fn over_time(
    name: &'static str,
    title: &str,
    x: &str,
    unit_seconds: f64,
    series: &[Point],
    target: Option<f64>,
) -> Result<Vec<(&'static str, String)>, Box<dyn Error>> {
    let line = |of: fn(&Point) -> f64| -> Vec<(f64, f64)> {
        series.iter().map(|point| (point.second as f64 / unit_seconds, of(point))).collect()
    };
    let plot = |what: &str, y: &str, logarithmic, target, lines| {
        Plot { title: &format!("{title}: {what}"), x, y, logarithmic: (false, logarithmic), target, lines }.svg()
    };
    let loads = vec![
        ("sent".to_owned(), line(|point| point.rate)),
        ("stored".to_owned(), line(|point| point.stored_per_second)),
    ];
    let readers = vec![
        ("processes or pollers".to_owned(), line(|point| f64::from(point.pollers))),
        ("instances".to_owned(), line(|point| point.instances as f64)),
        ("invocations under way".to_owned(), line(|point| point.running as f64)),
    ];
    let latencies = vec![("P95".to_owned(), line(|point| point.end_to_end_p95_ms.max(1.0)))];
    let [load, scale, late] = match name {
        "day" => ["day-load", "day-scale", "day-latency"],
        _ => ["burst-load", "burst-scale", "burst-latency"],
    };
    Ok(vec![
        (load, plot("load", "messages a second", false, None, loads)?),
        (scale, plot("what reads the queue", "count", false, None, readers)?),
        (late, plot("end-to-end latency", "milliseconds", true, target, latencies)?),
    ])
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
        let mut table = page::table(&headings);
        let mut row = |name: &str, of: &dyn Fn(&Steady) -> String| {
            let mut cells = vec![name.to_owned()];
            cells.extend(self.steady().map(|(_, steady)| of(steady)));
            table.add_row(cells);
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
        let readers = match deployment.scaling {
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
        writeln!(f, "{table}\n")?;

        let mut table = page::table(&["check", "is", "limit", ""]);
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
    // the simulation's step is a millisecond
    let one = |value: f64| if value < 1.0 { "<1".to_owned() } else { significant(value) };
    format!("{} / {} / {}", one(of.p50_ms), one(of.p95_ms), one(of.p99_ms))
}

/// Three digits, and all of those before the point.
fn significant(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 99.95 => usize::from(value.fract() != 0.0 && size < 1_000.0),
        size if size >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}
