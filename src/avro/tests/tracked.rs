//! The fields that a visitor is told of: keys, versions, times to live.

use super::{tree::record, *};
use crate::record::{SubjectId, TrackedField};

fn tracking(files: &[(&str, &str)], formats: &[WireFormat], tracked: &[(u8, &str)]) -> Result<Decoder, String> {
    let tracked =
        tracked.iter().map(|(field, path)| (SubjectId(0), TrackedField(*field), (*path).to_owned())).collect();
    let options = Options { tracked, ..options(formats) };
    parse(files).unwrap().compile(options).map_err(|errors| errors.to_string())
}

fn tracked(decoder: &Decoder, input: &Input<'_>) -> Vec<(u8, String)> {
    let mut records = Records::default();
    decoder.decode(input, &mut Scratch::default(), &mut records).unwrap();
    records.tracked.into_iter().map(|(tracked, name)| (tracked.0, name)).collect()
}

/// A list whose entries have an id, and a home and an office of the same type.
const NESTED: &str = r#"{"type": "record", "name": "L", "fields": [
    {"name": "id", "type": "int"},
    {"name": "home", "type": {"type": "record", "name": "Place", "fields": [{"name": "zip", "type": "string"}]}},
    {"name": "office", "type": ["null", "Place"]},
    {"name": "next", "type": ["null", "L"]}]}"#;

const NESTED_JSON: &str = r#"{"id": 1, "home": {"zip": "h"}, "office": {"zip": "o"}, "next":
    {"id": 2, "home": {"zip": "H"}, "office": null, "next": null}}"#;

#[test]
fn a_field_is_tracked_at_one_path_and_not_wherever_its_type_is() {
    let body = write(NESTED, NESTED_JSON);
    let input = datum(&body, "s");
    let told = |list: &[(u8, &str)]| {
        let decoder = tracking(&[("s/1", NESTED)], &[WireFormat::Datum], list).unwrap();
        assert_eq!(read(&decoder, &input), read(&of_datums(&[NESTED]), &input));
        tracked(&decoder, &input)
    };
    let owned =
        |list: &[(u8, &str)]| list.iter().map(|(tracked, name)| (*tracked, (*name).to_owned())).collect::<Vec<_>>();
    assert_eq!(told(&[(0, "id")]), owned(&[(0, "id")]));
    assert_eq!(told(&[(0, "office.zip")]), owned(&[(0, "zip")]));
    assert_eq!(told(&[(1, "home.zip"), (0, "home.zip"), (2, "home")]), owned(&[(2, "home"), (1, "zip"), (0, "zip")]));
    assert_eq!(told(&[(0, "next.id"), (1, "id")]), owned(&[(1, "id"), (0, "id")]));
    assert_eq!(told(&[(0, "next.office.zip")]), owned(&[]));
}

#[test]
fn a_tracked_field_is_reported_in_every_version_and_in_defaults_and_containers() {
    let first = record_of(r#"{"name": "old", "type": "int"}"#);
    let second =
        record_of(r#"{"name": "new", "type": "int", "aliases": ["old"]}, {"name": "x", "type": "int", "default": 5}"#);
    let files = [("s/1", first.as_str()), ("s/2", &second)];
    let decoder = tracking(&files, &[WireFormat::Container, WireFormat::Datum], &[(0, "new"), (1, "x")]).unwrap();
    let both = vec![(0, "new".to_owned()), (1, "x".to_owned())];
    assert_eq!(tracked(&decoder, &datum(&[2], "s/1")), both);
    assert_eq!(tracked(&decoder, &datum(&[2, 4], "s/2")), both);
    assert_eq!(tracked(&decoder, &binary(&container(&first, "null", &[(1, &[2])]))), both);
}

#[test]
fn tracking_a_field_that_does_not_exist_stops_the_start() {
    let error = |path| tracking(&[("s/1", NESTED)], &[WireFormat::Datum], &[(0, path)]).unwrap_err();
    assert_eq!(error("nothing"), "subject s: field nothing: the schema has no field nothing");
    assert_eq!(error("id.zip"), "subject s: field id.zip: zip is looked for in something that is no record");
    assert_eq!(error(""), "subject s: field : the schema has no field ");
}

#[test]
fn of_keys_alone_any_field_may_be_absent() {
    let schema = record_of(
        r#"{"name": "id", "type": "string"},
           {"name": "at", "type": {"type": "record", "name": "P", "fields": [
               {"name": "zip", "type": "int"}, {"name": "street", "type": "string"}]}},
           {"name": "items", "type": {"type": "array", "items": "int"}},
           {"name": "kind", "type": "string", "default": "k"}"#,
    );
    let decoder = tracking(&[("s/1", &schema)], &[WireFormat::Json], &[(0, "id"), (1, "at.zip")]).unwrap();
    let json = |text, keys_only| Input { body: Body::Json(text), schema: Some("s"), value_schema_id: None, keys_only };
    let text = r#"{"id": "a", "at": {"zip": 1}}"#;
    let tree = record([("id", "a".into()), ("at", record([("zip", Tree::Long(1))])), ("kind", "k".into())]);
    assert_eq!(read(&decoder, &json(text, true)), Ok(tree));
    assert_eq!(tracked(&decoder, &json(text, true)), [(0, "id".to_owned()), (1, "zip".to_owned())]);
    assert_eq!(reason(&decoder, &json(text, false)).1, "json: at.street: the field is absent and has no default");
    let tree = record([("id", "a".into()), ("kind", "k".into())]);
    assert_eq!(read(&decoder, &json(r#"{"id": "a"}"#, true)), Ok(tree));
    // What is there has to fit all the same.
    for wrong in [r#"{"id": "a", "at": {"zip": 1}, "items": 1}"#, r#"{"id": "a", "at": {"zip": 1}, "no": 1}"#] {
        assert_eq!(reason(&decoder, &json(wrong, true)).0, Reason::InvalidJson);
    }
}
