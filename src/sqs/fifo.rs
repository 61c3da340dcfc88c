//! The order of a FIFO queue: within a message group nothing is written after a failure, and groups go side by side.

use super::event::Event;
use crate::outcome::{Cause, Outcome};
use std::collections::{HashMap, HashSet};
use std::ops::Range;

impl Event<'_> {
    /// The positions of `among` to settle together. Of a FIFO queue, the first messages of all groups go first, then the second ones: order
    /// is kept within a group, and groups go side by side. Of any other queue, all messages go at once.
    pub(crate) fn fifo_rounds(&self, among: Range<usize>) -> Vec<Vec<usize>> {
        if !self.fifo {
            return vec![among.collect()];
        }
        let mut ranks: HashMap<Option<&str>, usize> = HashMap::new();
        let mut rounds: Vec<Vec<usize>> = Vec::new();
        for (position, message) in self.messages.iter().enumerate().take(among.end).skip(among.start) {
            let rank = ranks.entry(message.group.as_deref()).or_default();
            match rounds.get_mut(*rank) {
                Some(round) => round.push(position),
                None => rounds.push(vec![position]),
            }
            *rank += 1;
        }
        rounds
    }

    /// Of a FIFO queue, takes the messages out of `round` whose group has one that goes back: nothing is written after it.
    pub(crate) fn block(&self, outcomes: &mut [Outcome], settled: &[usize], round: &mut Vec<usize>) {
        if !self.fifo {
            return;
        }
        let group = |position: usize| self.messages.get(position).and_then(|message| message.group.as_deref());
        let returned = |&&position: &&usize| matches!(outcomes.get(position), Some(Outcome::Returned(_)));
        let failed: HashSet<_> = settled.iter().filter(returned).map(|&position| group(position)).collect();
        round.retain(|&position| {
            let is_blocked = failed.contains(&group(position));
            if is_blocked && let Some(outcome) = outcomes.get_mut(position) {
                *outcome = Outcome::Returned(Cause::Blocked);
            }
            !is_blocked
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn rounds(queue: &str, groups: &[Option<&str>]) -> Vec<Vec<usize>> {
        with_event(queue, groups, |event| event.fifo_rounds(0..event.messages.len()))
    }

    fn with_event<T>(queue: &str, groups: &[Option<&str>], look: impl FnOnce(&Event<'_>) -> T) -> T {
        let record = |(position, group): (usize, &Option<&str>)| {
            let attributes = group.map_or(json!({}), |group| json!({"MessageGroupId": group}));
            json!({"messageId": position.to_string(), "attributes": attributes, "eventSourceARN": queue})
        };
        let records: Vec<Value> = groups.iter().enumerate().map(record).collect();
        let payload = json!({"Records": records}).to_string();
        look(&Event::parse(payload.as_bytes()).unwrap())
    }

    #[test]
    fn a_standard_queue_has_no_order_whatever_its_groups() {
        assert_eq!(rounds("q", &[Some("a"), Some("a"), None]), [vec![0, 1, 2]]);
    }

    #[test]
    fn the_firsts_of_all_groups_go_before_the_seconds() {
        assert_eq!(
            rounds("q.fifo", &[Some("a"), Some("b"), Some("a"), Some("a"), Some("b")]),
            [vec![0, 1], vec![2, 4], vec![3]]
        );
    }

    #[test]
    fn a_group_is_blocked_by_its_own_failure_only() {
        with_event("q.fifo", &[Some("a"), Some("b"), Some("a"), Some("b")], |event| {
            let unfinished = Outcome::Returned(Cause::Unfinished("".into()));
            let mut outcomes = vec![unfinished.clone(), Outcome::Stored, unfinished.clone(), unfinished.clone()];
            let mut round = vec![2, 3];
            event.block(&mut outcomes, &[0, 1], &mut round);
            assert_eq!(round, [3]);
            assert_eq!(outcomes[2], Outcome::Returned(Cause::Blocked));
            assert_eq!(outcomes[3], unfinished);
        });
    }
}
