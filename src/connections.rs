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

/// The longest answer that is read. DynamoDB hands back at most all that was sent to it, 16 MB, and may escape it otherwise
/// than we do.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// How long a connection may take to open. Within a region it is milliseconds; a stuck one must not cost the deadline.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// What carries a request to its answer.
pub trait Exchange: fmt::Debug + Send + Sync {
    /// Sends `request` and reads the whole answer.
    fn send(&self, request: Request<Bytes>) -> Answering;
}

/// An answer on its way.
pub type Answering = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Unanswered>> + Send>>;

/// Why there is no answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unanswered {
    /// The connection failed before an answer began, as one does that died while the environment was frozen.
    pub before_answer: bool,
    /// What happened.
    pub cause: Box<str>,
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl std::error::Error for Unanswered {}

/// The connections.
#[derive(Debug, Clone)]
pub struct Connections(Client<HttpsConnector<TcpConnector>, Full<Bytes>>);

impl Connections {
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

impl Exchange for Connections {
    fn send(&self, request: Request<Bytes>) -> Answering {
        let answer = self.0.request(request.map(Full::new));
        Box::pin(async move {
            let (head, body) = answer.await.map_err(|error| unanswered(true, &error))?.into_parts();
            let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
            let body = body.map_err(|error| unanswered(false, error.as_ref()))?;
            Ok(Response::from_parts(head, body.to_bytes()))
        })
    }
}

fn unanswered(before_answer: bool, error: &(dyn std::error::Error + 'static)) -> Unanswered {
    Unanswered { before_answer, cause: DisplayErrorContext(error).to_string().into() }
}

/// The same connections for the SDK's own clients.
pub fn for_the_sdk(exchange: Arc<dyn Exchange>) -> SharedHttpClient {
    let connector = SharedHttpConnector::new(SdkConnector(exchange));
    http_client_fn(move |_, _| connector.clone())
}

#[derive(Debug)]
struct SdkConnector(Arc<dyn Exchange>);

impl HttpConnector for SdkConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let exchange = Arc::clone(&self.0);
        HttpConnectorFuture::new(async move {
            let (head, body) =
                request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?.into_parts();
            let body = body.collect().await.map(Collected::to_bytes).map_err(ConnectorError::user)?;
            let answer = exchange.send(Request::from_parts(head, body)).await;
            let answer = answer.map_err(|error| ConnectorError::io(error.into()))?;
            HttpResponse::try_from(answer.map(SdkBody::from)).map_err(|error| ConnectorError::io(error.into()))
        })
    }
}
