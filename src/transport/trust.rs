//! Decides which idle connections to a host may be used for the next call.
//!
//! A connection can die unnoticed: a NAT gateway, a VPC endpoint or a load balancer fails over, or the environment is
//! frozen until they have forgotten the connection. New connections then work at once, but each attempt to use an old one
//! costs a timeout. Therefore an idle connection is trusted only if there is proof that it works. A proof is that it was
//! opened or carried a response.
//!
//! - After a call without a response, connections are trusted only if their proof is more recent than the start of that
//!   call.
//! - If no connection to the host has had a proof for [`MAX_GAP`], no connection is trusted.

use crate::clock;
use std::time::Duration;
use tokio::time::Instant;

/// Maximum time without a proof after which idle connections are still trusted. Lambda freezes an environment between
/// invocations.
pub(super) const MAX_GAP: Duration = Duration::from_secs(10);

/// A point in time, measured with two clocks. The monotonic clock may stop while the environment is frozen, and the wall
/// clock may be set back. The longer of the two measured durations counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) monotonic: Instant,
    /// Time since the Unix epoch.
    pub(super) wall: Duration,
}

impl Moment {
    pub(super) fn now() -> Self {
        Self { monotonic: clock::now(), wall: clock::since_epoch() }
    }

    fn since(self, earlier: Self) -> Duration {
        let monotonic = self.monotonic.saturating_duration_since(earlier.monotonic);
        monotonic.max(self.wall.saturating_sub(earlier.wall))
    }
}

/// The evidence about the connections to one host.
#[derive(Debug, Default)]
pub(super) struct Trust {
    /// Time of the last proof by any of the connections.
    proven_at: Option<Moment>,
    /// Connections whose proof is not more recent than this are not trusted.
    needs_proof_since: Option<Instant>,
}

impl Trust {
    /// Records that a call requests a connection at `now`.
    pub(super) fn begin(&mut self, now: Moment) {
        if self.proven_at.is_some_and(|proven_at| now.since(proven_at) > MAX_GAP) {
            self.no_response(now.monotonic);
        }
    }

    /// Records that a connection was opened, or carried a response, at `now`.
    pub(super) fn confirm(&mut self, now: Moment) {
        self.proven_at = Some(now);
    }

    /// Records that a call that started at `began` got no response.
    pub(super) fn no_response(&mut self, began: Instant) {
        self.needs_proof_since = self.needs_proof_since.max(Some(began));
    }

    /// Returns whether a connection whose last proof was at `proven_at` may be used for a call.
    pub(super) fn is_trusted(&self, proven_at: Instant) -> bool {
        self.needs_proof_since.is_none_or(|since| proven_at > since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn moment(start: Moment, monotonic: Duration, wall: Duration) -> Moment {
        Moment { monotonic: start.monotonic + monotonic, wall: start.wall + wall }
    }

    #[test]
    fn after_a_call_without_response_only_what_was_proven_since_it_began_is_trusted() {
        let start = Moment::now().monotonic;
        let mut trust = Trust::default();
        assert!(trust.is_trusted(start));
        trust.no_response(start + 5 * MS);
        assert!(!trust.is_trusted(start) && !trust.is_trusted(start + 5 * MS) && trust.is_trusted(start + 6 * MS));
        trust.no_response(start + 3 * MS);
        assert!(!trust.is_trusted(start + 4 * MS), "an older failure changes nothing");
    }

    #[test]
    fn a_gap_counts_by_the_clock_that_saw_more_of_it() {
        let (start, zero, over) = (Moment::now(), Duration::ZERO, MAX_GAP + MS);
        for (monotonic, wall, is_trusted) in [
            (MAX_GAP, MAX_GAP, true),
            (over, over, false),
            (over, zero, false),
            // the monotonic clock stops while the environment is frozen
            (zero, over, false),
        ] {
            let mut trust = Trust::default();
            trust.begin(start);
            trust.confirm(start);
            trust.begin(moment(start, monotonic, wall));
            assert_eq!(trust.is_trusted(start.monotonic), is_trusted, "{monotonic:?} {wall:?}");
        }
    }

    #[test]
    fn a_connection_that_is_opened_after_a_gap_ends_it() {
        let start = Moment::now();
        let mut trust = Trust::default();
        trust.confirm(start);
        let after = moment(start, 2 * MAX_GAP, 2 * MAX_GAP);
        trust.begin(after);
        let opened = moment(after, MS, MS);
        trust.confirm(opened);
        trust.begin(moment(opened, MS, MS));
        assert!(trust.is_trusted(opened.monotonic) && !trust.is_trusted(start.monotonic));
    }
}
