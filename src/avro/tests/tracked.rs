//! The fields that are reported as tracked: keys, versions and times to live.

use super::{
    model::{evolved, model, schema},
    model_values::{Dice, json_text, sorted, value},
    tree::record,
    *,
};
use crate::record::{SubjectId, TrackedField};
use proptest::prelude::*;

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

/// A linked list. Each entry has an id, and a home and an office of the same type.
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
    assert_eq!(error("id.zip"), "subject s: field id.zip: zip is looked for in something that is not a record");
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
    let tree = record([("id", "a".into()), ("at", record([("zip", Tree::Long(1))]))]);
    assert_eq!(read(&decoder, &json(text, true)), Ok(tree));
    assert_eq!(tracked(&decoder, &json(text, true)), [(0, "id".to_owned()), (1, "zip".to_owned())]);
    assert_eq!(
        reason(&decoder, &json(r#"{"id": "a", "at": {"zip": 1}, "items": []}"#, false)).1,
        "json: at.street: the field is absent and has no default"
    );
    assert_eq!(read(&decoder, &json(r#"{"id": "a"}"#, true)), Ok(record([("id", "a".into())])));
    // The values of other fields must not prevent the deletion, but a key must be valid, and each member must be a
    // field.
    assert!(read(&decoder, &json(r#"{"id": "a", "at": {"zip": 1}, "items": 1}"#, true)).is_ok());
    for wrong in
        [r#"{"id": 1}"#, r#"{"id": "a", "at": {"zip": ""}}"#, r#"{"id": "a", "no": 1}"#, r#"{"id": "a", "at": 1}"#]
    {
        assert_eq!(reason(&decoder, &json(wrong, true)).0, Reason::InvalidJson, "{wrong}");
    }
}

/// Returns the tracked fields of `input`, sorted, each with its value.
fn tracked_values(decoder: &Decoder, input: &Input<'_>) -> Result<Vec<(u8, Tree)>, String> {
    let mut records = Records::default();
    decoder.decode(input, &mut Scratch::default(), &mut records).map_err(|error| error.to_string())?;
    let mut values: Vec<_> =
        records.tracked_values.into_iter().map(|(tracked, value)| (tracked.0, sorted(value))).collect();
    values.sort_by_key(|(tracked, _)| *tracked);
    Ok(values)
}

#[test]
fn a_deletion_in_json_of_an_older_version_reads_no_field_as_another() {
    let first = record_of(
        r#"{"name": "flag", "type": "boolean"}, {"name": "id", "type": "long"}, {"name": "score", "type": "float"}"#,
    );
    let second = record_of(r#"{"name": "id", "type": "long"}"#);
    let decoder = tracking(&[("s/1", &first), ("s/2", &second)], &[WireFormat::Json], &[(0, "id")]).unwrap();
    let id = record([("id", Tree::Long(100_000))]);
    for text in [r#"{"flag": true, "id": 100000}"#, r#"{"id": 100000}"#, r#"{"score": "NaN", "id": 100000, "flag": 7}"#]
    {
        let input = Input { keys_only: true, schema: Some("s/1"), ..json_of(text) };
        assert_eq!(read(&decoder, &input), Ok(id.clone()), "{text}");
    }
}

#[test]
fn a_deletion_needs_no_items_of_the_records_it_does_not_name() {
    let item = r#"{"type": "record", "name": "I", "fields": [{"name": "a", "type": "double"}, {"name": "b", "type": "string"}]}"#;
    let schema = record_of(&format!(
        r#"{{"name": "id", "type": "string"}}, {{"name": "items", "type": {{"type": "array", "items": {item}}}}},
           {{"name": "by_name", "type": {{"type": "map", "values": "I"}}}}"#
    ));
    let decoder = tracking(&[("s/1", &schema)], &[WireFormat::Json], &[(0, "id")]).unwrap();
    for text in [
        r#"{"id": "x", "items": [{}, {"a": 1}, {"b": "s"}]}"#,
        r#"{"items": [{"a": 1, "b": ""}], "by_name": {"k": {}}, "id": "x"}"#,
    ] {
        let input = Input { keys_only: true, ..json_of(text) };
        assert_eq!(read(&decoder, &input), Ok(record([("id", "x".into())])), "{text}");
    }
}

#[test]
fn a_deletion_in_any_wire_format_is_not_refused_for_what_is_not_its_key() {
    let schema = record_of(r#"{"name": "bad", "type": "double"}, {"name": "id", "type": "int"}"#);
    let formats = [WireFormat::Container, WireFormat::Datum];
    let decoder = tracking(&[("s/1", &schema)], &formats, &[(0, "id")]).unwrap();
    let body = [&f64::NAN.to_le_bytes()[..], &[14]].concat();
    for body in [body.clone(), container(&schema, "null", &[(1, &body)])] {
        let deletion = Input { keys_only: true, ..datum(&body, "s") };
        assert_eq!(read(&decoder, &deletion), Ok(record([("id", Tree::Long(7))])));
        assert!(read(&decoder, &datum(&body, "s")).is_err());
    }
}

#[test]
fn a_deletion_takes_its_key_from_a_default_of_the_writer_and_of_the_reader() {
    let place = r#"{"type": "record", "name": "P", "fields": [{"name": "zip", "type": "int"}, {"name": "n", "type": "int", "default": 3}]}"#;
    let first = record_of(&format!(r#"{{"name": "at", "type": {place}, "default": {{"zip": 7}}}}"#));
    let second = record_of(&format!(
        r#"{{"name": "at", "type": {place}, "default": {{"zip": 7}}}}, {{"name": "to", "type": "P", "default": {{"zip": 9}}}}"#
    ));
    let files = [("s/1", first.as_str()), ("s/2", &second)];
    let decoder = tracking(&files, &[WireFormat::Json], &[(0, "at.zip"), (1, "to.zip")]).unwrap();
    for (text, zip) in [("{}", 7), (r#"{"at": {"zip": 1}}"#, 1), (r#"{"at": {"n": "", "zip": 1}}"#, 1)] {
        let input = Input { keys_only: true, schema: Some("s/1"), ..json_of(text) };
        let expected = vec![(0, Tree::Long(zip)), (1, Tree::Long(9))];
        assert_eq!(tracked_values(&decoder, &input), Ok(expected), "{text}");
    }
}

#[test]
fn fields_are_tracked_within_a_record_that_is_itself_a_default() {
    let meta = r#"{"type": "record", "name": "M", "fields": [
        {"name": "key", "type": "string"},
        {"name": "inner", "type": {"type": "record", "name": "N", "fields": [{"name": "at", "type": "long", "default": 5}]}, "default": {}}]}"#;
    let second = record_of(&format!(r#"{{"name": "meta", "type": ["null", {meta}], "default": {{"key": "k"}}}}"#));
    let tracked = [(0, "meta.key"), (1, "meta.inner.at")];
    let files = [("s/1", record_of("")), ("s/2", second)];
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let decoder = tracking(&files, &[WireFormat::Datum], &tracked).unwrap();
    let full = write(files[1].1, r#"{"meta": {"key": "k", "inner": {"at": 5}}}"#);
    let expected = Ok(vec![(0, "k".into()), (1, Tree::Long(5))]);
    assert_eq!(tracked_values(&decoder, &datum(&full, "s/2")), expected);
    assert_eq!(tracked_values(&decoder, &datum(&[], "s/1")), expected);
    let deletion = Input { keys_only: true, ..datum(&[], "s/1") };
    assert_eq!(tracked_values(&decoder, &deletion), expected);
}

/// Adds the paths of the fields that a key may be taken from.
fn key_paths(decoder: &Decoder, tree: &Tree, above: &str, paths: &mut Vec<String>) {
    let Tree::Record(fields) = tree else { return };
    for (name, value) in fields {
        let path = format!("{above}{name}");
        let subject = decoder.subjects().next().unwrap();
        if subject.field(&path).is_ok_and(|kind| kind != crate::record::FieldKind::Other) {
            paths.push(path.clone());
        }
        key_paths(decoder, value, &format!("{path}."), paths);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// This holds for every older version, and for a datum, a container and JSON.
    #[test]
    fn a_deletion_has_the_key_of_its_put(model in model(), seed: u64) {
        let mut dice = Dice(seed);
        let value = value(&model, &mut dice, &mut Vec::new());
        let (old, new) = (schema(&model), schema(&evolved(&model, &mut dice, &mut 0)));
        let json = json_text(&value, &model, &mut Vec::new());
        let their_schema = apache_avro::Schema::parse_str(&old).unwrap();
        let body = apache_avro::writer::datum::GenericDatumWriter::builder(&their_schema).build().unwrap();
        let body = body.write_value_to_vec(value).unwrap();
        let files = [("s/1", old.as_str()), ("s/2", &new)];
        let untracked = tracking(&files, WireFormat::ALL, &[]);
        // No value can be read with some evolutions.
        prop_assume!(untracked.is_ok());
        let Ok(tree) = read(&untracked.unwrap(), &datum(&body, "s/1")) else { return Ok(()) };
        let mut paths = Vec::new();
        key_paths(&tracking(&files, &[], &[]).unwrap(), &tree, "", &mut paths);
        let tracked: Vec<_> = (0..4).zip(paths.iter().map(String::as_str)).collect();
        let decoder = tracking(&files, WireFormat::ALL, &tracked).unwrap();
        let put = tracked_values(&decoder, &datum(&body, "s/1")).unwrap();
        prop_assert_eq!(put.len(), tracked.len());
        let packed = container(&old, "null", &[(1, &body)]);
        for input in [datum(&body, "s/1"), binary(&packed), Input { schema: Some("s/1"), ..json_of(&json) }] {
            // A JSON value may be encoded as another branch, which may be unreadable.
            if let Ok(put) = tracked_values(&decoder, &input) {
                let deletion = Input { keys_only: true, ..input };
                prop_assert_eq!(tracked_values(&decoder, &deletion), Ok(put), "{}", json);
            }
        }
    }
}
