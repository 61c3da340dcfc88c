//! The stack's own table: the parameters of the template that make one for the schemas, and what one that is there cannot hold.

use crate::output::errln;
use avro_ingest::dynamodb::mapping::Mapping;
use avro_ingest::transcode::Transcoder;
use std::collections::BTreeMap;

/// A parameter of the template that says how the table is keyed, or which attribute its items expire by, with its default.
const PARAMETERS: [(&str, &str); 5] = [
    ("PartitionKeyName", "message_id"),
    ("PartitionKeyType", "S"),
    ("SortKeyName", ""),
    ("SortKeyType", "S"),
    ("TtlAttribute", "expires_at"),
];

/// The subjects whose records go to the stack's own table.
fn of_the_stack(transcoder: &Transcoder) -> impl Iterator<Item = (&str, &Mapping)> {
    let subjects = transcoder.subjects().filter(|(subject, _)| transcoder.writes_default_table(subject));
    subjects.map(|(subject, mapping)| (subject.name(), mapping))
}

/// The values that the parameters must have for a table that holds the items of `mapping`; any will do where there is none.
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

/// The parameters of `sam deploy` that make a fitting table; those that keep their default are left out.
pub(super) fn parameters(transcoder: &Transcoder) -> Vec<(&'static str, String)> {
    let mut all = BTreeMap::new();
    of_the_stack(transcoder).for_each(|(_, mapping)| all.extend(wanted(mapping)));
    let values = PARAMETERS.iter().filter_map(|(name, default)| {
        let value = all.remove(name)?;
        (value != *default).then_some((*name, value))
    });
    values.collect()
}

/// What the table that `parameters` make cannot hold, or would not delete.
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
