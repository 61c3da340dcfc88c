//! Tests of the limiter on simulated links. Each file in `scenarios/` describes a link and the range in which the limit must
//! settle.
mod measure;
mod scenario;
mod sim;

use std::fs;
use std::path::Path;
use std::time::Duration;

use avro_ingest::limiter::{AimdLimit, CallOutcome, Sample};
use scenario::Scenario;

/// Seeds with which each scenario must hold, so that none of them passes by chance.
const SEEDS: std::ops::Range<u64> = 0..8;

fn scenario(name: &str) -> Scenario {
    let path = folder().join(name).with_extension("json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn names() -> Vec<String> {
    let entries = fs::read_dir(folder()).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/limiter/scenarios")
}

fn aimd(scenario: &Scenario) -> AimdLimit {
    AimdLimit::new(Duration::from_millis(scenario.target_ms), scenario.min, scenario.max).unwrap()
}

#[test]
fn the_limit_settles_in_the_band_of_every_scenario() {
    let mut report = String::new();
    for name in names() {
        let scenario = scenario(&name);
        let aimd = aimd(&scenario);
        for seed in SEEDS {
            let trace = sim::run(&scenario, &aimd, seed, |state, sample, now| aimd.next(state, sample, now));
            let misses = measure::misses(&scenario, &trace).join("\n");
            if !misses.is_empty() {
                let (why, chart) = (scenario.why.join("\n"), measure::chart(&scenario, &trace));
                report += &format!("\n{name}, seed {seed}\n\n{why}\n\n{misses}\n\n{chart}");
            }
        }
    }
    assert!(report.is_empty(), "{report}");
}

/// Hides part of the evidence from the limiter, to show that the scenario detects a limiter without it.
struct Blindfold {
    hides: &'static str,
    scenario: &'static str,
    on: fn(Sample) -> Sample,
}

const BLINDFOLDS: [Blindfold; 5] = [
    Blindfold { hides: "latency", scenario: "knee", on: |sample| Sample { latency: Duration::ZERO, ..sample } },
    Blindfold {
        hides: "whether the limit was reached",
        scenario: "light",
        on: |sample| Sample { in_flight: usize::MAX, ..sample },
    },
    Blindfold {
        hides: "failures",
        scenario: "failing",
        on: |sample| match sample.outcome {
            CallOutcome::Failed => Sample { outcome: served(0), ..sample },
            _ => sample,
        },
    },
    Blindfold {
        hides: "unprocessed items",
        scenario: "throttled",
        on: |sample| match sample.outcome {
            CallOutcome::Served { items, .. } => Sample { outcome: served(items), ..sample },
            _ => sample,
        },
    },
    Blindfold {
        hides: "refused calls",
        scenario: "throttle_burst",
        on: |sample| match sample.outcome {
            CallOutcome::Throttled { items } => Sample { outcome: served(items), ..sample },
            _ => sample,
        },
    },
];

#[test]
fn a_limiter_that_is_blind_to_part_of_the_evidence_leaves_a_band() {
    for Blindfold { hides, scenario: name, on } in BLINDFOLDS {
        let scenario = scenario(name);
        let aimd = aimd(&scenario);
        for seed in SEEDS {
            let trace = sim::run(&scenario, &aimd, seed, |state, sample, now| aimd.next(state, on(sample), now));
            assert!(!measure::misses(&scenario, &trace).is_empty(), "{name} passes without {hides}, seed {seed}");
        }
    }
}

const fn served(items: usize) -> CallOutcome {
    CallOutcome::Served { items, unprocessed: 0 }
}

#[test]
fn a_simulation_is_the_same_every_time_and_another_with_another_seed() {
    let scenario = scenario("noisy");
    let aimd = aimd(&scenario);
    let run = |seed| sim::run(&scenario, &aimd, seed, |state, sample, now| aimd.next(state, sample, now));
    assert!(run(1) == run(1));
    assert!(run(1) != run(2));
}

#[test]
fn the_simulated_line_obeys_littles_law() {
    let mut scenario = scenario("knee");
    let link = &mut scenario.phases[0].link;
    (link.jitter, link.served_at_once) = (0.0, Some(2));
    let aimd = AimdLimit::new(Duration::from_millis(50), 8, 8).unwrap();
    let trace = sim::run(&scenario, &aimd, 0, |state, _, _| state);
    let settled: Vec<_> = trace.calls.iter().skip(8).collect();
    assert!(settled.iter().all(|call| call.latency == Duration::from_millis(80)), "8 in flight, 2 served every 20 ms");
    assert!((1900..=2000).contains(&settled.len()), "100 calls a second for 20 s: {}", settled.len());
}
