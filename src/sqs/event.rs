//! The event of an invocation. It borrows from the payload and parses only the parts that are used. Checksums and similar
//! fields are skipped.
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html>

use crate::json::{JsonReader, Unexpected};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

/// The messages of an invocation.
#[derive(Debug)]
pub struct Event<'a> {
    /// The messages. Each has an id.
    pub messages: Vec<Message<'a>>,
    /// Whether the messages come from a FIFO queue, which preserves the order of each message group. The existence of a
    /// message group is not sufficient, because fair queues use groups too.
    pub fifo: bool,
    /// The ARN of the queue.
    source: Option<Cow<'a, str>>,
}

/// One SQS message.
#[derive(Debug)]
pub struct Message<'a> {
    /// The message id. It is never empty.
    pub id: Cow<'a, str>,
    /// Identifies this receive of the message to the queue.
    pub receipt_handle: Option<Cow<'a, str>>,
    pub(super) body: Option<Cow<'a, str>>,
    /// The time at which the producer sent the message, in milliseconds since the Unix epoch.
    pub sent_ms: Option<u64>,
    /// The sequence number that a FIFO queue assigned to the message.
    pub sequence_number: Option<u128>,
    /// Number of times that the message was received, including this time.
    pub receive_count: Option<u32>,
    /// The message group. A FIFO queue preserves the order within a group.
    pub group: Option<Cow<'a, str>>,
    /// The X-Ray tracing header that the producer sent with the message.
    pub trace: Option<Cow<'a, str>>,
    /// All message attributes as JSON, if there are any.
    attributes: Option<&'a str>,
}

/// The message attributes that we read, as raw JSON. They are parsed only when their message is decoded.
#[derive(Debug, Clone, Copy, Default, serde::Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub(super) struct MessageAttributes<'a> {
    /// The framed Avro bytes, which replace the body.
    #[serde(default, deserialize_with = "raw")]
    pub(super) avro: Option<&'a RawValue>,
    /// The schema of a bare datum or a JSON body.
    #[serde(default, deserialize_with = "raw")]
    pub(super) schema: Option<&'a RawValue>,
    /// The operation for the records.
    #[serde(default, deserialize_with = "raw")]
    pub(super) operation: Option<&'a RawValue>,
    #[serde(default, rename = "__value_schema_id", deserialize_with = "raw")]
    pub(super) value_schema_id: Option<&'a RawValue>,
}

/// Deserializes a value that is present, whatever it is. Null counts as present too.
fn raw<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl MessageAttributes<'_> {
    /// Returns these attributes, with missing ones taken from `other`.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            avro: self.avro.or(other.avro),
            schema: self.schema.or(other.schema),
            operation: self.operation.or(other.operation),
            value_schema_id: self.value_schema_id.or(other.value_schema_id),
        }
    }
}

/// A message attribute as sent by the producer.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OriginalAttribute {
    /// `String`, `Number` or `Binary`, optionally followed by a dot and a custom label.
    pub data_type: String,
    /// The value of a `String` or `Number`.
    pub string_value: Option<String>,
    /// The value of a `Binary`, in base64.
    pub binary_value: Option<String>,
}

/// The reason why an event is not a batch of SQS messages. The invocation fails, because the response needs the ids of the
/// messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MalformedEvent {
    /// The payload is not the JSON of an SQS event.
    Json(Unexpected),
    /// A message has no id.
    NoId {
        /// Position in the event, starting at zero.
        position: usize,
    },
}

impl fmt::Display for MalformedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(unexpected) => write!(f, "the event is no batch of SQS messages: {unexpected}"),
            Self::NoId { position } => write!(f, "message {position} of the event has no messageId"),
        }
    }
}

impl std::error::Error for MalformedEvent {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Json(unexpected) => Some(unexpected),
            Self::NoId { .. } => None,
        }
    }
}

impl From<Unexpected> for MalformedEvent {
    fn from(unexpected: Unexpected) -> Self {
        Self::Json(unexpected)
    }
}

/// Minimum size of a message in an event, in bytes. It is used to estimate the number of messages.
const LEAST_MESSAGE_BYTES: usize = 512;

impl<'a> Event<'a> {
    /// Parses the payload of an invocation.
    pub fn parse(payload: &'a [u8]) -> Result<Self, MalformedEvent> {
        let text = std::str::from_utf8(payload)
            .map_err(|error| Unexpected { at: error.valid_up_to(), expected: "a UTF-8 character" })?;
        let mut reader = JsonReader::new(text);
        let mut messages = None;
        let mut fifo = false;
        let mut source: Option<Cow<'_, str>> = None;
        reader.object(|reader, name| match name {
            "Records" => {
                let mut records = Vec::with_capacity(payload.len() / LEAST_MESSAGE_BYTES);
                reader.array(|reader| {
                    let record = EventRecord::read(reader)?;
                    fifo |= record.source.as_deref().is_some_and(|arn| arn.ends_with(".fifo"));
                    // an event source mapping has exactly one queue
                    source = source.take().or(record.source);
                    records.push(record.message);
                    Ok(())
                })?;
                messages = Some(records);
                Ok(())
            }
            _ => reader.skip(),
        })?;
        reader.end()?;
        let messages = messages.ok_or_else(|| reader.unexpected("an object with Records"))?;
        if let Some(position) = messages.iter().position(|message| message.id.is_empty()) {
            return Err(MalformedEvent::NoId { position });
        }
        Ok(Self { messages, fifo, source })
    }

    /// Returns the path of the queue's URL, `account/name`, if the event contains the queue's ARN.
    pub(crate) fn queue_path(&self) -> Option<String> {
        let mut parts = self.source.as_deref()?.splitn(6, ':').skip(4);
        match (parts.next()?, parts.next()?) {
            ("", _) | (_, "") => None,
            (account, name) => Some(format!("{account}/{name}")),
        }
    }
}

/// One record of the event.
struct EventRecord<'a> {
    message: Message<'a>,
    /// The ARN of the queue.
    source: Option<Cow<'a, str>>,
}

impl<'a> EventRecord<'a> {
    fn read(reader: &mut JsonReader<'a>) -> Result<Self, Unexpected> {
        let mut source = None;
        let mut message = Message {
            id: Cow::Borrowed(""),
            receipt_handle: None,
            body: None,
            sent_ms: None,
            sequence_number: None,
            receive_count: None,
            group: None,
            trace: None,
            attributes: None,
        };
        reader.object(|reader, name| {
            match name {
                "messageId" => message.id = reader.string("a messageId")?,
                "receiptHandle" => message.receipt_handle = reader.optional_string("a receiptHandle")?,
                "body" => message.body = reader.optional_string("a body")?,
                "attributes" => message.read_system_attributes(reader)?,
                "messageAttributes" => {
                    message.attributes = Some(reader.raw()?).filter(|json| !matches!(*json, "{}" | "null"));
                }
                "eventSourceARN" => source = reader.optional_string("an eventSourceARN")?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(Self { message, source })
    }
}

impl<'a> Message<'a> {
    fn read_system_attributes(&mut self, reader: &mut JsonReader<'a>) -> Result<(), Unexpected> {
        const VALUE: &str = "the text of an attribute";
        let number = |text: Option<Cow<'_, str>>| text.and_then(|text| text.parse::<u64>().ok());
        reader.object(|reader, name| {
            match name {
                "SentTimestamp" => self.sent_ms = number(reader.optional_string(VALUE)?),
                "SequenceNumber" => {
                    self.sequence_number = reader.optional_string(VALUE)?.and_then(|text| text.parse().ok());
                }
                "ApproximateReceiveCount" => {
                    let count = number(reader.optional_string(VALUE)?);
                    self.receive_count = count.and_then(|count| u32::try_from(count).ok());
                }
                "MessageGroupId" => self.group = reader.optional_string(VALUE)?,
                "AWSTraceHeader" => self.trace = reader.optional_string(VALUE)?,
                _ => reader.skip()?,
            }
            Ok(())
        })
    }

    /// Parses the attributes that we read. Returns `None` if they are not a JSON object with distinct names.
    pub(super) fn known_attributes(&self) -> Option<MessageAttributes<'a>> {
        self.attributes.map_or_else(|| Some(MessageAttributes::default()), |json| serde_json::from_str(json).ok())
    }

    /// Returns the original body, for resending the message.
    pub fn original_body(&self) -> Option<&str> {
        self.body.as_deref()
    }

    /// Returns all original message attributes, for resending the message.
    pub fn original_attributes(&self) -> HashMap<String, OriginalAttribute> {
        self.attributes.and_then(|raw| serde_json::from_str(raw).ok()).unwrap_or_default()
    }
}

/// A string that is borrowed from the payload unless it contains escapes. Serde's `Cow` borrows only as a field of its own,
/// not inside other types such as `Option`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JsonText<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for JsonText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = JsonText<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<JsonText<'de>, E> {
                Ok(JsonText(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<JsonText<'de>, E> {
                Ok(JsonText(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

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
            br#"{"Records":[{"messageId":7,"body":"AAAA"}]}"#,
            br#"{"Records":[{"messageId":"a","body":"AAAA"}]"#,
            b"{\"Records\":[{\"messageId\":\"\xFF\"}]}",
        ] {
            assert!(matches!(Event::parse(payload), Err(MalformedEvent::Json(_))), "{}", payload.escape_ascii());
        }
        for second in ["{}", r#"{"messageId":""}"#] {
            let payload = format!(r#"{{"Records":[{{"messageId":"a"}},{second}]}}"#);
            assert!(matches!(Event::parse(payload.as_bytes()), Err(MalformedEvent::NoId { position: 1 })));
        }
    }

    #[test]
    fn an_event_without_messages_is_an_event() {
        assert!(Event::parse(br#"{"Records":[]}"#).unwrap().messages.is_empty());
    }

    #[test]
    fn an_error_says_where_the_payload_is_no_event() {
        let error = |payload: &str| Event::parse(payload.as_bytes()).unwrap_err().to_string();
        let no_batch = "the event is no batch of SQS messages: expected";
        assert_eq!(error(r#"{"Records": {}}"#), format!("{no_batch} an array at byte 12"));
        assert_eq!(error(r#"{"Records":[{"messageId":7}]}"#), format!("{no_batch} a messageId at byte 25"));
        assert_eq!(
            error(r#"{"Records":[{"messageId":"a"}"#),
            format!("{no_batch} a comma or the end of the array at byte 29")
        );
        assert_eq!(error(r#"{"Records":[{"body":"a}]}"#), format!("{no_batch} the end of the string at byte 25"));
        assert_eq!(error("{\"Records\":[{\"body\":\"a\nb\"}]}"), format!("{no_batch} no control character at byte 22"));
    }

    /// The parsed fields of a message: id, body, send time, receive count, group, trace, attributes.
    type Fields = (String, Option<String>, Option<u64>, Option<u32>, Option<String>, Option<String>, Option<Value>);

    fn some(attributes: Value) -> Option<Value> {
        (!attributes.is_null() && attributes != serde_json::json!({})).then_some(attributes)
    }

    /// Parses the messages with serde_json. Returns `None` if the payload is not a valid event.
    fn as_values(payload: &[u8]) -> Option<Vec<Fields>> {
        // an absent field counts as null
        let text = |value: &Value| match value {
            Value::String(text) => Some(Some(text.clone())),
            Value::Null => Some(None),
            _ => None,
        };
        let payload: Value = serde_json::from_slice(payload).ok()?;
        let records = payload.get("Records")?.as_array()?.iter().map(|record| {
            let system = match record.as_object()?.get("attributes") {
                None => &Value::Null,
                Some(system) => system.as_object().map(|_| system)?,
            };
            let system = |name: &str| text(&system[name]);
            text(&record["eventSourceARN"])?;
            Some((
                record["messageId"].as_str()?.to_owned(),
                text(&record["body"])?,
                system("SentTimestamp")?.and_then(|text| text.parse().ok()),
                system("ApproximateReceiveCount")?.and_then(|text| text.parse().ok()),
                system("MessageGroupId")?,
                system("AWSTraceHeader")?,
                some(record["messageAttributes"].clone()),
            ))
        });
        let records: Vec<Fields> = records.collect::<Option<_>>()?;
        records.iter().all(|record| !record.0.is_empty()).then_some(records)
    }

    fn as_read(payload: &[u8]) -> Option<Vec<Fields>> {
        let owned = |text: &Option<Cow<'_, str>>| text.as_deref().map(str::to_owned);
        let read = |message: &Message<'_>| {
            let attributes = message.attributes.and_then(|json| some(serde_json::from_str(json).unwrap()));
            (
                message.id.to_string(),
                owned(&message.body),
                message.sent_ms,
                message.receive_count,
                owned(&message.group),
                owned(&message.trace),
                attributes,
            )
        };
        Event::parse(payload).ok().map(|event| event.messages.iter().map(read).collect())
    }

    const EVENT: &str = r#" {"x": [1, -2.5e3, null, {"y": [true, false]}], "Records": [{"messageId": "m1",
        "receiptHandle": "AQEB/\\ü", "body": "q\"uo\\te\u00e9\n", "attributes": {"ApproximateReceiveCount": "3", "SenderId": "A",
        "SentTimestamp": "1545082649183", "MessageGroupId": "g"}, "messageAttributes": {}, "eventSourceARN": "arn:q"},
        {"messageId":"ümläut","body":null,"attributes":{"AWSTraceHeader":"Root=1","SentTimestamp":null},
        "messageAttributes":{"schema":{"stringValue":"order","dataType":"String"}},"awsRegion":"x"}]} "#;

    #[test]
    fn an_event_is_read_as_serde_json_reads_it() {
        assert_eq!(as_read(EVENT.as_bytes()), as_values(EVENT.as_bytes()));
        assert_eq!(as_read(EVENT.as_bytes()).map(|read| read.len()), Some(2));
        for end in 0..EVENT.trim_end().len() {
            assert_eq!(as_read(&EVENT.as_bytes()[..end]), None, "cut at {end}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { cases: 20_000, ..Default::default() })]

        #[test]
        fn a_damaged_event_is_read_as_serde_json_reads_it(at in 0..EVENT.len(), by in 0..EVENT.len(), insert in proptest::bool::ANY) {
            // bytes taken from the event itself cause more interesting errors than random bytes
            let mut payload = EVENT.as_bytes().to_vec();
            let byte = payload[by];
            if insert { payload.insert(at, byte) } else { payload[at] = byte }
            proptest::prop_assert_eq!(as_read(&payload), as_values(&payload));
        }
    }
}
