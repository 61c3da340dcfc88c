//! An SQS queue, with the calls that the tool needs. Each call takes at most ten messages.
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/Welcome.html>

use crate::aws::{Aws, CallError, SQS};
use avro_ingest::sqs::OriginalAttribute;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fmt;
use std::time::Duration;

/// Maximum number of messages per call.
pub(crate) const MAX_CALL_MESSAGES: usize = 10;

/// An SQS queue.
pub(crate) struct Queue {
    aws: Aws,
    url: String,
    name: QueueName,
}

/// Account and name of a queue, which identify a queue in a region whatever its URL looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QueueName {
    account: String,
    pub(crate) name: String,
}

impl QueueName {
    /// Parses the last two segments of a URL's path.
    fn of_url(url: &str) -> Self {
        let mut segments = url.trim_end_matches('/').rsplit('/');
        let name = segments.next().unwrap_or_default().to_owned();
        Self { account: segments.next().unwrap_or_default().to_owned(), name }
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.name)
    }
}

/// Maximum length of a queue name in characters, including `.fifo`.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html>
const MAX_NAME_CHARACTERS: usize = 80;

/// Refuses a text that cannot be the URL of a queue, `https://HOST/ACCOUNT/NAME`, before the first call.
///
/// # Errors
/// If the text is not a URL, or its path does not end in a valid queue name.
pub(crate) fn check_url(text: &str) -> Result<(), String> {
    let is_url = text.parse::<http::Uri>().is_ok_and(|uri| {
        let name = uri.path().rsplit('/').next().unwrap_or_default();
        let plain = name.strip_suffix(".fifo").unwrap_or(name);
        let is_name = plain.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        let has_scheme = uri.scheme_str().is_some_and(|scheme| matches!(scheme, "http" | "https"));
        has_scheme && is_name && !plain.is_empty() && name.len() <= MAX_NAME_CHARACTERS && uri.query().is_none()
    });
    match is_url {
        true => Ok(()),
        false => Err(format!("--queue-url: {text:?} is not the URL of a queue, such as https://HOST/ACCOUNT/NAME")),
    }
}

/// Approximate message counts of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) visible: u64,
    pub(crate) in_flight: u64,
}

/// A message to send.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) body: String,
    pub(crate) attributes: BTreeMap<String, OriginalAttribute>,
    pub(crate) group: Option<String>,
    /// Deduplication id, by which a FIFO queue drops duplicates.
    pub(crate) deduplication_id: Option<String>,
}

/// Returns an attribute of type String.
pub(crate) fn string(value: String) -> OriginalAttribute {
    OriginalAttribute { data_type: "String".to_owned(), string_value: Some(value), binary_value: None }
}

/// A received message.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) id: String,
    pub(crate) receipt_handle: String,
    pub(crate) body: String,
    pub(crate) attributes: BTreeMap<String, OriginalAttribute>,
    pub(crate) group: Option<String>,
    /// Time when the message was sent, in milliseconds since the Unix epoch.
    pub(crate) sent_ms: Option<u64>,
    pub(crate) receive_count: u32,
    /// The message's system attributes.
    pub(crate) system: Map<String, Value>,
    /// Time when the message was received, since the Unix epoch.
    pub(crate) received_at: Duration,
}

impl Received {
    fn read(message: &Value, received_at: Duration) -> Option<Self> {
        let text = |name: &str| message.get(name)?.as_str().map(str::to_owned);
        let system = |name: &str| message.get("Attributes")?.get(name)?.as_str().map(str::to_owned);
        let attributes = message.get("MessageAttributes").and_then(Value::as_object).into_iter().flatten();
        let attributes = attributes.map(|(name, value)| {
            let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
            let data_type = text("DataType").unwrap_or_default();
            let (string_value, binary_value) = (text("StringValue"), text("BinaryValue"));
            (name.clone(), OriginalAttribute { data_type, string_value, binary_value })
        });
        Some(Self {
            id: text("MessageId")?,
            receipt_handle: text("ReceiptHandle")?,
            body: text("Body").unwrap_or_default(),
            attributes: attributes.collect(),
            group: system("MessageGroupId"),
            sent_ms: system("SentTimestamp").and_then(|text| text.parse().ok()),
            receive_count: system("ApproximateReceiveCount").and_then(|text| text.parse().ok()).unwrap_or(1),
            system: message.get("Attributes").and_then(Value::as_object).cloned().unwrap_or_default(),
            received_at,
        })
    }

    /// Returns the message as a record in an event of the queue `arn`, in the format in which Lambda delivers it.
    pub(crate) fn record(&self, arn: &str) -> Value {
        json!({
            "messageId": self.id, "receiptHandle": self.receipt_handle, "body": self.body, "attributes": self.system,
            "messageAttributes": self.attributes, "eventSource": "aws:sqs", "eventSourceARN": arn,
        })
    }
}

/// Reason why a queue refused one message of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: String,
    /// Whether a retry cannot succeed.
    pub(crate) is_final: bool,
}

impl Outgoing {
    /// Returns the size that counts towards the limits for a message and for a call, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let bytes = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let attributes = self.attributes.iter().map(|(name, value)| {
            name.len() + value.data_type.len() + bytes(&value.string_value) + bytes(&value.binary_value)
        });
        self.body.len() + attributes.sum::<usize>()
    }

    fn entry(&self, id: usize) -> Value {
        let attribute = |(name, value): (&String, &OriginalAttribute)| {
            let mut json = Map::from_iter([("DataType".to_owned(), json!(value.data_type))]);
            json.extend(value.string_value.iter().map(|text| ("StringValue".to_owned(), json!(text))));
            json.extend(value.binary_value.iter().map(|bytes| ("BinaryValue".to_owned(), json!(bytes))));
            (name.clone(), Value::Object(json))
        };
        let attributes: Map<_, _> = self.attributes.iter().map(attribute).collect();
        let mut entry = json!({"Id": id.to_string(), "MessageBody": self.body, "MessageAttributes": attributes});
        if let Some(entry) = entry.as_object_mut() {
            let ids = [("MessageGroupId", &self.group), ("MessageDeduplicationId", &self.deduplication_id)];
            for (name, value) in ids {
                entry.extend(value.clone().map(|value| (name.to_owned(), Value::String(value))));
            }
        }
        entry
    }
}

impl Queue {
    pub(crate) fn new(aws: Aws, url: String) -> Self {
        let name = QueueName::of_url(&url);
        Self { aws, url, name }
    }

    /// Finds a queue by its URL, its ARN, or its name in the caller's account.
    ///
    /// # Errors
    /// If the queue does not exist, or is in another region.
    pub(crate) async fn find(aws: Aws, queue: &str) -> Result<Self, Box<dyn Error>> {
        if queue.contains("://") {
            return Ok(Self::new(aws, queue.to_owned()));
        }
        let mut body = json!({"QueueName": queue});
        if let Some(arn) = queue.strip_prefix("arn:") {
            // `arn:partition:sqs:region:account:name`
            let fields: Vec<&str> = arn.split(':').collect();
            let &[_, "sqs", region, account, name] = fields.as_slice() else {
                return Err(format!("{queue} is not the ARN of a queue").into());
            };
            let ours = aws.region()?;
            if region != ours {
                return Err(format!("{queue} is in another region than {ours}").into());
            }
            body = json!({"QueueName": name, "QueueOwnerAWSAccountId": account});
        }
        let answer =
            aws.json(SQS, "AmazonSQS.GetQueueUrl", &body).await.map_err(|error| format!("{queue}: {error}"))?;
        let url = answer.get("QueueUrl").and_then(Value::as_str).ok_or_else(|| format!("{queue}: no URL"))?;
        Ok(Self::new(aws, url.to_owned()))
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn name(&self) -> &QueueName {
        &self.name
    }

    /// Returns whether the queue preserves the order within message groups. SQS requires the suffix `.fifo` in the name.
    pub(crate) fn is_fifo(&self) -> bool {
        self.name.name.ends_with(".fifo")
    }

    /// Sends at most ten messages in one call, and returns for each whether the queue accepted it.
    ///
    /// # Errors
    /// If the call fails as a whole. It is then unknown whether any message was accepted.
    pub(crate) async fn send(&self, messages: &[Outgoing]) -> Result<Vec<Result<(), Refusal>>, CallError> {
        let entries: Vec<Value> = messages.iter().enumerate().map(|(id, message)| message.entry(id)).collect();
        let body = json!({"QueueUrl": self.url, "Entries": entries});
        let answer = self.aws.json(SQS, "AmazonSQS.SendMessageBatch", &body).await?;
        let id = |entry: &Value| entry.get("Id")?.as_str()?.parse::<usize>().ok();
        let list = |name: &str| answer.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        let mut ends: HashMap<usize, Result<(), Refusal>> = HashMap::new();
        ends.extend(list("Successful").iter().filter_map(|entry| Some((id(entry)?, Ok(())))));
        ends.extend(list("Failed").iter().filter_map(|entry| {
            let code = entry.get("Code").and_then(Value::as_str).unwrap_or_default().to_owned();
            let is_final = entry.get("SenderFault").and_then(Value::as_bool).unwrap_or_default();
            Some((id(entry)?, Err(Refusal { code, is_final })))
        }));
        let unanswered = || Err(Refusal { code: "no answer".to_owned(), is_final: false });
        Ok((0..messages.len()).map(|id| ends.remove(&id).unwrap_or_else(unanswered)).collect())
    }

    /// Receives at most ten messages, with a visibility timeout of `visibility_seconds`. Waits if the queue is empty.
    ///
    /// # Errors
    /// If the call fails.
    pub(crate) async fn receive(
        &self,
        most: usize,
        visibility_seconds: u32,
        wait_seconds: u32,
    ) -> Result<Vec<Received>, CallError> {
        let body = self.receive_body(most, visibility_seconds, wait_seconds);
        Ok(received(&self.aws.json(SQS, "AmazonSQS.ReceiveMessage", &body).await?))
    }

    /// Receives messages in a single call, without retries. A call without a response may have made messages invisible. If the
    /// queue is a FIFO queue, a retry with the same `attempt_id` returns the same messages.
    ///
    /// # Errors
    /// If the call fails.
    pub(crate) async fn receive_once(
        &self,
        most: usize,
        visibility_seconds: u32,
        wait_seconds: u32,
        attempt_id: Option<&str>,
    ) -> Result<Vec<Received>, CallError> {
        let mut body = self.receive_body(most, visibility_seconds, wait_seconds);
        if let (Some(body), Some(id)) = (body.as_object_mut(), attempt_id) {
            body.insert("ReceiveRequestAttemptId".to_owned(), json!(id));
        }
        Ok(received(&self.aws.json_once(SQS, "AmazonSQS.ReceiveMessage", &body).await?))
    }

    fn receive_body(&self, most: usize, visibility_seconds: u32, wait_seconds: u32) -> Value {
        json!({
            "QueueUrl": self.url, "MaxNumberOfMessages": most.clamp(1, MAX_CALL_MESSAGES), "WaitTimeSeconds": wait_seconds,
            "VisibilityTimeout": visibility_seconds, "MessageAttributeNames": ["All"], "AttributeNames": ["All"],
        })
    }

    /// Returns the approximate message counts of the queue.
    ///
    /// # Errors
    /// If the call fails.
    pub(crate) async fn counts(&self) -> Result<Counts, CallError> {
        let names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
        let body = json!({"QueueUrl": self.url, "AttributeNames": names});
        let answer = self.aws.json(SQS, "AmazonSQS.GetQueueAttributes", &body).await?;
        let count = |name: &str| answer.get("Attributes")?.get(name)?.as_str()?.parse().ok();
        let [visible, in_flight] = names.map(|name| count(name).unwrap_or_default());
        Ok(Counts { visible, in_flight })
    }

    /// Deletes messages. Returns the receipt handles that the queue failed to delete.
    ///
    /// # Errors
    /// If a call fails.
    pub(crate) async fn delete(&self, receipt_handles: &[String]) -> Result<Vec<String>, CallError> {
        self.of_handles("AmazonSQS.DeleteMessageBatch", receipt_handles, &Map::new()).await
    }

    /// Makes messages visible after `seconds`. Returns the receipt handles for which this failed.
    ///
    /// # Errors
    /// If a call fails.
    pub(crate) async fn change_visibility(
        &self,
        receipt_handles: &[String],
        seconds: u32,
    ) -> Result<Vec<String>, CallError> {
        let more = Map::from_iter([("VisibilityTimeout".to_owned(), json!(seconds))]);
        self.of_handles("AmazonSQS.ChangeMessageVisibilityBatch", receipt_handles, &more).await
    }

    /// Returns the queue's ARN.
    ///
    /// # Errors
    /// If the call fails.
    pub(crate) async fn arn(&self) -> Result<String, CallError> {
        let body = json!({"QueueUrl": self.url, "AttributeNames": ["QueueArn"]});
        let answer = self.aws.json(SQS, "AmazonSQS.GetQueueAttributes", &body).await?;
        let arn = answer.get("Attributes").and_then(|attributes| attributes.get("QueueArn")).and_then(Value::as_str);
        Ok(arn.unwrap_or_default().to_owned())
    }

    async fn of_handles(
        &self,
        operation: &str,
        receipt_handles: &[String],
        more: &Map<String, Value>,
    ) -> Result<Vec<String>, CallError> {
        let mut failed = Vec::new();
        for handles in receipt_handles.chunks(MAX_CALL_MESSAGES) {
            let entry = |(id, handle): (usize, &String)| {
                let mut entry = more.clone();
                entry.insert("Id".to_owned(), json!(id.to_string()));
                entry.insert("ReceiptHandle".to_owned(), json!(handle));
                Value::Object(entry)
            };
            let entries: Vec<Value> = handles.iter().enumerate().map(entry).collect();
            let answer = self.aws.json(SQS, operation, &json!({"QueueUrl": self.url, "Entries": entries})).await?;
            let of_failed = |entry: &Value| handles.get(entry.get("Id")?.as_str()?.parse::<usize>().ok()?).cloned();
            failed.extend(answer.get("Failed").and_then(Value::as_array).into_iter().flatten().filter_map(of_failed));
        }
        Ok(failed)
    }
}

/// Returns the messages in a response to `ReceiveMessage`.
fn received(answer: &Value) -> Vec<Received> {
    let messages = answer.get("Messages").and_then(Value::as_array).into_iter().flatten();
    let now = local::clock::since_epoch();
    messages.filter_map(|message| Received::read(message, now)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_a_queue_has_a_host_and_ends_in_its_name() {
        let name = |length: usize| format!("http://localhost:4566/000000000000/{}", "n".repeat(length));
        for url in [
            "https://sqs.us-east-1.amazonaws.com/123456789012/orders",
            "http://127.0.0.1:9324/queue/my_orders-1.fifo",
            &name(MAX_NAME_CHARACTERS),
        ] {
            assert_eq!(check_url(url), Ok(()), "{url}");
        }
        for text in [
            "",
            "orders",
            "/123456789012/orders",
            "sqs.us-east-1.amazonaws.com/123456789012/orders",
            "https://sqs.us-east-1.amazonaws.com",
            "https://sqs.us-east-1.amazonaws.com/123456789012/",
            "https://sqs.us-east-1.amazonaws.com/123456789012/.fifo",
            "https://sqs.us-east-1.amazonaws.com/123456789012/a.b",
            "https://sqs.us-east-1.amazonaws.com/123456789012/a?b=c",
            "arn:aws:sqs:us-east-1:123456789012:orders",
            "ftp://h/1/q",
            &name(MAX_NAME_CHARACTERS + 1),
        ] {
            assert!(check_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_queue_is_named_by_the_path_of_its_url() {
        let of = QueueName::of_url;
        let name = of("https://sqs.us-east-1.amazonaws.com/123456789012/orders");
        assert_eq!(name.to_string(), "123456789012/orders");
        assert_eq!(name, of("https://us-east-1.queue.amazonaws.com/123456789012/orders/"));
        assert_ne!(name, of("https://sqs.us-east-1.amazonaws.com/210987654321/orders"));
        assert_ne!(name, of("https://sqs.us-east-1.amazonaws.com/123456789012/orders.fifo"));
    }
}
