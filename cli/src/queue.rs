//! An SQS queue: the calls that the tool makes, ten messages at a time.
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/Welcome.html>

use crate::aws::{Aws, CallError, SQS};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

/// The most messages of a call.
pub(crate) const MAX_CALL_MESSAGES: usize = 10;

/// A queue, by its URL.
pub(crate) struct Queue {
    aws: Aws,
    url: String,
}

/// A message to send.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) body: String,
    /// Attributes of type String.
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) group: Option<String>,
    /// What keeps a FIFO queue from taking it twice.
    pub(crate) deduplication_id: Option<String>,
}

/// Why a queue did not take one message of a call while it took others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: String,
    /// Trying again is in vain.
    pub(crate) is_final: bool,
}

impl Outgoing {
    /// What counts towards the size of a message and of a call.
    pub(crate) fn bytes(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, value)| name.len() + "String".len() + value.len());
        self.body.len() + attributes.sum::<usize>()
    }

    fn entry(&self, id: usize) -> Value {
        let attribute =
            |(name, value): (&String, &String)| (name.clone(), json!({"DataType": "String", "StringValue": value}));
        let attributes: serde_json::Map<_, _> = self.attributes.iter().map(attribute).collect();
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
        Self { aws, url }
    }

    /// Sends at most ten messages in one call, and says for each whether it was taken.
    ///
    /// # Errors
    /// If the call as a whole fails: none is known to be taken then.
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
}
