//! A quarantine queue below the SDK: it takes messages, refuses some, fails whole calls or never answers, as often as it is
//! told.

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

/// How often each fault happens, in percent.
#[derive(Debug, Clone, Copy, Default)]
pub struct QueueFaults {
    /// Of calls: refused as a whole.
    pub failed: u64,
    /// Of calls: never answered, and nothing taken.
    pub silent: u64,
    /// After so many calls none is answered.
    pub silent_after: Option<usize>,
    /// Of messages: refused while their neighbours are taken.
    pub refused: u64,
    /// Of messages: said to be taken and refused, and not taken.
    pub contradicted: u64,
    /// Calls of more messages than this are refused for their size.
    pub largest_call: Option<usize>,
}

/// The queue. Clones share it.
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

    /// What sends to this queue.
    pub fn quarantine(&self) -> Quarantine {
        Quarantine::new(transport::sqs(self.clone()), QUEUE_URL.to_owned())
    }

    pub fn set_faults(&self, faults: QueueFaults) {
        self.0.lock().unwrap().faults = faults;
    }

    /// The entries of `SendMessageBatch` that were taken, in order.
    pub fn taken(&self) -> Vec<Value> {
        self.0.lock().unwrap().taken.clone()
    }
}

impl HttpTransport for FakeSqs {
    fn send(&self, request: Request<Bytes>) -> ResponseFuture {
        let queue = self.clone();
        Box::pin(async move {
            let body: Value = serde_json::from_slice(request.body()).expect("a JSON body");
            let entries = body["Entries"].as_array().expect("SendMessageBatch is the only call there is").clone();
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
