//! The JSON encodings of records. The encoding is a setting, because it cannot be derived from a value.

use std::{fmt, str::FromStr};

/// Encoding of records in JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum JsonEncoding {
    /// JSON as services usually write it: bytes in base64, decimals as numbers, dates as strings, unions without tags.
    #[default]
    Plain,
    /// Avro's own JSON encoding: bytes as the characters 0 to 255, and a union's value in an object under the name of
    /// its branch. <https://avro.apache.org/docs/1.12.0/specification/#json-encoding>
    Avro,
}

impl JsonEncoding {
    /// All encodings, in the order of the documentation.
    pub const ALL: &[Self] = &[Self::Plain, Self::Avro];

    /// Returns the name of the encoding in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Avro => "avro",
        }
    }
}

impl fmt::Display for JsonEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for JsonEncoding {
    type Err = UnknownJsonEncoding;

    fn from_str(text: &str) -> Result<Self, UnknownJsonEncoding> {
        Self::ALL.iter().copied().find(|encoding| encoding.name() == text).ok_or(UnknownJsonEncoding)
    }
}

/// A name that is not one of [`JsonEncoding::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownJsonEncoding;

impl fmt::Display for UnknownJsonEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = JsonEncoding::ALL.iter().map(|encoding| encoding.name()).collect();
        write!(f, "not one of {}", names.join(", "))
    }
}

impl std::error::Error for UnknownJsonEncoding {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_encoding_is_read_back_from_its_name() {
        for encoding in JsonEncoding::ALL {
            assert_eq!(encoding.to_string().parse(), Ok(*encoding));
        }
        assert_eq!("Avro".parse::<JsonEncoding>().unwrap_err().to_string(), "not one of plain, avro");
    }
}
