//! Writes to the table in concurrent batches of 25 and retries unprocessed items.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::WriteRequest;
use futures::stream::{self, StreamExt};
use lambda_runtime::Error;
use std::collections::HashMap;
use std::iter;
use std::time::Duration;

/// Maximum number of items in a BatchWriteItem call.
const BATCH_ITEMS: usize = 25;
/// Number of concurrent calls.
const CONCURRENCY: usize = 10;
/// Maximum number of attempts to write unprocessed items.
const ATTEMPTS: u32 = 5;

/// An item to put, and the messages that are stored with it.
pub(crate) struct Put {
    pub(crate) request: WriteRequest,
    pub(crate) message_ids: Vec<String>,
}

pub(crate) struct Store {
    client: Client,
    table: String,
}

impl Store {
    pub(crate) fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// Puts the items. Returns the ids of the messages that could not be stored.
    pub(crate) async fn write(&self, puts: impl IntoIterator<Item = Put>) -> Vec<String> {
        let mut puts = puts.into_iter();
        let batches = iter::from_fn(|| {
            let batch: Vec<Put> = puts.by_ref().take(BATCH_ITEMS).collect();
            (!batch.is_empty()).then_some(batch)
        });
        let calls = batches.map(|batch| async move {
            let (requests, message_ids): (Vec<_>, Vec<_>) =
                batch.into_iter().map(|put| (put.request, put.message_ids)).unzip();
            match self.write_batch(requests).await {
                Ok(()) => Vec::new(),
                Err(error) => {
                    tracing::error!(%error, "batch not stored");
                    message_ids.concat()
                }
            }
        });
        stream::iter(calls).buffer_unordered(CONCURRENCY).concat().await
    }

    async fn write_batch(&self, requests: Vec<WriteRequest>) -> Result<(), Error> {
        let mut left = HashMap::from([(self.table.clone(), requests)]);
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(Duration::from_millis(50 << attempt)).await;
            }
            let output = self.client.batch_write_item().set_request_items(Some(left)).send().await?;
            left = output.unprocessed_items.unwrap_or_default();
            if left.is_empty() {
                return Ok(());
            }
        }
        Err("items left unprocessed".into())
    }
}
