//! Decoding of JSON bodies.

use super::{tree::record, *};

fn reading(fields: &str) -> Decoder {
    decoder(&[("s/1", &record_of(fields))], &[WireFormat::Json])
}

/// Decodes `value` as the value of a field of type `ty`.
fn value(ty: &str, value: &str) -> Result<Tree, (Reason, String)> {
    let decoder = reading(&format!(r#"{{"name": "f", "type": {ty}}}"#));
    let tree = read(&decoder, &json_of(&format!("{{\"f\": {value}}}")))
        .map_err(|error| (error.reason(), error.to_string()))?;
    let Tree::Record(mut fields) = tree else { panic!("no record") };
    Ok(fields.remove(0).1)
}

const DECIMAL: &str = r#"{"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2}"#;

#[test]
fn an_order_in_json_is_the_order_in_avro() {
    let decoder = decoder(&[("s/1", ORDER)], &[WireFormat::Json]);
    assert_eq!(read(&decoder, &json_of(ORDER_JSON)), Ok(order_tree()));
    let decoded = decoder.decode(&json_of(ORDER_JSON), &mut Scratch::default(), &mut Records::default()).unwrap();
    assert_eq!((decoded.format, decoded.version, decoded.records), (WireFormat::Json, Some(1), 1));
}

#[test]
fn what_does_not_fit_its_type_is_rejected_with_its_path() {
    let fixed = r#"{"type": "fixed", "name": "F", "size": 2}"#;
    let uuid = r#"{"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"}"#;
    let date = r#"{"type": "int", "logicalType": "date"}"#;
    let symbols = r#"{"type": "enum", "name": "E", "symbols": ["A"]}"#;
    for (ty, wrong) in [
        ("\"int\"", "2147483648"),
        ("\"int\"", "1.0"),
        ("\"int\"", "1e3"),
        ("\"int\"", "\"1\""),
        ("\"long\"", "9223372036854775808"),
        ("\"long\"", "true"),
        ("\"float\"", "1e39"),
        ("\"double\"", "1e309"),
        ("\"double\"", "\"NaN\""),
        ("\"boolean\"", "0"),
        ("\"null\"", "0"),
        ("\"string\"", "1"),
        ("\"bytes\"", "\"a\""),
        ("\"bytes\"", "\"\\u00ff\""),
        (fixed, "\"AQ==\""),
        (fixed, "1"),
        (uuid, "\"AAAAAAAAAAAAAAAAAAAAAA==\""),
        (date, "\"2024-02-30\""),
        (date, "\"15.01.2024\""),
        (symbols, "\"B\""),
        (DECIMAL, "1.234"),
        (DECIMAL, "1234.5"),
        (DECIMAL, "\"AQ==\""),
        (r#"{"type": "array", "items": "int"}"#, "{}"),
        (r#"{"type": "map", "values": "int"}"#, "[]"),
        (r#"["null", "int"]"#, "\"1\""),
        (r#"["int", "boolean"]"#, "\"1\""),
    ] {
        let (reason, text) = value(ty, wrong).unwrap_err();
        assert_eq!(reason, Reason::InvalidJson, "{ty} {wrong}");
        assert!(text.starts_with("json: f: "), "{text}");
        assert!(wrong.len() < 4 || !text.contains(wrong.trim_matches('"')), "{text} quotes the payload");
    }
}

#[test]
fn numbers_are_exact() {
    assert_eq!(value("\"long\"", "9007199254740993"), Ok(Tree::Long(9_007_199_254_740_993)));
    assert_eq!(value("\"double\"", "0.1"), Ok(Tree::Double(0.1)));
    assert_eq!(value("\"double\"", "123456789012345680000"), Ok(Tree::Double(123_456_789_012_345_680_000.0)));
    assert_eq!(value("\"float\"", "16777216.99"), Ok(Tree::Float(16_777_217.0_f32)));
    for text in ["12.3", "\"12.3\"", "1.23e1", "\"12.30\""] {
        assert_eq!(value(DECIMAL, text), Ok(Tree::Decimal(vec![0x04, 0xCE], 2)), "{text}");
    }
    let date = r#"{"type": "int", "logicalType": "date"}"#;
    assert_eq!(value(date, "\"2024-01-15\""), Ok(Tree::Date(19_737)));
    assert_eq!(value(date, "19737"), Ok(Tree::Date(19_737)));
}

#[test]
fn a_union_has_no_tag_but_may_have_one_where_the_value_fits_nowhere() {
    let union = r#"["null", "string", {"type": "map", "values": "int"}, {"type": "record", "name": "a.N", "fields": [{"name": "x", "type": "int"}]}]"#;
    assert_eq!(value(union, "null"), Ok(Tree::Null));
    assert_eq!(value(union, "\"a\""), Ok("a".into()));
    // The first matching branch is used. It is the map, although the record matches too.
    assert_eq!(value(union, r#"{"x": 1}"#), Ok(Tree::Map(vec![("x".to_owned(), Tree::Long(1))])));
    assert_eq!(value(union, r#"{"string": "a"}"#), Ok("a".into()));
    let x = record([("x", Tree::Long(1))]);
    assert_eq!(value(union, r#"{"a.N": {"x": 1}}"#), Ok(x.clone()));
    assert_eq!(value(union, r#"{"N": {"x": 1}}"#), Ok(x));
    assert_eq!(value(union, r#"{"N": {"x": "1"}}"#).unwrap_err().1, "json: f.x: not the json of a value of type int");
    assert_eq!(value(union, "1").unwrap_err().1, "json: f: no branch of the union takes the value");
    // If null has only one alternative, the error of that branch is reported, because it is more specific.
    assert_eq!(value(r#"["null", "int"]"#, "1.5").unwrap_err().1, "json: f: the number does not fit int");
}

#[test]
fn an_absent_field_has_its_default_or_is_read_from_its_alias() {
    let decoder = reading(
        r#"{"name": "a", "type": "int", "aliases": ["old_a", "older_a"]}, {"name": "b", "type": "bytes", "default": "\u00ff"}"#,
    );
    let tree = record([("a", Tree::Long(1)), ("b", Tree::Bytes(vec![0xFF]))]);
    for text in [r#"{"a": 1}"#, r#"{"older_a": 1}"#, r#"{"b": "/w==", "a": 1}"#, " {\"a\":1}\n"] {
        assert_eq!(read(&decoder, &json_of(text)), Ok(tree.clone()), "{text}");
    }
    assert_eq!(reason(&decoder, &json_of("{}")).1, "json: a: the field is absent and has no default");
}

#[test]
fn a_key_that_is_no_field_or_comes_twice_is_rejected() {
    let decoder = reading(r#"{"name": "a", "type": "int", "aliases": ["old"]}"#);
    for text in [r#"{"a": 1, "b": 2}"#, r#"{"a": 1, "old": 1}"#, r#"{"a": 1, "a": 1}"#, r#"{"A": 1}"#] {
        let (reason, message) = reason(&decoder, &json_of(text));
        assert_eq!(reason, Reason::InvalidJson, "{text}");
        assert!(!message.contains('"'), "{message}");
    }
    let maps = reading(r#"{"name": "f", "type": {"type": "map", "values": "int"}}"#);
    assert_eq!(reason(&maps, &json_of(r#"{"f": {"k": 1, "k": 2}}"#)).0, Reason::InvalidJson);
}

#[test]
fn an_older_version_may_be_named_and_is_read_by_the_newest() {
    let first = record_of(r#"{"name": "old", "type": "int"}"#);
    let second =
        record_of(r#"{"name": "new", "type": "long", "aliases": ["old"]}, {"name": "x", "type": "int", "default": 5}"#);
    let decoder = decoder(&[("s/1", &first), ("s/2", &second)], &[WireFormat::Json]);
    let tree = record([("new", Tree::Long(1)), ("x", Tree::Long(5))]);
    assert_eq!(read(&decoder, &Input { schema: Some("s/1"), ..json_of(r#"{"old": 1}"#) }), Ok(tree.clone()));
    assert_eq!(read(&decoder, &json_of(r#"{"new": 1}"#)), Ok(tree));
    assert_eq!(reason(&decoder, &Input { schema: Some("s/1"), ..json_of(r#"{"new": 1}"#) }).0, Reason::InvalidJson);
    assert_eq!(reason(&decoder, &Input { schema: None, ..json_of("{}") }).0, Reason::SchemaRequired);
    assert_eq!(reason(&decoder, &Input { schema: Some("t"), ..json_of("{}") }).0, Reason::UnknownSchema);
}

#[test]
fn only_a_json_object_is_a_record() {
    let decoder = reading(r#"{"name": "a", "type": "int", "default": 1}"#);
    for text in ["", "[]", "1", "null", "{", "{}{}", "{} x", "\"{}\"", "{'a': 1}"] {
        assert_eq!(reason(&decoder, &json_of(text)).0, Reason::InvalidJson, "{text}");
    }
    assert_eq!(reason(&decoder, &binary(b"{}")).0, Reason::UnrecognizedFormat);
    let datums = decoder_of_datum();
    assert_eq!(reason(&datums, &json_of("{}")).0, Reason::UnrecognizedFormat);
}

fn decoder_of_datum() -> Decoder {
    decoder(&[("s/1", &record_of(""))], &[WireFormat::Datum])
}

#[test]
fn a_member_is_read_by_one_field_only() {
    let decoder = reading(
        r#"{"name": "a", "type": "int", "aliases": ["b"], "default": 0}, {"name": "b", "type": "int", "default": 0}"#,
    );
    let both = |a, b| record([("a", Tree::Long(a)), ("b", Tree::Long(b))]);
    assert_eq!(read(&decoder, &json_of(r#"{"b": 1}"#)), Ok(both(0, 1)));
    assert_eq!(read(&decoder, &json_of(r#"{"b": 1, "a": 2}"#)), Ok(both(2, 1)));
    for text in [r#"{"b": 1, "x": 2}"#, r#"{"x": 2}"#] {
        assert_eq!(reason(&decoder, &json_of(text)).0, Reason::InvalidJson, "{text}");
    }
}

#[test]
fn a_number_goes_to_the_branch_that_holds_it_exactly() {
    let floats = r#"["null", "float", "double"]"#;
    for (ty, number, tree) in [
        (floats, "0.1", Tree::Double(0.1)),
        (floats, "0.5", Tree::Float(0.5)),
        (floats, "16777217", Tree::Double(16_777_217.0)),
        (floats, "1e300", Tree::Double(1e300)),
        (floats, "0.1234567890123456789", Tree::Double(0.123_456_789_012_345_68)),
        (r#"["double", "long"]"#, "9007199254740993", Tree::Long(9_007_199_254_740_993)),
        (r#"["double", "long"]"#, "1.5", Tree::Double(1.5)),
        (r#"["float", "int"]"#, "16777217", Tree::Long(16_777_217)),
        (r#"["int", "double"]"#, "2147483648", Tree::Double(2_147_483_648.0)),
        (r#"["float", "string"]"#, "0.1", Tree::Float(0.1)),
    ] {
        assert_eq!(value(ty, number), Ok(tree), "{ty} {number}");
    }
    let decimal = format!(r#"["double", {}]"#, DECIMAL.replace("5, \"scale\": 2", "25, \"scale\": 20"));
    let exact = Tree::Decimal(12_345_678_901_234_567_890_i128.to_be_bytes()[7..].to_vec(), 20);
    assert_eq!(value(&decimal, "0.12345678901234567890"), Ok(exact));
}
