//! Items: the writes of an event, and the encoder that creates them.
//!
//! The state of an event is in `encoder`, of a message in `message`, and of a record in `record`. At the end of each
//! record, `finish` adds the attributes that are not fields of the record: keys (`key`), time to live (`ttl`), version and
//! write time.

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
