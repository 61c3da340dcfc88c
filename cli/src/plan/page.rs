//! A plan as an HTML page.

use super::charts::{Named, Subject};
use super::checks::{PlanCheck, quotas};
use super::cost::Cost;
use super::planner::{Burst, Steady};
use super::print::PlanReport;
use pages::{Block, Check, Colour, Fact, Page, Part, Section, Share, Shares, Table, Tile, Verdict, capital, number};
use simulation::deployment::Deployment;
use simulation::scaling::Scaling;

const SECONDS_A_MONTH: f64 = 30.0 * 24.0 * 3_600.0;

/// A service's name, colour and share of the cost.
type Service = (&'static str, Colour, fn(&Cost) -> f64);
const SERVICES: [Service; 6] = [
    ("DynamoDB", Colour::Blue, |cost| cost.dynamodb),
    ("SQS", Colour::Orange, |cost| cost.sqs),
    ("Lambda", Colour::Green, |cost| cost.lambda),
    ("pollers", Colour::Teal, |cost| cost.pollers),
    ("logs", Colour::Purple, |cost| cost.logs),
    ("metrics", Colour::Pink, |cost| cost.metrics),
];

/// Creates the page of `report` with its `charts`.
pub(super) fn page(report: &PlanReport<'_>, charts: &[Named]) -> Page {
    let requirements = &report.planner.requirements;
    let prices = report.planner.prices;
    let mut title = format!("{} records a second", number(requirements.rate));
    if requirements.peak > requirements.rate {
        title.push_str(&format!(", {} at the peak", number(requirements.peak)));
    }
    let fact = |name: &str, text: String| (name.to_owned(), Fact::Text(text));
    let mut notes = vec![
        "Latencies and prices are those of a simulation with measured times of the function; docs/plan.md lists what it assumes.".to_owned(),
    ];
    if requirements.overhead_ms == 0.0 {
        notes.push("Not counted: what SQS and Lambda themselves take for a message (--overhead).".to_owned());
    }
    notes.push(format!("Made by ingest {}, with seed {}.", env!("CARGO_PKG_VERSION"), report.planner.seed));
    Page {
        kind: "avro-ingest plan".to_owned(),
        title,
        lead: Some(sentence(report)),
        facts: vec![
            fact("Record", format!("{} bytes", number(requirements.record_bytes))),
            fact("Times", report.planner.service.source.clone()),
            fact("Prices", format!("{}, {}", prices.region, prices.date)),
        ],
        verdict: verdict(report),
        parts: vec![Part { tiles: tiles(report), sections: sections(report, charts), ..Part::default() }],
        notes,
    }
}

/// Describes the chosen deployment in a sentence.
fn sentence(report: &PlanReport<'_>) -> String {
    let Deployment { batch_size, window_seconds, memory_mb, scaling, .. } = &report.plan.deployment;
    let readers = match scaling {
        Scaling::Standard { max_instances } => format!("Up to {} instances", number(f64::from(*max_instances))),
        Scaling::Pollers { minimum, maximum } => {
            format!("{} to {} pollers and instances", number(f64::from(*minimum)), number(f64::from(*maximum)))
        }
    };
    let window = match window_seconds {
        0 => String::new(),
        seconds => format!(", gathered for up to {seconds} s"),
    };
    let packed = match report.planner.requirements.records_per_message {
        1.0 => String::new(),
        records => format!(" with {} records each", number(records)),
    };
    let cost = &report.plan.at_rate.cost;
    format!(
        "{readers} of {memory_mb} MB take batches of {batch_size} messages{packed}{window}, for ${} a million records.",
        dollars(cost.total)
    )
}

fn dollars(value: f64) -> String {
    if value >= 10.0 || value.fract() == 0.0 { number(value) } else { format!("{value:.3}") }
}

fn verdict(report: &PlanReport<'_>) -> Verdict {
    let checks = &report.plan.checks;
    let missed: Vec<&PlanCheck> = checks.iter().filter(|check| !check.met).collect();
    let sentence = match missed.len() {
        0 => {
            let binds = report.binding().map(|check| format!(" The tightest is: {}.", check.name));
            format!("All {} requirements and limits hold.{}", checks.len(), binds.unwrap_or_default())
        }
        1 => format!("1 of {} requirements and limits does not hold.", checks.len()),
        count => format!("{count} of {} requirements and limits do not hold.", checks.len()),
    };
    let detail = |check: &&PlanCheck| format!("{}: {}", check.name, check.change.as_deref().unwrap_or_default());
    Verdict { met: Some(missed.is_empty()), sentence, details: missed.iter().map(detail).collect() }
}

fn tiles(report: &PlanReport<'_>) -> Vec<Tile> {
    let plan = report.plan;
    let tile = |name: &str, value: String, unit: &str, target: Option<String>, met: Option<bool>| Tile {
        name: name.to_owned(),
        value: (value, unit.to_owned()),
        target,
        met,
        over_time: Vec::new(),
    };
    let cost = plan.at_rate.cost.total;
    let a_month = cost * report.planner.requirements.rate / 1e6 * SECONDS_A_MONTH;
    let mut tiles = vec![
        tile("A million records", format!("${}", dollars(cost)), "", Some("all services".to_owned()), None),
        tile("A month at the rate", format!("${}", dollars(a_month)), "", Some("30 days".to_owned()), None),
    ];
    let wanted = ["end-to-end P95", "end-to-end P95 at the peak", "delivery P95", "delivered"];
    tiles.extend(wanted.into_iter().filter_map(|name| {
        let check = plan.checks.iter().find(|check| check.name == name)?;
        let aim = format!("{} {} {}", at(check), number(check.limit), check.unit);
        Some(tile(&capital(check.name), number(check.value), check.unit, Some(aim), Some(check.met)))
    }));
    let steady = plan.at_peak.as_ref().unwrap_or(&plan.at_rate);
    let when = if plan.at_peak.is_some() { "at the peak" } else { "at the rate" };
    let under_way = number((steady.outcome.invocation_seconds / steady.outcome.seconds).ceil());
    tiles.push(tile("Invocations under way", under_way, "", Some(when.to_owned()), None));
    tiles
}

fn at(check: &PlanCheck) -> &'static str {
    if check.name.starts_with("delivered") { "at least" } else { "at most" }
}

fn sections(report: &PlanReport<'_>, charts: &[Named]) -> Vec<Section> {
    let plan = report.plan;
    let of = |subject: Subject| {
        let charts = charts.iter().filter(|named| named.subject == subject).map(|named| named.chart.clone());
        Block::Charts(charts.collect())
    };
    let section = |title: &str, blocks: Vec<Block>| Section { title: title.to_owned(), blocks };
    let mut deploy = vec![Block::Code(report.parameter_line())];
    deploy.extend(
        quotas(report.planner, &plan.deployment)
            .into_iter()
            .map(|quota| Block::Text(format!("Ask Service Quotas first for: {quota}."))),
    );
    let alternatives = if plan.considered.len() > 1 {
        vec![
            Block::Text(format!(
                "{} deployments were simulated at the rate and at the peak. The cheapest of those that hold every requirement is chosen. \
                 These simulations are shorter than the one that the figures of the chosen deployment are from.",
                plan.considered.len()
            )),
            of(Subject::Alternatives),
        ]
    } else {
        vec![Block::Text("This deployment was given, so no other was considered.".to_owned())]
    };
    let mut sections = vec![
        section("Price", vec![Block::Shares(price(report))]),
        section("Requirements and limits", vec![Block::Checks(plan.checks.iter().map(check).collect())]),
        section("How to deploy it", deploy),
        section("Alternatives", alternatives),
        section("By load", vec![of(Subject::Load)]),
    ];
    if charts.iter().any(|named| named.subject == Subject::BatchSize) {
        sections.push(section("By batch size", vec![of(Subject::BatchSize)]));
    }
    if let Some(burst) = &plan.burst {
        sections.push(section(
            "From the rate to the peak at once",
            vec![Block::Text(caught_up(burst)), of(Subject::Burst)],
        ));
    }
    if report.day.is_some() {
        let text = "Quiet at night, the rate at noon, and the peak for ten minutes at 15:00.";
        sections.push(section("A day", vec![Block::Text(text.to_owned()), of(Subject::Day)]));
    }
    let head = std::iter::once("figure").chain(report.steady().map(|(name, _)| name)).map(str::to_owned).collect();
    let table = Table { name: "all figures".to_owned(), head, rows: report.rows() };
    sections.push(section("All figures", vec![Block::Table(table)]));
    sections
}

fn price(report: &PlanReport<'_>) -> Shares {
    let present: Vec<&Service> =
        SERVICES.iter().filter(|(_, _, of)| report.steady().any(|(_, steady)| of(&steady.cost) > 0.0)).collect();
    let row = |(name, steady): (&str, &Steady)| {
        let parts = present.iter().map(|(_, _, of)| of(&steady.cost));
        Share {
            name: (format!("At the {name}"), format!("${}", dollars(steady.cost.total))),
            parts: parts.map(|part| (part, format!("${}", dollars(part)))).collect(),
        }
    };
    Shares {
        title: "A million records, by service".to_owned(),
        parts: present.iter().map(|(name, colour, _)| ((*name).to_owned(), *colour)).collect(),
        rows: report.steady().map(row).collect(),
    }
}

fn check(check: &PlanCheck) -> Check {
    let PlanCheck { name, value, limit, unit, met, change } = check;
    let is_maximum = at(check) == "at most";
    Check {
        name: capital(name),
        value: format!("{} {unit}", number(*value)).trim_end().to_owned(),
        limit: format!("{} {} {unit}", at(check), number(*limit)).trim_end().to_owned(),
        share: (is_maximum && *limit > 0.0).then_some(value / limit),
        met: Some(*met),
        note: change.as_deref().map(capital),
    }
}

/// Describes the backlog of a burst in a sentence.
fn caught_up(burst: &Burst) -> String {
    let backlog = match burst.caught_up_after {
        Some(0) => "Nothing piles up".to_owned(),
        Some(seconds) => format!("The backlog is gone after {seconds} s"),
        None => "The backlog is not gone after ten minutes".to_owned(),
    };
    format!(
        "{backlog}. At most {} messages wait, and P95 is {} ms at worst.",
        number(burst.most_waiting as f64),
        number(burst.worst_p95_ms)
    )
}
