//! The future events of the simulation.

use crate::queue::Group;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// An event that happens at a point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    Poll { poller: usize, ticket: u32 },
    WindowEnds { poller: usize, batch: u32 },
    Write { invocation: usize },
    Done { invocation: usize },
    Visible(Group),
}

/// Future events, ordered by time in microseconds.
#[derive(Default)]
pub(crate) struct Agenda(BinaryHeap<Reverse<(u64, Event)>>);

impl Agenda {
    pub(crate) fn push(&mut self, at: u64, event: Event) {
        self.0.push(Reverse((at, event)));
    }

    /// Removes the next event that happens no later than `now`, and returns it with its time.
    pub(crate) fn next_until(&mut self, now: u64) -> Option<(u64, Event)> {
        let Reverse((at, _)) = self.0.peek()?;
        if *at > now {
            return None;
        }
        self.0.pop().map(|Reverse(event)| event)
    }
}
