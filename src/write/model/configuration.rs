//! The events to explore.

use crate::write::WriteKind;

/// One record of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Sent {
    pub(super) table: usize,
    pub(super) key: u8,
    pub(super) kind: WriteKind,
    /// The version, if the kind compares versions.
    pub(super) version: u8,
    /// Whether the version follows the order of the messages, so that the scheduler may compare it.
    pub(super) is_ordered: bool,
    /// Whether DynamoDB refuses the record as invalid.
    pub(super) is_invalid: bool,
    /// Whether DynamoDB denies access to the record.
    pub(super) is_denied: bool,
}

impl Sent {
    pub(super) fn new(kind: WriteKind, key: u8, version: u8) -> Self {
        Self { table: 0, key, kind, version, is_ordered: false, is_invalid: false, is_denied: false }
    }

    pub(super) fn put(key: u8) -> Self {
        Self::new(WriteKind::Put, key, 0)
    }

    fn newer(key: u8, version: u8) -> Self {
        Self::new(WriteKind::PutIfNewer, key, version)
    }

    fn invalid(self) -> Self {
        Self { is_invalid: true, ..self }
    }

    fn denied(self) -> Self {
        Self { is_denied: true, ..self }
    }

    fn ordered(self) -> Self {
        Self { is_ordered: true, ..self }
    }

    fn in_table(self, table: usize) -> Self {
        Self { table, ..self }
    }
}

/// One event to explore.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Configuration {
    /// The records of each message.
    pub(super) messages: Vec<Vec<Sent>>,
    /// The FIFO group of each message. Empty for a standard queue.
    pub(super) groups: Vec<usize>,
    /// Version of the item with key 0 that is in the table before the event.
    pub(super) stored: Option<u8>,
    /// Maximum number of faults.
    pub(super) faults: u8,
    /// Whether the deadline may be reached at any point.
    pub(super) has_deadline: bool,
}

impl Configuration {
    pub(super) fn standard(messages: Vec<Vec<Sent>>) -> Self {
        Self { messages, groups: Vec::new(), stored: None, faults: 2, has_deadline: true }
    }

    pub(super) fn fifo(messages: Vec<Vec<Sent>>, groups: &[usize]) -> Self {
        Self { groups: groups.to_vec(), ..Self::standard(messages) }
    }

    pub(super) fn is_fifo(&self) -> bool {
        !self.groups.is_empty()
    }

    /// Returns all records, each with the index of its message.
    pub(super) fn records(&self) -> impl Iterator<Item = (usize, &Sent)> {
        self.messages
            .iter()
            .enumerate()
            .flat_map(|(message, records)| records.iter().map(move |record| (message, record)))
    }
}

/// Returns events that failed once, events similar to those, and events of four items with three faults.
pub(super) fn named() -> Vec<Configuration> {
    use WriteKind::{Create, Delete, DeleteIfNewer};
    let (put, newer) = (Sent::put, Sent::newer);
    let alone = |records: &[Sent]| records.iter().map(|record| vec![*record]).collect::<Vec<_>>();
    let mut all = vec![
        Configuration::standard(alone(&[put(0), put(0)])),
        Configuration::standard(alone(&[put(0), put(0), put(1)])),
        Configuration::standard(alone(&[put(0), put(0).invalid(), put(1)])),
        Configuration::standard(alone(&[put(0), Sent::new(Delete, 0, 0), put(0)])),
        Configuration::standard(vec![vec![put(0), Sent::new(Delete, 0, 0)], vec![put(1)]]),
        Configuration::standard(vec![vec![put(0), put(1)], vec![put(1), put(0)]]),
        Configuration::standard(alone(&[newer(0, 3), Sent::new(DeleteIfNewer, 0, 5)])),
        Configuration::standard(alone(&[newer(0, 3), newer(0, 1), newer(0, 3)])),
        Configuration::standard(alone(&[newer(0, 1).ordered(), newer(0, 2).ordered(), newer(0, 1).ordered()])),
        Configuration::standard(alone(&[Sent::new(Create, 0, 0), Sent::new(Create, 0, 0).invalid(), put(0)])),
        Configuration::standard(alone(&[put(0).denied(), put(0), put(1)])),
        Configuration::standard(alone(&[put(0), put(1).in_table(1), put(0)])),
        Configuration::fifo(alone(&[put(0), put(0)]), &[0, 0]),
        Configuration::fifo(alone(&[put(0), put(1), put(0)]), &[0, 0, 1]),
        Configuration::fifo(alone(&[put(0), put(1), put(0)]), &[0, 1, 0]),
        Configuration::fifo(alone(&[put(0).denied(), put(1), put(0)]), &[0, 0, 1]),
        Configuration::fifo(alone(&[put(0).invalid(), put(0), put(1)]), &[0, 0, 1]),
        Configuration::fifo(alone(&[newer(0, 3), Sent::new(DeleteIfNewer, 0, 5)]), &[0, 1]),
        Configuration::fifo(vec![vec![put(0), put(0)], vec![put(1)], vec![]], &[0, 0, 0]),
        Configuration::fifo(vec![vec![put(0), put(1)], vec![put(0)]], &[0, 1]),
        Configuration::fifo(vec![vec![put(0)], vec![newer(0, 1), newer(0, 2)]], &[0, 1]),
        Configuration::fifo(vec![vec![Sent::new(Delete, 0, 0)], vec![newer(0, 1), newer(0, 2)]], &[0, 1]),
        Configuration::fifo(vec![vec![newer(0, 1), newer(0, 2)], vec![put(0)]], &[0, 1]),
        Configuration { stored: Some(2), ..Configuration::standard(alone(&[newer(0, 1), newer(0, 3), newer(0, 2)])) },
        Configuration { stored: Some(2), ..Configuration::standard(alone(&[Sent::new(Create, 0, 0), put(1)])) },
    ];
    all.extend([
        Configuration { faults: 3, ..Configuration::standard(alone(&[put(0), put(1), put(0), put(1)])) },
        Configuration {
            faults: 3,
            has_deadline: false,
            ..Configuration::fifo(alone(&[put(0), put(0), put(1), put(1)]), &[0, 1, 0, 1])
        },
        Configuration {
            faults: 3,
            has_deadline: false,
            ..Configuration::standard(alone(&[newer(0, 1), newer(0, 2), Sent::new(DeleteIfNewer, 0, 3), newer(0, 4)]))
        },
    ]);
    all
}

/// Returns all events of up to three items over two keys, two groups, two tables and every kind. Events that are equal
/// except for names are listed once.
pub(super) fn all() -> Vec<Configuration> {
    let mut all = Vec::new();
    for count in 1..=3 {
        for kinds in tuples(WriteKind::ALL.len(), count) {
            for keys in patterns(count, 2) {
                for versions in versions(&kinds) {
                    for tables in patterns(count, 2) {
                        if count == 1 && tables != [0] {
                            continue;
                        }
                        let record = |place: usize| Sent {
                            table: tables[place],
                            ..Sent::new(
                                WriteKind::ALL[kinds[place]],
                                u8::try_from(keys[place]).unwrap(),
                                versions[place],
                            )
                        };
                        let records: Vec<Sent> = (0..count).map(record).collect();
                        for messages in partitions(&records) {
                            all.push(Configuration::standard(messages.clone()));
                            for groups in patterns(messages.len(), 2) {
                                all.push(Configuration::fifo(messages.clone(), &groups));
                            }
                        }
                        for place in 0..count {
                            let mut marked = records.clone();
                            marked[place] = records[place].invalid();
                            all.push(Configuration { faults: 1, ..Configuration::standard(alone(&marked)) });
                            marked[place] = records[place].denied();
                            all.push(Configuration { faults: 1, ..Configuration::standard(alone(&marked)) });
                        }
                    }
                }
            }
        }
    }
    all
}

fn alone(records: &[Sent]) -> Vec<Vec<Sent>> {
    records.iter().map(|record| vec![*record]).collect()
}

/// Returns all tuples of `count` numbers below `below`.
fn tuples(below: usize, count: usize) -> Vec<Vec<usize>> {
    (0..count).fold(vec![Vec::new()], |tuples, _| {
        let longer = |tuple: &Vec<usize>| (0..below).map(|last| [&tuple[..], &[last]].concat()).collect::<Vec<_>>();
        tuples.iter().flat_map(longer).collect()
    })
}

/// Returns the tuples that differ in more than the naming of their numbers. In each of them, the first occurrence of a
/// number is the smallest number not used so far.
fn patterns(count: usize, below: usize) -> Vec<Vec<usize>> {
    let is_first_named = |tuple: &Vec<usize>| {
        let mut next = 0;
        tuple.iter().all(|number| {
            let is_known = *number < next;
            next += usize::from(*number == next);
            is_known || *number + 1 == next
        })
    };
    tuples(below, count).into_iter().filter(is_first_named).collect()
}

/// Returns the possible orders of the versions of these kinds. A kind without versions has the version 0.
fn versions(kinds: &[usize]) -> Vec<Vec<u8>> {
    let has_version = |kind: usize| WriteKind::ALL[kind].has_version();
    let versioned: Vec<usize> = (0..kinds.len()).filter(|place| has_version(kinds[*place])).collect();
    let orders: &[&[u8]] = match versioned.len() {
        0 => &[&[]],
        1 => &[&[1]],
        2 => &[&[1, 2], &[2, 1], &[1, 1]],
        _ => &[&[1, 2, 3], &[3, 2, 1], &[2, 3, 1], &[1, 1, 2], &[2, 1, 1], &[1, 2, 1]],
    };
    let spread = |order: &&[u8]| {
        let mut all = vec![0; kinds.len()];
        versioned.iter().zip(*order).for_each(|(place, version)| all[*place] = *version);
        all
    };
    orders.iter().map(spread).collect()
}

/// Returns all ways to divide the records into consecutive messages.
fn partitions(records: &[Sent]) -> Vec<Vec<Vec<Sent>>> {
    let Some((first, rest)) = records.split_first() else { return vec![Vec::new()] };
    if rest.is_empty() {
        return vec![vec![vec![*first]]];
    }
    let mut all = Vec::new();
    for others in partitions(rest) {
        all.push([vec![vec![*first]], others.clone()].concat());
        let mut joined = others;
        joined[0].insert(0, *first);
        all.push(joined);
    }
    all
}
