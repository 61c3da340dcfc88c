//! The rules of Schema Resolution in the Avro specification, one by one.

use super::{tree::record, *};

/// Returns every type with a JSON value and the tree that a visitor receives for it. `N` is a record, `E` an enum, `F`
/// a fixed.
fn every_type() -> Vec<(&'static str, &'static str, Tree)> {
    let bytes = |bytes: &[u8]| Tree::Bytes(bytes.to_vec());
    vec![
        ("\"null\"", "null", Tree::Null),
        ("\"boolean\"", "true", Tree::Boolean(true)),
        ("\"int\"", "-2147483648", Tree::Long(i32::MIN.into())),
        ("\"long\"", "9223372036854775807", Tree::Long(i64::MAX)),
        ("\"float\"", "1.1", Tree::Float(1.1)),
        ("\"double\"", "-0.1", Tree::Double(-0.1)),
        ("\"bytes\"", "\"/wA=\"", bytes(&[0xFF, 0])),
        ("\"string\"", "\"größe\"", "größe".into()),
        (r#"{"type": "int", "logicalType": "date"}"#, "\"2024-01-15\"", Tree::Date(19_737)),
        (r#"{"type": "int", "logicalType": "time-millis"}"#, "86399999", Tree::Long(86_399_999)),
        (r#"{"type": "long", "logicalType": "timestamp-nanos"}"#, "-5", Tree::Long(-5)),
        (
            r#"{"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2}"#,
            "-1.28",
            Tree::Decimal(vec![0x80], 2),
        ),
        (
            r#"{"type": "fixed", "name": "D", "size": 3, "logicalType": "decimal", "precision": 5, "scale": 1}"#,
            "\"-0.2\"",
            Tree::Decimal(vec![0xFF, 0xFF, 0xFE], 1),
        ),
        (r#"{"type": "string", "logicalType": "uuid"}"#, "\"any\"", "any".into()),
        (
            r#"{"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"}"#,
            "\"00000000-0000-0000-0000-0000000000ff\"",
            Tree::Uuid(255_u128.to_be_bytes()),
        ),
        (
            r#"{"type": "fixed", "name": "P", "size": 12, "logicalType": "duration"}"#,
            "\"AQAAAAIAAAADAAAA\"",
            bytes(&[1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0]),
        ),
        (r#"{"type": "fixed", "name": "F", "size": 2}"#, "\"AQI=\"", bytes(&[1, 2])),
        (r#"{"type": "enum", "name": "E", "symbols": ["A", "B"]}"#, "\"B\"", "B".into()),
        (r#"{"type": "array", "items": "int"}"#, "[1, 2]", Tree::Array(vec![Tree::Long(1), Tree::Long(2)])),
        (r#"{"type": "array", "items": "null"}"#, "[null]", Tree::Array(vec![Tree::Null])),
        (
            r#"{"type": "map", "values": "string"}"#,
            r#"{"b": "1", "a": "2"}"#,
            Tree::Map(vec![("b".to_owned(), "1".into()), ("a".to_owned(), "2".into())]),
        ),
        (r#"["null", "string"]"#, "\"s\"", "s".into()),
        (r#"["int", "null"]"#, "null", Tree::Null),
        (
            r#"{"type": "record", "name": "N", "fields": [{"name": "n", "type": ["null", "N"]}]}"#,
            r#"{"n": {"n": null}}"#,
            record([("n", record([("n", Tree::Null)]))]),
        ),
    ]
}

/// Converts the datum of an array to blocks of one item whose headers state their size, as some writers encode arrays.
fn with_sized_blocks(datum: &[u8], ty: &str) -> Option<Vec<u8>> {
    let [count, items @ .., 0] = datum else { return None };
    (ty.contains("\"array\"") && ty.contains("int")).then_some(())?;
    assert_eq!((*count, items.len()), (4, 2));
    Some(vec![1, 2, items[0], 1, 2, items[1], 0])
}

#[test]
fn every_type_is_read_as_itself() {
    for (ty, json, tree) in every_type() {
        let schema = field_of(ty);
        assert_eq!(evolve(&schema, &format!("{{\"f\": {json}}}"), &schema), Ok(record([("f", tree)])), "{ty}");
    }
}

#[test]
fn a_field_of_any_type_is_skipped_when_the_reader_drops_it() {
    let after = r#"{"name": "after", "type": "string"}"#;
    for (ty, json, _) in every_type() {
        let writer = record_of(&format!(r#"{{"name": "dropped", "type": {ty}}}, {after}"#));
        let read = evolve(&writer, &format!(r#"{{"dropped": {json}, "after": "x"}}"#), &record_of(after));
        assert_eq!(read, Ok(record([("after", "x".into())])), "{ty}");

        let plain = write(&field_of(ty), &format!("{{\"f\": {json}}}"));
        let decoder = of_datums(&[&writer, &record_of(after)]);
        if let Some(sized) = with_sized_blocks(&plain, ty) {
            let body = [&sized[..], &[2, b'x']].concat();
            assert_eq!(super::read(&decoder, &datum(&body, "s/1")), Ok(record([("after", "x".into())])));
        }
        for len in 0..plain.len() {
            assert_eq!(reason(&decoder, &datum(&plain[..len], "s/1")).0, Reason::Truncated, "{ty} cut at {len}");
        }
    }
}

#[test]
fn blocks_may_say_their_size() {
    let schema = field_of(r#"{"type": "array", "items": "int"}"#);
    let decoder = of_datums(&[&schema]);
    let items = record([("f", Tree::Array(vec![Tree::Long(1), Tree::Long(2)]))]);
    assert_eq!(read(&decoder, &datum(&[3, 4, 2, 4, 0], "s")), Ok(items.clone()));
    assert_eq!(read(&decoder, &datum(&[1, 2, 2, 2, 4, 0], "s")), Ok(items));
    for (wrong, expected) in [
        (&[3, 6, 2, 4, 0, 0][..], Reason::MalformedDatum),
        (&[3, 2, 2, 4, 0], Reason::MalformedDatum),
        (&[3, 1, 2, 4, 0], Reason::MalformedDatum),
        (&[3, 20, 2, 4, 0], Reason::Truncated),
    ] {
        assert_eq!(reason(&decoder, &datum(wrong, "s")).0, expected, "{wrong:?}");
    }
}

#[test]
fn a_dropped_block_that_says_its_size_is_skipped_unread() {
    let decoder = of_datums(&[&field_of(r#"{"type": "array", "items": "int"}"#), &record_of("")]);
    // No int can have eleven bytes whose highest bits are set.
    let block = [&[1, 22][..], &[0xFF; 11], &[0]].concat();
    assert_eq!(read(&decoder, &datum(&block, "s/1")), Ok(record([])));
    assert_eq!(reason(&decoder, &datum(&block[..9], "s/1")).0, Reason::Truncated);
}

#[test]
fn fields_come_in_the_writers_order_and_then_the_defaults() {
    let writer = record_of(r#"{"name": "b", "type": "int"}, {"name": "a", "type": "int"}"#);
    let reader = record_of(
        r#"{"name": "x", "type": "int", "default": 7}, {"name": "a", "type": "int"}, {"name": "b", "type": "int"}"#,
    );
    let tree = record([("b", Tree::Long(2)), ("a", Tree::Long(1)), ("x", Tree::Long(7))]);
    assert_eq!(evolve(&writer, r#"{"a": 1, "b": 2}"#, &reader), Ok(tree));
}

#[test]
fn a_new_field_of_any_type_has_its_default() {
    let defaults = [
        ("\"null\"", "null", Tree::Null),
        ("\"boolean\"", "false", Tree::Boolean(false)),
        ("\"int\"", "-1", Tree::Long(-1)),
        ("\"long\"", "9007199254740993", Tree::Long(9_007_199_254_740_993)),
        ("\"float\"", "0.1", Tree::Float(0.1)),
        ("\"double\"", "1", Tree::Double(1.0)),
        ("\"double\"", "0.30000000000000004", Tree::Double(0.1 + 0.2)),
        ("\"bytes\"", r#""\u00ff\u0000A""#, Tree::Bytes(vec![255, 0, 65])),
        ("\"string\"", r#""\u00ff""#, "ÿ".into()),
        (r#"{"type": "fixed", "name": "F", "size": 2}"#, r#""\u0001\u0002""#, Tree::Bytes(vec![1, 2])),
        (
            r#"{"type": "bytes", "logicalType": "decimal", "precision": 3, "scale": 1}"#,
            r#""\u00ff""#,
            Tree::Decimal(vec![255], 1),
        ),
        (r#"{"type": "int", "logicalType": "date"}"#, "1", Tree::Date(1)),
        (r#"{"type": "enum", "name": "E", "symbols": ["A", "B"]}"#, "\"B\"", "B".into()),
        (r#"{"type": "array", "items": "string"}"#, r#"["a"]"#, Tree::Array(vec!["a".into()])),
        (r#"{"type": "map", "values": "int"}"#, r#"{"a": 1}"#, Tree::Map(vec![("a".to_owned(), Tree::Long(1))])),
        (r#"["null", "string"]"#, "null", Tree::Null),
        // Avro 1.12 uses the first branch that matches the default. Earlier versions allowed only the first branch.
        (r#"["null", "string"]"#, "\"s\"", "s".into()),
        (
            r#"{"type": "record", "name": "N", "fields": [{"name": "a", "type": "int", "default": 1}, {"name": "b", "type": "int"}]}"#,
            r#"{"b": 2}"#,
            record([("a", Tree::Long(1)), ("b", Tree::Long(2))]),
        ),
    ];
    for (ty, default, tree) in defaults {
        let reader = record_of(&format!(r#"{{"name": "f", "type": {ty}, "default": {default}}}"#));
        assert_eq!(evolve(&record_of(""), "{}", &reader), Ok(record([("f", tree)])), "{ty} {default}");
    }
}

#[test]
fn a_default_within_an_array_is_reported_for_each_item() {
    let item =
        |fields| format!(r#"{{"type": "array", "items": {{"type": "record", "name": "I", "fields": [{fields}]}}}}"#);
    let writer = field_of(&item(r#"{"name": "a", "type": "int"}"#));
    let reader = field_of(&item(
        r#"{"name": "a", "type": "int"}, {"name": "m", "type": {"type": "map", "values": "int"}, "default": {"k": 1, "l": 2}}"#,
    ));
    let map = || Tree::Map(vec![("k".to_owned(), Tree::Long(1)), ("l".to_owned(), Tree::Long(2))]);
    let tree = |a| record([("a", Tree::Long(a)), ("m", map())]);
    let read = evolve(&writer, r#"{"f": [{"a": 1}, {"a": 2}]}"#, &reader);
    assert_eq!(read, Ok(record([("f", Tree::Array(vec![tree(1), tree(2)]))])));
}

#[test]
fn numbers_strings_and_bytes_are_promoted() {
    for (writer, json, reader, tree) in [
        ("\"int\"", "-7", "\"long\"", Tree::Long(-7)),
        ("\"int\"", "16777217", "\"float\"", Tree::Float(16_777_216.0)),
        ("\"int\"", "16777217", "\"double\"", Tree::Double(16_777_217.0)),
        ("\"long\"", "-7", "\"float\"", Tree::Float(-7.0)),
        ("\"long\"", "9007199254740993", "\"double\"", Tree::Double(9_007_199_254_740_992.0)),
        ("\"float\"", "0.1", "\"double\"", Tree::Double(f64::from(0.1_f32))),
        ("\"string\"", "\"ä\"", "\"bytes\"", Tree::Bytes("ä".as_bytes().to_vec())),
        ("\"bytes\"", "\"w6Q=\"", "\"string\"", "ä".into()),
    ] {
        let read = evolve(&field_of(writer), &format!("{{\"f\": {json}}}"), &field_of(reader));
        assert_eq!(read, Ok(record([("f", tree)])), "{writer} {reader}");
    }
    let read = evolve(&field_of("\"bytes\""), r#"{"f": "/w=="}"#, &field_of("\"string\""));
    assert_eq!(read, Err((Reason::MalformedDatum, "datum: f: a string is not utf-8".to_owned())));
}

#[test]
fn what_the_specification_does_not_promote_stops_the_start() {
    let scalars = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];
    let promotions = [
        ("int", "long"),
        ("int", "float"),
        ("int", "double"),
        ("long", "float"),
        ("long", "double"),
        ("float", "double"),
        ("string", "bytes"),
        ("bytes", "string"),
    ];
    for writer in scalars {
        for reader in scalars {
            let read = versions(&[&field_of(&format!("\"{writer}\"")), &field_of(&format!("\"{reader}\""))]);
            if writer == reader || promotions.contains(&(writer, reader)) {
                assert!(read.is_ok(), "{writer} {reader}");
            } else {
                let error =
                    format!("subject s: version 1 cannot be read by version 2: f: {writer} cannot be read as {reader}");
                assert_eq!(read.unwrap_err(), error);
            }
        }
    }
}

#[test]
fn names_match_without_their_namespaces_and_by_aliases() {
    let named = |name: &str, more: &str| format!(r#"{{"type": "record", "name": "{name}"{more}, "fields": []}}"#);
    for (writer, reader) in [
        (named("a.R", ""), named("b.R", "")),
        (named("R", ""), named("b.R", "")),
        (named("a.Old", ""), named("b.New", r#", "aliases": ["x.Y", "a.Old"]"#)),
        (named("a.Old", ""), named("a.New", r#", "aliases": ["Old"]"#)),
    ] {
        assert_eq!(evolve(&writer, "{}", &reader), Ok(record([])));
    }
    for (writer, reader) in [
        (named("Old", ""), named("New", "")),
        (named("a.Old", ""), named("b.New", r#", "aliases": ["Old"]"#)),
        (named("Old", r#", "aliases": ["New"]"#), named("New", "")),
    ] {
        assert!(versions(&[&writer, &reader]).unwrap_err().contains("which has no such alias"));
    }
}

/// apache-avro 0.22 ignores the aliases of fields in schema resolution.
#[test]
fn a_renamed_field_is_read_by_its_alias() {
    let fields = |list: &[(&str, &str)]| {
        let fields: Vec<_> = list
            .iter()
            .map(|(name, alias)| {
                format!(r#"{{"name": "{name}", "type": "int", "aliases": ["{alias}"], "default": 0}}"#)
            })
            .collect();
        record_of(&fields.join(","))
    };
    let read = |json: &str, writer: &[(&str, &str)], reader: &[(&str, &str)]| {
        evolve(&fields(writer), json, &fields(reader)).unwrap()
    };
    let one = |name, value| record([(name, Tree::Long(value))]);
    assert_eq!(read(r#"{"old": 1}"#, &[("old", "_")], &[("new", "old")]), one("new", 1));
    assert_eq!(
        read(r#"{"old": 1}"#, &[("old", "new")], &[("new", "_")]),
        one("new", 0),
        "the writer's aliases are ignored"
    );
    // A field with the reader's name has priority over an alias, and no field is read twice.
    assert_eq!(read(r#"{"a": 1, "b": 2}"#, &[("a", "_"), ("b", "_")], &[("b", "a")]), one("b", 2));
    let both = record([("a", Tree::Long(1)), ("b", Tree::Long(0))]);
    assert_eq!(read(r#"{"a": 1}"#, &[("a", "_")], &[("b", "a"), ("a", "_")]), both);
    let first = record([("x", Tree::Long(1)), ("y", Tree::Long(0))]);
    assert_eq!(read(r#"{"a": 1}"#, &[("a", "_")], &[("x", "a"), ("y", "a")]), first);
}

#[test]
fn an_enum_symbol_that_the_reader_lacks_is_its_default_or_unresolvable() {
    let symbols = |list: &str, default: &str| {
        field_of(&format!(r#"{{"type": "enum", "name": "E", "symbols": {list}{default}}}"#))
    };
    let writer = symbols(r#"["A", "B", "C"]"#, "");
    let reordered = symbols(r#"["C", "A", "B"]"#, "");
    assert_eq!(evolve(&writer, r#"{"f": "C"}"#, &reordered), Ok(record([("f", "C".into())])));
    let smaller = symbols(r#"["B"]"#, "");
    let unknown = (Reason::Unresolvable, "datum: f: the reader schema does not know the enum's symbol".to_owned());
    assert_eq!(evolve(&writer, r#"{"f": "C"}"#, &smaller), Err(unknown));
    let default = symbols(r#"["B", "OTHER"]"#, r#", "default": "OTHER""#);
    assert_eq!(evolve(&writer, r#"{"f": "C"}"#, &default), Ok(record([("f", "OTHER".into())])));
    assert_eq!(evolve(&writer, r#"{"f": "B"}"#, &default), Ok(record([("f", "B".into())])));
    // The default of the field applies if the writer does not have the field, not if the symbol is unknown.
    let decoder = of_datums(&[&writer]);
    for index in [6, 1, 0x80] {
        assert!(matches!(reason(&decoder, &datum(&[index], "s")).0, Reason::MalformedDatum | Reason::Truncated));
    }
}

#[test]
fn recursive_types_evolve_at_every_level() {
    let list = |fields: &str| {
        format!(r#"{{"type": "record", "name": "L", "fields": [{fields}, {{"name": "next", "type": ["null", "L"]}}]}}"#)
    };
    let tree = r#"{"type": "record", "name": "T", "fields": [
        {"name": "left", "type": ["null", "T"]}, {"name": "right", "type": ["null", "T"]}, {"name": "more", "type": {"type": "array", "items": "T"}}]}"#;
    let leaf = r#"{"left": null, "right": null, "more": []}"#;
    assert!(evolve(tree, &format!(r#"{{"left": {leaf}, "right": null, "more": [{leaf}, {leaf}]}}"#), tree).is_ok());
    let writer = list(r#"{"name": "gone", "type": ["null", "L"]}, {"name": "value", "type": "int"}"#);
    let reader = list(r#"{"name": "value", "type": "long"}, {"name": "new", "type": "string", "default": "d"}"#);
    let inner = r#"{"gone": null, "value": 2, "next": null}"#;
    let read = evolve(&writer, &format!(r#"{{"gone": {inner}, "value": 1, "next": {inner}}}"#), &reader);
    let level = |value, next| record([("value", Tree::Long(value)), ("next", next), ("new", "d".into())]);
    assert_eq!(read, Ok(level(1, level(2, Tree::Null))));
}

#[test]
fn everything_that_keeps_a_version_from_being_read_is_reported_together() {
    let writer = record_of(
        r#"{"name": "a", "type": "string"},
           {"name": "b", "type": {"type": "array", "items": {"type": "record", "name": "I", "fields": []}}},
           {"name": "c", "type": {"type": "map", "values": {"type": "fixed", "name": "F", "size": 3}}},
           {"name": "d", "type": ["null", {"type": "enum", "name": "E", "symbols": ["A"]}]},
           {"name": "e", "type": ["null", "int"]}"#,
    );
    let reader = record_of(
        r#"{"name": "a", "type": "int"},
           {"name": "b", "type": {"type": "array", "items": {"type": "record", "name": "I", "fields": [{"name": "x", "type": "int"}]}}},
           {"name": "c", "type": {"type": "map", "values": {"type": "fixed", "name": "F", "size": 4}}},
           {"name": "d", "type": ["null", {"type": "enum", "name": "E", "symbols": ["B"]}]},
           {"name": "e", "type": "string"},
           {"name": "g", "type": "int"}"#,
    );
    let prefix = "subject s: version 1 cannot be read by version 2: ";
    let expected = [
        "a: string cannot be read as int",
        "b[].x: the field is new and has no default",
        "c{}: 3 bytes cannot be read as 4",
        "d: none of the symbols is known and there is no default",
        "e: union of null, int cannot be read as string",
        "g: the field is new and has no default",
    ];
    let error = versions(&[&writer, &reader]).unwrap_err();
    assert_eq!(error.split("; ").collect::<Vec<_>>(), expected.map(|problem| format!("{prefix}{problem}")));
}
