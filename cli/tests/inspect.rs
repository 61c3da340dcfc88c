//! Tests `ingest inspect` through its command line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, reason = "each test uses what it needs of the support")]

use local::sqs::{Message, Service};
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Output, Stdio};

fn inspect(arguments: &[&str], input: &[u8]) -> Output {
    let mut process = Command::new(env!("CARGO_BIN_EXE_ingest"))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .arg("inspect")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    process.stdin.take().unwrap().write_all(input).unwrap();
    process.wait_with_output().unwrap()
}

/// Returns the body of an order, in base64.
fn order() -> String {
    let event: Value = serde_json::from_str(include_str!("../../events/orders.json")).unwrap();
    event["Records"][0]["body"].as_str().unwrap().to_owned()
}

fn raw(base64: &str) -> Vec<u8> {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |byte: u8| u32::try_from(digits.iter().position(|digit| *digit == byte).unwrap()).unwrap();
    let mut bytes = Vec::new();
    for group in base64.trim_end_matches('=').as_bytes().chunks(4) {
        let number = group.iter().fold(0, |number, byte| number << 6 | digit(*byte)) << (6 * (4 - group.len()));
        bytes.extend_from_slice(&number.to_be_bytes()[1..group.len()]);
    }
    bytes
}

#[test]
fn base64_with_line_breaks_and_the_bytes_themselves_are_the_same_message() {
    let order = order();
    let broken: String =
        order.as_bytes().chunks(20).map(|line| format!("{}\r\n", str::from_utf8(line).unwrap())).collect();
    let expected = inspect(&[&order, "--json"], b"");
    assert_eq!(expected.status.code(), Some(0), "{expected:?}");
    let report: Value = serde_json::from_slice(&expected.stdout).unwrap();
    assert_eq!(expected.stdout.iter().filter(|byte| **byte == b'\n').count(), 1, "one JSON value a line");
    assert_eq!(
        (&report["schema"], &report["format"], &report["version"]),
        (&"order".into(), &"single-object".into(), &1.into())
    );
    let file = std::env::temp_dir().join(format!("ingest-inspect-{}", std::process::id()));
    std::fs::write(&file, raw(&order)).unwrap();
    for output in [
        inspect(&["--json"], broken.as_bytes()),
        inspect(&["--json"], &raw(&order)),
        inspect(&["--json", "--raw"], &raw(&order)),
        inspect(&["--json", "--file", file.to_str().unwrap()], b""),
    ] {
        let other: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        // the reports are equal except for the time
        assert_eq!(other["items"][0]["data"], report["items"][0]["data"]);
    }
    std::fs::remove_file(file).unwrap();
}

#[test]
fn messages_of_a_queue_are_one_json_value_a_line_and_stay_in_sight() {
    let bodies = [order(), "not base64 at all!".to_owned(), order(), order()];
    let service = Service::start(0).unwrap();
    let url = service.create("orders");
    let sent = bodies.map(|body| service.send("orders", Message::text(body)).unwrap());
    let output = Command::new(env!("CARGO_BIN_EXE_ingest"))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args(["inspect", "--queue-url", &url, "--max", "3", "--json"])
        .env("AWS_ENDPOINT_URL", service.url())
        .envs([("AWS_REGION", "us-east-1"), ("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "one is rejected: {output:?}");
    let lines = str::from_utf8(&output.stdout).unwrap().lines();
    let values: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: Vec<&str> = values.iter().map(|value| value["message"].as_str().unwrap()).collect();
    assert_eq!((&ids[..], service.counts("orders")), (&sent.each_ref().map(String::as_str)[..3], (4, 0)));
    assert!(values[1]["rejected"].as_str().unwrap().contains("invalid_base64"));
}

#[test]
fn a_body_that_is_rejected_ends_with_1_and_its_reason_and_what_cannot_run_with_2() {
    for (arguments, input, reason) in [
        (&[][..], &b"not base64 at all!"[..], "invalid_base64"),
        (&[], b"", "missing_body"),
        (&["--raw"], b"\xC3\x01", "invalid_header"),
        (&["--wire-formats", "confluent"], b"\x00\xFF\xFE", "invalid_header"),
        (&[], b"\x00\xFF\xFE", "unrecognized_format"),
    ] {
        let output = inspect(arguments, input);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let json = inspect(&[arguments, &["--json"]].concat(), input);
        for output in [output, json] {
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(text.contains("rejected") && text.contains(reason), "{reason}: {text}");
        }
    }
    assert_eq!(inspect(&["--file", "/no/such/file"], b"").status.code(), Some(2));
    assert_eq!(inspect(&["--schemas", "/no/such/folder", "AAAA"], b"").status.code(), Some(2));
}

#[test]
fn a_body_is_rejected_where_the_function_would_reject_it_and_the_framing_that_reads_it_is_named() {
    let folder = std::env::temp_dir().join(format!("ingest-inspect-formats-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("s")).unwrap();
    let write = |ids: &str| {
        let schema = format!(
            r#"{{"type": "record", "name": "S", "schemaIds": {ids}, "fields": [{{"name": "message_id", "type": "string"}}]}}"#
        );
        std::fs::write(folder.join("s/1.avsc"), schema).unwrap();
    };
    let of = |arguments: &[&str], body: &str| {
        let output = inspect(&[arguments, &["--schemas", folder.to_str().unwrap()]].concat(), body.as_bytes());
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    // 00 0000002A 02 "m"
    let confluent = "AAAAACoCbQ==";
    write("[42]");
    let (code, shown, _) = of(&[], confluent);
    assert!(code == Some(0) && shown.contains("format    confluent"), "{shown}");
    let (code, shown, hint) = of(&["--wire-formats", "single-object"], confluent);
    assert!(code == Some(1) && shown.contains("unrecognized_format"), "{shown}");
    assert!(hint.contains("WireFormats=single-object,confluent"), "{hint}");
    write("[]");
    let (code, shown, hint) = of(&[], confluent);
    assert!(code == Some(1) && shown.contains("unrecognized_format") && hint.is_empty(), "{shown} {hint}");
    let (code, _, hint) = of(&["--schema", "s"], r#"{"message_id": "m"}"#);
    assert!(code == Some(1) && hint.contains("WireFormats=single-object,container,json"), "{hint}");
    std::fs::remove_dir_all(folder).unwrap();
}
