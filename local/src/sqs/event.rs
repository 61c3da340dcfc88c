//! A message in the form in which an event source mapping passes it to a function.
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html#example-standard-queue-message-event>

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::message::{Attribute, Message};
use crate::random;

/// The data from which a record of an event is created.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReceivedMessage<'a> {
    pub(super) message: &'a Message,
    pub(super) message_id: &'a str,
    pub(super) sequence: u64,
    pub(super) is_fifo: bool,
    pub(super) queue_arn: &'a str,
    pub(super) receive_count: u32,
    pub(super) sent: Duration,
    pub(super) first_received: Duration,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    message_id: &'a str,
    receipt_handle: String,
    body: &'a str,
    attributes: SystemAttributes<'a>,
    message_attributes: BTreeMap<&'a str, MessageAttribute<'a>>,
    md5_of_body: String,
    event_source: &'a str,
    #[serde(rename = "eventSourceARN")]
    event_source_arn: &'a str,
    aws_region: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SystemAttributes<'a> {
    approximate_receive_count: String,
    sent_timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_group_id: Option<&'a str>,
    sender_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_deduplication_id: Option<&'a str>,
    approximate_first_receive_timestamp: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MessageAttribute<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    string_value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    binary_value: Option<String>,
    string_list_values: [&'a str; 0],
    binary_list_values: [&'a str; 0],
    data_type: &'a str,
}

/// The sender of every message.
const SENDER: &str = "AIDALOCALLOCALLOCALLO";
/// Number of 8-byte words in a receipt handle. With its prefix, the handle has 420 base64 characters.
const RECEIPT_HANDLE_WORDS: u64 = 39;

impl ReceivedMessage<'_> {
    /// Appends the record's JSON to `event`.
    pub(super) fn write(&self, event: &mut Vec<u8>) -> serde_json::Result<()> {
        let Self { message, message_id, queue_arn, .. } = *self;
        let fifo = self.is_fifo.then_some(());
        serde_json::to_writer(
            event,
            &Record {
                message_id,
                receipt_handle: self.receipt_handle(),
                body: &message.body,
                attributes: SystemAttributes {
                    approximate_receive_count: self.receive_count.to_string(),
                    sent_timestamp: self.sent.as_millis().to_string(),
                    sequence_number: fifo.map(|()| sequence_number(self.sequence)),
                    message_group_id: message.group.as_deref(),
                    sender_id: SENDER,
                    message_deduplication_id: fifo.map(|()| message.deduplication_id.as_deref().unwrap_or(message_id)),
                    approximate_first_receive_timestamp: self.first_received.as_millis().to_string(),
                },
                message_attributes: message
                    .attributes
                    .iter()
                    .map(|(name, value)| (name.as_str(), shown(value)))
                    .collect(),
                md5_of_body: format!("{:x}", md5::compute(&message.body)),
                event_source: "aws:sqs",
                event_source_arn: queue_arn,
                aws_region: "us-east-1",
            },
        )
    }

    /// Returns the message in the form of a `ReceiveMessage` response, with all its attributes.
    /// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html>
    pub(super) fn response(&self) -> Value {
        let Self { message, .. } = *self;
        let mut system = json!({
            "ApproximateReceiveCount": self.receive_count.to_string(),
            "ApproximateFirstReceiveTimestamp": self.first_received.as_millis().to_string(),
            "SentTimestamp": self.sent.as_millis().to_string(),
            "SenderId": SENDER,
        });
        if let Some(system) = system.as_object_mut() {
            system.extend(message.group.iter().map(|group| ("MessageGroupId".to_owned(), json!(group))));
            if self.is_fifo {
                let id = message.deduplication_id.as_deref().unwrap_or(self.message_id);
                system.insert("MessageDeduplicationId".to_owned(), json!(id));
                system.insert("SequenceNumber".to_owned(), json!(sequence_number(self.sequence)));
            }
        }
        let attributes = message.attributes.iter().map(|(name, value)| {
            let value = match value {
                Attribute::Binary(bytes) => json!({"DataType": "Binary", "BinaryValue": STANDARD.encode(bytes)}),
                Attribute::String(text) | Attribute::Number(text) => {
                    json!({"DataType": value.data_type(), "StringValue": text})
                }
            };
            (name.clone(), value)
        });
        json!({
            "MessageId": self.message_id,
            "ReceiptHandle": self.receipt_handle(),
            "Body": message.body,
            "MD5OfBody": format!("{:x}", md5::compute(&message.body)),
            "Attributes": system,
            "MessageAttributes": attributes.collect::<Map<_, _>>(),
        })
    }

    /// Returns a receipt handle that is as long as those of SQS and unique to each receive.
    fn receipt_handle(&self) -> String {
        let receive = [self.sequence, self.receive_count.into()];
        let seed = self.sequence << 16 | u64::from(self.receive_count);
        let padding = (2..RECEIPT_HANDLE_WORDS).map(|word| random::number(seed, word));
        let bytes = receive.into_iter().chain(padding).flat_map(u64::to_le_bytes);
        STANDARD.encode([1, 1, 1].into_iter().chain(bytes).collect::<Vec<u8>>())
    }
}

/// Returns a sequence number of 20 digits, as SQS assigns them to the messages of a FIFO queue.
pub(super) fn sequence_number(sequence: u64) -> String {
    format!("188{sequence:017}")
}

/// Returns the sequence and the receive count that `receipt_handle` was created from. `None` if it is not a receipt handle of
/// this queue.
pub(super) fn receive_of(receipt_handle: &str) -> Option<(u64, u32)> {
    let bytes = STANDARD.decode(receipt_handle).ok()?;
    let words = bytes.strip_prefix(&[1, 1, 1])?;
    let (sequence, words) = words.split_first_chunk()?;
    let (receive_count, _) = words.split_first_chunk()?;
    Some((u64::from_le_bytes(*sequence), u64::from_le_bytes(*receive_count).try_into().ok()?))
}

fn shown(attribute: &Attribute) -> MessageAttribute<'_> {
    let (string_value, binary_value) = match attribute {
        Attribute::String(text) | Attribute::Number(text) => (Some(text.as_str()), None),
        Attribute::Binary(bytes) => (None, Some(STANDARD.encode(bytes))),
    };
    let data_type = attribute.data_type();
    MessageAttribute { string_value, binary_value, string_list_values: [], binary_list_values: [], data_type }
}
