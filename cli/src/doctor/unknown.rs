//! Reasons why a fact about a deployment is unknown.

use crate::aws::CallError;
use http::StatusCode;
use std::fmt;

/// A fact, or the reason why it is unknown.
pub(super) type Fact<T> = Result<T, Unknown>;

/// Reason why a fact is unknown. The kinds have different consequences for the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unknown {
    /// The resource does not exist. This is a finding.
    NotFound(String),
    /// The caller may not read the resource. This is a finding, because nobody can tell whether the resource is correct.
    Denied(String),
    /// The call got no response, or no call was made.
    Other(String),
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(cause) | Self::Denied(cause) | Self::Other(cause) => f.write_str(cause),
        }
    }
}

impl From<String> for Unknown {
    fn from(cause: String) -> Self {
        Self::Other(cause)
    }
}

impl From<&str> for Unknown {
    fn from(cause: &str) -> Self {
        Self::Other(cause.to_owned())
    }
}

/// Error codes for a resource that does not exist. Lambda reports it by the HTTP status alone.
const NOT_FOUND: [&str; 7] = [
    "ResourceNotFoundException",
    "QueueDoesNotExist",
    "AWS.SimpleQueueService.NonExistentQueue",
    "NotFoundException",
    "NoSuchEntity",
    "NoSuchEntityException",
    "TableNotFoundException",
];
/// Error codes for a call that is not allowed, or for invalid credentials.
const DENIED: [&str; 8] = [
    "AccessDenied",
    "AuthorizationError",
    "UnauthorizedOperation",
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "ExpiredToken",
    "InvalidSignature",
    "SignatureDoesNotMatch",
];

impl From<CallError> for Unknown {
    fn from(error: CallError) -> Self {
        let cause = error.to_string();
        let CallError::Refused { status, code, message } = error else { return Self::Other(cause) };
        let is_missing = status == StatusCode::NOT_FOUND && !message.is_empty();
        if is_missing || NOT_FOUND.contains(&code.as_str()) {
            Self::NotFound(cause)
        } else if status == StatusCode::FORBIDDEN || DENIED.iter().any(|denied| code.starts_with(denied)) {
            Self::Denied(cause)
        } else {
            Self::Other(cause)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: &str, message: &str) -> Unknown {
        let status = StatusCode::from_u16(status).unwrap();
        CallError::Refused { status, code: code.to_owned(), message: message.to_owned() }.into()
    }

    #[test]
    fn what_is_missing_and_what_may_not_be_read_are_told_apart_from_what_fails() {
        assert!(matches!(refused(400, "QueueDoesNotExist", ""), Unknown::NotFound(_)));
        assert!(matches!(refused(404, "404 Not Found", "Function not found: x"), Unknown::NotFound(_)));
        assert!(matches!(refused(400, "AccessDeniedException", "not authorized"), Unknown::Denied(_)));
        assert!(matches!(refused(403, "SomethingNew", ""), Unknown::Denied(_)));
        assert!(matches!(refused(400, "ExpiredTokenException", ""), Unknown::Denied(_)));
        // the endpoint does not implement this call
        assert!(matches!(refused(404, "404 Not Found", ""), Unknown::Other(_)));
        assert!(matches!(refused(500, "InternalFailure", "x"), Unknown::Other(_)));
        assert!(matches!(CallError::NoResponse("timed out".to_owned()).into(), Unknown::Other(_)));
    }
}
