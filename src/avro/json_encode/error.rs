//! Errors of JSON that cannot be encoded as a datum.

use std::fmt;

/// A reason why a JSON value does not match its schema. It contains no part of the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonEncodeError {
    /// The JSON value has another kind than the Avro type needs.
    Kind {
        /// Name of the Avro type.
        expected: &'static str,
    },
    /// The Avro type cannot hold the number, or cannot hold it exactly.
    Number {
        /// Name of the Avro type.
        expected: &'static str,
    },
    /// The string is not of the expected form.
    Text {
        /// Description of the expected form.
        expected: &'static str,
    },
    /// The number of bytes differs from the size of the fixed.
    Size {
        /// Size of the fixed, in bytes.
        expected: u32,
    },
    /// The string is not one of the enum's symbols.
    Symbol,
    /// No branch of the union matches the value.
    NoBranch,
    /// In Avro's own encoding, the value of a union is neither null nor an object that names a branch.
    Untagged,
    /// The field is absent and has no default.
    MissingField,
    /// The object has a member that is not a field of the record.
    UnknownField,
    /// The value is nested deeper than allowed.
    TooDeep,
    /// The value contains more values or bytes than allowed.
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
