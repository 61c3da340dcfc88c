//! Why JSON cannot be written as a datum.

use std::fmt;

/// Why a JSON value is not a value of its schema. Never a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonEncodeError {
    /// JSON of another kind than this Avro type needs.
    Kind {
        /// The Avro type.
        expected: &'static str,
    },
    /// A number that the Avro type cannot hold exactly, or not at all.
    Number {
        /// The Avro type.
        expected: &'static str,
    },
    /// A string that is not a text of this kind.
    Text {
        /// What it should be the text of.
        expected: &'static str,
    },
    /// Bytes of another number than the fixed has.
    Size {
        /// The number it has.
        expected: u32,
    },
    /// A string that is not one of the enum's symbols.
    Symbol,
    /// No branch of the union takes the value.
    NoBranch,
    /// A value of a union, in Avro's own encoding, that neither is null nor names a branch.
    Untagged,
    /// A field that is absent and has no default.
    MissingField,
    /// A key that is not a field of the record.
    UnknownField,
    /// Nested deeper than allowed.
    TooDeep,
    /// More values or bytes than allowed.
    TooLarge,
}

impl fmt::Display for JsonEncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind { expected } => write!(f, "not the json of a value of type {expected}"),
            Self::Number { expected } => write!(f, "the number does not fit {expected}"),
            Self::Text { expected } => write!(f, "the string is not {expected}"),
            Self::Size { expected } => write!(f, "not {expected} bytes"),
            Self::Symbol => f.write_str("the string is not one of the symbols"),
            Self::NoBranch => f.write_str("no branch of the union takes the value"),
            Self::Untagged => f.write_str("neither null nor an object whose one key names a branch of the union"),
            Self::MissingField => f.write_str("the field is absent and has no default"),
            Self::UnknownField => f.write_str("the object has a key that is not a field of the record"),
            Self::TooDeep => f.write_str("nested too deep"),
            Self::TooLarge => f.write_str("too many values or bytes"),
        }
    }
}

impl std::error::Error for JsonEncodeError {}
