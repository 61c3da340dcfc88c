//! The event of an invocation, borrowed from its payload: only what is used is taken, receipt handles and the like are
//! passed over.
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html>

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

/// The messages of an invocation.
#[derive(Debug)]
pub struct Event<'a> {
    /// At least one, each with an id.
    pub messages: Vec<Message<'a>>,
    /// Whether they come from a FIFO queue, whose groups keep their order. A message group alone does not say so: fair
    /// queues have them too.
    pub fifo: bool,
}

/// One SQS message.
#[derive(Debug)]
pub struct Message<'a> {
    /// Never empty.
    pub id: Cow<'a, str>,
    pub(super) body: Option<Cow<'a, str>>,
    /// When the producer sent it, in milliseconds since the Unix epoch.
    pub sent_ms: Option<u64>,
    /// How often it was received, this time included.
    pub receive_count: Option<u32>,
    /// The message group of a FIFO queue, within which order is kept.
    pub group: Option<Cow<'a, str>>,
    /// The X-Ray header the producer sent along.
    pub trace: Option<Cow<'a, str>>,
    /// The attributes that mean something here.
    pub attributes: MessageAttributes<'a>,
    all_attributes: Option<&'a RawValue>,
}

/// The message attributes that mean something here.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct MessageAttributes<'a> {
    /// The framed Avro bytes, in place of the body.
    #[serde(default)]
    pub(super) avro: Option<Attribute<'a>>,
    #[serde(default)]
    pub(super) schema: Option<Attribute<'a>>,
    #[serde(default)]
    pub(super) operation: Option<Attribute<'a>>,
    #[serde(default, rename = "__value_schema_id")]
    pub(super) value_schema_id: Option<Attribute<'a>>,
}

/// A message attribute: of a queue in lower case, within an SNS envelope in upper.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub(super) struct Attribute<'a> {
    #[serde(default, rename = "stringValue", alias = "Value")]
    pub(super) string: Option<Text<'a>>,
    #[serde(default, rename = "binaryValue")]
    pub(super) binary: Option<Text<'a>>,
}

/// A message attribute as the producer sent it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OriginalAttribute {
    /// `String`, `Number` or `Binary`, with an optional label behind a dot.
    pub data_type: String,
    /// The value of the first two.
    pub string_value: Option<String>,
    /// The value of the last, in base64.
    pub binary_value: Option<String>,
}

impl<'a> MessageAttributes<'a> {
    /// Names the schema of a bare datum or a JSON body.
    pub fn schema(&self) -> Option<&str> {
        text(self.schema.as_ref())
    }

    /// What to do with the records.
    pub fn operation(&self) -> Option<&str> {
        text(self.operation.as_ref())
    }

    /// These, and where there are none those of `other`.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            avro: self.avro.or(other.avro),
            schema: self.schema.or(other.schema),
            operation: self.operation.or(other.operation),
            value_schema_id: self.value_schema_id.or(other.value_schema_id),
        }
    }
}

fn text<'t>(attribute: Option<&'t Attribute<'_>>) -> Option<&'t str> {
    attribute?.string.as_ref().map(|text| text.0.as_ref())
}

/// Why an event is no batch of SQS messages. The invocation fails: without ids nothing can be answered for.
#[derive(Debug)]
pub enum MalformedEvent {
    /// The payload is not the JSON of an SQS event.
    Json(serde_json::Error),
    /// There is no message in it.
    Empty,
    /// A message has no id.
    NoId {
        /// Its place in the event, from zero.
        position: usize,
    },
}

impl fmt::Display for MalformedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "the event is no batch of SQS messages: {error}"),
            Self::Empty => f.write_str("the event has no messages"),
            Self::NoId { position } => write!(f, "message {position} of the event has an empty messageId"),
        }
    }
}

impl std::error::Error for MalformedEvent {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Json(error) => Some(error),
            Self::Empty | Self::NoId { .. } => None,
        }
    }
}

impl<'a> Event<'a> {
    /// Reads the payload of an invocation.
    pub fn parse(payload: &'a [u8]) -> Result<Self, MalformedEvent> {
        let records: Records<'a> = serde_json::from_slice(payload).map_err(MalformedEvent::Json)?;
        if records.records.is_empty() {
            return Err(MalformedEvent::Empty);
        }
        let fifo =
            records.records.iter().any(|record| record.source.as_ref().is_some_and(|arn| arn.0.ends_with(".fifo")));
        let mut messages = Vec::with_capacity(records.records.len());
        for (position, record) in records.records.into_iter().enumerate() {
            if record.message_id.0.is_empty() {
                return Err(MalformedEvent::NoId { position });
            }
            messages.push(record.into_message());
        }
        Ok(Self { messages, fifo })
    }
}

impl Message<'_> {
    /// The body as it came, for handing it on.
    pub fn original_body(&self) -> Option<&str> {
        self.body.as_deref()
    }

    /// Every message attribute as it came, for handing it on.
    pub fn original_attributes(&self) -> HashMap<String, OriginalAttribute> {
        self.all_attributes.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    }
}

#[derive(serde::Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Records<'a> {
    #[serde(rename = "Records")]
    records: Vec<Record<'a>>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Record<'a> {
    message_id: Text<'a>,
    body: Option<Text<'a>>,
    #[serde(default)]
    attributes: SystemAttributes<'a>,
    #[serde(default, borrow)]
    message_attributes: Option<&'a RawValue>,
    #[serde(rename = "eventSourceARN")]
    source: Option<Text<'a>>,
}

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "PascalCase", bound(deserialize = "'de: 'a"))]
struct SystemAttributes<'a> {
    #[serde(default)]
    sent_timestamp: Option<Text<'a>>,
    #[serde(default)]
    approximate_receive_count: Option<Text<'a>>,
    #[serde(default)]
    message_group_id: Option<Text<'a>>,
    #[serde(default, rename = "AWSTraceHeader")]
    trace_header: Option<Text<'a>>,
}

impl<'a> Record<'a> {
    fn into_message(self) -> Message<'a> {
        // most messages have no attributes, so they are looked into only where there are some
        let all_attributes = self.message_attributes.filter(|raw| raw.get() != "{}");
        let attributes = all_attributes.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
        let SystemAttributes { sent_timestamp, approximate_receive_count, message_group_id, trace_header } =
            self.attributes;
        Message {
            id: self.message_id.0,
            body: self.body.map(|text| text.0),
            sent_ms: sent_timestamp.and_then(|text| text.0.parse().ok()),
            receive_count: approximate_receive_count.and_then(|text| text.0.parse().ok()),
            group: message_group_id.map(|text| text.0),
            trace: trace_header.map(|text| text.0),
            attributes,
            all_attributes,
        }
    }
}

/// A string borrowed from the payload unless it has escapes. Serde's own `Cow` borrows only where it stands bare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_borrowed_from_the_payload() {
        let payload = br#"{"Records":[{"messageId":"m1","receiptHandle":"r","body":"AAAA",
            "attributes":{"ApproximateReceiveCount":"3","SentTimestamp":"1545082649183","SenderId":"x","MessageGroupId":"g",
                "AWSTraceHeader":"Root=1"},
            "messageAttributes":{"schema":{"stringValue":"order/1","dataType":"String"},
                "other":{"binaryValue":"AQ==","dataType":"Binary"}},
            "md5OfBody":"m","eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:x:1:q.fifo","awsRegion":"x"}]}"#;
        let event = Event::parse(payload).unwrap();
        let [message] = &event.messages[..] else { panic!() };
        assert!(matches!(message.id, Cow::Borrowed("m1")) && matches!(message.body, Some(Cow::Borrowed("AAAA"))));
        assert_eq!((message.receive_count, message.sent_ms), (Some(3), Some(1_545_082_649_183)));
        assert_eq!((message.group.as_deref(), message.trace.as_deref()), (Some("g"), Some("Root=1")));
        assert_eq!((message.attributes.schema(), message.attributes.operation()), (Some("order/1"), None));
        let original = message.original_attributes();
        assert_eq!(original["other"].binary_value.as_deref(), Some("AQ=="));
        assert_eq!(original.len(), 2);
        assert!(event.fifo);
    }

    #[test]
    fn a_message_group_alone_does_not_make_a_fifo_queue() {
        let payload = br#"{"Records":[{"messageId":"a","attributes":{"MessageGroupId":"g"},"eventSourceARN":"arn:aws:sqs:x:1:fair"}]}"#;
        assert!(!Event::parse(payload).unwrap().fifo);
    }

    #[test]
    fn a_null_or_absent_body_is_the_messages_problem_and_not_the_events() {
        let event = Event::parse(br#"{"Records":[{"messageId":"a","body":null},{"messageId":"b"}]}"#).unwrap();
        assert!(event.messages.iter().all(|message| message.body.is_none()));
    }

    #[test]
    fn what_is_no_batch_of_messages_is_a_malformed_event() {
        for payload in [
            &b""[..],
            b"null",
            b"[]",
            b"{}",
            br#"{"Records":null}"#,
            br#"{"Records":{}}"#,
            br#"{"Records":[null]}"#,
            br#"{"Records":[{"body":"AAAA"}]}"#,
            br#"{"Records":[{"messageId":7,"body":"AAAA"}]}"#,
            br#"{"Records":[{"messageId":"a","body":"AAAA"}]"#,
            b"{\"Records\":[{\"messageId\":\"\xFF\"}]}",
        ] {
            assert!(matches!(Event::parse(payload), Err(MalformedEvent::Json(_))), "{}", payload.escape_ascii());
        }
        assert!(matches!(Event::parse(br#"{"Records":[]}"#), Err(MalformedEvent::Empty)));
        let second_without_id = br#"{"Records":[{"messageId":"a"},{"messageId":""}]}"#;
        assert!(matches!(Event::parse(second_without_id), Err(MalformedEvent::NoId { position: 1 })));
    }

    #[test]
    fn odd_message_attributes_do_not_cost_the_message() {
        for attributes in ["null", "7", r#"{"schema":7}"#, r#"{"schema":{}}"#] {
            let payload = format!(r#"{{"Records":[{{"messageId":"a","body":"x","messageAttributes":{attributes}}}]}}"#);
            let event = Event::parse(payload.as_bytes()).unwrap();
            assert_eq!(event.messages[0].attributes.schema(), None);
        }
    }
}
