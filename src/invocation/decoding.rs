//! Decodes an event message by message, while earlier messages are being written. Decoding proceeds in short slices, so
//! that the runtime can run other tasks in between, and only as far as the memory allows.

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

/// Target duration of a slice, during which the runtime's other tasks must wait. Only a single slow message makes a slice
/// longer.
const SLICE_TIME: Duration = Duration::from_millis(1);
/// Minimum number of slices that fit into the memory budget. The memory of a slice is released as a whole, so a single
/// message that cannot be written must not occupy much of the budget.
const SLICES_OF_BUDGET: usize = 16;
/// Maximum initial size of a slice's buffer, in bytes. The buffer grows for larger messages.
const SLICE_BYTES: usize = 256 << 10;

/// The state of decoding one event.
pub(crate) struct Decoding<'e> {
    transcoder: &'e Transcoder,
    event: &'e Event<'e>,
    memory: &'e Memory,
    /// Time of the invocation since the Unix epoch.
    at: Duration,
    payload_bytes: usize,
    /// Maximum size of the items of incomplete messages, in bytes.
    budget: usize,
    deadline: Instant,
    /// Position of the next message.
    next: usize,
    /// Whether the next message did not fit into the memory left by other messages. It then waits until it can use the
    /// whole budget.
    needs_all_memory: bool,
    buffers: DecodeBuffers,
    groups: HashMap<Option<&'e str>, GroupId>,
}

/// The next step of decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Decode another slice.
    Slice,
    /// Wait until messages complete and release their memory.
    WaitForMemory,
    /// All messages are decoded.
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

    /// Returns the next step, given the size of the items of incomplete messages in bytes.
    pub(crate) fn next(&self, held_bytes: usize) -> Next {
        if self.next >= self.event.messages.len() {
            Next::Done
        } else if held_bytes == 0 || !self.needs_all_memory && held_bytes < self.budget {
            Next::Slice
        } else {
            Next::WaitForMemory
        }
    }

    /// Decodes messages until the slice's time is used up or the memory budget is exhausted, and adds them to the writes.
    /// Returns whether the next slice is expected to add messages soon.
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
            // a panic in `decode_message` leaves fresh buffers in place
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
            // the message did not fit although the whole budget was free
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

    /// Returns the FIFO group of the message at `position`.
    fn group(&mut self, position: usize) -> Option<GroupId> {
        let message = self.event.messages.get(position).filter(|_| self.event.fifo)?;
        let next = GroupId(self.groups.len());
        Some(*self.groups.entry(message.group.as_deref()).or_insert(next))
    }

    /// Returns the cause for a message that exceeds the memory budget even if no other message is in memory.
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

    /// Returns whether a message would fit into memory if it were the only message of its event. A message of a FIFO group
    /// is always delivered together with the other messages of its group.
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

/// The result of decoding several messages.
#[derive(Debug, Default)]
struct Slice {
    /// Position of the message to decode next.
    next: usize,
    /// The decoded messages, by position.
    decoded: Vec<(usize, Decoded)>,
    /// The messages that could not be decoded: the number of decoded messages before each, its position, and the cause.
    undecoded: Vec<(usize, usize, Cause)>,
    /// Whether the next message does not fit into the memory left by the other messages.
    has_overflowed: bool,
}

/// Decodes messages into `encoder`, starting at `from`, until the time is used up or a message does not fit into memory.
/// `is_over_before` receives the number of messages and bytes of the slice so far. A message whose decoding panics is
/// returned and does not affect other messages.
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

    /// The simulated result of decoding a message.
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

    /// Suppresses the output of the panics that these tests cause on purpose, but not of other panics.
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

    /// Returns the messages whose items remain, and the messages that could not be decoded.
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
