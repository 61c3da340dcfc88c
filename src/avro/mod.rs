//! Decodes Avro: turns the bytes of a message into the values of its records.
//!
//! This module owns the schema directory ([`Schemas`]), the wire formats ([`WireFormat`]), schema resolution, and the
//! decoding of datums ([`Decoder`]). It does not know about queues or tables. It is pure: the result depends only on
//! the arguments. The sink is responsible for the time and memory that an event may use, and can interrupt a message
//! before each of its records.
//!
//! ```text
//! at startup         files -> schema -> schema_set -> plan (writer x reader) -> decoder
//! for each message   body -> framing, container -> inflate -> walk -> visitor
//!                    JSON -> json_encode, json_keys ----------^
//! ```
//!
//! # Order of the wire formats
//!
//! The formats are tried in the order of the allow-list; formats that are not on the list are never tried. A format
//! accepts a message if its header is complete, its schema is known, and the datum uses every byte. Otherwise the next
//! format is tried. `datum` and `json` have no header: the message attribute `schema` names the schema, or the settings
//! do. A body of JSON text is tried only as `json`, and a binary body never is.
//!
//! If no format accepts the message, the error is that of the first format whose header and schema were valid. Without
//! such a format, it is the error of the first format whose marker was present or that has no marker. Otherwise the
//! error says that the body is in none of the formats.
//!
//! # Limits on the cost of a message
//!
//! A malicious message costs no more than its own rejection: it causes no panic, no stall, and no memory use beyond
//! [`Limits`].
//!
//! - Counts and lengths are compared with the remaining input before they are used.
//! - Values that take no bytes are counted.
//! - Recursion is bounded in schemas, datums and JSON.
//! - The bytes that a message inflates to, and those of defaults for absent fields, are counted against a limit as they
//!   are produced.
//!
//! All of this also holds for the schema that a container brings.

mod binary;
mod clean;
mod container;
mod decoder;
mod error;
mod framing;
mod inflate;
mod json_encode;
mod json_keys;
mod limits;
mod path;
mod plan;
mod sample;
mod schema;
mod schema_set;
#[cfg(test)]
pub(crate) mod tests;
mod text;
mod walk;
mod wire_format;

pub use decoder::{Body, Decoded, Decoder, Input, Options, Scratch};
pub use error::{DecodeError, Undecoded};
pub use json_encode::{JsonEncodeError, JsonEncoding, UnknownJsonEncoding};
pub use limits::Limits;
pub use path::WithPath;
pub use plan::{Mismatch, MismatchProblem};
pub use schema::{SchemaError, SchemaProblem};
pub use schema_set::{
    AnnotationProblem, EndlessRecord, FieldError, IgnoredAnnotation, NoFiniteValue, RecordJsonError, SchemaErrors,
    SchemaFile, SchemaId, SchemaVersion, Schemas, SetProblem, Subject,
};
pub use wire_format::{UnknownWireFormat, WireFormat};

pub(crate) use binary::{push_bytes, push_len};
pub(crate) use container::{MAGIC as CONTAINER_MAGIC, SYNC_LEN};
pub(crate) use framing::{CONFLUENT_MARKER, GLUE_MARKER, GlueCompression, SINGLE_OBJECT_MARKER};
pub(crate) use schema::Time;
pub(crate) use schema_set::FieldUnit;
