//! Merges a registry's schema with an existing file: adds the registry's ids, and keeps our own properties. Pure.

use super::json::Json;

/// Our own property of records and fields.
const OURS: &str = "dynamodb";
const IDS: &str = "schemaIds";

/// The merged schema.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Merged {
    pub(super) schema: Json,
    /// Fields that have our property and no longer exist in the schema.
    pub(super) lost: Vec<String>,
}

/// Returns `schema` with the registry's `new_ids`, the ids of `existing`, and our properties of `model`. `model` is the
/// existing file, or else the newest version.
pub(super) fn merge(schema: &Json, new_ids: &[Json], existing: Option<&Json>, model: Option<&Json>) -> Merged {
    let mut schema = match schema {
        // only an object can hold ids
        Json::Text(name) => Json::Object(vec![("type".to_owned(), Json::Text(name.clone()))]),
        other => other.clone(),
    };
    let mut ids: Vec<Json> =
        existing.and_then(|existing| existing.get(IDS)).map(Json::items).unwrap_or_default().to_vec();
    for id in new_ids {
        if !ids.iter().any(|known| same_id(known, id)) {
            ids.push(id.clone());
        }
    }
    schema.set(IDS, Json::Array(ids), "fields");
    let mut lost = Vec::new();
    if let Some(model) = model {
        if let Some(property) = model.get(OURS) {
            schema.set(OURS, property.clone(), IDS);
        }
        for (path, property) in field_properties(model) {
            if !set_field(&mut schema, &path, &property) {
                lost.push(path.join("."));
            }
        }
    }
    Merged { schema, lost }
}

/// Returns whether two ids are equal. UUIDs are compared without case.
fn same_id(one: &Json, other: &Json) -> bool {
    match (one.text(), other.text()) {
        (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
        _ => one == other,
    }
}

/// Returns our property of each field, with the path of field names that leads to it.
fn field_properties(schema: &Json) -> Vec<(Vec<String>, Json)> {
    let mut found = Vec::new();
    visit(schema, &mut Vec::new(), &mut |path, field| {
        if let Some(property) = field.get(OURS) {
            found.push((path.to_vec(), property.clone()));
        }
    });
    found
}

fn visit(schema: &Json, path: &mut Vec<String>, see: &mut impl FnMut(&[String], &Json)) {
    for field in schema.get("fields").map(Json::items).unwrap_or_default() {
        path.push(field.get("name").and_then(Json::text).unwrap_or_default().to_owned());
        see(path, field);
        if let Some(ty) = field.get("type") {
            visit(ty, path, see);
        }
        path.pop();
    }
    for inner in ["items", "values", "type"].iter().filter_map(|name| schema.get(name)) {
        visit(inner, path, see);
    }
    for branch in schema.items() {
        visit(branch, path, see);
    }
}

/// Sets our property on the field at `path`, which may lead through arrays, maps and unions. Returns whether the field exists.
fn set_field(schema: &mut Json, path: &[String], property: &Json) -> bool {
    let Some((name, rest)) = path.split_first() else { return false };
    let mut set = false;
    match schema {
        Json::Array(branches) => branches.iter_mut().for_each(|branch| set |= set_field(branch, path, property)),
        Json::Object(members) => {
            for (member, value) in members {
                match (member.as_str(), value) {
                    ("fields", Json::Array(fields)) => {
                        let of_name = |field: &&mut Json| field.get("name").and_then(Json::text) == Some(name);
                        let Some(field) = fields.iter_mut().find(of_name) else { continue };
                        if rest.is_empty() {
                            field.set(OURS, property.clone(), "");
                            set = true;
                        } else if let Json::Object(members) = field {
                            let ty = members.iter_mut().find(|(name, _)| name == "type");
                            set |= ty.is_some_and(|(_, ty)| set_field(ty, rest, property));
                        }
                    }
                    ("items" | "values" | "type", value) => set |= set_field(value, path, property),
                    _ => {}
                }
            }
        }
        _ => {}
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        Json::parse(text).unwrap()
    }

    fn number(number: u32) -> Json {
        Json::Scalar(number.to_string())
    }

    const OURS_OF_IT: &str = r#"{"type":"record","name":"Order","dynamodb":{"partitionKey":"id"},"schemaIds":["B7B4A7F0-9C96-4E4A-A687-FB5DE9EF0C63"],
        "fields":[{"name":"id","type":"string"},{"name":"gone","type":"int","dynamodb":{"omit":true}},
        {"name":"lines","type":["null",{"type":"array","items":{"type":"record","name":"Line","fields":[
        {"name":"sku","type":"string","dynamodb":{"attribute":"s"}}]}}]}]}"#;
    const REGISTRYS: &str = r#"{"type":"record","name":"Order","fields":[{"name":"id","type":"string"},
        {"name":"lines","type":["null",{"type":"array","items":{"type":"record","name":"Line","fields":[
        {"name":"sku","type":"string"},{"name":"n","type":"int"}]}}]}]}"#;

    #[test]
    fn our_properties_of_the_record_and_of_its_fields_are_kept() {
        let merged = merge(&json(REGISTRYS), &[number(7)], None, Some(&json(OURS_OF_IT)));
        assert_eq!(merged.schema.get("dynamodb"), Some(&json(r#"{"partitionKey":"id"}"#)));
        assert!(merged.schema.pretty().contains(r#""dynamodb": {"attribute": "s"}"#), "{}", merged.schema.pretty());
        assert_eq!(merged.lost, ["gone"]);
    }

    #[test]
    fn ids_of_several_registries_stand_side_by_side_once_each() {
        let existing = json(OURS_OF_IT);
        let once = merge(&json(REGISTRYS), &[number(7)], Some(&existing), None).schema;
        assert_eq!(once.get("schemaIds").unwrap().items().len(), 2);
        let twice = merge(&json(REGISTRYS), &[number(7)], Some(&once), None).schema;
        assert_eq!(once, twice);
        let glue = Json::Text("b7b4a7f0-9c96-4e4a-a687-fb5de9ef0c63".to_owned());
        assert_eq!(merge(&json(REGISTRYS), &[glue], Some(&once), None).schema.get("schemaIds"), once.get("schemaIds"));
    }

    #[test]
    fn a_schema_that_is_a_name_gets_room_for_its_id() {
        let merged = merge(&Json::Text("string".to_owned()), &[number(1)], None, None).schema;
        assert_eq!(merged, json(r#"{"type":"string","schemaIds":[1]}"#));
    }
}
