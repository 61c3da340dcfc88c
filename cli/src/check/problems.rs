//! Problems of a schema directory that do not keep the function from starting.

use avro_ingest::avro::{SchemaFile, SchemaVersion, Subject};
use avro_ingest::dynamodb::item::{MAX_DEPTH, MAX_NAME_BYTES};
use avro_ingest::dynamodb::mapping::{Mapping, TableScope, name_excess};
use avro_ingest::schema_dir::{self, SchemaDirError};
use avro_ingest::settings::Settings;
use avro_ingest::transcode::Transcoder;
use serde_json::Value;
use std::path::Path;

/// Returns a problem for each file that looks like a schema, but is not at a path where schemas are read.
pub(super) fn ignored_files(directory: &Path) -> Result<Vec<String>, SchemaDirError> {
    let ignored = schema_dir::ignored(directory)?;
    let problem = |path: &Path| format!("{} is ignored: a schema is <subject>/<version>.avsc", path.display());
    Ok(ignored.iter().map(|path| problem(path)).collect())
}

pub(super) fn of_subjects(transcoder: &Transcoder, settings: &Settings) -> Vec<String> {
    if transcoder.subjects().next().is_none() {
        return vec!["there is no schema: every message would be rejected".to_owned()];
    }
    transcoder.subjects().flat_map(|(subject, mapping)| of_subject(subject, mapping, settings)).collect()
}

fn of_subject(subject: &Subject, mapping: &Mapping, settings: &Settings) -> Vec<String> {
    let name = subject.name();
    let nullable = mapping.key_fields().filter(|field| subject.may_be_null(field));
    let nullable = nullable.map(|field| {
        format!(
            "subject {name}: key field {field} may be null, and a record whose key is null is rejected (invalid_key)"
        )
    });
    let newest = subject.newest().number();
    let changed = subject.versions().filter(|version| version.number() != newest).filter_map(|version| {
        let older = own_mapping(subject, version, settings)?;
        let change = change(&older, mapping, settings)?;
        Some(format!(
            "subject {name}: {change} in version {} and in version {newest}: items that are stored stay as they were",
            version.number()
        ))
    });
    let ignored = subject.versions().flat_map(|version| {
        let ignored = version.ignored_annotations().into_iter();
        ignored.map(move |ignored| format!("subject {name}, version {}: {ignored}", version.number()))
    });
    let excesses = excesses(subject, mapping).into_iter();
    let excesses =
        excesses.map(|excess| format!("subject {name}, version {newest}: {excess}, so that every record is rejected"));
    nullable.chain(changed).chain(ignored).chain(excesses).collect()
}

/// Returns the DynamoDB limits that every record of the newest version exceeds.
fn excesses(subject: &Subject, mapping: &Mapping) -> Vec<String> {
    let mut excesses = mapping.excesses(|path| subject.fixed_size(path));
    let names = subject.all_item_names();
    excesses.extend(names.filter_map(|(field, name)| name_excess(&shown(&field), name, MAX_NAME_BYTES)));
    match subject.newest().least_levels().map(|levels| mapping.item_levels(levels)) {
        Ok(levels) if levels > MAX_DEPTH => {
            excesses.push(format!("an item has at least {levels} levels, and DynamoDB takes {MAX_DEPTH}"));
        }
        Ok(_) => {}
        Err(endless) => excesses.push(endless.to_string()),
    }
    excesses
}

/// Returns the start of a field's path. The path may be arbitrarily long.
fn shown(field: &str) -> String {
    const SHOWN_CHARS: usize = 160;
    field.chars().take(SHOWN_CHARS).collect()
}

/// Returns the mapping that applied when `version` was the newest. Returns `None` if its schema has no `dynamodb` property,
/// because such a version is assumed to have the same mapping.
fn own_mapping(subject: &Subject, version: &SchemaVersion, settings: &Settings) -> Option<Mapping> {
    let schema: Value = serde_json::from_str(version.text()).ok()?;
    schema.get("dynamodb")?;
    let file = SchemaFile {
        subject: subject.name().to_owned(),
        version: version.number().to_string(),
        text: version.text().to_owned(),
        path: version.path().to_owned(),
    };
    let transcoder = Transcoder::new(settings, vec![file]).ok()?;
    transcoder.mappings().first().map(|(_, mapping)| mapping.clone())
}

/// Returns the first difference between two mappings, with both values.
fn change(older: &Mapping, newer: &Mapping, settings: &Settings) -> Option<String> {
    let keys = |mapping: &Mapping| {
        let keys: Vec<_> = mapping.key_schema().map(|(name, key_type)| format!("{name} ({key_type:?})")).collect();
        keys.join(", ")
    };
    let scope = TableScope { region: settings.region.as_deref(), account: settings.account_id.as_deref() };
    let is_one_table = scope.is_one_table(&older.table, &newer.table) == Some(true);
    let older_table = if is_one_table { &newer.table } else { &older.table };
    let pairs = [
        ("the table", older_table.to_string(), newer.table.to_string()),
        ("the key", keys(older), keys(newer)),
        ("the layout", older.layout().to_owned(), newer.layout().to_owned()),
    ];
    let (what, old, new) = pairs.into_iter().find(|(_, old, new)| old != new)?;
    Some(format!("{what} is not the same, {old} and {new},"))
}
