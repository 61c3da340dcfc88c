//! `ingest consume`: the function's pipeline where no Lambda runs. Receivers prefetch into a bounded buffer, batches are cut from it,
//! and what the handler does not return is deleted.
//!
//! A message is deleted only after the handler has said that it is durable. Whatever ends early, this process or a call, the
//! message comes back after its visibility timeout.

mod batches;
mod receivers;

use crate::aws::Aws;
use crate::duration::jitter;
use crate::queue::{MAX_CALL_MESSAGES, Queue, Received};
use crate::{Outcome, environment};
use avro_ingest::clients::Clients;
use avro_ingest::handler::{Context, Handler, InvocationError};
use avro_ingest::settings::Settings;
use avro_ingest::transport::ConnectionPool;
use batches::Batches;
use receivers::Receivers;
use serde_json::json;
use std::collections::HashSet;
use std::error::Error;
use std::io::Write;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing_subscriber::filter::LevelFilter;

/// Receives messages of a queue and writes their records as the function does, with the function's settings from the environment.
///
/// Metrics go to the standard output as the function's do, the log to the standard error. Exit code 1 if batches at work did
/// not end within the shutdown timeout
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  TABLE_NAME=orders SCHEMA_DIR=schemas ingest consume --queue-url URL
  TABLE_NAME=orders SCHEMA_DIR=schemas ingest consume --queue-url URL --once
  TABLE_NAME=orders SCHEMA_DIR=schemas ingest consume --queue-url URL --receivers 20 --workers 8 --batch-size 100")]
pub(crate) struct Arguments {
    /// The queue's URL
    #[arg(long, value_name = "URL")]
    queue_url: String,
    /// Messages of a batch at most; of a FIFO queue what one poll brings
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch_size: u32,
    /// Milliseconds that a batch waits to be full; MAX_WAIT_TIME_MS or 100 by default
    #[arg(long, value_name = "MS")]
    max_wait_time_ms: Option<u64>,
    /// Long polls at once at most; as many run as there is work for
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    receivers: u32,
    /// Batches at work at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: u32,
    /// Seconds that a message is out of sight: a batch has two thirds of them
    #[arg(long, value_name = "S", default_value_t = 90, value_parser = clap::value_parser!(u32).range(15..=43_200))]
    visibility_timeout: u32,
    /// Seconds that batches at work have to end after SIGTERM or Ctrl-C
    #[arg(long, value_name = "S", default_value_t = 25)]
    shutdown_timeout: u64,
    /// End when no message is in sight any more
    #[arg(long)]
    once: bool,
}

impl Arguments {
    /// Whether the queue keeps the order of its groups.
    fn is_fifo(&self) -> bool {
        self.queue_url.ends_with(".fifo")
    }

    /// How long a batch waits to be full.
    fn max_wait(&self) -> Result<Duration, String> {
        let of_environment = || match environment("MAX_WAIT_TIME_MS") {
            None => Ok(DEFAULT_MAX_WAIT_MS),
            Some(text) => text.parse().map_err(|_| format!("MAX_WAIT_TIME_MS is {text:?}, but must be a whole number")),
        };
        self.max_wait_time_ms.map_or_else(of_environment, Ok).map(Duration::from_millis)
    }

    /// An error that names the queue.
    fn named(&self, error: impl std::fmt::Display) -> String {
        format!("{}: {error}", self.queue_url)
    }
}

/// How long a batch waits to be full.
const DEFAULT_MAX_WAIT_MS: u64 = 100;
/// How often a deletion is tried. A message that is not deleted comes back and is written again.
const DELETE_ATTEMPTS: u32 = 4;
/// The longest pause before the second attempt; later ones are longer by as much.
const DELETE_BACKOFF: Duration = Duration::from_millis(500);
/// The pause after a batch that nothing could be stored of, for a cause that an operator must fix.
const FATAL_PAUSE: Duration = Duration::from_secs(5);

pub(crate) async fn run(arguments: Arguments) -> Outcome {
    start_logging();
    let aws = Aws::over(arguments.receivers as usize + arguments.workers as usize).await?;
    let region = aws.region()?.to_owned();
    let settings = Settings::parse(|name| match name {
        "AWS_REGION" => Some(region.clone()),
        name => environment(name),
    })?;
    let connections = Arc::new(ConnectionPool::new(settings.max_in_flight.get())?);
    let clients = Clients::new(connections, aws.credentials()?, &settings)?;
    let handler = clients.handler(settings, None, jitter).await.map_err(|error| error.to_string())?;
    let queue = Arc::new(Queue::new(aws, arguments.queue_url.clone()));
    let arn = queue.arn().await.map_err(|error| arguments.named(error))?;
    let (visibility_seconds, is_fifo) = (arguments.visibility_timeout, arguments.is_fifo());
    let consumer =
        Arc::new(Consumer { handler, queue, arn, visibility_seconds, is_fifo, figures: MessageCounts::default() });
    let outcome = consume(&consumer, &arguments).await;
    let MessageCounts { received, deleted } = &consumer.figures;
    let (received, deleted) = (received.load(Ordering::Relaxed), deleted.load(Ordering::Relaxed));
    tracing::info!(received, deleted, "consumer ended");
    outcome
}

/// Logs as the function does, but not between its metrics: the standard output is theirs.
fn start_logging() {
    let subscriber = tracing_subscriber::fmt().with_max_level(LevelFilter::INFO).with_target(false);
    let json = subscriber.json().flatten_event(true).with_current_span(false).with_span_list(false);
    json.with_writer(std::io::stderr).init();
}

async fn consume(consumer: &Arc<Consumer>, arguments: &Arguments) -> Outcome {
    let max_wait = arguments.max_wait()?;
    let mut terminated = pin!(terminated()?);
    let (stop, stopped) = watch::channel(false);
    let workers = arguments.workers as usize;
    let batch_size = (!consumer.is_fifo).then_some(arguments.batch_size as usize);
    // a batch waits for each worker
    let polls = batch_size.map_or(1, |size| size.div_ceil(MAX_CALL_MESSAGES)) * workers;
    let (sender, received) = mpsc::channel(polls);
    let receivers = Receivers {
        queue: Arc::clone(&consumer.queue),
        most: arguments.receivers as usize,
        visibility_seconds: arguments.visibility_timeout,
        once: arguments.once,
    };
    let mut receiving = tokio::spawn(receivers.run(sender, stopped));
    let mut batches = Batches::new(received, batch_size, max_wait);
    let mut at_work = JoinSet::new();
    loop {
        let has_room = at_work.len() < workers;
        tokio::select! {
            batch = batches.next(), if has_room => match batch {
                Some(batch) => drop(at_work.spawn(Arc::clone(consumer).batch(batch))),
                // the receivers have ended: the queue is empty, or they cannot go on
                None => break,
            },
            Some(ended) = at_work.join_next() => ended?,
            () = &mut terminated => break,
        }
    }
    let _ = stop.send(true);
    let finish = async {
        while let Some(ended) = at_work.join_next().await {
            ended?;
        }
        (&mut receiving).await?.map_err(|error| arguments.named(error))?;
        Ok::<_, Box<dyn Error>>(())
    };
    let finished = timeout(Duration::from_secs(arguments.shutdown_timeout), finish).await;
    // a poll that is still silent holds up nothing
    receiving.abort();
    // what was received and not begun is in sight again at once
    let handles: Vec<String> = batches.rest().await.iter().map(|message| message.receipt_handle.clone()).collect();
    consumer.queue.change_visibility(&handles, 0).await.map_err(|error| arguments.named(error))?;
    if finished.is_err() {
        tracing::warn!(
            "not all ended within the shutdown timeout: the messages come back after the visibility timeout"
        );
    }
    finished.map_or(Ok(false), |ended| ended.map(|()| true))
}

/// Ends at SIGTERM or Ctrl-C, which from now on end nothing else.
fn terminated() -> std::io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Handles batches.
struct Consumer {
    handler: Handler,
    queue: Arc<Queue>,
    /// The queue's ARN, which events name.
    arn: String,
    visibility_seconds: u32,
    is_fifo: bool,
    figures: MessageCounts,
}

/// Messages so far.
#[derive(Default)]
struct MessageCounts {
    received: AtomicUsize,
    deleted: AtomicUsize,
}

impl Consumer {
    /// Has one batch handled, and deletes what is durable.
    async fn batch(self: Arc<Self>, batch: Vec<Received>) {
        let batch = self.still_hidden(batch).await;
        if batch.is_empty() {
            return;
        }
        self.figures.received.fetch_add(batch.len(), Ordering::Relaxed);
        let records: Vec<_> = batch.iter().map(|message| message.record(&self.arn)).collect();
        let event = json!({"Records": records}).to_string();
        let now = local::clock::since_epoch();
        let context = Context {
            request_id: format!("consume-{}", now.as_nanos()),
            deadline: now + self.visibility() * 2 / 3,
            trace_id: None,
        };
        let result = self.handler.handle(event.as_bytes(), &context).await;
        // a line lost costs a metric, not a message
        let _ = std::io::stdout().lock().write_all(&result.metrics);
        match result.response {
            Ok(response) => {
                let returned: HashSet<&str> = response.failures().collect();
                let durable = batch.iter().filter(|message| !returned.contains(message.id.as_str()));
                self.delete(durable.map(|message| message.receipt_handle.clone()).collect()).await;
            }
            Err(error @ InvocationError::Malformed(_)) => tracing::error!(%error, "batch not handled"),
            Err(error @ InvocationError::Fatal(_)) => {
                tracing::error!(%error, "batch not handled");
                sleep(FATAL_PAUSE).await;
            }
        }
    }

    fn visibility(&self) -> Duration {
        Duration::from_secs(self.visibility_seconds.into())
    }

    /// Those messages that stay out of sight until the batch has its end. What has waited in the buffer for a part of its time
    /// gets all of it once more; if that fails it may be with another consumer by now, and is left to come back.
    async fn still_hidden(&self, batch: Vec<Received>) -> Vec<Received> {
        let earliest = local::clock::since_epoch().saturating_sub(self.visibility() / 6);
        let (old, mut hidden): (Vec<_>, Vec<_>) = batch.into_iter().partition(|message| message.received_at < earliest);
        let handles: Vec<String> = old.iter().map(|message| message.receipt_handle.clone()).collect();
        let failed = match self.queue.change_visibility(&handles, self.visibility_seconds).await {
            Ok(failed) => failed,
            Err(error) => {
                tracing::warn!(%error, "visibility not extended");
                handles
            }
        };
        if !failed.is_empty() {
            tracing::warn!(count = failed.len(), "messages waited too long and are left to come back");
        }
        // in a FIFO queue what is left would come after what was sent later
        if failed.is_empty() || !self.is_fifo {
            let failed: HashSet<String> = failed.into_iter().collect();
            hidden.extend(old.into_iter().filter(|message| !failed.contains(&message.receipt_handle)));
        }
        hidden
    }

    async fn delete(&self, handles: Vec<String>) {
        let mut left = handles;
        for attempt in 1..=DELETE_ATTEMPTS {
            let count = left.len();
            match self.queue.delete(&left).await {
                Ok(failed) => left = failed,
                Err(error) => tracing::warn!(%error, "messages not deleted"),
            }
            self.figures.deleted.fetch_add(count - left.len(), Ordering::Relaxed);
            if left.is_empty() {
                return;
            }
            if attempt < DELETE_ATTEMPTS {
                sleep(jitter(DELETE_BACKOFF * attempt)).await;
            }
        }
        tracing::warn!(count = left.len(), "messages not deleted: they come back and are written again");
    }
}
