//! One invocation, from the payload to the answer: the only file that sees both SQS and DynamoDB.

use crate::avro::{Decoded, Undecoded};
use crate::clock;
use crate::decode::{DecodeBuffers, decode_message};
use crate::dynamodb::item::Items;
use crate::dynamodb::writer::{WriteFigures, WriteOutcome, Writer};
use crate::metrics::{Histogram, Invocation, Metrics};
use crate::outcome::{Cause, Ledger, Outcome, Reason, Rejection};
use crate::quarantine::{Quarantine, Rejected};
use crate::record::SubjectId;
use crate::sqs::{Event, MalformedEvent, Message, Response};
use crate::transcode::Transcoder;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// The function. One for the process; invocations may run side by side.
pub struct Handler {
    transcoder: Transcoder,
    writer: Writer,
    quarantine: Option<Quarantine>,
    metrics: Metrics,
    deadline_margin: Duration,
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

/// An invocation's answer and what to say of it.
#[derive(Debug)]
pub struct InvocationResult {
    /// The answer, or why Lambda must return the whole batch.
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
        Self { transcoder, writer, quarantine, metrics, deadline_margin, warm: AtomicBool::new(false) }
    }

    /// Handles one event: every message gets its one outcome, and the answer returns to the queue those that must come again.
    pub async fn handle(&self, payload: &[u8], context: &Context) -> InvocationResult {
        let started = clock::now();
        let now = clock::since_epoch();
        let cold_start = !self.warm.swap(true, Ordering::Relaxed);
        let event = match Event::parse(payload) {
            Ok(event) => event,
            Err(error) => {
                let invocation =
                    Invocation { at: now, request_id: context.request_id.clone(), cold_start, ..Invocation::default() };
                return InvocationResult {
                    response: Err(InvocationError::Malformed(error)),
                    metrics: self.metrics.lines(&invocation),
                };
            }
        };
        let parsed = clock::now();
        let mut batch = self.decode(&event, now, payload.len());
        let decoded = clock::now();
        let deadline = started + context.deadline.saturating_sub(now).saturating_sub(self.deadline_margin);
        let mut writes = Writes::default();
        let mut settled = Vec::new();
        for mut wave in event.waves() {
            event.block(&mut batch.outcomes, &settled, &mut wave);
            self.settle(&event, &mut batch, &wave, deadline, &mut writes).await;
            settled.append(&mut wave);
        }
        let finished = clock::now();

        log_failures(&event, &batch.outcomes, context);
        let ledger = Ledger::of(event.messages.len(), &batch.outcomes);
        let answered = now + (finished - started);
        let since = |then: Duration| {
            let sent = event.messages.iter().filter_map(|message| message.sent_ms);
            sent.map(|sent| then.saturating_sub(Duration::from_millis(sent))).collect::<Histogram>()
        };
        let invocation = Invocation {
            at: now,
            request_id: context.request_id.clone(),
            cold_start,
            ledger,
            rejected: rejections(&batch.outcomes).fold(BTreeMap::new(), |mut counts, rejection| {
                *counts.entry(rejection.reason).or_default() += 1;
                counts
            }),
            records: batch.records,
            bytes_in: event.messages.iter().filter_map(Message::original_body).map(str::len).sum(),
            parse_time: parsed - started,
            decode_time: decoded - parsed,
            write_time: finished - decoded,
            handler_time: finished - started,
            writes: writes.figures,
            write_limit: self.writer.limit(),
            delivery_latency: since(now),
            end_to_end_latency: since(answered),
        };
        let nothing_stored = ledger.stored + ledger.superseded + ledger.quarantined == 0;
        let response = match writes.fatal {
            Some(cause) if nothing_stored => Err(InvocationError::Fatal(cause)),
            _ => Ok(respond(&event, &batch.outcomes)),
        };
        InvocationResult { response, metrics: self.metrics.lines(&invocation) }
    }

    /// Decodes every message. One that panics is returned; it takes no other with it.
    fn decode(&self, event: &Event<'_>, now: Duration, payload_bytes: usize) -> EventBatch {
        let mut encoder = self.transcoder.encoder(now, payload_bytes);
        let mut buffers = DecodeBuffers::default();
        let mut outcomes = vec![Outcome::Returned(Cause::Unfinished); event.messages.len()];
        let mut subjects = vec![None; event.messages.len()];
        let mut records = vec![0; self.transcoder.mappings().len()];
        for (position, (message, outcome)) in event.messages.iter().zip(&mut outcomes).enumerate() {
            let transcoded = catch_unwind(AssertUnwindSafe(|| {
                decode_message(&self.transcoder, message, position, &mut encoder, &mut buffers)
            }));
            match transcoded {
                Ok(Ok(Decoded { subject, records: count, .. })) => {
                    if let Some(records) = records.get_mut(usize::from(subject.0)) {
                        *records += count;
                    }
                    if let Some(slot) = subjects.get_mut(position) {
                        *slot = Some(subject);
                    }
                    // a container without records has nothing left to store
                    if count == 0 {
                        *outcome = Outcome::Stored;
                    }
                }
                Ok(Err(Undecoded::Rejected(rejection))) => *outcome = Outcome::Returned(Cause::Rejected(rejection)),
                // it stays unfinished, as every message begins
                Ok(Err(Undecoded::Interrupted(_))) => {}
                Err(_) => {
                    encoder.discard_message();
                    buffers = DecodeBuffers::default();
                }
            }
        }
        let names = self.transcoder.subjects().map(|(subject, _)| subject.name().to_owned());
        let records = names.zip(records).filter(|(_, count)| *count > 0).collect();
        EventBatch { items: Arc::new(encoder.finish_event()), outcomes, subjects, records }
    }

    /// Brings the messages of a wave to their ends: writes their items, quarantines what is rejected.
    async fn settle(
        &self,
        event: &Event<'_>,
        batch: &mut EventBatch,
        wave: &[usize],
        deadline: Instant,
        writes: &mut Writes,
    ) {
        let mut open = vec![false; event.messages.len()];
        for &position in wave {
            if let Some(open) = open.get_mut(position) {
                *open = true;
            }
        }
        let is_open = |position: usize| open.get(position).is_some_and(|open| *open);
        let items = Arc::clone(&batch.items);
        let among =
            items.as_slice().iter().enumerate().filter(|(_, item)| is_open(item.message)).map(|(index, _)| index);
        // what is rejected by now must not wait for the writes, which may take until the deadline
        let (report, taken) =
            tokio::join!(self.writer.write(&items, among, deadline), self.quarantine(event, batch, wave, deadline));
        let refused = batch.apply_outcomes(&report.outcomes, is_open);
        batch.quarantined(taken);
        writes.figures += report.figures;
        writes.fatal = writes.fatal.take().or(report.fatal);
        let taken = self.quarantine(event, batch, &refused, deadline).await;
        batch.quarantined(taken);
    }

    /// Sends those of the messages that are rejected to the quarantine queue, if there is one, and says which it has taken.
    async fn quarantine(
        &self,
        event: &Event<'_>,
        batch: &EventBatch,
        positions: &[usize],
        deadline: Instant,
    ) -> HashSet<usize> {
        let Some(quarantine) = &self.quarantine else { return HashSet::new() };
        let rejected: Vec<_> = positions.iter().filter_map(|&position| self.rejected(event, batch, position)).collect();
        quarantine.send(&rejected, deadline).await
    }

    /// The message at `position`, if it is rejected.
    fn rejected<'e>(&'e self, event: &'e Event<'_>, batch: &'e EventBatch, position: usize) -> Option<Rejected<'e>> {
        let Outcome::Returned(Cause::Rejected(rejection)) = batch.outcomes.get(position)? else { return None };
        let message = event.messages.get(position)?;
        let subject = batch.subjects.get(position).copied().flatten().map(|subject| self.transcoder.subject(subject));
        Some(Rejected { position, message, rejection, schema: subject })
    }
}

/// The event batch under way.
struct EventBatch {
    items: Arc<Items>,
    /// By position of the message.
    outcomes: Vec<Outcome>,
    /// What each message's records are, as far as it could be decoded.
    subjects: Vec<Option<SubjectId>>,
    /// Decoded records by subject.
    records: BTreeMap<String, usize>,
}

impl EventBatch {
    /// Gives each open message that has items the outcome they add up to, and says which are rejected by it.
    fn apply_outcomes(&mut self, ends: &[WriteOutcome], is_open: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut rejected = Vec::new();
        let mut ends = ends.iter();
        for items in self.items.as_slice().chunk_by(|one, next| one.message == next.message) {
            let ends = ends.by_ref().take(items.len());
            let Some(position) = items.first().map(|item| item.message).filter(|&position| is_open(position)) else {
                ends.for_each(drop);
                continue;
            };
            if let Some(outcome) = self.outcomes.get_mut(position) {
                *outcome = add_up(ends);
                if matches!(outcome, Outcome::Returned(Cause::Rejected(_))) {
                    rejected.push(position);
                }
            }
        }
        rejected
    }

    /// The quarantine queue has these.
    fn quarantined(&mut self, positions: HashSet<usize>) {
        for position in positions {
            if let Some(outcome) = self.outcomes.get_mut(position)
                && let Outcome::Returned(Cause::Rejected(rejection)) = outcome
            {
                *outcome = Outcome::Quarantined(rejection.clone());
            }
        }
    }
}

/// A message is stored only if all its items are. One that may yet be stored comes again before one that cannot is rejected.
fn add_up<'a>(ends: impl Iterator<Item = &'a WriteOutcome>) -> Outcome {
    let (mut stored, mut rejection, mut refusal, mut unfinished) = (false, None, None, false);
    for end in ends {
        match end {
            WriteOutcome::Unfinished => unfinished = true,
            WriteOutcome::Stored => stored = true,
            WriteOutcome::Superseded => {}
            WriteOutcome::Rejected(said) => rejection = Some(said),
            WriteOutcome::Refused(cause) => refusal = Some(cause),
        }
    }
    match (unfinished, refusal, rejection) {
        (true, _, _) => Outcome::Returned(Cause::Unfinished),
        (_, Some(cause), _) => Outcome::Returned(Cause::Refused(cause.clone())),
        (_, _, Some(said)) => {
            Outcome::Returned(Cause::Rejected(Rejection { reason: Reason::RefusedByTable, detail: said.clone() }))
        }
        _ if stored => Outcome::Stored,
        _ => Outcome::Superseded,
    }
}

/// What the writes of all waves came to.
#[derive(Default)]
struct Writes {
    figures: WriteFigures,
    fatal: Option<Box<str>>,
}

/// The answer: whatever is not stored, superseded or quarantined goes back, each id once.
fn respond(event: &Event<'_>, outcomes: &[Outcome]) -> Response {
    let returned = event.messages.iter().zip(outcomes).filter(|(_, outcome)| matches!(outcome, Outcome::Returned(_)));
    let mut seen = HashSet::new();
    Response::returning(returned.map(|(message, _)| message.id.as_ref()).filter(|id| seen.insert(*id)))
}

fn rejections(outcomes: &[Outcome]) -> impl Iterator<Item = &Rejection> {
    outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Quarantined(rejection) | Outcome::Returned(Cause::Rejected(rejection)) => Some(rejection),
        _ => None,
    })
}

/// One warning a message that is not stored: which, why, and never what it says.
fn log_failures(event: &Event<'_>, outcomes: &[Outcome], context: &Context) {
    for (message, outcome) in event.messages.iter().zip(outcomes) {
        let (outcome, reason, detail) = match outcome {
            Outcome::Stored | Outcome::Superseded => continue,
            Outcome::Quarantined(rejection) => ("quarantined", rejection.reason.code(), &*rejection.detail),
            Outcome::Returned(Cause::Rejected(rejection)) => ("returned", rejection.reason.code(), &*rejection.detail),
            Outcome::Returned(Cause::Refused(cause)) => ("returned", "refused", &**cause),
            Outcome::Returned(Cause::Unfinished) => {
                ("returned", "unfinished", "not known to be stored by the deadline")
            }
            Outcome::Returned(Cause::Blocked) => {
                ("returned", "blocked", "a message before it in its group was returned")
            }
        };
        tracing::warn!(
            request_id = context.request_id,
            message_id = %message.id,
            outcome,
            reason,
            detail,
            receive_count = message.receive_count,
            trace_id = context.trace_id,
            message_trace = message.trace.as_deref(),
            "message not stored"
        );
    }
}
