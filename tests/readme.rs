//! The README's tables name what there is, all of it and nothing else.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test may panic, and reads the machine it runs on"
)]

use avro_ingest::avro::WireFormat;
use avro_ingest::outcome::Reason;
use avro_ingest::settings::Settings;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The names in the first column of the table under `heading`.
fn first_column(heading: &str) -> BTreeSet<String> {
    let readme = read("README.md");
    let section = readme.split(&format!("\n{heading}\n")).nth(1).unwrap_or_else(|| panic!("no section {heading}"));
    let rows =
        section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|')).skip(2);
    let names = rows.flat_map(|row| row.split('|').nth(1).unwrap().split(',').map(str::trim).collect::<Vec<_>>());
    names.map(|name| name.trim_matches('`').to_owned()).filter(|name| name != "…").collect()
}

fn names<T: ToString>(names: impl IntoIterator<Item = T>) -> BTreeSet<String> {
    names.into_iter().map(|name| name.to_string()).collect()
}

#[test]
fn every_rejection_reason_is_explained() {
    assert_eq!(first_column("## Why a message is rejected"), names(Reason::ALL.iter().map(|reason| reason.code())));
}

#[test]
fn every_wire_format_is_explained() {
    assert_eq!(first_column("### What may be in the queue"), names(WireFormat::ALL));
}

#[test]
fn every_metric_is_explained() {
    let listed: Value = serde_json::from_str(&read("deploy/metrics.json")).unwrap();
    let listed = listed.as_array().unwrap().iter().map(|metric| metric["name"].as_str().unwrap());
    assert_eq!(first_column("## Metrics"), names(listed));
}

#[test]
fn every_setting_the_function_reads_is_explained() {
    let mut explained = first_column("## Settings");
    for lambdas_own in ["AWS_LAMBDA_LOG_LEVEL", "AWS_LAMBDA_LOG_FORMAT"] {
        assert!(explained.remove(lambdas_own));
    }
    assert_eq!(explained, names(Settings::all().iter().map(|setting| setting.name)));
}
