//! Rate limiting. No window of one second contains more messages than allowed, even after a stall.
//!
//! A queue accepts the messages of a call at some instant between the start of the call and its response. Messages therefore
//! count against the rate from the start of their call until one second after its response. Two messages that never count at
//! the same time are accepted more than a second apart. Calls also start at even intervals, so that the messages of a second
//! are not sent all at once.

use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// Window over which the rate is measured.
const WINDOW: Duration = Duration::from_secs(1);

/// Decides when calls may start.
#[derive(Debug)]
pub(super) struct Pace {
    /// Maximum number of messages per second.
    rate: u32,
    /// Calls whose messages still count, in the order of their start.
    calls: VecDeque<Counted>,
    /// Earliest start of the next call.
    next: Option<Instant>,
    tickets: u64,
}

#[derive(Debug)]
struct Counted {
    ticket: Ticket,
    messages: u32,
    /// Instant at which its messages cease to count. `None` while the call is in flight.
    until: Option<Instant>,
}

/// A permitted call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(u64);

/// Response to a call that wants to start.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Start {
    Now(Ticket),
    /// Try again at this instant.
    At(Instant),
    /// Try again when another call has finished.
    AfterAnother,
}

impl Pace {
    pub(super) fn new(rate: u32) -> Self {
        Self { rate, calls: VecDeque::new(), next: None, tickets: 0 }
    }

    /// Starts a call with `messages`, which must not exceed the rate, if it may start now.
    pub(super) fn start(&mut self, messages: u32, now: Instant) -> Start {
        self.calls.retain(|call| call.until.is_none_or(|until| until > now));
        if let Some(next) = self.next.filter(|next| *next > now) {
            return Start::At(next);
        }
        let counted: u32 = self.calls.iter().map(|call| call.messages).sum();
        if counted + messages > self.rate && !self.calls.is_empty() {
            let soonest = self.calls.iter().filter_map(|call| call.until).min();
            return soonest.map_or(Start::AfterAnother, Start::At);
        }
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.calls.push_back(Counted { ticket, messages, until: None });
        self.next = Some(now + WINDOW.mul_f64(f64::from(messages) / f64::from(self.rate)));
        Start::Now(ticket)
    }

    /// Records that a call has ended, with or without a response.
    pub(super) fn finish(&mut self, ticket: Ticket, now: Instant) {
        if let Some(call) = self.calls.iter_mut().find(|call| call.ticket == ticket) {
            call.until = Some(now + WINDOW);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{ProptestConfig, prop_assert, proptest};

    /// Runs calls with `at_once` concurrent calls. Returns the earliest and the latest instant at which each message was
    /// accepted.
    fn run(rate: u32, calls: &[(u32, u64)], at_once: usize) -> Vec<(Duration, Duration, u32)> {
        let zero = local::clock::now();
        let (mut now, mut pace) = (zero, Pace::new(rate));
        let mut running: Vec<(Instant, Ticket)> = Vec::new();
        let mut accepted = Vec::new();
        for (messages, takes) in calls {
            let messages = (*messages).min(rate);
            loop {
                running.sort_by_key(|(end, _)| *end);
                while let Some((end, ticket)) = running.first().copied().filter(|(end, _)| *end <= now) {
                    pace.finish(ticket, end);
                    running.remove(0);
                }
                let first_end = running.first().map(|(end, _)| *end);
                if running.len() >= at_once {
                    now = first_end.unwrap();
                    continue;
                }
                match pace.start(messages, now) {
                    Start::Now(ticket) => {
                        let end = now + Duration::from_millis(*takes);
                        running.push((end, ticket));
                        accepted.push((now - zero, end - zero, messages));
                        break;
                    }
                    Start::At(at) => now = first_end.map_or(at, |end| end.min(at)),
                    Start::AfterAnother => now = first_end.unwrap(),
                }
            }
        }
        accepted
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn no_second_has_more_messages_than_the_rate_wherever_a_call_was_accepted(
            rate in 1_u32..60,
            calls in proptest::collection::vec((1_u32..=10, 0_u64..3_000), 1..60),
            at_once in 1_usize..9,
        ) {
            let accepted = run(rate, &calls, at_once);
            // worst case: a window that begins when a call is accepted at the latest possible instant
            for (_, begin, _) in &accepted {
                let end = *begin + WINDOW;
                let within: u32 = accepted.iter().filter(|(first, last, _)| *last >= *begin && *first < end).map(|(_, _, messages)| messages).sum();
                prop_assert!(within <= rate, "{within} at {begin:?}");
            }
        }
    }

    #[test]
    fn calls_that_take_no_time_reach_the_rate() {
        let accepted = run(100, &[(10, 0); 101], 8);
        let (first, _, _) = accepted[100];
        assert!((Duration::from_secs(10)..Duration::from_millis(10_100)).contains(&first), "{first:?}");
    }

    #[test]
    fn after_a_stall_the_rate_is_as_before() {
        let mut calls = vec![(10, 0); 5];
        calls.push((10, 30_000));
        calls.extend([(10, 0); 30]);
        let accepted = run(100, &calls, 1);
        let after: u32 = accepted
            .iter()
            .filter(|(first, _, _)| (30_500..31_500).contains(&first.as_millis()))
            .map(|(_, _, messages)| messages)
            .sum();
        assert!(after <= 100, "{after}");
    }
}
