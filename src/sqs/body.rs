//! The body of a message: where it is, and what it is once base64 and envelopes are off.

use super::event::{Attribute, Message, MessageAttributes, Text};
use crate::outcome::Reason;
use base64_simd::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// What a body holds.
#[derive(Debug, PartialEq, Eq)]
pub enum BodyContent<'a> {
    /// Bytes, in one of the wire formats.
    Binary(&'a [u8]),
    /// The text of a JSON object.
    Json(Cow<'a, str>),
}

/// A body with the attributes that apply to it.
#[derive(Debug, PartialEq, Eq)]
pub struct DecodedBody<'a> {
    /// What it holds.
    pub content: BodyContent<'a>,
    /// Those of the message and, where it has none, of the envelope around its body.
    pub attributes: Cow<'a, MessageAttributes<'a>>,
    /// The bytes of the attribute that carries a Confluent schema id.
    pub value_schema_id: Option<Vec<u8>>,
}

/// Why a message has no usable body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// There is none.
    Missing,
    /// It is not base64.
    Base64,
    /// The attribute `avro` is not binary, or not base64.
    AvroAttribute,
    /// The attribute `__value_schema_id` is not base64.
    SchemaIdAttribute,
    /// The message in the SNS envelope is empty or no string.
    Envelope,
}

impl BodyError {
    /// The reason a message is rejected for.
    pub fn reason(self) -> Reason {
        match self {
            Self::Missing => Reason::MissingBody,
            Self::Base64 => Reason::InvalidBase64,
            Self::AvroAttribute | Self::SchemaIdAttribute => Reason::InvalidAttribute,
            Self::Envelope => Reason::InvalidEnvelope,
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the message has no body",
            Self::Base64 => "the body is neither base64 nor a JSON object",
            Self::AvroAttribute => "the message attribute avro is no base64 of a binary value",
            Self::SchemaIdAttribute => "the message attribute __value_schema_id is no base64 of a binary value",
            Self::Envelope => "the message of the SNS notification is empty or no string",
        })
    }
}

impl std::error::Error for BodyError {}

/// An SNS notification as it is delivered to a queue without raw delivery.
/// <https://docs.aws.amazon.com/sns/latest/dg/sns-large-payload-raw-message-delivery.html>
#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase", bound(deserialize = "'de: 'a"))]
struct Envelope<'a> {
    r#type: Text<'a>,
    #[serde(borrow)]
    message: &'a RawValue,
    #[serde(default)]
    message_attributes: Option<MessageAttributes<'a>>,
}

impl Message<'_> {
    /// Opens the body; decoded bytes go to `scratch`.
    pub fn open<'s>(&'s self, scratch: &'s mut Vec<u8>) -> Result<DecodedBody<'s>, BodyError> {
        let text = self.body.as_deref().unwrap_or_default().trim_ascii();
        let attributes = Cow::Borrowed(self.attributes());
        if self.attributes().avro.is_some() {
            return binary_body(None, attributes, scratch);
        }
        if !text.starts_with('{') {
            return binary_body(Some(text), attributes, scratch);
        }
        let Ok(envelope) = serde_json::from_str::<Envelope<'s>>(text) else {
            return json_body(Cow::Borrowed(text), attributes);
        };
        if envelope.r#type.0 != "Notification" {
            return json_body(Cow::Borrowed(text), attributes);
        }
        let Ok(message) = serde_json::from_str::<Text<'s>>(envelope.message.get()) else {
            return Err(BodyError::Envelope);
        };
        let attributes = self.attributes().clone().or(in_envelope(envelope.message_attributes.unwrap_or_default()));
        match message.0.trim_ascii() {
            "" if attributes.avro.is_none() => Err(BodyError::Envelope),
            inner if inner.starts_with('{') => json_body(Cow::Owned(inner.to_owned()), Cow::Owned(attributes)),
            inner => binary_body(Some(inner), Cow::Owned(attributes), scratch),
        }
    }
}

fn json_body<'s>(text: Cow<'s, str>, attributes: Cow<'s, MessageAttributes<'s>>) -> Result<DecodedBody<'s>, BodyError> {
    let value_schema_id = value_schema_id(&attributes)?;
    Ok(DecodedBody { content: BodyContent::Json(text), attributes, value_schema_id })
}

/// Opens binary: the attribute `avro` if there is one, else the body's `text`.
fn binary_body<'s>(
    text: Option<&str>,
    attributes: Cow<'s, MessageAttributes<'s>>,
    scratch: &'s mut Vec<u8>,
) -> Result<DecodedBody<'s>, BodyError> {
    scratch.clear();
    match (&attributes.avro, text) {
        (Some(attribute), _) => {
            let binary = attribute.binary.as_ref().ok_or(BodyError::AvroAttribute)?;
            decode(&binary.0, scratch).ok_or(BodyError::AvroAttribute)?;
        }
        (None, None | Some("")) => return Err(BodyError::Missing),
        (None, Some(text)) => decode(text, scratch).ok_or(BodyError::Base64)?,
    }
    let value_schema_id = value_schema_id(&attributes)?;
    Ok(DecodedBody { content: BodyContent::Binary(scratch), attributes, value_schema_id })
}

fn value_schema_id(attributes: &MessageAttributes<'_>) -> Result<Option<Vec<u8>>, BodyError> {
    let Some(attribute) = &attributes.value_schema_id else { return Ok(None) };
    let mut id = Vec::new();
    let binary = attribute.binary.as_ref().ok_or(BodyError::SchemaIdAttribute)?;
    decode(&binary.0, &mut id).ok_or(BodyError::SchemaIdAttribute)?;
    Ok(Some(id))
}

/// SNS writes every value as a string under one name, a binary one as base64.
fn in_envelope(attributes: MessageAttributes<'_>) -> MessageAttributes<'_> {
    fn binary(attribute: Attribute<'_>) -> Attribute<'_> {
        Attribute { binary: attribute.string, string: None }
    }
    MessageAttributes {
        avro: attributes.avro.map(binary),
        value_schema_id: attributes.value_schema_id.map(binary),
        ..attributes
    }
}

/// Appends what `text` stands for: the standard or the URL-safe alphabet, padded or not.
fn decode(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let digits = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    if digits.is_empty() {
        return None;
    }
    if STANDARD_NO_PAD.decode_append(digits, out).is_ok() {
        return Some(());
    }
    URL_SAFE_NO_PAD.decode_append(digits, out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqs::Event;
    use serde_json::{Value, json};

    /// Opens a message of `fields` besides its id.
    fn open<T>(fields: Value, check: impl FnOnce(Result<DecodedBody<'_>, BodyError>) -> T) -> T {
        let mut record = fields;
        record["messageId"] = json!("m");
        let payload = json!({"Records": [record]}).to_string();
        let event = Event::parse(payload.as_bytes()).unwrap();
        check(event.messages[0].open(&mut vec![9; 3]))
    }

    #[track_caller]
    fn assert_binary(fields: Value, expected: &[u8]) {
        open(fields, |opened| assert_eq!(opened.unwrap().content, BodyContent::Binary(expected)));
    }

    #[test]
    fn base64_may_be_standard_or_url_safe_padded_or_not_with_white_space_around() {
        let bytes = [0xC3, 0x01, 0xFF, 0xFE, 0xFB, 0xEF, 0xBE];
        for text in ["wwH//vvvvg==", "wwH//vvvvg", "wwH__vvvvg==", "wwH__vvvvg", "\n wwH//vvvvg==\r\n"] {
            assert_binary(json!({"body": text}), &bytes);
        }
    }

    #[test]
    fn what_is_not_base64_is_rejected_as_that() {
        for text in ["!", "wwH//_vv", "a", "wwH/ /vvv", "é", "w===", "=", "["] {
            open(json!({"body": text}), |opened| assert_eq!(opened.unwrap_err(), BodyError::Base64, "{text}"));
        }
    }

    #[test]
    fn an_absent_or_empty_body_is_missing() {
        for fields in [json!({}), json!({"body": null}), json!({"body": ""}), json!({"body": " \n"})] {
            open(fields, |opened| assert_eq!(opened.unwrap_err(), BodyError::Missing));
        }
    }

    #[test]
    fn the_avro_attribute_takes_the_bodys_place() {
        let fields =
            json!({"body": "ignored", "messageAttributes": {"avro": {"binaryValue": "AQI=", "dataType": "Binary"}}});
        assert_binary(fields, &[1, 2]);
        for attribute in [json!({"stringValue": "AQI=", "dataType": "String"}), json!({"binaryValue": "?"})] {
            let fields = json!({"body": "AQI=", "messageAttributes": {"avro": attribute}});
            open(fields, |opened| assert_eq!(opened.unwrap_err(), BodyError::AvroAttribute));
        }
    }

    #[test]
    fn a_json_object_is_a_body_of_its_own() {
        for text in ["{\"a\": 1}", " {}", "{", "{\"Type\": \"Order\", \"Message\": \"AQI=\"}"] {
            open(json!({"body": text}), |opened| {
                assert_eq!(opened.unwrap().content, BodyContent::Json(text.trim().into()))
            });
        }
    }

    #[test]
    fn an_sns_notification_is_opened_first() {
        let envelope = |message: &str| {
            let attributes = json!({"schema": {"Type": "String", "Value": "order"}});
            json!({"Type": "Notification", "MessageId": "x", "Message": message, "MessageAttributes": attributes})
                .to_string()
        };
        assert_binary(json!({"body": envelope("AQI=")}), &[1, 2]);
        open(json!({"body": envelope("{\"a\":1}")}), |opened| {
            let opened = opened.unwrap();
            assert_eq!(opened.content, BodyContent::Json("{\"a\":1}".into()));
            assert_eq!(opened.attributes.schema(), Some("order"));
        });
        open(json!({"body": envelope(" ")}), |opened| assert_eq!(opened.unwrap_err(), BodyError::Envelope));
        for message in [json!(null), json!(7), json!({})] {
            let body = json!({"Type": "Notification", "Message": message}).to_string();
            open(json!({"body": body}), |opened| assert_eq!(opened.unwrap_err(), BodyError::Envelope));
        }
        open(json!({"body": envelope("?")}), |opened| assert_eq!(opened.unwrap_err(), BodyError::Base64));
    }

    #[test]
    fn the_messages_own_attributes_come_before_the_envelopes() {
        let body = json!({"Type": "Notification", "Message": "AQI=", "MessageAttributes": {
            "schema": {"Type": "String", "Value": "theirs"}, "avro": {"Type": "Binary", "Value": "AwQ="}}});
        let fields = json!({"body": body.to_string(), "messageAttributes": {"schema": {"stringValue": "ours"}}});
        open(fields, |opened| {
            let opened = opened.unwrap();
            assert_eq!((opened.content, opened.attributes.schema()), (BodyContent::Binary(&[3, 4]), Some("ours")));
        });
    }

    #[test]
    fn a_schema_id_attribute_is_decoded() {
        let attribute = json!({"binaryValue": "AAAAACo=", "dataType": "Binary"});
        let fields = json!({"body": "AQI=", "messageAttributes": {"__value_schema_id": attribute}});
        open(fields, |opened| assert_eq!(opened.unwrap().value_schema_id.unwrap(), [0, 0, 0, 0, 42]));
        let fields = json!({"body": "AQI=", "messageAttributes": {"__value_schema_id": {"stringValue": "42"}}});
        open(fields, |opened| assert_eq!(opened.unwrap_err(), BodyError::SchemaIdAttribute));
    }
}
