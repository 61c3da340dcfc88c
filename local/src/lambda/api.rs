//! The four calls of the Lambda Runtime API over HTTP.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::{Method, Request, Response, StatusCode};
use serde::Deserialize;

use super::Outcome;
use super::environment::{Assignment, Environment};
use crate::clock;

/// Maximum size of an invocation's response, in bytes.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
const MAX_RESPONSE_BYTES: usize = 6 * 1024 * 1024;

const PREFIX: &str = "/2018-06-01/runtime/";

/// The environment can no longer respond, because its process has ended.
#[derive(Debug)]
pub(super) struct EnvironmentEnded;

impl From<EnvironmentEnded> for Box<dyn std::error::Error + Send + Sync> {
    fn from(_: EnvironmentEnded) -> Self {
        "the environment has ended".into()
    }
}

/// Responds to one request from the process of `environment`, which runs the function `arn`.
pub(super) async fn answer(
    environment: Arc<Environment>,
    arn: Arc<str>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, EnvironmentEnded> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    if (&head.method, path) == (&Method::GET, "invocation/next") {
        let assignment = environment.poll(clock::now()).await.map_err(|_| EnvironmentEnded)?;
        return Ok(next_response(&arn, assignment));
    }
    let body = body.collect().await.map_err(|_| EnvironmentEnded)?.to_bytes();
    let segments: Vec<_> = path.split('/').collect();
    let (status, answer) = match (head.method, segments.as_slice()) {
        (Method::POST, ["invocation", request_id, "response"]) => respond(&environment, request_id, body),
        (Method::POST, ["invocation", request_id, "error"]) => {
            let error = Report::read(&head.headers, &body);
            finish(&environment, request_id, Outcome::Error { error_type: error.error_type, message: error.message })
        }
        (Method::POST, ["init", "error"]) => {
            let error = Report::read(&head.headers, &body);
            environment.fail_init(error.error_type, error.message);
            (StatusCode::ACCEPTED, ACCEPTED)
        }
        _ => (StatusCode::NOT_FOUND, r#"{"errorType":"NotFound","errorMessage":"no such call"}"#),
    };
    let mut response = Response::new(Full::new(Bytes::from_static(answer.as_bytes())));
    *response.status_mut() = status;
    Ok(response)
}

const ACCEPTED: &str = r#"{"status":"OK"}"#;

fn respond(environment: &Environment, request_id: &str, body: Bytes) -> (StatusCode, &'static str) {
    if body.len() <= MAX_RESPONSE_BYTES {
        return finish(environment, request_id, Outcome::Response(body));
    }
    let message = format!("Response payload size exceeded maximum allowed payload size ({MAX_RESPONSE_BYTES} bytes).");
    finish(environment, request_id, Outcome::Error { error_type: "Function.ResponseSizeTooLarge".to_owned(), message });
    (
        StatusCode::PAYLOAD_TOO_LARGE,
        r#"{"errorType":"RequestEntityTooLarge","errorMessage":"the response is too large"}"#,
    )
}

fn finish(environment: &Environment, request_id: &str, outcome: Outcome) -> (StatusCode, &'static str) {
    if environment.finish(request_id, outcome, clock::now()) {
        (StatusCode::ACCEPTED, ACCEPTED)
    } else {
        (
            StatusCode::BAD_REQUEST,
            r#"{"errorType":"InvalidRequestID","errorMessage":"the invocation is not in flight"}"#,
        )
    }
}

fn next_response(arn: &str, assignment: Assignment) -> Response<Full<Bytes>> {
    let Assignment { request_id, payload, timeout } = assignment;
    let deadline = clock::since_epoch() + timeout;
    let mut response = Response::new(Full::new(payload));
    let trace_id = trace_id(&request_id);
    for (name, value) in [
        ("content-type", "application/json"),
        ("lambda-runtime-aws-request-id", &request_id),
        ("lambda-runtime-deadline-ms", &deadline.as_millis().to_string()),
        ("lambda-runtime-invoked-function-arn", arn),
        ("lambda-runtime-trace-id", &trace_id),
    ] {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Returns an X-Ray trace header derived from the invocation's id.
fn trace_id(request_id: &str) -> String {
    let digits: String = request_id.split('-').collect();
    let (time, rest) = digits.split_at_checked(8).unwrap_or_default();
    let (parent, _) = rest.split_at_checked(16).unwrap_or_default();
    format!("Root=1-{time}-{rest};Parent={parent};Sampled=0")
}

/// An error that a process reports.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Report {
    #[serde(rename = "errorType")]
    error_type: String,
    #[serde(rename = "errorMessage")]
    message: String,
}

impl Report {
    /// Reads the error type and message from the body. If the body has no error type, it is read from the header.
    fn read(headers: &HeaderMap, body: &[u8]) -> Self {
        let report: Self = serde_json::from_slice(body).unwrap_or_default();
        if !report.error_type.is_empty() {
            return report;
        }
        let header = headers.get("lambda-runtime-function-error-type").and_then(|value| value.to_str().ok());
        Self { error_type: header.unwrap_or("Runtime.Unknown").to_owned(), ..report }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_id_has_the_lengths_x_ray_wants() {
        let trace_id = trace_id("0e3f1a2b-1111-4222-8333-444455556666");
        assert_eq!(trace_id, "Root=1-0e3f1a2b-111142228333444455556666;Parent=1111422283334444;Sampled=0");
    }

    #[test]
    fn an_error_report_is_read_from_the_body_and_else_from_the_header() {
        let headers = HeaderMap::from_iter([(
            hyper::header::HeaderName::from_static("lambda-runtime-function-error-type"),
            hyper::header::HeaderValue::from_static("Header"),
        )]);
        let read = |headers: &HeaderMap, body: &str| {
            let Report { error_type, message } = Report::read(headers, body.as_bytes());
            (error_type, message)
        };
        let owned = |error_type: &str, message: &str| (error_type.to_owned(), message.to_owned());
        assert_eq!(
            read(&headers, r#"{"errorType":"Body","errorMessage":"why","stackTrace":[]}"#),
            owned("Body", "why")
        );
        assert_eq!(read(&headers, r#"{"errorMessage":"why"}"#), owned("Header", "why"));
        assert_eq!(read(&headers, "no json"), owned("Header", ""));
        assert_eq!(read(&HeaderMap::new(), ""), owned("Runtime.Unknown", ""));
    }
}
