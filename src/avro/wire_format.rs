//! The names of the wire formats.

use std::{fmt, str::FromStr};

/// Framing of a message, which identifies the schema that its datum was written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WireFormat {
    /// `C3 01`, the schema's fingerprint, and the datum.
    SingleObject,
    /// An Avro object container file with its own schema and any number of records.
    Container,
    /// `00`, a four-byte schema id, and the datum. Alternatively the id is in the message attribute
    /// `__value_schema_id`.
    Confluent,
    /// `03`, a compression byte, a sixteen-byte schema version id, and the datum.
    Glue,
    /// A datum without a header. The message or the settings name its schema.
    Datum,
    /// A JSON object. The message or the settings name its schema.
    Json,
}

impl WireFormat {
    /// All formats, in the order of the documentation.
    pub const ALL: &[Self] =
        &[Self::SingleObject, Self::Container, Self::Confluent, Self::Glue, Self::Datum, Self::Json];

    /// Returns the name of the format in settings and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SingleObject => "single-object",
            Self::Container => "container",
            Self::Confluent => "confluent",
            Self::Glue => "glue",
            Self::Datum => "datum",
            Self::Json => "json",
        }
    }
}

impl fmt::Display for WireFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for WireFormat {
    type Err = UnknownWireFormat;

    fn from_str(text: &str) -> Result<Self, UnknownWireFormat> {
        Self::ALL.iter().copied().find(|format| format.name() == text).ok_or(UnknownWireFormat)
    }
}

/// A name that is not one of [`WireFormat::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownWireFormat;

impl fmt::Display for UnknownWireFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = WireFormat::ALL.iter().map(|format| format.name()).collect();
        write!(f, "not one of {}", names.join(", "))
    }
}

impl std::error::Error for UnknownWireFormat {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_read_back_from_its_name() {
        for format in WireFormat::ALL {
            assert_eq!(format.to_string().parse(), Ok(*format));
        }
        let error = "Datum".parse::<WireFormat>().unwrap_err();
        assert_eq!(error.to_string(), "not one of single-object, container, confluent, glue, datum, json");
    }
}
