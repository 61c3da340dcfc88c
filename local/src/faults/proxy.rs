//! The proxy that injects the faults.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderValue, TRANSFER_ENCODING};
use hyper::http::request;
use hyper::{Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use tokio::time::sleep;

use super::body::Paced;
use super::identity;
use super::plan::{ErrorCode, Fault, Plan, ThrottlingReason};
use super::split::{Split, WriteCall, merge};
use super::target::RequestFacts;
use crate::clock;
use crate::credentials::{CredentialsEndpoint, Issuer};
use crate::http::{self, Closing, ConnectionNumber, serve};
use crate::service_thread::ServiceThread;

/// A proxy that injects faults between clients and an endpoint. Clients, in this process or in another, use it as if it were
/// the endpoint.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<ProxyState>,
    _thread: ServiceThread,
}

#[derive(Debug)]
struct ProxyState {
    upstream: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    plan: Mutex<Arc<Plan>>,
    issuer: Mutex<Option<Arc<Issuer>>>,
    requests: AtomicU64,
    /// Highest number of any connection that has carried a request.
    last_connection: AtomicU64,
    /// Connections up to this number no longer respond.
    dead_up_to: AtomicU64,
    injected: Mutex<BTreeMap<&'static str, Injected>>,
}

/// Number of requests that met a fault, and how many of those had content.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Injected {
    requests: u64,
    with_content: u64,
}

impl Proxy {
    /// Starts a proxy for `upstream` on loopback `port`. Port 0 picks a free port.
    ///
    /// # Errors
    /// Returns an error if the port is already in use.
    pub fn start(port: u16, upstream: SocketAddr, plan: Plan) -> io::Result<Self> {
        let thread = ServiceThread::start("faults")?;
        let (listener, address) = thread.listen(port)?;
        let shared = Arc::new(ProxyState {
            upstream,
            client: http::client(),
            plan: Mutex::new(Arc::new(plan)),
            issuer: Mutex::default(),
            requests: AtomicU64::new(0),
            last_connection: AtomicU64::new(0),
            dead_up_to: AtomicU64::new(0),
            injected: Mutex::default(),
        });
        let server = shared.clone();
        thread.runtime().spawn(serve(listener, Closing::Reset, move |request| answer(server.clone(), request)));
        Ok(Self { address, shared, _thread: thread })
    }

    /// Returns the address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns its URL, to use as the endpoint's: `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Replaces the plan, starting with the next request. The numbering of requests continues.
    pub fn set_plan(&self, plan: Plan) {
        *lock(&self.shared.plan) = Arc::new(plan);
    }

    /// Refuses requests that lack valid credentials from `endpoint`, starting with the next one.
    pub fn require_credentials_of(&self, endpoint: &CredentialsEndpoint) {
        *lock(&self.shared.issuer) = Some(endpoint.issuer());
    }

    /// Makes all connections that have carried a request unresponsive, as a failover of a gateway or load balancer does. They
    /// stay open and accept bytes, but no more responses arrive on them. New connections work.
    pub fn kill_connections_silently(&self) {
        self.shared.dead_up_to.store(self.shared.last_connection.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Returns the number of connections that have carried a request.
    pub fn connections(&self) -> u64 {
        self.shared.last_connection.load(Ordering::Relaxed)
    }

    /// Returns the number of requests received.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Returns the number of requests that met each fault, by its [name](Fault::name). Faults that have not occurred are
    /// absent.
    pub fn injected(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.shared.injected).iter().map(|(name, injected)| (*name, injected.requests)).collect()
    }

    /// Returns the counts of [`injected`](Self::injected) without calls that write or send nothing, such as those that only
    /// open a connection. For a function, these are the calls made by its invocations.
    pub fn injected_with_content(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.shared.injected).iter().map(|(name, injected)| (*name, injected.with_content)).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Error that closes the connection without a response.
#[derive(Debug)]
struct Broken;

impl From<Broken> for Box<dyn Error + Send + Sync> {
    fn from(_: Broken) -> Self {
        "the connection is broken on purpose".into()
    }
}

async fn answer(shared: Arc<ProxyState>, request: Request<Incoming>) -> Result<Response<Paced>, Broken> {
    let number = shared.requests.fetch_add(1, Ordering::Relaxed);
    let connection = request.extensions().get().map_or(0, |&ConnectionNumber(number)| number);
    shared.last_connection.fetch_max(connection, Ordering::Relaxed);
    if connection <= shared.dead_up_to.load(Ordering::Relaxed) {
        return std::future::pending().await;
    }
    let plan = lock(&shared.plan).clone();
    let service_time = identity::service_time(clock::system_time(), plan.clock_ahead_seconds());
    let mut response = answer_with(&shared, &plan, (number, connection), service_time, request).await?;
    if plan.clock_ahead_seconds() != 0
        && let Ok(date) = httpdate::fmt_http_date(service_time).try_into()
    {
        response.headers_mut().insert(DATE, date);
    }
    Ok(response)
}

async fn answer_with(
    shared: &ProxyState,
    plan: &Plan,
    (number, connection): (u64, u64),
    service_time: SystemTime,
    request: Request<Incoming>,
) -> Result<Response<Paced>, Broken> {
    let (head, body) = request.into_parts();
    let call = Forward { shared, head, body: body.collect().await.map_err(|_| Broken)?.to_bytes() };
    let target = call.head.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let facts = RequestFacts { number, connection, target, body: &call.body };
    let issuer = lock(&shared.issuer).clone();
    if (plan.clock_ahead_seconds() != 0 || issuer.is_some())
        && let Some(code) = identity::refusal(&call.head.headers, service_time, issuer.as_ref())
    {
        shared.count(code.name(), &facts);
        return refuse(code, &[]);
    }
    let Some(fault) = plan.fault(&facts) else { return call.send().await };
    if let Fault::Unprocessed { share } = fault {
        let Some(batch) = WriteCall::read(&call.body) else { return call.send().await };
        let positions = plan.held_back(number, batch.len(), *share);
        if positions.is_empty() {
            return call.send().await;
        }
        shared.count(fault.name(), &facts);
        return call.send_part(batch, &positions).await;
    }
    shared.count(fault.name(), &facts);
    match fault {
        Fault::Unprocessed { .. } => call.send().await,
        Fault::Error { code, reasons } => refuse(*code, reasons),
        Fault::ResetBefore => Err(Broken),
        Fault::ResetAfter => {
            call.send().await?;
            Err(Broken)
        }
        Fault::StallBefore { milliseconds } => {
            sleep(Duration::from_millis(*milliseconds)).await;
            call.send().await
        }
        Fault::StallAfter { milliseconds } => {
            let response = call.send().await;
            sleep(Duration::from_millis(*milliseconds)).await;
            response
        }
        Fault::Silent => std::future::pending().await,
        Fault::HalfAnswer => {
            let (head, body) = call.forward().await?.into_parts();
            Ok(Response::from_parts(head, Paced::half(body)))
        }
        Fault::GatewayError { status } => {
            respond(StatusCode::from_u16(*status).map_err(|_| Broken)?, "text/html", GATEWAY_PAGE)
        }
        Fault::SlowBytes { milliseconds } => {
            let (head, body) = call.forward().await?.into_parts();
            Ok(Response::from_parts(head, Paced::spread(body, Duration::from_millis(*milliseconds))))
        }
        Fault::Truncated => {
            let body = call.forward().await?.into_body();
            respond(StatusCode::OK, JSON, body.slice(..body.len() / 2))
        }
        Fault::WrongContent => {
            call.forward().await?;
            respond(StatusCode::OK, "text/html", GATEWAY_PAGE)
        }
    }
}

const GATEWAY_PAGE: Bytes = Bytes::from_static(b"<html><body>not the service</body></html>");
const JSON: &str = "application/x-amz-json-1.0";

impl ProxyState {
    fn count(&self, fault: &'static str, request: &RequestFacts<'_>) {
        let mut injected = lock(&self.injected);
        let injected = injected.entry(fault).or_default();
        injected.requests += 1;
        injected.with_content += u64::from(request.has_content());
    }
}

/// A call to forward to the endpoint.
#[derive(Debug)]
struct Forward<'a> {
    shared: &'a ProxyState,
    head: request::Parts,
    body: Bytes,
}

impl Forward<'_> {
    async fn send(self) -> Result<Response<Paced>, Broken> {
        self.forward().await.map(|response| response.map(Paced::at_once))
    }

    /// Forwards the call and returns the endpoint's complete response, with its own content length.
    async fn forward(mut self) -> Result<Response<Bytes>, Broken> {
        for name in [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
            self.head.headers.remove(name);
        }
        let path = self.head.uri.path_and_query().map_or("/", |path| path.as_str());
        self.head.uri = format!("http://{}{path}", self.shared.upstream).parse().map_err(|_| Broken)?;
        let request = Request::from_parts(self.head, Full::new(self.body));
        let (head, body) = self.shared.client.request(request).await.map_err(|_| Broken)?.into_parts();
        let mut response = Response::from_parts(head, body.collect().await.map_err(|_| Broken)?.to_bytes());
        for name in [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
            response.headers_mut().remove(name);
        }
        Ok(response)
    }

    /// Forwards part of `batch` and returns the rest as unprocessed items. If the endpoint refuses the part, its error is
    /// returned.
    async fn send_part(self, batch: WriteCall, held_back: &BTreeSet<usize>) -> Result<Response<Paced>, Broken> {
        let Split { forwarded, held_back } = batch.split(held_back).ok_or(Broken)?;
        let answer = match forwarded {
            None => Bytes::from_static(b"{}"),
            Some(body) => {
                let response = Self { body, ..self }.forward().await?;
                if !response.status().is_success() {
                    return Ok(response.map(Paced::at_once));
                }
                response.into_body()
            }
        };
        respond(StatusCode::OK, JSON, merge(&answer, held_back).ok_or(Broken)?)
    }
}

fn refuse(code: ErrorCode, reasons: &[ThrottlingReason]) -> Result<Response<Paced>, Broken> {
    let mut body = json!({"__type": code.qualified_name(), "message": "injected"});
    if !reasons.is_empty()
        && let Some(body) = body.as_object_mut()
    {
        // AWS's service model spells this member in lower case for this error only
        let name = if code == ErrorCode::ThrottlingException { "throttlingReasons" } else { "ThrottlingReasons" };
        body.insert(name.to_owned(), json!(reasons));
    }
    let status = StatusCode::from_u16(code.status()).map_err(|_| Broken)?;
    respond(status, JSON, body.to_string().into())
}

fn respond(status: StatusCode, content_type: &'static str, body: Bytes) -> Result<Response<Paced>, Broken> {
    let mut response = Response::new(Paced::at_once(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(response)
}
