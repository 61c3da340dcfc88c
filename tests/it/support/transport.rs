//! Clients with a custom transport, and a transport that responds as a function does.

use avro_ingest::dynamodb::client::Client;
use avro_ingest::transport::{HttpTransport, ResponseFuture, sdk_http_client};
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_sqs::config::{BehaviorVersion, Region, SharedCredentialsProvider};
use bytes::Bytes;
use http::{Request, Response};
use std::fmt;
use std::sync::Arc;

pub fn dynamodb(transport: impl HttpTransport + 'static) -> Client {
    dynamodb_with(transport, credentials())
}

pub fn dynamodb_with(
    transport: impl HttpTransport + 'static,
    credentials: impl ProvideCredentials + 'static,
) -> Client {
    let (credentials, url) = (SharedCredentialsProvider::new(credentials), "http://dynamodb.invalid/");
    Client::new(Arc::new(transport), credentials, "us-east-1".to_owned(), url).unwrap()
}

pub fn sqs(transport: impl HttpTransport + 'static) -> aws_sdk_sqs::Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(sdk_http_client(Arc::new(transport)))
        .region(Region::new("us-east-1"))
        .endpoint_url("http://sqs.invalid/")
        .credentials_provider(credentials());
    aws_sdk_sqs::Client::from_conf(config.build())
}

pub fn credentials() -> Credentials {
    Credentials::new("AKID", "secret", None, None, "test")
}

/// Responds to each request with the result of its function.
pub struct Responding<F>(pub F);

impl<F> fmt::Debug for Responding<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Responding")
    }
}

impl<F: Fn(Request<Bytes>) -> ResponseFuture + Send + Sync> HttpTransport for Responding<F> {
    fn send(&self, request: Request<Bytes>) -> ResponseFuture {
        (self.0)(request)
    }
}

pub fn response(status: u16, body: String) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status.try_into().unwrap();
    response.headers_mut().insert("content-type", "application/x-amz-json-1.0".parse().unwrap());
    response
}
