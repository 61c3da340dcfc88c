//! The connections of the process, over which all calls to AWS go: opened when they are needed, kept, and used again.
//!
//! HTTP/1.1 alone: many calls at once are as many connections, and the code of HTTP/2 would be for nothing.

use aws_smithy_runtime_api::client::http::http_client_fn;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::display::DisplayErrorContext;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Collected, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as TcpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// The longest response that is read. DynamoDB hands back at most all that was sent to it, 16 MB, and may escape it otherwise
/// than we do.
const MAX_RESPONSE_BYTES: usize = 64 * 1024 * 1024;
/// How long a connection may take to open. Within a region it is milliseconds; a stuck one must not cost the deadline.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

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
    /// The connection failed before a response began, as one does that died while the environment was frozen.
    pub before_response: bool,
    /// What happened.
    pub cause: Box<str>,
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl std::error::Error for TransportError {}

/// The connections.
#[derive(Debug, Clone)]
pub struct ConnectionPool(Client<HttpsConnector<TcpConnector>, Full<Bytes>>);

impl ConnectionPool {
    /// Keeps up to `kept` connections to a host that are not in use.
    ///
    /// # Errors
    /// If there are no certificates to trust.
    pub fn new(kept: usize) -> io::Result<Self> {
        let mut tcp = TcpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let tls = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_max_idle_per_host(kept);
        Ok(Self(builder.build(tls)))
    }
}

impl HttpTransport for ConnectionPool {
    fn send(&self, request: Request<Bytes>) -> ResponseFuture {
        let response = self.0.request(request.map(Full::new));
        Box::pin(async move {
            let (head, body) = response.await.map_err(|error| transport_error(true, &error))?.into_parts();
            let body = Limited::new(body, MAX_RESPONSE_BYTES).collect().await;
            let body = body.map_err(|error| transport_error(false, error.as_ref()))?;
            Ok(Response::from_parts(head, body.to_bytes()))
        })
    }
}

fn transport_error(before_response: bool, error: &(dyn std::error::Error + 'static)) -> TransportError {
    TransportError { before_response, cause: DisplayErrorContext(error).to_string().into() }
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
