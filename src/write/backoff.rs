//! The backoff before a retry. Pure: the jitter is an argument.

use std::time::Duration;

/// Maximum backoff. It limits how long a recovered table stays unused.
pub(super) const MAX_BACKOFF: Duration = Duration::from_secs(1);

/// An exponential backoff: a base duration that doubles with each attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Backoff(Duration);

impl Backoff {
    /// Backoff after a throttle. A table's capacity is replenished every second.
    pub(super) const THROTTLE: Self = Self(Duration::from_millis(50));
    /// Backoff after any other error. Most such errors are gone at once.
    pub(super) const TRANSIENT: Self = Self(Duration::from_millis(10));

    /// Returns the maximum backoff after `attempts` attempts. Full jitter chooses a duration between zero and this maximum.
    pub(super) fn longest(self, attempts: u8) -> Duration {
        let doublings = u32::from(attempts.saturating_sub(1)).min(16);
        self.0.saturating_mul(1 << doublings).min(MAX_BACKOFF)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backoff_doubles_with_each_attempt_up_to_a_second() {
        let longest = |backoff: Backoff| [1, 2, 3, 7, 8, 255].map(|attempts| backoff.longest(attempts).as_millis());
        assert_eq!(longest(Backoff::TRANSIENT), [10, 20, 40, 640, 1_000, 1_000]);
        assert_eq!(longest(Backoff::THROTTLE), [50, 100, 200, 1_000, 1_000, 1_000]);
    }
}
