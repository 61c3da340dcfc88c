//! How the wire format of a message is detected, and the errors if it matches none.

use super::{tree::record, *};
use crate::avro::inflate::{Compression, tests::compress};

const UUID: &str = "b7b4a7f0-9c96-4e4a-a687-fb5de9ef0c63";
const UUID_BYTES: [u8; 16] =
    [0xB7, 0xB4, 0xA7, 0xF0, 0x9C, 0x96, 0x4E, 0x4A, 0xA6, 0x87, 0xFB, 0x5D, 0xE9, 0xEF, 0x0C, 0x63];

/// Returns two versions of a schema. The first has only a string field, and has ids.
fn versions_with_ids() -> [String; 2] {
    let first = record_of(r#"{"name": "f", "type": "string"}"#);
    let first = first.replace("\"type\": \"record\"", &format!(r#""type": "record", "schemaIds": [258, "{UUID}"]"#));
    [first, record_of(r#"{"name": "f", "type": "string"}, {"name": "n", "type": "int", "default": 1}"#)]
}

fn reading(formats: &[WireFormat]) -> Decoder {
    let [first, second] = versions_with_ids();
    decoder(&[("r/1", &first), ("r/2", &second)], formats)
}

/// Datum of the first version, with the string `x`.
const X: [u8; 2] = [2, b'x'];

fn x() -> Tree {
    record([("f", "x".into()), ("n", Tree::Long(1))])
}

#[test]
fn a_confluent_header_names_the_schema_by_its_id() {
    let decoder = reading(&[WireFormat::Confluent]);
    let body = [&[0, 0, 0, 1, 2][..], &X].concat();
    assert_eq!(read(&decoder, &binary(&body)), Ok(x()));
    let unknown = [&[0, 0, 0, 1, 3][..], &X].concat();
    let error = (Reason::UnknownSchema, "confluent: schema 259 is not in the directory".to_owned());
    assert_eq!(reason(&decoder, &binary(&unknown)), error);
    assert_eq!(reason(&decoder, &binary(&[0, 0, 0])).0, Reason::InvalidHeader);
    assert_eq!(reason(&decoder, &binary(&[1])).0, Reason::UnrecognizedFormat);
    assert_eq!(reason(&decoder, &binary(&[])).0, Reason::UnrecognizedFormat);
}

#[test]
fn a_confluent_id_may_travel_in_an_attribute_and_leaves_the_datum_bare() {
    let decoder = reading(&[WireFormat::Confluent]);
    let with = |attribute| Input { value_schema_id: Some(attribute), ..binary(&X) };
    let guid = [&[1][..], &UUID_BYTES].concat();
    assert_eq!(read(&decoder, &with(&[0, 0, 0, 1, 2])), Ok(x()));
    assert_eq!(read(&decoder, &with(&guid)), Ok(x()));
    assert_eq!(reason(&decoder, &with(&[0, 0, 0, 1, 3])).0, Reason::UnknownSchema);
    for wrong in [&[][..], &[0, 1], &guid[..16], b"258"] {
        let error =
            (Reason::InvalidAttribute, "confluent: message attribute __value_schema_id has no usable value".to_owned());
        assert_eq!(reason(&decoder, &with(wrong)), error);
    }
}

#[test]
fn a_glue_payload_is_plain_or_zlib() {
    let decoder = reading(&[WireFormat::Glue]);
    let glue = |compression, payload: &[u8]| [&[3, compression][..], &UUID_BYTES, payload].concat();
    let zlib = compress(Compression::Zlib, &X);
    assert_eq!(read(&decoder, &binary(&glue(0, &X))), Ok(x()));
    assert_eq!(read(&decoder, &binary(&glue(5, &zlib))), Ok(x()));
    for len in 0..zlib.len() {
        assert_eq!(reason(&decoder, &binary(&glue(5, &zlib[..len]))).0, Reason::Truncated, "{len}");
    }
    let reason_of = |body: &[u8]| reason(&decoder, &binary(body)).0;
    assert_eq!(reason_of(&glue(5, &[&zlib[..], &[0]].concat())), Reason::TrailingBytes);
    assert_eq!(reason_of(&glue(5, b"no zlib")), Reason::MalformedDatum);
    assert_eq!(reason_of(&glue(5, &compress(Compression::Zlib, &vec![0; 5 << 20]))), Reason::LimitExceeded);
    assert_eq!(reason_of(&glue(1, &X)), Reason::InvalidHeader);
    assert_eq!(reason_of(&[&[3, 0][..], &[0; 16], &X].concat()), Reason::UnknownSchema);
    assert_eq!(reason_of(&glue(0, &X)[..10]), Reason::InvalidHeader);
    assert_eq!(reason_of(&glue(0, &X)[..19]), Reason::Truncated);
}

#[test]
fn a_bare_datum_is_of_the_schema_that_the_message_or_the_settings_name() {
    let [first, second] = versions_with_ids();
    let with_default = |default: Option<&str>| {
        let options = Options { default_schema: default.map(str::to_owned), ..options(&[WireFormat::Datum]) };
        parse(&[("r/1", &first), ("r/2", &second)]).unwrap().compile(options).unwrap()
    };
    let newest = [&X[..], &[4]].concat();
    let two = record([("f", "x".into()), ("n", Tree::Long(2))]);
    let decoder = with_default(None);
    assert_eq!(read(&decoder, &datum(&X, "r/1")), Ok(x()));
    assert_eq!(read(&decoder, &datum(&newest, "r/2")), Ok(two.clone()));
    assert_eq!(read(&decoder, &datum(&newest, "r")), Ok(two.clone()));
    assert_eq!(reason(&decoder, &binary(&X)).0, Reason::SchemaRequired);
    for unknown in ["", "r/", "r/3", "r/01", "s", "r/1/", "r\n"] {
        assert_eq!(reason(&decoder, &datum(&X, unknown)).0, Reason::UnknownSchema, "{unknown}");
    }
    assert!(reason(&decoder, &datum(&X, "r/3")).1.contains("schema r/3 is not"));
    assert_eq!(read(&with_default(Some("r/1")), &binary(&X)), Ok(x()));
    assert_eq!(read(&with_default(Some("r")), &binary(&newest)), Ok(two));
    assert_eq!(read(&with_default(Some("r")), &datum(&X, "r/1")), Ok(x()), "the message has priority");
}

#[test]
fn versions_with_one_fingerprint_are_read_as_the_newest_of_them() {
    let first = record_of(r#"{"name": "f", "type": "int"}"#);
    let second = record_of(r#"{"name": "f", "type": "int", "doc": "the same to a reader", "default": 1}"#);
    let third = record_of(r#"{"name": "f", "type": "long"}"#);
    let schemas = parse(&[("r/1", &first), ("r/2", &second), ("r/3", &third)]).unwrap();
    let fingerprint = schemas.subjects().next().unwrap().version(1).unwrap().fingerprint();
    let decoder = schemas.compile(options(&[WireFormat::SingleObject])).unwrap();
    let body = [&[0xC3, 1][..], &fingerprint.to_le_bytes(), &[2]].concat();
    let decoded = decoder.decode(&binary(&body), &mut Scratch::default(), &mut Records::default()).unwrap();
    assert_eq!(decoded.version, Some(2));
}

/// A format accepts a message only if the datum after the header uses every byte. Otherwise the next format is tried.
#[test]
fn a_body_that_only_looks_like_one_format_may_still_be_another() {
    // As `datum` this is an empty string, an array of two ints and a fixed. As `confluent` it has schema id 258 and a
    // truncated datum.
    let bytes = record_of(r#"{"name": "f", "type": "string"}"#);
    let bare = record_of(
        r#"{"name": "s", "type": "string"}, {"name": "a", "type": {"type": "array", "items": "int"}}, {"name": "f", "type": {"type": "fixed", "name": "F", "size": 3}}"#,
    );
    let bytes = bytes.replace("\"type\": \"record\"", r#""type": "record", "schemaIds": [258]"#);
    let files = [("r/1", bytes.as_str()), ("bare/1", &bare.replace("\"R\"", "\"B\""))];
    let body = [0, 0, 0, 1, 2];
    let input = datum(&body, "bare");
    let tree = record([("s", "".into()), ("a", Tree::Array(vec![])), ("f", Tree::Bytes(vec![0, 1, 2]))]);
    assert_eq!(read(&decoder(&files, &[WireFormat::Confluent, WireFormat::Datum]), &input), Ok(tree.clone()));
    assert_eq!(read(&decoder(&files, &[WireFormat::Datum, WireFormat::Confluent]), &input), Ok(tree));
}

#[test]
fn the_order_of_formats_decides_where_two_fit() {
    let text = record_of(r#"{"name": "f", "type": "bytes"}"#);
    let text = text.replace("\"type\": \"record\"", r#""type": "record", "schemaIds": [0]"#);
    let bare =
        record_of(r#"{"name": "f", "type": {"type": "fixed", "name": "F", "size": 6}}"#).replace("\"R\"", "\"B\"");
    let files = [("r/1", text.as_str()), ("bare/1", &bare)];
    let input = datum(&[0, 0, 0, 0, 0, 0], "bare");
    let confluent_first = decoder(&files, &[WireFormat::Confluent, WireFormat::Datum]);
    let datum_first = decoder(&files, &[WireFormat::Datum, WireFormat::Confluent]);
    assert_eq!(read(&confluent_first, &input), Ok(record([("f", Tree::Bytes(vec![]))])));
    assert_eq!(read(&datum_first, &input), Ok(record([("f", Tree::Bytes(vec![0; 6]))])));
}

#[test]
fn of_several_failures_the_most_likely_is_reported_and_of_equals_the_first() {
    let all = [WireFormat::SingleObject, WireFormat::Confluent, WireFormat::Glue, WireFormat::Datum];
    let decoder = reading(&all);
    // The header has a known schema and the string is truncated. This error is more likely to help than a missing
    // schema name.
    let cut = [0, 0, 0, 1, 2, 4, b'x'];
    assert_eq!(reason(&decoder, &binary(&cut)).1, "confluent: f: the datum ends before the value does");
    // The unknown fingerprint is reported before the missing schema name.
    let unknown = [0xC3, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(reason(&decoder, &binary(&unknown)).0, Reason::UnknownSchema);
    // An error in a datum has priority over an unknown fingerprint if the message names the schema.
    assert_eq!(reason(&decoder, &datum(&unknown, "r")).1, "datum: f: a length is negative");
    assert_eq!(reason(&decoder, &binary(&X)).0, Reason::SchemaRequired);
    let decoder = reading(&all[..3]);
    let error = (Reason::UnrecognizedFormat, "the body is in none of the allowed wire formats".to_owned());
    assert_eq!(reason(&decoder, &binary(&X)), error);
}

#[test]
fn a_format_that_is_not_allowed_is_not_tried() {
    let body = [&[0, 0, 0, 1, 2][..], &X].concat();
    for format in WireFormat::ALL {
        let decoder = reading(&[*format]);
        let read = read(&decoder, &binary(&body));
        assert_eq!(read.is_ok(), *format == WireFormat::Confluent, "{format}");
    }
    assert_eq!(reason(&reading(&[]), &binary(&body)).0, Reason::UnrecognizedFormat);
}
