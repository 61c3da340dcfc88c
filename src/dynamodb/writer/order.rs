//! The order of a FIFO queue's writes: the items of a message go when the message before it in its group has its end. Pure.
//!
//! What is stored, superseded or rejected as invalid has its end: a rejected item can never be stored, so nothing waits for
//! it. What is unfinished or refused may be stored later, and blocks the rest of its own group and no other.

use super::WriteOutcome;
use std::collections::HashMap;

/// The messages of one group, by their positions in the event, in their order.
pub(crate) type Group = Vec<usize>;

/// How far each group is.
#[derive(Debug, Default)]
pub(super) struct GroupOrder {
    /// The message after each one in its group.
    next: HashMap<usize, usize>,
    /// Items of each message that have no end yet.
    open_items: HashMap<usize, usize>,
}

impl GroupOrder {
    /// `items_of` says how many items a message has.
    pub(super) fn new(groups: &[Group], items_of: impl Fn(usize) -> usize) -> Self {
        let next =
            groups.iter().flat_map(|group| group.windows(2)).filter_map(|pair| Some((*pair.first()?, *pair.get(1)?)));
        let open_items = groups.iter().flatten().map(|&message| (message, items_of(message)));
        Self { next: next.collect(), open_items: open_items.collect() }
    }

    /// An item of `message` has its end. Gives the message whose items may go now.
    pub(super) fn item_ended(&mut self, message: usize) -> Option<usize> {
        let open = self.open_items.get_mut(&message)?;
        *open = open.saturating_sub(1);
        if *open == 0 { self.next_of(message) } else { None }
    }

    /// The next message of the group of `message` that has items.
    fn next_of(&self, message: usize) -> Option<usize> {
        let mut next = *self.next.get(&message)?;
        while self.open_items.get(&next).is_none_or(|open| *open == 0) {
            next = *self.next.get(&next)?;
        }
        Some(next)
    }

    /// The first message of `group` that has items.
    pub(super) fn first_of(&self, group: &Group) -> Option<usize> {
        let first = *group.first()?;
        if self.open_items.get(&first).is_some_and(|open| *open > 0) { Some(first) } else { self.next_of(first) }
    }
}

/// Whether what follows an item in its group may be written.
pub(super) fn lets_pass(outcome: &WriteOutcome) -> bool {
    matches!(outcome, WriteOutcome::Stored | WriteOutcome::Superseded | WriteOutcome::Rejected(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_goes_when_all_items_of_the_one_before_have_ended() {
        let items = [2, 1, 0, 1];
        let groups = [vec![0, 2, 3], vec![1]];
        let mut order = GroupOrder::new(&groups, |message| items[message]);
        assert_eq!(groups.each_ref().map(|group| order.first_of(group)), [Some(0), Some(1)]);
        assert_eq!(order.item_ended(0), None);
        assert_eq!(order.item_ended(1), None, "the last of its group");
        assert_eq!(order.item_ended(0), Some(3), "the one between has no items");
        assert_eq!(order.item_ended(3), None);
    }

    #[test]
    fn a_group_begins_with_its_first_message_that_has_items() {
        let order = GroupOrder::new(&[vec![0, 1]], |message| message);
        assert_eq!(order.first_of(&vec![0, 1]), Some(1));
        assert_eq!(GroupOrder::new(&[vec![0]], |_| 0).first_of(&vec![0]), None);
    }
}
