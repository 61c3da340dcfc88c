//! A queue with visibility timeouts and FIFO groups behind HTTP, whose calls a test lets fail.

use super::web::{self, Asked};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::Duration;

/// Pause of a long poll between two looks for messages.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Time for which a silent call keeps its connection.
const SILENCE: Duration = Duration::from_secs(300);

/// Fate of a call.
pub(crate) enum Fault {
    /// It is made.
    None,
    /// It is refused as a whole.
    Refused(u16, &'static str),
    /// Entries whose message has one of these ids fail; the others are made.
    Entries(Vec<String>),
    /// It is made after a while.
    Slow(Duration),
    /// It gets no response.
    Silent,
}

/// The operation without its prefix, how often it was called before, and the ids of the messages that it names.
type Decide = dyn Fn(&str, usize, &[String]) -> Fault + Send + Sync;

struct Message {
    id: String,
    body: String,
    group: Option<String>,
    /// When it is in sight again, since the Unix epoch.
    hidden_until: Duration,
    receives: u32,
}

#[derive(Default)]
struct State {
    messages: Vec<Message>,
    calls: BTreeMap<String, usize>,
    deleted: Vec<String>,
}

#[derive(Clone)]
pub(crate) struct FakeQueue {
    state: Arc<Mutex<State>>,
    decide: Arc<Decide>,
    is_fifo: bool,
}

impl FakeQueue {
    /// A queue of messages, each a body and its group. Their ids are `m0`, `m1` and so on.
    pub(crate) fn new(
        messages: impl IntoIterator<Item = (String, Option<String>)>,
        decide: impl Fn(&str, usize, &[String]) -> Fault + Send + Sync + 'static,
    ) -> Self {
        let messages = messages.into_iter().enumerate().map(|(number, (body, group))| Message {
            id: format!("m{number}"),
            body,
            group,
            hidden_until: Duration::ZERO,
            receives: 0,
        });
        let messages: Vec<Message> = messages.collect();
        let is_fifo = messages.iter().any(|message| message.group.is_some());
        let state = State { messages, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), decide: Arc::new(decide), is_fifo }
    }

    /// Serves it, and gives the endpoint and the queue's URL.
    pub(crate) fn serve(&self) -> (String, String) {
        let queue = self.clone();
        let endpoint = web::serve(move |asked| queue.answer(asked));
        let url = format!("{endpoint}/000000000000/orders{}", if self.is_fifo { ".fifo" } else { "" });
        (endpoint, url)
    }

    /// Messages in sight, and out of sight.
    pub(crate) fn left(&self) -> (usize, usize) {
        let (state, now) = (self.state.lock().unwrap(), local::clock::since_epoch());
        let visible = state.messages.iter().filter(|message| message.hidden_until <= now).count();
        (visible, state.messages.len() - visible)
    }

    /// The ids of deleted messages, in the order of their deletions.
    pub(crate) fn deleted(&self) -> Vec<String> {
        self.state.lock().unwrap().deleted.clone()
    }

    /// Returns the number of calls of `operation`.
    pub(crate) fn calls(&self, operation: &str) -> usize {
        self.state.lock().unwrap().calls.get(operation).copied().unwrap_or_default()
    }

    fn answer(&self, asked: &Asked) -> (u16, String) {
        let operation = asked.header("x-amz-target").unwrap().trim_start_matches("AmazonSQS.").to_owned();
        let body: Value = serde_json::from_str(&asked.body).unwrap();
        let entries = body["Entries"].as_array().cloned().unwrap_or_default();
        let named: Vec<String> = entries.iter().map(|entry| id_of(entry).0).collect();
        let before = {
            let mut state = self.state.lock().unwrap();
            let calls = state.calls.entry(operation.clone()).or_default();
            *calls += 1;
            *calls - 1
        };
        let failing = match (self.decide)(&operation, before, &named) {
            Fault::None => Vec::new(),
            Fault::Entries(ids) => ids,
            Fault::Refused(status, code) => return (status, json!({"__type": format!("sqs#{code}")}).to_string()),
            Fault::Slow(duration) => {
                sleep(duration);
                Vec::new()
            }
            Fault::Silent => {
                sleep(SILENCE);
                return (500, String::new());
            }
        };
        let answer = match operation.as_str() {
            "GetQueueAttributes" => json!({"Attributes": {"QueueArn": "arn:aws:sqs:us-east-1:000000000000:orders"}}),
            "ReceiveMessage" => self.receive(&body),
            "DeleteMessageBatch" => self.each(&entries, &failing, |state, id, receives, _| {
                let found = state.messages.iter().position(|message| message.id == id && message.receives == receives);
                if let Some(index) = found {
                    state.messages.remove(index);
                    state.deleted.push(id.to_owned());
                }
            }),
            "ChangeMessageVisibilityBatch" => self.each(&entries, &failing, |state, id, receives, entry| {
                let until = seconds(entry);
                let found = state.messages.iter_mut().find(|message| message.id == id && message.receives == receives);
                if let Some(message) = found {
                    message.hidden_until = until;
                }
            }),
            _ => return (400, json!({"__type": "sqs#UnsupportedOperation"}).to_string()),
        };
        (200, answer.to_string())
    }

    fn each(&self, entries: &[Value], failing: &[String], apply: impl Fn(&mut State, &str, u32, &Value)) -> Value {
        let mut state = self.state.lock().unwrap();
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for entry in entries {
            let (id, receives) = id_of(entry);
            if failing.contains(&id) {
                failed.push(json!({"Id": entry["Id"], "SenderFault": false, "Code": "InternalError"}));
            } else {
                apply(&mut state, &id, receives, entry);
                successful.push(json!({"Id": entry["Id"]}));
            }
        }
        json!({"Successful": successful, "Failed": failed})
    }

    fn receive(&self, body: &Value) -> Value {
        let ends = local::clock::since_epoch() + Duration::from_secs(body["WaitTimeSeconds"].as_u64().unwrap());
        loop {
            let received = self.take(body);
            if !received.is_empty() || local::clock::since_epoch() >= ends {
                return json!({"Messages": received});
            }
            sleep(LOOK_EVERY);
        }
    }

    fn take(&self, body: &Value) -> Vec<Value> {
        let most = usize::try_from(body["MaxNumberOfMessages"].as_u64().unwrap()).unwrap();
        let (until, now) = (seconds(body), local::clock::since_epoch());
        let mut state = self.state.lock().unwrap();
        let hidden = state.messages.iter().filter(|message| message.hidden_until > now);
        let locked: HashSet<String> = hidden.filter_map(|message| message.group.clone()).collect();
        let is_free = |message: &&mut Message| {
            message.hidden_until <= now && message.group.as_ref().is_none_or(|group| !locked.contains(group))
        };
        let received = state.messages.iter_mut().filter(is_free).take(most).map(|message| {
            message.hidden_until = until;
            message.receives += 1;
            let mut attributes =
                json!({"ApproximateReceiveCount": message.receives.to_string(), "SentTimestamp": "1700000000000"});
            if let Some(group) = &message.group {
                attributes["MessageGroupId"] = json!(group);
            }
            json!({
                "MessageId": message.id, "ReceiptHandle": format!("{}:{}", message.id, message.receives),
                "Body": message.body, "Attributes": attributes,
            })
        });
        received.collect()
    }
}

/// Returns the end of a visibility timeout that begins now.
fn seconds(body: &Value) -> Duration {
    local::clock::since_epoch() + Duration::from_secs(body["VisibilityTimeout"].as_u64().unwrap())
}

/// The message of an entry, and the receive that its handle is of.
fn id_of(entry: &Value) -> (String, u32) {
    let (id, receives) = entry["ReceiptHandle"].as_str().unwrap().split_once(':').unwrap();
    (id.to_owned(), receives.parse().unwrap())
}
