//! HTTP client of a registry. Authenticates, follows redirects, and retries transient failures.

use crate::connections::connection_pool;
use avro_ingest::transport::{ConnectionPool, HttpTransport};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, LOCATION, RETRY_AFTER};
use http::{HeaderValue, Request, Response, StatusCode};
use serde_json::Value;
use std::fmt;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use url::Url;

/// Maximum number of attempts per request.
const ATTEMPTS: u32 = 5;
/// Wait before the second attempt. It doubles with each further attempt. A `Retry-After` header replaces it.
const BACKOFF: Duration = Duration::from_millis(250);
/// Maximum wait that a registry may request. If it requests more, the request is not retried.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// Maximum number of redirects per request, which ends redirect loops.
const MAX_REDIRECTS: u32 = 5;
const MEDIA_TYPES: &str = "application/vnd.schemaregistry.v1+json, application/json";

/// Client of one registry.
pub(super) struct Client {
    pub(super) authorization: Option<HeaderValue>,
    pool: ConnectionPool,
}

/// Failure of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RequestError {
    /// The registry refused the request.
    Refused { url: String, status: StatusCode, message: String, retry_after: Option<Duration> },
    /// No response arrived, or a redirect could not be followed.
    NoResponse { url: String, cause: String },
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { url, status, message, retry_after } => {
                write!(f, "{url}: {status}")?;
                if !message.is_empty() {
                    write!(f, " {message}")?;
                }
                match retry_after {
                    Some(wait) if *wait > MAX_WAIT => write!(f, " (try again in {} s)", wait.as_secs()),
                    _ => Ok(()),
                }
            }
            Self::NoResponse { url, cause } => write!(f, "{url}: {cause}"),
        }
    }
}

impl RequestError {
    /// Returns whether a retry may succeed.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Refused { status, .. } => *status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error(),
            Self::NoResponse { .. } => true,
        }
    }

    /// Returns the wait that the registry requests.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            Self::NoResponse { .. } => None,
        }
    }
}

impl Client {
    pub(super) fn new(authorization: Option<HeaderValue>) -> io::Result<Self> {
        Ok(Self { authorization, pool: connection_pool(4)? })
    }

    /// Returns the response body for `url`.
    ///
    /// # Errors
    /// If the registry refuses the request, or if all attempts fail.
    pub(super) async fn get(&self, url: &str) -> Result<Bytes, RequestError> {
        let mut backoff = BACKOFF;
        for _ in 1..ATTEMPTS {
            let error = match self.follow(url).await {
                Ok(body) => return Ok(body),
                Err(error) => error,
            };
            let wait = error.retry_after().unwrap_or(backoff);
            if !error.is_transient() || wait > MAX_WAIT {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
            backoff *= 2;
        }
        self.follow(url).await
    }

    /// Sends a request, and follows redirects.
    async fn follow(&self, url: &str) -> Result<Bytes, RequestError> {
        let failed = |cause: String| RequestError::NoResponse { url: url.to_owned(), cause };
        let (mut target, mut authorization) = (url.to_owned(), self.authorization.clone());
        for _ in 0..=MAX_REDIRECTS {
            let mut request = Request::get(&target).header(ACCEPT, MEDIA_TYPES);
            if let Some(authorization) = &authorization {
                request = request.header(AUTHORIZATION, authorization);
            }
            let request = request.body(Bytes::new()).map_err(|error| failed(error.to_string()))?;
            let response = self.pool.send(request).await.map_err(|error| failed(error.to_string()))?;
            let status = response.status();
            if status.is_success() {
                return Ok(response.into_body());
            }
            let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
            let Some(location) = location.filter(|_| is_redirect(status)) else {
                return Err(refused(url, &response, UNIX_EPOCH + local::clock::since_epoch()));
            };
            let next = redirect(&target, location).map_err(failed)?;
            if !next.same_origin {
                authorization = None;
            }
            target = next.url;
        }
        Err(failed(format!("more than {MAX_REDIRECTS} redirects")))
    }
}

/// Returns whether the response is a redirect with a target. `304 Not Modified` and `300 Multiple Choices` have none.
fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Target of a redirect.
#[derive(Debug, PartialEq, Eq)]
struct Redirect {
    url: String,
    /// Whether the target is on the same server. Credentials are not sent to any other server.
    same_origin: bool,
}

/// Resolves the `Location` header of a response from `from`.
fn redirect(from: &str, location: &str) -> Result<Redirect, String> {
    let from = Url::parse(from).map_err(|error| error.to_string())?;
    let to = from.join(location).map_err(|error| format!("a redirect to no URL: {error}"))?;
    let is_weaker = from.scheme() == "https" && to.scheme() != "https";
    if is_weaker || !matches!(to.scheme(), "http" | "https") {
        return Err(format!("a redirect to {}://, which is not followed", to.scheme()));
    }
    Ok(Redirect { same_origin: from.origin() == to.origin(), url: to.into() })
}

/// Parses an error response. `now` is the current time, for a `Retry-After` date.
fn refused(url: &str, response: &Response<Bytes>, now: SystemTime) -> RequestError {
    let error: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    let message = error.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?, now));
    RequestError::Refused { url: url.to_owned(), status: response.status(), message, retry_after }
}

/// Parses a `Retry-After` header, which holds seconds or a date.
/// <https://www.rfc-editor.org/rfc/rfc9110#name-retry-after>
fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    match value.trim().parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => Some(httpdate::parse_http_date(value.trim()).ok()?.duration_since(now).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_a_number_of_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Fri, 31 Dec 1999 23:59:50 GMT").unwrap();
        let wait = |value| retry_after(value, now);
        assert_eq!(wait("120"), Some(Duration::from_secs(120)));
        assert_eq!(wait("Fri, 31 Dec 1999 23:59:59 GMT"), Some(Duration::from_secs(9)));
        assert_eq!(wait("Fri, 31 Dec 1999 23:59:49 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("soon"), None);
    }

    #[test]
    fn a_redirect_keeps_the_credentials_on_its_server_and_leaves_tls_never() {
        let to = |location| redirect("https://one/a/subjects", location).map(|to| (to.url, to.same_origin));
        assert_eq!(to("/b/subjects"), Ok(("https://one/b/subjects".to_owned(), true)));
        assert_eq!(to("https://two/a%2Fb"), Ok(("https://two/a%2Fb".to_owned(), false)));
        assert!(to("http://one/a").is_err() && to("file:///etc/passwd").is_err());
    }

    #[test]
    fn throttles_and_failures_are_repeated_and_mistakes_are_not() {
        let refused = |status: u16| {
            let response = Response::builder().status(status).body(Bytes::new()).unwrap();
            refused("http://one", &response, UNIX_EPOCH).is_transient()
        };
        assert!([429, 500, 502, 503, 504].into_iter().all(refused));
        assert!(![400, 401, 403, 404, 422].into_iter().any(refused));
    }
}
