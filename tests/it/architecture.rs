//! Tests of the architecture, based on `use` lines and the dependency tree.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns every source file of the function: its path relative to `src/`, and its text without tests.
fn sources() -> Vec<(String, String)> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    let name = |path: &Path| path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
    let text = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        text.split("#[cfg(test)]").next().unwrap_or_default().to_owned()
    };
    found.iter().map(|path| (name(path), text(path))).collect()
}

/// Returns whether the code mentions `path` outside of comments.
fn mentions(text: &str, path: &str) -> bool {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).any(|line| line.contains(path))
}

fn in_module(file: &str, module: &str) -> bool {
    file.starts_with(&format!("{module}/"))
}

#[test]
fn avro_sqs_and_dynamodb_never_import_one_another() {
    const MODULES: [&str; 3] = ["avro", "sqs", "dynamodb"];
    for (file, text) in sources() {
        for module in MODULES.iter().filter(|module| in_module(&file, module)) {
            for other in MODULES.iter().filter(|other| other != &module) {
                assert!(!mentions(&text, &format!("crate::{other}")), "{file} imports {other}");
            }
        }
    }
}

#[test]
fn only_the_handler_and_the_decoding_of_a_body_see_both_sqs_and_dynamodb() {
    for (file, text) in sources() {
        let both = mentions(&text, "crate::sqs") && mentions(&text, "crate::dynamodb");
        assert!(
            !both || ["invocation/mod.rs", "invocation/decoding.rs", "decode.rs"].contains(&file.as_str()),
            "{file} sees both"
        );
    }
}

#[test]
fn pure_modules_are_given_time_and_randomness() {
    const IMPURE: [&str; 9] =
        ["tokio", "aws_sdk", "aws_config", "crate::clock", "Instant", "SystemTime", "std::env", "fastrand", "rand::"];
    const PURE_FILES: &[&str] = &[
        "invocation/memory.rs",
        "visibility/delay.rs",
        "invocation/progress.rs",
        "dynamodb/conditional.rs",
        "dynamodb/batch.rs",
        "write/backoff.rs",
        "write/figures.rs",
        "write/flaw.rs",
        "write/indexed.rs",
        "write/kind.rs",
        "write/order.rs",
        "write/queue.rs",
        "write/scheduler.rs",
        "write/suspects.rs",
        "error_text.rs",
        "settings/kind.rs",
        "settings/mod.rs",
        "outcome.rs",
        "record.rs",
        "calendar.rs",
        "limiter/aimd.rs",
        "limiter/shares.rs",
        "dynamodb/response.rs",
        "dynamodb/mapping/mod.rs",
        "dynamodb/mapping/parse.rs",
        "dynamodb/mapping/table.rs",
        "dynamodb/mapping/template.rs",
        "dynamodb/item/mod.rs",
        "dynamodb/item/canonical.rs",
        "dynamodb/item/encoder.rs",
        "dynamodb/item/finish.rs",
        "dynamodb/item/items.rs",
        "dynamodb/item/key.rs",
        "dynamodb/item/limits.rs",
        "dynamodb/item/message.rs",
        "dynamodb/item/origin.rs",
        "dynamodb/item/record.rs",
        "dynamodb/item/tracked.rs",
        "dynamodb/item/ttl.rs",
        "dynamodb/number.rs",
        "dynamodb/signature.rs",
    ];
    let sources = sources();
    for file in PURE_FILES {
        assert!(sources.iter().any(|(name, _)| name == file), "{file} is gone");
    }
    for (file, text) in sources {
        if in_module(&file, "avro")
            || in_module(&file, "json")
            || in_module(&file, "sqs")
            || PURE_FILES.contains(&file.as_str())
        {
            for word in IMPURE {
                assert!(!mentions(&text, word), "{file} names {word}");
            }
        }
    }
}

#[test]
fn only_main_reads_process_state() {
    for (file, text) in sources() {
        assert!(
            file == "main.rs" || file.starts_with("write/model/") || !mentions(&text, "std::env"),
            "{file} reads the environment"
        );
    }
}

#[test]
fn nothing_of_local_or_the_tool_reaches_the_function() {
    let arguments = ["tree", "--offline", "--package", "avro-ingest", "--edges", "normal", "--prefix", "none"];
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let tree = String::from_utf8(output.stdout).unwrap();
    assert!(tree.contains("aws-sdk-sqs "), "no dependency tree: {tree}");
    for foreign in [
        "local ",
        "simulation ",
        "ingest ",
        "harness ",
        "micro ",
        "baseline ",
        "floor ",
        "aws-sdk-dynamodb ",
        "dynoxide",
        "clap ",
    ] {
        assert!(!tree.lines().any(|line| line.starts_with(foreign)), "{foreign} is in the function's tree");
    }
}
