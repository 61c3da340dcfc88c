//! Resolution of unions that differ between the writer's and the reader's schema.

use super::{tree::record, *};

#[test]
fn a_union_is_resolved_by_the_branch_that_was_written() {
    let union = |writer: &str, json: &str, reader: &str| {
        evolve(&field_of(writer), &format!("{{\"f\": {json}}}"), &field_of(reader))
            .map(|tree| if let Tree::Record(mut fields) = tree { fields.remove(0).1 } else { panic!("no record") })
            .map_err(|(reason, _)| reason)
    };
    let unknown = Err(Reason::Unresolvable);
    // Both types are unions.
    assert_eq!(union(r#"["null", "int"]"#, "1", r#"["long", "null"]"#), Ok(Tree::Long(1)));
    assert_eq!(union(r#"["null", "int"]"#, "null", r#"["long", "null"]"#), Ok(Tree::Null));
    assert_eq!(union(r#"["null", "int"]"#, "null", r#"["int", "string"]"#), unknown);
    assert_eq!(union(r#"["string", "int"]"#, "1", r#"["string", "null"]"#), unknown);
    // Only the writer's type is a union.
    assert_eq!(union(r#"["null", "int"]"#, "1", "\"long\""), Ok(Tree::Long(1)));
    assert_eq!(union(r#"["null", "int"]"#, "null", "\"long\""), unknown);
    assert_eq!(union(r#"["int"]"#, "1", "\"int\""), Ok(Tree::Long(1)));
    // Only the reader's type is a union.
    assert_eq!(union("\"int\"", "1", r#"["null", "double"]"#), Ok(Tree::Double(1.0)));
    assert_eq!(union("\"null\"", "null", r#"["int", "null"]"#), Ok(Tree::Null));
}

/// By the specification, "the first schema in the reader's union that matches" is used. Then a promotion could have
/// priority over the type itself, and a union could not even read its own data. The reference implementation prefers
/// the type itself.
#[test]
fn a_branch_of_the_same_type_goes_before_one_that_promotes() {
    let bytes = r#"["string", "bytes"]"#;
    let read = evolve(&field_of(bytes), r#"{"f": {"bytes": "/w=="}}"#, &field_of(bytes));
    assert_eq!(read, Ok(record([("f", Tree::Bytes(vec![255]))])));
    let read = evolve(&field_of("\"int\""), r#"{"f": 16777217}"#, &field_of(r#"["float", "int"]"#));
    assert_eq!(read, Ok(record([("f", Tree::Long(16_777_217))])));
    let read = evolve(&field_of("\"int\""), r#"{"f": 16777217}"#, &field_of(r#"["string", "double", "float"]"#));
    assert_eq!(read, Ok(record([("f", Tree::Double(16_777_217.0))])));
    let two = |first: &str, second: &str| {
        let record = |space: &str, field: &str| {
            format!(
                r#"{{"type": "record", "name": "{space}.N", "fields": [{{"name": "{field}", "type": "int", "default": 0}}]}}"#
            )
        };
        field_of(&format!("[{}, {}]", record(first, first), record(second, second)))
    };
    let read = evolve(&two("a", "b"), r#"{"f": {"b.N": {"b": 5}}}"#, &two("b", "a"));
    assert_eq!(read, Ok(record([("f", record([("b", Tree::Long(5))]))])));
}

#[test]
fn a_branch_of_the_name_itself_goes_before_one_that_had_it_once() {
    let record = |name: &str, alias: &str, field: &str| {
        format!(
            r#"{{"type": "record", "name": "{name}", "aliases": ["{alias}"], "fields": [{{"name": "{field}", "type": "int", "default": 0}}]}}"#
        )
    };
    let union = field_of(&format!("[{}, {}]", record("New", "Old", "n"), record("Old", "Older", "o")));
    let read = evolve(&union, r#"{"f": {"o": 5}}"#, &union);
    assert_eq!(read, Ok(tree::record([("f", tree::record([("o", Tree::Long(5))]))])));
    let older = field_of(&format!("[{}]", record("Older", "_", "o")));
    let read = evolve(&older, r#"{"f": {"o": 5}}"#, &union);
    assert_eq!(read, Ok(tree::record([("f", tree::record([("o", Tree::Long(5))]))])));
    let one = |ty: &str| field_of(&format!("[{ty}]"));
    let error = versions(&[&one("\"int\""), &one(r#"{"type": "enum", "name": "E", "symbols": ["A"]}"#)]).unwrap_err();
    assert!(error.ends_with("f: union of int cannot be read as union"), "{error}");
    let symbols = |symbol: &str| one(&format!(r#"{{"type": "enum", "name": "E", "symbols": ["{symbol}"]}}"#));
    let error = versions(&[&symbols("A"), &symbols("B")]).unwrap_err();
    assert!(error.ends_with("2: f: none of the symbols is known and there is no default"), "{error}");
}

#[test]
fn a_union_that_cannot_be_read_but_for_null_stops_the_start() {
    let decimal = |precision: u32| {
        format!(r#"{{"type": "bytes", "logicalType": "decimal", "precision": {precision}, "scale": 2}}"#)
    };
    let fixed = |size: u32| format!(r#"{{"type": "fixed", "name": "F", "size": {size}}}"#);
    let optional = |ty: &str| field_of(&format!(r#"["null", {ty}]"#));
    for (writer, reader, problem) in [
        (optional(&decimal(5)), optional(&decimal(6)), "decimals match only if precision and scale are the same"),
        (optional(&fixed(3)), optional(&fixed(4)), "3 bytes cannot be read as 4"),
        (optional("\"int\""), optional("\"string\""), "no branch of the union can take int"),
        (
            field_of(&format!(r#"["string", {}]"#, decimal(5))),
            field_of(&format!(r#"["string", {}]"#, decimal(6))),
            "decimals match only if precision and scale are the same",
        ),
        (
            field_of(&format!(r#"["int", {}]"#, fixed(3))),
            field_of(&format!(r#"[{}, "int"]"#, fixed(2))),
            "3 bytes cannot be read as 2",
        ),
    ] {
        let error = versions(&[&writer, &reader]).unwrap_err();
        assert_eq!(error, format!("subject s: version 1 cannot be read by version 2: f: {problem}"));
    }
}

#[test]
fn a_branch_that_cannot_be_read_rejects_the_messages_that_use_it_and_no_others() {
    let union = |b: &str| {
        field_of(&format!(
            r#"["null", {{"type": "record", "name": "A", "fields": [{{"name": "x", "type": "int"}}]}},
                {{"type": "record", "name": "B", "fields": [{{"name": "y", "type": {b}}}, {{"name": "next", "type": ["null", "B"]}}]}}]"#
        ))
    };
    let (writer, reader) = (union("\"int\""), union("\"string\""));
    let a = record([("f", record([("x", Tree::Long(1))]))]);
    assert_eq!(evolve(&writer, r#"{"f": {"x": 1}}"#, &reader), Ok(a));
    assert_eq!(evolve(&writer, r#"{"f": null}"#, &reader), Ok(record([("f", Tree::Null)])));
    let b = evolve(&writer, r#"{"f": {"y": 1, "next": null}}"#, &reader);
    assert_eq!(b.map_err(|(reason, _)| reason), Err(Reason::Unresolvable));
    // The record is also used in another field, where it must be readable.
    let later = |text: &str| {
        format!(
            "{}, {{\"name\": \"b\", \"type\": {{\"type\": \"array\", \"items\": \"B\"}}}}]}}",
            text.strip_suffix("]}").unwrap()
        )
    };
    let error = versions(&[&later(&writer), &later(&reader)]).unwrap_err();
    assert!(error.contains("version 2: b[]: record B cannot be read: f.y: int cannot be read as string"), "{error}");
}

/// The schema of a container is not in the directory, so it cannot be rejected at startup.
#[test]
fn a_container_that_does_not_use_an_unreadable_branch_is_read() {
    let decimal = |precision: u32| {
        field_of(&format!(
            r#"["null", {{"type": "bytes", "logicalType": "decimal", "precision": {precision}, "scale": 2}}]"#
        ))
    };
    let decoder = decoder(&[("s/1", &decimal(5))], &[WireFormat::Container]);
    let container_of = |datum: &[u8]| container(&decimal(6), "null", &[(1, datum)]);
    assert_eq!(read(&decoder, &binary(&container_of(&[0]))), Ok(record([("f", Tree::Null)])));
    let detail = "container: f: decimals match only if precision and scale are the same".to_owned();
    assert_eq!(reason(&decoder, &binary(&container_of(&[2, 2, 1]))), (Reason::IncompatibleSchema, detail));
    let alone = decimal(6).replace("[\"null\", ", "[");
    assert_eq!(reason(&decoder, &binary(&container(&alone, "null", &[]))).0, Reason::IncompatibleSchema);
}
