//! Tests `ingest local` through its command line, with custom schemas and records and the real function, which `cargo build`
//! has built.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// The schema of the README.
const PAYMENT: &str = r#"{
  "type": "record", "name": "Payment",
  "dynamodb": {
    "partitionKey": "tenant",
    "sortKey": {"attribute": "id", "field": "payment_id"},
    "ttl": {"attribute": "expires_at", "days": 30}
  },
  "fields": [
    {"name": "tenant", "type": "string"},
    {"name": "payment_id", "type": "long"},
    {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
    {"name": "note", "type": ["null", "string"], "default": null}
  ]
}"#;

/// A temporary schema directory, which is removed when the test ends.
struct Schemas(PathBuf);

impl Schemas {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("ingest-local-{name}-{}", std::process::id()));
        fs::create_dir_all(folder.join("payment")).unwrap();
        fs::write(folder.join("payment/1.avsc"), PAYMENT).unwrap();
        Self(folder)
    }
}

impl Drop for Schemas {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn command(schemas: &Path, arguments: &[&str]) -> Command {
    let ingest = env!("CARGO_BIN_EXE_ingest");
    let function = Path::new(ingest).with_file_name("avro-ingest");
    assert!(function.exists(), "cargo build makes the function that this test runs");
    let mut command = Command::new(ingest);
    command.args(["local", "--schemas"]).arg(schemas).arg("--bootstrap").arg(function).args(arguments);
    command
}

fn local(schemas: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = command(schemas, arguments);
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    process.stdin.take().unwrap().write_all(input).unwrap();
    process.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn the_lines_of_a_file_become_items_under_their_own_key() {
    let schemas = Schemas::new("lines");
    let lines = "{\"tenant\": \"acme\", \"payment_id\": 7, \"amount\": \"12.50\"}\n\n\
                 {\"tenant\": \"acme\", \"payment_id\": 8, \"amount\": 0.01, \"note\": \"late\"}\n";
    let output = local(&schemas.0, &["--schema", "payment", "--records", "-"], lines.as_bytes());
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""), "{output:?}");
    let shown = text(&output.stdout);
    for part in
        ["2 of 2 items of processed_messages", "\"amount\":12.5", "\"id\":8,", "\"note\":\"late\"", "\"expires_at\":"]
    {
        assert!(shown.contains(part), "{part} in {shown}");
    }
}

#[test]
fn a_line_that_is_no_record_is_named_and_the_others_are_stored() {
    let schemas = Schemas::new("mistakes");
    let good = |id: u32| format!("{{\"tenant\": \"acme\", \"payment_id\": {id}, \"amount\": 1}}\n");
    let mut lines = good(1).into_bytes();
    lines.extend_from_slice(b"{\"tenant\": \"acme\", \"payment_id\": \"x\", \"amount\": 1}\n\xFF\xFE\nnot json\n");
    // no table stores an empty key
    lines.extend_from_slice(b"{\"tenant\": \"\", \"payment_id\": 1, \"amount\": 1}\n");
    lines.extend_from_slice(good(2).as_bytes());
    let output = local(&schemas.0, &["--schema", "payment/1", "--records", "-"], &lines);
    assert_eq!(output.status.code(), Some(1));
    let mistakes = text(&output.stderr);
    for part in ["line 2: payment_id: ", "line 3: it is not UTF-8", "line 4: ", "3 of 6 records were not sent"] {
        assert!(mistakes.contains(part), "{part} in {mistakes}");
    }
    let shown = text(&output.stdout);
    assert!(shown.contains("2 of 2 items"), "{shown}");
    assert!(shown.lines().any(|line| line.contains("line 5") && line.contains("invalid_key: ")), "{shown}");
}

#[test]
fn made_up_records_of_any_schema_have_a_key_each() {
    let schemas = Schemas::new("sample");
    let output = local(&schemas.0, &["--sample", "50"], b"");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stdout).contains("of 50 items of processed_messages"), "{output:?}");
}

#[test]
fn a_profile_has_the_settings_and_the_batches_that_it_deploys() {
    let schemas = Schemas::new("profile");
    let config = schemas.0.with_extension("toml");
    let parameters = "ExistingTableName=payments BatchSize=4 ServiceName=of-profile SqsEndpointUrl=http://127.0.0.1:1";
    fs::write(&config, format!("[p.deploy.parameters]\nparameter_overrides = \"{parameters}\"\n")).unwrap();
    let profile = ["--schema", "payment", "--sample", "8", "--profile", "p", "--config", config.to_str().unwrap()];
    for (more, batch, service) in
        [(&[][..], "4", "of-profile"), (&["--set", "SERVICE_NAME=set", "--batch-size", "8"], "8", "set")]
    {
        let output = local(&schemas.0, &[&profile[..], more].concat(), b"");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let printed = text(&output.stdout);
        assert!(printed.contains(&format!("{batch} an invocation")), "{printed}");
        assert!(printed.contains("payments") && printed.contains(&format!("\"{service}\"")), "{printed}");
    }
    fs::remove_file(config).unwrap();
}

#[test]
fn what_is_missing_is_said_with_its_name() {
    let schemas = Schemas::new("missing");
    for (arguments, said) in [
        (&["--schema", "order", "--sample", "1"][..], "there is no schema order, only payment"),
        (&["--schema", "payment/2", "--sample", "1"], "there is no schema payment/2"),
        (&["--records", "/no/such.jsonl"], "cannot read /no/such.jsonl"),
        (&[], "made-up orders need the schema order"),
    ] {
        let output = local(&schemas.0, arguments, b"");
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(text(&output.stderr).contains(said), "{output:?}");
    }
}

/// Returns the state of a process from `/proc` and its parent's id. The state is `Z` for a process that has ended and was not
/// waited for. Returns `None` if there is no such process.
fn state(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// Returns the ids of the child processes of `parent`.
fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    pids.filter(|pid| state(*pid).is_some_and(|(_, of)| of == parent)).collect()
}

#[test]
#[cfg(target_os = "linux")]
fn a_tool_that_is_killed_leaves_no_function_behind() {
    let schemas = Schemas::new("killed");
    // one invocation per message, so that the process is still busy when it is killed
    let mut command = command(&schemas.0, &["--sample", "20000", "--batch-size", "1"]);
    let mut process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let function = (0..600).find_map(|_| {
        sleep(Duration::from_millis(100));
        let is_function =
            |pid: &u32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.ends_with("avro-ingest"));
        children(process.id()).into_iter().find(is_function)
    });
    let function = function.expect("the function is started");
    // a stopped process does not end on its own
    let signal = |name: &str| Command::new("kill").args([name, &function.to_string()]).status().unwrap();
    assert!(signal("-STOP").success());
    process.kill().unwrap();
    process.wait().unwrap();
    let has_ended = || state(function).is_none_or(|(state, _)| state == 'Z');
    let is_gone = (0..100).any(|_| {
        sleep(Duration::from_millis(100));
        has_ended()
    });
    if !is_gone {
        signal("-KILL");
    }
    assert!(is_gone, "the function is still there");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let schemas = Schemas::new("port");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let output = local(&schemas.0, &["--sample", "1", "--port", &address.port().to_string()], b"");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        text(&output.stderr).contains(&format!("cannot listen at {address}: Address already in use")),
        "{output:?}"
    );
}

#[test]
fn the_endpoint_that_is_kept_listens_where_it_was_told_to_and_its_line_names_the_table() {
    let schemas = Schemas::new("keep");
    let mut command = command(&schemas.0, &["--sample", "3", "--keep", "--listen", "0.0.0.0"]);
    let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
    let line = lines.find(|line| line.contains("aws dynamodb scan")).unwrap();
    assert!(line.contains("--table-name processed_messages") && line.contains("--region us-east-1"), "{line}");
    let url = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
    let port = url.rsplit(':').next().unwrap();
    // the endpoint also listens on an address other than the printed one
    assert!(url.starts_with("http://127.0.0.1:") && std::net::TcpStream::connect(format!("127.0.0.2:{port}")).is_ok());
    assert!(Command::new("kill").args(["-INT", &process.id().to_string()]).status().unwrap().success());
    assert_eq!(process.wait().unwrap().code(), Some(0));
}

#[test]
fn an_event_with_a_message_that_is_not_stored_ends_with_1() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let of = |event: &str| {
        let event = root.join("events").join(event);
        let output = local(&root.join("schemas"), &["--event", event.to_str().unwrap()], b"");
        (output.status.code(), text(&output.stdout).lines().last().unwrap_or_default().to_owned())
    };
    assert_eq!(of("orders.json").0, Some(0));
    assert_eq!(of("duplicates.json").0, Some(0));
    let (code, last) = of("mixed.json");
    assert!(code == Some(1) && last.ends_with("messages are not stored"), "{code:?}: {last}");
}

#[test]
fn an_old_event_is_sent_now_and_every_metrics_line_of_a_run_goes_to_the_file() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let folder = Schemas::new("metrics");
    let file = folder.0.join("metrics.jsonl");
    let latencies = |arguments: &[&str], schemas: &Path| -> Vec<f64> {
        let output = local(schemas, &[arguments, &["--metrics", file.to_str().unwrap()]].concat(), b"");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let lines = fs::read_to_string(&file).unwrap();
        let latency = |line: &str| -> f64 {
            let metrics: serde_json::Value = serde_json::from_str(line).unwrap();
            let latency = &metrics["DeliveryLatency"];
            let values = latency.as_array().or_else(|| latency["Values"].as_array()).cloned().unwrap_or_default();
            let values = values.iter().filter_map(serde_json::Value::as_f64);
            values.chain(latency.as_f64()).fold(0.0, f64::max)
        };
        lines.lines().map(latency).collect()
    };
    let event = root.join("events/orders.json");
    let event = ["--event", event.to_str().unwrap()];
    let now = latencies(&event, &root.join("schemas"));
    assert!(now.len() == 1 && now[0] < 60_000.0, "{now:?}");
    let recorded = latencies(&[&event[..], &["--keep-send-times"]].concat(), &root.join("schemas"));
    assert!(recorded[0] > 1e9, "{recorded:?}");
    // five invocations
    assert_eq!(latencies(&["--sample", "50"], &folder.0).len(), 5);
    let output = local(&folder.0, &["--sample", "1", "--metrics", "/no/such/folder/file"], b"");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
