//! Texts of AWS errors for the log.
//!
//! A text consists of the kind of error, its code, the cause in the network, and messages that are known to quote no
//! values. An error's own text may contain the whole request, and with it the body of a message.

use crate::transport::TransportError;
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use std::borrow::Cow;
use std::error::Error;
use std::io;

/// Maximum length of an error code in the log, in bytes. The codes of AWS are far shorter.
const MAX_CODE_BYTES: usize = 100;
/// Maximum length of a message in the log, in bytes.
const MAX_MESSAGE_BYTES: usize = 300;
/// Errors whose messages name the caller, a resource, a key or a capacity, but contain nothing of an item. The names
/// are without the suffix `Exception`, which some services leave out.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/CommonErrors.html>
const ERRORS_WITHOUT_VALUES: [&str; 33] = [
    "AccessDenied",
    "DependencyTimeout",
    "Disabled",
    "ExpiredToken",
    "IncompleteSignature",
    "InternalFailure",
    "InternalServerError",
    "InvalidClientTokenId",
    "InvalidSignature",
    "KMSAccessDenied",
    "KMSDisabled",
    "KMSInternal",
    "KMSInvalidState",
    "KMSNotFound",
    "KMSOptInRequired",
    "KMSThrottling",
    "KeyUnavailable",
    "LimitExceeded",
    "MissingAuthenticationToken",
    "NotAuthorized",
    "OptInRequired",
    "ReplicatedWriteConflict",
    "RequestExpired",
    "RequestTimeout",
    "RequestTimeTooSkewed",
    "ResourceInUse",
    "ResourceNotFound",
    "ServiceUnavailable",
    "SignatureDoesNotMatch",
    "TransactionConflict",
    "TableInUse",
    "TableNotFound",
    "UnrecognizedClient",
];

/// Starts of messages that DynamoDB completes with names of attributes and indexes, types and limits.
const NAMING_MESSAGES: [&str; 7] = [
    "One or more parameter values were invalid: Type mismatch for key ",
    "One or more parameter values were invalid: Type mismatch for Index Key ",
    "One or more parameter values were invalid: Missing the key ",
    "One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit",
    "One or more parameter values were invalid: Aggregated size of all range keys has exceeded the size limit",
    "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty ",
    "One or more parameter values are not valid. A value specified for a secondary index key is not supported. ",
];

/// Messages that are logged only up to this point, because DynamoDB may continue them with a value.
const QUOTING_MESSAGES: [&str; 14] = [
    "1 validation error detected",
    "Attempting to store more than 38 significant digits in a Number",
    "Invalid ConditionExpression",
    "Invalid UpdateExpression",
    "Item size has exceeded the maximum allowed size",
    "Item size to update has exceeded the maximum allowed size",
    "Nesting Levels have exceeded supported limits",
    "Number overflow. Attempting to store a number with magnitude larger than supported range",
    "Number underflow. Attempting to store a number with magnitude smaller than supported range",
    "Provided list of item keys contains duplicates",
    "Supplied AttributeValue has more than one datatypes set",
    "Supplied AttributeValue is empty",
    "The parameter cannot be converted to a numeric value",
    "The provided key element does not match the schema",
];

/// Replacement for a message that may quote a value.
const WITHHELD: &str = "a message that is withheld, because it may quote a value";

/// Returns the text for a failed call of an SDK client.
pub(crate) fn call_error_text<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Cow<'static, str> {
    match error {
        SdkError::ConstructionFailure(_) => "the request could not be built".into(),
        SdkError::TimeoutError(_) => "no response in time".into(),
        SdkError::DispatchFailure(failure) => failure
            .as_connector_error()
            .and_then(|error| network(error))
            .unwrap_or_else(|| "the request could not be sent".into()),
        SdkError::ResponseError(error) => {
            format!("the response with status {} makes no sense", error.raw().status()).into()
        }
        SdkError::ServiceError(error) => match error.err().code().filter(|code| is_code(code)) {
            Some(code) => code.to_owned().into(),
            None => format!("status {} without an error code", error.raw().status()).into(),
        },
        _ => "the call failed".into(),
    }
}

/// Returns the text for the error code of one message in a batch call.
pub(crate) fn code_text(code: &str) -> String {
    if is_code(code) { code.to_owned() } else { "an error without a proper code".to_owned() }
}

/// Returns the text for DynamoDB's error response. The message is reduced to the part that is known to contain no
/// values of an item. If the code is empty, too long or malformed, the response is not DynamoDB's, and the message is
/// left out.
pub(crate) fn refusal_text(code: &str, message: Option<&str>) -> String {
    if !is_code(code) {
        return "an error without a proper code".to_owned();
    }
    let Some(message) = message else { return format!("{code}: no message") };
    let starts = |beginning: &&&str| message.starts_with(**beginning);
    if let Some(beginning) = QUOTING_MESSAGES.iter().find(starts) {
        return format!("{code}: {beginning}");
    }
    let is_clean = NAMING_MESSAGES.iter().any(|beginning| message.starts_with(beginning))
        || ERRORS_WITHOUT_VALUES.contains(&code.strip_suffix("Exception").unwrap_or(code));
    if !is_clean {
        return format!("{code}: {WITHHELD}");
    }
    // Further lines of a signature error quote the request's headers, including the session token.
    let line = message.lines().next().unwrap_or_default();
    format!("{code}: {}", line.get(..line.floor_char_boundary(MAX_MESSAGE_BYTES)).unwrap_or_default())
}

/// Returns the position at which a text is not the expected JSON. The error's own text is not used, because it quotes
/// the input.
pub(crate) fn json_error_text(error: &serde_json::Error) -> String {
    format!("not the expected JSON at line {} column {}", error.line(), error.column())
}

/// Returns the text for a failure to load credentials.
pub(crate) fn credentials_error_text(error: &CredentialsError) -> Cow<'static, str> {
    let kind = match error {
        CredentialsError::CredentialsNotLoaded(_) => "no credentials in the environment or at the container's endpoint",
        CredentialsError::ProviderTimedOut(_) => "credentials could not be loaded in time",
        CredentialsError::InvalidConfiguration(_) => "the source of credentials is not set up correctly",
        _ => "credentials could not be loaded",
    };
    match network(error) {
        Some(cause) => format!("{kind}: {cause}").into(),
        None => kind.into(),
    }
}

/// Returns the description of the network error among the sources of `error`, if there is one.
fn network(error: &(dyn Error + 'static)) -> Option<Cow<'static, str>> {
    std::iter::successors(Some(error), |&error| error.source()).find_map(|error| {
        if let Some(error) = error.downcast_ref::<TransportError>() {
            return Some(error.to_string().into());
        }
        // The text of an I/O error that wraps another error is that error's text, which may contain anything.
        let error = error.downcast_ref::<io::Error>()?;
        error.get_ref().is_none().then(|| error.to_string().into())
    })
}

fn is_code(code: &str) -> bool {
    !code.is_empty()
        && code.len() <= MAX_CODE_BYTES
        && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-#".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::{HttpTransport, ResponseFuture, TransportErrorKind, sdk_http_client};
    use aws_sdk_sqs::config::retry::RetryConfig;
    use aws_sdk_sqs::config::timeout::TimeoutConfig;
    use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
    use bytes::Bytes;
    use http::{Request, Response};
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn what_dynamodb_says_is_passed_on_as_far_as_it_is_known_to_quote_no_value() {
        let invalid = |message: &str| refusal_text("ValidationException", Some(message));
        for whole in [
            "One or more parameter values were invalid: Type mismatch for key id expected: N actual: S",
            "One or more parameter values were invalid: Type mismatch for Index Key a Expected: N Actual: S IndexName: i",
            "One or more parameter values were invalid: Missing the key id in the item",
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty \
             string value. Key: id",
            "One or more parameter values are not valid. A value specified for a secondary index key is not supported. The \
             AttributeValue for a key attribute cannot contain an empty string value. IndexName: i, IndexKey: a",
            "The provided key element does not match the schema",
            "Item size has exceeded the maximum allowed size",
        ] {
            assert_eq!(invalid(whole), format!("ValidationException: {whole}"));
        }
        for (message, shown) in [
            (
                "The parameter cannot be converted to a numeric value: payload",
                "The parameter cannot be converted to a numeric value",
            ),
            ("1 validation error detected: Value 'payload' at 'item' failed", "1 validation error detected"),
            (
                "Number overflow. Attempting to store a number with magnitude larger than supported range: payload",
                "Number overflow. Attempting to store a number with magnitude larger than supported range",
            ),
            ("One or more parameter values were invalid: payload", WITHHELD),
            ("payload", WITHHELD),
            ("", WITHHELD),
        ] {
            assert_eq!(invalid(message), format!("ValidationException: {shown}"));
        }
        let denied = "User: arn:aws:sts::1:assumed-role/f is not authorized to perform: dynamodb:BatchWriteItem";
        assert_eq!(refusal_text("AccessDeniedException", Some(denied)), format!("AccessDeniedException: {denied}"));
        assert_eq!(refusal_text("NewException", Some("payload")), format!("NewException: {WITHHELD}"));
        assert_eq!(refusal_text("NewException", None), "NewException: no message");
        assert_eq!(refusal_text("the payload", Some("the payload")), "an error without a proper code");
        assert!(refusal_text("AccessDenied", Some(&"é".repeat(10_000))).len() <= 14 + MAX_MESSAGE_BYTES);
    }

    #[test]
    fn a_refused_signature_shows_nothing_of_the_request() {
        let message = "The request signature we calculated does not match.\n\nThe Canonical String for this request should \
                       have been\n'POST\n/\n\nx-amz-security-token:secret";
        let shown = "InvalidSignatureException: The request signature we calculated does not match.";
        assert_eq!(refusal_text("InvalidSignatureException", Some(message)), shown);
    }

    #[test]
    fn a_text_that_is_not_the_expected_json_is_not_quoted() {
        let error = serde_json::from_str::<u8>("\"payload\"").unwrap_err();
        assert_eq!(json_error_text(&error), "not the expected JSON at line 1 column 9");
    }

    #[derive(Debug, Clone)]
    enum Behaviour {
        Silent,
        Broken,
        Responds(u16, &'static str),
    }

    impl HttpTransport for Behaviour {
        fn send(&self, _: Request<Bytes>) -> ResponseFuture {
            let behaviour = self.clone();
            Box::pin(async move {
                match behaviour {
                    Self::Silent => std::future::pending().await,
                    Self::Broken => Err(TransportError {
                        kind: TransportErrorKind::NotSent,
                        cause: "sqs.example: connection refused".into(),
                    }),
                    Self::Responds(status, body) => Ok(Response::builder().status(status).body(body.into()).unwrap()),
                }
            })
        }
    }

    /// Sends a message with the SDK's own client and returns the text of the failure for the log.
    async fn failure(behaviour: Behaviour, endpoint: &str) -> String {
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("AKID", "secret", None, None, "test"))
            .endpoint_url(endpoint)
            .http_client(sdk_http_client(Arc::new(behaviour)))
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().operation_timeout(Duration::from_millis(50)).build())
            .build();
        let client = aws_sdk_sqs::Client::from_conf(config);
        let sent =
            client.send_message().queue_url("http://sqs.example/1/queue").message_body("the payload").send().await;
        call_error_text(&sent.unwrap_err()).into_owned()
    }

    #[tokio::test]
    async fn a_failure_says_its_cause_and_nothing_of_the_request_or_the_response() {
        let good = "http://sqs.example";
        let cases = [
            (Behaviour::Silent, good, "no response in time"),
            (Behaviour::Broken, good, "sqs.example: connection refused"),
            (Behaviour::Silent, "localhost:1", "the request could not be sent"),
            (Behaviour::Silent, "http://local host", "the request could not be"),
            (
                Behaviour::Responds(400, r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"the payload"}"#),
                good,
                "QueueDoesNotExist",
            ),
            (
                Behaviour::Responds(400, r#"{"__type":"the payload","message":"the payload"}"#),
                good,
                "status 400 without an error code",
            ),
            (Behaviour::Responds(502, "<html>the payload"), good, "status 502"),
            (Behaviour::Responds(200, "the payload"), good, "status 200"),
        ];
        for (behaviour, endpoint, expected) in cases {
            let text = failure(behaviour.clone(), endpoint).await;
            assert!(text.starts_with(expected), "{behaviour:?} at {endpoint}: {text}");
            assert!(!text.contains("payload"), "{text}");
        }
    }
}
