//! Problems of a schema directory, and the properties of its subjects.

use super::{tree::record, *};
use crate::avro::SchemaVersion;
use crate::record::{FieldKind, Quantity, Unit};

fn errors(files: &[(&str, &str)]) -> Vec<String> {
    parse(files).unwrap_err().split("; ").map(str::to_owned).collect()
}

fn compile_errors(files: &[(&str, &str)], formats: &[WireFormat]) -> String {
    parse(files).unwrap().compile(options(formats)).unwrap_err().to_string()
}

#[test]
fn every_problem_of_every_file_is_reported_together() {
    let good = record_of(r#"{"name": "f", "type": "int"}"#);
    let ids = |ids: &str| good.replacen('{', &format!(r#"{{"schemaIds": {ids}, "#), 1);
    let files = [
        ("a/0", good.as_str()),
        ("a/01", &good),
        ("a/latest", &good),
        ("b/1", "{"),
        ("c/1", "\"string\""),
        ("d/1", &ids("[\"x\"]")),
        ("e/1", &ids("7")),
        ("f/1", &record_of(r#"{"name": "f", "type": "int", "default": "x"}"#)),
        ("g/1", &record_of(r#"{"name": "f", "type": "Missing"}"#)),
    ];
    let version = "the version in the file's name is not a positive integer, such as 1.avsc";
    assert_eq!(
        errors(&files),
        [
            &format!("a/0.avsc: {version}"),
            &format!("a/01.avsc: {version}"),
            &format!("a/latest.avsc: {version}"),
            "b/1.avsc: not json at line 1, column 2",
            "c/1.avsc: the schema is not a record",
            "d/1.avsc: schemaIds is not a list of four-byte integers and uuids",
            "e/1.avsc: schemaIds is not a list of four-byte integers and uuids",
            "g/1.avsc: f: type \"Missing\" is not defined",
            "f/1.avsc: the default of R.f does not fit: not the json of a value of type int",
        ]
    );
    assert_eq!(errors(&[]), ["there is no schema"]);
}

#[test]
fn a_version_that_is_there_twice_is_an_error() {
    let schema = record_of("");
    let error = Schemas::parse(vec![file("a/1", &schema), SchemaFile { path: "other".into(), ..file("a/1", &schema) }]);
    assert_eq!(error.unwrap_err().to_string(), "a/1.avsc and other are the same version");
}

#[test]
fn versions_are_ordered_as_numbers() {
    let texts: Vec<_> =
        [9, 10, 2].map(|n| (n, record_of(&format!(r#"{{"name": "f{n}", "type": "int", "default": 0}}"#)))).into();
    let names: Vec<_> = texts.iter().map(|(n, _)| format!("s/{n}")).collect();
    let files: Vec<_> = names.iter().map(String::as_str).zip(texts.iter().map(|(_, text)| text.as_str())).collect();
    let schemas = parse(&files).unwrap();
    let subject = schemas.subjects().next().unwrap();
    assert_eq!(subject.versions().map(SchemaVersion::number).collect::<Vec<_>>(), [2, 9, 10]);
    assert_eq!((subject.newest().number(), subject.fields().collect::<Vec<_>>()), (10, vec!["f10"]));
    assert_eq!(subject.version(9).unwrap().path(), "s/9.avsc");
    assert!(subject.version(3).is_none());
}

#[test]
fn a_broken_file_hides_no_problem_of_other_subjects_and_makes_none_up() {
    let int = field_of("\"int\"");
    let text = field_of("\"string\"");
    let incompatible = |subject: &str| {
        format!("subject {subject}: version 1 cannot be read by version 2: f: int cannot be read as string")
    };
    let broken = |version: &str| format!("{version}.avsc: not json at line 1, column 2");
    let found = errors(&[("a/1", &int), ("a/2", &text), ("b/1", &int), ("b/2", &text), ("b/3", "{")]);
    assert_eq!(found, [broken("b/3"), incompatible("a")], "b is not checked, because its newest version is invalid");
    let found = errors(&[("a/1", &int), ("a/2", &text), ("a/x", "{")]);
    assert_eq!(found.len(), 2);
}

#[test]
fn what_a_message_could_not_tell_apart_stops_the_start() {
    let one = field_of("\"int\"");
    let same = one.replace("\"name\": \"f\"", "\"name\": \"f\", \"doc\": \"x\"");
    let single = compile_errors(&[("a/1", &one), ("b/1", &same)], &[WireFormat::SingleObject]);
    assert!(single.starts_with("subjects a and b have the same fingerprint "), "{single}");
    let container = compile_errors(&[("a/1", &one), ("b/1", &field_of("\"long\""))], &[WireFormat::Container]);
    assert!(container.starts_with("subjects a and b have the same record name R"), "{container}");
    let aliased = |name: &str| format!(r#"{{"type": "record", "name": "{name}", "aliases": ["Old"], "fields": []}}"#);
    let container = compile_errors(&[("a/1", &aliased("A")), ("b/1", &aliased("B"))], &[WireFormat::Container]);
    assert!(container.starts_with("subjects a and b have the same record name Old"), "{container}");
    // A message that names its schema is not ambiguous.
    assert!(parse(&[("a/1", &one), ("b/1", &same)]).unwrap().compile(options(&[WireFormat::Datum])).is_ok());

    let with_id = |name: &str| format!(r#"{{"type": "record", "name": "{name}", "schemaIds": [7], "fields": []}}"#);
    let ids = compile_errors(&[("a/1", &with_id("A")), ("b/1", &with_id("B"))], &[]);
    assert_eq!(ids, "schema id 7 is both that of a/1.avsc and of b/1.avsc");
}

#[test]
fn a_default_schema_that_is_not_there_stops_the_start() {
    for name in ["x", "a/2", "a/", ""] {
        let options = Options { default_schema: Some(name.to_owned()), ..options(&[WireFormat::Datum]) };
        let error = parse(&[("a/1", &record_of(""))]).unwrap().compile(options).unwrap_err();
        assert_eq!(error.to_string(), format!("the default schema {name} is not in the directory"));
    }
}

#[test]
fn a_subject_tells_what_its_fields_hold() {
    let fixed = |name: &str, size: u32, logical: &str| {
        format!(r#"{{"type": "fixed", "name": "{name}", "size": {size}, "logicalType": "{logical}", "precision": 4}}"#)
    };
    let logical =
        |ty: &str, logical: &str| format!(r#"{{"type": "{ty}", "logicalType": "{logical}", "precision": 4}}"#);
    let number = || FieldKind::Number(Quantity::Plain);
    let time_of_day = FieldKind::Number(Quantity::TimeOfDay);
    let timestamp = |unit| FieldKind::Number(Quantity::Timestamp(unit));
    let kinds = [
        ("\"string\"".to_owned(), FieldKind::Text),
        (r#"["null", "string"]"#.to_owned(), FieldKind::Text),
        (r#"["string", "null"]"#.to_owned(), FieldKind::Text),
        (r#"{"type": "enum", "name": "E", "symbols": ["A"]}"#.to_owned(), FieldKind::Text),
        (logical("string", "uuid"), FieldKind::Text),
        (logical("int", "date"), FieldKind::Text),
        (fixed("U", 16, "uuid"), FieldKind::Text),
        (fixed("V", 15, "uuid"), FieldKind::Binary),
        ("\"bytes\"".to_owned(), FieldKind::Binary),
        (fixed("F", 12, "duration"), FieldKind::Binary),
        (logical("bytes", "decimal"), number()),
        (fixed("D", 4, "decimal"), number()),
        (fixed("N", 1, "decimal"), FieldKind::Binary),
        ("\"int\"".to_owned(), number()),
        ("\"float\"".to_owned(), number()),
        ("\"double\"".to_owned(), number()),
        ("\"long\"".to_owned(), number()),
        (logical("int", "time-millis"), time_of_day),
        (logical("long", "time-micros"), time_of_day),
        (logical("long", "timestamp-millis"), timestamp(Unit::Milliseconds)),
        (logical("long", "timestamp-micros"), timestamp(Unit::Microseconds)),
        (logical("long", "timestamp-nanos"), timestamp(Unit::Nanoseconds)),
        (logical("long", "local-timestamp-millis"), timestamp(Unit::Milliseconds)),
        (logical("long", "local-timestamp-micros"), timestamp(Unit::Microseconds)),
        (logical("long", "local-timestamp-nanos"), timestamp(Unit::Nanoseconds)),
        (logical("string", "date"), FieldKind::Text),
        (logical("long", "date"), number()),
        ("\"boolean\"".to_owned(), FieldKind::Other),
        ("\"null\"".to_owned(), FieldKind::Other),
        (r#"["null", "string", "int"]"#.to_owned(), FieldKind::Other),
        (r#"{"type": "array", "items": "int"}"#.to_owned(), FieldKind::Other),
        (r#"{"type": "record", "name": "N", "fields": []}"#.to_owned(), FieldKind::Other),
    ];
    for (ty, kind) in kinds {
        let schemas = parse(&[("s/1", &field_of(&ty))]).unwrap();
        assert_eq!(schemas.subjects().next().unwrap().field("f"), Ok(kind), "{ty}");
    }
}

#[test]
fn a_subject_has_its_own_property_and_ids() {
    let schema = record_of("").replacen('{', r#"{"dynamodb": {"table": "t", "n": 1.5}, "schemaIds": [7], "#, 1);
    let schemas = parse(&[("s/1", &format!("\u{feff}{schema}")), ("s/2", &record_of(""))]).unwrap();
    let subject = schemas.subjects().next().unwrap();
    assert_eq!(subject.dynamodb(), None, "only the newest version's property has an effect");
    assert_eq!(subject.version(1).unwrap().ids().len(), 1);
    let schemas = parse(&[("s/1", &schema)]).unwrap();
    let subject = schemas.subjects().next().unwrap();
    assert_eq!(subject.dynamodb().unwrap()["table"], "t");
    assert_eq!((subject.name(), subject.id().0), ("s", 0));
    let twice = schema.replacen('{', r#"{"dynamodb": {"table": "t", "n": 1.5}, "#, 1);
    let schemas = parse(&[("s/1", &twice)]).unwrap();
    assert_eq!(
        schemas.subjects().next().unwrap().dynamodb().unwrap()["table"],
        "t",
        "repeated alike, it is there once"
    );
}

#[test]
fn an_invalid_schema_is_rejected_with_the_place() {
    let named = |kind: &str, more: &str| field_of(&format!(r#"{{"type": "{kind}", "name": "N"{more}}}"#));
    for (schema, error) in [
        (field_of("1"), "f: neither a type name, nor an object with a type, nor a union"),
        (field_of("{}"), "f: attribute \"type\" is missing or of the wrong kind"),
        (field_of(r#"["int", ["null"]]"#), "f[1]: a union stands directly in a union"),
        (field_of(r#"["int", {"type": "int", "logicalType": "date"}]"#), "f[1]: \"int\" occurs twice"),
        (field_of(r#"{"type": "array"}"#), "f: attribute \"items\" is missing or of the wrong kind"),
        (field_of(r#"{"type": "map", "values": "x"}"#), "f.values: type \"x\" is not defined"),
        (named("enum", r#", "symbols": ["A", "A"]"#), "f: \"A\" occurs twice"),
        (named("enum", r#", "symbols": ["A-B"]"#), "f: \"A-B\" is not a legal name"),
        (named("enum", r#", "symbols": ["A"], "default": "B""#), "f: default \"B\" is not one of the symbols"),
        (named("enum", r#", "symbols": "A""#), "f: attribute \"symbols\" is missing or of the wrong kind"),
        (named("fixed", r#", "size": -1"#), "f: attribute \"size\" is missing or of the wrong kind"),
        (named("fixed", r#", "size": 2147483648"#), "f: attribute \"size\" is missing or of the wrong kind"),
        (named("record", ""), "f: attribute \"fields\" is missing or of the wrong kind"),
        (
            named("record", r#", "fields": [{"type": "int"}]"#),
            "f[0]: attribute \"name\" is missing or of the wrong kind",
        ),
        (named("record", r#", "fields": [], "namespace": "a\tb""#), "f: \"a\tb.N\" is not a legal name"),
        (record_of(r#"{"name": "f", "type": "int"}, {"name": "f", "type": "int"}"#), "\"f\" occurs twice"),
        (record_of(r#"{"name": "1", "type": "int"}"#), "1: \"1\" is not a legal name"),
        (field_of(r#"{"type": "fixed", "name": "R", "size": 1}"#), "f: \"R\" occurs twice"),
        (field_of(r#"{"type": "fixed", "name": "string", "size": 1}"#), "f: \"string\" is not a legal name"),
    ] {
        assert_eq!(errors(&[("s/1", &schema)]), [format!("s/1.avsc: {error}")], "{schema}");
    }
}

/// Kafka Connect, Debezium and Java reflection write such namespaces.
#[test]
fn types_in_any_namespace_are_found_by_their_short_and_their_full_names() {
    for namespace in ["fleet-db-7.trips", "com.acme.Depot$", "v1.2024.trips", "server.db.my table", "a..b"] {
        let schema = format!(
            r#"{{"type": "record", "name": "R", "namespace": "{namespace}", "schemaIds": [5], "fields": [
                {{"name": "a", "type": ["null", {{"type": "record", "name": "P", "fields": [{{"name": "x", "type": "int"}}]}}]}},
                {{"name": "b", "type": "P"}}, {{"name": "c", "type": ["null", "{namespace}.P"]}}]}}"#
        );
        let formats = [WireFormat::SingleObject, WireFormat::Confluent, WireFormat::Container];
        let decoder = decoder(&[("s/1", &schema)], &formats);
        let fingerprint = decoder.subjects().next().unwrap().newest().fingerprint();
        let body =
            write(&schema, &format!(r#"{{"a": {{"{namespace}.P": {{"x": 1}}}}, "b": {{"x": 2}}, "c": {{"x": 3}}}}"#));
        let x = |value| record([("x", Tree::Long(value))]);
        let expected = record([("a", x(1)), ("b", x(2)), ("c", x(3))]);
        let framed = [&[0xC3, 1][..], &fingerprint.to_le_bytes(), &body].concat();
        assert_eq!(read(&decoder, &binary(&framed)), Ok(expected.clone()), "{namespace}");
        let framed = [&[0, 0, 0, 0, 5][..], &body].concat();
        assert_eq!(read(&decoder, &binary(&framed)), Ok(expected.clone()), "{namespace}");
        assert_eq!(read(&decoder, &binary(&container(&schema, "null", &[(1, &body)]))), Ok(expected), "{namespace}");
    }
}

#[test]
fn names_are_looked_for_in_the_namespace_around_them() {
    let schema = r#"{"type": "record", "name": "a.b.R", "fields": [
        {"name": "one", "type": {"type": "fixed", "name": "F", "size": 1}},
        {"name": "two", "type": "F"},
        {"name": "three", "type": "a.b.F"},
        {"name": "four", "type": {"type": "enum", "name": "c.E", "namespace": "ignored", "symbols": ["A"]}},
        {"name": "five", "type": ["null", "c.E", "R"]},
        {"name": "six", "type": {"type": "record", "name": "N", "namespace": "", "fields": []}},
        {"name": "seven", "type": {"type": "N"}}]}"#;
    let oracle = apache_avro::Schema::parse_str(&schema.replace(r#"{"type": "N"}"#, "\"null\"")).unwrap();
    let ours = Schema::parse(&schema.replace(r#"{"type": "N"}"#, "\"null\"")).unwrap();
    assert_eq!(ours.canonical_form(), oracle.canonical_form());
    // The name of a kind is also a valid name of a type.
    let map = r#"["null", {"type": "map", "values": "int"}, {"type": "record", "name": "map", "fields": []}]"#;
    assert!(Schema::parse(&field_of(map)).is_ok());
    // Java writes a reference to a type without a namespace in this way, within a type that has one.
    assert!(Schema::parse(schema).is_ok());
}

#[test]
fn what_other_implementations_take_for_a_schema_is_one() {
    let error = r#"{"type": "error", "name": "E", "fields": [{"name": "message", "type": "string"}]}"#;
    let schema = Schema::parse(error).unwrap();
    assert_eq!(
        schema.canonical_form(),
        r#"{"name":"E","type":"record","fields":[{"name":"message","type":"string"}]}"#
    );
    assert!(Schema::parse(r#"{"type": "enum", "name": "E", "symbols": ["A"], "default": null}"#).is_ok());
    assert!(Schema::parse(r#"{"type": "enum", "name": "E", "symbols": ["A"], "default": 1}"#).is_err());
    let leading =
        r#"{"type": "record", "name": ".R", "namespace": "a", "fields": [{"name": "n", "type": ["null", ".R"]}]}"#;
    let bare = r#"{"name":"R","type":"record","fields":[{"name":"n","type":["null","R"]}]}"#;
    assert_eq!(Schema::parse(leading).unwrap().canonical_form(), bare);
    let other_script =
        record_of(r#"{"name": "größe", "type": {"type": "enum", "name": "Farbe", "symbols": ["weiß", "赤"]}}"#);
    assert_eq!(evolve_same(&other_script, r#"{"größe": "赤"}"#), record([("größe", "赤".into())]));
}

fn evolve_same(schema: &str, json: &str) -> Tree {
    evolve(schema, json, schema).unwrap()
}

#[test]
fn a_type_may_be_used_before_it_is_defined() {
    let item = r#"{"type": "record", "name": "Item", "fields": [{"name": "n", "type": ["null", "Item"]}]}"#;
    let fields = |first: &str, second: &str| {
        format!(
            r#"{{"type": "record", "name": "R", "namespace": "a.b", "fields": [{{"name": "x", "type": {first}}}, {{"name": "y", "type": {second}}}]}}"#
        )
    };
    let forward = fields(r#"{"type": "array", "items": "Item"}"#, item);
    let backward = fields(&format!(r#"{{"type": "array", "items": {item}}}"#), "\"Item\"");
    let parse = |text: &str| Schema::parse(text).unwrap();
    assert_eq!(parse(&forward).fingerprint(), parse(&backward).fingerprint());
    let node = || record([("n", Tree::Null)]);
    let tree = record([("x", Tree::Array(vec![node()])), ("y", node())]);
    assert_eq!(evolve(&forward, r#"{"x": [{"n": null}], "y": {"n": null}}"#, &backward), Ok(tree));

    let in_union = fields(r#"["Item", "a.b.Item"]"#, item);
    assert!(Schema::parse(&in_union).unwrap_err().to_string().contains("\"a.b.Item\" occurs twice"));
    for missing in [
        fields("\"Other\"", item),
        fields("\"a.c.Item\"", item),
        fields("\"Item\"", r#"{"type": "int", "items": {"type": "fixed", "name": "Item", "size": 1}}"#),
    ] {
        assert!(Schema::parse(&missing).unwrap_err().to_string().ends_with("is not defined"));
    }
}
