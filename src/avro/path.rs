//! Where in a schema or a record something is wrong.

use std::fmt;

/// An error and the path to it, such as `items[3].price`, or `labels{0}` for the first entry of a map.
///
/// The path is put together on the way out of a failed descent, so that a descent that succeeds pays nothing for it. It
/// holds names of the schema and positions, never a part of a payload; that is why a map's entry goes by its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithPath<E> {
    path: String,
    error: E,
}

impl<E> WithPath<E> {
    /// The error, right here.
    pub(crate) fn here(error: E) -> Box<Self> {
        Box::new(Self { path: String::new(), error })
    }

    /// The error at a path that is known already.
    pub(crate) fn new(path: &str, error: E) -> Self {
        Self { path: path.to_owned(), error }
    }

    #[cold]
    pub(crate) fn in_field(mut self: Box<Self>, name: &str) -> Box<Self> {
        let dot = if self.path.starts_with(['[', '{']) || self.path.is_empty() { "" } else { "." };
        self.path = format!("{name}{dot}{}", self.path);
        self
    }

    #[cold]
    pub(crate) fn in_item(self: Box<Self>, index: usize) -> Box<Self> {
        self.behind(format!("[{index}]"))
    }

    #[cold]
    pub(crate) fn in_entry(self: Box<Self>, index: usize) -> Box<Self> {
        self.behind(format!("{{{index}}}"))
    }

    fn behind(mut self: Box<Self>, position: String) -> Box<Self> {
        let dot = if self.path.starts_with(['[', '{']) || self.path.is_empty() { "" } else { "." };
        self.path = position + dot + &self.path;
        self
    }

    /// Field names joined by dots, positions in brackets; empty for the whole.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong there.
    pub fn error(&self) -> &E {
        &self.error
    }
}

/// The most characters of a path that are shown at its front and at its end. Types can be nested deep, and names be long.
const SHOWN: usize = 80;

impl<E: fmt::Display> fmt::Display for WithPath<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut starts = self.path.char_indices().map(|(start, _)| start);
        let (front, end) = (starts.nth(SHOWN), starts.nth_back(SHOWN - 1));
        match front.and_then(|front| self.path.get(..front)).zip(end.and_then(|end| self.path.get(end..))) {
            _ if self.path.is_empty() => {}
            None => write!(f, "{}: ", self.path)?,
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
