//! How many write calls may be in flight: [`ConcurrencyLimiter`] lets them pass, [`AimdLimit`] says how many.
//!
//! One limiter serves all invocations of the process, and its state outlives them. It limits calls, not items or bytes, because
//! calls in flight are what waits in line at the table. It owns the limit, the count of calls in flight and the line of
//! waiters; when a call starts, what it holds and whether it is tried again are the writer's.
//!
//! # What always holds
//!
//! - No call starts while as many as the limit are in flight. A limit that shrinks ends no call; it lets none start.
//! - Permits are given in the order they were asked for. A waiter may be dropped at any time and costs nobody a place.
//! - A permit's place is freed when it is dropped, whether it was recorded, forgotten or lost to a panic.
//! - The limit stays between the bounds, and no sample does more than halve or double it, but the first after a silence.
//! - A sample costs a few additions: nothing is allocated, kept or sorted.
//!
//! # The aimd
//!
//! Additive increase, multiplicative decrease, decided a window at a time: as many calls as the limit, at least twenty, at
//! most ten seconds old. A P95 is over a mark when more than one call in twenty is, so a window is a few counters.
//!
//! | in the window | the limit |
//! | --- | --- |
//! | more than a tenth of the items refused for throughput | is halved, at once |
//! | P95 over 1.2 of the target; failed calls count as over | loses a fifth, at once |
//! | P95 from 0.8 to 1.2 of the target | stays |
//! | P95 under 0.8 of the target, limit reached | grows by one, until the first strain to its double |
//! | P95 under 0.8 of the target, limit not reached | stays |
//!
//! - *A cut counts once a round trip.* A call that was in flight at the last cut causes no other, so a burst of refusals is
//!   one event. Slow ones among them still forbid growth, since the calls that end soon after a cut are the quick ones.
//! - *What went wrong is tried again with patience*: growth to the limit that was last cut takes five good windows instead
//!   of one. With small limits a step is a large part of the whole, and trying at every window would by itself put the P95
//!   over the target.
//! - *A silence forgives.* A frozen function learns nothing. When no call has run for a second, the limit is lifted to where
//!   a new process starts, 4; calls from before stop counting when they are ten seconds old. A higher limit is kept: were it
//!   wrong, one window would tell.
//!
//! # What was taken from whom
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
//! | target latency | over 0 | under what the idle table takes, nothing meets it and the limit stays at the lower bound | latency is given for throughput, until only refusals limit |
//! | least in flight | 1 to the most | yields to the utmost | a floor under throttling: the table refuses instead of us waiting |
//! | most in flight | the least or more | throughput ends at `most / latency` calls a second | more connections, memory and harm before the first window |
//!
//! A hot partition that refuses more than a tenth of all items looks like a table at its capacity, and the limit follows it
//! down. Where that is the rule, raise the least in flight, or better, spread the key. A call refused for a hot key alone, as
//! its throttling reasons say, is best not recorded: drop its permit.

mod aimd;
mod concurrency;

pub use aimd::{AimdLimit, CallOutcome, InvalidLimit, Sample, State};
pub use concurrency::{ConcurrencyLimiter, Permit};
