//! Decoding of bodies in Avro's own JSON encoding.

use super::{tree::record, *};

/// Decodes `value` as the value of a field of type `ty`.
fn value(ty: &str, value: &str) -> Result<Tree, (Reason, String)> {
    let options = Options { json_encoding: JsonEncoding::Avro, ..options(&[WireFormat::Json]) };
    let decoder = versions(&[&field_of(ty)]).unwrap().compile(options).unwrap();
    let tree = read(&decoder, &json_of(&format!("{{\"f\": {value}}}")))
        .map_err(|error| (error.reason(), error.to_string()))?;
    let Tree::Record(mut fields) = tree else { panic!("no record") };
    Ok(fields.remove(0).1)
}

const FIXED: &str = r#"{"type": "fixed", "name": "a.F", "size": 2}"#;
const DECIMAL: &str = r#"{"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}"#;

#[test]
fn bytes_are_the_characters_0_to_255() {
    let uuid = r#"{"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"}"#;
    let decimal = r#"{"type": "fixed", "name": "D", "size": 2, "logicalType": "decimal", "precision": 4, "scale": 2}"#;
    for (ty, text, expected) in [
        ("\"bytes\"", "\"abcd\"", Tree::Bytes(b"abcd".to_vec())),
        ("\"bytes\"", "\"\\u0000\u{ff}=\"", Tree::Bytes(vec![0, 0xFF, b'='])),
        ("\"bytes\"", "\"\"", Tree::Bytes(Vec::new())),
        (FIXED, "\"\\u00e4a\"", Tree::Bytes(vec![0xE4, b'a'])),
        (DECIMAL, "\"1\"", Tree::Decimal(b"1".to_vec(), 2)),
        (decimal, "\"\\u0000\\u0001\"", Tree::Decimal(vec![0, 1], 2)),
        (uuid, "\"0123456789abcdef\"", Tree::Uuid(*b"0123456789abcdef")),
    ] {
        assert_eq!(value(ty, text), Ok(expected), "{ty} {text}");
    }
}

#[test]
fn a_value_of_a_union_stands_under_the_name_of_its_branch() {
    let union = r#"["null", "string", {"type": "map", "values": "int"}, {"type": "record", "name": "a.N", "fields": [{"name": "x", "type": ["int", "null"]}]},
        {"type": "enum", "name": "b.N", "symbols": ["S"]}, {"type": "fixed", "name": "c.F", "size": 1}]"#;
    for (text, expected) in [
        ("null", Tree::Null),
        (r#"{"string": "x"}"#, "x".into()),
        (r#"{"map": {"string": 1}}"#, Tree::Map(vec![("string".to_owned(), Tree::Long(1))])),
        (r#"{"a.N": {"x": {"int": 1}}}"#, record([("x", Tree::Long(1))])),
        (r#"{"a.N": {"x": null}}"#, record([("x", Tree::Null)])),
        (r#"{"b.N": "S"}"#, "S".into()),
        // The short name is unique among the branches.
        (r#"{"F": "a"}"#, Tree::Bytes(vec![b'a'])),
    ] {
        assert_eq!(value(union, text), Ok(expected), "{text}");
    }
    let untagged = "json: f: neither null nor an object whose one key names a branch of the union";
    for text in
        ["\"x\"", "1", "{}", r#"{"x": 1}"#, r#"{"N": "S"}"#, r#"{"string": "x", "int": 1}"#, r#"{"null": null}"#, "[]"]
    {
        assert_eq!(value(union, text), Err((Reason::InvalidJson, untagged.to_owned())), "{text}");
    }
    assert_eq!(value(union, r#"{"string": 1}"#).unwrap_err().1, "json: f: not the json of a value of type string");
    assert_eq!(value(r#"["string", "int"]"#, "null").unwrap_err().1, untagged);
}

#[test]
fn what_plain_json_spells_otherwise_is_rejected_with_its_path() {
    let date = r#"{"type": "int", "logicalType": "date"}"#;
    assert_eq!(value(date, "19737"), Ok(Tree::Date(19_737)));
    for (ty, wrong) in [
        ("\"bytes\"", "\"\\u0100\""),
        ("\"bytes\"", "[1]"),
        (FIXED, "\"a\""),
        (FIXED, "\"YWI=\""),
        (DECIMAL, "0.49"),
        (date, "\"2024-01-15\""),
        ("\"double\"", "\"1\""),
        ("\"double\"", "\"nan\""),
        ("\"int\"", "\"NaN\""),
    ] {
        let (reason, text) = value(ty, wrong).unwrap_err();
        assert!(reason == Reason::InvalidJson && text.starts_with("json: f: "), "{ty} {wrong}: {text}");
    }
}

#[test]
fn a_number_that_is_not_finite_has_javas_text() {
    let datum = |ty: &str, text: &str, encoding| {
        let schemas = versions(&[&field_of(&format!("\"{ty}\""))]).unwrap();
        let version = schemas.subjects().next().unwrap().newest();
        version.datum(&format!("{{\"f\": \"{text}\"}}"), encoding).map_err(|error| error.to_string())
    };
    for (text, double, float) in [
        ("NaN", f64::NAN, f32::NAN),
        ("Infinity", f64::INFINITY, f32::INFINITY),
        ("-Infinity", f64::NEG_INFINITY, f32::NEG_INFINITY),
    ] {
        assert_eq!(datum("double", text, JsonEncoding::Avro), Ok(double.to_le_bytes().to_vec()), "{text}");
        assert_eq!(datum("float", text, JsonEncoding::Avro), Ok(float.to_le_bytes().to_vec()), "{text}");
        assert!(datum("double", text, JsonEncoding::Plain).is_err());
    }
    // DynamoDB cannot store this number.
    assert_eq!(value("\"double\"", "\"NaN\"").unwrap_err().0, Reason::NumberOutOfRange);
}

#[test]
fn a_default_stands_for_an_absent_field_as_the_schema_spells_it() {
    let fields = r#"{"name": "u", "type": ["string", "null"], "default": "x"}, {"name": "b", "type": "bytes", "default": "\u00ff"}"#;
    let options = Options { json_encoding: JsonEncoding::Avro, ..options(&[WireFormat::Json]) };
    let decoder = versions(&[&record_of(fields)]).unwrap().compile(options).unwrap();
    assert_eq!(read(&decoder, &json_of("{}")), Ok(record([("u", "x".into()), ("b", Tree::Bytes(vec![0xFF]))])));
}

#[test]
fn a_deletion_needs_its_key_alone_and_names_its_branch() {
    let fields = r#"{"name": "id", "type": ["null", "string"]}, {"name": "gone", "type": "int"}"#;
    let schemas = versions(&[&record_of(fields)]).unwrap();
    let subject = schemas.subjects().next().unwrap().id();
    let options = Options {
        json_encoding: JsonEncoding::Avro,
        tracked: vec![(subject, crate::record::TrackedField(0), "id".to_owned())],
        ..options(&[WireFormat::Json])
    };
    let decoder = schemas.compile(options).unwrap();
    let deletion = |text| read(&decoder, &Input { keys_only: true, ..json_of(text) });
    assert_eq!(deletion(r#"{"id": {"string": "a"}}"#), Ok(record([("id", "a".into())])));
    assert_eq!(deletion(r#"{"id": "a"}"#).unwrap_err().reason(), Reason::InvalidJson);
}

#[test]
fn a_field_is_found_behind_the_tags_of_unions() {
    let schema = record_of(
        r#"{"name": "c", "type": ["null", {"type": "record", "name": "shop.C", "fields": [{"name": "id", "type": ["long", "string"]}]}]},
        {"name": "m", "type": {"type": "map", "values": "string"}}"#,
    );
    let schemas = versions(&[&schema]).unwrap();
    let version = schemas.subjects().next().unwrap().newest();
    let find = |text: &str, path, encoding| {
        let record = serde_json::from_str(text).unwrap();
        version.json_field(&record, path, encoding).cloned()
    };
    let avro = r#"{"c": {"shop.C": {"id": {"string": "x"}}}, "m": {"string": "y"}}"#;
    assert_eq!(find(avro, "c.id", JsonEncoding::Avro), Some("x".into()));
    assert_eq!(find(avro, "m.string", JsonEncoding::Avro), Some("y".into()));
    for (text, path) in [(avro, "c.no"), (avro, "c.id.x"), (r#"{"c": {"id": 1}}"#, "c.id"), (r#"{"c": null}"#, "c.id")]
    {
        assert_eq!(find(text, path, JsonEncoding::Avro), None, "{path} of {text}");
    }
    assert_eq!(find(r#"{"c": {"id": 7}}"#, "c.id", JsonEncoding::Plain), Some(7.into()));
}
