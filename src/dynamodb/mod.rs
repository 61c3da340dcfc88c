//! DynamoDB output: the encoding of records as items, and the calls that write the items.
//!
//! [`mapping`], [`item`], [`signature`], `batch` and `response` are pure. [`client`] sends the requests.

pub(crate) mod batch;
pub mod client;
mod codes;
pub(crate) mod conditional;
pub mod credentials;
pub mod item;
pub mod mapping;
mod number;
pub(crate) mod response;
#[cfg(test)]
mod sample_fields;
pub mod signature;

pub use batch::{MAX_BATCH_BYTES, MAX_BATCH_ITEMS};
#[cfg(test)]
pub(crate) use number::push_canonical_number;
pub use number::{MAX_NUMBER_DIGITS, MAX_NUMBER_EXPONENT, MIN_NUMBER_EXPONENT};
