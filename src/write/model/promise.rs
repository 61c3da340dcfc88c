//! The invariants that must hold in every state.

use super::configuration::Sent;
use super::world::{Action, Table, World, apply, stored};
use crate::write::calls::NextCall;
use crate::write::{ItemIndex, ItemOutcome, MessageIndex};
use std::collections::{BTreeSet, HashSet};

/// The outcome of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Acknowledged,
    /// No retry can help, so the message goes to the quarantine queue.
    Rejected,
    Returned,
    /// The message is returned, and stays invisible until none of its writes can take effect any more.
    ReturnedLate,
}

/// Checks the promises in a state, given the steps that are possible in it.
pub(super) fn check(world: &World<'_>, actions: &[Action]) -> Result<(), String> {
    if !world.is_over {
        let is_stuck = actions.iter().all(|action| matches!(action, Action::Deadline | Action::ApplyLate(_)));
        return if is_stuck { Err("nothing can happen any more".into()) } else { Ok(()) };
    }
    let fates = fates(world)?;
    isolation(world, &fates)?;
    durability(world, &fates)?;
    redelivery(world, &fates)
}

/// Checks that a call has items of one table with distinct keys, and that in a FIFO queue nothing is sent before its
/// predecessors.
pub(super) fn call_is_allowed(world: &World<'_>, call: &NextCall) -> Result<(), String> {
    let records: Vec<_> = call.items.iter().map(|item| world.records[item.get()]).collect();
    let keys: HashSet<_> = records.iter().map(|(_, record)| (record.table, record.key)).collect();
    if keys.len() != records.len() || records.is_empty() {
        return Err(format!("a call has two items of one key, or none: {call:?}"));
    }
    if records.iter().any(|(_, record)| record.table != call.table.index()) {
        return Err(format!("a call has an item of another table: {call:?}"));
    }
    if call.is_single != records[0].1.kind.is_conditional() || call.is_single && records.len() > 1 {
        return Err(format!("a conditional write is not alone: {call:?}"));
    }
    let groups = &world.configuration.groups;
    for (message, _) in &records {
        for earlier in 0..*message {
            let is_before = groups.get(earlier).is_some_and(|group| groups.get(*message) == Some(group));
            if is_before && fate(world, earlier).is_none_or(|fate| matches!(fate, Fate::Returned | Fate::ReturnedLate))
            {
                return Err(format!("message {message} is sent before {earlier} of its group is complete"));
            }
        }
    }
    Ok(())
}

/// Returns the fate of a message, or `None` while it is in progress.
fn fate(world: &World<'_>, message: usize) -> Option<Fate> {
    if message >= world.scheduler.message_count() || !world.scheduler.is_complete(MessageIndex::new(message)) {
        return None;
    }
    let Some(outcomes) = world.scheduler.outcomes(MessageIndex::new(message)) else { return Some(Fate::Returned) };
    let outcomes: Vec<_> = outcomes.collect();
    let is_late = |outcome: &&ItemOutcome| {
        matches!(outcome, ItemOutcome::Ambiguous(_) | ItemOutcome::Blocked { is_ambiguous: true, .. })
    };
    Some(if outcomes.iter().all(|outcome| outcome.is_durable()) {
        Fate::Acknowledged
    } else if outcomes.iter().any(is_late) {
        Fate::ReturnedLate
    } else if outcomes.iter().all(|outcome| outcome.lets_successors_proceed()) {
        Fate::Rejected
    } else {
        Fate::Returned
    })
}

/// Checks that every message has a fate, and returns the fates.
fn fates(world: &World<'_>) -> Result<Vec<Fate>, String> {
    let messages = 0..world.configuration.messages.len();
    let fates = messages.map(|message| fate(world, message).ok_or_else(|| format!("message {message} has no outcome")));
    let fates = fates.collect::<Result<Vec<Fate>, String>>()?;
    // the messages of a FIFO group are redelivered together, at the time of the latest of them
    let groups = &world.configuration.groups;
    let is_late = |of: &usize| (0..fates.len()).any(|other| groups[other] == *of && fates[other] == Fate::ReturnedLate);
    let together = |(message, fate): (usize, &Fate)| match fate {
        Fate::Returned if groups.get(message).is_some_and(is_late) => Fate::ReturnedLate,
        fate => *fate,
    };
    Ok(fates.iter().enumerate().map(together).collect())
}

/// Checks that a message is stored if no fault affects it, directly or through a shared key, message or group.
fn isolation(world: &World<'_>, fates: &[Fate]) -> Result<(), String> {
    if world.was_cut_off {
        return Ok(());
    }
    let mut touched: BTreeSet<usize> = world.touched.iter().copied().collect();
    let groups = &world.configuration.groups;
    loop {
        let is_near = |(index, (message, record)): (usize, &(usize, Sent))| {
            touched
                .iter()
                .any(|&other| {
                    let (theirs, their_record) = &world.records[other];
                    let is_behind = groups.get(*theirs).is_some_and(|group| groups.get(*message) == Some(group))
                        && theirs <= message;
                    (their_record.table, their_record.key) == (record.table, record.key)
                        || theirs == message
                        || is_behind
                })
                .then_some(index)
        };
        let near: Vec<usize> = world.records.iter().enumerate().filter_map(is_near).collect();
        let known = touched.len();
        touched.extend(near);
        if touched.len() == known {
            break;
        }
    }
    for (index, (message, record)) in world.records.iter().enumerate() {
        let expected = matches!(fates[*message], Fate::Acknowledged | Fate::Rejected);
        if !expected && !touched.contains(&index) {
            return Err(format!("message {message} with {record:?} is returned and shares nothing with a fault"));
        }
        let is_faulty = |(of, record): &(usize, Sent)| of == message && record.is_invalid;
        if fates[*message] == Fate::Rejected && !world.records.iter().any(is_faulty) {
            return Err(format!("message {message} is rejected without a fault of its own"));
        }
    }
    Ok(())
}

/// Checks that every acknowledged record is in the table. The table must look as if the acknowledged records, and possibly
/// some others, had been applied one after the other.
fn durability(world: &World<'_>, fates: &[Fate]) -> Result<(), String> {
    let is_optional = |record: usize| fates[world.records[record].0] != Fate::Acknowledged;
    let applicable: Vec<usize> =
        (0..world.records.len()).filter(|record| !world.records[*record].1.is_invalid).collect();
    let optional: Vec<usize> = applicable.iter().copied().filter(|record| is_optional(*record)).collect();
    for left_out in 0..1_usize << optional.len() {
        let is_left_out = |record: usize| {
            optional.iter().position(|other| *other == record).is_some_and(|place| left_out >> place & 1 == 1)
        };
        let records: Vec<usize> = applicable.iter().copied().filter(|record| !is_left_out(*record)).collect();
        if sequential(world, &records).contains(&world.table) {
            return Ok(());
        }
    }
    Err(format!("the table does not have what was acknowledged: {:?}, {fates:?}", world.table))
}

/// Checks redelivery: returned messages are delivered again in their order. After that, the table must look as if each
/// record had been applied in order, no matter when the ambiguous writes take effect.
///
/// If a returned message has several records, some of them may already be written, and redelivery writes them again. Their
/// order relative to writes that came after them is not promised, because every later message with one of their keys would
/// otherwise have to wait for the whole message. So it is sufficient if the promise holds either with these records or
/// without them.
fn redelivery(world: &World<'_>, fates: &[Fate]) -> Result<(), String> {
    let deliver = |table: &mut Table, fate: Fate, is_whole: bool| {
        for (record, (message, sent)) in world.records.iter().enumerate() {
            let is_done = world.scheduler.outcome(ItemIndex::new(record)).is_some_and(ItemOutcome::is_durable);
            if fates[*message] == fate && !sent.is_invalid && (is_whole || !is_done) {
                apply(table, &world.records, record);
            }
        }
    };
    // messages of a standard queue or of different groups have no order if they are redelivered at different times
    let returned = |fate| fates.contains(&fate);
    if returned(Fate::Returned) && returned(Fate::ReturnedLate) {
        return Ok(());
    }
    let applicable: Vec<usize> =
        (0..world.records.len()).filter(|record| !world.records[*record].1.is_invalid).collect();
    let expected = sequential(world, &applicable);
    for late in orders(&world.late) {
        let apply_late = |table: &mut Table| {
            for record in &late {
                apply(table, &world.records, *record);
            }
        };
        let after = |is_late_first: bool, is_whole: bool| {
            let mut table = world.table.clone();
            if is_late_first {
                apply_late(&mut table);
            }
            deliver(&mut table, Fate::Returned, is_whole);
            if !is_late_first {
                apply_late(&mut table);
            }
            deliver(&mut table, Fate::ReturnedLate, is_whole);
            table
        };
        for is_late_first in [true, false] {
            let tables = [true, false].map(|is_whole| after(is_late_first, is_whole));
            if !tables.iter().any(|table| expected.contains(table)) {
                return Err(format!(
                    "after redelivery the table has {tables:?} and not {expected:?}: {fates:?}, late {late:?} of {:?}",
                    (0..world.records.len())
                        .map(|item| world.scheduler.outcome(ItemIndex::new(item)))
                        .collect::<Vec<_>>()
                ));
            }
        }
    }
    Ok(())
}

/// Returns the tables that result from applying `records` one after the other, in each order that is allowed.
fn sequential(world: &World<'_>, records: &[usize]) -> Vec<Table> {
    let start = stored(world.configuration);
    let has_choice = world.configuration.is_fifo() || world.records.iter().any(|(_, record)| record.is_ordered);
    let mut tables = Vec::new();
    for order in if has_choice { orders(records) } else { vec![records.to_vec()] } {
        if order.len() < records.len() || !is_allowed(world, &order) {
            continue;
        }
        let mut table = start.clone();
        for record in order {
            apply(&mut table, &world.records, record);
        }
        if !tables.contains(&table) {
            tables.push(table);
        }
    }
    tables
}

/// Returns whether records may be applied in this order. It must be the order of the event, with two exceptions. Records of
/// different FIFO groups have no order. If the versions of two records follow the order of the messages, the older may be
/// applied first.
fn is_allowed(world: &World<'_>, order: &[usize]) -> bool {
    let may_go_first = |later: usize, earlier: usize| {
        let [(message, one), (other_message, other)] = [later, earlier].map(|record| world.records[record]);
        let groups = &world.configuration.groups;
        let is_older = one.is_ordered && other.is_ordered && one.version < other.version;
        // records with different keys may be applied in either order
        is_older || (one.table, one.key) != (other.table, other.key) || groups.get(message) != groups.get(other_message)
    };
    order
        .iter()
        .enumerate()
        .all(|(place, &one)| order[place..].iter().all(|&other| other >= one || may_go_first(one, other)))
}

/// Returns all permutations of all subsets.
fn orders(of: &[usize]) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for place in 0..of.len() {
        let mut others = of.to_vec();
        let first = others.remove(place);
        all.extend(orders(&others).into_iter().map(|rest| [vec![first], rest].concat()));
    }
    all.sort();
    all.dedup();
    all
}
