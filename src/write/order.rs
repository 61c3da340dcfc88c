//! The order of writes. Pure.
//!
//! Two kinds of order exist, and every rule about them is in this file:
//!
//! - **Per key.** The unfinished items of one key form a queue ([`KeyQueue`]), in the order in which they joined it.
//!   [`turn`] decides what the next one does.
//! - **Per FIFO group.** The messages of one group form a queue ([`GroupQueues`]). The items of a message join the queues of
//!   their keys once every earlier message of the group has completed.
//!
//! An item waits only for items that joined before it, so waiting never goes round in a circle. In a standard queue a message
//! joins when it is decoded, and the order of joining is the order of the event.
//!
//! # Rules of a key
//!
//! 1. *The later record of a key wins.* An unconditional write supersedes the earlier ones that were not sent. It waits for
//!    one that was sent, because two calls in flight may be applied in either order, and for one that has a version: a newer
//!    version may be written already, and only that keeps the older one from being written after it.
//! 2. *Of items that are only created, the first wins.* A later `Create` shares the outcome of an unfinished earlier one.
//! 3. *Versions go side by side*, because the condition decides in the table. Three exceptions go one after the other:
//!    a deletion, which leaves no version behind to compare with; equal versions, where the later one must win; and versions
//!    of a key whose item an unconditional write may still replace or delete, because the version to compare with goes too.
//! 4. *Versions that come from the message* (a sequence number or a timestamp) are compared here, and only the newest is
//!    written.
//! 5. *A closed key admits nothing more.* A key is closed while a write of it may still take effect, or will be delivered
//!    again: a later item that is written now would be overwritten by an older one. The exception is a `PutIfNewer` beside
//!    others of different versions, which its condition guards.
//!
//! # Rules of a FIFO group
//!
//! 6. A message whose item is not written blocks the rest of its group and no other group.
//! 7. SQS gives groups no order among themselves. If two of them write one key without versions, the failure of one does not
//!    hold up the other. Versions keep their order whatever their groups.

use super::{GroupId, ItemIndex, KeyId, MessageIndex, TableId, VersionId, Write, WriteKind};
use smallvec::SmallVec;
use std::collections::{HashMap, VecDeque};
#[cfg(test)]
use std::hash::Hash;
use std::hash::{BuildHasherDefault, Hasher};

/// Maximum number of closed keys of one table that are told apart, which take about three megabytes. A table with more takes
/// next to nothing, and is closed as a whole.
pub(super) const MAX_CLOSED_KEYS: usize = 50_000;
/// Maximum number of versions that a closed key remembers. A key with more admits nothing.
const MAX_CLOSED_VERSIONS: usize = 8;

/// What an earlier, unfinished item of a key is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It could be sent and was not sent yet.
    Unsent,
    /// It waits for a predecessor.
    Waiting,
    /// It was sent at least once.
    Sent,
}

/// An earlier, unfinished item of the same key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Earlier {
    pub(super) index: ItemIndex,
    pub(super) write: Write,
    pub(super) phase: Phase,
}

/// What an item may do, given the earlier items of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It may be sent.
    Ready,
    /// It may be sent, and the earlier ones need not be.
    Supersedes,
    /// It shares the outcome of an earlier one.
    SupersededBy(ItemIndex),
    /// It waits.
    Waits,
}

/// Decides what `next` does while the items `before` it are unfinished. Items that are superseded are not among them.
/// `is_overwritable` says whether an unconditional write of the key may still take effect.
pub(super) fn turn(next: &Write, before: &[Earlier], is_overwritable: bool) -> Turn {
    let Some(last) = before.last() else { return Turn::Ready };
    if next.kind == WriteKind::Create && last.write.kind == WriteKind::Create {
        return Turn::SupersededBy(last.index);
    }
    let newest = before.iter().max_by_key(|earlier| earlier.write.order);
    if let (Some(order), Some(newest)) = (next.order, newest)
        && before.iter().all(|earlier| earlier.write.order.is_some())
        && newest.write.order > Some(order)
    {
        return Turn::SupersededBy(newest.index);
    }
    let is_ordered = next.order.is_some() && before.iter().all(|earlier| earlier.write.order.is_some());
    let has_versions = before.iter().any(|earlier| earlier.write.kind.has_version());
    let is_last_word = is_ordered || !next.kind.is_conditional() && !has_versions;
    if is_last_word && before.iter().all(|earlier| earlier.phase == Phase::Unsent) {
        return Turn::Supersedes;
    }
    let is_guarded = !is_overwritable && before.iter().all(|earlier| are_side_by_side(next, &earlier.write));
    if is_guarded { Turn::Ready } else { Turn::Waits }
}

/// Returns whether two writes of one key may be in flight at once: the table's condition decides between their versions.
fn are_side_by_side(one: &Write, other: &Write) -> bool {
    one.kind == WriteKind::PutIfNewer && other.kind == WriteKind::PutIfNewer && one.version != other.version
}

/// Why a key admits no further item.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Closure {
    /// Whether a write of the key may still take effect.
    pub(super) is_ambiguous: bool,
    /// The versions of the writes that closed it, if all of them are [`WriteKind::PutIfNewer`].
    versions: Option<SmallVec<[VersionId; 2]>>,
}

impl Closure {
    /// Returns the closure of a key by `write`.
    fn by(write: &Write, is_ambiguous: bool) -> Self {
        let guarded = if write.kind == WriteKind::PutIfNewer { write.version } else { None };
        Self { is_ambiguous, versions: guarded.map(|version| SmallVec::from_slice(&[version])) }
    }

    /// Adds another closure of the same key.
    fn merge(&mut self, other: Self) {
        self.is_ambiguous |= other.is_ambiguous;
        self.versions = match (self.versions.take(), other.versions) {
            (Some(mut ours), Some(theirs)) => {
                let new: SmallVec<[VersionId; 2]> =
                    theirs.into_iter().filter(|version| !ours.contains(version)).collect();
                ours.extend(new);
                (ours.len() <= MAX_CLOSED_VERSIONS).then_some(ours)
            }
            _ => None,
        };
    }

    /// Returns whether `write` may be sent all the same: conditions decide between it and what closed the key.
    pub(super) fn admits(&self, write: &Write) -> bool {
        match (&self.versions, write.version) {
            (Some(versions), Some(version)) => write.kind == WriteKind::PutIfNewer && !versions.contains(&version),
            _ => false,
        }
    }
}

/// Items of one key. Nearly every key has one item.
pub(super) type KeyItems = SmallVec<[ItemIndex; 2]>;

/// The unfinished items of one key that are not superseded, and whether the key is closed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct KeyQueue {
    /// In the order in which they joined.
    pub(super) items: KeyItems,
    pub(super) closure: Option<Closure>,
    /// Whether an unconditional write of the key that has ended may still take effect, although the key is not closed.
    pub(super) is_overwritable: bool,
}

/// The queues of all keys of an event. A key without unfinished items has a queue only as its tombstone: if it is closed, or
/// if a write may still replace its item.
#[derive(Debug, Clone, Default)]
pub(super) struct KeyQueues {
    queues: HashMap<KeyId, KeyQueue, BuildHasherDefault<KeyHasher>>,
    closed: HashMap<TableId, ClosedKeys>,
}

/// How many keys of a table are closed.
#[derive(Debug, Clone, Copy, Default)]
struct ClosedKeys {
    count: usize,
    is_any_ambiguous: bool,
}

impl KeyQueues {
    /// Returns why the key of `write` admits it no more. `None` if it may join.
    pub(super) fn refuses(&self, write: &Write) -> Option<Closure> {
        if let Some(closed) = self.closed.get(&write.table)
            && closed.count >= MAX_CLOSED_KEYS
        {
            return Some(Closure { is_ambiguous: closed.is_any_ambiguous, versions: None });
        }
        let closure = self.queues.get(&write.key)?.closure.as_ref()?;
        (!closure.admits(write)).then(|| closure.clone())
    }

    /// Appends an item to the queue of its key.
    pub(super) fn join(&mut self, write: &Write, index: ItemIndex) {
        self.queues.entry(write.key).or_default().items.push(index);
    }

    /// Removes an item that is done or superseded from the queue of its key, and puts `revived` in its place.
    pub(super) fn leave(&mut self, key: KeyId, index: ItemIndex, revived: &[ItemIndex]) {
        let queue = self.queues.entry(key).or_default();
        let place = queue.items.iter().position(|other| *other == index);
        if let Some(place) = place {
            queue.items.remove(place);
        }
        queue.items.insert_from_slice(place.unwrap_or_default(), revived);
        if queue.items.is_empty() && queue.closure.is_none() && !queue.is_overwritable {
            self.queues.remove(&key);
        }
    }

    /// Notes that an unconditional write of a key may still take effect, although its item is complete.
    pub(super) fn note_overwritable(&mut self, key: KeyId) {
        self.queues.entry(key).or_default().is_overwritable = true;
    }

    /// Returns whether an unconditional write of a key may still take effect, although its item is complete.
    pub(super) fn is_overwritable(&self, key: KeyId) -> bool {
        self.queues.get(&key).is_some_and(|queue| queue.is_overwritable)
    }

    /// Closes the key of `write`.
    pub(super) fn close(&mut self, write: &Write, is_ambiguous: bool) {
        let closed = self.closed.entry(write.table).or_default();
        closed.is_any_ambiguous |= is_ambiguous;
        // a table that is closed as a whole keeps no further tombstones
        if closed.count >= MAX_CLOSED_KEYS && !self.queues.contains_key(&write.key) {
            return;
        }
        let closure = Closure::by(write, is_ambiguous);
        match &mut self.queues.entry(write.key).or_default().closure {
            Some(known) => known.merge(closure),
            none => {
                *none = Some(closure);
                closed.count += 1;
            }
        }
    }

    /// Returns the unfinished items of a key, in the order in which they joined.
    pub(super) fn items(&self, key: KeyId) -> &[ItemIndex] {
        self.queues.get(&key).map_or(&[], |queue| &queue.items)
    }

    /// Returns why a key is closed.
    pub(super) fn closure(&self, key: KeyId) -> Option<&Closure> {
        self.queues.get(&key)?.closure.as_ref()
    }

    #[cfg(test)]
    pub(super) fn all(&self) -> impl Iterator<Item = (&KeyId, &KeyQueue)> {
        self.queues.iter()
    }
}

/// The place that a message finds when it is added to its FIFO group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Its items join the queues of their keys.
    Joins,
    /// It waits for the messages before it.
    Waits,
    /// An earlier message of the group is returned, so that it is returned too.
    Blocked {
        /// Whether a write of that message may still take effect.
        is_ambiguous: bool,
    },
}

/// The messages of one FIFO group that are not complete.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct GroupQueue {
    /// The message whose items have joined the queues of their keys.
    current: Option<MessageIndex>,
    /// Messages that wait for it.
    waiting: VecDeque<MessageIndex>,
    /// Set once a message of the group is returned: whether a write of it may still take effect.
    blocked: Option<bool>,
}

/// The FIFO groups of an event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct GroupQueues(HashMap<GroupId, GroupQueue>);

impl GroupQueues {
    /// Adds a message behind the others of its group.
    pub(super) fn add(&mut self, group: GroupId, message: MessageIndex) -> Arrival {
        let queue = self.0.entry(group).or_default();
        if let Some(is_ambiguous) = queue.blocked {
            return Arrival::Blocked { is_ambiguous };
        }
        if queue.current.is_some() {
            queue.waiting.push_back(message);
            return Arrival::Waits;
        }
        queue.current = Some(message);
        Arrival::Joins
    }

    /// Blocks the messages that are added to a group from now on. Those that were added before are not behind the one at fault.
    pub(super) fn block(&mut self, group: GroupId) {
        self.0.entry(group).or_default().blocked.get_or_insert(false);
    }

    /// Ends the turn of a message, and returns the next one whose items may join. A blocked group has none: what waited was
    /// blocked with the first item that failed.
    pub(super) fn complete(&mut self, group: GroupId, message: MessageIndex) -> Option<MessageIndex> {
        let queue = self.0.get_mut(&group).filter(|queue| queue.current == Some(message))?;
        queue.current = queue.waiting.pop_front();
        queue.current
    }

    /// Blocks the messages that wait for `message`, because an item of it was not written. Returns them, and whether a write of
    /// the group may still take effect. `None` if it is not the message's turn.
    pub(super) fn fail(
        &mut self,
        group: GroupId,
        message: MessageIndex,
        is_ambiguous: bool,
    ) -> Option<(VecDeque<MessageIndex>, bool)> {
        let queue = self.0.get_mut(&group).filter(|queue| queue.current == Some(message))?;
        let blocked = queue.blocked.get_or_insert(false);
        *blocked |= is_ambiguous;
        Some((std::mem::take(&mut queue.waiting), *blocked))
    }

    #[cfg(test)]
    pub(super) fn digest(&self, hasher: &mut impl Hasher) {
        self.0.iter().collect::<std::collections::BTreeMap<_, _>>().hash(hasher);
    }
}

/// Passes a key through: [`KeyId`] is a hash already.
#[derive(Debug, Clone, Default)]
pub(super) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(size_of::<u64>()) {
            let mut word = [0; size_of::<u64>()];
            word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
            self.0 ^= u64::from_le_bytes(word);
        }
    }

    fn write_u128(&mut self, key: u128) {
        // half of it is as random as all of it
        self.0 = (key >> 64) as u64;
    }
}
