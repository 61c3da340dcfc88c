//! Finds a writer by an identifier in a message.

use std::borrow::Borrow;

/// Maps keys in messages, such as schema ids, to positions of writers.
#[derive(Debug)]
pub(super) struct KeyIndex<K>(Vec<(K, usize)>);

impl<K: Ord> KeyIndex<K> {
    /// Creates an index. If a key occurs more than once, the last entry is used.
    pub(super) fn new(entries: impl IntoIterator<Item = (K, usize)>) -> Self {
        let mut entries: Vec<_> = entries.into_iter().collect();
        entries.sort();
        entries.reverse();
        entries.dedup_by(|one, other| one.0 == other.0);
        entries.reverse();
        Self(entries)
    }

    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
    {
        let found = self.0.binary_search_by(|(candidate, _)| candidate.borrow().cmp(key)).ok()?;
        self.0.get(found).map(|(_, position)| *position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_finds_the_last_of_its_positions() {
        let index = KeyIndex::new([("b", 0), ("a", 1), ("b", 2), ("c", 3), ("b", 1)]);
        assert_eq!(["a", "b", "c", "d"].map(|key| index.get(key)), [Some(1), Some(2), Some(3), None]);
    }
}
