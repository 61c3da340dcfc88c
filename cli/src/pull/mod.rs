//! `ingest pull`: the versions of a schema registry as files of the schema directory. The function never asks a registry itself.

mod json;
mod merge;
mod references;
mod source;

use crate::Outcome;
use avro_ingest::avro::SchemaFile;
use avro_ingest::schema_dir;
use avro_ingest::settings::Settings;
use avro_ingest::transcode::Transcoder;
use indicatif::{ProgressBar, ProgressStyle};
use json::Json;
use merge::{Merged, merge};
use serde::Serialize;
use similar::TextDiff;
use source::{Glue, Registry, Version};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// Writes every version of a schema registry into a schema directory, with its id. Exit code 1 if `ingest check` would refuse them;
/// then nothing is written.
#[derive(clap::Args)]
#[command(after_help = "\
Credentials of a registry are SCHEMA_REGISTRY_USER and SCHEMA_REGISTRY_PASSWORD, or SCHEMA_REGISTRY_TOKEN; those of Glue are AWS's.

Examples:
  ingest pull --registry https://registry.example.com --subject orders-value
  ingest pull --registry http://localhost:8081 --dry-run
  ingest pull --glue my-registry --schemas schemas --prune")]
pub(crate) struct Arguments {
    /// A registry with Confluent's API: Confluent, Redpanda, Karapace, Apicurio (/apis/ccompat/v7)
    #[arg(long, value_name = "URL", required_unless_present = "glue", conflicts_with = "glue")]
    registry: Option<String>,
    /// A registry of AWS Glue
    #[arg(long, value_name = "NAME")]
    glue: Option<String>,
    /// Only this subject; more may be given. All by default
    #[arg(long = "subject", value_name = "NAME")]
    subjects: Vec<String>,
    /// Schema directory
    #[arg(long, default_value = "schemas", value_name = "DIR")]
    schemas: PathBuf,
    /// Delete versions, and without --subject whole subjects, that the registry does not have
    #[arg(long)]
    prune: bool,
    /// Write nothing, and show what would change
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What happens to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    New,
    Changed,
    Unchanged,
    Deleted,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Change {
    action: Action,
    subject: String,
    version: u32,
    path: PathBuf,
    /// Fields whose `dynamodb` property found no field of that name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lost: Vec<String>,
    #[serde(skip)]
    before: String,
    #[serde(skip)]
    after: String,
}

pub(crate) async fn run(arguments: &Arguments) -> Outcome {
    let (versions, subjects) = fetch(arguments).await?;
    let files = if arguments.schemas.is_dir() { schema_dir::read(&arguments.schemas)? } else { Vec::new() };
    let scope = if arguments.subjects.is_empty() { None } else { Some(subjects) };
    let changes = changes(&arguments.schemas, &files, &versions, scope.as_ref(), arguments.prune)?;
    let problems = problems(&files, &changes)?;
    if let Some(problems) = &problems {
        eprintln!("{problems}");
    } else if !arguments.dry_run {
        apply(&changes)?;
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&changes)?);
    } else {
        show(&changes, arguments.dry_run);
    }
    Ok(problems.is_none())
}

/// Every version that is asked for, and the subjects.
async fn fetch(arguments: &Arguments) -> Result<(Vec<Version>, BTreeSet<String>), Box<dyn Error>> {
    let registry = match &arguments.registry {
        Some(url) => Some(Registry::new(url, crate::environment)?),
        None => None,
    };
    let glue = match &arguments.glue {
        Some(name) => Some(Glue::new(name).await?),
        None => None,
    };
    let subjects = match (&registry, &glue) {
        _ if !arguments.subjects.is_empty() => arguments.subjects.clone(),
        (Some(registry), _) => registry.subjects().await?,
        (None, Some(glue)) => glue.subjects().await?,
        (None, None) => return Err("--registry or --glue is needed".into()),
    };
    let bar = ProgressBar::new(subjects.len() as u64);
    bar.set_style(ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}").unwrap_or(ProgressStyle::default_bar()));
    let mut versions = Vec::new();
    for subject in &subjects {
        check_name(subject)?;
        bar.set_message(subject.clone());
        let found = match (&registry, &glue) {
            (Some(registry), _) => registry.versions(subject).await?,
            (None, Some(glue)) => glue.versions(subject).await?,
            (None, None) => Vec::new(),
        };
        if found.is_empty() && !arguments.subjects.is_empty() {
            return Err(format!("{subject} has no version in Avro").into());
        }
        versions.extend(found);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok((versions, subjects.into_iter().collect()))
}

/// A subject becomes a folder, and no registry may choose another place.
fn check_name(subject: &str) -> Result<(), String> {
    let bad = subject.is_empty() || subject.starts_with('.') || subject.contains(['/', '\\', '\0']);
    if bad { Err(format!("subject {subject:?} cannot be the name of a folder")) } else { Ok(()) }
}

/// What has to happen so that the directory has what the registry has. Pure.
fn changes(
    directory: &Path,
    files: &[SchemaFile],
    versions: &[Version],
    scope: Option<&BTreeSet<String>>,
    prune: bool,
) -> Result<Vec<Change>, Box<dyn Error>> {
    let mut existing: BTreeMap<(&str, u32), (&SchemaFile, Json)> = BTreeMap::new();
    for file in files {
        let Ok(number) = file.version.parse() else { continue };
        let schema = Json::parse(&file.text).map_err(|error| format!("{}: {error}", file.path))?;
        existing.insert((file.subject.as_str(), number), (file, schema));
    }
    let mut changes = Vec::new();
    for version in versions {
        let key = (version.subject.as_str(), version.number);
        let own = existing.get(&key);
        let own_schema = own.map(|(_, schema)| schema);
        let newest = || {
            let mut of_subject = existing.range((key.0, 0)..=(key.0, u32::MAX));
            of_subject.next_back().map(|(_, (_, schema))| schema)
        };
        let Merged { schema, lost } = merge(&version.schema, &version.id, own_schema, own_schema.or_else(newest));
        let action = match own_schema {
            None => Action::New,
            Some(own) if own.same(&schema) => Action::Unchanged,
            Some(_) => Action::Changed,
        };
        let before = own.map(|(file, _)| file.text.clone()).unwrap_or_default();
        let after = if action == Action::Unchanged { before.clone() } else { schema.pretty() };
        let path = own.map_or_else(
            || directory.join(&version.subject).join(format!("{}.avsc", version.number)),
            |(file, _)| PathBuf::from(&file.path),
        );
        let (subject, version) = (version.subject.clone(), version.number);
        changes.push(Change { action, subject, version, path, lost, before, after });
    }
    if prune {
        let kept: BTreeSet<(&str, u32)> =
            versions.iter().map(|version| (version.subject.as_str(), version.number)).collect();
        for ((subject, version), (file, _)) in &existing {
            let in_scope = scope.is_none_or(|scope| scope.contains(*subject));
            if in_scope && !kept.contains(&(*subject, *version)) {
                changes.push(Change {
                    action: Action::Deleted,
                    subject: (*subject).to_owned(),
                    version: *version,
                    path: PathBuf::from(&file.path),
                    lost: Vec::new(),
                    before: file.text.clone(),
                    after: String::new(),
                });
            }
        }
    }
    changes.sort_by(|one, other| (&one.subject, one.version).cmp(&(&other.subject, other.version)));
    Ok(changes)
}

/// What `ingest check` would say of the directory as it would be.
fn problems(files: &[SchemaFile], changes: &[Change]) -> Result<Option<String>, Box<dyn Error>> {
    let mut by_path: BTreeMap<PathBuf, SchemaFile> =
        files.iter().map(|file| (PathBuf::from(&file.path), file.clone())).collect();
    for change in changes {
        if change.action == Action::Deleted {
            by_path.remove(&change.path);
        } else {
            let file = SchemaFile {
                subject: change.subject.clone(),
                version: change.version.to_string(),
                text: change.after.clone(),
                path: change.path.display().to_string(),
            };
            by_path.insert(change.path.clone(), file);
        }
    }
    let settings = Settings::parse(|name| (name == "TABLE_NAME").then(|| "processed_messages".to_owned()))?;
    Ok(Transcoder::new(&settings, by_path.into_values().collect()).err().map(|problems| problems.to_string()))
}

/// Writes each file whole or not at all.
fn apply(changes: &[Change]) -> Result<(), Box<dyn Error>> {
    for Change { action, path, after, .. } in changes {
        let failed = |error| format!("cannot write {}: {error}", path.display());
        match action {
            Action::Unchanged => {}
            Action::Deleted => fs::remove_file(path).map_err(failed)?,
            Action::New | Action::Changed => {
                let half = path.with_extension("avsc.new");
                fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(failed)?;
                fs::write(&half, after).map_err(failed)?;
                fs::rename(&half, path).map_err(failed)?;
            }
        }
    }
    Ok(())
}

fn show(changes: &[Change], dry_run: bool) {
    for Change { action, subject, version, path, lost, before, after } in changes {
        let action = match action {
            Action::New => "new",
            Action::Changed => "changed",
            Action::Unchanged => "unchanged",
            Action::Deleted => "deleted",
        };
        println!("{action:<10} {subject}/{version}");
        for field in lost {
            println!("           the dynamodb property of {field} has no field any more");
        }
        if dry_run && before != after {
            let name = path.display().to_string();
            print!("{}", TextDiff::from_lines(before, after).unified_diff().header(&name, &name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(subject: &str, number: u32, fields: &str) -> Version {
        let schema = format!(r#"{{"type":"record","name":"Order","fields":[{fields}]}}"#);
        let id = Json::Scalar((100 + number).to_string());
        Version { subject: subject.to_owned(), number, id, schema: Json::parse(&schema).unwrap() }
    }

    fn file(subject: &str, number: u32, text: &str) -> SchemaFile {
        let path = format!("schemas/{subject}/{number}.avsc");
        SchemaFile { subject: subject.to_owned(), version: number.to_string(), text: text.to_owned(), path }
    }

    const ID: &str = r#"{"name":"message_id","type":"string"}"#;

    fn plan(files: &[SchemaFile], versions: &[Version], prune: bool) -> Vec<Change> {
        changes(Path::new("schemas"), files, versions, None, prune).unwrap()
    }

    fn actions(changes: &[Change]) -> Vec<(Action, u32)> {
        changes.iter().map(|change| (change.action, change.version)).collect()
    }

    #[test]
    fn what_was_pulled_is_unchanged_when_it_is_pulled_again() {
        let versions = [version("order", 1, ID), version("order", 2, ID)];
        let first = plan(&[], &versions, false);
        assert_eq!(actions(&first), [(Action::New, 1), (Action::New, 2)]);
        let files: Vec<SchemaFile> =
            first.iter().map(|change| file(&change.subject, change.version, &change.after)).collect();
        assert_eq!(actions(&plan(&files, &versions, true)), [(Action::Unchanged, 1), (Action::Unchanged, 2)]);
    }

    #[test]
    fn a_new_version_takes_over_the_newest_ones_properties() {
        let ours = r#"{"type":"record","name":"Order","dynamodb":{"partitionKey":"message_id"},"schemaIds":[101],"fields":[{"name":"message_id","type":"string"}]}"#;
        let changes = plan(&[file("order", 1, ours)], &[version("order", 1, ID), version("order", 2, ID)], false);
        assert_eq!(actions(&changes), [(Action::Unchanged, 1), (Action::New, 2)]);
        assert!(changes[1].after.contains(r#""dynamodb": {"partitionKey": "message_id"}"#), "{}", changes[1].after);
    }

    #[test]
    fn nothing_is_deleted_without_prune_and_nothing_outside_of_the_subjects_asked_for() {
        let text = r#"{"type":"record","name":"Order","fields":[]}"#;
        let files = [file("order", 1, text), file("other", 1, text)];
        let versions = [version("order", 2, ID)];
        assert_eq!(actions(&plan(&files, &versions, false)), [(Action::New, 2)]);
        let all = plan(&files, &versions, true);
        assert_eq!(actions(&all), [(Action::Deleted, 1), (Action::New, 2), (Action::Deleted, 1)]);
        let scope = ["order".to_owned()].into();
        let scoped = changes(Path::new("schemas"), &files, &versions, Some(&scope), true).unwrap();
        assert!(scoped.iter().all(|change| change.subject == "order"));
    }

    #[test]
    fn what_check_refuses_is_a_problem() {
        let incompatible = [
            version("order", 1, ID),
            version("order", 2, r#"{"name":"message_id","type":"string"},{"name":"n","type":"int"}"#),
        ];
        let changes = plan(&[], &incompatible, false);
        let problems = problems(&[], &changes).unwrap().unwrap();
        assert!(problems.contains("order") && problems.contains('n'), "{problems}");
    }

    #[test]
    fn a_subject_may_not_choose_its_place() {
        for bad in ["", "..", "../x", "a/b", "a\\b", ".hidden"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        assert!(check_name("orders-value").is_ok() && check_name("com.example.Order").is_ok());
    }
}
