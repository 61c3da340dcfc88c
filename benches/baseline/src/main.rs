//! A function from SQS to DynamoDB as an engineer would write it from the documentation of `lambda_runtime`,
//! `aws_lambda_events`, `apache-avro`, `serde_dynamo` and the SDK: one schema, one table, and partial batch responses.
//!
//! avro-ingest is compared with it, so it follows the documentation's advice on performance. The schema is parsed once, records
//! are deserialized directly into structs, the client is created once, and full calls are sent concurrently.

mod order;
mod store;

use apache_avro::GenericSingleObjectReader;
use aws_config::BehaviorVersion;
use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use aws_sdk_dynamodb::types::{PutRequest, WriteRequest};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use order::{Item, Order};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::{SystemTime, UNIX_EPOCH};
use store::{Put, Store};

#[tokio::main]
async fn main() -> Result<(), Error> {
    lambda_runtime::tracing::init_default_subscriber();
    let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let config = aws_config::defaults(BehaviorVersion::latest()).http_client(http).load().await;
    let store = Store::new(aws_sdk_dynamodb::Client::new(&config), table_name()?);
    let reader = order::reader()?;
    run(service_fn(|event: LambdaEvent<SqsEvent>| handle(&store, &reader, event.payload))).await
}

#[expect(clippy::disallowed_methods, reason = "this is where settings are read")]
fn table_name() -> Result<String, Error> {
    Ok(std::env::var("TABLE_NAME")?)
}

async fn handle(store: &Store, reader: &GenericSingleObjectReader, event: SqsEvent) -> Result<SqsBatchResponse, Error> {
    let processed_at = now()?;
    let mut failures = Vec::new();
    // a call may contain each key only once, so only the last item of a key is put
    let mut puts: HashMap<String, Put> = HashMap::with_capacity(event.records.len());
    for message in event.records {
        let message_id = message.message_id.clone().unwrap_or_default();
        match put(reader, message, processed_at) {
            Ok((key, request)) => match puts.entry(key) {
                Entry::Occupied(mut same) => {
                    same.get_mut().request = request;
                    same.get_mut().message_ids.push(message_id);
                }
                Entry::Vacant(free) => {
                    free.insert(Put { request, message_ids: vec![message_id] });
                }
            },
            Err(error) => {
                tracing::warn!(message_id, %error, "message not decoded");
                failures.push(message_id);
            }
        }
    }
    failures.extend(store.write(puts.into_values()).await);
    let batch_item_failures = failures
        .into_iter()
        .map(|item_identifier| {
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = item_identifier;
            failure
        })
        .collect();
    let mut response = SqsBatchResponse::default();
    response.batch_item_failures = batch_item_failures;
    Ok(response)
}

#[expect(clippy::disallowed_methods, reason = "the baseline reads the clock directly")]
fn now() -> Result<f64, Error> {
    let milliseconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    Ok(milliseconds as f64 / 1_000.0)
}

/// Returns the item's key and the request that puts it.
fn put(
    reader: &GenericSingleObjectReader,
    message: SqsMessage,
    processed_at: f64,
) -> Result<(String, WriteRequest), Error> {
    let body = STANDARD.decode(message.body.unwrap_or_default())?;
    let order: Order = reader.read_deser(&mut body.as_slice())?;
    let key = order.order_id.clone();
    let item = serde_dynamo::to_item(Item { message_id: key.clone(), processed_at, data: order })?;
    let put = PutRequest::builder().set_item(Some(item)).build()?;
    Ok((key, WriteRequest::builder().put_request(put).build()))
}
