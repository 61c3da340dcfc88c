//! The error codes that are DynamoDB's own, and what each says of the write that it refuses. Pure.
//!
//! A code of this table settles a call: the write was not applied, or it was applied before the response. Anything else that
//! comes as a response was said by something between us and DynamoDB, such as a gateway, a proxy or a firewall. It settles
//! nothing, whatever its status: the request may be on its way, and may be applied after a write that is sent later.

use aws_runtime::retries::classifiers::{THROTTLING_ERRORS, TRANSIENT_ERRORS};

/// What DynamoDB says of a write that it refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It was not applied: a limit was reached, of DynamoDB or of a service behind it.
    Throttled,
    /// It was not applied: its condition failed.
    ConditionFailed,
    /// It was not applied: the call, or an item of it, can never be written.
    Invalid,
    /// It was not applied, or it was before the response: DynamoDB failed, or another write of the item was under way.
    Failed,
    /// It was not applied: the credentials or the time of the signature are wrong.
    SignatureRefused,
    /// It was not applied: the table is not there.
    NoTable,
    /// It was not applied: access to something in it is denied, or the cause is not known here.
    Refused,
}

/// The codes, without their namespace. The ending `Exception` may be missing in a response. The codes that the SDK counts as
/// throttling or transient for every service come besides.
///
/// - DynamoDB's operations: the errors of BatchWriteItem, PutItem and DeleteItem, and
///   <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>
/// - all services of AWS: <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/CommonErrors.html>
/// - KMS, which has a table's key: <https://docs.aws.amazon.com/kms/latest/APIReference/CommonErrors.html>
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

/// The namespaces of DynamoDB's own errors and of its front end's. A new error of theirs is theirs without being in the table.
const NAMESPACES: [&str; 2] = ["com.amazonaws.dynamodb.", "com.amazon.coral."];

/// Returns what the error `named` says, with or without its namespace. `None` if it is not DynamoDB's own.
pub(super) fn meaning(status: u16, named: &str) -> Option<Meaning> {
    let code = bare(named);
    let is_code = |listed: &str| listed.eq_ignore_ascii_case(code) || stem(listed).eq_ignore_ascii_case(code);
    let listed = || CODES.iter().find(|(listed, _)| is_code(listed)).map(|&(_, meaning)| meaning);
    match code {
        "" => None,
        // a gateway that has lost sight of the call, whatever it calls that
        _ if matches!(status, 502 | 504) => None,
        _ if THROTTLING_ERRORS.contains(&code) => Some(Meaning::Throttled),
        _ if TRANSIENT_ERRORS.contains(&code) => Some(Meaning::Failed),
        _ => listed().or_else(|| {
            let is_own = NAMESPACES.iter().any(|namespace| named.starts_with(namespace));
            is_own.then_some(if status >= 500 { Meaning::Failed } else { Meaning::Refused })
        }),
    }
}

/// Returns an error's name without the namespace before and the address behind it.
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
        // BatchWriteItem, PutItem, DeleteItem and UpdateItem in DynamoDB's model of 2012-08-10
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
                assert_eq!(meaning(status, &format!("{namespace}#InternalServerError")), None, "a gateway's");
            }
        }
    }
}
