//! `ingest check`: loads a schema directory as the function would and says what it would make of it.

use crate::{EVERY_WIRE_FORMAT, Outcome};
use avro_ingest::schema_dir;
use avro_ingest::settings::Settings;
use avro_ingest::transcode::Transcoder;
use std::path::PathBuf;

/// Checks a schema directory: versions, fingerprints, where records go, and every problem. Exit code 1 if there is one.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Schema directory
    #[arg(long, default_value = "schemas", value_name = "DIR")]
    schemas: PathBuf,
    /// Table of the records whose schema names none
    #[arg(long, default_value = "processed_messages", value_name = "NAME")]
    table: String,
    /// Allowed framings, in order
    #[arg(long, default_value = EVERY_WIRE_FORMAT, value_name = "LIST")]
    wire_formats: String,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let config = Settings::parse(|name| match name {
        "TABLE_NAME" => Some(arguments.table.clone()),
        "WIRE_FORMATS" => Some(arguments.wire_formats.clone()),
        _ => None,
    })?;
    let transcoder = match Transcoder::new(&config, schema_dir::read(&arguments.schemas)?) {
        Ok(transcoder) => transcoder,
        Err(problems) => {
            eprintln!("{problems}");
            return Ok(false);
        }
    };
    for (subject, mapping) in transcoder.subjects() {
        println!("{}", subject.name());
        for version in subject.versions() {
            let role = if version.number() == subject.newest().number() { "read as" } else { "accepted" };
            let ids: Vec<String> = version.ids().iter().map(ToString::to_string).collect();
            let ids = if ids.is_empty() { String::new() } else { format!("  ids {}", ids.join(", ")) };
            println!("  version {:<4} {role:<9} fingerprint {:016x}{ids}", version.number(), version.fingerprint());
        }
        println!("  table {}", mapping.table);
        for ((name, key_type), role) in mapping.key_schema().zip(["partition key", "sort key"]) {
            println!("  {role} {name} ({key_type:?})");
        }
        if let Some(version) = mapping.version() {
            println!("  never overwritten by an older {version}");
        }
    }
    Ok(true)
}
