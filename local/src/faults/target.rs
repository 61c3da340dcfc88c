//! The requests that a fault applies to.

use std::num::NonZero;

use memchr::memmem;
use serde::{Deserialize, Serialize};

/// Selects the requests that a fault applies to. A request must match every field that is set. The default matches every
/// request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Target {
    /// The operation, such as `PutItem` or `SendMessageBatch`.
    pub operation: Option<String>,
    /// A complete JSON string in the request's body: the key of an item, the name of a table, the URL of a queue.
    pub text: Option<String>,
    /// Selects every request of one connection out of this number.
    pub one_connection_in: Option<NonZero<u64>>,
}

impl Target {
    /// Selects requests with the JSON string `text` in their body.
    pub fn text(text: &str) -> Self {
        Self { text: Some(text.to_owned()), ..Self::default() }
    }

    /// Returns whether it selects every request.
    pub(super) fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Returns whether it selects `request`.
    pub(super) fn includes(&self, request: &RequestFacts<'_>) -> bool {
        let is_operation = |operation: &String| request.operation() == operation;
        let holds = |text: &String| memmem::find(request.body, format!("\"{text}\"").as_bytes()).is_some();
        self.operation.as_ref().is_none_or(is_operation)
            && self.text.as_ref().is_none_or(holds)
            && self.one_connection_in.is_none_or(|count| request.connection.is_multiple_of(count.get()))
    }
}

/// The properties of a request that decide which fault it meets.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestFacts<'a> {
    /// Number of the request, counted from 0.
    pub(super) number: u64,
    /// Number of its connection, counted from 1.
    pub(super) connection: u64,
    /// Value of the `x-amz-target` header.
    pub(super) target: &'a str,
    pub(super) body: &'a [u8],
}

impl RequestFacts<'_> {
    fn operation(&self) -> &str {
        self.target.rsplit('.').next().unwrap_or_default()
    }

    /// Returns whether the request has an effect. An empty batch, which only opens a connection, has none.
    pub(super) fn has_content(&self) -> bool {
        !self.body.is_empty() && memmem::find(self.body, br#""RequestItems":{}"#).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &'static str, body: &'static str, connection: u64) -> RequestFacts<'static> {
        RequestFacts { number: 0, connection, target, body: body.as_bytes() }
    }

    #[test]
    fn a_target_includes_a_request_if_all_that_it_gives_holds() {
        let put = request("DynamoDB_20120810.PutItem", r#"{"TableName":"orders","Item":{"id":{"S":"a"}}}"#, 6);
        let target = |operation: Option<&str>, text: Option<&str>, one_in: Option<u64>| Target {
            operation: operation.map(str::to_owned),
            text: text.map(str::to_owned),
            one_connection_in: one_in.and_then(NonZero::new),
        };
        assert!(target(None, None, None).includes(&put));
        assert!(target(Some("PutItem"), Some("orders"), Some(3)).includes(&put));
        assert!(!target(Some("DeleteItem"), Some("orders"), Some(3)).includes(&put));
        assert!(!target(Some("PutItem"), Some("order"), Some(3)).includes(&put), "a text matches whole strings only");
        assert!(!target(Some("PutItem"), Some("orders"), Some(4)).includes(&put));
    }

    #[test]
    fn a_call_that_only_opens_a_connection_has_no_content() {
        assert!(!request("DynamoDB_20120810.BatchWriteItem", r#"{"RequestItems":{}}"#, 1).has_content());
        assert!(request("DynamoDB_20120810.BatchWriteItem", r#"{"RequestItems":{"t":[]}}"#, 1).has_content());
    }
}
