//! Reads and writes all JSON of the crate: the event from SQS, bodies in the wire format `json`, schemas, and items in
//! DynamoDB JSON.
//!
//! - `scan` finds the end of the plain part of a string, which takes most of the time of reading and writing strings.
//! - `JsonReader` reads values in place and skips those that are not needed.
//! - `Json` is a tree of values, for schemas and bodies. Its numbers stay exact.
//! - `push_string` and `push_escaped` write strings.
//!
//! The module is pure. Rare constructs are left to `serde_json`, so that there is only one grammar.

mod reader;
mod scan;
mod tree;
mod write;

pub use reader::Unexpected;
pub use tree::JsonError;

pub(crate) use reader::JsonReader;
pub(crate) use tree::{Json, Repeated};
pub(crate) use write::{push_escaped, push_string};
