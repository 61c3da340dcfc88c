//! One invocation, from the payload to the response.
//!
//! [`Handler::handle`] is the list of its steps. Messages are decoded (`decoding`) while earlier ones are written
//! ([`write`](crate::write)) and rejected ones are sent to the quarantine queue. `progress` keeps the outcome of each message,
//! `deadlines` every instant, and `report` says what is logged and measured.

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

/// The function. One for the process; invocations may run side by side.
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

/// What Lambda says of an invocation besides its payload.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// Names the invocation in the logs.
    pub request_id: String,
    /// When Lambda ends the invocation, since the Unix epoch.
    pub deadline: Duration,
    /// The X-Ray header.
    pub trace_id: Option<String>,
}

/// What came of an invocation.
#[derive(Debug)]
pub struct InvocationResult {
    /// The response, or why Lambda must return the whole batch.
    pub response: Result<Response, InvocationError>,
    /// Lines of EMF for the standard output.
    pub metrics: Vec<u8>,
}

/// Why a whole invocation fails, so that Lambda's own error metric rises.
#[derive(Debug)]
pub enum InvocationError {
    /// The event is no batch of messages.
    Malformed(MalformedEvent),
    /// Nothing could be stored, for a cause an operator must fix.
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
    /// A handler of these parts. `deadline_margin` is subtracted from Lambda's deadline.
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

    /// The same, changing the visibility of what it returns.
    #[must_use]
    pub fn with_visibility(self, visibility: Visibility) -> Self {
        Self { visibility: Some(visibility), ..self }
    }

    /// The same, for a function of this memory.
    #[must_use]
    pub fn with_memory(self, memory: Memory) -> Self {
        Self { memory, ..self }
    }

    /// Handles one event: every message gets one outcome, and the response returns to the queue those that must be delivered
    /// again.
    pub async fn handle(&self, payload: &[u8], context: &Context) -> InvocationResult {
        let (started, at) = (clock::now(), clock::since_epoch());
        let cold_start = !self.warm.swap(true, Ordering::Relaxed);
        let place = Place::of(payload);
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

    /// The result of an event that is no batch of messages.
    fn malformed(&self, error: MalformedEvent, at: Duration, cold_start: bool, context: &Context) -> InvocationResult {
        let invocation = Invocation { at, request_id: context.request_id.clone(), cold_start, ..Invocation::default() };
        InvocationResult { response: Err(InvocationError::Malformed(error)), metrics: self.metrics.lines(&invocation) }
    }

    fn deadlines(&self, now: Instant, left: Duration) -> Deadlines {
        let left = left.saturating_sub(self.deadline_margin);
        let visibility = if self.visibility.is_some() { Visibility::reserved(left) } else { Duration::ZERO };
        Deadlines::new(now, left, Reserved { visibility, has_quarantine: self.quarantine.is_some() })
    }

    /// Decodes and writes every message, and quarantines those that are rejected, as far as the time allows.
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
            // a batch that is not full waits only for messages that are decoded soon
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

    /// Adds the messages that were rejected since the last time to the quarantine.
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

    /// Shortens the visibility timeout of returned messages. What an operator must fix keeps it: that takes longer than the
    /// receives would last.
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

/// Waits until a call has ended, another may start, or `wake_at` is there.
async fn wait(writes: &mut EventWrites<'_>, quarantine: Option<&mut EventQuarantine>, wake_at: Option<Instant>) {
    match quarantine.filter(|quarantine| quarantine.has_calls()) {
        Some(quarantine) => tokio::select! {
            () = writes.progress(wake_at) => {}
            () = quarantine.progress() => {}
        },
        None => writes.progress(wake_at).await,
    }
}

/// Gives each message that is complete its outcome.
fn take_completed(writes: &mut EventWrites<'_>, progress: &mut Progress) {
    for message in writes.take_completed() {
        progress.written(writes.position(message).0, writes.outcomes(message));
    }
}

/// Names the causes of returned messages again. That a write of a key may still take effect can become known after another item
/// of the key was blocked.
fn reconsider(writes: &EventWrites<'_>, progress: &mut Progress) {
    for message in writes.messages() {
        let position = writes.position(message).0;
        if matches!(progress.outcomes.get(position), Some(Outcome::Returned(Cause::Failed(_)))) {
            progress.written(position, writes.outcomes(message));
        }
    }
}

/// Sends what is left to the quarantine queue, and takes in what it has accepted.
async fn end_quarantine(mut quarantine: EventQuarantine, progress: &mut Progress, deadline: Instant) {
    quarantine.start_calls(false, deadline);
    while quarantine.has_calls() {
        quarantine.progress().await;
        quarantine.start_calls(false, deadline);
    }
    progress.quarantined(quarantine.accepted().iter().copied());
    quarantine.log();
}

/// The response: whatever is not stored, superseded or quarantined goes back, each id once.
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
