//! Resolution of different logical types in the writer's and the reader's schema.

use super::{tree::record, *};

/// The specification requires this for decimals only. apache-avro 0.22 reads a decimal as any other decimal of at least
/// its size.
#[test]
fn decimals_of_another_precision_or_scale_stop_the_start() {
    let decimal = |precision: u32, scale: u32| {
        field_of(&format!(
            r#"{{"type": "bytes", "logicalType": "decimal", "precision": {precision}, "scale": {scale}}}"#
        ))
    };
    let bytes = field_of("\"bytes\"");
    for other in [decimal(5, 3), decimal(6, 2)] {
        let error = versions(&[&decimal(5, 2), &other]).unwrap_err();
        assert!(error.ends_with("f: decimals match only if precision and scale are the same"), "{error}");
    }
    // If only one of the two is a decimal, the underlying types match, and the reader's type determines the meaning of
    // the bytes.
    let body = r#"{"f": "AQ=="}"#;
    assert_eq!(evolve(&bytes, body, &decimal(5, 2)), Ok(record([("f", Tree::Decimal(vec![1], 2))])));
    assert_eq!(evolve(&decimal(5, 2), r#"{"f": 0.01}"#, &bytes), Ok(record([("f", Tree::Bytes(vec![1]))])));
}

#[test]
fn fixed_of_another_logical_type_stop_the_start() {
    let fixed = |size: u32, logical: &str| {
        field_of(&format!(
            r#"{{"type": "fixed", "name": "F", "size": {size}, "logicalType": "{logical}", "precision": 5}}"#
        ))
    };
    for (size, writer, reader) in
        [(16, "uuid", "decimal"), (16, "decimal", "uuid"), (12, "duration", "decimal"), (12, "decimal", "duration")]
    {
        let error = versions(&[&fixed(size, writer), &fixed(size, reader)]).unwrap_err();
        assert!(error.contains(&format!("f: {writer} cannot be read as {reader}")), "{error}");
        for (writer, reader) in [(writer, "none"), ("none", reader), (writer, writer)] {
            assert!(versions(&[&fixed(size, writer), &fixed(size, reader)]).is_ok(), "{writer} {reader}");
        }
    }
    // A uuid stored as sixteen bytes cannot be read from a uuid stored as a string.
    assert!(versions(&[&field_of(r#"{"type": "string", "logicalType": "uuid"}"#), &fixed(16, "uuid")]).is_err());
}

#[test]
fn a_decimal_is_never_text_nor_text_a_decimal() {
    let decimal = r#"{"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2}"#;
    let fixed = r#"{"type": "fixed", "name": "D", "size": 4, "logicalType": "decimal", "precision": 5, "scale": 2}"#;
    let optional = |ty: &str| format!(r#"["null", {ty}]"#);
    let plain = |ty: &str| ty.to_owned();
    let within: [fn(&str) -> String; 4] = [
        str::to_owned,
        |ty| format!(r#"{{"type": "array", "items": {ty}}}"#),
        |ty| format!(r#"{{"type": "map", "values": {ty}}}"#),
        |ty| format!(r#"{{"type": "record", "name": "I", "fields": [{{"name": "g", "type": {ty}}}]}}"#),
    ];
    for number in [decimal, fixed] {
        for (writer, reader) in [(number, "\"string\""), ("\"string\"", number)] {
            for (writer, reader) in [
                (plain(writer), plain(reader)),
                (optional(writer), plain(reader)),
                (plain(writer), optional(reader)),
                (optional(writer), optional(reader)),
            ] {
                for within in &within {
                    let read = versions(&[&field_of(&within(&writer)), &field_of(&within(&reader))]);
                    assert!(read.unwrap_err().starts_with("subject s: version 1 cannot be read"), "{writer} {reader}");
                }
            }
        }
    }
    // Each branch of a union of a string and a decimal is read as its own type.
    let both = field_of(&format!(r#"["string", {decimal}]"#));
    assert_eq!(evolve(&both, r#"{"f": "12.34"}"#, &both), Ok(record([("f", "12.34".into())])));
    let read = evolve(&field_of("\"string\""), r#"{"f": "12.34"}"#, &field_of(&format!(r#"[{decimal}, "string"]"#)));
    assert_eq!(read, Ok(record([("f", "12.34".into())])));
}
