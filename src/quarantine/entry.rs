//! The conversion of a rejected message into an entry of SendMessageBatch. The entry has the original body and attributes
//! in addition to ours, so that the message can later be resent unchanged. Pure: no I/O, clock or randomness.

use super::Rejected;
use crate::outcome::Reason;
use crate::sqs::OriginalAttribute;
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{MessageAttributeValue, SendMessageBatchRequestEntry};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Maximum number of entries of one SendMessageBatch call.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html>
pub const MAX_BATCH_ENTRIES: usize = 10;
/// Maximum size of one SendMessageBatch call and of one message, including bodies and attributes, in bytes.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html>
pub const MAX_BATCH_BYTES: usize = 1024 * 1024;
/// Maximum number of attributes of a message.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html>
pub const MAX_ATTRIBUTES: usize = 10;
/// Maximum length of the attribute `detail`, in bytes. It is our own limit, so that a long text never makes the message too
/// large for the queue.
const MAX_DETAIL_BYTES: usize = 1024;

const DETAIL: &str = "detail";
/// The attributes that this function adds.
const OURS: [&str; 5] = ["reason", DETAIL, "receive_count", "source_message_id", "subject"];
/// The attributes that this function reads. They are always kept unchanged, because a message would have a different
/// meaning without them.
const READ: [&str; 4] = ["operation", "avro", "schema", "__value_schema_id"];
/// The attribute that contains the other original attributes as JSON, if they do not fit beside ours.
const ORIGINAL_ATTRIBUTES: &str = "original_attributes";

/// Returns the entry of a message, or `None` if its body is empty, because no queue accepts an empty body.
pub(super) fn entry(rejected: &Rejected<'_>, to_fifo: bool) -> Option<SendMessageBatchRequestEntry> {
    let Rejected { position, message, .. } = rejected;
    let body = message.original_body().filter(|body| !body.is_empty())?;
    let mut entry = SendMessageBatchRequestEntry::builder()
        .id(position.to_string())
        .message_body(body)
        .set_message_attributes(Some(attributes(rejected)))
        // standard queues accept a message group too
        .set_message_group_id(message.group.as_deref().map(str::to_owned));
    if to_fifo {
        entry = entry
            .message_group_id(message.group.as_deref().unwrap_or(&message.id))
            .message_deduplication_id(message.id.as_ref());
    }
    entry.build().ok()
}

/// Returns the entry without the attribute `detail`, which is not essential, or `None` if it does not have that attribute.
pub(super) fn without_detail(entry: &SendMessageBatchRequestEntry) -> Option<SendMessageBatchRequestEntry> {
    let mut entry = entry.clone();
    entry.message_attributes.as_mut()?.remove(DETAIL)?;
    Some(entry)
}

/// Returns the original attributes together with ours. If there are too many of them, or if names conflict, the original
/// attributes that this function does not read are combined into a single one.
fn attributes(rejected: &Rejected<'_>) -> HashMap<String, MessageAttributeValue> {
    let Rejected { message, rejection, subject, .. } = rejected;
    let detail = rejection.detail.get(..rejection.detail.floor_char_boundary(MAX_DETAIL_BYTES)).unwrap_or_default();
    let receive_count = message.receive_count.unwrap_or(1).to_string();
    let values = [rejection.reason.code(), detail, &receive_count, &message.id, subject.unwrap_or_default()];
    let ours = OURS.into_iter().zip(values).filter(|(_, value)| !value.is_empty());
    let mut all: HashMap<_, _> =
        ours.filter_map(|(name, value)| Some((name.to_owned(), string(&escaped(value))?))).collect();

    let mut originals: BTreeMap<String, OriginalAttribute> = message.original_attributes().into_iter().collect();
    // a message from a quarantine queue first loses the attributes that were added there, because nested copies would grow
    // each time
    if is_quarantined(&originals) {
        restore(&mut originals);
    }
    let clashes = |name: &String| OURS.contains(&name.as_str()) || name == ORIGINAL_ATTRIBUTES;
    let all_fit = originals.len() + all.len() <= MAX_ATTRIBUTES && !originals.keys().any(clashes);
    let (beside, within): (BTreeMap<_, _>, BTreeMap<_, _>) =
        originals.into_iter().partition(|(name, _)| all_fit || READ.contains(&name.as_str()));
    all.extend(beside.into_iter().filter_map(|(name, value)| Some((name, original_value(value)?))));
    if !within.is_empty() {
        let json = serde_json::to_string(&within).unwrap_or_default();
        all.extend(string(&json).map(|value| (ORIGINAL_ATTRIBUTES.to_owned(), value)));
    }
    all
}

/// The information that this function added to a quarantined message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addition {
    /// The code of the reason.
    pub reason: String,
    /// The subject of its schema, if known.
    pub subject: Option<String>,
}

/// Removes everything that this function added to a quarantined message from its `attributes`, which restores the original
/// ones. Returns `None` without any change if this function did not quarantine the message.
pub fn restore(attributes: &mut BTreeMap<String, OriginalAttribute>) -> Option<Addition> {
    if !is_quarantined(attributes) {
        return None;
    }
    let text = |name: &str| attributes.get(name)?.string_value.clone();
    let reason = text("reason")?;
    let subject = text("subject");
    let within = text(ORIGINAL_ATTRIBUTES).and_then(|json| serde_json::from_str::<BTreeMap<_, _>>(&json).ok());
    attributes.retain(|name, _| !OURS.contains(&name.as_str()) && name != ORIGINAL_ATTRIBUTES);
    attributes.extend(within.into_iter().flatten());
    Some(Addition { reason, subject })
}

/// Returns whether the attributes are those of a quarantined message. An attribute `reason` alone is not sufficient,
/// because a producer may use that name too.
fn is_quarantined(attributes: &BTreeMap<String, OriginalAttribute>) -> bool {
    let text = |name| attributes.get(name).and_then(|attribute: &OriginalAttribute| attribute.string_value.as_deref());
    let is_ours = |code| Reason::ALL.iter().any(|reason| reason.code() == code);
    text("reason").is_some_and(is_ours)
        && text("receive_count").is_some_and(|count| count.parse::<u32>().is_ok())
        && text("source_message_id").is_some()
}

/// Escapes the characters that SQS does not accept in an attribute, such as `U+FFFE`, which becomes `\u{fffe}`.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>
fn escaped(text: &str) -> String {
    let is_allowed = |character| matches!(character, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFFF}');
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if is_allowed(character) { out.push(character) } else { out.extend(character.escape_unicode()) }
    }
    out
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

/// Takes as many entries from the front as fit into one call.
pub(super) fn next_batch(waiting: &mut VecDeque<SendMessageBatchRequestEntry>) -> Vec<SendMessageBatchRequestEntry> {
    let mut batch = Vec::new();
    let mut bytes = 0;
    while batch.len() < MAX_BATCH_ENTRIES
        && let Some(entry) = waiting.pop_front_if(|entry| batch.is_empty() || bytes + size(entry) <= MAX_BATCH_BYTES)
    {
        bytes += size(&entry);
        batch.push(entry);
    }
    batch
}

/// Returns the size of a message as SQS counts it: the body, and the name, type and value of each attribute.
pub(super) fn size(entry: &SendMessageBatchRequestEntry) -> usize {
    let attributes = entry.message_attributes().into_iter().flatten().map(|(name, value)| {
        let binary = value.binary_value().map_or(0, |blob| blob.as_ref().len());
        name.len() + value.data_type().len() + value.string_value().map_or(0, str::len) + binary
    });
    entry.message_body().len() + attributes.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Divides entries into calls.
    fn batches(entries: Vec<SendMessageBatchRequestEntry>) -> Vec<Vec<SendMessageBatchRequestEntry>> {
        let mut waiting = entries.into();
        let next = || Some(next_batch(&mut waiting)).filter(|batch| !batch.is_empty());
        std::iter::from_fn(next).collect()
    }
    use crate::outcome::Rejection;
    use crate::sqs::Event;
    use serde_json::{Value, json};

    fn entry_of(body: usize) -> SendMessageBatchRequestEntry {
        SendMessageBatchRequestEntry::builder().id("0").message_body("x".repeat(body)).build().unwrap()
    }

    #[test]
    fn a_call_has_at_most_ten_entries() {
        let sizes = |count| batches((0..count).map(|_| entry_of(1)).collect()).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(9), [9]);
        assert_eq!(sizes(10), [10]);
        assert_eq!(sizes(11), [10, 1]);
    }

    #[test]
    fn a_call_has_at_most_one_mebibyte() {
        let sizes = |bodies: &[usize]| {
            batches(bodies.iter().map(|&size| entry_of(size)).collect()).iter().map(Vec::len).collect::<Vec<_>>()
        };
        let half = MAX_BATCH_BYTES / 2;
        assert_eq!(sizes(&[half, half - 1]), [2]);
        assert_eq!(sizes(&[half, half]), [2]);
        assert_eq!(sizes(&[half, half + 1]), [1, 1]);
        let third = MAX_BATCH_BYTES / 3;
        assert_eq!(sizes(&[third, third, third, third]), [3, 1]);
    }

    #[test]
    fn the_size_of_an_entry_is_that_of_its_body_and_its_attributes() {
        let attribute = |kind| MessageAttributeValue::builder().data_type(kind);
        let entry = SendMessageBatchRequestEntry::builder()
            .id("0")
            .message_body("12345")
            .message_attributes("text", attribute("String").string_value("123").build().unwrap())
            .message_attributes("bytes", attribute("Binary").binary_value(Blob::new([0; 100])).build().unwrap());
        assert_eq!(size(&entry.build().unwrap()), 5 + (4 + 6 + 3) + (5 + 6 + 100));
    }

    #[test]
    fn a_producers_own_attributes_make_no_quarantined_message() {
        let ours = json!({"reason": text("truncated"), "receive_count": text("3"), "source_message_id": text("m")});
        let is_ours = |attributes: &Value| is_quarantined(&serde_json::from_value(attributes.clone()).unwrap());
        assert!(is_ours(&ours));
        for name in ["reason", "receive_count", "source_message_id"] {
            let mut missing = ours.clone();
            missing.as_object_mut().unwrap().remove(name);
            assert!(!is_ours(&missing), "without {name}");
        }
        for (name, theirs) in [("reason", "too late"), ("receive_count", "many")] {
            let mut other = ours.clone();
            other[name] = text(theirs);
            assert!(!is_ours(&other), "{name}: {theirs}");
        }
    }

    /// Returns the entry that is sent for a message with these attributes and this group.
    fn sent(originals: &Value, group: Option<&str>, detail: &str) -> SendMessageBatchRequestEntry {
        let mut attributes = json!({"ApproximateReceiveCount": "3"});
        if let Some(group) = group {
            attributes["MessageGroupId"] = json!(group);
        }
        let payload = json!({"Records": [{"messageId": "m", "body": "x", "messageAttributes": originals,
            "attributes": attributes}]});
        let payload = payload.to_string();
        let event = Event::parse(payload.as_bytes()).unwrap();
        let rejection = Rejection { reason: Reason::Truncated, detail: detail.into() };
        let rejected =
            Rejected { position: 0, message: &event.messages[0], rejection: &rejection, subject: Some("order") };
        entry(&rejected, false).unwrap()
    }

    fn text(value: &str) -> Value {
        json!({"stringValue": value, "dataType": "String"})
    }

    fn foreign(count: usize) -> Value {
        (0..count).map(|number| (format!("a{number}"), text("v"))).collect::<serde_json::Map<_, _>>().into()
    }

    #[test]
    fn a_message_keeps_its_attributes_and_gets_its_reason() {
        let sent = sent(&foreign(5), None, &"é".repeat(2000));
        let all = sent.message_attributes().unwrap();
        assert_eq!(all.len(), 10);
        assert_eq!(all["reason"].string_value(), Some("truncated"));
        assert_eq!(all["receive_count"].string_value(), Some("3"));
        assert_eq!(all["source_message_id"].string_value(), Some("m"));
        assert_eq!(all["subject"].string_value(), Some("order"));
        assert!(all["detail"].string_value().unwrap().len() <= MAX_DETAIL_BYTES);
        assert!(all.contains_key("a4"));
    }

    #[test]
    fn what_the_function_reads_stays_as_it_came_however_many_others_there_are() {
        for others in [0, 1, 5, 6] {
            let mut originals = foreign(others);
            originals["operation"] = text("delete");
            originals["schema"] = text("order/1");
            originals["avro"] = json!({"binaryValue": "AAEC", "dataType": "Binary"});
            originals["__value_schema_id"] = json!({"binaryValue": "AAAAAAE=", "dataType": "Binary"});
            let sent = sent(&originals, None, "why");
            let all = sent.message_attributes().unwrap();
            assert!(all.len() <= MAX_ATTRIBUTES, "{others}");
            assert_eq!(all["operation"].string_value(), Some("delete"));
            assert_eq!(all["schema"].string_value(), Some("order/1"));
            assert_eq!(all["avro"].binary_value().unwrap().as_ref(), [0, 1, 2]);
            assert_eq!(all["__value_schema_id"].binary_value().unwrap().as_ref(), [0, 0, 0, 0, 1]);
            assert_eq!(all.contains_key(ORIGINAL_ATTRIBUTES), others > 1, "{others}");
        }
    }

    #[test]
    fn others_become_one_where_they_are_too_many_or_have_our_names() {
        for originals in [foreign(6), json!({"reason": text("theirs")}), json!({"original_attributes": text("theirs")})]
        {
            let sent = sent(&originals, None, "why");
            let all = sent.message_attributes().unwrap();
            assert_eq!(all["reason"].string_value(), Some("truncated"));
            let within: Value = serde_json::from_str(all[ORIGINAL_ATTRIBUTES].string_value().unwrap()).unwrap();
            let values = |object: &Value| {
                let object = object.as_object().unwrap();
                object.iter().map(|(name, value)| (name.clone(), value["stringValue"].clone())).collect::<Vec<_>>()
            };
            assert_eq!(values(&within), values(&originals));
        }
    }

    /// Returns the attributes of an entry in the form in which an event contains them.
    fn attributes_of(entry: &SendMessageBatchRequestEntry) -> BTreeMap<String, OriginalAttribute> {
        let attribute = |(name, value): (&String, &MessageAttributeValue)| {
            let attribute = OriginalAttribute {
                data_type: value.data_type().to_owned(),
                string_value: value.string_value().map(str::to_owned),
                binary_value: value.binary_value().map(|blob| base64_simd::STANDARD.encode_to_string(blob)),
            };
            (name.clone(), attribute)
        };
        entry.message_attributes().unwrap().iter().map(attribute).collect()
    }

    #[test]
    fn a_message_that_is_quarantined_again_has_the_same_attributes_as_the_first_time() {
        let mut clashing = foreign(7);
        clashing["operation"] = text("delete");
        for originals in
            [json!({}), foreign(2), clashing, json!({"reason": text("truncated"), "detail": text("theirs")})]
        {
            let first = attributes_of(&sent(&originals, None, "why"));
            let mut again = first.clone();
            for _ in 0..3 {
                again = attributes_of(&sent(&serde_json::to_value(&again).unwrap(), None, "why"));
                assert_eq!(again, first);
            }
            restore(&mut again).unwrap();
            assert_eq!(
                serde_json::to_value(&again).unwrap().as_object().unwrap().len(),
                originals.as_object().unwrap().len()
            );
        }
    }

    #[test]
    fn what_is_restored_has_the_attributes_that_the_message_came_with() {
        let mut read = json!({"operation": text("delete")});
        read["avro"] = json!({"binaryValue": "AAEC", "dataType": "Binary"});
        let originals = [
            json!({}),
            foreign(2),
            foreign(7),
            read,
            json!({"reason": text("theirs"), "original_attributes": text("x")}),
        ];
        for originals in originals {
            let sent = sent(&originals, None, "why");
            let mut attributes = attributes_of(&sent);
            let addition = restore(&mut attributes).unwrap();
            assert_eq!(addition, Addition { reason: "truncated".into(), subject: Some("order".into()) });
            let expected: BTreeMap<String, OriginalAttribute> = serde_json::from_value(originals).unwrap();
            assert_eq!(attributes, expected);
            // a message that was never quarantined, even if it has an attribute `reason`
            assert_eq!(restore(&mut attributes), None);
            assert_eq!(attributes, expected);
        }
    }

    #[test]
    fn a_dead_letter_keeps_attributes_that_have_our_names() {
        for own in [
            json!({"reason": text("too late"), "source_message_id": text("m"), "detail": text("theirs")}),
            json!({"reason": text("truncated"), "source_message_id": text("m")}),
            json!({"reason": text("truncated"), "receive_count": text("1")}),
        ] {
            let mut attributes: BTreeMap<String, OriginalAttribute> = serde_json::from_value(own).unwrap();
            let before = attributes.clone();
            assert_eq!((restore(&mut attributes), attributes), (None, before));
        }
    }

    #[test]
    fn a_message_keeps_its_group() {
        assert_eq!(sent(&json!({}), Some("g"), "why").message_group_id(), Some("g"));
        assert_eq!(sent(&json!({}), None, "why").message_group_id(), None);
    }

    #[test]
    fn no_character_of_ours_is_one_that_sqs_refuses() {
        let sent = sent(&json!({}), None, "a\u{FFFE}b\u{1}c\nd\u{10FFFF}");
        let detail = sent.message_attributes().unwrap()["detail"].string_value().unwrap().to_owned();
        assert_eq!(detail, "a\\u{fffe}b\\u{1}c\nd\u{10FFFF}");
    }

    #[test]
    fn the_detail_can_be_left_out() {
        let entry = sent(&json!({}), None, "why");
        let short = without_detail(&entry).unwrap();
        assert_eq!(size(&entry) - size(&short), "detail".len() + "String".len() + "why".len());
        assert!(without_detail(&short).is_none());
    }
}
