//! The fields of a reader schema that are reported to a visitor as tracked, nested in the same way as the records.

use crate::record::TrackedField;

/// The tracked fields of a record and of the records within it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TrackedFields {
    fields: Vec<(Box<str>, Vec<TrackedField>, TrackedFields)>,
}

impl TrackedFields {
    /// Creates an empty set of tracked fields.
    pub(crate) const fn new() -> Self {
        Self { fields: Vec::new() }
    }

    /// Tracks the field at `path` as `field`. The path consists of field names joined by dots.
    pub(crate) fn add(&mut self, path: &str, field: TrackedField) {
        let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
        let index = self.fields.iter().position(|(field, _, _)| **field == *name).unwrap_or_else(|| {
            self.fields.push((name.into(), Vec::new(), Self::default()));
            self.fields.len() - 1
        });
        let Some((_, tracked, below)) = self.fields.get_mut(index) else { return };
        match rest {
            Some(rest) => below.add(rest, field),
            None => tracked.push(field),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Returns how the field `name` is tracked, and the tracked fields within it.
    pub(crate) fn field(&self, name: &str) -> (&[TrackedField], Option<&Self>) {
        let found = self.fields.iter().find(|(field, _, _)| **field == *name);
        found.map_or((&[], None), |(_, tracked, below)| (tracked, Some(below).filter(|below| !below.is_empty())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracked_fields_are_found_where_their_paths_lead() {
        let mut tree = TrackedFields::default();
        assert!(tree.is_empty());
        tree.add("a.b", TrackedField(0));
        tree.add("a", TrackedField(1));
        tree.add("a.b", TrackedField(2));
        let (tracked, below) = tree.field("a");
        assert_eq!(tracked, [TrackedField(1)]);
        assert_eq!(below.unwrap().field("b"), ([TrackedField(0), TrackedField(2)].as_slice(), None));
        assert_eq!(tree.field("b"), ([].as_slice(), None));
    }
}
