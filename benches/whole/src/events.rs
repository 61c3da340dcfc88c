//! The events every bootstrap is given.

use bytes::Bytes;
use std::error::Error;

/// Messages of all the events of one size together, if there are not more in one.
const MESSAGES: u32 = 20_000;

/// Different events of `messages` orders each.
pub(crate) fn of(messages: u32) -> Result<Vec<Bytes>, Box<dyn Error>> {
    let events = MESSAGES.div_ceil(messages).min(100);
    (0..events)
        .map(|event| Ok(micro::event::of_orders(event * messages, messages).ok_or("the event is over 6 MB")?.into()))
        .collect()
}
