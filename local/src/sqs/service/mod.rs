//! An emulation of SQS, as its documentation describes it, for programs that send, receive and delete messages by themselves.
//! It has visibility timeouts, limits of messages in flight, locked FIFO groups, deduplication and batches that succeed in
//! part. Faults are scripted.
//!
//! The service uses this machine's clock, which a test can [advance](Service::advance). A long poll waits in real time.
//! [`limit_long_polls`](Service::limit_long_polls) shortens this wait in tests.
//!
//! It supports the operations that the project uses: sending, receiving, deleting and changing visibility, for one message or
//! in batches, `GetQueueAttributes` and `GetQueueUrl`. It does not support delays, retention and permissions.

mod calls;
mod error;
mod faults;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use serde_json::Value;

pub use error::ErrorCode;
pub use faults::{Call, Fault, seeded};

use super::endpoint::{EntryRefusal, path};
use super::message::{InvalidMessage, Message};
use super::queue::{Held, Queue, Receipt, Settings};
use crate::clock;
use crate::credentials::{CredentialsEndpoint, Issuer, Token};
use crate::http::{Closing, serve};
use crate::service_thread::ServiceThread;
use calls::{Operation, ReceiveCall};
use error::CallError;

/// Maximum number of messages in flight of a standard or FIFO queue. Beyond it, a short poll of a standard queue fails with
/// `OverLimit`. A long poll, and any poll of a FIFO queue, returns no messages.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html>
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-fifo.html>
pub const MAX_IN_FLIGHT: usize = 120_000;
/// Interval at which a long poll checks for messages.
const POLL_PAUSE: Duration = Duration::from_millis(5);
/// Maximum duration of a long poll.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html>
const MAX_WAIT: Duration = Duration::from_secs(20);

/// Serves the calls of SQS clients until it is dropped.
#[derive(Debug)]
pub struct Service {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    _thread: ServiceThread,
}

struct State {
    queues: BTreeMap<String, ServedQueue>,
    clock_ahead: Duration,
    longest_wait: Duration,
    issuer: Option<Arc<Issuer>>,
    script: Box<dyn Script>,
    calls: Vec<Call>,
    /// Number of calls by queue and operation.
    counts: HashMap<(String, String), u64>,
}

/// A queue and the state of the service that belongs to it.
struct ServedQueue {
    queue: Queue,
    max_in_flight: usize,
    visibility_timeout: Duration,
    /// Receives that may be repeated, by `ReceiveRequestAttemptId`.
    attempts: HashMap<String, Attempt>,
    refuse: Box<dyn Refuse>,
    /// Ids of deleted messages, in the order of their deletions.
    deleted: Vec<String>,
}

/// The response to a receive that the client may repeat.
struct Attempt {
    at: Duration,
    receipts: Vec<Receipt>,
    messages: Vec<Value>,
}

/// Chooses the fault that a call meets.
trait Script: FnMut(&Call) -> Option<Fault> + Send {}
impl<F: FnMut(&Call) -> Option<Fault> + Send> Script for F {}

/// Chooses messages to refuse and returns the error for each.
trait Refuse: FnMut(&Message) -> Option<EntryRefusal> + Send {}
impl<F: FnMut(&Message) -> Option<EntryRefusal> + Send> Refuse for F {}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("queues", &self.queues.keys()).finish_non_exhaustive()
    }
}

impl Service {
    /// Starts a service without queues on loopback `port`. Port 0 picks a free port.
    ///
    /// # Errors
    /// Returns an error if the port is already in use.
    pub fn start(port: u16) -> io::Result<Self> {
        let thread = ServiceThread::start("sqs-service")?;
        let (listener, address) = thread.listen(port)?;
        let state = Arc::new(Mutex::new(State {
            queues: BTreeMap::new(),
            clock_ahead: Duration::ZERO,
            longest_wait: MAX_WAIT,
            issuer: None,
            script: Box::new(|_| None),
            calls: Vec::new(),
            counts: HashMap::new(),
        }));
        let served = Arc::clone(&state);
        thread.runtime().spawn(serve(listener, Closing::Reset, move |request| {
            answer(Arc::clone(&served), format!("http://{address}"), request)
        }));
        Ok(Self { address, state, _thread: thread })
    }

    /// Returns the service's URL, for `AWS_ENDPOINT_URL_SQS`: `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds an empty queue and returns its URL. A name that ends in `.fifo` creates a FIFO queue. Messages that reach the
    /// maximum receive count of `settings` move to the dead-letter queue.
    pub fn create_queue(&self, settings: Settings) -> String {
        let url = format!("{}{}", self.url(), path(&settings.name));
        let served = ServedQueue {
            max_in_flight: MAX_IN_FLIGHT,
            visibility_timeout: settings.visibility_timeout,
            attempts: HashMap::new(),
            refuse: Box::new(|_| None),
            deleted: Vec::new(),
            queue: Queue::new(settings.clone()),
        };
        self.state().queues.insert(settings.name, served);
        url
    }

    /// Adds an empty queue with SQS's default settings and an unlimited receive count. Returns its URL.
    pub fn create(&self, name: &str) -> String {
        let visibility_timeout = Duration::from_secs(30);
        self.create_queue(Settings { max_receive_count: u32::MAX, visibility_timeout, ..Settings::named(name) })
    }

    /// Sets the maximum number of messages in flight of a queue. Default: [`MAX_IN_FLIGHT`].
    pub fn limit_in_flight(&self, queue: &str, max_in_flight: usize) {
        self.with(queue, |served| served.max_in_flight = max_in_flight);
    }

    /// Limits the duration of long polls to `longest`, regardless of the wait that they request.
    pub fn limit_long_polls(&self, longest: Duration) {
        self.state().longest_wait = longest.min(MAX_WAIT);
    }

    /// Moves the service's clock forward.
    pub fn advance(&self, by: Duration) {
        self.state().clock_ahead += by;
    }

    /// Returns the time of the service's clock, since the Unix epoch.
    pub fn now(&self) -> Duration {
        self.state().now()
    }

    /// Calls `script` for each call from now on, before the call is applied, to choose its fault.
    pub fn inject(&self, script: impl FnMut(&Call) -> Option<Fault> + Send + 'static) {
        self.state().script = Box::new(script);
    }

    /// Calls `refuse` for each message sent to `queue` from now on. If it returns an error, the message is refused with it.
    pub fn refuse_entries(&self, queue: &str, refuse: impl FnMut(&Message) -> Option<EntryRefusal> + Send + 'static) {
        self.with(queue, |served| served.refuse = Box::new(refuse));
    }

    /// Refuses calls that lack valid credentials from `endpoint`, starting with the next one.
    pub fn require_credentials_of(&self, endpoint: &CredentialsEndpoint) {
        self.state().issuer = Some(endpoint.issuer());
    }

    /// Sends a message to `queue` and returns its id.
    ///
    /// # Errors
    /// Returns an error if SQS would refuse the message.
    pub fn send(&self, queue: &str, message: Message) -> Result<String, InvalidMessage> {
        let now = self.now();
        self.with(queue, |served| served.queue.send(message, now))
    }

    /// Returns every message of `queue`, visible or not, in the order in which they were sent.
    pub fn held(&self, queue: &str) -> Vec<Held> {
        self.with(queue, |served| served.queue.held())
    }

    /// Returns the ids of the messages deleted from `queue`, in the order of their deletions.
    pub fn deleted(&self, queue: &str) -> Vec<String> {
        self.with(queue, |served| served.deleted.clone())
    }

    /// Returns the number of visible messages and the number of messages in flight of `queue`.
    pub fn counts(&self, queue: &str) -> (usize, usize) {
        let now = self.now();
        self.with(queue, |served| served.queue.counts(now))
    }

    /// Returns every call so far, in order of arrival.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    #[expect(clippy::panic, reason = "a test that names a queue it did not create is wrong")]
    fn with<T>(&self, queue: &str, with: impl FnOnce(&mut ServedQueue) -> T) -> T {
        match self.state().queues.get_mut(queue) {
            Some(served) => with(served),
            None => panic!("no queue {queue}"),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Error that closes the connection without a response.
#[derive(Debug)]
struct NoResponse;

impl fmt::Display for NoResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no response")
    }
}

impl std::error::Error for NoResponse {}

async fn answer(
    state: Arc<Mutex<State>>,
    endpoint: String,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, NoResponse> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| NoResponse)?.to_bytes();
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let fault = lock(&state).admit(header("x-amz-target"), &body);
    match &fault {
        Some(Fault::LostRequest) => return Err(NoResponse),
        Some(Fault::Hang) => std::future::pending().await,
        _ => {}
    }
    let (target, token) = (header("x-amz-target").to_owned(), header("x-amz-security-token").to_owned());
    let (state, of_call) = (Arc::clone(&state), fault.clone());
    let applied = async move { apply(&state, &endpoint, &target, &token, &body, of_call.as_ref()).await };
    let result = match &fault {
        Some(Fault::Error(code)) => Err(CallError::from(*code)),
        Some(Fault::Slow(delay)) => {
            let delay = *delay;
            // a separate task continues if the connection closes
            let applied = tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                applied.await
            });
            applied.await.map_err(|_| NoResponse)?
        }
        _ => applied.await,
    };
    match &fault {
        Some(Fault::LostResponse) => return Err(NoResponse),
        Some(Fault::HangAfter) => std::future::pending().await,
        _ => {}
    }
    Ok(error::response(result))
}

async fn apply(
    state: &Mutex<State>,
    endpoint: &str,
    target: &str,
    token: &str,
    body: &[u8],
    fault: Option<&Fault>,
) -> Result<Value, CallError> {
    lock(state).authenticate(token)?;
    let operation = Operation::read(target, body)?;
    let Operation::Receive(call) = operation else {
        let mut state = lock(state);
        let now = state.now();
        return state.queue(operation.queue())?.apply(&operation, endpoint, now, fault);
    };
    let deadline = clock::now() + call.wait().min(lock(state).longest_wait);
    loop {
        {
            let mut state = lock(state);
            let now = state.now();
            let messages = state.queue(&call.queue_url)?.receive(&call, now)?;
            if !messages.is_empty() || clock::now() >= deadline {
                return Ok(if messages.is_empty() {
                    serde_json::json!({})
                } else {
                    serde_json::json!({"Messages": messages})
                });
            }
        }
        tokio::time::sleep(POLL_PAUSE).await;
    }
}

impl State {
    fn now(&self) -> Duration {
        clock::since_epoch() + self.clock_ahead
    }

    /// Records a call and chooses its fault.
    fn admit(&mut self, target: &str, body: &[u8]) -> Option<Fault> {
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let (queue, entries) = calls::outline(body);
        let count = self.counts.entry((queue.clone(), operation.clone())).or_default();
        *count += 1;
        let of_operation = *count;
        let number = self.calls.len() as u64 + 1;
        let call = Call { number, of_operation, operation, queue, entries, at: self.now() };
        self.calls.push(call.clone());
        (self.script)(&call)
    }

    fn authenticate(&self, token: &str) -> Result<(), CallError> {
        match self.issuer.as_ref().map(|issuer| issuer.check(token)) {
            None | Some(Token::Valid) => Ok(()),
            Some(Token::Expired) => Err(ErrorCode::ExpiredTokenException.into()),
            Some(Token::Unknown) => Err(ErrorCode::UnrecognizedClientException.into()),
        }
    }

    /// Returns the queue of a URL or a name. Only the URL's last path segment counts, because a client behind a proxy uses
    /// another port.
    fn queue(&mut self, url: &str) -> Result<&mut ServedQueue, CallError> {
        let name = url.rsplit('/').next().unwrap_or_default();
        self.queues.get_mut(name).ok_or_else(|| ErrorCode::QueueDoesNotExist.into())
    }
}

impl ServedQueue {
    fn receive(&mut self, call: &ReceiveCall, now: Duration) -> Result<Vec<Value>, CallError> {
        call.check()?;
        let visibility = call.visibility().unwrap_or(self.visibility_timeout);
        let attempt_id = call.receive_request_attempt_id.as_ref().filter(|_| self.queue.is_fifo());
        self.attempts.retain(|_, attempt| now < attempt.at + super::queue::DEDUPLICATION_INTERVAL);
        if let Some(attempt) = attempt_id.and_then(|id| self.attempts.get(id))
            && self.queue.receive_again(&attempt.receipts, visibility, now)
        {
            return Ok(attempt.messages.clone());
        }
        let (_, in_flight) = self.queue.counts(now);
        let room = self.max_in_flight.saturating_sub(in_flight);
        if room == 0 && call.wait().is_zero() && !self.queue.is_fifo() {
            return Err(ErrorCode::OverLimit.into());
        }
        let received = self.queue.receive_messages(call.most().min(room), visibility, now);
        let (receipts, messages): (Vec<_>, Vec<_>) =
            received.into_iter().map(|(receipt, message)| (receipt, call.filtered(message))).unzip();
        if let Some(id) = attempt_id
            && !receipts.is_empty()
        {
            let attempt = Attempt { at: now, receipts, messages: messages.clone() };
            self.attempts.insert(id.clone(), attempt);
        }
        Ok(messages)
    }
}
