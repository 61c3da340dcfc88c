//! The body of a message: locates the payload, and removes base64 and envelopes.

use super::event::{JsonText, Message, MessageAttributes};
use super::misencoding::Misencoding;
use crate::outcome::Reason;
use base64_simd::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The content of a body.
#[derive(Debug, PartialEq, Eq)]
pub enum BodyContent<'a> {
    /// Bytes in one of the binary wire formats.
    Binary(&'a [u8]),
    /// The text of a JSON object.
    Json(Cow<'a, str>),
}

/// A decoded body with its attributes. An attribute of the message takes precedence over one of the SNS envelope.
#[derive(Debug, PartialEq, Eq)]
pub struct DecodedBody<'a> {
    /// The content of the body.
    pub content: BodyContent<'a>,
    /// The attribute that specifies the schema of a bare datum or a JSON body.
    pub schema: Option<Cow<'a, str>>,
    /// The attribute that specifies the operation for the records.
    pub operation: Option<Cow<'a, str>>,
    /// The bytes of the attribute with a Confluent schema id.
    pub value_schema_id: Option<Vec<u8>>,
}

impl DecodedBody<'_> {
    /// Returns the encoding mistake in a body that happens to be valid base64 but was encoded differently.
    pub fn misencoding(&self) -> Option<Misencoding> {
        match self.content {
            BodyContent::Binary(bytes) => Misencoding::is_hexadecimal_base64(bytes).then_some(Misencoding::Hexadecimal),
            BodyContent::Json(_) => None,
        }
    }
}

/// The reason why a message has no usable body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// The message has no body.
    Missing,
    /// The body is not base64, because of this mistake.
    Base64(Misencoding),
    /// The attributes are not a JSON object, or contain one of the attributes that we read twice.
    Attributes,
    /// The attribute with this name is not of data type String, or has no value.
    TextAttribute(&'static str),
    /// The attribute with this name is not of data type Binary, or its value is not base64.
    BinaryAttribute(&'static str),
    /// The message in the SNS envelope is empty or not a string.
    Envelope,
}

impl BodyError {
    /// Returns the reason for rejecting the message.
    pub fn reason(self) -> Reason {
        match self {
            Self::Missing => Reason::MissingBody,
            Self::Base64(_) => Reason::InvalidBase64,
            Self::Attributes | Self::TextAttribute(_) | Self::BinaryAttribute(_) => Reason::InvalidAttribute,
            Self::Envelope => Reason::InvalidEnvelope,
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("the message has no body"),
            Self::Base64(misencoding) => misencoding.fmt(f),
            Self::Attributes => f.write_str("the message attributes are not an object with each name once"),
            Self::TextAttribute(name) => write!(f, "the message attribute {name} is not a String with a value"),
            Self::BinaryAttribute(name) => {
                write!(f, "the message attribute {name} is not a Binary with a value in base64")
            }
            Self::Envelope => f.write_str("the message of the SNS notification is empty or no string"),
        }
    }
}

impl std::error::Error for BodyError {}

/// A message attribute. Its member names start with a lower case letter in an SQS message. In an SNS envelope they start
/// with an upper case letter, and `Value` contains binary values as base64.
#[derive(serde::Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Attribute<'a> {
    #[serde(default, rename = "dataType", alias = "Type")]
    data_type: Option<JsonText<'a>>,
    #[serde(default, rename = "stringValue")]
    string: Option<JsonText<'a>>,
    #[serde(default, rename = "binaryValue")]
    binary: Option<JsonText<'a>>,
    #[serde(default, rename = "Value")]
    value: Option<JsonText<'a>>,
}

impl<'a> Attribute<'a> {
    /// Returns the value of an attribute, if its data type is `wanted`. A data type may have a custom label after a dot.
    fn value(json: &'a RawValue, wanted: &str) -> Option<Cow<'a, str>> {
        let Self { data_type, string, binary, value } = serde_json::from_str(json.get()).ok()?;
        let is_wanted = data_type.is_none_or(|data_type| data_type.0.split('.').next() == Some(wanted));
        let value = match (string, binary, value) {
            (Some(JsonText(text)), None, None) if wanted == STRING => text,
            (None, Some(JsonText(text)), None) if wanted == BINARY => text,
            (None, None, Some(JsonText(text))) => text,
            _ => return None,
        };
        (is_wanted && !value.is_empty()).then_some(value)
    }
}

/// The data types of the attributes that we read.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html>
const STRING: &str = "String";
const BINARY: &str = "Binary";

impl<'a> MessageAttributes<'a> {
    fn schema(&self) -> Result<Option<Cow<'a, str>>, BodyError> {
        text_attribute(self.schema, "schema")
    }

    fn operation(&self) -> Result<Option<Cow<'a, str>>, BodyError> {
        text_attribute(self.operation, "operation")
    }

    fn value_schema_id(&self) -> Result<Option<Vec<u8>>, BodyError> {
        let Some(json) = self.value_schema_id else { return Ok(None) };
        let mut id = Vec::new();
        binary_attribute(json, "__value_schema_id", &mut id)?;
        Ok(Some(id))
    }
}

fn text_attribute<'a>(json: Option<&'a RawValue>, name: &'static str) -> Result<Option<Cow<'a, str>>, BodyError> {
    let value = |json| Attribute::value(json, STRING).ok_or(BodyError::TextAttribute(name));
    json.map(value).transpose()
}

/// Appends the bytes of a binary attribute.
fn binary_attribute(json: &RawValue, name: &'static str, out: &mut Vec<u8>) -> Result<(), BodyError> {
    let value = Attribute::value(json, BINARY);
    value.and_then(|text| decode_base64(&text, out)).ok_or(BodyError::BinaryAttribute(name))
}

/// An SNS notification as a queue receives it if raw message delivery is disabled.
/// <https://docs.aws.amazon.com/sns/latest/dg/sns-large-payload-raw-message-delivery.html>
#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase", bound(deserialize = "'de: 'a"))]
struct Envelope<'a> {
    r#type: JsonText<'a>,
    #[serde(borrow)]
    message: &'a RawValue,
    #[serde(borrow, default)]
    message_attributes: Option<&'a RawValue>,
}

impl Message<'_> {
    /// Removes base64 and envelopes from the body. Decoded bytes are written to `scratch`.
    pub fn decode_body<'s>(&'s self, scratch: &'s mut Vec<u8>) -> Result<DecodedBody<'s>, BodyError> {
        let text = self.body.as_deref().unwrap_or_default().trim_ascii();
        let attributes = self.known_attributes().ok_or(BodyError::Attributes)?;
        if attributes.avro.is_some() || !text.starts_with('{') {
            return binary_body(text, &attributes, scratch);
        }
        let Ok(envelope) = serde_json::from_str::<Envelope<'s>>(text) else {
            return json_body(Cow::Borrowed(text), &attributes);
        };
        if envelope.r#type.0 != "Notification" {
            return json_body(Cow::Borrowed(text), &attributes);
        }
        let Ok(message) = serde_json::from_str::<JsonText<'s>>(envelope.message.get()) else {
            return Err(BodyError::Envelope);
        };
        let inner = envelope.message_attributes.map(|json| serde_json::from_str(json.get()));
        let inner = inner.transpose().map_err(|_| BodyError::Attributes)?.flatten();
        let attributes = attributes.or(inner.unwrap_or_default());
        match message.0.trim_ascii() {
            "" if attributes.avro.is_none() => Err(BodyError::Envelope),
            text if text.starts_with('{') && attributes.avro.is_none() => {
                json_body(Cow::Owned(text.to_owned()), &attributes)
            }
            text => binary_body(text, &attributes, scratch),
        }
    }
}

fn json_body<'s>(text: Cow<'s, str>, attributes: &MessageAttributes<'s>) -> Result<DecodedBody<'s>, BodyError> {
    decoded_body(BodyContent::Json(text), attributes)
}

/// Decodes the attribute `avro` if it exists, or else the body's `text`.
fn binary_body<'s>(
    text: &str,
    attributes: &MessageAttributes<'s>,
    scratch: &'s mut Vec<u8>,
) -> Result<DecodedBody<'s>, BodyError> {
    scratch.clear();
    match (attributes.avro, text) {
        (Some(json), _) => binary_attribute(json, "avro", scratch)?,
        (None, "") => return Err(BodyError::Missing),
        (None, text) => decode_base64(text, scratch).ok_or_else(|| BodyError::Base64(Misencoding::detect(text)))?,
    }
    decoded_body(BodyContent::Binary(scratch), attributes)
}

fn decoded_body<'s>(
    content: BodyContent<'s>,
    attributes: &MessageAttributes<'s>,
) -> Result<DecodedBody<'s>, BodyError> {
    Ok(DecodedBody {
        content,
        schema: attributes.schema()?,
        operation: attributes.operation()?,
        value_schema_id: attributes.value_schema_id()?,
    })
}

/// Decodes base64 and appends the bytes. Accepts the standard and the URL-safe alphabet, with or without padding and line
/// breaks.
fn decode_base64(text: &str, out: &mut Vec<u8>) -> Option<()> {
    const LINE_BREAKS: [char; 2] = ['\r', '\n'];
    decode_line(text, out).or_else(|| {
        // line breaks are removed only after decoding has failed, so that a body without line breaks takes no extra time
        let lines = text.contains(LINE_BREAKS).then(|| text.split(LINE_BREAKS).collect::<String>());
        decode_line(&lines?, out)
    })
}

fn decode_line(text: &str, out: &mut Vec<u8>) -> Option<()> {
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

    /// Decodes the body of a message with an id and these `fields`.
    fn open<T>(fields: Value, check: impl FnOnce(Result<DecodedBody<'_>, BodyError>) -> T) -> T {
        let mut record = fields;
        record["messageId"] = json!("m");
        let payload = json!({"Records": [record]}).to_string();
        let event = Event::parse(payload.as_bytes()).unwrap();
        check(event.messages[0].decode_body(&mut vec![9; 3]))
    }

    fn error(body: Result<DecodedBody<'_>, BodyError>) -> BodyError {
        body.unwrap_err()
    }

    #[track_caller]
    fn assert_binary(fields: Value, expected: &[u8]) {
        open(fields, |opened| assert_eq!(opened.unwrap().content, BodyContent::Binary(expected)));
    }

    #[test]
    fn base64_may_be_standard_or_url_safe_padded_or_not_in_one_line_or_several_with_white_space_around() {
        let bytes = [0xC3, 0x01, 0xFF, 0xFE, 0xFB, 0xEF, 0xBE];
        let lines = ["wwH/\r\n/vvv\r\nvg==", "w\nwH__vvvvg=\n=", "wwH__\n\nvvvvg"];
        let one_line = ["wwH//vvvvg==", "wwH//vvvvg", "wwH__vvvvg==", "wwH__vvvvg", "\n wwH//vvvvg==\r\n"];
        for text in one_line.into_iter().chain(lines) {
            assert_binary(json!({"body": text}), &bytes);
            assert_binary(json!({"messageAttributes": {"avro": {"binaryValue": text.trim()}}}), &bytes);
        }
    }

    #[test]
    fn what_is_not_base64_is_rejected_as_that() {
        for text in ["!", "wwH//_vv", "a", "wwH/ /vvv", "é", "w===", "=", "[", "AQI=\nAQI=", "=\n="] {
            open(json!({"body": text}), |opened| {
                assert_eq!(opened.unwrap_err(), BodyError::Base64(Misencoding::Unknown), "{text}");
            });
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
        let texts = [json!({"stringValue": "AQI=", "dataType": "String"}), json!({"stringValue": "AQI="})];
        for attribute in texts.into_iter().chain([json!({"binaryValue": "?"})]) {
            let fields = json!({"body": "AQI=", "messageAttributes": {"avro": attribute}});
            open(fields, |opened| assert_eq!(opened.unwrap_err(), BodyError::BinaryAttribute("avro")));
        }
        let fields = json!({"body": "AQI=", "messageAttributes": {"operation": {"binaryValue": "AQI="}}});
        assert_eq!(open(fields, error), BodyError::TextAttribute("operation"));
    }

    #[test]
    fn a_json_object_is_a_body_of_its_own() {
        for text in ["{\"a\": 1}", " {}", "{", "{\"Type\": \"Order\", \"Message\": \"AQI=\"}"] {
            open(json!({"body": text}), |opened| {
                assert_eq!(opened.unwrap().content, BodyContent::Json(text.trim().into()));
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
            assert_eq!(opened.schema.as_deref(), Some("order"));
        });
        open(json!({"body": envelope(" ")}), |opened| assert_eq!(opened.unwrap_err(), BodyError::Envelope));
        for message in [json!(null), json!(7), json!({})] {
            let body = json!({"Type": "Notification", "Message": message}).to_string();
            open(json!({"body": body}), |opened| assert_eq!(opened.unwrap_err(), BodyError::Envelope));
        }
        open(json!({"body": envelope("?")}), |opened| {
            assert_eq!(opened.unwrap_err(), BodyError::Base64(Misencoding::Unknown));
        });
        let pointer = envelope(r#"["com.amazon.sqs.javamessaging.MessageS3Pointer", {}]"#);
        let expected = BodyError::Base64(Misencoding::ExtendedClientPointer);
        open(json!({"body": pointer}), |opened| assert_eq!(opened.unwrap_err(), expected));
    }

    #[test]
    fn a_notification_of_attributes_alone_may_be_empty() {
        let body = json!({"Type": "Notification", "Message": " ", "MessageAttributes": {
            "avro": {"Type": "Binary", "Value": "AwQ="}}});
        assert_binary(json!({"body": body.to_string()}), &[3, 4]);
    }

    #[test]
    fn the_messages_own_attributes_come_before_the_envelopes() {
        let body = json!({"Type": "Notification", "Message": "AQI=", "MessageAttributes": {
            "schema": {"Type": "String", "Value": "theirs"}, "avro": {"Type": "Binary", "Value": "AwQ="}}});
        let fields = json!({"body": body.to_string(), "messageAttributes": {"schema": {"stringValue": "ours"}}});
        open(fields, |opened| {
            let opened = opened.unwrap();
            assert_eq!((opened.content, opened.schema.as_deref()), (BodyContent::Binary(&[3, 4]), Some("ours")));
        });
    }

    #[test]
    fn a_schema_id_attribute_is_decoded() {
        let attribute = json!({"binaryValue": "AAAAACo=", "dataType": "Binary"});
        let fields = json!({"body": "AQI=", "messageAttributes": {"__value_schema_id": attribute}});
        open(fields, |opened| assert_eq!(opened.unwrap().value_schema_id.unwrap(), [0, 0, 0, 0, 42]));
        let fields = json!({"body": "AQI=", "messageAttributes": {"__value_schema_id": {"stringValue": "42"}}});
        open(fields, |opened| assert_eq!(opened.unwrap_err(), BodyError::BinaryAttribute("__value_schema_id")));
    }

    #[test]
    fn an_attribute_of_ours_that_is_not_what_it_must_be_is_never_ignored() {
        let text = [
            json!({"binaryValue": "ZGVsZXRl", "dataType": "Binary"}),
            json!({"stringValue": "1", "dataType": "Number"}),
            json!({"stringValue": "delete", "binaryValue": "AQI=", "dataType": "String"}),
            json!({"stringValue": "", "dataType": "String"}),
            json!({"stringValue": null, "dataType": "String"}),
            json!({"stringValue": 7, "dataType": "String"}),
            json!({"dataType": "String"}),
            json!({}),
            json!(null),
            json!("delete"),
            json!(7),
        ];
        for attribute in text {
            for name in ["operation", "schema"] {
                for body in ["AQI=", "{}"] {
                    let fields = json!({"body": body, "messageAttributes": {name: attribute}});
                    let found = open(fields, error);
                    assert_eq!(found, BodyError::TextAttribute(name), "{attribute}");
                }
                let envelope =
                    json!({"Type": "Notification", "Message": "AQI=", "MessageAttributes": {name: attribute}});
                let found = open(json!({"body": envelope.to_string()}), error);
                assert_eq!(found, BodyError::TextAttribute(name), "{attribute} in an envelope");
            }
        }
        let binary = [
            json!({"stringValue": "AQI=", "dataType": "String"}),
            json!({"binaryValue": "AQI=", "dataType": "String"}),
            json!({"binaryValue": "", "dataType": "Binary"}),
            json!({"dataType": "Binary"}),
            json!(null),
        ];
        for attribute in binary {
            for name in ["avro", "__value_schema_id"] {
                let fields = json!({"body": "AQI=", "messageAttributes": {name: attribute}});
                let found = open(fields, error);
                assert_eq!(found, BodyError::BinaryAttribute(name), "{attribute}");
            }
        }
    }

    #[test]
    fn attributes_that_are_not_an_object_reject_the_message() {
        for attributes in [json!(7), json!(true), json!("operation")] {
            let fields = json!({"body": "AQI=", "messageAttributes": attributes});
            assert_eq!(open(fields, error), BodyError::Attributes);
            let envelope = json!({"Type": "Notification", "Message": "AQI=", "MessageAttributes": attributes});
            assert_eq!(open(json!({"body": envelope.to_string()}), error), BodyError::Attributes);
        }
        let twice = r#"{"Records": [{"messageId": "m", "body": "AQI=", "messageAttributes":
            {"operation": {"stringValue": "put"}, "operation": {"stringValue": "delete"}}}]}"#;
        let event = Event::parse(twice.as_bytes()).unwrap();
        assert_eq!(event.messages[0].decode_body(&mut Vec::new()).unwrap_err(), BodyError::Attributes);
        assert_binary(json!({"body": "AQI=", "messageAttributes": null}), &[1, 2]);
        assert_binary(json!({"body": "AQI=", "messageAttributes": {"theirs": 7}}), &[1, 2]);
    }

    #[test]
    fn a_text_attribute_may_have_a_label_and_escapes() {
        let attributes = json!({"operation": {"stringValue": "del\u{e9}\n", "dataType": "String.mine"}});
        open(json!({"body": "AQI=", "messageAttributes": attributes}), |body| {
            assert_eq!(body.unwrap().operation.as_deref(), Some("del\u{e9}\n"));
        });
    }
}
