//! What must hold in every state.

use super::configuration::Sent;
use super::world::{Action, Table, World, apply, stored};
use crate::write::calls::NextCall;
use crate::write::{ItemIndex, ItemOutcome, MessageIndex};
use std::collections::{BTreeSet, HashSet};

/// What became of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Acknowledged,
    /// No retry can help: it goes to the quarantine queue.
    Rejected,
    Returned,
    /// It is returned, and stays out of sight until no write can take effect any more.
    ReturnedLate,
}

/// Checks a state, given the steps that are possible in it.
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

/// A call has items of one table with distinct keys, and in a FIFO queue nothing is sent before what precedes it.
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

/// The fate of a message. `None` while it is under way.
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

/// Every item has an outcome, and every message a fate.
fn fates(world: &World<'_>) -> Result<Vec<Fate>, String> {
    let messages = 0..world.configuration.messages.len();
    let fates = messages.map(|message| fate(world, message).ok_or_else(|| format!("message {message} has no outcome")));
    let fates = fates.collect::<Result<Vec<Fate>, String>>()?;
    // the messages of a FIFO group come back together, when the last of them may
    let groups = &world.configuration.groups;
    let is_late = |of: &usize| (0..fates.len()).any(|other| groups[other] == *of && fates[other] == Fate::ReturnedLate);
    let together = |(message, fate): (usize, &Fate)| match fate {
        Fate::Returned if groups.get(message).is_some_and(is_late) => Fate::ReturnedLate,
        fate => *fate,
    };
    Ok(fates.iter().enumerate().map(together).collect())
}

/// A message that shares nothing with a fault is stored.
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

/// What is acknowledged is in the table: the table is as if the acknowledged records, and perhaps some others, had been applied
/// one after the other.
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

/// What is returned is delivered again, in its order. Once all is delivered, the table is as if each record had been applied in
/// order, whenever the late writes take effect.
///
/// A returned message of several records brings those again that were written already. Their order with what was written after
/// them is not promised: to hold it, every later message of their keys would have to wait for the whole message. So the promise
/// holds if it holds with them or without them.
fn redelivery(world: &World<'_>, fates: &[Fate]) -> Result<(), String> {
    let deliver = |table: &mut Table, fate: Fate, is_whole: bool| {
        for (record, (message, sent)) in world.records.iter().enumerate() {
            let is_done = world.scheduler.outcome(ItemIndex::new(record)).is_some_and(ItemOutcome::is_durable);
            if fates[*message] == fate && !sent.is_invalid && (is_whole || !is_done) {
                apply(table, &world.records, record);
            }
        }
    };
    // Messages of a standard queue, or of two groups, that come back at different times have no order.
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

/// The tables that records leave which are applied one after the other, in an order that is allowed.
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

/// Returns whether records may be applied in this order: that of the event, but for two of different FIFO groups, which have no
/// order, and for two whose version is the order of the messages. The older of these two may go first.
fn is_allowed(world: &World<'_>, order: &[usize]) -> bool {
    let may_go_first = |later: usize, earlier: usize| {
        let [(message, one), (other_message, other)] = [later, earlier].map(|record| world.records[record]);
        let groups = &world.configuration.groups;
        let is_older = one.is_ordered && other.is_ordered && one.version < other.version;
        // the order of two keys makes no difference
        is_older || (one.table, one.key) != (other.table, other.key) || groups.get(message) != groups.get(other_message)
    };
    order
        .iter()
        .enumerate()
        .all(|(place, &one)| order[place..].iter().all(|&other| other >= one || may_go_first(one, other)))
}

/// Every order of every subset.
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
