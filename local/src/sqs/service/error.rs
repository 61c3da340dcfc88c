//! SQS errors in the format of its JSON protocol.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};

use super::super::api::Refusal;

/// Declares the errors in one table: HTTP status, namespace of `__type`, and the code of the older query protocol, which the
/// header `x-amzn-query-error` contains.
macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $status:literal $namespace:literal $query:literal,)+) => {
        /// Error code of a whole call.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum ErrorCode { $($(#[$doc])* $name,)+ }

        impl ErrorCode {
            /// Returns the code, such as `RequestThrottled`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            const fn facts(self) -> (u16, &'static str, &'static str) {
                match self { $(Self::$name => ($status, $namespace, $query),)+ }
            }

            fn of_name(name: &str) -> Option<Self> {
                match name { $(stringify!($name) => Some(Self::$name),)+ _ => None }
            }
        }
    };
}

error_codes! {
    /// The queue's or the account's request rate is exceeded.
    RequestThrottled = 400 "com.amazonaws.sqs" "RequestThrottled",
    /// The request rate is exceeded, reported by the service's front end.
    ThrottlingException = 400 "com.amazon.coral.availability" "Throttling",
    /// The request rate of the queue's KMS key is exceeded.
    KmsThrottled = 400 "com.amazonaws.sqs" "KMS.ThrottlingException",
    /// The caller may not use the queue's KMS key.
    KmsAccessDenied = 400 "com.amazonaws.sqs" "KMS.AccessDeniedException",
    /// The service failed.
    InternalFailure = 500 "com.amazon.coral.service" "InternalFailure",
    /// The service is not available.
    ServiceUnavailable = 503 "com.amazon.coral.availability" "ServiceUnavailable",
    /// The session token has expired.
    ExpiredTokenException = 403 "com.amazon.coral.service" "ExpiredToken",
    /// The credentials are unknown.
    UnrecognizedClientException = 403 "com.amazon.coral.service" "InvalidClientTokenId",
    /// The caller lacks a permission.
    AccessDeniedException = 403 "com.amazon.coral.service" "AccessDenied",
    /// The queue does not exist.
    QueueDoesNotExist = 400 "com.amazonaws.sqs" "AWS.SimpleQueueService.NonExistentQueue",
    /// Too many messages are in flight.
    OverLimit = 403 "com.amazonaws.sqs" "OverLimit",
    /// The receipt handle is not valid.
    ReceiptHandleIsInvalid = 400 "com.amazonaws.sqs" "ReceiptHandleIsInvalid",
    /// The message is visible, so it is not in flight.
    MessageNotInflight = 400 "com.amazonaws.sqs" "AWS.SimpleQueueService.MessageNotInflight",
    /// A value is outside its range, or does not fit the queue.
    InvalidParameterValue = 400 "com.amazonaws.sqs" "InvalidParameterValue",
    /// A required parameter is missing.
    MissingParameter = 400 "com.amazonaws.sqs" "MissingParameter",
    /// The message has a character that SQS does not accept.
    InvalidMessageContents = 400 "com.amazonaws.sqs" "InvalidMessageContents",
    /// The batch has no entries.
    EmptyBatchRequest = 400 "com.amazonaws.sqs" "AWS.SimpleQueueService.EmptyBatchRequest",
    /// The batch has more than ten entries.
    TooManyEntriesInBatchRequest = 400 "com.amazonaws.sqs" "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
    /// Two entries of the batch have the same id.
    BatchEntryIdsNotDistinct = 400 "com.amazonaws.sqs" "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
    /// An entry's id is empty, too long, or has characters that are not allowed.
    InvalidBatchEntryId = 400 "com.amazonaws.sqs" "AWS.SimpleQueueService.InvalidBatchEntryId",
    /// The total size of the batch's messages exceeds 1 MiB.
    BatchRequestTooLong = 400 "com.amazonaws.sqs" "AWS.SimpleQueueService.BatchRequestTooLong",
    /// The request is not valid JSON for the operation.
    SerializationException = 400 "com.amazon.coral.service" "MalformedInput",
    /// The operation is unknown.
    UnknownOperationException = 400 "com.amazon.coral.service" "InvalidAction",
}

/// An error code and its explanation.
#[derive(Debug)]
pub(super) struct CallError {
    pub(super) code: ErrorCode,
    pub(super) message: &'static str,
}

impl From<ErrorCode> for CallError {
    fn from(code: ErrorCode) -> Self {
        Self { code, message: "refused" }
    }
}

impl From<Refusal> for CallError {
    fn from(Refusal(code, message): Refusal) -> Self {
        Self { code: ErrorCode::of_name(code).unwrap_or(ErrorCode::InvalidParameterValue), message }
    }
}

/// Returns the HTTP response to a call.
pub(super) fn response(result: Result<Value, CallError>) -> Response<Full<Bytes>> {
    let (status, query, body) = match result {
        Ok(body) => (200, None, body),
        Err(CallError { code, message }) => {
            let (status, namespace, query) = code.facts();
            let fault = if status < 500 { "Sender" } else { "Receiver" };
            let body = json!({"__type": format!("{namespace}#{}", code.name()), "message": message});
            (status, Some(format!("{query};{fault}")), body)
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    if let Ok(status) = hyper::StatusCode::from_u16(status) {
        *response.status_mut() = status;
    }
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
    if let Some(value) = query.and_then(|query| HeaderValue::from_str(&query).ok()) {
        response.headers_mut().insert("x-amzn-query-error", value);
    }
    response
}
