//! Splits a `BatchWriteItem` call into a part that is forwarded and a part that is returned as unprocessed items.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde_json::value::{RawValue, to_raw_value};

/// Write requests by table, with their original JSON text.
type Requests = BTreeMap<String, Vec<Box<RawValue>>>;

/// A `BatchWriteItem` call, parsed only as far as splitting it requires.
#[derive(Debug)]
pub(super) struct WriteCall {
    parameters: BTreeMap<String, Box<RawValue>>,
    requests: Requests,
}

/// The two parts of a call.
#[derive(Debug)]
pub(super) struct Split {
    /// The call to forward. `None` if the proxy holds back all items.
    pub(super) forwarded: Option<Bytes>,
    /// The write requests held back.
    pub(super) held_back: Requests,
}

impl WriteCall {
    /// Parses a call. Returns `None` if the body is not a `BatchWriteItem` call.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let mut parameters: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(body).ok()?;
        let requests = serde_json::from_str(parameters.remove("RequestItems")?.get()).ok()?;
        Some(Self { parameters, requests })
    }

    /// Returns the number of write requests.
    pub(super) fn len(&self) -> usize {
        self.requests.values().map(Vec::len).sum()
    }

    /// Holds back the write requests at `positions`, which are numbered across all tables.
    pub(super) fn split(mut self, positions: &BTreeSet<usize>) -> Option<Split> {
        let (mut forwarded, mut held_back) = (Requests::new(), Requests::new());
        let mut position = 0..;
        for (table, requests) in self.requests {
            for request in requests {
                let is_held = position.next().is_some_and(|position| positions.contains(&position));
                let part = if is_held { &mut held_back } else { &mut forwarded };
                part.entry(table.clone()).or_default().push(request);
            }
        }
        let forwarded = if forwarded.is_empty() {
            None
        } else {
            self.parameters.insert("RequestItems".to_owned(), to_raw_value(&forwarded).ok()?);
            Some(serde_json::to_vec(&self.parameters).ok()?.into())
        };
        Some(Split { forwarded, held_back })
    }
}

/// Adds the requests in `held_back` to the unprocessed items of `answer`, the response to the forwarded part. Returns `None` if
/// `answer` is not a `BatchWriteItem` response.
pub(super) fn merge(answer: &[u8], held_back: Requests) -> Option<Bytes> {
    let mut answer: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(answer).ok()?;
    let mut unprocessed: Requests = match answer.remove("UnprocessedItems") {
        Some(unprocessed) => serde_json::from_str(unprocessed.get()).ok()?,
        None => Requests::new(),
    };
    for (table, requests) in held_back {
        unprocessed.entry(table).or_default().extend(requests);
    }
    answer.insert("UnprocessedItems".to_owned(), to_raw_value(&unprocessed).ok()?);
    serde_json::to_vec(&answer).ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn put(number: usize) -> Value {
        json!({"PutRequest": {"Item": {"id": {"N": number.to_string()}}}})
    }

    fn split(body: &Value, positions: impl IntoIterator<Item = usize>) -> (Option<Value>, Value) {
        let call = WriteCall::read(body.to_string().as_bytes()).unwrap();
        let Split { forwarded, held_back } = call.split(&positions.into_iter().collect()).unwrap();
        (forwarded.map(|body| serde_json::from_slice(&body).unwrap()), json!(held_back))
    }

    #[test]
    fn every_request_is_in_exactly_one_part_under_its_table() {
        let body = json!({"RequestItems": {"a": [put(0), put(1)], "b": [put(2)]}, "ReturnConsumedCapacity": "TOTAL"});
        let forwarded = |items: Value| Some(json!({"RequestItems": items, "ReturnConsumedCapacity": "TOTAL"}));
        assert_eq!(split(&body, [1]), (forwarded(json!({"a": [put(0)], "b": [put(2)]})), json!({"a": [put(1)]})));
        assert_eq!(split(&body, [0, 1]), (forwarded(json!({"b": [put(2)]})), json!({"a": [put(0), put(1)]})));
        assert_eq!(split(&body, [0, 1, 2]), (None, json!({"a": [put(0), put(1)], "b": [put(2)]})));
        assert_eq!(split(&body, []), (Some(body.clone()), json!({})));
    }

    #[test]
    fn what_was_held_back_joins_what_the_answer_says_is_unprocessed() {
        let held_back =
            || WriteCall::read(json!({"RequestItems": {"a": [put(1)]}}).to_string().as_bytes()).unwrap().requests;
        let merged = |answer: &Value| {
            merge(answer.to_string().as_bytes(), held_back())
                .map(|body| serde_json::from_slice::<Value>(&body).unwrap())
        };
        assert_eq!(merged(&json!({})), Some(json!({"UnprocessedItems": {"a": [put(1)]}})));
        let answer = json!({"UnprocessedItems": {"a": [put(0)], "b": [put(2)]}, "ConsumedCapacity": []});
        let expected = json!({"UnprocessedItems": {"a": [put(0), put(1)], "b": [put(2)]}, "ConsumedCapacity": []});
        assert_eq!(merged(&answer), Some(expected));
        assert!(merge(b"<html>", held_back()).is_none());
    }

    #[test]
    fn what_is_no_batch_is_not_split() {
        for body in ["", "null", "[]", r#"{"TableName": "a", "Item": {}}"#, r#"{"RequestItems": []}"#] {
            assert!(WriteCall::read(body.as_bytes()).is_none(), "{body}");
        }
    }
}
