//! The partial batch response: which messages go back to the queue.
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>

use serde::Serialize;

/// The function's answer. An empty list means that every message is dealt with.
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
    /// Returns the messages with these ids to the queue. The ids are those of the event, once each: an unknown or empty one
    /// would return the whole batch.
    pub fn returning<'a>(ids: impl IntoIterator<Item = &'a str>) -> Self {
        let batch_item_failures =
            ids.into_iter().map(|id| BatchItemFailure { item_identifier: id.to_owned() }).collect();
        Self { batch_item_failures }
    }

    /// The ids of the messages that go back.
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
