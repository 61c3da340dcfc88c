//! The calls. The SDK loads the credentials and knows the endpoints; a call through its client would cost
//! more than all else that is done for one, so the three operations there are go out from here. The body is the writer's own bytes.
//!
//! Nothing here retries: the writer owns the loop, and `CallError` says what it needs to decide.

use super::mapping::Mapping;
use super::response::{self, CallError, WriteResponse};
use super::signature::{CONTENT_TYPE, SignableRequest, Signature, Signer};
use crate::clock;
use crate::transport::{HttpTransport, TransportError};
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_types::error::display::DisplayErrorContext;
use bytes::Bytes;
use http::header::InvalidHeaderValue;
use http::uri::{InvalidUri, Uri};
use http::{HeaderValue, Method, Request};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

/// The service's name in a signature.
const SERVICE: &str = "dynamodb";
const USER_AGENT: &str = concat!("avro-ingest/", env!("CARGO_PKG_VERSION"));
/// How long before their end credentials are loaded anew.
const REFRESH_BEFORE: Duration = Duration::from_secs(60);

/// DynamoDB, as this function may call it. Clones share connections and credentials.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    transport: Arc<dyn HttpTransport>,
    credentials: SharedCredentialsProvider,
    /// The credentials that were loaded last, and when they end.
    signer: Mutex<Option<(Arc<Signer>, Option<Duration>)>>,
    region: String,
    url: Uri,
}

impl Client {
    /// Calls `url` of `region` over `transport`, signed with `credentials`.
    ///
    /// # Errors
    /// If `url` is none.
    pub fn new(
        transport: Arc<dyn HttpTransport>,
        credentials: SharedCredentialsProvider,
        region: String,
        url: &str,
    ) -> Result<Self, InvalidUri> {
        Ok(Self(Arc::new(Shared { transport, credentials, signer: Mutex::new(None), region, url: url.parse()? })))
    }

    /// Sends a BatchWriteItem whose body is `body`. Its items are all of the table of `mappings`.
    pub(crate) async fn batch_write(&self, body: Bytes, mappings: &[&Mapping]) -> Result<WriteResponse, CallError> {
        response::of_batch(&self.post("DynamoDB_20120810.BatchWriteItem", body).await?, mappings)
    }

    /// Sends a PutItem whose body is `body`.
    pub(crate) async fn put(&self, body: Bytes) -> Result<WriteResponse, CallError> {
        response::of_item(&self.post("DynamoDB_20120810.PutItem", body).await?)
    }

    /// Sends a DeleteItem whose body is `body`.
    pub(crate) async fn delete(&self, body: Bytes) -> Result<WriteResponse, CallError> {
        response::of_item(&self.post("DynamoDB_20120810.DeleteItem", body).await?)
    }

    /// Opens a connection and loads the credentials by a call that writes nothing: DynamoDB refuses it as empty.
    pub(crate) async fn warm_up(&self) -> Result<(), CallError> {
        match self.batch_write(Bytes::from_static(b"{\"RequestItems\":{}}"), &[]).await {
            Ok(_) | Err(CallError::Invalid(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Sends a signed request and returns what a success says.
    async fn post(&self, target: &'static str, body: Bytes) -> Result<Bytes, CallError> {
        let now = clock::since_epoch();
        let signer = self.signer(now).await?;
        // nothing was sent
        let request =
            self.request(target, body, &signer, now).map_err(|error| CallError::Fatal(error.to_string().into()))?;
        let response = self.0.transport.send(request).await?;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        let error_type = response.headers().get("x-amzn-errortype").and_then(|value| value.to_str().ok());
        Err(response::refusal(response.status().as_u16(), error_type, response.body()))
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
        // as it is signed, even where the port could be left out
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

    /// The credentials, loaded when there are none that will last. Those that will not serve until their end if there are no
    /// better ones.
    async fn signer(&self, now: Duration) -> Result<Arc<Signer>, CallError> {
        let known = self.0.signer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let known = known.filter(|(signer, _)| signer.is_valid_at(now));
        let lasts = |until: Duration| known.as_ref().filter(|(_, end)| end.is_none_or(|end| until < end));
        if let Some((signer, _)) = lasts(now + REFRESH_BEFORE) {
            return Ok(Arc::clone(signer));
        }
        match self.0.credentials.provide_credentials().await {
            Ok(loaded) => {
                let signer = Arc::new(Signer::new(&loaded, &self.0.region, SERVICE, now));
                let end = loaded.expiry().and_then(|end| end.duration_since(UNIX_EPOCH).ok());
                *self.0.signer.lock().unwrap_or_else(PoisonError::into_inner) = Some((Arc::clone(&signer), end));
                Ok(signer)
            }
            Err(error) => lasts(now).map(|(signer, _)| Arc::clone(signer)).ok_or_else(|| no_credentials(&error)),
        }
    }
}

fn no_credentials(error: &CredentialsError) -> CallError {
    let cause = DisplayErrorContext(error).to_string();
    match error {
        // their source could not be asked, and may be the next time
        CredentialsError::ProviderTimedOut(_) | CredentialsError::ProviderError(_) => CallError::transient(cause),
        _ => CallError::Fatal(cause.into()),
    }
}

impl From<TransportError> for CallError {
    fn from(TransportError { before_response, cause }: TransportError) -> Self {
        Self::Transient { connection: before_response, cause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::ResponseFuture;
    use aws_credential_types::Credentials;
    use aws_credential_types::provider::future::ProvideCredentials as Provided;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Answers as told and keeps the last request's headers.
    #[derive(Debug, Clone, Default)]
    struct Fake {
        response: &'static str,
        headers: Arc<Mutex<Vec<(String, String)>>>,
    }

    impl HttpTransport for Fake {
        fn send(&self, request: Request<Bytes>) -> ResponseFuture {
            let headers = request.headers().iter();
            let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
            *self.headers.lock().unwrap() = headers.collect();
            let response = http::Response::new(Bytes::from_static(self.response.as_bytes()));
            Box::pin(async { Ok(response) })
        }
    }

    /// Credentials that last for so many seconds, as often as they may be loaded.
    #[derive(Debug)]
    struct Lasting {
        time: Duration,
        loads: Arc<AtomicU64>,
        most_loads: u64,
    }

    impl ProvideCredentials for Lasting {
        fn provide_credentials<'a>(&'a self) -> Provided<'a>
        where
            Self: 'a,
        {
            let number = self.loads.fetch_add(1, Ordering::Relaxed);
            if number >= self.most_loads {
                return Provided::ready(Err(CredentialsError::provider_error("not reached")));
            }
            let end = UNIX_EPOCH + clock::since_epoch() + self.time;
            let token = Some(format!("token {number}"));
            Provided::ready(Ok(Credentials::new(format!("AKID{number}"), "secret", token, Some(end), "test")))
        }
    }

    fn lasting(time: Duration, most_loads: u64) -> (Lasting, Arc<AtomicU64>) {
        let loads = Arc::default();
        (Lasting { time, loads: Arc::clone(&loads), most_loads }, loads)
    }

    fn client(transport: &Fake, credentials: impl ProvideCredentials + 'static) -> Client {
        let transport = Arc::new(transport.clone());
        let credentials = SharedCredentialsProvider::new(credentials);
        Client::new(transport, credentials, "eu-central-1".into(), "https://dynamodb.example/").unwrap()
    }

    #[tokio::test]
    async fn a_request_is_signed_for_its_operation_its_region_and_its_session() {
        let transport = Fake { response: r#"{"ConsumedCapacity":{}}"#, ..Fake::default() };
        let client = client(&transport, lasting(Duration::from_secs(3600), 1).0);
        client.put(Bytes::from_static(b"{}")).await.unwrap();
        let headers = transport.headers.lock().unwrap().clone();
        let header = |name: &str| headers.iter().find(|(known, _)| known == name).unwrap().1.as_str();
        assert_eq!(header("x-amz-target"), "DynamoDB_20120810.PutItem");
        assert_eq!(header("x-amz-security-token"), "token 0");
        let signature = header("authorization");
        assert!(signature.starts_with("AWS4-HMAC-SHA256 Credential=AKID0/"), "{signature}");
        assert!(signature.contains("/eu-central-1/dynamodb/aws4_request, "), "{signature}");
        let signed = "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, ";
        assert!(signature.contains(signed), "{signature}");
    }

    #[tokio::test]
    async fn credentials_are_loaded_once_and_again_before_they_end() {
        let transport = Fake { response: r#"{"ConsumedCapacity":{}}"#, ..Fake::default() };
        for (time, expected) in [(REFRESH_BEFORE - Duration::from_secs(1), 3), (2 * REFRESH_BEFORE, 1)] {
            let (credentials, loads) = lasting(time, u64::MAX);
            let client = client(&transport, credentials);
            for _ in 0..3 {
                client.delete(Bytes::new()).await.unwrap();
            }
            assert_eq!(loads.load(Ordering::Relaxed), expected);
        }
    }

    #[tokio::test]
    async fn credentials_serve_to_their_end_if_their_source_is_not_reached() {
        let transport = Fake { response: r#"{"ConsumedCapacity":{}}"#, ..Fake::default() };
        let first = client(&transport, lasting(REFRESH_BEFORE / 2, 1).0);
        for _ in 0..2 {
            first.delete(Bytes::new()).await.unwrap();
        }
        let ended = client(&transport, lasting(Duration::ZERO, 1).0);
        ended.delete(Bytes::new()).await.unwrap();
        assert!(matches!(ended.delete(Bytes::new()).await, Err(CallError::Transient { connection: false, .. })));
    }

    #[tokio::test]
    async fn without_credentials_nothing_is_sent_and_an_operator_must_mend_it() {
        let transport = Fake::default();
        let client = client(
            &transport,
            aws_credential_types::credential_fn::provide_credentials_fn(|| async {
                Err(CredentialsError::not_loaded_no_source())
            }),
        );
        assert!(matches!(client.warm_up().await, Err(CallError::Fatal(_))));
        assert!(transport.headers.lock().unwrap().is_empty());
    }
}
