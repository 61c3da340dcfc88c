//! Tests `ingest consume` with failures of the queue, the credentials, the table or an output. No message is lost, and none
//! stays invisible for longer than necessary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, reason = "each test uses what it needs of the support")]

mod support;

use avro_ingest::avro::WireFormat;
use avro_ingest::encode::{self, Encoder};
use local::dynamodb::{Embedded, Table};
use local::sqs::{Call, ErrorCode, Fault, Message, Service};
use serde_json::{Value, json};
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

const TABLE: &str = "processed_messages";
const SCHEMAS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas");
/// Maximum number of checks until a condition holds, and the pause between checks.
const PATIENCE: usize = 1_200;
const PAUSE: Duration = Duration::from_millis(50);

/// Returns orders, each with its message group.
fn orders(groups: impl IntoIterator<Item = Option<&'static str>>) -> Vec<Message> {
    let encoder = Encoder::for_subject(Path::new(SCHEMAS), "order").unwrap();
    let message = |(number, group): (usize, Option<&str>)| {
        let order = json!({"order_id": format!("o-{number}"), "customer_id": "c", "items": [], "total_amount": 1.0, "timestamp": number});
        let message = Message::text(encode::body(&encoder.frame(WireFormat::SingleObject, &order).unwrap()));
        match group {
            Some(group) => message.in_group(group).with_deduplication_id(number.to_string()),
            None => message,
        }
    };
    groups.into_iter().enumerate().map(message).collect()
}

/// Returns `count` orders for a standard queue.
fn many(count: usize) -> Vec<Message> {
    orders(std::iter::repeat_n(None, count))
}

/// A queue with messages. A script determines which calls fail.
struct Served {
    service: Service,
    name: &'static str,
    url: String,
    /// Ids of the messages.
    ids: Vec<String>,
}

impl Served {
    fn new(messages: Vec<Message>, script: impl FnMut(&Call) -> Option<Fault> + Send + 'static) -> Self {
        let service = Service::start(0).unwrap();
        let name = if messages.iter().any(|message| message.group.is_some()) { "orders.fifo" } else { "orders" };
        let url = service.create(name);
        let ids = messages.into_iter().map(|message| service.send(name, message).unwrap()).collect();
        service.inject(script);
        Self { service, name, url, ids }
    }

    /// Creates a queue without faults.
    fn sound(messages: Vec<Message>) -> Self {
        Self::new(messages, |_| None)
    }

    /// Returns the number of visible messages and of invisible messages.
    fn left(&self) -> (usize, usize) {
        self.service.counts(self.name)
    }

    /// Returns the deleted messages in the order of their deletion, each by its position in the order of sending.
    fn deleted(&self) -> Vec<usize> {
        let deleted = self.service.deleted(self.name);
        deleted.iter().map(|id| self.ids.iter().position(|sent| sent == id).unwrap()).collect()
    }

    /// Returns the number of calls of `operation`.
    fn calls(&self, operation: &str) -> usize {
        self.service.calls().iter().filter(|call| call.operation == operation).count()
    }
}

/// Creates a script from a function of the operation and the number of the call, counted from 1.
fn script(
    mut fault: impl FnMut(&str, u64) -> Option<Fault> + Send + 'static,
) -> impl FnMut(&Call) -> Option<Fault> + Send + 'static {
    move |call: &Call| fault(&call.operation, call.of_operation)
}

struct Scene {
    queue: Served,
    database: Embedded,
    /// File with the standard error output.
    log: PathBuf,
    command: Command,
}

impl Scene {
    async fn new(name: &str, queue: Served, more: &[&str]) -> Self {
        let database = Embedded::start(0).unwrap();
        database.client().create_table(&Table::keyed_by(TABLE, "message_id")).await.unwrap();
        let log = std::env::temp_dir().join(format!("ingest-consume-{name}-{}.log", std::process::id()));
        let mut command = Command::new(env!("CARGO_BIN_EXE_ingest"));
        command
            .args(["consume", "--queue-url", &queue.url])
            .args(more)
            .envs([("AWS_REGION", "us-east-1"), ("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
            .envs([("TABLE_NAME", TABLE), ("SCHEMA_DIR", SCHEMAS), ("AWS_ENDPOINT_URL", &queue.service.url())])
            .env("AWS_ENDPOINT_URL_DYNAMODB", database.url())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap());
        Self { queue, database, log, command }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Returns the log line whose message is `message`.
    fn line(&self, message: &str) -> Value {
        let log = self.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.into_iter().find(|line| line["message"] == message).unwrap_or_else(|| panic!("no {message} in {log}"))
    }

    async fn items(&self) -> u64 {
        self.database.client().count(TABLE).await.unwrap()
    }

    /// Waits until `holds` returns `true`.
    fn until(&self, what: &str, holds: impl Fn(&Served) -> bool) {
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

/// A running consumer, which is killed when the test ends.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    /// Sends SIGTERM.
    fn terminate(&self) {
        assert!(Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap().success());
    }

    /// Returns the exit code of the process, if it ends within `seconds`.
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
    let queue = Served::sound(many(25));
    let mut scene = Scene::new("missing", queue, &["--once", "--batch-size", "10"]).await;
    let status = scene.command.env("TABLE_NAME", "no_such_table").status().unwrap();
    assert_eq!(status.code(), Some(1), "{}", scene.log());
    let line = scene.line("not every message is stored");
    let named: Vec<String> = line["messages"].as_str().unwrap().split(", ").map(str::to_owned).collect();
    assert!(line["count"].as_u64().unwrap() >= 10 && named.len() == 10, "{line}");
    assert!(named.iter().all(|id| scene.queue.ids.contains(id)), "{line}");
    assert!(line["cause"].as_str().unwrap().contains("no_such_table"), "{line}");
    assert_eq!(scene.queue.left(), (25, 0), "{}", scene.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn once_stores_all_and_ends_with_0_unless_a_message_is_returned() {
    for poison in [false, true] {
        let mut messages = many(30);
        if poison {
            messages.push(Message::text("not avro"));
        }
        let mut scene = Scene::new("once", Served::sound(messages), &["--once", "--visibility-timeout", "15"]).await;
        // the poison message is redelivered once, and then not again before the run ends
        scene.command.env("RETURN_BACKOFF_SECONDS", "0");
        assert_eq!(scene.command.status().unwrap().code(), Some(i32::from(poison)), "{}", scene.log());
        assert_eq!((scene.items().await, scene.queue.deleted().len()), (30, 30));
        if poison {
            let line = scene.line("not every message is stored");
            assert_eq!((&line["count"], &line["messages"]), (&json!(1), &json!(scene.queue.ids[30])));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn throttles_and_expired_tokens_on_receives_are_waited_out() {
    // more consecutive refusals than there are retries of a call
    let refused = script(|operation, number| match (operation, number) {
        ("ReceiveMessage", 3..=8) => Some(Fault::Error(ErrorCode::RequestThrottled)),
        ("ReceiveMessage", 10..=14) => Some(Fault::Error(ErrorCode::ExpiredTokenException)),
        ("ReceiveMessage", 16 | 17) => Some(Fault::Error(ErrorCode::OverLimit)),
        _ => None,
    });
    let queue = Served::new(many(60), refused);
    let mut scene = Scene::new("throttled", queue, &["--receivers", "3"]).await;
    let mut process = Running::start(&mut scene.command);
    scene.until("all are stored", |queue| queue.left() == (0, 0) && queue.calls("ReceiveMessage") > 17);
    process.terminate();
    assert_eq!(process.ended(60), Some(0), "{}", scene.log());
    assert_eq!(scene.items().await, 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receive_that_is_refused_for_good_ends_it_with_2_and_leaves_nothing_hidden() {
    let refused = script(|operation, number| match (operation, number) {
        // this poll is still running when another one is refused
        ("ReceiveMessage", 3) => Some(Fault::Slow(Duration::from_secs(1))),
        ("ReceiveMessage", 5..) => Some(Fault::Error(ErrorCode::AccessDeniedException)),
        _ => None,
    });
    let queue = Served::new(many(60), refused);
    let mut scene = Scene::new("refused", queue, &["--receivers", "3"]).await;
    let status = scene.command.status().unwrap();
    assert_eq!(status.code(), Some(2), "{}", scene.log());
    assert!(scene.log().contains("AccessDenied"), "{}", scene.log());
    // if the poll had been cancelled, its messages would be invisible now
    sleep(Duration::from_secs(2));
    let (visible, hidden) = scene.queue.left();
    assert_eq!((hidden, scene.items().await), (0, 60 - visible as u64), "{}", scene.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_hangs_does_not_hold_up_a_termination() {
    // everything after the first receive hangs: the next receive, the deletion and the release
    let hanging = script(|operation, number| match (operation, number) {
        ("GetQueueAttributes", _) | ("ReceiveMessage", ..4) => None,
        _ => Some(Fault::Hang),
    });
    let queue = Served::new(many(40), hanging);
    // one running batch, messages that wait for it, and room for one more poll
    let arguments = ["--shutdown-timeout", "2", "--workers", "1", "--batch-size", "15"];
    let mut scene = Scene::new("hanging", queue, &arguments).await;
    let mut process = Running::start(&mut scene.command);
    scene.until("it hangs", |queue| queue.calls("DeleteMessageBatch") > 0 && queue.calls("ReceiveMessage") > 3);
    process.terminate();
    // two seconds, plus a margin for a busy machine
    assert_eq!(process.ended(15), Some(1), "{}", scene.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let hanging = script(|operation, number| match (operation, number) {
        ("GetQueueAttributes", _) | ("ReceiveMessage", ..4) => None,
        _ => Some(Fault::Hang),
    });
    let queue = Served::new(many(40), hanging);
    let mut scene = Scene::new("twice", queue, &["--shutdown-timeout", "600"]).await;
    let mut process = Running::start(&mut scene.command);
    scene.until("it hangs", |queue| queue.calls("DeleteMessageBatch") > 0);
    process.terminate();
    sleep(Duration::from_millis(500));
    assert!(process.0.try_wait().unwrap().is_none(), "it waits for what is at work: {}", scene.log());
    process.terminate();
    assert_eq!(process.ended(15), Some(1), "{}", scene.log());
}

/// Capacity of a pipe, in bytes: <https://man7.org/linux/man-pages/man7/pipe.7.html>
const PIPE_BYTES: usize = 65_536;

#[tokio::test(flavor = "multi_thread")]
async fn outputs_that_nobody_reads_hold_up_neither_the_messages_nor_a_termination() {
    let mut scene = Scene::new("blocked", Served::sound(many(300)), &["--shutdown-timeout", "2"]).await;
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&[b'x'; PIPE_BYTES]).unwrap();
    scene.command.stdout(writer.try_clone().unwrap()).stderr(writer);
    let mut process = Running::start(&mut scene.command);
    scene.until("all are stored", |queue| queue.left() == (0, 0));
    process.terminate();
    process.ended(15);
    assert_eq!(scene.items().await, 300);
    // the command still holds write ends of the pipe, so drop them
    drop(scene);
    let mut first = [0; PIPE_BYTES];
    reader.read_exact(&mut first).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_that_nobody_reads_neither_delay_the_end_nor_count_as_a_failure() {
    let mut scene = Scene::new("unread", Served::sound(many(30)), &["--shutdown-timeout", "600"]).await;
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&[b'x'; PIPE_BYTES]).unwrap();
    let mut process = Running::start(scene.command.stdout(writer));
    scene.until("all are stored", |queue| queue.left() == (0, 0));
    process.terminate();
    assert_eq!(process.ended(60), Some(0), "{}", scene.log());
    let line = scene.line("metrics lost: nobody read the standard output in time");
    assert!(line["batches"].as_u64().unwrap() > 0 && !scene.log().contains("shutdown timeout"), "{}", scene.log());
    drop(reader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_termination_before_the_first_receive_ends_it_in_order() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut scene = Scene::new("early", Served::sound(many(1)), &[]).await;
    scene.command.env("AWS_ENDPOINT_URL_DYNAMODB", format!("http://{}", silent.local_addr().unwrap()));
    let mut process = Running::start(&mut scene.command);
    // the database accepts the connection, but does not respond
    let _connection = silent.accept().unwrap();
    process.terminate();
    assert_eq!(process.ended(60), Some(0), "{}", scene.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_standard_output_ends_it_with_2_after_what_it_had_begun() {
    let mut scene = Scene::new("full", Served::sound(many(50)), &["--batch-size", "10"]).await;
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut process = Running::start(scene.command.stdout(full));
    assert_eq!(process.ended(60), Some(2), "{}", scene.log());
    let message = "ingest: cannot write to the standard output: No space left on device";
    assert!(scene.log().contains(message), "{}", scene.log());
    let (visible, hidden) = scene.queue.left();
    assert_eq!((hidden, scene.items().await), (0, 50 - visible as u64), "{}", scene.log());
}

/// Returns whether the messages of a group were deleted in order.
fn in_order(deleted: &[usize], group: &[usize]) -> bool {
    let places: Vec<usize> = group.iter().filter_map(|id| deleted.iter().position(|deleted| deleted == id)).collect();
    places.is_sorted()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_deleted_of_a_fifo_queue_is_not_followed_in_its_group() {
    // the first entry of the call is the first message
    let failing = script(|operation, number| {
        (operation == "DeleteMessageBatch" && number <= 3).then(|| Fault::FailEntries(vec![0]))
    });
    let queue = Served::new(orders([Some("a"), Some("a"), Some("b"), Some("a"), Some("b")]), failing);
    let mut scene = Scene::new("fifo", queue, &[]).await;
    let mut process = Running::start(&mut scene.command);
    scene.until("all are deleted", |queue| queue.left() == (0, 0));
    process.terminate();
    assert_eq!(process.ended(60), Some(0), "{}", scene.log());
    let deleted = scene.queue.deleted();
    assert!(in_order(&deleted, &[0, 1, 3]) && in_order(&deleted, &[2, 4]), "{deleted:?}");
    assert!(in_order(&deleted, &[4, 0]), "the other group did not wait: {deleted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_fails_for_long_gives_the_whole_group_back_in_order() {
    let failing = early_deletions(Duration::from_secs(20), || Fault::FailEntries(vec![0]));
    let queue = Served::new(orders([Some("a"), Some("a"), Some("b")]), failing);
    let mut scene = Scene::new("fifo-long", queue, &["--visibility-timeout", "15"]).await;
    let mut process = Running::start(&mut scene.command);
    scene.until("all are deleted", |queue| queue.left() == (0, 0));
    process.terminate();
    assert_eq!(process.ended(60), Some(0), "{}", scene.log());
    assert_eq!(scene.queue.deleted(), [2, 0, 1], "{}", scene.log());
}

/// Creates a script that makes deletions fail for `time` from now on.
fn early_deletions(time: Duration, fault: fn() -> Fault) -> impl FnMut(&Call) -> Option<Fault> + Send + 'static {
    let start = local::clock::since_epoch();
    script(move |operation, _| {
        let is_early = local::clock::since_epoch() < start + time;
        (operation == "DeleteMessageBatch" && is_early).then(fault)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn once_goes_on_behind_a_batch_of_its_own_that_keeps_a_fifo_group_out_of_sight() {
    // longer than it takes to conclude that a queue is empty
    let slow = script(|operation, number| {
        (operation == "DeleteMessageBatch" && number == 1).then(|| Fault::Slow(Duration::from_millis(4_500)))
    });
    let queue = Served::new(orders(std::iter::repeat_n(Some("a"), 15)), slow);
    let mut scene = Scene::new("once-fifo", queue, &["--once"]).await;
    assert_eq!(Running::start(&mut scene.command).ended(120), Some(0), "{}", scene.log());
    assert_eq!(scene.queue.deleted(), (0..15).collect::<Vec<_>>(), "{}", scene.log());
    assert_eq!(scene.items().await, 15);
}

/// Runs the consumer with `--once` while deletions fail for longer than a message stays invisible.
async fn once_with_failing_deletions(name: &str, messages: Vec<Message>) {
    let count = messages.len();
    let failing = early_deletions(Duration::from_secs(20), || Fault::Error(ErrorCode::ServiceUnavailable));
    let arguments = ["--once", "--visibility-timeout", "15", "--batch-size", "10"];
    let mut scene = Scene::new(name, Served::new(messages, failing), &arguments).await;
    assert_eq!(Running::start(&mut scene.command).ended(120), Some(0), "{}", scene.log());
    assert_eq!((scene.queue.left(), scene.items().await), ((0, 0), count as u64), "{}", scene.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn once_waits_for_messages_of_a_standard_queue_that_it_could_not_delete() {
    once_with_failing_deletions("undeleted", many(25)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn once_waits_for_messages_of_a_fifo_queue_that_it_could_not_delete() {
    let groups = ["a", "b"].into_iter().cycle().map(Some);
    once_with_failing_deletions("undeleted-fifo", orders(groups.take(25))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn once_ends_with_1_and_counts_what_it_may_not_delete() {
    let denied = script(|operation, _| {
        (operation == "DeleteMessageBatch").then_some(Fault::Error(ErrorCode::AccessDeniedException))
    });
    let mut scene = Scene::new("undeletable", Served::new(many(3), denied), &["--once"]).await;
    assert_eq!(Running::start(&mut scene.command).ended(60), Some(1), "{}", scene.log());
    let line = scene.line("stored messages are not deleted: they come back and are written again");
    assert_eq!((&line["count"], scene.items().await), (&json!(3), 3));
    let line = scene.line("messages are left in the queue, by its own approximate count");
    assert_eq!((&line["visible"], &line["hidden"]), (&json!(3), &json!(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn once_counts_what_a_message_that_cannot_be_stored_hides_in_its_group() {
    let mut messages = vec![Message::text("not avro").in_group("a").with_deduplication_id("poison")];
    messages.extend(orders(std::iter::repeat_n(Some("a"), 24)));
    let mut scene = Scene::new("behind", Served::sound(messages), &["--once", "--visibility-timeout", "15"]).await;
    scene.command.env("RETURN_BACKOFF_SECONDS", "0");
    assert_eq!(Running::start(&mut scene.command).ended(120), Some(1), "{}", scene.log());
    let line = scene.line("messages are left in the queue, by its own approximate count");
    // two polls of ten messages, both of which contain the first message of the group
    assert_eq!(line["visible"].as_u64().unwrap() + line["hidden"].as_u64().unwrap(), 25 - 18, "{line}");
    assert_eq!(scene.items().await, 18, "{}", scene.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn once_waits_for_messages_that_a_receive_without_a_response_has_hidden() {
    let lost =
        script(|operation, number| (operation == "ReceiveMessage" && number == 1).then_some(Fault::LostResponse));
    let mut scene = Scene::new("lost", Served::new(many(5), lost), &["--once", "--visibility-timeout", "15"]).await;
    assert_eq!(Running::start(&mut scene.command).ended(120), Some(0), "{}", scene.log());
    assert_eq!((scene.queue.left(), scene.items().await), ((0, 0), 5), "{}", scene.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn once_ends_although_receives_keep_losing_their_responses() {
    let lost = script(|operation, number| {
        (operation == "ReceiveMessage" && number.is_multiple_of(2)).then_some(Fault::LostResponse)
    });
    let arguments = ["--once", "--visibility-timeout", "15"];
    let mut scene = Scene::new("losing", Served::new(many(5), lost), &arguments).await;
    // two visibility timeouts, and what a busy machine adds
    assert_eq!(Running::start(&mut scene.command).ended(120), Some(0), "{}", scene.log());
    assert_eq!((scene.queue.left(), scene.items().await), ((0, 0), 5), "{}", scene.log());
}

/// A source of credentials that counts its calls, and fails for some of them.
struct Source(PathBuf);

impl Source {
    /// Creates a source that fails if `fails` holds, a shell condition on `$n`, the number of the call.
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
    let mut scene = Scene::new("cached", Served::sound(many(500)), &arguments).await;
    assert_eq!(source.of(&mut scene.command).status().unwrap().code(), Some(0), "{}", scene.log());
    assert_eq!(scene.items().await, 500);
    let calls = scene.queue.calls("ReceiveMessage") + scene.queue.calls("DeleteMessageBatch");
    assert!(calls > 100, "{calls}");
    // one call for the queue, and one for the table
    assert_eq!(source.calls(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_of_credentials_that_is_throttled_leaves_no_processed_message_undeleted() {
    // the queue refuses the first credentials at the first deletion, and the source provides new ones only at the tenth attempt
    let source = Source::new("sts", "[ $n -gt 2 ] && [ $n -lt 12 ]");
    let refused = script(|operation, number| {
        let is_first = operation == "DeleteMessageBatch" && number == 1;
        is_first.then_some(Fault::Error(ErrorCode::ExpiredTokenException))
    });
    let queue = Served::new(many(20), refused);
    let mut scene = Scene::new("sts", queue, &[]).await;
    let mut process = Running::start(source.of(&mut scene.command));
    scene.until("all are deleted", |queue| queue.left() == (0, 0));
    process.terminate();
    assert_eq!(process.ended(60), Some(0), "{}", scene.log());
    assert!(source.calls() >= 12 && scene.items().await == 20, "{} calls", source.calls());
}

#[tokio::test]
async fn a_profile_goes_before_the_environment_and_a_setting_that_is_set_before_both() {
    let folder = std::env::temp_dir().join(format!("ingest-consume-profile-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let config = folder.join("samconfig.toml");
    let parameters = "ExistingTableName=others BatchSize=2 BatchingWindowSeconds=0";
    fs::write(&config, format!("[p.deploy.parameters]\nparameter_overrides = \"{parameters}\"\n")).unwrap();
    let profile = ["--once", "--profile", "p", "--config", config.to_str().unwrap()];
    for (more, expected) in [(&[][..], (0, 6, 0)), (&["--set", "TABLE_NAME=third", "--batch-size", "3"], (0, 0, 6))] {
        let queue = Served::sound(many(6));
        let mut scene = Scene::new("profile", queue, &[&profile[..], more].concat()).await;
        for table in ["others", "third"] {
            scene.database.client().create_table(&Table::keyed_by(table, "message_id")).await.unwrap();
        }
        let metrics = scene.command.stdout(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        assert_eq!(metrics.status.code(), Some(0), "{}", scene.log());
        let count = async |table: &str| scene.database.client().count(table).await.unwrap();
        assert_eq!((scene.items().await, count("others").await, count("third").await), expected);
        let most = if more.is_empty() { 2.0 } else { 3.0 };
        let lines = std::str::from_utf8(&metrics.stdout).unwrap().lines();
        let received =
            lines.filter_map(|line| serde_json::from_str::<Value>(line).unwrap()["MessagesReceived"].as_f64());
        let received: Vec<f64> = received.collect();
        assert!(received.iter().sum::<f64>() == 6.0 && received.iter().all(|count| *count <= most), "{received:?}");
    }
    let mut scene =
        Scene::new("no-profile", Served::sound(many(1)), &[&profile[..4], &["/no/such/file"]].concat()).await;
    assert_eq!(Running::start(&mut scene.command).ended(60), Some(2));
    assert!(scene.log().contains("cannot read /no/such/file"), "{}", scene.log());
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_setting_that_is_set_goes_before_the_environment_and_an_unknown_one_is_refused() {
    let mut scene = Scene::new("set", Served::sound(many(3)), &["--once", "--set", "TABLE_NAME=others"]).await;
    scene.database.client().create_table(&Table::keyed_by("others", "message_id")).await.unwrap();
    assert_eq!(Running::start(&mut scene.command).ended(60), Some(0), "{}", scene.log());
    assert_eq!((scene.items().await, scene.database.client().count("others").await.unwrap()), (0, 3));

    let mut scene = Scene::new("unknown", Served::sound(many(1)), &["--set", "TABLE_NAMES=others"]).await;
    assert_eq!(Running::start(&mut scene.command).ended(60), Some(2));
    assert!(scene.log().contains("did you mean TABLE_NAME?"), "{}", scene.log());
}
