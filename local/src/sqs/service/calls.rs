//! The SQS operations: parsing of calls, and their effect on a queue.
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_Operations.html>

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::api::{MAX_VISIBILITY_TIMEOUT, QueueCall, check_ids};
use super::super::endpoint::path;
use super::super::message::{InvalidMessage, Message};
use super::super::queue::HandleError;
use super::error::{CallError, ErrorCode};
use super::{Fault, MAX_WAIT, ServedQueue};

/// Maximum number of messages in a receive.
const MAX_RECEIVED: u64 = 10;
/// Maximum length of `ReceiveRequestAttemptId`, in characters.
const MAX_ATTEMPT_ID: usize = 128;

#[derive(Debug)]
pub(super) enum Operation {
    Send(QueueCall),
    Receive(ReceiveCall),
    Delete { queue_url: String, entries: Vec<Handle>, is_batch: bool },
    ChangeVisibility { queue_url: String, entries: Vec<Handle>, is_batch: bool },
    Attributes(AttributesCall),
    Url { queue_name: String },
}

/// A receipt handle, and its new visibility timeout in seconds if the call changes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Handle {
    #[serde(default)]
    id: String,
    receipt_handle: String,
    #[serde(default)]
    visibility_timeout: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Single {
    queue_url: String,
    #[serde(flatten)]
    handle: Handle,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Batch {
    queue_url: String,
    #[serde(default)]
    entries: Vec<Handle>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ReceiveCall {
    pub(super) queue_url: String,
    max_number_of_messages: Option<u64>,
    visibility_timeout: Option<u64>,
    #[serde(default)]
    wait_time_seconds: u64,
    #[serde(default)]
    attribute_names: Vec<String>,
    #[serde(default)]
    message_system_attribute_names: Vec<String>,
    #[serde(default)]
    message_attribute_names: Vec<String>,
    pub(super) receive_request_attempt_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AttributesCall {
    queue_url: String,
    #[serde(default)]
    attribute_names: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UrlCall {
    queue_name: String,
}

/// Returns the queue's name and the number of entries of a call. The call need not be valid.
pub(super) fn outline(body: &[u8]) -> (String, usize) {
    let call: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| call.get(name).and_then(Value::as_str);
    let queue = text("QueueUrl").or_else(|| text("QueueName")).unwrap_or_default();
    let entries = call.get("Entries").and_then(Value::as_array).map_or(0, Vec::len);
    (queue.rsplit('/').next().unwrap_or_default().to_owned(), entries)
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, CallError> {
    serde_json::from_slice(body).map_err(|_| ErrorCode::SerializationException.into())
}

fn read_batch(body: &[u8]) -> Result<(String, Vec<Handle>), CallError> {
    let Batch { queue_url, entries } = read(body)?;
    check_ids(entries.iter().map(|entry| entry.id.as_str()))?;
    Ok((queue_url, entries))
}

fn read_single(body: &[u8]) -> Result<(String, Vec<Handle>), CallError> {
    let Single { queue_url, handle } = read(body)?;
    Ok((queue_url, vec![handle]))
}

impl Operation {
    /// Parses the call of `target`, the value of the `x-amz-target` header.
    pub(super) fn read(target: &str, body: &[u8]) -> Result<Self, CallError> {
        Ok(match target {
            "AmazonSQS.SendMessage" | "AmazonSQS.SendMessageBatch" => Self::Send(QueueCall::read(target, body)?),
            "AmazonSQS.ReceiveMessage" => Self::Receive(read(body)?),
            "AmazonSQS.DeleteMessage" | "AmazonSQS.DeleteMessageBatch" => {
                let is_batch = target.ends_with("Batch");
                let (queue_url, entries) = if is_batch { read_batch(body)? } else { read_single(body)? };
                Self::Delete { queue_url, entries, is_batch }
            }
            "AmazonSQS.ChangeMessageVisibility" | "AmazonSQS.ChangeMessageVisibilityBatch" => {
                let is_batch = target.ends_with("Batch");
                let (queue_url, entries) = if is_batch { read_batch(body)? } else { read_single(body)? };
                Self::ChangeVisibility { queue_url, entries, is_batch }
            }
            "AmazonSQS.GetQueueAttributes" => Self::Attributes(read(body)?),
            "AmazonSQS.GetQueueUrl" => {
                let UrlCall { queue_name } = read(body)?;
                Self::Url { queue_name }
            }
            _ => return Err(ErrorCode::UnknownOperationException.into()),
        })
    }

    /// Returns the queue's URL or name.
    pub(super) fn queue(&self) -> &str {
        match self {
            Self::Send(call) => call.queue_url(),
            Self::Receive(ReceiveCall { queue_url, .. })
            | Self::Delete { queue_url, .. }
            | Self::ChangeVisibility { queue_url, .. }
            | Self::Attributes(AttributesCall { queue_url, .. }) => queue_url,
            Self::Url { queue_name } => queue_name,
        }
    }
}

impl ReceiveCall {
    pub(super) fn check(&self) -> Result<(), CallError> {
        let most = self.max_number_of_messages.unwrap_or(1);
        let attempt = self.receive_request_attempt_id.as_deref().unwrap_or("x");
        let is_valid = (1..=MAX_RECEIVED).contains(&most)
            && self.visibility_timeout.unwrap_or_default() <= MAX_VISIBILITY_TIMEOUT
            && self.wait() <= MAX_WAIT
            && (1..=MAX_ATTEMPT_ID).contains(&attempt.chars().count());
        if is_valid { Ok(()) } else { Err(ErrorCode::InvalidParameterValue.into()) }
    }

    pub(super) fn most(&self) -> usize {
        usize::try_from(self.max_number_of_messages.unwrap_or(1)).unwrap_or_default()
    }

    pub(super) fn wait(&self) -> Duration {
        Duration::from_secs(self.wait_time_seconds)
    }

    pub(super) fn visibility(&self) -> Option<Duration> {
        self.visibility_timeout.map(Duration::from_secs)
    }

    /// Removes the attributes that the call does not request from a message.
    pub(super) fn filtered(&self, mut message: Value) -> Value {
        let is_asked = |name: &String| {
            let asked = self.attribute_names.iter().chain(&self.message_system_attribute_names);
            asked.into_iter().any(|asked| asked == "All" || asked == name)
        };
        let is_asked_of_message = |name: &String| {
            self.message_attribute_names.iter().any(|asked| {
                asked == "All"
                    || asked == name
                    || asked.strip_suffix(".*").is_some_and(|prefix| name.starts_with(prefix))
            })
        };
        if let Some(message) = message.as_object_mut() {
            retain(message, "Attributes", is_asked);
            retain(message, "MessageAttributes", is_asked_of_message);
        }
        message
    }
}

/// Removes the members of the object `name` for which `is_asked` returns `false`, and the object itself if it becomes empty.
fn retain(message: &mut Map<String, Value>, name: &str, is_asked: impl Fn(&String) -> bool) {
    let Some(Value::Object(members)) = message.get_mut(name) else { return };
    members.retain(|name, _| is_asked(name));
    if members.is_empty() {
        message.remove(name);
    }
}

impl From<HandleError> for CallError {
    fn from(error: HandleError) -> Self {
        let (code, message) = match error {
            HandleError::Invalid => (ErrorCode::ReceiptHandleIsInvalid, "the input receipt handle is invalid"),
            HandleError::NotInFlight => (ErrorCode::MessageNotInflight, "the message is not in flight"),
            HandleError::Gone => (
                ErrorCode::InvalidParameterValue,
                "the message does not exist or is not available for visibility timeout change",
            ),
            HandleError::Expired => (ErrorCode::InvalidParameterValue, "the receipt handle has expired"),
            HandleError::BeyondLimit => (
                ErrorCode::InvalidParameterValue,
                "total visibility timeout for the message is beyond the limit of 43200 seconds",
            ),
        };
        Self { code, message }
    }
}

impl From<InvalidMessage> for CallError {
    fn from(error: InvalidMessage) -> Self {
        let code = match error {
            InvalidMessage::IllegalCharacter => ErrorCode::InvalidMessageContents,
            InvalidMessage::GroupRequired | InvalidMessage::EmptyBody => ErrorCode::MissingParameter,
            _ => ErrorCode::InvalidParameterValue,
        };
        Self { code, message: "the message is not valid" }
    }
}

/// Result of one batch entry: the members of a success, or the error code and whether the sender is at fault.
type EntryResult = Result<Value, (String, bool)>;

impl ServedQueue {
    /// Applies a call other than a long poll.
    pub(super) fn apply(
        &mut self,
        operation: &Operation,
        endpoint: &str,
        now: Duration,
        fault: Option<&Fault>,
    ) -> Result<Value, CallError> {
        let fails = |place: usize| matches!(fault, Some(Fault::FailEntries(places)) if places.contains(&place));
        match operation {
            Operation::Send(QueueCall::Single { message, .. }) => Ok(self.send(message, now)?),
            Operation::Send(QueueCall::Batch { entries, .. }) => {
                let ids = entries.iter().map(|(id, message)| (id.as_str(), message));
                Ok(batch(ids, fails, |message| self.send_entry(message, now)))
            }
            Operation::Send(QueueCall::ChangeVisibility { .. }) | Operation::Receive(_) => {
                Err(ErrorCode::UnknownOperationException.into())
            }
            Operation::Delete { entries, is_batch, .. } => {
                let mut deleted = Vec::new();
                let result = self.of_handles(entries, *is_batch, fails, |queue, Handle { receipt_handle, .. }| {
                    deleted.extend(queue.delete_by_handle(receipt_handle, now)?);
                    Ok(())
                });
                self.deleted.extend(deleted);
                result
            }
            Operation::ChangeVisibility { entries, is_batch, .. } => self.of_handles(
                entries,
                *is_batch,
                fails,
                |queue, Handle { receipt_handle, visibility_timeout, .. }| {
                    if *visibility_timeout > MAX_VISIBILITY_TIMEOUT {
                        return Err(ErrorCode::InvalidParameterValue.into());
                    }
                    let timeout = Duration::from_secs(*visibility_timeout);
                    queue.change_visibility_by_handle(receipt_handle, timeout, now).map_err(CallError::from)
                },
            ),
            Operation::Attributes(call) => Ok(self.attributes(call, now)),
            Operation::Url { queue_name } => Ok(json!({"QueueUrl": format!("{endpoint}{}", path(queue_name))})),
        }
    }

    fn send_entry(&mut self, message: &Message, now: Duration) -> EntryResult {
        if let Some(refusal) = (self.refuse)(message) {
            return Err((refusal.code, refusal.sender_fault));
        }
        self.send(message, now).map_err(|CallError { code, .. }| (code.name().to_owned(), true))
    }

    fn send(&mut self, message: &Message, now: Duration) -> Result<Value, CallError> {
        if self.queue.is_fifo() && message.group.is_some() && message.deduplication_id.is_none() {
            let message =
                "the queue should either have content-based deduplication enabled or a deduplication id given";
            return Err(CallError { code: ErrorCode::InvalidParameterValue, message });
        }
        let md5 = format!("{:x}", md5::compute(&message.body));
        let id = self.queue.send(message.clone(), now)?;
        Ok(json!({"MessageId": id, "MD5OfMessageBody": md5}))
    }

    fn of_handles(
        &mut self,
        entries: &[Handle],
        is_batch: bool,
        fails: impl Fn(usize) -> bool,
        mut apply: impl FnMut(&mut super::Queue, &Handle) -> Result<(), CallError>,
    ) -> Result<Value, CallError> {
        let queue = &mut self.queue;
        if !is_batch {
            entries.iter().try_for_each(|entry| apply(queue, entry))?;
            return Ok(json!({}));
        }
        let ids = entries.iter().map(|entry| (entry.id.as_str(), entry));
        Ok(batch(ids, fails, |entry| {
            apply(queue, entry).map_err(|CallError { code, .. }| (code.name().to_owned(), true)).map(|()| json!({}))
        }))
    }

    fn attributes(&mut self, call: &AttributesCall, now: Duration) -> Value {
        let (visible, in_flight) = self.queue.counts(now);
        let mut all = vec![
            ("QueueArn", self.queue.arn().to_owned()),
            ("ApproximateNumberOfMessages", visible.to_string()),
            ("ApproximateNumberOfMessagesNotVisible", in_flight.to_string()),
            ("ApproximateNumberOfMessagesDelayed", "0".to_owned()),
            ("VisibilityTimeout", self.visibility_timeout.as_secs().to_string()),
        ];
        if self.queue.is_fifo() {
            all.push(("FifoQueue", "true".to_owned()));
            all.push(("ContentBasedDeduplication", "false".to_owned()));
        }
        let is_asked = |name: &str| call.attribute_names.iter().any(|asked| asked == "All" || asked == name);
        let asked = all.into_iter().filter(|(name, _)| is_asked(name));
        json!({"Attributes": asked.map(|(name, value)| (name.to_owned(), json!(value))).collect::<Map<_, _>>()})
    }
}

/// Returns the response to a batch, in which each entry succeeds or fails on its own.
fn batch<'a, T: 'a>(
    entries: impl Iterator<Item = (&'a str, &'a T)>,
    fails: impl Fn(usize) -> bool,
    mut apply: impl FnMut(&T) -> EntryResult,
) -> Value {
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for (place, (id, entry)) in entries.enumerate() {
        let result = if fails(place) { Err(("InternalError".to_owned(), false)) } else { apply(entry) };
        match result {
            Ok(mut value) => {
                if let Some(value) = value.as_object_mut() {
                    value.insert("Id".to_owned(), json!(id));
                }
                successful.push(value);
            }
            Err((code, sender_fault)) => {
                failed.push(json!({"Id": id, "Code": code, "SenderFault": sender_fault, "Message": "refused"}));
            }
        }
    }
    json!({"Successful": successful, "Failed": failed})
}
