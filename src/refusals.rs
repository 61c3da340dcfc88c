//! Collects the errors of a queue during an invocation, to log each cause once regardless of the number of messages.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Causes of errors, each with its count. Clones share the counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refusals(Arc<Mutex<BTreeMap<Cow<'static, str>, usize>>>);

impl Refusals {
    /// Counts `count` messages or calls that failed for `cause`.
    pub(crate) fn add(&self, cause: impl Into<Cow<'static, str>>, count: usize) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(cause.into()).or_default() += count;
    }

    /// Calls `write` once for each cause with its count, and clears the counts.
    pub(crate) fn log(&self, write: impl Fn(&str, usize)) {
        let causes = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        causes.iter().for_each(|(cause, count)| write(cause, *count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn each_cause_is_said_once_with_its_count() {
        let refusals = Refusals::default();
        let other = refusals.clone();
        refusals.add("throttled", 10);
        other.add("throttled", 1);
        other.add("denied", 2);
        let lines = RefCell::new(Vec::new());
        let write = |cause: &str, count| lines.borrow_mut().push(format!("{cause} {count}"));
        refusals.log(write);
        refusals.log(write);
        assert_eq!(*lines.borrow(), ["denied 2", "throttled 11"]);
    }
}
