//! The quarantine queue: rejected messages are sent to it together with the reason, so that they are neither retried in
//! vain nor lost. A message counts as accepted only if the queue confirms it. `entry` defines the format of the messages.

mod entry;

pub use entry::{Addition, MAX_ATTRIBUTES, MAX_BATCH_BYTES, MAX_BATCH_ENTRIES, restore};

use crate::clock;
use crate::error_text;
use crate::outcome::Rejection;
use crate::refusals::Refusals;
use crate::sqs::Message;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{SendMessageBatchRequestEntry, SendMessageBatchResultEntry};
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// Maximum number of calls in flight. Rejected messages are rare unless a producer is broken. In that case they must not
/// take time from other messages.
const CALLS_IN_FLIGHT: usize = 4;
/// Maximum duration of the oldest call in flight at which another call may start. If the queue does not respond, each
/// further call would only wait as well.
const SLOW_CALL: Duration = Duration::from_millis(500);
/// Timeout of one call, including its retries. A queue that does not respond must not use up the whole invocation.
const CALL_TIMEOUT: Duration = Duration::from_secs(4);

/// A client for the queue of rejected messages.
#[derive(Clone)]
pub struct Quarantine {
    client: Client,
    queue_url: String,
    /// The X-Ray tracing header of the invocation. Lambda uses it to detect a queue that leads back to the function.
    /// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html>
    trace_id: Option<String>,
}

/// A rejected message to be quarantined.
pub(crate) struct Rejected<'a> {
    /// Position in the event.
    pub(crate) position: usize,
    pub(crate) message: &'a Message<'a>,
    pub(crate) rejection: &'a Rejection,
    /// The subject of its schema, if known.
    pub(crate) subject: Option<&'a str>,
}

/// The quarantine of one event. It runs concurrently with the writes, and messages are added as soon as they are rejected.
pub(crate) struct EventQuarantine {
    quarantine: Quarantine,
    waiting: VecDeque<SendMessageBatchRequestEntry>,
    /// Positions of the messages with each id. A standard queue may deliver a message twice in one event, and it is sent
    /// only once.
    positions: HashMap<String, Vec<usize>>,
    /// The id of each message to send, by position.
    ids: HashMap<usize, String>,
    calls: JoinSet<BatchEnd>,
    /// Start of the oldest call in flight.
    started: Option<Instant>,
    accepted: Vec<usize>,
    /// Whether all calls so far have reached the queue. After a call that did not, no further calls start, so that a queue
    /// that does not respond causes only one timeout.
    is_reached: bool,
    refusals: Refusals,
}

/// The result of one call.
enum Sent {
    /// The queue accepted the messages at these positions.
    Taken(HashSet<usize>),
    /// The queue refused the whole call because of its content.
    Refused,
    /// The queue was not reached or denies access, so further calls would fail too.
    NotReached,
    /// The deadline was reached first, which is no evidence about the queue.
    OutOfTime,
}

/// The result of one batch.
struct BatchEnd {
    /// The positions of the messages that the queue accepted.
    taken: HashSet<usize>,
    /// Whether all calls reached the queue.
    is_reached: bool,
}

impl Quarantine {
    /// Creates a quarantine that sends to the queue at `queue_url`.
    pub fn new(client: Client, queue_url: String) -> Self {
        Self { client, queue_url, trace_id: None }
    }

    /// Starts the quarantine of one event. `trace_id` is the X-Ray tracing header of its invocation.
    pub(crate) fn begin(&self, trace_id: Option<&str>) -> EventQuarantine {
        EventQuarantine {
            quarantine: Self { trace_id: trace_id.map(str::to_owned), ..self.clone() },
            waiting: VecDeque::new(),
            positions: HashMap::new(),
            ids: HashMap::new(),
            calls: JoinSet::new(),
            started: None,
            accepted: Vec::new(),
            is_reached: true,
            refusals: Refusals::default(),
        }
    }

    /// Returns the maximum number of calls in flight. A FIFO queue gets one call at a time, to preserve the order of each
    /// group.
    fn max_calls(&self) -> usize {
        if self.is_fifo() { 1 } else { CALLS_IN_FLIGHT }
    }

    fn is_fifo(&self) -> bool {
        self.queue_url.ends_with(".fifo")
    }

    /// Sends a batch. If the queue refuses it as a whole, sends its messages one by one, so that a message that is too
    /// large does not prevent others from being quarantined.
    async fn send_batch(
        self,
        batch: Vec<SendMessageBatchRequestEntry>,
        deadline: Instant,
        refusals: Refusals,
    ) -> BatchEnd {
        let alone = batch.clone();
        let mut taken = match self.call(batch, deadline, &refusals).await {
            Sent::Taken(taken) => return BatchEnd { taken, is_reached: true },
            Sent::NotReached => return BatchEnd { taken: HashSet::new(), is_reached: false },
            Sent::OutOfTime => return BatchEnd { taken: HashSet::new(), is_reached: true },
            Sent::Refused => HashSet::new(),
        };
        for entry in alone {
            let short = entry::without_detail(&entry);
            for entry in [Some(entry), short].into_iter().flatten() {
                match self.call(vec![entry], deadline, &refusals).await {
                    Sent::Taken(positions) if positions.is_empty() => {}
                    Sent::Taken(positions) => {
                        taken.extend(positions);
                        break;
                    }
                    Sent::Refused => {}
                    Sent::NotReached => return BatchEnd { taken, is_reached: false },
                    Sent::OutOfTime => return BatchEnd { taken, is_reached: true },
                }
            }
        }
        BatchEnd { taken, is_reached: true }
    }

    async fn call(&self, batch: Vec<SendMessageBatchRequestEntry>, deadline: Instant, refusals: &Refusals) -> Sent {
        let now = clock::now();
        if now >= deadline {
            return Sent::OutOfTime;
        }
        let until = deadline.min(now + CALL_TIMEOUT);
        let sent: HashSet<String> = batch.iter().map(|entry| entry.id.clone()).collect();
        let trace_id = self.trace_id.clone();
        let call = self.client.send_message_batch().queue_url(&self.queue_url).set_entries(Some(batch)).customize();
        let call = call.mutate_request(move |request| {
            if let Some(trace_id) = &trace_id {
                // the call works without this header too
                let _ = request.headers_mut().try_insert("x-amzn-trace-id", trace_id.clone());
            }
        });
        let call = call.send();
        match timeout_at(until, call).await {
            Ok(Ok(output)) => {
                output.failed().iter().for_each(|failed| refusals.add(error_text::code_text(failed.code()), 1));
                let is_failed = |id: &str| output.failed().iter().any(|failed| failed.id() == id);
                let ids = output.successful().iter().map(SendMessageBatchResultEntry::id);
                let ids = ids.filter(|id| sent.contains(*id) && !is_failed(id));
                Sent::Taken(ids.filter_map(|id| id.parse().ok()).collect())
            }
            Ok(Err(error)) => {
                refusals.add(error_text::call_error_text(&error), sent.len());
                let refusal = error.as_service_error().map(|error| error.meta().code().unwrap_or_default());
                if refusal.is_some_and(concerns_content) { Sent::Refused } else { Sent::NotReached }
            }
            Err(_) => {
                refusals.add("no response in time", sent.len());
                if until < deadline { Sent::NotReached } else { Sent::OutOfTime }
            }
        }
    }
}

impl EventQuarantine {
    /// Adds a rejected message.
    pub(crate) fn add(&mut self, rejected: &Rejected<'_>) {
        let positions = self.positions.entry(rejected.message.id.to_string()).or_default();
        positions.push(rejected.position);
        match positions.first() {
            Some(first) if *first == rejected.position => {}
            Some(first) if self.accepted.contains(first) => return self.accepted.push(rejected.position),
            _ => return,
        }
        self.ids.insert(rejected.position, rejected.message.id.to_string());
        self.waiting.extend(entry::entry(rejected, self.quarantine.is_fifo()).and_then(fitting));
    }

    /// Starts as many calls as allowed. While more messages are expected soon, a call waits until it is full.
    pub(crate) fn start_calls(&mut self, is_more_expected: bool, deadline: Instant) {
        loop {
            let now = clock::now();
            let is_slow = self.started.is_some_and(|started| now - started > SLOW_CALL);
            if !self.is_reached || is_slow || self.calls.len() >= self.quarantine.max_calls() || now >= deadline {
                return;
            }
            let is_full = self.waiting.len() >= MAX_BATCH_ENTRIES;
            if self.waiting.is_empty() || is_more_expected && !is_full {
                return;
            }
            let batch = entry::next_batch(&mut self.waiting);
            self.started.get_or_insert(now);
            self.calls.spawn(self.quarantine.clone().send_batch(batch, deadline, self.refusals.clone()));
        }
    }

    /// Returns whether a call is in flight.
    pub(crate) fn has_calls(&self) -> bool {
        !self.calls.is_empty()
    }

    /// Waits until a call ends. It is cancel safe.
    pub(crate) async fn progress(&mut self) {
        // it is unknown whether a call that panicked has sent anything
        if let Some(Ok(end)) = self.calls.join_next().await {
            let ids = end.taken.iter().filter_map(|position| self.ids.get(position));
            let positions = ids.filter_map(|id| self.positions.get(id)).flatten();
            self.accepted.extend(positions);
            self.is_reached &= end.is_reached;
        }
        if self.calls.is_empty() {
            self.started = None;
        }
    }

    /// Returns the positions of the messages that the queue has accepted so far.
    pub(crate) fn accepted(&self) -> &[usize] {
        &self.accepted
    }

    /// Logs the messages that the queue did not accept.
    pub(crate) fn log(self) {
        self.refusals.log(|cause, count| tracing::warn!(cause, count, "quarantine queue did not take messages"));
    }
}

/// Returns whether a call was refused because of its content, so that smaller calls may be accepted.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html#API_SendMessageBatch_Errors>
fn concerns_content(code: &str) -> bool {
    let code = code.rsplit(['.', '#']).next().unwrap_or(code);
    ["BatchRequestTooLong", "InvalidMessageContents", "InvalidParameterValue", "InvalidParameterValueException"]
        .contains(&code)
}

/// Returns the entry, without its detail if it would otherwise be too large for a queue. If it is still too large, logs a
/// warning and returns `None`, and the message is returned.
fn fitting(entry: SendMessageBatchRequestEntry) -> Option<SendMessageBatchRequestEntry> {
    if entry::size(&entry) <= MAX_BATCH_BYTES {
        return Some(entry);
    }
    let short = entry::without_detail(&entry).unwrap_or(entry);
    let bytes = entry::size(&short);
    if bytes <= MAX_BATCH_BYTES {
        return Some(short);
    }
    let source = short.message_attributes().and_then(|all| all.get("source_message_id")?.string_value());
    tracing::warn!(message_id = source, bytes, most = MAX_BATCH_BYTES, "message too large for the quarantine queue");
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Reason;
    use crate::sqs::Event;
    use crate::transport::{HttpTransport, ResponseFuture, Silent, sdk_http_client};
    use aws_credential_types::Credentials;
    use aws_credential_types::provider::SharedCredentialsProvider;
    use aws_sdk_sqs::config::{BehaviorVersion, Region};
    use bytes::Bytes;
    use http::Request;
    use std::sync::{Arc, Mutex};

    fn entry_of(body: usize, detail: usize) -> SendMessageBatchRequestEntry {
        let detail = aws_sdk_sqs::types::MessageAttributeValue::builder()
            .data_type("String")
            .string_value("d".repeat(detail))
            .build()
            .unwrap();
        SendMessageBatchRequestEntry::builder()
            .id("0")
            .message_body("x".repeat(body))
            .message_attributes("detail", detail)
            .build()
            .unwrap()
    }

    #[test]
    fn an_entry_too_large_with_its_detail_goes_without_it() {
        let overhead = "detail".len() + "String".len();
        let fits = |body: usize| fitting(entry_of(body, 100)).map(|entry| entry::size(&entry));
        assert_eq!(fits(MAX_BATCH_BYTES - 100 - overhead), Some(MAX_BATCH_BYTES));
        assert_eq!(fits(MAX_BATCH_BYTES - 99 - overhead), Some(MAX_BATCH_BYTES - 99 - overhead), "without its detail");
        assert_eq!(fits(MAX_BATCH_BYTES), Some(MAX_BATCH_BYTES));
        assert_eq!(fits(MAX_BATCH_BYTES + 1), None, "too large for any queue");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_the_deadline_cuts_short_does_not_make_the_queue_a_silent_one() {
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(sdk_http_client(Arc::new(Silent)))
            .region(Region::new("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                "AKID", "secret", None, None, "test",
            )));
        let quarantine = Quarantine::new(Client::from_conf(config.build()), "http://sqs.invalid/1/q".into());
        let event = Event::parse(br#"{"Records": [{"messageId": "m", "body": "%"}]}"#).unwrap();
        let rejection = Rejection::new(Reason::InvalidBase64, &"no base64");
        let rejected = Rejected { position: 0, message: &event.messages[0], rejection: &rejection, subject: None };
        for (time, is_reached) in [(CALL_TIMEOUT / 2, true), (CALL_TIMEOUT, true), (2 * CALL_TIMEOUT, false)] {
            let mut of_event = quarantine.begin(None);
            let started = clock::now();
            of_event.add(&rejected);
            of_event.start_calls(false, started + time);
            while of_event.has_calls() {
                of_event.progress().await;
            }
            assert!(of_event.accepted().is_empty());
            assert_eq!(of_event.is_reached, is_reached, "{time:?}");
            assert!(clock::now() <= started + time.min(CALL_TIMEOUT) + Duration::from_millis(1));
        }
    }

    /// A transport that records the X-Ray tracing header of the last call and never responds.
    #[derive(Debug, Clone, Default)]
    struct TraceOf(Arc<Mutex<Option<String>>>);

    impl HttpTransport for TraceOf {
        fn send(&self, request: Request<Bytes>) -> ResponseFuture {
            let trace = request.headers().get("x-amzn-trace-id").map(|trace| trace.to_str().unwrap().to_owned());
            *self.0.lock().unwrap() = trace;
            Silent.send(request)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_names_the_trace_of_its_invocation() {
        let transport = TraceOf::default();
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(sdk_http_client(Arc::new(transport.clone())))
            .region(Region::new("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::for_tests()));
        let quarantine = Quarantine::new(Client::from_conf(config.build()), "http://sqs.invalid/1/q".into());
        let event = Event::parse(br#"{"Records": [{"messageId": "m", "body": "%"}]}"#).unwrap();
        let rejection = Rejection::new(Reason::InvalidBase64, &"no base64");
        let rejected = Rejected { position: 0, message: &event.messages[0], rejection: &rejection, subject: None };
        for trace in [Some("Root=1-5759e988-bd862e3fe1be46a994272793;Lineage=1:a87bd80c:0"), None] {
            let deadline = clock::now() + CALL_TIMEOUT / 2;
            let mut of_event = quarantine.begin(trace);
            of_event.add(&rejected);
            of_event.start_calls(false, deadline);
            of_event.progress().await;
            assert_eq!(transport.0.lock().unwrap().as_deref(), trace);
        }
    }

    #[test]
    fn a_call_refused_for_what_is_in_it_is_told_from_a_queue_that_lets_nothing_in() {
        let codes = ["AWS.SimpleQueueService.BatchRequestTooLong", "com.amazonaws.sqs#InvalidParameterValue"];
        assert!(codes.into_iter().all(concerns_content));
        assert!(!["QueueDoesNotExist", "AccessDenied", "ThrottlingException", ""].into_iter().any(concerns_content));
    }
}
