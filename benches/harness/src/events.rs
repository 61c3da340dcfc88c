//! The events every bootstrap is given.

use bytes::Bytes;
use std::error::Error;

/// Messages of all the events of one size together, unless one event alone has more.
const MESSAGES: u32 = 20_000;
/// Events of one size at most.
const EVENTS: u32 = 100;
/// What Lambda delivers at most in one invocation.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
pub(crate) const MAX_EVENT_BYTES: usize = 6 * 1024 * 1024;

/// Different events of one size.
pub(crate) struct Events {
    /// Messages of each.
    pub(crate) messages: usize,
    pub(crate) payloads: Vec<Bytes>,
}

/// Different events of `messages` orders each.
pub(crate) fn of(messages: u32) -> Result<Events, Box<dyn Error>> {
    let count = MESSAGES.div_ceil(messages).min(EVENTS);
    let payload = |event| micro::event::of_orders(event * messages, messages).map(Bytes::from);
    let payloads = (0..count).map(payload).collect::<Option<_>>().ok_or("the event is over 6 MB")?;
    Ok(Events { messages: usize::try_from(messages)?, payloads })
}

/// As many orders as an event of 6 MB has room for, give or take a few.
pub(crate) fn most() -> Result<u32, Box<dyn Error>> {
    const SAMPLE: u32 = 1_000;
    let bytes = micro::event::of_orders(0, SAMPLE).ok_or("a thousand orders are over 6 MB")?.len();
    let most = MAX_EVENT_BYTES * usize::try_from(SAMPLE)? / bytes;
    // numbers with one more digit take a little more room
    Ok(u32::try_from(most - most / 100)?)
}
