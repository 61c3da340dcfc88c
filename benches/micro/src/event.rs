//! Events of orders, in the form in which Lambda delivers them.

use crate::shape::{Order, Shape};
use base64::{Engine, engine::general_purpose::STANDARD};
use local::sqs::{Message, Queue, Settings};
use std::time::Duration;

/// Interval at which producers send messages.
const DISTANCE: Duration = Duration::from_millis(1);

/// Returns the bodies of `messages` orders in the wire format `single-object`, starting with order number `first`.
pub fn bodies(first: u32, messages: u32) -> Vec<String> {
    let (schema, header) = (Order::schema(), Order::header());
    let body = |number| STANDARD.encode([header.clone(), Order::sample(number).datum(&schema)].concat());
    (first..first + messages).map(body).collect()
}

/// Returns an event of `messages` orders in the wire format `single-object`, starting with order number `first`. `None` if it
/// is larger than 6 MB, which Lambda would not deliver as one event.
pub fn of_orders(first: u32, messages: u32) -> Option<Vec<u8>> {
    let mut queue = Queue::new(Settings::named("orders"));
    let sent = local::clock::since_epoch();
    for (number, body) in (0..).zip(bodies(first, messages)) {
        queue.send(Message::text(body), sent + DISTANCE * number).ok()?;
    }
    let messages = usize::try_from(messages).ok()?;
    let delivery = queue.receive(messages, sent + DISTANCE * u32::try_from(messages).ok()?)?;
    (delivery.receipts.len() == messages).then(|| delivery.event.to_vec())
}
