use super::{tree::record, *};

#[test]
fn a_single_object_is_read_by_its_fingerprint() {
    let schemas = parse(&[("order/1", ORDER)]).unwrap();
    let fingerprint = schemas.subjects().next().unwrap().newest().fingerprint();
    let decoder = schemas.compile(options(&[WireFormat::SingleObject])).unwrap();
    let order = write(ORDER, ORDER_JSON);
    let body = [&[0xC3, 0x01][..], &fingerprint.to_le_bytes(), &order].concat();
    assert_eq!(read(&decoder, &binary(&body)), Ok(order_tree()));
    let unknown = [&[0xC3, 0x01][..], &7_u64.to_le_bytes(), &order].concat();
    assert_eq!(
        reason(&decoder, &binary(&unknown)),
        (Reason::UnknownSchema, "single-object: schema 0000000000000007 is not in the directory".to_owned())
    );
}

/// The message that the Avro project provides to test implementations.
#[test]
fn the_avro_projects_single_object_is_read() {
    let schema = r#"{"type": "record", "namespace": "org.apache.avro", "name": "TestMessage", "fields": [
        {"name": "id", "type": "long"}, {"name": "name", "type": "string"},
        {"name": "tags", "type": {"type": "array", "items": "string"}}]}"#;
    let header = [0xC3, 0x01, 0xA9, 0x2D, 0xE1, 0xF8, 0xA2, 0x42, 0xF5, 0x3D];
    let body = [&header[..], b"\x54\x08Bill\x04\x12dog_lover\x12cat_hater\x00"].concat();
    let tags = Tree::Array(vec!["dog_lover".into(), "cat_hater".into()]);
    let tree = record([("id", Tree::Long(42)), ("name", "Bill".into()), ("tags", tags)]);
    assert_eq!(read(&decoder(&[("m/1", schema)], &[WireFormat::SingleObject]), &binary(&body)), Ok(tree));
}

#[test]
fn a_datum_cut_at_any_byte_is_rejected() {
    let decoder = of_datums(&[ORDER]);
    let body = write(ORDER, ORDER_JSON);
    assert_eq!(read(&decoder, &datum(&body, "s")), Ok(order_tree()));
    for len in 0..body.len() {
        assert_eq!(reason(&decoder, &datum(&body[..len], "s")).0, Reason::Truncated, "{len}");
    }
    let longer = [&body[..], &[0]].concat();
    assert_eq!(reason(&decoder, &datum(&longer, "s")).0, Reason::TrailingBytes);
}

#[test]
fn an_error_names_the_path_of_the_field() {
    let decoder = of_datums(&[ORDER]);
    let body = write(ORDER, ORDER_JSON);
    let cut = |bytes: usize| reason(&decoder, &datum(&body[..body.len() - bytes], "s")).1;
    assert_eq!(cut(7), "datum: total_amount: the datum ends before the value does");
    assert_eq!(cut(16), "datum: items[1].price: the datum ends before the value does");
}

/// Decodes one message for each reason code of the decoder.
#[test]
fn every_reason_of_decoding_has_a_message_that_meets_it() {
    let schema = record_of(r#"{"name": "e", "type": ["null", "boolean"]}"#).replacen('{', r#"{"schemaIds": [7], "#, 1);
    let newest = record_of(r#"{"name": "e", "type": "boolean"}"#);
    let formats: Vec<_> = WireFormat::ALL.iter().copied().filter(|format| *format != WireFormat::Datum).collect();
    let decoder = decoder(&[("s/1", &schema), ("s/2", &newest)], &formats);
    let unreadable = container(&record_of(r#"{"name": "e", "type": "int"}"#), "null", &[]);
    let mut deep = "{\"e\":".repeat(200);
    deep.push('1');
    let cases = [
        (Reason::UnrecognizedFormat, binary(&[])),
        (Reason::InvalidHeader, binary(&[0xC3, 1, 0])),
        (Reason::UnknownSchema, binary(&[0, 0, 0, 0, 8])),
        (Reason::SchemaRequired, Input { schema: None, ..json_of("{}") }),
        (Reason::InvalidAttribute, Input { value_schema_id: Some(&[9]), ..binary(&[]) }),
        (Reason::IncompatibleSchema, binary(&unreadable)),
        (Reason::InvalidContainer, binary(b"Obj\x01")),
        (Reason::Truncated, binary(&[0, 0, 0, 0, 7, 2])),
        (Reason::TrailingBytes, binary(&[0, 0, 0, 0, 7, 2, 1, 0])),
        (Reason::MalformedDatum, binary(&[0, 0, 0, 0, 7, 4])),
        (Reason::Unresolvable, binary(&[0, 0, 0, 0, 7, 0])),
        (Reason::InvalidJson, json_of("{}")),
        (Reason::LimitExceeded, json_of(&deep)),
    ];
    for (expected, input) in &cases {
        let (found, text) = reason(&decoder, input);
        assert_eq!(found, *expected, "{text}");
        assert!(text.is_ascii() && !text.ends_with('.'), "{text}");
    }
}
