//! The one place of this crate that reads the clock. Everything else takes the time as an argument.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// The monotonic clock, which follows tokio's paused time in tests.
#[expect(clippy::disallowed_methods, reason = "this is the home of the clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// The time of day.
#[expect(clippy::disallowed_methods, reason = "this is the home of the clock")]
pub(crate) fn system_time() -> SystemTime {
    SystemTime::now()
}

/// Time since the Unix epoch: what [`sqs::Queue`](crate::sqs::Queue) takes as `now`.
pub fn since_epoch() -> Duration {
    system_time().duration_since(UNIX_EPOCH).unwrap_or_default()
}
