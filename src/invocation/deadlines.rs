//! The deadlines of an invocation, computed once at its start. Pure: no I/O, clock or randomness.

use std::time::Duration;
use tokio::time::Instant;

/// Maximum time reserved for quarantining messages that the table refuses. The writes end this much earlier.
const QUARANTINE_TIME: Duration = Duration::from_secs(2);

/// The deadlines of the steps of an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deadlines {
    /// End of decoding and writing. No work starts after it.
    pub(crate) writes: Instant,
    /// End of the calls to the quarantine queue.
    pub(crate) quarantine: Instant,
    /// End of the calls that change the visibility of returned messages. The response is sent at this time.
    pub(crate) response: Instant,
}

/// The steps after the writes for which time is reserved.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reserved {
    /// Time reserved for changing the visibility of returned messages.
    pub(crate) visibility: Duration,
    pub(crate) has_quarantine: bool,
}

impl Deadlines {
    /// Returns the deadlines of an invocation that has the time `left` from `now` on.
    pub(crate) fn new(now: Instant, left: Duration, reserved: Reserved) -> Self {
        let before_response = left.saturating_sub(reserved.visibility);
        let for_quarantine =
            if reserved.has_quarantine { QUARANTINE_TIME.min(before_response / 4) } else { Duration::ZERO };
        Self {
            writes: now + (before_response - for_quarantine),
            quarantine: now + before_response,
            response: now + left,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn the_writes_leave_time_to_the_quarantine_and_both_leave_time_to_the_visibility() {
        let now = clock::now();
        let seconds = |left: u64, visibility: u64, has_quarantine| {
            let reserved = Reserved { visibility: Duration::from_secs(visibility), has_quarantine };
            let Deadlines { writes, quarantine, response } = Deadlines::new(now, Duration::from_secs(left), reserved);
            [writes, quarantine, response].map(|end| (end - now).as_secs())
        };
        assert_eq!(seconds(20, 0, false), [20, 20, 20]);
        assert_eq!(seconds(20, 1, false), [19, 19, 20]);
        assert_eq!(seconds(20, 1, true), [17, 19, 20]);
        assert_eq!(seconds(4, 0, true), [3, 4, 4], "at most a quarter of a short time");
        assert_eq!(seconds(1, 5, true), [0, 0, 1]);
    }
}
