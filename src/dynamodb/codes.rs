//! DynamoDB's error codes, and what each of them means for the refused write. Pure: no I/O, clock or randomness.
//!
//! A code in this table is conclusive: the write was not applied, or it was applied before the response. Any other error
//! response comes from an intermediary between us and DynamoDB, such as a gateway, a proxy or a firewall. Such a response
//! is inconclusive whatever its status: the request may still be in transit, and may take effect after a later write.

use aws_runtime::retries::classifiers::{THROTTLING_ERRORS, TRANSIENT_ERRORS};

/// The meaning of an error code for the refused write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The write was not applied, because a limit of DynamoDB or of a service behind it was reached.
    Throttled,
    /// The write was not applied, because its condition failed.
    ConditionFailed,
    /// The write was not applied, because the call or one of its items can never be written.
    Invalid,
    /// The write was not applied, or it was applied before the response. DynamoDB failed, or another write of the item was
    /// in progress.
    Failed,
    /// The write was not applied, because the credentials or the time of the signature are wrong.
    SignatureRefused,
    /// The write was not applied, because the table does not exist.
    NoTable,
    /// The write was not applied, because access is denied or for an unknown reason.
    Refused,
}

/// Error codes without their namespaces. A response may omit the suffix `Exception`. The codes that the SDK classifies as
/// throttling or transient for every service are handled separately.
///
/// - Errors of BatchWriteItem, PutItem and DeleteItem:
///   <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>
/// - Errors of all AWS services:
///   <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/CommonErrors.html>
/// - Errors of KMS, which stores the encryption key of a table:
///   <https://docs.aws.amazon.com/kms/latest/APIReference/CommonErrors.html>
const CODES: [(&str, Meaning); 45] = [
    ("KMSThrottledException", Meaning::Throttled),
    ("KMSThrottlingException", Meaning::Throttled),
    ("ConditionalCheckFailedException", Meaning::ConditionFailed),
    ("ItemCollectionSizeLimitExceededException", Meaning::Invalid),
    ("RequestEntityTooLargeException", Meaning::Invalid),
    ("SerializationException", Meaning::Invalid),
    ("ValidationException", Meaning::Invalid),
    ("ValidationError", Meaning::Invalid),
    ("DependencyTimeoutException", Meaning::Failed),
    ("InternalFailure", Meaning::Failed),
    ("InternalServerError", Meaning::Failed),
    ("KeyUnavailableException", Meaning::Failed),
    ("KMSInternalException", Meaning::Failed),
    ("ReplicatedWriteConflictException", Meaning::Failed),
    ("ResourceInUseException", Meaning::Failed),
    ("ServiceUnavailable", Meaning::Failed),
    ("TableInUseException", Meaning::Failed),
    ("TransactionConflictException", Meaning::Failed),
    ("ExpiredTokenException", Meaning::SignatureRefused),
    ("InvalidClientTokenIdException", Meaning::SignatureRefused),
    ("InvalidSignatureException", Meaning::SignatureRefused),
    ("RequestExpiredException", Meaning::SignatureRefused),
    ("RequestTimeTooSkewed", Meaning::SignatureRefused),
    ("SignatureDoesNotMatch", Meaning::SignatureRefused),
    ("UnrecognizedClientException", Meaning::SignatureRefused),
    ("ResourceNotFoundException", Meaning::NoTable),
    ("TableNotFoundException", Meaning::NoTable),
    ("AccessDeniedException", Meaning::Refused),
    ("DisabledException", Meaning::Refused),
    ("IncompleteSignature", Meaning::Refused),
    ("InvalidAction", Meaning::Refused),
    ("InvalidEndpointException", Meaning::Refused),
    ("KMSAccessDeniedException", Meaning::Refused),
    ("KMSDisabledException", Meaning::Refused),
    ("KMSInvalidStateException", Meaning::Refused),
    ("KMSNotFoundException", Meaning::Refused),
    ("KMSOptInRequired", Meaning::Refused),
    ("MalformedQueryString", Meaning::Refused),
    ("MissingAction", Meaning::Refused),
    ("MissingAuthenticationTokenException", Meaning::Refused),
    ("MissingParameter", Meaning::Refused),
    ("NotAuthorized", Meaning::Refused),
    ("OptInRequired", Meaning::Refused),
    ("PolicyNotFoundException", Meaning::Refused),
    ("UnknownOperationException", Meaning::Refused),
];

/// Namespaces of the errors of DynamoDB and of its front end. An unknown code in one of these namespaces also comes from
/// DynamoDB.
const NAMESPACES: [&str; 2] = ["com.amazonaws.dynamodb.", "com.amazon.coral."];

/// Returns the meaning of an error, given its name with or without namespace. Returns `None` if the error does not come
/// from DynamoDB.
pub(super) fn meaning(status: u16, named: &str) -> Option<Meaning> {
    let code = bare(named);
    let is_code = |listed: &str| listed.eq_ignore_ascii_case(code) || stem(listed).eq_ignore_ascii_case(code);
    let listed = || CODES.iter().find(|(listed, _)| is_code(listed)).map(|&(_, meaning)| meaning);
    match code {
        "" => None,
        // a gateway that lost track of the call, whatever error code it returns
        _ if matches!(status, 502 | 504) => None,
        _ if THROTTLING_ERRORS.contains(&code) => Some(Meaning::Throttled),
        _ if TRANSIENT_ERRORS.contains(&code) => Some(Meaning::Failed),
        _ => listed().or_else(|| {
            let is_own = NAMESPACES.iter().any(|namespace| named.starts_with(namespace));
            is_own.then_some(if status >= 500 { Meaning::Failed } else { Meaning::Refused })
        }),
    }
}

/// Returns the code in an error's name, without the namespace before it and the URL after it.
pub(super) fn bare(named: &str) -> &str {
    let code = named.split(':').next().unwrap_or(named);
    code.rsplit('#').next().unwrap_or(code)
}

fn stem(code: &str) -> &str {
    code.strip_suffix("Exception").unwrap_or(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_is_listed_twice() {
        for (number, (code, _)) in CODES.iter().enumerate() {
            let mut later = CODES.iter().skip(number + 1);
            assert!(later.all(|(other, _)| !stem(other).eq_ignore_ascii_case(stem(code))), "{code}");
            assert!(!THROTTLING_ERRORS.iter().chain(TRANSIENT_ERRORS).any(|of_sdk| of_sdk == code), "{code}");
        }
    }

    #[test]
    fn every_error_that_the_model_gives_a_write_says_something() {
        // the errors of BatchWriteItem, PutItem, DeleteItem and UpdateItem in DynamoDB's API model of 2012-08-10
        for (code, expected) in [
            ("ConditionalCheckFailedException", Meaning::ConditionFailed),
            ("InternalServerError", Meaning::Failed),
            ("ItemCollectionSizeLimitExceededException", Meaning::Invalid),
            ("ProvisionedThroughputExceededException", Meaning::Throttled),
            ("ReplicatedWriteConflictException", Meaning::Failed),
            ("RequestLimitExceeded", Meaning::Throttled),
            ("ResourceNotFoundException", Meaning::NoTable),
            ("ThrottlingException", Meaning::Throttled),
            ("TransactionConflictException", Meaning::Failed),
        ] {
            assert_eq!(meaning(400, code), Some(expected), "{code}");
        }
    }

    #[test]
    fn a_throttle_or_a_failure_of_a_service_behind_dynamodb_is_no_operators_matter() {
        for code in ["KMSThrottlingException", "KmsThrottlingException", "KMSThrottling", "KmsThrottledException"] {
            assert_eq!(meaning(400, code), Some(Meaning::Throttled), "{code}");
        }
        for code in ["KMSInternalException", "KeyUnavailableException", "DependencyTimeoutException"] {
            assert_eq!(meaning(500, code), Some(Meaning::Failed), "{code}");
        }
        for code in ["KMSAccessDeniedException", "KMSInvalidStateException", "KMSNotFoundException"] {
            assert_eq!(meaning(400, code), Some(Meaning::Refused), "{code}");
        }
    }

    #[test]
    fn an_error_is_dynamodbs_by_the_table_or_by_its_namespace_and_never_by_its_status() {
        for status in [400, 403, 408, 413, 429, 500, 503] {
            for code in ["", "ForbiddenException", "GatewayTimeout", "InternalServerErrorException", "x#Unheard"] {
                assert_eq!(meaning(status, code), None, "{status} {code}");
            }
        }
        for namespace in ["com.amazonaws.dynamodb.v20120810", "com.amazon.coral.service"] {
            assert_eq!(meaning(400, &format!("{namespace}#UnheardException")), Some(Meaning::Refused));
            assert_eq!(meaning(500, &format!("{namespace}#UnheardException")), Some(Meaning::Failed));
            for status in [502, 504] {
                assert_eq!(meaning(status, &format!("{namespace}#InternalServerError")), None, "sent by a gateway");
            }
        }
    }
}
