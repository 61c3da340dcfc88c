//! Tests `ingest consume` through its command line, with moto's queues and the embedded DynamoDB.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, reason = "each test uses what it needs of the support")]

mod support;

use local::dynamodb::{Embedded, Table};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use support::{Address, Moto};

const TABLE: &str = "processed_messages";

/// Maximum number of checks whether a queue is empty, and the pause between checks.
const PATIENCE: usize = 1_200;
const PAUSE: Duration = Duration::from_millis(100);

struct Scene {
    moto: Moto,
    database: Embedded,
    queue: String,
    orders: PathBuf,
}

impl Scene {
    async fn new(name: &str, attributes: Value) -> Self {
        let (moto, database) = (Moto::start(), Embedded::start(0).unwrap());
        database.client().create_table(&Table::keyed_by(TABLE, "message_id")).await.unwrap();
        let body = json!({"QueueName": name, "Attributes": attributes}).to_string();
        let created: Value = serde_json::from_str(&moto.json("sqs", "AmazonSQS.CreateQueue", &body)).unwrap();
        let queue = created["QueueUrl"].as_str().unwrap().to_owned();
        let orders = std::env::temp_dir().join(format!("ingest-consume-{}.jsonl", moto.port()));
        Self { moto, database, queue, orders }
    }

    fn send(&self, orders: impl Iterator<Item = Value>, more: &[&str]) {
        let lines: String = orders.map(|order| format!("{order}\n")).collect();
        std::fs::write(&self.orders, lines).unwrap();
        let schemas = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas");
        let file = self.orders.to_str().unwrap();
        let arguments = ["send", "--queue-url", &self.queue, "--schemas", schemas, "--schema", "order", file];
        let sent = self.moto.ingest(&[&arguments[..], more].concat());
        assert!(sent.status.success(), "{sent:?}");
    }

    fn consume(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ingest"));
        command
            .args(["consume", "--queue-url", &self.queue])
            .args(more)
            .envs([("AWS_REGION", "us-east-1"), ("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
            .env("AWS_ENDPOINT_URL", self.moto.url())
            .env("AWS_ENDPOINT_URL_DYNAMODB", self.database.url())
            .env("TABLE_NAME", TABLE)
            .env("SCHEMA_DIR", concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn start(&self, more: &[&str]) -> Running {
        Running::start(&mut self.consume(more))
    }

    async fn items(&self) -> u64 {
        self.database.client().count(TABLE).await.unwrap()
    }

    /// Returns the number of visible messages and of invisible messages.
    fn left(&self) -> (u64, u64) {
        let names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
        let body = json!({"QueueUrl": self.queue, "AttributeNames": names}).to_string();
        let answer: Value =
            serde_json::from_str(&self.moto.json("sqs", "AmazonSQS.GetQueueAttributes", &body)).unwrap();
        let of = |name: &str| answer["Attributes"][name].as_str().unwrap().parse().unwrap();
        (of(names[0]), of(names[1]))
    }

    /// Waits until the queue is empty.
    fn drained(&self) {
        for _ in 0..PATIENCE {
            if self.left() == (0, 0) {
                return;
            }
            std::thread::sleep(PAUSE);
        }
        panic!("{:?} are left", self.left());
    }
}

/// A running consumer.
struct Running {
    process: Child,
    stdout: std::thread::JoinHandle<Vec<u8>>,
    stderr: std::thread::JoinHandle<Vec<u8>>,
}

impl Running {
    /// Starts a consumer, and reads its outputs as they arrive, because a full pipe would block it.
    fn start(command: &mut Command) -> Self {
        let mut process = command.spawn().unwrap();
        let (out, err) = (process.stdout.take().unwrap(), process.stderr.take().unwrap());
        let read = |mut from: Box<dyn std::io::Read + Send>| {
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                from.read_to_end(&mut bytes).unwrap();
                bytes
            })
        };
        Self { process, stdout: read(Box::new(out)), stderr: read(Box::new(err)) }
    }

    fn end(mut self, signal: &str) -> Output {
        assert!(Command::new("kill").args([signal, &self.process.id().to_string()]).status().unwrap().success());
        let status = self.process.wait().unwrap();
        Output { status, stdout: self.stdout.join().unwrap(), stderr: self.stderr.join().unwrap() }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.orders);
    }
}

fn order(id: usize, customer: &str, total: usize) -> Value {
    json!({"order_id": format!("o-{id:05}"), "customer_id": customer, "items": [], "total_amount": total, "timestamp": total})
}

/// Returns the sum of a metric over all lines that a consumer wrote.
fn sum(output: &Output, name: &str) -> f64 {
    let lines = std::str::from_utf8(&output.stdout).unwrap().lines();
    lines.filter_map(|line| serde_json::from_str::<Value>(line).unwrap()[name].as_f64()).sum()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs moto: make test-moto"]
async fn every_record_is_stored_although_one_of_two_processes_is_killed_in_the_middle() {
    const RECORDS: usize = 10_000;
    let scene = Scene::new("orders", json!({"VisibilityTimeout": "15"})).await;
    scene.send((0..RECORDS).map(|id| order(id, "c", 1)), &["--records-per-message", "10"]);
    let arguments = ["--visibility-timeout", "15", "--batch-size", "20"];
    let killed = scene.start(&arguments);
    let other = scene.start(&arguments);
    while scene.items().await < RECORDS as u64 / 4 {
        std::thread::sleep(Duration::from_millis(20));
    }
    killed.end("-KILL");
    scene.drained();
    let output = other.end("-TERM");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(scene.items().await, RECORDS as u64);
    assert!(sum(&output, "MessagesStored") > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs moto: make test-moto"]
async fn the_groups_of_a_fifo_queue_stay_in_order() {
    let scene = Scene::new("orders.fifo", json!({"FifoQueue": "true", "VisibilityTimeout": "30"})).await;
    // each group writes one key, so the group's last write must win
    let orders = (0..400).map(|number| order(number % 20, &format!("c-{}", number % 20), number + 1));
    scene.send(orders, &["--group-id", "customer_id"]);
    // a single receiver, because moto may return one group to two concurrent polls, which SQS never does
    let process = scene.start(&["--workers", "4", "--receivers", "1"]);
    let mut last = BTreeMap::new();
    let mut looks = 0;
    while scene.left() != (0, 0) || last.len() < 20 {
        looks += 1;
        assert!(looks < PATIENCE, "{:?} are left", scene.left());
        std::thread::sleep(PAUSE);
        for item in scene.database.client().scan(TABLE).await.unwrap() {
            let group = item["data"]["M"]["customer_id"]["S"].as_str().unwrap().to_owned();
            let number: u64 = item["data"]["M"]["timestamp"]["N"].as_str().unwrap().parse().unwrap();
            let before = last.insert(group.clone(), number).unwrap_or_default();
            assert!(number >= before, "{group} went back from {before} to {number}");
        }
    }
    let output = process.end("-TERM");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(sum(&output, "MessagesReceived"), 400.0);
    assert!(last.values().all(|number| *number > 380), "{last:?}");
}

/// Starts a proxy for the queue that loses responses, sometimes throttles, and sometimes fails some entries of a call.
fn faulty(moto: Address) -> String {
    let number = AtomicUsize::new(0);
    support::web::serve(move |asked| {
        let number = number.fetch_add(1, Ordering::Relaxed);
        let target = asked.header("x-amz-target").unwrap();
        let refusal = |status, code: &str| (status, json!({"__type": format!("com.amazonaws.sqs#{code}")}).to_string());
        if number % 7 == 3 {
            return refusal(400, "ThrottlingException");
        }
        let mut body: Value = serde_json::from_str(&asked.body).unwrap();
        let mut failed = Vec::new();
        if target == "AmazonSQS.DeleteMessageBatch" && number.is_multiple_of(3) {
            let entries = body["Entries"].as_array_mut().unwrap();
            failed = entries.split_off(entries.len() / 2);
        }
        let mut answer = json!({});
        if body["Entries"].as_array().is_none_or(|entries| !entries.is_empty()) {
            answer = serde_json::from_str(&moto.json("sqs", target, &body.to_string())).unwrap();
        }
        if number % 11 == 5 {
            return refusal(500, "InternalError");
        }
        if !failed.is_empty() {
            let entry = |entry: &Value| json!({"Id": entry["Id"], "SenderFault": false, "Code": "InternalError"});
            answer["Failed"] = failed.iter().map(entry).collect();
        }
        (200, answer.to_string())
    })
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs moto: make test-moto"]
async fn nothing_is_lost_and_nothing_left_where_answers_get_lost_and_deletions_fail() {
    const RECORDS: usize = 300;
    let scene = Scene::new("orders", json!({})).await;
    scene.send((0..RECORDS).map(|id| order(id, "c", 1)), &[]);
    let mut consumer = scene.consume(&["--visibility-timeout", "15"]);
    let process = Running::start(consumer.env("AWS_ENDPOINT_URL_SQS", faulty(*scene.moto)));
    scene.drained();
    let output = process.end("-TERM");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(scene.items().await, RECORDS as u64);
    let log = String::from_utf8_lossy(&output.stderr);
    let ended: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    let received = ended["received"].as_u64().unwrap();
    assert!(received < RECORDS as u64 * 21 / 20, "deletions that fail are repeated: {log}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs moto: make test-moto"]
async fn poison_stays_in_the_queue_and_a_termination_gives_back_what_was_not_begun() {
    let scene = Scene::new("orders", json!({"VisibilityTimeout": "30"})).await;
    scene.send((0..5).map(|id| order(id, "c", 1)), &[]);
    let poison = json!({"QueueUrl": scene.queue, "MessageBody": "not avro"}).to_string();
    scene.moto.json("sqs", "AmazonSQS.SendMessage", &poison);
    let process = scene.start(&[]);
    while scene.items().await < 5 {
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = process.end("-TERM");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("invalid_base64") && !log.contains("not avro"), "{log}");
    let (visible, hidden) = scene.left();
    assert_eq!(visible + hidden, 1, "the poison waits for the dead-letter queue");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs moto: make test-moto"]
async fn what_cannot_run_says_so_and_ends_with_2() {
    let scene = Scene::new("orders", json!({})).await;
    let mut scene = scene;
    let queue = std::mem::replace(&mut scene.queue, format!("{}/123456789012/nothing", scene.moto.url()));
    let output = scene.consume(&["--once"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains(&scene.queue), "{output:?}");
    scene.queue = queue;
    for (variable, value, said) in [
        ("TABLE_NAME", "", "TABLE_NAME is required"),
        ("SCHEMA_DIR", "/no/such/folder", "/no/such/folder"),
        ("MAX_WAIT_TIME_MS", "soon", "MAX_WAIT_TIME_MS"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1", "Connection refused"),
    ] {
        let output = scene.consume(&["--once"]).env(variable, value).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{variable}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(said), "{variable}: {output:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs moto: make test-moto"]
async fn what_was_quarantined_for_want_of_a_schema_is_replayed_once_the_schema_is_there() {
    let scene = Scene::new("orders", json!({})).await;
    let quarantine = json!({"QueueName": "quarantine"}).to_string();
    let quarantine: Value =
        serde_json::from_str(&scene.moto.json("sqs", "AmazonSQS.CreateQueue", &quarantine)).unwrap();
    let quarantine = quarantine["QueueUrl"].as_str().unwrap().to_owned();
    let poison = json!({"QueueUrl": scene.queue, "MessageBody": "not avro"}).to_string();
    scene.moto.json("sqs", "AmazonSQS.SendMessage", &poison);
    scene.send((0..3).map(|id| order(id, "c", 1)), &[]);
    // the producer uses a newer schema version than the consumer
    let schemas = std::env::temp_dir().join(format!("ingest-consume-schemas-{}", std::process::id()));
    std::fs::create_dir_all(schemas.join("order")).unwrap();
    let first = include_str!("../../schemas/order/1.avsc");
    std::fs::write(schemas.join("order/1.avsc"), first).unwrap();
    let mut second: Value = serde_json::from_str(first).unwrap();
    second["fields"].as_array_mut().unwrap().push(json!({"name": "note", "type": "string", "default": ""}));
    std::fs::write(schemas.join("order/2.avsc"), second.to_string()).unwrap();
    let newer = |id: usize| {
        let mut order = order(id, "c", 1);
        order["note"] = json!("new");
        order
    };
    let schemas = schemas.to_str().unwrap();
    let lines: String = (3..8).map(|id| format!("{}\n", newer(id))).collect();
    std::fs::write(&scene.orders, lines).unwrap();
    let file = scene.orders.to_str().unwrap();
    let send = ["send", "--queue-url", &scene.queue, "--schemas", schemas, "--schema", "order", file];
    assert!(scene.moto.ingest(&send).status.success());

    let consume = |schemas: Option<&str>| {
        let mut command = scene.consume(&["--once"]);
        command.env("QUARANTINE_QUEUE_URL", &quarantine);
        schemas.map(|schemas| command.env("SCHEMA_DIR", schemas));
        command.output().unwrap()
    };
    let output = consume(None);
    assert_eq!((sum(&output, "MessagesStored"), sum(&output, "MessagesQuarantined")), (3.0, 6.0), "{output:?}");
    let replay = ["replay", "--from", &quarantine, "--to", &scene.queue, "--schemas", schemas, "--reason"];
    let replayed = scene.moto.ingest(&[&replay[..], &["unknown_schema"]].concat());
    assert_eq!(replayed.status.code(), Some(0), "{replayed:?}");
    let output = consume(Some(schemas));
    assert_eq!((sum(&output, "MessagesStored"), scene.left()), (5.0, (0, 0)), "{output:?}");
    assert_eq!(scene.items().await, 8);
    let inspected = scene.moto.ingest(&["inspect", "--queue-url", &quarantine, "--schemas", schemas]);
    let shown = String::from_utf8_lossy(&inspected.stdout);
    assert_eq!((shown.matches("message ").count(), shown.contains("invalid_base64")), (1, true), "{shown}");
    let _ = std::fs::remove_dir_all(schemas);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs moto: make test-moto"]
async fn ten_large_messages_of_one_poll_are_read() {
    let scene = Scene::new("orders", json!({"VisibilityTimeout": "30", "MaximumMessageSize": "1048576"})).await;
    // each message is near the maximum size, and a poll returns ten
    let customer = "c".repeat(20_000);
    scene.send((0..300).map(|id| order(id, &customer, 1)), &["--records-per-message", "30"]);
    assert_eq!(scene.left(), (10, 0));
    let output = scene.consume(&["--once"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!((scene.items().await, scene.left()), (300, (0, 0)), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs moto: make test-moto"]
async fn a_queue_that_is_silent_keeps_no_consumer_beyond_the_shutdown_timeout() {
    let scene = Scene::new("orders", json!({})).await;
    let moto = *scene.moto;
    let (asked, receives) = mpsc::channel();
    let silent = support::web::serve(move |request| {
        let target = request.header("x-amz-target").unwrap();
        if target == "AmazonSQS.ReceiveMessage" {
            asked.send(()).unwrap();
            std::thread::sleep(Duration::from_secs(60));
        }
        (200, moto.json("sqs", target, &request.body))
    });
    let mut consumer = scene.consume(&["--shutdown-timeout", "1"]);
    let process = Running::start(consumer.env("AWS_ENDPOINT_URL_SQS", silent));
    receives.recv().unwrap();
    let (ended, ends) = mpsc::channel();
    std::thread::spawn(move || ended.send(process.end("-TERM")).unwrap());
    let output = ends.recv_timeout(Duration::from_secs(8)).expect("the process ends after the timeout");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}
