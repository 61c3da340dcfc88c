//! Tests `ingest replay` against an SQS emulator that follows the documentation, with faults and signals.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[allow(dead_code, reason = "each test uses what it needs of the support")]
mod support;

use local::sqs::{Attribute, Call, EntryRefusal, ErrorCode, Fault, Message, Service, seeded};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// Two queues, and a folder for journals.
struct Scene {
    service: Service,
    folder: PathBuf,
    from: &'static str,
    to: &'static str,
}

impl Scene {
    fn new(from: &'static str, to: &'static str) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("ingest-replay-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let service = Service::start(0).unwrap();
        service.create(from);
        service.create(to);
        service.limit_long_polls(Duration::from_millis(10));
        Self { service, folder, from, to }
    }

    /// Creates a scene with `count` messages in `from`. Their bodies are 0, 1, ..., and they alternate between `groups` groups.
    fn filled(from: &'static str, to: &'static str, count: usize, groups: usize) -> Self {
        let scene = Self::new(from, to);
        (0..count).for_each(|number| scene.put(&number.to_string(), &format!("g{}", number % groups)));
        scene
    }

    fn put(&self, body: &str, group: &str) {
        let message = Message::text(body).in_group(group).with_deduplication_id(body);
        self.service.send(self.from, message).unwrap();
    }

    fn url(&self, queue: &str) -> String {
        format!("{}/000000000000/{queue}", self.service.url())
    }

    fn command(&self, more: &[&str]) -> Command {
        self.command_between(&self.url(self.from), &self.url(self.to), more)
    }

    fn command_between(&self, from: &str, to: &str, more: &[&str]) -> Command {
        let mut command = support::tool();
        command
            .current_dir(&self.folder)
            .args(["replay", "--from", from, "--to", to, "--json"])
            .args(["--schemas", concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas")])
            .args(more)
            .env("AWS_ENDPOINT_URL_SQS", self.service.url())
            .envs([("AWS_REGION", "us-east-1"), ("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
            .env_remove("AWS_PROFILE")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, more: &[&str]) -> Run {
        Run::of(self.command(more).output().unwrap())
    }

    fn run_between(&self, from: &str, to: &str, more: &[&str]) -> Run {
        Run::of(self.command_between(from, to, more).output().unwrap())
    }

    /// Starts the command. Returns when it makes call number `at` of `operation`, which `fault` delays.
    fn start(&self, more: &[&str], operation: &'static str, at: u64, fault: Fault) -> Child {
        let (sender, receiver) = mpsc::channel();
        self.service.inject(move |call: &Call| {
            let is_it = call.operation == operation && call.of_operation == at;
            is_it.then(|| {
                let _ = sender.send(());
                fault.clone()
            })
        });
        let child = self.command(more).spawn().unwrap();
        receiver.recv_timeout(Duration::from_secs(60)).unwrap();
        child
    }

    fn bodies(&self, queue: &str) -> Vec<String> {
        self.service.held(queue).into_iter().map(|held| held.message.body).collect()
    }

    /// Returns the message bodies of a queue by group, in order.
    fn by_group(&self, queue: &str) -> BTreeMap<String, Vec<usize>> {
        let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for held in self.service.held(queue) {
            let message = held.message;
            groups.entry(message.group.unwrap_or_default()).or_default().push(message.body.parse().unwrap());
        }
        groups
    }

    fn journal(&self) -> PathBuf {
        self.folder.join(format!("replay-{}.journal", self.from))
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[derive(Debug)]
struct Run {
    code: Option<i32>,
    report: Value,
    stderr: String,
}

impl Run {
    fn of(output: Output) -> Self {
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!stderr.contains("panicked"), "{stderr}");
        Self { code: output.status.code(), report: serde_json::from_slice(&output.stdout).unwrap_or_default(), stderr }
    }

    fn count(&self, name: &str) -> u64 {
        self.report[name].as_u64().unwrap_or_else(|| panic!("{name}: {self:?}"))
    }
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

#[test]
fn every_message_is_moved_with_its_attributes_and_its_own_reason() {
    let scene = Scene::new("dead", "orders");
    let own = Message::text("x")
        .with("reason", Attribute::String("too late".into()))
        .with("source_message_id", Attribute::String("mine".into()))
        .with("count", Attribute::Number("7".into()))
        .with("avro", Attribute::Binary(vec![1, 2].into()));
    scene.service.send("dead", own.clone()).unwrap();
    (0..25).for_each(|number| scene.put(&number.to_string(), "g"));
    let run = scene.run(&[]);
    assert_eq!((run.code, run.count("moved")), (Some(0), 26), "{run:?}");
    assert!(scene.bodies("dead").is_empty());
    assert_eq!(scene.service.held("orders").len(), 26);
    let moved = scene.service.held("orders").into_iter().find(|held| held.message.body == "x").unwrap().message;
    assert_eq!(moved.attributes, own.attributes);
    assert!(!scene.journal().exists());
}

#[test]
fn one_queue_under_two_names_is_refused() {
    let scene = Scene::filled("dead", "orders", 3, 1);
    for (from, to) in [
        (scene.url("dead"), "dead".to_owned()),
        ("arn:aws:sqs:us-east-1:000000000000:dead".to_owned(), scene.url("dead")),
        ("dead".to_owned(), format!("{}/", scene.url("dead"))),
    ] {
        let run = scene.run_between(&from, &to, &[]);
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(run.stderr.contains(&format!("--from {from} and --to {to} are one queue")), "{run:?}");
    }
    assert!(scene.service.calls().iter().all(|call| call.operation == "GetQueueUrl"));
}

#[test]
fn messages_that_are_held_longer_than_their_timeout_are_looked_at_once() {
    let scene = Scene::filled("dead", "orders", 100, 1);
    // twice as long as the visibility timeout
    scene
        .service
        .inject(|call: &Call| (call.operation == "ReceiveMessage").then_some(Fault::Slow(Duration::from_millis(400))));
    let run = scene.run(&["--reason", "unknown_schema", "--visibility-timeout", "2"]);
    assert_eq!((run.code, run.count("moved")), (Some(0), 0), "{run:?}");
    let held = scene.service.held("dead");
    assert_eq!(held.iter().filter(|held| held.receive_count == 1).count(), 100);
    assert_eq!(scene.service.counts("dead"), (100, 0), "all are visible again");
}

#[test]
fn a_run_that_may_not_extend_ends_with_the_cause() {
    let scene = Scene::filled("dead", "orders", 30, 1);
    scene.service.inject(|call: &Call| match call.operation.as_str() {
        "ChangeMessageVisibilityBatch" => Some(Fault::Error(ErrorCode::AccessDeniedException)),
        _ => Some(Fault::Slow(Duration::from_millis(300))),
    });
    let run = scene.run(&["--reason", "unknown_schema", "--visibility-timeout", "1"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("held messages are redelivered: AccessDeniedException"), "{run:?}");
    assert_eq!(scene.bodies("dead").len(), 30);
}

#[test]
fn a_dry_run_of_a_fifo_queue_says_what_it_cannot_see() {
    let scene = Scene::filled("dead.fifo", "orders.fifo", 50, 1);
    let run = scene.run(&["--dry-run"]);
    assert_eq!((run.code, run.report["behind"].as_u64()), (Some(1), Some(40)), "{run:?}");
    assert_eq!(run.report["in_front"][0]["group"], "g0");
    assert!(run.stderr.contains("about 40 messages were not seen"), "{run:?}");
    assert_eq!(scene.service.counts("dead.fifo"), (50, 0));
    let few = Scene::filled("dead.fifo", "orders.fifo", 5, 2);
    let run = few.run(&["--dry-run"]);
    assert_eq!((run.code, run.report["behind"].as_u64()), (Some(0), Some(0)), "{run:?}");
}

#[test]
fn a_filter_on_a_fifo_queue_says_what_is_in_front_and_rest_to_moves_it_out_of_the_way() {
    let scene = Scene::new("dead.fifo", "orders.fifo");
    scene.service.create("rest.fifo");
    let event: Value = serde_json::from_str(include_str!("../../events/orders.json")).unwrap();
    let order = event["Records"][0]["body"].as_str().unwrap();
    scene.put("not avro", "a");
    for number in 0..14 {
        let message = Message::text(order).in_group("a").with_deduplication_id(number.to_string());
        scene.service.send("dead.fifo", message).unwrap();
    }
    let run = scene.run(&["--schema", "order"]);
    assert_eq!((run.code, run.count("moved"), run.count("behind")), (Some(1), 9, 5), "{run:?}");
    let front = scene.service.held("dead.fifo").remove(0).message_id;
    assert!(
        run.stderr.contains(&format!("group a: message {front} is in front (the filter does not select it)")),
        "{run:?}"
    );
    assert!(run.stderr.contains("--rest-to"));

    let run = scene.run(&["--schema", "order", "--rest-to", &scene.url("rest.fifo")]);
    assert_eq!((run.code, run.count("moved"), run.count("set_aside")), (Some(0), 5, 1), "{run:?}");
    assert_eq!(scene.bodies("rest.fifo"), ["not avro"]);
    assert_eq!(scene.bodies("orders.fifo").len(), 14);
    assert!(scene.bodies("dead.fifo").is_empty());
}

#[test]
fn a_fifo_group_that_another_consumer_has_locked_is_not_taken_for_empty() {
    let scene = Scene::filled("dead.fifo", "orders.fifo", 15, 1);
    let mut child = scene.start(&["--visibility-timeout", "600"], "SendMessageBatch", 1, Fault::Hang);
    signal(&child, "KILL");
    wait(&mut child);
    scene.service.inject(|_: &Call| None);
    let other = scene.folder.join("other.journal");
    let run = scene.run(&["--journal", other.to_str().unwrap()]);
    assert_eq!((run.code, run.count("moved"), run.count("behind")), (Some(1), 0, 5), "{run:?}");
    assert!(run.stderr.contains("another consumer"), "{run:?}");
}

#[test]
fn a_signal_during_a_call_waits_for_its_response_and_counts_it() {
    for name in ["INT", "TERM", "HUP"] {
        let scene = Scene::filled("dead", "orders", 40, 1);
        let mut child = scene.start(&[], "SendMessageBatch", 2, Fault::Slow(Duration::from_millis(700)));
        signal(&child, name);
        let run = Run::of(wait(&mut child));
        assert_eq!(
            (run.code, run.count("moved"), &run.report["ended"]),
            (Some(1), 20, &json!("interrupted")),
            "{run:?}"
        );
        assert_eq!(scene.bodies("orders").len(), 20);
        assert_eq!(scene.service.counts("dead"), (20, 0), "the others are visible at once");
        assert!(!scene.journal().exists(), "nothing is in both queues");
        let run = scene.run(&[]);
        assert_eq!((run.code, run.count("moved")), (Some(0), 20));
        let bodies = scene.bodies("orders");
        assert_eq!(
            (bodies.len(), bodies.into_iter().collect::<BTreeSet<_>>()),
            (40, numbers(40).into_iter().collect())
        );
    }
}

fn wait(child: &mut Child) -> Output {
    let status = child.wait().unwrap();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    child.stdout.take().map(|mut pipe| pipe.read_to_end(&mut stdout));
    child.stderr.take().map(|mut pipe| pipe.read_to_end(&mut stderr));
    Output { status, stdout, stderr }
}

#[test]
fn a_signal_cuts_a_call_short_that_gets_no_response() {
    let scene = Scene::filled("dead", "orders", 20, 1);
    let started = local::clock::now();
    let mut child = scene.start(&[], "SendMessageBatch", 1, Fault::Hang);
    signal(&child, "TERM");
    let run = Run::of(wait(&mut child));
    assert!(local::clock::now() - started < Duration::from_secs(25), "a call may take 30 s");
    assert_eq!((run.code, run.count("moved"), run.count("maybe_in_both_queues")), (Some(1), 0, 10), "{run:?}");
    assert!(run.stderr.contains("10 messages may be in both queues"));
    assert_eq!(scene.service.counts("dead"), (20, 0));
}

#[test]
fn a_signal_before_the_first_receive_ends_at_once() {
    let scene = Scene::filled("dead", "orders", 5, 1);
    let (sender, receiver) = mpsc::channel();
    scene.service.inject(move |_: &Call| {
        let _ = sender.send(());
        Some(Fault::Hang)
    });
    let started = local::clock::now();
    let mut child = scene.command_between("dead", "orders", &[]).spawn().unwrap();
    receiver.recv_timeout(Duration::from_secs(60)).unwrap();
    signal(&child, "TERM");
    assert_eq!(wait(&mut child).status.code(), Some(1));
    assert!(local::clock::now() - started < Duration::from_secs(25), "a call may take 30 s");
    assert!(!scene.journal().exists());
}

#[test]
fn a_second_signal_ends_at_once_and_the_journal_knows_what_was_accepted() {
    let scene = Scene::filled("dead", "orders", 20, 1);
    let mut child = scene.start(&["--visibility-timeout", "1"], "DeleteMessageBatch", 1, Fault::Hang);
    signal(&child, "TERM");
    let mut first = [0];
    child.stderr.as_mut().unwrap().read_exact(&mut first).unwrap();
    signal(&child, "INT");
    assert_eq!(wait(&mut child).status.code(), Some(130));
    assert_eq!((scene.bodies("orders").len(), scene.bodies("dead").len()), (10, 20));
    scene.service.inject(|_: &Call| None);
    let run = scene.run(&["--visibility-timeout", "1"]);
    assert_eq!((run.code, run.count("moved"), run.count("finished")), (Some(0), 10, 10), "{run:?}");
    assert!(run.stderr.contains("an earlier run was killed"), "{run:?}");
    assert_eq!(scene.bodies("orders").len(), 20, "none is sent twice");
    assert!(scene.bodies("dead").is_empty() && !scene.journal().exists());
}

#[test]
fn a_refused_message_stops_its_group_and_nothing_else() {
    for (from, to, moved) in [("dead", "orders", 29), ("dead.fifo", "orders.fifo", 21)] {
        let scene = Scene::filled(from, to, 30, 3);
        scene.service.refuse_entries(to, |message| {
            (message.body == "4").then(|| EntryRefusal { code: "InvalidMessageContents".into(), sender_fault: true })
        });
        let run = scene.run(&[]);
        assert_eq!((run.code, run.count("moved")), (Some(1), moved), "{run:?}");
        assert!(run.stderr.contains("refused: InvalidMessageContents"), "{run:?}");
        let groups = scene.by_group(to);
        assert_eq!((groups["g0"].len(), groups["g2"].len()), (10, 10));
        if to == "orders.fifo" {
            assert_eq!(groups["g1"], [1], "nothing overtakes message 4");
            assert_eq!(scene.by_group(from)["g1"], [4, 7, 10, 13, 16, 19, 22, 25, 28]);
            assert!(run.stderr.contains("behind message"), "{run:?}");
        }
        assert_eq!(scene.service.counts(from).1, 0);
    }
}

#[test]
fn a_fifo_group_keeps_its_order_when_entries_fail() {
    let scene = Scene::filled("dead.fifo", "orders.fifo", 30, 2);
    scene.service.inject(|call: &Call| {
        (call.operation == "SendMessageBatch" && call.of_operation.is_multiple_of(2))
            .then(|| Fault::FailEntries(vec![0]))
    });
    let run = scene.run(&[]);
    assert_eq!((run.code, run.count("moved")), (Some(0), 30), "{run:?}");
    for (group, bodies) in scene.by_group("orders.fifo") {
        assert!(bodies.is_sorted() && bodies.len() == 15, "{group}: {bodies:?}");
    }
}

#[test]
fn a_message_that_cannot_be_deleted_is_reported_and_only_deleted_by_the_next_run() {
    let failing: [fn(&Call) -> Option<Fault>; 2] = [
        |call| (call.operation == "DeleteMessageBatch").then(|| Fault::FailEntries(vec![0])),
        |call| (call.operation == "DeleteMessageBatch").then_some(Fault::Error(ErrorCode::AccessDeniedException)),
    ];
    for (fail, accepted, both) in [(failing[0], 10, 1), (failing[1], 10, 10)] {
        let scene = Scene::filled("dead", "orders", 10, 1);
        scene.service.inject(fail);
        let run = scene.run(&[]);
        assert_eq!((run.code, run.count("moved"), run.count("in_both_queues")), (Some(1), accepted, both), "{run:?}");
        assert!(run.stderr.contains("are in both queues") && run.stderr.contains("replay-dead.journal"), "{run:?}");
        scene.service.inject(|_: &Call| None);
        let run = scene.run(&[]);
        assert_eq!((run.code, run.count("moved"), run.count("finished")), (Some(0), 0, both), "{run:?}");
        assert_eq!((scene.bodies("orders").len(), scene.bodies("dead").len()), (10, 0));
        assert!(!scene.journal().exists());
    }
}

#[test]
fn a_journal_of_another_move_is_refused_and_nothing_is_moved() {
    let scene = Scene::filled("dead", "orders", 10, 1);
    scene.service.create("others");
    scene.service.inject(|call: &Call| {
        (call.operation == "DeleteMessageBatch").then_some(Fault::Error(ErrorCode::AccessDeniedException))
    });
    assert_eq!(scene.run(&[]).code, Some(1));
    let run = scene.run_between(&scene.url("dead"), &scene.url("others"), &[]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("000000000000/dead to 000000000000/orders"), "{run:?}");
    assert!(scene.bodies("others").is_empty());
    let run = scene.run(&["--journal", "/nowhere/journal"]);
    assert_eq!(run.code, Some(2), "{run:?}");
}

#[test]
fn a_receive_without_a_response_loses_nothing_and_is_waited_for() {
    for (from, to) in [("dead", "orders"), ("dead.fifo", "orders.fifo")] {
        let scene = Scene::filled(from, to, 20, 2);
        scene.service.inject(|call: &Call| {
            (call.operation == "ReceiveMessage" && call.of_operation == 1).then_some(Fault::LostResponse)
        });
        let run = scene.run(&["--visibility-timeout", "2"]);
        assert_eq!((run.code, run.count("moved")), (Some(0), 20), "{run:?}");
        assert!(scene.bodies(from).is_empty());
    }
}

#[test]
fn errors_that_stay_end_the_run_with_true_counts_and_everything_visible() {
    for code in [ErrorCode::ExpiredTokenException, ErrorCode::AccessDeniedException, ErrorCode::QueueDoesNotExist] {
        let scene = Scene::filled("dead", "orders", 30, 1);
        scene.service.inject(move |call: &Call| {
            (call.operation == "SendMessageBatch" && call.of_operation > 1).then_some(Fault::Error(code))
        });
        let run = scene.run(&[]);
        assert_eq!((run.code, run.count("moved"), run.count("left")), (Some(2), 10, 10), "{run:?}");
        assert!(run.stderr.contains(code.name()) && run.stderr.contains(&scene.url("orders")), "{run:?}");
        assert_eq!((scene.bodies("orders").len(), scene.service.counts("dead")), (10, (20, 0)));
    }
}

#[test]
fn a_standard_output_that_is_closed_or_full_keeps_nothing_from_being_moved() {
    for full in [false, true] {
        let scene = Scene::filled("dead", "orders", 20, 1);
        let mut command = scene.command(&[]);
        if full {
            command.stdout(fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
        }
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let output = wait(&mut child);
        assert_eq!(output.status.code(), Some(if full { 2 } else { 141 }), "{output:?}");
        assert_eq!((scene.bodies("orders").len(), scene.bodies("dead").len()), (20, 0));
        assert!(!scene.journal().exists());
    }
}

#[test]
fn a_limit_moves_so_many_and_leaves_the_others_visible() {
    let scene = Scene::filled("dead", "orders", 30, 1);
    let run = scene.run(&["--limit", "13"]);
    assert_eq!((run.code, run.count("moved")), (Some(0), 13), "{run:?}");
    assert_eq!((scene.bodies("orders").len(), scene.service.counts("dead")), (13, (17, 0)));
}

/// Kills a replay at a random call, resumes it until it exits with code 0, and compares both queues with the input.
fn killed_and_resumed(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let kinds = [
        ("dead", "orders"),
        ("dead", "orders"),
        ("dead.fifo", "orders.fifo"),
        ("dead", "orders.fifo"),
        ("dead.fifo", "orders"),
    ];
    let (from, to) = random.choice(kinds).unwrap();
    let count = random.usize(1..45);
    let scene = Scene::filled(from, to, count, random.usize(1..5));
    let input = scene.by_group(from);
    let more = ["--visibility-timeout", "1"];

    // each message takes about three calls per ten messages: receive, send and delete
    let at = random.u64(1..=3 * (count as u64 / 10 + 2));
    let name = random.choice(["KILL", "KILL", "TERM", "INT"]).unwrap();
    let is_applied = random.bool();
    let faults = vec![
        Fault::LostRequest,
        Fault::LostResponse,
        Fault::Error(ErrorCode::RequestThrottled),
        Fault::Error(ErrorCode::ServiceUnavailable),
        Fault::FailEntries(vec![0, 3]),
        Fault::FailEntries((0..10).collect()),
        Fault::Slow(Duration::from_millis(20)),
    ];
    let share = random.choice([0.0, 0.0, 0.1, 0.25]).unwrap();
    let mut script = seeded(seed, share, faults.clone());
    let (sender, receiver) = mpsc::channel();
    scene.service.inject(move |call: &Call| {
        if call.number == at {
            let _ = sender.send(call.operation.clone());
            return Some(match (name, is_applied) {
                // the process is killed during this call, and makes no further call
                ("KILL", true) => Fault::HangAfter,
                ("KILL", false) => Fault::Hang,
                _ => Fault::Slow(Duration::from_millis(60)),
            });
        }
        script(call)
    });
    let mut child = scene.command(&more).spawn().unwrap();
    let mut killed_in = String::new();
    let mut is_done = false;
    loop {
        if let Ok(operation) = receiver.try_recv() {
            if name == "KILL" {
                killed_in = operation;
                std::thread::sleep(Duration::from_millis(20));
            }
            signal(&child, name);
            break;
        }
        if child.try_wait().unwrap().is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let first = wait(&mut child);
    is_done |= first.status.code() == Some(0);
    let stderr = String::from_utf8(first.stderr).unwrap();
    assert!(!stderr.contains("panicked"), "seed {seed}: {stderr}");
    check_nothing_lost(&scene, count, seed);

    // the first resumed run meets faults too
    scene.service.inject(seeded(seed + 1, share, faults));
    for resumption in 0..4 {
        if is_done {
            break;
        }
        if resumption == 1 {
            scene.service.inject(|_: &Call| None);
        }
        scene.service.advance(Duration::from_secs(1));
        let run = scene.run(&more);
        check_nothing_lost(&scene, count, seed);
        is_done = run.code == Some(0);
        assert!(is_done || resumption < 3, "seed {seed}: {run:?}");
    }

    assert!(scene.bodies(from).is_empty(), "seed {seed}: {:?}", scene.bodies(from));
    assert!(!scene.journal().exists(), "seed {seed}");
    let groups = scene.by_group(to);
    let is_fifo = to == "orders.fifo";
    for (group, expected) in &input {
        // a standard source does not preserve the order, and a FIFO target drops duplicates
        let bodies: Vec<usize> = match (from, to) {
            ("dead.fifo", "orders.fifo") => groups[group].clone(),
            _ => {
                let mut bodies = groups[group].clone();
                bodies.sort_unstable();
                bodies
            }
        };
        let mut once = bodies.clone();
        once.dedup();
        assert_eq!(&once, expected, "seed {seed}: {group}");
        // without faults, only the call that was interrupted is repeated
        if is_fifo || (share == 0.0 && killed_in != "SendMessageBatch") {
            assert_eq!(&bodies, expected, "seed {seed}: {group} has duplicates");
        }
    }
    let moved = scene.bodies(to).len();
    assert!(share > 0.0 || moved <= count + 10, "seed {seed}: {moved} of {count}");
}

fn check_nothing_lost(scene: &Scene, count: usize, seed: u64) {
    let found: BTreeSet<String> = [scene.bodies(scene.from), scene.bodies(scene.to)].concat().into_iter().collect();
    assert_eq!(
        found.len(),
        count,
        "seed {seed}: {:?}",
        numbers(count).iter().filter(|body| !found.contains(*body)).collect::<Vec<_>>()
    );
}

#[test]
fn a_killed_replay_goes_on_and_loses_nothing() {
    (0..5).for_each(killed_and_resumed);
}

/// Tests the number of seeds in `INGEST_SEEDS`, 200 by default, starting at `INGEST_FIRST_SEED`.
#[test]
#[ignore = "takes minutes: make test-kill"]
fn killed_replays_lose_nothing_over_200_seeds() {
    let number = |name: &str, default: u64| {
        #[expect(clippy::disallowed_methods, reason = "the Makefile says which seeds")]
        let value = std::env::var(name);
        value.map_or(default, |text| text.parse().unwrap())
    };
    let first = number("INGEST_FIRST_SEED", 0);
    let (next, end) = (AtomicU64::new(first), first + number("INGEST_SEEDS", 200));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    killed_and_resumed(seed);
                }
            });
        }
    });
}
