//! A message as its sender creates it, and the checks that SQS makes.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;

/// Maximum size of a message in bytes: body, attribute names, types and values together.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
pub(crate) const MAX_MESSAGE_BYTES: usize = 1024 * 1024;
/// Maximum number of attributes of a message.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html>
const MAX_ATTRIBUTES: usize = 10;

/// A message attribute's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// Data type `String`.
    String(String),
    /// Data type `Number`, as text.
    Number(String),
    /// Data type `Binary`: the raw bytes. Events contain them as base64.
    Binary(Bytes),
}

impl Attribute {
    /// Returns the name of the data type.
    pub(crate) fn data_type(&self) -> &'static str {
        match self {
            Self::String(_) => "String",
            Self::Number(_) => "Number",
            Self::Binary(_) => "Binary",
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::String(text) | Self::Number(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }
}

/// A message as it is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// The body.
    pub body: String,
    /// The message attributes by name.
    pub attributes: BTreeMap<String, Attribute>,
    /// `MessageGroupId`. It is required for a FIFO queue and ignored for a standard queue.
    pub group: Option<String>,
    /// `MessageDeduplicationId`. A FIFO queue accepts one message per id within five minutes.
    pub deduplication_id: Option<String>,
}

impl Message {
    /// Creates a message that consists only of a body.
    pub fn text(body: impl Into<String>) -> Self {
        Self { body: body.into(), ..Self::default() }
    }

    /// Adds an attribute.
    #[must_use]
    pub fn with(mut self, name: &str, value: Attribute) -> Self {
        self.attributes.insert(name.to_owned(), value);
        self
    }

    /// Sets the message group.
    #[must_use]
    pub fn in_group(self, group: impl Into<String>) -> Self {
        Self { group: Some(group.into()), ..self }
    }

    /// Sets the deduplication id.
    #[must_use]
    pub fn with_deduplication_id(self, id: impl Into<String>) -> Self {
        Self { deduplication_id: Some(id.into()), ..self }
    }

    /// Returns the size as SQS counts it, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let attribute = |(name, value): (&String, &Attribute)| name.len() + value.data_type().len() + value.len();
        self.body.len() + self.attributes.iter().map(attribute).sum::<usize>()
    }

    /// Checks the rules that apply to messages of any queue.
    pub(crate) fn check(&self) -> Result<(), InvalidMessage> {
        if self.body.is_empty() {
            return Err(InvalidMessage::EmptyBody);
        }
        if self.attributes.len() > MAX_ATTRIBUTES {
            return Err(InvalidMessage::TooManyAttributes { count: self.attributes.len(), limit: MAX_ATTRIBUTES });
        }
        if let Some((name, _)) = self.attributes.iter().find(|(_, value)| value.len() == 0) {
            return Err(InvalidMessage::EmptyAttribute(name.clone()));
        }
        if self.bytes() > MAX_MESSAGE_BYTES {
            return Err(InvalidMessage::TooLarge { bytes: self.bytes(), limit: MAX_MESSAGE_BYTES });
        }
        let legal = |&char: &char| matches!(char, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..);
        if !self.body.chars().all(|char| legal(&char)) {
            return Err(InvalidMessage::IllegalCharacter);
        }
        Ok(())
    }
}

/// Reason why SQS would refuse a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidMessage {
    /// The body is empty.
    EmptyBody,
    /// There are more attributes than allowed.
    TooManyAttributes {
        /// Number of attributes.
        count: usize,
        /// Maximum number of attributes.
        limit: usize,
    },
    /// The attribute of this name is empty.
    EmptyAttribute(String),
    /// The message is larger than allowed.
    TooLarge {
        /// Size as SQS counts it, in bytes.
        bytes: usize,
        /// Maximum size, in bytes.
        limit: usize,
    },
    /// The body has a character that XML 1.0 does not allow.
    IllegalCharacter,
    /// A message for a FIFO queue has no message group.
    GroupRequired,
}

impl fmt::Display for InvalidMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyBody => f.write_str("the body is empty"),
            Self::TooManyAttributes { count, limit } => write!(f, "{count} attributes, over the limit of {limit}"),
            Self::EmptyAttribute(name) => write!(f, "the attribute {name} is empty"),
            Self::TooLarge { bytes, limit } => write!(f, "{bytes} bytes, over the limit of {limit}"),
            Self::IllegalCharacter => f.write_str("the body has a character that is not allowed"),
            Self::GroupRequired => f.write_str("a fifo queue needs a message group"),
        }
    }
}

impl std::error::Error for InvalidMessage {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_exactly_the_limit_is_taken_and_one_byte_more_is_not() {
        let attribute = Message::default().with("avro", Attribute::Binary(Bytes::from_static(&[0; 10])));
        let overhead = "avro".len() + "Binary".len() + 10;
        for (size, taken) in [(MAX_MESSAGE_BYTES - 1, true), (MAX_MESSAGE_BYTES, true), (MAX_MESSAGE_BYTES + 1, false)]
        {
            assert_eq!(Message::text("x".repeat(size)).check().is_ok(), taken, "{size}");
            let message = Message { body: "x".repeat(size - overhead), ..attribute.clone() };
            assert_eq!(message.check().is_ok(), taken, "{size} with an attribute");
        }
    }

    #[test]
    fn ten_attributes_are_taken_and_eleven_are_not() {
        let with = |count: usize| {
            let name = |number| format!("name{number}");
            let add = |message: Message, number| message.with(&name(number), Attribute::String("x".into()));
            (0..count).fold(Message::text("x"), add).check()
        };
        assert_eq!(with(9), Ok(()));
        assert_eq!(with(10), Ok(()));
        assert_eq!(with(11), Err(InvalidMessage::TooManyAttributes { count: 11, limit: 10 }));
    }

    #[test]
    fn what_is_empty_or_illegal_is_not_taken() {
        assert_eq!(Message::text("").check(), Err(InvalidMessage::EmptyBody));
        assert_eq!(Message::text("a\u{0}").check(), Err(InvalidMessage::IllegalCharacter));
        assert_eq!(Message::text("a\u{FFFE}").check(), Err(InvalidMessage::IllegalCharacter));
        assert_eq!(Message::text("a\t\r\n\u{1F980}").check(), Ok(()));
        let empty = Message::text("x").with("avro", Attribute::Binary(Bytes::new()));
        assert_eq!(empty.check(), Err(InvalidMessage::EmptyAttribute("avro".into())));
    }
}
