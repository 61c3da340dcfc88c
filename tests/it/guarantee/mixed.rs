//! Seeded tests that combine everything: containers whose items fail individually, FIFO groups, versions, deletions, colliding
//! keys, two tables, a quarantine queue, and faults, some of which affect a specific item or table permanently.
//!
//! The checks do not depend on how the function works. A message that is not returned must be quarantined or applied, in the
//! order of its key's messages. A message that is returned may or may not have been applied.

use super::messages::{AUDIT, Sent, State, Subject, Write, random_message, state_of};
use super::{handler_of, invoke};
use crate::support::fake_dynamodb::{FakeDynamoDb, Faults, StickyFault};
use crate::support::fake_sqs::{FakeSqs, QueueFaults};
use crate::support::random::Random;
use avro_ingest::invocation::Handler;
use avro_ingest::invocation::Memory;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Number of rounds with all faults, and number of rounds with permanent faults only.
const ROUNDS: [usize; 2] = [4, 3];
/// Time between two deliveries of a message. Late writes have taken effect by then.
const VISIBILITY: Duration = Duration::from_secs(120);

/// A queue, its tables and the state of its messages.
struct Scene {
    table: FakeDynamoDb,
    quarantine: Option<FakeSqs>,
    handler: Handler,
    queue: &'static str,
    messages: Vec<Sent>,
    /// Initial contents of the tables.
    initial: BTreeMap<(&'static str, String), State>,
    waiting: Vec<usize>,
    /// Key values and table names for which every call fails.
    stuck: BTreeSet<String>,
    /// Key values of a mapping that does not match its table, so that each of its items is refused.
    misfits: BTreeSet<String>,
    /// Whether groups of a FIFO queue write the same keys. Their order is then undefined.
    share_keys: bool,
}

/// The kind of queue, and whether its groups share keys.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Standard,
    /// Groups have distinct keys.
    Fifo,
    /// Groups write the same keys.
    FifoOfSharedKeys,
}

impl Scene {
    fn new(random: &mut Random, seed: u64, kind: Kind) -> Self {
        let (is_fifo, share_keys) = (kind != Kind::Standard, kind == Kind::FifoOfSharedKeys);
        let table = FakeDynamoDb::new(&["id"], faults(random, is_fifo), seed);
        let quarantine = random.percent(70).then(|| FakeSqs::new(queue_faults(random), seed));
        let handler = handler_of(&table, seed, quarantine.as_ref().map(FakeSqs::quarantine), |most| most / 2);
        // large enough that the event is written in several parts, but not so large that a container exceeds the limit of a
        // queue message
        let (item_bytes, handler) =
            if random.percent(5) { (150_000, handler.with_memory(Memory::new(Some(64), 1))) } else { (0, handler) };
        let most = if is_fifo { 10 } else { 60 };
        let count = 1 + random.below(if item_bytes > 0 { most.min(20) } else { most }) as usize;
        let messages: Vec<Sent> = (0..count)
            .map(|number| {
                // messages of one group are delivered together
                let group = format!("g{}", random.below(if is_fifo { 3 } else { 2 }));
                let scope = if share_keys { "all" } else { group.as_str() };
                let message = random_message(random, number, scope, kind != Kind::Fifo, item_bytes);
                Sent { group: Some(group), ..message }
            })
            .collect();
        let mut scene = Self {
            table,
            quarantine,
            handler,
            queue: if is_fifo { "queue.fifo" } else { "standard" },
            waiting: (0..count).collect(),
            messages,
            initial: BTreeMap::new(),
            stuck: BTreeSet::new(),
            misfits: BTreeSet::new(),
            share_keys,
        };
        scene.stick_some(random);
        scene.preset_some(random);
        scene
    }

    fn is_fifo(&self) -> bool {
        self.queue.ends_with(".fifo")
    }

    fn stick_some(&mut self, random: &mut Random) {
        let ids: BTreeSet<String> = self.all_writes().map(|write| write.id.clone()).collect();
        for id in ids {
            if !random.percent(4) {
                continue;
            }
            let fault = StickyFault::OF_ITEMS[random.below(StickyFault::OF_ITEMS.len() as u64) as usize];
            self.table.stick(&id, fault);
            self.stuck.insert(id);
        }
        if random.percent(10) {
            let subject = Subject::ALL[random.below(Subject::ALL.len() as u64) as usize];
            let of_it = self.all_writes().filter(|write| write.subject == subject).map(|write| write.id.clone());
            self.misfits = of_it.collect();
            self.misfits.iter().for_each(|id| self.table.stick(id, StickyFault::IndexKeyMismatch));
            self.stuck.extend(self.misfits.iter().cloned());
        }
        if random.percent(15) {
            self.table.stick(AUDIT, StickyFault::Throttled);
            self.stuck.insert(AUDIT.to_owned());
        }
    }

    /// Stores some items in advance, some of which have a version of another type or no version.
    fn preset_some(&mut self, random: &mut Random) {
        let keys: BTreeMap<_, _> = self.all_writes().map(|write| (write.key(), write.id.clone())).collect();
        for ((table, key), id) in keys {
            if random.percent(30) {
                let version = [json!({"N": random.below(50).to_string()}), json!({"S": "7"}), json!({"NULL": true})]
                    [random.below(3) as usize]
                    .clone();
                let item = json!({"id": {"S": id}, "data": {"M": {"version": version, "note": {"S": "preset"}}}});
                self.initial.insert((table, key), state_of(Some(&item)));
                self.table.preset(table, item);
            }
        }
    }

    fn all_writes(&self) -> impl Iterator<Item = &Write> {
        self.messages.iter().flat_map(Sent::writes)
    }

    fn state(&self, (table, key): &(&'static str, String)) -> State {
        state_of(self.table.item(table, key).as_ref())
    }

    /// Returns the ids of the messages in the quarantine queue, and checks that each was sent there unchanged.
    fn quarantined(&self) -> BTreeSet<String> {
        let taken = self.quarantine.as_ref().map(FakeSqs::taken).unwrap_or_default();
        let check = |entry: &Value| {
            let attribute = |name: &str| entry["MessageAttributes"][name]["StringValue"].as_str();
            let id = attribute("source_message_id").expect("the id of the message").to_owned();
            let sent = self.messages.iter().find(|sent| sent.message_id == id).expect("a message of ours");
            assert!(sent.is_poison() || self.is_misfit(sent), "quarantined although it can be stored: {sent:?}");
            assert_eq!(entry["MessageBody"], sent.body);
            assert!(attribute("reason").is_some());
            assert_eq!(
                attribute("operation"),
                sent.is_delete().then_some("delete"),
                "a replay would perform another operation"
            );
            id
        };
        taken.iter().map(check).collect()
    }

    async fn deliver(&mut self) {
        let written_before = self.table.written().len();
        let before: BTreeMap<_, _> = self.all_writes().map(|write| (write.key(), self.state(&write.key()))).collect();
        let batch = |scope: Option<&str>| -> Vec<Sent> {
            let messages = self.waiting.iter().map(|&place| &self.messages[place]);
            messages.filter(|sent| scope.is_none() || sent.group.as_deref() == scope).cloned().collect()
        };
        // on a standard queue, two invocations run concurrently; their keys are distinct, but they share the writer
        let batches = if self.is_fifo() { [batch(None), Vec::new()] } else { [batch(Some("g0")), batch(Some("g1"))] };
        let deliver = async |batch: &[Sent]| {
            if batch.is_empty() { BTreeSet::new() } else { invoke(&self.handler, batch, self.queue).await.0 }
        };
        let (mut returned, others) = tokio::join!(deliver(&batches[0]), deliver(&batches[1]));
        returned.extend(others);

        let quarantined = self.quarantined();
        for sent in self.waiting.iter().map(|&place| &self.messages[place]) {
            if sent.writes.is_none() && !returned.contains(&sent.message_id) {
                assert!(
                    quarantined.contains(&sent.message_id),
                    "neither stored nor quarantined nor returned: {sent:?}"
                );
            }
        }
        let delivered = self.waiting.iter().map(|&place| &self.messages[place]);
        if !self.share_keys {
            self.check_keys(&before, delivered, |sent| !returned.contains(&sent.message_id), &quarantined);
        }
        // an acknowledged message is not redelivered, and late writes take effect before a returned message is redelivered
        tokio::time::sleep(VISIBILITY).await;
        if self.is_fifo() {
            self.check_groups(&returned, written_before);
        }
        self.waiting.retain(|&place| returned.contains(&self.messages[place].message_id));
    }

    /// Checks that every key holds a value that its messages, in order, may have produced from its previous value.
    fn check_keys<'s>(
        &self,
        before: &BTreeMap<(&'static str, String), State>,
        messages: impl Iterator<Item = &'s Sent>,
        is_acknowledged: impl Fn(&Sent) -> bool,
        quarantined: &BTreeSet<String>,
    ) {
        let mut possible: BTreeMap<_, BTreeSet<State>> = BTreeMap::new();
        let mut applied: BTreeMap<_, Vec<(&Write, bool)>> = BTreeMap::new();
        for sent in messages {
            let is_certain = is_acknowledged(sent) && !quarantined.contains(&sent.message_id);
            for write in sent.writes() {
                let key = write.key();
                let first = before.get(&key).cloned().flatten();
                let states = possible.entry(key.clone()).or_insert_with(|| BTreeSet::from([first]));
                let after: BTreeSet<State> = states.iter().map(|state| write.apply(state)).collect();
                if is_certain {
                    *states = after;
                } else if !write.is_poison() {
                    states.extend(after);
                }
                applied.entry(key).or_default().push((write, is_certain));
            }
        }
        for (key, states) in possible {
            let there = self.state(&key);
            assert!(
                states.contains(&there),
                "{key:?} was {:?} and is {there:?}, but the writes and whether they were acknowledged are {:#?}",
                before.get(&key),
                applied[&key]
            );
        }
    }

    /// Checks that within a group nothing is written after a message that is returned and can be stored later, and nothing out
    /// of order. The first `written_before` writes belong to earlier deliveries.
    fn check_groups(&self, returned: &BTreeSet<String>, written_before: usize) {
        let all = self.table.written();
        let notes = all[written_before..].iter().filter_map(|written| state_of(written.item.as_ref()));
        let notes: BTreeSet<String> = notes.map(|(_, note)| note).collect();
        let groups: BTreeSet<_> = self.messages.iter().filter_map(|sent| sent.group.clone()).collect();
        for group in groups {
            // a rejected message blocks nothing, even if the quarantine queue does not accept it
            let is_rejected = |sent: &Sent| sent.is_poison() || self.is_misfit(sent);
            let is_member = |sent: &&Sent| sent.group.as_ref() == Some(&group) && !is_rejected(sent);
            let waiting = self.waiting.iter().map(|&place| &self.messages[place]).filter(is_member);
            let after = waiting.skip_while(|sent| !returned.contains(&sent.message_id));
            for (place, sent) in after.enumerate() {
                assert!(returned.contains(&sent.message_id), "acknowledged although its predecessor is not: {sent:?}");
                let is_written = sent.writes().iter().any(|write| notes.contains(&write.note));
                assert!(place == 0 || !is_written, "written although its predecessor is returned: {sent:?}");
            }
        }
        let place = |note: &str| {
            let of_note = |sent: &Sent| !sent.is_poison() && sent.writes().iter().any(|write| write.note == note);
            self.messages.iter().position(of_note)
        };
        let mut last: BTreeMap<_, usize> = BTreeMap::new();
        for written in all {
            let Some((_, note)) = state_of(written.item.as_ref()) else { continue };
            let Some(place) = place(&note) else { continue };
            let group = self.messages[place].group.as_ref();
            let last = last.entry((group, written.table, written.key)).or_insert(place);
            assert!(*last <= place, "message {place} was written after message {last}, whose item it overwrites");
            *last = place;
        }
    }

    /// Returns whether the message belongs to a mapping that does not match its table.
    fn is_misfit(&self, sent: &Sent) -> bool {
        sent.writes().iter().any(|write| self.misfits.contains(&write.id))
    }

    /// Returns whether every call for one of its items fails.
    fn is_stuck(&self, sent: &Sent) -> bool {
        let is_stuck = |write: &Write| self.stuck.contains(&write.id) || self.stuck.contains(write.subject.table());
        sent.writes().iter().any(is_stuck)
    }

    /// Checks that only permanently failing messages are left and, in a FIFO queue, their successors in the group.
    fn check_waiting(&self) {
        for &place in &self.waiting {
            let sent = &self.messages[place];
            let is_behind = |before: &&Sent| self.is_fifo() && before.group == sent.group;
            let is_excused = self.is_stuck(sent)
                || (sent.is_poison() && self.quarantine.is_none())
                || self.messages[..place].iter().filter(is_behind).any(|before| self.is_stuck(before));
            assert!(is_excused, "not stored although nothing is wrong with it: {sent:?}; stuck: {:?}", self.stuck);
        }
    }

    async fn run(mut self) {
        for _ in 0..ROUNDS[0] {
            if self.waiting.is_empty() {
                break;
            }
            self.deliver().await;
        }
        self.table.set_faults(Faults::default());
        if let Some(quarantine) = &self.quarantine {
            quarantine.set_faults(QueueFaults::default());
        }
        for _ in 0..ROUNDS[1] {
            if self.waiting.is_empty() {
                break;
            }
            self.deliver().await;
        }
        self.check_waiting();
        if self.is_fifo() && !self.share_keys {
            let is_acknowledged =
                |sent: &Sent| !self.waiting.iter().any(|&place| self.messages[place].message_id == sent.message_id);
            self.check_keys(&self.initial, self.messages.iter(), is_acknowledged, &self.quarantined());
        }
    }
}

fn faults(random: &mut Random, is_fifo: bool) -> Faults {
    let mut some = |most: u64| if random.percent(40) { random.below(most) } else { 0 };
    let faults = Faults {
        throttled: some(30),
        unprocessed: some(40),
        server_error: some(15),
        reset_before: some(10),
        reset_after: some(10),
        stall: some(5),
        malformed: some(10),
        expired: some(3),
        panic: some(3),
        late: some(10),
        gateway: some(10),
        reset_late: some(10),
        refused: some(10),
    };
    // in a standard queue, late writes may overwrite later messages, so these faults are excluded
    if is_fifo { faults } else { Faults { late: 0, gateway: 0, reset_late: 0, ..faults } }
}

fn queue_faults(random: &mut Random) -> QueueFaults {
    let largest_call = random.percent(20).then_some(3);
    let mut some = |most: u64| if random.percent(40) { random.below(most) } else { 0 };
    QueueFaults {
        failed: some(60),
        silent: some(30),
        refused: some(50),
        contradicted: some(20),
        largest_call,
        silent_after: None,
    }
}

async fn run_seeds(seeds: impl IntoIterator<Item = u64>, kind: Kind) {
    super::silence_planned_panics();
    let mut failed = Vec::new();
    for seed in seeds {
        let outcome = tokio::spawn(async move {
            let mut random = Random::new(seed);
            Scene::new(&mut random, seed, kind).run().await;
        });
        if outcome.await.is_err() {
            failed.push(seed);
        }
    }
    assert!(failed.is_empty(), "{} seeds failed: {failed:?}", failed.len());
}

/// Returns the seeds to run. `GUARANTEE_SEEDS` sets their number.
fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let first = number("GUARANTEE_FIRST_SEED").unwrap_or(0);
    first..first + number("GUARANTEE_SEEDS").unwrap_or(80)
}

#[tokio::test(start_paused = true)]
async fn whatever_fails_a_message_of_a_standard_queue_is_applied_quarantined_or_returned() {
    run_seeds(seeds(), Kind::Standard).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_fails_a_fifo_group_is_applied_in_its_order() {
    run_seeds(seeds(), Kind::Fifo).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_fails_groups_that_share_keys_keep_their_order_and_hold_up_no_other() {
    run_seeds(seeds(), Kind::FifoOfSharedKeys).await;
}
