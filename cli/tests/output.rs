//! Tests commands whose standard output cannot be written. A full disk is an error, and a reader that closes the pipe is not.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const ORDER: &str = r#"{"order_id": "o-1", "customer_id": "c", "items": [], "total_amount": 1, "timestamp": 1}"#;
const METRICS: &str = r#"{"_aws":{"Timestamp":1,"CloudWatchMetrics":[{"Dimensions":[["Service"]],"Metrics":[{"Name":"MessagesStored"}]}]},"Service":"orders","MessagesStored":1}"#;

/// Input files of the commands, which are removed when the test ends.
struct Files(PathBuf);

impl Files {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("ingest-output-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("orders.jsonl"), ORDER).unwrap();
        fs::write(folder.join("function.log"), METRICS).unwrap();
        Self(folder)
    }

    /// Returns every command that prints without calling a service.
    fn commands(&self) -> Vec<Command> {
        let plan = ["plan", "--rate", "100", "--record-bytes", "300", "--service-time"];
        let orders = self.0.join("orders.jsonl").display().to_string();
        let log = self.0.join("function.log").display().to_string();
        let with = |command: &[&str], more: &str| [command, &[more]].concat().iter().map(ToString::to_string).collect();
        let lines: [Vec<String>; 14] = [
            with(&["--help"], "--help"),
            with(&["--version"], "--version"),
            with(&["send"], "--help"),
            with(&["check", "--table"], "orders"),
            with(&["check"], "--json"),
            with(&["inspect"], "AAAA"),
            with(&["inspect", "--json"], "AAAA"),
            with(&["encode", "--schema", "order"], &orders),
            with(&["encode", "--schema", "order", "--event"], &orders),
            with(&plan, "5"),
            with(&[&plan[..], &["5"]].concat(), "--json"),
            with(&["report"], &log),
            with(&["report", "--json"], &log),
            with(&["local", "--event"], "events/orders.json"),
        ];
        lines.iter().map(|arguments| ingest(arguments)).collect()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn ingest(arguments: &[String]) -> Command {
    let tool = Path::new(env!("CARGO_BIN_EXE_ingest"));
    let mut command = Command::new(tool);
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).args(arguments).stdin(Stdio::null());
    if arguments.first().is_some_and(|command| command == "local") {
        command.arg("--bootstrap").arg(tool.with_file_name("avro-ingest"));
    }
    command
}

fn full() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_full_standard_output_ends_a_command_with_2_and_a_message() {
    for mut command in Files::new("full").commands() {
        let output = command.stdout(full()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{command:?}: {output:?}");
        let said = said(&output);
        let message = "ingest: cannot write to the standard output: No space left on device";
        assert_eq!(said.matches(message).count(), 1, "{command:?}: {said}");
        assert!(!said.contains("panicked"), "{command:?}: {said}");
    }
}

#[test]
fn a_reader_that_has_enough_ends_a_command_without_a_word() {
    for mut command in Files::new("closed").commands() {
        let (reader, writer) = std::io::pipe().unwrap();
        // close the pipe before the command starts, because the command may end first otherwise
        drop(reader);
        let output = command.stdout(writer).output().unwrap();
        assert_eq!((output.status.code(), said(&output).as_str()), (Some(141), ""), "{command:?}");
    }
}

#[test]
fn a_full_standard_error_changes_no_exit_code() {
    for (arguments, code) in [(&["check", "--schemas", "/no/such/folder"][..], 2), (&["check", "--no-such"], 2)] {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let status = ingest(&arguments).stdout(Stdio::null()).stderr(full()).status().unwrap();
        assert_eq!(status.code(), Some(code), "{arguments:?}");
    }
}
