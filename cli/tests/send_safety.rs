//! Tests the guarantees of `ingest send`: it never overwrites a file, skips a record, sends a run's records under the ids of
//! another run, exceeds its rate, or ignores a signal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, reason = "each test uses what it needs of the support")]

mod support;

use local::sqs::{Attribute, EntryRefusal, ErrorCode, Fault, Message, Service, Settings};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::sending::{FIXED, Folder, aws, command, ended, order, orders, signal, text, until};

/// A service with one queue.
struct Target {
    service: Service,
    name: &'static str,
    url: String,
}

impl Target {
    fn new(name: &'static str) -> Self {
        let service = Service::start(0).unwrap();
        let url = service.create_queue(Settings::named(name));
        Self { service, name, url }
    }

    fn command(&self, folder: &Folder, arguments: &[&str]) -> Command {
        command(&self.service.url(), folder, &[&["--queue-url", &self.url], arguments].concat())
    }

    fn send(&self, folder: &Folder, arguments: &[&str]) -> Output {
        self.command(folder, arguments).output().unwrap()
    }

    fn messages(&self) -> Vec<Message> {
        self.service.held(self.name).into_iter().map(|held| held.message).collect()
    }

    /// Returns the numbers of the orders that were sent as JSON, in queue order.
    fn ids(&self) -> Vec<u32> {
        self.messages().iter().map(id_of).collect()
    }

    /// Permanently refuses these orders.
    fn refuse(&self, ids: &'static [u32]) {
        self.service.refuse_entries(self.name, move |message| {
            let refusal = EntryRefusal { code: "InvalidMessageContents".to_owned(), sender_fault: true };
            ids.contains(&id_of(message)).then_some(refusal)
        });
    }
}

fn id_of(message: &Message) -> u32 {
    let order: Value = serde_json::from_str(&message.body).unwrap();
    order["order_id"].as_str().unwrap()[2..].parse().unwrap()
}

fn exit(output: &Output) -> Option<i32> {
    output.status.code()
}

const JSON: [&str; 2] = ["--wire-format", "json"];

#[test]
fn an_input_is_never_overwritten_by_whatever_name_the_output_has() {
    let (target, folder) = (Target::new("orders"), Folder::new("input-output"));
    target.refuse(&[2]);
    let content = orders(3);
    folder.file("unsent.jsonl", content.as_bytes());
    symlink(folder.0.join("unsent.jsonl"), folder.0.join("symbolic")).unwrap();
    fs::hard_link(folder.0.join("unsent.jsonl"), folder.0.join("hard")).unwrap();
    for (option, name) in
        [("--unsent", "unsent.jsonl"), ("--unsent", "symbolic"), ("--unsent", "hard"), ("--journal", "hard")]
    {
        let output = target.send(&folder, &[&JSON[..], &[option, name, "--overwrite", "unsent.jsonl"]].concat());
        assert_eq!(exit(&output), Some(2), "{output:?}");
        assert!(text(&output.stderr).contains("is the input"), "{output:?}");
    }
    assert_eq!((target.ids(), folder.read("unsent.jsonl")), (vec![], content.clone()));
    assert_eq!(folder.names(), ["hard", "symbolic", "unsent.jsonl"]);

    // the unsent records of this run go to another file
    let output = target.send(&folder, &[&JSON[..], &["unsent.jsonl"]].concat());
    assert_eq!((exit(&output), target.ids()), (Some(1), vec![1, 3]), "{output:?}");
    assert_eq!(
        (folder.read("unsent.jsonl"), folder.read("unsent-2.jsonl")),
        (content.clone(), format!("{}\n", order(2)))
    );

    // standard input is recognised as well
    let input = fs::File::open(folder.0.join("unsent.jsonl")).unwrap();
    let output = target.command(&folder, &["--unsent", "unsent.jsonl"]).stdin(input).output().unwrap();
    assert_eq!((exit(&output), folder.read("unsent.jsonl")), (Some(2), content), "{output:?}");
}

#[test]
fn an_older_file_stays_as_it_is_unless_it_may_be_replaced() {
    let (target, folder) = (Target::new("orders"), Folder::new("older"));
    target.refuse(&[2]);
    folder.file("orders.jsonl", orders(3).as_bytes());
    folder.file("unsent.jsonl", b"older\n");
    let send = |more: &[&str]| target.send(&folder, &[&JSON[..], more, &["orders.jsonl"]].concat());
    let output = send(&[]);
    assert_eq!(
        (exit(&output), target.ids(), folder.read("unsent.jsonl")),
        (Some(2), vec![], "older\n".to_owned()),
        "{output:?}"
    );
    assert!(text(&output.stderr).contains("unsent.jsonl exists: name another file by --unsent"), "{output:?}");
    assert_eq!(folder.names(), ["orders.jsonl", "unsent.jsonl"]);
    let output = send(&["--overwrite"]);
    assert_eq!(
        (exit(&output), target.ids(), folder.read("unsent.jsonl")),
        (Some(1), vec![1, 3], format!("{}\n", order(2))),
        "{output:?}"
    );
    // a file that is not a journal is not overwritten
    folder.file("orders.jsonl.journal", b"mine\n");
    let output = send(&["--overwrite"]);
    assert_eq!((exit(&output), folder.read("orders.jsonl.journal")), (Some(2), "mine\n".to_owned()), "{output:?}");
}

#[test]
fn a_folder_that_is_missing_or_a_disk_that_is_full_is_found_before_the_first_call() {
    let (target, folder) = (Target::new("orders"), Folder::new("no-space"));
    folder.file("orders.jsonl", orders(3).as_bytes());
    for arguments in
        [["--unsent", "missing/unsent.jsonl"], ["--journal", "missing/journal"], ["--journal", "/dev/full"]]
    {
        let output = target.send(&folder, &[&arguments[..], &["orders.jsonl"]].concat());
        assert_eq!((exit(&output), target.messages().len()), (Some(2), 0), "{output:?}");
    }
    // limits the size of each file to 64 KiB
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -f 64; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_ingest")]).args(FIXED);
    let output = aws(&mut limited, &target.service.url())
        .current_dir(&folder.0)
        .args(["--queue-url", &target.url, "orders.jsonl"])
        .output()
        .unwrap();
    assert_eq!((exit(&output), target.messages().len()), (Some(2), 0), "{output:?}");
    assert_eq!(folder.names(), ["orders.jsonl"]);
}

#[test]
fn a_disk_that_is_full_by_then_stops_the_run_before_a_call_and_every_record_is_somewhere() {
    let (target, folder) = (Target::new("orders"), Folder::new("full-later"));
    target.service.refuse_entries("orders", |message| {
        let is_refused = id_of(message).is_multiple_of(2);
        is_refused.then(|| EntryRefusal { code: "InvalidMessageContents".to_owned(), sender_fault: true })
    });
    // 60 records of 100,000 bytes, and a limit of a few megabytes
    let lines: String = (1..=60).map(|id| format!("{}\n", large_order(id))).collect();
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -f 3000; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_ingest")]).args(FIXED);
    let mut process = aws(&mut limited, &target.service.url())
        .current_dir(&folder.0)
        .args(["--queue-url", &target.url, "--wire-format", "json", "--concurrency", "2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = process.stdin.take().unwrap();
    std::thread::spawn(move || {
        // the process may end before it has read everything
        let _ = stdin.write_all(lines.as_bytes());
    });
    let output = ended(process);
    let said = text(&output.stderr);
    assert_eq!(exit(&output), Some(2), "{said}");
    let name = folder.names().into_iter().find(|name| name.starts_with("unsent.jsonl")).unwrap();
    let kept: BTreeSet<u32> = folder.read(&name).lines().map(|line| id_of(&Message::text(line))).collect();
    let sent: BTreeSet<u32> = target.ids().into_iter().collect();
    assert!(sent.iter().all(|id| id % 2 == 1) && !sent.is_empty(), "{sent:?}");
    let all: BTreeSet<u32> = kept.union(&sent).copied().collect();
    let last = all.last().copied().unwrap();
    assert!(last < 60, "the limit was reached: {last}");
    assert!((1..=last).all(|id| all.contains(&id)), "{all:?} {said}");
}

#[test]
fn a_journal_goes_on_with_the_same_run_and_refuses_another() {
    let (target, folder) = (Target::new("orders"), Folder::new("journal"));
    let other = target.service.create_queue(Settings::named("other"));
    folder.file("orders.jsonl", orders(30).as_bytes());
    // the second call is denied permanently, whereas expired credentials would be reloaded
    target.service.inject(|call| (call.number == 2).then_some(Fault::Error(ErrorCode::AccessDeniedException)));
    let base = ["--wire-format", "json", "--concurrency", "1"];
    let output = target.send(&folder, &[&base[..], &["orders.jsonl"]].concat());
    assert_eq!((exit(&output), target.ids().len()), (Some(2), 10), "{output:?}");
    let said = text(&output.stderr);
    assert!(said.contains("AccessDenied") && said.contains("10 messages were sent before"), "{said}");
    assert!(said.contains("the same command goes on, by orders.jsonl.journal; --from-line 11 goes on"), "{said}");

    let calls = target.service.calls().len();
    for (arguments, named) in [
        (&["--queue-url", &other][..], "it is of the queue"),
        (&["--wire-format", "container"], "--wire-format was json, and is container"),
        (&["--attribute", "source=secret"], "--attribute source was not given"),
        (&["--from-line", "12"], "--from-line 11"),
    ] {
        let mut all: Vec<&str> = if arguments[0] == "--wire-format" { vec![] } else { base.to_vec() };
        all.extend(if arguments[0] == "--queue-url" { vec![] } else { vec!["--queue-url", &target.url] });
        all.extend(arguments.iter().chain(&["orders.jsonl"]));
        let output = command(&target.service.url(), &folder, &all).output().unwrap();
        assert_eq!(exit(&output), Some(2), "{output:?}");
        assert!(text(&output.stderr).contains(named) && !text(&output.stderr).contains("secret"), "{output:?}");
    }
    let input = folder.read("orders.jsonl");
    folder.file("orders.jsonl", input.replace("o-00030", "o-00031").as_bytes());
    let output = target.send(&folder, &[&base[..], &["orders.jsonl"]].concat());
    assert_eq!(exit(&output), Some(2), "{output:?}");
    assert!(text(&output.stderr).contains("the file has changed since"), "{output:?}");
    assert_eq!(target.service.calls().len(), calls, "nothing was sent");

    folder.file("orders.jsonl", input.as_bytes());
    let output = target.send(&folder, &[&base[..], &["--json", "orders.jsonl"]].concat());
    assert_eq!((exit(&output), target.ids()), (Some(0), (1..=30).collect()), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((report["records"].as_u64(), report["sent_before"].as_u64()), (Some(20), Some(10)));
    assert_eq!(folder.names(), ["orders.jsonl"]);
    // the previous run is complete, so a new file with the same name is a new run
    folder.file("orders.jsonl", orders(2).as_bytes());
    let output = target.send(&folder, &[&base[..], &["orders.jsonl"]].concat());
    assert_eq!((exit(&output), target.ids().len()), (Some(0), 32), "{output:?}");
}

#[test]
fn a_run_that_stops_again_counts_its_own_messages_and_no_value_of_an_attribute_is_printed() {
    let (target, folder) = (Target::new("orders"), Folder::new("again"));
    folder.file("orders.jsonl", orders(30).as_bytes());
    let base = ["--wire-format", "json", "--concurrency", "1", "orders.jsonl"];
    let with = |value: &str| target.send(&folder, &[&base[..], &["--attribute", &format!("a={value}")]].concat());
    target.service.inject(|call| (call.number >= 2).then_some(Fault::Error(ErrorCode::AccessDeniedException)));
    let output = with("secret-one");
    assert!(text(&output.stderr).contains("10 messages were sent before;"), "{output:?}");
    let output = with("secret-one");
    let (said, printed) = (text(&output.stderr), text(&output.stdout));
    assert_eq!(exit(&output), Some(2), "{output:?}");
    assert!(printed.contains("10 records were sent before") && said.contains("0 messages were sent by this run;"));
    let output = with("secret-two");
    assert_eq!(exit(&output), Some(2), "{output:?}");
    let said = text(&output.stderr);
    assert!(said.contains("--attribute a had another value") && !said.contains("secret"), "{said}");
}

#[test]
fn an_advice_to_begin_where_the_run_began_is_left_out() {
    let (target, folder) = (Target::new("orders"), Folder::new("first-line"));
    folder.file("orders.jsonl", orders(30).as_bytes());
    let is_called = Arc::new(AtomicBool::new(false));
    let called = Arc::clone(&is_called);
    target.service.inject(move |_| {
        called.store(true, Ordering::Relaxed);
        Some(Fault::Hang)
    });
    let mut process = target.command(&folder, &["--wire-format", "json", "--concurrency", "1", "orders.jsonl"]);
    let process = process.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the first call", || is_called.load(Ordering::Relaxed));
    signal("-TERM", &process);
    let output = ended(process);
    let said = text(&output.stderr);
    assert!(said.contains("interrupted: the same command goes on, by orders.jsonl.journal\n"), "{said}");
}

#[test]
fn arguments_are_checked_before_the_first_record_is_read() {
    let (target, folder) = (Target::new("orders"), Folder::new("arguments"));
    let send =
        |arguments: &[&str]| command(&target.service.url(), &folder, arguments).stdin(Stdio::null()).output().unwrap();
    let host = target.url.strip_suffix("/000000000000/orders").unwrap();
    for url in
        ["nonsense", "", "orders.fifo", "https://", host, &format!("{host}/"), &format!("{host}/1/a b"), "ftp://h/1/q"]
    {
        let output = send(&["--queue-url", url, "--group-id", "customer_id"]);
        assert_eq!(exit(&output), Some(2), "{url}: {output:?}");
        assert!(text(&output.stderr).contains("is not the URL of a queue"), "{url}: {output:?}");
    }
    let long = format!("{}=secret", "a".repeat(257));
    for attribute in [
        "AWS.x=secret",
        "aws.x=secret",
        "Amazon.x=secret",
        ".a=secret",
        "a.=secret",
        "a..b=secret",
        "a b=secret",
        "=secret",
        "secret",
        "a=",
        "a=secret\u{1}",
        "avro=secret",
        "schema=secret",
        &long,
    ] {
        let output = send(&["--queue-url", &target.url, "--attribute", attribute]);
        assert_eq!(exit(&output), Some(2), "{attribute}: {output:?}");
        let said = text(&output.stderr);
        assert!(said.contains("attribute") && !said.contains("secret"), "{attribute}: {said}");
    }
    let most = format!("{}=x", "a".repeat(256));
    let output = send(&["--queue-url", &target.url, "--attribute", &most, "--attribute", "Aws-x.y_z=x=y"]);
    assert_eq!((exit(&output), target.service.calls().len()), (Some(0), 0), "{output:?}");
}

#[test]
fn one_file_for_the_journal_and_the_unsent_records_is_named_whatever_it_is_called() {
    let (target, folder) = (Target::new("orders"), Folder::new("one-file"));
    folder.file("orders.jsonl", orders(3).as_bytes());
    fs::create_dir(folder.0.join("sub")).unwrap();
    symlink(folder.0.join("j"), folder.0.join("link")).unwrap();
    for (journal, unsent) in
        [("j", "j"), ("j", "./j"), ("sub/../j", "j"), ("link", "j"), ("unsent.jsonl", ""), ("", "orders.jsonl.journal")]
    {
        for overwrite in [&[][..], &["--overwrite"]] {
            let mut arguments = [overwrite, &["orders.jsonl"]].concat();
            arguments.extend(
                [["--journal", journal], ["--unsent", unsent]].iter().filter(|[_, name]| !name.is_empty()).flatten(),
            );
            let output = target.send(&folder, &arguments);
            assert_eq!(exit(&output), Some(2), "{journal} {unsent}: {output:?}");
            let said = text(&output.stderr);
            assert!(said.contains("--journal and --unsent name one file"), "{journal} {unsent}: {said}");
        }
    }
    assert_eq!(
        (target.messages().len(), folder.names()),
        (0, vec!["link".to_owned(), "orders.jsonl".to_owned(), "sub".to_owned()])
    );
    // a journal that records a response is not removed
    target.service.inject(|call| (call.number == 2).then_some(Fault::Error(ErrorCode::AccessDeniedException)));
    folder.file("orders.jsonl", orders(30).as_bytes());
    let base = ["--concurrency", "1", "--journal", "j", "orders.jsonl"];
    assert_eq!(exit(&target.send(&folder, &base)), Some(2));
    let journal = folder.read("j");
    let output = target.send(&folder, &[&base[..], &["--unsent", "j", "--overwrite"]].concat());
    assert_eq!((exit(&output), folder.read("j")), (Some(2), journal), "{output:?}");
}

#[test]
fn a_run_that_sent_nothing_leaves_no_journal_behind() {
    let (target, folder) = (Target::new("orders"), Folder::new("nothing-sent"));
    folder.file("orders.jsonl", orders(3).as_bytes());
    target.service.inject(|_| Some(Fault::Error(ErrorCode::AccessDeniedException)));
    let output = target.send(&folder, &["orders.jsonl"]);
    assert_eq!((exit(&output), folder.names()), (Some(2), vec!["orders.jsonl".to_owned()]), "{output:?}");
}

#[test]
fn a_pipe_goes_on_when_the_same_bytes_are_fed_again_and_refuses_others() {
    let (target, folder) = (Target::new("orders.fifo"), Folder::new("pipe"));
    let options = ["--wire-format", "json", "--group-id", "customer_id", "--journal", "pipe.journal"];
    let feed = |bytes: &str| {
        let mut process = target.command(&folder, &options);
        let mut process = process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let _ = process.stdin.take().unwrap().write_all(bytes.as_bytes());
        ended(process)
    };
    target.service.inject(|call| (call.number == 3).then_some(Fault::Error(ErrorCode::AccessDeniedException)));
    let all = orders(40);
    let first = feed(&all);
    assert_eq!((exit(&first), target.ids().len()), (Some(2), 10), "{first:?}");
    let calls = target.service.calls().len();
    for other in [all.replace("o-00001", "o-99999"), orders(3)] {
        let output = feed(&other);
        assert_eq!((exit(&output), target.service.calls().len()), (Some(2), calls), "{output:?}");
        let error = text(&output.stderr);
        assert!(error.contains("the input is not the one that the journal is of"), "{output:?}");
        assert!(!error.contains("--from-line") && !error.contains("goes on"), "it would end in the same way: {error}");
    }
    let output = feed(&all);
    assert_eq!((exit(&output), target.ids()), (Some(0), (1..=40).collect()), "{output:?}");
    assert!(folder.names().is_empty());
}

#[test]
fn two_processes_do_not_share_a_journal() {
    let (target, folder) = (Target::new("orders"), Folder::new("two"));
    folder.file("orders.jsonl", orders(200).as_bytes());
    let mut first = target.command(&folder, &["--wire-format", "json", "--rate", "50", "orders.jsonl"]);
    let first = first.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("a message", || !target.messages().is_empty());
    let second = target.send(&folder, &["--wire-format", "json", "--rate", "50", "orders.jsonl"]);
    assert_eq!(exit(&second), Some(2), "{second:?}");
    assert!(text(&second.stderr).contains("another process uses this journal"), "{second:?}");
    assert_eq!(exit(&ended(first)), Some(0));
    assert_eq!(target.messages().len(), 200);
}

#[test]
fn equal_records_and_equal_files_are_not_one_to_a_fifo_queue_unless_a_field_says_so() {
    let (target, folder) = (Target::new("orders.fifo"), Folder::new("deduplication"));
    let twice = format!("{0}\n{0}\n", order(1));
    folder.file("orders.jsonl", twice.as_bytes());
    let group = ["--wire-format", "json", "--group-id", "customer_id"];
    for runs in 1..=2 {
        let output = target.send(&folder, &[&group[..], &["orders.jsonl"]].concat());
        assert_eq!((exit(&output), target.messages().len()), (Some(0), 2 * runs), "{output:?}");
    }
    for _ in 0..2 {
        let output = target.send(&folder, &[&group[..], &["--dedup-id", "order_id", "orders.jsonl"]].concat());
        assert_eq!((exit(&output), target.messages().len()), (Some(0), 5), "{output:?}");
    }
    let output = target.send(&folder, &[&group[..], &["--dedup-id", "items", "orders.jsonl"]].concat());
    assert_eq!((exit(&output), target.messages().len()), (Some(1), 5), "{output:?}");
    assert!(text(&output.stderr).starts_with("line 1: items: no text or number for an id"), "{output:?}");
}

#[test]
fn a_repeated_call_and_a_resumed_run_keep_the_ids_of_their_messages() {
    let (target, folder) = (Target::new("orders.fifo"), Folder::new("ids"));
    folder.file("orders.jsonl", orders(60).as_bytes());
    // the call takes effect, but its response is lost, so the first run does not know the result
    target.service.inject(|call| (2..=40).contains(&call.number).then_some(Fault::LostResponse));
    let group =
        ["--wire-format", "container", "--records-per-message", "4", "--group-id", "customer_id", "orders.jsonl"];
    let mut first = target.command(&folder, &group);
    let first = first.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("lost responses", || target.service.calls().len() > 4);
    signal("-TERM", &first);
    let output = ended(first);
    assert_eq!(exit(&output), Some(1), "{output:?}");
    target.service.inject(|_| None);
    let output = target.send(&folder, &group);
    assert_eq!(exit(&output), Some(0), "{output:?}");
    assert_eq!(target.messages().len(), 60, "each order is of another customer than the one before");
}

#[test]
fn after_a_refusal_for_good_the_rest_of_the_group_goes_to_the_file_in_order() {
    let (target, folder) = (Target::new("orders.fifo"), Folder::new("group"));
    target.refuse(&[6]);
    folder.file("orders.jsonl", orders(25).as_bytes());
    let output = target.send(&folder, &["--wire-format", "json", "--group-id", "customer_id", "orders.jsonl"]);
    assert_eq!(exit(&output), Some(1), "{output:?}");
    let unsent: Vec<u32> = folder.read("unsent.jsonl").lines().map(|line| id_of(&Message::text(line))).collect();
    assert_eq!(unsent, [6, 11, 16, 21]);
    assert_eq!(target.ids().len(), 21);
    target.service.refuse_entries("orders.fifo", |_| None);
    let output = target.send(&folder, &["--wire-format", "json", "--group-id", "customer_id", "unsent.jsonl"]);
    assert_eq!(exit(&output), Some(0), "{output:?}");
    let of_group: Vec<u32> = target.ids().into_iter().filter(|id| id % 5 == 1).collect();
    assert_eq!(of_group, [1, 6, 11, 16, 21]);
}

#[test]
fn a_fifo_queue_needs_a_group_and_ids_that_sqs_accepts() {
    let (target, folder) = (Target::new("orders.fifo"), Folder::new("needs-group"));
    let long = order(1).to_string().replace("c-1", &"x".repeat(129));
    folder.file("orders.jsonl", format!("{long}\n{}\n", order(2)).as_bytes());
    let output = target.send(&folder, &["orders.jsonl"]);
    assert_eq!((exit(&output), target.messages().len()), (Some(2), 0), "{output:?}");
    assert!(text(&output.stderr).contains("a FIFO queue needs --group-id"), "{output:?}");
    let output = target.send(&folder, &["--group-id", "customer_id", "orders.jsonl"]);
    assert_eq!((exit(&output), target.messages().len()), (Some(1), 1), "{output:?}");
    assert!(text(&output.stderr).contains("line 1: customer_id: an id has 1 to 128"), "{output:?}");
}

#[test]
fn an_input_that_breaks_off_is_sent_up_to_there_and_the_record_is_named() {
    let (target, folder) = (Target::new("orders"), Folder::new("corrupt"));
    let schema = apache_avro::Schema::parse_str(
        r#"{"type": "record", "name": "Order", "fields": [
        {"name": "order_id", "type": "string"}, {"name": "customer_id", "type": "string"},
        {"name": "items", "type": {"type": "array", "items": "string"}}, {"name": "total_amount", "type": "double"},
        {"name": "timestamp", "type": "long"}]}"#,
    );
    let schema = schema.unwrap();
    let mut writer = apache_avro::Writer::new(&schema, Vec::new()).unwrap();
    for id in 1..=50 {
        use apache_avro::types::Value::{Array, Double, Long, Record, String};
        let text = |name: &str, text: std::string::String| (name.to_owned(), String(text));
        let record = Record(vec![
            text("order_id", format!("o-{id:05}")),
            text("customer_id", "c".to_owned()),
            ("items".to_owned(), Array(vec![])),
            ("total_amount".to_owned(), Double(1.5)),
            ("timestamp".to_owned(), Long(1)),
        ]);
        writer.append_value(record).unwrap();
        if id % 12 == 0 {
            writer.flush().unwrap();
        }
    }
    let mut bytes = writer.into_inner().unwrap();
    bytes.truncate(bytes.len() - 25);
    folder.file("orders.avro", &bytes);
    let output = target.send(&folder, &["--wire-format", "container", "orders.avro"]);
    assert_eq!((exit(&output), target.messages().len()), (Some(2), 48), "{output:?}");
    let said = text(&output.stderr);
    assert!(
        said.contains("record 49: ")
            && said.contains("48 messages were sent before")
            && said.contains("--from-line 49"),
        "{said}"
    );
    // a repeated run sends nothing twice
    let output = target.send(&folder, &["--wire-format", "container", "orders.avro"]);
    assert_eq!((exit(&output), target.messages().len()), (Some(2), 48), "{output:?}");
}

#[test]
fn a_file_is_sent_while_it_is_read() {
    let (target, folder) = (Target::new("orders"), Folder::new("streamed"));
    // the last line exceeds the maximum length, but the records before it are sent before it was read
    let mut lines = orders(11).into_bytes();
    lines.resize(lines.len() + (65 << 20), b'x');
    folder.file("orders.jsonl", &lines);
    let output = target.send(&folder, &["--wire-format", "json", "orders.jsonl"]);
    assert_eq!((exit(&output), target.ids()), (Some(2), (1..=11).collect()), "{output:?}");
    let said = text(&output.stderr);
    assert!(said.contains("line 12 is longer than") && said.contains("--from-line 12 goes on as well"), "{said}");
}

#[test]
fn a_signal_cuts_a_hanging_call_short_and_a_second_one_ends_at_once() {
    let mut times = Vec::new();
    for signals in [1, 2] {
        let (target, folder) = (Target::new("orders"), Folder::new(&format!("hanging-{signals}")));
        folder.file("orders.jsonl", orders(30).as_bytes());
        target.service.inject(|call| (call.number > 1).then_some(Fault::Hang));
        let mut process = target.command(&folder, &["--wire-format", "json", "--concurrency", "2", "orders.jsonl"]);
        let process = process.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        until("two hanging calls", || target.service.calls().len() >= 3);
        let begun = local::clock::now();
        signal(["-TERM", "-HUP"][signals - 1], &process);
        if signals == 2 {
            std::thread::sleep(Duration::from_millis(200));
            signal("-QUIT", &process);
        }
        let output = ended(process);
        times.push(local::clock::now() - begun);
        assert_eq!(exit(&output), Some(1), "{output:?}");
        assert!(
            text(&output.stderr).contains("interrupted: the same command goes on, by orders.jsonl.journal"),
            "{output:?}"
        );
        target.service.inject(|_| None);
        let output = target.send(&folder, &["--wire-format", "json", "--concurrency", "2", "orders.jsonl"]);
        assert_eq!(
            (exit(&output), target.ids().iter().collect::<BTreeSet<_>>().len(), target.ids().len()),
            (Some(0), 30, 30),
            "{output:?}"
        );
    }
    assert!(times[0] < Duration::from_secs(20) && times[1] < times[0], "{times:?}");
}

#[test]
fn no_second_has_more_messages_than_the_rate_even_after_a_stall() {
    let (target, folder) = (Target::new("orders"), Folder::new("rate"));
    folder.file("orders.jsonl", orders(260).as_bytes());
    // some calls take 1.5 seconds
    target.service.inject(|call| (call.number % 7 == 3).then_some(Fault::Slow(Duration::from_millis(1_500))));
    let output = target.send(&folder, &["--wire-format", "json", "--rate", "60", "orders.jsonl"]);
    assert_eq!((exit(&output), target.messages().len()), (Some(0), 260), "{output:?}");
    let calls: Vec<(Duration, usize)> = target.service.calls().iter().map(|call| (call.at, call.entries)).collect();
    for (begin, _) in &calls {
        let end = *begin + Duration::from_secs(1);
        let messages: usize = calls.iter().filter(|(at, _)| at >= begin && *at < end).map(|(_, entries)| entries).sum();
        assert!(messages <= 60, "{messages} in the second from {begin:?}");
    }
}

#[test]
fn a_record_from_a_pipe_does_not_wait_for_others_and_what_was_read_is_not_lost() {
    let (target, folder) = (Target::new("orders"), Folder::new("trickle"));
    let mut process = target.command(&folder, &["--records-per-message", "5"]);
    let mut process = process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = process.stdin.take().unwrap();
    // the byte order mark is not part of the first record
    stdin.write_all(format!("\u{FEFF}{}\n", order(1)).as_bytes()).unwrap();
    until("the first record", || target.messages().len() == 1);
    stdin.write_all(format!("{}\n{}\n", order(2), order(3)).as_bytes()).unwrap();
    until("the next records", || target.messages().len() == 2);
    // from now on nothing is accepted, so records that are read now must be in the file at the end
    target.service.inject(|_| Some(Fault::Error(ErrorCode::ServiceUnavailable)));
    stdin.write_all(orders(30).as_bytes()).unwrap();
    until("calls", || target.service.calls().len() > 3);
    signal("-TERM", &process);
    let output = ended(process);
    drop(stdin);
    assert_eq!(exit(&output), Some(1), "{output:?}");
    assert_eq!((folder.read("unsent.jsonl"), folder.names().len()), (orders(30), 1), "{output:?}");
    assert!(text(&output.stderr).contains("interrupted: --from-line 34 goes on"), "{output:?}");
}

#[test]
fn attributes_count_towards_the_size_of_messages_and_calls() {
    let (target, folder) = (Target::new("orders"), Folder::new("attributes"));
    // ten messages of 95,000 bytes with attributes of 20,000 bytes exceed the limit of a call
    let lines: String = (1..=20)
        .map(|id| format!("{}\n", order(id).to_string().replace("\"c-", &format!("\"{}", "x".repeat(95_000)))))
        .collect();
    folder.file("orders.jsonl", lines.as_bytes());
    let (one, two) = (format!("one={}", "a".repeat(10_000)), format!("two={}", "b".repeat(10_000)));
    let attributes = ["--wire-format", "json", "--attribute", &one, "--attribute", &two, "orders.jsonl"];
    let output = target.send(&folder, &attributes);
    assert_eq!((exit(&output), target.messages().len()), (Some(0), 20), "{output:?}");
    let messages = target.messages();
    assert!(messages.iter().all(|message| message.attributes["one"] == Attribute::String("a".repeat(10_000))));
    assert!(target.service.calls().iter().all(|call| call.entries < 10));

    // a record that fits only without the attributes is wrong
    folder.file(
        "large.jsonl",
        format!("{}\n{}\n", order(1).to_string().replace("\"c-", &format!("\"{}", "x".repeat(1_040_000))), order(2))
            .as_bytes(),
    );
    let output = target.send(&folder, &["--wire-format", "json", "--attribute", &one, "large.jsonl"]);
    assert_eq!((exit(&output), target.messages().len()), (Some(1), 21), "{output:?}");
    assert!(text(&output.stderr).starts_with("line 1: a message of 105"), "{output:?}");
    // packed records leave room for the attributes
    let packed = [
        "--codec",
        "null",
        "--records-per-message",
        "50",
        "--attribute",
        &one,
        "--attribute",
        &two,
        "--unsent",
        "u",
        "orders.jsonl",
    ];
    let output = target.send(&folder, &packed);
    assert_eq!(exit(&output), Some(0), "{output:?}");
}

#[test]
fn one_message_that_sqs_does_not_accept_does_not_stop_its_call() {
    let folder = Folder::new("isolated");
    folder.file("orders.jsonl", orders(10).as_bytes());
    let taken: &'static Mutex<Vec<String>> = Box::leak(Box::default());
    let url = support::web::serve(move |asked| {
        let body: Value = serde_json::from_str(&asked.body).unwrap();
        let entries = body["Entries"].as_array().unwrap();
        let text = |entry: &Value| entry["MessageBody"].as_str().unwrap().to_owned();
        if entries.iter().any(|entry| text(entry).contains("o-00004")) {
            return (
                400,
                br#"{"__type": "com.amazonaws.sqs#InvalidMessageContents", "message": "a character"}"#.to_vec(),
            );
        }
        taken.lock().unwrap().extend(entries.iter().map(text));
        let successful: Vec<Value> =
            entries.iter().map(|entry| serde_json::json!({"Id": entry["Id"], "MessageId": "m"})).collect();
        (200, serde_json::json!({"Successful": successful}).to_string().into_bytes())
    });
    let queue_url = format!("{url}/000000000000/orders");
    let output =
        command(&url, &folder, &["--queue-url", &queue_url, "--wire-format", "json", "orders.jsonl"]).output().unwrap();
    assert_eq!((exit(&output), taken.lock().unwrap().len()), (Some(1), 9), "{output:?}");
    assert_eq!(folder.read("unsent.jsonl"), format!("{}\n", order(4)));
}

#[test]
fn a_reader_that_has_gone_or_a_full_output_ends_the_run_after_its_records() {
    let target = Target::new("orders");
    for (name, code) in [("closed", 141), ("full", 2)] {
        let folder = Folder::new(&format!("output-{name}"));
        folder.file("orders.jsonl", format!("{}{{}}\n", orders(20)).as_bytes());
        let mut command = target.command(&folder, &["--wire-format", "json", "orders.jsonl"]);
        let stdout = match name {
            "closed" => {
                let (reader, writer) = std::io::pipe().unwrap();
                drop(reader);
                Stdio::from(writer)
            }
            _ => Stdio::from(fs::OpenOptions::new().write(true).open("/dev/full").unwrap()),
        };
        let output = command.stdout(stdout).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(exit(&output), Some(code), "{output:?}");
        assert!(!text(&output.stderr).contains("panicked"), "{output:?}");
        assert_eq!(folder.names(), ["orders.jsonl", "unsent.jsonl"]);
    }
    assert_eq!(target.messages().len(), 40);
}

#[test]
fn a_wrong_record_of_a_container_is_in_a_container_of_the_same_schema() {
    let (target, folder) = (Target::new("orders"), Folder::new("wrong-value"));
    use apache_avro::types::Value as Avro;
    let schema = apache_avro::Schema::parse_str(
        r#"{"type": "record", "name": "Order", "fields": [
        {"name": "order_id", "type": ["null", "string"]}, {"name": "customer_id", "type": "string"},
        {"name": "items", "type": {"type": "array", "items": "string"}}, {"name": "total_amount", "type": "double"},
        {"name": "timestamp", "type": "long"}]}"#,
    );
    let schema = schema.unwrap();
    let record = |id: Option<&str>| {
        let order_id =
            id.map_or(Avro::Union(0, Box::new(Avro::Null)), |id| Avro::Union(1, Box::new(Avro::String(id.to_owned()))));
        Avro::Record(vec![
            ("order_id".to_owned(), order_id),
            ("customer_id".to_owned(), Avro::String("c".to_owned())),
            ("items".to_owned(), Avro::Array(vec![])),
            ("total_amount".to_owned(), Avro::Double(1.5)),
            ("timestamp".to_owned(), Avro::Long(1)),
        ])
    };
    let mut writer = apache_avro::Writer::new(&schema, Vec::new()).unwrap();
    for id in [Some("o-1"), None, Some("o-3")] {
        writer.append_value(record(id)).unwrap();
    }
    folder.file("orders.avro", &writer.into_inner().unwrap());
    let output = target.send(&folder, &["--wire-format", "container", "orders.avro"]);
    assert_eq!((exit(&output), target.messages().len()), (Some(1), 2), "{output:?}");
    let unsent = fs::read(folder.0.join("unsent.avro")).unwrap();
    let read: Vec<Avro> = apache_avro::Reader::new(&unsent[..]).unwrap().map(|value| value.unwrap()).collect();
    assert_eq!(read, [record(None)]);
    let output = target.send(&folder, &["--wire-format", "container", "unsent.avro"]);
    assert_eq!(
        (exit(&output), folder.names()),
        (Some(1), vec!["orders.avro".to_owned(), "unsent-2.avro".to_owned(), "unsent.avro".to_owned()]),
        "{output:?}"
    );
}

#[test]
fn strict_looks_at_everything_first_and_so_takes_no_pipe() {
    let (target, folder) = (Target::new("orders"), Folder::new("strict"));
    let output = target.command(&folder, &["--strict"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(exit(&output), Some(2), "{output:?}");
    assert!(text(&output.stderr).contains("--strict reads the input twice"), "{output:?}");
}

#[test]
fn groups_of_a_container_are_its_fields() {
    let (target, folder) = (Target::new("orders.fifo"), Folder::new("container-groups"));
    use apache_avro::types::Value as Avro;
    let schema = apache_avro::Schema::parse_str(include_str!("../../schemas/order/1.avsc")).unwrap();
    let mut writer = apache_avro::Writer::new(&schema, Vec::new()).unwrap();
    for id in 0..6 {
        let text = |name: &str, text: String| (name.to_owned(), Avro::String(text));
        let fields = vec![
            text("order_id", format!("o-{id}")),
            text("customer_id", format!("c-{}", id % 2)),
            ("items".to_owned(), Avro::Array(vec![])),
            ("total_amount".to_owned(), Avro::Double(1.5)),
            ("timestamp".to_owned(), Avro::TimestampMillis(1)),
        ];
        writer.append_value(Avro::Record(fields)).unwrap();
    }
    folder.file("orders.avro", &writer.into_inner().unwrap());
    let output = target.send(&folder, &["--group-id", "customer_id", "orders.avro"]);
    assert_eq!(exit(&output), Some(0), "{output:?}");
    let mut groups: BTreeMap<String, usize> = BTreeMap::new();
    for message in target.messages() {
        *groups.entry(message.group.unwrap()).or_default() += 1;
    }
    assert_eq!(groups, BTreeMap::from([("c-0".to_owned(), 3), ("c-1".to_owned(), 3)]));
}

#[test]
fn a_record_that_was_read_in_part_is_neither_kept_in_pieces_nor_skipped() {
    let (target, folder) = (Target::new("orders"), Folder::new("in-part"));
    target.service.inject(|_| Some(Fault::Error(ErrorCode::ServiceUnavailable)));
    let mut process = target.command(&folder, &JSON);
    let mut process = process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = process.stdin.take().unwrap();
    let large: String = (1..=250).map(|id| format!("{}\n", large_order(id))).collect();
    std::thread::spawn(move || {
        // the process may end before it has read everything
        let _ = stdin.write_all(large.as_bytes());
    });
    until("calls", || target.service.calls().len() > 3);
    signal("-TERM", &process);
    let output = ended(process);
    assert_eq!(exit(&output), Some(1), "{output:?}");
    let kept: Vec<u32> = folder.read("unsent.jsonl").lines().map(|line| id_of(&Message::text(line))).collect();
    assert!(kept.len() < 250 && kept.iter().copied().eq(1..=u32::try_from(kept.len()).unwrap()), "{kept:?}");
    assert!(text(&output.stderr).contains(&format!("--from-line {} goes on", kept.len() + 1)), "{output:?}");
}

/// Returns an order of 100,000 bytes.
fn large_order(id: u32) -> String {
    order(id).to_string().replace("\"c-", &format!("\"{}", "x".repeat(100_000)))
}
