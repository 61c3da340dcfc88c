//! A compact set of record numbers, stored as ranges.

use std::collections::BTreeMap;

/// A set of record numbers. Its ranges neither overlap nor touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Numbers {
    /// Maps the first number of each range to the last.
    ranges: BTreeMap<u64, u64>,
}

impl Numbers {
    /// Adds the numbers from `first` through `last`.
    pub(crate) fn insert(&mut self, first: u64, last: u64) {
        if first > last {
            return;
        }
        let (mut first, mut last) = (first, last);
        // merge the ranges that begin within the new range or directly after it, and the range that extends into it
        let behind = last.saturating_add(1);
        while let Some((&start, &end)) = self.ranges.range(..=behind).next_back() {
            if end.saturating_add(1) < first {
                break;
            }
            first = first.min(start);
            last = last.max(end);
            self.ranges.remove(&start);
        }
        self.ranges.insert(first, last);
    }

    pub(crate) fn contains(&self, number: u64) -> bool {
        self.ranges.range(..=number).next_back().is_some_and(|(_, &last)| number <= last)
    }

    /// Returns the first number greater than or equal to `from` that is not in the set.
    pub(crate) fn first_missing(&self, from: u64) -> u64 {
        match self.ranges.range(..=from).next_back() {
            Some((_, &last)) if last >= from => last.saturating_add(1),
            _ => from,
        }
    }

    /// Returns the first and the last number of each range, in ascending order.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        self.ranges.iter().map(|(&first, &last)| (first, last))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};
    use std::collections::BTreeSet;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn a_set_of_ranges_has_the_numbers_that_were_put_in(inserted in proptest::collection::vec((0_u64..40, 0_u64..6), 0..20)) {
            let (mut numbers, mut expected) = (Numbers::default(), BTreeSet::new());
            for (first, more) in inserted {
                numbers.insert(first, first + more);
                expected.extend(first..=first + more);
            }
            prop_assert_eq!((0..60).filter(|number| numbers.contains(*number)).collect::<BTreeSet<_>>(), expected.clone());
            for from in 0..60 {
                let missing = (from..).find(|number| !expected.contains(number));
                prop_assert_eq!(Some(numbers.first_missing(from)), missing);
            }
            let ranges: Vec<_> = numbers.ranges().collect();
            prop_assert_eq!(ranges.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), true, "{:?}", ranges);
        }

        #[test]
        fn the_order_of_insertion_does_not_matter(mut inserted in proptest::collection::vec((any::<u8>(), 0_u64..6), 0..20)) {
            let of = |inserted: &[(u8, u64)]| {
                let mut numbers = Numbers::default();
                inserted.iter().for_each(|(first, more)| numbers.insert((*first).into(), u64::from(*first) + more));
                numbers
            };
            let forward = of(&inserted);
            inserted.reverse();
            prop_assert_eq!(of(&inserted), forward);
        }
    }

    #[test]
    fn the_last_number_of_all_is_a_number() {
        let mut numbers = Numbers::default();
        numbers.insert(u64::MAX, u64::MAX);
        numbers.insert(u64::MAX - 1, u64::MAX - 1);
        assert_eq!(numbers.ranges().collect::<Vec<_>>(), [(u64::MAX - 1, u64::MAX)]);
    }
}
