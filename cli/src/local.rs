//! `ingest local`: the real bootstrap on one machine, fed by a queue, writing into an embedded DynamoDB.

use crate::Outcome;
use crate::orders;
use crate::summary::{Figures, Summary};
use avro_ingest::dynamodb::mapping::KeyType;
use avro_ingest::encode::Encoder;
use avro_ingest::schema_dir;
use avro_ingest::settings;
use avro_ingest::transcode::Transcoder;
use bytes::Bytes;
use indicatif::{ProgressBar, ProgressStyle};
use local::dynamodb::{Client, Embedded, Key, KeyKind, Table};
use local::lambda::{self, Function};
use local::mapping::Mapping;
use local::sqs::{Endpoint, Queue, Settings};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Feeds the real bootstrap made-up orders and a little poison, or one event, on this machine.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many orders to send
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    messages: u32,
    /// Messages of one invocation
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch_size: u32,
    /// Send this event instead of orders
    #[arg(long, value_name = "FILE")]
    event: Option<PathBuf>,
    /// Leave the DynamoDB endpoint up afterwards, until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Port of the DynamoDB endpoint; 0 for any
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Schema directory
    #[arg(long, default_value = "schemas", value_name = "DIR")]
    schemas: PathBuf,
    /// The function's executable; the one beside this by default
    #[arg(long, value_name = "FILE")]
    bootstrap: Option<PathBuf>,
    /// A setting of the function, as its environment variable
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
}

/// What a function may take on this machine; it is the template's default.
const TIMEOUT: Duration = Duration::from_secs(30);
const TABLE: &str = "processed_messages";

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it has no =")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(crate) async fn run(arguments: Arguments) -> Outcome {
    let mut environment: BTreeMap<String, String> = arguments.settings.iter().cloned().collect();
    environment.entry("TABLE_NAME".into()).or_insert_with(|| TABLE.into());
    environment.insert(
        "SCHEMA_DIR".into(),
        fs::canonicalize(&arguments.schemas).unwrap_or(arguments.schemas.clone()).display().to_string(),
    );
    let config = settings::Settings::parse(|name| environment.get(name).cloned())?;
    let transcoder = Transcoder::new(&config, schema_dir::read(&config.schema_dir)?)?;

    let database = Embedded::start(arguments.port)?;
    let tables = create_tables(database.client(), &config, &transcoder).await?;
    environment.insert("AWS_ENDPOINT_URL_DYNAMODB".into(), database.url());
    let queue = Queue::new(Settings::named("orders"));
    let sqs = Endpoint::start(0, "none")?;
    sqs.change_visibility_of(&queue);
    environment.entry("AWS_ENDPOINT_URL_SQS".into()).or_insert_with(|| sqs.url());

    let mut settings = lambda::Settings::new(bootstrap(arguments.bootstrap.as_deref())?);
    settings.environment = environment;
    let function = Function::start(settings).await?;

    let all_is_well = match &arguments.event {
        Some(event) => one_event(function, event, database.client(), &tables).await?,
        None => many_orders(function, queue, &arguments, database.client(), &tables).await?,
    };
    if arguments.keep {
        println!("\nDynamoDB is at {} until Ctrl-C, for example:", database.url());
        println!("  aws dynamodb scan --table-name {TABLE} --endpoint-url {} --region us-east-1", database.url());
        tokio::signal::ctrl_c().await?;
    }
    Ok(all_is_well)
}

/// The executable named, or `avro-ingest` beside this one.
fn bootstrap(named: Option<&Path>) -> Result<PathBuf, Box<dyn Error>> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => std::env::current_exe()?.with_file_name("avro-ingest"),
    };
    fs::canonicalize(&path).map_err(|error| format!("no bootstrap at {}: {error}", path.display()).into())
}

/// Makes every table the schemas name, keyed as their mappings say, and the default one.
async fn create_tables(
    client: &Client,
    config: &settings::Settings,
    transcoder: &Transcoder,
) -> Result<Vec<String>, Box<dyn Error>> {
    let kind = |key_type| match key_type {
        KeyType::S => KeyKind::String,
        KeyType::N => KeyKind::Number,
        KeyType::B => KeyKind::Binary,
    };
    let mut tables: BTreeMap<&str, Table> = BTreeMap::new();
    for (_, mapping) in transcoder.mappings().iter() {
        let mut keys = mapping.key_schema().map(|(name, key_type)| Key::new(name, kind(key_type)));
        let (partition_key, sort_key) = (keys.next(), keys.next());
        let Some(partition_key) = partition_key else { continue };
        let mut table = Table { name: mapping.table.clone(), partition_key, sort_key: None };
        if let Some(sort_key) = sort_key {
            table = table.sorted_by(sort_key);
        }
        tables.entry(&mapping.table).or_insert(table);
    }
    tables.entry(&config.table_name).or_insert_with(|| Table::keyed_by(&config.table_name, "message_id"));
    for table in tables.values() {
        client.create_table(table).await?;
    }
    Ok(tables.into_values().map(|table| table.name).collect())
}

async fn many_orders(
    function: Function,
    mut queue: Queue,
    arguments: &Arguments,
    client: &Client,
    tables: &[String],
) -> Outcome {
    let encoder = Encoder::of_subject(&arguments.schemas, "order")?;
    let samples = orders::samples(&encoder, usize::try_from(arguments.messages)?)?;
    let mut poison = BTreeMap::new();
    let sent = samples.len();
    for sample in samples {
        let id = queue.send(sample.message, local::clock::since_epoch())?;
        poison.extend(sample.poison.map(|what| (id, what)));
    }
    println!("{sent} messages, {} of them poison, {} an invocation", poison.len(), arguments.batch_size);
    let bar = ProgressBar::new(u64::try_from(sent)?)
        .with_style(ProgressStyle::with_template("  {bar:40} {pos}/{len} messages  {elapsed}")?);
    let mapping = Mapping { batch_size: usize::try_from(arguments.batch_size)?, timeout: TIMEOUT };
    let functions = [function];
    let totals = mapping
        .drain(&mut queue, &functions, |totals, _| {
            bar.set_position(u64::try_from(totals.acknowledged + totals.dead_lettered).unwrap_or_default());
        })
        .await;
    bar.finish();
    let mut summary = Summary::default();
    for function in functions {
        summary.read(function.stop().await);
    }
    let mut items = 0;
    for table in tables {
        items += client.count(table).await?;
    }
    println!("\n{}", Figures { summary: &summary, totals: &totals, sent, items });
    println!("dead-lettered, each with its reason");
    for letter in queue.dead_letters() {
        let what = poison.get(&letter.message_id).copied().unwrap_or("a good message");
        println!("  {what:<30} {}", summary.reason(&letter.message_id).unwrap_or("no reason in the log"));
    }
    show_items(client, tables, 3).await?;
    println!("\none line of metrics\n  {}", summary.last_metrics().unwrap_or("none"));

    let unexpected = queue.dead_letters().iter().filter(|letter| !poison.contains_key(&letter.message_id)).count();
    let stored = usize::try_from(items)?;
    let complete = unexpected == 0 && totals.remaining == 0 && totals.dead_lettered == poison.len();
    let all_is_well = complete && summary.balances(totals.delivered) && stored == usize::try_from(arguments.messages)?;
    println!("\n{}", if all_is_well { "the ledger balances" } else { "THE LEDGER DOES NOT BALANCE" });
    Ok(all_is_well)
}

async fn one_event(function: Function, event: &Path, client: &Client, tables: &[String]) -> Outcome {
    let payload = fs::read(event).map_err(|error| format!("cannot read {}: {error}", event.display()))?;
    let invocation = function.invoke(Bytes::from(payload), TIMEOUT).await;
    for line in function.stop().await {
        println!("{}", line.text);
    }
    let answered = match invocation.outcome {
        lambda::Outcome::Response(answer) => {
            println!("\nanswer  {}", String::from_utf8_lossy(&answer));
            true
        }
        lambda::Outcome::Error { error_type, message } => {
            println!("\nfailed  {error_type}: {message}");
            false
        }
        lambda::Outcome::TimedOut => {
            println!("\ntimed out");
            false
        }
        lambda::Outcome::Crashed(exit) => {
            println!("\ncrashed  {exit}");
            false
        }
    };
    show_items(client, tables, usize::MAX).await?;
    Ok(answered)
}

async fn show_items(client: &Client, tables: &[String], most: usize) -> Result<(), Box<dyn Error>> {
    for table in tables {
        let mut items = client.scan(table).await?;
        items.sort_by_cached_key(|item| item.get("message_id").map(Value::to_string));
        println!("\n{} of {} items of {table}", items.len().min(most), items.len());
        for item in items.into_iter().take(most) {
            println!("  {}", Value::Object(plain(item)));
        }
    }
    Ok(())
}

/// An item as people read it, without DynamoDB's types.
fn plain(item: Map<String, Value>) -> Map<String, Value> {
    fn value(typed: Value) -> Value {
        let Value::Object(typed) = typed else { return typed };
        match typed.into_iter().next() {
            Some((name, Value::Object(map))) if name == "M" => Value::Object(plain(map)),
            Some((name, Value::Array(list))) if name == "L" => list.into_iter().map(value).collect(),
            Some((name, Value::String(text))) if name == "N" => {
                serde_json::from_str(&text).unwrap_or(Value::String(text))
            }
            Some((name, _)) if name == "NULL" => Value::Null,
            Some((_, value)) => value,
            None => Value::Null,
        }
    }
    item.into_iter().map(|(name, typed)| (name, value(typed))).collect()
}
