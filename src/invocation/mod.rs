//! One invocation, from the payload to the response.
//!
//! [`Handler::handle`] lists its steps. Messages are decoded (`decoding`) while earlier messages are written
//! ([`write`](crate::write)) and rejected messages are sent to the quarantine queue. `progress` records the outcome of each
//! message, `deadlines` computes all deadlines, and `report` creates the log lines and metrics.

mod deadlines;
mod decoding;
mod memory;
mod progress;
mod report;

pub use memory::Memory;

use crate::clock;
use crate::metrics::{Invocation, Metrics};
use crate::offload::Place;
use crate::outcome::{Cause, Outcome};
use crate::quarantine::{EventQuarantine, Quarantine, Rejected};
use crate::sqs::{Event, MalformedEvent, Response};
use crate::transcode::Transcoder;
use crate::visibility::{Visibility, VisibilityFigures};
use crate::write::Writer;
use crate::write::drive::EventWrites;
use crate::write::scheduler;
use deadlines::{Deadlines, Reserved};
use decoding::{Decoding, Next};
use progress::Progress;
use report::Stages;
use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::yield_now;
use tokio::time::Instant;

/// The handler of invocations. There is one handler per process, and invocations may run concurrently.
pub struct Handler {
    transcoder: Transcoder,
    writer: Writer,
    quarantine: Option<Quarantine>,
    visibility: Option<Visibility>,
    metrics: Metrics,
    deadline_margin: Duration,
    memory: Memory,
    warm: AtomicBool,
}

/// The metadata that Lambda provides with an invocation.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// Identifies the invocation in the logs.
    pub request_id: String,
    /// Time at which Lambda ends the invocation, since the Unix epoch.
    pub deadline: Duration,
    /// The X-Ray tracing header.
    pub trace_id: Option<String>,
}

/// The result of an invocation.
#[derive(Debug)]
pub struct InvocationResult {
    /// The response, or the reason why Lambda must return the whole batch.
    pub response: Result<Response, InvocationError>,
    /// Lines of EMF to write to standard output.
    pub metrics: Vec<u8>,
}

/// The reason why a whole invocation fails. Lambda then counts it in its own error metric.
#[derive(Debug)]
pub enum InvocationError {
    /// The event is not a batch of SQS messages.
    Malformed(MalformedEvent),
    /// Nothing could be stored, for a reason that an operator must fix.
    Fatal(Box<str>),
}

impl fmt::Display for InvocationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => write!(f, "{error}"),
            Self::Fatal(cause) => write!(f, "nothing could be stored: {cause}"),
        }
    }
}

impl std::error::Error for InvocationError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Malformed(error) => Some(error),
            Self::Fatal(_) => None,
        }
    }
}

impl Handler {
    /// Creates a handler. `deadline_margin` is subtracted from Lambda's deadline.
    pub fn new(
        transcoder: Transcoder,
        writer: Writer,
        quarantine: Option<Quarantine>,
        metrics: Metrics,
        deadline_margin: Duration,
    ) -> Self {
        let (memory, warm) = (Memory::default(), AtomicBool::new(false));
        Self { transcoder, writer, quarantine, visibility: None, metrics, deadline_margin, memory, warm }
    }

    /// Enables changes to the visibility timeout of returned messages.
    #[must_use]
    pub fn with_visibility(self, visibility: Visibility) -> Self {
        Self { visibility: Some(visibility), ..self }
    }

    /// Sets the memory of the function.
    #[must_use]
    pub fn with_memory(self, memory: Memory) -> Self {
        Self { memory, ..self }
    }

    /// Handles one event. Every message gets exactly one outcome. The response lists the messages that SQS must redeliver.
    pub async fn handle(&self, payload: &[u8], context: &Context) -> InvocationResult {
        let (started, at) = (clock::now(), clock::since_epoch());
        let cold_start = !self.warm.swap(true, Ordering::Relaxed);
        let place = Place::for_payload(payload);
        let event = match place.run(|| Event::parse(payload)) {
            Ok(event) => event,
            Err(error) => return self.malformed(error, at, cold_start, context),
        };
        let parse_time = clock::now() - started;
        let deadlines = self.deadlines(started, context.deadline.saturating_sub(at));

        let trace_id = context.trace_id.as_deref();
        let mut progress = self.write(&event, (at, payload.len(), place), &deadlines, trace_id).await;

        let ledger = progress.settle();
        report::log_failures(&event, &progress.outcomes, context);
        let response = match progress.fatal.take() {
            Some(cause) if ledger.durable() == 0 => Err(InvocationError::Fatal(cause)),
            _ => Ok(respond(&event, &progress.outcomes)),
        };
        let visibility = self.change_visibility(&event, &progress.outcomes, &response, deadlines.response).await;
        let stages = Stages { at, parse_time, handler_time: clock::now() - started };
        let subjects = self.transcoder.subjects().map(|(subject, _)| subject.name());
        let invocation = Invocation {
            request_id: context.request_id.clone(),
            cold_start,
            write_limit: self.writer.limit(),
            visibility,
            ..report::metrics(&event, &progress, ledger, &stages, subjects)
        };
        InvocationResult { response, metrics: self.metrics.lines(&invocation) }
    }

    /// Returns the result for an event that is not a batch of messages.
    fn malformed(&self, error: MalformedEvent, at: Duration, cold_start: bool, context: &Context) -> InvocationResult {
        let invocation = Invocation { at, request_id: context.request_id.clone(), cold_start, ..Invocation::default() };
        InvocationResult { response: Err(InvocationError::Malformed(error)), metrics: self.metrics.lines(&invocation) }
    }

    fn deadlines(&self, now: Instant, left: Duration) -> Deadlines {
        let left = left.saturating_sub(self.deadline_margin);
        let visibility = if self.visibility.is_some() { Visibility::reserved(left) } else { Duration::ZERO };
        Deadlines::new(now, left, Reserved { visibility, has_quarantine: self.quarantine.is_some() })
    }

    /// Decodes and writes all messages, and quarantines the rejected ones, as far as the time allows.
    async fn write(
        &self,
        event: &Event<'_>,
        (at, payload_bytes, place): (Duration, usize, Place),
        deadlines: &Deadlines,
        trace_id: Option<&str>,
    ) -> Progress {
        let started = clock::now();
        let mut progress = Progress::new(event.messages.len(), self.transcoder.mappings().len());
        let mut decoding = Decoding::new(&self.transcoder, event, &self.memory, (at, payload_bytes), deadlines.writes);
        let mut writes = self.writer.begin(event.fifo, started, deadlines.writes);
        let mut quarantine = self.quarantine.as_ref().map(|quarantine| quarantine.begin(trace_id));
        while clock::now() < deadlines.writes {
            take_completed(&mut writes, &mut progress);
            self.reject(event, &mut progress, quarantine.as_mut());
            let next = decoding.next(writes.held_bytes());
            let is_fast = next == Next::Slice && place.run(|| decoding.slice(&mut writes, &mut progress));
            // a batch that is not full waits only for messages that will be decoded soon
            writes.set_decoding(match decoding.next(writes.held_bytes()) {
                Next::Slice if is_fast => scheduler::Decoding::Running,
                Next::Slice | Next::WaitForMemory => scheduler::Decoding::Paused,
                Next::Done => scheduler::Decoding::Ended,
            });
            writes.start_calls();
            if let Some(quarantine) = &mut quarantine {
                quarantine.start_calls(next == Next::Slice, deadlines.quarantine);
            }
            let wake_at = match next {
                Next::Slice => {
                    yield_now().await;
                    writes.take_ended();
                    continue;
                }
                Next::Done if writes.is_idle() => break,
                Next::Done => None,
                Next::WaitForMemory if writes.evict() => continue,
                Next::WaitForMemory => Some(writes.eviction_at()).filter(|at| *at > clock::now()),
            };
            wait(&mut writes, quarantine.as_mut(), wake_at).await;
        }
        writes.finish();
        take_completed(&mut writes, &mut progress);
        reconsider(&writes, &mut progress);
        progress.take_report(writes.take_report());
        progress.write_time = clock::now() - started - progress.decode_time;
        self.reject(event, &mut progress, quarantine.as_mut());
        if let Some(quarantine) = quarantine {
            end_quarantine(quarantine, &mut progress, deadlines.quarantine).await;
        }
        progress
    }

    /// Adds the messages that were rejected since the previous call to the quarantine.
    fn reject(&self, event: &Event<'_>, progress: &mut Progress, quarantine: Option<&mut EventQuarantine>) {
        let Some(quarantine) = quarantine else { return };
        for position in progress.take_rejected() {
            let Some(Outcome::Returned(Cause::Rejected(rejection))) = progress.outcomes.get(position) else { continue };
            let Some(message) = event.messages.get(position) else { continue };
            let subject = progress.subjects.get(position).copied().flatten();
            let subject = subject.map(|subject| self.transcoder.subject(subject));
            quarantine.add(&Rejected { position, message, rejection, subject });
        }
    }

    /// Shortens the visibility timeout of returned messages. If the invocation failed because an operator must fix a
    /// problem, the timeout is left unchanged. Frequent redeliveries would use up the messages' receives before the problem
    /// is fixed.
    async fn change_visibility(
        &self,
        event: &Event<'_>,
        outcomes: &[Outcome],
        response: &Result<Response, InvocationError>,
        deadline: Instant,
    ) -> VisibilityFigures {
        match (&self.visibility, response) {
            (Some(visibility), Ok(response)) if response.failures().len() > 0 => {
                visibility.change(event, outcomes, self.quarantine.is_some(), deadline).await
            }
            _ => VisibilityFigures::default(),
        }
    }
}

/// Waits until a call ends, another call can start, or `wake_at` is reached.
async fn wait(writes: &mut EventWrites<'_>, quarantine: Option<&mut EventQuarantine>, wake_at: Option<Instant>) {
    match quarantine.filter(|quarantine| quarantine.has_calls()) {
        Some(quarantine) => tokio::select! {
            () = writes.progress(wake_at) => {}
            () = quarantine.progress() => {}
        },
        None => writes.progress(wake_at).await,
    }
}

/// Records the outcomes of the messages that are complete.
fn take_completed(writes: &mut EventWrites<'_>, progress: &mut Progress) {
    for message in writes.take_completed() {
        progress.written(writes.position(message).0, writes.outcomes(message));
    }
}

/// Updates the causes of returned messages. After an item was blocked, a write to its key may have turned out to be
/// ambiguous.
fn reconsider(writes: &EventWrites<'_>, progress: &mut Progress) {
    for message in writes.messages() {
        let position = writes.position(message).0;
        if matches!(progress.outcomes.get(position), Some(Outcome::Returned(Cause::Failed(_)))) {
            progress.written(position, writes.outcomes(message));
        }
    }
}

/// Sends the remaining messages to the quarantine queue, and records which messages it accepted.
async fn end_quarantine(mut quarantine: EventQuarantine, progress: &mut Progress, deadline: Instant) {
    quarantine.start_calls(false, deadline);
    while quarantine.has_calls() {
        quarantine.progress().await;
        quarantine.start_calls(false, deadline);
    }
    progress.quarantined(quarantine.accepted().iter().copied());
    quarantine.log();
}

/// Returns the response. It lists each message that is not stored, superseded or quarantined, and each id only once.
fn respond(event: &Event<'_>, outcomes: &[Outcome]) -> Response {
    let returned = event.messages.iter().zip(outcomes).filter(|(_, outcome)| matches!(outcome, Outcome::Returned(_)));
    let mut seen = HashSet::new();
    Response::returning(returned.map(|(message, _)| message.id.as_ref()).filter(|id| seen.insert(*id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_returned_once_however_often_it_came() {
        let ids = ["a", "b", "a", "a", "c"];
        let records: Vec<_> = ids.iter().map(|id| serde_json::json!({"messageId": id})).collect();
        let payload = serde_json::json!({"Records": records}).to_string();
        let event = Event::parse(payload.as_bytes()).unwrap();
        let mut outcomes = vec![Outcome::Returned(Cause::Blocked); ids.len()];
        (outcomes[0], outcomes[4]) = (Outcome::Stored, Outcome::Superseded);
        assert_eq!(respond(&event, &outcomes).failures().collect::<Vec<_>>(), ["b", "a"]);
    }
}
