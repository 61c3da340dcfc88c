//! Randomised test of `ingest send`. A process is killed, interrupted or terminated at a random point, and restarted as its
//! output advises. The queue throttles, fails partially, loses responses and refuses records. At the end, the queue and the
//! file of unsent records are compared with the input, record by record. A seed determines all choices.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use apache_avro::types::Value as Avro;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fastrand::Rng;
use local::sqs::{Call, EntryRefusal, ErrorCode, Fault, Message, Service, Settings, seeded};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Maximum number of processes that are stopped per run. The next process runs undisturbed.
const MOST_KILLS: usize = 4;
/// Maximum number of checks of a condition, and the pause between checks.
const STEPS: u32 = 30_000;
const PAUSE: Duration = Duration::from_millis(2);

/// Choices of a seed.
#[derive(Debug, Clone)]
struct Case {
    seed: u64,
    is_fifo: bool,
    is_packed: bool,
    /// Whether the records come from a pipe, and if so whether with a journal.
    pipe: Option<bool>,
    is_container: bool,
    records: u32,
}

impl Case {
    fn of(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let pipe = rng.bool().then(|| rng.u8(0..4) > 0);
        let is_container = pipe.is_none() && rng.u8(0..4) == 0;
        Self { seed, is_fifo: rng.bool(), is_packed: rng.bool(), pipe, is_container, records: rng.u32(1..400) }
    }

    fn queue(&self) -> &'static str {
        if self.is_fifo { "orders.fifo" } else { "orders" }
    }

    fn has_journal(&self) -> bool {
        self.pipe != Some(false)
    }
}

/// A line of the input.
#[derive(Debug, Clone)]
enum Line {
    Empty,
    /// A record that does not match the schema.
    Wrong(String),
    /// Number and text of an order.
    Order(u64, String),
}

fn order(id: u64) -> Value {
    json!({"order_id": format!("o-{id:05}"), "customer_id": format!("c-{}", id % 5), "items": [], "total_amount": 1.5, "timestamp": id})
}

fn lines(case: &Case) -> Vec<Line> {
    let mut rng = Rng::with_seed(!case.seed);
    let mut lines = Vec::new();
    let mut id = 0;
    for _ in 0..case.records {
        match rng.u8(0..20) {
            0 if !case.is_container => lines.push(Line::Empty),
            1 if !case.is_container => lines.push(Line::Wrong(format!(r#"{{"order_id":"w-{}"}}"#, lines.len()))),
            // an identical record counts as a separate record
            2 if id > 0 => lines.push(Line::Order(id, order(id).to_string())),
            _ => {
                id += 1;
                lines.push(Line::Order(id, order(id).to_string()));
            }
        }
    }
    lines
}

/// Returns the faults of the calls.
fn faults(seed: u64) -> impl FnMut(&Call) -> Option<Fault> + Send + 'static {
    let faults = vec![
        Fault::Error(ErrorCode::RequestThrottled),
        Fault::Error(ErrorCode::ServiceUnavailable),
        Fault::LostRequest,
        Fault::LostResponse,
        Fault::Slow(Duration::from_millis(30)),
        Fault::FailEntries(vec![0, 3]),
    ];
    seeded(seed, 0.15, faults)
}

/// Returns whether the queue permanently refuses an order.
fn is_refused(seed: u64, id: u64) -> bool {
    Rng::with_seed(seed.wrapping_mul(31).wrapping_add(id)).u8(0..60) == 0
}

const SCHEMA: &str = include_str!("../../schemas/order/1.avsc");

fn container(lines: &[Line]) -> Vec<u8> {
    let schema = apache_avro::Schema::parse_str(SCHEMA).unwrap();
    let mut writer = apache_avro::Writer::new(&schema, Vec::new()).unwrap();
    for line in lines {
        let Line::Order(_, text) = line else { panic!("a container has orders") };
        let json: Value = serde_json::from_str(text).unwrap();
        let field = |name: &str| (name.to_owned(), Avro::String(json[name].as_str().unwrap().to_owned()));
        let mut fields = vec![field("order_id"), field("customer_id"), ("items".to_owned(), Avro::Array(vec![]))];
        fields.push(("total_amount".to_owned(), Avro::Double(1.5)));
        fields.push(("timestamp".to_owned(), Avro::TimestampMillis(json["timestamp"].as_i64().unwrap())));
        writer.append_value(Avro::Record(fields)).unwrap();
    }
    writer.into_inner().unwrap()
}

/// Returns the numbers of the orders in a container.
fn orders_of(container: &[u8]) -> Vec<u64> {
    let number = |value: Avro| number_of(&value.try_into().unwrap()).unwrap();
    apache_avro::Reader::new(container).unwrap().map(|value| number(value.unwrap())).collect()
}

/// Returns the number of an order.
fn number_of(order: &Value) -> Option<u64> {
    order["order_id"].as_str()?.strip_prefix("o-")?.parse().ok()
}

/// Returns the numbers of the orders in a message.
fn orders_in(message: &Message) -> Vec<u64> {
    if message.body.starts_with('{') {
        let json: Value = serde_json::from_str(&message.body).unwrap();
        return vec![number_of(&json).unwrap()];
    }
    orders_of(&STANDARD.decode(&message.body).unwrap())
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The run of one seed.
struct Storm {
    case: Case,
    lines: Vec<Line>,
    input: Vec<u8>,
    folder: Folder,
    service: Service,
    queue_url: String,
    rng: Rng,
}

impl Storm {
    fn new(case: Case) -> Self {
        let lines = lines(&case);
        let folder = std::env::temp_dir().join(format!("ingest-storm-{}-{}", case.seed, std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let input = match case.is_container {
            true => container(&lines),
            false => lines.iter().flat_map(|line| text_of(line).into_bytes()).collect(),
        };
        fs::write(folder.join("input"), &input).unwrap();
        let service = Service::start(0).unwrap();
        let queue_url = service.create_queue(Settings::named(case.queue()));
        service.inject(faults(case.seed));
        let seed = case.seed;
        service.refuse_entries(case.queue(), move |message| {
            let is_refused = orders_in(message).iter().any(|id| is_refused(seed, *id));
            is_refused.then(|| EntryRefusal { code: "InvalidMessageContents".to_owned(), sender_fault: true })
        });
        let rng = Rng::with_seed(case.seed ^ 0xFEED);
        Self { case, lines, input, folder: Folder(folder), service, queue_url, rng }
    }

    fn start(&self, from_line: Option<u64>) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ingest"));
        let schemas = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas");
        command.current_dir(&self.folder.0).args(["send", "--schemas", schemas, "--schema", "order/1"]);
        command.args(["--queue-url", &self.queue_url]);
        if self.case.is_packed {
            command.args(["--records-per-message", "7"]);
        } else if self.case.is_container {
            command.args(["--wire-format", "container"]);
        } else {
            command.args(["--wire-format", "json"]);
        }
        if self.case.is_fifo {
            command.args(["--group-id", "customer_id"]);
        } else {
            command.args(["--concurrency", "3"]);
        }
        if let Some(line) = from_line {
            command.args(["--from-line", &line.to_string()]);
        }
        match self.case.pipe {
            None => drop(command.arg("input")),
            Some(true) => drop(command.args(["--journal", "journal"])),
            Some(false) => {}
        }
        command
            .env("AWS_ENDPOINT_URL", self.service.url())
            .envs([("AWS_REGION", "us-east-1"), ("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
            .env_remove("AWS_PROFILE")
            .stdin(if self.case.pipe.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        if let Some(mut stdin) = child.stdin.take() {
            let (input, mut rng) = (self.input.clone(), Rng::with_seed(self.rng.clone().u64(..)));
            std::thread::spawn(move || {
                let mut rest = input.as_slice();
                while !rest.is_empty() {
                    let (piece, others) = rest.split_at(rng.usize(1..=rest.len().min(9_000)));
                    // the process has ended and reads no more
                    if stdin.write_all(piece).is_err() {
                        return;
                    }
                    std::thread::sleep(Duration::from_micros(rng.u64(0..3_000)));
                    rest = others;
                }
            });
        }
        child
    }

    /// Stops a process at a random point with a random signal.
    fn end(&mut self, child: &mut Child) -> &'static str {
        let before = self.service.calls().len();
        let calls = self.rng.usize(0..=(self.lines.len() / 10).clamp(1, 25));
        for _ in 0..STEPS {
            if self.service.calls().len() >= before + calls || child.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(PAUSE);
        }
        std::thread::sleep(Duration::from_micros(self.rng.u64(0..8_000)));
        let signals: &[&str] = if self.case.has_journal() { &["KILL", "TERM", "INT"] } else { &["TERM", "INT"] };
        let signal = signals[self.rng.usize(0..signals.len())];
        let _ =
            Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).stderr(Stdio::null()).status();
        signal
    }

    fn run(mut self) {
        let (mut kills, mut from_line) = (0, None);
        let most = self.rng.usize(1..=MOST_KILLS);
        let output = loop {
            let mut child = self.start(from_line.take());
            let is_last = kills == most;
            if !is_last {
                self.end(&mut child);
                kills += 1;
            }
            let output = wait(child);
            if is_last || self.is_complete(&output) || !self.case.has_journal() {
                break output;
            }
            assert!(matches!(output.status.code(), None | Some(1 | 2)), "{:?}: {output:?}", self.case);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let advice =
                said.split_once("--from-line ").map(|(_, rest)| rest.split_whitespace().next().unwrap().to_owned());
            from_line = advice.filter(|_| self.rng.bool()).map(|line| line.parse().unwrap());
        };
        self.compare(kills, &output);
    }

    /// Returns whether the run is complete. A process may be killed after completion and before it exits.
    fn is_complete(&self, output: &Output) -> bool {
        let journal = if self.case.pipe.is_some() { "journal" } else { "input.journal" };
        if self.folder.0.join(journal).exists() || String::from_utf8_lossy(&output.stderr).contains("interrupted: ") {
            return false;
        }
        let is_unsent = ["unsent.jsonl", "unsent.avro"].iter().any(|name| self.folder.0.join(name).exists());
        matches!(output.status.code(), Some(0 | 1)) || is_unsent || !self.service.held(self.case.queue()).is_empty()
    }

    fn compare(&self, kills: usize, output: &Output) {
        let Self { case, lines, folder, service, .. } = self;
        let context = format!("{case:?} after {kills} ends: {output:?}");
        let mut names: Vec<_> =
            fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name != "input");
        names.sort();
        let unsent_name = if case.is_container { "unsent.avro" } else { "unsent.jsonl" };
        let has_unsent = names.iter().any(|name| name == unsent_name);
        let expected: &[&str] = if has_unsent { &[unsent_name] } else { &[] };
        assert_eq!(names, expected, "{context}");
        let unsent = if has_unsent { fs::read(folder.0.join(unsent_name)).unwrap() } else { Vec::new() };
        if let (true, Some(code)) = (case.has_journal(), output.status.code()) {
            assert_eq!(code, i32::from(has_unsent), "{context}");
        }

        let mut unsent_orders = Vec::new();
        let mut unsent_wrong = Vec::new();
        if case.is_container && has_unsent {
            unsent_orders = orders_of(&unsent);
        } else {
            for line in String::from_utf8(unsent).unwrap().lines() {
                match serde_json::from_str(line).ok().as_ref().and_then(number_of) {
                    Some(id) => unsent_orders.push(id),
                    None => unsent_wrong.push(line.to_owned()),
                }
            }
        }
        let messages: Vec<Message> = service.held(case.queue()).into_iter().map(|held| held.message).collect();
        let sent: Vec<u64> = messages.iter().flat_map(orders_in).collect();
        let count = |ids: &[u64]| {
            let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
            ids.iter().for_each(|id| *counts.entry(*id).or_default() += 1);
            counts
        };
        let (in_queue, in_file) = (count(&sent), count(&unsent_orders));
        let mut in_input: Vec<u64> = Vec::new();
        let mut wrong: Vec<String> = Vec::new();
        for line in lines {
            match line {
                Line::Empty => {}
                Line::Wrong(text) => wrong.push(text.clone()),
                Line::Order(id, _) => in_input.push(*id),
            }
        }
        let in_input = count(&in_input);
        let of = |counts: &BTreeMap<u64, usize>, id: &u64| counts.get(id).copied().unwrap_or_default();

        if !case.has_journal() {
            assert!(wrong.starts_with(&unsent_wrong), "a piece of a record is in the file: {context}");
            // every record before the advised line is in the queue or in the file
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            if let Some((_, rest)) = said.split_once("interrupted: --from-line ") {
                let next: usize = rest.split_whitespace().next().unwrap().parse().unwrap();
                let before = lines[..next - 1].iter().filter_map(|line| match line {
                    Line::Order(id, _) => Some(*id),
                    Line::Empty | Line::Wrong(_) => None,
                });
                for (id, count) in count(&before.collect::<Vec<_>>()) {
                    assert!(
                        of(&in_queue, &id) + of(&in_file, &id) >= count,
                        "order {id} is before the advice: {context}"
                    );
                }
            }
            // the records that were read are a prefix of the input, so no record is missing before one that was found
            let last = sent.iter().chain(&unsent_orders).max().copied().unwrap_or_default();
            for (id, count) in in_input.range(..last) {
                assert!(of(&in_queue, id) + of(&in_file, id) >= *count, "order {id}: {context}");
            }
        } else {
            assert_eq!(unsent_wrong, wrong, "{context}");
            for (id, count) in &in_input {
                assert!(of(&in_queue, id) + of(&in_file, id) >= *count, "order {id} is lost: {context}");
                // a file produces the same messages again, and a FIFO queue recognises them by their deduplication ids
                if case.is_fifo && case.pipe.is_none() {
                    assert_eq!(of(&in_queue, id) + of(&in_file, id), *count, "order {id} is there twice: {context}");
                }
            }
        }
        assert!(in_queue.keys().chain(in_file.keys()).all(|id| in_input.contains_key(id)), "{context}");
        assert!(sent.iter().all(|id| !is_refused(case.seed, *id)), "{context}");
        assert!(unsent_orders.is_sorted(), "{unsent_orders:?} {context}");

        // at most the messages that were in flight or whose responses were lost
        let mut faults = faults(case.seed);
        let calls = service.calls();
        let lost = calls.iter().filter(|call| faults(call) == Some(Fault::LostResponse)).map(|call| call.entries);
        let duplicates: usize = in_queue.iter().map(|(id, count)| count.saturating_sub(of(&in_input, id))).sum();
        let at_once = if case.is_fifo { 1 } else { 3 };
        let records = if case.is_packed { 7 } else { 1 };
        let most = (kills * at_once * 10 + lost.sum::<usize>()) * records;
        assert!(duplicates <= most, "{duplicates} duplicates of at most {most}: {context}");

        if case.is_fifo {
            let mut groups: BTreeMap<String, Vec<u64>> = BTreeMap::new();
            let mut ids = BTreeSet::new();
            for message in &messages {
                let group = groups.entry(message.group.clone().unwrap()).or_default();
                for id in orders_in(message) {
                    if !group.contains(&id) {
                        group.push(id);
                    }
                }
                assert!(ids.insert(message.deduplication_id.clone().unwrap()), "{context}");
            }
            for (group, sent) in groups {
                assert!(sent.is_sorted(), "{group}: {sent:?} {context}");
                let first_unsent = unsent_orders.iter().find(|id| format!("c-{}", **id % 5) == group);
                if let (Some(first), Some(last), true) =
                    (first_unsent, sent.last(), case.has_journal() && case.pipe.is_none())
                {
                    assert!(last <= first, "{group}: {last} was sent, and {first} before it was not: {context}");
                }
            }
        }
    }
}

fn text_of(line: &Line) -> String {
    match line {
        Line::Empty => "\n".to_owned(),
        Line::Wrong(text) | Line::Order(_, text) => format!("{text}\n"),
    }
}

/// Waits for a process. Kills it after the maximum number of checks.
fn wait(mut child: Child) -> Output {
    for _ in 0..STEPS {
        if child.try_wait().unwrap().is_some() {
            return child.wait_with_output().unwrap();
        }
        std::thread::sleep(PAUSE);
    }
    child.kill().unwrap();
    panic!("a process does not end: {:?}", child.wait_with_output().unwrap());
}

/// Runs seeds on several threads, and reports the first seed that fails.
fn seeds(first: u64, count: u64, threads: usize) {
    let next = AtomicU64::new(first);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    Storm::new(Case::of(seed)).run();
                }
            });
        }
    });
}

#[test]
fn every_record_is_in_the_queue_or_in_a_file_however_often_the_process_is_killed() {
    seeds(0, 12, 2);
}

#[test]
#[ignore = "takes minutes: make test-kill"]
fn every_record_is_in_the_queue_or_in_a_file_over_500_seeds() {
    let number = |name: &str, default| {
        #[expect(clippy::disallowed_methods, reason = "whoever runs it chooses the seeds")]
        let value = std::env::var(name).ok();
        value.and_then(|value| value.parse().ok()).unwrap_or(default)
    };
    seeds(number("SEED", 1_000), number("SEEDS", 500), 4);
}
