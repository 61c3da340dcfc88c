//! What reads the queue: the processes of standard mode, or dedicated pollers.

use crate::agenda::{Agenda, Event};
use crate::queue::Group;
use crate::scaling::Scaling;
use crate::whole;
use std::collections::VecDeque;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
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
pub(crate) struct Poller {
    pub(crate) state: State,
    /// Grows with every change of state, so that an old event is known as old.
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

/// All pollers, and how many there may be.
pub(crate) struct Pollers {
    all: Vec<Poller>,
    /// Those in a long poll, in the order in which they began it, and some that have left it meanwhile.
    waiting: VecDeque<(usize, u32)>,
    waiting_count: usize,
    scaling: Scaling,
    /// How many pollers there may be; a fraction is on its way.
    allowed: f64,
}

impl Pollers {
    /// Returns `count` pollers, of which none polls yet.
    pub(crate) fn new(scaling: Scaling, count: u32) -> Self {
        let allowed = f64::from(count.clamp(scaling.least(), scaling.most()));
        Self { all: Vec::new(), waiting: VecDeque::new(), waiting_count: 0, scaling, allowed }
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut Poller> {
        self.all.get_mut(index)
    }

    /// Number of pollers that there may be.
    pub(crate) fn open(&self) -> u32 {
        whole(self.allowed)
    }

    /// Number of pollers in a long poll.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting_count
    }

    /// Starts the pollers that are allowed, each after a wait of its own within `pace`, so that they do not poll in step.
    pub(crate) fn start(&mut self, pace: u64, agenda: &mut Agenda) {
        let count = self.open() as usize;
        self.all.resize_with(count, Poller::off);
        for poller in 0..count {
            self.schedule(poller, pace * poller as u64 / count as u64, agenda);
        }
    }

    /// Allows more pollers while messages wait and none of the pollers is idle, fewer while more than half are idle.
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

    /// Ends the idle pollers above the allowed number. The others end when they would poll again.
    fn close_idle(&mut self) {
        for poller in self.open() as usize..self.all.len() {
            if self.all.get(poller).is_some_and(Poller::is_idle) {
                self.set(poller, State::Off);
            }
        }
    }

    /// Returns whether a poller has been in `state` since it got its ticket.
    pub(crate) fn is(&self, poller: usize, state: State, ticket: u32) -> bool {
        self.all.get(poller).is_some_and(|poller| poller.state == state && poller.ticket == ticket)
    }

    /// Changes the state of a poller. Returns its ticket.
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

    /// Lets a poller poll at a time.
    pub(crate) fn schedule(&mut self, poller: usize, at: u64, agenda: &mut Agenda) {
        let ticket = self.set(poller, State::Scheduled);
        agenda.push(at, Event::Poll { poller, ticket });
    }

    /// Begins a long poll.
    pub(crate) fn wait(&mut self, poller: usize) {
        let ticket = self.set(poller, State::Waiting);
        self.waiting.push_back((poller, ticket));
    }

    /// Returns the poller that has waited longest.
    pub(crate) fn next_waiting(&mut self) -> Option<usize> {
        while let Some((index, ticket)) = self.waiting.pop_front() {
            if self.is(index, State::Waiting, ticket) {
                return Some(index);
            }
        }
        None
    }
}
