//! The messages that a run has received and neither deleted nor released, and the task that extends their visibility timeouts.

use super::interrupt::Interrupt;
use crate::queue::{MAX_CALL_MESSAGES, Queue};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout};

/// Maximum number of concurrent calls that extend or release messages. At 50 ms per call, 100,000 messages are extended in
/// about a minute.
const CALLS_IN_FLIGHT: usize = 8;
/// Minimum interval between checks for messages that are due.
const MIN_TICK: Duration = Duration::from_millis(100);
/// Number of consecutive failed calls after which no more messages are released. The rest become visible when their timeout
/// ends.
const MAX_FAILED_RELEASES: usize = 3;

/// Received messages by message id.
#[derive(Debug)]
pub(super) struct Held {
    visibility: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    by_id: HashMap<String, Entry>,
    /// All messages, ordered by the end of their visibility timeout.
    by_end: BTreeSet<(Instant, String)>,
    /// Latest error of a call that extends timeouts.
    failure: Option<String>,
}

#[derive(Debug)]
struct Entry {
    receipt_handle: String,
    ends: Instant,
}

impl State {
    fn set_end(&mut self, id: &str, ends: Instant) {
        if let Some(entry) = self.by_id.get_mut(id) {
            self.by_end.remove(&(entry.ends, id.to_owned()));
            entry.ends = ends;
            self.by_end.insert((ends, id.to_owned()));
        }
    }
}

impl Held {
    /// Creates an empty set. Messages are received with the visibility timeout `visibility`.
    pub(super) fn new(visibility: Duration) -> Self {
        Self { visibility, state: Mutex::default() }
    }

    pub(super) fn visibility(&self) -> Duration {
        self.visibility
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a message received by a call that started at `asked`. Returns whether the message was already held. In this case
    /// only its receipt handle is updated.
    pub(super) fn insert(&self, id: &str, receipt_handle: &str, asked: Instant) -> bool {
        let mut state = self.state();
        let ends = asked + self.visibility;
        let is_held = state.by_id.contains_key(id);
        let entry = state.by_id.entry(id.to_owned()).or_insert_with(|| Entry { receipt_handle: String::new(), ends });
        entry.receipt_handle = receipt_handle.to_owned();
        state.set_end(id, ends);
        is_held
    }

    /// Removes a message that was deleted.
    pub(super) fn remove(&self, id: &str) {
        let mut state = self.state();
        if let Some(entry) = state.by_id.remove(id) {
            state.by_end.remove(&(entry.ends, id.to_owned()));
        }
    }

    /// Returns the latest receipt handle of a message.
    pub(super) fn receipt_handle(&self, id: &str) -> Option<String> {
        self.state().by_id.get(id).map(|entry| entry.receipt_handle.clone())
    }

    /// Returns the reason why timeouts could not be extended.
    pub(super) fn failure(&self) -> Option<String> {
        self.state().failure.clone()
    }

    pub(super) fn len(&self) -> usize {
        self.state().by_id.len()
    }

    /// Returns the messages of which at `now` at least half of the visibility timeout has elapsed, in calls of at most ten.
    fn due(&self, now: Instant) -> Vec<Vec<(String, String)>> {
        let state = self.state();
        let due = state.by_end.iter().take_while(|(ends, _)| *ends <= now + self.visibility / 2);
        let due: Vec<_> =
            due.filter_map(|(_, id)| Some((id.clone(), state.by_id.get(id)?.receipt_handle.clone()))).collect();
        due.chunks(MAX_CALL_MESSAGES).map(<[_]>::to_vec).collect()
    }

    /// Records the result of a call at `asked` that extended messages. Messages in `failed` are due again after a quarter of
    /// the timeout.
    fn extended(&self, call: &[(String, String)], failed: &[String], asked: Instant) {
        let mut state = self.state();
        for (id, handle) in call {
            // as if extended to three quarters, so that a failed message is due after a quarter of the timeout
            let ends = if failed.contains(handle) { asked + self.visibility * 3 / 4 } else { asked + self.visibility };
            state.set_end(id, ends);
        }
    }

    /// Makes all held messages visible, and returns the number of failures.
    pub(super) async fn release(&self, from: &Arc<Queue>, interrupt: &Interrupt) -> usize {
        let handles: Vec<String> = self.state().by_id.values().map(|entry| entry.receipt_handle.clone()).collect();
        let mut calls = handles.chunks(MAX_CALL_MESSAGES);
        let (mut running, mut left, mut failures) = (JoinSet::new(), handles.len(), 0);
        loop {
            while running.len() < CALLS_IN_FLIGHT && failures < MAX_FAILED_RELEASES {
                let Some(handles) = calls.next() else { break };
                let (from, handles, interrupt) = (Arc::clone(from), handles.to_vec(), interrupt.clone());
                running.spawn(async move {
                    let failed = interrupt.grace(from.change_visibility(&handles, 0)).await?.ok()?;
                    Some(handles.len() - failed.len())
                });
            }
            match running.join_next().await {
                None => return left,
                Some(Ok(Some(released))) => {
                    left -= released;
                    failures = 0;
                }
                Some(_) => failures += 1,
            }
        }
    }
}

/// Background task that extends the visibility timeouts of held messages.
pub(super) struct Keeper {
    task: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

impl Keeper {
    pub(super) fn start(held: Arc<Held>, from: Arc<Queue>) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        let seconds = u32::try_from(held.visibility.as_secs()).unwrap_or(u32::MAX);
        let tick = (held.visibility / 10).max(MIN_TICK);
        let task = tokio::spawn(async move {
            while timeout(tick, stopped.wait_for(|stopped| *stopped)).await.is_err() {
                let mut calls = held.due(local::clock::now()).into_iter();
                let mut running = JoinSet::new();
                loop {
                    while running.len() < CALLS_IN_FLIGHT && !*stopped.borrow() {
                        let Some(call) = calls.next() else { break };
                        let (held, from) = (Arc::clone(&held), Arc::clone(&from));
                        running.spawn(async move {
                            let handles: Vec<String> = call.iter().map(|(_, handle)| handle.clone()).collect();
                            let asked = local::clock::now();
                            match from.change_visibility(&handles, seconds).await {
                                Ok(failed) => held.extended(&call, &failed, asked),
                                Err(error) => held.state().failure = Some(error.to_string()),
                            }
                        });
                    }
                    if running.join_next().await.is_none() {
                        break;
                    }
                }
            }
        });
        Self { task, stop }
    }

    /// Stops the task and waits for its calls in flight. A call that takes effect later would hide messages that were just
    /// released.
    pub(super) async fn stop(self, interrupt: &Interrupt) {
        self.stop.send_replace(true);
        let abort = self.task.abort_handle();
        if interrupt.grace(self.task).await.is_none() {
            abort.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(calls: Vec<Vec<(String, String)>>) -> Vec<Vec<String>> {
        calls.into_iter().map(|call| call.into_iter().map(|(id, _)| id).collect()).collect()
    }

    #[test]
    fn a_message_is_due_when_half_of_its_timeout_is_over_and_again_after_its_extension() {
        let (held, start) = (Held::new(Duration::from_secs(120)), local::clock::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(!held.insert("a", "ra", start));
        assert!(!held.insert("b", "rb", after(10)));
        assert_eq!(ids(held.due(after(59))), Vec::<Vec<String>>::new());
        assert_eq!(ids(held.due(after(60))), [["a"]]);
        let call = held.due(after(70)).remove(0);
        assert_eq!(call.len(), 2);
        held.extended(&call, &["rb".to_owned()], after(70));
        assert_eq!(ids(held.due(after(99))), Vec::<Vec<String>>::new());
        assert_eq!(ids(held.due(after(100))), [["b"]], "the extension of b failed");
        assert_eq!(ids(held.due(after(130))), [["b", "a"]]);
        held.remove("b");
        assert!(held.insert("a", "new", after(200)));
        assert_eq!((held.len(), held.receipt_handle("a").as_deref()), (1, Some("new")));
        assert_eq!(ids(held.due(after(259))), Vec::<Vec<String>>::new());
    }

    #[test]
    fn a_call_extends_at_most_ten() {
        let (held, start) = (Held::new(Duration::from_secs(2)), local::clock::now());
        assert!((0..21).all(|number| !held.insert(&number.to_string(), "r", start)));
        assert_eq!(held.due(start + Duration::from_secs(1)).iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 1]);
    }
}
