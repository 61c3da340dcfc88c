//! Charts of a plan: by load, by batch size, by alternative, and over time.

use super::planner::{CHOOSING, Considered, Steady};
use super::print::PlanReport;
use pages::{Across, Chart, Colour, Drawn, Scale, Series};
use simulation::deployment::Deployment;
use simulation::limits::MAX_BATCH_WITHOUT_WINDOW;
use simulation::outcome::{Point, SimulationOutcome};
use simulation::scaling::Scaling;

/// Loads as shares of the peak, and batch sizes, for which charts show values.
const SHARES: [f64; 8] = [0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0, 1.15];
const BATCH_SIZES: [u32; 8] = [1, 2, 5, 10, 50, 100, 500, 1_000];
/// Minimum latency on a logarithmic axis, in milliseconds. It is a tenth of the simulation's step.
const MIN_LATENCY_MS: f64 = 0.1;

/// Section of a chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Alternatives,
    Load,
    BatchSize,
    Burst,
    Day,
}

/// A chart with its file name and section.
pub(super) struct Named {
    pub(super) name: &'static str,
    pub(super) subject: Subject,
    pub(super) chart: Chart,
}

/// Creates all charts of `report`.
pub(super) fn charts(report: &PlanReport<'_>) -> Vec<Named> {
    let (planner, plan) = (report.planner, report.plan);
    let requirements = &planner.requirements;
    let target = requirements.end_to_end_target_ms;
    let by_rate: Vec<Steady> =
        SHARES.iter().map(|share| planner.steady(&plan.deployment, share * requirements.peak, CHOOSING)).collect();
    let rates: Vec<(f64, &Steady)> = by_rate.iter().map(|steady| (steady.rate, steady)).collect();
    let by_batch: Vec<(f64, Steady)> = BATCH_SIZES
        .iter()
        .filter(|_| planner.service.knows_sizes())
        .map(|&batch_size| {
            let window_seconds = u32::from(batch_size > MAX_BATCH_WITHOUT_WINDOW);
            let deployment = Deployment { batch_size, window_seconds, ..plan.deployment.clone() };
            (f64::from(batch_size), planner.steady(&deployment, requirements.rate, CHOOSING))
        })
        .collect();
    let batches: Vec<(f64, &Steady)> = by_batch.iter().map(|(batch, steady)| (*batch, steady)).collect();
    let named = |subject, name, chart| Named { name, subject, chart };
    let (rate, batch) = (("records a second", Scale::Linear), ("BatchSize", Scale::Logarithmic));
    let mut charts = Vec::new();
    if plan.considered.len() > 1 {
        let chart = alternatives(&plan.considered, &plan.deployment, target);
        charts.push(named(Subject::Alternatives, "alternatives", chart));
    }
    charts.push(named(Subject::Load, "latency-by-rate", latency("End-to-end latency by load", rate, &rates, target)));
    charts.push(named(Subject::Load, "cost-by-rate", cost("A million records by load", rate, &rates)));
    if !batches.is_empty() {
        let title = "End-to-end latency by batch size";
        charts.push(named(Subject::BatchSize, "latency-by-batch", latency(title, batch, &batches, target)));
        charts.push(named(
            Subject::BatchSize,
            "cost-by-batch",
            cost("A million records by batch size", batch, &batches),
        ));
    }
    if let Some(burst) = &plan.burst {
        let seconds = |point: &Point| point.second as f64;
        let across = Across::Numbers {
            label: "seconds".to_owned(),
            values: burst.outcome.series.iter().map(seconds).collect(),
            names: Vec::new(),
            scale: Scale::Linear,
        };
        let over_time = over_time(&across, &burst.outcome.series, deployment_reads(&plan.deployment), target);
        let names = ["burst-load", "burst-scale", "burst-latency"];
        charts.extend(names.into_iter().zip(over_time).map(|(name, chart)| named(Subject::Burst, name, chart)));
    }
    if let Some(day) = report.day {
        let across = Across::Hours(day.series.iter().map(|point| point.second as f64 / 3_600.0).collect());
        let over_time = over_time(&across, &day.series, deployment_reads(&plan.deployment), target);
        let names = ["day-load", "day-scale", "day-latency"];
        charts.extend(names.into_iter().zip(over_time).map(|(name, chart)| named(Subject::Day, name, chart)));
    }
    charts
}

/// Returns the name of the processes that read the queue.
fn deployment_reads(deployment: &Deployment) -> &'static str {
    match deployment.scaling {
        Scaling::Standard { .. } => "processes",
        Scaling::Pollers { .. } => "pollers",
    }
}

fn target_line(target: f64) -> Option<(f64, String)> {
    Some((target, format!("target of P95, {} ms", pages::number(target))))
}

/// Returns a chart with the price and latency of each deployment that was considered.
fn alternatives(considered: &[Considered], chosen: &Deployment, target: f64) -> Chart {
    let is_chosen = |tried: &Considered| tried.deployment == *chosen;
    let dots = |of: &dyn Fn(&Considered) -> bool| -> Vec<Option<f64>> {
        considered.iter().map(|tried| of(tried).then_some(tried.p95_ms.max(MIN_LATENCY_MS))).collect()
    };
    let series = |name: &str, colour, values| Series { name: name.to_owned(), colour, drawn: Drawn::Dots(values) };
    let mut all = vec![
        series("a requirement does not hold", Colour::Red, dots(&|tried| tried.missed > 0 && !is_chosen(tried))),
        series("every requirement holds", Colour::Blue, dots(&|tried| tried.missed == 0 && !is_chosen(tried))),
        series("chosen", Colour::Green, dots(&is_chosen)),
    ];
    all.retain(|series| matches!(&series.drawn, Drawn::Dots(values) if values.iter().any(Option::is_some)));
    Chart {
        title: "Price against latency".to_owned(),
        unit: "end-to-end P95 in milliseconds, at the rate or the peak".to_owned(),
        across: Across::Numbers {
            label: "dollars for a million records".to_owned(),
            values: considered.iter().map(|tried| tried.dollars).collect(),
            names: considered.iter().map(|tried| described(&tried.deployment)).collect(),
            scale: Scale::Linear,
        },
        scale: Scale::Fitting,
        series: all,
        target: target_line(target),
        note: None,
    }
}

/// Describes a deployment briefly.
fn described(deployment: &Deployment) -> String {
    let Deployment { batch_size, scaling, .. } = deployment;
    match scaling {
        Scaling::Standard { max_instances } => format!("batches of {batch_size}, {max_instances} instances"),
        Scaling::Pollers { minimum, maximum } => format!("batches of {batch_size}, {minimum} to {maximum} pollers"),
    }
}

fn latency(title: &str, across: (&str, Scale), points: &[(f64, &Steady)], target: f64) -> Chart {
    let line = |of: fn(&SimulationOutcome) -> f64| {
        points.iter().map(|(_, steady)| Some(of(&steady.outcome).max(MIN_LATENCY_MS))).collect::<Vec<_>>()
    };
    let band = Drawn::Band {
        low: ("P50".to_owned(), line(|outcome| outcome.end_to_end.p50_ms)),
        high: ("P99".to_owned(), line(|outcome| outcome.end_to_end.p99_ms)),
    };
    Chart {
        target: target_line(target),
        scale: Scale::Fitting,
        ..chart(
            title,
            "milliseconds",
            by(across, points),
            vec![
                Series { name: "P50 to P99".to_owned(), colour: Colour::Blue, drawn: band },
                Series::line("P95", Colour::Blue, line(|outcome| outcome.end_to_end.p95_ms)),
            ],
        )
    }
}

fn cost(title: &str, across: (&str, Scale), points: &[(f64, &Steady)]) -> Chart {
    type Part = (&'static str, fn(&Steady) -> f64);
    const PARTS: [Part; 4] = [
        ("DynamoDB", |steady| steady.cost.dynamodb),
        ("SQS", |steady| steady.cost.sqs),
        ("Lambda", |steady| steady.cost.lambda + steady.cost.pollers),
        ("logs, metrics", |steady| steady.cost.logs + steady.cost.metrics),
    ];
    let layer = |((name, of), colour): (Part, Colour)| {
        Series::stacked(name, colour, points.iter().map(|(_, steady)| Some(of(steady))).collect())
    };
    let layers = PARTS.into_iter().zip(Colour::SERIES).map(layer).collect();
    chart(title, "dollars", by(across, points), layers)
}

fn by((label, scale): (&str, Scale), points: &[(f64, &Steady)]) -> Across {
    let values = points.iter().map(|(value, _)| *value).collect();
    Across::Numbers { label: label.to_owned(), values, names: Vec::new(), scale }
}

fn chart(title: &str, unit: &str, across: Across, series: Vec<Series>) -> Chart {
    let (title, unit) = (title.to_owned(), unit.to_owned());
    Chart { title, unit, across, scale: Scale::Linear, series, target: None, note: None }
}

/// Returns charts of load, readers and latency over time.
fn over_time(across: &Across, series: &[Point], readers: &'static str, target: f64) -> [Chart; 3] {
    let line = |of: fn(&Point) -> f64| series.iter().map(|point| Some(of(point))).collect::<Vec<_>>();
    let sent = Series { name: "sent".to_owned(), colour: Colour::Grey, drawn: Drawn::Area(line(|point| point.rate)) };
    let load = vec![sent, Series::line("stored", Colour::Blue, line(|point| point.stored_per_second))];
    let scale = vec![
        Series::line(readers, Colour::Blue, line(|point| f64::from(point.pollers))),
        Series::line("instances", Colour::Orange, line(|point| point.instances as f64)),
        Series::line("under way", Colour::Green, line(|point| point.running as f64)),
    ];
    // a second in which nothing was stored has no latency
    let late = |point: &Point| (point.end_to_end_p95_ms > 0.0).then_some(point.end_to_end_p95_ms);
    let late = Series::line("P95", Colour::Blue, series.iter().map(late).collect());
    [
        chart("Load", "messages a second", across.clone(), load),
        Chart {
            note: Some("Under way: invocations at the same time.".to_owned()),
            ..chart("What reads the queue", "number", across.clone(), scale)
        },
        Chart {
            target: target_line(target),
            scale: Scale::Fitting,
            ..chart("End-to-end latency", "milliseconds", across.clone(), vec![late])
        },
    ]
}
