//! Amazon SQS as far as an event source mapping and a quarantine need it.

mod api;
mod endpoint;
mod event;
mod message;
mod queue;
mod response;

pub use endpoint::{Endpoint, EntryRefusal, Sent};
pub use message::{Attribute, InvalidMessage, Message};
pub use queue::{DeadLetter, Delivery, Disorder, Queue, Receipt, Settings};
pub use response::{CompleteFailure, failed_messages};
