//! The Lambda runtime around the handler.
//!
//! The runtime would parse each payload into an owned event before the handler sees it. A layer in front takes the payload
//! away, leaves `null` to parse, and hands the bytes over uncopied; errors, panics and answers stay the runtime's.

use crate::handler::{Context, Handler, InvocationError};
use bytes::Bytes;
use lambda_runtime::tower::{Layer, Service};
use lambda_runtime::{Diagnostic, Error, LambdaEvent, LambdaInvocation, Runtime, service_fn};
use serde::de::IgnoredAny;
use std::future::Future;
use std::io::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

tokio::task_local! {
    static PAYLOAD: Bytes;
}

/// Answers invocations until the environment ends. Under Lambda Managed Instances several at a time, else one by one.
///
/// # Errors
/// When the runtime API is not to be reached.
pub async fn run(handler: Handler) -> Result<(), Error> {
    let handler = Arc::new(handler);
    let service = service_fn(move |event: LambdaEvent<IgnoredAny>| {
        let handler = Arc::clone(&handler);
        async move {
            let context = Context {
                request_id: event.context.request_id,
                deadline: Duration::from_millis(event.context.deadline),
                trace_id: event.context.xray_trace_id,
            };
            let payload = PAYLOAD.with(Bytes::clone);
            let answer = handler.handle(&payload, &context).await;
            // a line lost costs a metric, not a message
            let _ = std::io::stdout().lock().write_all(&answer.metrics);
            answer.response.inspect_err(|error| {
                tracing::error!(request_id = context.request_id, %error, "invocation failed");
            })
        }
    });
    Runtime::new(service).layer(TakePayload).run_concurrent().await
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

/// Tells Lambda why the function cannot start, so that the reason stands in the invoker's error and not only in the log.
/// <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html#runtimes-api-initerror>
pub async fn report_init_error(runtime_api: Option<&str>, message: &str) {
    let Some(runtime_api) = runtime_api else { return };
    let body = serde_json::json!({"errorType": "InvalidStart", "errorMessage": message}).to_string();
    let request = format!(
        "POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: {runtime_api}\r\nContent-Type: application/json\r\n\
         Lambda-Runtime-Function-Error-Type: InvalidStart\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let sent = async {
        let mut stream = TcpStream::connect(runtime_api).await?;
        stream.write_all(request.as_bytes()).await?;
        // the answer says nothing of use, but the process must not end before it is there
        stream.read_to_end(&mut Vec::new()).await
    };
    if let Err(error) = sent.await {
        tracing::warn!(%error, "start error not reported");
    }
}

struct TakePayload;

impl<S> Layer<S> for TakePayload {
    type Service = PayloadTaken<S>;

    fn layer(&self, inner: S) -> Self::Service {
        PayloadTaken { inner }
    }
}

#[derive(Clone)]
struct PayloadTaken<S> {
    inner: S,
}

impl<S> Service<LambdaInvocation> for PayloadTaken<S>
where
    S: Service<LambdaInvocation>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut TaskContext<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut invocation: LambdaInvocation) -> Self::Future {
        let payload = std::mem::replace(&mut invocation.body, Bytes::from_static(b"null"));
        Box::pin(PAYLOAD.scope(payload, self.inner.call(invocation)))
    }
}
