//! The only place that reads the clock. All other code receives the time as an argument.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Returns the time of the monotonic clock. In tests it follows tokio's paused time.
#[expect(clippy::disallowed_methods, reason = "this is the home of the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Returns the time since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "this is the home of the clock")]
pub(crate) fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
