//! A time limit that counts only against what has not come: a runtime that is late itself reads first what is there.

use crate::clock;
use std::pin::pin;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// How late a timer may be on a runtime that keeps up.
const ON_TIME: Duration = Duration::from_millis(10);
/// How long a runtime that was late may take to read what has arrived.
const CATCH_UP: Duration = Duration::from_millis(100);

/// Waits for `response` until `deadline`. `None` if it did not come in time.
///
/// If the timer is late, so was everything else: a response may be in the buffer of its connection, whose task has not been run yet.
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
        assert_eq!(in_time(deadline, async { 7 }).await, Some(7), "and what is there is taken, however late");
    }

    #[tokio::test]
    async fn a_response_that_arrived_while_the_runtime_was_late_is_read() {
        let deadline = clock::now() + Duration::from_millis(20);
        let response = async {
            // what another task does to the thread; meanwhile the response comes, and some tasks have to be run until it is here
            std::thread::sleep(Duration::from_millis(200));
            for _ in 0..5 {
                // longer than the resolution of a timer in all
                std::thread::sleep(Duration::from_millis(1));
                yield_now().await;
            }
            7
        };
        assert_eq!(in_time(deadline, response).await, Some(7));
    }
}
