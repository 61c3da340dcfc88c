//! `ingest report` as its user sees it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, reason = "each test uses what it needs of the support")]

mod support;

use avro_ingest::metrics::{Invocation, Metrics};
use avro_ingest::outcome::Ledger;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use support::Moto;

/// A log of the function: an invocation of a hundred messages every second from `start`, with log lines between.
fn log(start: Duration, seconds: u64, latency_ms: u64) -> Vec<String> {
    let metrics = Metrics::new("AvroIngest", "orders");
    let mut log = Vec::new();
    for second in 0..seconds {
        let latency = |part: u64| [latency_ms / part; 100].map(Duration::from_millis).into_iter().collect();
        let mut invocation = Invocation {
            at: start + Duration::from_secs(second),
            ledger: Ledger { received: 100, stored: 100, ..Ledger::default() },
            handler_time: Duration::from_millis(10),
            write_time: Duration::from_millis(6),
            delivery_latency: latency(2),
            end_to_end_latency: latency(1),
            ..Invocation::default()
        };
        invocation.writes.write_units = 100.0;
        log.push(r#"{"level":"WARN","message":"not a line of metrics"}"#.to_owned());
        let lines = String::from_utf8(metrics.lines(&invocation)).unwrap();
        log.extend(lines.lines().map(str::to_owned));
    }
    log
}

fn file(name: &str, lines: &[String]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("ingest-report-{name}-{}", std::process::id()));
    fs::write(&path, lines.join("\n")).unwrap();
    path
}

fn report(arguments: &[&str]) -> Output {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    Command::new(env!("CARGO_BIN_EXE_ingest")).current_dir(root).arg("report").args(arguments).output().unwrap()
}

const START: Duration = Duration::from_secs(1_700_000_000);

#[test]
fn targets_that_are_met_end_with_0_and_a_missed_one_with_1() {
    for (latency_ms, code) in [(40, 0), (400, 1)] {
        let path = file(&format!("code-{code}"), &log(START, 30, latency_ms));
        let output = report(&[path.to_str().unwrap(), "--json"]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&report["met"], &report["counts"]["MessagesStored"]), (&json!(code == 0), &json!(3000.0)));
        assert_eq!((&report["lines_without_metrics"], &report["seconds"]), (&json!(30), &json!(29.0)));
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_file_of_targets_replaces_those_of_the_adr() {
    let path = file("targets", &log(START, 30, 40));
    let output = report(&[path.to_str().unwrap(), "--targets", "docs/report-targets.toml"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.contains("messages a second")).unwrap();
    assert!(line.contains("100000") && line.contains("MISSED"), "{line}");
    fs::remove_file(path).unwrap();
}

#[test]
fn a_file_without_metrics_or_no_file_ends_with_2() {
    let path = file("none", &["START".to_owned()]);
    for arguments in [&[path.to_str().unwrap()][..], &["/no/such/file"], &[]] {
        assert_eq!(report(arguments).status.code(), Some(2), "{arguments:?}");
    }
    fs::remove_file(path).unwrap();
}

#[test]
fn the_page_has_plots_over_time_and_needs_nothing_from_outside() {
    let (path, page) = (file("page", &log(START, 60, 40)), file("page.html", &[]));
    let output = report(&[path.to_str().unwrap(), "--html", page.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = fs::read_to_string(&page).unwrap();
    assert_eq!(text.matches("<svg").count(), 8);
    let outside = text.replace("http://www.w3.org/2000/svg", "");
    assert!(!outside.contains("http") && !outside.contains("src=") && !outside.contains("<script"));
    for path in [path, page] {
        fs::remove_file(path).unwrap();
    }
}

/// A page as Chromium shows it: not empty, and without an error in its console.
fn look_at(page: &std::path::Path) {
    let picture = page.with_extension("png");
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--window-size=1500,1800"])
        .arg(format!("--user-data-dir={}", page.with_extension("profile").display()))
        .arg(format!("--screenshot={}", picture.display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("chromium is not on the path");
    let console = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!console.contains("CONSOLE"), "{console}");
    let picture = fs::read(&picture).unwrap_or_else(|_| panic!("no picture: {console}"));
    // an empty page of this size is a few kilobytes
    assert!(picture.starts_with(b"\x89PNG") && picture.len() > 50_000, "{} bytes", picture.len());
}

#[test]
#[ignore = "needs chromium: make test-pages"]
fn chromium_shows_the_page_without_an_error() {
    let folder = std::env::temp_dir().join(format!("ingest-report-look-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let (lines, page) = (folder.join("log"), folder.join("page.html"));
    fs::write(&lines, log(START, 300, 40).join("\n")).unwrap();
    let output = report(&[lines.to_str().unwrap(), "--html", page.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    look_at(&page);
    // the look sees a mistake
    let broken = folder.join("broken.html");
    fs::write(&broken, "<script>console.error('broken')</script>").unwrap();
    let seen = std::panic::catch_unwind(|| look_at(&broken));
    assert!(seen.is_err(), "a broken page passed");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
#[ignore = "needs moto: make test-moto"]
fn a_log_group_is_read_page_by_page_as_far_back_as_asked() {
    let moto = Moto::start();
    let logs =
        |operation: &str, body: Value| moto.json("logs", &format!("Logs_20140328.{operation}"), &body.to_string());
    let (group, stream) = ("/aws/lambda/orders", "one");
    logs("CreateLogGroup", json!({"logGroupName": group}));
    logs("CreateLogStream", json!({"logGroupName": group, "logStreamName": stream}));
    let now = local::clock::since_epoch();
    for (start, latency_ms) in [(now - Duration::from_secs(7_200), 4_000), (now - Duration::from_secs(600), 40)] {
        let events: Vec<Value> = log(start, 60, latency_ms)
            .iter()
            .enumerate()
            .map(
                |(index, line)| json!({"timestamp": (start.as_millis() as usize + index / 2 * 1_000), "message": line}),
            )
            .collect();
        logs("PutLogEvents", json!({"logGroupName": group, "logStreamName": stream, "logEvents": events}));
    }
    let read = |since: &str| {
        let output = moto.ingest(&["report", "--log-group", group, "--since", since, "--json"]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        (output.status.code(), report["counts"]["MessagesStored"].as_f64().unwrap())
    };
    assert_eq!(read("1h"), (Some(0), 6000.0));
    assert_eq!(read("3h"), (Some(1), 12_000.0));

    let missing = moto.ingest(&["report", "--log-group", "/no/such/group"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("ResourceNotFoundException"), "{missing:?}");
}

/// How many messages a report says were stored, if `line` is the one that says it.
fn stored(line: &str) -> Option<u32> {
    let (_, rest) = line.split_once("MessagesStored ")?;
    rest.split(',').next()?.trim().parse().ok()
}

#[test]
#[ignore = "needs moto: make test-moto"]
fn a_log_group_that_is_followed_shows_what_comes_later_and_what_comes_late() {
    let moto = Moto::start();
    let logs =
        |operation: &str, body: Value| moto.json("logs", &format!("Logs_20140328.{operation}"), &body.to_string());
    let group = "/aws/lambda/orders";
    logs("CreateLogGroup", json!({"logGroupName": group}));
    let now = local::clock::since_epoch();
    let put = |stream: &str, seconds_ago: u64| {
        logs("CreateLogStream", json!({"logGroupName": group, "logStreamName": stream}));
        let at = now - Duration::from_secs(seconds_ago);
        let events: Vec<Value> = log(at, 1, 40)
            .iter()
            .map(|line| json!({"timestamp": u64::try_from(at.as_millis()).unwrap(), "message": line}))
            .collect();
        logs("PutLogEvents", json!({"logGroupName": group, "logStreamName": stream, "logEvents": events}));
    };
    put("one", 100);
    // a report that never comes ends the output, and with it the test
    let mut following = Command::new("timeout")
        .args(["60", env!("CARGO_BIN_EXE_ingest"), "report", "--log-group", group, "--follow"])
        .env("AWS_ENDPOINT_URL", moto.url())
        .envs([("AWS_REGION", "us-east-1"), ("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let mut reports = lines.filter_map(|line| stored(&line.unwrap()));
    assert_eq!(reports.next(), Some(100));
    put("two", 50);
    assert_eq!(reports.next(), Some(200), "what comes later");
    put("three", 90);
    assert_eq!(reports.next(), Some(300), "what comes late, and nothing twice");
    assert!(Command::new("kill").args(["-INT", &following.id().to_string()]).status().unwrap().success());
    assert_eq!(reports.next(), Some(300), "the last report");
    assert!(following.wait().unwrap().code().is_some_and(|code| code < 2));
}
