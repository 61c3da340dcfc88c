//! One invocation, from the payload to the response. It decodes and writes the event in chunks of consecutive messages, so
//! that the items of an event never take more memory than there is; nearly every event is one chunk.

use crate::avro::{Decoded, Undecoded};
use crate::clock;
use crate::decode::{DecodeBuffers, decode_message};
use crate::dynamodb::item::ItemEncoder;
use crate::dynamodb::writer::{WriteTime, Writer};
use crate::memory::Memory;
use crate::metrics::{Invocation, Metrics};
use crate::offload::Place;
use crate::outcome::{Cause, Outcome, Reason, Rejection};
use crate::progress::{Chunk, Progress};
use crate::quarantine::{EventQuarantine, Quarantine, Rejected};
use crate::record::Interruption;
use crate::report::{self, Stages};
use crate::sqs::{BlockedGroups, Event, MalformedEvent, Message, Response};
use crate::transcode::Transcoder;
use crate::visibility::{Visibility, VisibilityFigures};
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// The most that the writes leave of their time to the quarantine of what the table refuses.
const QUARANTINE_TIME: Duration = Duration::from_secs(2);

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

    /// Handles one event: every message gets its one outcome, and the response returns to the queue those that must come again.
    pub async fn handle(&self, payload: &[u8], context: &Context) -> InvocationResult {
        let started = clock::now();
        let now = clock::since_epoch();
        let cold_start = !self.warm.swap(true, Ordering::Relaxed);
        let place = Place::of(payload);
        let event = match place.run(|| Event::parse(payload)) {
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
        let parse_time = clock::now() - started;
        let left = context.deadline.saturating_sub(now).saturating_sub(self.deadline_margin);
        let answer_at = started + left;
        let reserved = if self.visibility.is_some() { Visibility::reserved(left) } else { Duration::ZERO };
        let deadline = answer_at - reserved;

        let mut progress = Progress::new(event.messages.len(), self.transcoder.mappings().len());
        let mut blocked = BlockedGroups::default();
        let trace_id = context.trace_id.as_deref();
        let mut quarantine = self.quarantine.as_ref().map(|quarantine| quarantine.of_event(trace_id));
        let mut next = 0;
        while next < event.messages.len() && clock::now() < deadline {
            let before = clock::now();
            let chunk = self.decode(&event, next, now, (payload.len(), place), deadline, &mut progress);
            let decoded = clock::now();
            let time = chunk_time(chunk.positions.clone(), event.messages.len(), decoded, deadline);
            next = chunk.positions.end;
            self.write(&event, chunk, time, &mut progress, &mut blocked, quarantine.as_mut()).await;
            progress.decode_time += decoded - before;
        }

        let ledger = progress.settle();
        report::log_failures(&event, &progress.outcomes, context);
        let response = match progress.fatal.take() {
            Some(cause) if ledger.durable() == 0 => Err(InvocationError::Fatal(cause)),
            _ => Ok(respond(&event, &progress.outcomes)),
        };
        let visibility = self.change_visibility(&event, &progress.outcomes, &response, answer_at).await;
        let stages = Stages { at: now, parse_time, handler_time: clock::now() - started };
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

    /// Has what is returned come back soon. What an operator must fix is not: it takes longer than the receives would last.
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

    /// Decodes messages from the one at `from` on, until the next one has no place in memory beside them or would keep them from
    /// being written in time. It does so at `place`, and aside if that takes longer than the place allows.
    fn decode(
        &self,
        event: &Event<'_>,
        from: usize,
        now: Duration,
        (payload_bytes, place): (usize, Place),
        deadline: Instant,
        progress: &mut Progress,
    ) -> Chunk {
        let most_bytes = self.memory.chunk_bytes(payload_bytes);
        let chunk_until = decode_until(clock::now(), deadline);
        let position = Cell::new(from);
        // the first one may take all the time there is
        let is_over = || clock::now() >= if position.get() == from { deadline } else { chunk_until };
        let mut encoder =
            self.transcoder.encoder(now, payload_bytes.min(most_bytes)).within(most_bytes).until(&is_over);
        let mut buffers = DecodeBuffers::bounded(most_bytes);
        // The others' bodies take memory too: without them it may have place, and they must not have it rejected, but those of
        // its group, without which it never comes. Nothing is written while it is decoded for that, and so there is the memory.
        let fits_alone = |message: &Message<'_>, position| {
            let is_of_its_group = |other: &&Message<'_>| other.group == message.group;
            if event.fifo && event.messages.iter().filter(is_of_its_group).count() > 1 {
                return false;
            }
            let own_bytes = self.memory.chunk_bytes(message.original_body().map_or(0, str::len));
            let mut encoder = self.transcoder.encoder(now, 0).within(own_bytes).until(&is_over);
            let mut buffers = DecodeBuffers::bounded(own_bytes);
            let decode = || decode_message(&self.transcoder, message, position, &mut encoder, &mut buffers);
            let is_out_of_memory = |decoded| matches!(decoded, Err(Undecoded::Interrupted(Interruption::Memory)));
            own_bytes > most_bytes && !catch_unwind(AssertUnwindSafe(decode)).is_ok_and(is_out_of_memory)
        };
        let too_large = |message: &Message<'_>, position| {
            let (most, memory) = (most_bytes >> 20, self.memory.megabytes());
            let detail = format!(
                "its items take more than {most} MiB, the share of the function's {memory} MB of memory that they may take: \
                 raise MemoryMegabytes"
            );
            if fits_alone(message, position) {
                return Cause::Unfinished(detail.into());
            }
            Cause::Rejected(Rejection { reason: Reason::LimitExceeded, detail: detail.into() })
        };
        let mut decode = |message, position, encoder: &mut _| {
            // a panic leaves new ones behind
            let mut own = std::mem::replace(&mut buffers, DecodeBuffers::bounded(most_bytes));
            let decoded = decode_message(&self.transcoder, message, position, encoder, &mut own);
            buffers = own;
            decoded
        };
        let pause_at = Cell::new(place.pause_at());
        let is_over_before = |next: usize| {
            position.set(next);
            pause_at.get().is_some_and(|pause| clock::now() >= pause) || is_over()
        };
        let mut chunk_from =
            |from| decode_chunk(&event.messages, from, is_over_before, &mut encoder, progress, &mut decode, too_large);
        let mut end = place.run(|| chunk_from(from));
        // whether it paused or was over, it goes on until it is over
        if pause_at.take().is_some() && end < event.messages.len() {
            end = Place::Aside.run(|| chunk_from(end));
        }
        Chunk { positions: from..end, items: encoder.finish_event() }
    }

    /// Writes a chunk to its end: its items, in the order its queue asks for, and the rejected messages' quarantine.
    async fn write<'e>(
        &self,
        event: &'e Event<'_>,
        chunk: Chunk,
        time: WriteTime,
        progress: &mut Progress,
        blocked: &mut BlockedGroups<'e>,
        mut quarantine: Option<&mut EventQuarantine>,
    ) {
        let WriteTime { deadline, .. } = time;
        let writes_end = WriteTime { deadline: self.write_deadline(deadline), ..time };
        let Chunk { positions, items } = chunk;
        let items = Arc::new(items);
        let has_items = |position: usize| items.as_slice().binary_search_by_key(&position, |item| item.message).is_ok();
        let groups = blocked.writable(event, positions.clone(), &mut progress.outcomes, has_items);
        let in_groups: Option<HashSet<usize>> =
            groups.as_ref().map(|groups| groups.iter().flatten().copied().collect());
        let rejected: Vec<usize> = positions.clone().collect();
        let mut open = std::mem::take(&mut progress.open_keys);
        let writing = async {
            let started = clock::now();
            (self.writer.write(&items, groups.as_deref(), &mut open, writes_end).await, clock::now() - started)
        };
        // what is rejected by now must not wait for the writes, which may take until the deadline
        let ((report, write_time), taken) =
            tokio::join!(writing, self.quarantine(quarantine.as_deref_mut(), event, progress, &rejected, deadline));
        progress.open_keys = open;
        progress.write_time += write_time;
        let is_written = |position: usize| in_groups.as_ref().is_none_or(|among| among.contains(&position));
        let refused = progress.written(&items, report, is_written);
        blocked.update(event, positions, &mut progress.outcomes);
        progress.quarantined(taken);
        let taken = self.quarantine(quarantine, event, progress, &refused, deadline).await;
        progress.quarantined(taken);
    }

    /// When the writes end: some time before `deadline` if there is a quarantine queue, or an item that fails for ever would
    /// leave no time to quarantine what the table has refused.
    fn write_deadline(&self, deadline: Instant) -> Instant {
        match self.quarantine {
            Some(_) => deadline - QUARANTINE_TIME.min(deadline.saturating_duration_since(clock::now()) / 4),
            None => deadline,
        }
    }

    /// Sends those of the messages that are rejected to the quarantine queue, if there is one, and says which it has taken.
    async fn quarantine(
        &self,
        quarantine: Option<&mut EventQuarantine>,
        event: &Event<'_>,
        progress: &Progress,
        positions: &[usize],
        deadline: Instant,
    ) -> HashSet<usize> {
        let Some(quarantine) = quarantine else { return HashSet::new() };
        let rejected: Vec<_> =
            positions.iter().filter_map(|&position| self.rejected(event, progress, position)).collect();
        quarantine.send(&rejected, deadline).await
    }

    /// The message at `position`, if it is rejected.
    fn rejected<'e>(&'e self, event: &'e Event<'_>, progress: &'e Progress, position: usize) -> Option<Rejected<'e>> {
        let Outcome::Returned(Cause::Rejected(rejection)) = progress.outcomes.get(position)? else { return None };
        let message = event.messages.get(position)?;
        let subject = progress.subjects.get(position).copied().flatten();
        let subject = subject.map(|subject| self.transcoder.subject(subject));
        Some(Rejected { position, message, rejection, subject })
    }
}

/// The part of the time that is left which a chunk may take to be decoded, as a divisor. Later, its messages would have no time to
/// be written because of slow ones behind them.
const DECODE_TIME: u32 = 8;

/// When no message is added to a chunk any more.
fn decode_until(now: Instant, deadline: Instant) -> Instant {
    now + deadline.saturating_duration_since(now) / DECODE_TIME
}

/// The time to write a chunk: the last one has all that is left. Another has its share by its number of messages, so that an item
/// that fails for ever leaves the rest to the chunks behind its own; and up to half of what is left while it gets on, for
/// one message may hold more than all others.
fn chunk_time(positions: Range<usize>, messages: usize, now: Instant, deadline: Instant) -> WriteTime {
    let (its_own, behind) = (positions.len(), messages.saturating_sub(positions.end));
    if behind == 0 {
        return WriteTime { share: deadline, deadline };
    }
    let left = deadline.saturating_duration_since(now);
    let share = now + left.mul_f64(its_own as f64 / (its_own + behind) as f64);
    WriteTime { share, deadline: share.max(now + left / 2) }
}

/// Decodes messages from the one at `from` on into `encoder`, and returns the position behind the last. A message that panics
/// is returned and takes no other with it. One that has no place beside others is left for the next chunk; one that has none
/// in a chunk of its own is returned as `too_large` says.
fn decode_chunk<'e>(
    messages: &'e [Message<'e>],
    from: usize,
    is_over_before: impl Fn(usize) -> bool,
    encoder: &mut ItemEncoder<'e>,
    progress: &mut Progress,
    mut decode: impl FnMut(&'e Message<'e>, usize, &mut ItemEncoder<'e>) -> Result<Decoded, Undecoded<Rejection>>,
    too_large: impl Fn(&'e Message<'e>, usize) -> Cause,
) -> usize {
    for (position, message) in messages.iter().enumerate().skip(from) {
        if is_over_before(position) {
            return position;
        }
        let cause = match catch_unwind(AssertUnwindSafe(|| decode(message, position, encoder))) {
            Ok(Ok(decoded)) => {
                progress.decoded(position, &decoded);
                continue;
            }
            Ok(Err(Undecoded::Rejected(rejection))) => Cause::Rejected(rejection),
            Ok(Err(Undecoded::Interrupted(Interruption::Deadline))) => return position,
            Ok(Err(Undecoded::Interrupted(Interruption::Memory))) if encoder.is_empty() => too_large(message, position),
            Ok(Err(Undecoded::Interrupted(Interruption::Memory))) => return position,
            Err(_) => {
                encoder.discard_message(position);
                Cause::Unfinished("decoding it panicked".into())
            }
        };
        progress.set(position, Outcome::Returned(cause));
    }
    messages.len()
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
    use crate::avro::WireFormat;
    use crate::dynamodb::item::Operation;
    use crate::dynamodb::mapping::{Fields, Mapping, TableId};
    use crate::record::{FieldKind, ItemError, RecordVisitor, SubjectId};

    #[test]
    fn a_chunk_has_its_share_of_the_time_and_half_of_it_while_it_gets_on_and_the_last_all() {
        let now = clock::now();
        let milliseconds = |positions, messages| {
            let WriteTime { share, deadline } = chunk_time(positions, messages, now, now + Duration::from_secs(16));
            [share, deadline].map(|end| (end - now).as_millis())
        };
        assert_eq!(milliseconds(0..2, 8), [4_000, 8_000]);
        assert_eq!(milliseconds(4..6, 8), [8_000, 8_000]);
        assert_eq!(milliseconds(0..6, 8), [12_000, 12_000]);
        assert_eq!(milliseconds(6..8, 8), [16_000, 16_000]);
        assert_eq!(decode_until(now, now + Duration::from_secs(16)) - now, Duration::from_secs(2));
    }

    /// A record without fields, whose key is the id of its message.
    struct Empty;

    impl Fields for Empty {
        fn kind(&self, _: &str) -> Result<FieldKind, String> {
            Err("no such field".into())
        }

        fn names(&self) -> Vec<&str> {
            Vec::new()
        }
    }

    /// What stands for decoding a message.
    #[derive(Clone, Copy)]
    enum Fake {
        Items(usize),
        PanicBeforeItsStart,
        PanicAfter(usize),
    }

    fn encode(encoder: &mut ItemEncoder<'_>, records: usize) -> Result<(), ItemError> {
        for index in 0..records {
            encoder.begin(SubjectId(0), Some(index))?;
            encoder.record_start()?;
            encoder.record_end()?;
            encoder.finish()?;
        }
        Ok(())
    }

    /// Leaves the panics that the tests here plan out of the output, and no other.
    fn silence_planned_panics() {
        static SILENCED: std::sync::Once = std::sync::Once::new();
        SILENCED.call_once(|| {
            let report = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                if panic.payload().downcast_ref::<&str>() != Some(&"told to") {
                    report(panic);
                }
            }));
        });
    }

    /// The messages whose items are kept, and the messages that are not unfinished after a panic.
    fn decode(fakes: &[Fake]) -> (Vec<usize>, Progress) {
        silence_planned_panics();
        let mappings = [(TableId::new(0), Mapping::parse(None, "table", &Empty).unwrap())];
        let records: Vec<_> = (0..fakes.len()).map(|id| serde_json::json!({"messageId": id.to_string()})).collect();
        let payload = serde_json::json!({"Records": records}).to_string();
        let event = Event::parse(payload.as_bytes()).unwrap();
        let mut encoder = ItemEncoder::new(&mappings, Duration::ZERO, 0);
        let mut progress = Progress::new(fakes.len(), 1);
        let decode = |message: &Message<'_>, position: usize, encoder: &mut ItemEncoder<'_>| {
            let id: usize = message.id.parse().unwrap();
            let start = |encoder: &mut ItemEncoder<'_>| encoder.start_message(position, "id", Operation::Put);
            let records = match fakes[id] {
                Fake::PanicBeforeItsStart => panic!("told to"),
                Fake::PanicAfter(records) => {
                    start(encoder);
                    encode(encoder, records).unwrap();
                    encoder.begin(SubjectId(0), Some(records)).unwrap();
                    panic!("told to")
                }
                Fake::Items(records) => records,
            };
            start(encoder);
            encode(encoder, records).unwrap();
            Ok(Decoded { format: WireFormat::Container, subject: SubjectId(0), version: None, records })
        };
        let end =
            decode_chunk(&event.messages, 0, |_| false, &mut encoder, &mut progress, decode, |_, _| unreachable!());
        assert_eq!(end, fakes.len());
        let items = encoder.finish_event();
        (items.as_slice().iter().map(|item| item.message).collect(), progress)
    }

    #[test]
    fn a_message_that_panics_takes_its_own_items_with_it_and_no_others() {
        use Fake::{Items, PanicAfter, PanicBeforeItsStart};
        for (fakes, kept) in [
            (vec![Items(2), PanicBeforeItsStart, Items(1)], vec![0, 0, 2]),
            (vec![Items(1), PanicAfter(2), Items(2)], vec![0, 2, 2]),
            (vec![PanicAfter(1), Items(1), PanicBeforeItsStart], vec![1]),
        ] {
            let (items, progress) = decode(&fakes);
            assert_eq!(items, kept);
            for (fake, outcome) in fakes.iter().zip(&progress.outcomes) {
                let Outcome::Returned(Cause::Unfinished(cause)) = outcome else { panic!("{outcome:?}") };
                assert_eq!(cause.contains("panicked"), !matches!(fake, Items(_)), "{cause}");
            }
        }
    }

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
