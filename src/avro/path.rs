//! Where in a schema or a record something is wrong.

use super::clean::{HasNames, Rename};
use std::fmt;

/// An error and the path to it, such as `items[3].price`, or `labels{0}` for the first entry of a map.
///
/// The path is put together on the way out of a failed descent, so that a descent that succeeds pays nothing for it. It
/// holds names of a schema and positions, never a value; that is why a map's entry goes by its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithPath<E> {
    /// The innermost segment first.
    segments: Vec<Segment>,
    error: E,
}

/// A step from a value to one within it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Field(Box<str>),
    /// An item of an array. It has no index where the path is one of types.
    Item(Option<usize>),
    /// An entry of a map, as an item.
    Entry(Option<usize>),
}

/// The segment of a path of types that leads into an array.
pub(crate) const ITEMS: &str = "[]";
/// The segment of a path of types that leads into a map.
pub(crate) const ENTRIES: &str = "{}";

impl<E> WithPath<E> {
    /// The error, right here.
    pub(crate) fn here(error: E) -> Box<Self> {
        Box::new(Self { segments: Vec::new(), error })
    }

    /// The error at the end of a path of types: names of fields, [`ITEMS`] and [`ENTRIES`]. Empty segments are left out.
    pub(crate) fn at_types(path: &[&str], error: E) -> Self {
        let segments = path.iter().rev().filter(|segment| !segment.is_empty()).map(|segment| match *segment {
            ITEMS => Segment::Item(None),
            ENTRIES => Segment::Entry(None),
            name => Segment::Field(name.into()),
        });
        Self { segments: segments.collect(), error }
    }

    /// Another error at the same place.
    pub(crate) fn with_error<F>(&self, error: F) -> WithPath<F> {
        WithPath { segments: self.segments.clone(), error }
    }

    /// The error, and the path to it from the end of `around`, a path of types that leads to it.
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

    /// Field names joined by dots, positions in brackets; empty for the whole.
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

    /// What is wrong there.
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

/// The most characters of a path that are shown at its front and at its end. Types can be nested deep, and names be long.
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
