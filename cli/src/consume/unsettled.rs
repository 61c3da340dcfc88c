//! The messages that a run to the end of the queue has not stored.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Maximum number of message ids in the log.
const MAX_NAMED: usize = 10;

/// The messages that were received and are not stored so far.
#[derive(Default)]
pub(super) struct Unsettled(Mutex<State>);

#[derive(Default)]
struct State {
    ids: BTreeSet<String>,
    /// Receipt handles of those that the handler has left to their visibility timeout.
    hidden: Vec<String>,
    /// Cause of the last batch that was not stored as a whole.
    cause: Option<String>,
}

impl Unsettled {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds messages that are not stored.
    pub(super) fn add<'a>(&self, ids: impl Iterator<Item = &'a str>) {
        self.state().ids.extend(ids.map(str::to_owned));
    }

    /// Adds the messages of a batch that was not stored as a whole, each with its receipt handle, and keeps them to be released.
    pub(super) fn add_batch<'a>(&self, messages: impl Iterator<Item = (&'a str, &'a str)>, cause: &str) {
        let mut state = self.state();
        for (id, handle) in messages {
            state.ids.insert(id.to_owned());
            state.hidden.push(handle.to_owned());
        }
        state.cause = Some(cause.to_owned());
    }

    /// Takes out messages that are stored, maybe after an earlier receive that failed.
    pub(super) fn settle<'a>(&self, ids: impl Iterator<Item = &'a str>) {
        let mut state = self.state();
        for id in ids {
            state.ids.remove(id);
        }
    }

    /// Gives the receipt handles to be released.
    pub(super) fn hidden(&self) -> Vec<String> {
        std::mem::take(&mut self.state().hidden)
    }

    /// Logs what is not stored. True if there is nothing.
    pub(super) fn report(&self) -> bool {
        let State { ids, cause, .. } = &*self.state();
        if ids.is_empty() {
            return true;
        }
        let named: Vec<&str> = ids.iter().take(MAX_NAMED).map(String::as_str).collect();
        let (messages, cause) = (named.join(", "), cause.as_deref().unwrap_or("each has its reason in the log"));
        tracing::error!(count = ids.len(), messages, cause, "not every message is stored");
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_stored_at_a_later_receive_is_settled() {
        let unsettled = Unsettled::default();
        unsettled.add(["a", "b"].into_iter());
        unsettled.settle(["a", "c"].into_iter());
        assert!(!unsettled.report(), "b is not stored");
        unsettled.settle(["b"].into_iter());
        assert!(unsettled.report());
        unsettled.add_batch([("d", "handle")].into_iter(), "no table");
        assert_eq!(
            (unsettled.hidden(), unsettled.hidden().len(), unsettled.report()),
            (vec!["handle".to_owned()], 0, false)
        );
    }
}
