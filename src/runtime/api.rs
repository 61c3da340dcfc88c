//! A client for the Lambda runtime API: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::fmt;
use std::io::ErrorKind;
use std::sync::Arc;
use tokio::net::TcpStream;

const VERSION_PATH: &str = "/2018-06-01/runtime";
const OUR_NAME: &str = concat!("avro-ingest/", env!("CARGO_PKG_VERSION"));
/// Size of the read buffer, in bytes. An event has up to 6 MB.
const READ_BUFFER_BYTES: usize = 1024 * 1024;
const REQUEST_ID: &str = "lambda-runtime-aws-request-id";
const DEADLINE_MS: &str = "lambda-runtime-deadline-ms";
const TRACE_ID: &str = "lambda-runtime-trace-id";
/// Identifies one delivery of an invocation. The response must contain the same value.
const INVOCATION_ID: &str = "lambda-runtime-invocation-id";
const ERROR_TYPE: &str = "lambda-runtime-function-error-type";

/// The address of the runtime API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeApi {
    authority: Authority,
    /// The path before the API's own paths. It is empty except for emulators.
    base_path: String,
}

/// An error of a runtime API call.
#[derive(Debug)]
pub(super) struct ApiError {
    pub(super) kind: ApiErrorKind,
    cause: Box<str>,
}

/// The kind of error, which determines how to continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ApiErrorKind {
    /// The connection was refused, because no process listens at the address.
    Refused,
    /// The call failed, or its response was invalid. A retry may succeed.
    Failed,
    /// The API rejected the request, and would reject it again.
    Rejected,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

/// An invocation, as received from the runtime API.
#[derive(Debug)]
pub(super) struct Invocation {
    pub(super) payload: Bytes,
    pub(super) request_id: String,
    /// The deadline, or `None` if it is missing or invalid.
    pub(super) deadline_ms: Option<u64>,
    pub(super) trace_id: Option<String>,
    pub(super) invocation_id: Option<HeaderValue>,
}

impl RuntimeApi {
    /// Parses the value of `AWS_LAMBDA_RUNTIME_API`. It is `host:port` on Lambda, and may be a URL with an emulator.
    ///
    /// # Errors
    /// Returns an error if the value is neither.
    pub fn parse(address: &str) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let url: Uri = if address.contains("://") { address.parse() } else { format!("http://{address}").parse() }
            .map_err(|error| format!("AWS_LAMBDA_RUNTIME_API is no address: {error}"))?;
        let authority = url.authority().ok_or("AWS_LAMBDA_RUNTIME_API has no host")?.clone();
        Ok(Self { authority, base_path: url.path().trim_end_matches('/').to_owned() })
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Request<Full<Bytes>>, ApiError> {
        let path = format!("{}{VERSION_PATH}{path}", self.base_path);
        let path: PathAndQuery = path.parse().map_err(|_| failed("no path for this request id"))?;
        let host = HeaderValue::from_str(self.authority.as_str()).map_err(|error| failed(&error))?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = Uri::from(path);
        request.headers_mut().insert(HOST, host);
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(OUR_NAME));
        Ok(request)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, ApiError> {
        let address = (self.authority.host(), self.authority.port_u16().unwrap_or(80));
        let stream = TcpStream::connect(address).await.map_err(|error| ApiError {
            kind: if error.kind() == ErrorKind::ConnectionRefused {
                ApiErrorKind::Refused
            } else {
                ApiErrorKind::Failed
            },
            cause: error.to_string().into(),
        })?;
        stream.set_nodelay(true).map_err(|error| failed(&error))?;
        let mut builder = Builder::new();
        builder.max_buf_size(READ_BUFFER_BYTES);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
        // an error that ends the connection is also reported to its calls
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }
}

fn failed(cause: &(impl fmt::Display + ?Sized)) -> ApiError {
    ApiError { kind: ApiErrorKind::Failed, cause: cause.to_string().into() }
}

/// The calls of one poller, over a single connection.
#[derive(Debug)]
pub(super) struct Session {
    api: Arc<RuntimeApi>,
    /// The connection, if it can be reused.
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Session {
    pub(super) fn new(api: Arc<RuntimeApi>) -> Self {
        Self { api, sender: None }
    }

    /// Waits for the next invocation. Returns `None` if the API ends the wait without an invocation.
    pub(super) async fn next(&mut self) -> Result<Option<Invocation>, ApiError> {
        let request = self.api.request(Method::GET, "/invocation/next", Bytes::new())?;
        let (status, headers, payload) = self.call(request).await?;
        match status {
            StatusCode::OK => Ok(Some(invocation(&headers, payload)?)),
            StatusCode::NO_CONTENT => Ok(None),
            status => Err(failed(&format!("status {status} instead of an invocation"))),
        }
    }

    /// Sends `body` to `path`.
    pub(super) async fn post(
        &mut self,
        path: &str,
        body: Bytes,
        error_type: Option<&'static str>,
        invocation_id: Option<&HeaderValue>,
    ) -> Result<(), ApiError> {
        let mut request = self.api.request(Method::POST, path, body)?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(error_type) = error_type {
            request.headers_mut().insert(ERROR_TYPE, HeaderValue::from_static(error_type));
        }
        if let Some(id) = invocation_id {
            request.headers_mut().insert(INVOCATION_ID, id.clone());
        }
        let (status, _, _) = self.call(request).await?;
        if status.is_success() {
            return Ok(());
        }
        let kind = if status.is_server_error() { ApiErrorKind::Failed } else { ApiErrorKind::Rejected };
        Err(ApiError { kind, cause: format!("status {status}").into() })
    }

    async fn call(&mut self, request: Request<Full<Bytes>>) -> Result<(StatusCode, HeaderMap, Bytes), ApiError> {
        let (head, body) = self.send(request).await?.into_parts();
        let body = body.collect().await.map_err(|error| {
            self.sender = None;
            failed(&error)
        })?;
        Ok((head.status, head.headers, body.to_bytes()))
    }

    async fn send(&mut self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>, ApiError> {
        if let Some(mut sender) = self.sender.take()
            && sender.ready().await.is_ok()
        {
            match sender.try_send_request(request).await {
                Ok(response) => {
                    self.sender = Some(sender);
                    return Ok(response);
                }
                // the connection was closed while it was idle
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(failed(&error.into_error())),
                },
            }
        }
        let mut sender = self.api.connect().await?;
        let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
        self.sender = Some(sender);
        Ok(response)
    }
}

fn invocation(headers: &HeaderMap, payload: Bytes) -> Result<Invocation, ApiError> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    Ok(Invocation {
        payload,
        request_id: text(REQUEST_ID).ok_or_else(|| failed("an invocation without its id"))?.to_owned(),
        deadline_ms: text(DEADLINE_MS).and_then(|deadline| deadline.parse().ok()),
        trace_id: text(TRACE_ID).map(str::to_owned),
        invocation_id: headers.get(INVOCATION_ID).cloned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_a_host_with_a_port_or_an_emulators_url() {
        let api = RuntimeApi::parse("127.0.0.1:9001").unwrap();
        assert_eq!((api.authority.as_str(), api.base_path.as_str()), ("127.0.0.1:9001", ""));
        let api = RuntimeApi::parse("http://127.0.0.1:9000/.rt/").unwrap();
        assert_eq!((api.authority.as_str(), api.base_path.as_str()), ("127.0.0.1:9000", "/.rt"));
        let request = api.request(Method::GET, "/invocation/next", Bytes::new()).unwrap();
        assert_eq!(request.uri(), "/.rt/2018-06-01/runtime/invocation/next");
        assert!(RuntimeApi::parse("not an address").is_err());
    }
}
