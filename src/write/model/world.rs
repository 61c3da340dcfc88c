//! One state of the model: the scheduler and its environment.

use super::configuration::{Configuration, Sent};
use crate::dynamodb::response::{Blame, CallError, Refusal, Throttle};
use crate::record::SubjectId;
use crate::write::calls::{Accepted, NextCall};
use crate::write::flaw::Flaw;
use crate::write::scheduler::{Decoding, Scheduler};
use crate::write::suspects::Suspects;
use crate::write::{CallId, GroupId, ItemIndex, KeyId, MessagePosition, TableId, VersionId, Write, WriteKind};
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

/// The constant time of the model. Every backoff ends at once, and the deadline is a separate action.
const NOW: Duration = Duration::ZERO;
/// Maximum number of calls in flight.
const MAX_CALLS: usize = 2;
/// Number of tables.
const TABLES: usize = 2;

/// The items of the model's tables, by table and key. Each item is the result of the last record applied to it, and a
/// deletion removes it.
pub(super) type Table = BTreeMap<(usize, u8), Item>;

/// An item of the model's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Item {
    /// The record that wrote the item, or `None` if the item was there before the event.
    pub(super) record: Option<usize>,
    pub(super) version: Option<u8>,
}

/// A step from one state to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Action {
    /// Decode the next message.
    Decode,
    /// Send the next call to this table.
    Call(usize),
    /// End the call in flight at this position.
    End(usize, End),
    /// Apply the ambiguous write at this position of `late`.
    ApplyLate(usize),
    /// Reach the deadline.
    Deadline,
}

/// The result of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum End {
    /// DynamoDB processes the call as specified and responds.
    Responds,
    /// The call is applied, but the response is lost.
    ResponseLost,
    /// There is no response. The call may be applied late.
    NoResponse,
    /// The call is applied and the response is lost. The call may be applied again later.
    AppliedTwice,
    /// The connection breaks. The call may be applied late.
    Broken,
    /// The call cannot be sent.
    NotSent,
    /// The item at this position is returned unprocessed.
    HandsBack(usize),
    Throttled,
    /// An internal error.
    Error {
        is_applied: bool,
    },
    /// The table does not exist any more.
    Fatal,
}

impl End {
    /// Returns whether the result counts against the maximum number of faults.
    fn is_fault(self) -> bool {
        self != Self::Responds
    }

    fn is_ambiguous(self) -> bool {
        matches!(self, Self::ResponseLost | Self::NoResponse | Self::AppliedTwice | Self::Broken)
    }
}

/// A state of the model.
#[derive(Clone)]
pub(super) struct World<'c> {
    pub(super) configuration: &'c Configuration,
    /// All records, each with the index of its message.
    pub(super) records: Arc<[(usize, Sent)]>,
    pub(super) scheduler: Scheduler,
    decoded: usize,
    pub(super) table: Table,
    flights: Vec<(CallId, Vec<ItemIndex>)>,
    /// Records whose writes may still take effect.
    pub(super) late: Vec<usize>,
    faults: u8,
    pub(super) is_over: bool,
    /// Whether the deadline ended the event.
    pub(super) was_cut_off: bool,
    /// Records that are affected by a fault: they belong to a call that got no response or was denied, or to a broken
    /// table.
    pub(super) touched: Vec<usize>,
}

impl<'c> World<'c> {
    pub(super) fn new(configuration: &'c Configuration, flaw: Option<Flaw>) -> Self {
        let mut scheduler = Scheduler::new(TABLES, configuration.is_fifo(), Suspects::default());
        scheduler.event.flaw = flaw;
        let mut world = Self {
            configuration,
            records: configuration.records().map(|(message, record)| (message, *record)).collect(),
            scheduler,
            decoded: 0,
            table: stored(configuration),
            flights: Vec::new(),
            late: Vec::new(),
            faults: configuration.faults,
            is_over: false,
            was_cut_off: false,
            touched: Vec::new(),
        };
        world.settle();
        world
    }

    /// Returns all possible steps.
    pub(super) fn actions(&self) -> Vec<Action> {
        let mut actions: Vec<Action> = (0..self.late.len()).map(Action::ApplyLate).collect();
        actions.dedup_by_key(|action| match action {
            Action::ApplyLate(place) => self.late[*place],
            _ => usize::MAX,
        });
        if self.is_over {
            return actions;
        }
        if self.decoded < self.configuration.messages.len() {
            actions.push(Action::Decode);
        }
        if self.flights.len() < MAX_CALLS {
            actions.extend(self.scheduler.waiting_tables().map(|table| Action::Call(table.index())));
        }
        for (place, (_, items)) in self.flights.iter().enumerate() {
            let mut ends = vec![End::Responds];
            if self.faults > 0 {
                let is_batch = !self.record(items[0]).kind.is_conditional();
                ends.extend([
                    End::ResponseLost,
                    End::NoResponse,
                    End::AppliedTwice,
                    End::Broken,
                    End::NotSent,
                    End::Throttled,
                    End::Error { is_applied: true },
                    End::Error { is_applied: false },
                    End::Fatal,
                ]);
                ends.extend((0..items.len()).filter(|_| is_batch).map(End::HandsBack));
            }
            actions.extend(ends.into_iter().map(|end| Action::End(place, end)));
        }
        if self.configuration.has_deadline {
            actions.push(Action::Deadline);
        }
        actions
    }

    /// Takes one step. Returns the call that it started, if any.
    pub(super) fn step(&mut self, action: Action) -> Option<NextCall> {
        let mut made = None;
        match action {
            Action::Decode => self.decode(),
            Action::Call(table) => {
                let call = self.scheduler.next_call(NOW, |asked| (asked.index() == table).then_some(()));
                made = call.map(|(call, ())| call);
                self.flights.extend(made.as_ref().map(|call| (call.id, call.items.clone())));
            }
            Action::End(place, end) => self.end(place, end),
            Action::ApplyLate(place) => {
                let record = self.late.remove(place);
                apply(&mut self.table, &self.records, record);
            }
            Action::Deadline => {
                // every call in flight may still take effect
                for (_, items) in std::mem::take(&mut self.flights) {
                    if !self.is_refused(&items) {
                        self.late.extend(items.iter().map(|item| item.get()));
                    }
                    self.touched.extend(items.iter().map(|item| item.get()));
                }
                while self.decoded < self.configuration.messages.len() {
                    self.decode();
                }
                self.scheduler.finish(NOW);
                (self.is_over, self.was_cut_off) = (true, true);
            }
        }
        self.late.sort_unstable();
        self.settle();
        made
    }

    fn decode(&mut self) {
        let message = self.decoded;
        let group = self.configuration.groups.get(message).map(|group| GroupId(*group));
        let writes: Vec<Write> = self.configuration.messages[message].iter().map(write).collect();
        self.scheduler.add_message(MessagePosition(message), group, writes.into_iter(), NOW);
        self.decoded += 1;
        let has_more = self.decoded < self.configuration.messages.len();
        self.scheduler.set_decoding(if has_more { Decoding::Running } else { Decoding::Ended });
    }

    /// Takes the steps that involve no choice: ends backoffs, judges suspects, and detects that the event is complete.
    fn settle(&mut self) {
        // ends every backoff
        self.scheduler.next_call(NOW, |_| None::<()>);
        while self.scheduler.settle() {}
        // a broken table affects every record that is written to it
        for (index, (_, record)) in self.records.iter().enumerate() {
            if self.scheduler.event.broken.has_table(TableId::new(record.table)) {
                self.touched.push(index);
            }
        }
        self.touched.sort_unstable();
        self.touched.dedup();
        let is_decoded = self.decoded == self.configuration.messages.len();
        self.is_over |= is_decoded && self.scheduler.is_idle();
    }

    fn record(&self, index: ItemIndex) -> Sent {
        self.records[index.get()].1
    }

    /// Returns whether DynamoDB refuses a call. A refused call has no effect.
    fn is_refused(&self, items: &[ItemIndex]) -> bool {
        items.iter().map(|index| self.record(*index)).any(|record| record.is_invalid || record.is_denied)
    }

    fn end(&mut self, place: usize, end: End) {
        let (call, items) = self.flights.remove(place);
        self.faults -= u8::from(end.is_fault());
        let records: Vec<usize> = items.iter().map(|item| item.get()).collect();
        let is_refused = self.is_refused(&items);
        if end.is_ambiguous() {
            self.touched.extend(&records);
        }
        let refused = |blame| CallError::Refused(Refusal { blame, cause: "refused".into() });
        let no_response = || CallError::TimedOut("no response".into());
        let accepted = |unprocessed| Ok(Accepted { unprocessed, write_units: 0.0 });
        let response = match end {
            End::Responds if records.iter().any(|record| self.records[*record].1.is_invalid) => {
                Err(refused(Blame::Item))
            }
            End::Responds if is_refused => {
                self.touched.extend(&records);
                Err(refused(Blame::Operator))
            }
            End::Responds => {
                let applied = self.apply_all(&records);
                if applied { accepted(Vec::new()) } else { Err(CallError::Superseded) }
            }
            // a refused call has no effect, whether or not the response arrives
            End::ResponseLost | End::AppliedTwice if is_refused => Err(no_response()),
            End::NoResponse if is_refused => Err(no_response()),
            End::Broken if is_refused => Err(CallError::Broken("reset".into())),
            End::ResponseLost => {
                self.apply_all(&records);
                Err(no_response())
            }
            End::AppliedTwice => {
                self.apply_all(&records);
                self.late.extend(&records);
                Err(no_response())
            }
            End::NoResponse => {
                self.late.extend(&records);
                Err(no_response())
            }
            End::Broken => {
                self.late.extend(&records);
                Err(CallError::Broken("reset".into()))
            }
            End::NotSent => Err(CallError::NotSent("no connection".into())),
            End::Throttled => Err(CallError::Throttled(Throttle::Table)),
            End::HandsBack(_) if is_refused => Err(CallError::Transient("500".into())),
            End::HandsBack(place) => {
                let mut others = records.clone();
                others.remove(place);
                self.apply_all(&others);
                accepted(vec![items[place]])
            }
            End::Error { is_applied } => {
                if is_applied && !is_refused {
                    self.apply_all(&records);
                }
                Err(CallError::Transient("500".into()))
            }
            End::Fatal => Err(CallError::Fatal("no such table".into())),
        };
        self.scheduler.on_response(call, response, None, NOW, &mut |_| Duration::ZERO);
    }

    /// Applies records. Returns whether all their conditions held.
    fn apply_all(&mut self, records: &[usize]) -> bool {
        let refused = records.iter().filter(|record| !apply(&mut self.table, &self.records, **record));
        refused.count() == 0
    }

    /// Returns a hash that is equal for two states if they behave identically from now on.
    pub(super) fn digest(&self) -> u128 {
        let mut hasher = Mixer::default();
        self.scheduler.digest(&mut hasher);
        self.flights.iter().for_each(|(_, items)| items.hash(&mut hasher));
        (self.decoded, &self.table, &self.late, self.faults).hash(&mut hasher);
        let touched = self.touched.iter().fold(0_u64, |set, record| set | 1 << record);
        (self.is_over, self.was_cut_off, touched).hash(&mut hasher);
        hasher.0
    }
}

/// A fast 128-bit hasher without protection against attackers.
#[derive(Default)]
struct Mixer(u128);

impl Mixer {
    fn mix(&mut self, word: u64) {
        /// A random odd number.
        const FACTOR: u128 = 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835;
        self.0 = (self.0 ^ u128::from(word)).wrapping_mul(FACTOR);
        self.0 ^= self.0 >> 61;
    }
}

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        // only the full 128-bit value is used
        u64::MAX
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word) ^ (chunk.len() as u64) << 56);
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.mix(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.mix(number);
    }

    fn write_usize(&mut self, number: usize) {
        self.mix(number as u64);
    }
}

/// Returns the table before the event.
pub(super) fn stored(configuration: &Configuration) -> Table {
    let item = configuration.stored.map(|version| ((0, 0), Item { record: None, version: Some(version) }));
    item.into_iter().collect()
}

/// Returns the write that the scheduler sees for a record.
fn write(record: &Sent) -> Write {
    Write {
        table: TableId::new(record.table),
        subject: SubjectId(0),
        kind: record.kind,
        key: KeyId(u128::from(record.key) << 64 | (record.table as u128) << 80),
        version: record.kind.has_version().then(|| VersionId(record.version.into())),
        order: record.is_ordered.then(|| record.version.into()),
        bytes: 1,
    }
}

/// Applies a record as DynamoDB does. Returns whether its condition held.
pub(super) fn apply(table: &mut Table, records: &[(usize, Sent)], record: usize) -> bool {
    let Sent { table: of, key, kind, version, .. } = records[record].1;
    let stored = table.get(&(of, key));
    let is_newer = stored.and_then(|item| item.version).is_none_or(|stored| stored <= version);
    let holds = match kind {
        WriteKind::Put | WriteKind::Delete => true,
        WriteKind::Create => stored.is_none(),
        WriteKind::PutIfNewer | WriteKind::DeleteIfNewer => is_newer,
    };
    if holds && kind.is_deletion() {
        table.remove(&(of, key));
    } else if holds {
        let version = kind.has_version().then_some(version);
        table.insert((of, key), Item { record: Some(record), version });
    }
    holds
}
