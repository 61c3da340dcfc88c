//! A minimal AWS client. It signs requests with the SDK's signer, and takes credentials, region, profiles and endpoints from
//! the SDK's configuration. Requests use the function's own connection pool. One small client serves all services, because each
//! service client of the SDK takes a minute to compile: docs/decisions/0008-one-client-for-the-tool.md.

use crate::connections::connection_pool;
use avro_ingest::dynamodb::credentials::{CredentialsCache, NoCredentials};
use avro_ingest::transport::{HttpTransport, sdk_http_client};
use aws_config::profile::region::ProfileFileRegionProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_runtime::retries::classifiers::{THROTTLING_ERRORS, TRANSIENT_ERRORS};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_xml::decode::{Document, ScopedDecoder, XmlDecodeError, try_data};
use aws_types::service_config::ServiceConfigKey;
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use serde_json::Value;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// Maximum number of attempts of a call, and the wait before the second attempt. The wait doubles with each further attempt.
const ATTEMPTS: u32 = 4;
const BACKOFF: Duration = Duration::from_millis(200);
/// Timeout for obtaining credentials. It is long, because a `credential_process` may call another service.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(20);

/// An AWS service, by its various names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Service {
    /// Name in the host name.
    host: &'static str,
    /// Name in a signature.
    signing: &'static str,
    /// Name in profiles and, in upper case, in `AWS_ENDPOINT_URL_<ID>`.
    id: &'static str,
    /// Content type for the version of the JSON protocol that the service supports.
    content_type: &'static str,
}

const JSON_1_0: &str = "application/x-amz-json-1.0";
const JSON_1_1: &str = "application/x-amz-json-1.1";

pub(crate) const LOGS: Service =
    Service { host: "logs", signing: "logs", id: "cloudwatch_logs", content_type: JSON_1_1 };
pub(crate) const GLUE: Service = Service { host: "glue", signing: "glue", id: "glue", content_type: JSON_1_1 };
pub(crate) const SQS: Service = Service { host: "sqs", signing: "sqs", id: "sqs", content_type: JSON_1_0 };
pub(crate) const DYNAMODB: Service =
    Service { host: "dynamodb", signing: "dynamodb", id: "dynamodb", content_type: JSON_1_0 };
pub(crate) const CLOUDWATCH: Service =
    Service { host: "monitoring", signing: "monitoring", id: "cloudwatch", content_type: JSON_1_0 };
pub(crate) const LAMBDA: Service = Service { host: "lambda", signing: "lambda", id: "lambda", content_type: JSON_1_1 };
pub(crate) const CLOUDFORMATION: Service =
    Service { host: "cloudformation", signing: "cloudformation", id: "cloudformation", content_type: FORM };
pub(crate) const KMS: Service = Service { host: "kms", signing: "kms", id: "kms", content_type: JSON_1_1 };
pub(crate) const IAM: Service = Service { host: IAM_HOST, signing: "iam", id: "iam", content_type: FORM };

const FORM: &str = "application/x-www-form-urlencoded";
/// IAM is a global service. Its requests are signed for this region.
/// <https://docs.aws.amazon.com/general/latest/gr/iam-service.html>
const IAM_HOST: &str = "iam";
const IAM_REGION: &str = "us-east-1";

/// Reason why a call has no result.
#[derive(Debug)]
pub(crate) enum CallError {
    /// No region is configured, or the request is invalid.
    NotSent(Box<dyn Error + Send + Sync>),
    /// No credentials are available.
    NoCredentials(NoCredentials),
    /// No response arrived.
    NoResponse(String),
    /// The service returned an error.
    Refused { status: StatusCode, code: String, message: String },
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(error) => write!(f, "{error}"),
            Self::NoCredentials(NoCredentials { cause, .. }) => f.write_str(cause),
            Self::NoResponse(cause) => f.write_str(cause),
            Self::Refused { code, message, .. } if message.is_empty() => f.write_str(code),
            Self::Refused { code, message, .. } => write!(f, "{code}: {message}"),
        }
    }
}

impl Error for CallError {}

impl CallError {
    /// Returns whether the call may have taken effect.
    pub(crate) fn is_ambiguous(&self) -> bool {
        match self {
            Self::NoResponse(_) => true,
            Self::Refused { status, .. } => status.is_server_error(),
            _ => false,
        }
    }

    /// Returns whether a retry may succeed.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::NotSent(_) => false,
            Self::NoCredentials(NoCredentials { transient, .. }) => *transient,
            Self::NoResponse(_) => true,
            Self::Refused { status, code, .. } => {
                let is_listed = |codes: &[&str]| codes.contains(&code.as_str());
                status.is_server_error()
                    || code.contains("Throttl")
                    || code == IN_FLIGHT_LIMIT
                    || is_listed(THROTTLING_ERRORS)
                    || is_listed(TRANSIENT_ERRORS)
                    || self.refuses_signature()
            }
        }
    }

    /// Returns whether the service refused the credentials or the signature's timestamp. Other credentials may be accepted.
    pub(crate) fn refuses_signature(&self) -> bool {
        let Self::Refused { code, .. } = self else { return false };
        SIGNATURE_ERRORS.contains(&code.strip_suffix("Exception").unwrap_or(code))
    }
}

/// Error codes of the signature check. Services append `Exception` to some of them.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html>
const SIGNATURE_ERRORS: [&str; 7] = [
    "ExpiredToken",
    "InvalidClientTokenId",
    "InvalidSignature",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "UnrecognizedClient",
];
/// Name of the default profile.
/// <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>
const DEFAULT_PROFILE: &str = "default";
/// Error code if a queue has the maximum number of messages in flight.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html>
const IN_FLIGHT_LIMIT: &str = "OverLimit";

/// The account and region from the environment.
pub(crate) struct Aws {
    config: SdkConfig,
    /// Name of the profile.
    profile: String,
    /// Cached credentials, which are reloaded before they expire or after a service has refused them. `None` if no
    /// source of credentials is configured.
    credentials: Option<CredentialsCache>,
    transport: Arc<dyn HttpTransport>,
}

impl Aws {
    /// Loads the configuration from the same sources as the AWS SDKs and the AWS CLI: environment variables, profiles and the
    /// instance's role.
    pub(crate) async fn load() -> Result<Self, Box<dyn Error>> {
        Self::over(4).await
    }

    /// Loads the configuration as [`Self::load`] does, with a pool of up to `kept` idle connections per host.
    pub(crate) async fn over(kept: usize) -> Result<Self, Box<dyn Error>> {
        let transport: Arc<dyn HttpTransport> = Arc::new(connection_pool(kept)?);
        let client = sdk_http_client(Arc::clone(&transport));
        // the SDK would take an empty variable as a profile name
        let profile = crate::environment("AWS_PROFILE").unwrap_or_else(|| DEFAULT_PROFILE.to_owned());
        let loader = || {
            let loader = aws_config::defaults(BehaviorVersion::latest()).http_client(client.clone());
            loader.profile_name(profile.clone())
        };
        let named = ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find_map(crate::environment);
        let mut config = match named {
            Some(region) => loader().region(Region::new(region)).load().await,
            None => loader().load().await,
        };
        // the SDK would take an empty variable as a region, and ignore the profile's region
        if config.region().is_some_and(|region| region.as_ref().is_empty()) {
            let of_profile = ProfileFileRegionProvider::builder().profile_name(profile.clone()).build();
            config = loader().region(of_profile).load().await;
        }
        let cache = |provider| CredentialsCache::new(provider).with_load_timeout(CREDENTIALS_TIMEOUT);
        let credentials = config.credentials_provider().map(cache);
        Ok(Self { config, profile, credentials, transport })
    }

    /// Returns the SDK's credentials provider chain.
    pub(crate) fn credentials(&self) -> Result<SharedCredentialsProvider, CallError> {
        self.config.credentials_provider().ok_or_else(|| CallError::NotSent("no credentials".into()))
    }

    pub(crate) fn region(&self) -> Result<&str, CallError> {
        let profile = &self.profile;
        let missing =
            || CallError::NotSent(format!("no region: set AWS_REGION, or region in the profile {profile}").into());
        self.config.region().map(AsRef::as_ref).ok_or_else(missing)
    }

    /// Returns the endpoint of a service: from `AWS_ENDPOINT_URL_<ID>`, the profile, `AWS_ENDPOINT_URL`, or the default.
    fn endpoint(&self, service: Service) -> Result<String, CallError> {
        let (variable, profile) = ("AWS_ENDPOINT_URL", "endpoint_url");
        let key = ServiceConfigKey::builder().service_id(service.id).profile(profile).env(variable).build();
        let own = key.ok().and_then(|key| self.config.service_config()?.load_config(key));
        let own = own.or_else(|| self.config.endpoint_url().map(str::to_owned));
        let region = self.region()?;
        let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let host = match service.host {
            IAM_HOST => format!("{IAM_HOST}.{suffix}"),
            host => format!("{host}.{region}.{suffix}"),
        };
        Ok(own.map_or_else(|| format!("https://{host}"), |url| url.trim_end_matches('/').to_owned()))
    }

    /// Makes a call with the JSON protocol. `target` is the header `x-amz-target`.
    pub(crate) async fn json(&self, service: Service, target: &str, body: &Value) -> Result<Value, CallError> {
        let headers = [("content-type", service.content_type), ("x-amz-target", target)];
        let response = self.call(service, Method::POST, "/", &headers, Bytes::from(body.to_string())).await?;
        json_of(&response)
    }

    /// Makes a call with the JSON protocol without retries, for callers that handle ambiguous calls themselves.
    pub(crate) async fn json_once(&self, service: Service, target: &str, body: &Value) -> Result<Value, CallError> {
        let headers = [("content-type", service.content_type), ("x-amz-target", target)];
        let body = Bytes::from(body.to_string());
        json_of(&self.call_once(service, Method::POST, "/", &headers, body).await?)
    }

    /// Makes a read-only call to a REST API.
    pub(crate) async fn get(&self, service: Service, path: &str) -> Result<Value, CallError> {
        json_of(&self.call(service, Method::GET, path, &[], Bytes::new()).await?)
    }

    /// Downloads a presigned URL.
    pub(crate) async fn download(&self, url: &str) -> Result<Bytes, CallError> {
        let request = Request::get(url).body(Bytes::new()).map_err(|error| CallError::NotSent(error.into()))?;
        self.exchange(url, request).await
    }

    /// Makes a call with the query protocol. Returns the members of a list in the result, each as a map of its text elements.
    /// `Stacks/Outputs` names the list `Outputs` within the members of `Stacks`.
    pub(crate) async fn query(
        &self,
        service: Service,
        action: &str,
        version: &str,
        parameters: &[(String, String)],
        list: &str,
    ) -> Result<Vec<BTreeMap<String, String>>, CallError> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", action).append_pair("Version", version).extend_pairs(parameters);
        let headers = [("content-type", service.content_type)];
        let response = self.call(service, Method::POST, "/", &headers, Bytes::from(form.finish())).await?;
        members(&response, list).map_err(|error| CallError::NoResponse(format!("not XML: {error}")))
    }

    /// Signs and sends a request. Retries transient failures.
    async fn call(
        &self,
        service: Service,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Bytes, CallError> {
        let mut wait = BACKOFF;
        for _ in 1..ATTEMPTS {
            match self.call_once(service, method.clone(), path, headers, body.clone()).await {
                Err(error) if error.is_transient() => tokio::time::sleep(wait).await,
                result => return result,
            }
            wait *= 2;
        }
        self.call_once(service, method, path, headers, body).await
    }

    async fn call_once(
        &self,
        service: Service,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Bytes, CallError> {
        let not_sent = |error: Box<dyn Error + Send + Sync>| CallError::NotSent(error);
        let url = format!("{}{path}", self.endpoint(service)?);
        let mut builder = Request::builder().method(method).uri(&url);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let mut request = builder.body(body.clone()).map_err(|error| not_sent(error.into()))?;

        let now = local::clock::since_epoch();
        let cache = self.credentials.as_ref().ok_or_else(|| not_sent("no credentials".into()))?;
        let credentials = cache.provide(now).await.map_err(CallError::NoCredentials)?;
        let identity = credentials.as_ref().clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(if service.host == IAM_HOST { IAM_REGION } else { self.region()? })
            .name(service.signing)
            .time(UNIX_EPOCH + now)
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| not_sent(error.into()))?
            .into();
        let signable =
            SignableRequest::new(request.method().as_str(), &url, headers.iter().copied(), SignableBody::Bytes(&body));
        let signable = signable.map_err(|error| not_sent(error.into()))?;
        let (instructions, _) = sign(signable, &params).map_err(|error| not_sent(error.into()))?.into_parts();
        instructions.apply_to_request_http1x(&mut request);

        let response = self.exchange(&url, request).await;
        if response.as_ref().is_err_and(CallError::refuses_signature) {
            cache.discard(&credentials);
        }
        response
    }

    async fn exchange(&self, url: &str, request: Request<Bytes>) -> Result<Bytes, CallError> {
        // the query of a presigned URL is secret
        let named = url.split('?').next().unwrap_or(url);
        let response = self.transport.send(request).await;
        let response = response.map_err(|error| CallError::NoResponse(format!("{named}: {error}")))?;
        let (status, body) = (response.status(), response.into_body());
        if status.is_success() { Ok(body) } else { Err(refused(status, &body)) }
    }
}

fn json_of(body: &[u8]) -> Result<Value, CallError> {
    serde_json::from_slice(body).map_err(|error| CallError::NoResponse(format!("not JSON: {error}")))
}

/// Returns the text elements of each member of a list: `<Response><Result><List><member>...`. The path may lead to a list
/// within the members of another list.
fn members(xml: &[u8], lists: &str) -> Result<Vec<BTreeMap<String, String>>, XmlDecodeError> {
    let lists: Vec<&str> = lists.split('/').collect();
    let mut document = Document::try_from(xml)?;
    let mut root = document.root_element()?;
    let mut found = Vec::new();
    while let Some(mut result) = root.next_tag() {
        collect(&mut result, &lists, &mut found);
    }
    Ok(found)
}

/// Adds the members of the list at the path `lists` below `parent`.
fn collect(parent: &mut ScopedDecoder<'_, '_>, lists: &[&str], found: &mut Vec<BTreeMap<String, String>>) {
    let Some((list, deeper)) = lists.split_first() else {
        let mut texts = BTreeMap::new();
        while let Some(mut leaf) = parent.next_tag() {
            let name = leaf.start_el().local().to_owned();
            // elements with child elements are left out
            if let Ok(text) = try_data(&mut leaf) {
                texts.insert(name, text.into_owned());
            }
        }
        found.push(texts);
        return;
    };
    while let Some(mut tag) = parent.next_tag() {
        if tag.start_el().local() != *list {
            continue;
        }
        while let Some(mut member) = tag.next_tag() {
            collect(&mut member, deeper, found);
        }
    }
}

/// Parses an error response: `__type` and `message` in JSON, or `Code` and `Message` in XML.
fn refused(status: StatusCode, body: &[u8]) -> CallError {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let xml = String::from_utf8_lossy(body);
    let element = |name: &str| {
        let (_, rest) = xml.split_once(&format!("<{name}>"))?;
        Some(rest.split_once(&format!("</{name}>"))?.0.to_owned())
    };
    let text = |names: &[&str]| names.iter().find_map(|name| json.get(name)?.as_str().map(str::to_owned));
    let code = text(&["__type", "code", "Code"]).or_else(|| element("Code"));
    let code = code.unwrap_or_else(|| status.to_string());
    let code = code.rsplit('#').next().unwrap_or(&code).to_owned();
    let message = text(&["message", "Message"]).or_else(|| element("Message")).unwrap_or_default();
    CallError::Refused { status, code, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_named_as_the_service_names_it() {
        let body = br#"{"__type":"com.amazonaws.logs#ResourceNotFoundException","message":"no such group"}"#;
        let error = refused(StatusCode::BAD_REQUEST, body);
        assert_eq!(error.to_string(), "ResourceNotFoundException: no such group");
        assert!(!error.is_transient());
    }

    #[test]
    fn a_list_of_the_query_protocol_is_read_member_by_member() {
        let xml = b"<R xmlns=\"x\"><DescribeStackResourcesResult><StackResources><member><LogicalResourceId>Queue</LogicalResourceId>\
            <DriftInformation><StackResourceDriftStatus>NO</StackResourceDriftStatus></DriftInformation>\
            <PhysicalResourceId>https://q?a=1&amp;b=2</PhysicalResourceId></member><member><LogicalResourceId>Table</LogicalResourceId></member>\
            </StackResources></DescribeStackResourcesResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></R>";
        let members = members(xml, "StackResources").unwrap();
        assert_eq!(members.len(), 2);
        assert_eq!(members[0]["PhysicalResourceId"], "https://q?a=1&b=2");
        assert_eq!(members[1].len(), 1);
    }

    #[test]
    fn a_list_in_the_members_of_another_is_read_by_its_path() {
        let xml = b"<R><DescribeStacksResult><Stacks><member><Parameters><member><ParameterKey>P</ParameterKey></member></Parameters>\
            <Outputs><member><OutputKey>A</OutputKey></member><member><OutputKey>B</OutputKey></member></Outputs></member></Stacks>\
            </DescribeStacksResult></R>";
        let members = members(xml, "Stacks/Outputs").unwrap();
        let keys: Vec<&str> = members.iter().map(|member| member["OutputKey"].as_str()).collect();
        assert_eq!(keys, ["A", "B"]);
    }

    #[test]
    fn an_error_in_xml_has_its_code_and_message() {
        let xml = b"<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code><Message>Stack x does not exist</Message></Error></ErrorResponse>";
        assert_eq!(refused(StatusCode::BAD_REQUEST, xml).to_string(), "ValidationError: Stack x does not exist");
    }

    #[test]
    fn throttles_and_failures_are_tried_again_and_mistakes_are_not() {
        let code = |code: &str| format!(r#"{{"__type":"{code}"}}"#).into_bytes();
        assert!(refused(StatusCode::BAD_REQUEST, &code("ThrottlingException")).is_transient());
        assert!(refused(StatusCode::SERVICE_UNAVAILABLE, b"<html>").is_transient());
        assert!(!refused(StatusCode::FORBIDDEN, &code("AccessDeniedException")).is_transient());
    }
}
