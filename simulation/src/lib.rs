//! A discrete-event simulation of the queue, what reads it, the instances and the table. Seeded and pure: the same scenario
//! gives the same outcome.
//!
//! Messages arrive as a Poisson process in steps of a millisecond. Pollers take them as AWS documents it: long polls, batches
//! and windows, a fixed pace, more pollers while messages wait. An invocation takes an instance, a cold one if none is idle,
//! and the time that was measured for its size. The table has so many write units a second and no burst; items over it wait for
//! a backoff with full jitter, as the function's do, and are returned to the queue at the deadline. Everything that AWS does not
//! document is listed in docs/plan.md.

#![expect(missing_docs, reason = "the tool is its one user, and most names say it all")]

pub mod deployment;
pub mod limits;
pub mod outcome;
pub mod scaling;
pub mod service;

use crate::deployment::Deployment;
use crate::limits::{
    INVOCATIONS_PER_SECOND, LONG_POLL_SECONDS, MAX_IN_FLIGHT_MESSAGES, MESSAGES_PER_CALL, POLLS_PER_SECOND,
};
use crate::outcome::{Recorder, SimulationOutcome};
use crate::scaling::Scaling;
use crate::service::{MeasuredInvocation as Time, ServiceTimes};
use avro_ingest::visibility;
use rand_distr::{Distribution, Poisson, StandardUniform};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

/// Microseconds of a step.
const STEP_US: u64 = 1_000;
const SECOND_US: u64 = 1_000_000;
/// The function's backoff after a throttle: the first, and the longest.
const THROTTLE_BACKOFF_US: f64 = 50e3;
const MAX_BACKOFF_US: f64 = 1e6;
/// Seconds that an idle instance is kept.
const INSTANCE_KEPT_SECONDS: u64 = 600;
/// The template's visibility timeout in timeouts of the function, beside the window.
const VISIBILITY_FACTOR: u64 = 6;

/// What is simulated.
pub struct Scenario<'a> {
    /// Messages that arrive in a second, by the second.
    pub rate: &'a dyn Fn(u64) -> f64,
    pub seconds: u64,
    /// Seconds at the beginning that are not counted.
    pub warm_up: u64,
    pub deployment: &'a Deployment,
    pub service: &'a ServiceTimes,
    pub records_per_message: f64,
    /// Write units of a message's records.
    pub units_per_message: f64,
    /// Write units that the table takes in a second.
    pub table_units: f64,
    /// Pollers at the beginning.
    pub pollers: u32,
    /// Whether AWS's pace of ten a second holds. Without it the simulation is a plain M/M/c queue.
    pub paced: bool,
    /// What SQS and Lambda take for a message beside all this.
    pub overhead_us: u64,
    pub seed: u64,
}

/// Messages that were sent together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    sent_us: u64,
    messages: u32,
    receives: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not running; not yet, or no more.
    Off,
    /// In a long poll.
    Waiting,
    /// Until its pace allows the next poll.
    Scheduled,
    /// With as many invocations as it may run.
    Busy,
}

/// A process that reads batches (standard mode), or a dedicated poller.
struct Poller {
    state: State,
    /// Grows with every change of state, so that an old event is known as old.
    ticket: u32,
    running: u32,
    next_poll_us: u64,
    batch: Vec<Group>,
    gathered: u32,
    batches: u32,
}

struct RunningInvocation {
    poller: usize,
    groups: Vec<Group>,
    messages: u32,
    started_us: u64,
    deadline_us: u64,
    throttled: i32,
    units_left: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Poll { poller: usize, ticket: u32 },
    WindowEnds { poller: usize, batch: u32 },
    Write { invocation: usize },
    Done { invocation: usize },
    Visible(Group),
}

struct Simulation<'a> {
    scenario: &'a Scenario<'a>,
    random: Xoshiro256PlusPlus,
    /// Times of an invocation by its messages, from 0 on.
    times: Vec<Time>,
    events: BinaryHeap<Reverse<(u64, Event)>>,
    queue: VecDeque<Group>,
    visible: u64,
    in_flight: u64,
    pollers: Vec<Poller>,
    waiting: VecDeque<(usize, u32)>,
    waiting_count: usize,
    /// How many pollers there may be; a fraction is on its way.
    allowed: f64,
    invocations: Vec<RunningInvocation>,
    free: Vec<usize>,
    running: u64,
    /// The most of them since instances were last counted.
    most_running: u64,
    instances: u64,
    tokens: f64,
    tokens_at_us: u64,
    recorder: Recorder,
}

/// Runs `scenario` to its end.
pub fn run(scenario: &Scenario<'_>) -> SimulationOutcome {
    let deployment = scenario.deployment;
    let times = (0..=deployment.batch_size)
        .map(|messages| scenario.service.of((f64::from(messages) * scenario.records_per_message).max(1.0)))
        .collect();
    let start = scenario.pollers.clamp(deployment.scaling.least(), deployment.scaling.most());
    let mut simulation = Simulation {
        scenario,
        random: Xoshiro256PlusPlus::seed_from_u64(scenario.seed),
        times,
        events: BinaryHeap::new(),
        queue: VecDeque::new(),
        visible: 0,
        in_flight: 0,
        pollers: Vec::new(),
        waiting: VecDeque::new(),
        waiting_count: 0,
        allowed: f64::from(start),
        invocations: Vec::new(),
        free: Vec::new(),
        running: 0,
        most_running: 0,
        instances: u64::from(deployment.min_instances),
        tokens: scenario.table_units,
        tokens_at_us: 0,
        recorder: Recorder::new(scenario.seconds, scenario.warm_up * SECOND_US),
    };
    simulation.open_pollers(0);
    simulation.spread_pollers();
    for second in 0..scenario.seconds {
        simulation.second(second);
    }
    simulation.finish()
}

impl Simulation<'_> {
    fn second(&mut self, second: u64) {
        let rate = (self.scenario.rate)(second).max(0.0);
        let arrivals = Poisson::new(rate * STEP_US as f64 / SECOND_US as f64).ok();
        for step in 0..SECOND_US / STEP_US {
            let now = second * SECOND_US + step * STEP_US;
            while let Some(&Reverse((at, event))) = self.events.peek() {
                if at > now {
                    break;
                }
                self.events.pop();
                self.handle(at, event);
            }
            let messages = arrivals.map_or(0.0, |arrivals| arrivals.sample(&mut self.random));
            if messages >= 1.0 {
                let group = Group { sent_us: now, messages: whole(messages), receives: 0 };
                self.recorder.sent(now, group.messages);
                self.visible += u64::from(group.messages);
                self.queue.push_back(group);
            }
            self.serve_long_polls(now);
            self.recorder.step(now, self.in_flight);
        }
        self.scale((second + 1) * SECOND_US);
        if (second + 1).is_multiple_of(INSTANCE_KEPT_SECONDS) {
            let kept = u64::from(self.scenario.deployment.min_instances);
            self.instances = std::mem::replace(&mut self.most_running, self.running).max(kept);
        }
        // a long poll that nothing answers is a call too
        self.recorder.polls(second * SECOND_US, self.waiting_count as f64 / LONG_POLL_SECONDS);
        self.recorder.second(second, rate, self.open(), self.running, self.instances, self.visible);
    }

    fn handle(&mut self, now: u64, event: Event) {
        match event {
            Event::Poll { poller, ticket } => {
                if self.is(poller, State::Scheduled, ticket) {
                    self.poll(poller, now);
                }
            }
            Event::WindowEnds { poller, batch } => {
                if self.pollers.get(poller).is_some_and(|poller| poller.batches == batch && poller.gathered > 0) {
                    self.invoke(poller, now);
                }
            }
            Event::Write { invocation } => self.write(invocation, now),
            Event::Done { invocation } => self.done(invocation, now),
            Event::Visible(group) => {
                self.in_flight -= u64::from(group.messages);
                self.visible += u64::from(group.messages);
                self.queue.push_back(group);
            }
        }
    }

    // ---- pollers ----

    fn open(&self) -> u32 {
        whole(self.allowed)
    }

    /// A wait of its own for each at the beginning, so that they do not poll in step.
    fn spread_pollers(&mut self) {
        let pace = self.pace_us();
        let count = self.pollers.len();
        for poller in 0..count {
            self.schedule(poller, pace * poller as u64 / count as u64);
        }
    }

    fn open_pollers(&mut self, now: u64) {
        for poller in 0..self.open() as usize {
            if poller == self.pollers.len() {
                self.pollers.push(Poller {
                    state: State::Off,
                    ticket: 0,
                    running: 0,
                    next_poll_us: 0,
                    batch: Vec::new(),
                    gathered: 0,
                    batches: 0,
                });
            }
            if self.pollers.get(poller).is_some_and(|poller| poller.state == State::Off) {
                self.schedule(poller, now);
            }
        }
    }

    /// More pollers while messages wait and none of the pollers is idle, fewer while more than half are idle.
    fn scale(&mut self, now: u64) {
        let scaling = self.scenario.deployment.scaling;
        let idle = self.pollers.iter().filter(|poller| poller.state == State::Waiting && poller.gathered == 0).count();
        if self.visible > 0 && self.waiting_count == 0 {
            self.allowed = (self.allowed + scaling.added_per_second()).min(f64::from(scaling.most()));
            self.open_pollers(now);
        } else if idle * 2 > self.open() as usize {
            self.allowed = (self.allowed - scaling.added_per_second()).max(f64::from(scaling.least()));
            self.close_pollers();
        }
    }

    /// Idle pollers above the allowed number end; the others end when they would poll again.
    fn close_pollers(&mut self) {
        let open = self.open() as usize;
        for poller in open..self.pollers.len() {
            if self.pollers.get(poller).is_some_and(|poller| poller.state == State::Waiting && poller.gathered == 0) {
                self.set(poller, State::Off);
            }
        }
    }

    fn is(&self, poller: usize, state: State, ticket: u32) -> bool {
        self.pollers.get(poller).is_some_and(|poller| poller.state == state && poller.ticket == ticket)
    }

    fn set(&mut self, index: usize, state: State) -> u32 {
        let Some(poller) = self.pollers.get_mut(index) else { return 0 };
        match (poller.state, state) {
            (State::Waiting, State::Waiting) => {}
            (State::Waiting, _) => self.waiting_count -= 1,
            (_, State::Waiting) => self.waiting_count += 1,
            _ => {}
        }
        poller.state = state;
        poller.ticket += 1;
        poller.ticket
    }

    fn schedule(&mut self, poller: usize, at: u64) {
        let ticket = self.set(poller, State::Scheduled);
        self.events.push(Reverse((at, Event::Poll { poller, ticket })));
    }

    fn wait(&mut self, poller: usize) {
        let ticket = self.set(poller, State::Waiting);
        self.waiting.push_back((poller, ticket));
    }

    /// Microseconds from one poll, or in standard mode from one batch, to the next.
    fn pace_us(&self) -> u64 {
        if !self.scenario.paced {
            return 0;
        }
        let per_second = match self.scenario.deployment.scaling {
            Scaling::Standard { .. } => INVOCATIONS_PER_SECOND,
            Scaling::Pollers { .. } => POLLS_PER_SECOND,
        };
        micros(1.0 / per_second)
    }

    fn poll(&mut self, index: usize, now: u64) {
        let Some(poller) = self.pollers.get(index) else { return };
        if index >= self.open() as usize && poller.gathered == 0 {
            self.set(index, State::Off);
            return;
        }
        let room = self.scenario.deployment.batch_size - poller.gathered;
        let most = match self.scenario.deployment.scaling {
            Scaling::Standard { .. } => room,
            Scaling::Pollers { .. } => room.min(MESSAGES_PER_CALL),
        };
        if self.visible == 0 || self.in_flight >= MAX_IN_FLIGHT_MESSAGES {
            self.wait(index);
        } else {
            self.receive(index, most, now);
        }
    }

    /// Messages that wait go to pollers that wait: one by one, as they arrive, or ten by ten where a batch gathers anyway.
    fn serve_long_polls(&mut self, now: u64) {
        if self.visible == 0 || self.waiting_count == 0 {
            return;
        }
        let share = u32::try_from(self.visible.div_ceil(self.waiting_count as u64)).unwrap_or(u32::MAX);
        while self.visible > 0 && self.in_flight < MAX_IN_FLIGHT_MESSAGES {
            let Some((index, ticket)) = self.waiting.pop_front() else { return };
            if !self.is(index, State::Waiting, ticket) {
                continue;
            }
            let room =
                self.scenario.deployment.batch_size - self.pollers.get(index).map_or(0, |poller| poller.gathered);
            let most = if self.scenario.deployment.window_seconds > 0 { MESSAGES_PER_CALL } else { share };
            self.receive(index, most.min(room).min(MESSAGES_PER_CALL), now);
        }
    }

    /// Takes at most `most` messages into the poller's batch.
    fn receive(&mut self, index: usize, most: u32, now: u64) {
        let pace = self.pace_us();
        let deployment = self.scenario.deployment;
        let Some(poller) = self.pollers.get_mut(index) else { return };
        let begins = poller.gathered == 0;
        let mut taken = 0;
        while taken < most {
            let Some(group) = self.queue.front_mut() else { break };
            let part = group.messages.min(most - taken);
            poller.batch.push(Group { messages: part, receives: group.receives + 1, ..*group });
            group.messages -= part;
            taken += part;
            if group.messages == 0 {
                self.queue.pop_front();
            }
        }
        poller.gathered += taken;
        self.visible -= u64::from(taken);
        self.in_flight += u64::from(taken);
        self.recorder.polls(now, f64::from(taken.div_ceil(MESSAGES_PER_CALL)));
        let every_poll = matches!(deployment.scaling, Scaling::Pollers { .. });
        if begins || every_poll {
            poller.next_poll_us = now + pace;
        }
        let (gathered, next_poll_us) = (poller.gathered, poller.next_poll_us);
        if begins {
            poller.batches += 1;
            let window = u64::from(deployment.window_seconds) * SECOND_US;
            let event = Event::WindowEnds { poller: index, batch: poller.batches };
            if window > 0 && gathered < deployment.batch_size {
                self.events.push(Reverse((now + window, event)));
            }
        }
        if gathered >= deployment.batch_size || deployment.window_seconds == 0 {
            self.invoke(index, now);
        } else if every_poll {
            self.schedule(index, next_poll_us);
        } else {
            self.wait(index);
        }
    }

    // ---- invocations ----

    fn invoke(&mut self, index: usize, now: u64) {
        let deployment = self.scenario.deployment;
        let Some(poller) = self.pollers.get_mut(index) else { return };
        let (groups, messages) = (std::mem::take(&mut poller.batch), std::mem::take(&mut poller.gathered));
        poller.running += 1;
        let (running, next_poll_us) = (poller.running, poller.next_poll_us);
        self.running += 1;
        self.most_running = self.most_running.max(self.running);
        let cold = self.running > self.instances;
        let started_us = if cold {
            self.instances += 1;
            now + micros(self.scenario.service.cold_start_seconds)
        } else {
            now
        };
        self.recorder.invocation(now, cold);
        for group in &groups {
            self.recorder.delivered(group.sent_us, started_us + self.scenario.overhead_us, group.messages);
        }
        let within_us =
            u64::from(deployment.timeout_seconds) * SECOND_US - u64::from(deployment.deadline_margin_ms) * 1_000;
        let invocation = RunningInvocation {
            poller: index,
            groups,
            messages,
            started_us,
            deadline_us: started_us + within_us,
            throttled: 0,
            units_left: f64::from(messages) * self.scenario.units_per_message,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                if let Some(free) = self.invocations.get_mut(slot) {
                    *free = invocation;
                }
                slot
            }
            None => {
                self.invocations.push(invocation);
                self.invocations.len() - 1
            }
        };
        if cold {
            self.events.push(Reverse((started_us, Event::Write { invocation: slot })));
        } else {
            self.write(slot, now);
        }
        if running < deployment.scaling.invocations_each() {
            self.schedule(index, next_poll_us.max(now));
        } else {
            self.set(index, State::Busy);
        }
    }

    /// Takes write units of the table: all that are needed, or what there is and a backoff.
    fn write(&mut self, slot: usize, now: u64) {
        let refill = (now - self.tokens_at_us.min(now)) as f64 / SECOND_US as f64 * self.scenario.table_units;
        self.tokens = (self.tokens + refill).min(self.scenario.table_units);
        self.tokens_at_us = self.tokens_at_us.max(now);
        let Some(invocation) = self.invocations.get_mut(slot) else { return };
        let taken = invocation.units_left.min(self.tokens.floor());
        self.tokens -= taken;
        invocation.units_left -= taken;
        self.recorder.written(now, taken);
        if invocation.units_left <= 0.0 {
            let Some(time) = self.times.get(invocation.messages as usize) else { return };
            let seconds = time.sample(self.scenario.deployment.memory_mb, &mut self.random);
            self.events.push(Reverse((now + micros(seconds), Event::Done { invocation: slot })));
            return;
        }
        self.recorder.throttle(now);
        let longest = (THROTTLE_BACKOFF_US * 2f64.powi(invocation.throttled)).min(MAX_BACKOFF_US);
        invocation.throttled = (invocation.throttled + 1).min(16);
        let jitter: f64 = StandardUniform.sample(&mut self.random);
        let again = now + STEP_US + micros(longest * jitter / 1e6);
        let event = if again < invocation.deadline_us {
            (again, Event::Write { invocation: slot })
        } else {
            (invocation.deadline_us.max(now), Event::Done { invocation: slot })
        };
        self.events.push(Reverse(event));
    }

    fn done(&mut self, slot: usize, now: u64) {
        let Some(invocation) = self.invocations.get_mut(slot) else { return };
        let index = invocation.poller;
        let groups = std::mem::take(&mut invocation.groups);
        let unwritten = (invocation.units_left / self.scenario.units_per_message.max(f64::EPSILON)).ceil();
        let mut stored = invocation.messages - whole(unwritten).min(invocation.messages);
        self.recorder.ended(invocation.started_us, now, invocation.messages);
        for group in groups {
            let part = group.messages.min(stored);
            stored -= part;
            self.in_flight -= u64::from(part);
            if part > 0 {
                self.recorder.stored(group.sent_us, now + self.scenario.overhead_us, part);
            }
            let returned = Group { messages: group.messages - part, ..group };
            if returned.messages > 0 {
                self.give_back(returned, now);
            }
        }
        self.free.push(slot);
        self.running -= 1;
        let Some(poller) = self.pollers.get_mut(index) else { return };
        poller.running -= 1;
        let next_poll_us = poller.next_poll_us;
        if poller.state == State::Busy {
            self.schedule(index, next_poll_us.max(now));
        }
    }

    fn give_back(&mut self, group: Group, now: u64) {
        if u32::from(group.receives) >= self.scenario.deployment.max_receive_count {
            self.in_flight -= u64::from(group.messages);
            self.recorder.dead_lettered(group.sent_us, group.messages);
        } else {
            self.recorder.returned(now, group.messages);
            let back = now + self.return_delay_us(u32::from(group.receives));
            self.events.push(Reverse((back, Event::Visible(group))));
        }
    }

    /// How long a returned message stays out of sight: the function's backoff, or the queue's visibility timeout without it.
    fn return_delay_us(&mut self, receives: u32) -> u64 {
        let Deployment { return_backoff_seconds, timeout_seconds, window_seconds, .. } = *self.scenario.deployment;
        if return_backoff_seconds == 0 {
            return (VISIBILITY_FACTOR * u64::from(timeout_seconds) + u64::from(window_seconds)) * SECOND_US;
        }
        let first = Duration::from_secs(return_backoff_seconds.into());
        let share: f64 = StandardUniform.sample(&mut self.random);
        let delay = visibility::after(first, receives, |half| half.mul_f64(share));
        // SQS counts in whole seconds
        micros(delay.as_secs_f64().ceil())
    }

    /// What still waits is as late as it is by now; left out, an overloaded queue would look fast.
    fn finish(mut self) -> SimulationOutcome {
        let end = self.scenario.seconds * SECOND_US;
        let waiting = std::mem::take(&mut self.queue);
        for group in waiting {
            self.recorder.left(group.sent_us, end, group.messages);
        }
        self.recorder.finish()
    }
}

fn micros(seconds: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "times are not negative and far below 2^64"
    )]
    let micros = (seconds * 1e6).round() as u64;
    micros
}

/// A count without its fraction.
pub fn whole(count: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts are not negative; a cast saturates"
    )]
    let count = count as u32;
    count
}
