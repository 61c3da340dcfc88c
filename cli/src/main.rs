//! `ingest`, the tool beside the function.

mod aws;
mod check;
mod connections;
mod consume;
mod doctor;
mod duration;
mod encode;
mod inspect;
mod local;
mod page;
mod plan;
mod plot;
mod prices;
mod producer;
mod profile;
mod pull;
mod queue;
mod replay;
mod report;
mod send;

use clap::{Parser, Subcommand};
use std::error::Error;
use std::panic::PanicHookInfo;
use std::process::ExitCode;

/// Runs, checks and looks into avro-ingest on one machine.
#[derive(Parser)]
#[command(name = "ingest", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Local(local::Arguments),
    Check(check::Arguments),
    Inspect(inspect::Arguments),
    Encode(encode::Arguments),
    Send(send::Arguments),
    Replay(replay::Arguments),
    Consume(consume::Arguments),
    Plan(plan::Arguments),
    Report(report::Arguments),
    Pull(pull::Arguments),
    Doctor(doctor::Arguments),
}

/// What `--wire-formats` allows unless it is given: the tool is there to look into anything.
const EVERY_WIRE_FORMAT: &str = "single-object,container,confluent,glue,datum,json";

/// The exit code of a command that could not do its work; `clap` ends with it too.
const COULD_NOT_RUN: u8 = 2;

/// Every command says whether all is well: exit code 0, or 1.
type Outcome = Result<bool, Box<dyn Error>>;

/// The exit code of a command whose reader has closed the pipe, as shells know it: 128 and the number of SIGPIPE.
const PIPE_CLOSED: i32 = 141;

#[tokio::main]
async fn main() -> ExitCode {
    end_with_the_reader();
    let outcome = match Arguments::parse().command {
        Command::Local(arguments) => local::run(arguments).await,
        Command::Check(arguments) => check::run(&arguments),
        Command::Inspect(arguments) => inspect::run(arguments).await,
        Command::Encode(arguments) => encode::run(&arguments),
        Command::Send(arguments) => send::run(arguments).await,
        Command::Replay(arguments) => replay::run(arguments).await,
        Command::Consume(arguments) => consume::run(arguments).await,
        Command::Plan(arguments) => plan::run(&arguments),
        Command::Report(arguments) => report::run(arguments).await,
        Command::Pull(arguments) => pull::run(&arguments).await,
        Command::Doctor(arguments) => doctor::run(&arguments).await,
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("ingest: {error}");
            ExitCode::from(COULD_NOT_RUN)
        }
    }
}

/// Ends the process without a word if what reads its output, such as `head`, has enough. `println!` has no other way to
/// say so than a panic.
fn end_with_the_reader() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic: &PanicHookInfo<'_>| {
        let is_closed_pipe = |text: &String| text.starts_with("failed printing to") && text.contains("Broken pipe");
        if panic.payload().downcast_ref().is_some_and(is_closed_pipe) {
            std::process::exit(PIPE_CLOSED);
        }
        report(panic);
    }));
}

/// A variable of the environment that has a value. The only reader of it: commands are given what they need.
fn environment(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "main.rs is the only reader of process state")]
    let value = std::env::var(name).ok();
    value.filter(|value| !value.is_empty())
}
