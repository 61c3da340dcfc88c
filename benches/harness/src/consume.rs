//! `harness consume`: how many messages a second `ingest consume` takes from a queue that never ends, by cores and receivers, and
//! what a message costs it beside the function under Lambda.

use crate::clock;
use crate::compare::{self, Effort};
use crate::process::RunConfig;
use local::feed::Feed;
use local::lambda::Usage;
use local::sink::Sink;
use serde::Serialize;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Messages of a batch, for both.
const BATCH: u32 = 100;
/// Long polls at once.
const RECEIVERS: [u32; 5] = [1, 2, 5, 10, 20];
/// The cores it may use, as `taskset` has them.
const CORES: [&str; 2] = ["0", "0,1"];
/// How many bodies there are. A batch has no two with one key.
const BODIES: u32 = 10_000;
/// Until all receivers are at work.
const WARM_UP: Duration = Duration::from_secs(1);

/// Measures the consumer, by cores and receivers, and prints it as JSON
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The tool, built for release
    #[arg(long, value_name = "FILE")]
    ingest: PathBuf,
    /// Bootstrap of avro-ingest, for what a message costs under Lambda
    #[arg(long, value_name = "FILE")]
    ours: PathBuf,
    #[command(flatten)]
    effort: Effort,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Consumption {
    rows: Vec<Row>,
    /// CPU for a message of the function at the same size of batch, in microseconds.
    lambda_cpu_us: f64,
}

#[derive(Debug, Serialize)]
struct Row {
    cores: usize,
    receivers: u32,
    messages_per_second: f64,
    /// CPU for a message, in microseconds: SQS over HTTP included, which Lambda does for the function.
    cpu_us: f64,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let mut rows = Vec::new();
    for cores in CORES {
        for receivers in RECEIVERS {
            rows.push(consume(&arguments.ingest, cores, receivers, arguments.effort.turn).await?);
        }
    }
    let lambda = compare::alone(&arguments.ours, BATCH, &RunConfig::default(), arguments.effort).await?;
    println!("{}", serde_json::to_string_pretty(&Consumption { rows, lambda_cpu_us: lambda.cpu_us })?);
    Ok(())
}

async fn consume(ingest: &Path, cores: &str, receivers: u32, turn: Duration) -> Result<Row, Box<dyn Error>> {
    let feed = Feed::start(micro::event::bodies(0, BODIES))?;
    let sink = Sink::start(0, Duration::ZERO)?;
    let process = Running(
        Command::new("taskset")
            .args(["--cpu-list", cores])
            .arg(ingest)
            .args(["consume", "--queue-url", &feed.queue_url()])
            .args(["--receivers", &receivers.to_string(), "--batch-size", &BATCH.to_string()])
            .envs([("AWS_REGION", "us-east-1"), ("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
            .env("AWS_ENDPOINT_URL_SQS", feed.url())
            .env("AWS_ENDPOINT_URL_DYNAMODB", sink.url())
            .env("TABLE_NAME", "orders")
            .env("SCHEMA_DIR", RunConfig::default().schemas)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?,
    );
    tokio::time::sleep(WARM_UP).await;
    let (started, deleted, cpu) = (clock::now(), feed.deleted(), Usage::of(process.0.id())?.cpu);
    tokio::time::sleep(turn).await;
    let (elapsed, messages) = (clock::now() - started, feed.deleted() - deleted);
    let cpu = Usage::of(process.0.id())?.cpu - cpu;
    if messages == 0 {
        return Err(format!("nothing was consumed with {receivers} receivers on {cores}").into());
    }
    Ok(Row {
        cores: cores.split(',').count(),
        receivers,
        messages_per_second: messages as f64 / elapsed.as_secs_f64(),
        cpu_us: cpu.as_secs_f64() * 1e6 / messages as f64,
    })
}

/// A process that ends with its value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
