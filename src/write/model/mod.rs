//! Model checking: explores every interleaving of small events together with a model of DynamoDB and SQS.
//!
//! [`world`] is one state: the scheduler, the table, the calls in flight, and writes that may still take effect. [`explore`]
//! visits every state that can be reached from an event. [`promise`] says what must hold in each of them. [`configuration`]
//! lists the events. [`walk`] takes random ways through larger ones.

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

/// Number of states that the test explores at least.
const MIN_STATES: usize = 1_000_000;

/// Number of random ways that the tests take.
const SEEDS: u64 = 2_000;
/// A way that broke a promise once: a `Create` that an earlier message's had superseded was revived and sent after a deletion of its
/// own message that had got no response.
const ONCE_BROKEN: u64 = 1_276_165;

/// Runs `work` once on each core at the same time.
fn on_each_core(work: impl Fn() + Sync) {
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(&work);
        }
    });
}

/// Explores configurations on all cores until `is_enough` says so of the number of states. Returns the states and how many
/// configurations they are of.
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

/// A number that the caller gives.
#[expect(clippy::disallowed_methods, reason = "only for the runs that take as long as they are given")]
fn given(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// `make model` explores for `MODEL_SECONDS`, or every configuration.
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

/// Returns whether the checker catches a flaw in one of the named configurations: a promise is broken, or an index is wrong.
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

/// Walks through the events of `seeds` on all cores. Returns the number of steps.
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

/// `make simulate` walks through `SIMULATE_SCENES` events, from `SIMULATE_SEED` on.
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
