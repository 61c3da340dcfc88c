//! A discrete-event simulation of limiters on a link, in virtual time. The result depends only on the seed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use avro_ingest::limiter::{AimdLimit, CallOutcome, Sample, State};

use super::scenario::{Link, Load, Phase, Scenario};

/// Number of items in every call: the maximum of a write batch.
pub(crate) const ITEMS: usize = 25;

/// Seconds of unused capacity that a table accumulates.
const SAVED_S: f64 = 0.05;

/// Everything that happened in a simulation.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Trace {
    pub(crate) limits: Vec<LimitAt>,
    pub(crate) calls: Vec<Call>,
}

/// An instance's limit, from `at` onwards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LimitAt {
    pub(crate) at: Duration,
    pub(crate) instance: usize,
    pub(crate) limit: usize,
}

/// A completed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Call {
    pub(crate) ended: Duration,
    /// Orders calls that end at the same instant by their start.
    number: usize,
    pub(crate) instance: usize,
    pub(crate) latency: Duration,
    in_flight: usize,
    pub(crate) refused: usize,
    pub(crate) failed: bool,
}

#[derive(Debug, Clone)]
struct Instance {
    state: State,
    in_flight: usize,
    /// Number of calls in a burst that have not started yet.
    owed: usize,
}

/// Runs `scenario`. `steer` controls the limit of each instance: it is the limiter's own `next` or a deliberately broken one.
pub(crate) fn run(
    scenario: &Scenario,
    aimd: &AimdLimit,
    seed: u64,
    steer: impl Fn(State, Sample, Duration) -> State,
) -> Trace {
    let mut sim = Sim {
        random: Random(fastrand::Rng::with_seed(seed)),
        instances: vec![Instance { state: aimd.start(), in_flight: 0, owed: 0 }; scenario.instances],
        in_flight: BinaryHeap::new(),
        busy_until: BinaryHeap::new(),
        saved: f64::MAX,
        saved_at: Duration::ZERO,
        trace: Trace::default(),
        started: 0,
    };
    for instance in 0..scenario.instances {
        sim.trace.limits.push(LimitAt { at: Duration::ZERO, instance, limit: aimd.start().limit() });
    }
    for (index, phase) in scenario.phases.iter().enumerate() {
        let until = scenario.phases.get(index + 1).map_or(Duration::from_secs_f64(scenario.until_s), Phase::from);
        sim.phase(phase, until, &steer);
    }
    sim.trace
}

struct Sim {
    random: Random,
    instances: Vec<Instance>,
    in_flight: BinaryHeap<Reverse<Call>>,
    /// Time at which each slot of the link becomes free, if the link limits concurrent calls.
    busy_until: BinaryHeap<Reverse<Duration>>,
    /// Number of items that the table could accept at `saved_at`.
    saved: f64,
    saved_at: Duration,
    trace: Trace,
    started: usize,
}

impl Sim {
    fn phase(&mut self, phase: &Phase, until: Duration, steer: &impl Fn(State, Sample, Duration) -> State) {
        let mut due = Some(phase.from());
        for instance in &mut self.instances {
            instance.owed = 0;
        }
        loop {
            let ended = self.in_flight.peek().map(|call| call.0.ended);
            let now = [ended, due].into_iter().flatten().min().unwrap_or(until);
            if now >= until {
                return;
            }
            if due == Some(now) {
                due = match phase.load {
                    Load::Callers(_) => None,
                    Load::Bursts { calls, every_s } => {
                        self.instances.iter_mut().for_each(|instance| instance.owed += calls);
                        Some(now + Duration::from_secs_f64(every_s))
                    }
                };
                for index in 0..self.instances.len() {
                    self.start_calls(index, phase, now);
                }
            } else if let Some(Reverse(call)) = self.in_flight.pop() {
                self.end(call, steer);
                self.start_calls(call.instance, phase, now);
            }
        }
    }

    fn start_calls(&mut self, index: usize, Phase { load, link, .. }: &Phase, now: Duration) {
        loop {
            let instance = &mut self.instances[index];
            let wanted = match load {
                Load::Callers(callers) => instance.in_flight < *callers,
                Load::Bursts { .. } => instance.owed > 0,
            };
            if !wanted || instance.in_flight >= instance.state.limit() {
                return;
            }
            instance.owed = instance.owed.saturating_sub(1);
            instance.in_flight += 1;
            let in_flight = instance.in_flight;
            let (latency, refused, failed) = self.send(link, now);
            self.started += 1;
            let call = Call {
                ended: now + latency,
                number: self.started,
                instance: index,
                latency,
                in_flight,
                refused,
                failed,
            };
            self.in_flight.push(Reverse(call));
        }
    }

    fn send(&mut self, link: &Link, now: Duration) -> (Duration, usize, bool) {
        let service = Duration::from_secs_f64(link.service_ms / 1e3 * (link.jitter * self.random.normal()).exp());
        if self.random.chance(link.failing) {
            return (service / 4, ITEMS, true);
        }
        let refused = self.refused(link, now);
        if refused == ITEMS {
            // A throttled call returns quickly, so a limiter that considers only latency would raise its limit.
            return (service / 4, refused, false);
        }
        let stall =
            link.stalls.as_ref().filter(|stalls| self.random.chance(stalls.share)).map_or(0.0, |stalls| stalls.ms);
        let service = service + Duration::from_secs_f64(stall / 1e3);
        let wait = link.served_at_once.map_or(Duration::ZERO, |places| self.wait(places, service, now));
        (wait + service, refused, false)
    }

    fn refused(&mut self, link: &Link, now: Duration) -> usize {
        let hot = (0..ITEMS).filter(|_| self.random.chance(link.hot_items)).count();
        let Some(rate) = link.items_per_s else { return hot };
        self.saved = (self.saved + (now - self.saved_at).as_secs_f64() * rate).min(rate * SAVED_S);
        self.saved_at = now;
        let mut taken = 0;
        while taken < ITEMS - hot && self.saved >= 1.0 {
            self.saved -= 1.0;
            taken += 1;
        }
        ITEMS - taken
    }

    fn wait(&mut self, places: usize, service: Duration, now: Duration) -> Duration {
        while self.busy_until.len() < places {
            self.busy_until.push(Reverse(now));
        }
        while self.busy_until.len() > places {
            self.busy_until.pop();
        }
        let wait = self.busy_until.pop().map_or(Duration::ZERO, |free| free.0.saturating_sub(now));
        self.busy_until.push(Reverse(now + wait + service));
        wait
    }

    fn end(&mut self, call: Call, steer: &impl Fn(State, Sample, Duration) -> State) {
        let outcome = match call.refused {
            _ if call.failed => CallOutcome::Failed,
            ITEMS => CallOutcome::Throttled { items: ITEMS },
            unprocessed => CallOutcome::Served { items: ITEMS, unprocessed },
        };
        let instance = &mut self.instances[call.instance];
        let before = instance.state.limit();
        let sample = Sample { latency: call.latency, outcome, in_flight: call.in_flight };
        instance.state = steer(instance.state, sample, call.ended);
        instance.in_flight -= 1;
        let limit = instance.state.limit();
        if limit != before {
            self.trace.limits.push(LimitAt { at: call.ended, instance: call.instance, limit });
        }
        self.trace.calls.push(call);
    }
}

struct Random(fastrand::Rng);

impl Random {
    /// Returns a number from 0 (inclusive) to 1 (exclusive).
    fn unit(&mut self) -> f64 {
        self.0.f64()
    }

    fn chance(&mut self, share: f64) -> bool {
        share > 0.0 && self.unit() < share
    }

    /// Returns an approximately normal value. The sum of twelve uniform values avoids functions whose results differ between
    /// machines.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}
