//! A reader of JSON that borrows: strings come out as slices of the payload, and what the caller does not ask for is skipped.
//!
//! Strings, which are all but a few bytes of an event, are looked through many bytes at a time. Whatever is rare (an
//! escape, a number, a nested value) is left to serde_json, so that there is one grammar.

use super::scan::first_special;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Where a text is not the JSON that was asked for, and what would have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unexpected {
    /// Its place, in bytes from the start.
    pub at: usize,
    /// What would have been right.
    pub expected: &'static str,
}

impl fmt::Display for Unexpected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} at byte {}", self.expected, self.at)
    }
}

impl std::error::Error for Unexpected {}

pub(crate) struct JsonReader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> JsonReader<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// How many bytes were read.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn unexpected(&self, expected: &'static str) -> Unexpected {
        Unexpected { at: self.at, expected }
    }

    /// Reads an object by telling `member` each name. It must read the value.
    pub(crate) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &str) -> Result<(), Unexpected>,
    ) -> Result<(), Unexpected> {
        self.members(|reader, name| member(reader, &name))
    }

    /// As [`object`](Self::object), with an error of the caller's own.
    pub(crate) fn members<E: From<Unexpected>>(
        &mut self,
        mut member: impl FnMut(&mut Self, Cow<'a, str>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.take(b'{', "an object")?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let name = self.string("a name")?;
            self.take(b':', "a colon")?;
            member(self, name)?;
            if !self.goes_on(b'}', "a comma or the end of the object")? {
                return Ok(());
            }
        }
    }

    /// Reads an array by letting `element` read each value.
    pub(crate) fn array<E: From<Unexpected>>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.take(b'[', "an array")?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            element(self)?;
            if !self.goes_on(b']', "a comma or the end of the array")? {
                return Ok(());
            }
        }
    }

    /// Reads a string.
    pub(crate) fn string(&mut self, expected: &'static str) -> Result<Cow<'a, str>, Unexpected> {
        let start = self.at_next();
        match self.quoted(expected)? {
            Quoted::Plain(text) => Ok(Cow::Borrowed(text)),
            Quoted::Escaped(json) => {
                serde_json::from_str(json).map(Cow::Owned).map_err(|_| Unexpected { at: start, expected })
            }
        }
    }

    /// Reads a string or null.
    pub(crate) fn optional_string(&mut self, expected: &'static str) -> Result<Option<Cow<'a, str>>, Unexpected> {
        if self.peek() == Some(b'n') {
            return self.raw().and_then(|raw| if raw == "null" { Ok(None) } else { Err(self.unexpected(expected)) });
        }
        self.string(expected).map(Some)
    }

    /// Skips a value.
    pub(crate) fn skip(&mut self) -> Result<(), Unexpected> {
        if self.peek() != Some(b'"') {
            return self.raw().map(drop);
        }
        let start = self.at;
        match self.quoted("a string")? {
            Quoted::Plain(_) => Ok(()),
            Quoted::Escaped(json) => serde_json::from_str::<IgnoredAny>(json)
                .map(drop)
                .map_err(|_| Unexpected { at: start, expected: "a string" }),
        }
    }

    /// Reads a value as it stands.
    pub(crate) fn raw(&mut self) -> Result<&'a str, Unexpected> {
        if self.peek() == Some(b'{') && self.text.get(self.at..self.at + 2) == Some("{}") {
            self.at += 2;
            return Ok("{}");
        }
        let rest = self.text.get(self.at..).unwrap_or_default();
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<&'a RawValue>();
        let Some(Ok(value)) = values.next() else { return Err(self.unexpected("a value")) };
        self.at += values.byte_offset();
        Ok(value.get())
    }

    /// Makes sure that nothing follows.
    pub(crate) fn end(&mut self) -> Result<(), Unexpected> {
        if self.peek().is_none() { Ok(()) } else { Err(self.unexpected("nothing more")) }
    }

    /// The next byte that is not white space, which is not taken.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let white = rest.iter().position(|byte| !matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).unwrap_or(rest.len());
        self.at += white;
        rest.get(white).copied()
    }

    fn at_next(&mut self) -> usize {
        self.peek();
        self.at
    }

    fn take(&mut self, byte: u8, expected: &'static str) -> Result<(), Unexpected> {
        if self.peek() != Some(byte) {
            return Err(self.unexpected(expected));
        }
        self.at += 1;
        Ok(())
    }

    /// Whether a comma follows, and not the `end`.
    fn goes_on(&mut self, end: u8, expected: &'static str) -> Result<bool, Unexpected> {
        let byte = self.peek();
        if byte != Some(b',') && byte != Some(end) {
            return Err(self.unexpected(expected));
        }
        self.at += 1;
        Ok(byte == Some(b','))
    }

    fn quoted(&mut self, expected: &'static str) -> Result<Quoted<'a>, Unexpected> {
        self.take(b'"', expected)?;
        let start = self.at;
        let mut escaped = false;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            let found = first_special(rest);
            self.at += found.unwrap_or(rest.len());
            match found.and_then(|found| rest.get(found)) {
                Some(b'"') => break,
                // what is escaped may be a quote
                Some(b'\\') => (escaped, self.at) = (true, self.at + 2),
                Some(_) => return Err(self.unexpected("no control character")),
                None => return Err(self.unexpected("the end of the string")),
            }
        }
        let end = self.at;
        self.at += 1;
        if escaped {
            return Ok(Quoted::Escaped(self.text.get(start - 1..=end).unwrap_or_default()));
        }
        Ok(Quoted::Plain(self.text.get(start..end).unwrap_or_default()))
    }
}

/// A string as it stands.
enum Quoted<'a> {
    /// Its text, which needs no more work.
    Plain(&'a str),
    /// With its quotes, as JSON.
    Escaped(&'a str),
}
