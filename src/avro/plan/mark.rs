//! The marks of a reader schema, arranged as its records are nested.

use crate::record::Mark;

/// Marks on a record's fields, and on those of the records below them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MarkTree {
    fields: Vec<(Box<str>, Vec<Mark>, MarkTree)>,
}

impl MarkTree {
    /// No marks.
    pub(crate) const fn new() -> Self {
        Self { fields: Vec::new() }
    }

    /// Adds `mark` to the field at `path`, whose names are joined by dots.
    pub(crate) fn add(&mut self, path: &str, mark: Mark) {
        let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
        let index = self.fields.iter().position(|(field, _, _)| **field == *name).unwrap_or_else(|| {
            self.fields.push((name.into(), Vec::new(), Self::default()));
            self.fields.len() - 1
        });
        let Some((_, marks, below)) = self.fields.get_mut(index) else { return };
        match rest {
            Some(rest) => below.add(rest, mark),
            None => marks.push(mark),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The marks on the field `name`, and the tree below it.
    pub(crate) fn field(&self, name: &str) -> (&[Mark], Option<&Self>) {
        let found = self.fields.iter().find(|(field, _, _)| **field == *name);
        found.map_or((&[], None), |(_, marks, below)| (marks, Some(below).filter(|below| !below.is_empty())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_where_their_paths_lead() {
        let mut tree = MarkTree::default();
        assert!(tree.is_empty());
        tree.add("a.b", Mark(0));
        tree.add("a", Mark(1));
        tree.add("a.b", Mark(2));
        let (marks, below) = tree.field("a");
        assert_eq!(marks, [Mark(1)]);
        assert_eq!(below.unwrap().field("b"), ([Mark(0), Mark(2)].as_slice(), None));
        assert_eq!(tree.field("b"), ([].as_slice(), None));
    }
}
