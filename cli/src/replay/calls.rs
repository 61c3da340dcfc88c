//! Divides messages into calls. Pure.

use crate::producer::MAX_MESSAGE_BYTES;
use crate::queue::{MAX_CALL_MESSAGES, Outgoing};
use std::collections::{HashSet, VecDeque};

/// Takes the messages of the next call from `waiting`, at most ten and at most 1 MiB in total.
///
/// A call to a FIFO queue carries at most one message per group, because SQS may refuse one entry and accept the next, which
/// would change their order.
pub(super) fn next_call<T>(waiting: &mut VecDeque<(T, Outgoing)>, to_fifo: bool) -> Vec<(T, Outgoing)> {
    let (mut call, mut bytes) = (Vec::new(), 0);
    let mut groups = HashSet::new();
    let mut later = VecDeque::new();
    while let Some((unit, outgoing)) = waiting.pop_front() {
        let is_first = !to_fifo || groups.insert(outgoing.group.clone());
        let fits = call.is_empty() || bytes + outgoing.bytes() <= MAX_MESSAGE_BYTES;
        if call.len() < MAX_CALL_MESSAGES && is_first && fits {
            bytes += outgoing.bytes();
            call.push((unit, outgoing));
        } else {
            later.push_back((unit, outgoing));
        }
    }
    *waiting = later;
    call
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn outgoing(bytes: usize, group: &str) -> Outgoing {
        let (attributes, group) = (BTreeMap::new(), Some(group.to_owned()));
        Outgoing { body: "x".repeat(bytes), attributes, group, deduplication_id: None }
    }

    fn calls(messages: &[(usize, &str)], to_fifo: bool) -> Vec<Vec<usize>> {
        let mut waiting: VecDeque<_> =
            messages.iter().enumerate().map(|(place, (bytes, group))| (place, outgoing(*bytes, group))).collect();
        let mut calls = Vec::new();
        while !waiting.is_empty() {
            calls.push(next_call(&mut waiting, to_fifo).into_iter().map(|(place, _)| place).collect());
        }
        calls
    }

    #[test]
    fn a_call_has_ten_messages_and_a_mebibyte_at_most() {
        assert_eq!(calls(&[(1, "g"); 11], false).iter().map(Vec::len).collect::<Vec<_>>(), [10, 1]);
        let half = MAX_MESSAGE_BYTES / 2;
        assert_eq!(calls(&[(half, "g"), (half, "g"), (1, "g")], false), [vec![0, 1], vec![2]]);
        assert_eq!(calls(&[(half, "g"), (half + 1, "g"), (1, "g")], false), [vec![0, 2], vec![1]]);
        assert_eq!(calls(&[(MAX_MESSAGE_BYTES + 1, "g"), (1, "g")], false), [[0], [1]]);
    }

    #[test]
    fn a_call_to_a_fifo_queue_has_one_message_of_each_group() {
        let messages = [(1, "a"), (1, "a"), (1, "b"), (1, "a"), (1, "b"), (1, "c")];
        assert_eq!(calls(&messages, true), [vec![0, 2, 5], vec![1, 4], vec![3]]);
    }

    proptest! {
        #[test]
        fn every_message_is_sent_once_and_those_of_a_group_in_order(
            messages in prop::collection::vec((1_usize..MAX_MESSAGE_BYTES, 0_usize..4), 0..25),
        ) {
            let names = ["a", "b", "c", "d"];
            let messages: Vec<_> = messages.into_iter().map(|(bytes, group)| (bytes, names[group])).collect();
            let calls = calls(&messages, true);
            let mut sent: Vec<usize> = calls.concat();
            for name in names {
                let places: Vec<_> = sent.iter().filter(|place| messages[**place].1 == name).collect();
                prop_assert!(places.is_sorted(), "{name}: {places:?}");
            }
            sent.sort_unstable();
            prop_assert_eq!(sent, (0..messages.len()).collect::<Vec<_>>());
        }
    }
}
