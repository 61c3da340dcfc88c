//! Tests `ingest encode` through its command line.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Output, Stdio};

fn ingest(arguments: &[&str], input: &[u8]) -> Output {
    let mut process = Command::new(env!("CARGO_BIN_EXE_ingest"))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // a process that ends early may not have read all of its input
    let _ = process.stdin.take().unwrap().write_all(input);
    process.wait_with_output().unwrap()
}

fn order(id: u32) -> String {
    let order =
        json!({"order_id": format!("o-{id}"), "customer_id": "c", "items": [], "total_amount": 1.5, "timestamp": 1});
    format!("{order}\n")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Returns the ids of the orders that the function would write for a body.
fn ids(body: &str, arguments: &[&str]) -> Vec<String> {
    let output = ingest(&[&["inspect", "--json"], arguments, &[body]].concat(), b"");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let items = report["items"].as_array().unwrap_or_else(|| panic!("{output:?}"));
    items.iter().map(|item| item["message_id"]["S"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_line_is_a_body_that_the_function_reads_in_every_format_and_codec() {
    let lines: String = (1..=5).map(order).collect();
    for format in ["single-object", "container", "datum", "json"] {
        let output = ingest(&["encode", "--schema", "order", "--wire-format", format], lines.as_bytes());
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
        let bodies: Vec<_> = text(&output.stdout).lines().collect();
        let read: Vec<_> =
            bodies.iter().flat_map(|body| ids(body, &["--schema", "order", "--wire-formats", format])).collect();
        assert_eq!(read, ["o-1", "o-2", "o-3", "o-4", "o-5"], "{format}");
    }
    for codec in ["null", "deflate", "snappy", "zstandard", "bzip2", "xz"] {
        let arguments = ["encode", "--schema", "order/1", "--records-per-message", "3", "--codec", codec];
        let output = ingest(&arguments, lines.as_bytes());
        let read: Vec<_> = text(&output.stdout).lines().map(|body| ids(body, &[])).collect();
        assert_eq!(read, [vec!["o-1", "o-2", "o-3"], vec!["o-4", "o-5"]], "{codec}");
    }
}

#[test]
fn a_wrong_line_is_named_and_the_others_go_out_unless_that_is_not_wanted() {
    let wrong = b"{\"order_id\": 7}\n\xFF\n";
    let lines = [order(1).as_bytes(), wrong, order(2).as_bytes()].concat();
    let output = ingest(&["encode", "--schema", "order"], &lines);
    assert_eq!((output.status.code(), text(&output.stdout).lines().count()), (Some(1), 2));
    let mistakes: Vec<_> = text(&output.stderr).lines().collect();
    assert!(mistakes[0].starts_with("line 2: customer_id: "), "{mistakes:?}");
    assert_eq!(mistakes[1], "line 3: it is not UTF-8");
    let strict = ingest(&["encode", "--schema", "order", "--strict"], &lines);
    assert_eq!((strict.status.code(), text(&strict.stdout)), (Some(1), ""));
    let rest = ingest(&["encode", "--schema", "order", "--from-line", "4"], &lines);
    assert_eq!((rest.status.code(), text(&rest.stdout).lines().count()), (Some(0), 1));
}

#[test]
fn an_event_is_what_a_function_is_given() {
    let arguments = ["encode", "--schema", "order", "--event", "--wire-format", "datum"];
    let output = ingest(&arguments, (order(1) + &order(2)).as_bytes());
    let event: Value = serde_json::from_slice(&output.stdout).unwrap();
    let event = avro_ingest::sqs::Event::parse(event.to_string().as_bytes()).map(|event| event.messages.len());
    assert_eq!(event, Ok(2));
}

#[test]
fn a_container_file_is_read_record_by_record_and_resolved_to_the_schema() {
    let lines: String = (1..=5).map(order).collect();
    let file = std::env::temp_dir().join(format!("ingest-encode-{}.avro", std::process::id()));
    let older = r#"{"type": "record", "name": "Order", "fields": [{"name": "total_amount", "type": "float"},
        {"name": "order_id", "type": "string"}, {"name": "customer_id", "type": "string"}, {"name": "timestamp", "type": "long"},
        {"name": "items", "type": {"type": "array", "items": {"type": "record", "name": "OrderItem", "fields": [
            {"name": "product_id", "type": "string"}, {"name": "quantity", "type": "int"}, {"name": "price", "type": "double"}]}}}]}"#;
    let schema = apache_avro::Schema::parse_str(older).unwrap();
    let mut writer = apache_avro::Writer::new(&schema, Vec::new()).unwrap();
    for line in lines.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let field = |name: &str| (name.to_owned(), record[name].as_str().unwrap().into());
        writer
            .append_value(apache_avro::types::Value::Record(vec![
                ("total_amount".to_owned(), 1.5_f32.into()),
                field("order_id"),
                field("customer_id"),
                ("timestamp".to_owned(), 1_i64.into()),
                ("items".to_owned(), apache_avro::types::Value::Array(vec![])),
            ]))
            .unwrap();
    }
    std::fs::write(&file, writer.into_inner().unwrap()).unwrap();
    let output = ingest(&["encode", "--schema", "order", file.to_str().unwrap()], b"");
    assert_eq!((output.status.code(), text(&output.stdout).lines().count()), (Some(0), 5), "{output:?}");
    assert_eq!(output.stdout, ingest(&["encode", "--schema", "order"], lines.as_bytes()).stdout);
    std::fs::remove_file(file).unwrap();
}

#[test]
fn what_cannot_be_encoded_at_all_ends_with_2() {
    for arguments in [
        &["--schema", "nothing"][..],
        &["--schema", "order", "--wire-format", "glue"],
        &["--schema", "order", "--wire-format", "datum", "--records-per-message", "2"],
        &["--schema", "order", "--codec", "lzma"],
        &["--schema", "order", "/no/such/file"],
    ] {
        let output = ingest(&[&["encode"], arguments].concat(), order(1).as_bytes());
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""), "{arguments:?}");
    }
}

#[test]
fn a_record_that_no_message_holds_is_named_with_its_size() {
    let large = order(1).replace("\"c\"", &format!("\"{}\"", "x".repeat(800_000)));
    let output = ingest(&["encode", "--schema", "order"], (large + &order(2)).as_bytes());
    assert_eq!((output.status.code(), text(&output.stdout).lines().count()), (Some(1), 1));
    assert!(text(&output.stderr).contains("line 1: a message of 10"), "{}", text(&output.stderr));
}

#[test]
fn records_in_avros_own_json_are_read_by_the_option_or_else_by_the_environment() {
    let folder = std::env::temp_dir().join(format!("ingest-encode-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("s")).unwrap();
    let schema = json!({"type": "record", "name": "R", "fields": [{"name": "message_id", "type": "string"},
        {"name": "b", "type": "bytes"}, {"name": "u", "type": ["null", "string"]}]});
    std::fs::write(folder.join("s/1.avsc"), schema.to_string()).unwrap();
    let encode = |encoding: &[&str], environment: Option<&str>, record: &str| {
        let mut process = Command::new(env!("CARGO_BIN_EXE_ingest"));
        process.env_remove("JSON_ENCODING").envs(environment.map(|encoding| ("JSON_ENCODING", encoding)));
        let process =
            process.arg("encode").args(encoding).args(["--schema", "s", "--wire-format", "datum", "--schemas"]);
        let process = process.arg(&folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = process.spawn().unwrap();
        let _ = process.stdin.take().unwrap().write_all(record.as_bytes());
        let output = process.wait_with_output().unwrap();
        (output.status.code(), format!("{}{}", text(&output.stdout), text(&output.stderr)).trim().to_owned())
    };
    let (plain, avro) =
        (r#"{"message_id": "m", "b": "YWI=", "u": "x"}"#, r#"{"message_id": "m", "b": "ab", "u": {"string": "x"}}"#);
    let body = (Some(0), "Am0EYWICAng=".to_owned());
    assert_eq!(encode(&[], None, plain), body);
    assert_eq!(encode(&["--json-encoding", "avro"], None, avro), body);
    assert_eq!(encode(&["--json-encoding", "avro"], Some("plain"), avro), body);
    assert_eq!(encode(&["--json-encoding", "plain"], Some("avro"), plain), body);
    assert_eq!(encode(&[], Some("avro"), avro), body);
    assert_eq!(encode(&[], Some("avro"), plain).0, Some(1));
    let (code, said) = encode(&[], Some("xml"), plain);
    assert_eq!((code, &*said), (Some(2), "ingest: JSON_ENCODING is \"xml\", not one of plain, avro"));
    std::fs::remove_dir_all(&folder).unwrap();
}
