//! `bench`: both bootstraps as whole processes, in turns, and the report of it.

mod clock;
mod drive;
mod events;
mod figures;
mod process;

use bytes::Bytes;
use clap::{Parser, Subcommand};
use figures::{Figures, Ratio};
use process::{Process, Surroundings};
use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

/// Measures avro-ingest against the ordinary handler: whole processes, one runtime API, in turns.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Compare(Compare),
    Drive(drive::Arguments),
}

/// Compares the two at several batch sizes.
#[derive(clap::Args)]
struct Compare {
    /// Bootstrap of avro-ingest
    #[arg(long, value_name = "FILE")]
    ours: PathBuf,
    /// Bootstrap of the ordinary handler
    #[arg(long, value_name = "FILE")]
    ordinary: PathBuf,
    /// How often each of the two has its turn
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Length of a turn in seconds
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    #[arg(long, default_value = "10,100,1000,5000", value_delimiter = ',')]
    batches: Vec<u32>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    match Arguments::parse().command {
        Command::Compare(arguments) => compare(&arguments).await,
        Command::Drive(arguments) => drive::run(&arguments).await,
    }
}

async fn compare(arguments: &Compare) -> Result<(), Box<dyn Error>> {
    let turn = Duration::from_secs_f64(arguments.seconds);
    for &messages in &arguments.batches {
        let events = events::of(messages)?;
        let surroundings = Surroundings::default();
        let processes = [
            Process::start(&arguments.ours, &surroundings).await?,
            Process::start(&arguments.ordinary, &surroundings).await?,
        ];
        let count = usize::try_from(messages)?;
        for process in &processes {
            process.work(&events, count, turn / 4).await?;
        }
        let mut rounds = [Vec::new(), Vec::new()];
        for _ in 0..arguments.rounds {
            for (process, rounds) in processes.iter().zip(&mut rounds) {
                rounds.push(process.work(&events, count, turn).await?);
            }
        }
        println!("{messages} messages, {} bytes", events.first().map_or(0, Bytes::len));
        for (process, rounds) in processes.iter().zip(&rounds) {
            println!("  {:?} {:?}", process.init(), Figures::of(rounds, process.peak_resident_bytes()?));
        }
        let [ours, theirs] = &rounds;
        println!("  {:?}", Ratio::of(ours, theirs));
    }
    Ok(())
}
