//! The connections of the process, over which all calls to AWS go: opened when they are needed, kept, and used again.
//!
//! HTTP/1.1 alone: many calls at once are as many connections, and the code of HTTP/2 would be for nothing.

mod connections;
mod trust;

use aws_smithy_runtime_api::client::http::http_client_fn;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use connections::{Connections, Failure};
use http::{Request, Response};
use http_body_util::{BodyExt, Collected};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector as TcpConnector;
use std::error::Error;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use trust::Moment;

/// The longest response to a request without a body: a stored item of 400 KB that made a condition fail, each of whose
/// characters may be an escape. Many may come at once, and must fit in the memory that the event leaves.
const MAX_RESPONSE_BYTES: usize = 4 * 1024 * 1024;
/// How many bytes each byte of a request may add to its response. DynamoDB hands back at most all that was sent to it, and may
/// escape it otherwise than we do.
const MAX_ECHO: usize = 4;
/// How long a connection may take until it can be used: name resolution, TCP and TLS. Within a region it is milliseconds; a
/// stuck one must not cost the deadline.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a response may take, from the request's first byte to the response's last. A limit for callers that have none
/// of their own; the writes and the quarantine queue have shorter ones.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// What carries a request to its response.
pub trait HttpTransport: fmt::Debug + Send + Sync {
    /// Sends `request` and reads the whole response.
    fn send(&self, request: Request<Bytes>) -> ResponseFuture;
}

/// A response that is under way.
pub type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response<Bytes>, TransportError>> + Send>>;

/// Why there is no response to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportError {
    /// What may have become of the request.
    pub kind: TransportErrorKind,
    /// What happened, and with which host. It comes from below HTTP and holds nothing of the request.
    pub cause: Box<str>,
}

/// What may have become of a request that has no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportErrorKind {
    /// There was no connection: it was not sent.
    NotSent,
    /// The connection broke before a whole response was there, as one does that died while the environment was frozen; or the
    /// response is too long. The request may have arrived, and may still be carried out: what there is of the response does not
    /// say who gave it.
    Broken,
    /// A response came to no end in time. It may still be carried out.
    TimedOut,
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl Error for TransportError {}

/// The connections.
#[derive(Debug, Clone)]
pub struct ConnectionPool {
    connections: Connections,
    response_timeout: Duration,
    max_response_bytes: usize,
}

impl ConnectionPool {
    /// Keeps up to `kept` connections to a host that are not in use.
    ///
    /// # Errors
    /// If there are no certificates to trust.
    pub fn new(kept: usize) -> io::Result<Self> {
        Self::with_clock(kept, CONNECT_TIMEOUT, Moment::now)
    }

    /// The same for calls that are not the function's: whose responses may come later and, for an empty request, be longer.
    #[must_use]
    pub fn with_responses(self, timeout: Duration, max_bytes: usize) -> Self {
        Self { response_timeout: timeout, max_response_bytes: max_bytes, ..self }
    }

    fn with_clock(kept: usize, connect: Duration, clock: fn() -> Moment) -> io::Result<Self> {
        let mut tcp = TcpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let tls = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let connections = Connections::new(tls, connect, kept, clock);
        Ok(Self { connections, response_timeout: RESPONSE_TIMEOUT, max_response_bytes: MAX_RESPONSE_BYTES })
    }
}

impl HttpTransport for ConnectionPool {
    fn send(&self, request: Request<Bytes>) -> ResponseFuture {
        let host = request.uri().authority().map_or_else(String::new, ToString::to_string);
        let limit = self.response_timeout;
        let most = self.max_response_bytes.saturating_add(request.body().len().saturating_mul(MAX_ECHO));
        let response = self.connections.clone().exchange(request, most);
        Box::pin(async move {
            let (kind, cause) = match timeout(limit, response).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(Failure::NotSent(error))) => (TransportErrorKind::NotSent, chain(error.as_ref())),
                Ok(Err(Failure::Broken(error))) => (TransportErrorKind::Broken, chain(error.as_ref())),
                Err(_) => (TransportErrorKind::TimedOut, format!("no response within {limit:?}")),
            };
            Err(TransportError { kind, cause: format!("{host}: {cause}").into() })
        })
    }
}

/// What an error of the network and its causes say.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    for text in std::iter::successors(Some(error), |&error| error.source()).map(ToString::to_string) {
        // some repeat what is below them
        if texts.last().is_none_or(|last| !last.contains(&text)) {
            texts.push(text);
        }
    }
    texts.join(": ")
}

/// The same connections for the SDK's own clients.
pub fn sdk_http_client(transport: Arc<dyn HttpTransport>) -> SharedHttpClient {
    let connector = SharedHttpConnector::new(SdkConnector(transport));
    http_client_fn(move |_, _| connector.clone())
}

#[derive(Debug)]
struct SdkConnector(Arc<dyn HttpTransport>);

impl HttpConnector for SdkConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let transport = Arc::clone(&self.0);
        HttpConnectorFuture::new(async move {
            let (head, body) =
                request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?.into_parts();
            let body = body.collect().await.map(Collected::to_bytes).map_err(ConnectorError::user)?;
            let response = transport.send(Request::from_parts(head, body)).await;
            let response = response.map_err(|error| ConnectorError::io(error.into()))?;
            HttpResponse::try_from(response.map(SdkBody::from)).map_err(|error| ConnectorError::io(error.into()))
        })
    }
}

/// For tests: no response ever comes.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Silent;

#[cfg(test)]
impl HttpTransport for Silent {
    fn send(&self, _: Request<Bytes>) -> ResponseFuture {
        Box::pin(std::future::pending())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    const SHORT: Duration = Duration::from_millis(100);

    async fn get(url: &str) -> Result<Response<Bytes>, TransportError> {
        let pool = ConnectionPool::with_clock(1, SHORT, Moment::now).unwrap();
        let pool = pool.with_responses(3 * SHORT, MAX_RESPONSE_BYTES);
        pool.send(Request::get(url).body(Bytes::from_static(b"payload")).unwrap()).await
    }

    /// A server that reads a request and sends `response`, then nothing more.
    async fn server(response: &'static str) -> String {
        serve(response, true).await
    }

    /// A server that reads a request, sends `response` and closes the connection.
    async fn closing(response: &'static str) -> String {
        serve(response, false).await
    }

    async fn serve(response: &'static str, holds: bool) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((mut connection, _)) = listener.accept().await {
                let _ = connection.read(&mut [0; 1024]).await;
                let _ = connection.write_all(response.as_bytes()).await;
                held.extend(holds.then_some(connection));
            }
        });
        address.to_string()
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_costs_a_limited_time_at_every_step() {
        let silent = server("").await;
        for (url, cause) in [
            (format!("http://{silent}/"), "no response within 300ms"),
            (format!("https://{silent}/"), "no connection within 100ms"),
        ] {
            assert_eq!(&*get(&url).await.unwrap_err().cause, format!("{silent}: {cause}"));
        }
        let half = server("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await;
        assert_eq!(
            &*get(&format!("http://{half}/")).await.unwrap_err().cause,
            format!("{half}: no response within 300ms")
        );
    }

    #[tokio::test]
    async fn an_error_says_what_may_have_become_of_the_request() {
        let refusing = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let (broken, half) = (closing("").await, closing("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await);
        let gateway = closing("HTTP/1.1 504 Gateway Timeout\r\ncontent-length: 100\r\n\r\nhalf").await;
        let silent = server("").await;
        for (url, kind) in [
            (format!("http://{refusing}/"), TransportErrorKind::NotSent),
            (format!("https://{silent}/"), TransportErrorKind::NotSent),
            (format!("http://{broken}/"), TransportErrorKind::Broken),
            (format!("http://{silent}/"), TransportErrorKind::TimedOut),
            (format!("http://{half}/"), TransportErrorKind::Broken),
            (format!("http://{gateway}/"), TransportErrorKind::Broken),
        ] {
            let error = get(&url).await.unwrap_err();
            assert_eq!(error.kind, kind, "{error}");
        }
    }

    /// A server each of whose connections answers so many requests and is silent then, and how many there were.
    async fn answering(requests: usize) -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let opened = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&opened);
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    for number in 0.. {
                        if connection.read(&mut [0; 1024]).await.is_ok_and(|bytes| bytes == 0) {
                            return;
                        }
                        if number < requests {
                            tokio::time::sleep(SHORT / 5).await;
                            let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                        }
                    }
                });
            }
        });
        (url, opened)
    }

    fn empty(url: &str) -> Request<Bytes> {
        Request::get(url).body(Bytes::new()).unwrap()
    }

    #[tokio::test]
    async fn after_a_call_without_response_the_next_one_has_a_new_connection_and_the_dead_ones_are_gone() {
        let (url, opened) = answering(1).await;
        let pool = ConnectionPool::new(50).unwrap().with_responses(6 * SHORT, MAX_RESPONSE_BYTES);
        let calls: Vec<_> = (0..20).map(|_| tokio::spawn(pool.send(empty(&url)))).collect();
        for call in calls {
            call.await.unwrap().unwrap();
        }
        let before = opened.load(Ordering::Relaxed);
        assert!(before > 1, "{before}");
        assert_eq!(pool.send(empty(&url)).await.unwrap_err().kind, TransportErrorKind::TimedOut);
        for later in 1..=3 {
            // each new connection has answered its one request then, and the next call finds no other
            assert!(later == 1 || pool.send(empty(&url)).await.is_err());
            pool.send(empty(&url)).await.unwrap();
            assert_eq!(opened.load(Ordering::Relaxed), before + later);
        }
    }

    #[tokio::test]
    async fn a_call_that_its_caller_gives_up_counts_as_silent_only_if_it_was_for_long() {
        for (given_up_after, connections) in [(SHORT, 2), (6 * SHORT, 3)] {
            let (url, opened) = answering(1).await;
            let pool = ConnectionPool::new(50).unwrap();
            let (one, other) = tokio::join!(pool.send(empty(&url)), pool.send(empty(&url)));
            assert!(one.is_ok() && other.is_ok());
            assert_eq!(opened.load(Ordering::Relaxed), 2);
            assert!(timeout(given_up_after, pool.send(empty(&url))).await.is_err());
            let _ = timeout(6 * SHORT, pool.send(empty(&url))).await;
            assert_eq!(opened.load(Ordering::Relaxed), connections, "{given_up_after:?}");
        }
    }

    #[tokio::test]
    async fn after_a_gap_no_idle_connection_is_used() {
        static GAP_MS: AtomicU64 = AtomicU64::new(0);
        fn clock() -> Moment {
            let now = Moment::now();
            Moment { wall: now.wall + Duration::from_millis(GAP_MS.load(Ordering::Relaxed)), ..now }
        }
        let (url, opened) = answering(100).await;
        let pool = ConnectionPool::with_clock(50, CONNECT_TIMEOUT, clock).unwrap();
        for (gap, connections) in [(0, 1), (0, 1), (9_000, 1), (20_000, 2), (0, 2)] {
            GAP_MS.fetch_add(gap, Ordering::Relaxed);
            pool.send(empty(&url)).await.unwrap();
            assert_eq!(opened.load(Ordering::Relaxed), connections, "{gap}");
        }
    }

    #[tokio::test]
    async fn a_connection_that_was_closed_while_idle_costs_no_call() {
        let url = format!("http://{}/", closing("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await);
        let pool = ConnectionPool::new(50).unwrap();
        for _ in 0..5 {
            assert_eq!(pool.send(empty(&url)).await.unwrap().body(), "ok");
        }
    }

    #[tokio::test]
    async fn a_response_is_as_long_as_its_request_allows() {
        const BODY: usize = "payload".len();
        for (bytes, is_read) in
            [(MAX_RESPONSE_BYTES + MAX_ECHO * BODY, true), (MAX_RESPONSE_BYTES + MAX_ECHO * BODY + 1, false)]
        {
            let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n{}", "x".repeat(bytes));
            let url = format!("http://{}/", server(text.leak()).await);
            let pool = ConnectionPool::new(1).unwrap();
            let response = pool.send(Request::get(&url).body(Bytes::from_static(b"payload")).unwrap()).await;
            assert_eq!(response.is_ok_and(|response| response.body().len() == bytes), is_read);
        }
    }

    #[tokio::test]
    async fn the_cause_of_an_error_is_short_and_names_the_host() {
        let refusing = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        for (url, host, cause) in [
            (format!("http://{refusing}/"), refusing.to_string(), "Connection refused"),
            ("http://nowhere.invalid/".to_owned(), "nowhere.invalid".to_owned(), "dns error: "),
        ] {
            let error = get(&url).await.unwrap_err();
            assert_eq!(error.kind, TransportErrorKind::NotSent);
            assert!(error.cause.starts_with(&format!("{host}: ")) && error.cause.contains(cause), "{error}");
            assert!(error.cause.len() < 150 && !error.cause.contains("payload"), "{error}");
        }
    }
}
