//! Compares the closed forms with the simulation, and each profile with its own targets.

use super::planner::Planner;
use super::queueing::{Servers, under_way};
use super::requirements::Requirements;
use crate::prices::Prices;
use crate::profile::Profile;
use simulation::Scenario;
use simulation::deployment::Deployment;
use simulation::outcome::SimulationOutcome;
use simulation::scaling::Scaling;
use simulation::service::ServiceTimes;
use std::collections::BTreeMap;
use std::path::Path;

/// Returns the committed measurement, on which the plots in docs/plan.md are also based.
fn measured() -> ServiceTimes {
    ServiceTimes::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/results.json")).unwrap()
}

fn close(value: f64, expected: f64, share: f64) {
    assert!((value / expected - 1.0).abs() <= share, "{value} is not within {share} of {expected}");
}

/// Simulates an M/M/c queue with `servers` servers: single messages, exponential service times, and no AWS limits.
fn plain(arrivals_per_second: f64, service_ms: f64, servers: u32, seconds: u64) -> SimulationOutcome {
    let scaling = Scaling::Pollers { minimum: servers.div_ceil(10), maximum: servers.div_ceil(10) };
    let deployment = Deployment { batch_size: 1, scaling, min_instances: servers, ..Deployment::default() };
    simulation::run(&Scenario {
        rate: &|_| arrivals_per_second,
        seconds,
        warm_up: seconds / 20,
        deployment: &deployment,
        service: &ServiceTimes::constant(service_ms),
        records_per_message: 1.0,
        units_per_message: 1.0,
        table_units: 1e9,
        pollers: servers / 10,
        paced: false,
        overhead_us: 0,
        seed: 7,
    })
}

#[test]
fn erlang_c_and_the_simulation_agree_within_five_percent() {
    for (arrivals_per_second, servers) in [(80.0, 10), (90.0, 10), (180.0, 20)] {
        let outcome = plain(arrivals_per_second, 100.0, servers, 6_000);
        let queue = Servers { arrivals_per_second, service_seconds: 0.1, servers };
        close(outcome.mean_delivery_seconds, queue.mean_wait(), 0.05);
        close(outcome.delivery.p95_ms / 1e3, queue.wait_of(0.95), 0.05);
    }
}

#[test]
fn littles_law_and_the_simulation_agree_within_five_percent() {
    let outcome = plain(90.0, 100.0, 10, 2_000);
    close(outcome.mean_in_flight, under_way(90.0, 0.1), 0.05);
    // the same holds with batches, windows, rate limits and measured times
    let measured = measured();
    let window = Deployment {
        batch_size: 100,
        window_seconds: 1,
        scaling: Scaling::Standard { max_instances: 100 },
        ..Deployment::default()
    };
    for deployment in
        [Deployment { scaling: Scaling::Standard { max_instances: 100 }, ..Deployment::default() }, window]
    {
        let outcome = steady(&deployment, &measured, 5_000.0);
        // all that are sent come out, and the invocations under way are their rate times their time
        close(outcome.stored as f64 / outcome.seconds, 5_000.0, 0.05);
        let invocations_per_second = outcome.invocations as f64 / outcome.seconds;
        let size = measured.time_of(outcome.messages_per_invocation());
        close(
            outcome.invocation_seconds / outcome.seconds,
            under_way(invocations_per_second, size.mean_seconds(512)),
            0.05,
        );
    }
}

fn steady(deployment: &Deployment, service: &ServiceTimes, rate: f64) -> SimulationOutcome {
    scenario(deployment, service, &|_| rate, 30, 60)
}

fn scenario(
    deployment: &Deployment,
    service: &ServiceTimes,
    rate: &dyn Fn(u64) -> f64,
    seconds: u64,
    pollers: u32,
) -> SimulationOutcome {
    simulation::run(&Scenario {
        rate,
        seconds,
        warm_up: 0,
        deployment,
        service,
        records_per_message: 1.0,
        units_per_message: 1.0,
        table_units: 1e9,
        pollers,
        paced: true,
        overhead_us: 0,
        seed: 3,
    })
}

#[test]
fn the_same_seed_gives_the_same_outcome_and_another_seed_another() {
    let deployment = Deployment { scaling: Scaling::Standard { max_instances: 100 }, ..Deployment::default() };
    let run = |seed| {
        let scenario = Scenario {
            rate: &|_| 500.0,
            seconds: 5,
            warm_up: 0,
            deployment: &deployment,
            service: &measured(),
            records_per_message: 1.0,
            units_per_message: 1.0,
            table_units: 1e9,
            pollers: 10,
            paced: true,
            overhead_us: 0,
            seed,
        };
        let outcome = simulation::run(&scenario);
        (outcome.sent, outcome.invocations, outcome.invocation_seconds)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn standard_mode_in_the_simulation_adds_300_a_minute_while_messages_wait() {
    let deployment = Deployment { scaling: Scaling::Standard { max_instances: 1_250 }, ..Deployment::default() };
    // far above the capacity
    let outcome = scenario(&deployment, &ServiceTimes::constant(1_000.0), &|_| 50_000.0, 300, 0);
    let at = |second| outcome.series.iter().find(|point| point.second == second).unwrap().pollers;
    close(f64::from(at(60)), 305.0, 0.05);
    close(f64::from(at(180)), 905.0, 0.05);
    assert_eq!(at(299), 1_250);
}

#[test]
fn pollers_in_the_simulation_take_100_messages_a_second_each() {
    let scaling = Scaling::Pollers { minimum: 10, maximum: 10 };
    // a poll returns at most ten messages, whatever the batch size
    for (batch_size, window_seconds) in [(10, 0), (100, 2)] {
        let deployment = Deployment { batch_size, window_seconds, scaling, ..Deployment::default() };
        let outcome = scenario(&deployment, &measured(), &|_| 5_000.0, 60, 10);
        close(outcome.stored as f64 / outcome.seconds, 1_000.0, 0.05);
        assert!(outcome.left > 0);
    }
}

#[test]
fn no_message_is_lost_and_none_is_counted_twice() {
    // a table with half the required capacity and a short timeout cause throttles, returned messages and dead letters
    let deployment = Deployment {
        scaling: Scaling::Standard { max_instances: 200 },
        timeout_seconds: 2,
        max_receive_count: 2,
        ..Deployment::default()
    };
    let outcome = simulation::run(&Scenario {
        rate: &|second| if second < 20 { 2_000.0 } else { 0.0 },
        seconds: 120,
        warm_up: 0,
        deployment: &deployment,
        service: &measured(),
        records_per_message: 1.0,
        units_per_message: 1.0,
        table_units: 1_000.0,
        pollers: 50,
        paced: true,
        overhead_us: 0,
        seed: 5,
    });
    assert!(outcome.throttles > 0 && outcome.returned > 0);
    assert_eq!(outcome.sent, outcome.stored + outcome.dead_lettered + outcome.left);
    close(outcome.write_units, outcome.stored as f64, 0.05);
}

#[test]
fn a_queue_never_has_more_than_120_000_messages_in_flight() {
    let deployment = Deployment {
        batch_size: 1_000,
        window_seconds: 1,
        scaling: Scaling::Standard { max_instances: 1_000 },
        ..Deployment::default()
    };
    let outcome = scenario(&deployment, &ServiceTimes::constant(5_000.0), &|_| 40_000.0, 40, 1_000);
    assert!(outcome.most_in_flight >= 119_000 && outcome.most_in_flight <= 121_000, "{}", outcome.most_in_flight);
}

#[test]
fn a_cold_start_is_part_of_the_latency() {
    let deployment = Deployment { scaling: Scaling::Standard { max_instances: 100 }, ..Deployment::default() };
    let mut cold = measured();
    cold.cold_start_seconds = 2.0;
    let outcome = scenario(&deployment, &cold, &|_| 50.0, 1, 20);
    assert!(outcome.cold_starts > 0);
    assert!(outcome.delivery.p99_ms >= 900.0, "{}", outcome.delivery.p99_ms);
}

const ADR: Requirements = Requirements {
    rate: 100_000.0,
    peak: 500_000.0,
    record_bytes: 300.0,
    item_bytes: 500.0,
    records_per_message: 10.0,
    delivery_target_ms: 50.0,
    end_to_end_target_ms: 100.0,
    overhead_ms: 0.0,
};

fn with_planner<T>(requirements: Requirements, fixed: &[(&str, &str)], test: impl FnOnce(&Planner<'_>) -> T) -> T {
    let (service, prices) = (measured(), Prices::new().unwrap());
    let fixed: BTreeMap<String, String> =
        fixed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    test(&Planner { requirements, service: &service, prices: &prices, fixed, table_units: None, seed: 1 })
}

#[test]
fn the_adrs_load_packed_by_ten_can_be_had_within_its_latency_and_cost() {
    with_planner(ADR, &[], |planner| {
        let plan = planner.plan().unwrap();
        let missed: Vec<_> = plan.checks.iter().filter(|check| !check.met).collect();
        assert!(missed.is_empty(), "{missed:?} of {:?}", plan.deployment);
        assert!(plan.at_rate.cost.total < 1.0, "{:?}", plan.at_rate.cost);
        close(plan.at_rate.outcome.write_units / plan.at_rate.outcome.seconds, 100_000.0, 0.05);
    });
}

#[test]
fn the_adrs_peak_unpacked_cannot_be_had_and_the_plan_says_what_has_to_change() {
    let unpacked = Requirements { records_per_message: 1.0, ..ADR };
    with_planner(unpacked, &[("BatchSize", "10")], |planner| {
        let deployment = planner.plan().unwrap().deployment;
        let plan = planner.judge(deployment);
        let change = plan.checks.iter().find_map(|check| check.change.clone()).unwrap();
        assert!(change.contains("pack"), "{change}");
        assert!(plan.checks.iter().any(|check| !check.met && check.name.starts_with("end-to-end P95")));
    });
}

#[test]
fn a_small_load_gets_a_small_deployment() {
    let small = Requirements { rate: 100.0, peak: 100.0, records_per_message: 1.0, ..ADR };
    with_planner(small, &[], |planner| {
        let plan = planner.plan().unwrap();
        assert!(plan.checks.iter().all(|check| check.met), "{:?}", plan.checks);
        assert!(plan.deployment.scaling.most() <= 20 && plan.deployment.warm_write_units == 0, "{:?}", plan.deployment);
    });
}

#[test]
fn every_profile_holds_its_own_targets_under_its_own_load() {
    let text = include_str!("../../../samconfig.toml");
    let config: toml::Table = text.parse().unwrap();
    let names: Vec<&String> = config.iter().filter(|(_, value)| value.is_table()).map(|(name, _)| name).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    for name in names {
        let profile = Profile::parse(text, name).unwrap();
        let load = |option: &str| profile.load.get(option).copied();
        let deployment = Deployment::new(&profile.parameters).unwrap();
        let rate = load("rate").unwrap_or_else(|| panic!("[{name}.plan.parameters] has no rate"));
        let requirements = Requirements {
            rate,
            peak: load("peak").unwrap_or(rate),
            record_bytes: load("record_bytes").unwrap(),
            item_bytes: load("item_bytes").unwrap_or(load("record_bytes").unwrap()),
            records_per_message: load("records_per_message").unwrap_or(1.0),
            delivery_target_ms: f64::from(deployment.delivery_target_ms),
            end_to_end_target_ms: f64::from(deployment.end_to_end_target_ms),
            overhead_ms: 0.0,
        };
        let plan = with_planner(requirements, &[], |planner| planner.judge(deployment.clone()));
        let missed: Vec<_> = plan.checks.iter().filter(|check| !check.met).collect();
        assert!(missed.is_empty(), "{name}: {missed:#?}");
    }
}
