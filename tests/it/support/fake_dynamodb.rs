//! A fake DynamoDB below the SDK that behaves as AWS documents. It refuses what DynamoDB refuses, and injects faults of a
//! network and a busy service with the given probabilities.

use super::random::Random;
use super::transport::{self, response};
use avro_ingest::dynamodb::client::Client;
use avro_ingest::transport::{HttpTransport, ResponseFuture, TransportError, TransportErrorKind};
use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Probability of each fault, in percent of calls. Calls without a fault succeed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// The whole call is throttled.
    pub throttled: u64,
    /// Some items are returned as unprocessed.
    pub unprocessed: u64,
    /// The call fails with HTTP 500 or 503 and an error of DynamoDB. The write is not applied.
    pub server_error: u64,
    /// The connection breaks before the write is applied.
    pub reset_before: u64,
    /// The connection breaks after the write is applied.
    pub reset_after: u64,
    /// The connection cannot be opened.
    pub refused: u64,
    /// The connection breaks, and the write takes effect some seconds later.
    pub reset_late: u64,
    /// No response arrives. In half of the cases, the write is applied.
    pub stall: u64,
    /// No response arrives, and the write takes effect some seconds later.
    pub late: u64,
    /// A gateway responds instead of DynamoDB, and the write takes effect some seconds later.
    pub gateway: u64,
    /// The response is malformed. In half of the cases, the write is applied.
    pub malformed: u64,
    /// The credentials are refused.
    pub expired: u64,
    /// The code that makes the call panics.
    pub panic: u64,
}

/// A permanent fault of an item or a table, which every call for it meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StickyFault {
    /// The call fails with HTTP 500 and an error of DynamoDB.
    ServerError,
    /// No response arrives, and the write is not applied.
    Silent,
    /// The partition is throttled.
    HotPartition,
    /// The table is throttled.
    Throttled,
    /// The caller may not write this key.
    AccessDenied,
    /// The call is refused with an unknown error code.
    UnknownRefusal,
    /// A gateway refuses the call with HTTP 413 and an HTML page.
    Html413,
    /// The condition fails, but the response does not include the stored item.
    ConditionFailed,
    /// The key does not match the table's key schema.
    KeyMismatch,
    /// An attribute does not match the key of an index.
    IndexKeyMismatch,
    /// The item exceeds the maximum item size.
    TooLarge,
    /// The connection breaks before the write is applied.
    Reset,
    /// The connection cannot be opened.
    Refused,
    /// Only this item is returned as unprocessed.
    Unprocessed,
}

impl StickyFault {
    pub const OF_ITEMS: [Self; 6] =
        [Self::ServerError, Self::Silent, Self::HotPartition, Self::AccessDenied, Self::UnknownRefusal, Self::Html413];

    fn fault(self) -> Fault {
        let throttle = |reason: &str| {
            let (status, mut body) = error(400, "ThrottlingException");
            body["throttlingReasons"] = json!([{"reason": reason, "resource": "arn:aws:dynamodb:x:1:table/t"}]);
            Fault::Answer(status, body.to_string())
        };
        let refusal = |status, code: &str| Fault::Answer(status, error(status, code).1.to_string());
        let invalid = |message: &str| {
            let (status, mut body) = error(400, "ValidationException");
            body["message"] = json!(message);
            Fault::Answer(status, body.to_string())
        };
        match self {
            Self::ServerError => refusal(500, "InternalServerError"),
            Self::Silent => Fault::Stall { applied: false },
            Self::HotPartition => throttle("TableWriteKeyRangeThroughputExceeded"),
            Self::Throttled => throttle("TableWriteProvisionedThroughputExceeded"),
            Self::AccessDenied => refusal(400, "AccessDeniedException"),
            Self::UnknownRefusal => refusal(400, "SomethingNewException"),
            Self::ConditionFailed => refusal(400, "ConditionalCheckFailedException"),
            Self::KeyMismatch => {
                let (status, body) = key_mismatch();
                Fault::Answer(status, body.to_string())
            }
            Self::IndexKeyMismatch => invalid(
                "One or more parameter values were invalid: Type mismatch for Index Key city Expected: S Actual: N \
                 IndexName: by-city",
            ),
            Self::TooLarge => invalid("Item size has exceeded the maximum allowed size"),
            Self::Reset => Fault::ResetBefore,
            Self::Refused => Fault::Refused,
            Self::Unprocessed => Fault::None,
            Self::Html413 => Fault::Answer(413, "<html>too large</html>".to_owned()),
        }
    }
}

/// A write that was applied.
#[derive(Debug, Clone)]
pub struct Written {
    pub table: String,
    pub key: String,
    /// The item. `None` if it was deleted.
    pub item: Option<Value>,
}

/// A database of several tables. Clones share it.
#[derive(Clone)]
pub struct FakeDynamoDb(Arc<Mutex<State>>);

struct State {
    /// Items by table and key.
    items: BTreeMap<(String, String), Value>,
    keys: Vec<String>,
    faults: Faults,
    random: Random,
    /// Permanent faults, by key value or table name.
    sticky: BTreeMap<String, StickyFault>,
    /// Every write ever applied, so that tests can detect writes that must not happen.
    written: Vec<Written>,
    calls: usize,
    /// Number of calls after which no more faults are injected.
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
    Answer(u16, String),
    ResetBefore,
    ResetAfter,
    Stall { applied: bool },
    Refused,
    Late { by: Duration, end: LateEnd },
    Malformed { text: &'static str, applied: bool },
    Panic,
}

/// End of a call whose write takes effect later, as the client sees it.
enum LateEnd {
    Silent,
    Gateway(u16, &'static str),
    Reset,
}

/// Status and body of responses from gateways, proxies and firewalls instead of DynamoDB.
const GATEWAYS: [(u16, &str); 9] = [
    (504, "<html>gateway timeout</html>"),
    (503, "<html>service unavailable</html>"),
    (503, r#"{"message": "Service Unavailable"}"#),
    (502, r#"{"__type": "InternalServerError", "message": "bad gateway"}"#),
    (500, ""),
    (429, r#"{"code": 429, "message": "too many requests"}"#),
    (408, "<html>request timeout</html>"),
    (403, r#"{"__type": "ForbiddenException", "message": "blocked"}"#),
    (200, "<html>log in</html>"),
];

impl FakeDynamoDb {
    /// Creates a database whose tables have the key attributes `keys`.
    pub fn new(keys: &[&str], faults: Faults, seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            items: BTreeMap::new(),
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            faults,
            random: Random::new(seed),
            sticky: BTreeMap::new(),
            written: Vec::new(),
            calls: 0,
            heal_after: usize::MAX,
        })))
    }

    /// Returns a client of this database.
    pub fn client(&self) -> Client {
        transport::dynamodb(self.clone())
    }

    pub fn set_faults(&self, faults: Faults) {
        self.0.lock().unwrap().faults = faults;
    }

    /// Stops injecting faults after this number of calls.
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

    /// Returns every write ever applied, in order.
    pub fn written(&self) -> Vec<Written> {
        self.0.lock().unwrap().written.clone()
    }

    /// Makes every call for the key with this value, or for the table with this name, meet `fault` from now on.
    pub fn stick(&self, name: &str, fault: StickyFault) {
        self.0.lock().unwrap().sticky.insert(name.to_owned(), fault);
    }

    /// Removes all permanent faults.
    pub fn unstick_all(&self) {
        self.0.lock().unwrap().sticky.clear();
    }

    /// Puts an item into `table` that the function did not write.
    pub fn preset(&self, table: &str, item: Value) {
        let mut state = self.0.lock().unwrap();
        let key = state.key(&item).expect("the item has its key");
        state.items.insert((table.to_owned(), key), item);
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
                let sticky = state.sticky_fault(&body);
                let fault = match sticky {
                    Some(sticky) => sticky.fault(),
                    None if state.calls > state.heal_after => Fault::None,
                    None => state.fault(),
                };
                (fault, Duration::from_millis(1 + state.random.below(60)))
            };
            tokio::time::sleep(delay).await;
            let reset = || TransportError { kind: TransportErrorKind::Broken, cause: "connection reset".into() };
            let apply = |unprocessed| table.0.lock().unwrap().apply(target, &body, unprocessed);
            match fault {
                Fault::None => Ok(answer(apply(false))),
                Fault::Unprocessed => Ok(answer(apply(true))),
                Fault::Answer(status, body) => Ok(response(status, body)),
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
                Fault::Refused => {
                    Err(TransportError { kind: TransportErrorKind::NotSent, cause: "connection refused".into() })
                }
                Fault::Late { by: delay, end } => {
                    let (table, target, body) = (table.clone(), target.to_owned(), body.clone());
                    tokio::spawn(async move {
                        tokio::time::sleep(delay).await;
                        table.0.lock().unwrap().apply(&target, &body, false);
                    });
                    match end {
                        LateEnd::Silent => std::future::pending().await,
                        LateEnd::Gateway(status, body) => Ok(response(status, body.to_owned())),
                        LateEnd::Reset => Err(reset()),
                    }
                }
                Fault::Malformed { text, applied } => {
                    if applied {
                        apply(false);
                    }
                    Ok(response(200, text.to_owned()))
                }
                Fault::Panic => panic!("the call was told to panic"),
            }
        })
    }
}

fn answer((status, body): (u16, Value)) -> Response<Bytes> {
    response(status, body.to_string())
}

/// Returns the name of a table from its name or its ARN.
fn bare_name(table: &str) -> &str {
    table.rsplit('/').next().unwrap_or(table)
}

/// The error for a key that does not match the table's key schema.
fn key_mismatch() -> (u16, Value) {
    let (status, mut body) = error(400, "ValidationException");
    body["message"] = json!("The provided key element does not match the schema");
    (status, body)
}

fn error(status: u16, code: &str) -> (u16, Value) {
    (status, json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "as told"}))
}

impl State {
    /// Returns the permanent fault of a call's table or of one of its keys.
    fn sticky_fault(&self, body: &Value) -> Option<StickyFault> {
        let mut names: Vec<&str> = body["TableName"].as_str().map(bare_name).into_iter().collect();
        let mut keys: Vec<&Value> = ["Item", "Key"].into_iter().map(|name| &body[name]).collect();
        for (table, requests) in body["RequestItems"].as_object().into_iter().flatten() {
            names.push(bare_name(table));
            let requests = requests.as_array().into_iter().flatten();
            keys.extend(
                requests.flat_map(|request| [&request["PutRequest"]["Item"], &request["DeleteRequest"]["Key"]]),
            );
        }
        let values = keys.iter().flat_map(|key| self.keys.iter().filter_map(|name| key[name]["S"].as_str()));
        names.into_iter().chain(values).find_map(|name| self.sticky.get(name).copied())
    }

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
            // AWS's service model spells this member in lower case for this error only
            let name = if code == "ThrottlingException" { "throttlingReasons" } else { "ThrottlingReasons" };
            body[name] = json!([{"reason": reason, "resource": "arn:aws:dynamodb:x:1:table/t"}]);
            return Fault::Answer(status, body.to_string());
        }
        if hit(faults.unprocessed) {
            return Fault::Unprocessed;
        }
        if hit(faults.server_error) {
            let (status, body) = if self.random.percent(50) {
                error(500, "InternalServerError")
            } else {
                error(503, "ServiceUnavailable")
            };
            return Fault::Answer(status, body.to_string());
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
        if hit(faults.refused) {
            return Fault::Refused;
        }
        for (percent, end) in
            [(faults.late, Some(LateEnd::Silent)), (faults.gateway, None), (faults.reset_late, Some(LateEnd::Reset))]
        {
            if hit(percent) {
                let by = Duration::from_millis(2_000 + self.random.below(10_000));
                let end = end.unwrap_or_else(|| self.gateway());
                return Fault::Late { by, end };
            }
        }
        if hit(faults.malformed) {
            let texts = ["", "{", "{}", "<html>", "null", "{\"UnprocessedItems\":{\"t\":[{}]}}"];
            let text = texts[self.random.below(texts.len() as u64) as usize];
            return Fault::Malformed { text, applied: self.random.percent(50) };
        }
        if hit(faults.expired) {
            let (status, body) = error(400, "ExpiredTokenException");
            return Fault::Answer(status, body.to_string());
        }
        if hit(faults.panic) {
            return Fault::Panic;
        }
        Fault::None
    }

    fn gateway(&mut self) -> LateEnd {
        let (status, body) = GATEWAYS[self.random.below(GATEWAYS.len() as u64) as usize];
        LateEnd::Gateway(status, body)
    }

    fn apply(&mut self, target: &str, body: &Value, unprocessed: bool) -> (u16, Value) {
        match target.rsplit('.').next() {
            Some("BatchWriteItem") => self.batch_write(body, unprocessed),
            Some("PutItem") => self.conditional(body, "Item"),
            Some("DeleteItem") => self.conditional(body, "Key"),
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
                let Some(key) = self.key(attributes) else { return key_mismatch() };
                writes.push(((bare_name(table).to_owned(), key), put.cloned(), request.clone()));
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
            if self.is_stuck_unprocessed(&request) || unprocessed && self.random.percent(40) {
                left.entry(table).or_default().push(request);
                continue;
            }
            self.write((table, key), item);
        }
        (200, json!({"UnprocessedItems": left, "ConsumedCapacity": [{"TableName": "t", "CapacityUnits": 1.0}]}))
    }

    fn is_stuck_unprocessed(&self, request: &Value) -> bool {
        let values = self.keys.iter().filter_map(|name| request["PutRequest"]["Item"][name]["S"].as_str());
        values.into_iter().any(|value| self.sticky.get(value) == Some(&StickyFault::Unprocessed))
    }

    fn write(&mut self, key: (String, String), item: Option<Value>) {
        self.written.push(Written { table: key.0.clone(), key: key.1.clone(), item: item.clone() });
        match item {
            Some(item) => {
                self.items.insert(key, item);
            }
            None => {
                self.items.remove(&key);
            }
        }
    }

    /// Applies a PutItem or DeleteItem call if its condition, if any, holds.
    fn conditional(&mut self, body: &Value, attributes: &str) -> (u16, Value) {
        let table = bare_name(body["TableName"].as_str().expect("a table")).to_owned();
        let attributes_value = &body[attributes];
        let Some(key) = self.key(attributes_value) else { return key_mismatch() };
        if is_poison(attributes_value) {
            return error(400, "ValidationException");
        }
        let key = (table, key);
        let there = self.items.get(&key);
        if let Some(condition) = body["ConditionExpression"].as_str()
            && !condition.split(" OR ").any(|term| holds(term.trim(), body, there))
        {
            let (status, mut refusal) = error(400, "ConditionalCheckFailedException");
            if body["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD"
                && let Some(there) = there
            {
                refusal["Item"] = there.clone();
            }
            return (status, refusal);
        }
        self.write(key, (attributes == "Item").then(|| attributes_value.clone()));
        (200, json!({"ConsumedCapacity": {"TableName": "t", "CapacityUnits": 1.0}}))
    }
}

/// Returns whether a term of a condition holds for the existing item. A comparison of different types is false, and so is one
/// with a missing value, as in AWS's DynamoDB Local.
fn holds(term: &str, call: &Value, there: Option<&Value>) -> bool {
    if let Some(term) = term.strip_prefix("NOT ") {
        return !holds(term, call, there);
    }
    let operand = |text: &str| match text.trim() {
        value if value.starts_with(':') => call["ExpressionAttributeValues"].get(value).cloned(),
        path => {
            let name = |part: &str| call["ExpressionAttributeNames"][part].as_str().unwrap_or(part).to_owned();
            let mut parts = path.split('.').map(name);
            let first = there?.get(parts.next()?)?;
            parts.try_fold(first, |value, part| value.get("M")?.get(part)).cloned()
        }
    };
    let arguments = |function: &str| term.strip_prefix(function)?.strip_prefix('(')?.strip_suffix(')');
    if let Some(path) = arguments("attribute_not_exists") {
        return operand(path).is_none();
    }
    if let Some((path, kind)) = arguments("attribute_type").and_then(|both| both.split_once(',')) {
        let kind = operand(kind).and_then(|kind| kind["S"].as_str().map(str::to_owned)).expect("a type");
        return operand(path).is_some_and(|value| value.get(&kind).is_some());
    }
    let (left, operator, right) = [" <= ", " < ", " = "]
        .into_iter()
        .find_map(|operator| term.split_once(operator).map(|(left, right)| (left, operator.trim(), right)))
        .unwrap_or_else(|| panic!("an unsupported condition: {term}"));
    let number = |value: Option<Value>| value?["N"].as_str()?.parse::<i64>().ok();
    match (number(operand(left)), number(operand(right))) {
        (Some(left), Some(right)) => match operator {
            "<=" => left <= right,
            "<" => left < right,
            _ => left == right,
        },
        _ => false,
    }
}

/// Returns whether this database considers an item invalid: any item with the string `poison` in it.
fn is_poison(item: &Value) -> bool {
    item.to_string().contains("\"poison\"")
}
