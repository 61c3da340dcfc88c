//! Everything Avro: from the bytes of a message to the values of its records.
//!
//! It owns the schema directory ([`Schemas`]), the wire formats ([`WireFormat`]), schema resolution and the walk over a
//! datum ([`Decoder`]). It knows nothing of queues and tables, and is pure: what it does depends on its arguments only.
mod decoder;
mod error;
mod framing;
mod json;
mod limits;
mod path;
mod plan;
mod schema;
mod schema_set;
mod text;
#[cfg(test)]
mod tree;
mod walk;
mod wire_format;
mod write;

pub use decoder::{Body, Decoded, Decoder, Input, Options, Scratch};
pub use error::DecodeError;
pub use json::JsonError;
pub use limits::Limits;
pub use path::At;
pub use plan::{Mismatch, MismatchProblem};
pub use schema::{SchemaError, SchemaProblem};
pub use schema_set::{FieldError, SchemaErrors, SchemaFile, SchemaId, SchemaVersion, Schemas, SetProblem, Subject};
pub use wire_format::{UnknownWireFormat, WireFormat};
pub use write::Misfit;
