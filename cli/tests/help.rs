//! What every command of `ingest` has in common: help with examples, suggestions, completions and manual pages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::process::{Command, Output};

fn ingest(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ingest")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The commands, as `ingest --help` lists them.
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
    // the shell that is surely there reads it
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
