//! Serialization with the SDK, up to the bytes of the request.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_dynamodb::config::{
    BehaviorVersion, ConfigBag, Credentials, Intercept, Region, RuntimeComponents, retry::RetryConfig,
};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::{Builder, Runtime};

/// Maximum number of items in a call.
const BATCH_ITEMS: usize = 25;

/// A client that stops before it signs a request.
pub(crate) struct Sdk {
    client: Client,
    runtime: Runtime,
    stop: Stop,
}

/// Counts the bytes of a request and aborts its call.
#[derive(Debug, Clone, Default)]
struct Stop(Arc<AtomicUsize>);

impl Intercept for Stop {
    fn name(&self) -> &'static str {
        "stop"
    }

    fn read_after_serialization(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let bytes = context.request().body().bytes().map_or(0, <[u8]>::len);
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Err("serialised".into())
    }
}

impl Sdk {
    pub(crate) fn new() -> std::io::Result<Self> {
        let stop = Stop::default();
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("nobody", "nothing", None, None, "bench"))
            .retry_config(RetryConfig::disabled())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .interceptor(stop.clone())
            .build();
        Ok(Self {
            client: Client::from_conf(config),
            runtime: Builder::new_current_thread().enable_time().build()?,
            stop,
        })
    }

    /// Serializes the requests that put `items`. Returns the total size of their bodies, in bytes.
    pub(crate) fn serialize(&self, items: impl Iterator<Item = HashMap<String, AttributeValue>>) -> usize {
        self.stop.0.store(0, Ordering::Relaxed);
        let mut requests = items.filter_map(|item| {
            let put = PutRequest::builder().set_item(Some(item)).build().ok()?;
            Some(WriteRequest::builder().put_request(put).build())
        });
        loop {
            let batch: Vec<_> = requests.by_ref().take(BATCH_ITEMS).collect();
            if batch.is_empty() {
                return self.stop.0.load(Ordering::Relaxed);
            }
            // the interceptor aborts the call with an error
            let _ = self.runtime.block_on(self.client.batch_write_item().request_items("orders", batch).send());
        }
    }
}
