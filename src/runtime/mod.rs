//! The main loop: requests invocations from Lambda, passes them to the handler, and delivers the responses.
//!
//! A failure of the runtime API affects only one call. After a failure the loop continues with a backoff. It ends only when
//! the API no longer exists. Decision record 0014 explains why we do not use an existing runtime. `api` implements the
//! protocol.

mod api;

use crate::clock;
use crate::invocation::{Context, Handler, InvocationError};
use api::{ApiErrorKind, Invocation, Session};
use serde::Serialize;
use std::error::Error;
use std::future::poll_fn;
use std::io::Write;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

pub use api::RuntimeApi;

/// Initial backoff after a failure of the runtime API. It doubles with each consecutive failure.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// Maximum backoff.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Time for which the runtime API must refuse connections before it is considered gone, for example because an emulator has
/// ended.
const GONE_AFTER: Duration = Duration::from_secs(1);
/// Maximum number of attempts to deliver a response. If a response is not delivered, Lambda waits until the function times
/// out.
const DELIVERIES: usize = 2;
/// Timeout for reporting a failed start to Lambda.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);

/// The body of an error report to Lambda, for a failed invocation or start.
/// <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html#runtimes-api-invokeerror>
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Diagnostic<'a> {
    error_type: &'static str,
    error_message: &'a str,
}

/// Handles `concurrency` invocations at a time until the runtime API is gone. Lambda Managed Instances use more than one.
pub async fn run(handler: Handler, api: RuntimeApi, concurrency: NonZero<usize>) {
    let (handler, api) = (Arc::new(handler), Arc::new(api));
    let poller = || poll(Arc::clone(&handler), Session::new(Arc::clone(&api)));
    let mut pollers: JoinSet<()> = (0..concurrency.get()).map(|_| poller()).collect();
    while let Some(ended) = pollers.join_next().await {
        if ended.is_err() {
            // a panic outside the handler; the panic hook has logged its location
            pollers.spawn(poller());
        }
    }
    tracing::info!("the runtime api has ended");
}

/// Handles invocations one after the other.
async fn poll(handler: Arc<Handler>, mut session: Session) {
    let mut trouble: Option<Trouble> = None;
    loop {
        match session.next().await {
            Ok(Some(invocation)) => {
                trouble = None;
                handle(&handler, &mut session, invocation).await;
            }
            Ok(None) => trouble = None,
            Err(error) => {
                let trouble = trouble.get_or_insert_default();
                let Some(pause) = trouble.pause(error.kind == ApiErrorKind::Refused, clock::now()) else { return };
                tracing::warn!(%error, pause_ms = pause.as_millis(), "no invocation from the runtime api");
                sleep(pause).await;
            }
        }
    }
}

/// Consecutive failures of the runtime API.
#[derive(Debug, Default)]
struct Trouble {
    pause: Duration,
    refused_since: Option<Instant>,
}

impl Trouble {
    /// Returns the backoff after another failure at `now`, or `None` if the API is gone.
    fn pause(&mut self, is_refused: bool, now: Instant) -> Option<Duration> {
        self.refused_since = if is_refused { self.refused_since.or(Some(now)) } else { None };
        if self.refused_since.is_some_and(|since| now.saturating_duration_since(since) >= GONE_AFTER) {
            return None;
        }
        self.pause = (2 * self.pause).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        Some(self.pause)
    }
}

async fn handle(handler: &Handler, session: &mut Session, invocation: Invocation) {
    let Invocation { payload, request_id, deadline_ms, trace_id, invocation_id } = invocation;
    let Some(deadline_ms) = deadline_ms else {
        tracing::error!(request_id, "invocation without a deadline");
        let diagnostic = Diagnostic { error_type: "InvalidInvocation", error_message: "no proper deadline" };
        return deliver(session, &request_id, invocation_id, Err(&diagnostic)).await;
    };
    let context = Context { request_id, deadline: deadline(deadline_ms, clock::since_epoch()), trace_id };
    let result = unwinding(pin!(handler.handle(&payload, &context))).await;
    let response = match result {
        Ok(result) => {
            // if writing fails, only metrics are lost
            let _ = std::io::stdout().lock().write_all(&result.metrics);
            result.response
        }
        Err(Panicked) => {
            let diagnostic =
                Diagnostic { error_type: "Panic", error_message: "the invocation panicked; the log says where" };
            return deliver(session, &context.request_id, invocation_id, Err(&diagnostic)).await;
        }
    };
    match response {
        Ok(response) => deliver(session, &context.request_id, invocation_id, Ok(&response)).await,
        Err(error) => {
            tracing::error!(request_id = context.request_id, %error, "invocation failed");
            let diagnostic = Diagnostic { error_type: error_type(&error), error_message: &error.to_string() };
            deliver(session, &context.request_id, invocation_id, Err(&diagnostic)).await;
        }
    }
}

/// Delivers the response or the error of an invocation. If the delivery fails, no other invocation is affected.
async fn deliver(
    session: &mut Session,
    request_id: &str,
    invocation_id: Option<http::HeaderValue>,
    response: Result<&crate::sqs::Response, &Diagnostic<'_>>,
) {
    let body = match response {
        Ok(response) => serde_json::to_vec(response),
        Err(diagnostic) => serde_json::to_vec(diagnostic),
    };
    let end = if response.is_ok() { "response" } else { "error" };
    let path = format!("/invocation/{request_id}/{end}");
    let error_type = response.err().map(|_| "unhandled");
    let body = bytes::Bytes::from(body.unwrap_or_default());
    for left in (0..DELIVERIES).rev() {
        match session.post(&path, body.clone(), error_type, invocation_id.as_ref()).await {
            Ok(()) => return,
            Err(error) if left > 0 && error.kind != ApiErrorKind::Rejected => {
                tracing::warn!(request_id, %error, "response not delivered, once more");
            }
            Err(error) => {
                tracing::error!(request_id, %error, "response not delivered");
                return;
            }
        }
    }
}

/// Converts the deadline from the runtime API to a time since the Unix epoch. `cargo lambda watch` sends the remaining time
/// instead of an instant, which is recognised by its small value.
fn deadline(given_ms: u64, now: Duration) -> Duration {
    /// Minimum value that counts as an instant: September 2001, in milliseconds since the Unix epoch.
    const EARLIEST_MS: u64 = 1_000_000_000_000;
    let given = Duration::from_millis(given_ms);
    if given_ms < EARLIEST_MS { now + given } else { given }
}

/// The handler of an invocation panicked. The message of the panic is not included, because it may contain data from a
/// payload.
#[derive(Debug)]
struct Panicked;

/// Converts a panic into an error of its invocation.
async fn unwinding<F: Future>(mut future: Pin<&mut F>) -> Result<F::Output, Panicked> {
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(_) => Poll::Ready(Err(Panicked)),
    })
    .await
}

fn error_type(error: &InvocationError) -> &'static str {
    match error {
        InvocationError::Malformed(_) => "MalformedEvent",
        InvocationError::Fatal(_) => "NothingStored",
    }
}

/// Reports to Lambda why the function cannot start, so that the reason is part of the invoker's error and not only in the
/// log.
/// <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html#runtimes-api-initerror>
pub async fn report_init_error(api: RuntimeApi, error: &(dyn Error + Send + Sync)) {
    let diagnostic = Diagnostic { error_type: "InvalidStart", error_message: &error.to_string() };
    let body = serde_json::to_vec(&diagnostic).unwrap_or_default();
    let mut session = Session::new(Arc::new(api));
    let sent = session.post("/init/error", body.into(), Some(diagnostic.error_type), None);
    match timeout(REPORT_TIMEOUT, sent).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "start error not reported"),
        Err(_) => tracing::warn!("start error not reported in time"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_before_2001_is_how_much_time_there_is() {
        let now = Duration::from_secs(1_700_000_000);
        assert_eq!(deadline(600_000, now), now + Duration::from_secs(600));
        assert_eq!(deadline(999_999_999_999, now), now + Duration::from_millis(999_999_999_999));
        assert_eq!(deadline(1_000_000_000_000, now), Duration::from_secs(1_000_000_000));
        assert_eq!(deadline(1_700_000_030_000, now), now + Duration::from_secs(30));
    }

    #[tokio::test]
    async fn a_panic_ends_its_future_and_nothing_else() {
        assert!(unwinding(pin!(async { panic!("{}", "the payload") })).await.is_err());
        assert_eq!(unwinding(pin!(async { 7 })).await.unwrap(), 7);
    }

    #[test]
    fn pauses_grow_to_a_second_and_only_an_api_that_refuses_connections_is_gone() {
        let start = clock::now();
        let mut trouble = Trouble::default();
        let pauses: Vec<_> = (0..20).map(|_| trouble.pause(false, start + GONE_AFTER * 9).unwrap()).collect();
        assert_eq!((pauses[0], pauses[1], pauses[19]), (FIRST_PAUSE, 2 * FIRST_PAUSE, LONGEST_PAUSE));
        let mut trouble = Trouble::default();
        assert!(trouble.pause(true, start).is_some());
        assert!(trouble.pause(false, start + GONE_AFTER / 2).is_some(), "the api still exists");
        assert!(trouble.pause(true, start + GONE_AFTER).is_some());
        assert!(trouble.pause(true, start + 2 * GONE_AFTER).is_none());
    }
}
