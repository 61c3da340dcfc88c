//! Model checking: explores every interleaving of small events together with a model of DynamoDB and SQS.
//!
//! - [`world`] is one state: the scheduler, the table, the calls in flight, and the writes that may still take effect.
//! - [`explore`] visits every state that is reachable from an event.
//! - [`promise`] states the invariants that must hold in each state.
//! - [`configuration`] lists the events.
//! - [`walk`] takes random walks through larger events.

mod configuration;
mod explore;
mod promise;
mod walk;
mod world;

use super::flaw::Flaw;
use configuration::{Configuration, Sent};
use explore::{Explored, explore};
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Minimum number of states that the test explores.
const MIN_STATES: usize = 1_000_000;

/// Number of random walks in each test.
const SEEDS: u64 = 2_000;
/// Seed of a walk that once broke a promise. A `Create` was superseded by one of an earlier message and then revived. It
/// was sent after a deletion of its own message had got no response, although that deletion could still take effect.
const ONCE_BROKEN: u64 = 1_276_165;

/// Runs `work` once on each core in parallel.
fn on_each_core(work: impl Fn() + Sync) {
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(&work);
        }
    });
}

/// Explores configurations on all cores until `is_enough` returns true for the number of states. Returns the number of
/// states and the number of explored configurations.
fn explore_each(configurations: &[Configuration], is_enough: impl Fn(usize) -> bool + Sync) -> (usize, usize) {
    let (next, states) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        while !is_enough(states.load(Ordering::Relaxed))
            && let Some(configuration) = configurations.get(next.fetch_add(1, Ordering::Relaxed))
        {
            match explore(configuration, None) {
                Explored::Holds { states: explored } => states.fetch_add(explored, Ordering::Relaxed),
                Explored::Broken { promise, trace } => {
                    panic!("{promise}\n{configuration:?}\n{}", trace.join("\n"))
                }
            };
        }
    };
    on_each_core(work);
    (states.into_inner(), next.into_inner().min(configurations.len()))
}

#[test]
fn every_promise_holds_in_a_million_states_of_small_events() {
    let named = configuration::named();
    let (states, _) = explore_each(&named, |_| false);
    let mut all = configuration::all();
    fastrand::Rng::with_seed(7).shuffle(&mut all);
    let (more, explored) = explore_each(&all, |more| states + more >= MIN_STATES);
    println!(
        "{} states of {} events with names and of {explored} out of {} others",
        states + more,
        named.len(),
        all.len()
    );
    assert!(states + more >= MIN_STATES);
}

/// Reads a number from an environment variable.
#[expect(clippy::disallowed_methods, reason = "only for the runs that take as long as they are given")]
fn given(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// `make model` explores for `MODEL_SECONDS` seconds. If the variable is unset, it explores every configuration.
#[test]
#[ignore = "takes as long as it is given"]
#[expect(clippy::disallowed_methods, reason = "the time that it is given is the caller's")]
fn model() {
    let seconds = given("MODEL_SECONDS");
    let started = Instant::now();
    let is_over = |_| seconds.is_some_and(|seconds| started.elapsed() >= Duration::from_secs(seconds));
    let mut all = configuration::named();
    all.extend(configuration::all());
    let (states, explored) = explore_each(&all, is_over);
    println!("{states} states of {explored} out of {} events", all.len());
}

/// Returns whether the checker detects a flaw in one of the named configurations, by a broken promise or a wrong index.
fn is_caught(flaw: Flaw) -> bool {
    let is_broken =
        |configuration: &Configuration| matches!(explore(configuration, Some(flaw)), Explored::Broken { .. });
    configuration::named().iter().any(is_broken)
}

#[test]
fn every_deliberate_mistake_is_caught() {
    for flaw in Flaw::ALL {
        assert!(is_caught(flaw), "{flaw:?}");
    }
}

#[test]
fn an_event_without_faults_is_stored_whole() {
    let message = |key| vec![Sent::put(key)];
    let configuration = Configuration { faults: 0, ..Configuration::standard(vec![message(0), message(1)]) };
    let Explored::Holds { states } = explore(&configuration, None) else { panic!() };
    assert!(states > 5, "{states}");
}

/// Walks through the events of `seeds` on all cores. Returns the total number of steps.
fn walk_each(seeds: std::ops::Range<u64>) -> usize {
    let (next, steps) = (AtomicU64::new(seeds.start), AtomicUsize::new(0));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            match walk::walk(seed, None) {
                Ok(walked) => steps.fetch_add(walked, Ordering::Relaxed),
                Err(broken) => panic!("{broken}"),
            };
        }
    };
    on_each_core(work);
    steps.into_inner()
}

#[test]
fn every_promise_holds_on_random_ways_through_larger_events() {
    assert!(walk_each(0..SEEDS) > 0);
    assert!(walk_each(ONCE_BROKEN..ONCE_BROKEN + 1) > 0);
}

/// `make simulate` walks through `SIMULATE_SCENES` events, starting with the seed `SIMULATE_SEED`.
#[test]
#[ignore = "takes minutes"]
fn simulate() {
    let (first, scenes) = (given("SIMULATE_SEED").unwrap_or(0), given("SIMULATE_SCENES").unwrap_or(1_000_000));
    let steps = walk_each(first..first + scenes);
    println!("{scenes} scenes of {steps} steps from seed {first} on");
}

#[test]
fn every_deliberate_mistake_is_met_on_random_ways() {
    for flaw in Flaw::ALL {
        assert!((0..SEEDS).any(|seed| walk::walk(seed, Some(flaw)).is_err()), "{flaw:?}");
    }
}
