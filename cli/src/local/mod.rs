//! `ingest local`: runs the real bootstrap on this machine, with an SQS queue as its source and an embedded DynamoDB as its
//! target.

pub(crate) mod launcher;
mod orders;
mod records;
mod send_times;
mod show;
mod summary;
mod tables;

use crate::Outcome;
use crate::names::once_each;
use crate::output::{errln, outln};
use crate::settings::{ProfileOptions, setting};
use avro_ingest::schema_dir;
use avro_ingest::settings;
use avro_ingest::transcode::Transcoder;
use bytes::Bytes;
use indicatif::{ProgressBar, ProgressStyle};
use local::dynamodb::{Client, Embedded};
use local::lambda::{self, Function};
use local::mapping::Mapping;
use local::sqs::{Endpoint, Message, Queue, Settings};
use records::Records;
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use summary::{Figures, Metrics, Summary};
use tokio::signal::unix::{SignalKind, signal};

/// Runs the real bootstrap on this machine with your records, made-up records or one event. Exit code 1 if a record is not
/// stored.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  ingest local                                                          made-up orders, and a few invalid messages
  ingest local --schemas my-schemas --schema payment --sample 100       made-up records of your schema
  ingest local --schemas my-schemas --schema payment --records payments.jsonl
  ingest local --event events/mixed.json
  ingest local --keep --listen 0.0.0.0 --port 8000                      an endpoint that a container reaches")]
pub(crate) struct Arguments {
    /// Number of made-up orders to send
    #[arg(long, default_value_t = 1_000, conflicts_with_all = ["event", "records", "sample"], value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    messages: u32,
    /// Maximum number of messages per invocation [default: the profile's, or 10]
    #[arg(long, conflicts_with = "event", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch_size: Option<u32>,
    /// Send this event instead of made-up orders
    #[arg(long, value_name = "FILE", conflicts_with_all = ["records", "sample"])]
    event: Option<PathBuf>,
    /// Leave the send times of the event as they are: by default an event that no queue would still have is sent now
    #[arg(long, requires = "event", conflicts_with_all = ["records", "sample"])]
    keep_send_times: bool,
    /// Write every metrics line of the function to this file, for ingest report
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
    /// Send the records of this file instead, one JSON object per line; - is standard input
    #[arg(long, value_name = "FILE", group = "of_schema")]
    records: Option<PathBuf>,
    /// Send N made-up records of the schema instead
    #[arg(long, value_name = "N", group = "of_schema", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    sample: Option<u32>,
    /// Schema of the records, `subject` or `subject/version` [default: the only schema in the directory]
    #[arg(long, value_name = "NAME", requires = "of_schema", conflicts_with = "event")]
    schema: Option<String>,
    /// Keep the DynamoDB and SQS endpoints running afterwards, until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Address on which the endpoints listen
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_name = "ADDRESS")]
    listen: IpAddr,
    /// Port of the DynamoDB endpoint; 0 chooses a free port
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Schema directory
    #[arg(long, default_value = "schemas", value_name = "DIR")]
    schemas: PathBuf,
    /// Executable of the function [default: the newest that `make run` or `cargo build` built]
    #[arg(long, value_name = "FILE")]
    bootstrap: Option<PathBuf>,
    /// Set an environment variable of the function; overrides the profile
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
    #[command(flatten)]
    profile: ProfileOptions,
}

/// Timeout of the function. It is the template's default.
const TIMEOUT: Duration = Duration::from_secs(30);
const TABLE: &str = "processed_messages";
/// Maximum number of messages per invocation. It is the template's default.
const DEFAULT_BATCH_SIZE: u32 = 10;
/// Maximum number of items shown per table.
const SHOWN_ITEMS: usize = 3;
/// File name of the function's executable.
const EXECUTABLE: &str = "avro-ingest";

/// A message to send.
struct Sample {
    message: Message,
    /// Name in the report if the message is not stored.
    name: String,
    /// Whether the message can never be stored.
    is_poison: bool,
}

pub(crate) async fn run(arguments: Arguments) -> Outcome {
    let mut environment = once_each(&arguments.settings)?;
    let deployed = arguments.profile.read()?;
    let batch_size = arguments.batch_size.or_else(|| deployed.batch_size()).unwrap_or(DEFAULT_BATCH_SIZE);
    // the endpoint settings of AWS do not apply, because the endpoints are on this machine
    for setting in settings::Settings::all().into_iter().filter(|setting| !setting.name.starts_with("AWS_")) {
        if let Some(value) = deployed.setting(setting.name) {
            environment.entry(setting.name.into()).or_insert(value);
        }
    }
    for (name, value) in [("TABLE_NAME", TABLE), ("AWS_REGION", lambda::REGION), ("ACCOUNT_ID", lambda::ACCOUNT)] {
        environment.entry(name.into()).or_insert_with(|| value.into());
    }
    environment.insert(
        "SCHEMA_DIR".into(),
        fs::canonicalize(&arguments.schemas).unwrap_or(arguments.schemas.clone()).display().to_string(),
    );
    let config = settings::Settings::parse(|name| environment.get(name).cloned())?;
    let transcoder = Transcoder::new(&config, schema_dir::read(&config.schema_dir)?)?;
    let bootstrap = bootstrap(arguments.bootstrap.as_deref())?;

    let address = SocketAddr::from((arguments.listen, arguments.port));
    let database = Embedded::start_at(address).map_err(|error| format!("cannot listen at {address}: {error}"))?;
    let tables = tables::create(database.client(), &config.table_name, &transcoder).await?;
    environment.insert("AWS_ENDPOINT_URL_DYNAMODB".into(), database.url());
    let mut queue = Queue::new(Settings::named("orders"));
    let address = SocketAddr::from((arguments.listen, 0));
    let sqs = Endpoint::start_at(address, "none").map_err(|error| format!("cannot listen at {address}: {error}"))?;
    sqs.change_visibility_of(&queue);
    environment.entry("AWS_ENDPOINT_URL_SQS".into()).or_insert_with(|| sqs.url());

    let mut settings = lambda::Settings::new(bootstrap);
    settings.launcher = launcher::command_line()?;
    settings.environment = environment;
    let metrics = Metrics::create(arguments.metrics.as_deref())?;
    let start = Function::start(settings);

    let client = database.client();
    let all_is_well = if let Some(event) = &arguments.event {
        one_event(start.await?, (event, arguments.keep_send_times), metrics, client, &tables).await?
    } else if arguments.records.is_some() || arguments.sample.is_some() {
        let records = Records::of(&transcoder, arguments.schema.as_deref(), &config)?;
        let (samples, mistakes) = match (&arguments.records, arguments.sample) {
            (Some(file), _) => records.read(file)?,
            (None, count) => (records.made_up(count.unwrap_or_default())?, Vec::new()),
        };
        for mistake in &mistakes {
            errln!("{mistake}");
        }
        let sent = samples.len();
        let are_stored = feed(start.await?, &mut queue, samples, batch_size, metrics, client, &tables).await?;
        if !mistakes.is_empty() {
            errln!("{} of {} records were not sent", mistakes.len(), mistakes.len() + sent);
        }
        are_stored && mistakes.is_empty()
    } else {
        let encoder = orders::encoder(&arguments.schemas)?;
        let samples = orders::samples(&encoder, usize::try_from(arguments.messages)?)?;
        let are_stored = feed(start.await?, &mut queue, samples, batch_size, metrics, client, &tables).await?;
        are_stored && items_in(client, &tables).await? == u64::from(arguments.messages)
    };
    if arguments.keep {
        keep(&database.url(), &sqs.url(), &tables).await?;
    }
    Ok(all_is_well)
}

/// Keeps the endpoints running until Ctrl-C.
async fn keep(dynamodb: &str, sqs: &str, tables: &[String]) -> Result<(), Box<dyn Error>> {
    // register the handler before the text below invites Ctrl-C, because an unhandled signal ends the process
    let mut interrupt = signal(SignalKind::interrupt())?;
    outln!("\nDynamoDB is at {dynamodb} and SQS at {sqs} until Ctrl-C, for example:")?;
    for table in tables {
        outln!(
            "  AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local aws dynamodb scan --table-name {table} \
             --endpoint-url {dynamodb} --region us-east-1"
        )?;
    }
    interrupt.recv().await;
    Ok(())
}

/// Returns the named executable, or the newest build: next to the tool, or in the directory of a target triple.
fn bootstrap(named: Option<&Path>) -> Result<PathBuf, Box<dyn Error>> {
    if let Some(path) = named {
        return fs::canonicalize(path).map_err(|error| format!("no bootstrap at {}: {error}", path.display()).into());
    }
    let tool = std::env::current_exe()?;
    let folder = tool.parent().unwrap_or(Path::new("."));
    let builds = folder.parent().and_then(|target| fs::read_dir(target).ok()).into_iter().flatten().flatten();
    let candidates = builds.map(|build| build.path().join("release").join(EXECUTABLE));
    let built = |path: &PathBuf| -> Option<SystemTime> { fs::metadata(path).ok()?.modified().ok() };
    let candidates = candidates.chain([folder.join(EXECUTABLE)]).filter_map(|path| Some((built(&path)?, path)));
    let newest = candidates.max().map(|(_, path)| path);
    newest.ok_or_else(|| "the function is not built: make bootstrap builds it, or name one with --bootstrap".into())
}

async fn items_in(client: &Client, tables: &[String]) -> Result<u64, Box<dyn Error>> {
    let mut items = 0;
    for table in tables {
        items += client.count(table).await?;
    }
    Ok(items)
}

/// Sends the samples, waits until the function has handled them all, and prints the results. Returns whether every sample that
/// can be stored is stored.
async fn feed(
    function: Function,
    queue: &mut Queue,
    samples: Vec<Sample>,
    batch_size: u32,
    mut metrics: Metrics,
    client: &Client,
    tables: &[String],
) -> Outcome {
    let sent = samples.len();
    let mut names = BTreeMap::new();
    let mut poison = 0;
    for Sample { message, name, is_poison } in samples {
        poison += usize::from(is_poison);
        names.insert(queue.send(message, local::clock::since_epoch())?, (name, is_poison));
    }
    outln!("{sent} messages, {poison} of them poison, {batch_size} an invocation")?;
    let bar = ProgressBar::new(u64::try_from(sent)?)
        .with_style(ProgressStyle::with_template("  {bar:40} {pos}/{len} messages  {elapsed}")?);
    let mapping = Mapping { batch_size: usize::try_from(batch_size)?, timeout: TIMEOUT };
    let functions = [function];
    let totals = mapping
        .drain(queue, &functions, |totals, _| {
            bar.set_position(u64::try_from(totals.acknowledged + totals.dead_lettered).unwrap_or_default());
        })
        .await;
    bar.finish();
    let mut summary = Summary::default();
    for function in functions {
        summary.read(function.stop().await);
    }
    metrics.write(&summary)?;
    let items = items_in(client, tables).await?;
    outln!("\n{}", Figures { summary: &summary, totals: &totals, sent, items })?;
    let dead = queue.dead_letters();
    if !dead.is_empty() {
        outln!("dead-lettered, each with its reason")?;
    }
    for letter in dead {
        let name = names.get(&letter.message_id).map_or("a message", |(name, _)| name);
        outln!("  {name:<30} {}", summary.reason(&letter.message_id).unwrap_or("no reason in the log"))?;
    }
    show::items(client, tables, SHOWN_ITEMS).await?;
    outln!("\none line of metrics\n  {}", summary.last_metrics().unwrap_or("none"))?;

    let is_poison = |id: &String| names.get(id).is_some_and(|(_, is_poison)| *is_poison);
    let only_poison_is_dead = dead.len() == poison && dead.iter().all(|letter| is_poison(&letter.message_id));
    let balances = totals.remaining == 0 && summary.balances(totals.delivered);
    outln!("\n{}", if balances { "the ledger balances" } else { "THE LEDGER DOES NOT BALANCE" })?;
    Ok(balances && only_poison_is_dead)
}

/// Has the function handle one event, and prints what came of it. True if every message of it is stored.
async fn one_event(
    function: Function,
    (event, keeps_send_times): (&Path, bool),
    mut metrics: Metrics,
    client: &Client,
    tables: &[String],
) -> Outcome {
    let mut payload = fs::read(event).map_err(|error| format!("cannot read {}: {error}", event.display()))?;
    if !keeps_send_times {
        payload = send_times::sent_now(&payload, local::clock::since_epoch()).unwrap_or(payload);
    }
    let invocation = function.invoke(Bytes::from(payload), TIMEOUT).await;
    let lines = function.stop().await;
    for line in &lines {
        outln!("{}", line.text)?;
    }
    let mut summary = Summary::default();
    summary.read(lines);
    metrics.write(&summary)?;
    let answered = match invocation.outcome {
        lambda::Outcome::Response(answer) => {
            outln!("\nanswer  {}", String::from_utf8_lossy(&answer))?;
            true
        }
        lambda::Outcome::Error { error_type, message } => {
            outln!("\nfailed  {error_type}: {message}")?;
            false
        }
        lambda::Outcome::TimedOut => {
            outln!("\ntimed out")?;
            false
        }
        lambda::Outcome::Crashed(exit) => {
            outln!("\ncrashed  {exit}")?;
            false
        }
    };
    show::items(client, tables, usize::MAX).await?;
    let (received, stored) = (summary.count("MessagesReceived"), summary.durable());
    if answered && stored < received {
        outln!("\n{} of {received} messages are not stored", received - stored)?;
    }
    Ok(answered && stored == received && summary.balances(received))
}
