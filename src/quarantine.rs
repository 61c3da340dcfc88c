//! The quarantine queue: rejected messages go there with their reason, so that they are neither retried in vain nor lost.
//! Only what the queue says it has taken counts as taken.

use crate::clock;
use crate::error_text;
use crate::outcome::Rejection;
use crate::sqs::{Message, OriginalAttribute};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{MessageAttributeValue, SendMessageBatchRequestEntry};
use std::collections::{BTreeMap, HashMap, HashSet};
use tokio::time::{Instant, timeout_at};

/// The most entries of one SendMessageBatch call.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html>
pub const MAX_BATCH_ENTRIES: usize = 10;
/// The most bytes of one SendMessageBatch call, and of one message: bodies and attributes together. Same source.
pub const MAX_BATCH_BYTES: usize = 1024 * 1024;
/// The most attributes of a message.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html>
pub const MAX_ATTRIBUTES: usize = 10;
/// The longest `detail` that is sent along, in bytes. Ours, so that a long one never costs the message its place.
const MAX_DETAIL_BYTES: usize = 1024;
/// The attribute that holds the original ones, as JSON, where they are too many to stand beside ours.
const ORIGINAL_ATTRIBUTES: &str = "original_attributes";

/// A queue for rejected messages.
#[derive(Clone)]
pub struct Quarantine {
    client: Client,
    queue_url: String,
}

/// A rejected message on its way.
pub(crate) struct Rejected<'a> {
    /// Its place in the event.
    pub(crate) position: usize,
    pub(crate) message: &'a Message<'a>,
    pub(crate) rejection: &'a Rejection,
    /// Its schema's subject, as far as it is known.
    pub(crate) subject: Option<&'a str>,
}

impl Quarantine {
    /// `client` sends to the queue at `queue_url`.
    pub fn new(client: Client, queue_url: String) -> Self {
        Self { client, queue_url }
    }

    /// Sends the messages, until the deadline, and returns the positions of those the queue has taken.
    pub(crate) async fn send(&self, rejected: &[Rejected<'_>], deadline: Instant) -> HashSet<usize> {
        let mut taken = HashSet::new();
        let entries = rejected.iter().filter_map(|rejected| self.entry(rejected)).collect();
        for batch in batches(entries) {
            if clock::now() >= deadline {
                break;
            }
            let call = self.client.send_message_batch().queue_url(&self.queue_url).set_entries(Some(batch)).send();
            match timeout_at(deadline, call).await {
                Ok(Ok(output)) => {
                    taken.extend(output.successful().iter().filter_map(|entry| entry.id().parse::<usize>().ok()));
                    for failed in output.failed() {
                        tracing::warn!(code = failed.code(), "quarantine queue refused a message");
                    }
                }
                Ok(Err(error)) => {
                    tracing::warn!(error = %error_text::of_call(&error), "quarantine queue not reached");
                }
                Err(_) => break,
            }
        }
        taken
    }

    /// The entry of a message. None if its body is empty, which no queue takes.
    fn entry(&self, rejected: &Rejected<'_>) -> Option<SendMessageBatchRequestEntry> {
        let Rejected { position, message, rejection, subject } = rejected;
        let body = message.original_body().filter(|body| !body.is_empty())?;
        let mut entry = SendMessageBatchRequestEntry::builder().id(position.to_string()).message_body(body);
        for (name, value) in attributes(message, rejection, *subject) {
            entry = entry.message_attributes(name, value);
        }
        if self.queue_url.ends_with(".fifo") {
            let group = message.group.as_deref().unwrap_or(&message.id);
            entry = entry.message_group_id(group).message_deduplication_id(message.id.as_ref());
        }
        entry.build().ok()
    }
}

/// The original attributes and ours. Where all would be too many, the original ones become one.
fn attributes(
    message: &Message<'_>,
    rejection: &Rejection,
    schema: Option<&str>,
) -> HashMap<String, MessageAttributeValue> {
    let detail = rejection.detail.get(..rejection.detail.floor_char_boundary(MAX_DETAIL_BYTES)).unwrap_or_default();
    let receive_count = message.receive_count.unwrap_or(1).to_string();
    let ours = [
        ("reason", Some(rejection.reason.code())),
        ("detail", Some(detail)),
        ("schema", schema),
        ("receive_count", Some(receive_count.as_str())),
        ("source_message_id", Some(message.id.as_ref())),
    ];
    let ours =
        ours.into_iter().filter_map(|(name, value)| Some((name.to_owned(), string(value.filter(|v| !v.is_empty())?)?)));
    let original = message.original_attributes();
    let mut all: HashMap<String, MessageAttributeValue>;
    let clash = |name: &String| ["reason", "detail", "receive_count", "source_message_id"].contains(&name.as_str());
    if original.len() + 5 > MAX_ATTRIBUTES || original.keys().any(clash) {
        let sorted: BTreeMap<_, _> = original.iter().collect();
        let json = serde_json::to_string(&sorted).unwrap_or_default();
        all = string(&json).map(|value| (ORIGINAL_ATTRIBUTES.to_owned(), value)).into_iter().collect();
    } else {
        all = original.into_iter().filter_map(|(name, value)| Some((name, original_value(value)?))).collect();
    }
    // the producer's own `schema` says more than ours
    for (name, value) in ours {
        all.entry(name).or_insert(value);
    }
    all
}

fn string(value: &str) -> Option<MessageAttributeValue> {
    MessageAttributeValue::builder().data_type("String").string_value(value).build().ok()
}

fn original_value(attribute: OriginalAttribute) -> Option<MessageAttributeValue> {
    let binary = attribute.binary_value.and_then(|text| base64_simd::STANDARD.decode_to_vec(text).ok());
    MessageAttributeValue::builder()
        .data_type(attribute.data_type)
        .set_string_value(attribute.string_value)
        .set_binary_value(binary.map(Blob::new))
        .build()
        .ok()
}

/// Divides entries into calls. An entry over the limit by itself is left out: the queue would refuse it.
fn batches(entries: Vec<SendMessageBatchRequestEntry>) -> Vec<Vec<SendMessageBatchRequestEntry>> {
    let mut batches: Vec<Vec<_>> = Vec::new();
    let mut bytes = 0;
    for entry in entries {
        let size = size(&entry);
        if size > MAX_BATCH_BYTES {
            continue;
        }
        match batches.last_mut() {
            Some(batch) if batch.len() < MAX_BATCH_ENTRIES && bytes + size <= MAX_BATCH_BYTES => {
                bytes += size;
                batch.push(entry);
            }
            _ => {
                bytes = size;
                batches.push(vec![entry]);
            }
        }
    }
    batches
}

/// A message's size as SQS counts it: the body and each attribute's name, type and value.
fn size(entry: &SendMessageBatchRequestEntry) -> usize {
    let attributes = entry.message_attributes().into_iter().flatten().map(|(name, value)| {
        let binary = value.binary_value().map_or(0, |blob| blob.as_ref().len());
        name.len() + value.data_type().len() + value.string_value().map_or(0, str::len) + binary
    });
    entry.message_body().len() + attributes.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Reason;
    use crate::sqs::Event;
    use serde_json::json;

    fn entry(body: usize) -> SendMessageBatchRequestEntry {
        SendMessageBatchRequestEntry::builder().id("0").message_body("x".repeat(body)).build().unwrap()
    }

    #[test]
    fn a_call_has_at_most_ten_entries() {
        let sizes = |count| batches((0..count).map(|_| entry(1)).collect()).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(9), [9]);
        assert_eq!(sizes(10), [10]);
        assert_eq!(sizes(11), [10, 1]);
    }

    #[test]
    fn a_call_has_at_most_one_mebibyte() {
        let sizes = |bodies: &[usize]| {
            batches(bodies.iter().map(|&size| entry(size)).collect()).iter().map(Vec::len).collect::<Vec<_>>()
        };
        let half = MAX_BATCH_BYTES / 2;
        assert_eq!(sizes(&[half, half - 1]), [2]);
        assert_eq!(sizes(&[half, half]), [2]);
        assert_eq!(sizes(&[half, half + 1]), [1, 1]);
        assert_eq!(sizes(&[MAX_BATCH_BYTES + 1, 1]), [1], "what no queue takes stays behind");
    }

    fn sent(originals: usize) -> HashMap<String, MessageAttributeValue> {
        let attribute = json!({"stringValue": "v", "dataType": "String"});
        let originals: serde_json::Map<_, _> = (0..originals).map(|n| (format!("a{n}"), attribute.clone())).collect();
        let payload = json!({"Records": [{"messageId": "m", "body": "x", "messageAttributes": originals,
            "attributes": {"ApproximateReceiveCount": "3"}}]});
        let payload = payload.to_string();
        let event = Event::parse(payload.as_bytes()).unwrap();
        let rejection = Rejection { reason: Reason::Truncated, detail: "é".repeat(2000).into() };
        attributes(&event.messages[0], &rejection, Some("order"))
    }

    #[test]
    fn a_message_keeps_its_attributes_and_gets_its_reason() {
        let all = sent(5);
        assert_eq!(all.len(), 10);
        assert_eq!(all["reason"].string_value(), Some("truncated"));
        assert_eq!(all["receive_count"].string_value(), Some("3"));
        assert_eq!(all["source_message_id"].string_value(), Some("m"));
        assert!(all["detail"].string_value().unwrap().len() <= MAX_DETAIL_BYTES);
        assert!(all.contains_key("a4"));
    }

    #[test]
    fn too_many_attributes_become_one() {
        let all = sent(6);
        assert_eq!(all.len(), 6);
        let original: serde_json::Value =
            serde_json::from_str(all[ORIGINAL_ATTRIBUTES].string_value().unwrap()).unwrap();
        assert_eq!(original["a5"]["stringValue"], "v");
    }
}
