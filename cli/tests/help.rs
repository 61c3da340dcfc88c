//! Tests the features that all commands share: help with examples, suggestions, completions and manual pages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::process::{Command, Output};

fn ingest(arguments: &[&str]) -> Output {
    let account = [("AWS_REGION", "us-east-1"), ("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];
    Command::new(env!("CARGO_BIN_EXE_ingest")).args(arguments).envs(account).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Returns the commands that `ingest --help` lists.
fn commands() -> Vec<String> {
    let help = text(&ingest(&["--help"]).stdout);
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let lines = list.lines().take_while(|line| line.starts_with("  "));
    let names = lines.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    names.map(str::to_owned).collect()
}

#[test]
fn every_command_has_help_with_examples_of_itself() {
    let commands = commands();
    assert!(commands.len() >= 13, "{commands:?}");
    for command in commands {
        let help = ingest(&[&command, "--help"]);
        assert_eq!(help.status.code(), Some(0), "{help:?}");
        let help = text(&help.stdout);
        let (_, examples) =
            help.split_once("Examples:\n").unwrap_or_else(|| panic!("{command} has no examples: {help}"));
        assert!(examples.contains(&format!("ingest {command}")), "{command}: {examples}");
    }
}

#[test]
fn a_typo_of_a_command_an_option_or_a_name_gets_a_suggestion() {
    for (arguments, suggestion) in [
        (&["sned"][..], "'send'"),
        (&["pull", "--registri", "http://localhost"], "'--registry'"),
        (&["plan", "--rate", "1", "--record-bytes", "1", "--service-time", "1", "--set", "BatchSizes=5"], "BatchSize?"),
        (&["local", "--set", "WIRE_FORMAT=json"], "WIRE_FORMATS?"),
        (&["completions", "bsh"], "'bash'"),
    ] {
        let output = ingest(arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(text(&output.stderr).contains(suggestion), "{suggestion}: {}", text(&output.stderr));
    }
}

#[test]
fn a_value_that_is_none_of_a_closed_set_or_a_directory_is_refused_with_the_one_that_is_meant() {
    const PLAN: [&str; 7] = ["plan", "--rate", "1", "--record-bytes", "1", "--service-time", "1"];
    const SCHEMAS: [&str; 2] = ["--schemas", "../schemas"];
    const CONFIG: [&str; 2] = ["--config", "../samconfig.toml"];
    const REPLAY: [&str; 5] = ["replay", "--from", "a", "--to", "b"];
    const SEND: [&str; 3] = ["send", "--queue-url", "http://localhost:9/q"];
    for (command, arguments, suggestion) in [
        (&REPLAY[..], &["--reason", "unknwon_schema"][..], "'unknown_schema'"),
        (&REPLAY, &["--wire-formats", "conflunt,json"], "did you mean confluent?"),
        (&REPLAY, &["--json-encoding", "avr"], "'avro'"),
        (&["encode"], &[SCHEMAS[0], SCHEMAS[1], "--schema", "ordr"], "did you mean order?"),
        (&["encode"], &[SCHEMAS[0], SCHEMAS[1], "--schema", "order/11"], "did you mean order/1?"),
        (&["encode"], &[SCHEMAS[0], SCHEMAS[1], "--schema", "xyz"], "schema xyz is not in the directory; it has order"),
        (&SEND, &[SCHEMAS[0], SCHEMAS[1], "--schema", "oder"], "did you mean order?"),
        (&SEND, &["--schema", "order", "--codec", "zstandart"], "'zstandard'"),
        (&["encode"], &["--schema", "order", "--wire-format", "single-objekt"], "'single-object'"),
        (&["local"], &[SCHEMAS[0], SCHEMAS[1], "--sample", "1", "--schema", "ordr"], "did you mean order?"),
        (&["local"], &["--set", "WIRE_FORMATS=contaner"], "did you mean container?"),
        (&["inspect", "AAAA"], &["--wire-formats", "singl-object"], "did you mean single-object?"),
        (&["inspect", "AAAA"], &["--json-encoding", "plin"], "'plain'"),
        (&["check"], &["--wire-formats", "container,gleu"], "did you mean glue?"),
        (&["check"], &[CONFIG[0], CONFIG[1], "--profile", "latenci"], "did you mean latency?"),
        (&["check"], &[CONFIG[0], CONFIG[1], "--profile", "nope"], "it has default, latency, peak, throughput"),
        (&PLAN, &[CONFIG[0], CONFIG[1], "--profile", "throughputs"], "did you mean throughput?"),
        (&PLAN, &["--set", "ScalingMode=poller"], "did you mean pollers?"),
        (&["pull", "--glue", "r"], &["--wire-formats", "glu"], "did you mean glue?"),
    ] {
        let output = ingest(&[command, arguments].concat());
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{command:?} {arguments:?}: {output:?}");
        assert!(error.contains(suggestion), "{command:?} {arguments:?}: {suggestion:?} in {error}");
    }
}

#[test]
fn an_option_that_would_do_nothing_is_refused() {
    for (arguments, named) in [
        (&["inspect", "AAAA", "--max", "3"][..], "--max"),
        (&["inspect", "--file", "x", "--max", "3"], "--max"),
        (&["inspect", "--max", "3"], "--queue-url"),
        (&["check", "--wire-formats", ""], "--wire-formats"),
        (&["inspect", "AAAA", "--wire-formats", " "], "--wire-formats"),
        (&["check", "--config", "/nope"], "--profile"),
        (&["plan", "--rate", "1", "--record-bytes", "1", "--service-time", "1", "--config", "/nope"], "--profile"),
        (&["local", "--event", "x", "--batch-size", "3"], "--batch-size"),
        (&["local", "--event", "x", "--messages", "3"], "--messages"),
        (&["local", "--event", "x", "--schema", "order"], "--schema"),
        (&["local", "--sample", "3", "--messages", "3"], "--messages"),
        (&["local", "--records", "x", "--messages", "3"], "--messages"),
        (&["local", "--schema", "order"], "--sample"),
        (&["report", "x", "--since", "2h"], "--since"),
    ] {
        let output = ingest(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        let error = text(&output.stderr);
        assert!(error.contains(named) && error.starts_with("error: "), "{arguments:?}: {error}");
    }
}

#[test]
fn a_number_that_is_not_in_the_range_is_answered_with_the_range() {
    for (arguments, range) in [
        (&["plan", "--rate", "-1"][..], "a number above zero and at most 100000000"),
        (&["plan", "--rate=-1"], "a number above zero and at most 100000000"),
        (&["plan", "--overhead", "-5"], "a number from 0 to 100000000"),
        (&["plan", "--overhead", "NaN"], "a number from 0 to 100000000"),
        (&["plan", "--seed", "-1"], "a whole number of at least 0"),
        (&["local", "--messages", "-1"], "1..=1000000"),
        (&["encode", "--schema", "order", "--from-line", "-1"], "a whole number of at least 1"),
        (&["replay", "--from", "a", "--to", "b", "--limit", "-1"], "a whole number of at least 1"),
        (&["inspect", "--queue-url", "u", "--max", "-1"], "1..=1000"),
    ] {
        let output = ingest(arguments);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(error.contains(range), "{arguments:?}: {error}");
    }
}

#[test]
fn the_completions_of_each_shell_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let output = ingest(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let script = text(&output.stdout);
        for command in commands() {
            assert!(script.contains(&command), "{shell} does not know {command}");
        }
        assert!(script.contains("wire-formats"), "{shell}");
    }
    // bash is available on every machine
    let script = format!("{}\ncomplete -p ingest", text(&ingest(&["completions", "bash"]).stdout));
    let bash = Command::new("bash").args(["--norc", "-c", &script]).output().unwrap();
    assert!(bash.status.success() && text(&bash.stdout).contains("ingest"), "{bash:?}");
}

#[test]
fn each_command_has_a_manual_page_with_its_options_and_examples() {
    let folder = std::env::temp_dir().join(format!("ingest-man-{}", std::process::id()));
    let output = ingest(&["man", "--out", folder.join("man1").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let page = |name: &str| fs::read_to_string(folder.join("man1").join(format!("{name}.1"))).unwrap_or_default();
    assert!(page("ingest").contains(".TH ingest 1"), "{}", page("ingest"));
    for command in commands() {
        let page = page(&format!("ingest-{command}"));
        assert!(page.contains(".SH OPTIONS") && page.contains("Examples:"), "{command}: {page}");
    }
    fs::remove_dir_all(folder).unwrap();
}
