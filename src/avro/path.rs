//! The path to an error in a schema or a record.

use super::clean::{HasNames, Rename};
use std::fmt;

/// An error with its path, such as `items[3].price`, or `labels{0}` for the first entry of a map.
///
/// The path is built only when an error is returned through the levels of nesting, so it costs nothing on success. It
/// contains names of a schema and positions but never values, and therefore shows a map entry by its position and not
/// by its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithPath<E> {
    /// Segments of the path, innermost first.
    segments: Vec<Segment>,
    error: E,
}

/// A step from a value to a value within it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Field(Box<str>),
    /// An item of an array. The index is `None` in a path through types.
    Item(Option<usize>),
    /// An entry of a map. The index is `None` in a path through types.
    Entry(Option<usize>),
}

/// Segment that leads into an array, in a path through types.
pub(crate) const ITEMS: &str = "[]";
/// Segment that leads into a map, in a path through types.
pub(crate) const ENTRIES: &str = "{}";

impl<E> WithPath<E> {
    /// Creates an error with an empty path.
    pub(crate) fn here(error: E) -> Box<Self> {
        Box::new(Self { segments: Vec::new(), error })
    }

    /// Creates an error with a path through types: names of fields, [`ITEMS`] and [`ENTRIES`]. Empty segments are left
    /// out.
    pub(crate) fn at_types(path: &[&str], error: E) -> Self {
        let segments = path.iter().rev().filter(|segment| !segment.is_empty()).map(|segment| match *segment {
            ITEMS => Segment::Item(None),
            ENTRIES => Segment::Entry(None),
            name => Segment::Field(name.into()),
        });
        Self { segments: segments.collect(), error }
    }

    /// Returns another error with the same path.
    pub(crate) fn with_error<F>(&self, error: F) -> WithPath<F> {
        WithPath { segments: self.segments.clone(), error }
    }

    /// Returns the error with its path relative to `around`, which is the first part of its path.
    pub(crate) fn below_types(mut self, around: &[&str]) -> Self {
        let outer = around.iter().filter(|segment| !segment.is_empty()).count();
        self.segments.truncate(self.segments.len().saturating_sub(outer));
        self
    }

    #[cold]
    pub(crate) fn in_field(self: Box<Self>, name: &str) -> Box<Self> {
        self.within(Segment::Field(name.into()))
    }

    #[cold]
    pub(crate) fn in_item(self: Box<Self>, index: usize) -> Box<Self> {
        self.within(Segment::Item(Some(index)))
    }

    #[cold]
    pub(crate) fn in_entry(self: Box<Self>, index: usize) -> Box<Self> {
        self.within(Segment::Entry(Some(index)))
    }

    fn within(mut self: Box<Self>, segment: Segment) -> Box<Self> {
        self.segments.push(segment);
        self
    }

    /// Returns the path: field names joined by dots, and positions in brackets. It is empty for the outermost value.
    pub fn path(&self) -> String {
        let mut path = String::new();
        for segment in self.segments.iter().rev() {
            let index = |index: &Option<usize>| index.map(|index| index.to_string()).unwrap_or_default();
            match segment {
                Segment::Field(name) if path.is_empty() => path.push_str(name),
                Segment::Field(name) => path.extend([".", name]),
                Segment::Item(at) => path.extend(["[", &index(at), "]"]),
                Segment::Entry(at) => path.extend(["{", &index(at), "}"]),
            }
        }
        path
    }

    /// Returns the error without its path.
    pub fn error(&self) -> &E {
        &self.error
    }
}

impl<E: HasNames> HasNames for WithPath<E> {
    fn rename(&mut self, rename: &Rename<'_>) {
        for segment in &mut self.segments {
            match segment {
                Segment::Field(name) => rename(name),
                Segment::Item(_) | Segment::Entry(_) => {}
            }
        }
        self.error.rename(rename);
    }
}

/// Maximum number of characters that are shown of the start and of the end of a path, which may be long.
const SHOWN: usize = 80;

impl<E: fmt::Display> fmt::Display for WithPath<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path();
        let mut starts = path.char_indices().map(|(start, _)| start);
        let (front, end) = (starts.nth(SHOWN), starts.nth_back(SHOWN - 1));
        match front.and_then(|front| path.get(..front)).zip(end.and_then(|end| path.get(end..))) {
            _ if path.is_empty() => {}
            None => write!(f, "{path}: ")?,
            Some((front, end)) => write!(f, "{front} ... {end}: ")?,
        }
        self.error.fmt(f)
    }
}

impl<E: std::error::Error> std::error::Error for WithPath<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_as_one_would_write_it() {
        let error = WithPath::here("too short").in_field("price").in_item(3).in_field("items").in_field("order");
        assert_eq!(error.to_string(), "order.items[3].price: too short");
        assert_eq!(WithPath::here("x").in_item(1).in_entry(0).in_field("m").path(), "m{0}[1]");
        assert_eq!(WithPath::here("gone").to_string(), "gone");
        let types = WithPath::at_types(&["a", ITEMS, "", "b", ENTRIES], "x");
        assert_eq!(types.to_string(), "a[].b{}: x");
        assert_eq!(types.with_error("y").below_types(&["a", "", ITEMS]).to_string(), "b{}: y");
    }

    #[test]
    fn a_long_path_is_shown_by_its_ends() {
        let long = |len: usize| WithPath::here("p").in_field(&"ä".repeat(len)).in_field("front");
        let text = long(1000).to_string();
        assert!(text.starts_with("front.ä") && text.ends_with("ä: p"), "{text}");
        assert_eq!(text.chars().count(), 2 * SHOWN + " ... : p".len());
        assert_eq!(long(2 * SHOWN - 6).to_string().chars().count(), 2 * SHOWN + ": p".len());
    }
}
