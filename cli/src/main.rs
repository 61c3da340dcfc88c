//! `ingest`, the command-line tool for the function.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod aws;
mod check;
mod connections;
mod consume;
mod doctor;
mod duration;
mod encode;
mod inspect;
mod journal;
mod local;
mod manual;
mod names;
mod numbers;
mod output;
mod plan;
mod prices;
mod producer;
mod profile;
mod pull;
mod queue;
mod replay;
mod report;
mod send;
mod settings;
mod signals;
mod table;
mod template;
mod wire_formats;

use crate::output::{OutputError, errln, out};
use avro_ingest::avro::JsonEncoding;
use clap::{Arg, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::error::Error;
use std::ffi::OsString;
use std::process::ExitCode;

/// Command-line tool for avro-ingest: runs the function locally, checks schemas and deployments, and inspects, sends and
/// replays messages.
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
    Completions(manual::CompletionsArguments),
    Man(manual::ManArguments),
}

/// Exit code if a command could not do its work. `clap` uses it too.
const COULD_NOT_RUN: u8 = 2;

/// Result of a command: whether all is well (exit code 0 or 1), or an error (exit code 2).
type Outcome = Result<bool, Box<dyn Error>>;

/// Exit code if the reader of standard output has closed the pipe. By shell convention, it is 128 plus the number of SIGPIPE.
const PIPE_CLOSED: u8 = 141;

fn main() -> ExitCode {
    let outcome = match parse(std::env::args_os()) {
        Ok(arguments) => run(arguments.command),
        // requested help is written to standard output, and errors to standard error
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

/// Parses the command line. Options accept negative numbers as values, so that the error can state the option's range.
fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Arguments, clap::Error> {
    let with_negatives = |argument: Arg| {
        let takes_values = argument.get_action().takes_values();
        argument.allow_negative_numbers(takes_values)
    };
    let command = Arguments::command().mut_subcommands(|command| command.mut_args(with_negatives));
    let mut matches = command.try_get_matches_from(words)?;
    Arguments::from_arg_matches_mut(&mut matches)
}

/// Runs a command on its own runtime. Blocked threads, for example in a DNS lookup, do not delay the exit.
fn run(command: Command) -> Outcome {
    let runtime = tokio::runtime::Runtime::new()?;
    let outcome = runtime.block_on(outcome(command));
    runtime.shutdown_background();
    outcome
}

async fn outcome(command: Command) -> Outcome {
    signals::survive_file_size_limit()?;
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
        Command::Completions(arguments) => manual::complete(Arguments::command(), &arguments),
        Command::Man(arguments) => manual::write_pages(Arguments::command(), &arguments),
    }
}

/// Returns a default region and account for commands that only decode. Without them, a schema directory whose subjects name
/// tables both by name and by ARN might be refused, although these commands use no table.
fn no_functions_scope(name: &str) -> Option<String> {
    match name {
        "AWS_REGION" => Some(::local::lambda::REGION.to_owned()),
        "ACCOUNT_ID" => Some(::local::lambda::ACCOUNT.to_owned()),
        _ => None,
    }
}

/// Returns the JSON encoding of records: the value of `--json-encoding`, else of the environment variable `JSON_ENCODING`, else
/// the default.
fn json_encoding(option: Option<JsonEncoding>) -> Result<JsonEncoding, String> {
    let of_environment = || match environment("JSON_ENCODING") {
        None => Ok(JsonEncoding::default()),
        Some(text) => text.parse().map_err(|problem| format!("JSON_ENCODING is {text:?}, {problem}")),
    };
    option.map_or_else(of_environment, Ok)
}

/// Returns an environment variable that is not empty. No other function reads the environment, and commands receive what they
/// need.
fn environment(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "main.rs is the only reader of process state")]
    let value = std::env::var(name).ok();
    value.filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::error::ErrorKind;
    use std::any::TypeId;

    /// Returns the words of a shell command line, after variable assignments and up to a comment, a pipe or another command.
    fn words(line: &str) -> Option<Vec<String>> {
        // skip a preceding command in a pipe, because its arguments may contain the same word
        let (_, line) = line.rsplit_once("| ingest ").or_else(|| line.split_once("ingest "))?;
        let ends = ["  ", " | ", " > ", " < ", " && "].iter().filter_map(|end| line.find(end)).min();
        let line = line.get(..ends.unwrap_or(line.len()))?;
        let words = line.split_whitespace().map(|word| word.trim_matches(['\'', '"']).to_owned());
        Some(std::iter::once("ingest".to_owned()).chain(words).collect())
    }

    #[test]
    fn every_example_is_a_command_that_is_understood() {
        Arguments::command().debug_assert();
        let mut examples = 0;
        for command in Arguments::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let help =
                command.get_after_help().unwrap_or_else(|| panic!("{} has no help", command.get_name())).to_string();
            let (_, lines) = help.split_once("Examples:\n").unwrap_or_else(|| panic!("{help}"));
            for words in lines.lines().filter_map(words) {
                if let Err(error) = parse(words.iter().map(OsString::from)) {
                    panic!("{words:?}: {error}");
                }
                examples += 1;
            }
        }
        assert!(examples > 30, "{examples}");
    }

    #[test]
    fn every_option_that_is_a_number_answers_minus_one_with_its_range() {
        let numbers = [TypeId::of::<u16>(), TypeId::of::<u32>(), TypeId::of::<u64>(), TypeId::of::<f64>()];
        let mut tried = 0;
        for command in Arguments::command().get_subcommands() {
            let options = command.get_arguments().filter(|option| {
                let is = option.get_value_parser().type_id();
                numbers.iter().any(|number| is == *number)
            });
            for option in options.filter_map(Arg::get_long) {
                let words = ["ingest", command.get_name(), &format!("--{option}"), "-1"].map(OsString::from);
                let error = parse(words).err().unwrap_or_else(|| panic!("{command} --{option} -1 is taken"));
                let text = error.to_string();
                assert_eq!(error.kind(), ErrorKind::ValueValidation, "{text}");
                assert!(text.contains(" is not in ") || text.contains(": not a "), "{text}");
                tried += 1;
            }
        }
        assert!(tried > 20, "{tried}");
    }
}
