//! The order of writes. Pure: no I/O, clock or randomness.
//!
//! There are two kinds of order, and this file holds every rule about them:
//!
//! - **Per key.** The unfinished items of one key form a queue ([`KeyQueue`]), in the order in which they joined it.
//!   [`turn`] decides what the next item does.
//! - **Per FIFO group.** The messages of one group form a queue ([`GroupQueues`]). The items of a message join the queues
//!   of their keys after every earlier message of the group has completed.
//!
//! An item waits only for items that joined before it, so a deadlock is impossible. In a standard queue the items of a
//! message join as soon as it is decoded, so they join in the order of the event.
//!
//! # Rules of a key
//!
//! 1. *The later record of a key wins.* An unconditional write supersedes earlier items of its key that were not sent yet.
//!    It waits for an earlier item that was sent, because two calls in flight may be applied in either order. It also waits
//!    for an earlier item with a version, even if that item was not sent. The table may already have a newer version, which
//!    makes the condition of the earlier item fail. If the unconditional write removed that newer version first, the
//!    outdated item would be written after it.
//! 2. *The first of several `Create` writes wins.* A later `Create` shares the outcome of an unfinished earlier one.
//! 3. *Writes with different versions may be in flight at the same time*, because the condition in the table decides
//!    between them. Three exceptions are sent one after the other: a deletion, because it leaves no version in the table to
//!    compare with; equal versions, because the later write must win; and any versions of a key while an unconditional
//!    write may still replace or delete the item, because that removes the version to compare with.
//! 4. *Versions that come from the message* (a sequence number or a timestamp) are compared here, and only the newest is
//!    written.
//! 5. *A closed key admits no further items.* A key is closed if a write to it may still take effect, or will be
//!    redelivered. A later item that was written now would then be overwritten by an older one. The exception is a
//!    `PutIfNewer` if all writes that closed the key are `PutIfNewer` with other versions, because their conditions protect
//!    the newest version.
//!
//! # Rules of a FIFO group
//!
//! 6. If an item of a message is not written, the rest of its group is blocked. Other groups are not affected.
//! 7. SQS defines no order between groups. If two groups write to the same key without versions, the failure of one does
//!    not block the other. Writes with versions keep their order even across groups.

use super::{GroupId, ItemIndex, KeyId, MessageIndex, TableId, VersionId, Write, WriteKind};
use smallvec::SmallVec;
use std::collections::{HashMap, VecDeque};
#[cfg(test)]
use std::hash::Hash;
use std::hash::{BuildHasherDefault, Hasher};

/// Maximum number of closed keys that are recorded individually for each table. They take about 3 MB. Beyond that number
/// the whole table is closed, which takes no further memory.
pub(super) const MAX_CLOSED_KEYS: usize = 50_000;
/// Maximum number of versions that are recorded for a closed key. Beyond that number the key admits no further items.
const MAX_CLOSED_VERSIONS: usize = 8;

/// The progress of an earlier, unfinished item of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is ready, but was never sent.
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

/// The decision about an item, given the earlier items of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It may be sent.
    Ready,
    /// It may be sent, and it supersedes the earlier items.
    Supersedes,
    /// It shares the outcome of an earlier item.
    SupersededBy(ItemIndex),
    /// It waits for the earlier items.
    Waits,
}

/// Decides what `next` does while the items in `before` are unfinished. `before` must not contain superseded items.
/// `is_overwritable` is whether an unconditional write to the key may still take effect.
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

/// Returns whether two writes to one key may be in flight at the same time, because the condition in the table decides
/// between their versions.
fn are_side_by_side(one: &Write, other: &Write) -> bool {
    one.kind == WriteKind::PutIfNewer && other.kind == WriteKind::PutIfNewer && one.version != other.version
}

/// The reason why a key admits no further items.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Closure {
    /// Whether a write to the key may still take effect.
    pub(super) is_ambiguous: bool,
    /// The versions of the writes that closed the key, if all of them are [`WriteKind::PutIfNewer`].
    versions: Option<SmallVec<[VersionId; 2]>>,
}

impl Closure {
    /// Returns the closure of the key of `write`.
    fn by(write: &Write, is_ambiguous: bool) -> Self {
        let guarded = if write.kind == WriteKind::PutIfNewer { write.version } else { None };
        Self { is_ambiguous, versions: guarded.map(|version| SmallVec::from_slice(&[version])) }
    }

    /// Merges another closure of the same key into this one.
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

    /// Returns whether `write` may be sent although the key is closed, because conditions decide between it and the writes
    /// that closed the key.
    pub(super) fn admits(&self, write: &Write) -> bool {
        match (&self.versions, write.version) {
            (Some(versions), Some(version)) => write.kind == WriteKind::PutIfNewer && !versions.contains(&version),
            _ => false,
        }
    }
}

/// Items of one key. Most keys have only one item.
pub(super) type KeyItems = SmallVec<[ItemIndex; 2]>;

/// The unfinished items of one key that are not superseded, and the closure of the key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct KeyQueue {
    /// The items, in the order in which they joined.
    pub(super) items: KeyItems,
    pub(super) closure: Option<Closure>,
    /// Whether an unconditional write to the key may still take effect, although its item is complete and the key is not
    /// closed.
    pub(super) is_overwritable: bool,
}

/// The queues of all keys of an event. A key without unfinished items keeps a queue only as a tombstone: if the key is
/// closed, or if an unconditional write to it may still take effect.
#[derive(Debug, Clone, Default)]
pub(super) struct KeyQueues {
    queues: HashMap<KeyId, KeyQueue, BuildHasherDefault<KeyHasher>>,
    closed: HashMap<TableId, ClosedKeys>,
}

/// Number of closed keys of a table.
#[derive(Debug, Clone, Copy, Default)]
struct ClosedKeys {
    count: usize,
    is_any_ambiguous: bool,
}

impl KeyQueues {
    /// Returns the closure that refuses `write`, or `None` if it may join the queue of its key.
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

    /// Removes an item that is done or superseded from the queue of its key, and inserts the items `revived` at the same
    /// position.
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

    /// Records that an unconditional write to a key may still take effect, although its item is complete.
    pub(super) fn note_overwritable(&mut self, key: KeyId) {
        self.queues.entry(key).or_default().is_overwritable = true;
    }

    /// Returns whether an unconditional write to a key may still take effect, although its item is complete.
    pub(super) fn is_overwritable(&self, key: KeyId) -> bool {
        self.queues.get(&key).is_some_and(|queue| queue.is_overwritable)
    }

    /// Closes the key of `write`.
    pub(super) fn close(&mut self, write: &Write, is_ambiguous: bool) {
        let closed = self.closed.entry(write.table).or_default();
        closed.is_any_ambiguous |= is_ambiguous;
        // a table that is closed as a whole needs no further tombstones
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

    /// Returns the closure of a key, if the key is closed.
    pub(super) fn closure(&self, key: KeyId) -> Option<&Closure> {
        self.queues.get(&key)?.closure.as_ref()
    }

    #[cfg(test)]
    pub(super) fn all(&self) -> impl Iterator<Item = (&KeyId, &KeyQueue)> {
        self.queues.iter()
    }
}

/// The result of adding a message to its FIFO group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Its items join the queues of their keys.
    Joins,
    /// It waits for the earlier messages of the group.
    Waits,
    /// It is blocked, because an earlier message of the group is returned.
    Blocked {
        /// Whether a write of that earlier message may still take effect.
        is_ambiguous: bool,
    },
}

/// The messages of one FIFO group that are not complete.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct GroupQueue {
    /// The message whose items have joined the queues of their keys.
    current: Option<MessageIndex>,
    /// The messages that wait for `current`.
    waiting: VecDeque<MessageIndex>,
    /// Set once a message of the group is returned. The value is whether a write of that message may still take effect.
    blocked: Option<bool>,
}

/// The FIFO groups of an event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct GroupQueues(HashMap<GroupId, GroupQueue>);

impl GroupQueues {
    /// Adds a message to the end of its group.
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

    /// Blocks all messages of a group that are added from now on. Messages that were added before precede the message at
    /// fault, so they are not blocked.
    pub(super) fn block(&mut self, group: GroupId) {
        self.0.entry(group).or_default().blocked.get_or_insert(false);
    }

    /// Ends the turn of a message, and returns the next message whose items may join. A blocked group has no next message,
    /// because its waiting messages were blocked when its first item failed.
    pub(super) fn complete(&mut self, group: GroupId, message: MessageIndex) -> Option<MessageIndex> {
        let queue = self.0.get_mut(&group).filter(|queue| queue.current == Some(message))?;
        queue.current = queue.waiting.pop_front();
        queue.current
    }

    /// Blocks the messages that wait for `message`, because one of its items was not written. Returns the blocked messages,
    /// and whether a write of the group may still take effect. Returns `None` if it is not the turn of `message`.
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

/// A hasher that passes the key through unchanged, because [`KeyId`] is already a hash.
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
        // any half of a random hash is equally random
        self.0 = (key >> 64) as u64;
    }
}
