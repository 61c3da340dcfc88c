//! `ingest consume`: runs the function's pipeline without Lambda. Receivers prefetch messages into a bounded buffer, which is
//! split into batches. Messages that the handler does not return are deleted.
//!
//! A message is deleted only after the handler has reported it as durable. If the process or a call ends early, the message is
//! redelivered after its visibility timeout.
//!
//! Nothing delays a shutdown beyond its timeout. Every call to the queue has a timeout, and separate threads write the outputs,
//! because a full pipe blocks its writer.

mod background;
mod batches;
mod consumer;
mod receivers;
mod unsettled;

use crate::aws::{Aws, CallError};
use crate::duration::jitter;
use crate::numbers::whole;
use crate::output::OutputError;
use crate::queue::{MAX_CALL_MESSAGES, Queue, check_url};
use crate::settings::{Deployed, ProfileOptions, lookup, setting};
use crate::signals::EndSignals;
use crate::{Outcome, environment};
use avro_ingest::clients::Clients;
use avro_ingest::settings::Settings;
use avro_ingest::transport::ConnectionPool;
use background::{BackgroundWriter, Ended};
use batches::Batches;
use consumer::{BatchEnd, Consumer, MessageCounts};
use receivers::Receivers;
use std::cell::Cell;
use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tracing_subscriber::filter::LevelFilter;

/// Receives messages from a queue and writes their records as the function does. Settings come from --set, a profile and the
/// environment.
///
/// Writes metrics to standard output as the function does, and the log to standard error. Exit code 1 if running batches did
/// not end within the shutdown timeout, or if --once left messages that are not stored or not deleted
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  TABLE_NAME=orders SCHEMA_DIR=schemas ingest consume --queue-url URL
  ingest consume --queue-url URL --once --set TABLE_NAME=orders --set SCHEMA_DIR=schemas
  SCHEMA_DIR=schemas ingest consume --queue-url URL --profile throughput --set TABLE_NAME=orders
  TABLE_NAME=orders SCHEMA_DIR=schemas ingest consume --queue-url URL --receivers 20 --workers 8 --batch-size 100")]
pub(crate) struct Arguments {
    /// URL of the queue
    #[arg(long, value_name = "URL")]
    queue_url: String,
    /// Maximum number of messages per batch; for a FIFO queue, a batch is the result of one poll [default: the profile's, or
    /// 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch_size: Option<u32>,
    /// Maximum time to wait for a full batch, in milliseconds [default: the profile's window, MAX_WAIT_TIME_MS or 100]
    #[arg(long, value_name = "MS", value_parser = whole(0..=u64::MAX))]
    max_wait_time_ms: Option<u64>,
    /// Maximum number of concurrent long polls; grows and shrinks with the load
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    receivers: u32,
    /// Maximum number of concurrent batches
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: u32,
    /// Visibility timeout of received messages in seconds; a batch has two thirds of it
    #[arg(long, value_name = "S", default_value_t = 90, value_parser = clap::value_parser!(u32).range(15..=43_200))]
    visibility_timeout: u32,
    /// Time for running batches to end after SIGTERM or Ctrl-C, in seconds; a second signal ends the process at once
    #[arg(long, value_name = "S", default_value_t = 25, value_parser = whole(0..=u64::MAX))]
    shutdown_timeout: u64,
    /// Exit when no message is visible in the queue
    #[arg(long)]
    once: bool,
    /// A setting of the function; overrides the profile and the environment variable
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
    #[command(flatten)]
    profile: ProfileOptions,
}

impl Arguments {
    /// Returns whether the queue preserves the order within message groups.
    fn is_fifo(&self) -> bool {
        self.queue_url.ends_with(".fifo")
    }

    /// Returns the maximum time to wait for a full batch.
    fn max_wait(&self, deployed: &Deployed) -> Result<Duration, String> {
        let of_environment = || match environment("MAX_WAIT_TIME_MS") {
            None => Ok(DEFAULT_MAX_WAIT),
            Some(text) => {
                let number = text.parse().map(Duration::from_millis);
                number.map_err(|_| format!("MAX_WAIT_TIME_MS is {text:?}, but must be a whole number"))
            }
        };
        let given = self.max_wait_time_ms.map(Duration::from_millis);
        given.or_else(|| deployed.batching_window()).map_or_else(of_environment, Ok)
    }

    /// Returns an error that names the queue.
    fn named(&self, error: impl std::fmt::Display) -> String {
        format!("{}: {error}", self.queue_url)
    }
}

/// Maximum time to wait for a full batch.
const DEFAULT_MAX_WAIT: Duration = Duration::from_millis(100);
/// Maximum number of messages per batch.
const DEFAULT_BATCH_SIZE: u32 = 100;
/// Maximum time to write the last log lines.
const LAST_LINES_TIMEOUT: Duration = Duration::from_millis(500);
/// Time without progress of the standard output after which a shutdown abandons the metrics.
const UNREAD_TIMEOUT: Duration = Duration::from_millis(500);

pub(crate) async fn run(arguments: Arguments) -> Outcome {
    // register the signal handlers first, because the start may take seconds
    let signals = EndSignals::take()?;
    let (log, logged) = BackgroundWriter::start(std::io::stderr())?;
    start_logging(log.clone());
    let outcome = run_logged(&arguments, signals).await;
    let _ = timeout(LAST_LINES_TIMEOUT, async {
        log.end().await;
        logged.await
    })
    .await;
    outcome
}

async fn run_logged(arguments: &Arguments, mut signals: EndSignals) -> Outcome {
    let start = tokio::select! {
        start = Start::new(arguments) => start?,
        _ = signals.next() => {
            tracing::info!("ended before the first receive");
            return Ok(true);
        }
    };
    let consumer = Arc::clone(&start.consumer);
    let outcome = consume(start, arguments, signals).await;
    let MessageCounts { received, deleted } = &consumer.counts;
    let (received, deleted) = (received.load(Ordering::Relaxed), deleted.load(Ordering::Relaxed));
    let batches = consumer.metrics.unwritten();
    if outcome.is_ok() && batches > 0 {
        tracing::warn!(batches, "metrics lost: nobody read the standard output in time");
    }
    tracing::info!(received, deleted, "consumer ended");
    outcome
}

/// A configured consumer before its first receive.
struct Start {
    consumer: Arc<Consumer>,
    batch_size: usize,
    max_wait: Duration,
    stop: watch::Sender<bool>,
    /// Result of the metrics writer.
    written: Ended,
}

impl Start {
    /// Reads the settings and the schemas, and checks that the queue responds.
    ///
    /// # Errors
    /// If the function would not start with this configuration, or the queue does not respond.
    async fn new(arguments: &Arguments) -> Result<Self, Box<dyn Error>> {
        check_url(&arguments.queue_url)?;
        let aws = Aws::over(arguments.receivers as usize + arguments.workers as usize).await?;
        let region = aws.region()?.to_owned();
        let deployed = arguments.profile.read()?;
        let lookup = lookup(&arguments.settings, &deployed)?;
        let settings = Settings::parse(|name| match name {
            "AWS_REGION" => Some(region.clone()),
            name => lookup(name),
        })?;
        let max_wait = arguments.max_wait(&deployed)?;
        let batch_size = arguments.batch_size.or_else(|| deployed.batch_size()).unwrap_or(DEFAULT_BATCH_SIZE);
        let connections = Arc::new(ConnectionPool::new(settings.max_in_flight.get())?);
        let clients = Clients::new(connections, aws.credentials()?, &settings)?;
        let handler = clients.handler(settings, None, jitter).await.map_err(|error| error.to_string())?;
        let queue = Arc::new(Queue::new(aws, arguments.queue_url.clone()));
        let arn = queue.arn().await.map_err(|error| arguments.named(error))?;
        let (metrics, written) = BackgroundWriter::start(std::io::stdout())?;
        let stop = watch::Sender::new(false);
        let consumer = Arc::new(Consumer {
            handler,
            queue,
            arn,
            visibility_seconds: arguments.visibility_timeout,
            is_fifo: arguments.is_fifo(),
            metrics,
            stopped: stop.subscribe(),
            unsettled: arguments.once.then(Arc::default),
            counts: MessageCounts::default(),
        });
        Ok(Self { consumer, batch_size: batch_size as usize, max_wait, stop, written })
    }
}

/// Starts logging in the function's format, but to standard error, because metrics are written to standard output.
fn start_logging(log: BackgroundWriter) {
    let subscriber = tracing_subscriber::fmt().with_max_level(LevelFilter::INFO).with_target(false);
    let json = subscriber.json().flatten_event(true).with_current_span(false).with_span_list(false);
    json.with_writer(log).init();
}

/// Reason why no further batch begins.
enum End {
    /// The receivers have ended, because the queue is empty or receiving failed.
    Received,
    /// Nothing can be stored or deleted until an operator fixes the cause.
    Fatal,
    Signal,
    /// Standard output accepts no more metrics.
    Output(OutputError),
}

async fn consume(start: Start, arguments: &Arguments, mut signals: EndSignals) -> Outcome {
    let Start { consumer, batch_size, max_wait, stop, mut written } = start;
    let workers = arguments.workers as usize;
    let batch_size = (!consumer.is_fifo).then_some(batch_size);
    // room for one batch per worker
    let polls = batch_size.map_or(1, |size| size.div_ceil(MAX_CALL_MESSAGES)) * workers;
    let (sender, received) = mpsc::channel(polls);
    let receivers = Receivers {
        queue: Arc::clone(&consumer.queue),
        most: arguments.receivers as usize,
        visibility_seconds: arguments.visibility_timeout,
        once: consumer.unsettled.clone(),
        stop: stop.clone(),
    };
    let mut receiving = tokio::spawn(receivers.run(sender));
    let mut batches = Batches::new(received, batch_size, max_wait);
    let mut at_work = JoinSet::new();
    let end = loop {
        let has_room = at_work.len() < workers;
        tokio::select! {
            batch = batches.next(), if has_room => match batch {
                Some(batch) => drop(at_work.spawn(Arc::clone(&consumer).batch(batch))),
                None => break End::Received,
            },
            Some(ended) = at_work.join_next() => {
                if of_batch(ended) == BatchEnd::Fatal && arguments.once {
                    break End::Fatal;
                }
            }
            _ = signals.next() => break End::Signal,
            failed = &mut written => match failed {
                Ok(Err(error)) => break End::Output(error),
                // the writer thread panicked
                _ => break End::Output(OutputError::Closed),
            },
        }
    };
    stop.send_replace(true);
    let is_hurried = Cell::new(matches!(end, End::Signal | End::Output(_)));
    let output = if let End::Output(error) = end { Err(error) } else { Ok(()) };
    let finish = async {
        // make messages visible at once that were received and that no batch has started
        let give_back = async {
            while let Some(rest) = batches.rest().await {
                consumer.give_back(&rest).await;
            }
        };
        let work = async {
            while let Some(ended) = at_work.join_next().await {
                of_batch(ended);
            }
        };
        tokio::join!(give_back, work);
        consumer.release_unsettled().await;
        let is_all_well = consumer.report().await;
        ((&mut receiving).await, is_all_well)
    };
    let mut time_is_up = pin!(async {
        if !is_hurried.get() {
            signals.next().await;
            is_hurried.set(true);
        }
        let limit = Duration::from_secs(arguments.shutdown_timeout);
        tokio::select! {
            () = sleep(limit) => {}
            _ = signals.next() => {}
        }
    });
    let finished = tokio::select! {
        finished = finish => Some(finished),
        () = &mut time_is_up => None,
    };
    // do not wait for a poll that has not responded
    receiving.abort();
    let Some((received, is_all_well)) = finished else {
        tracing::warn!(
            "not all ended within the shutdown timeout: the messages come back after the visibility timeout"
        );
        return Ok(false);
    };
    received?.map_err(|error: CallError| arguments.named(error))?;
    output?;
    // all messages are settled, so unread metrics must not delay the end
    tokio::select! {
        written = last_metrics(&consumer.metrics, written) => written?,
        () = consumer.metrics.stalled(UNREAD_TIMEOUT, || is_hurried.get()) => {}
        () = &mut time_is_up => {}
    }
    Ok(is_all_well)
}

/// Waits until all metrics are written.
async fn last_metrics(metrics: &BackgroundWriter, written: Ended) -> Result<(), OutputError> {
    metrics.end().await;
    written.await.unwrap_or(Err(OutputError::Closed))
}

/// Returns the result of a batch. If the batch panicked, its messages count as not stored and are redelivered.
fn of_batch(ended: Result<BatchEnd, JoinError>) -> BatchEnd {
    ended.unwrap_or_else(|panic| {
        tracing::error!(%panic, "a batch ended early");
        BatchEnd::Handled
    })
}
