//! `ingest consume` where the queue, the credentials, the table or an output fails: no message is lost, and none stays hidden for longer than it must.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, reason = "each test uses what it needs of the support")]

mod support;

use avro_ingest::avro::WireFormat;
use avro_ingest::encode::{self, Encoder};
use local::dynamodb::{Embedded, Table};
use serde_json::{Value, json};
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;
use support::queue::{FakeQueue, Fault};

const TABLE: &str = "processed_messages";
const SCHEMAS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas");
/// Maximum number of looks at a condition until it holds, and the pause between them.
const PATIENCE: usize = 1_200;
const PAUSE: Duration = Duration::from_millis(50);

/// Bodies of orders, each with its group.
fn orders(groups: impl IntoIterator<Item = Option<&'static str>>) -> Vec<(String, Option<String>)> {
    let encoder = Encoder::of_subject(Path::new(SCHEMAS), "order").unwrap();
    let body = |(number, group): (usize, Option<&str>)| {
        let order = json!({"order_id": format!("o-{number}"), "customer_id": "c", "items": [], "total_amount": 1.0, "timestamp": number});
        (encode::body(&encoder.frame(WireFormat::SingleObject, &order).unwrap()), group.map(str::to_owned))
    };
    groups.into_iter().enumerate().map(body).collect()
}

/// Orders of a standard queue.
fn many(count: usize) -> Vec<(String, Option<String>)> {
    orders(std::iter::repeat_n(None, count))
}

struct Scene {
    queue: FakeQueue,
    database: Embedded,
    /// The standard error.
    log: PathBuf,
    command: Command,
}

impl Scene {
    async fn new(name: &str, queue: FakeQueue, more: &[&str]) -> Self {
        let database = Embedded::start(0).unwrap();
        database.client().create_table(&Table::keyed_by(TABLE, "message_id")).await.unwrap();
        let log = std::env::temp_dir().join(format!("ingest-consume-{name}-{}.log", std::process::id()));
        let (endpoint, url) = queue.serve();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ingest"));
        command
            .args(["consume", "--queue-url", &url])
            .args(more)
            .envs([("AWS_REGION", "us-east-1"), ("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
            .envs([("TABLE_NAME", TABLE), ("SCHEMA_DIR", SCHEMAS), ("AWS_ENDPOINT_URL", &endpoint)])
            .env("AWS_ENDPOINT_URL_DYNAMODB", database.url())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap());
        Self { queue, database, log, command }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// The line of the log whose message is `message`.
    fn line(&self, message: &str) -> Value {
        let log = self.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.into_iter().find(|line| line["message"] == message).unwrap_or_else(|| panic!("no {message} in {log}"))
    }

    async fn items(&self) -> u64 {
        self.database.client().count(TABLE).await.unwrap()
    }

    /// Waits until `holds`.
    fn until(&self, what: &str, holds: impl Fn(&FakeQueue) -> bool) {
        for _ in 0..PATIENCE {
            if holds(&self.queue) {
                return;
            }
            sleep(PAUSE);
        }
        panic!("{what}: {:?} are left; {}", self.queue.left(), self.log());
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.log);
    }
}

/// A consumer, which ends with the test.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    /// Sends SIGTERM.
    fn terminate(&self) {
        assert!(Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap().success());
    }

    /// Returns the exit code of a process that ends within `seconds`.
    fn ended(&mut self, seconds: u64) -> Option<i32> {
        let start = local::clock::since_epoch();
        while local::clock::since_epoch() < start + Duration::from_secs(seconds) {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            sleep(PAUSE);
        }
        panic!("it did not end within {seconds} s");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn once_without_the_table_ends_with_1_and_names_what_is_not_stored() {
    let queue = FakeQueue::new(many(25), |_, _, _| Fault::None);
    let mut scene = Scene::new("missing", queue, &["--once", "--batch-size", "10"]).await;
    let status = scene.command.env("TABLE_NAME", "no_such_table").status().unwrap();
    assert_eq!(status.code(), Some(1), "{}", scene.log());
    let line = scene.line("not every message is stored");
    assert!(
        line["count"].as_u64().unwrap() >= 10 && line["messages"].as_str().unwrap().starts_with("m0, m1"),
        "{line}"
    );
    assert!(line["cause"].as_str().unwrap().contains("no_such_table"), "{line}");
    assert_eq!(scene.queue.left(), (25, 0), "{}", scene.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn once_stores_all_and_ends_with_0_unless_a_message_is_returned() {
    for poison in [false, true] {
        let mut messages = many(30);
        if poison {
            messages.push(("not avro".to_owned(), None));
        }
        let mut scene = Scene::new("once", FakeQueue::new(messages, |_, _, _| Fault::None), &["--once"]).await;
        // the poison comes back once in a while and then not before the end
        scene.command.env("RETURN_BACKOFF_SECONDS", "0");
        assert_eq!(scene.command.status().unwrap().code(), Some(i32::from(poison)), "{}", scene.log());
        assert_eq!((scene.items().await, scene.queue.deleted().len()), (30, 30));
        if poison {
            let line = scene.line("not every message is stored");
            assert_eq!((&line["count"], &line["messages"]), (&json!(1), &json!("m30")));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn throttles_and_expired_tokens_on_receives_are_waited_out() {
    // more refusals in a row than one call is repeated
    let queue = FakeQueue::new(many(60), |operation, number, _| match (operation, number) {
        ("ReceiveMessage", 2..=7) => Fault::Refused(400, "RequestThrottled"),
        ("ReceiveMessage", 9..=13) => Fault::Refused(403, "ExpiredToken"),
        ("ReceiveMessage", 15 | 16) => Fault::Refused(403, "OverLimit"),
        _ => Fault::None,
    });
    let mut scene = Scene::new("throttled", queue, &["--receivers", "3"]).await;
    let mut process = Running::start(&mut scene.command);
    scene.until("all are stored", |queue| queue.left() == (0, 0) && queue.calls("ReceiveMessage") > 17);
    process.terminate();
    assert_eq!(process.ended(60), Some(0), "{}", scene.log());
    assert_eq!(scene.items().await, 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receive_that_is_refused_for_good_ends_it_with_2_and_leaves_nothing_hidden() {
    let queue = FakeQueue::new(many(60), |operation, number, _| match (operation, number) {
        // still under way when another one is refused
        ("ReceiveMessage", 2) => Fault::Slow(Duration::from_secs(1)),
        ("ReceiveMessage", 4..) => Fault::Refused(403, "AccessDenied"),
        _ => Fault::None,
    });
    let mut scene = Scene::new("refused", queue, &["--receivers", "3"]).await;
    let status = scene.command.status().unwrap();
    assert_eq!(status.code(), Some(2), "{}", scene.log());
    assert!(scene.log().contains("AccessDenied"), "{}", scene.log());
    // a poll that was dropped would still bring its messages out of sight
    sleep(Duration::from_secs(2));
    let (visible, hidden) = scene.queue.left();
    assert_eq!((hidden, scene.items().await), (0, 60 - visible as u64), "{}", scene.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_hangs_does_not_hold_up_a_termination() {
    // everything after the first receive hangs: the next receive, the deletion and the release
    let queue = FakeQueue::new(many(40), |operation, number, _| match (operation, number) {
        ("GetQueueAttributes", _) | ("ReceiveMessage", ..3) => Fault::None,
        _ => Fault::Silent,
    });
    // a batch at work, messages that wait for it to end, and room for one more poll
    let arguments = ["--shutdown-timeout", "2", "--workers", "1", "--batch-size", "15"];
    let mut scene = Scene::new("hanging", queue, &arguments).await;
    let mut process = Running::start(&mut scene.command);
    scene.until("it hangs", |queue| queue.calls("DeleteMessageBatch") > 0 && queue.calls("ReceiveMessage") > 3);
    process.terminate();
    // two seconds, and what a busy machine adds
    assert_eq!(process.ended(15), Some(1), "{}", scene.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let queue = FakeQueue::new(many(40), |operation, number, _| match (operation, number) {
        ("GetQueueAttributes", _) | ("ReceiveMessage", ..3) => Fault::None,
        _ => Fault::Silent,
    });
    let mut scene = Scene::new("twice", queue, &["--shutdown-timeout", "600"]).await;
    let mut process = Running::start(&mut scene.command);
    scene.until("it hangs", |queue| queue.calls("DeleteMessageBatch") > 0);
    process.terminate();
    sleep(Duration::from_millis(500));
    assert!(process.0.try_wait().unwrap().is_none(), "it waits for what is at work: {}", scene.log());
    process.terminate();
    assert_eq!(process.ended(15), Some(1), "{}", scene.log());
}

/// The bytes that a pipe holds: <https://man7.org/linux/man-pages/man7/pipe.7.html>
const PIPE_BYTES: usize = 65_536;

#[tokio::test(flavor = "multi_thread")]
async fn outputs_that_nobody_reads_hold_up_neither_the_messages_nor_a_termination() {
    let mut scene =
        Scene::new("blocked", FakeQueue::new(many(300), |_, _, _| Fault::None), &["--shutdown-timeout", "2"]).await;
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&[b'x'; PIPE_BYTES]).unwrap();
    scene.command.stdout(writer.try_clone().unwrap()).stderr(writer);
    let mut process = Running::start(&mut scene.command);
    scene.until("all are stored", |queue| queue.left() == (0, 0));
    process.terminate();
    process.ended(15);
    assert_eq!(scene.items().await, 300);
    // the ends that the command still has keep the pipe open
    drop(scene);
    let mut first = [0; PIPE_BYTES];
    reader.read_exact(&mut first).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_standard_output_ends_it_with_2_after_what_it_had_begun() {
    let mut scene = Scene::new("full", FakeQueue::new(many(50), |_, _, _| Fault::None), &["--batch-size", "10"]).await;
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut process = Running::start(scene.command.stdout(full));
    assert_eq!(process.ended(60), Some(2), "{}", scene.log());
    let message = "ingest: cannot write to the standard output: No space left on device";
    assert!(scene.log().contains(message), "{}", scene.log());
    let (visible, hidden) = scene.queue.left();
    assert_eq!((hidden, scene.items().await), (0, 50 - visible as u64), "{}", scene.log());
}

/// Whether each group's messages were deleted in their order.
fn in_order(deleted: &[String], group: &[&str]) -> bool {
    let places: Vec<usize> = group.iter().filter_map(|id| deleted.iter().position(|deleted| deleted == id)).collect();
    places.is_sorted()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_deleted_of_a_fifo_queue_is_not_followed_in_its_group() {
    let queue =
        FakeQueue::new(orders([Some("a"), Some("a"), Some("b"), Some("a"), Some("b")]), |operation, number, _| {
            if operation == "DeleteMessageBatch" && number < 3 {
                Fault::Entries(vec!["m0".to_owned()])
            } else {
                Fault::None
            }
        });
    let mut scene = Scene::new("fifo", queue, &[]).await;
    let mut process = Running::start(&mut scene.command);
    scene.until("all are deleted", |queue| queue.left() == (0, 0));
    process.terminate();
    assert_eq!(process.ended(60), Some(0), "{}", scene.log());
    let deleted = scene.queue.deleted();
    assert!(in_order(&deleted, &["m0", "m1", "m3"]) && in_order(&deleted, &["m2", "m4"]), "{deleted:?}");
    assert!(in_order(&deleted, &["m4", "m0"]), "the other group did not wait: {deleted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_fails_for_long_gives_the_whole_group_back_in_order() {
    let start = local::clock::since_epoch();
    let queue = FakeQueue::new(orders([Some("a"), Some("a"), Some("b")]), move |operation, _, _| {
        let is_early = local::clock::since_epoch() < start + Duration::from_secs(20);
        if operation == "DeleteMessageBatch" && is_early { Fault::Entries(vec!["m0".to_owned()]) } else { Fault::None }
    });
    let mut scene = Scene::new("fifo-long", queue, &["--visibility-timeout", "15"]).await;
    let mut process = Running::start(&mut scene.command);
    scene.until("all are deleted", |queue| queue.left() == (0, 0));
    process.terminate();
    assert_eq!(process.ended(60), Some(0), "{}", scene.log());
    assert_eq!(scene.queue.deleted(), ["m2", "m0", "m1"], "{}", scene.log());
}

/// A source of credentials that counts its calls and fails at chosen ones.
struct Source(PathBuf);

impl Source {
    /// `fails` is a condition of the shell over `$n`, the number of the call.
    fn new(name: &str, fails: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("ingest-consume-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (script, calls) = (folder.join("source"), folder.join("calls"));
        let credentials = r#"{"Version": 1, "AccessKeyId": "a$n", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": "2099-01-01T00:00:00Z"}"#;
        let text = format!(
            "#!/bin/sh\necho x >> {calls}\nn=$(wc -l < {calls})\nif {fails}; then echo throttled >&2; exit 1; fi\ncat <<END\n{credentials}\nEND\n",
            calls = calls.display()
        );
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(folder.join("config"), format!("[default]\ncredential_process = {}\n", script.display())).unwrap();
        Self(folder)
    }

    fn of<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command
            .env_remove("AWS_ACCESS_KEY_ID")
            .env_remove("AWS_SECRET_ACCESS_KEY")
            .env("AWS_CONFIG_FILE", self.0.join("config"))
            .env("AWS_EC2_METADATA_DISABLED", "true")
    }

    fn calls(&self) -> usize {
        fs::read_to_string(self.0.join("calls")).unwrap().lines().count()
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_fetched_once_for_hundreds_of_calls() {
    let source = Source::new("cached", "false");
    let arguments = ["--once", "--batch-size", "5", "--receivers", "10"];
    let mut scene = Scene::new("cached", FakeQueue::new(many(500), |_, _, _| Fault::None), &arguments).await;
    assert_eq!(source.of(&mut scene.command).status().unwrap().code(), Some(0), "{}", scene.log());
    assert_eq!(scene.items().await, 500);
    let calls = scene.queue.calls("ReceiveMessage") + scene.queue.calls("DeleteMessageBatch");
    assert!(calls > 100, "{calls}");
    // one for the calls to the queue, one for those to the table
    assert_eq!(source.calls(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_of_credentials_that_is_throttled_leaves_no_processed_message_undeleted() {
    // the queue refuses the first credentials at the first deletion; the next ones come only at the tenth attempt
    let source = Source::new("sts", "[ $n -gt 2 ] && [ $n -lt 12 ]");
    let queue = FakeQueue::new(many(20), |operation, number, _| match (operation, number) {
        ("DeleteMessageBatch", 0) => Fault::Refused(403, "ExpiredToken"),
        _ => Fault::None,
    });
    let mut scene = Scene::new("sts", queue, &[]).await;
    let mut process = Running::start(source.of(&mut scene.command));
    scene.until("all are deleted", |queue| queue.left() == (0, 0));
    process.terminate();
    assert_eq!(process.ended(60), Some(0), "{}", scene.log());
    assert!(source.calls() >= 12 && scene.items().await == 20, "{} calls", source.calls());
}

#[tokio::test]
async fn a_setting_that_is_set_goes_before_the_environment_and_an_unknown_one_is_refused() {
    let mut scene =
        Scene::new("set", FakeQueue::new(many(3), |_, _, _| Fault::None), &["--once", "--set", "TABLE_NAME=others"])
            .await;
    scene.database.client().create_table(&Table::keyed_by("others", "message_id")).await.unwrap();
    assert_eq!(Running::start(&mut scene.command).ended(60), Some(0), "{}", scene.log());
    assert_eq!((scene.items().await, scene.database.client().count("others").await.unwrap()), (0, 3));

    let mut scene =
        Scene::new("unknown", FakeQueue::new(many(1), |_, _, _| Fault::None), &["--set", "TABLE_NAMES=others"]).await;
    assert_eq!(Running::start(&mut scene.command).ended(60), Some(2));
    assert!(scene.log().contains("did you mean TABLE_NAME?"), "{}", scene.log());
}
