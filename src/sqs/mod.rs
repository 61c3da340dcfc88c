//! SQS messages: parsing of the event and its bodies, and the response. Pure: no I/O, clock or randomness.

mod body;
mod event;
mod misencoding;
mod response;

pub use body::{BodyContent, BodyError, DecodedBody};
pub use event::{Event, MalformedEvent, Message, OriginalAttribute};
pub use misencoding::Misencoding;
pub use response::Response;
