//! Amazon SQS: a queue, the events that an event source mapping creates from it, and two HTTP endpoints. [`Endpoint`] records
//! the messages sent to a quarantine queue. [`Service`] emulates all SQS operations that a program needs to send and receive
//! messages by itself.

mod api;
mod endpoint;
mod event;
mod message;
mod queue;
mod response;
mod service;

pub use endpoint::{Endpoint, EntryRefusal, Sent};
pub use message::{Attribute, InvalidMessage, Message};
pub use queue::{DeadLetter, Delivery, Disorder, Held, Queue, Receipt, Settings};
pub use response::{CompleteFailure, failed_messages};
pub use service::{Call, ErrorCode, Fault, MAX_IN_FLIGHT, Service, seeded};
