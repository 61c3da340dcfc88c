//! Messages in and the answer out: what of SQS crosses the function's boundary. Pure.

mod body;
mod event;
mod misencoding;
mod response;

pub use body::{BodyContent, BodyError, DecodedBody};
pub use event::{Event, MalformedEvent, Message, OriginalAttribute};
pub use misencoding::Misencoding;
pub use response::Response;
