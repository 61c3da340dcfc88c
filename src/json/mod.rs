//! What JSON is, once for the whole crate: the event from SQS, bodies in the wire format `json`, schemas, and the DynamoDB
//! JSON that items are written as.
//!
//! - `scan` finds where the plain text of a string ends, which is what reading and writing strings cost.
//! - `JsonReader` reads values in place and skips the others.
//! - `Json` is a value as a tree, for schemas and for bodies, whose numbers stay exact.
//! - `push_string` and `push_escaped` write strings.
//!
//! Pure. Whatever is rare is left to `serde_json`, so that there is one grammar.

mod reader;
mod scan;
mod tree;
mod write;

pub use reader::Unexpected;
pub use tree::JsonError;

pub(crate) use reader::JsonReader;
pub(crate) use tree::{Json, Repeated};
pub(crate) use write::{push_escaped, push_string};
