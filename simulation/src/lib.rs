//! A discrete-event simulation of the queue, its consumers, the instances and the table. The outcome depends only on the
//! scenario, including its seed.
//!
//! Messages arrive as a Poisson process in steps of a millisecond. Pollers receive them as AWS documents it: with long polls,
//! batches and windows, at a fixed pace, and with more pollers while messages wait. An invocation uses an instance, which
//! starts cold if none is idle, and takes the time that was measured for its size. The table has a fixed number of write units
//! per second and no burst capacity. Items beyond it wait for a backoff with full jitter, like those of the function, and are
//! returned to the queue at the deadline. docs/plan.md lists every assumption about behaviour that AWS does not document.

#![expect(missing_docs, reason = "the tool is its one user, and most names say it all")]

mod agenda;
pub mod deployment;
mod instances;
pub mod limits;
pub mod outcome;
mod pollers;
mod queue;
pub mod scaling;
pub mod service;
mod table;

use crate::agenda::{Agenda, Event};
use crate::deployment::Deployment;
use crate::instances::{Instances, Invocations, RunningInvocation};
use crate::limits::{INVOCATIONS_PER_SECOND, LONG_POLL_SECONDS, MESSAGES_PER_CALL, POLLS_PER_SECOND};
use crate::outcome::{Recorder, SimulationOutcome};
use crate::pollers::{Poller, Pollers, State};
use crate::queue::{Group, Queue};
use crate::scaling::Scaling;
use crate::service::{MeasuredInvocation as Time, ServiceTimes};
use crate::table::Table;
use avro_ingest::visibility;
use rand_distr::{Distribution, Poisson, StandardUniform};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;
use std::time::Duration;

/// Length of a step, in microseconds.
const STEP_US: u64 = 1_000;
const SECOND_US: u64 = 1_000_000;
/// Initial and maximum backoff of the function after a throttle, in microseconds.
const THROTTLE_BACKOFF_US: f64 = 50e3;
const MAX_BACKOFF_US: f64 = 1e6;
/// The template's visibility timeout, without the window, as a multiple of the function's timeout.
const VISIBILITY_FACTOR: u64 = 6;

/// The system and the load to simulate.
pub struct Scenario<'a> {
    /// Number of messages that arrive per second, as a function of the second.
    pub rate: &'a dyn Fn(u64) -> f64,
    pub seconds: u64,
    /// Number of seconds at the beginning that are not counted.
    pub warm_up: u64,
    pub deployment: &'a Deployment,
    pub service: &'a ServiceTimes,
    pub records_per_message: f64,
    /// Write units of all records of a message.
    pub units_per_message: f64,
    /// Write capacity of the table, in units per second.
    pub table_units: f64,
    /// Number of pollers at the beginning.
    pub pollers: u32,
    /// Whether AWS's limit of ten per second applies. Without it, the simulation is a plain M/M/c queue.
    pub paced: bool,
    /// Additional latency of SQS and Lambda per message, in microseconds.
    pub overhead_us: u64,
    pub seed: u64,
}

/// A simulation run: the parts that own its state, and the interaction between them.
struct Simulation<'a> {
    scenario: &'a Scenario<'a>,
    random: Xoshiro256PlusPlus,
    /// Duration of an invocation, indexed by its number of messages from 0.
    times: Vec<Time>,
    agenda: Agenda,
    queue: Queue,
    pollers: Pollers,
    instances: Instances,
    invocations: Invocations,
    table: Table,
    recorder: Recorder,
}

/// Runs `scenario` to completion.
pub fn run(scenario: &Scenario<'_>) -> SimulationOutcome {
    let deployment = scenario.deployment;
    let times = (0..=deployment.batch_size)
        .map(|messages| scenario.service.time_of((f64::from(messages) * scenario.records_per_message).max(1.0)))
        .collect();
    let mut simulation = Simulation {
        scenario,
        random: Xoshiro256PlusPlus::seed_from_u64(scenario.seed),
        times,
        agenda: Agenda::default(),
        queue: Queue::default(),
        pollers: Pollers::new(deployment.scaling, scenario.pollers),
        instances: Instances::new(deployment.min_instances),
        invocations: Invocations::default(),
        table: Table::new(scenario.table_units),
        recorder: Recorder::new(scenario.seconds, scenario.warm_up * SECOND_US),
    };
    simulation.pollers.start(simulation.pace_us(), &mut simulation.agenda);
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
            while let Some((at, event)) = self.agenda.next_until(now) {
                self.handle(at, event);
            }
            let messages = arrivals.map_or(0.0, |arrivals| arrivals.sample(&mut self.random));
            if messages >= 1.0 {
                let group = Group { sent_us: now, messages: whole(messages), receives: 0 };
                self.recorder.sent(now, group.messages);
                self.queue.send(group);
            }
            self.serve_long_polls(now);
            self.recorder.step(now, self.queue.in_flight());
        }
        self.pollers.scale(self.queue.visible() > 0, (second + 1) * SECOND_US, &mut self.agenda);
        self.instances.second_ends(second);
        // a long poll that returns no messages is billed as a call too
        self.recorder.polls(second * SECOND_US, self.pollers.waiting() as f64 / LONG_POLL_SECONDS);
        let (running, instances) = (self.instances.running(), self.instances.count());
        self.recorder.second(second, rate, self.pollers.open(), running, instances, self.queue.visible());
    }

    fn handle(&mut self, now: u64, event: Event) {
        match event {
            Event::Poll { poller, ticket } => {
                if self.pollers.is(poller, State::Scheduled, ticket) {
                    self.poll(poller, now);
                }
            }
            Event::WindowEnds { poller, batch } => {
                let is_open = |poller: &mut Poller| poller.batches == batch && poller.gathered > 0;
                if self.pollers.get_mut(poller).is_some_and(is_open) {
                    self.invoke(poller, now);
                }
            }
            Event::Write { invocation } => self.write(invocation, now),
            Event::Done { invocation } => self.done(invocation, now),
            Event::Visible(group) => self.queue.give_back(group),
        }
    }

    // ---- pollers ----

    /// Returns the minimum time between two polls, or between two batches in standard mode, in microseconds.
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
        let open = self.pollers.open() as usize;
        let Some(poller) = self.pollers.get_mut(index) else { return };
        let gathered = poller.gathered;
        if index >= open && gathered == 0 {
            self.pollers.set(index, State::Off);
            return;
        }
        let room = self.scenario.deployment.batch_size - gathered;
        let most = match self.scenario.deployment.scaling {
            Scaling::Standard { .. } => room,
            Scaling::Pollers { .. } => room.min(MESSAGES_PER_CALL),
        };
        if self.queue.has_messages() {
            self.receive(index, most, now);
        } else {
            self.pollers.wait(index);
        }
    }

    /// Distributes visible messages to waiting pollers: one at a time as they arrive, or ten at a time if a batch is gathered
    /// anyway.
    fn serve_long_polls(&mut self, now: u64) {
        if self.queue.visible() == 0 || self.pollers.waiting() == 0 {
            return;
        }
        let share = self.queue.visible().div_ceil(self.pollers.waiting() as u64);
        let share = u32::try_from(share).unwrap_or(u32::MAX);
        while self.queue.has_messages() {
            let Some(index) = self.pollers.next_waiting() else { return };
            let gathered = self.pollers.get_mut(index).map_or(0, |poller| poller.gathered);
            let room = self.scenario.deployment.batch_size - gathered;
            let most = if self.scenario.deployment.window_seconds > 0 { MESSAGES_PER_CALL } else { share };
            self.receive(index, most.min(room).min(MESSAGES_PER_CALL), now);
        }
    }

    /// Receives at most `most` messages into the poller's batch.
    fn receive(&mut self, index: usize, most: u32, now: u64) {
        let pace = self.pace_us();
        let deployment = self.scenario.deployment;
        let Some(poller) = self.pollers.get_mut(index) else { return };
        let begins = poller.gathered == 0;
        let taken = self.queue.receive(most, &mut poller.batch);
        poller.gathered += taken;
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
                self.agenda.push(now + window, event);
            }
        }
        if gathered >= deployment.batch_size || deployment.window_seconds == 0 {
            self.invoke(index, now);
        } else if every_poll {
            self.pollers.schedule(index, next_poll_us, &mut self.agenda);
        } else {
            self.pollers.wait(index);
        }
    }

    // ---- invocations ----

    fn invoke(&mut self, index: usize, now: u64) {
        let deployment = self.scenario.deployment;
        let Some(poller) = self.pollers.get_mut(index) else { return };
        let (groups, messages) = (std::mem::take(&mut poller.batch), std::mem::take(&mut poller.gathered));
        poller.running += 1;
        let (running, next_poll_us) = (poller.running, poller.next_poll_us);
        let cold = self.instances.begin();
        let started_us = if cold { now + micros(self.scenario.service.cold_start_seconds) } else { now };
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
        let slot = self.invocations.add(invocation);
        if cold {
            self.agenda.push(started_us, Event::Write { invocation: slot });
        } else {
            self.write(slot, now);
        }
        if running < deployment.scaling.invocations_each() {
            self.pollers.schedule(index, next_poll_us.max(now), &mut self.agenda);
        } else {
            self.pollers.set(index, State::Busy);
        }
    }

    /// Consumes write units of the table. If fewer are available than needed, consumes those and schedules a backoff.
    fn write(&mut self, slot: usize, now: u64) {
        let Some(invocation) = self.invocations.get_mut(slot) else { return };
        let taken = self.table.take(invocation.units_left, now);
        invocation.units_left -= taken;
        self.recorder.written(now, taken);
        if invocation.units_left <= 0.0 {
            let Some(time) = self.times.get(invocation.messages as usize) else { return };
            let seconds = time.sample(self.scenario.deployment.memory_mb, &mut self.random);
            self.agenda.push(now + micros(seconds), Event::Done { invocation: slot });
            return;
        }
        self.recorder.throttle(now);
        let longest = (THROTTLE_BACKOFF_US * 2f64.powi(invocation.throttled)).min(MAX_BACKOFF_US);
        invocation.throttled = (invocation.throttled + 1).min(16);
        let jitter: f64 = StandardUniform.sample(&mut self.random);
        let again = now + STEP_US + micros(longest * jitter / 1e6);
        if again < invocation.deadline_us {
            self.agenda.push(again, Event::Write { invocation: slot });
        } else {
            self.agenda.push(invocation.deadline_us.max(now), Event::Done { invocation: slot });
        }
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
            self.queue.delete(part);
            if part > 0 {
                self.recorder.stored(group.sent_us, now + self.scenario.overhead_us, part);
            }
            let returned = Group { messages: group.messages - part, ..group };
            if returned.messages > 0 {
                self.give_back(returned, now);
            }
        }
        self.invocations.free(slot);
        self.instances.end();
        let Some(poller) = self.pollers.get_mut(index) else { return };
        poller.running -= 1;
        let next_poll_us = poller.next_poll_us;
        if poller.state == State::Busy {
            self.pollers.schedule(index, next_poll_us.max(now), &mut self.agenda);
        }
    }

    fn give_back(&mut self, group: Group, now: u64) {
        if u32::from(group.receives) >= self.scenario.deployment.max_receive_count {
            self.queue.delete(group.messages);
            self.recorder.dead_lettered(group.sent_us, group.messages);
        } else {
            self.recorder.returned(now, group.messages);
            let back = now + self.return_delay_us(u32::from(group.receives));
            self.agenda.push(back, Event::Visible(group));
        }
    }

    /// Returns the time until a returned message becomes visible: the function's backoff or, without it, the queue's visibility
    /// timeout.
    fn return_delay_us(&mut self, receives: u32) -> u64 {
        let Deployment { return_backoff_seconds, timeout_seconds, window_seconds, .. } = *self.scenario.deployment;
        if return_backoff_seconds == 0 {
            return (VISIBILITY_FACTOR * u64::from(timeout_seconds) + u64::from(window_seconds)) * SECOND_US;
        }
        let first = Duration::from_secs(return_backoff_seconds.into());
        let share: f64 = StandardUniform.sample(&mut self.random);
        let delay = visibility::after(first, receives, |half| half.mul_f64(share));
        // visibility timeouts are whole seconds
        micros(delay.as_secs_f64().ceil())
    }

    /// Records the current age of messages that still wait. Without them, an overloaded queue would seem fast.
    fn finish(mut self) -> SimulationOutcome {
        let end = self.scenario.seconds * SECOND_US;
        for group in self.queue.into_waiting() {
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

/// Truncates a count to a whole number.
pub fn whole(count: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts are not negative; a cast saturates"
    )]
    let count = count as u32;
    count
}
