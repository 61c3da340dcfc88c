//! Computes the changes of a schema directory, and selects the changes with which the function still starts. Pure.

use super::json::Json;
use super::merge::{Merged, merge};
use super::source::{LeftOut, Version};
use crate::wire_formats::{deploy_line, misfits};
use avro_ingest::avro::{SchemaFile, Schemas, SetProblem};
use avro_ingest::settings::Settings;
use avro_ingest::transcode::Transcoder;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Maximum length of a file name on common file systems, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// Change of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Action {
    New,
    Changed,
    Unchanged,
    Deleted,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Change {
    pub(super) action: Action,
    pub(super) subject: String,
    pub(super) version: u32,
    pub(super) path: PathBuf,
    /// Fields that have a `dynamodb` property and no longer exist in the schema.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) lost: Vec<String>,
    #[serde(skip)]
    pub(super) before: String,
    #[serde(skip)]
    pub(super) after: String,
}

/// A subject that could not be pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Skipped {
    pub(super) subject: String,
    pub(super) why: String,
}

/// Returns the folder of a subject. Percent-encodes `%` and characters with a meaning in paths, so that no registry can choose
/// a path outside the directory, and no two subjects share a folder.
///
/// # Errors
/// If no file system accepts the name.
pub(super) fn folder(subject: &str) -> Result<String, String> {
    let mut folder = String::new();
    for (at, character) in subject.char_indices() {
        if matches!(character, '/' | '\\' | '%') || character.is_control() || (at == 0 && character == '.') {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                let _ = write!(folder, "%{byte:02X}");
            }
        } else {
            folder.push(character);
        }
    }
    match folder.len() {
        0 => Err("a folder needs a name, and the subject has none".to_owned()),
        length if length > MAX_NAME_BYTES => {
            Err(format!("its folder would have a name of {length} bytes, and {MAX_NAME_BYTES} are the most"))
        }
        _ => Ok(folder),
    }
}

/// Separates Avro records from other schemas, which cannot become items.
pub(super) fn records(versions: Vec<Version>) -> (Vec<Version>, Vec<LeftOut>) {
    let (records, others): (Vec<_>, Vec<_>) = versions.into_iter().partition(is_record);
    let left_out = |version: Version| LeftOut {
        subject: version.subject,
        version: Some(version.number),
        why: "not a record".to_owned(),
    };
    (records, others.into_iter().map(left_out).collect())
}

/// Returns whether the function accepts the schema as a record. A schema that is invalid in another way counts as a record, so
/// that its error is reported.
fn is_record(version: &Version) -> bool {
    let file = SchemaFile {
        subject: version.subject.clone(),
        version: version.number.to_string(),
        text: version.schema.pretty(),
        path: String::new(),
    };
    match Schemas::parse(vec![file]) {
        Ok(_) => true,
        Err(errors) => !errors.problems().iter().any(|problem| matches!(problem, SetProblem::NotARecord { .. })),
    }
}

/// Returns the changes that make the directory match the registry. With `prune`, versions that the registry does not have are
/// deleted, but only for subjects in `scope`, and never for subjects in `keep`.
pub(super) fn changes(
    directory: &Path,
    files: &[SchemaFile],
    versions: &[Version],
    prune: Option<&Prune>,
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
        let Merged { schema, lost } = merge(&version.schema, &version.ids, own_schema, own_schema.or_else(newest));
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
    if let Some(prune) = prune {
        let kept: BTreeSet<(&str, u32)> =
            versions.iter().map(|version| (version.subject.as_str(), version.number)).collect();
        for ((subject, version), (file, _)) in &existing {
            if prune.applies_to(subject) && !kept.contains(&(*subject, *version)) {
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

/// Subjects whose versions are deleted if the registry does not have them.
pub(super) struct Prune {
    /// Subjects to prune. `None` means all.
    pub(super) scope: Option<BTreeSet<String>>,
    /// Subjects to leave alone. The registry has them, but they could not be read.
    pub(super) keep: BTreeSet<String>,
}

impl Prune {
    fn applies_to(&self, subject: &str) -> bool {
        self.scope.as_ref().is_none_or(|scope| scope.contains(subject)) && !self.keep.contains(subject)
    }
}

/// The changes that the function accepts, and the skipped subjects.
#[derive(Debug, Default)]
pub(super) struct Selection {
    pub(super) changes: Vec<Change>,
    pub(super) skipped: Vec<Skipped>,
}

/// Selects the subjects with whose changes the function still starts. A subject that would prevent the start is skipped, and
/// its files stay as they are. If two subjects are incompatible with each other, the later one is skipped.
///
/// # Errors
/// If the function does not start with the current directory, and the changes do not fix that.
pub(super) fn select(settings: &Settings, files: &[SchemaFile], changes: Vec<Change>) -> Result<Selection, String> {
    if problems(settings, files, &changes).is_none() {
        return Ok(Selection { changes, skipped: Vec::new() });
    }
    if let Some(problems) = problems(settings, files, &[]) {
        return Err(format!("nothing is written, because the schema directory is wrong as it is: {problems}"));
    }
    let subjects: Vec<&[Change]> = changes.chunk_by(|one, other| one.subject == other.subject).collect();
    let mut selection = Selection::default();
    add(settings, files, &subjects, &mut selection);
    Ok(selection)
}

/// Adds `subjects` to `selection` if the function accepts them all. Otherwise bisects them, and adds each half separately.
fn add(settings: &Settings, files: &[SchemaFile], subjects: &[&[Change]], selection: &mut Selection) {
    let mut trial = selection.changes.clone();
    trial.extend(subjects.iter().copied().flatten().cloned());
    let Some(problems) = problems(settings, files, &trial) else {
        selection.changes = trial;
        return;
    };
    match subjects {
        [] => {}
        [only] => {
            let subject = only.first().map(|change| change.subject.clone()).unwrap_or_default();
            selection.skipped.push(Skipped { subject, why: problems });
        }
        _ => {
            let (first, second) = subjects.split_at(subjects.len() / 2);
            add(settings, files, first, selection);
            add(settings, files, second, selection);
        }
    }
}

/// Returns the files of the directory after `changes` are applied.
pub(super) fn files_after(files: &[SchemaFile], changes: &[Change]) -> Vec<SchemaFile> {
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
    by_path.into_values().collect()
}

/// Returns the problems that prevent a start after `changes` are applied. An empty directory has no problem here.
fn problems(settings: &Settings, files: &[SchemaFile], changes: &[Change]) -> Option<String> {
    let files = files_after(files, changes);
    if files.is_empty() {
        return None;
    }
    let problems = Transcoder::new(settings, files).err()?;
    Some(problems.iter().collect::<Vec<_>>().join("; "))
}

/// Returns why a function with the wire formats of `settings` cannot read messages of `files`, each with the template parameter
/// that fixes it. If `is_set` is false, the function has no list of wire formats, and derives them from the schemas.
pub(super) fn unread(settings: &Settings, is_set: bool, files: Vec<SchemaFile>) -> Vec<String> {
    if is_set {
        return Transcoder::new(settings, files).map(|transcoder| misfits(&transcoder)).unwrap_or_default();
    }
    let unset = Settings { wire_formats: None, ..settings.clone() };
    match Transcoder::new(&unset, files) {
        Err(problems) => {
            let line = deploy_line(settings.wire_formats.as_deref().unwrap_or_default());
            let problems: Vec<&str> = problems.iter().collect();
            vec![format!("the function needs a list of wire formats to start: {line}: {}", problems.join("; "))]
        }
        Ok(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(subject: &str, number: u32, fields: &str) -> Version {
        let schema = format!(r#"{{"type":"record","name":"Order","fields":[{fields}]}}"#);
        let ids = vec![Json::Scalar((100 + number).to_string())];
        Version { subject: subject.to_owned(), number, ids, schema: Json::parse(&schema).unwrap() }
    }

    fn file(subject: &str, number: u32, text: &str) -> SchemaFile {
        let path = format!("schemas/{subject}/{number}.avsc");
        SchemaFile { subject: subject.to_owned(), version: number.to_string(), text: text.to_owned(), path }
    }

    fn settings() -> Settings {
        Settings::parse(|name| match name {
            "TABLE_NAME" => Some("orders".to_owned()),
            "WIRE_FORMATS" => Some("confluent".to_owned()),
            _ => None,
        })
        .unwrap()
    }

    const ID: &str = r#"{"name":"message_id","type":"string"}"#;
    const INCOMPATIBLE: &str = r#"{"name":"message_id","type":"string"},{"name":"n","type":"int"}"#;
    const EVERYTHING: Prune = Prune { scope: None, keep: BTreeSet::new() };

    fn plan(files: &[SchemaFile], versions: &[Version], prune: Option<&Prune>) -> Vec<Change> {
        changes(Path::new("schemas"), files, versions, prune).unwrap()
    }

    fn actions(changes: &[Change]) -> Vec<(Action, u32)> {
        changes.iter().map(|change| (change.action, change.version)).collect()
    }

    #[test]
    fn what_was_pulled_is_unchanged_when_it_is_pulled_again() {
        let versions = [version("order", 1, ID), version("order", 2, ID)];
        let first = plan(&[], &versions, None);
        assert_eq!(actions(&first), [(Action::New, 1), (Action::New, 2)]);
        let files: Vec<SchemaFile> =
            first.iter().map(|change| file(&change.subject, change.version, &change.after)).collect();
        let again = plan(&files, &versions, Some(&EVERYTHING));
        assert_eq!(actions(&again), [(Action::Unchanged, 1), (Action::Unchanged, 2)]);
    }

    #[test]
    fn a_new_version_takes_over_the_newest_ones_properties() {
        let ours = r#"{"type":"record","name":"Order","dynamodb":{"partitionKey":"message_id"},"schemaIds":[101],"fields":[{"name":"message_id","type":"string"}]}"#;
        let changes = plan(&[file("order", 1, ours)], &[version("order", 1, ID), version("order", 2, ID)], None);
        assert_eq!(actions(&changes), [(Action::Unchanged, 1), (Action::New, 2)]);
        assert!(changes[1].after.contains(r#""dynamodb": {"partitionKey": "message_id"}"#), "{}", changes[1].after);
    }

    #[test]
    fn nothing_is_deleted_without_prune_and_nothing_outside_of_the_subjects_asked_for() {
        let text = r#"{"type":"record","name":"Order","fields":[]}"#;
        let files = [file("order", 1, text), file("other", 1, text)];
        let versions = [version("order", 2, ID)];
        assert_eq!(actions(&plan(&files, &versions, None)), [(Action::New, 2)]);
        let all = plan(&files, &versions, Some(&EVERYTHING));
        assert_eq!(actions(&all), [(Action::Deleted, 1), (Action::New, 2), (Action::Deleted, 1)]);
        let scoped = Prune { scope: Some(["order".to_owned()].into()), keep: BTreeSet::new() };
        assert!(plan(&files, &versions, Some(&scoped)).iter().all(|change| change.subject == "order"));
        let unread = Prune { scope: None, keep: ["other".to_owned()].into() };
        assert!(plan(&files, &versions, Some(&unread)).iter().all(|change| change.subject == "order"));
    }

    #[test]
    fn a_bad_history_is_skipped_and_named_and_the_others_are_taken() {
        let mut versions = vec![version("order", 1, ID), version("order", 2, INCOMPATIBLE)];
        let names: Vec<String> = (0..9).map(|number| format!("fine-{number}")).collect();
        for (name, id) in names.iter().zip(1_000..) {
            versions.push(Version { ids: vec![Json::Scalar(id.to_string())], ..version(name, 1, ID) });
        }
        let selection = select(&settings(), &[], plan(&[], &versions, None)).unwrap();
        assert_eq!(selection.changes.len(), 9);
        let [Skipped { subject, why }] = selection.skipped.as_slice() else { panic!("{:?}", selection.skipped) };
        assert!(subject == "order" && why.contains("n: the field is new"), "{subject}: {why}");
    }

    #[test]
    fn of_two_subjects_with_one_id_the_later_is_skipped() {
        let both = [version("a", 1, ID), version("b", 1, ID)];
        let selection = select(&settings(), &[], plan(&[], &both, None)).unwrap();
        assert_eq!((selection.changes.len(), selection.skipped[0].subject.as_str()), (1, "b"));
        // a subject that is already in the directory takes precedence
        let files = [file("b", 1, &selection.changes[0].after)];
        let selection = select(&settings(), &files, plan(&files, &both[..1], None)).unwrap();
        assert_eq!((selection.changes.len(), selection.skipped[0].subject.as_str()), (0, "a"));
    }

    #[test]
    fn a_directory_that_is_wrong_as_it_is_takes_nothing_unless_that_mends_it() {
        let wrong = [file("order", 1, r#"{"type":"record","name":"Order","fields":[{"name":"message_id"}]}"#)];
        let other = plan(&wrong, &[version("other", 1, ID)], None);
        assert!(select(&settings(), &wrong, other).unwrap_err().contains("schemas/order/1.avsc"));
        let mended = plan(&wrong, &[version("order", 1, ID)], None);
        assert_eq!(select(&settings(), &wrong, mended).unwrap().changes.len(), 1);
    }

    #[test]
    fn only_records_are_pulled() {
        let key = Version { schema: Json::parse("\"string\"").unwrap(), ..version("orders-key", 1, ID) };
        let wrong = version("wrong", 1, r#"{"name":"x","type":"unknown"}"#);
        let (records, left_out) = records(vec![key, version("order", 1, ID), wrong]);
        assert_eq!(records.iter().map(|version| version.subject.as_str()).collect::<Vec<_>>(), ["order", "wrong"]);
        assert_eq!((left_out[0].subject.as_str(), left_out[0].version), ("orders-key", Some(1)));
    }

    #[test]
    fn a_subject_may_not_choose_its_place() {
        for (subject, expected) in [
            ("orders-value", "orders-value"),
            ("com.example.Order", "com.example.Order"),
            ("..", "%2E."),
            ("../x", "%2E.%2Fx"),
            ("a/b", "a%2Fb"),
            ("a%2Fb", "a%252Fb"),
            ("a\\b", "a%5Cb"),
            (".hidden", "%2Ehidden"),
            ("a\0b\u{85}", "a%00b%C2%85"),
        ] {
            assert_eq!(folder(subject).unwrap(), expected);
        }
        assert!(folder("").is_err() && folder(&"a".repeat(256)).is_err() && folder(&"a".repeat(255)).is_ok());
    }
}
