//! The queue: waiting messages and the number of messages in flight.

use crate::limits::MAX_IN_FLIGHT_MESSAGES;
use std::collections::VecDeque;

/// Messages that were sent together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Group {
    pub(crate) sent_us: u64,
    pub(crate) messages: u32,
    pub(crate) receives: u8,
}

/// A standard queue.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: VecDeque<Group>,
    visible: u64,
    in_flight: u64,
}

impl Queue {
    pub(crate) fn send(&mut self, group: Group) {
        self.visible += u64::from(group.messages);
        self.waiting.push_back(group);
    }

    /// Returns received messages to the end of the queue.
    pub(crate) fn give_back(&mut self, group: Group) {
        self.in_flight -= u64::from(group.messages);
        self.send(group);
    }

    /// Deletes received messages.
    pub(crate) fn delete(&mut self, messages: u32) {
        self.in_flight -= u64::from(messages);
    }

    /// Receives at most `most` messages and appends them to `batch`. Returns their number.
    pub(crate) fn receive(&mut self, most: u32, batch: &mut Vec<Group>) -> u32 {
        let mut taken = 0;
        while taken < most {
            let Some(group) = self.waiting.front_mut() else { break };
            let part = group.messages.min(most - taken);
            batch.push(Group { messages: part, receives: group.receives + 1, ..*group });
            group.messages -= part;
            taken += part;
            if group.messages == 0 {
                self.waiting.pop_front();
            }
        }
        self.visible -= u64::from(taken);
        self.in_flight += u64::from(taken);
        taken
    }

    /// Returns whether a receive would return messages.
    pub(crate) fn has_messages(&self) -> bool {
        self.visible > 0 && self.in_flight < MAX_IN_FLIGHT_MESSAGES
    }

    /// Returns the number of visible messages.
    pub(crate) fn visible(&self) -> u64 {
        self.visible
    }

    /// Returns the number of messages that are received and neither deleted nor returned.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Returns the waiting messages.
    pub(crate) fn into_waiting(self) -> impl Iterator<Item = Group> {
        self.waiting.into_iter()
    }
}
