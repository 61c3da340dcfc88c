//! The connection pool of the process, used by all calls to AWS. Connections are opened on demand, kept alive, and reused.
//!
//! Only HTTP/1.1 is supported. Concurrent calls use one connection each, so HTTP/2 would only add code.

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

/// Maximum size of a response to a request without a body, in bytes. It fits a stored item of 400 KB that made a condition
/// fail, even if every character is escaped. Many responses may arrive at once and must fit into the memory that the event
/// leaves free.
const MAX_RESPONSE_BYTES: usize = 4 * 1024 * 1024;
/// Maximum number of bytes by which each byte of a request may increase the size of its response. DynamoDB returns at most
/// everything that it received, but may escape it differently.
const MAX_ECHO: usize = 4;
/// Timeout for opening a connection, including name resolution, TCP and TLS. Within a region this takes milliseconds. A
/// connection attempt that hangs must not use up the time until the deadline.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Default timeout of a response, from sending the first byte of the request to receiving the last byte of the response.
/// The writes and the quarantine queue have shorter timeouts of their own.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends an HTTP request and returns its response.
pub trait HttpTransport: fmt::Debug + Send + Sync {
    /// Sends `request` and reads the whole response.
    fn send(&self, request: Request<Bytes>) -> ResponseFuture;
}

/// A future that resolves to a response.
pub type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response<Bytes>, TransportError>> + Send>>;

/// The reason why a request got no response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportError {
    /// Whether the request was sent, and may still take effect.
    pub kind: TransportErrorKind,
    /// Description of the error, including the host. It comes from the network layers and contains no data of the request.
    pub cause: Box<str>,
}

/// Whether a request without a response was sent, and may still take effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportErrorKind {
    /// The request was not sent, because there was no connection.
    NotSent,
    /// The connection broke before the response was complete, for example because it died while the environment was frozen.
    /// Or the response was too long. The request may have arrived and may still take effect, because an incomplete response
    /// does not show who sent it.
    Broken,
    /// The response was not complete before the timeout. The request may still take effect.
    TimedOut,
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl Error for TransportError {}

/// A pool of connections.
#[derive(Debug, Clone)]
pub struct ConnectionPool {
    connections: Connections,
    response_timeout: Duration,
    max_response_bytes: usize,
}

impl ConnectionPool {
    /// Creates a pool that keeps up to `kept` idle connections to each host.
    ///
    /// # Errors
    /// Returns an error if no trusted certificates are available.
    pub fn new(kept: usize) -> io::Result<Self> {
        Self::with_clock(kept, CONNECT_TIMEOUT, Moment::now)
    }

    /// Sets the limits of responses: the timeout, and the maximum size in bytes of a response to an empty request. For
    /// programs other than the function, whose responses may be slower or larger.
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

/// Returns the texts of a network error and its sources.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    for text in std::iter::successors(Some(error), |&error| error.source()).map(ToString::to_string) {
        // some errors already contain the text of their source
        if texts.last().is_none_or(|last| !last.contains(&text)) {
            texts.push(text);
        }
    }
    texts.join(": ")
}

/// Creates an HTTP client for the SDK's clients that uses the same connections.
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

/// A transport for tests that never responds.
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

    /// Starts a server that reads one request per connection, sends `response`, and keeps the connection open. Returns its
    /// address.
    async fn server(response: &'static str) -> String {
        serve(response, true).await
    }

    /// Starts a server that reads one request per connection, sends `response`, and closes the connection. Returns its
    /// address.
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

    /// Starts a server that responds to `requests` requests on each connection and then stops responding. Returns its URL
    /// and the number of connections.
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
            // each new connection has already used up its one response, and the next call finds no other connection
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
