//! Records out: how they become items and how items are written.
//!
//! [`mapping`], [`item`], `batch`, `signature` and `response` are pure; [`client`] and [`writer`] talk to DynamoDB.

mod batch;
pub mod client;
pub mod item;
mod json;
pub mod mapping;
mod response;
mod signature;
pub mod writer;

pub use batch::{MAX_BATCH_BYTES, MAX_BATCH_ITEMS};
#[cfg(test)]
pub(crate) use json::push_canonical_number;
pub use json::{MAX_NUMBER_DIGITS, MAX_NUMBER_EXPONENT, MIN_NUMBER_EXPONENT};
