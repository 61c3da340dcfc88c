//! Tests `ingest send` through its command line, with a queue that throttles, accepts calls partially and drops responses, and
//! with moto's queues.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, reason = "each test uses what it needs of the support")]

mod support;

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use support::Moto;
use support::sending::{Folder, command, orders, text};
use support::web::{Asked, serve};

const PATH: &str = "/123456789012/orders";

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

/// Entries that the test's own queue has accepted, in order.
type Taken = Arc<Mutex<Vec<Value>>>;

/// Serves a queue. `calls_fail` determines whether a whole call fails, and `end` the error of each entry.
fn queue(
    end: impl Fn(usize, &Value) -> Option<(&'static str, bool)> + Send + Sync + 'static,
    calls_fail: fn(usize) -> bool,
) -> (String, Taken) {
    let taken = Taken::default();
    let (kept, calls) = (Arc::clone(&taken), Mutex::new(0));
    let url = serve(move |asked: &Asked| {
        let body: Value = serde_json::from_str(&asked.body).unwrap();
        assert_eq!(asked.header("x-amz-target"), Some("AmazonSQS.SendMessageBatch"));
        let call = {
            let mut calls = calls.lock().unwrap();
            *calls += 1;
            *calls
        };
        if calls_fail(call) {
            let error = json!({"__type": "com.amazonaws.sqs#ThrottlingException", "message": "slow down"});
            return (400, error.to_string().into_bytes());
        }
        let entries = body["Entries"].as_array().unwrap();
        assert!((1..=10).contains(&entries.len()));
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for entry in entries {
            match end(call, entry) {
                None => {
                    kept.lock().unwrap().push(entry.clone());
                    successful.push(json!({"Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": "x"}));
                }
                Some((code, is_final)) => {
                    failed.push(json!({"Id": entry["Id"], "Code": code, "SenderFault": is_final}));
                }
            }
        }
        (200, json!({"Successful": successful, "Failed": failed}).to_string().into_bytes())
    });
    (url, taken)
}

fn bodies(taken: &Taken) -> Vec<String> {
    taken.lock().unwrap().iter().map(|entry| entry["MessageBody"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_is_throttled_or_refused_in_part_is_sent_again_until_the_queue_has_each_message() {
    let folder = Folder::new("faults");
    let file = folder.file("orders.jsonl", orders(300).as_bytes());
    // every third call is throttled, and in the other calls every seventh message is temporarily refused
    let seen = Mutex::new(0_u32);
    let end = move |_: usize, _: &Value| {
        let mut seen = seen.lock().unwrap();
        *seen += 1;
        seen.is_multiple_of(7).then_some(("InternalError", false))
    };
    let (url, taken) = queue(end, |call| call % 3 == 0);
    let output = command(&url, &folder, &["--queue-url", &format!("{url}{PATH}"), "--json", &file]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report = report(&output);
    assert_eq!((&report["messages"], &report["records"], &report["unsent"]), (&json!(300), &json!(300), &json!(0)));
    assert!(report["retries"].as_u64().unwrap() > 0);
    let bodies = bodies(&taken);
    assert_eq!((bodies.len(), bodies.iter().collect::<BTreeSet<_>>().len()), (300, 300));
}

#[test]
fn a_message_that_is_refused_for_good_is_in_a_file_that_can_be_sent_again() {
    let folder = Folder::new("refused");
    let file = folder.file("orders.jsonl", orders(40).as_bytes());
    let count = Mutex::new(0_u32);
    let end = move |_: usize, _: &Value| {
        let mut count = count.lock().unwrap();
        *count += 1;
        (*count == 5).then_some(("InvalidMessageContents", true))
    };
    let (url, taken) = queue(end, |_| false);
    let url_of = |url: &str| format!("{url}{PATH}");
    let output = command(&url, &folder, &["--queue-url", &url_of(&url), &file]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let unsent = fs::read_to_string(folder.0.join("unsent.jsonl")).unwrap();
    let line = 1 + orders(40).lines().position(|order| order == unsent.trim_end()).unwrap();
    let said = format!("line {line}: not taken: InvalidMessageContents");
    assert!(text(&output.stderr).lines().any(|line| line == said), "{output:?}");
    assert_eq!(taken.lock().unwrap().len(), 39);
    assert_eq!(unsent.lines().count(), 1);
    let again = command(&url, &folder, &["--queue-url", &url_of(&url), "unsent.jsonl"]).output().unwrap();
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    assert_eq!(bodies(&taken).iter().collect::<BTreeSet<_>>().len(), 40);
}

#[test]
fn a_wrong_line_is_named_and_where_nothing_may_be_wrong_nothing_is_sent() {
    let folder = Folder::new("wrong");
    let file = folder.file("orders.jsonl", format!("{}{{}}\n", orders(3)).as_bytes());
    let (url, taken) = queue(|_, _| None, |_| false);
    let queue_url = format!("{url}{PATH}");
    let strict = command(&url, &folder, &["--queue-url", &queue_url, "--strict", &file]).output().unwrap();
    assert_eq!((strict.status.code(), taken.lock().unwrap().len()), (Some(2), 0), "{strict:?}");
    let output = command(&url, &folder, &["--queue-url", &queue_url, &file]).output().unwrap();
    assert_eq!((output.status.code(), taken.lock().unwrap().len()), (Some(1), 3), "{output:?}");
    assert!(text(&output.stderr).starts_with("line 4: order_id: "), "{output:?}");
}

#[test]
fn a_fifo_queue_has_the_messages_of_a_group_one_after_another_whatever_it_refuses() {
    let folder = Folder::new("fifo");
    let file = folder.file("orders.jsonl", orders(100).as_bytes());
    let count = Mutex::new(0_u32);
    let end = move |_: usize, _: &Value| {
        let mut count = count.lock().unwrap();
        *count += 1;
        count.is_multiple_of(3).then_some(("InternalError", false))
    };
    let (url, taken) = queue(end, |call| call == 4);
    let queue_url = format!("{url}{PATH}.fifo");
    let arguments = ["--queue-url", &queue_url, "--group-id", "customer_id", "--attribute", "source=test", &file];
    let output = command(&url, &folder, &arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let mut groups: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for entry in taken.lock().unwrap().iter() {
        assert_eq!(entry["MessageAttributes"]["source"]["StringValue"], "test");
        let id = entry["MessageDeduplicationId"].as_str().unwrap();
        let number = id.split('-').next().unwrap().parse().unwrap();
        groups.entry(entry["MessageGroupId"].as_str().unwrap().to_owned()).or_default().push(number);
    }
    assert_eq!(groups.len(), 5);
    assert!(groups.values().all(|numbers| numbers.len() == 20 && numbers.is_sorted()), "{groups:?}");
}

#[test]
fn an_interruption_says_where_it_stopped_and_going_on_from_there_sends_the_rest() {
    let folder = Folder::new("interrupted");
    let file = folder.file("orders.jsonl", orders(400).as_bytes());
    let (url, taken) = queue(|_, _| None, |_| false);
    let queue_url = format!("{url}{PATH}");
    let arguments = ["--queue-url", &queue_url, "--rate", "100", &file];
    let mut command_ = command(&url, &folder, &arguments);
    let process = command_.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while taken.lock().unwrap().len() < 50 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(Command::new("kill").args(["-INT", &process.id().to_string()]).status().unwrap().success());
    let output = process.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let (_, rest) = text(&output.stderr).split_once("--from-line ").unwrap();
    let from = rest.split_whitespace().next().unwrap();
    let sent = taken.lock().unwrap().len();
    assert_eq!(from, (sent + 1).to_string(), "every line before it was accepted");
    let output = command(&url, &folder, &["--queue-url", &queue_url, "--from-line", from, &file]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!((bodies(&taken).len(), bodies(&taken).iter().collect::<BTreeSet<_>>().len()), (400, 400));
}

#[test]
#[ignore = "needs moto: make test-moto"]
fn a_real_queue_has_what_was_sent_and_one_that_is_not_there_is_named() {
    let moto = Moto::start();
    let folder = Folder::new("moto");
    let file = folder.file("orders.jsonl", orders(25).as_bytes());
    let created: Value =
        serde_json::from_str(&moto.json("sqs", "AmazonSQS.CreateQueue", r#"{"QueueName":"orders"}"#)).unwrap();
    let queue_url = created["QueueUrl"].as_str().unwrap();
    let packed = ["--queue-url", queue_url, "--records-per-message", "10", "--codec", "zstandard", &file];
    let output = command(&moto.url(), &folder, &packed).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stdout).starts_with("3 messages with 25 records sent"), "{output:?}");
    let ask = json!({"QueueUrl": queue_url, "AttributeNames": ["ApproximateNumberOfMessages"]}).to_string();
    let attributes: Value = serde_json::from_str(&moto.json("sqs", "AmazonSQS.GetQueueAttributes", &ask)).unwrap();
    assert_eq!(attributes["Attributes"]["ApproximateNumberOfMessages"], "3");

    let missing = format!("{}/123456789012/nothing", moto.url());
    let output = command(&moto.url(), &folder, &["--queue-url", &missing, &file]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = text(&output.stderr);
    assert!(said.contains(&missing) && said.contains("QueueDoesNotExist"), "{said}");
    assert!(said.contains("0 messages were sent before"), "{said}");
}

#[test]
fn without_a_region_credentials_or_an_answer_nothing_is_sent_and_that_is_said() {
    let folder = Folder::new("nobody");
    let file = folder.file("orders.jsonl", orders(1).as_bytes());
    let arguments = ["--queue-url", "http://127.0.0.1:1/123456789012/orders", &file];
    let mut no_region = command("http://127.0.0.1:1", &folder, &arguments);
    no_region.env_remove("AWS_REGION").env("HOME", &folder.0).env("AWS_EC2_METADATA_DISABLED", "true");
    let mut no_credentials = command("http://127.0.0.1:1", &folder, &arguments);
    no_credentials.env_remove("AWS_ACCESS_KEY_ID").env("HOME", &folder.0).env("AWS_EC2_METADATA_DISABLED", "true");
    let mut no_answer = command("http://127.0.0.1:1", &folder, &arguments);
    for (command, said) in
        [(&mut no_region, "no region"), (&mut no_credentials, "no credentials"), (&mut no_answer, "Connection refused")]
    {
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(text(&output.stderr).contains(said), "{said}: {output:?}");
    }
}
