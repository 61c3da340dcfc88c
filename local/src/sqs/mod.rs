//! Amazon SQS as far as an event source mapping and a quarantine need it.

mod event;
mod message;
mod queue;
mod response;

pub use message::{Attribute, InvalidMessage, Message};
pub use queue::{DeadLetter, Delivery, Queue, Receipt, Settings};
pub use response::{CompleteFailure, failed_messages};
