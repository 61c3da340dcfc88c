//! Seeded simulation: random walks through events that are too large for exhaustive exploration.

use super::configuration::{Configuration, Sent};
use super::explore::step;
use super::promise;
use super::world::{Action, End, World};
use crate::write::WriteKind;
use crate::write::flaw::Flaw;
use fastrand::Rng;

/// Maximum number of records of an event. It is small, because checking a promise compares the table with every allowed
/// order of the records.
const MAX_RECORDS: usize = 6;
const MAX_FAULTS: u8 = 3;

/// Walks through the event that `seed` generates. Returns the number of steps.
///
/// # Errors
/// Returns the broken promise with the event and the steps.
pub(super) fn walk(seed: u64, flaw: Option<Flaw>) -> Result<usize, String> {
    let mut random = Rng::with_seed(seed);
    let configuration = event(&mut random);
    let mut world = World::new(&configuration, flaw);
    let mut trace = Vec::new();
    loop {
        let actions = world.actions();
        promise::check(&world, &actions).map_err(|promise| describe(seed, &promise, &configuration, &trace))?;
        if actions.is_empty() {
            return Ok(trace.len());
        }
        let action = choose(&mut random, &actions);
        trace.push(action);
        world = step(&world, action).map_err(|promise| describe(seed, &promise, &configuration, &trace))?;
    }
}

fn describe(seed: u64, promise: &str, configuration: &Configuration, trace: &[Action]) -> String {
    let steps: Vec<String> = trace.iter().map(|action| format!("{action:?}")).collect();
    format!("seed {seed}: {promise}\n{configuration:?}\n{}", steps.join("\n"))
}

/// Chooses a step. Responses are much more likely than faults, and the deadline is unlikely, so that walks get far.
fn choose(random: &mut Rng, actions: &[Action]) -> Action {
    let weight = |action: &Action| match action {
        Action::Deadline => 1,
        Action::End(_, End::Responds) => 60,
        Action::End(..) => 2,
        Action::ApplyLate(_) => 6,
        Action::Decode | Action::Call(_) => 30,
    };
    let mut drawn = random.usize(..actions.iter().map(weight).sum::<usize>());
    for action in actions {
        match drawn.checked_sub(weight(action)) {
            Some(left) => drawn = left,
            None => return *action,
        }
    }
    actions[0]
}

fn event(random: &mut Rng) -> Configuration {
    let is_ordered = random.u8(..4) == 0;
    let kinds: Vec<WriteKind> =
        (0..1 + random.usize(..3)).map(|_| WriteKind::ALL[random.usize(..WriteKind::ALL.len())]).collect();
    let keys = 1 + random.u8(..3);
    let record = |random: &mut Rng| {
        let kind = kinds[random.usize(..kinds.len())];
        let version = if kind.has_version() { 1 + random.u8(..4) } else { 0 };
        let fault = random.u8(..30);
        Sent {
            table: usize::from(random.u8(..5) == 0),
            is_ordered: is_ordered && kind.has_version(),
            is_invalid: fault == 0,
            is_denied: fault == 1,
            ..Sent::new(kind, random.u8(..keys), version)
        }
    };
    let mut messages: Vec<Vec<Sent>> = Vec::new();
    for _ in 0..1 + random.usize(..MAX_RECORDS) {
        let record = record(random);
        match messages.last_mut() {
            Some(message) if random.u8(..3) == 0 => message.push(record),
            _ => messages.push(vec![record]),
        }
    }
    let groups = 1 + random.usize(..3);
    let groups = if random.bool() { messages.iter().map(|_| random.usize(..groups)).collect() } else { Vec::new() };
    Configuration {
        groups,
        stored: (random.u8(..4) == 0).then(|| random.u8(..4)),
        faults: random.u8(..=MAX_FAULTS),
        has_deadline: random.bool(),
        ..Configuration::standard(messages)
    }
}
