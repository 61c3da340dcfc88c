//! From a message to its items: reads the body, checks the attributes, decodes the records. The function, the tool, the
//! benchmarks and the fuzz targets all decode by this.

use crate::avro::{self, Decoded, Undecoded};
use crate::dynamodb::item::{ItemEncoder, MessageStamps};
use crate::outcome::{Reason, Rejection};
use crate::sqs::{BodyContent, Message};
use crate::transcode::Transcoder;
use std::fmt;

/// Reads the body of the message at `position` of its event and decodes its records into `encoder`: all of them, or none.
///
/// # Errors
/// Why no retry can help the message, or what interrupted it.
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
    transcoder.transcode(&input, (position, &message.id), encoder, &mut buffers.scratch)
}

/// Memory that is reused from message to message.
#[derive(Default)]
pub struct DecodeBuffers {
    body: Vec<u8>,
    scratch: avro::Scratch,
}

impl DecodeBuffers {
    /// Buffers of which a body may inflate to `max_bytes`: as much as the items it becomes may take.
    pub fn bounded(max_bytes: usize) -> Self {
        Self { body: Vec::new(), scratch: avro::Scratch::bounded(max_bytes) }
    }
}
