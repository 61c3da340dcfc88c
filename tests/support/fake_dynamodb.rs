//! A table that behaves as AWS documents DynamoDB, below the SDK: it refuses what DynamoDB refuses, and fails as a network
//! and a busy service fail, as often as it is told.

use super::random::Random;
use avro_ingest::dynamodb::client::Client;
use avro_ingest::transport::{HttpTransport, ResponseFuture, TransportError};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How often each fault happens, in percent of calls. What is left answers as it should.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// The whole call is throttled.
    pub throttled: u64,
    /// Some items come back unprocessed.
    pub unprocessed: u64,
    /// HTTP 500 or 503, the write not applied.
    pub server_error: u64,
    /// The connection breaks before the write is applied.
    pub reset_before: u64,
    /// The connection breaks after the write was applied.
    pub reset_after: u64,
    /// The answer never comes; half of the time the write was applied.
    pub stall: u64,
    /// The answer makes no sense; half of the time the write was applied.
    pub malformed: u64,
    /// The credentials are refused.
    pub expired: u64,
    /// The code that makes the call panics.
    pub panic: u64,
}

/// The table. Clones share it.
#[derive(Clone)]
pub struct FakeDynamoDb(Arc<Mutex<State>>);

struct State {
    /// Items by table and key.
    items: BTreeMap<(String, String), Value>,
    keys: Vec<String>,
    faults: Faults,
    random: Random,
    /// Every item ever written, to see that nothing is written that should not be.
    written: Vec<Value>,
    calls: usize,
    /// After so many calls there are no more faults.
    heal_after: usize,
}

impl fmt::Debug for FakeDynamoDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeDynamoDb")
    }
}

enum Fault {
    None,
    Unprocessed,
    Answer(u16, Value),
    ResetBefore,
    ResetAfter,
    Stall { applied: bool },
    Malformed { text: &'static str, applied: bool },
    Panic,
}

impl FakeDynamoDb {
    /// Tables whose keys are the attributes `keys`.
    pub fn new(keys: &[&str], faults: Faults, seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            items: BTreeMap::new(),
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            faults,
            random: Random::new(seed),
            written: Vec::new(),
            calls: 0,
            heal_after: usize::MAX,
        })))
    }

    /// A client of this table.
    pub fn client(&self) -> Client {
        let credentials = SharedCredentialsProvider::new(Credentials::new("AKID", "secret", None, None, "test"));
        Client::new(Arc::new(self.clone()), credentials, "us-east-1".to_owned(), "http://dynamodb.invalid/").unwrap()
    }

    pub fn set_faults(&self, faults: Faults) {
        self.0.lock().unwrap().faults = faults;
    }

    /// After so many calls there are no more faults.
    pub fn heal_after(&self, calls: usize) {
        self.0.lock().unwrap().heal_after = calls;
    }

    pub fn item(&self, table: &str, key: &str) -> Option<Value> {
        self.0.lock().unwrap().items.get(&(table.to_owned(), key.to_owned())).cloned()
    }

    pub fn count(&self) -> usize {
        self.0.lock().unwrap().items.len()
    }

    pub fn calls(&self) -> usize {
        self.0.lock().unwrap().calls
    }

    /// Every item that was ever written, in order.
    pub fn written(&self) -> Vec<Value> {
        self.0.lock().unwrap().written.clone()
    }
}

impl HttpTransport for FakeDynamoDb {
    fn send(&self, request: Request<Bytes>) -> ResponseFuture {
        let table = self.clone();
        Box::pin(async move {
            let target = request.headers()["x-amz-target"].to_str().unwrap();
            let body: Value = serde_json::from_slice(request.body()).expect("a JSON body");
            let (fault, delay) = {
                let mut state = table.0.lock().unwrap();
                state.calls += 1;
                let fault = if state.calls > state.heal_after { Fault::None } else { state.fault() };
                (fault, Duration::from_millis(1 + state.random.below(60)))
            };
            tokio::time::sleep(delay).await;
            let reset = || TransportError { before_response: true, cause: "connection reset".into() };
            let apply = |unprocessed| table.0.lock().unwrap().apply(target, &body, unprocessed);
            match fault {
                Fault::None => Ok(answer(apply(false))),
                Fault::Unprocessed => Ok(answer(apply(true))),
                Fault::Answer(status, body) => Ok(answer((status, body))),
                Fault::ResetBefore => Err(reset()),
                Fault::ResetAfter => {
                    apply(false);
                    Err(reset())
                }
                Fault::Stall { applied } => {
                    if applied {
                        apply(false);
                    }
                    std::future::pending().await
                }
                Fault::Malformed { text, applied } => {
                    if applied {
                        apply(false);
                    }
                    Ok(raw(200, text.to_owned()))
                }
                Fault::Panic => panic!("the call was told to panic"),
            }
        })
    }
}

fn answer((status, body): (u16, Value)) -> Response<Bytes> {
    raw(status, body.to_string())
}

fn raw(status: u16, body: String) -> Response<Bytes> {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status.try_into().unwrap();
    answer
}

fn error(status: u16, code: &str) -> (u16, Value) {
    (status, json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "as told"}))
}

impl State {
    fn fault(&mut self) -> Fault {
        let mut roll = self.random.below(100);
        let mut hit = |percent: u64| {
            let hit = roll < percent;
            roll = if hit { u64::MAX } else { roll.saturating_sub(percent) };
            hit
        };
        let faults = self.faults;
        if hit(faults.throttled) {
            let (code, reason) = [
                ("ProvisionedThroughputExceededException", "TableWriteProvisionedThroughputExceeded"),
                ("ThrottlingException", "TableWriteKeyRangeThroughputExceeded"),
                ("RequestLimitExceeded", "TableWriteAccountLimitExceeded"),
                ("ThrottlingException", "IndexWriteProvisionedThroughputExceeded"),
            ][self.random.below(4) as usize];
            let (status, mut body) = error(400, code);
            // the model spells the member of this one error in lower case
            let name = if code == "ThrottlingException" { "throttlingReasons" } else { "ThrottlingReasons" };
            body[name] = json!([{"reason": reason, "resource": "arn:aws:dynamodb:x:1:table/t"}]);
            return Fault::Answer(status, body);
        }
        if hit(faults.unprocessed) {
            return Fault::Unprocessed;
        }
        if hit(faults.server_error) {
            let (status, body) =
                if self.random.percent(50) { error(500, "InternalServerError") } else { (503, json!({})) };
            return Fault::Answer(status, body);
        }
        if hit(faults.reset_before) {
            return Fault::ResetBefore;
        }
        if hit(faults.reset_after) {
            return Fault::ResetAfter;
        }
        if hit(faults.stall) {
            return Fault::Stall { applied: self.random.percent(50) };
        }
        if hit(faults.malformed) {
            let texts = ["", "{", "{}", "<html>", "null", "{\"UnprocessedItems\":{\"t\":[{}]}}"];
            let text = texts[self.random.below(texts.len() as u64) as usize];
            return Fault::Malformed { text, applied: self.random.percent(50) };
        }
        if hit(faults.expired) {
            let (status, body) = error(400, "ExpiredTokenException");
            return Fault::Answer(status, body);
        }
        if hit(faults.panic) {
            return Fault::Panic;
        }
        Fault::None
    }

    fn apply(&mut self, target: &str, body: &Value, unprocessed: bool) -> (u16, Value) {
        match target.rsplit('.').next() {
            Some("BatchWriteItem") => self.batch_write(body, unprocessed),
            Some("PutItem") => self.guarded(body, "Item"),
            Some("DeleteItem") => self.guarded(body, "Key"),
            _ => error(400, "UnknownOperationException"),
        }
    }

    fn key(&self, attributes: &Value) -> Option<String> {
        let key: Option<Map<String, Value>> =
            self.keys.iter().map(|name| Some((name.clone(), attributes.get(name)?.clone()))).collect();
        key.map(|key| Value::Object(key).to_string())
    }

    fn batch_write(&mut self, body: &Value, unprocessed: bool) -> (u16, Value) {
        let mut writes = Vec::new();
        for (table, requests) in body["RequestItems"].as_object().expect("tables") {
            for request in requests.as_array().expect("requests") {
                let put = request.get("PutRequest").map(|put| &put["Item"]);
                let attributes =
                    put.or_else(|| request.get("DeleteRequest").map(|delete| &delete["Key"])).expect("a request");
                let Some(key) = self.key(attributes) else { return error(400, "ValidationException") };
                writes.push(((table.clone(), key), put.cloned(), request.clone()));
            }
        }
        let mut keys: Vec<_> = writes.iter().map(|(key, _, _)| key).collect();
        keys.sort();
        keys.dedup();
        let refused = |item: &Option<Value>| item.as_ref().is_some_and(is_poison);
        if writes.is_empty()
            || writes.len() > 25
            || keys.len() < writes.len()
            || writes.iter().any(|(_, item, _)| refused(item))
        {
            return error(400, "ValidationException");
        }
        let mut left: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for ((table, key), item, request) in writes {
            if unprocessed && self.random.percent(40) {
                left.entry(table).or_default().push(request);
                continue;
            }
            self.write((table, key), item);
        }
        (200, json!({"UnprocessedItems": left, "ConsumedCapacity": [{"TableName": "t", "CapacityUnits": 1.0}]}))
    }

    fn write(&mut self, key: (String, String), item: Option<Value>) {
        match item {
            Some(item) => {
                self.written.push(item.clone());
                self.items.insert(key, item);
            }
            None => {
                self.items.remove(&key);
            }
        }
    }

    /// PutItem and DeleteItem under the one condition the function uses: no version there, or none that is newer.
    fn guarded(&mut self, body: &Value, attributes: &str) -> (u16, Value) {
        let table = body["TableName"].as_str().expect("a table").to_owned();
        let attributes_value = &body[attributes];
        let Some(key) = self.key(attributes_value) else { return error(400, "ValidationException") };
        if is_poison(attributes_value) {
            return error(400, "ValidationException");
        }
        let key = (table, key);
        if let (Some(there), Some(names)) = (self.items.get(&key), body["ExpressionAttributeNames"].as_object()) {
            let mut value = there;
            for depth in 0..names.len() {
                let name = names[&format!("#v{depth}")].as_str().expect("a name");
                value = value.get("M").unwrap_or(value).get(name).unwrap_or(&Value::Null);
            }
            let number = |value: &Value| value["N"].as_str().and_then(|text| text.parse::<i64>().ok());
            if number(value) > number(&body["ExpressionAttributeValues"][":version"]) {
                return error(400, "ConditionalCheckFailedException");
            }
        }
        self.write(key, (attributes == "Item").then(|| attributes_value.clone()));
        (200, json!({"ConsumedCapacity": {"TableName": "t", "CapacityUnits": 1.0}}))
    }
}

/// What this table takes for invalid: any item with the string `poison` in it.
fn is_poison(item: &Value) -> bool {
    item.to_string().contains("\"poison\"")
}
