//! The cost of a call apart from its items: its signature, and a complete call without items.

use crate::shape::Order;
use crate::steps::{self, Candidate, RECORDS};
use avro_ingest::dynamodb::client::Client;
use avro_ingest::dynamodb::signature::{SignableRequest, Signer};
use avro_ingest::limiter::AimdLimit;
use avro_ingest::transport::{HttpTransport, ResponseFuture, sdk_http_client};
use avro_ingest::write::Writer;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use aws_sigv4::http_request::{self, SignableBody, SigningSettings};
use aws_sigv4::sign::v4::SigningParams;
use bytes::Bytes;
use http::{Request, Response};
use std::collections::HashMap;
use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tokio::runtime::{Builder, Runtime};

const REGION: &str = "us-east-1";
const URL: &str = "https://dynamodb.us-east-1.amazonaws.com/";
const HOST: &str = "dynamodb.us-east-1.amazonaws.com";
const TARGET: &str = "DynamoDB_20120810.BatchWriteItem";
const NOW: Duration = Duration::from_secs(1_700_000_000);
/// Size of a call's body in bytes, for ten orders.
const BODY_BYTES: usize = 4_000;

fn credentials() -> Credentials {
    Credentials::new("AKIDEXAMPLE", "secret", Some("t".repeat(800)), None, "bench")
}

/// Returns the candidates that sign [`RECORDS`] calls.
pub fn sign() -> Result<Vec<Candidate>, Box<dyn Error>> {
    sdk_signature(&[])?;
    let signer = Signer::new(&credentials(), REGION, "dynamodb", NOW);
    let body = vec![b'x'; BODY_BYTES];
    let same = body.clone();
    Ok(vec![
        Candidate::new("avro-ingest", move || {
            for _ in 0..RECORDS {
                let request = SignableRequest { host: HOST, path: "/", target: TARGET, body: &body };
                black_box(signer.sign(&request, NOW));
            }
        }),
        Candidate::new("aws-sigv4", move || {
            for _ in 0..RECORDS {
                black_box(sdk_signature(&same).ok());
            }
        }),
    ])
}

/// Returns the headers that the SDK's signer adds.
fn sdk_signature(body: &[u8]) -> Result<usize, Box<dyn Error>> {
    let identity = credentials().into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(REGION)
        .name("dynamodb")
        .time(UNIX_EPOCH + NOW)
        .settings(SigningSettings::default())
        .build()?;
    let headers = [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", TARGET)];
    let request = http_request::SignableRequest::new("POST", URL, headers.into_iter(), SignableBody::Bytes(body))?;
    let (instructions, _) = http_request::sign(request, &params.into())?.into_parts();
    Ok(instructions.into_parts().0.len())
}

/// Responds immediately that everything is written.
#[derive(Debug)]
struct NoNetwork;

impl HttpTransport for NoNetwork {
    fn send(&self, _: Request<Bytes>) -> ResponseFuture {
        Box::pin(async { Ok(Response::new(Bytes::from_static(br#"{"UnprocessedItems":{},"ConsumedCapacity":[]}"#))) })
    }
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_time().build()
}

/// Returns the candidates that make [`RECORDS`] BatchWriteItem calls without items.
pub fn call() -> Result<Vec<Candidate>, Box<dyn Error>> {
    let provider = SharedCredentialsProvider::new(credentials());
    let client = Client::new(Arc::new(NoNetwork), provider, REGION.to_owned(), URL)?;
    let mappings = steps::transcoder::<Order>()?.mappings().clone();
    let limit = AimdLimit::new(Duration::from_secs(1), 1, 1).map_err(|error| error.to_string())?;
    let (of_ours, of_sdk) = (runtime()?, runtime()?);
    let writer = of_ours.block_on(async { Writer::new(client, mappings, limit, |most| most) });
    let sdk = aws_sdk_dynamodb::Client::from_conf(
        aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static(REGION))
            .credentials_provider(credentials())
            .retry_config(RetryConfig::disabled())
            .http_client(sdk_http_client(Arc::new(NoNetwork)))
            .build(),
    );
    of_ours.block_on(writer.warm_up()).map_err(String::from)?;
    of_sdk.block_on(empty_call(&sdk))?;
    Ok(vec![
        Candidate::new("avro-ingest", move || {
            of_ours.block_on(async {
                for _ in 0..RECORDS {
                    black_box(writer.warm_up().await.is_ok());
                }
            });
        }),
        Candidate::new("SDK", move || {
            of_sdk.block_on(async {
                for _ in 0..RECORDS {
                    black_box(empty_call(&sdk).await.is_ok());
                }
            });
        }),
    ])
}

async fn empty_call(sdk: &aws_sdk_dynamodb::Client) -> Result<(), Box<dyn Error>> {
    sdk.batch_write_item().set_request_items(Some(HashMap::new())).send().await?;
    Ok(())
}
