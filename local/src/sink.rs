//! A DynamoDB endpoint that accepts everything and stores nothing, for benchmarks of its clients.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Response;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use memchr::memmem;

use crate::http::{Closing, serve};
use crate::random;
use crate::service_thread::ServiceThread;

/// Counters of a sink since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Received {
    /// Number of requests of any kind, including those that only warm a connection.
    pub calls: u64,
    /// Number of put requests, counted by the text `"PutRequest"`. An item that contains this text counts more than once.
    pub items: u64,
    /// Total size of the request bodies, in bytes.
    pub bytes: u64,
}

#[derive(Debug, Default)]
struct Counters {
    calls: AtomicU64,
    items: AtomicU64,
    bytes: AtomicU64,
}

/// Response latency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Latency {
    /// A constant latency. Zero responds immediately.
    Constant(Duration),
    /// A log-normal latency, which is a good model of most services. It is derived from the number of the call.
    LogNormal {
        /// Median latency.
        median: Duration,
        /// 99th percentile of the latency.
        p99: Duration,
    },
}

/// The 99th percentile of the standard normal distribution.
const NORMAL_P99: f64 = 2.326_347_874_041;
/// Seed of the latencies. It is fixed so that all programs are measured with the same latencies.
const SEED: u64 = 2_026;

impl From<Duration> for Latency {
    fn from(constant: Duration) -> Self {
        Self::Constant(constant)
    }
}

impl Latency {
    /// Returns the latency of the call with this number.
    fn of(self, call: u64) -> Duration {
        match self {
            Self::Constant(latency) => latency,
            Self::LogNormal { median, p99 } => {
                let [one, other] = [SEED, !SEED].map(|seed| random::share(seed, call));
                // <https://en.wikipedia.org/wiki/Box%E2%80%93Muller_transform>
                let normal = (-2.0 * (1.0 - one).ln()).sqrt() * (std::f64::consts::TAU * other).cos();
                median.mul_f64((p99.as_secs_f64() / median.as_secs_f64()).powf(normal / NORMAL_P99))
            }
        }
    }
}

/// Responds to each request with HTTP 200. The response to a `BatchWriteItem` has no unprocessed items and reports the consumed
/// capacity of its first table, if the request asks for it. Runs on its own thread.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    counters: Arc<Counters>,
    _thread: ServiceThread,
}

impl Sink {
    /// Starts a sink on loopback `port`. Port 0 picks a free port. Each response is sent one latency after its request has
    /// arrived, rounded up to whole milliseconds, regardless of how many requests are waiting. A latency of zero responds
    /// immediately.
    ///
    /// # Errors
    /// Returns an error if the port is already in use.
    pub fn start(port: u16, latency: impl Into<Latency>) -> io::Result<Self> {
        let latency = latency.into();
        let thread = ServiceThread::start("sink")?;
        let (listener, address) = thread.listen(port)?;
        let counters = Arc::new(Counters::default());
        let shared = counters.clone();
        thread.runtime().spawn(serve(listener, Closing::Orderly, move |request| {
            let counters = shared.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await?.to_bytes();
                let (call, items) = counters.count(&body);
                let delay = latency.of(call);
                if !delay.is_zero() {
                    tokio::time::sleep(delay).await;
                }
                let is_batch = head.headers.get("x-amz-target").is_some_and(|target| target == BATCH_WRITE_ITEM);
                let mut response =
                    Response::new(Full::new(if is_batch { batch_answer(&body, items) } else { NOTHING }));
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
                Ok::<Response<Full<Bytes>>, hyper::Error>(response)
            }
        }));
        Ok(Self { address, counters, _thread: thread })
    }

    /// Returns the address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the endpoint's URL, for `AWS_ENDPOINT_URL_DYNAMODB`: `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the counters so far.
    pub fn received(&self) -> Received {
        let Counters { calls, items, bytes } = &*self.counters;
        let [calls, items, bytes] = [calls, items, bytes].map(|counter| counter.load(Ordering::Relaxed));
        Received { calls, items, bytes }
    }
}

impl Counters {
    /// Counts a call. Returns its number and the number of its items.
    fn count(&self, body: &[u8]) -> (u64, u64) {
        let items = memmem::find_iter(body, br#""PutRequest""#).count() as u64;
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        self.items.fetch_add(items, Ordering::Relaxed);
        self.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
        (call, items)
    }
}

const BATCH_WRITE_ITEM: &str = "DynamoDB_20120810.BatchWriteItem";
const NOTHING: Bytes = Bytes::from_static(b"{}");

/// Returns a response without unprocessed items. It reports one capacity unit per item if the request asks for the consumed
/// capacity.
fn batch_answer(body: &[u8], items: u64) -> Bytes {
    let asked_for = [&br#""ReturnConsumedCapacity":"TOTAL""#[..], br#""ReturnConsumedCapacity":"INDEXES""#];
    match table(body) {
        Some(table) if asked_for.into_iter().any(|text| memmem::rfind(body, text).is_some()) => format!(
            r#"{{"UnprocessedItems":{{}},"ConsumedCapacity":[{{"TableName":"{table}","CapacityUnits":{items}.0}}]}}"#
        )
        .into(),
        _ => Bytes::from_static(br#"{"UnprocessedItems":{}}"#),
    }
}

/// Returns the first table of a batch. The JSON must be compact (without white space), as the SDKs write it.
fn table(body: &[u8]) -> Option<&str> {
    let start = br#""RequestItems":{""#;
    let name = body.get(memmem::find(body, start)? + start.len()..)?;
    std::str::from_utf8(name.split(|&byte| byte == b'"').next()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_drawn_by_their_percentiles() {
        let [median, p99] = [4, 25].map(Duration::from_millis);
        let mut drawn: Vec<Duration> = (0..100_000).map(|call| Latency::LogNormal { median, p99 }.of(call)).collect();
        drawn.sort_unstable();
        let near = |percent: usize, expected: Duration| {
            let ratio = drawn[drawn.len() * percent / 100].as_secs_f64() / expected.as_secs_f64();
            assert!((0.97..1.03).contains(&ratio), "P{percent}: {ratio}");
        };
        near(50, median);
        near(99, p99);
        near(1, median.mul_f64(4.0 / 25.0));
    }
}
