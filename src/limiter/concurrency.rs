//! Permits for write calls. The limit is divided fairly among the invocations: [`Shares`] decides whose turn it is.
//!
//! A waiter requests its permit each time it is polled, and no permit is assigned in advance. Therefore a dropped waiter
//! holds no permit, and a limit below the number of calls in flight needs no bookkeeping. Every change wakes the waiters
//! that may start a call now.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::aimd::{AimdLimit, CallOutcome, Sample, State};
use super::shares::{HolderId, Shares, Ticket};

/// Limits the write calls of all invocations of the process. Clones share the limit, and their calls count as calls of the
/// same invocation.
#[derive(Debug, Clone)]
pub struct ConcurrencyLimiter {
    shared: Arc<LimiterState>,
    holder: HolderId,
}

#[derive(Debug)]
struct LimiterState {
    aimd: AimdLimit,
    origin: Instant,
    load: Mutex<Load>,
}

#[derive(Debug)]
struct Load {
    state: State,
    shares: Shares<Waker>,
    next_holder: u64,
}

impl ConcurrencyLimiter {
    /// Creates a limiter without calls in flight. `now` is any instant before the first call.
    pub fn new(aimd: AimdLimit, now: Instant) -> Self {
        let load = Load { state: aimd.start(), shares: Shares::default(), next_holder: 1 };
        let shared = Arc::new(LimiterState { aimd, origin: now, load: Mutex::new(load) });
        Self { shared, holder: HolderId(0) }
    }

    /// Returns a limiter for another invocation. It shares the limit, and gets its own share of it.
    #[must_use]
    pub fn for_invocation(&self) -> Self {
        let mut load = self.shared.load();
        let holder = HolderId(load.next_holder);
        load.next_holder += 1;
        drop(load);
        Self { shared: Arc::clone(&self.shared), holder }
    }

    /// Waits until a call may start. It is cancel safe: a dropped waiter does not delay any other.
    pub fn acquire(&self) -> impl Future<Output = Permit> + Unpin + '_ {
        Acquire { limiter: self, ticket: None }
    }

    /// Returns a permit if a call may start now and no other waiter has precedence.
    pub fn try_acquire(&self) -> Option<Permit> {
        let mut acquire = Acquire { limiter: self, ticket: None };
        match Pin::new(&mut acquire).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(permit) => Some(permit),
            Poll::Pending => None,
        }
    }

    /// Returns the maximum number of calls in flight. In addition, each invocation may always have a first call in flight.
    pub fn limit(&self) -> usize {
        self.shared.load().state.limit()
    }

    /// Returns the number of calls in flight. It may exceed the limit temporarily after a decrease, or because of the first
    /// calls of invocations.
    pub fn in_flight(&self) -> usize {
        self.shared.load().shares.in_flight()
    }
}

/// A future that waits for a permit.
struct Acquire<'l> {
    limiter: &'l ConcurrencyLimiter,
    /// The position in the queue, after the first poll.
    ticket: Option<Ticket>,
}

impl Future for Acquire<'_> {
    type Output = Permit;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Permit> {
        let ConcurrencyLimiter { shared, holder } = self.limiter;
        let mut load = shared.load();
        let ticket = self.ticket.unwrap_or_else(|| load.shares.enter(*holder));
        self.ticket = Some(ticket);
        let limit = load.state.limit();
        if !load.shares.start(ticket, limit) {
            load.shares.wake_by(ticket, context.waker().clone());
            return Poll::Pending;
        }
        self.ticket = None;
        let permit = Permit { shared: Arc::clone(shared), holder: *holder, in_flight: load.shares.in_flight() };
        load.wake();
        Poll::Ready(permit)
    }
}

impl Drop for Acquire<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let mut load = self.limiter.shared.load();
            load.shares.leave(ticket);
            load.wake();
        }
    }
}

/// Waits until a call may start at one of `limiters`. Returns the key of that limiter and the permit. Never completes if
/// `limiters` is empty.
pub(crate) async fn any_permit<'l, K: Copy>(
    limiters: impl Iterator<Item = (K, &'l ConcurrencyLimiter)>,
) -> (K, Permit) {
    let mut waiting: Vec<_> = limiters.map(|(key, limiter)| (key, limiter.acquire())).collect();
    poll_fn(|context| {
        let ready = waiting.iter_mut().find_map(|(key, permit)| match Pin::new(permit).poll(context) {
            Poll::Ready(permit) => Some((*key, permit)),
            Poll::Pending => None,
        });
        ready.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

impl LimiterState {
    fn load(&self) -> MutexGuard<'_, Load> {
        self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Load {
    /// Wakes the waiters that may start a call now. Waking only marks a task as ready, so it is safe while the lock is
    /// locked.
    fn wake(&mut self) {
        self.shares.wakers(self.state.limit()).into_iter().for_each(Waker::wake);
    }
}

/// The permission for one call. If it is dropped without [`record`](Self::record), the call has no influence on the limit.
/// This is right for a call that was never sent, that we cancelled, or that lost its connection before a response.
#[derive(Debug)]
#[must_use = "a permit that is dropped lets the next call start"]
pub struct Permit {
    shared: Arc<LimiterState>,
    holder: HolderId,
    in_flight: usize,
}

impl Permit {
    /// Ends the call at `now` and adjusts the limit by its result. `latency` is the duration of the call itself, without
    /// the wait for the permit.
    pub fn record(self, outcome: CallOutcome, latency: Duration, now: Instant) {
        let sample = Sample { latency, outcome, in_flight: self.in_flight };
        let now = now.saturating_duration_since(self.shared.origin);
        let mut load = self.shared.load();
        load.state = self.shared.aimd.next(load.state, sample, now);
        // Release the lock before `self` is dropped, because the drop acquires it again.
        drop(load);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut load = self.shared.load();
        load.shares.end(self.holder);
        load.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake, Waker};

    use proptest::prelude::*;

    use super::*;
    use crate::clock::now;

    const SERVED: CallOutcome = CallOutcome::Served { items: 25, unprocessed: 0 };
    const THROTTLED: CallOutcome = CallOutcome::Throttled { items: 25 };

    fn limiter(min: usize, max: usize) -> ConcurrencyLimiter {
        ConcurrencyLimiter::new(AimdLimit::new(Duration::from_millis(50), min, max).unwrap(), now())
    }

    /// A waiting task that is polled only after it was woken, as in a runtime.
    struct Waiter {
        woken: Arc<Woken>,
        acquire: Pin<Box<dyn Future<Output = Permit>>>,
    }

    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    impl Waiter {
        fn new(limiter: &ConcurrencyLimiter) -> Self {
            let limiter = limiter.clone();
            Self { woken: Arc::new(Woken(true.into())), acquire: Box::pin(async move { limiter.acquire().await }) }
        }

        fn run(&mut self) -> Option<Permit> {
            if !self.woken.0.swap(false, Ordering::SeqCst) {
                return None;
            }
            let waker = Waker::from(Arc::clone(&self.woken));
            match self.acquire.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(permit) => Some(permit),
                Poll::Pending => None,
            }
        }
    }

    #[test]
    fn a_place_is_taken_while_the_permit_lives() {
        let limiter = limiter(2, 2);
        let first = Waiter::new(&limiter).run().unwrap();
        let _second = Waiter::new(&limiter).run().unwrap();
        let mut third = Waiter::new(&limiter);
        assert!(third.run().is_none());
        assert_eq!((limiter.in_flight(), limiter.limit()), (2, 2));
        first.record(SERVED, Duration::from_millis(1), now());
        assert!(third.run().is_some());
    }

    #[test]
    fn a_permit_is_tried_for_without_passing_those_who_wait() {
        let limiter = limiter(1, 1);
        let permit = limiter.try_acquire().unwrap();
        assert!(limiter.try_acquire().is_none());
        let mut waiter = Waiter::new(&limiter);
        assert!(waiter.run().is_none());
        drop(permit);
        assert!(limiter.try_acquire().is_none(), "the waiter was first");
        assert!(waiter.run().is_some());
    }

    #[tokio::test]
    async fn any_permit_is_of_the_limiter_that_has_one() {
        let [full, free] = [limiter(1, 1), limiter(1, 1)];
        let taken = full.try_acquire().unwrap();
        let (key, permit) = any_permit([("full", &full), ("free", &free)].into_iter()).await;
        assert_eq!(key, "free");
        drop((permit, taken));
        assert_eq!((full.in_flight(), free.in_flight()), (0, 0));
    }

    #[test]
    fn an_invocation_without_a_call_gets_a_permit_although_others_hold_them_all() {
        let limiter = limiter(2, 2);
        let others: Vec<ConcurrencyLimiter> = (0..3).map(|_| limiter.for_invocation()).collect();
        let held: Vec<Permit> = others.iter().flat_map(|other| std::iter::from_fn(|| other.try_acquire())).collect();
        assert_eq!(held.len(), 2 + 1 + 1, "the limit, and one per invocation");
        let healthy = limiter.for_invocation();
        for _ in 0..10 {
            let permit = Waiter::new(&healthy).run().unwrap();
            assert!(healthy.try_acquire().is_none(), "only one call beyond the limit");
            permit.record(SERVED, Duration::from_millis(1), now());
        }
        drop(held);
        assert_eq!(limiter.in_flight(), 0);
    }

    #[test]
    fn a_waiter_is_woken_when_its_own_invocations_call_ends_over_the_limit() {
        let limiter = limiter(1, 1);
        let (one, other) = (limiter.for_invocation(), limiter.for_invocation());
        let (_held, own) = (one.try_acquire().unwrap(), other.try_acquire().unwrap());
        let (mut of_one, mut of_other) = (Waiter::new(&one), Waiter::new(&other));
        assert!(of_one.run().is_none() && of_other.run().is_none());
        drop(own);
        assert!(of_one.run().is_none(), "it has a call in flight");
        assert!(of_other.run().is_some());
    }

    #[test]
    fn a_waiter_that_is_dropped_after_it_was_woken_leaves_its_turn_to_the_next() {
        let limiter = limiter(1, 1);
        let permit = limiter.try_acquire().unwrap();
        let (mut first, mut second) = (Waiter::new(&limiter), Waiter::new(&limiter));
        assert!(first.run().is_none() && second.run().is_none());
        drop(permit);
        drop(first);
        assert!(second.run().is_some());
    }

    /// Three invocations hold every permit for two seconds at a time, forever. A fourth one has 100 fast calls to make.
    #[tokio::test(start_paused = true)]
    async fn invocations_that_get_no_response_do_not_slow_down_a_healthy_one() {
        let limiter = limiter(1, 8);
        let silent = |limiter: ConcurrencyLimiter| async move {
            let mut calls = tokio::task::JoinSet::new();
            loop {
                let permit = limiter.acquire().await;
                calls.spawn(async move {
                    tokio::time::sleep(Duration::from_secs(2)).await;
                    permit.record(CallOutcome::Failed, Duration::from_secs(2), now());
                });
            }
        };
        let silent: Vec<_> = (0..3).map(|_| tokio::spawn(silent(limiter.for_invocation()))).collect();
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(limiter.limit(), 1, "failures have lowered the limit");
        let (healthy, started) = (limiter.for_invocation(), now());
        for _ in 0..100 {
            let permit = healthy.acquire().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
            permit.record(SERVED, Duration::from_millis(5), now());
        }
        assert!(now() - started < Duration::from_millis(600), "{:?}", now() - started);
        silent.iter().for_each(tokio::task::JoinHandle::abort);
    }

    #[test]
    fn a_dropped_permit_frees_its_place_and_says_nothing() {
        let limiter = limiter(1, 50);
        let before = limiter.shared.load().state;
        drop(Waiter::new(&limiter).run().unwrap());
        assert_eq!(limiter.in_flight(), 0);
        assert_eq!(limiter.shared.load().state, before);
    }

    #[test]
    fn a_panic_of_the_caller_frees_its_place() {
        let limiter = limiter(1, 1);
        let permit = Waiter::new(&limiter).run().unwrap();
        let caller = std::thread::spawn(move || {
            let _permit = permit;
            panic!("the caller's own");
        });
        assert!(caller.join().is_err());
        assert!(Waiter::new(&limiter).run().is_some());
    }

    #[test]
    fn no_call_starts_until_fewer_than_a_shrunken_limit_are_in_flight() {
        let limiter = limiter(1, 8);
        for _ in 0..20 {
            let mut permits: Vec<Permit> = (0..limiter.limit()).map(|_| Waiter::new(&limiter).run().unwrap()).collect();
            permits.pop().unwrap().record(SERVED, Duration::from_millis(1), now());
        }
        assert_eq!(limiter.limit(), 8);
        let mut permits: Vec<Permit> = (0..8).map(|_| Waiter::new(&limiter).run().unwrap()).collect();
        let mut waiter = Waiter::new(&limiter);
        assert!(waiter.run().is_none());
        for _ in 0..3 {
            permits.pop().unwrap().record(THROTTLED, Duration::from_millis(1), now());
        }
        assert_eq!((limiter.limit(), limiter.in_flight()), (4, 5));
        assert!(waiter.run().is_none());
        drop(permits.pop());
        assert!(waiter.run().is_none(), "the limit is still reached");
        drop(permits.pop());
        assert!(waiter.run().is_some());
    }

    #[derive(Debug, Clone)]
    enum Step {
        Arrive,
        /// The nth waiter from the front gives up.
        GiveUp(usize),
        /// The nth permit is dropped.
        Drop(usize),
        Record(usize, bool),
        /// The woken waiters are polled, starting with the nth.
        Run(usize),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        let nth = 0_usize..20;
        prop_oneof![
            3 => Just(Step::Arrive),
            1 => nth.clone().prop_map(Step::GiveUp),
            1 => nth.clone().prop_map(Step::Drop),
            3 => (nth.clone(), any::<bool>()).prop_map(|(nth, good)| Step::Record(nth, good)),
            3 => nth.prop_map(Step::Run),
        ]
    }

    /// Polls each woken waiter once, starting with the nth. Each waiter that gets a permit must be the first in the queue.
    fn run(
        limiter: &ConcurrencyLimiter,
        waiters: &mut VecDeque<(usize, Waiter)>,
        permits: &mut Vec<Permit>,
        nth: usize,
    ) -> bool {
        let mut order: Vec<usize> = waiters.iter().map(|(id, _)| *id).collect();
        if !order.is_empty() {
            let middle = nth % order.len();
            order.rotate_left(middle);
        }
        let mut ran = false;
        for id in order {
            let place = waiters.iter().position(|(other, _)| *other == id).unwrap();
            ran |= waiters[place].1.woken.0.load(Ordering::SeqCst);
            if let Some(permit) = waiters[place].1.run() {
                assert_eq!(place, 0, "admitted before earlier waiters");
                permits.push(permit);
                assert!(permits.len() <= limiter.limit(), "admitted beyond the limit");
                waiters.pop_front();
            }
        }
        ran
    }

    proptest! {
        #[test]
        fn whoever_comes_goes_or_gives_up_the_first_in_line_gets_the_next_place(
            steps in prop::collection::vec(any_step(), 0..300),
        ) {
            let limiter = limiter(1, 12);
            let (mut waiters, mut permits) = (VecDeque::new(), Vec::new());
            for (id, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Arrive => {
                        let mut waiter = Waiter::new(&limiter);
                        match waiter.run() {
                            Some(permit) => {
                                prop_assert!(waiters.is_empty(), "admitted past the line");
                                permits.push(permit);
                                prop_assert!(permits.len() <= limiter.limit(), "admitted beyond the limit");
                            }
                            None => waiters.push_back((id, waiter)),
                        }
                    }
                    Step::GiveUp(nth) => drop(waiters.remove(nth)),
                    Step::Drop(nth) if nth < permits.len() => drop(permits.swap_remove(nth)),
                    Step::Record(nth, good) if nth < permits.len() => {
                        let outcome = if good { SERVED } else { THROTTLED };
                        permits.swap_remove(nth).record(outcome, Duration::from_millis(1), now());
                    }
                    Step::Run(nth) => drop(run(&limiter, &mut waiters, &mut permits, nth)),
                    Step::Drop(_) | Step::Record(..) => {}
                }
                prop_assert_eq!(limiter.in_flight(), permits.len());
            }
            while run(&limiter, &mut waiters, &mut permits, 0) {}
            prop_assert!(waiters.is_empty() || permits.len() >= limiter.limit(), "a free place and someone waiting for it");
        }
    }

    #[test]
    fn under_contention_every_caller_ends_and_every_place_comes_back() {
        contend(6, 5);
        // With a single permit, and if no waiter gives up, nothing would repair a lost wake-up.
        contend(1, 1);
    }

    /// One caller in `patience` waits without giving up.
    fn contend(most: usize, patience: usize) {
        const CALLERS: usize = 16;
        const CALLS: usize = 2000;
        let limiter = limiter(1, most);
        let (running, admitted) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let caller = |caller: usize| {
            let (limiter, running, admitted) = (limiter.clone(), Arc::clone(&running), Arc::clone(&admitted));
            async move {
                for call in 0..CALLS {
                    let permit = tokio::select! {
                        biased;
                        () = give_up_after((caller + call) % patience) => continue,
                        permit = limiter.acquire() => permit,
                    };
                    admitted.fetch_add(1, Ordering::SeqCst);
                    assert!(running.fetch_add(1, Ordering::SeqCst) < most);
                    if call % 2 == 0 {
                        tokio::task::yield_now().await;
                    }
                    running.fetch_sub(1, Ordering::SeqCst);
                    match (caller * call) % 7 {
                        0 => drop(permit),
                        1 => permit.record(THROTTLED, Duration::from_micros(1), now()),
                        _ => permit.record(SERVED, Duration::from_micros(1), now()),
                    }
                }
            }
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_time().build().unwrap();
        runtime.block_on(async {
            let callers: Vec<_> = (0..CALLERS).map(|id| tokio::spawn(caller(id))).collect();
            for caller in callers {
                // Takes a fraction of a second, or never completes.
                tokio::time::timeout(Duration::from_secs(60), caller).await.expect("no caller waits forever").unwrap();
            }
        });
        assert!(
            admitted.load(Ordering::SeqCst) >= CALLERS * CALLS / patience,
            "every caller that does not give up is admitted"
        );
        assert_eq!(limiter.in_flight(), 0);
        assert!(Waiter::new(&limiter).run().is_some());
    }

    /// Completes after `turns` turns of the scheduler, or never if `turns` is zero.
    async fn give_up_after(turns: usize) {
        if turns == 0 {
            std::future::pending::<()>().await;
        }
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
    }
}
