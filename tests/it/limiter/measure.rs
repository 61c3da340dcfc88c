//! Compares a trace with the expectations of a scenario, and draws the trace so that a failure can be diagnosed.

use std::fmt::Write;
use std::time::Duration;

use super::scenario::{Expectation, Scenario};
use super::sim::{Call, ITEMS, LimitAt, Trace};

/// Statistics of one period of a trace.
#[derive(Debug)]
struct Figures {
    lowest: usize,
    highest: usize,
    /// Mean over time of the limit of each instance.
    mean_limits: Vec<f64>,
    over_target: f64,
    refused: f64,
    items_per_s: f64,
}

/// Describes each expectation of `scenario` that `trace` does not meet.
pub(crate) fn misses(scenario: &Scenario, trace: &Trace) -> Vec<String> {
    scenario.expect.iter().flat_map(|expected| missed(scenario, trace, expected)).collect()
}

fn missed(scenario: &Scenario, trace: &Trace, expected: &Expectation) -> Vec<String> {
    let Expectation { from_s, to_s, limit, mean_limit, over_target, refused, items_per_s } = expected;
    let is = Figures::of(scenario, trace, *from_s, *to_s);
    let mut missed = Vec::new();
    let mut check = |holds: bool, what: String| {
        if !holds {
            missed.push(format!("from {from_s} s to {to_s} s: {what}"));
        }
    };
    if let Some([low, high]) = limit {
        let within = *low <= is.lowest && is.highest <= *high;
        check(within, format!("the limit went from {} to {}, not within {low} to {high}", is.lowest, is.highest));
    }
    if let Some([low, high]) = mean_limit {
        let within = is.mean_limits.iter().all(|mean| (low..=high).contains(&mean));
        check(within, format!("the mean limit is {:.1?}, not within {low} to {high}", is.mean_limits));
    }
    if let Some(most) = over_target {
        check(is.over_target <= *most, format!("{:.4} of the calls were over the target, not {most}", is.over_target));
    }
    if let Some(most) = refused {
        check(is.refused <= *most, format!("{:.4} of the items were refused, not {most}", is.refused));
    }
    if let Some(least) = items_per_s {
        check(is.items_per_s >= *least, format!("{:.0} items were stored a second, not {least}", is.items_per_s));
    }
    missed
}

/// Returns the whole trace as a table in which each row covers the same time.
pub(crate) fn chart(scenario: &Scenario, trace: &Trace) -> String {
    const ROWS: u32 = 50;
    let mut chart = String::from("       s   limit (lowest to highest, mean)    over target  refused  items/s\n");
    for row in 0..ROWS {
        let at = |row: u32| scenario.until_s * f64::from(row) / f64::from(ROWS);
        let is = Figures::of(scenario, trace, at(row), at(row + 1));
        let mean = is.mean_limits.iter().sum::<f64>() / scenario.instances as f64;
        let (low, high, over, refused, items) = (is.lowest, is.highest, is.over_target, is.refused, is.items_per_s);
        let bar: String = (1..=high).map(|step| if step <= low { '#' } else { '-' }).collect();
        let at = at(row);
        let _ =
            writeln!(chart, "{at:8.2}  {low:3} to {high:3} {mean:6.1}  {over:8.4}  {refused:8.4}  {items:8.0}  {bar}");
    }
    chart
}

impl Figures {
    fn of(scenario: &Scenario, trace: &Trace, from_s: f64, to_s: f64) -> Self {
        let (from, to) = (Duration::from_secs_f64(from_s), Duration::from_secs_f64(to_s));
        let calls: Vec<&Call> = trace.calls.iter().filter(|call| from <= call.ended && call.ended < to).collect();
        let sent = calls.len() * ITEMS;
        let target = Duration::from_millis(scenario.target_ms);
        let lost: usize = calls.iter().map(|call| call.refused).sum();
        let refused: usize = calls.iter().filter(|call| !call.failed).map(|call| call.refused).sum();
        let held: Vec<Vec<(usize, f64)>> =
            (0..scenario.instances).map(|instance| held(&trace.limits, instance, from, to)).collect();
        let limits = || held.iter().flatten().map(|(limit, _)| *limit);
        Self {
            lowest: limits().min().unwrap_or(0),
            highest: limits().max().unwrap_or(0),
            mean_limits: held
                .iter()
                .map(|spans| {
                    spans.iter().map(|(limit, seconds)| *limit as f64 * seconds).sum::<f64>() / (to_s - from_s)
                })
                .collect(),
            over_target: calls.iter().filter(|call| call.latency > target).count() as f64 / calls.len().max(1) as f64,
            refused: refused as f64 / sent.max(1) as f64,
            items_per_s: (sent - lost) as f64 / (to_s - from_s),
        }
    }
}

/// Returns the limits that an instance had between two instants, and the seconds that each lasted.
fn held(limits: &[LimitAt], instance: usize, from: Duration, to: Duration) -> Vec<(usize, f64)> {
    let own: Vec<&LimitAt> = limits.iter().filter(|limit| limit.instance == instance).collect();
    let ends = own.iter().skip(1).map(|next| next.at).chain([Duration::MAX]);
    own.iter()
        .zip(ends)
        .filter(|(limit, end)| limit.at < to && *end > from)
        .map(|(limit, end)| (limit.limit, (end.min(to) - limit.at.max(from)).as_secs_f64()))
        .collect()
}
