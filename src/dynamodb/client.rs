//! The DynamoDB client. The SDK provides credentials and endpoints, but a call through the SDK's client would cost more CPU
//! time than all our other work for the call. So this module sends the three write operations itself, with bodies that the
//! writer has already encoded.
//!
//! This module never retries a write. The writer owns retries, and decides by the `CallError`.

use super::credentials::{CredentialsCache, NoCredentials};
use super::mapping::Mapping;
use super::response::{self, Blame, CallError, Refusal, WriteResponse};
use super::signature::{CONTENT_TYPE, SignableRequest, Signature, Signer};
use crate::clock;
use crate::patience::in_time;
use crate::transport::{HttpTransport, TransportError, TransportErrorKind};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use bytes::Bytes;
use http::header::InvalidHeaderValue;
use http::uri::{InvalidUri, Uri};
use http::{HeaderValue, Method, Request, Response};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Name of the service in a signature.
const SERVICE: &str = "dynamodb";
const USER_AGENT: &str = concat!("avro-ingest/", env!("CARGO_PKG_VERSION"));
/// Minimum difference between our clock and DynamoDB's, in seconds, at which a refused signature is attributed to clock
/// skew. AWS refuses signatures that are more than five minutes off. The SDK uses the same threshold.
const CLOCK_TOLERANCE: u64 = 4 * 60;
/// Timeout of a response. Beyond it, a retry is more likely to succeed than waiting.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A client for the DynamoDB operations of this function. Clones share connections and credentials.
#[derive(Clone)]
pub struct Client(Arc<ClientState>);

struct ClientState {
    transport: Arc<dyn HttpTransport>,
    credentials: CredentialsCache,
    /// The most recent signer, and the credentials that it was made from.
    signer: Mutex<Option<(Arc<Credentials>, Arc<Signer>)>>,
    /// Offset of DynamoDB's clock relative to ours, in seconds.
    clock_offset: AtomicI64,
    region: String,
    url: Uri,
}

/// A response, together with the credentials and the clock offset that its request was signed with.
struct Attempt {
    response: Response<Bytes>,
    credentials: Arc<Credentials>,
    clock_offset: i64,
}

impl Client {
    /// Creates a client that sends requests for `region` to `url` over `transport`, signed with `credentials`.
    ///
    /// # Errors
    /// Returns an error if `url` is not a valid URI.
    pub fn new(
        transport: Arc<dyn HttpTransport>,
        credentials: SharedCredentialsProvider,
        region: String,
        url: &str,
    ) -> Result<Self, InvalidUri> {
        Ok(Self(Arc::new(ClientState {
            transport,
            credentials: CredentialsCache::new(credentials),
            signer: Mutex::default(),
            clock_offset: AtomicI64::default(),
            region,
            url: url.parse()?,
        })))
    }

    /// Sends a BatchWriteItem with the given body. All its items must be in the table of `mappings`.
    pub(crate) async fn batch_write(
        &self,
        body: Bytes,
        mappings: &[&Mapping],
        deadline: Instant,
    ) -> Result<WriteResponse, CallError> {
        response::read_batch_response(&self.post("DynamoDB_20120810.BatchWriteItem", body, deadline).await?, mappings)
    }

    /// Sends a PutItem with the given body.
    pub(crate) async fn put(&self, body: Bytes, deadline: Instant) -> Result<WriteResponse, CallError> {
        response::read_item_response(&self.post("DynamoDB_20120810.PutItem", body, deadline).await?)
    }

    /// Sends a DeleteItem with the given body.
    pub(crate) async fn delete(&self, body: Bytes, deadline: Instant) -> Result<WriteResponse, CallError> {
        response::read_item_response(&self.post("DynamoDB_20120810.DeleteItem", body, deadline).await?)
    }

    /// Opens a connection and loads the credentials by a call that writes nothing: DynamoDB refuses it because it has no
    /// items.
    pub(crate) async fn warm_up(&self) -> Result<(), CallError> {
        let deadline = clock::now() + RESPONSE_TIMEOUT;
        match self.batch_write(Bytes::from_static(b"{\"RequestItems\":{}}"), &[], deadline).await {
            Ok(_) => Ok(()),
            Err(CallError::Refused(Refusal { blame, .. })) if blame != Blame::Operator => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Loads credentials unless valid ones are cached. The time for this then does not count as latency of the next call.
    pub(crate) async fn ready(&self, deadline: Instant) -> Result<(), CallError> {
        let now = shifted(clock::since_epoch(), self.0.clock_offset.load(Ordering::Relaxed));
        self.credentials(now, deadline).await.map(|_| ())
    }

    async fn credentials(&self, now: Duration, deadline: Instant) -> Result<Arc<Credentials>, CallError> {
        let late = |_| CallError::NotSent("no credentials before the deadline".into());
        Ok(timeout_at(deadline, self.0.credentials.provide(now)).await.map_err(late)??)
    }

    /// Sends a signed request and returns the body of a successful response. If the signature is refused because of clock
    /// skew or outdated credentials, corrects the cause and sends the request once more.
    async fn post(&self, target: &'static str, body: Bytes, deadline: Instant) -> Result<Bytes, CallError> {
        let mut attempt = self.attempt(target, body.clone(), deadline).await?;
        if is_signature_refused(&attempt.response) && self.would_sign_otherwise(&attempt, deadline).await? {
            attempt = self.attempt(target, body, deadline).await?;
        }
        let response = attempt.response;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        Err(response::refusal(response.status().as_u16(), error_type(&response), response.body()))
    }

    async fn attempt(&self, target: &'static str, body: Bytes, deadline: Instant) -> Result<Attempt, CallError> {
        let clock_offset = self.0.clock_offset.load(Ordering::Relaxed);
        let now = shifted(clock::since_epoch(), clock_offset);
        let credentials = self.credentials(now, deadline).await?;
        let signer = self.signer(&credentials, now);
        // an error here means that nothing was sent
        let request =
            self.request(target, body, &signer, now).map_err(|error| CallError::Fatal(error.to_string().into()))?;
        let until = deadline.min(clock::now() + RESPONSE_TIMEOUT);
        let response = in_time(until, self.0.transport.send(request)).await;
        let response = response.ok_or(CallError::TimedOut("no response in time".into()))??;
        Ok(Attempt { response, credentials, clock_offset })
    }

    /// Corrects clock skew or reloads credentials after the signature of `attempt` was refused. Returns whether the next
    /// signature will differ.
    async fn would_sign_otherwise(&self, attempt: &Attempt, deadline: Instant) -> Result<bool, CallError> {
        let now = clock::since_epoch();
        if let Some(theirs) = date(&attempt.response) {
            let offset = theirs - i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
            if offset.abs_diff(attempt.clock_offset) > CLOCK_TOLERANCE {
                tracing::warn!(offset_seconds = offset, "clock corrected by dynamodb's");
                self.0.clock_offset.store(offset, Ordering::Relaxed);
                return Ok(true);
            }
        }
        self.0.credentials.discard(&attempt.credentials);
        let credentials = self.credentials(shifted(now, attempt.clock_offset), deadline).await?;
        Ok(credentials != attempt.credentials)
    }

    fn request(
        &self,
        target: &'static str,
        body: Bytes,
        signer: &Signer,
        now: Duration,
    ) -> Result<Request<Bytes>, InvalidHeaderValue> {
        let url = &self.0.url;
        let host = url.authority().map_or("", |authority| authority.as_str());
        let unsigned = SignableRequest { host, path: url.path(), target, body: &body };
        let Signature { date, authorization } = signer.sign(&unsigned, now);
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.clone();
        let headers = request.headers_mut();
        // exactly the value that is signed, even if the port is the default port
        headers.insert("host", host.try_into()?);
        headers.insert("content-type", HeaderValue::from_static(CONTENT_TYPE));
        headers.insert("user-agent", HeaderValue::from_static(USER_AGENT));
        headers.insert("x-amz-target", HeaderValue::from_static(target));
        headers.insert("x-amz-date", date.try_into()?);
        headers.insert("authorization", authorization.try_into()?);
        if let Some(token) = signer.session_token() {
            headers.insert("x-amz-security-token", token.try_into()?);
        }
        Ok(request)
    }

    /// Returns a signer for `credentials` that is valid at `now`. Reuses the previous signer if possible, because a signing
    /// key is valid for a day.
    fn signer(&self, credentials: &Arc<Credentials>, now: Duration) -> Arc<Signer> {
        let mut known = self.0.signer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, signer)) = &*known
            && Arc::ptr_eq(of, credentials)
            && signer.is_valid_at(now)
        {
            return Arc::clone(signer);
        }
        let signer = Arc::new(Signer::new(credentials, &self.0.region, SERVICE, now));
        *known = Some((Arc::clone(credentials), Arc::clone(&signer)));
        signer
    }
}

fn is_signature_refused(response: &Response<Bytes>) -> bool {
    let status = response.status();
    !status.is_success() && response::refuses_signature(status.as_u16(), error_type(response), response.body())
}

fn error_type(response: &Response<Bytes>) -> Option<&str> {
    response.headers().get("x-amzn-errortype")?.to_str().ok()
}

/// Returns the time in the response's `date` header, in seconds since the Unix epoch.
fn date(response: &Response<Bytes>) -> Option<i64> {
    let text = response.headers().get("date")?.to_str().ok()?;
    DateTime::from_str(text, Format::HttpDate).ok().map(|date| date.secs())
}

fn shifted(now: Duration, seconds: i64) -> Duration {
    let by = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { now.saturating_sub(by) } else { now.saturating_add(by) }
}

impl From<NoCredentials> for CallError {
    fn from(NoCredentials { transient, cause }: NoCredentials) -> Self {
        if transient { Self::NotSent(cause) } else { Self::Fatal(cause) }
    }
}

impl From<TransportError> for CallError {
    fn from(TransportError { kind, cause }: TransportError) -> Self {
        match kind {
            TransportErrorKind::NotSent => Self::NotSent(cause),
            TransportErrorKind::Broken => Self::Broken(cause),
            TransportErrorKind::TimedOut => Self::TimedOut(cause.into_string().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::credentials::REFRESH_BEFORE;
    use super::*;
    use crate::transport::{ResponseFuture, Silent};
    use aws_credential_types::provider::ProvideCredentials;
    use aws_credential_types::provider::error::CredentialsError;
    use aws_credential_types::provider::future::ProvideCredentials as Provided;
    use std::collections::HashMap;
    use std::sync::atomic::AtomicU64;
    use std::time::UNIX_EPOCH;
    use tokio::task::JoinSet;
    use tokio::time::timeout;

    const SUCCESS: &str = r#"{"ConsumedCapacity":{}}"#;

    type Answering = Arc<dyn Fn(&HashMap<String, String>) -> Response<Bytes> + Send + Sync>;

    /// A transport that computes each response from the request's headers, and records those headers.
    #[derive(Clone)]
    struct Fake {
        respond: Answering,
        requests: Arc<Mutex<Vec<HashMap<String, String>>>>,
    }

    impl std::fmt::Debug for Fake {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Fake")
        }
    }

    impl Fake {
        fn new(respond: impl Fn(&HashMap<String, String>) -> Response<Bytes> + Send + Sync + 'static) -> Self {
            Self { respond: Arc::new(respond), requests: Arc::default() }
        }

        fn succeeding() -> Self {
            Self::new(|_| Response::new(SUCCESS.into()))
        }

        fn requests(&self) -> Vec<HashMap<String, String>> {
            self.requests.lock().unwrap().clone()
        }

        fn client(&self, credentials: impl ProvideCredentials + 'static) -> Client {
            let credentials = SharedCredentialsProvider::new(credentials);
            let url = "https://dynamodb.example/";
            Client::new(Arc::new(self.clone()), credentials, "eu-central-1".into(), url).unwrap()
        }
    }

    impl HttpTransport for Fake {
        fn send(&self, request: Request<Bytes>) -> ResponseFuture {
            let headers = request.headers().iter();
            let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
            let response = (self.respond)(&headers);
            self.requests.lock().unwrap().push(headers);
            Box::pin(async { Ok(response) })
        }
    }

    fn soon() -> Instant {
        clock::now() + HOUR
    }

    fn refusal(code: &str) -> Response<Bytes> {
        Response::builder()
            .status(400)
            .body(format!(r#"{{"__type":"com.amazon.coral.service#{code}"}}"#).into())
            .unwrap()
    }

    /// A provider whose credentials are valid for a fixed duration and differ with each load. All loads after the first few
    /// hang or fail.
    #[derive(Debug)]
    struct Lasting {
        time: Duration,
        loads: Arc<AtomicU64>,
        most_loads: u64,
        hangs: bool,
    }

    impl Lasting {
        fn new(time: Duration, most_loads: u64) -> Self {
            Self { time, loads: Arc::default(), most_loads, hangs: false }
        }
    }

    impl ProvideCredentials for Lasting {
        fn provide_credentials<'a>(&'a self) -> Provided<'a>
        where
            Self: 'a,
        {
            let number = self.loads.fetch_add(1, Ordering::Relaxed);
            if number >= self.most_loads {
                return if self.hangs {
                    Provided::new(std::future::pending())
                } else {
                    Provided::ready(Err(CredentialsError::provider_error("not reached")))
                };
            }
            let end = UNIX_EPOCH + clock::since_epoch() + self.time;
            let token = Some(format!("token {number}"));
            Provided::ready(Ok(Credentials::new(format!("AKID{number}"), "secret", token, Some(end), "test")))
        }
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn a_request_is_signed_for_its_operation_its_region_and_its_session() {
        let transport = Fake::succeeding();
        transport.client(Lasting::new(HOUR, 1)).put(Bytes::from_static(b"{}"), soon()).await.unwrap();
        let request = &transport.requests()[0];
        assert_eq!(request["x-amz-target"], "DynamoDB_20120810.PutItem");
        assert_eq!(request["x-amz-security-token"], "token 0");
        let signature = &request["authorization"];
        assert!(signature.starts_with("AWS4-HMAC-SHA256 Credential=AKID0/"), "{signature}");
        assert!(signature.contains("/eu-central-1/dynamodb/aws4_request, "), "{signature}");
        let signed = "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, ";
        assert!(signature.contains(signed), "{signature}");
    }

    #[tokio::test]
    async fn credentials_are_loaded_once_and_again_before_they_end_beside_the_calls() {
        for (time, expected) in [(2 * REFRESH_BEFORE, "AKID0"), (REFRESH_BEFORE / 2, "AKID1")] {
            let transport = Fake::succeeding();
            let client = transport.client(Lasting::new(time, u64::MAX));
            for _ in 0..2 {
                client.delete(Bytes::new(), soon()).await.unwrap();
                tokio::task::yield_now().await;
            }
            client.delete(Bytes::new(), soon()).await.unwrap();
            let last = transport.requests().pop().unwrap();
            assert!(last["authorization"].contains(expected), "{time:?}: {last:?}");
        }
    }

    #[tokio::test]
    async fn a_source_that_fails_or_hangs_stops_no_call_whose_credentials_are_good() {
        for hangs in [false, true] {
            let transport = Fake::succeeding();
            let client = transport.client(Lasting { hangs, ..Lasting::new(REFRESH_BEFORE / 2, 1) });
            for _ in 0..3 {
                let call = timeout(Duration::from_secs(1), client.delete(Bytes::new(), soon()));
                call.await.expect("a call does not wait for the source").unwrap();
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_good_credentials_a_source_that_hangs_costs_a_limited_time() {
        let transport = Fake::succeeding();
        let client = transport.client(Lasting { hangs: true, ..Lasting::new(HOUR, 0) });
        let call = timeout(Duration::from_secs(5), client.delete(Bytes::new(), soon()));
        assert!(matches!(call.await.unwrap(), Err(CallError::NotSent(_))));
        assert!(transport.requests().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_hangs_costs_calls_that_wait_for_it_together_one_time() {
        let transport = Fake::succeeding();
        let source = Lasting { hangs: true, ..Lasting::new(HOUR, 0) };
        let loads = Arc::clone(&source.loads);
        let client = transport.client(source);
        for round in 1..=2 {
            let mut calls = JoinSet::new();
            for _ in 0..20 {
                let client = client.clone();
                calls.spawn(async move { client.put(Bytes::new(), soon()).await });
            }
            let ends = timeout(RESPONSE_TIMEOUT, calls.join_all()).await.expect("all calls share one timeout");
            assert!(ends.iter().all(|end| matches!(end, Err(CallError::NotSent(_)))), "{ends:?}");
            assert_eq!(loads.load(Ordering::Relaxed), round, "a later call starts another load");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_without_a_response_ends_in_time_and_may_be_applied_yet() {
        let transport = Arc::new(Silent);
        let credentials = SharedCredentialsProvider::new(Credentials::new("AKID", "secret", None, None, "test"));
        let client = Client::new(transport, credentials, "eu-central-1".into(), "https://dynamodb.example/").unwrap();
        let call = timeout(RESPONSE_TIMEOUT + Duration::from_millis(10), client.put(Bytes::new(), soon()));
        assert!(matches!(call.await.expect("the call ends before the deadline"), Err(CallError::TimedOut(_))));
    }

    #[tokio::test]
    async fn without_credentials_nothing_is_sent_and_an_operator_must_fix_it() {
        let transport = Fake::succeeding();
        let client = transport.client(aws_credential_types::credential_fn::provide_credentials_fn(|| async {
            Err(CredentialsError::not_loaded_no_source())
        }));
        assert!(matches!(client.warm_up().await, Err(CallError::Fatal(_))));
        assert!(transport.requests().is_empty());
    }

    #[tokio::test]
    async fn refused_credentials_are_given_up_for_fresh_ones_once() {
        for code in [
            "ExpiredToken",
            "ExpiredTokenException",
            "UnrecognizedClientException",
            "InvalidSignatureException",
            "InvalidClientTokenId",
        ] {
            let refuses_the_first = move |request: &HashMap<String, String>| {
                if request["authorization"].contains("AKID0") { refusal(code) } else { Response::new(SUCCESS.into()) }
            };
            let transport = Fake::new(refuses_the_first);
            let client = transport.client(Lasting::new(HOUR, u64::MAX));
            client.put(Bytes::new(), soon()).await.unwrap_or_else(|error| panic!("{code}: {error:?}"));
            client.put(Bytes::new(), soon()).await.unwrap();
            assert_eq!(transport.requests().len(), 3, "{code}: the fresh ones are kept");

            let transport = Fake::new(move |_| refusal(code));
            let client = transport.client(Lasting::new(HOUR, u64::MAX));
            assert!(matches!(client.put(Bytes::new(), soon()).await, Err(CallError::Fatal(_))), "{code}");
            assert_eq!(transport.requests().len(), 2, "{code}");
        }
    }

    #[tokio::test]
    async fn the_same_credentials_are_not_tried_again() {
        let transport = Fake::new(|_| refusal("UnrecognizedClientException"));
        let client = transport.client(Credentials::new("AKID", "secret", None, None, "test"));
        assert!(matches!(client.put(Bytes::new(), soon()).await, Err(CallError::Fatal(_))));
        assert_eq!(transport.requests().len(), 1);
    }

    #[tokio::test]
    async fn what_is_refused_for_another_reason_is_sent_once_and_keeps_its_credentials() {
        for code in ["ValidationException", "ThrottlingException", "AccessDeniedException"] {
            let transport = Fake::new(move |_| refusal(code));
            let source = Lasting::new(HOUR, u64::MAX);
            let loads = Arc::clone(&source.loads);
            transport.client(source).put(Bytes::new(), soon()).await.unwrap_err();
            assert_eq!((transport.requests().len(), loads.load(Ordering::Relaxed)), (1, 1), "{code}");
        }
    }

    #[tokio::test]
    async fn a_wrong_clock_is_corrected_by_the_responses_date() {
        for offset in [-3_600, 3_600] {
            let text = move |format| {
                let theirs = i64::try_from(clock::since_epoch().as_secs()).unwrap() + offset;
                DateTime::from_secs(theirs).fmt(format).unwrap()
            };
            let hour = move || text(Format::DateTime).replace(['-', ':'], "")[..11].to_owned();
            let transport = Fake::new(move |request| {
                let mut response = if request["x-amz-date"].starts_with(&hour()) {
                    Response::new(SUCCESS.into())
                } else {
                    refusal("InvalidSignatureException")
                };
                response.headers_mut().insert("date", text(Format::HttpDate).parse().unwrap());
                response
            });
            let client = transport.client(Credentials::new("AKID", "secret", None, None, "test"));
            client.put(Bytes::new(), soon()).await.unwrap();
            client.put(Bytes::new(), soon()).await.unwrap();
            assert_eq!(transport.requests().len(), 3, "the correction persists");
        }
    }

    #[tokio::test]
    async fn at_midnight_the_key_is_another_and_the_credentials_are_the_same() {
        let transport = Fake::succeeding();
        let client = transport.client(Lasting::new(HOUR, 1));
        let day = Duration::from_secs(86_400);
        let credentials = client.0.credentials.provide(clock::since_epoch()).await.unwrap();
        let [today, later, tomorrow] =
            [20_000 * day, 20_000 * day + HOUR, 20_001 * day].map(|now| client.signer(&credentials, now));
        assert!(Arc::ptr_eq(&today, &later) && !Arc::ptr_eq(&today, &tomorrow));
        assert!(tomorrow.is_valid_at(20_001 * day));
    }
}
