//! `ingest check`: loads a schema directory as the function does, prints the result, and reports problems that would not keep
//! the function from starting.

mod create;
mod print;
mod problems;
mod table;

use crate::output::{self, errln, out};
use crate::profile::Profile;
use crate::settings::{of_decoding, wire_formats};
use crate::template::template;
use crate::wire_formats::misfits;
use crate::{Outcome, environment};
use avro_ingest::schema_dir;
use avro_ingest::settings::Settings;
use avro_ingest::transcode::Transcoder;
use print::CheckReport;
use std::path::PathBuf;

/// Checks a schema directory, and prints its versions, fingerprints, target tables and problems. Exit code 1 if there is a
/// problem.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  ingest check
  ingest check --schemas ../contracts/schemas --json
  ingest check --profile throughput")]
pub(crate) struct Arguments {
    /// Schema directory
    #[arg(long, default_value = "schemas", value_name = "DIR")]
    schemas: PathBuf,
    /// Table of records whose schema names no table
    #[arg(long, default_value = "processed_messages", value_name = "NAME")]
    table: String,
    /// Region of the function, for schemas that name their table by ARN [default: AWS_REGION]
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Account of the function, for schemas that name their table by ARN [default: ACCOUNT_ID]
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// Allowed wire formats, in order [default: those of the profile or WIRE_FORMATS, or derived from the schemas]
    #[arg(long, value_name = "LIST", value_parser = wire_formats)]
    wire_formats: Option<String>,
    /// Check the schemas against the table and settings that this profile of samconfig.toml deploys
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// File that contains the profiles
    #[arg(long, value_name = "FILE", default_value = "samconfig.toml", requires = "profile")]
    config: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let profile = arguments.profile.as_ref().map(|name| Profile::read(&arguments.config, name)).transpose()?;
    let template = template()?;
    if let Some(profile) = &profile {
        template.check(&profile.parameters)?;
    }
    let config = Settings::parse(|name| match (name, &profile) {
        ("TABLE_NAME", _) => Some(arguments.table.clone()),
        ("WIRE_FORMATS", _) if arguments.wire_formats.is_some() => arguments.wire_formats.clone(),
        ("AWS_REGION", _) => arguments.region.clone().or_else(|| environment(name)),
        ("ACCOUNT_ID", _) => arguments.account.clone().or_else(|| environment(name)),
        (_, Some(profile)) => template.setting(name, &profile.parameters),
        (_, None) => of_decoding(name),
    })?;
    let files = schema_dir::read(&arguments.schemas)?;
    let mut problems = problems::ignored_files(&arguments.schemas)?;
    let transcoder = match Transcoder::new(&config, files) {
        Ok(transcoder) => Some(transcoder),
        Err(error) => {
            problems.extend(error.iter().map(str::to_owned));
            None
        }
    };
    if let Some(transcoder) = &transcoder {
        problems.extend(problems::of_subjects(transcoder, &config));
        problems.extend(misfits(transcoder));
        if let Some(profile) = &profile {
            problems.extend(table::misfits(transcoder, &profile.parameters));
        }
    }
    let report = CheckReport { transcoder: transcoder.as_ref(), problems: &problems };
    if arguments.json {
        output::json(&report.json())?;
    } else {
        out!("{report}")?;
        problems.iter().for_each(|problem| errln!("problem: {problem}"));
    }
    Ok(problems.is_empty())
}
