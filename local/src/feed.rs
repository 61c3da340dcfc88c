//! An SQS endpoint with an endless queue that stores nothing. Benchmarks of message consumers read from it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Response;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};

use crate::clock;
use crate::http::{Closing, serve};
use crate::service_thread::ServiceThread;

/// Maximum number of messages in a call.
const MAX_CALL_MESSAGES: u64 = 10;

/// Returns ten messages for each receive call and accepts every deletion. Runs on its own thread.
#[derive(Debug)]
pub struct Feed {
    address: SocketAddr,
    counters: Arc<Counters>,
    _thread: ServiceThread,
}

#[derive(Debug, Default)]
struct Counters {
    received: AtomicU64,
    deleted: AtomicU64,
}

impl Feed {
    /// Starts a feed that cycles through `bodies`, on a free loopback port.
    ///
    /// # Errors
    /// Returns an error if no port is free.
    pub fn start(bodies: Vec<String>) -> io::Result<Self> {
        let thread = ServiceThread::start("feed")?;
        let (listener, address) = thread.listen(0)?;
        let counters = Arc::new(Counters::default());
        let shared = (Arc::clone(&counters), Arc::new(bodies));
        thread.runtime().spawn(serve(listener, Closing::Orderly, move |request| {
            let (counters, bodies) = shared.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await?.to_bytes();
                let operation = head.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
                let operation = operation.and_then(|target| target.strip_prefix("AmazonSQS.")).unwrap_or_default();
                let answer = counters.answer(operation, &body, &bodies).to_string();
                let mut response = Response::new(Full::new(Bytes::from(answer)));
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
                Ok::<Response<Full<Bytes>>, hyper::Error>(response)
            }
        }));
        Ok(Self { address, counters, _thread: thread })
    }

    /// Returns the endpoint's URL, for `AWS_ENDPOINT_URL_SQS`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the queue's URL.
    pub fn queue_url(&self) -> String {
        format!("{}/123456789012/feed", self.url())
    }

    /// Returns the number of messages deleted.
    pub fn deleted(&self) -> u64 {
        self.counters.deleted.load(Ordering::Relaxed)
    }
}

impl Counters {
    fn answer(&self, operation: &str, body: &[u8], bodies: &[String]) -> Value {
        match operation {
            "ReceiveMessage" => {
                let first = self.received.fetch_add(MAX_CALL_MESSAGES, Ordering::Relaxed);
                let sent = clock::since_epoch().as_millis().to_string();
                let message = |number: u64| {
                    let place = usize::try_from(number).unwrap_or_default() % bodies.len().max(1);
                    json!({
                        "MessageId": number.to_string(), "ReceiptHandle": number.to_string(), "Body": bodies.get(place),
                        "Attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": sent},
                    })
                };
                json!({"Messages": (first..first + MAX_CALL_MESSAGES).map(message).collect::<Vec<_>>()})
            }
            "DeleteMessageBatch" => {
                let request: Value = serde_json::from_slice(body).unwrap_or_default();
                let entries = request.get("Entries").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                self.deleted.fetch_add(entries.len() as u64, Ordering::Relaxed);
                let done = |entry: &Value| json!({"Id": entry.get("Id")});
                json!({"Successful": entries.iter().map(done).collect::<Vec<_>>()})
            }
            "GetQueueAttributes" => json!({"Attributes": {"QueueArn": "arn:aws:sqs:us-east-1:123456789012:feed"}}),
            _ => json!({}),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feed_goes_round_and_counts_what_is_deleted() {
        let counters = Counters::default();
        let bodies = ["a", "b", "c"].map(str::to_owned);
        let first = counters.answer("ReceiveMessage", b"{}", &bodies);
        let second = counters.answer("ReceiveMessage", b"{}", &bodies);
        let of = |answer: &Value, place: usize| {
            let message = &answer["Messages"][place];
            (message["MessageId"].as_str().unwrap().to_owned(), message["Body"].as_str().unwrap().to_owned())
        };
        assert_eq!((of(&first, 3), of(&second, 0)), (("3".into(), "a".into()), ("10".into(), "b".into())));
        let answer = counters.answer("DeleteMessageBatch", br#"{"Entries":[{"Id":"0"},{"Id":"1"}]}"#, &bodies);
        assert_eq!(answer, json!({"Successful": [{"Id": "0"}, {"Id": "1"}]}));
        assert_eq!(counters.deleted.load(Ordering::Relaxed), 2);
    }
}
