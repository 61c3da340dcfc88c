//! Object container files, which bring their own schema.

use super::{tree::record, *};
use crate::avro::{
    Limits,
    inflate::{Compression, tests::compress},
};
use crate::record::Interruption;

const NAMED: &str = r#"{"type": "record", "name": "a.R", "aliases": ["Old"], "fields": [
    {"name": "id", "type": "long"}, {"name": "note", "type": "string", "default": "none"}]}"#;

fn own(name: &str, fields: &str) -> String {
    format!(r#"{{"type": "record", "name": "{name}", "fields": [{fields}]}}"#)
}

fn own_id() -> String {
    own("a.R", r#"{"name": "id", "type": "int"}"#)
}

fn reading() -> Decoder {
    decoder(&[("r/1", NAMED)], &[WireFormat::Container])
}

fn ids(range: std::ops::Range<i64>) -> Vec<u8> {
    let mut data = Vec::new();
    range.for_each(|id| binary::push_long(&mut data, id));
    data
}

fn tree(id: i64) -> Tree {
    record([("id", Tree::Long(id)), ("note", "none".into())])
}

#[test]
fn records_of_all_blocks_are_resolved_to_the_reader_schema_whatever_the_codec() {
    let decoder = reading();
    for (codec, compression) in [
        ("null", None),
        ("deflate", Some(Compression::Deflate)),
        ("snappy", Some(Compression::Snappy)),
        ("zstandard", Some(Compression::Zstandard)),
        ("bzip2", Some(Compression::Bzip2)),
        ("xz", Some(Compression::Xz)),
    ] {
        let data = |range| match compression {
            Some(compression) => compress(compression, &ids(range)),
            None => ids(range),
        };
        let body = container(&own_id(), codec, &[(3, &data(0..3)), (0, &data(0..0)), (1, &data(3..4))]);
        assert_eq!(read_all(&decoder, &binary(&body)), Ok((0..4).map(tree).collect()), "{codec}");
    }
    let decoded = decoder.decode(
        &binary(&container(&own_id(), "null", &[(2, &ids(5..7))])),
        &mut Scratch::default(),
        &mut Records::default(),
    );
    let decoded = decoded.unwrap();
    assert_eq!((decoded.format, decoded.version, decoded.records), (WireFormat::Container, None, 2));
}

/// The specifications of zstandard, bzip2 and xz allow several frames in one file, and some writers put several into
/// one block.
#[test]
fn a_block_of_two_frames_is_read() {
    let envelope = own("Envelope", r#"{"name": "id", "type": "string"}, {"name": "n", "type": "int"}"#);
    let decoder = decoder(&[("e/1", &envelope)], &[WireFormat::Container]);
    let zstandard = "T2JqAQQWYXZyby5zY2hlbWHkAXsidHlwZSI6ICJyZWNvcmQiLCAibmFtZSI6ICJFbnZlbG9wZSIsICJmaWVsZHMiOiBbeyJuYW1lIjogImlkIiwgInR5cGUiOiAic3RyaW5nIn0sIHsibmFtZSI6ICJuIiwgInR5cGUiOiAiaW50In1dfRRhdnJvLmNvZGVjEnpzdGFuZGFyZABTU1NTU1NTU1NTU1NTU1NTBDQotS/9IAQhAAAEejAAKLUv/SAEIQAABHoxAlNTU1NTU1NTU1NTU1NTU1M=";
    let bzip2 = "T2JqAQQWYXZyby5zY2hlbWHkAXsidHlwZSI6ICJyZWNvcmQiLCAibmFtZSI6ICJFbnZlbG9wZSIsICJmaWVsZHMiOiBbeyJuYW1lIjogImlkIiwgInR5cGUiOiAic3RyaW5nIn0sIHsibmFtZSI6ICJuIiwgInR5cGUiOiAiaW50In1dfRRhdnJvLmNvZGVjCmJ6aXAyAFNTU1NTU1NTU1NTU1NTU1MEsAFCWmg5MUFZJlNZKTyH0gAAAMiARABAAAAQIAAhmmgzTTC8XckU4UJApPIfSEJaaDkxQVkmU1nyp31gAAAAyIAUACAAABAgACGaaDNNMLxdyRThQkPKnfWAU1NTU1NTU1NTU1NTU1NTUw==";
    for body in [zstandard, bzip2] {
        let body = base64_simd::STANDARD.decode_to_vec(body).unwrap();
        let read = read_all(&decoder, &binary(&body)).unwrap();
        let ids = read.iter().map(|tree| match tree {
            Tree::Record(fields) => fields[0].1.clone(),
            other => other.clone(),
        });
        assert_eq!(ids.collect::<Vec<_>>(), ["z0".into(), "z1".into()]);
    }
}

#[test]
fn a_container_without_codec_or_with_blocks_of_metadata_is_read() {
    let schema = own_id();
    let mut body = b"Obj\x01".to_vec();
    for (key, value) in [("other", "x"), ("avro.schema", &schema)] {
        // A block with one entry, whose header states its size.
        body.push(1);
        let mut entry = Vec::new();
        binary::push_bytes(&mut entry, key.as_bytes());
        binary::push_bytes(&mut entry, value.as_bytes());
        binary::push_len(&mut body, entry.len());
        body.extend(entry);
    }
    body.push(0);
    body.extend([7; 16]);
    assert_eq!(read_all(&reading(), &binary(&body)), Ok(Vec::new()));
}

#[test]
fn the_name_of_a_containers_schema_says_whose_records_it_has() {
    let decoder = reading();
    let id = r#"{"name": "id", "type": "int"}"#;
    for name in ["a.R", "a.Old"] {
        let body = container(&own(name, id), "null", &[(1, &ids(1..2))]);
        assert_eq!(read(&decoder, &binary(&body)), Ok(tree(1)), "{name}");
    }
    for (name, shown) in [("R", "R"), ("b.R", "….R"), ("Old", "Old"), ("a.Ordre", "a.…"), ("Payload", "…")] {
        let body = container(&own(name, id), "null", &[]);
        let error = format!("container: schema {shown} is not in the directory");
        assert_eq!(reason(&decoder, &binary(&body)), (Reason::UnknownSchema, error));
    }
}

#[test]
fn a_schema_that_the_reader_cannot_read_is_a_rejection_with_every_reason() {
    let decoder = reading();
    let body = container(&own("a.R", r#"{"name": "note", "type": "int"}"#), "null", &[]);
    let error = "container: the schema cannot be read by the newest of its subject; \
                 note: int cannot be read as string; id: the field is new and has no default";
    assert_eq!(reason(&decoder, &binary(&body)), (Reason::IncompatibleSchema, error.to_owned()));
    let body = container("\"int\"", "null", &[]);
    assert_eq!(reason(&decoder, &binary(&body)).0, Reason::IncompatibleSchema);
    for schema in ["", "{", r#"{"type": "record"}"#, "\"nothing\""] {
        let body = container(schema, "null", &[]);
        assert_eq!(reason(&decoder, &binary(&body)).0, Reason::InvalidContainer, "{schema}");
    }
}

/// An empty collection contains nothing that cannot be read. The Java and Python implementations also accept it.
#[test]
fn an_incompatible_item_rejects_the_record_that_has_it_and_no_empty_collection() {
    let array = |items: &str| format!(r#"{{"type": "array", "items": {items}}}"#);
    let map = |values: &str| format!(r#"{{"type": "map", "values": {values}}}"#);
    let point = |fields: &str| {
        format!(r#"{{"type": "record", "name": "P", "fields": [{{"name": "x", "type": "int"}}{fields}]}}"#)
    };
    let new = r#", {"name": "y", "type": "int"}"#;
    let tree = |value: &str| {
        format!(
            r#"{{"type": "record", "name": "T", "fields": [{{"name": "v", "type": "{value}"}}, {{"name": "more", "type": {{"type": "array", "items": "T"}}}}]}}"#
        )
    };
    let fixed = |size: u32| format!(r#"{{"type": "fixed", "name": "F", "size": {size}}}"#);
    let micros = r#"{"type": "long", "logicalType": "timestamp-micros"}"#;
    let millis = r#"{"type": "long", "logicalType": "timestamp-millis"}"#;
    let narrower = "timestamp-micros cannot be read as timestamp-millis, whose unit is coarser: keep the finer unit";
    for (writer, reader, empty, used, detail) in [
        (array("\"int\""), array("\"string\""), &[0][..], &[4, 2, 2, 0][..], "f[0]: int cannot be read as string"),
        (map("\"int\""), map("\"string\""), &[0], &[2, 2, b'k', 2, 0], "f{0}: int cannot be read as string"),
        (array(micros), array(millis), &[0], &[2, 2, 0], &format!("f[0]: {narrower}")),
        (array(&fixed(3)), array(&fixed(4)), &[0], &[2, 1, 2, 3, 0], "f[0]: 3 bytes cannot be read as 4"),
        (array(&point("")), array(&point(new)), &[0], &[2, 2, 0], "f[0].y: the field is new and has no default"),
        (
            array(&map(&array("\"int\""))),
            array(&map(&array("\"bytes\""))),
            &[2, 2, 2, b'k', 0, 0, 0],
            &[2, 2, 2, b'k', 2, 2, 0, 0, 0],
            "f[0]{0}[0]: int cannot be read as bytes",
        ),
        (array(&tree("int")), array(&tree("string")), &[0], &[2, 2, 0, 0], "f[0].v: int cannot be read as string"),
        (
            format!(r#"["null", {}]"#, point("").replace("\"int\"", micros)),
            format!(r#"["null", {}]"#, point("").replace("\"int\"", millis)),
            &[0],
            &[2, 2],
            &format!("f.x: {narrower}"),
        ),
        (format!(r#"["null", {micros}]"#), format!(r#"["null", {millis}]"#), &[0], &[2, 2], &format!("f: {narrower}")),
    ] {
        let (writer, reader) = (field_of(&writer), field_of(&reader));
        let decoder = decoder(&[("s/1", &reader)], &[WireFormat::Container]);
        let good = read_all(&decoder, &binary(&container(&writer, "null", &[(2, &[empty, empty].concat())])));
        assert_eq!(good.map(|records| records.len()), Ok(2), "{writer}");
        let bad = container(&writer, "null", &[(2, &[empty, used].concat())]);
        let expected = (Reason::IncompatibleSchema, format!("container: record 1: {detail}"));
        assert_eq!(reason(&decoder, &binary(&bad)), expected);
        let error = versions(&[&writer, &reader]).unwrap_err();
        assert!(error.starts_with("subject s: version 1 cannot be read by version 2: f"), "{error}");
    }
    // A field that all records have is incompatible with every record, so the container is rejected even without
    // records.
    let required = |ty: &str| record_of(&format!(r#"{{"name": "f", "type": "{ty}"}}"#));
    let decoder = decoder(&[("s/1", &required("string"))], &[WireFormat::Container]);
    assert_eq!(reason(&decoder, &binary(&container(&required("int"), "null", &[]))).0, Reason::IncompatibleSchema);
}

/// A schema of 64 KiB may have thousands of reasons, each with a path of tens of thousands of bytes.
#[test]
fn the_reasons_why_items_cannot_be_read_are_bounded() {
    let long = "n".repeat(20_000);
    let inner =
        |ty: &str| format!(r#"{{"type": "record", "name": "I", "fields": [{{"name": "{long}", "type": "{ty}"}}]}}"#);
    let fields = |ty: &str, count: usize| {
        let first = format!(r#"{{"name": "f", "type": {{"type": "array", "items": {}}}}}"#, inner(ty));
        let others = (0..count).map(|i| format!(r#", {{"name": "f{i}", "type": {{"type": "array", "items": "I"}}}}"#));
        record_of(&(first + &others.collect::<String>()))
    };
    for (count, fits) in [(1, true), (10, false), (600, false)] {
        let decoder = decoder(&[("s/1", &fields("string", count))], &[WireFormat::Container]);
        let empty = vec![0; count + 1];
        let read = read_all(&decoder, &binary(&container(&fields("int", count), "null", &[(1, &empty)])));
        assert_eq!(
            read.map(|records| records.len()).map_err(|error| error.reason()),
            if fits { Ok(1) } else { Err(Reason::IncompatibleSchema) }
        );
    }
}

#[test]
fn a_broken_frame_is_rejected_at_every_byte() {
    let decoder = reading();
    let body = container(&own_id(), "null", &[(2, &ids(1..3))]);
    let header = body.len() - 2 - 2 - 16;
    for len in 4..body.len() {
        let expected = if len == header { Ok(Vec::new()) } else { Err(Reason::InvalidContainer) };
        let read = read_all(&decoder, &binary(&body[..len])).map_err(|error| error.reason());
        assert_eq!(read, expected, "{len}");
    }
    for (blocks, expected) in [
        (&[(-1, &[2, 4][..])][..], Reason::InvalidContainer),
        (&[(0, &[2][..])][..], Reason::InvalidContainer),
        (&[(3, &[2, 4][..])][..], Reason::Truncated),
        (&[(1, &[2, 4][..])][..], Reason::TrailingBytes),
        (&[(i64::MAX, &[2, 4][..])][..], Reason::LimitExceeded),
    ] {
        let body = container(&own_id(), "null", blocks);
        assert_eq!(reason(&decoder, &binary(&body)).0, expected, "{blocks:?}");
    }
    let mut other_sync = body.clone();
    *other_sync.last_mut().unwrap() ^= 1;
    assert_eq!(reason(&decoder, &binary(&other_sync)).1, "container: a sync marker differs from the header's");
    let corrupt = container(&own_id(), "deflate", &[(1, &[0xFF])]);
    assert_eq!(reason(&decoder, &binary(&corrupt)).1, "container: the compressed data is corrupt");
    let known = "none of null, deflate, snappy, zstandard, bzip2, xz";
    for (codec, named) in [("lz4", " lz4"), ("ZSTD", " zstd"), ("payload", ""), ("lz4 payload", ""), ("", "")] {
        let expected = (Reason::InvalidContainer, format!("container: the codec{named} is {known}"));
        assert_eq!(reason(&decoder, &binary(&container(&own_id(), codec, &[]))), expected, "{codec}");
    }
}

#[test]
fn an_error_names_the_record() {
    let body = container(&own_id(), "null", &[(1, &ids(0..1)), (2, &[2, 0x80])]);
    let error = "container: record 2: id: the datum ends before the value does";
    assert_eq!(reason(&reading(), &binary(&body)), (Reason::Truncated, error.to_owned()));
}

#[test]
fn records_schemas_and_inflated_bytes_are_bounded_to_the_last() {
    let schema = own_id();
    let limited = |limits| {
        let options = Options { limits, ..options(&[WireFormat::Container]) };
        parse(&[("r/1", NAMED)]).unwrap().compile(options).unwrap()
    };
    let records = limited(Limits { max_records: 3, ..Limits::default() });
    let blocks = |count: i64| container(&schema, "null", &[(1, &ids(0..1)), (count, &ids(0..count))]);
    assert_eq!(read_all(&records, &binary(&blocks(2))).unwrap().len(), 3);
    let error = (Reason::LimitExceeded, "container: more than 3 records".to_owned());
    assert_eq!(reason(&records, &binary(&blocks(3))), error);

    // The schema is larger than the directory's own schemas may be in a container.
    let wide: String = (0..100).map(|i| format!(r#"{{"name": "x{i}", "type": "int"}}, "#)).collect();
    let wide = own("a.R", &format!(r#"{wide}{{"name": "id", "type": "int"}}"#));
    let body = container(&wide, "null", &[]);
    for (bytes, fits) in [(wide.len(), true), (wide.len() - 1, false)] {
        let decoder = limited(Limits { max_schema_bytes: bytes, ..Limits::default() });
        assert_eq!(read_all(&decoder, &binary(&body)).is_ok(), fits);
    }

    // Each record takes one byte for the id and five bytes for the default.
    let block = compress(Compression::Deflate, &ids(0..50));
    let body = container(&schema, "deflate", &[(50, &block), (50, &block)]);
    for (bytes, fits) in [(600, true), (599, false)] {
        let decoder = limited(Limits { max_inflated_bytes: bytes, ..Limits::default() });
        let read = read_all(&decoder, &binary(&body)).map_err(|error| error.reason());
        assert_eq!(read.is_ok(), fits);
        assert_eq!(read.err(), (!fits).then_some(Reason::LimitExceeded));
    }
}

#[test]
fn a_message_inflates_to_no_more_than_its_events_share_of_memory() {
    let schema = own("Z", r#"{"name": "zeros", "type": "bytes"}"#);
    let formats = [WireFormat::Container, WireFormat::Glue, WireFormat::Json];
    let uuid = "b7b4a7f0-9c96-4e4a-a687-fb5de9ef0c63";
    let with_id = schema.replacen('{', &format!(r#"{{"schemaIds": ["{uuid}"], "#), 1);
    let decoder = decoder(&[("z/1", &with_id)], &formats);
    let mut data = Vec::new();
    write_zeros(&mut data);
    let block = compress(Compression::Zstandard, &data);
    let glue = [&[3, 5][..], &crate::avro::text::uuid(uuid).unwrap(), &compress(Compression::Zlib, &data)].concat();
    let container = container(&schema, "zstandard", &[(1, &block)]);
    let text = format!(r#"{{"zeros": "{}"}}"#, base64_simd::STANDARD.encode_to_string(vec![0; ZEROS]));
    let json = Input { schema: Some("z"), ..json_of(&text) };
    let read = |input: &Input<'_>, share| decoder.decode(input, &mut Scratch::bounded(share), &mut Records::default());
    for input in [binary(&container), binary(&glue), json] {
        assert!(read(&input, data.len()).is_ok(), "{input:?}");
    }
    for input in [binary(&container), binary(&glue)] {
        let interrupted = read(&input, data.len() / 2);
        assert!(matches!(interrupted, Err(Undecoded::Interrupted(Interruption::Memory))), "it may fit another event");
    }
    // The message exceeds its own limit, so it would not fit into the memory of another invocation either.
    let limits = Limits { max_inflated_bytes: data.len() / 2, ..Limits::default() };
    let limited = parse(&[("z/1", &with_id)]).unwrap().compile(Options { limits, ..options(&formats) }).unwrap();
    let read_limited =
        |share| limited.decode(&binary(&container), &mut Scratch::bounded(share), &mut Records::default());
    for share in [data.len() / 2, data.len()] {
        let Err(Undecoded::Rejected(error)) = read_limited(share) else { panic!("the message must be rejected") };
        assert_eq!(error.reason(), Reason::LimitExceeded);
    }
    // A JSON body over the limit is rejected and not interrupted, because every invocation has enough memory for a body.
    let Err(Undecoded::Rejected(error)) = read(&json, data.len() / 2) else { panic!("the message must be rejected") };
    assert_eq!(error.reason(), Reason::LimitExceeded);
}

const ZEROS: usize = 300_000;

fn write_zeros(data: &mut Vec<u8>) {
    binary::push_bytes(data, &[0; ZEROS]);
}

#[test]
fn values_are_counted_over_all_records() {
    let options =
        Options { limits: Limits { max_values: 9, ..Limits::default() }, ..options(&[WireFormat::Container]) };
    let decoder = parse(&[("r/1", NAMED)]).unwrap().compile(options).unwrap();
    // Each record has three values: the record itself, its id and its default.
    let body = |count: i64| container(&own_id(), "null", &[(count, &ids(0..count))]);
    assert!(read_all(&decoder, &binary(&body(3))).is_ok());
    assert_eq!(reason(&decoder, &binary(&body(4))).0, Reason::LimitExceeded);
}

#[test]
fn any_number_of_schemas_is_read_and_each_by_its_own_plan() {
    let decoder = reading();
    for round in 0..2 {
        for count in 0..40 {
            let dropped: String = (0..count).map(|i| format!(r#"{{"name": "x{i}", "type": "int"}}, "#)).collect();
            let schema = own("a.R", &format!(r#"{dropped}{{"name": "id", "type": "int"}}"#));
            let body = container(&schema, "null", &[(1, &[ids(0..count), ids(7..8)].concat())]);
            assert_eq!(read(&decoder, &binary(&body)), Ok(tree(7)), "{round} {count}");
        }
    }
}

#[test]
fn what_the_canonical_form_leaves_out_still_tells_schemas_apart() {
    let reader =
        own("R", r#"{"name": "d", "type": {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}}"#);
    let decoder = decoder(&[("r/1", &reader)], &[WireFormat::Container]);
    let plain = own("R", r#"{"name": "d", "type": "bytes"}"#);
    let other = reader.replace("\"scale\": 2", "\"scale\": 1");
    for _ in 0..2 {
        for (schema, fits) in [(&plain, true), (&other, false), (&reader, true)] {
            let body = container(schema, "null", &[(1, &[2, 5])]);
            assert_eq!(read_all(&decoder, &binary(&body)).is_ok(), fits);
        }
    }
}

#[test]
fn a_container_of_an_older_version_is_known_by_the_name_it_had() {
    let id = r#"{"name": "id", "type": "int"}"#;
    let container_of = |name: &str| container(&own(name, id), "null", &[(1, &ids(1..2))]);
    let tree = record([("id", Tree::Long(1))]);
    let files =
        [("r/1", own("old.R", id)), ("r/2", own("new.R", id)), ("s/1", own("other.R", id)), ("t/1", own("x.T", id))];
    let files = |more: &[(&'static str, String)]| {
        let files = [&files[..], more].concat();
        let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        decoder(&files, &[WireFormat::Container])
    };
    for name in ["old.R", "new.R"] {
        assert_eq!(read(&files(&[]), &binary(&container_of(name))), Ok(tree.clone()), "{name}");
    }
    // A subject's current name has priority over the former name of another subject. A former name of two subjects
    // finds neither.
    let now_another = files(&[("u/1", own("x.R", id)), ("u/2", own("old.R", id))]);
    let decoded = now_another.decode(&binary(&container_of("old.R")), &mut Scratch::default(), &mut Records::default());
    assert_eq!(now_another.subject(decoded.unwrap().subject).unwrap().name(), "u");
    let alias = own("x.R", id).replacen('{', r#"{"aliases": ["old.R"], "#, 1);
    assert_eq!(read(&files(&[("u/1", alias)]), &binary(&container_of("x.R"))), Ok(tree));
    let had_by_two = files(&[("u/1", own("old.R", id)), ("u/2", own("u.R", id))]);
    assert_eq!(reason(&had_by_two, &binary(&container_of("old.R"))).0, Reason::UnknownSchema);
}

#[test]
fn a_schema_of_the_directory_is_never_too_large_in_a_container() {
    let fields: Vec<_> = (0..3_000).map(|i| format!(r#"{{"name": "f{i}", "type": "int", "default": {i}}}"#)).collect();
    let large = own("L", &fields.join(","));
    assert!(large.len() > Limits::DEFAULT_MAX_SCHEMA_BYTES);
    let decoder = decoder(&[("l/1", &large)], &[WireFormat::Container]);
    let spaced = large.replace(':', " : ");
    for schema in [&large, &spaced] {
        assert_eq!(read_all(&decoder, &binary(&container(schema, "null", &[]))), Ok(Vec::new()));
    }
    assert_eq!(reason(&reading(), &binary(&container(&large, "null", &[]))).0, Reason::LimitExceeded);
}

#[test]
fn one_field_of_zeros_is_read_whatever_its_ratio() {
    let schema = own("Z", r#"{"name": "zeros", "type": "bytes"}"#);
    let decoder = decoder(&[("z/1", &schema)], &[WireFormat::Container]);
    let mut data = Vec::new();
    write_zeros(&mut data);
    for (codec, compression) in
        [("zstandard", Compression::Zstandard), ("bzip2", Compression::Bzip2), ("xz", Compression::Xz)]
    {
        let block = compress(compression, &data);
        assert!(data.len() / block.len() > Limits::DEFAULT_MAX_INFLATION_RATIO, "{codec}");
        assert!(read(&decoder, &binary(&container(&schema, codec, &[(1, &block)]))).is_ok(), "{codec}");
    }
}
