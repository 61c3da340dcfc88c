//! `ingest pull`: writes the versions of a schema registry to files in the schema directory. The function itself never calls a
//! registry.

mod changes;
mod glue;
mod http;
mod json;
mod merge;
mod references;
mod registry;
mod source;
mod store;

use crate::Outcome;
use crate::output::{self, OutputError, errln, out, outln};
use crate::settings::wire_formats;
use avro_ingest::schema_dir;
use avro_ingest::settings::Settings;
use changes::{Action, Change, Prune, Selection, Skipped, changes, files_after, folder, records, select, unread};
use glue::Glue;
use indicatif::{ProgressBar, ProgressStyle};
use registry::Registry;
use serde_json::{Value, json};
use similar::TextDiff;
use source::{Failure, History, LeftOut, Source, Version};
use std::collections::BTreeSet;
use std::error::Error;
use std::path::PathBuf;

/// Writes all Avro records of a schema registry to a schema directory, with their ids. Exit code 1 if a subject is skipped
/// because it could not be read, or because the function would not start with it.
#[derive(clap::Args)]
#[command(after_help = "\
Registry credentials come from SCHEMA_REGISTRY_USER and SCHEMA_REGISTRY_PASSWORD, or from SCHEMA_REGISTRY_TOKEN. Glue uses
the AWS credentials.

Examples:
  ingest pull --registry https://registry.example.com --subject orders-value
  ingest pull --registry http://localhost:8081 --dry-run
  ingest pull --registry http://localhost:8081 --wire-formats confluent,container
  ingest pull --glue my-registry --schemas schemas --prune")]
pub(crate) struct Arguments {
    /// URL of a registry with Confluent's API: Confluent, Redpanda, Karapace, Apicurio (/apis/ccompat/v7)
    #[arg(long, value_name = "URL", required_unless_present = "glue", conflicts_with = "glue")]
    registry: Option<String>,
    /// Name of an AWS Glue registry
    #[arg(long, value_name = "NAME")]
    glue: Option<String>,
    /// Pull only this subject; may be repeated [default: all]
    #[arg(long = "subject", value_name = "NAME")]
    subjects: Vec<String>,
    /// Schema directory
    #[arg(long, default_value = "schemas", value_name = "DIR")]
    schemas: PathBuf,
    /// Wire formats that the function will allow, because not all can distinguish two subjects with the same name [default:
    /// confluent, or glue with --glue]
    #[arg(long, value_name = "LIST", value_parser = wire_formats)]
    wire_formats: Option<String>,
    /// Delete versions that the registry does not have; without --subject, also whole subjects
    #[arg(long)]
    prune: bool,
    /// Show what would change, without writing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Contents of a registry.
#[derive(Default)]
struct Pulled {
    versions: Vec<Version>,
    left_out: Vec<LeftOut>,
    skipped: Vec<Skipped>,
    /// Folders of all requested subjects.
    folders: BTreeSet<String>,
}

pub(crate) async fn run(arguments: &Arguments) -> Outcome {
    let settings = settings(arguments)?;
    let mut pulled = fetch(arguments).await?;
    store::recover(&arguments.schemas)?;
    let files = if arguments.schemas.is_dir() { schema_dir::read(&arguments.schemas)? } else { Vec::new() };
    let prune = arguments.prune.then(|| Prune {
        scope: (!arguments.subjects.is_empty()).then(|| pulled.folders.clone()),
        keep: pulled.skipped.iter().filter_map(|skipped| folder(&skipped.subject).ok()).collect(),
    });
    let changes = changes(&arguments.schemas, &files, &pulled.versions, prune.as_ref())?;
    let Selection { changes, skipped } = match select(&settings, &files, changes) {
        Ok(selection) => selection,
        Err(problems) => {
            errln!("{problems}");
            return Ok(false);
        }
    };
    pulled.skipped.extend(skipped);
    if !arguments.dry_run {
        store::replace(&arguments.schemas, &files, &changes)?;
    }
    if arguments.json {
        output::json(&as_json(&changes, &pulled))?;
    } else {
        show(&changes, &pulled, arguments.dry_run)?;
    }
    let after = files_after(&files, &changes);
    if !after.is_empty() {
        let notes = unread(&settings, arguments.wire_formats.is_some(), after);
        notes.iter().for_each(|note| errln!("note       {note}"));
    }
    Ok(pulled.skipped.is_empty())
}

/// Returns the settings of the function that affect which schemas it accepts.
fn settings(arguments: &Arguments) -> Result<Settings, Box<dyn Error>> {
    let default = if arguments.glue.is_some() { "glue" } else { "confluent" };
    let wire_formats = arguments.wire_formats.clone().unwrap_or_else(|| default.to_owned());
    Ok(Settings::parse(|name| match name {
        "TABLE_NAME" => Some("processed_messages".to_owned()),
        "WIRE_FORMATS" => Some(wire_formats.clone()),
        name => crate::no_functions_scope(name),
    })?)
}

/// Reads the requested subjects, or all.
async fn fetch(arguments: &Arguments) -> Result<Pulled, Box<dyn Error>> {
    let source = match (&arguments.registry, &arguments.glue) {
        (Some(url), _) => Source::Registry(Registry::new(url, crate::environment)?.into()),
        (None, Some(name)) => Source::Glue(Glue::new(name).await?.into()),
        (None, None) => return Err("--registry or --glue is needed".into()),
    };
    let is_named = !arguments.subjects.is_empty();
    let subjects = if is_named { arguments.subjects.clone() } else { source.subjects().await? };
    let bar = ProgressBar::new(subjects.len() as u64);
    bar.set_style(ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}").unwrap_or(ProgressStyle::default_bar()));
    let mut pulled = Pulled::default();
    for subject in subjects.into_iter().collect::<BTreeSet<_>>() {
        bar.set_message(subject.clone());
        bar.inc(1);
        let found = source.history(&subject).await;
        // a subject on the command line must exist
        let expected = |why: &str| format!("{subject} cannot be pulled: {why}");
        match found {
            Ok(history) => {
                let History { versions, mut left_out } = history;
                let (mut versions, others) = records(versions);
                left_out.extend(others);
                if versions.is_empty() && is_named {
                    let why = left_out.first().map_or("it has no version", |left_out| left_out.why.as_str());
                    return Err(expected(why).into());
                }
                if versions.is_empty() {
                    left_out = vec![whole(&subject, &left_out)];
                }
                pulled.left_out.append(&mut left_out);
                match folder(&subject) {
                    Ok(folder) => {
                        versions.iter_mut().for_each(|version| version.subject.clone_from(&folder));
                        pulled.folders.insert(folder);
                        pulled.versions.append(&mut versions);
                    }
                    Err(_) if versions.is_empty() => {}
                    Err(why) => pulled.skipped.push(Skipped { subject, why }),
                }
            }
            Err(Failure::Gone(why)) if is_named => return Err(expected(&why).into()),
            Err(Failure::Gone(_)) => {
                pulled.left_out.push(LeftOut { subject, version: None, why: "deleted meanwhile".to_owned() });
            }
            Err(Failure::Subject(why)) => pulled.skipped.push(Skipped { subject, why }),
            Err(Failure::Registry(cause)) => return Err(cause),
        }
    }
    bar.finish_and_clear();
    Ok(pulled)
}

/// Summarizes a subject of which every version is left out.
fn whole(subject: &str, versions: &[LeftOut]) -> LeftOut {
    let reasons: BTreeSet<&str> = versions.iter().map(|version| version.why.as_str()).collect();
    let why = if reasons.is_empty() {
        "it has no version".to_owned()
    } else {
        reasons.into_iter().collect::<Vec<_>>().join("; ")
    };
    LeftOut { subject: subject.to_owned(), version: None, why }
}

fn as_json(changes: &[Change], pulled: &Pulled) -> Value {
    let changed = changes.iter().map(|change| json!(change));
    let left_out = pulled.left_out.iter().map(|LeftOut { subject, version, why }| {
        json!({"action": "left out", "subject": subject, "version": version, "why": why})
    });
    let skipped = pulled
        .skipped
        .iter()
        .map(|Skipped { subject, why }| json!({"action": "skipped", "subject": subject, "why": why}));
    changed.chain(left_out).chain(skipped).collect()
}

fn show(changes: &[Change], pulled: &Pulled, dry_run: bool) -> Result<(), OutputError> {
    for Change { action, subject, version, path, lost, before, after } in changes {
        let action = match action {
            Action::New => "new",
            Action::Changed => "changed",
            Action::Unchanged => "unchanged",
            Action::Deleted => "deleted",
        };
        outln!("{action:<10} {subject}/{version}")?;
        for field in lost {
            outln!("           the dynamodb property of {field} has no field any more")?;
        }
        if dry_run && before != after {
            let name = path.display().to_string();
            out!("{}", TextDiff::from_lines(before, after).unified_diff().header(&name, &name))?;
        }
    }
    for LeftOut { subject, version, why } in &pulled.left_out {
        let version = version.map(|version| format!("/{version}")).unwrap_or_default();
        errln!("left out   {subject}{version}: {why}");
    }
    for Skipped { subject, why } in &pulled.skipped {
        errln!("skipped    {subject}: {why}");
    }
    Ok(())
}
