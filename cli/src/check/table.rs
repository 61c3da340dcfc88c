//! The stack's own table: the template parameters that create a table for the schemas, and the ways in which an existing table
//! does not fit.

use crate::output::errln;
use avro_ingest::dynamodb::mapping::Mapping;
use avro_ingest::transcode::Transcoder;
use std::collections::BTreeMap;

/// Template parameters that define the table's key and its time-to-live attribute, with their defaults.
const PARAMETERS: [(&str, &str); 5] = [
    ("PartitionKeyName", "message_id"),
    ("PartitionKeyType", "S"),
    ("SortKeyName", ""),
    ("SortKeyType", "S"),
    ("TtlAttribute", "expires_at"),
];

/// Returns the subjects whose records are written to the stack's own table.
fn of_the_stack(transcoder: &Transcoder) -> impl Iterator<Item = (&str, &Mapping)> {
    let subjects = transcoder.subjects().filter(|(subject, _)| transcoder.writes_default_table(subject));
    subjects.map(|(subject, mapping)| (subject.name(), mapping))
}

/// Returns the parameter values that a table for the items of `mapping` requires. Parameters that may have any value are
/// omitted.
fn wanted(mapping: &Mapping) -> BTreeMap<&'static str, String> {
    let mut wanted = BTreeMap::new();
    let mut keys = mapping.key_schema();
    if let Some((name, key_type)) = keys.next() {
        wanted.insert("PartitionKeyName", name.to_owned());
        wanted.insert("PartitionKeyType", format!("{key_type:?}"));
    }
    match keys.next() {
        Some((name, key_type)) => {
            wanted.insert("SortKeyName", name.to_owned());
            wanted.insert("SortKeyType", format!("{key_type:?}"));
        }
        None => drop(wanted.insert("SortKeyName", String::new())),
    }
    if let Some(attribute) = mapping.ttl_attribute() {
        wanted.insert("TtlAttribute", attribute.to_owned());
    }
    wanted
}

/// Returns the parameters of `sam deploy` that create a matching table. Parameters with their default value are omitted.
pub(super) fn parameters(transcoder: &Transcoder) -> Vec<(&'static str, String)> {
    let mut all = BTreeMap::new();
    of_the_stack(transcoder).for_each(|(_, mapping)| all.extend(wanted(mapping)));
    let values = PARAMETERS.iter().filter_map(|(name, default)| {
        let value = all.remove(name)?;
        (value != *default).then_some((*name, value))
    });
    values.collect()
}

/// Returns why a table made from `parameters` cannot hold the items, or would not delete expired items.
pub(super) fn misfits(transcoder: &Transcoder, parameters: &BTreeMap<String, String>) -> Vec<String> {
    let given = |name: &str| parameters.get(name).map(String::as_str).filter(|value| !value.is_empty());
    if let Some(existing) = given("ExistingTableName") {
        errln!("the keys of the existing table {existing} are not in the profile: ingest doctor looks at them");
        return Vec::new();
    }
    let mut misfits = Vec::new();
    for (subject, mapping) in of_the_stack(transcoder) {
        let wanted = wanted(mapping);
        for (name, default) in PARAMETERS {
            let is = given(name).unwrap_or(default);
            if let Some(wanted) = wanted.get(name)
                && is != wanted
            {
                misfits.push(format!("subject {subject}: it needs {name}={wanted}, and the profile has {name}={is}"));
            }
        }
    }
    misfits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_templates() {
        let template = include_str!("../../../template.yaml");
        for (name, default) in PARAMETERS {
            let (_, section) = template.split_once(&format!("\n  {name}:\n")).unwrap();
            let (_, rest) = section.split_once("Default: ").unwrap();
            assert_eq!(rest.lines().next().unwrap().trim_matches('\''), default, "{name}");
        }
    }
}
