//! What is compared step by step, and the messages it is compared on.
//!
//! [`shape`] has the records and [`event`] the events of them, which the whole-process bench sends as well. [`steps`] has,
//! for each step of handling a message, the implementations: those of the ordinary crates beside avro-ingest's; [`call`]
//! the same of what a call costs besides its items.

mod attribute;
pub mod call;
pub mod event;
mod sdk;
pub mod shape;
pub mod steps;
