//! Benchmarks that compare implementations step by step, and the messages they use.
//!
//! [`shape`] defines the records. [`event`] creates events from them, which the whole-process benchmark uses too. [`steps`] has
//! the candidates for each step of handling a message: avro-ingest's implementation and those with widely used crates. [`call`]
//! has the candidates for the cost of a call apart from its items.

mod attribute;
pub mod call;
pub mod event;
mod sdk;
pub mod shape;
pub mod steps;
