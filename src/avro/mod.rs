//! Avro: from the bytes of a message to the values of its records.
//!
//! Owns the schema directory ([`Schemas`]), the wire formats ([`WireFormat`]), schema resolution, and the reading of datums
//! ([`Decoder`]). It knows nothing of queues and tables, and it is pure: the result depends on the arguments only. Time and
//! memory of an event are the sink's concern, which may interrupt a message before each of its records.
//!
//! ```text
//! at start           files -> schema -> schema_set -> plan (writer x reader) -> decoder
//! for each message   body -> framing, container -> inflate -> walk -> visitor
//!                    JSON -> json_encode, json_keys ----------^
//! ```
//!
//! # How the wire formats are tried
//!
//! In the order of the allow-list, and no other. A format takes a message if its header is complete, its schema is known,
//! and the datum uses every byte; else the next format is tried. `datum` and `json` have no header: the message attribute
//! `schema` names the schema, or else the settings do. A body of JSON text is only tried as `json`, and bytes never are.
//!
//! If no format takes the message, the error is that of the first format whose header and schema were valid, else that of
//! the first whose marker was there, else that the body is in none of the formats.
//!
//! # What a message may cost
//!
//! A malicious message costs its own rejection: no panic, no stall, no memory beyond [`Limits`]. Counts and lengths are
//! compared with what is left of the input before they are used; values that take no bytes are counted; recursion is
//! bounded in schemas, datums and JSON; inflation, and defaults that stand for absent fields, are bounded while the message
//! grows. All of this holds for the schema that a container brings, too.

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
