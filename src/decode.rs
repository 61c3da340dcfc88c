//! Decodes a message into items: reads the body, checks the attributes and decodes the records. The Lambda function,
//! the tool, the benchmarks and the fuzz targets all use this module.

use crate::avro::{self, Decoded, Undecoded};
use crate::dynamodb::item::{ItemEncoder, MessageStamps};
use crate::outcome::{Reason, Rejection};
use crate::sqs::{BodyContent, Message};
use crate::transcode::Transcoder;
use std::fmt;

/// Decodes the records of a message into `encoder`: all of them, or none on an error. `position` is that of the message
/// in its event.
///
/// # Errors
/// The reason why the message is rejected, or why decoding was interrupted.
pub fn decode_message<'e>(
    transcoder: &'e Transcoder,
    message: &'e Message<'_>,
    position: usize,
    encoder: &mut ItemEncoder<'e>,
    buffers: &mut DecodeBuffers,
) -> Result<Decoded, Undecoded<Rejection>> {
    let rejected = |reason, detail: &dyn fmt::Display| Undecoded::Rejected(Rejection::new(reason, detail));
    let body = message.decode_body(&mut buffers.body).map_err(|error| rejected(error.reason(), &error))?;
    let keys_only = match body.operation.as_deref() {
        None | Some("put") => false,
        Some("delete") => true,
        Some(_) => {
            let detail = "the message attribute operation is neither put nor delete";
            return Err(rejected(Reason::InvalidAttribute, &detail));
        }
    };
    let input = avro::Input {
        body: match &body.content {
            BodyContent::Binary(bytes) => avro::Body::Binary(bytes),
            BodyContent::Json(text) => avro::Body::Json(text),
        },
        schema: body.schema.as_deref(),
        value_schema_id: body.value_schema_id.as_deref(),
        keys_only,
    };
    let Message { sequence_number, sent_ms, .. } = *message;
    encoder.stamp_message(MessageStamps { sequence_number, sent_ms });
    let decoded = transcoder.transcode(&input, (position, &message.id), encoder, &mut buffers.scratch);
    decoded.map_err(|undecoded| {
        undecoded.map_rejected(|rejection| match (rejection.reason, body.misencoding()) {
            (Reason::UnrecognizedFormat, Some(misencoding)) => Rejection::new(rejection.reason, &misencoding),
            _ => rejection,
        })
    })
}

/// Buffers that are reused for all messages.
#[derive(Default)]
pub struct DecodeBuffers {
    body: Vec<u8>,
    scratch: avro::Scratch,
}

impl DecodeBuffers {
    /// Creates buffers in which a body may inflate to `max_bytes`, which is also the limit for the items of the event.
    pub fn bounded(max_bytes: usize) -> Self {
        Self { body: Vec::new(), scratch: avro::Scratch::bounded(max_bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avro::{SchemaFile, WireFormat};
    use crate::dynamodb::item::MAX_DEPTH;
    use crate::settings::Settings;
    use crate::sqs::Event;
    use base64_simd::STANDARD;
    use serde_json::json;
    use std::time::Duration;

    /// Returns a transcoder with the schema `schema` for the subject `e`.
    fn transcoder(schema: &str, settings: &[(&str, &str)]) -> Transcoder {
        let settings = Settings::parse(|name| match name {
            "TABLE_NAME" => Some("table".to_owned()),
            name => settings.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()),
        });
        let file =
            SchemaFile { subject: "e".into(), version: "1".into(), text: schema.to_owned(), path: "e/1.avsc".into() };
        Transcoder::new(&settings.unwrap(), vec![file]).unwrap()
    }

    const ENVELOPE: &str = r#"{"type": "record", "name": "Envelope", "fields": [
        {"name": "id", "type": "string"}, {"name": "n", "type": "int"}],
        "dynamodb": {"partitionKey": {"attribute": "pk", "field": "id"}}}"#;

    /// Returns the reason and the detail with which a message with this body is rejected.
    fn rejection(body: &str) -> (Reason, String) {
        let transcoder = transcoder(ENVELOPE, &[]);
        let payload = json!({"Records": [{"messageId": "m", "body": body}]}).to_string();
        let event = Event::parse(payload.as_bytes()).unwrap();
        let mut encoder = transcoder.encoder(Duration::ZERO, 0);
        match decode_message(&transcoder, &event.messages[0], 0, &mut encoder, &mut DecodeBuffers::default()) {
            Err(Undecoded::Rejected(Rejection { reason, detail })) => (reason, detail.into()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_rejection_names_what_another_tool_sent_in_place_of_base64() {
        let pointer =
            r#"["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"bucket","s3Key":"key"}]"#;
        for (body, told) in
            [(pointer, "S3"), ("\"wwE=\"", "EventBridge"), ("b'wwE='", "Python"), ("c301ff", "hexadecimal")]
        {
            let (reason, detail) = rejection(body);
            assert_eq!(reason, Reason::InvalidBase64, "{body}");
            assert!(detail.contains(told) && !detail.contains("bucket"), "{detail}");
        }
    }

    /// Hexadecimal digits are also valid base64 if their number is a multiple of four.
    #[test]
    fn hexadecimal_digits_are_named_where_they_are_valid_base64_too() {
        let (reason, detail) = rejection("c301eeff00112233445566778899aabb");
        assert_eq!((reason, &*detail), (Reason::UnrecognizedFormat, "the body is hexadecimal; send base64 instead"));
        let (reason, detail) = rejection(&STANDARD.encode_to_string([1, 2, 3]));
        assert_eq!((reason, &*detail), (Reason::UnrecognizedFormat, "the body is in none of the allowed wire formats"));
    }

    /// Decodes a datum behind `header`. The schema lists `ids`, and `wire_formats` is the setting.
    fn framed(ids: &str, wire_formats: &str, header: &[u8]) -> Result<WireFormat, Reason> {
        let schema = format!(
            r#"{{"type": "record", "name": "F", "schemaIds": {ids}, "fields": [{{"name": "message_id", "type": "string"}}]}}"#
        );
        let transcoder = transcoder(&schema, &[("WIRE_FORMATS", wire_formats)]);
        let body = STANDARD.encode_to_string([header, b"\x02m"].concat());
        let payload = json!({"Records": [{"messageId": "m", "body": body}]}).to_string();
        let event = Event::parse(payload.as_bytes()).unwrap();
        let mut encoder = transcoder.encoder(Duration::ZERO, 0);
        let decoded = decode_message(&transcoder, &event.messages[0], 0, &mut encoder, &mut DecodeBuffers::default());
        match decoded {
            Ok(decoded) => Ok(decoded.format),
            Err(Undecoded::Rejected(rejection)) => Err(rejection.reason),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn unset_wire_formats_follow_from_the_ids_of_the_schemas() {
        let uuid = "b7b4a7f0-9c96-4e4a-a687-fb5de9ef0c63";
        let bytes = u128::from_str_radix(&uuid.replace('-', ""), 16).unwrap().to_be_bytes();
        let (number, glue) = (&[0, 0, 0, 0, 42][..], [&[3, 0][..], &bytes].concat());
        assert_eq!(framed("[42]", "", number), Ok(WireFormat::Confluent));
        assert_eq!(framed("[42]", "", &glue), Err(Reason::UnrecognizedFormat));
        assert_eq!(framed(&format!("[\"{uuid}\"]"), "", &glue), Ok(WireFormat::Glue));
        assert_eq!(framed("[]", "", number), Err(Reason::UnrecognizedFormat));
        assert_eq!(framed("[]", "", &glue), Err(Reason::UnrecognizedFormat));
        // nothing is guessed
        assert_eq!(framed("[42]", "", &[0, 0, 0, 0, 43]), Err(Reason::UnknownSchema));
        // a list that is set is the list
        assert_eq!(framed("[42]", "single-object,container", number), Err(Reason::UnrecognizedFormat));
    }

    #[test]
    fn a_codec_that_is_known_elsewhere_is_named() {
        let body = "T2JqAQQWYXZyby5zY2hlbWHkAXsidHlwZSI6ICJyZWNvcmQiLCAibmFtZSI6ICJFbnZlbG9wZSIsICJmaWVsZHMiOiBbeyJuYW1lIjog\
                    ImlkIiwgInR5cGUiOiAic3RyaW5nIn0sIHsibmFtZSI6ICJuIiwgInR5cGUiOiAiaW50In1dfRRhdnJvLmNvZGVjBmx6NABTU1NTU1NT\
                    U1NTU1NTU1NTAggEejAAU1NTU1NTU1NTU1NTU1NTUw==";
        let (reason, detail) = rejection(body);
        assert_eq!(reason, Reason::InvalidContainer);
        assert!(detail.contains("lz4"), "{detail}");
    }

    #[test]
    fn a_body_in_avros_own_json_has_the_values_of_the_specification() {
        let schema = r#"{"type": "record", "name": "J", "fields": [{"name": "id", "type": "string"}, {"name": "b", "type": "bytes"},
            {"name": "d", "type": {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}},
            {"name": "u", "type": ["null", "string"]}], "dynamodb": {"partitionKey": {"attribute": "pk", "field": "id"}}}"#;
        let settings = [("WIRE_FORMATS", "json"), ("DEFAULT_SCHEMA", "e"), ("JSON_ENCODING", "avro")];
        let body = r#"{"id": "a", "b": "abcd", "d": "1", "u": {"string": "x"}}"#;
        let payload = json!({"Records": [{"messageId": "m", "body": body}]}).to_string();
        let event = Event::parse(payload.as_bytes()).unwrap();
        let transcoder = transcoder(schema, &settings);
        let mut encoder = transcoder.encoder(Duration::ZERO, 0);
        decode_message(&transcoder, &event.messages[0], 0, &mut encoder, &mut DecodeBuffers::default()).unwrap();
        let items = encoder.finish_event();
        let item: serde_json::Value = serde_json::from_slice(items.attributes(&items.as_slice()[0])).unwrap();
        let data = json!({"id": {"S": "a"}, "b": {"B": "YWJjZA=="}, "d": {"N": "0.49"}, "u": {"S": "x"}});
        assert_eq!((&item["pk"], &item["data"]["M"]), (&json!({"S": "a"}), &data));
    }

    /// `ingest check` counts the levels of a schema in the same way as the encoder counts those of a record.
    #[test]
    fn a_schema_has_at_least_the_levels_that_its_items_have() {
        for records in MAX_DEPTH - 2..=MAX_DEPTH + 1 {
            let innermost = (r#""int""#.to_owned(), "7".to_owned());
            let (schema, body) = (0..records).rev().fold(innermost, |(ty, body), level| {
                let id = r#"{"name": "message_id", "type": "string", "default": ""}"#;
                let schema = format!(
                    r#"{{"type": "record", "name": "R{level}", "fields": [{id}, {{"name": "f", "type": {ty}}}]}}"#
                );
                (schema, format!("{{\"message_id\": \"m\", \"f\": {body}}}"))
            });
            let settings = [("WIRE_FORMATS", "json"), ("DEFAULT_SCHEMA", "e")];
            let transcoder = transcoder(&schema, &settings);
            let (subject, mapping) = transcoder.subjects().next().unwrap();
            let levels = mapping.item_levels(subject.newest().least_levels().unwrap());
            assert_eq!(levels, records + 1);
            let payload = json!({"Records": [{"messageId": "m", "body": body}]}).to_string();
            let event = Event::parse(payload.as_bytes()).unwrap();
            let mut encoder = transcoder.encoder(Duration::ZERO, 0);
            let decoded =
                decode_message(&transcoder, &event.messages[0], 0, &mut encoder, &mut DecodeBuffers::default());
            assert_eq!(decoded.is_ok(), levels <= MAX_DEPTH, "{levels}: {decoded:?}");
        }
    }
}
