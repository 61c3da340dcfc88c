//! Parses a function's partial batch response as Lambda does.
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting>

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use serde_json::Value;

/// Reason why a response fails every message of its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CompleteFailure {
    /// The response is not valid JSON.
    InvalidJson,
    /// The response is JSON, but neither null nor an object, or `batchItemFailures` is neither null nor a list.
    WrongShape,
    /// An entry has no `itemIdentifier`.
    MissingIdentifier,
    /// An `itemIdentifier` is null or not a string.
    NullIdentifier,
    /// An `itemIdentifier` is empty.
    EmptyIdentifier,
    /// An `itemIdentifier` does not match any message of the batch.
    UnknownIdentifier,
}

impl CompleteFailure {
    /// Returns a stable name, in snake case.
    pub fn code(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::WrongShape => "wrong_shape",
            Self::MissingIdentifier => "missing_identifier",
            Self::NullIdentifier => "null_identifier",
            Self::EmptyIdentifier => "empty_identifier",
            Self::UnknownIdentifier => "unknown_identifier",
        }
    }
}

impl fmt::Display for CompleteFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl std::error::Error for CompleteFailure {}

/// Returns the positions in `message_ids`, the messages of an event in order, that `response` reports as failed. All others are
/// acknowledged.
///
/// # Errors
/// Returns an error if Lambda does not accept the response, in which case every message of the batch has failed.
pub fn failed_messages(message_ids: &[&str], response: &[u8]) -> Result<BTreeSet<usize>, CompleteFailure> {
    if response.trim_ascii().is_empty() {
        return Ok(BTreeSet::new());
    }
    let entries = match serde_json::from_slice(response).map_err(|_| CompleteFailure::InvalidJson)? {
        Value::Null => return Ok(BTreeSet::new()),
        Value::Object(mut response) => match response.remove("batchItemFailures") {
            None | Some(Value::Null) => return Ok(BTreeSet::new()),
            Some(Value::Array(entries)) => entries,
            Some(_) => return Err(CompleteFailure::WrongShape),
        },
        _ => return Err(CompleteFailure::WrongShape),
    };
    let positions: HashMap<_, _> = message_ids.iter().zip(0..).collect();
    let failed = entries.iter().map(|entry| match entry.get("itemIdentifier") {
        None => Err(CompleteFailure::MissingIdentifier),
        Some(Value::String(id)) if id.is_empty() => Err(CompleteFailure::EmptyIdentifier),
        Some(Value::String(id)) => positions.get(&id.as_str()).copied().ok_or(CompleteFailure::UnknownIdentifier),
        Some(_) => Err(CompleteFailure::NullIdentifier),
    });
    failed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_or_absent_list_acknowledges_every_message() {
        for response in
            ["", " \n", "null", "{}", r#"{"batchItemFailures":[]}"#, r#"{"batchItemFailures":null}"#, r#"{"other":1}"#]
        {
            assert_eq!(failed_messages(&["a", "b"], response.as_bytes()), Ok(BTreeSet::new()), "{response}");
        }
    }

    #[test]
    fn the_messages_named_have_failed_and_the_others_have_not() {
        let failed = |ids: &str| {
            let entries = ids.chars().map(|id| format!(r#"{{"itemIdentifier":"{id}"}}"#)).collect::<Vec<_>>().join(",");
            failed_messages(&["a", "b", "c"], format!(r#"{{"batchItemFailures":[{entries}]}}"#).as_bytes())
        };
        assert_eq!(failed("b"), Ok(BTreeSet::from([1])));
        assert_eq!(failed("ca"), Ok(BTreeSet::from([0, 2])));
        assert_eq!(failed("aa"), Ok(BTreeSet::from([0])));
        assert_eq!(failed("bx"), Err(CompleteFailure::UnknownIdentifier));
    }

    #[test]
    fn a_response_that_lambda_does_not_accept_fails_every_message() {
        use CompleteFailure::{
            EmptyIdentifier, InvalidJson, MissingIdentifier, NullIdentifier, UnknownIdentifier, WrongShape,
        };
        for (response, failure) in [
            ("{", InvalidJson),
            ("ok", InvalidJson),
            (r#"{"batchItemFailures":[]} trailing"#, InvalidJson),
            (r#""ok""#, WrongShape),
            ("[]", WrongShape),
            ("200", WrongShape),
            (r#"{"batchItemFailures":"a"}"#, WrongShape),
            (r#"{"batchItemFailures":{"itemIdentifier":"a"}}"#, WrongShape),
            (r#"{"batchItemFailures":["a"]}"#, MissingIdentifier),
            (r#"{"batchItemFailures":[{}]}"#, MissingIdentifier),
            (r#"{"batchItemFailures":[{"ItemIdentifier":"a"}]}"#, MissingIdentifier),
            (r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#, NullIdentifier),
            (r#"{"batchItemFailures":[{"itemIdentifier":1}]}"#, NullIdentifier),
            (r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#, EmptyIdentifier),
            (r#"{"batchItemFailures":[{"itemIdentifier":"a"},{"itemIdentifier":"x"}]}"#, UnknownIdentifier),
        ] {
            assert_eq!(failed_messages(&["a", "b"], response.as_bytes()), Err(failure), "{response}");
        }
    }
}
