//! Reads JSON without copying: strings are returned as slices of the payload, and values that the caller does not need
//! are skipped.
//!
//! Strings, which make up almost all of an event, are scanned many bytes at a time. Rare constructs (escapes, numbers,
//! nested values) are left to `serde_json`, so that there is only one grammar.

use super::scan::first_special;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// An error for text that is not the expected JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unexpected {
    /// Position of the error, in bytes from the start.
    pub at: usize,
    /// Description of what was expected at that position.
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

    /// Returns the number of bytes that were read.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn unexpected(&self, expected: &'static str) -> Unexpected {
        Unexpected { at: self.at, expected }
    }

    /// Reads an object. Calls `member` with each name, and `member` must read the value.
    pub(crate) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &str) -> Result<(), Unexpected>,
    ) -> Result<(), Unexpected> {
        self.members(|reader, name| member(reader, &name))
    }

    /// Reads an object like [`object`](Self::object), with the caller's own error type.
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

    /// Reads an array. Calls `element` for each value, and `element` must read it.
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

    /// Reads a value and returns its text unchanged.
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

    /// Returns an error if anything but white space follows.
    pub(crate) fn end(&mut self) -> Result<(), Unexpected> {
        if self.peek().is_none() { Ok(()) } else { Err(self.unexpected("nothing more")) }
    }

    /// Returns the next byte that is not white space, without consuming it.
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

    /// Consumes a comma or the byte `end`, and returns whether it was a comma.
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
                // The escaped character may be a quote, so it is skipped too.
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

/// A string before its escapes are replaced.
enum Quoted<'a> {
    /// The text of a string without escapes.
    Plain(&'a str),
    /// A string with escapes, as JSON with its quotes.
    Escaped(&'a str),
}
