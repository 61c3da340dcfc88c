//! A fake quarantine queue below the SDK. It refuses messages, fails whole calls and leaves calls without a response, with the
//! given probabilities.

use super::random::Random;
use super::transport::{self, response};
use avro_ingest::quarantine::Quarantine;
use avro_ingest::transport::{HttpTransport, ResponseFuture};
use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const QUEUE_URL: &str = "http://sqs.invalid/000000000000/quarantine";

/// Probability of each fault, in percent.
#[derive(Debug, Clone, Copy, Default)]
pub struct QueueFaults {
    /// Calls that are refused as a whole.
    pub failed: u64,
    /// Calls without a response. Their messages are not stored.
    pub silent: u64,
    /// Number of calls after which no call gets a response.
    pub silent_after: Option<usize>,
    /// Messages that are refused while others of their call are accepted.
    pub refused: u64,
    /// Messages that the response lists both as accepted and as refused. They are not stored.
    pub contradicted: u64,
    /// Maximum number of messages in a call. Larger calls are refused for their size.
    pub largest_call: Option<usize>,
}

/// A queue. Clones share it.
#[derive(Clone)]
pub struct FakeSqs(Arc<Mutex<State>>);

struct State {
    faults: QueueFaults,
    random: Random,
    calls: usize,
    taken: Vec<Value>,
}

impl fmt::Debug for FakeSqs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeSqs")
    }
}

impl FakeSqs {
    pub fn new(faults: QueueFaults, seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State { faults, random: Random::new(seed), calls: 0, taken: Vec::new() })))
    }

    /// Returns a client that sends to this queue.
    pub fn quarantine(&self) -> Quarantine {
        Quarantine::new(transport::sqs(self.clone()), QUEUE_URL.to_owned())
    }

    pub fn set_faults(&self, faults: QueueFaults) {
        self.0.lock().unwrap().faults = faults;
    }

    /// Returns the accepted entries of `SendMessageBatch`, in order.
    pub fn taken(&self) -> Vec<Value> {
        self.0.lock().unwrap().taken.clone()
    }
}

impl HttpTransport for FakeSqs {
    fn send(&self, request: Request<Bytes>) -> ResponseFuture {
        let queue = self.clone();
        Box::pin(async move {
            let body: Value = serde_json::from_slice(request.body()).expect("a JSON body");
            let entries = body["Entries"].as_array().expect("only SendMessageBatch is supported").clone();
            let (is_failed, is_silent) = {
                let State { faults, random, calls, .. } = &mut *queue.0.lock().unwrap();
                *calls += 1;
                let is_over = faults.silent_after.is_some_and(|most| *calls > most);
                (random.percent(faults.failed), random.percent(faults.silent) || is_over)
            };
            tokio::time::sleep(Duration::from_millis(5)).await;
            if is_silent {
                std::future::pending::<()>().await;
            }
            let largest_call = queue.0.lock().unwrap().faults.largest_call;
            if largest_call.is_some_and(|most| entries.len() > most) {
                let code = "com.amazonaws.sqs#BatchRequestTooLong";
                return Ok(response(400, json!({"__type": code, "message": "as told"}).to_string()));
            }
            if is_failed {
                let error = json!({"__type": "com.amazonaws.sqs#InternalError", "message": "as told"});
                return Ok(response(500, error.to_string()));
            }
            let State { faults, random, taken, .. } = &mut *queue.0.lock().unwrap();
            let (mut successful, mut failed) = (Vec::new(), Vec::new());
            for entry in entries {
                let is_contradicted = random.percent(faults.contradicted);
                if is_contradicted {
                    successful.push(json!({"Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": "0"}));
                }
                if is_contradicted || random.percent(faults.refused) {
                    failed.push(json!({"Id": entry["Id"], "SenderFault": false, "Code": "InternalError"}));
                } else {
                    let digest = "00000000000000000000000000000000";
                    successful.push(json!({"Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": digest}));
                    taken.push(entry);
                }
            }
            Ok(response(200, json!({"Successful": successful, "Failed": failed}).to_string()))
        })
    }
}
