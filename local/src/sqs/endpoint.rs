//! An SQS endpoint that takes messages, for what sends them, and changes of visibility, for what received them.

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

/// A message the endpoint has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The id it was given.
    pub message_id: String,
    /// The message.
    pub message: Message,
}

/// Why an entry of a batch is not taken while its neighbours are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRefusal {
    /// The error's code, such as `InternalError`.
    pub code: String,
    /// Whether trying again is pointless.
    pub sender_fault: bool,
}

/// Takes the messages sent to one queue until it is dropped. For calls that fail as a whole put a
/// [`Proxy`](crate::faults::Proxy) in front of it.
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    queue: Arc<QueueState>,
    _thread: ServiceThread,
}

struct QueueState {
    name: String,
    sent: Mutex<Vec<Sent>>,
    /// By the queue's path.
    received: Mutex<BTreeMap<String, VisibilityChanges>>,
    refuse: Mutex<Box<dyn Refuse>>,
}

/// Names the refusals of chosen messages.
trait Refuse: FnMut(&Message) -> Option<EntryRefusal> + Send {}

impl<F: FnMut(&Message) -> Option<EntryRefusal> + Send> Refuse for F {}

impl fmt::Debug for QueueState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueState").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Starts an endpoint at `port` of loopback, 0 being any free port, with one queue called `name`; a name that ends in
    /// `.fifo` makes every message need a group.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn start(port: u16, name: &str) -> io::Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, port).into(), name)
    }

    /// Starts an endpoint at `address`, which may be one that other machines and containers reach.
    ///
    /// # Errors
    /// When the address is taken or not this machine's.
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

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The endpoint's URL, for `AWS_ENDPOINT_URL_SQS`: `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The queue's URL, for `QUARANTINE_QUEUE_URL`.
    pub fn queue_url(&self) -> String {
        format!("{}{}", self.url(), self.queue.path())
    }

    /// Asks `refuse` about each message from now on and does not take those it names a refusal for.
    pub fn refuse_entries(&self, refuse: impl FnMut(&Message) -> Option<EntryRefusal> + Send + 'static) {
        *lock(&self.queue.refuse) = Box::new(refuse);
    }

    /// Takes changes of visibility for `queue` from now on.
    pub fn change_visibility_of(&self, queue: &Queue) {
        lock(&self.queue.received).insert(path(queue.name()), queue.visibility_changes());
    }

    /// Every message taken, in order.
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

/// The path of a queue's URL.
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
        // the path alone counts: a client behind a proxy uses another port
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

    /// Keeps a message and gives its id and the MD5 of its body.
    fn take(&self, message: Message) -> (String, String) {
        let mut sent = lock(&self.sent);
        let message_id = random::uuid(2, sent.len() as u64);
        let md5 = format!("{:x}", md5::compute(&message.body));
        sent.push(Sent { message_id: message_id.clone(), message });
        (message_id, md5)
    }
}

/// Takes the changes of one call.
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
