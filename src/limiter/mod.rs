//! Limits how many write calls to a table may be in flight. [`ConcurrencyLimiter`] grants permits, and [`AimdLimit`]
//! computes the limit.
//!
//! One limiter serves all invocations of the process, and its state outlives them. It limits calls rather than items or
//! bytes, because the calls in flight are what queues up at the table. It owns the limit, the number of calls in flight,
//! and the queue of waiters. The writer decides when a call starts, which items it contains, and whether it is retried.
//!
//! # Invariants
//!
//! - No call starts while the number of calls in flight is at or above the limit. The exception is an invocation without a
//!   call in flight, which may always start one. A decrease of the limit never cancels a call.
//! - Permits go to the invocation with the fewest calls in flight, and within an invocation in the order of requests
//!   (`shares`). A waiter may be dropped at any time without delaying any other.
//! - A permit is returned when it is dropped, whether it was recorded, forgotten or lost in a panic.
//! - The limit stays between its bounds. No sample does more than halve or double it, except the first sample after a
//!   pause, which lifts it to the initial limit.
//! - Latency alone never lowers the limit below the initial limit. Throttles and failures may.
//! - A sample costs a few additions. Nothing is allocated, stored or sorted.
//!
//! # How the limit changes
//!
//! The limit uses additive increase and multiplicative decrease. Each decision is based on a window of recent calls. A
//! window is complete after as many calls as the limit, but at least 20 calls. It is at most ten seconds old. The P95
//! exceeds a threshold if more than one call in 20 does, so a window only consists of a few counters.
//!
//! | in the window | the limit |
//! | --- | --- |
//! | more than 10 % of the items throttled | is halved immediately |
//! | P95 above 120 % of the target, where failed calls count as above | decreases by 20 % immediately, but not below the initial limit unless calls failed |
//! | P95 from 80 % to 120 % of the target | stays |
//! | P95 below 80 % of the target, limit reached | grows by one; doubles until the first window that is not below 80 % |
//! | P95 below 80 % of the target, limit not reached | stays |
//!
//! - *One decrease per round trip.* A call that was in flight at the last decrease cannot cause another one, so a burst of
//!   throttles counts as one event. If such a call is slow, it still prevents growth, because the calls that end soon after
//!   a decrease are the fast ones.
//! - *Slow recovery.* Growth to the limit that was last found too high takes five good windows instead of one. With small
//!   limits one step is a large relative change, and trying it in every window would by itself raise the P95 above the
//!   target.
//! - *Restart after idleness.* A frozen function gets no information about the table. If there was no call for a second, the
//!   limit is lifted to the initial limit, with a new window. A higher limit stays, and so do the calls of the last
//!   ten seconds. If it is too high, a single window will show it.
//!
//! # Sources
//!
//! - TCP and QUIC (RFC 5681, 6928, 9002): doubling at the start from a small initial window; one reduction per round trip,
//!   determined by when a packet was sent; a restart after idleness. From CUBIC (RFC 9438): the pause below the last
//!   maximum.
//! - Netflix concurrency-limits: windows with a minimum number of samples, so that no single call decides. We do not use
//!   its gradient, because it compares the latency with a long-term mean that follows a slowing table, while our target is
//!   absolute.
//! - Vector's adaptive request concurrency: growth only if the limit was reached. Otherwise an idle process would drift to
//!   the upper bound and flood the table when its load returns. We do not use its mean latency, because it cannot control a
//!   P95.
//! - Flink's DynamoDB sink: halving on throttling. We do not decrease for each failed call, because that turns one burst
//!   into many decreases, and do not increase for each success. Flink uses no latency signal.
//!
//! The loop does not check whether a decrease helped. With 1,000 processes on one table, the share of refused items does
//! not depend on the decreases of a single process. Each process would conclude that its own decreases are useless, and the
//! whole fleet would stop backing off.
//!
//! # Settings
//!
//! | setting | range | if low | if high |
//! | --- | --- | --- | --- |
//! | target latency | above 0 | below the latency of the idle table, no call meets it, and the limit stays at the initial limit | latency is traded for throughput, until only throttles limit it |
//! | minimum in flight | 1 to the maximum | backs off the most | keeps sending to a throttled table |
//! | maximum in flight | the minimum or more | throughput is limited to `maximum / latency` calls per second | more connections and memory, and more harm before the first window ends |
//!
//! A hot partition that causes more than 10 % of all items to be refused looks like a table at its capacity, so the limit
//! decreases. If this is common, raise the minimum in flight or, better, distribute the key. If a call was refused only
//! because of a hot key, as its throttling reasons show, drop its permit without recording the call.

mod aimd;
mod concurrency;
mod shares;

pub use aimd::{AimdLimit, CallOutcome, InvalidLimit, Sample, State};
pub(crate) use concurrency::any_permit;
pub use concurrency::{ConcurrencyLimiter, Permit};
