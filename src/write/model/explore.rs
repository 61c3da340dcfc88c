//! Visits every state that can be reached from an event.

use super::configuration::Configuration;
use super::promise;
use super::world::{Action, World};
use crate::write::flaw::Flaw;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What came of an exploration.
#[derive(Debug)]
pub(super) enum Explored {
    /// Every promise holds in each of so many states.
    Holds { states: usize },
    /// A promise is broken after these steps.
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
        let mut next = world.clone();
        let stepped = catch_unwind(AssertUnwindSafe(|| {
            let call = next.step(action);
            next.scheduler.check();
            call
        }));
        let Ok(call) = stepped else {
            let steps = path.iter().filter_map(|(_, _, action)| *action).chain([action]);
            let trace = steps.map(|action| format!("{action:?}")).collect();
            return Explored::Broken { promise: "the scheduler panicked, or an index is wrong".to_owned(), trace };
        };
        let is_new = seen.insert(next.digest());
        let actions = if is_new { next.actions() } else { Vec::new() };
        let is_allowed = call.map_or(Ok(()), |call| promise::call_is_allowed(world, &call));
        let holds = is_allowed.and_then(|()| if is_new { promise::check(&next, &actions) } else { Ok(()) });
        if let Err(promise) = holds {
            let steps = path.iter().filter_map(|(_, _, action)| *action).chain([action]);
            return Explored::Broken { promise, trace: steps.map(|action| format!("{action:?}")).collect() };
        }
        if is_new {
            path.push((next, actions, Some(action)));
        }
    }
    Explored::Holds { states: seen.len() }
}
