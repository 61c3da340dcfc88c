//! The AIMD control loop: computes how many write calls may be in flight from the results of recent calls. Pure: no I/O,
//! clock or randomness. It does not allocate.

use std::time::Duration;
use std::{error, fmt};

/// Initial limit of a new process, unless the configured bounds exclude it. A first event of 100 messages is sent without
/// delay, and 1,000 instances that start together send 100,000 items rather than a million. With a higher value, cold
/// starts of a whole fleet would overload the table. With a lower value, each cold start would need more windows to reach
/// full speed.
const START: usize = 4;

/// Minimum number of calls for determining the P95. Of 20 calls, one may be late. With fewer, a single straggler would
/// decide. With more, the limit would react too slowly to changes.
const MIN_CALLS: usize = 20;

/// Divisor for the P95: it exceeds a threshold if more than one in `P95` calls exceeds that threshold.
const P95: usize = 20;

/// Divisor for the tolerated share of refused items: one in `REFUSED` items may be refused without a decrease of the limit.
/// A table over its capacity returns the excess as unprocessed. A hot partition refuses its own items no matter how few
/// calls are in flight. With a larger tolerated share, a table would be kept overloaded. With a smaller share, a hot key
/// would stop all writes.
const REFUSED: usize = 10;

/// Number of good windows before the limit grows again to the value that was last found too high. With more, recovered
/// capacity would be used late. With fewer, these attempts alone would make more than one call in 20 late.
const PATIENCE: u32 = 5;

/// Maximum age of a window. Calls of an older, incomplete window are discarded. With a longer time, outdated calls would
/// influence the limit. With a shorter time, a function that is invoked every few seconds would never complete a window.
const WINDOW: Duration = Duration::from_secs(10);

/// Time without calls after which a lowered limit is lifted to the initial limit. A much shorter time would mistake a pause
/// under load for idleness. With a longer time, an invocation after a freeze would suffer from the problems of an earlier
/// one.
const IDLE: Duration = Duration::from_secs(1);

/// The result of a write call, as far as it reveals anything about the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    /// The table accepted the call: all its items, or all except the unprocessed ones.
    ///
    /// It is best to count only items on their first attempt. Items of a hot partition are refused at every attempt. If
    /// they were counted each time, a small share of refused items would look like a large one.
    Served {
        /// Number of items in the call.
        items: usize,
        /// Number of items returned unprocessed because of insufficient throughput.
        unprocessed: usize,
    },
    /// The table refused the call because of insufficient throughput. The latency is ignored.
    Throttled {
        /// Number of items in the call.
        items: usize,
    },
    /// No usable result, such as a timeout or a 5xx response. It counts as later than any target.
    Failed,
}

/// One completed write call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Time from the start to the end of the call, without the wait for a permit.
    pub latency: Duration,
    /// The result of the call.
    pub outcome: CallOutcome,
    /// Number of calls in flight when it started, including itself.
    pub in_flight: usize,
}

/// The settings of the limit. They are valid by construction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AimdLimit {
    low: Duration,
    high: Duration,
    min: usize,
    max: usize,
}

impl AimdLimit {
    /// Creates a control loop that keeps the P95 of write calls near `target`, with `min` to `max` calls in flight.
    ///
    /// # Errors
    ///
    /// Returns an error if the target or `min` is zero, or if `min` exceeds `max`.
    pub fn new(target: Duration, min: usize, max: usize) -> Result<Self, InvalidLimit> {
        if target.is_zero() {
            Err(InvalidLimit::ZeroTarget)
        } else if min == 0 {
            Err(InvalidLimit::ZeroMin)
        } else if min > max {
            Err(InvalidLimit::MinOverMax { min, max })
        } else {
            let fifth = target / 5;
            Ok(Self { low: fifth.saturating_mul(4), high: fifth.saturating_mul(6), min, max })
        }
    }

    /// Returns the initial state.
    pub fn start(&self) -> State {
        State {
            limit: START.clamp(self.min, self.max),
            doubling: true,
            ceiling: None,
            calm: 0,
            cut_at: Duration::ZERO,
            heard_at: Duration::ZERO,
            window: Window::open(Duration::ZERO),
        }
    }

    /// Returns the state after `sample`, which ended at `now`. All times of one state must be relative to the same origin.
    #[must_use]
    pub fn next(&self, state: State, sample: Sample, now: Duration) -> State {
        let started = now.saturating_sub(sample.latency);
        let state = State { heard_at: state.heard_at.max(now), ..self.woken(state, started) };
        let window = self.counted(state, sample, started, now);
        let size = state.limit.max(MIN_CALLS);
        if window.refused_too_much(size) {
            self.cut(state, state.limit / 2, now)
        } else if window.late > size / P95 {
            // latency alone never lowers the limit below its initial value, because a healthy table may simply be far away
            let floor = if window.failed > size / P95 { self.min } else { state.limit.min(self.start().limit) };
            // Undo a doubling that went too far. Later increases are small, and so are their corrections.
            let to = if state.doubling { state.limit / 2 } else { state.limit.saturating_mul(4) / 5 };
            self.cut(state, to.max(floor), now)
        } else if window.calls < size {
            State { window, ..state }
        } else if window.strained > size / P95 {
            State { doubling: false, window: Window::open(now), ..state }
        } else if window.reached {
            self.grow(state, now)
        } else {
            State { window: Window::open(now), ..state }
        }
    }

    /// Lifts the limit to its initial value if there was no call for [`IDLE`].
    fn woken(&self, state: State, started: Duration) -> State {
        if started.saturating_sub(state.heard_at) < IDLE {
            return state;
        }
        let start = self.start().limit;
        // start a new window, so that calls from before the pause cannot lift the limit again
        if state.limit < start { State { limit: start, window: Window::open(started), ..state } } else { state }
    }

    fn counted(&self, state: State, sample: Sample, started: Duration, now: Duration) -> Window {
        let State { limit, cut_at, window, .. } = state;
        let mut window = if now.saturating_sub(window.opened_at) > WINDOW { Window::open(now) } else { window };
        let failed = sample.outcome == CallOutcome::Failed;
        let (items, refused, strained, late) = match sample.outcome {
            CallOutcome::Served { items, unprocessed } => {
                (items, unprocessed, sample.latency >= self.low, sample.latency > self.high)
            }
            CallOutcome::Throttled { items } => (items, items, false, false),
            CallOutcome::Failed => (0, 0, true, true),
        };
        window.strained += usize::from(strained);
        // A call that was already in flight at the last decrease must not cause another decrease. It can only prevent
        // growth, and it must be able to, because the calls that end soon after a decrease are the fast ones.
        if started >= cut_at {
            window.calls += 1;
            window.late += usize::from(late);
            window.failed += usize::from(failed);
            window.items = window.items.saturating_add(items);
            window.refused = window.refused.saturating_add(refused);
            window.reached |= sample.in_flight >= limit;
        }
        window
    }

    fn cut(&self, state: State, to: usize, now: Duration) -> State {
        let limit = to.max(self.min);
        let ceiling = Some(state.limit.max(limit.saturating_add(1)));
        State { limit, doubling: false, ceiling, calm: 0, cut_at: now, window: Window::open(now), ..state }
    }

    fn grow(&self, state: State, now: Duration) -> State {
        let state = State { calm: state.calm.saturating_add(1), window: Window::open(now), ..state };
        let next = state.limit.saturating_add(1);
        if state.ceiling == Some(next) && state.calm < PATIENCE {
            return state;
        }
        let limit = if state.doubling { state.limit.saturating_mul(2) } else { next };
        State { limit: limit.min(self.max), calm: 0, ..state }
    }
}

/// The state of the control loop between calls. It has a fixed size and outlives the invocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    limit: usize,
    /// Whether the limit still grows exponentially. It does until the first sign of strain.
    doubling: bool,
    /// The limit that was last found too high.
    ceiling: Option<usize>,
    /// Number of windows that allowed growth since the last change of the limit.
    calm: u32,
    cut_at: Duration,
    heard_at: Duration,
    window: Window,
}

impl State {
    /// Returns the maximum number of calls in flight, which is at least 1.
    pub fn limit(&self) -> usize {
        self.limit
    }
}

/// Counters of the calls since the last decision. Whether the P95 exceeds a threshold only depends on how many calls exceed
/// it, so no latencies need to be stored or sorted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Window {
    opened_at: Duration,
    calls: usize,
    /// Number of calls that failed or took at least 80 % of the target.
    strained: usize,
    /// Number of calls that failed or took more than 120 % of the target.
    late: usize,
    /// Number of calls that failed.
    failed: usize,
    items: usize,
    refused: usize,
    /// Whether a call started while the limit was reached.
    reached: bool,
}

impl Window {
    fn open(now: Duration) -> Self {
        Self { opened_at: now, ..Self::default() }
    }

    /// Returns whether too many items were refused, or would be at the end of a window of `size` calls even if no further
    /// item were refused.
    fn refused_too_much(&self, size: usize) -> bool {
        self.refused.saturating_mul(self.calls).saturating_mul(REFUSED) > self.items.saturating_mul(size)
    }
}

/// The reason why settings are invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidLimit {
    /// The target latency is zero, which no call can reach.
    ZeroTarget,
    /// The minimum is zero, so that no call could ever start.
    ZeroMin,
    /// The minimum exceeds the maximum.
    MinOverMax {
        /// The lower bound.
        min: usize,
        /// The upper bound.
        max: usize,
    },
}

impl fmt::Display for InvalidLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZeroTarget => f.write_str("the target latency must be over zero"),
            Self::ZeroMin => f.write_str("at least one call must be allowed in flight"),
            Self::MinOverMax { min, max } => write!(f, "the least calls in flight ({min}) are over the most ({max})"),
        }
    }
}

impl error::Error for InvalidLimit {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const QUICK: Duration = Duration::from_millis(10);
    const SLOW: Duration = Duration::from_millis(61);
    const SERVED: CallOutcome = CallOutcome::Served { items: 25, unprocessed: 0 };
    const THROTTLED: CallOutcome = CallOutcome::Throttled { items: 25 };

    /// A limit that receives calls one after the other.
    struct Link {
        aimd: AimdLimit,
        state: State,
        now: Duration,
    }

    impl Link {
        fn new(min: usize, max: usize) -> Self {
            let aimd = AimdLimit::new(Duration::from_millis(50), min, max).unwrap();
            Self { aimd, state: aimd.start(), now: Duration::ZERO }
        }

        /// Creates a link whose limit no longer doubles.
        fn at(limit: usize) -> Self {
            let mut link = Self::new(1, 1000);
            link.state = State { limit, doubling: false, ..link.state };
            link
        }

        /// Completes a call that starts now and reaches the limit.
        fn call(&mut self, outcome: CallOutcome, latency: Duration) -> usize {
            self.now += latency;
            self.ended(outcome, latency, self.state.limit)
        }

        fn ended(&mut self, outcome: CallOutcome, latency: Duration, in_flight: usize) -> usize {
            self.state = self.aimd.next(self.state, Sample { latency, outcome, in_flight }, self.now);
            self.state.limit()
        }

        fn calls(&mut self, count: usize, outcome: CallOutcome, latency: Duration) -> usize {
            for _ in 0..count {
                self.call(outcome, latency);
            }
            self.state.limit()
        }
    }

    #[test]
    fn a_limit_starts_at_four_within_its_bounds() {
        assert_eq!(Link::new(1, 50).state.limit(), 4);
        assert_eq!(Link::new(1, 2).state.limit(), 2);
        assert_eq!(Link::new(9, 50).state.limit(), 9);
        assert_eq!(Link::new(4, 4).state.limit(), 4);
    }

    #[test]
    fn it_doubles_until_the_first_sign_of_strain_and_then_grows_by_one() {
        let mut link = Link::new(1, 100);
        assert_eq!(link.calls(19, SERVED, QUICK), 4);
        assert_eq!(link.calls(1, SERVED, QUICK), 8);
        assert_eq!(link.calls(20, SERVED, QUICK), 16);
        assert_eq!(link.calls(20, SERVED, Duration::from_millis(50)), 16, "stays between the thresholds");
        assert_eq!(link.calls(20, SERVED, QUICK), 17);
    }

    #[test]
    fn latency_alone_never_takes_the_limit_below_where_it_starts() {
        for limit in [4, 5, 30] {
            let mut link = Link::at(limit);
            assert_eq!(link.calls(2_000, SERVED, Duration::from_millis(75)), 4, "the table is healthy but far away");
        }
        assert_eq!(Link::at(2).calls(500, SERVED, SLOW), 2, "a lower limit does not fall either");
        assert_eq!(Link::new(1, 50).calls(500, CallOutcome::Failed, QUICK), 1, "failures lower it");
        assert_eq!(Link::new(1, 50).calls(500, THROTTLED, QUICK), 1, "throttles lower it");
    }

    #[test]
    fn one_failure_beside_a_late_call_takes_the_limit_no_lower_than_latency_does() {
        let mut link = Link::at(4);
        link.call(SERVED, SLOW);
        assert_eq!(link.call(CallOutcome::Failed, QUICK), 4);
    }

    #[test]
    fn what_a_window_bore_is_not_held_against_the_next() {
        let mut link = Link::at(10);
        for _ in 0..5 {
            link.now += QUICK;
            link.ended(CallOutcome::Failed, QUICK, 9);
            for _ in 1..20 {
                link.now += QUICK;
                assert_eq!(link.ended(SERVED, QUICK, 9), 10);
            }
        }
    }

    #[test]
    fn the_first_call_after_a_pause_lifts_the_limit_once() {
        let mut link = Link::at(1);
        link.calls(19, SERVED, QUICK);
        link.now += Duration::from_secs(2);
        assert_eq!(link.call(SERVED, QUICK), 4);
    }

    #[test]
    fn a_window_has_as_many_calls_as_the_limit_and_at_least_twenty() {
        for (limit, size) in [(1, 20), (20, 20), (21, 21), (200, 200)] {
            let mut link = Link::at(limit);
            assert_eq!(link.calls(size - 1, SERVED, QUICK), limit);
            assert_eq!(link.calls(1, SERVED, QUICK), limit + 1);
        }
    }

    #[test]
    fn a_limit_that_nobody_reached_does_not_grow() {
        let mut link = Link::at(5);
        for _ in 0..1000 {
            link.now += QUICK;
            assert_eq!(link.ended(SERVED, QUICK, 4), 5);
        }
    }

    #[test]
    fn the_marks_are_four_and_six_fifths_of_the_target() {
        let after = |calls, ms| Link::at(10).calls(calls, SERVED, Duration::from_millis(ms));
        assert_eq!([after(20, 39), after(20, 40), after(20, 60), after(2, 61)], [11, 10, 10, 8]);
    }

    #[test]
    fn one_call_in_twenty_may_be_late_but_no_more() {
        for (limit, borne) in [(10, 1), (39, 1), (40, 2), (100, 5)] {
            let mut link = Link::at(limit);
            assert_eq!(link.calls(borne, SERVED, SLOW), limit);
            assert_eq!(link.calls(limit.max(20) - borne, SERVED, QUICK), limit + 1);
            let late = Link::at(limit).calls(borne + 1, SERVED, SLOW);
            assert_eq!(late, limit * 4 / 5, "decreases as soon as it is certain");
        }
    }

    #[test]
    fn a_failure_counts_as_late_however_quick() {
        assert_eq!(Link::at(10).calls(2, CallOutcome::Failed, Duration::from_millis(1)), 8);
    }

    #[test]
    fn a_tenth_of_the_items_may_be_refused_but_no_more() {
        for (unprocessed, limit) in [(1, 11), (2, 11), (3, 5)] {
            let outcome = CallOutcome::Served { items: 20, unprocessed };
            assert_eq!(Link::at(10).calls(20, outcome, QUICK), limit, "{unprocessed} of 20");
        }
        assert_eq!(Link::at(10).calls(2, THROTTLED, QUICK), 10);
        assert_eq!(Link::at(10).calls(3, THROTTLED, QUICK), 5);
        assert_eq!(
            Link::at(10).calls(3, CallOutcome::Throttled { items: 1 }, QUICK),
            5,
            "calls with a single item count equally"
        );
    }

    #[test]
    fn small_limits_are_cut_by_one_and_never_under_the_lower_bound() {
        let mut link = Link::at(3);
        assert_eq!(
            [
                link.calls(2, CallOutcome::Failed, QUICK),
                link.calls(2, CallOutcome::Failed, QUICK),
                link.calls(2, CallOutcome::Failed, QUICK)
            ],
            [2, 1, 1]
        );
        assert_eq!(Link::new(3, 50).calls(100, THROTTLED, QUICK), 3);
    }

    #[test]
    fn the_last_doubling_is_undone_whole() {
        let mut link = Link::new(1, 100);
        assert_eq!(link.calls(60, SERVED, QUICK), 32);
        assert_eq!(link.calls(2, SERVED, SLOW), 16);
        assert_eq!(link.calls(2, SERVED, SLOW), 12);
    }

    #[test]
    fn a_burst_of_refusals_in_flight_is_one_cut() {
        let mut link = Link::at(40);
        link.now = Duration::from_secs(1);
        let limits: Vec<usize> = (0..40).map(|_| link.ended(THROTTLED, QUICK, 40)).collect();
        assert!(limits.ends_with(&[20]) && !limits.contains(&10), "{limits:?}");
        assert_eq!(link.calls(3, THROTTLED, QUICK), 10, "later calls cause the next decrease");
    }

    #[test]
    fn slow_calls_from_before_a_cut_forbid_growth_after_it() {
        let mut link = Link::at(40);
        link.calls(3, SERVED, SLOW);
        assert_eq!(link.state.limit(), 32);
        link.ended(SERVED, 2 * SLOW, 40);
        link.ended(SERVED, 2 * SLOW, 40);
        assert_eq!(link.calls(32, SERVED, QUICK), 32);
        assert_eq!(link.calls(32, SERVED, QUICK), 33);
    }

    #[test]
    fn five_windows_must_be_good_before_it_tries_again_what_went_wrong() {
        let mut link = Link::at(10);
        assert_eq!(link.calls(2, SERVED, SLOW), 8);
        assert_eq!(link.calls(20, SERVED, QUICK), 9);
        assert_eq!(link.calls(99, SERVED, QUICK), 9);
        assert_eq!(link.calls(1, SERVED, QUICK), 10);
        assert_eq!(link.calls(20, SERVED, QUICK), 11, "then it grows further");
    }

    #[test]
    fn a_silence_lifts_the_limit_to_where_a_new_process_starts_and_no_higher() {
        for (limit, silence, after) in [(1, 999, 1), (1, 1000, 4), (9, 5000, 9)] {
            let mut link = Link::at(limit);
            link.call(SERVED, QUICK);
            link.now += Duration::from_millis(silence);
            assert_eq!(link.call(SERVED, QUICK), after, "{limit} after {silence} ms");
        }
    }

    #[test]
    fn a_long_call_is_no_silence() {
        let mut link = Link::at(1);
        assert_eq!(link.calls(10, SERVED, Duration::from_secs(3)), 1);
    }

    #[test]
    fn calls_of_another_time_do_not_steer() {
        let mut link = Link::at(10);
        link.calls(1, SERVED, SLOW);
        link.now += Duration::from_secs(11);
        assert_eq!(link.calls(1, SERVED, SLOW), 10);
        assert_eq!(link.calls(1, SERVED, SLOW), 8);
    }

    #[test]
    fn settings_that_make_no_sense_are_no_law() {
        let target = Duration::from_millis(50);
        assert_eq!(AimdLimit::new(Duration::ZERO, 1, 50), Err(InvalidLimit::ZeroTarget));
        assert_eq!(AimdLimit::new(target, 0, 50), Err(InvalidLimit::ZeroMin));
        let reversed = AimdLimit::new(target, 51, 50).unwrap_err();
        assert_eq!(reversed.to_string(), "the least calls in flight (51) are over the most (50)");
        assert!(AimdLimit::new(target, 50, 50).is_ok());
        assert!(AimdLimit::new(Duration::MAX, 1, usize::MAX).is_ok());
    }

    fn any_answer() -> impl Strategy<Value = CallOutcome> {
        let items = prop_oneof![0_usize..30, Just(usize::MAX)];
        prop_oneof![
            (items.clone(), items.clone()).prop_map(|(items, unprocessed)| CallOutcome::Served { items, unprocessed }),
            items.prop_map(|items| CallOutcome::Throttled { items }),
            Just(CallOutcome::Failed),
            Just(SERVED),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happens_the_limit_stays_in_bounds_and_moves_one_step_at_a_time(
            min in 1_usize..10,
            spread in prop_oneof![0_usize..60, Just(usize::MAX / 2)],
            runs in prop::collection::vec(
                (any_answer(), 0_u64..80, prop_oneof![0_usize..70, Just(usize::MAX)], 0_u64..3000, 1_usize..100),
                0..40,
            ),
        ) {
            let max = min + spread;
            let mut link = Link::new(min, max);
            for (outcome, latency_ms, in_flight, now_ms, calls) in runs {
                // Calls are reported by many threads, so the time may even go backwards.
                link.now = Duration::from_millis(now_ms);
                for _ in 0..calls {
                    let before = link.state.limit();
                    let after = link.ended(outcome, Duration::from_millis(latency_ms), in_flight);
                    prop_assert!((min..=max).contains(&after), "{} is not within {} to {}", after, min, max);
                    prop_assert!(before / 2 <= after && after <= before.max(2) * 2, "from {} to {}", before, after);
                }
            }
        }

        #[test]
        fn a_window_without_one_call_in_time_never_grows(
            limit in 1_usize..60,
            samples in prop::collection::vec(
                prop_oneof![
                    Just((CallOutcome::Failed, 1)), Just((THROTTLED, 1)), Just((SERVED, 40)), Just((SERVED, 70)),
                ],
                0..400,
            ),
        ) {
            let mut link = Link::at(limit);
            for (outcome, latency_ms) in samples {
                let before = link.state.limit();
                prop_assert!(link.call(outcome, Duration::from_millis(latency_ms)) <= before);
            }
        }
    }
}
