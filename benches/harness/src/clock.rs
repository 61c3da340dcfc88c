//! The one place of this package that asks what time it is.

use std::time::Instant;

/// The monotonic clock.
#[expect(clippy::disallowed_methods, reason = "this is the home of the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
