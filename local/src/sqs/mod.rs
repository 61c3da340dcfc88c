//! Amazon SQS: a queue, the events that an event source mapping makes of it, and two HTTP endpoints. [`Endpoint`] records what a
//! quarantine sends; [`Service`] is the whole of SQS for a program that sends and receives by itself.

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
