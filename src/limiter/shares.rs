//! Fair division of one limit among the invocations: decides whose call may start next. Pure: no I/O, clock or randomness.
//!
//! # Rules
//!
//! - An invocation without a call in flight may start one, whatever the limit. So no invocation waits for the calls of
//!   another, no matter how long those take. The number of calls in flight never exceeds the limit or the number of
//!   invocations, whichever is larger.
//! - Otherwise a call may start while fewer calls than the limit are in flight.
//! - Among several invocations, the one with the fewest calls in flight goes first. If the numbers are equal, it is the
//!   invocation whose last call started earliest. Within an invocation, waiters go in the order in which they arrived.
//!
//! An invocation that waits alone may use the whole limit. It gives up its share call by call to invocations that arrive
//! later, because those have fewer calls in flight.

use std::collections::{BTreeMap, HashMap};

/// Identifies an invocation within the limiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct HolderId(pub(super) u64);

/// Identifies a waiter. A later waiter has a larger number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

/// The calls in flight and the waiters, by invocation. `W` is the type of a waiter's waker.
#[derive(Debug)]
pub(super) struct Shares<W> {
    in_flight: usize,
    /// The invocations with calls in flight.
    holders: HashMap<HolderId, Holding>,
    waiting: BTreeMap<Ticket, (HolderId, Option<W>)>,
    next_ticket: u64,
    /// Number of calls started so far.
    started: u64,
}

#[derive(Debug, Default)]
struct Holding {
    in_flight: usize,
    /// Number of the call that the invocation started last.
    last_start: u64,
}

impl<W> Default for Shares<W> {
    fn default() -> Self {
        Self { in_flight: 0, holders: HashMap::new(), waiting: BTreeMap::new(), next_ticket: 0, started: 0 }
    }
}

impl<W> Shares<W> {
    /// Returns the number of calls in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Adds a waiter of `holder`.
    pub(super) fn enter(&mut self, holder: HolderId) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.waiting.insert(ticket, (holder, None));
        ticket
    }

    /// Stores the waker of the waiter with `ticket`.
    pub(super) fn wake_by(&mut self, ticket: Ticket, waker: W) {
        if let Some((_, slot)) = self.waiting.get_mut(&ticket) {
            *slot = Some(waker);
        }
    }

    /// Removes a waiter.
    pub(super) fn leave(&mut self, ticket: Ticket) {
        self.waiting.remove(&ticket);
    }

    /// Starts a call of the waiter with `ticket` and removes the waiter, if it is its turn. Returns whether it was.
    pub(super) fn start(&mut self, ticket: Ticket, limit: usize) -> bool {
        let Some((holder, _)) = self.waiting.get(&ticket) else { return false };
        let holder = *holder;
        let is_first_of_its_own = self.first(|other| other == holder) == Some(ticket);
        let may_start = is_first_of_its_own && self.held(holder) == 0
            || self.in_flight < limit && self.first(|_| true) == Some(ticket);
        if may_start {
            self.waiting.remove(&ticket);
            self.started += 1;
            self.in_flight += 1;
            let holding = self.holders.entry(holder).or_default();
            holding.in_flight += 1;
            holding.last_start = self.started;
        }
        may_start
    }

    /// Ends a call of `holder`.
    pub(super) fn end(&mut self, holder: HolderId) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(holding) = self.holders.get_mut(&holder) {
            holding.in_flight = holding.in_flight.saturating_sub(1);
            if holding.in_flight == 0 {
                self.holders.remove(&holder);
            }
        }
    }

    /// Takes the wakers of the waiters that may start a call now. Only one call starts at a time: when it has started, it
    /// wakes the next waiter.
    pub(super) fn wakers(&mut self, limit: usize) -> Vec<W> {
        let mut ready: Vec<Ticket> =
            if self.in_flight < limit { self.first(|_| true).into_iter().collect() } else { Vec::new() };
        let idle =
            |(ticket, (holder, _)): (&Ticket, &(HolderId, Option<W>))| (self.held(*holder) == 0).then_some(*ticket);
        ready.extend(self.waiting.iter().filter_map(idle));
        ready.iter().filter_map(|ticket| self.waiting.get_mut(ticket)?.1.take()).collect()
    }

    fn held(&self, holder: HolderId) -> usize {
        self.holders.get(&holder).map_or(0, |holding| holding.in_flight)
    }

    /// Returns the next waiter among the holders for which `of` returns true.
    fn first(&self, of: impl Fn(HolderId) -> bool) -> Option<Ticket> {
        let of_them = self.waiting.iter().filter(|(_, (holder, _))| of(*holder));
        let turn = |(ticket, (holder, _)): (&Ticket, &(HolderId, Option<W>))| {
            let holding = self.holders.get(holder);
            (holding.map_or((0, 0), |holding| (holding.in_flight, holding.last_start)), *ticket)
        };
        of_them.map(turn).min().map(|(_, ticket)| ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: HolderId = HolderId(0);
    const B: HolderId = HolderId(1);
    const C: HolderId = HolderId(2);

    #[derive(Default)]
    struct Scene(Shares<()>);

    impl Scene {
        /// Starts as many of the waiting calls as possible, and returns their holders.
        fn run(&mut self, limit: usize) -> Vec<HolderId> {
            let mut started = Vec::new();
            loop {
                let waiting: Vec<_> = self.0.waiting.iter().map(|(ticket, (holder, _))| (*ticket, *holder)).collect();
                match waiting.into_iter().find(|(ticket, _)| self.0.start(*ticket, limit)) {
                    Some((_, holder)) => started.push(holder),
                    None => return started,
                }
            }
        }

        fn enter(&mut self, holder: HolderId, count: usize) {
            (0..count).for_each(|_| {
                self.0.enter(holder);
            });
        }
    }

    #[test]
    fn one_that_waits_alone_takes_all_places() {
        let mut scene = Scene::default();
        scene.enter(A, 10);
        assert_eq!(scene.run(4).len(), 4);
    }

    #[test]
    fn one_without_a_call_in_flight_starts_one_whatever_the_limit() {
        let mut scene = Scene::default();
        scene.enter(A, 10);
        scene.run(4);
        scene.enter(B, 3);
        assert_eq!(scene.run(1), [B]);
        assert_eq!(scene.run(1), [], "no second call starts");
        scene.0.end(B);
        assert_eq!(scene.run(1), [B], "slow calls of another invocation do not matter");
        scene.enter(C, 1);
        assert_eq!(scene.run(1), [C]);
        assert_eq!(scene.0.in_flight(), 6);
    }

    #[test]
    fn places_that_get_free_go_to_the_one_with_the_fewest_calls() {
        let mut scene = Scene::default();
        scene.enter(A, 20);
        scene.run(6);
        scene.enter(B, 20);
        scene.run(6);
        let mut started = Vec::new();
        for _ in 0..4 {
            scene.0.end(A);
            started.extend(scene.run(6));
        }
        // seven calls are in flight at first, one more than the limit; then B rises to three while A falls to three
        assert_eq!(started, [B, B, A]);
        assert_eq!([scene.0.held(A), scene.0.held(B)], [3, 3]);
    }

    #[test]
    fn of_equal_ones_that_comes_first_which_has_waited_longest() {
        let mut scene = Scene::default();
        for holder in [A, B, C] {
            scene.enter(holder, 1);
            scene.run(3);
        }
        for holder in [C, B, A] {
            scene.enter(holder, 5);
        }
        assert_eq!(scene.run(6), [A, B, C]);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Enter(u64),
        End(u64),
        Limit(usize),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..5_u64).prop_map(Step::Enter),
            3 => (0..5_u64).prop_map(Step::End),
            1 => (1..6_usize).prop_map(Step::Limit),
        ]
    }

    proptest! {
        #[test]
        fn no_waiter_is_without_a_call_and_none_starts_beyond_the_limit_but_a_first_one(
            steps in prop::collection::vec(any_step(), 0..200),
        ) {
            let (mut scene, mut limit) = (Scene::default(), 3);
            for step in steps {
                match step {
                    Step::Enter(holder) => scene.enter(HolderId(holder), 1),
                    Step::End(holder) if scene.0.held(HolderId(holder)) > 0 => scene.0.end(HolderId(holder)),
                    Step::End(_) => {}
                    Step::Limit(new) => limit = new,
                }
                let before = scene.0.in_flight();
                let started = scene.run(limit);
                for (index, holder) in started.iter().enumerate() {
                    let is_first = scene.0.held(*holder) == started.iter().filter(|other| *other == holder).count();
                    prop_assert!(before + index < limit || is_first);
                }
                let waiting: Vec<HolderId> = scene.0.waiting.values().map(|(holder, _)| *holder).collect();
                prop_assert!(waiting.iter().all(|holder| scene.0.held(*holder) > 0));
                prop_assert!(waiting.is_empty() || scene.0.in_flight() >= limit, "a free place and someone waiting");
                let held: usize = scene.0.holders.values().map(|holding| holding.in_flight).sum();
                prop_assert_eq!(held, scene.0.in_flight());
            }
        }
    }
}
