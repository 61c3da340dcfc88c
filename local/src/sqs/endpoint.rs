//! An SQS endpoint that accepts messages from producers and visibility changes from consumers.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::{Request, Response, StatusCode};
use serde_json::{Value, json};

use super::api::{self, Refusal};
use super::message::{InvalidMessage, Message};
use super::queue::{Queue, VisibilityChanges};
use crate::http::{Closing, serve};
use crate::random;
use crate::service_thread::ServiceThread;

/// A message that the endpoint has accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The message id assigned to it.
    pub message_id: String,
    /// The message.
    pub message: Message,
}

/// Error of a batch entry that is refused while other entries succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRefusal {
    /// The error's code, such as `InternalError`.
    pub code: String,
    /// Whether the error is the sender's fault, so that a retry is pointless.
    pub sender_fault: bool,
}

/// Accepts the messages sent to one queue until it is dropped. To make whole calls fail, use a [`Proxy`](crate::faults::Proxy)
/// for it.
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    queue: Arc<QueueState>,
    _thread: ServiceThread,
}

struct QueueState {
    name: String,
    sent: Mutex<Vec<Sent>>,
    /// Visibility changes, by the queue's path.
    received: Mutex<BTreeMap<String, VisibilityChanges>>,
    refuse: Mutex<Box<dyn Refuse>>,
}

/// Chooses messages to refuse and returns the error for each.
trait Refuse: FnMut(&Message) -> Option<EntryRefusal> + Send {}

impl<F: FnMut(&Message) -> Option<EntryRefusal> + Send> Refuse for F {}

impl fmt::Debug for QueueState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueState").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Starts an endpoint on loopback `port` (0 picks a free port) with one queue called `name`. If the name ends in `.fifo`,
    /// every message must have a message group.
    ///
    /// # Errors
    /// Returns an error if the port is already in use.
    pub fn start(port: u16, name: &str) -> io::Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, port).into(), name)
    }

    /// Starts an endpoint at `address`, which other machines and containers may be able to reach.
    ///
    /// # Errors
    /// Returns an error if the address is already in use or does not belong to this machine.
    pub fn start_at(address: SocketAddr, name: &str) -> io::Result<Self> {
        let thread = ServiceThread::start("sqs")?;
        let (listener, address) = thread.listen_at(address)?;
        let queue = Arc::new(QueueState {
            name: name.to_owned(),
            sent: Mutex::default(),
            received: Mutex::default(),
            refuse: Mutex::new(Box::new(|_| None)),
        });
        let server = queue.clone();
        thread.runtime().spawn(serve(listener, Closing::Orderly, move |request| answer(server.clone(), request)));
        Ok(Self { address, queue, _thread: thread })
    }

    /// Returns the address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the endpoint's URL, for `AWS_ENDPOINT_URL_SQS`: `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the queue's URL, for `QUARANTINE_QUEUE_URL`.
    pub fn queue_url(&self) -> String {
        format!("{}{}", self.url(), self.queue.path())
    }

    /// Calls `refuse` for each message from now on. If it returns an error, the message is refused with it.
    pub fn refuse_entries(&self, refuse: impl FnMut(&Message) -> Option<EntryRefusal> + Send + 'static) {
        *lock(&self.queue.refuse) = Box::new(refuse);
    }

    /// Accepts visibility changes for `queue` from now on.
    pub fn change_visibility_of(&self, queue: &Queue) {
        lock(&self.queue.received).insert(path(queue.name()), queue.visibility_changes());
    }

    /// Returns every accepted message, in order.
    pub fn sent(&self) -> Vec<Sent> {
        lock(&self.queue.sent).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(queue: Arc<QueueState>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let (status, error, body) = match queue.call(&head.headers, &body) {
        Ok(answer) => (StatusCode::OK, None, answer),
        Err(Refusal(code, explanation)) => {
            let body = json!({"__type": format!("com.amazonaws.sqs#{code}"), "message": explanation});
            (StatusCode::BAD_REQUEST, Some(code), body)
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let headers = [
        Some(("content-type", "application/x-amz-json-1.0".to_owned())),
        error.map(|code| ("x-amzn-query-error", format!("AWS.SimpleQueueService.{code};Sender"))),
    ];
    for (name, value) in headers.into_iter().flatten() {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

/// Returns the path of a queue's URL.
pub(super) fn path(name: &str) -> String {
    format!("/000000000000/{name}")
}

impl QueueState {
    fn path(&self) -> String {
        path(&self.name)
    }

    fn call(&self, headers: &HeaderMap, body: &[u8]) -> Result<Value, Refusal> {
        let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
        let call = api::QueueCall::read(target, body)?;
        let unknown = Refusal("QueueDoesNotExist", "the specified queue does not exist");
        if let api::QueueCall::ChangeVisibility { queue_url, entries } = call {
            let received = lock(&self.received);
            let changes = received.iter().find(|(path, _)| queue_url.ends_with(path.as_str())).ok_or(unknown)?.1;
            return Ok(change(changes, &entries));
        }
        // only the path is compared, because a client behind a proxy uses another port
        if !call.queue_url().ends_with(&self.path()) {
            return Err(unknown);
        }
        match call {
            api::QueueCall::ChangeVisibility { .. } => Err(unknown),
            api::QueueCall::Single { message, .. } => {
                self.check(&message).map_err(|_| Refusal("InvalidParameterValue", "the message is not allowed"))?;
                let (message_id, md5) = self.take(message);
                Ok(json!({"MessageId": message_id, "MD5OfMessageBody": md5}))
            }
            api::QueueCall::Batch { entries, .. } => {
                let (mut successful, mut failed) = (Vec::new(), Vec::new());
                for (id, message) in entries {
                    if let Some(EntryRefusal { code, sender_fault }) = self.refusal(&message) {
                        failed.push(json!({"Id": id, "SenderFault": sender_fault, "Code": code, "Message": "refused"}));
                    } else {
                        let (message_id, md5) = self.take(message);
                        successful.push(json!({"Id": id, "MessageId": message_id, "MD5OfMessageBody": md5}));
                    }
                }
                Ok(json!({"Successful": successful, "Failed": failed}))
            }
        }
    }

    fn refusal(&self, message: &Message) -> Option<EntryRefusal> {
        match self.check(message) {
            Err(_) => Some(EntryRefusal { code: "InvalidParameterValue".to_owned(), sender_fault: true }),
            Ok(()) => lock(&self.refuse)(message),
        }
    }

    fn check(&self, message: &Message) -> Result<(), InvalidMessage> {
        if message.group.is_none() && self.name.ends_with(".fifo") {
            return Err(InvalidMessage::GroupRequired);
        }
        message.check()
    }

    /// Stores a message and returns its id and the MD5 of its body.
    fn take(&self, message: Message) -> (String, String) {
        let mut sent = lock(&self.sent);
        let message_id = random::uuid(2, sent.len() as u64);
        let md5 = format!("{:x}", md5::compute(&message.body));
        sent.push(Sent { message_id: message_id.clone(), message });
        (message_id, md5)
    }
}

/// Records the visibility changes of one call.
fn change(changes: &VisibilityChanges, entries: &[api::ChangeEntry]) -> Value {
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for entry in entries {
        let code = match entry.timeout() {
            None => "InvalidParameterValue",
            Some(timeout) if !changes.take(&entry.receipt_handle, timeout) => "ReceiptHandleIsInvalid",
            Some(_) => {
                successful.push(json!({"Id": entry.id}));
                continue;
            }
        };
        failed.push(json!({"Id": entry.id, "SenderFault": true, "Code": code, "Message": "refused"}));
    }
    json!({"Successful": successful, "Failed": failed})
}
