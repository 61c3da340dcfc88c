//! The messages sent to the three queues, and the expected contents of the tables.

use avro_ingest::avro::WireFormat;
use avro_ingest::encode::{self, Codec, Encoder};
use local::sqs::{Attribute, Disorder, Message, Queue, Settings};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

/// Names of the tables, which are also the subjects of the three queues.
pub(crate) const ORDERS: &str = "orders";
pub(crate) const STATES: &str = "states";
pub(crate) const STEPS: &str = "steps";

/// One message out of this many is poison: it can never be stored.
const POISON_EVERY: u64 = 400;
/// Time after which a returned message becomes visible again.
const VISIBILITY: Duration = Duration::from_secs(20);

/// Writes a schema directory with one subject per queue.
pub(crate) fn write_schemas(directory: &Path) {
    let field = |name: &str, kind: &str| json!({"name": name, "type": kind});
    for table in [ORDERS, STATES, STEPS] {
        let mut property = json!({"table": table, "partitionKey": "id"});
        if table == STATES {
            property["version"] = json!("version");
        }
        let fields = [field("id", "string"), field("version", "long"), field("note", "string")];
        let schema = json!({"type": "record", "name": table, "dynamodb": property, "fields": fields});
        std::fs::create_dir_all(directory.join(table)).unwrap();
        std::fs::write(directory.join(table).join("1.avsc"), schema.to_string()).unwrap();
    }
}

/// A queue full of messages, the ids of its poison messages, and the expected writes in the order in which they were sent.
pub(crate) struct Traffic {
    pub(crate) queue: Queue,
    pub(crate) sent: usize,
    pub(crate) poison: BTreeSet<String>,
    writes: Vec<Write>,
}

#[derive(Clone)]
struct Write {
    id: String,
    version: u64,
    delete: bool,
}

impl Write {
    fn record(&self) -> Value {
        json!({"id": self.id, "version": self.version, "note": format!("{} at {}", self.id, self.version)})
    }
}

struct Sender {
    encoder: Encoder,
    random: fastrand::Rng,
    traffic: Traffic,
}

impl Sender {
    fn new(schemas: &Path, subject: &str, settings: Settings) -> Self {
        let traffic = Traffic { queue: Queue::new(settings), sent: 0, poison: BTreeSet::new(), writes: Vec::new() };
        Self {
            encoder: Encoder::for_subject(schemas, subject).unwrap(),
            random: fastrand::Rng::with_seed(super::seed() + subject.len() as u64),
            traffic,
        }
    }

    /// Sends a single record, or several in a container. They must be all puts or all deletes.
    fn send(&mut self, group: Option<&str>, writes: &[Write]) {
        let records: Vec<Value> = writes.iter().map(Write::record).collect();
        let framed = match records.as_slice() {
            [record] => self.encoder.frame(WireFormat::SingleObject, record).unwrap(),
            records => {
                let codec = [Codec::Null, Codec::Deflate][self.random.usize(..2)];
                self.encoder.container(records, codec).unwrap()
            }
        };
        let mut message = Message::text(encode::body(&framed));
        if writes.iter().any(|write| write.delete) {
            message = message.with("operation", Attribute::String("delete".to_owned()));
        }
        self.put(group, message);
        self.traffic.writes.extend_from_slice(writes);
    }

    fn send_poison(&mut self, group: Option<&str>) {
        let record = Write { id: "poison".to_owned(), version: 0, delete: false }.record();
        let mut framed = self.encoder.frame(WireFormat::SingleObject, &record).unwrap();
        framed.truncate(framed.len() - 3);
        let id = self.put(group, Message::text(encode::body(&framed)));
        self.traffic.poison.insert(id);
    }

    fn put(&mut self, group: Option<&str>, message: Message) -> String {
        let message = Message { group: group.map(str::to_owned), ..message };
        self.traffic.sent += 1;
        self.traffic.queue.send(message, local::clock::since_epoch()).unwrap()
    }
}

fn standard(name: &str) -> Settings {
    let disorder = Disorder { seed: 11 + super::seed(), reach: 300, duplicates: 0.01 };
    // valid messages may be returned often, but only poison messages may be dead-lettered
    Settings { max_receive_count: 100, visibility_timeout: VISIBILITY, disorder, ..Settings::named(name) }
}

/// Orders with distinct keys, so that their order does not matter. A third of the messages are containers of up to 30 records.
/// Three keys each meet a specific fault until the plan changes.
pub(crate) fn orders(schemas: &Path, messages: u64) -> Traffic {
    let mut sender = Sender::new(schemas, ORDERS, standard("orders"));
    let mut number = 0;
    for message in 0..messages {
        if message % POISON_EVERY == 1 {
            sender.send_poison(None);
            continue;
        }
        let count = if sender.random.u8(..3) == 0 { sender.random.u64(2..=30) } else { 1 };
        let write = |number| Write { id: format!("order-{number}"), version: number, delete: false };
        let mut writes: Vec<Write> = (number..number + count).map(write).collect();
        number += count;
        if message % (messages / 3 + 1) == 5 {
            let stuck = format!("order-stuck-{}", message / (messages / 3 + 1));
            writes.push(Write { id: stuck, version: number, delete: false });
        }
        sender.send(None, &writes);
    }
    sender.traffic
}

/// Versions of few keys, put and deleted, delivered twice and out of order.
pub(crate) fn states(schemas: &Path, messages: u64) -> Traffic {
    let mut sender = Sender::new(schemas, STATES, standard("states"));
    let keys = messages / 10 + 1;
    for message in 0..messages {
        // without a quarantine queue, each poison message is delivered a hundred times
        if message % (messages / 2 + 1) == 1 {
            sender.send_poison(None);
            continue;
        }
        let delete = sender.random.u8(..5) == 0;
        let count = sender.random.u64(1..=4);
        let mut ids = BTreeSet::new();
        while (ids.len() as u64) < count.min(keys) {
            ids.insert(sender.random.u64(..keys));
        }
        let write = |id| Write { id: format!("state-{id}"), version: message + 1, delete };
        sender.send(None, &ids.into_iter().map(write).collect::<Vec<_>>());
    }
    sender.traffic
}

/// Unversioned keys in FIFO groups, put and deleted.
pub(crate) fn steps(schemas: &Path, messages: u64) -> Traffic {
    let settings = Settings { max_receive_count: 100, visibility_timeout: VISIBILITY, ..Settings::named("steps.fifo") };
    let mut sender = Sender::new(schemas, STEPS, settings);
    for message in 0..messages {
        let group = sender.random.u64(..20);
        let name = format!("group-{group}");
        if message % POISON_EVERY == 1 {
            sender.send_poison(Some(&name));
            continue;
        }
        let delete = sender.random.u8(..6) == 0;
        let key = sender.random.u64(..5);
        let write = |key| Write { id: format!("step-{group}-{key}"), version: message, delete };
        let writes: Vec<Write> = (key..key + sender.random.u64(1..=3)).map(write).collect();
        sender.send(Some(&name), &writes);
        // sent early, so that a call meets the fault of this key before it is removed
        if message == messages / 50 {
            sender.send(Some("group-stuck"), &[Write { id: "step-stuck".to_owned(), version: message, delete: false }]);
        }
    }
    sender.traffic
}

impl Traffic {
    fn items(items: Vec<Map<String, Value>>) -> BTreeMap<String, u64> {
        let read = |item: Map<String, Value>| {
            let text = |value: &Value, kind: &str| value[kind].as_str().unwrap().to_owned();
            let data = &item["data"]["M"];
            let (id, version) = (text(&item["id"], "S"), text(&data["version"], "N").parse().unwrap());
            assert_eq!(text(&data["note"], "S"), format!("{id} at {version}"), "an item mixes two records");
            (id, version)
        };
        items.into_iter().map(read).collect()
    }

    /// Checks that the table holds the result of applying all writes in order.
    pub(crate) fn check_in_order(&self, items: Vec<Map<String, Value>>) {
        let mut expected = BTreeMap::new();
        for write in &self.writes {
            if write.delete {
                expected.remove(&write.id);
            } else {
                expected.insert(write.id.clone(), write.version);
            }
        }
        let there = Self::items(items);
        let wrong: Vec<_> = expected.iter().filter(|(id, version)| there.get(*id) != Some(version)).take(10).collect();
        assert!(wrong.is_empty(), "items differ from the writes: {wrong:?}");
        assert_eq!(there.len(), expected.len(), "the table holds other items");
    }

    /// Checks that each key holds its newest version. If the newest write is a deletion, the key is absent or holds any version
    /// that was put, because a deletion leaves no trace that would stop an older put from being applied after it.
    pub(crate) fn check_versions(&self, items: Vec<Map<String, Value>>) {
        let there = Self::items(items);
        let mut puts: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
        let mut newest: BTreeMap<&str, (u64, bool)> = BTreeMap::new();
        for Write { id, version, delete } in &self.writes {
            let newest = newest.entry(id).or_default();
            *newest = (*newest).max((*version, *delete));
            if !delete {
                puts.entry(id).or_default().insert(*version);
            }
        }
        for (id, (version, delete)) in &newest {
            let stored = there.get(*id);
            if *delete {
                let is_of_a_put = stored.is_none_or(|stored| puts.get(id).is_some_and(|puts| puts.contains(stored)));
                assert!(is_of_a_put, "{id} was deleted at {version} and is {stored:?}");
            } else {
                assert_eq!(stored, Some(version), "{id}");
            }
        }
        assert!(there.keys().all(|id| newest.contains_key(id.as_str())), "the table holds other items");
    }
}
