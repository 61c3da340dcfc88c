//! One execution environment: the queue of invocations that wait for its process, the invocations in flight, and their outcome
//! when the process ends. The process and the HTTP server are in other modules and call into this one.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::num::NonZero;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::{Exit, InitError, Invocation, Outcome};

/// An invocation that has not been assigned to a process yet.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) request_id: String,
    pub(super) payload: Bytes,
    pub(super) timeout: Duration,
    pub(super) reply: oneshot::Sender<Invocation>,
}

impl Pending {
    /// Ends the invocation with `outcome`, without running it.
    pub(super) fn end(self, outcome: Outcome) {
        let invocation = Invocation { request_id: self.request_id, outcome, duration: Duration::ZERO };
        // the caller may have stopped waiting
        let _ = self.reply.send(invocation);
    }
}

/// The response to a process's request for its next event.
#[derive(Debug)]
pub(super) struct Assignment {
    pub(super) request_id: String,
    pub(super) payload: Bytes,
    pub(super) timeout: Duration,
}

#[derive(Debug)]
struct InFlight {
    reply: oneshot::Sender<Invocation>,
    started: Instant,
    deadline: Instant,
}

/// Stage in the life of the process.
#[derive(Debug)]
enum Stage {
    /// It has not requested an event yet.
    Starting(Option<oneshot::Sender<Result<(), InitError>>>),
    /// It requested its first event this long after its start.
    Ready(Duration),
    /// It reported that it failed to initialize.
    Failed { error_type: String, message: String, waiter: Option<oneshot::Sender<Result<(), InitError>>> },
    /// It is about to end, or has ended. New invocations are refused.
    Ended,
}

#[derive(Debug)]
struct EnvironmentState {
    stage: Stage,
    waiting: VecDeque<Pending>,
    pollers: VecDeque<oneshot::Sender<Assignment>>,
    in_flight: HashMap<String, InFlight>,
}

/// Assigns invocations to the polls of one process.
#[derive(Debug)]
pub(super) struct Environment {
    state: Mutex<EnvironmentState>,
    exclusive: bool,
    started: Instant,
    assigned: Notify,
    kill: Notify,
}

impl Environment {
    /// Creates an environment whose process starts at `started`. `waiter` receives the result of the initialization.
    pub(super) fn new(
        max_concurrency: NonZero<u32>,
        started: Instant,
        waiter: Option<oneshot::Sender<Result<(), InitError>>>,
    ) -> Self {
        let state = EnvironmentState {
            stage: Stage::Starting(waiter),
            waiting: VecDeque::new(),
            pollers: VecDeque::new(),
            in_flight: HashMap::new(),
        };
        let exclusive = max_concurrency.get() == 1;
        Self { state: Mutex::new(state), exclusive, started, assigned: Notify::new(), kill: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, EnvironmentState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues an invocation, or returns it if the process has ended.
    pub(super) fn submit(&self, pending: Pending, now: Instant) -> Result<(), Pending> {
        let mut state = self.state();
        if matches!(state.stage, Stage::Ended) {
            return Err(pending);
        }
        state.waiting.push_back(pending);
        self.assign(&mut state, now);
        Ok(())
    }

    /// Registers a request of the process for its next event.
    pub(super) fn poll(&self, now: Instant) -> oneshot::Receiver<Assignment> {
        let (poller, assignment) = oneshot::channel();
        let mut state = self.state();
        if let Stage::Starting(waiter) = &mut state.stage {
            if let Some(waiter) = waiter.take() {
                let _ = waiter.send(Ok(()));
            }
            state.stage = Stage::Ready(now - self.started);
        }
        state.pollers.push_back(poller);
        self.assign(&mut state, now);
        assignment
    }

    /// Completes the invocation `request_id` with the process's response or error. Returns `false` if it is not in flight.
    pub(super) fn finish(&self, request_id: &str, outcome: Outcome, now: Instant) -> bool {
        let finished = self.state().in_flight.remove(request_id);
        let known = finished.is_some();
        if let Some(in_flight) = finished {
            in_flight.end(request_id.to_owned(), outcome, now);
        }
        known
    }

    /// Ends each invocation when its timeout expires, as long as this future is polled. On Lambda, a timeout also ends the
    /// process. On Managed Instances, it only fails the invocation.
    pub(super) async fn expire(&self) -> Infallible {
        loop {
            let next = self.state().in_flight.values().map(|in_flight| in_flight.deadline).min();
            let Some(deadline) = next else {
                self.assigned.notified().await;
                continue;
            };
            tokio::select! {
                () = tokio::time::sleep_until(deadline) => self.expire_until(deadline),
                () = self.assigned.notified() => {}
            }
        }
    }

    fn expire_until(&self, now: Instant) {
        let mut state = self.state();
        let expired: Vec<_> = state.in_flight.extract_if(|_, in_flight| in_flight.deadline <= now).collect();
        if self.exclusive && !expired.is_empty() {
            state.stage = Stage::Ended;
            self.kill();
        }
        for (request_id, in_flight) in expired {
            in_flight.end(request_id, Outcome::TimedOut, now);
        }
    }

    /// Records an initialization error that the process reports, and ends the process.
    pub(super) fn fail_init(&self, error_type: String, message: String) {
        let mut state = self.state();
        if let Stage::Starting(waiter) = &mut state.stage {
            let waiter = waiter.take();
            state.stage = Stage::Failed { error_type, message, waiter };
            self.kill();
        }
    }

    /// Returns the time from the start of the process to its first poll. `None` unless it has completed initialization.
    pub(super) fn init_duration(&self) -> Option<Duration> {
        match self.state().stage {
            Stage::Ready(duration) => Some(duration),
            _ => None,
        }
    }

    /// Returns whether the process is still initializing.
    pub(super) fn is_starting(&self) -> bool {
        matches!(self.state().stage, Stage::Starting(_))
    }

    /// Returns the number of invocations in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.state().in_flight.len()
    }

    /// Requests the end of the process.
    pub(super) fn kill(&self) {
        self.kill.notify_one();
    }

    /// Waits for a request to kill the process.
    pub(super) async fn killed(&self) {
        self.kill.notified().await;
    }

    /// Records the end of the process. `out_of_time` means that it was killed because its initialization took too long.
    /// Invocations in flight fail. If the process never finished initializing, the waiting invocations fail too. Otherwise they
    /// are returned, to be run by the next process.
    #[must_use]
    pub(super) fn end(&self, exit: &Exit, out_of_time: bool, now: Instant) -> Vec<Pending> {
        let mut state = self.state();
        state.pollers.clear();
        for (request_id, in_flight) in state.in_flight.drain() {
            in_flight.end(request_id, Outcome::Crashed(exit.clone()), now);
        }
        let waiting: Vec<_> = state.waiting.drain(..).collect();
        match std::mem::replace(&mut state.stage, Stage::Ended) {
            Stage::Ready(_) | Stage::Ended => waiting,
            Stage::Failed { error_type, message, waiter } => {
                let outcome = Outcome::Error { error_type: error_type.clone(), message: message.clone() };
                waiting.into_iter().for_each(|pending| pending.end(outcome.clone()));
                tell(waiter, InitError::Reported { error_type, message, stderr: exit.stderr.clone() });
                Vec::new()
            }
            Stage::Starting(waiter) => {
                waiting.into_iter().for_each(|pending| pending.end(Outcome::Crashed(exit.clone())));
                let exit = exit.clone();
                tell(waiter, if out_of_time { InitError::TimedOut(exit) } else { InitError::Exited(exit) });
                Vec::new()
            }
        }
    }

    /// Assigns waiting invocations to waiting polls. Polls whose connection has closed are skipped.
    fn assign(&self, state: &mut EnvironmentState, now: Instant) {
        while !state.waiting.is_empty()
            && let Some(poller) = state.pollers.pop_front()
        {
            let Some(Pending { request_id, payload, timeout, reply }) = state.waiting.pop_front() else { return };
            match poller.send(Assignment { request_id: request_id.clone(), payload, timeout }) {
                Ok(()) => {
                    state.in_flight.insert(request_id, InFlight { reply, started: now, deadline: now + timeout });
                    self.assigned.notify_one();
                }
                Err(Assignment { request_id, payload, timeout }) => {
                    state.waiting.push_front(Pending { request_id, payload, timeout, reply });
                }
            }
        }
    }
}

impl InFlight {
    fn end(self, request_id: String, outcome: Outcome, now: Instant) {
        // the caller may have stopped waiting
        let _ = self.reply.send(Invocation { request_id, outcome, duration: now - self.started });
    }
}

fn tell(waiter: Option<oneshot::Sender<Result<(), InitError>>>, error: InitError) {
    if let Some(waiter) = waiter {
        let _ = waiter.send(Err(error));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);

    fn environment(max_concurrency: u32) -> (Environment, Instant) {
        let now = crate::clock::now();
        (Environment::new(NonZero::new(max_concurrency).unwrap(), now, None), now)
    }

    fn pending(request_id: &str) -> (Pending, oneshot::Receiver<Invocation>) {
        let (reply, invocation) = oneshot::channel();
        (Pending { request_id: request_id.to_owned(), payload: Bytes::new(), timeout: TIMEOUT, reply }, invocation)
    }

    fn submit(environment: &Environment, request_id: &str, now: Instant) -> oneshot::Receiver<Invocation> {
        let (pending, invocation) = pending(request_id);
        environment.submit(pending, now).unwrap();
        invocation
    }

    const EXIT: Exit = Exit { status: None, stderr: Vec::new() };

    #[test]
    fn what_was_assigned_crashes_with_the_process_and_what_waits_is_given_back() {
        let (environment, now) = environment(1);
        let mut first = submit(&environment, "first", now);
        let mut second = submit(&environment, "second", now);
        let mut assignment = environment.poll(now + Duration::from_millis(5));
        assert_eq!(assignment.try_recv().unwrap().request_id, "first");
        assert_eq!(environment.init_duration(), Some(Duration::from_millis(5)));

        let orphans = environment.end(&EXIT, false, now + Duration::from_millis(25));
        assert_eq!(orphans.iter().map(|pending| pending.request_id.as_str()).collect::<Vec<_>>(), ["second"]);
        let crashed = first.try_recv().unwrap();
        assert!(matches!(crashed.outcome, Outcome::Crashed(_)));
        assert_eq!(crashed.duration, Duration::from_millis(20));
        assert!(second.try_recv().is_err());
        assert!(environment.submit(pending("third").0, now).is_err());
    }

    #[test]
    fn a_process_that_never_came_up_fails_what_waits_for_it() {
        let (environment, now) = environment(1);
        let mut waiting = submit(&environment, "first", now);
        assert!(environment.end(&EXIT, false, now).is_empty());
        assert!(matches!(waiting.try_recv().unwrap().outcome, Outcome::Crashed(_)));

        let (environment, now) = self::environment(1);
        let mut waiting = submit(&environment, "first", now);
        environment.fail_init("Config".to_owned(), "missing".to_owned());
        assert!(environment.end(&EXIT, false, now).is_empty());
        let outcome = waiting.try_recv().unwrap().outcome;
        assert!(matches!(outcome, Outcome::Error { error_type, .. } if error_type == "Config"));
    }

    #[test]
    fn a_poll_whose_connection_is_gone_gets_no_event() {
        let (environment, now) = environment(2);
        drop(environment.poll(now));
        let mut alive = environment.poll(now);
        let _invocation = submit(&environment, "first", now);
        assert_eq!(alive.try_recv().unwrap().request_id, "first");
    }

    #[test]
    fn only_what_is_in_flight_can_be_finished_and_once() {
        let (environment, now) = environment(1);
        let mut invocation = submit(&environment, "first", now);
        assert!(!environment.finish("first", Outcome::TimedOut, now));
        let _assignment = environment.poll(now);
        assert!(environment.finish("first", Outcome::Response(Bytes::new()), now));
        assert!(!environment.finish("first", Outcome::TimedOut, now));
        assert!(matches!(invocation.try_recv().unwrap().outcome, Outcome::Response(_)));
    }

    #[test]
    fn a_timeout_ends_an_exclusive_environment_and_leaves_a_shared_one() {
        for (max_concurrency, accepts) in [(1, false), (2, true)] {
            let (environment, now) = environment(max_concurrency);
            let mut invocation = submit(&environment, "first", now);
            let _assignment = environment.poll(now);
            environment.expire_until(now + TIMEOUT - Duration::from_nanos(1));
            assert!(invocation.try_recv().is_err());
            environment.expire_until(now + TIMEOUT);
            assert!(matches!(invocation.try_recv().unwrap().outcome, Outcome::TimedOut));
            assert_eq!(environment.submit(pending("second").0, now).is_ok(), accepts);
        }
    }
}
