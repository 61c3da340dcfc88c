//! The rate of sending: never more messages in any second than allowed, also after a stall.
//!
//! A queue accepts the messages of a call at some instant between the start of the call and its response. So they count against
//! the rate from the start until one second after the response: two messages that count apart are accepted more than a second apart.
//! Calls also begin at even distances, so that a second's messages do not go out all at once.

use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// The window that the rate is counted in.
const WINDOW: Duration = Duration::from_secs(1);

/// Decides when calls may start.
#[derive(Debug)]
pub(super) struct Pace {
    /// Messages a second.
    rate: u32,
    /// Calls whose messages count, in the order of their start.
    calls: VecDeque<Counted>,
    /// Earliest start of the next call.
    next: Option<Instant>,
    tickets: u64,
}

#[derive(Debug)]
struct Counted {
    ticket: Ticket,
    messages: u32,
    /// Instant from which its messages count no more. None while the call runs.
    until: Option<Instant>,
}

/// A call that was allowed to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(u64);

/// Answer to a call that wants to start.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Start {
    Now(Ticket),
    /// Ask again at this instant.
    At(Instant),
    /// Ask again when another call has finished.
    AfterAnother,
}

impl Pace {
    pub(super) fn new(rate: u32) -> Self {
        Self { rate, calls: VecDeque::new(), next: None, tickets: 0 }
    }

    /// Starts a call of `messages`, which are not more than the rate, if it may start now.
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

    /// Notes that a call has a response, or will get none.
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

    /// Runs calls one after another or at once, and returns when each message was accepted at the earliest and at the latest.
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
            // the worst case of a window that begins when a call is accepted, as late as can be
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
