//! `harness`: measures both bootstraps as whole processes, in turns, and writes the report.

mod clock;
mod compare;
mod cost;
mod drive;
mod events;
mod figures;
mod process;
mod report;
mod results;
mod steps;

use clap::{Parser, Subcommand};
use compare::{Bootstraps, Effort};
use cost::Prices;
use results::{Results, RunMetadata};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

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
    Drive(drive::Arguments),
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
    #[arg(long, default_value = "benches/prices.json", value_name = "FILE")]
    prices: PathBuf,
    /// Where the results go
    results: PathBuf,
}

/// Writes results as a page
#[derive(clap::Args)]
struct Render {
    results: PathBuf,
    /// Where the page goes
    page: PathBuf,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    match Arguments::parse().command {
        Command::Measure(Measure { bootstraps, effort, metadata, prices, results }) => {
            let prices: Prices = serde_json::from_str(&read(&prices)?)?;
            let measured = results::measure(&bootstraps, effort, metadata, prices).await?;
            write(&results, &serde_json::to_string_pretty(&measured)?)
        }
        Command::Render(Render { results, page }) => {
            let results: Results = serde_json::from_str(&read(&results)?)?;
            write(&page, &report::page(&results))
        }
        Command::Drive(arguments) => drive::run(&arguments).await,
    }
}

fn read(path: &Path) -> Result<String, Box<dyn Error>> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()).into())
}

fn write(path: &Path, text: &str) -> Result<(), Box<dyn Error>> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()).into())
}
