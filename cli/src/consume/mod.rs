//! `ingest consume`: the function's pipeline where no Lambda runs. Receivers prefetch into a bounded buffer, batches are cut from it,
//! and what the handler does not return is deleted.
//!
//! A message is deleted only after the handler has said that it is durable. Whatever ends early, this process or a call, the
//! message comes back after its visibility timeout.
//!
//! Nothing holds up a shutdown longer than its timeout: every call to the queue ends in time, and the outputs, which a full pipe blocks, are written by
//! threads of their own.

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

/// Receives messages of a queue and writes their records as the function does, with the function's settings from --set, a profile and the environment.
///
/// Metrics go to the standard output as the function's do, the log to the standard error. Exit code 1 if batches at work did
/// not end within the shutdown timeout, or if --once left messages that are not stored or not deleted
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  TABLE_NAME=orders SCHEMA_DIR=schemas ingest consume --queue-url URL
  ingest consume --queue-url URL --once --set TABLE_NAME=orders --set SCHEMA_DIR=schemas
  SCHEMA_DIR=schemas ingest consume --queue-url URL --profile throughput --set TABLE_NAME=orders
  TABLE_NAME=orders SCHEMA_DIR=schemas ingest consume --queue-url URL --receivers 20 --workers 8 --batch-size 100")]
pub(crate) struct Arguments {
    /// The queue's URL
    #[arg(long, value_name = "URL")]
    queue_url: String,
    /// Messages of a batch at most, 100 by default; of a FIFO queue what one poll brings
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch_size: Option<u32>,
    /// Milliseconds that a batch waits to be full; the profile's window, MAX_WAIT_TIME_MS or 100 by default
    #[arg(long, value_name = "MS", value_parser = whole(0..=u64::MAX))]
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
    /// Seconds that batches at work have to end after SIGTERM or Ctrl-C; a second signal ends at once
    #[arg(long, value_name = "S", default_value_t = 25, value_parser = whole(0..=u64::MAX))]
    shutdown_timeout: u64,
    /// End when no message is in sight any more
    #[arg(long)]
    once: bool,
    /// A setting of the function, which goes before the profile and its environment variable
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
    #[command(flatten)]
    profile: ProfileOptions,
}

impl Arguments {
    /// Whether the queue keeps the order of its groups.
    fn is_fifo(&self) -> bool {
        self.queue_url.ends_with(".fifo")
    }

    /// How long a batch waits to be full.
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

    /// An error that names the queue.
    fn named(&self, error: impl std::fmt::Display) -> String {
        format!("{}: {error}", self.queue_url)
    }
}

/// How long a batch waits to be full.
const DEFAULT_MAX_WAIT: Duration = Duration::from_millis(100);
/// Messages of a batch at most.
const DEFAULT_BATCH_SIZE: u32 = 100;
/// Time for the last lines of the log.
const LAST_LINES_TIMEOUT: Duration = Duration::from_millis(500);
/// Time for which a standard output may take no metrics before a shutdown goes on without them.
const UNREAD_TIMEOUT: Duration = Duration::from_millis(500);

pub(crate) async fn run(arguments: Arguments) -> Outcome {
    // first of all, because the start may take seconds
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

/// A consumer before its first receive.
struct Start {
    consumer: Arc<Consumer>,
    batch_size: usize,
    max_wait: Duration,
    stop: watch::Sender<bool>,
    /// End of the metrics' writer.
    written: Ended,
}

impl Start {
    /// Reads the settings and the schemas, and asks for the queue.
    ///
    /// # Errors
    /// If the function would not start with them, or the queue does not respond.
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

/// Logs as the function does, but not between its metrics: the standard output is theirs.
fn start_logging(log: BackgroundWriter) {
    let subscriber = tracing_subscriber::fmt().with_max_level(LevelFilter::INFO).with_target(false);
    let json = subscriber.json().flatten_event(true).with_current_span(false).with_span_list(false);
    json.with_writer(log).init();
}

/// The reason to begin no further batch.
enum End {
    /// The receivers have ended: the queue is empty, or they cannot go on.
    Received,
    /// Nothing can be stored or deleted until an operator fixes the cause.
    Fatal,
    Signal,
    /// The standard output takes no more metrics.
    Output(OutputError),
}

async fn consume(start: Start, arguments: &Arguments, mut signals: EndSignals) -> Outcome {
    let Start { consumer, batch_size, max_wait, stop, mut written } = start;
    let workers = arguments.workers as usize;
    let batch_size = (!consumer.is_fifo).then_some(batch_size);
    // a batch waits for each worker
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
                // the thread panicked
                _ => break End::Output(OutputError::Closed),
            },
        }
    };
    stop.send_replace(true);
    let is_hurried = Cell::new(matches!(end, End::Signal | End::Output(_)));
    let output = if let End::Output(error) = end { Err(error) } else { Ok(()) };
    let finish = async {
        // what was received and not begun is in sight again at once
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
    // a poll that is still silent holds up nothing
    receiving.abort();
    let Some((received, is_all_well)) = finished else {
        tracing::warn!(
            "not all ended within the shutdown timeout: the messages come back after the visibility timeout"
        );
        return Ok(false);
    };
    received?.map_err(|error: CallError| arguments.named(error))?;
    output?;
    // the messages are safe, and metrics that nobody reads delay nothing
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

/// The end of a batch. One that panicked has stored nothing that it knows of: its messages come back.
fn of_batch(ended: Result<BatchEnd, JoinError>) -> BatchEnd {
    ended.unwrap_or_else(|panic| {
        tracing::error!(%panic, "a batch ended early");
        BatchEnd::Handled
    })
}
