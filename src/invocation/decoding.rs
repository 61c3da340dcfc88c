//! Decodes an event message by message, while earlier messages are being written: a slice at a time, so that the runtime gets
//! its turn, and as far as the memory allows.

use super::memory::Memory;
use super::progress::Progress;
use crate::avro::{Decoded, Undecoded};
use crate::clock;
use crate::decode::{DecodeBuffers, decode_message};
use crate::dynamodb::item::ItemEncoder;
use crate::outcome::{Cause, Outcome, Reason, Rejection};
use crate::record::Interruption;
use crate::sqs::{Event, Message};
use crate::transcode::Transcoder;
use crate::write::drive::{DecodedMessage, EventWrites};
use crate::write::{GroupId, MessagePosition};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use tokio::time::Instant;

/// Longest time that decoding keeps the runtime from its other tasks, if no single message takes longer.
const SLICE_TIME: Duration = Duration::from_millis(1);
/// Number of slices that the memory holds at least. A slice gives its memory back as a whole, so that one message that is not
/// written must not hold much of it.
const SLICES_OF_BUDGET: usize = 16;
/// Largest buffer that a slice begins with. It grows for larger messages.
const SLICE_BYTES: usize = 256 << 10;

/// How far the messages of an event are decoded.
pub(crate) struct Decoding<'e> {
    transcoder: &'e Transcoder,
    event: &'e Event<'e>,
    memory: &'e Memory,
    /// Time of the invocation, since the Unix epoch.
    at: Duration,
    payload_bytes: usize,
    /// Maximum size of the items of messages that are not complete.
    budget: usize,
    deadline: Instant,
    /// The next message.
    next: usize,
    /// Whether the next message had no room beside others, so that it waits until it has all of it.
    needs_all_memory: bool,
    buffers: DecodeBuffers,
    groups: HashMap<Option<&'e str>, GroupId>,
}

/// What decoding can do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Decode another slice.
    Slice,
    /// Wait until messages are complete and give their memory back.
    WaitForMemory,
    /// Every message is decoded.
    Done,
}

impl<'e> Decoding<'e> {
    pub(crate) fn new(
        transcoder: &'e Transcoder,
        event: &'e Event<'e>,
        memory: &'e Memory,
        (at, payload_bytes): (Duration, usize),
        deadline: Instant,
    ) -> Self {
        let budget = memory.item_bytes(payload_bytes);
        Self {
            transcoder,
            event,
            memory,
            at,
            payload_bytes,
            budget,
            deadline,
            next: 0,
            needs_all_memory: false,
            buffers: DecodeBuffers::bounded(budget),
            groups: HashMap::new(),
        }
    }

    /// Returns what to do, given the size of the items of messages that are not complete.
    pub(crate) fn next(&self, held_bytes: usize) -> Next {
        if self.next >= self.event.messages.len() {
            Next::Done
        } else if held_bytes == 0 || !self.needs_all_memory && held_bytes < self.budget {
            Next::Slice
        } else {
            Next::WaitForMemory
        }
    }

    /// Decodes messages until the slice's time is over or the memory is full, and adds them to the writes. Returns whether the next
    /// slice can be expected to add messages soon.
    pub(crate) fn slice(&mut self, writes: &mut EventWrites<'_>, progress: &mut Progress) -> bool {
        let started = clock::now();
        let (held_bytes, deadline, budget) = (writes.held_bytes(), self.deadline, self.budget);
        let left = budget.saturating_sub(held_bytes);
        let is_over = || clock::now() >= deadline;
        let capacity = self.payload_bytes.min(SLICE_BYTES).min(left);
        let mut encoder = self.transcoder.encoder(self.at, capacity).within(left).until(&is_over);
        let (transcoder, event) = (self.transcoder, self.event);
        let mut buffers = std::mem::take(&mut self.buffers);
        let decode = |message, position, encoder: &mut _| {
            // a panic leaves new buffers behind
            let mut own = std::mem::replace(&mut buffers, DecodeBuffers::bounded(budget));
            let decoded = decode_message(transcoder, message, position, encoder, &mut own);
            buffers = own;
            decoded
        };
        let most_bytes = budget / SLICES_OF_BUDGET;
        let is_over_before = |messages: usize, bytes: usize| {
            let now = clock::now();
            now >= deadline || messages > 0 && (now - started >= SLICE_TIME || bytes >= most_bytes)
        };
        let slice = decode_each(&event.messages, self.next, &mut encoder, is_over_before, decode);
        (self.next, self.buffers) = (slice.next, buffers);
        let mut messages = Vec::with_capacity(slice.decoded.len());
        for (position, decoded) in &slice.decoded {
            progress.decoded(*position, decoded);
            messages.push(DecodedMessage { position: MessagePosition(*position), group: self.group(*position) });
        }
        let mut blocking = Vec::new();
        for (behind, position, cause) in slice.undecoded {
            if !matches!(cause, Cause::Rejected(_)) {
                blocking.extend(self.group(position).map(|group| (behind, group)));
            }
            progress.set(position, Outcome::Returned(cause));
        }
        self.needs_all_memory = slice.has_overflowed;
        if slice.has_overflowed && held_bytes == 0 && messages.is_empty() {
            // it had all the memory there is
            let position = self.next;
            let cause = event.messages.get(position).map(|message| self.too_large(message, position));
            if matches!(cause, Some(Cause::Failed(_))) {
                blocking.extend(self.group(position).map(|group| (messages.len(), group)));
            }
            progress.set_some(position, cause.map(Outcome::Returned));
            (self.next, self.needs_all_memory) = (position + 1, false);
        }
        writes.add(encoder.finish_event(), &messages, &blocking);
        let took = clock::now() - started;
        progress.decode_time += took;
        !messages.is_empty() && took < 2 * SLICE_TIME
    }

    /// The FIFO group of the message at `position`.
    fn group(&mut self, position: usize) -> Option<GroupId> {
        let message = self.event.messages.get(position).filter(|_| self.event.fifo)?;
        let next = GroupId(self.groups.len());
        Some(*self.groups.entry(message.group.as_deref()).or_insert(next))
    }

    /// Why a message is returned that has no room even if no other message is in memory.
    fn too_large(&self, message: &'e Message<'e>, position: usize) -> Cause {
        let (most, memory) = (self.budget >> 20, self.memory.megabytes());
        let detail = format!(
            "its items take more than {most} MiB, the share of the function's {memory} MB of memory that they may take: raise \
             MemoryMegabytes"
        );
        if self.fits_alone(message, position) {
            return Cause::Failed(detail.into());
        }
        Cause::Rejected(Rejection { reason: Reason::LimitExceeded, detail: detail.into() })
    }

    /// Returns whether a message would have room if the payload had no other message. A message of a FIFO group is never
    /// delivered without those of its group.
    fn fits_alone(&self, message: &'e Message<'e>, position: usize) -> bool {
        let is_of_its_group = |other: &&Message<'_>| other.group == message.group;
        if self.event.fifo && self.event.messages.iter().filter(is_of_its_group).count() > 1 {
            return false;
        }
        let own_bytes = self.memory.item_bytes(message.original_body().map_or(0, str::len));
        let deadline = self.deadline;
        let is_over = || clock::now() >= deadline;
        let mut encoder = self.transcoder.encoder(self.at, 0).within(own_bytes).until(&is_over);
        let mut buffers = DecodeBuffers::bounded(own_bytes);
        let decode = || decode_message(self.transcoder, message, position, &mut encoder, &mut buffers);
        let is_out_of_memory = |decoded| matches!(decoded, Err(Undecoded::Interrupted(Interruption::Memory)));
        own_bytes > self.budget && !catch_unwind(AssertUnwindSafe(decode)).is_ok_and(is_out_of_memory)
    }
}

/// What came of decoding several messages.
#[derive(Debug, Default)]
struct Slice {
    /// The message that is decoded next.
    next: usize,
    /// The messages that were decoded, by position.
    decoded: Vec<(usize, Decoded)>,
    /// The messages that were not: behind how many of the decoded ones, the position, and why.
    undecoded: Vec<(usize, usize, Cause)>,
    /// Whether the next message has no room in memory beside the others.
    has_overflowed: bool,
}

/// Decodes messages from the one at `from` on into `encoder`, until the time is over or a message has no room. `is_over_before` is
/// told how many messages and bytes the slice has so far. A message that panics is returned, and takes no other with it.
fn decode_each<'e>(
    messages: &'e [Message<'e>],
    from: usize,
    encoder: &mut ItemEncoder<'e>,
    is_over_before: impl Fn(usize, usize) -> bool,
    mut decode: impl FnMut(&'e Message<'e>, usize, &mut ItemEncoder<'e>) -> Result<Decoded, Undecoded<Rejection>>,
) -> Slice {
    let mut slice = Slice { next: from, ..Slice::default() };
    for (position, message) in messages.iter().enumerate().skip(from) {
        if is_over_before(position - from, encoder.bytes()) {
            break;
        }
        let cause = match catch_unwind(AssertUnwindSafe(|| decode(message, position, encoder))) {
            Ok(Ok(decoded)) => {
                slice.decoded.push((position, decoded));
                slice.next = position + 1;
                continue;
            }
            Ok(Err(Undecoded::Rejected(rejection))) => Cause::Rejected(rejection),
            Ok(Err(Undecoded::Interrupted(interruption))) => {
                slice.has_overflowed = matches!(interruption, Interruption::Memory);
                break;
            }
            Err(_) => {
                encoder.discard_message(position);
                Cause::Failed("decoding it panicked".into())
            }
        };
        slice.undecoded.push((slice.decoded.len(), position, cause));
        slice.next = position + 1;
    }
    slice
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avro::WireFormat;
    use crate::dynamodb::item::Operation;
    use crate::dynamodb::mapping::{Fields, Mapping, TableId};
    use crate::record::{FieldKind, ItemError, RecordSink, RecordVisitor, SubjectId};

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
            let mut record = encoder.begin(SubjectId(0), Some(index))?;
            record.record_start()?;
            record.record_end()?;
            record.finish()?;
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

    /// Returns the messages whose items are kept, and those that were not decoded.
    fn decode(fakes: &[Fake]) -> (Vec<usize>, Vec<usize>) {
        silence_planned_panics();
        let mappings = [(TableId::new(0), Mapping::parse(None, "table", &Empty).unwrap())];
        let records: Vec<_> = (0..fakes.len()).map(|id| serde_json::json!({"messageId": id.to_string()})).collect();
        let payload = serde_json::json!({"Records": records}).to_string();
        let event = Event::parse(payload.as_bytes()).unwrap();
        let mut encoder = ItemEncoder::new(&mappings, Duration::ZERO, 0);
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
        let slice = decode_each(&event.messages, 0, &mut encoder, |_, _| false, decode);
        assert_eq!(slice.next, fakes.len());
        let is_panic = |cause: &Cause| matches!(cause, Cause::Failed(text) if text.contains("panicked"));
        assert!(slice.undecoded.iter().all(|(_, _, cause)| is_panic(cause)), "{:?}", slice.undecoded);
        let items = encoder.finish_event();
        let kept = items.as_slice().iter().map(|item| item.message).collect();
        (kept, slice.undecoded.iter().map(|(_, position, _)| *position).collect())
    }

    #[test]
    fn a_message_that_panics_takes_its_own_items_with_it_and_no_others() {
        use Fake::{Items, PanicAfter, PanicBeforeItsStart};
        for (fakes, kept, undecoded) in [
            (vec![Items(2), PanicBeforeItsStart, Items(1)], vec![0, 0, 2], vec![1]),
            (vec![Items(1), PanicAfter(2), Items(2)], vec![0, 2, 2], vec![1]),
            (vec![PanicAfter(1), Items(1), PanicBeforeItsStart], vec![1], vec![0, 2]),
        ] {
            assert_eq!(decode(&fakes), (kept, undecoded));
        }
    }
}
