//! Visits every state that is reachable from an event.

use super::configuration::Configuration;
use super::promise;
use super::world::{Action, World};
use crate::write::flaw::Flaw;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The result of an exploration.
#[derive(Debug)]
pub(super) enum Explored {
    /// Every promise holds in all `states` states.
    Holds { states: usize },
    /// The promise is broken after the steps of `trace`.
    Broken { promise: String, trace: Vec<String> },
}

/// Explores every interleaving of one event, depth first.
pub(super) fn explore(configuration: &Configuration, flaw: Option<Flaw>) -> Explored {
    let start = World::new(configuration, flaw);
    let mut seen = HashSet::from([start.digest()]);
    let mut path: Vec<(World<'_>, Vec<Action>, Option<Action>)> = vec![(start.clone(), start.actions(), None)];
    while let Some((world, actions, _)) = path.last_mut() {
        let Some(action) = actions.pop() else {
            path.pop();
            continue;
        };
        let next = match step(world, action) {
            Ok(next) => next,
            Err(promise) => return broken(promise, &path, action),
        };
        let is_new = seen.insert(next.digest());
        let actions = if is_new { next.actions() } else { Vec::new() };
        if is_new && let Err(promise) = promise::check(&next, &actions) {
            return broken(promise, &path, action);
        }
        if is_new {
            path.push((next, actions, Some(action)));
        }
    }
    Explored::Holds { states: seen.len() }
}

/// Takes one step from `world`.
///
/// # Errors
/// Returns the promise that the step itself breaks.
pub(super) fn step<'c>(world: &World<'c>, action: Action) -> Result<World<'c>, String> {
    let stepped = catch_unwind(AssertUnwindSafe(|| {
        let mut next = world.clone();
        let call = next.step(action);
        next.scheduler.check();
        (next, call)
    }));
    let (next, call) = stepped.map_err(|_| "the scheduler panicked, or an index is wrong".to_owned())?;
    call.map_or(Ok(()), |call| promise::call_is_allowed(world, &call))?;
    Ok(next)
}

fn broken(promise: String, path: &[(World<'_>, Vec<Action>, Option<Action>)], last: Action) -> Explored {
    let steps = path.iter().filter_map(|(_, _, action)| *action).chain([last]);
    Explored::Broken { promise, trace: steps.map(|action| format!("{action:?}")).collect() }
}
