//! Delays before the redelivery of returned messages. Pure: the jitter is an argument.

use crate::outcome::{Cause, Outcome};
use crate::sqs::{Event, Message};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// Maximum delay. It limits how long messages remain invisible after a table has recovered.
pub const MAX_DELAY: Duration = Duration::from_secs(15 * 60);
/// Maximum number of receives after which a rejected message is redelivered without a delay. It covers the usual
/// `maxReceiveCount` of a queue, after which a message is dead-lettered. A queue without a dead-letter queue would
/// otherwise redeliver such a message forever without any pause.
const RECEIVES_AT_ONCE: u32 = 12;

/// The delay until the redelivery of the message at one position of the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Delay {
    pub(super) position: usize,
    /// Delay in whole seconds, the unit of SQS.
    pub(super) seconds: u32,
}

/// Returns the delay after `receive_count` receives. It starts at `first` and doubles with each receive. Half of it is
/// fixed, and `jitter` chooses a part of the other half. The fixed half prevents short random delays from using up a
/// message's receives while a table is down.
pub fn after(first: Duration, receive_count: u32, jitter: impl FnOnce(Duration) -> Duration) -> Duration {
    let doublings = receive_count.saturating_sub(1).min(31);
    let half = first.saturating_mul(1 << doublings).min(MAX_DELAY) / 2;
    half + jitter(half)
}

/// Returns the delays of the returned messages of an event, in the order of the event.
///
/// - A message that a retry may help gets a delay.
/// - A rejected message is redelivered at once, so that it is dead-lettered soon. If `quarantines` is set, it gets a delay
///   instead, because it will be quarantined once the quarantine queue is reachable.
/// - All messages of a FIFO group get the delay of the first of them that has a delay, because they are redelivered
///   together and in order.
/// - An ambiguous message is not listed, and neither are the other messages of its FIFO group. They keep the queue's
///   visibility timeout, which is longer than any call can take. If they were redelivered sooner, they could be written
///   before the ambiguous write takes effect.
pub(super) fn delays(
    event: &Event<'_>,
    outcomes: &[Outcome],
    first: Duration,
    quarantines: bool,
    jitter: impl Fn(Duration) -> Duration,
) -> Vec<Delay> {
    let delay = |message: &Message<'_>, cause: &Cause| {
        let receives = message.receive_count.unwrap_or(1);
        let at_once = matches!(cause, Cause::Rejected(_)) && !quarantines && receives <= RECEIVES_AT_ONCE;
        (!at_once).then(|| whole_seconds(after(first, receives, &jitter)))
    };
    let is_ambiguous = |outcome: &Outcome| matches!(outcome, Outcome::Returned(Cause::Ambiguous(_)));
    let ambiguous = event.messages.iter().zip(outcomes).filter(|(_, outcome)| is_ambiguous(outcome));
    let ambiguous: HashSet<Option<&str>> = ambiguous.map(|(message, _)| message.group.as_deref()).collect();
    let mut of_groups: HashMap<Option<&str>, u32> = HashMap::new();
    let mut delays = Vec::new();
    for (position, (message, outcome)) in event.messages.iter().zip(outcomes).enumerate() {
        let Outcome::Returned(cause) = outcome else { continue };
        if is_ambiguous(outcome) || event.fifo && ambiguous.contains(&message.group.as_deref()) {
            continue;
        }
        let delay = delay(message, cause);
        if let (true, Some(seconds)) = (event.fifo, delay) {
            of_groups.entry(message.group.as_deref()).or_insert(seconds);
        }
        delays.push(Delay { position, seconds: delay.unwrap_or(0) });
    }
    if event.fifo {
        for delay in &mut delays {
            let group = event.messages.get(delay.position).map(|message| message.group.as_deref());
            delay.seconds = group.and_then(|group| of_groups.get(&group)).copied().unwrap_or(delay.seconds);
        }
    }
    delays
}

/// Returns the delay in seconds, rounded up so that no message is redelivered before its delay.
fn whole_seconds(delay: Duration) -> u32 {
    let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Reason, Rejection};
    use serde_json::json;

    const FIRST: Duration = Duration::from_secs(1);

    #[test]
    fn a_delay_doubles_with_each_receive_up_to_a_quarter_of_an_hour() {
        let seconds = |share: f64| {
            let jitter = |half: Duration| half.mul_f64(share);
            [0, 1, 2, 3, 10, 11, u32::MAX].map(|n| whole_seconds(after(FIRST, n, jitter)))
        };
        assert_eq!(seconds(0.0), [1, 1, 1, 2, 256, 450, 450], "at least half of the delay");
        assert_eq!(seconds(0.999_999), [1, 1, 2, 4, 512, 900, 900]);
        assert_eq!(after(Duration::from_secs(900), 1, |half| half / 2), Duration::from_secs(675));
    }

    fn rejected() -> Outcome {
        Outcome::Returned(Cause::Rejected(Rejection { reason: Reason::Truncated, detail: "".into() }))
    }

    fn unfinished() -> Outcome {
        Outcome::Returned(Cause::Failed("".into()))
    }

    /// Returns the delays, with the maximum jitter, of messages given by group, receive count and outcome.
    fn delays_of(queue: &str, messages: &[(&str, u32, Outcome)], quarantines: bool) -> Vec<(usize, u32)> {
        let records: Vec<_> = messages
            .iter()
            .enumerate()
            .map(|(id, (group, receives, _))| {
                let attributes = json!({"ApproximateReceiveCount": receives.to_string(), "MessageGroupId": group});
                let arn = format!("arn:aws:sqs:us-east-1:000000000000:{queue}");
                json!({"messageId": id.to_string(), "attributes": attributes, "eventSourceARN": arn})
            })
            .collect();
        let payload = json!({"Records": records}).to_string();
        let event = Event::parse(payload.as_bytes()).unwrap();
        let outcomes: Vec<_> = messages.iter().map(|(.., outcome)| outcome.clone()).collect();
        let delays = delays(&event, &outcomes, FIRST, quarantines, |half| half.mul_f64(0.999_999));
        delays.iter().map(|delay| (delay.position, delay.seconds)).collect()
    }

    #[test]
    fn only_returned_messages_have_a_delay_and_rejected_ones_none_to_wait_for() {
        let messages = [
            ("a", 1, Outcome::Stored),
            ("a", 3, unfinished()),
            ("a", 3, rejected()),
            ("a", 1, Outcome::Superseded),
            ("a", 2, Outcome::Returned(Cause::Denied("".into()))),
            ("a", 4, Outcome::Returned(Cause::Blocked)),
        ];
        assert_eq!(delays_of("orders", &messages, false), [(1, 4), (2, 0), (4, 2), (5, 8)]);
    }

    #[test]
    fn a_rejected_message_waits_for_a_quarantine_queue_that_is_not_reached() {
        assert_eq!(delays_of("orders", &[("a", 3, rejected())], true), [(0, 4)]);
    }

    #[test]
    fn a_rejected_message_of_a_queue_that_never_dead_letters_it_waits_at_last() {
        let seconds = |receives| delays_of("orders", &[("a", receives, rejected())], false)[0].1;
        assert_eq!([11, 12, 13].map(seconds), [0, 0, 900]);
    }

    #[test]
    fn a_group_whose_write_may_be_applied_yet_has_no_delay_and_other_groups_have_theirs() {
        let ambiguous = || Outcome::Returned(Cause::Ambiguous("".into()));
        let messages = [
            ("a", 1, unfinished()),
            ("b", 1, unfinished()),
            ("a", 1, ambiguous()),
            ("a", 1, Outcome::Returned(Cause::Blocked)),
            ("b", 1, Outcome::Returned(Cause::Blocked)),
        ];
        assert_eq!(delays_of("orders.fifo", &messages, false), [(1, 1), (4, 1)]);
        assert_eq!(delays_of("orders", &messages, false).len(), 4, "a standard queue has no ordered groups");
    }

    #[test]
    fn the_messages_of_a_group_come_back_together() {
        let messages = [
            ("a", 1, rejected()),
            ("b", 1, rejected()),
            ("a", 2, unfinished()),
            ("a", 1, Outcome::Returned(Cause::Blocked)),
            ("c", 3, unfinished()),
        ];
        assert_eq!(delays_of("orders.fifo", &messages, false), [(0, 2), (1, 0), (2, 2), (3, 2), (4, 4)]);
    }
}
