//! The order of a FIFO queue: within a message group nothing is written after what is not, and groups do not wait for one
//! another. A rejected message can never be stored, so nothing waits for it either.

use super::event::Event;
use crate::outcome::{Cause, Outcome};
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// The groups of an event of which a message goes back to the queue and may be stored later.
#[derive(Debug, Default)]
pub(crate) struct BlockedGroups<'e>(HashSet<Option<&'e str>>);

impl<'e> BlockedGroups<'e> {
    /// The messages to be written of the positions `among` of a FIFO queue, by group, in their order. The others of blocked groups
    /// are marked so. `None` if the queue has no order.
    pub(crate) fn writable(
        &mut self,
        event: &'e Event<'_>,
        among: Range<usize>,
        outcomes: &mut [Outcome],
        has_items: impl Fn(usize) -> bool,
    ) -> Option<Vec<Vec<usize>>> {
        if !event.fifo {
            return None;
        }
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let mut places: HashMap<Option<&str>, usize> = HashMap::new();
        for position in among {
            let (Some(message), Some(outcome)) = (event.messages.get(position), outcomes.get_mut(position)) else {
                continue;
            };
            let group = message.group.as_deref();
            if self.0.contains(&group) {
                *outcome = Outcome::Returned(Cause::Blocked);
            } else if has_items(position) {
                let place = *places.entry(group).or_insert_with(|| {
                    groups.push(Vec::new());
                    groups.len() - 1
                });
                groups.get_mut(place).into_iter().for_each(|group| group.push(position));
            } else if may_come_again(outcome) {
                self.0.insert(group);
            }
        }
        Some(groups)
    }

    /// Blocks the groups of which one of the messages `among`, which are written, was not stored. Of what comes after it, even
    /// a container without records is not acknowledged.
    pub(crate) fn update(&mut self, event: &'e Event<'_>, among: Range<usize>, outcomes: &mut [Outcome]) {
        if !event.fifo {
            return;
        }
        for (message, outcome) in event.messages.iter().zip(outcomes).take(among.end).skip(among.start) {
            let group = message.group.as_deref();
            if may_come_again(outcome) {
                self.0.insert(group);
            } else if *outcome == Outcome::Stored && self.0.contains(&group) {
                *outcome = Outcome::Returned(Cause::Blocked);
            }
        }
    }
}

fn may_come_again(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Returned(Cause::Unfinished(_) | Cause::Unanswered(_) | Cause::Refused(_) | Cause::Blocked)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Reason, Rejection};
    use serde_json::{Value, json};

    fn with_event<T>(queue: &str, groups: &[Option<&str>], look: impl FnOnce(&Event<'_>) -> T) -> T {
        let record = |(position, group): (usize, &Option<&str>)| {
            let attributes = group.map_or(json!({}), |group| json!({"MessageGroupId": group}));
            json!({"messageId": position.to_string(), "attributes": attributes, "eventSourceARN": queue})
        };
        let records: Vec<Value> = groups.iter().enumerate().map(record).collect();
        let payload = json!({"Records": records}).to_string();
        look(&Event::parse(payload.as_bytes()).unwrap())
    }

    fn unfinished() -> Outcome {
        Outcome::Returned(Cause::Unfinished("".into()))
    }

    #[test]
    fn a_standard_queue_has_no_order_whatever_its_groups() {
        with_event("q", &[Some("a"), Some("a"), None], |event| {
            let mut outcomes = vec![unfinished(); 3];
            assert_eq!(BlockedGroups::default().writable(event, 0..3, &mut outcomes, |_| true), None);
        });
    }

    #[test]
    fn messages_keep_their_order_within_their_group() {
        with_event("q.fifo", &[Some("a"), Some("b"), Some("a"), None, Some("a"), Some("b")], |event| {
            let mut outcomes = vec![unfinished(); 6];
            let groups = BlockedGroups::default().writable(event, 1..6, &mut outcomes, |_| true);
            assert_eq!(groups.unwrap(), [vec![1, 5], vec![2, 4], vec![3]]);
        });
    }

    #[test]
    fn a_group_is_blocked_by_its_own_unfinished_message_and_not_by_a_rejected_one() {
        with_event("q.fifo", &[Some("a"), Some("b"), Some("c"), Some("a"), Some("b"), Some("c")], |event| {
            let rejection = Rejection { reason: Reason::Truncated, detail: "".into() };
            let mut outcomes = vec![unfinished(); 6];
            outcomes[1] = Outcome::Returned(Cause::Rejected(rejection));
            outcomes[2] = Outcome::Stored;
            let mut blocked = BlockedGroups::default();
            // the first of a panicked while it was decoded, that of c was an empty container
            let groups = blocked.writable(event, 0..6, &mut outcomes, |position| position > 2);
            assert_eq!(groups.unwrap(), [vec![4], vec![5]]);
            assert_eq!(outcomes[3], Outcome::Returned(Cause::Blocked));
        });
    }

    #[test]
    fn a_group_stays_blocked_for_the_rest_of_the_event() {
        with_event("q.fifo", &[Some("a"), Some("b"), Some("a"), Some("b")], |event| {
            let mut outcomes = vec![unfinished(); 4];
            let mut blocked = BlockedGroups::default();
            blocked.writable(event, 0..2, &mut outcomes, |_| true);
            outcomes[1] = Outcome::Stored;
            blocked.update(event, 0..2, &mut outcomes);
            assert_eq!(blocked.writable(event, 2..4, &mut outcomes, |_| true).unwrap(), [vec![3]]);
            assert_eq!(outcomes[2], Outcome::Returned(Cause::Blocked));
        });
    }

    #[test]
    fn nothing_is_acknowledged_after_an_unfinished_message_of_its_group() {
        with_event("q.fifo", &[Some("a"), Some("a"), Some("b")], |event| {
            let mut outcomes = vec![unfinished(), Outcome::Stored, Outcome::Stored];
            BlockedGroups::default().update(event, 0..3, &mut outcomes);
            assert_eq!(outcomes[1..], [Outcome::Returned(Cause::Blocked), Outcome::Stored]);
        });
    }
}
