//! Tests `ingest report` through its command line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, reason = "each test uses what it needs of the support")]

mod support;

use avro_ingest::metrics::{Invocation, Metrics};
use avro_ingest::outcome::Ledger;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use support::Moto;

/// Returns a log of the function with one invocation of 100 messages per second from `start`, and other log lines in between.
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
fn the_page_has_charts_over_time_and_needs_nothing_from_outside() {
    let (path, page) = (file("page", &log(START, 60, 40)), file("page.html", &[]));
    let output = report(&[path.to_str().unwrap(), "--html", page.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = fs::read_to_string(&page).unwrap();
    // only charts with data are shown: these logs have no latencies of DynamoDB calls and no throttles
    assert_eq!(text.matches("<figure").count(), 7);
    let outside = text.replace("http://www.w3.org/2000/svg", "");
    assert!(!outside.contains("http:") && !outside.contains("https:") && !outside.contains("src="));
    assert!(text.contains("default-src 'none'") || text.contains("default-src &#39;none&#39;"));
    for path in [path, page] {
        fs::remove_file(path).unwrap();
    }
}

/// A temporary folder, which is removed when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("ingest-report-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

#[test]
fn a_log_is_read_in_every_form_that_people_have_it() {
    let folder = Folder::new("forms");
    let lines = log(START, 30, 40);
    let prefixed = |prefix: &str| lines.iter().map(|line| format!("{prefix}{line}\n")).collect::<String>();
    let pretty = |line: &String| {
        let json: Value = serde_json::from_str(line).unwrap();
        format!("2022-10-05T08:32:51.123000+00:00 s\n{}\n", serde_json::to_string_pretty(&json).unwrap())
    };
    let event = |line: &String| json!({"logStreamName": "s", "timestamp": 1, "message": format!("{line}\n")});
    let events = json!({"events": lines.iter().map(event).collect::<Vec<_>>(), "searchedLogStreams": []});
    let csv = |line: &String| format!("2023-11-14 22:13:20.000,\"{}\n\",s\n", line.replace('"', "\"\""));
    let exported = prefixed("2023-11-14T22:13:20.000Z ");
    let detailed = "2022-10-05T08:32:51.123000+00:00 2022/10/05/[$LATEST]0123456789abcdef ";
    let two_halves = exported.split_at(exported[..exported.len() / 2].rfind('\n').unwrap() + 1);
    let export = folder.0.join("export").display().to_string();
    folder.write("export/aws-logs-write-test", "Permission Check Successful");
    folder.write("export/task/one/000000.gz", gzip(two_halves.0));
    folder.write("export/task/two/000000.gz", gzip(two_halves.1));
    for paths in [
        vec![folder.write("as-written", lines.join("\n"))],
        vec![folder.write("detailed", prefixed(detailed))],
        vec![folder.write("short", prefixed("2022-10-05T08:32:51 "))],
        vec![folder.write("pretty", lines.iter().map(pretty).collect::<String>())],
        vec![folder.write("events.json", serde_json::to_string_pretty(&events).unwrap())],
        vec![folder.write("compact.json", events.to_string())],
        vec![folder.write(
            "insights.csv",
            format!("@timestamp,@message,@logStream\n{}", lines.iter().map(csv).collect::<String>()),
        )],
        vec![folder.write("log.gz", gzip(&lines.join("\n")))],
        vec![export],
        vec![folder.write("first", two_halves.0), folder.write("second", two_halves.1)],
    ] {
        let arguments: Vec<&str> = paths.iter().map(String::as_str).chain(["--json"]).collect();
        let output = report(&arguments);
        assert_eq!(output.status.code(), Some(0), "{paths:?}: {output:?}");
        let report = json_of(&output);
        let latency = report["distributions"]["EndToEndLatency"]["p95"].as_f64().unwrap();
        assert!((latency - 40.0).abs() < 0.1, "{paths:?}: {latency}");
        let figures = (&report["counts"]["MessagesStored"], &report["seconds"]);
        assert_eq!(figures, (&json!(3000.0), &json!(29.0)), "{paths:?}");
    }
}

#[test]
fn several_functions_are_reported_apart() {
    let folder = Folder::new("functions");
    let orders = log(START, 30, 40).join("\n");
    let payments = log(START, 10, 400).join("\n").replace("\"orders\"", "\"payments\"");
    let both = folder.write("both.log", format!("{orders}\n{payments}\n"));
    let output = report(&[&both, "--json"]);
    assert_eq!(output.status.code(), Some(1), "one of them misses a target: {output:?}");
    let json = json_of(&output);
    let of = |name: &str| {
        (json["functions"][name]["counts"]["MessagesStored"].clone(), json["functions"][name]["met"].clone())
    };
    assert_eq!((of("orders"), of("payments")), ((json!(3000.0), json!(true)), (json!(1000.0), json!(false))));
    assert_eq!((&json["met"], &json["lines_without_metrics"]), (&json!(false), &json!(40)));
    let text = String::from_utf8(report(&[&both]).stdout).unwrap();
    assert!(text.contains("function orders\n") && text.contains("function payments\n"), "{text}");
    let only = folder.write("only.log", orders);
    assert!(!String::from_utf8(report(&[&only]).stdout).unwrap().contains("function orders"));
}

#[test]
fn a_line_that_is_too_long_is_left_out_and_said() {
    let folder = Folder::new("long");
    let lines = log(START, 30, 40).join("\n");
    let path = folder.write("log", format!("{}\n{lines}", "x".repeat(9 << 20)));
    let output = report(&[&path, "--json"]);
    assert_eq!((output.status.code(), &json_of(&output)["counts"]["MessagesStored"]), (Some(0), &json!(3000.0)));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is left out"), "{output:?}");
}

#[test]
fn a_log_group_whose_token_repeats_is_read_to_its_end() {
    let lines = log(START, 20, 40);
    let endpoint = support::web::serve(move |asked| {
        let asked: Value = serde_json::from_str(&asked.body).unwrap();
        let page = if asked["nextToken"].is_null() { &lines[..20] } else { &lines[20..] };
        let event = |(id, line): (usize, &String)| json!({"eventId": format!("{id}-{}", page.len()), "timestamp": 1, "message": line});
        let events: Vec<Value> = page.iter().enumerate().map(event).collect();
        (200, json!({"events": events, "nextToken": "same"}).to_string())
    });
    let output = Command::new("timeout")
        .args(["60", env!("CARGO_BIN_EXE_ingest"), "report", "--log-group", "orders", "--json"])
        .env("AWS_ENDPOINT_URL", endpoint)
        .envs([("AWS_REGION", "us-east-1"), ("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(json_of(&output)["counts"]["MessagesStored"], json!(2000.0));
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

/// What a command prints until `text` is in it; fails at the end of the output.
fn read_until(output: &mut impl Read, text: &str) -> String {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(text) {
        let mut part = [0; 4_096];
        let count = output.read(&mut part).unwrap();
        assert!(count > 0, "no {text} in {}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&part[..count]);
    }
    String::from_utf8_lossy(&read).into_owned()
}

#[test]
fn a_report_that_is_followed_takes_the_screen_of_a_terminal_until_q() {
    let path = file("screen", &log(START, 30, 40));
    let command =
        format!("stty rows 40 cols 120; {} report {} --follow", env!("CARGO_BIN_EXE_ingest"), path.to_str().unwrap());
    let mut script = Command::new("timeout")
        .args(["60", "script", "--quiet", "--return", "--command", &command, "/dev/null"])
        .env("TERM", "xterm-256color")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = script.stdout.take().unwrap();
    let shown = read_until(&mut output, "targets");
    assert!(shown.contains("\x1b[?1049h"), "the other screen: {shown:?}");
    script.stdin.as_mut().unwrap().write_all(b"q").unwrap();
    // the terminal is as it was, and the report stays in it
    let rest = read_until(&mut output, "counts");
    let (_, after) = rest.split_once("\x1b[?1049l").unwrap_or_else(|| panic!("{rest:?}"));
    assert!(after.contains("stored of received"), "{after:?}");
    assert_eq!(script.wait().unwrap().code(), Some(0));
    fs::remove_file(path).unwrap();
}

#[test]
fn a_report_that_is_followed_without_a_terminal_is_plain_lines_until_a_signal() {
    for signal in ["-INT", "-TERM"] {
        let path = file(&format!("lines{signal}"), &log(START, 30, 40));
        let mut following = Command::new(env!("CARGO_BIN_EXE_ingest"))
            .args(["report", path.to_str().unwrap(), "--follow"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = following.stdout.take().unwrap();
        let shown = read_until(&mut output, "counts");
        assert!(shown.contains("stored of received") && !shown.contains('\x1b'), "{shown:?}");
        assert!(Command::new("kill").args([signal, &following.id().to_string()]).status().unwrap().success());
        assert!(read_until(&mut output, "counts").contains("stored of received"), "the last report");
        assert_eq!(following.wait().unwrap().code(), Some(0), "{signal}");
        fs::remove_file(path).unwrap();
    }
}

/// Returns the number of stored messages in a line of a report, if the line contains it.
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
    // `timeout` ends the command and thereby the test if the report never arrives
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
    assert_eq!(reports.next(), Some(300), "the late lines are included, and no line is counted twice");
    assert!(Command::new("kill").args(["-INT", &following.id().to_string()]).status().unwrap().success());
    assert_eq!(reports.next(), Some(300), "the last report");
    assert!(following.wait().unwrap().code().is_some_and(|code| code < 2));
}
