//! The consumers of the queue: the processes of standard mode, or dedicated pollers.

use crate::agenda::{Agenda, Event};
use crate::queue::Group;
use crate::scaling::Scaling;
use crate::whole;
use std::collections::VecDeque;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Not running: not started yet, or stopped.
    Off,
    /// In a long poll.
    Waiting,
    /// Waiting until its pace allows the next poll.
    Scheduled,
    /// Running as many invocations as it may.
    Busy,
}

/// A process that reads batches in standard mode, or a dedicated poller.
pub(crate) struct Poller {
    pub(crate) state: State,
    /// Incremented with every change of state, so that outdated events can be recognized.
    ticket: u32,
    pub(crate) running: u32,
    pub(crate) next_poll_us: u64,
    pub(crate) batch: Vec<Group>,
    pub(crate) gathered: u32,
    pub(crate) batches: u32,
}

impl Poller {
    fn off() -> Self {
        Self { state: State::Off, ticket: 0, running: 0, next_poll_us: 0, batch: Vec::new(), gathered: 0, batches: 0 }
    }

    fn is_idle(&self) -> bool {
        self.state == State::Waiting && self.gathered == 0
    }
}

/// All pollers, and the number allowed.
pub(crate) struct Pollers {
    all: Vec<Poller>,
    /// Pollers in a long poll, in the order in which they started it. Some of them may have left it since.
    waiting: VecDeque<(usize, u32)>,
    waiting_count: usize,
    scaling: Scaling,
    /// Number of pollers allowed. The fraction accumulates until it allows another one.
    allowed: f64,
}

impl Pollers {
    /// Creates `count` pollers, none of which polls yet.
    pub(crate) fn new(scaling: Scaling, count: u32) -> Self {
        let allowed = f64::from(count.clamp(scaling.least(), scaling.most()));
        Self { all: Vec::new(), waiting: VecDeque::new(), waiting_count: 0, scaling, allowed }
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut Poller> {
        self.all.get_mut(index)
    }

    /// Returns the number of pollers allowed.
    pub(crate) fn open(&self) -> u32 {
        whole(self.allowed)
    }

    /// Returns the number of pollers in a long poll.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting_count
    }

    /// Starts the allowed pollers. Their first polls are spread over `pace`, so that they do not poll in lockstep.
    pub(crate) fn start(&mut self, pace: u64, agenda: &mut Agenda) {
        let count = self.open() as usize;
        self.all.resize_with(count, Poller::off);
        for poller in 0..count {
            self.schedule(poller, pace * poller as u64 / count as u64, agenda);
        }
    }

    /// Allows more pollers while messages wait and no poller is idle, and fewer while more than half of the pollers are idle.
    pub(crate) fn scale(&mut self, has_messages: bool, now: u64, agenda: &mut Agenda) {
        let idle = self.all.iter().filter(|poller| poller.is_idle()).count();
        let step = self.scaling.added_per_second();
        if has_messages && self.waiting_count == 0 {
            self.allowed = (self.allowed + step).min(f64::from(self.scaling.most()));
            self.open_more(now, agenda);
        } else if idle * 2 > self.open() as usize {
            self.allowed = (self.allowed - step).max(f64::from(self.scaling.least()));
            self.close_idle();
        }
    }

    fn open_more(&mut self, now: u64, agenda: &mut Agenda) {
        let open = self.open() as usize;
        if open > self.all.len() {
            self.all.resize_with(open, Poller::off);
        }
        for poller in 0..open {
            if self.all.get(poller).is_some_and(|poller| poller.state == State::Off) {
                self.schedule(poller, now, agenda);
            }
        }
    }

    /// Stops the idle pollers above the allowed number. The others stop when they would poll next.
    fn close_idle(&mut self) {
        for poller in self.open() as usize..self.all.len() {
            if self.all.get(poller).is_some_and(Poller::is_idle) {
                self.set(poller, State::Off);
            }
        }
    }

    /// Returns whether a poller has remained in `state` since it received `ticket`.
    pub(crate) fn is(&self, poller: usize, state: State, ticket: u32) -> bool {
        self.all.get(poller).is_some_and(|poller| poller.state == state && poller.ticket == ticket)
    }

    /// Changes the state of a poller and returns its new ticket.
    pub(crate) fn set(&mut self, index: usize, state: State) -> u32 {
        let Some(poller) = self.all.get_mut(index) else { return 0 };
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

    /// Schedules a poll.
    pub(crate) fn schedule(&mut self, poller: usize, at: u64, agenda: &mut Agenda) {
        let ticket = self.set(poller, State::Scheduled);
        agenda.push(at, Event::Poll { poller, ticket });
    }

    /// Starts a long poll.
    pub(crate) fn wait(&mut self, poller: usize) {
        let ticket = self.set(poller, State::Waiting);
        self.waiting.push_back((poller, ticket));
    }

    /// Removes the poller that has waited longest, and returns it.
    pub(crate) fn next_waiting(&mut self) -> Option<usize> {
        while let Some((index, ticket)) = self.waiting.pop_front() {
            if self.is(index, State::Waiting, ticket) {
                return Some(index);
            }
        }
        None
    }
}
