//! Parsing and validation of `SendMessage`, `SendMessageBatch` and `ChangeMessageVisibilityBatch` calls in AWS JSON 1.0.
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html>
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibilityBatch.html>

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::message::{Attribute, MAX_MESSAGE_BYTES, Message};

/// Maximum number of entries in a batch.
const MAX_ENTRIES: usize = 10;
/// Maximum total size of the messages in a batch, in bytes.
const MAX_BATCH_BYTES: usize = MAX_MESSAGE_BYTES;
/// Maximum length of an entry's id, in characters.
const MAX_ENTRY_ID: usize = 80;

/// Maximum visibility timeout in seconds, counted from the receive.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html>
pub(super) const MAX_VISIBILITY_TIMEOUT: u64 = 43_200;

/// A well-formed call. Its messages may still be invalid.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum QueueCall {
    Single { queue_url: String, message: Message },
    Batch { queue_url: String, entries: Vec<(String, Message)> },
    ChangeVisibility { queue_url: String, entries: Vec<ChangeEntry> },
}

/// The change of one message's visibility.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ChangeEntry {
    pub(super) id: String,
    pub(super) receipt_handle: String,
    /// Visibility timeout, in seconds.
    pub(super) visibility_timeout: u64,
}

/// Code and explanation of the error with which a whole call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) &'static str, pub(super) &'static str);

impl QueueCall {
    /// Parses the call of the operation `target`, the value of the `x-amz-target` header.
    pub(super) fn read(target: &str, body: &[u8]) -> Result<Self, Refusal> {
        let unreadable = |_| Refusal("SerializationException", "the json is not that of the operation");
        match target {
            "AmazonSQS.SendMessage" => {
                let Single { queue_url, entry } = serde_json::from_slice(body).map_err(unreadable)?;
                Ok(Self::Single { queue_url, message: entry.into_message()? })
            }
            "AmazonSQS.SendMessageBatch" => {
                let Batch { queue_url, entries } = serde_json::from_slice(body).map_err(unreadable)?;
                Ok(Self::Batch { queue_url, entries: batch(entries)? })
            }
            "AmazonSQS.ChangeMessageVisibilityBatch" => {
                let Changes { queue_url, entries } = serde_json::from_slice(body).map_err(unreadable)?;
                check_ids(entries.iter().map(|entry| entry.id.as_str()))?;
                Ok(Self::ChangeVisibility { queue_url, entries })
            }
            _ => Err(Refusal("UnknownOperationException", "the operation is not known here")),
        }
    }

    pub(super) fn queue_url(&self) -> &str {
        match self {
            Self::Single { queue_url, .. }
            | Self::Batch { queue_url, .. }
            | Self::ChangeVisibility { queue_url, .. } => queue_url,
        }
    }
}

impl ChangeEntry {
    /// Returns the timeout, or `None` if it exceeds SQS's limit.
    pub(super) fn timeout(&self) -> Option<Duration> {
        (self.visibility_timeout <= MAX_VISIBILITY_TIMEOUT).then(|| Duration::from_secs(self.visibility_timeout))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Changes {
    queue_url: String,
    #[serde(default)]
    entries: Vec<ChangeEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Batch {
    queue_url: String,
    #[serde(default)]
    entries: Vec<BatchEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BatchEntry {
    id: String,
    #[serde(flatten)]
    entry: Entry,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Single {
    queue_url: String,
    #[serde(flatten)]
    entry: Entry,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    message_body: String,
    #[serde(default)]
    message_attributes: BTreeMap<String, Value>,
    message_group_id: Option<String>,
    message_deduplication_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Value {
    data_type: String,
    string_value: Option<String>,
    binary_value: Option<String>,
}

/// Checks the rules for entry ids, which apply to every kind of batch.
pub(super) fn check_ids<'a>(ids: impl ExactSizeIterator<Item = &'a str> + Clone) -> Result<(), Refusal> {
    let count = ids.len();
    if count == 0 {
        return Err(Refusal("EmptyBatchRequest", "there is no entry"));
    }
    if count > MAX_ENTRIES {
        return Err(Refusal("TooManyEntriesInBatchRequest", "there are more than 10 entries"));
    }
    if !ids.clone().all(is_entry_id) {
        return Err(Refusal("InvalidBatchEntryId", "an id has 1 to 80 letters, digits, hyphens or underscores"));
    }
    if ids.collect::<BTreeSet<_>>().len() < count {
        return Err(Refusal("BatchEntryIdsNotDistinct", "two entries have the same id"));
    }
    Ok(())
}

fn batch(entries: Vec<BatchEntry>) -> Result<Vec<(String, Message)>, Refusal> {
    check_ids(entries.iter().map(|entry| entry.id.as_str()))?;
    let entries = entries.into_iter().map(|BatchEntry { id, entry }| Ok((id, entry.into_message()?)));
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    if entries.iter().map(|(_, message)| message.bytes()).sum::<usize>() > MAX_BATCH_BYTES {
        return Err(Refusal("BatchRequestTooLong", "the messages together are longer than 1 MiB"));
    }
    Ok(entries)
}

fn is_entry_id(id: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=MAX_ENTRY_ID).contains(&id.len()) && id.bytes().all(is_legal)
}

impl Entry {
    fn into_message(self) -> Result<Message, Refusal> {
        let attributes = self.message_attributes.into_iter().map(|(name, value)| Ok((name, value.into_attribute()?)));
        let attributes = attributes.collect::<Result<_, _>>()?;
        let (group, deduplication_id) = (self.message_group_id, self.message_deduplication_id);
        Ok(Message { body: self.message_body, attributes, group, deduplication_id })
    }
}

impl Value {
    fn into_attribute(self) -> Result<Attribute, Refusal> {
        let mismatch = Refusal("InvalidParameterValue", "an attribute's value is not of its data type");
        // a data type may have a custom label, such as String.uuid
        let kind = self.data_type.split('.').next().unwrap_or_default();
        match (kind, self.string_value, self.binary_value) {
            ("String", Some(text), None) => Ok(Attribute::String(text)),
            ("Number", Some(text), None) => Ok(Attribute::Number(text)),
            ("Binary", None, Some(text)) => {
                STANDARD.decode(text).map(|bytes| Attribute::Binary(bytes.into())).map_err(|_| mismatch)
            }
            _ => Err(mismatch),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn entry(id: &str, body: &str) -> Value {
        json!({"Id": id, "MessageBody": body})
    }

    fn entries(count: usize, bytes_each: usize) -> Vec<Value> {
        (0..count).map(|id| entry(&id.to_string(), &"x".repeat(bytes_each))).collect()
    }

    fn read(entries: &[Value]) -> Result<QueueCall, Refusal> {
        let body = json!({"QueueUrl": "http://host/000000000000/quarantine", "Entries": entries});
        QueueCall::read("AmazonSQS.SendMessageBatch", body.to_string().as_bytes())
    }

    fn refusal(entries: &[Value]) -> Option<&'static str> {
        read(entries).err().map(|Refusal(code, _)| code)
    }

    #[test]
    fn a_batch_has_one_to_ten_entries() {
        assert_eq!(refusal(&entries(0, 1)), Some("EmptyBatchRequest"));
        assert_eq!([1, 9, 10].map(|count| refusal(&entries(count, 1))), [None; 3]);
        assert_eq!(refusal(&entries(11, 1)), Some("TooManyEntriesInBatchRequest"));
    }

    #[test]
    fn a_batch_has_at_most_a_mebibyte() {
        let of = |bytes: usize| refusal(&[entry("a", "x"), entry("b", &"x".repeat(bytes - 1))]);
        assert_eq!([MAX_BATCH_BYTES - 1, MAX_BATCH_BYTES].map(of), [None; 2]);
        assert_eq!(of(MAX_BATCH_BYTES + 1), Some("BatchRequestTooLong"));
    }

    #[test]
    fn ids_are_distinct_and_of_few_characters() {
        assert_eq!(refusal(&[entry("a", "x"), entry("a", "y")]), Some("BatchEntryIdsNotDistinct"));
        let of = |id: &str| refusal(&[entry(id, "x")]);
        assert_eq!([of("a-B_9"), of(&"x".repeat(79)), of(&"x".repeat(80))], [None; 3]);
        assert_eq!([of(""), of("a b"), of("ä"), of(&"x".repeat(81))], [Some("InvalidBatchEntryId"); 4]);
    }

    #[test]
    fn attributes_keep_their_types() {
        let attributes = json!({
            "reason": {"DataType": "String", "StringValue": "truncated"},
            "receive_count": {"DataType": "Number.int", "StringValue": "3"},
            "avro": {"DataType": "Binary", "BinaryValue": "wwEA"},
        });
        let body =
            json!({"QueueUrl": "q", "MessageBody": "x", "MessageAttributes": attributes, "MessageGroupId": "one"});
        let call = QueueCall::read("AmazonSQS.SendMessage", body.to_string().as_bytes());
        let message = Message::text("x")
            .with("reason", Attribute::String("truncated".into()))
            .with("receive_count", Attribute::Number("3".into()))
            .with("avro", Attribute::Binary(vec![0xC3, 1, 0].into()))
            .in_group("one");
        assert_eq!(call, Ok(QueueCall::Single { queue_url: "q".into(), message }));
    }

    #[test]
    fn an_attribute_that_is_not_of_its_type_and_a_foreign_call_are_refused() {
        for value in [
            json!({"DataType": "String", "BinaryValue": "wwEA"}),
            json!({"DataType": "Binary", "BinaryValue": "%"}),
            json!({"DataType": "Binary", "StringValue": "x"}),
            json!({"DataType": "Thing", "StringValue": "x"}),
        ] {
            let entry = json!({"Id": "a", "MessageBody": "x", "MessageAttributes": {"name": value}});
            assert_eq!(refusal(&[entry]), Some("InvalidParameterValue"), "{value}");
        }
        assert_eq!(refusal(&[json!({"Id": "a"})]), Some("SerializationException"));
        let code = |target: &str| QueueCall::read(target, b"{}").unwrap_err().0;
        assert_eq!(code("AmazonSQS.SendMessage"), "SerializationException");
        assert_eq!(code("AmazonSQS.DeleteQueue"), "UnknownOperationException");
    }
}
