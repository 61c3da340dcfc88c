//! `ingest plan` as its user sees it.
#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::Value;
use std::fs;
use std::process::{Command, Output};

const MEASURED: &str = "../benches/results.json";

fn plan(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ingest"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .arg("plan")
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn without_a_measurement_it_says_what_it_needs_and_ends_with_2() {
    let output = plan(&["--rate", "100", "--record-bytes", "300"]);
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output.stderr);
    assert!(error.contains("make bench") && error.contains("--service-time"), "{error}");
}

#[test]
fn a_load_that_can_be_had_ends_with_0_and_the_line_for_sam() {
    let output = plan(&["--rate", "2000", "--record-bytes", "300", "--measured", MEASURED]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let last = text(&output.stdout).trim_end().lines().last().unwrap().to_owned();
    assert!(last.starts_with("sam deploy --parameter-overrides MaxInstances="), "{last}");
}

#[test]
fn a_load_that_cannot_be_had_ends_with_1_and_says_what_has_to_change() {
    let load = ["--rate", "500000", "--record-bytes", "300", "--set", "BatchSize=10", "--measured", MEASURED, "--json"];
    let output = plan(&load);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(plan["holds"], false);
    let missed = plan["checks"].as_array().unwrap().iter().find(|check| check["met"] == false).unwrap();
    assert!(missed["change"].as_str().unwrap().contains("pack"), "{missed}");
    assert!(!plan["quotas"].as_array().unwrap().is_empty());
}

#[test]
fn a_parameter_that_the_template_refuses_is_named() {
    let load = ["--rate", "100", "--record-bytes", "300", "--service-time", "10", "--set", "BatchSize=20000"];
    let output = plan(&load);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("BatchSize=20000"));
}

#[test]
fn the_page_has_the_plots_and_needs_nothing_from_outside() {
    let folder = std::env::temp_dir().join(format!("ingest-plan-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let (page, plots) = (folder.join("plan.html"), folder.join("plots"));
    let load = ["--rate", "500", "--peak", "1000", "--record-bytes", "300", "--measured", MEASURED];
    let files = ["--html", page.to_str().unwrap(), "--plots", plots.to_str().unwrap()];
    let output = plan(&[&load[..], &files[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let page = fs::read_to_string(page).unwrap();
    assert_eq!(page.matches("<svg").count(), fs::read_dir(&plots).unwrap().count());
    assert!(page.matches("<svg").count() >= 7);
    let outside = page.replace("http://www.w3.org/2000/svg", "");
    assert!(!outside.contains("http") && !outside.contains("src=") && !outside.contains("<script"));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_reader_that_has_enough_ends_the_command_without_a_word() {
    let (reader, writer) = std::io::pipe().unwrap();
    // before the command begins, or it may have ended by then
    drop(reader);
    let output = Command::new(env!("CARGO_BIN_EXE_ingest"))
        .args(["plan", "--rate", "100", "--record-bytes", "300", "--service-time", "5"])
        .stdout(writer)
        .output()
        .unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(141), &b""[..]), "{output:?}");
}

#[test]
fn an_item_that_dynamodb_does_not_take_cannot_be_had_and_an_absurd_rate_is_a_mistake() {
    let of = |rate: &str, bytes: &str| {
        let output = plan(&["--rate", rate, "--record-bytes", bytes, "--service-time", "5"]);
        (output.status.code(), text(&output.stdout))
    };
    let (code, text) = of("10", "409601");
    assert!(code == Some(1) && text.contains("cannot be had: item size"), "{text}");
    assert!(!of("10", "409600").1.contains("cannot be had: item size"));
    assert_eq!(of("100000001", "300").0, Some(2));
}
