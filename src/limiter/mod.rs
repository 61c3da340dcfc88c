//! How many write calls may be in flight to a table: [`ConcurrencyLimiter`] grants permits, [`AimdLimit`] says how many.
//!
//! One limiter serves all invocations of the process, and its state outlives them. It limits calls, not items or bytes, because
//! calls in flight are what queues at the table. It owns the limit, the count of calls in flight and the queue of waiters;
//! when a call starts, what it carries and whether it is tried again are the writer's.
//!
//! # Invariants
//!
//! - No call starts while as many as the limit are in flight, but the first of an invocation that has none. A limit that shrinks
//!   ends no call; it lets none start.
//! - Permits go to the invocation with the fewest calls in flight, and within it in the order they were asked for (`shares`). A
//!   waiter may be dropped at any time and costs nobody a place.
//! - A permit is returned when it is dropped, whether it was recorded, forgotten or lost to a panic.
//! - The limit stays between the bounds. No sample does more than halve or double it, but the first after a pause, which
//!   lifts it to the starting limit.
//! - Latency alone never takes the limit below the starting limit. Throttles and failures may.
//! - A sample costs a few additions: nothing is allocated, kept or sorted.
//!
//! # How the limit moves
//!
//! Additive increase, multiplicative decrease, decided a window at a time: as many calls as the limit, at least twenty, at
//! most ten seconds old. A P95 is over a mark when more than one call in twenty is, so a window is a few counters.
//!
//! | in the window | the limit |
//! | --- | --- |
//! | more than a tenth of the items throttled | is halved, at once |
//! | P95 over 1.2 of the target; failed calls count as over | loses a fifth, at once; down to the starting limit unless calls failed |
//! | P95 from 0.8 to 1.2 of the target | stays |
//! | P95 under 0.8 of the target, limit reached | grows by one; doubles until the first window that is not under 0.8 |
//! | P95 under 0.8 of the target, limit not reached | stays |
//!
//! - *One decrease a round trip.* A call that was in flight at the last decrease causes no other, so a burst of throttles is
//!   one event. Slow ones among them still forbid growth, since the calls that end soon after a decrease are the quick ones.
//! - *Slow return.* Growth to the limit that was last found too high takes five good windows instead of one. With small limits a
//!   step is a large part of the whole, and trying at every window would by itself put the P95 over the target.
//! - *Restart after idle.* A frozen function learns nothing. When no call has run for a second, the limit is lifted to the
//!   starting limit with a new window. A higher limit is kept, with the calls of the last ten seconds: were it wrong, one window
//!   would tell.
//!
//! # Sources
//!
//! - TCP and QUIC (RFC 5681, 6928, 9002): doubling at the start from a small first window; one reduction a round trip, told
//!   by when the packet was sent; a new start after idleness; and from CUBIC (RFC 9438) the pause under the last maximum.
//! - Netflix concurrency-limits: windows with a least number of samples, so that no single call steers. Not its gradient:
//!   that compares latency with its own long mean, which follows a table that slows down, and our target is absolute.
//! - Vector's adaptive request concurrency: growth only when the limit was reached, else an idle process drifts to the upper
//!   bound and floods the table when its load returns. Not its mean latency, which cannot keep a P95.
//! - Flink's DynamoDB sink: halving on throttling. Not a cut for each failed call, which turns one burst into many cuts, nor
//!   growth with each success. It has no latency signal.
//!
//! Whether a cut helped is not asked. With a thousand processes on a table the share refused does not depend on the cuts of
//! one, so each would learn that its own are useless, and the fleet would stop yielding.
//!
//! # Settings
//!
//! | setting | range | low | high |
//! | --- | --- | --- | --- |
//! | target latency | over 0 | under what the idle table takes, nothing meets it and the limit stays at the starting limit | latency is traded for throughput, until only throttles limit |
//! | least in flight | 1 to the most | backs off the most | keeps sending to a throttled table |
//! | most in flight | the least or more | throughput ends at `most / latency` calls a second | more connections, memory and harm before the first window |
//!
//! A hot partition that refuses more than a tenth of all items looks like a table at its capacity, and the limit follows it
//! down. Where that is the rule, raise the least in flight, or better, spread the key. A call refused for a hot key alone, as
//! its throttling reasons say, is best not recorded: drop its permit.

mod aimd;
mod concurrency;
mod shares;

pub use aimd::{AimdLimit, CallOutcome, InvalidLimit, Sample, State};
pub(crate) use concurrency::any_permit;
pub use concurrency::{ConcurrencyLimiter, Permit};
