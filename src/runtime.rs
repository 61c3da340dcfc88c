//! The Lambda runtime around the handler.
//!
//! The runtime would parse each payload into an owned event before the handler sees it. A layer in front takes the payload
//! away, leaves `null` to parse, and hands the bytes over uncopied; errors, panics and answers stay the runtime's.

use crate::clock;
use crate::handler::{Context, Handler, InvocationError};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use lambda_runtime::tower::{Layer, Service};
use lambda_runtime::{Diagnostic, Error, LambdaEvent, LambdaInvocation, Runtime, service_fn};
use serde::de::IgnoredAny;
use std::future::poll_fn;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;
use tokio::time::timeout;

tokio::task_local! {
    static PAYLOAD: Bytes;
}

/// Answers invocations until the environment ends. Under Lambda Managed Instances several at a time, else one by one.
///
/// # Errors
/// When what the runtime API says makes no sense.
pub async fn run(handler: Handler) -> Result<(), Error> {
    let handler = Arc::new(handler);
    let service = service_fn(move |event: LambdaEvent<IgnoredAny>| {
        let handler = Arc::clone(&handler);
        async move {
            let context = Context {
                request_id: event.context.request_id,
                deadline: deadline(event.context.deadline, clock::since_epoch()),
                trace_id: event.context.xray_trace_id,
            };
            let payload = PAYLOAD.with(Bytes::clone);
            let answer = unwinding(pin!(handler.handle(&payload, &context))).await?;
            // a line lost costs a metric, not a message
            let _ = std::io::stdout().lock().write_all(&answer.metrics);
            answer.response.map_err(|error| {
                tracing::error!(request_id = context.request_id, %error, "invocation failed");
                Diagnostic::from(error)
            })
        }
    });
    match Runtime::new(service).layer(ServeOn).run_concurrent().await {
        // it ends before the process does, as an emulator's
        Err(error) if error.is::<hyper_util::client::legacy::Error>() => {
            tracing::info!("the runtime api has ended");
            Ok(())
        }
        ended => ended,
    }
}

/// The deadline, since the Unix epoch, that the runtime API gives in milliseconds. That of `cargo lambda watch` is how much
/// time there is.
fn deadline(given_ms: u64, now: Duration) -> Duration {
    /// In 2001.
    const EARLIEST_MS: u64 = 1_000_000_000_000;
    let given = Duration::from_millis(given_ms);
    if given_ms < EARLIEST_MS { now + given } else { given }
}

/// Makes a panic an error of its invocation. The runtime would do so too, but quote the panic's message, and with it
/// perhaps a payload.
async fn unwinding<F: Future>(mut future: Pin<&mut F>) -> Result<F::Output, Diagnostic> {
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(_) => Poll::Ready(Err(Diagnostic {
            error_type: "Panic".to_owned(),
            error_message: "the invocation panicked; the log says where".to_owned(),
        })),
    })
    .await
}

impl From<InvocationError> for Diagnostic {
    fn from(error: InvocationError) -> Self {
        let error_type = match error {
            InvocationError::Malformed(_) => "MalformedEvent",
            InvocationError::Fatal(_) => "NothingStored",
        };
        Self { error_type: error_type.to_owned(), error_message: error.to_string() }
    }
}

/// How long Lambda is told why the function cannot start.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);

/// Tells Lambda why the function cannot start, so that the reason stands in the invoker's error and not only in the log.
/// `runtime_api` is `host:port`, or a URL where an emulator has it so.
/// <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html#runtimes-api-initerror>
pub async fn report_init_error(runtime_api: Option<&str>, message: &str) {
    let Some(runtime_api) = runtime_api else { return };
    let scheme = if runtime_api.contains("://") { "" } else { "http://" };
    let url = format!("{scheme}{}/2018-06-01/runtime/init/error", runtime_api.trim_end_matches('/'));
    let body = serde_json::json!({"errorType": "InvalidStart", "errorMessage": message}).to_string();
    let request = Request::post(url)
        .header("content-type", "application/json")
        .header("lambda-runtime-function-error-type", "InvalidStart")
        .body(Full::new(Bytes::from(body)));
    let sent = async {
        let client = Client::builder(TokioExecutor::new()).build_http();
        // the answer says nothing of use, but the process must not end before it is there
        client.request(request?).await.map_err(Error::from)
    };
    match timeout(REPORT_TIMEOUT, sent).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(%error, "start error not reported"),
        Err(_) => tracing::warn!("start error not reported in time"),
    }
}

/// The layer in front of the runtime's own services.
struct ServeOn;

impl<S> Layer<S> for ServeOn {
    type Service = ServedOn<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ServedOn { inner }
    }
}

/// Takes the payload away before the runtime parses it, and goes on where the runtime would not: an answer that cannot be
/// delivered concerns its invocation alone, but would end the runtime, or under Managed Instances one of its workers.
#[derive(Clone)]
struct ServedOn<S> {
    inner: S,
}

impl<S> Service<LambdaInvocation> for ServedOn<S>
where
    S: Service<LambdaInvocation, Response = (), Error = Error>,
    S::Future: Send + 'static,
{
    type Response = ();
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut invocation: LambdaInvocation) -> Self::Future {
        let payload = std::mem::replace(&mut invocation.body, Bytes::from_static(b"null"));
        let request_id = invocation.context.request_id.clone();
        let answered = PAYLOAD.scope(payload, self.inner.call(invocation));
        Box::pin(async move {
            if let Err(error) = answered.await {
                tracing::error!(request_id, %error, "answer not delivered");
            }
            Ok(())
        })
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
    async fn a_panic_is_an_error_that_does_not_quote_it() {
        let panics = pin!(async { panic!("{}", "the payload") });
        let diagnostic = unwinding::<_>(panics).await.unwrap_err();
        assert!(!diagnostic.error_message.contains("payload"));
        assert_eq!(unwinding(pin!(async { 7 })).await.unwrap(), 7);
    }
}
