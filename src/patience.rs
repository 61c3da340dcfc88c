//! A timeout that tolerates delays of the runtime itself: a late runtime first reads the responses that have already
//! arrived.

use crate::clock;
use std::pin::pin;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// Maximum delay of a timer on a runtime that is not overloaded.
const ON_TIME: Duration = Duration::from_millis(10);
/// Additional time for a delayed runtime to read the responses that have arrived.
const CATCH_UP: Duration = Duration::from_millis(100);

/// Waits for `response` until `deadline`. Returns `None` if it did not arrive in time.
///
/// If the timer itself is late, other tasks were delayed too. The response may already be in the buffer of its connection,
/// whose task has not run yet.
pub(crate) async fn in_time<F: Future>(deadline: Instant, response: F) -> Option<F::Output> {
    let mut response = pin!(response);
    if let Ok(response) = timeout_at(deadline, response.as_mut()).await {
        return Some(response);
    }
    let is_late = clock::now().saturating_duration_since(deadline) > ON_TIME;
    let more = if is_late { CATCH_UP } else { Duration::ZERO };
    timeout(more, response).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use tokio::task::yield_now;

    #[tokio::test(start_paused = true)]
    async fn what_does_not_come_is_given_up_on_time() {
        let deadline = clock::now() + Duration::from_secs(2);
        assert_eq!(in_time(deadline, pending::<()>()).await, None);
        assert!(clock::now() - deadline <= Duration::from_millis(1));
        assert_eq!(in_time(deadline, async { 7 }).await, Some(7), "a response that has arrived is returned");
    }

    #[tokio::test]
    async fn a_response_that_arrived_while_the_runtime_was_late_is_read() {
        let deadline = clock::now() + Duration::from_millis(20);
        let response = async {
            // simulates another task that blocks the thread; the response arrives meanwhile, and several tasks must run
            // before it can be read
            std::thread::sleep(Duration::from_millis(200));
            for _ in 0..5 {
                // longer in total than the resolution of a timer
                std::thread::sleep(Duration::from_millis(1));
                yield_now().await;
            }
            7
        };
        assert_eq!(in_time(deadline, response).await, Some(7));
    }
}
