//! `ingest plan`: chooses the template's parameters for a load and its targets, and estimates the cost.

mod charts;
mod checks;
mod cost;
mod day;
mod page;
mod planner;
mod print;
mod queueing;
mod requirements;
#[cfg(test)]
mod tests;

use crate::Outcome;
use crate::names::{once_each, or_nearest};
use crate::numbers::{not_negative, positive, whole};
use crate::output::{self, out};
use crate::prices::Prices;
use crate::profile::Profile;
use crate::template::parameter;
use planner::{MIN_MESSAGES_PER_SECOND, Planner};
use print::PlanReport;
use requirements::Requirements;
use simulation::deployment::Deployment;
use simulation::service::ServiceTimes;
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

/// Plans the settings of a deployment for a load, and predicts latency, cost and limits. Exit code 1 if a target or limit is
/// not met.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  make bench                                                      measures the function; a plan needs its times
  ingest plan --rate 2000 --record-bytes 300 --measured target/bench/results.json
  ingest plan --rate 100000 --peak 500000 --record-bytes 300 --records-per-message 10 --measured target/bench/results.json
  ingest plan --profile throughput --measured target/bench/results.json --html plan.html
  ingest plan --rate 500 --record-bytes 300 --service-time 12 --set BatchSize=5 --json")]
pub(crate) struct Arguments {
    /// Average load over the day, in records per second
    #[arg(long, value_name = "N", value_parser = positive)]
    rate: Option<f64>,
    /// Peak load, in records per second [default: the rate]
    #[arg(long, value_name = "N", value_parser = positive)]
    peak: Option<f64>,
    /// Size of a record in Avro, in bytes
    #[arg(long, value_name = "N", value_parser = positive)]
    record_bytes: Option<f64>,
    /// Size of a record as an item including attribute names, in bytes [default: the size in Avro]
    #[arg(long, value_name = "N", value_parser = positive)]
    item_bytes: Option<f64>,
    /// Number of records that the producer packs into a message (wire format container)
    #[arg(long, value_name = "N", value_parser = positive)]
    records_per_message: Option<f64>,
    /// Target for the P95 from sending a message to the handler's response, in milliseconds; delivery gets half of it
    #[arg(long, value_name = "MS", value_parser = positive)]
    p95: Option<f64>,
    /// Execution times of the function: the results.json of `make bench`
    #[arg(long, value_name = "FILE", conflicts_with = "service_time")]
    measured: Option<PathBuf>,
    /// Instead of --measured: average time of an invocation in milliseconds (HandlerTime of `ingest report`)
    #[arg(long, value_name = "MS", value_parser = positive)]
    service_time: Option<f64>,
    /// Latency that SQS and Lambda add to each message in addition to polling, in milliseconds: the minimum DeliveryLatency of
    /// an idle stack
    #[arg(long, value_name = "MS", default_value_t = 0.0, value_parser = not_negative)]
    overhead: f64,
    /// Write units per second that the table can take [default: WarmWriteUnits, or 4000 for a new table]
    #[arg(long, value_name = "N", value_parser = positive)]
    table_units: Option<f64>,
    /// Evaluate this profile of samconfig.toml instead of choosing a deployment; its [NAME.plan.parameters] are defaults for
    /// the options above
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// File that contains the profile
    #[arg(long, value_name = "FILE", default_value = "samconfig.toml", requires = "profile")]
    config: PathBuf,
    /// Fix a parameter of the template
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = parameter)]
    set: Vec<(String, String)>,
    /// Also simulate a day, with 1.4 % of the rate at night, the rate at noon, and the peak for ten minutes
    #[arg(long)]
    day: bool,
    /// Seed of the simulation
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole(0..=u64::MAX))]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write a self-contained HTML page with charts
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write each chart to a separate file in this folder
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let profile = match &arguments.profile {
        Some(name) => Some(Profile::read(&arguments.config, name)?),
        None => None,
    };
    let service = match (&arguments.measured, arguments.service_time) {
        (Some(path), _) => ServiceTimes::read(path)?,
        (None, Some(milliseconds)) => ServiceTimes::constant(milliseconds),
        (None, None) => {
            return Err("a plan needs the time that an invocation takes: run make bench and give --measured \
                        target/bench/results.json, or give --service-time MS from the HandlerTime of a running stack"
                .into());
        }
    };
    let mut fixed = profile.as_ref().map(|profile| profile.parameters.clone()).unwrap_or_default();
    // parameters set on the command line override the profile, and also remove parameters that only fit the overridden ones
    let set = once_each(&arguments.set)?;
    if set.get("ScalingMode").is_some_and(|mode| mode == "standard") {
        fixed.retain(|name, _| !["MinimumPollers", "MaximumPollers"].contains(&name.as_str()));
    }
    fixed.extend(set);
    let load = profile.as_ref().map(|profile| profile.load.clone()).unwrap_or_default();
    let prices = Prices::new()?;
    let planner = Planner {
        requirements: requirements(arguments, &load, &fixed)?,
        service: &service,
        prices: &prices,
        table_units: arguments.table_units,
        fixed,
        seed: arguments.seed,
    };
    let plan = match profile {
        Some(_) => planner.judge(planner::deployment(&planner.fixed)?),
        None => planner.plan()?,
    };
    let day = arguments.day.then(|| day::simulate(&planner, &plan.deployment));
    let report = PlanReport { planner: &planner, plan: &plan, day: day.as_ref() };
    if arguments.html.is_some() || arguments.plots.is_some() {
        let charts = charts::charts(&report);
        if let Some(path) = &arguments.html {
            write(path, &page::page(&report, &charts).html())?;
        }
        if let Some(folder) = &arguments.plots {
            fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
            for charts::Named { name, chart, .. } in &charts {
                write(&folder.join(format!("{name}.svg")), &chart.svg())?;
            }
        }
    }
    if arguments.json {
        output::json(&report.json())?;
    } else {
        out!("{report}")?;
    }
    Ok(plan.checks.iter().all(|check| check.met))
}

/// Returns the requirements from the options, else from the profile, else derived from other requirements.
fn requirements(
    arguments: &Arguments,
    load: &BTreeMap<String, f64>,
    fixed: &BTreeMap<String, String>,
) -> Result<Requirements, Box<dyn Error>> {
    const OPTIONS: [&str; 6] = ["rate", "peak", "record_bytes", "item_bytes", "records_per_message", "p95"];
    if let Some(unknown) = load.keys().find(|name| !OPTIONS.contains(&name.as_str())) {
        let problem = format!("the profile's plan.parameters know no {unknown}, only {}", OPTIONS.join(", "));
        return Err(or_nearest(problem, unknown, &OPTIONS).into());
    }
    let given = |option: Option<f64>, name: &str| option.or_else(|| load.get(name).copied());
    let needed = |option: Option<f64>, name: &str| {
        given(option, name).ok_or_else(|| format!("--{} is needed", name.replace('_', "-")))
    };
    let rate = needed(arguments.rate, "rate")?;
    let record_bytes = needed(arguments.record_bytes, "record_bytes")?;
    let deployment = Deployment::new(fixed);
    let targets = deployment.as_ref().ok().map_or((50.0, 100.0), |deployment| {
        (f64::from(deployment.delivery_target_ms), f64::from(deployment.end_to_end_target_ms))
    });
    let target =
        arguments.set.iter().find(|(name, _)| ["DeliveryTargetMs", "EndToEndTargetMs"].contains(&name.as_str()));
    if let (Some(_), Some((name, _))) = (arguments.p95, target) {
        return Err(format!("--p95 and --set {name} are two targets: give one of them").into());
    }
    let p95 = given(arguments.p95, "p95");
    if let (Some(rate), Some(peak)) = (arguments.rate, arguments.peak)
        && peak < rate
    {
        return Err(format!("--peak {peak} is less than --rate {rate}").into());
    }
    let records_per_message = given(arguments.records_per_message, "records_per_message").unwrap_or(1.0).max(1.0);
    if rate / records_per_message < MIN_MESSAGES_PER_SECOND {
        let least = MIN_MESSAGES_PER_SECOND * records_per_message;
        return Err(
            format!("a load of {rate} records a second is too small for a plan: {least:.5} is the least").into()
        );
    }
    Ok(Requirements {
        rate,
        peak: given(arguments.peak, "peak").unwrap_or(rate).max(rate),
        record_bytes,
        item_bytes: given(arguments.item_bytes, "item_bytes").unwrap_or(record_bytes),
        records_per_message,
        delivery_target_ms: p95.map_or(targets.0, |p95| (p95 / 2.0).max(p95 - 50.0)),
        end_to_end_target_ms: p95.unwrap_or(targets.1),
        overhead_ms: arguments.overhead,
    })
}

fn write(path: &std::path::Path, text: &str) -> Result<(), Box<dyn Error>> {
    fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()).into())
}
