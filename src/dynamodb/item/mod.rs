//! Items: the writes of an event and the bytes they share.
//!
//! `encoder` is the state of an event, `message` that of a message, `record` that of a record. At the end of a record, `finish` adds the
//! attributes beside its values: `key`, `ttl`, the version, the time.

mod canonical;
mod encoder;
mod finish;
mod items;
mod key;
mod limits;
mod message;
mod origin;
mod record;
#[cfg(test)]
mod tests;
mod tracked;
mod ttl;

pub(crate) use canonical::push_canonical;
pub use encoder::ItemEncoder;
pub(crate) use items::ItemRef;
pub use items::{Item, Items};
pub use limits::{MAX_DEPTH, MAX_ITEM_BYTES, MAX_NAME_BYTES, MAX_PARTITION_KEY_BYTES, MAX_SORT_KEY_BYTES};
pub use message::{MessageStamps, Operation};
pub use record::RecordEncoder;
