//! `ingest`, the tool beside the function.
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
    Completions(manual::CompletionsArguments),
    Man(manual::ManArguments),
}

/// The exit code of a command that could not do its work; `clap` ends with it too.
const COULD_NOT_RUN: u8 = 2;

/// Every command says whether all is well: exit code 0, or 1.
type Outcome = Result<bool, Box<dyn Error>>;

/// The exit code of a command whose reader has closed the pipe, as shells know it: 128 and the number of SIGPIPE.
const PIPE_CLOSED: u8 = 141;

fn main() -> ExitCode {
    let outcome = match parse(std::env::args_os()) {
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

/// Reads the command line. An option takes a negative number for its value, so that the error names the range of the option.
fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Arguments, clap::Error> {
    let with_negatives = |argument: Arg| {
        let takes_values = argument.get_action().takes_values();
        argument.allow_negative_numbers(takes_values)
    };
    let command = Arguments::command().mut_subcommands(|command| command.mut_args(with_negatives));
    let mut matches = command.try_get_matches_from(words)?;
    Arguments::from_arg_matches_mut(&mut matches)
}

/// Runs a command on a runtime of its own. Threads that are still blocked, by a name server for example, do not hold up the end.
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

/// Region and account for a command that decodes and writes no item: without them, a schema directory whose subjects name tables
/// both by name and by ARN might be refused, although no table matters.
fn no_functions_scope(name: &str) -> Option<String> {
    match name {
        "AWS_REGION" => Some(::local::lambda::REGION.to_owned()),
        "ACCOUNT_ID" => Some(::local::lambda::ACCOUNT.to_owned()),
        _ => None,
    }
}

/// The JSON of records: what `--json-encoding` says, else the setting `JSON_ENCODING` of the environment, else its default.
fn json_encoding(option: Option<JsonEncoding>) -> Result<JsonEncoding, String> {
    let of_environment = || match environment("JSON_ENCODING") {
        None => Ok(JsonEncoding::default()),
        Some(text) => text.parse().map_err(|problem| format!("JSON_ENCODING is {text:?}, {problem}")),
    };
    option.map_or_else(of_environment, Ok)
}

/// A variable of the environment that has a value. The only reader of it: commands are given what they need.
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

    /// The words of a shell's line after its variables, up to a comment, a pipe or another command.
    fn words(line: &str) -> Option<Vec<String>> {
        // behind the pipe of another command, whose arguments may have the name too
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
