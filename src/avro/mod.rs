//! Everything Avro: from the bytes of a message to the values of its records.
//!
//! It owns the schema directory ([`Schemas`]), the wire formats ([`WireFormat`]), schema resolution and the walk over a
//! datum ([`Decoder`]). It knows nothing of queues and tables, and is pure: what it does depends on its arguments only.
//!
//! ```text
//! files ── schema ── schema_set ── plan ── decoder            at start
//!          one graph  fits         writer     │
//!                     together?    x reader   │
//!                                             │
//! body ── framing, container ── inflate ── walk ── visitor    for each message
//!         json ── write ──────────────────┘
//! ```
//!
//! # How the allowed wire formats are tried
//!
//! In the order of the allow-list, and no other. A format takes a message if its header is complete, the schema it names
//! is known, and the datum behind it uses every byte; the next format is tried if any of that fails. `datum` and `json`
//! have no header: the message attribute `schema` names the schema, or else the settings do. Text that is JSON is only
//! ever `json`, and bytes never are.
//!
//! If no format takes the message, the failure that is told is that of the first format whose header and schema were in
//! order. If there is none, it is that of the first whose marker was there; and if there is none, that the body looks like
//! none of them.
//!
//! # What a message may cost
//!
//! Its own rejection: no panic, no stall, no memory beyond [`Limits`]. Counts and lengths are held against what is left of
//! the input before anything is done with them; what takes no bytes is counted; recursion is bounded in schemas, datums
//! and JSON; inflation is bounded while it happens. That holds for the schema that a container brings, too.

mod container;
mod decoder;
mod error;
mod framing;
mod inflate;
mod json;
mod limits;
mod path;
mod plan;
mod schema;
mod schema_set;
#[cfg(test)]
pub(crate) mod tests;
mod text;
mod walk;
mod wire_format;
mod write;

pub use decoder::{Body, Decoded, Decoder, Input, Options, Scratch};
pub use error::{DecodeError, Undecoded};
pub use json::JsonError;
pub use limits::Limits;
pub use path::WithPath;
pub use plan::{Mismatch, MismatchProblem};
pub use schema::{SchemaError, SchemaProblem};
pub use schema_set::{
    FieldError, RecordJsonError, SchemaErrors, SchemaFile, SchemaId, SchemaVersion, Schemas, SetProblem, Subject,
};
pub use wire_format::{UnknownWireFormat, WireFormat};
pub use write::JsonEncodeError;

pub(crate) use container::{MAGIC as CONTAINER_MAGIC, SYNC_LEN};
pub(crate) use framing::{CONFLUENT_MARKER, GLUE_MARKER, GlueCompression, SINGLE_OBJECT_MARKER};
pub(crate) use write::{push_bytes, push_len};
