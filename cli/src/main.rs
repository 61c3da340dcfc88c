//! `ingest`, the tool beside the function.

mod aws;
mod check;
mod connections;
mod consume;
mod doctor;
mod duration;
mod encode;
mod inspect;
#[allow(dead_code, reason = "each command uses what it needs of the journal")]
mod journal;
mod local;
mod output;
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

use crate::output::{OutputError, errln, out};
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
    #[command(name = local::launcher::NAME, hide = true)]
    ExecuteWithParent(local::launcher::Arguments),
}

/// What `--wire-formats` allows unless it is given: the tool is there to look into anything.
const EVERY_WIRE_FORMAT: &str = "single-object,container,confluent,glue,datum,json";

/// The exit code of a command that could not do its work; `clap` ends with it too.
const COULD_NOT_RUN: u8 = 2;

/// Every command says whether all is well: exit code 0, or 1.
type Outcome = Result<bool, Box<dyn Error>>;

/// The exit code of a command whose reader has closed the pipe, as shells know it: 128 and the number of SIGPIPE.
const PIPE_CLOSED: u8 = 141;

fn main() -> ExitCode {
    end_with_the_reader();
    let outcome = match Arguments::try_parse() {
        Ok(arguments) => run(arguments.command),
        // what was asked for is output, and what is wrong is an error
        Err(help) if !help.use_stderr() => out!("{help}").map(|()| true).map_err(Into::into),
        Err(mistake) => {
            errln!("{}", mistake.to_string().trim_end());
            return ExitCode::from(COULD_NOT_RUN);
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if matches!(error.downcast_ref(), Some(OutputError::Closed)) => ExitCode::from(PIPE_CLOSED),
        Err(error) => {
            errln!("ingest: {error}");
            ExitCode::from(COULD_NOT_RUN)
        }
    }
}

/// Runs a command on a runtime of its own. Threads that are still blocked, by a name server for example, do not hold up the end.
fn run(command: Command) -> Outcome {
    let runtime = tokio::runtime::Runtime::new()?;
    let outcome = runtime.block_on(outcome(command));
    runtime.shutdown_background();
    outcome
}

async fn outcome(command: Command) -> Outcome {
    match command {
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
        Command::ExecuteWithParent(arguments) => local::launcher::run(&arguments),
    }
}

/// Ends the process without a word if what reads its output, such as `head`, has enough. `println!` has no other way to
/// say so than a panic.
fn end_with_the_reader() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic: &PanicHookInfo<'_>| {
        let is_closed_pipe = |text: &String| text.starts_with("failed printing to") && text.contains("Broken pipe");
        if panic.payload().downcast_ref().is_some_and(is_closed_pipe) {
            std::process::exit(PIPE_CLOSED.into());
        }
        report(panic);
    }));
}

/// Region and account for a command that decodes and writes no item: without them, a schema directory whose subjects name tables
/// both by name and by ARN might be refused, although no table matters.
fn no_functions_scope(name: &str) -> Option<String> {
    match name {
        "AWS_REGION" => Some(::local::lambda::REGION.to_owned()),
        "ACCOUNT_ID" => Some(::local::lambda::ACCOUNT.to_owned()),
        _ => None,
    }
}

/// A variable of the environment that has a value. The only reader of it: commands are given what they need.
fn environment(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "main.rs is the only reader of process state")]
    let value = std::env::var(name).ok();
    value.filter(|value| !value.is_empty())
}
