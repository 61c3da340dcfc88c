//! The connections to each host: opened on demand, kept while they are trusted, and reused.
//!
//! The pool of `hyper-util` cannot be told that its idle connections are dead. Decision record 0013 explains why we have
//! our own pool.

use super::trust::{Moment, Trust};
use bytes::Bytes;
use http::header::HOST;
use http::uri::{Authority, InvalidUri, PathAndQuery, Scheme, Uri};
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector as TcpConnector;
use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tower_service::Service;

/// Minimum waiting time of a cancelled call before it counts as a call without a response. A response of DynamoDB or SQS
/// takes milliseconds. A call that the invocation's deadline cuts off earlier is no evidence about the connection.
const SILENCE: Duration = Duration::from_millis(500);

type BoxError = Box<dyn Error + Send + Sync>;
/// Identifies a host.
type Host = (Scheme, Authority);

/// The reason why a call got no response.
#[derive(Debug)]
pub(super) enum Failure {
    /// No connection was available, or it was closed before the request was written.
    NotSent(BoxError),
    /// The connection broke after the request was written.
    Broken(BoxError),
}

/// The connections to all hosts. Clones share the same connections.
#[derive(Clone)]
pub(super) struct Connections(Arc<Shared>);

struct Shared {
    connector: HttpsConnector<TcpConnector>,
    connect_timeout: Duration,
    /// Maximum number of idle connections to each host.
    kept: usize,
    hosts: Mutex<HashMap<Host, OfHost>>,
    clock: fn() -> Moment,
}

#[derive(Default)]
struct OfHost {
    /// Idle connections, in the order of their last proof that they work.
    idle: Vec<Connection>,
    /// Calls for which a connection is being opened. They also accept a connection that becomes idle first.
    waiting: VecDeque<oneshot::Sender<Connection>>,
    trust: Trust,
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Time at which it was opened or last carried a response.
    proven_at: Instant,
    is_new: bool,
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("kept", &self.0.kept).finish_non_exhaustive()
    }
}

impl Connections {
    pub(super) fn new(
        connector: HttpsConnector<TcpConnector>,
        connect_timeout: Duration,
        kept: usize,
        clock: fn() -> Moment,
    ) -> Self {
        Self(Arc::new(Shared { connector, connect_timeout, kept, hosts: Mutex::default(), clock }))
    }

    /// Sends a request and reads the whole response, which may have at most `most` bytes.
    pub(super) async fn exchange(self, request: Request<Bytes>, most: usize) -> Result<Response<Bytes>, Failure> {
        let not_sent = |error: BoxError| Failure::NotSent(error);
        let (host, mut request) = in_origin_form(request).map_err(not_sent)?;
        loop {
            let Connection { mut sender, is_new, .. } = self.connection(&host).await.map_err(not_sent)?;
            let call = Call { connections: &self, host: &host, began: (self.0.clock)().monotonic, is_silent: true };
            let response = match sender.try_send_request(request).await {
                Ok(response) => response,
                Err(mut error) => match error.take_message() {
                    // the connection was closed while it was idle
                    Some(unsent) if !is_new => {
                        call.end();
                        request = unsent;
                        continue;
                    }
                    Some(_) => {
                        call.end();
                        return Err(Failure::NotSent(error.into_error().into()));
                    }
                    None => {
                        call.broke();
                        return Err(Failure::Broken(error.into_error().into()));
                    }
                },
            };
            let (head, body) = response.into_parts();
            return match Limited::new(body, most).collect().await {
                Ok(body) => {
                    call.end();
                    self.return_proven(&host, sender);
                    Ok(Response::from_parts(head, body.to_bytes()))
                }
                Err(error) => {
                    call.broke();
                    Err(Failure::Broken(error))
                }
            };
        }
    }

    /// Returns a trusted idle connection. Otherwise returns the first available connection: a new one, or one that another
    /// call has finished with.
    async fn connection(&self, host: &Host) -> Result<Connection, BoxError> {
        let (given_back, mut waiting) = oneshot::channel();
        {
            let mut hosts = self.hosts();
            let of_host = hosts.entry(host.clone()).or_default();
            of_host.trust.begin((self.0.clock)());
            if let Some(connection) = of_host.take() {
                return Ok(connection);
            }
            of_host.waiting.push_back(given_back);
        }
        let mut opening = tokio::spawn(self.clone().open(host.clone()));
        tokio::select! {
            biased;
            Ok(connection) = &mut waiting => {
                let (connections, host) = (self.clone(), host.clone());
                // keep the new connection for the next call
                tokio::spawn(async move {
                    if let Ok(Ok(connection)) = opening.await {
                        connections.keep(&host, connection);
                    }
                });
                Ok(connection)
            }
            opened = &mut opening => {
                drop(waiting);
                if let Some(of_host) = self.hosts().get_mut(host) {
                    of_host.waiting.retain(|waiting| !waiting.is_closed());
                }
                opened.unwrap_or_else(|_| Err("the connection's task ended".into()))
            }
        }
    }

    async fn open(self, host: Host) -> Result<Connection, BoxError> {
        let limit = self.0.connect_timeout;
        let opening = async {
            let (scheme, authority) = host.clone();
            let url = Uri::builder().scheme(scheme).authority(authority).path_and_query("/").build()?;
            let mut connector = self.0.connector.clone();
            poll_fn(|context| connector.poll_ready(context)).await?;
            let (sender, connection) = handshake(connector.call(url).await?).await?;
            // an error that ends the connection is also reported to its calls
            tokio::spawn(async move { drop(connection.await) });
            Ok::<_, BoxError>(sender)
        };
        let opened = timeout(limit, opening).await;
        let sender = opened.unwrap_or_else(|_| Err(format!("no connection within {limit:?}").into()))?;
        let now = (self.0.clock)();
        if let Some(of_host) = self.hosts().get_mut(&host) {
            of_host.trust.confirm(now);
        }
        Ok(Connection { sender, proven_at: now.monotonic, is_new: true })
    }

    /// Returns a connection to the pool after it has carried a response.
    fn return_proven(&self, host: &Host, mut sender: SendRequest<Full<Bytes>>) {
        let now = (self.0.clock)();
        if let Some(of_host) = self.hosts().get_mut(host) {
            of_host.trust.confirm(now);
        }
        if sender.is_ready() {
            self.keep(host, Connection { sender, proven_at: now.monotonic, is_new: false });
        } else if !sender.is_closed() {
            let (connections, host) = (self.clone(), host.clone());
            tokio::spawn(async move {
                // the connection's task has not noticed yet that the response is complete
                if let Ok(Ok(())) = timeout(connections.0.connect_timeout, sender.ready()).await {
                    connections.keep(&host, Connection { sender, proven_at: now.monotonic, is_new: false });
                }
            });
        }
    }

    /// Passes a connection to a waiting call, or keeps it for the next one.
    fn keep(&self, host: &Host, mut connection: Connection) {
        let mut hosts = self.hosts();
        let Some(of_host) = hosts.get_mut(host) else { return };
        connection.is_new = false;
        while let Some(waiting) = of_host.waiting.pop_front() {
            match waiting.send(connection) {
                Ok(()) => return,
                Err(unwanted) => connection = unwanted,
            }
        }
        if of_host.idle.len() >= self.0.kept && !of_host.idle.is_empty() {
            of_host.idle.remove(0);
        }
        of_host.idle.push(connection);
    }

    fn hosts(&self) -> MutexGuard<'_, HashMap<Host, OfHost>> {
        self.0.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OfHost {
    /// Returns the idle connection with the most recent proof, if it is trusted. Otherwise closes all idle connections,
    /// because their proofs are even older.
    fn take(&mut self) -> Option<Connection> {
        while let Some(connection) = self.idle.pop() {
            if self.trust.is_trusted(connection.proven_at) && connection.sender.is_ready() {
                return Some(connection);
            }
        }
        None
    }
}

/// A request that was passed to a connection. If it is dropped before it has ended, its caller has stopped waiting.
struct Call<'a> {
    connections: &'a Connections,
    host: &'a Host,
    began: Instant,
    is_silent: bool,
}

impl Call<'_> {
    /// Ends the call after a response, or because it was not sent.
    fn end(mut self) {
        self.is_silent = false;
    }

    /// Ends the call because its connection broke before a complete response.
    fn broke(mut self) {
        self.is_silent = false;
        self.no_response();
    }

    fn no_response(&self) {
        if let Some(of_host) = self.connections.hosts().get_mut(self.host) {
            of_host.trust.no_response(self.began);
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let waited = || (self.connections.0.clock)().monotonic.saturating_duration_since(self.began);
        if self.is_silent && waited() >= SILENCE {
            self.no_response();
        }
    }
}

/// Returns the host of a request, and the request in origin form, as it is sent over a connection to that host.
fn in_origin_form(mut request: Request<Bytes>) -> Result<(Host, Request<Full<Bytes>>), BoxError> {
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    let (Some(scheme), Some(authority)) = (parts.scheme.take(), parts.authority.take()) else {
        return Err("no scheme or no host in the request's url".into());
    };
    let path = parts.path_and_query.map_or_else(|| Ok(PathAndQuery::from_static("/")), Ok::<_, InvalidUri>)?;
    *request.uri_mut() = Uri::from(path);
    if !request.headers().contains_key(HOST) {
        // the header must equal the value that was signed
        let is_usual = matches!((scheme.as_str(), authority.port_u16()), ("http", Some(80)) | ("https", Some(443)));
        let name = if is_usual { authority.host() } else { authority.as_str() };
        request.headers_mut().insert(HOST, HeaderValue::from_str(name)?);
    }
    Ok(((scheme, authority), request.map(Full::new)))
}
