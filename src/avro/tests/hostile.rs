//! Crafted messages cost no more than their own rejection.

use super::*;
use crate::{avro::Limits, record::Interruption};

/// Default stack size of tokio's worker threads, in bytes.
const STACK: usize = 2 << 20;

fn on_a_small_stack<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, run).unwrap().join().unwrap()
    })
}

fn long(value: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    binary::push_long(&mut bytes, value);
    bytes
}

#[test]
fn lengths_and_counts_beyond_the_input_are_known_at_once() {
    let array = |items: &str| format!(r#"{{"type": "array", "items": {items}}}"#);
    let map = r#"{"type": "map", "values": "null"}"#.to_owned();
    let cases = [
        ("\"string\"".to_owned(), Reason::Truncated),
        ("\"bytes\"".to_owned(), Reason::Truncated),
        (array("\"int\""), Reason::Truncated),
        (array("\"null\""), Reason::LimitExceeded),
        (array(r#"{"type": "fixed", "name": "F", "size": 0}"#), Reason::LimitExceeded),
        (array(r#"{"type": "record", "name": "E", "fields": []}"#), Reason::LimitExceeded),
        (map, Reason::Truncated),
    ];
    for (ty, expected) in cases {
        let dropping = of_datums(&[&field_of(&ty), &record_of("")]);
        let reading = of_datums(&[&field_of(&ty)]);
        for count in [1 << 60, 1 << 40, i64::MAX] {
            let body = [&long(count)[..], &[0; 20]].concat();
            assert_eq!(reason(&reading, &datum(&body, "s/1")).0, expected, "{ty} {count}");
            assert_eq!(reason(&dropping, &datum(&body, "s/1")).0, expected, "{ty} {count} dropped");
        }
    }
}

#[test]
fn a_negative_count_needs_a_size_that_fits() {
    let reading = of_datums(&[&field_of(r#"{"type": "array", "items": "null"}"#)]);
    for (body, expected) in [
        ([long(i64::MIN), long(0)].concat(), Reason::LimitExceeded),
        ([long(-1), long(i64::MIN)].concat(), Reason::MalformedDatum),
        ([long(-1), long(i64::MAX)].concat(), Reason::Truncated),
        ([long(-1), long(1), vec![0]].concat(), Reason::MalformedDatum),
        (long(-1), Reason::Truncated),
    ] {
        assert_eq!(reason(&reading, &datum(&body, "s")).0, expected, "{body:?}");
    }
}

#[test]
fn values_are_bounded_to_the_last() {
    let options = Options { limits: Limits { max_values: 100, ..Limits::default() }, ..options(&[WireFormat::Datum]) };
    let schema = field_of(r#"{"type": "array", "items": "null"}"#);
    let reading = versions(&[&schema]).unwrap().compile(options.clone()).unwrap();
    let dropping = versions(&[&schema, &record_of("")]).unwrap().compile(options).unwrap();
    // The record and the array count as values too.
    for (decoder, fits) in [(&reading, 98), (&dropping, 98)] {
        let body = |count| [long(count), vec![0]].concat();
        assert!(read(decoder, &datum(&body(fits), "s/1")).is_ok());
        assert_eq!(reason(decoder, &datum(&body(fits + 1), "s/1")).0, Reason::LimitExceeded);
    }
}

const LIST: &str = r#"{"type": "record", "name": "L", "fields": [{"name": "next", "type": ["null", "L"]}]}"#;

#[test]
fn depth_is_bounded_to_the_level_and_within_a_workers_stack() {
    let deepest = 256;
    let options = Options {
        limits: Limits { max_depth: deepest, ..Limits::default() },
        ..options(&[WireFormat::Datum, WireFormat::Json])
    };
    let decoder = versions(&[LIST]).unwrap().compile(options.clone()).unwrap();
    let dropped = record_of(&format!(r#"{{"name": "gone", "type": {LIST}}}"#));
    let dropping = versions(&[&dropped, &record_of("")]).unwrap().compile(options).unwrap();
    let levels = |count: usize| [vec![2; count - 1], vec![0]].concat();
    on_a_small_stack(|| {
        assert!(read(&decoder, &datum(&levels(deepest), "s")).is_ok());
        let body = levels(deepest + 1);
        let (reason_of, text) = reason(&decoder, &datum(&body, "s"));
        assert_eq!(reason_of, Reason::LimitExceeded);
        assert!(text.ends_with("next: nested deeper than 256 levels"), "{text}");
        assert_eq!(reason(&decoder, &datum(&levels(10_000), "s")).0, Reason::LimitExceeded);
        assert!(read(&dropping, &datum(&levels(deepest - 1), "s/1")).is_ok());
        assert_eq!(reason(&dropping, &datum(&levels(deepest), "s/1")).0, Reason::LimitExceeded);

        let json = |count: usize| format!("{}null{}", r#"{"next":"#.repeat(count), "}".repeat(count));
        assert!(read(&decoder, &json_of(&json(deepest))).is_ok());
        assert_eq!(reason(&decoder, &json_of(&json(deepest + 1))).0, Reason::LimitExceeded);
        assert_eq!(reason(&decoder, &json_of(&json(10_000))).0, Reason::LimitExceeded);
        assert_eq!(reason(&decoder, &json_of(&"[".repeat(1 << 20))).0, Reason::LimitExceeded);
        let tagged = format!("{}null{}", r#"{"next":{"L":"#.repeat(deepest), "}}".repeat(deepest));
        assert!(matches!(reason(&decoder, &json_of(&tagged)).0, Reason::LimitExceeded | Reason::InvalidJson));
    });
}

#[test]
fn a_type_that_contains_itself_without_end_is_too_deep_for_any_datum() {
    let endless = r#"{"type": "record", "name": "L", "fields": [{"name": "l", "type": "L"}]}"#;
    let dropped = record_of(&format!(r#"{{"name": "gone", "type": {endless}}}"#));
    on_a_small_stack(|| {
        assert_eq!(reason(&of_datums(&[endless]), &datum(&[], "s")).0, Reason::LimitExceeded);
        assert_eq!(reason(&of_datums(&[&dropped, &record_of("")]), &datum(&[], "s/1")).0, Reason::LimitExceeded);
    });
}

#[test]
fn a_map_with_a_key_twice_is_rejected_however_many_keys_it_has() {
    let schema = field_of(r#"{"type": "map", "values": {"type": "map", "values": "null"}}"#);
    let decoder = of_datums(&[&schema]);
    let map = |keys: &[String], value: &[u8]| {
        let mut bytes = long(i64::try_from(keys.len()).unwrap());
        for key in keys {
            binary::push_bytes(&mut bytes, key.as_bytes());
            bytes.extend(value);
        }
        bytes.push(0);
        bytes
    };
    let inner = map(&["a".to_owned(), "b".to_owned()], &[]);
    for count in [2, 8, 9, 500] {
        let mut keys: Vec<_> = (0..count).map(|i| format!("key {}", i * 7919 % 1009)).collect();
        assert!(read(&decoder, &datum(&map(&keys, &inner), "s")).is_ok(), "{count}");
        keys[count - 1] = keys[count / 2 - 1].clone();
        let error = (Reason::MalformedDatum, "datum: f: a map has a key twice".to_owned());
        assert_eq!(reason(&decoder, &datum(&map(&keys, &inner), "s")), error, "{count}");
    }
    let twice = map(&["a".to_owned(), "a".to_owned()], &[]);
    let outer = map(&["x".to_owned()], &twice);
    assert_eq!(reason(&decoder, &datum(&outer, "s")).1, "datum: f{0}: a map has a key twice");
    // Two blocks are still one map.
    let blocks = [&[2, 2, b'a', 0][..], &[2, 2, b'a', 0], &[0]].concat();
    assert_eq!(reason(&decoder, &datum(&blocks, "s")).0, Reason::MalformedDatum);
}

#[test]
fn a_containers_schema_costs_no_more_than_its_text() {
    let decoder = decoder(&[("s/1", &record_of(""))], &[WireFormat::Container]);
    let list = |count: usize, one: &dyn Fn(usize) -> String| (0..count).map(one).collect::<Vec<_>>().join(",");
    // A parser that copies the aliases for each field, or the fields for each alias, would allocate gigabytes.
    let aliases = format!(
        r#"{{"type": "record", "name": "R", "aliases": [{}], "fields": [{}]}}"#,
        list(3000, &|i| format!("\"a{i}\"")),
        list(1000, &|i| format!(r#"{{"name": "f{i}", "type": "int"}}"#))
    );
    // At each of 24 levels, the default consists of two records of the level below.
    let mut doubling =
        r#"{"type": "record", "name": "L0", "fields": [{"name": "x", "type": "int", "default": 0}]}"#.to_owned();
    for level in 1..25 {
        doubling = format!(
            r#"{{"type": "record", "name": "L{level}", "fields": [{{"name": "a", "type": {doubling}, "default": {{}}}}, {{"name": "b", "type": "L{}", "default": {{}}}}]}}"#,
            level - 1
        );
    }
    let doubling = record_of(&format!(r#"{{"name": "d", "type": {doubling}, "default": {{}}}}"#));
    // A chain of types, in which each type refers to the one before it.
    let chain = record_of(&list(600, &|i| {
        let before = if i == 0 { "null".to_owned() } else { format!("a{}.N", i - 1) };
        format!(
            r#"{{"name": "f{i}", "type": {{"type": "record", "name": "a{i}.N", "fields": [{{"name": "n", "type": "{before}"}}]}}}}"#
        )
    }));
    let nested = |open: &str, close: &str, count: usize| {
        record_of(&format!(r#"{{"name": "f", "type": {}"int"{}}}"#, open.repeat(count), close.repeat(count)))
    };
    on_a_small_stack(|| {
        for schema in [aliases, doubling, chain] {
            assert!(schema.len() <= Limits::DEFAULT_MAX_SCHEMA_BYTES);
            assert_eq!(read_all(&decoder, &binary(&container(&schema, "null", &[]))), Ok(Vec::new()));
        }
        for schema in [
            nested(r#"{"type":"array","items":"#, "}", 1000),
            nested("[", "]", 10_000),
            nested(r#"{"type":"#, "}", 1000),
        ] {
            let (reason, text) = reason(&decoder, &binary(&container(&schema, "null", &[])));
            assert_eq!(
                (reason, text.as_str()),
                (Reason::InvalidContainer, "container: its schema is not valid: json nested too deep")
            );
        }
    });
}

#[test]
fn a_chain_of_types_of_one_name_is_followed_only_so_deep() {
    let reader = r#"{"type": "record", "name": "R", "fields": [{"name": "n", "type":
        {"type": "record", "name": "N", "fields": [{"name": "n", "type": ["null", "N"]}]}}]}"#;
    let decoder = decoder(&[("s/1", reader)], &[WireFormat::Container]);
    let chain = |count: usize| {
        let types: Vec<_> = (0..count)
            .map(|i| {
                let before = if i == 0 { r#"["null"]"#.to_owned() } else { format!(r#"["null", "a{}.N"]"#, i - 1) };
                format!(r#"{{"name": "f{i}", "type": {{"type": "record", "name": "a{i}.N", "fields": [{{"name": "n", "type": {before}}}]}}}}"#)
            })
            .collect();
        record_of(&format!(r#"{}, {{"name": "n", "type": "a{}.N"}}"#, types.join(","), count - 1))
    };
    on_a_small_stack(|| {
        assert!(read_all(&decoder, &binary(&container(&chain(50), "null", &[]))).is_ok());
        let (reason, text) = reason(&decoder, &binary(&container(&chain(500), "null", &[])));
        assert_eq!(reason, Reason::IncompatibleSchema);
        assert!(text.contains("types are nested too deep"), "{}", text.len());
    });
}

#[test]
fn a_plan_of_too_many_parts_is_refused() {
    let fields: Vec<_> = (0..400).map(|i| format!(r#"{{"name": "d{i}", "type": "int", "default": 0}}"#)).collect();
    let reader = record_of(&format!(
        r#"{{"name": "u", "type": ["null", {{"type": "record", "name": "N", "fields": [{}]}}]}}"#,
        fields.join(",")
    ));
    let branches: Vec<_> =
        (0..500).map(|i| format!(r#"{{"type": "record", "name": "a{i}.N", "fields": []}}"#)).collect();
    let writer = record_of(&format!(r#"{{"name": "u", "type": [{}]}}"#, branches.join(",")));
    let decoder = decoder(&[("s/1", &reader)], &[WireFormat::Container]);
    let (reason, text) = reason(&decoder, &binary(&container(&writer, "null", &[])));
    assert_eq!(reason, Reason::IncompatibleSchema);
    assert!(text.contains("too many fields, branches and symbols") && text.len() < 10_000, "{}", text.len());
}

#[test]
fn json_whose_objects_fit_several_branches_at_every_level_is_read_in_time() {
    let branch = |name: &str| {
        format!(r#"{{"type": "record", "name": "{name}", "fields": [{{"name": "n", "type": ["null", "A", "B"]}}]}}"#)
    };
    let schema = r#"{"type": "record", "name": "A", "fields": [{"name": "n", "type": ["null", "A", B]}]}"#
        .replace('B', &branch("B"));
    let decoder = decoder(&[("s/1", &schema)], &[WireFormat::Json]);
    let nested = |innermost: &str| format!("{}{innermost}{}", r#"{"n":"#.repeat(60), "}".repeat(60));
    assert_eq!(reason(&decoder, &json_of(&nested("1"))).0, Reason::InvalidJson);
    assert!(read(&decoder, &json_of(&nested("null"))).is_ok());
    // Only the last field shows which branch matches, and it comes after the nested value.
    let schema = r#"{"type": "record", "name": "A", "fields": [
        {"name": "n", "type": ["null", "A", {"type": "record", "name": "B", "fields": [
            {"name": "n", "type": ["null", "A", "B"]}, {"name": "x", "type": "string"}]}]},
        {"name": "x", "type": "int"}]}"#;
    let decoder = super::decoder(&[("s/1", schema)], &[WireFormat::Json]);
    let text = format!("{}null{}, \"x\": 1}}", r#"{"n":"#.repeat(50), r#", "x": "b"}"#.repeat(49));
    assert!(read(&decoder, &json_of(&text)).is_ok());
}

#[test]
fn a_default_that_grows_without_end_stops_the_start() {
    let endless = record_of(
        r#"{"name": "l", "type": {"type": "record", "name": "L", "fields": [{"name": "l", "type": "L", "default": {}}]}, "default": {}}"#,
    );
    let error = versions(&[&endless]).unwrap_err();
    assert!(error.contains("nested too deep"), "{error}");
}

#[test]
fn an_error_fits_a_log_whatever_names_a_container_has() {
    let decoder =
        decoder(&[("s/1", &record_of(r#"{"name": "f", "type": "int"}"#))], &[WireFormat::Container, WireFormat::Datum]);
    let long = "x".repeat(10_000);
    for (schema, expected) in [
        (record_of("").replace("\"R\"", &format!("\"{long}\"")), Reason::UnknownSchema),
        (record_of(&format!(r#"{{"name": "{long}", "type": "missing"}}"#)), Reason::InvalidContainer),
        (
            record_of(&format!(r#"{{"name": "f", "type": {{"type": "fixed", "name": "{long}", "size": 1}}}}"#)),
            Reason::IncompatibleSchema,
        ),
    ] {
        let (reason, text) = reason(&decoder, &binary(&container(&schema, "null", &[])));
        assert_eq!(reason, expected);
        assert!(text.len() <= 1_000, "{}", text.len());
    }
    let (_, text) = reason(&decoder, &datum(&[], "a\n\u{1b}[31m\u{7f}"));
    assert_eq!(text, "datum: schema … is not in the directory");
    for (name, shown) in [("s/7", "s/7"), ("s/seven", "…"), ("t/7", "…"), ("R", "R")] {
        assert_eq!(reason(&decoder, &datum(&[], name)).1, format!("datum: schema {shown} is not in the directory"));
    }
    // The schema of a container is also content of the message.
    let schema = record_of(r#"{"name": "a\u001b[31m", "type": "int"}"#);
    let (_, text) = reason(&decoder, &binary(&container(&schema, "null", &[])));
    assert_eq!(text, "container: its schema is not valid: …: \"…\" is not a legal name");
}

#[test]
fn values_beside_one_another_are_not_nested() {
    let record = r#"{"type": "record", "name": "E", "fields": [{"name": "n", "type": "int"}]}"#;
    for (items, item) in [
        (record, "{\"n\": 1}"),
        (r#"{"type": "array", "items": "int"}"#, "[1]"),
        (r#"{"type": "map", "values": "int"}"#, "{\"k\": 1}"),
    ] {
        let schema = field_of(&format!(r#"{{"type": "array", "items": {items}}}"#));
        let json = format!("{{\"f\": [{}]}}", vec![item; 300].join(","));
        let body = write(&schema, &json);
        assert!(read(&of_datums(&[&schema]), &datum(&body, "s")).is_ok(), "{items}");
        assert!(read(&of_datums(&[&schema, &record_of("")]), &datum(&body, "s/1")).is_ok(), "{items} dropped");
        assert!(read(&decoder(&[("s/1", &schema)], &[WireFormat::Json]), &json_of(&json)).is_ok(), "{items} in json");
    }
}

#[test]
fn what_defaults_expand_a_message_to_is_bounded_while_it_grows() {
    let items = |fields: &str| {
        field_of(&format!(r#"{{"type": "array", "items": {{"type": "record", "name": "I", "fields": [{fields}]}}}}"#))
    };
    let default = format!(r#"{{"name": "note", "type": "string", "default": "{}"}}"#, "x".repeat(500));
    let (writer, reader) = (items(""), items(&default));
    let mut data = Vec::new();
    binary::push_long(&mut data, 1_000_000);
    data.push(0);
    let decoder = decoder(&[("s/1", &writer), ("s/2", &reader)], &[WireFormat::Container]);
    let (found, message) = reason(&decoder, &binary(&container(&writer, "null", &[(1, &data)])));
    assert_eq!(found, Reason::LimitExceeded);
    assert!(message.contains("more than 16777216 bytes"), "{message}");
}

#[test]
fn an_interruption_ends_a_message_at_once_and_is_no_rejection() {
    let schema = record_of(r#"{"name": "id", "type": "int"}"#);
    let decoder = decoder(&[("s/1", &schema)], &[WireFormat::Container, WireFormat::Datum]);
    let body = container(&schema, "null", &[(3, &[2, 4, 6])]);
    let mut records = Records::default();
    records.interrupt = Some((2, Interruption::Deadline));
    let decoded = decoder.decode(&datum(&body, "s"), &mut Scratch::default(), &mut records);
    assert_eq!(decoded, Err(Undecoded::Interrupted(Interruption::Deadline)));
    // No other wire format was tried, which would have started the message again.
    assert_eq!(records.finished.len(), 2);
}
