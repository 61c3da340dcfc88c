//! Helpers for the tests of `ingest send`: orders, a folder, and the command.

use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output};
use std::time::Duration;

/// Returns the orders from 1 to `count`, one per line. They have five different customers.
pub(crate) fn orders(count: u32) -> String {
    (1..=count).map(|id| format!("{}\n", order(id))).collect()
}

pub(crate) fn order(id: u32) -> Value {
    let customer = format!("c-{}", id % 5);
    json!({"order_id": format!("o-{id:05}"), "customer_id": customer, "items": [], "total_amount": 1.5, "timestamp": id})
}

/// A temporary folder, which is removed when the test ends.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("ingest-send-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub(crate) fn file(&self, name: &str, content: &[u8]) -> String {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }

    /// Returns the names of the files, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns the command `ingest send` for orders, with the endpoint `endpoint` and the working directory `folder`.
pub(crate) fn command(endpoint: &str, folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = super::tool();
    aws(&mut command, endpoint).current_dir(&folder.0).args(FIXED).args(arguments);
    command
}

/// Arguments that all commands share.
pub(crate) const FIXED: [&str; 5] =
    ["send", "--schemas", concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas"), "--schema", "order"];

/// Sets the endpoint and the credentials of a command.
pub(crate) fn aws<'a>(command: &'a mut Command, endpoint: &str) -> &'a mut Command {
    command
        .env("AWS_ENDPOINT_URL", endpoint)
        .envs([("AWS_REGION", "us-east-1"), ("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
        .env_remove("AWS_PROFILE")
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Waits until a condition holds, for at most a minute.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{what} did not come about");
}

/// Sends a signal to a process.
pub(crate) fn signal(name: &str, process: &Child) {
    assert!(Command::new("kill").args([name, &process.id().to_string()]).status().unwrap().success());
}

/// Returns the result of a process, which must end on its own within a minute.
pub(crate) fn ended(mut process: Child) -> Output {
    until("the end of the process", || process.try_wait().unwrap().is_some());
    process.wait_with_output().unwrap()
}
