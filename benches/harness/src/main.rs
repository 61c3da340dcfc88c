//! `harness`: measures both bootstraps as whole processes, in turns, and writes the report.

mod clock;
mod compare;
mod conditions;
mod consume;
mod cost;
mod drive;
mod endpoint;
mod events;
mod figures;
mod process;
mod report;
mod results;
mod starts;
mod steps;
mod tune;

use clap::{Parser, Subcommand};
use compare::{Bootstraps, Effort};
use cost::Prices;
use results::{Results, RunMetadata};
use serde::de::DeserializeOwned;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tune::Tuning;

/// Measures avro-ingest against the baseline: whole processes under one runtime API, in turns
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Measure(Measure),
    Render(Render),
    Tune(tune::Arguments),
    Drive(drive::Arguments),
    Consume(consume::Arguments),
}

/// Measures everything and writes it as JSON
#[derive(clap::Args)]
struct Measure {
    #[command(flatten)]
    bootstraps: Bootstraps,
    #[command(flatten)]
    effort: Effort,
    #[command(flatten)]
    metadata: RunMetadata,
    /// The price table
    #[arg(long, default_value = PRICES, value_name = "FILE")]
    prices: PathBuf,
    /// Where the results go
    results: PathBuf,
}

/// Writes what there is of results.json and tuning.json as one page, report.html
#[derive(clap::Args)]
struct Render {
    /// Where they are and where the page goes
    folder: PathBuf,
}

/// The price table.
const PRICES: &str = "benches/prices.json";

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Measure(Measure { bootstraps, effort, metadata, prices, results }) => {
            let prices: Prices = serde_json::from_str(&read(&prices)?)?;
            let measured = results::measure(&bootstraps, effort, metadata, prices, folder_of(&results)).await?;
            write(&results, &serde_json::to_string_pretty(&measured)?)
        }
        Command::Tune(arguments) => {
            let prices: Prices = serde_json::from_str(&read(Path::new(PRICES))?)?;
            let tuning = tune::run(&arguments, prices).await?;
            print!("{tuning}");
            write(&arguments.tuning, &serde_json::to_string_pretty(&tuning)?)
        }
        Command::Render(Render { folder }) => {
            let results: Option<Results> = read_if_there(&folder.join("results.json"))?;
            let tuning: Option<Tuning> = read_if_there(&folder.join("tuning.json"))?;
            let page = report::page(results.as_ref(), tuning.as_ref()).ok_or("nothing has been measured")?;
            write(&folder.join("report.html"), &page.html())
        }
        Command::Drive(arguments) => drive::run(&arguments).await,
        Command::Consume(arguments) => consume::run(&arguments).await,
    }
}

fn read_if_there<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Box<dyn Error>> {
    if !path.exists() {
        return Ok(None);
    }
    let value = serde_json::from_str(&read(path)?);
    value.map(Some).map_err(|error| format!("{} is of another version: {error}", path.display()).into())
}

fn read(path: &Path) -> Result<String, Box<dyn Error>> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()).into())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

fn write(path: &Path, text: &str) -> Result<(), Box<dyn Error>> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()).into())
}
