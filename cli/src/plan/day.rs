//! A day with little load at night, the given rate at noon, and ten minutes of the peak.

use super::planner::Planner;
use super::requirements::Requirements;
use indicatif::{ProgressBar, ProgressStyle};
use simulation::deployment::Deployment;
use simulation::outcome::SimulationOutcome;

const DAY: u64 = 24 * 3_600;
/// Start and end of the peak, in seconds of the day.
const BURST: std::ops::Range<u64> = 15 * 3_600..15 * 3_600 + 600;
/// Load at night as a share of the rate.
const NIGHT: f64 = 0.014;

/// Returns the records per second at `second` of the day.
pub(crate) fn load(requirements: &Requirements, second: u64) -> f64 {
    if BURST.contains(&second) {
        return requirements.peak;
    }
    let of_the_day = second as f64 / DAY as f64;
    let sun = (1.0 - (of_the_day * std::f64::consts::TAU).cos()) / 2.0;
    requirements.rate * (NIGHT + (1.0 - NIGHT) * sun)
}

/// Simulates the day. Shows a progress bar, because this takes a minute at 100,000 records per second.
pub(crate) fn simulate(planner: &Planner<'_>, deployment: &Deployment) -> SimulationOutcome {
    let requirements = &planner.requirements;
    let bar = ProgressBar::new(DAY).with_message("simulating a day");
    bar.set_style(ProgressStyle::with_template("{msg} {wide_bar} {percent} %").unwrap_or(ProgressStyle::default_bar()));
    let messages = |second: u64| {
        if second.is_multiple_of(600) {
            bar.set_position(second);
        }
        requirements.messages(load(requirements, second))
    };
    let outcome = planner.run(deployment, &messages, (DAY, 0), load(requirements, 0));
    bar.finish_and_clear();
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_goes_from_the_night_to_the_rate_and_to_the_peak() {
        let requirements = Requirements {
            rate: 1_000.0,
            peak: 5_000.0,
            record_bytes: 300.0,
            item_bytes: 300.0,
            records_per_message: 1.0,
            delivery_target_ms: 50.0,
            end_to_end_target_ms: 100.0,
            overhead_ms: 0.0,
        };
        let at = |hour: u64| load(&requirements, hour * 3_600);
        assert!((at(0) - 14.0).abs() < 1e-9 && (at(12) - 1_000.0).abs() < 1e-9);
        assert_eq!((at(15), load(&requirements, BURST.end - 1)), (5_000.0, 5_000.0));
        assert!(load(&requirements, BURST.end) < 1_000.0);
    }
}
