//! The only module of this crate that reads the clock. All other code receives the time as an argument.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Returns the time of the monotonic clock, which follows tokio's paused time in tests.
#[expect(clippy::disallowed_methods, reason = "this is the home of the clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// Returns the wall-clock time.
#[expect(clippy::disallowed_methods, reason = "this is the home of the clock")]
pub(crate) fn system_time() -> SystemTime {
    SystemTime::now()
}

/// Returns the time since the Unix epoch, which [`sqs::Queue`](crate::sqs::Queue) expects as `now`.
pub fn since_epoch() -> Duration {
    system_time().duration_since(UNIX_EPOCH).unwrap_or_default()
}
