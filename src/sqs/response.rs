//! The partial batch response: lists the messages to return to the queue.
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>

use serde::Serialize;

/// The response of the function. An empty list means that every message was processed successfully.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    batch_item_failures: Vec<BatchItemFailure>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchItemFailure {
    item_identifier: String,
}

impl Response {
    /// Creates a response that returns the messages with these ids to the queue. The ids must be from the event, without
    /// duplicates. SQS returns the whole batch if an id is unknown or empty.
    pub fn returning<'a>(ids: impl IntoIterator<Item = &'a str>) -> Self {
        let batch_item_failures =
            ids.into_iter().map(|id| BatchItemFailure { item_identifier: id.to_owned() }).collect();
        Self { batch_item_failures }
    }

    /// Returns the ids of the messages that are returned to the queue.
    pub fn failures(&self) -> impl ExactSizeIterator<Item = &str> {
        self.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_response_is_spelled_as_lambda_reads_it() {
        let json = |response: &Response| serde_json::to_string(response).unwrap();
        assert_eq!(json(&Response::default()), r#"{"batchItemFailures":[]}"#);
        assert_eq!(json(&Response::returning(["a"])), r#"{"batchItemFailures":[{"itemIdentifier":"a"}]}"#);
    }
}
