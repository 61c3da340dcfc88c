//! DynamoDB's responses, and their meaning for the items of a call. Pure: no I/O, clock or randomness.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>

use super::codes::{self, Meaning};
use super::item::push_canonical;
use super::mapping::Mapping;
use crate::{error_text, json};
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashMap;

/// The result of a call that DynamoDB accepted.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct WriteResponse {
    /// Canonical keys of the unprocessed items.
    pub(crate) unprocessed: Vec<Vec<u8>>,
    /// Write request units consumed by the call.
    pub(crate) write_units: f64,
}

/// The reason why a call failed. There is one variant for each way to continue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CallError {
    /// The call was throttled. Retry at a lower rate.
    Throttled(Throttle),
    /// The call was not sent, because no connection or no credentials were available. Retry. Neither the items nor the
    /// table are at fault.
    NotSent(Box<str>),
    /// The connection broke before a response, for example because it died while the environment was frozen. The write is
    /// ambiguous: it may still take effect, even after a later write.
    Broken(Box<str>),
    /// There was no response before the timeout, or the response did not come from DynamoDB. The write is ambiguous: it may
    /// still take effect, even after a later write.
    TimedOut(Cow<'static, str>),
    /// DynamoDB reported a failure of its own. Retry. It is unknown whether the write was applied, but it will not be
    /// applied later.
    Transient(Box<str>),
    /// Something in the call was refused. The response does not name the item.
    Refused(Refusal),
    /// The write had no effect, because the table has a newer version or, for a `Create`, already has the item.
    Superseded,
    /// The condition failed because of the item `stored`, if the response contains it.
    ConditionFailed { stored: Option<Box<Value>> },
    /// An operator must fix the cause, such as a missing table or wrong credentials.
    Fatal(Box<str>),
}

impl CallError {
    pub(super) fn transient(cause: impl Into<Box<str>>) -> Self {
        Self::Transient(cause.into())
    }

    /// Returns the cause as text.
    pub(crate) fn into_cause(self) -> Box<str> {
        match self {
            Self::NotSent(cause)
            | Self::Broken(cause)
            | Self::Transient(cause)
            | Self::Fatal(cause)
            | Self::Refused(Refusal { cause, .. }) => cause,
            Self::Throttled(throttle) => throttle.name().into(),
            Self::TimedOut(cause) => cause.into(),
            Self::Superseded | Self::ConditionFailed { .. } => "a condition failed".into(),
        }
    }

    /// Returns the error for a response that did not come from DynamoDB.
    fn not_dynamodbs(cause: impl Into<Cow<'static, str>>) -> Self {
        Self::TimedOut(cause.into())
    }
}

/// The refusal of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The party that may be at fault.
    pub(crate) blame: Blame,
    /// DynamoDB's error text, reduced to the parts that are safe to log.
    pub(crate) cause: Box<str>,
}

/// The party that may be at fault for a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Blame {
    /// The item alone, regardless of other items: it is too large or too deeply nested, has a number out of range, or has
    /// an empty key.
    Item,
    /// The item, or its mapping if all its items are refused. A value does not fit an index, or the reason is unknown.
    ItemOrMapping,
    /// The mapping, unless the table has accepted one of its items. A key has a different name or type than in the table,
    /// and all items of a mapping have the same key names and types.
    Key,
    /// An operator, because access is denied or the reason is unknown. The problem may affect one key or the whole table.
    /// No item is rejected.
    Operator,
}

impl Blame {
    /// Texts of refusals that are always the item's fault, in lower case. AWS documents the limits but not the texts. These
    /// are the texts of DynamoDB and of DynamoDB Local.
    /// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>
    const OF_ITEMS: [&str; 10] = [
        "item size",
        "size of hashkey",
        "size of all range keys",
        "too large",
        "number overflow",
        "number underflow",
        "significant digits",
        "converted to a numeric value",
        "nesting levels",
        // empty keys: `cannot contain an empty string value`, `... empty binary value`
        "contain an empty ",
    ];

    /// Codes of errors about a size, without the suffix `Exception`.
    const CODES_OF_SIZES: [&str; 2] = ["ItemCollectionSizeLimitExceeded", "RequestEntityTooLarge"];

    /// Texts of refusals of a key that is missing, has the wrong type, or has an additional attribute, in lower case.
    const OF_KEYS: [&str; 3] = ["does not match the schema", "missing the key", "type mismatch for key"];

    /// Returns who may be at fault for an invalid call, given the error's `code` and DynamoDB's `message`.
    fn for_invalid_input(code: &str, message: &str) -> Self {
        let message = message.to_lowercase();
        let says_any = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
        if Self::CODES_OF_SIZES.iter().any(|of_size| code.starts_with(of_size)) || says_any(&Self::OF_ITEMS) {
            Self::Item
        } else if says_any(&Self::OF_KEYS) {
            Self::Key
        } else {
            Self::ItemOrMapping
        }
    }
}

/// The limit that caused the throttling of a write.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/throttling-diagnosing-workflow.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Throttle {
    Table,
    Index,
    HotPartition,
    Account,
    Unknown,
}

impl Throttle {
    /// Returns the description for log lines.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Table => "throttled by the table's throughput",
            Self::Index => "throttled by an index's throughput",
            Self::HotPartition => "throttled by one partition's throughput",
            Self::Account => "throttled by the account's quota",
            Self::Unknown => "throttled for an unknown reason",
        }
    }

    fn from_reason(reason: &str) -> Self {
        match reason {
            _ if reason.ends_with("KeyRangeThroughputExceeded") => Self::HotPartition,
            _ if reason.ends_with("AccountLimitExceeded") => Self::Account,
            _ if reason.starts_with("Index") => Self::Index,
            _ if reason.starts_with("Table") => Self::Table,
            _ => Self::Unknown,
        }
    }
}

/// The body of a successful BatchWriteItem response.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BatchResponseBody<'a> {
    #[serde(borrow)]
    unprocessed_items: Option<HashMap<Cow<'a, str>, Vec<WriteRequest<'a>>>>,
    consumed_capacity: Option<Vec<Consumed>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WriteRequest<'a> {
    #[serde(borrow)]
    put_request: Option<PutRequest<'a>>,
    #[serde(borrow)]
    delete_request: Option<DeleteRequest<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutRequest<'a> {
    #[serde(borrow)]
    item: HashMap<Cow<'a, str>, KeyValue<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DeleteRequest<'a> {
    #[serde(borrow)]
    key: HashMap<Cow<'a, str>, KeyValue<'a>>,
}

/// A value whose type is allowed in a key. For other types, all fields are `None`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct KeyValue<'a> {
    #[serde(borrow)]
    s: Option<Cow<'a, str>>,
    #[serde(borrow)]
    n: Option<Cow<'a, str>>,
    #[serde(borrow)]
    b: Option<Cow<'a, str>>,
}

/// The body of a successful PutItem or DeleteItem response.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ItemResponseBody {
    consumed_capacity: Option<Consumed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Consumed {
    #[serde(default)]
    capacity_units: f64,
}

/// Parses the response to a successful BatchWriteItem. All its items must be in the table of `mappings`, because the
/// mappings' key attributes identify the unprocessed items.
pub(super) fn read_batch_response(body: &[u8], mappings: &[&Mapping]) -> Result<WriteResponse, CallError> {
    let response: BatchResponseBody<'_> = read(body)?;
    // DynamoDB always includes the list, even if it is empty, so a response without it comes from something else
    let unprocessed = response
        .unprocessed_items
        .ok_or_else(|| CallError::not_dynamodbs("the response has no list of unprocessed items"))?;
    Ok(WriteResponse {
        unprocessed: unprocessed.values().flatten().map(|request| canonical_key(request, mappings)).collect(),
        write_units: response.consumed_capacity.iter().flatten().map(|consumed| consumed.capacity_units).sum(),
    })
}

/// Parses the response to a successful write of one item. The request asks for the consumed capacity, so a response without
/// it did not come from DynamoDB.
pub(super) fn read_item_response(body: &[u8]) -> Result<WriteResponse, CallError> {
    let response: ItemResponseBody = read(body)?;
    let consumed =
        response.consumed_capacity.ok_or_else(|| CallError::not_dynamodbs("the response has no consumed capacity"))?;
    Ok(WriteResponse { write_units: consumed.capacity_units, ..WriteResponse::default() })
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, CallError> {
    serde_json::from_slice(body).map_err(|error| {
        CallError::not_dynamodbs(format!("the response makes no sense: {}", error_text::json_error_text(&error)))
    })
}

/// Returns the canonical key of an unprocessed item. Returns an empty key, which equals no other, if the item does not
/// match any of our mappings.
fn canonical_key(request: &WriteRequest<'_>, mappings: &[&Mapping]) -> Vec<u8> {
    let attributes = match request {
        WriteRequest { put_request: Some(put), .. } => &put.item,
        WriteRequest { delete_request: Some(delete), .. } => &delete.key,
        _ => return Vec::new(),
    };
    let spell = |mapping: &&Mapping| {
        let mut key = Vec::new();
        for part in mapping.keys() {
            push_canonical(&mut key, &written(attributes.get(part.attribute.text())?)?);
        }
        Some(key)
    };
    mappings.iter().find_map(spell).unwrap_or_default()
}

/// Returns a key's value as the encoder writes it.
fn written(value: &KeyValue<'_>) -> Option<Vec<u8>> {
    let (name, text) = match value {
        KeyValue { s: Some(text), .. } => ("S", text),
        KeyValue { n: Some(number), .. } => ("N", number),
        KeyValue { b: Some(base64), .. } => ("B", base64),
        _ => return None,
    };
    let mut out = Vec::with_capacity(text.len() + 8);
    out.push(b'{');
    json::push_string(&mut out, name);
    out.push(b':');
    json::push_string(&mut out, text);
    out.push(b'}');
    Some(out)
}

/// Returns whether DynamoDB refused the signature of a call. Reloading the credentials or correcting clock skew may help.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/CommonErrors.html>
pub(super) fn refuses_signature(status: u16, error_type: Option<&str>, body: &[u8]) -> bool {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    codes::meaning(status, error_name(error_type, &body)) == Some(Meaning::SignatureRefused)
}

/// Returns the error's name from the header or, if the header is missing, from the body. Returns an empty string if neither
/// has one.
fn error_name<'a>(error_type: Option<&'a str>, body: &'a Value) -> &'a str {
    let named = |name| body.get(name).and_then(Value::as_str);
    error_type.or_else(|| named("code")).or_else(|| named("__type")).unwrap_or_default()
}

/// Converts an error response into the reason why the call failed. It is derived from the status, the error type in the
/// header, and the body.
pub(super) fn refusal(status: u16, error_type: Option<&str>, body: &[u8]) -> CallError {
    // a body that is not JSON has no error code, and does not come from DynamoDB
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let name = error_name(error_type, &body);
    let code = codes::bare(name);
    let message = ["message", "Message"].iter().find_map(|member| body.get(member)?.as_str());
    let cause = || -> Box<str> { error_text::refusal_text(code, message).into() };
    let Some(meaning) = codes::meaning(status, name) else {
        return CallError::not_dynamodbs(match code {
            "" => format!("status {status} without an error code: not dynamodb's"),
            code => format!("status {status} with {}: not dynamodb's", error_text::code_text(code)),
        });
    };
    match meaning {
        Meaning::Throttled => {
            // the API model spells this member of one error in lower case
            let reasons = body.get("ThrottlingReasons").or_else(|| body.get("throttlingReasons"));
            let reason = reasons.and_then(|reasons| reasons.get(0)?.get("reason")?.as_str());
            CallError::Throttled(Throttle::from_reason(reason.unwrap_or_default()))
        }
        Meaning::ConditionFailed => CallError::ConditionFailed { stored: stored_item(&body) },
        Meaning::Invalid => {
            let blame = Blame::for_invalid_input(code, message.unwrap_or_default());
            CallError::Refused(Refusal { blame, cause: cause() })
        }
        Meaning::Failed => CallError::transient(cause()),
        Meaning::SignatureRefused | Meaning::NoTable => CallError::Fatal(cause()),
        Meaning::Refused => CallError::Refused(Refusal { blame: Blame::Operator, cause: cause() }),
    }
}

/// Returns the item that made a condition fail. DynamoDB only returns it if the request asked for it and the item exists.
fn stored_item(body: &Value) -> Option<Box<Value>> {
    body.get("Item").filter(|item| item.is_object()).cloned().map(Box::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamodb::mapping::Fields;
    use crate::record::{FieldKind, Quantity};
    use aws_runtime::retries::classifiers::THROTTLING_ERRORS;
    use serde_json::json;

    struct Sample;

    impl Fields for Sample {
        fn kind(&self, path: &str) -> Result<FieldKind, String> {
            Ok(match path {
                "n" => FieldKind::Number(Quantity::Plain),
                "raw" => FieldKind::Binary,
                _ => FieldKind::Text,
            })
        }

        fn names(&self) -> Vec<&str> {
            vec!["id", "n", "raw"]
        }
    }

    fn mapping(partition: &str, sort: &str) -> Mapping {
        Mapping::parse(Some(&json!({"partitionKey": partition, "sortKey": sort})), "orders", &Sample).unwrap()
    }

    fn key(values: &[&str]) -> Vec<u8> {
        let mut key = Vec::new();
        values.iter().for_each(|value| push_canonical(&mut key, value.as_bytes()));
        key
    }

    fn may_be_applied_yet(error: &CallError) -> bool {
        matches!(error, CallError::TimedOut(_))
    }

    #[test]
    fn items_handed_back_are_known_by_their_keys() {
        let body = json!({
            "UnprocessedItems": {"orders": [
                {"PutRequest": {"Item": {"n": {"N": "1.0"}, "data": {"M": {"deep": {"L": [{"NULL": true}]}}}, "id": {"S": "a\"\u{e9}"}}}},
                {"DeleteRequest": {"Key": {"id": {"S": "b"}, "n": {"N": "2"}}}},
                {"PutRequest": {"Item": {"id": {"S": "c"}}}},
                {},
            ]},
            "ConsumedCapacity": [{"TableName": "orders", "CapacityUnits": 1.5}, {"CapacityUnits": 2}],
        });
        // the response may escape any character
        let body = body.to_string().replace('\u{e9}', "\\u00e9");
        let response = read_batch_response(body.as_bytes(), &[&mapping("id", "n")]).unwrap();
        let keys =
            [key(&[r#"{"S":"a\"é"}"#, r#"{"N":"1"}"#]), key(&[r#"{"S":"b"}"#, r#"{"N":"2"}"#]), Vec::new(), Vec::new()];
        assert_eq!(response, WriteResponse { unprocessed: keys.into(), write_units: 3.5 });
    }

    #[test]
    fn a_key_may_be_binary_and_of_any_mapping_of_the_table() {
        let body =
            br#"{"UnprocessedItems":{"orders":[{"DeleteRequest":{"Key":{"raw":{"B":"AQI="},"id":{"S":"x"}}}}]}}"#;
        let response = read_batch_response(body, &[&mapping("id", "n"), &mapping("raw", "id")]).unwrap();
        assert_eq!(response.unprocessed, [key(&[r#"{"B":"AQI="}"#, r#"{"S":"x"}"#])]);
    }

    #[test]
    fn what_dynamodb_would_not_say_is_no_success_and_no_response() {
        for body in
            ["", "null", "{}", "[]", r#"{"UnprocessedItems":null}"#, r#"{"UnprocessedItems":{}"#, "<html>", "\u{1}"]
        {
            assert!(may_be_applied_yet(&read_batch_response(body.as_bytes(), &[]).unwrap_err()), "{body}");
            assert!(may_be_applied_yet(&read_item_response(body.as_bytes()).unwrap_err()), "{body}");
        }
        assert_eq!(read_batch_response(br#"{"UnprocessedItems":{}}"#, &[]), Ok(WriteResponse::default()));
        assert!(may_be_applied_yet(&read_item_response(br#"{"UnprocessedItems":{}}"#).unwrap_err()));
        let units =
            read_item_response(br#"{"ConsumedCapacity":{"TableName":"t","CapacityUnits":2.0}}"#).unwrap().write_units;
        assert!((units - 2.0).abs() < f64::EPSILON);
    }

    fn refused(code: &str) -> CallError {
        refusal(400, None, json!({"__type": code, "message": "as told"}).to_string().as_bytes())
    }

    #[test]
    fn a_response_that_makes_no_sense_is_not_quoted() {
        for body in [r#"{"UnprocessedItems":"payload"}"#, r#"{"UnprocessedItems":{"t":[{"PutRequest":"payload"}]}}"#] {
            let Err(CallError::TimedOut(cause)) = read_batch_response(body.as_bytes(), &[]) else { panic!("{body}") };
            assert!(cause.contains("line 1") && !cause.contains("payload"), "{cause}");
        }
    }

    #[test]
    fn a_refusal_says_what_to_do_next() {
        let cause = |code: &str| -> Box<str> { error_text::refusal_text(code, Some("as told")).into() };
        for code in THROTTLING_ERRORS.iter().chain(&["KMSThrottlingException"]) {
            assert_eq!(refused(code), CallError::Throttled(Throttle::Unknown));
        }
        for (code, blame) in [
            ("ItemCollectionSizeLimitExceededException", Blame::Item),
            ("RequestEntityTooLargeException", Blame::Item),
            ("ValidationException", Blame::ItemOrMapping),
            ("SerializationException", Blame::ItemOrMapping),
            ("AccessDeniedException", Blame::Operator),
        ] {
            assert_eq!(refused(code), CallError::Refused(Refusal { blame, cause: cause(code) }));
        }
        for code in ["ReplicatedWriteConflictException", "TransactionConflictException", "RequestTimeout"] {
            assert_eq!(refused(code), CallError::Transient(cause(code)));
        }
        for code in [
            "ResourceNotFoundException",
            "UnrecognizedClientException",
            "ExpiredTokenException",
            "InvalidSignatureException",
        ] {
            assert_eq!(refused(code), CallError::Fatal(cause(code)));
        }
        let new = "SomethingNewException";
        let refusal_of_new = CallError::Refused(Refusal { blame: Blame::Operator, cause: cause(new) });
        assert_eq!(refused(&format!("com.amazonaws.dynamodb.v20120810#{new}")), refusal_of_new);
        assert_eq!(refused("ConditionalCheckFailedException"), CallError::ConditionFailed { stored: None });
        assert_eq!(
            refusal(500, None, br#"{"__type":"InternalServerError"}"#),
            CallError::Transient("InternalServerError: no message".into())
        );
    }

    #[test]
    fn what_a_gateway_says_is_no_response_whatever_its_status() {
        let bodies = [
            "",
            "<html><body>busy</body></html>",
            "{}",
            "[]",
            "null",
            r#"{"message":"Service Unavailable"}"#,
            r#"{"code":503,"message":"upstream connect error"}"#,
            r#"{"__type":"ForbiddenException","message":"the payload"}"#,
            r#"{"__type":"the payload"}"#,
            // truncated
            r#"{"__type":"com.amazon.coral.service#ThrottlingExc"#,
        ];
        for status in [301, 400, 401, 403, 404, 407, 408, 413, 421, 429, 500, 501, 502, 503, 504, 520] {
            for body in bodies {
                let error = refusal(status, None, body.as_bytes());
                assert!(may_be_applied_yet(&error), "{status} {body}: {error:?}");
                assert!(!format!("{error:?}").contains("payload"), "{error:?}");
            }
            assert!(may_be_applied_yet(&refusal(status, Some("ForbiddenException"), b"{}")), "{status}");
        }
        for status in [502, 504] {
            assert!(may_be_applied_yet(&refusal(status, Some("InternalServerErrorException"), b"{}")));
            assert!(may_be_applied_yet(&refusal(status, None, br#"{"__type":"InternalServerError"}"#)));
        }
        let unknown = refusal(403, Some("ForbiddenException"), b"{}");
        assert_eq!(unknown, CallError::TimedOut("status 403 with ForbiddenException: not dynamodb's".into()));
    }

    #[test]
    fn an_error_is_named_by_the_header_or_the_body_with_or_without_its_namespace() {
        let fatal = |cause: &str| CallError::Fatal(cause.into());
        let named = "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException:http://internal.amazon.com/coral/";
        assert_eq!(refused(named), fatal("ResourceNotFoundException: as told"));
        assert_eq!(refusal(400, Some(named), br#"{"Message":"m"}"#), fatal("ResourceNotFoundException: m"));
        let denied = CallError::Refused(Refusal { blame: Blame::Operator, cause: "AccessDenied: no message".into() });
        assert_eq!(refusal(400, None, br#"{"code":"AccessDenied","message":null}"#), denied);
    }

    #[test]
    fn a_refusal_is_the_items_alone_for_its_size_its_numbers_its_nesting_or_an_empty_key() {
        let invalid = "One or more parameter values were invalid:";
        let empty = "One or more parameter values are not valid.";
        for (message, blame) in [
            ("Item size has exceeded the maximum allowed size", Blame::Item),
            ("Item size to update has exceeded the maximum allowed size", Blame::Item),
            (&format!("{invalid} Size of hashkey has exceeded the maximum size limit of2048 bytes"), Blame::Item),
            (
                &format!("{invalid} Aggregated size of all range keys has exceeded the size limit of 1024 bytes"),
                Blame::Item,
            ),
            ("Attribute name is too large, must be less than 64 KB", Blame::Item),
            ("Number overflow. Attempting to store a number with magnitude larger than supported range", Blame::Item),
            ("Number underflow. Attempting to store a number with magnitude smaller than supported range", Blame::Item),
            ("Attempting to store more than 38 significant digits in a Number", Blame::Item),
            ("The parameter cannot be converted to a numeric value: payload", Blame::Item),
            ("Nesting Levels have exceeded supported limits", Blame::Item),
            (
                &format!(
                    "{empty} The AttributeValue for a key attribute cannot contain an empty string value. Key: id"
                ),
                Blame::Item,
            ),
            (
                &format!(
                    "{empty} A value specified for a secondary index key is not supported. The AttributeValue for a key attribute cannot contain an empty binary value. IndexName: i, IndexKey: k"
                ),
                Blame::Item,
            ),
            (
                &format!("{invalid} Type mismatch for Index Key city Expected: S Actual: N IndexName: by-city"),
                Blame::ItemOrMapping,
            ),
            (&format!("{invalid} Type mismatch for key id expected: N actual: S"), Blame::Key),
            (&format!("{invalid} Missing the key pk in the item"), Blame::Key),
            ("The provided key element does not match the schema", Blame::Key),
            ("Expression size has exceeded the maximum allowed size", Blame::ItemOrMapping),
            ("something new", Blame::ItemOrMapping),
        ] {
            let body = json!({"__type": "ValidationException", "message": message}).to_string();
            let CallError::Refused(refusal) = refusal(400, None, body.as_bytes()) else { panic!("{message}") };
            assert_eq!(refusal.blame, blame, "{message}");
        }
    }

    #[test]
    fn a_throttle_says_which_limit_it_ran_into() {
        for (reason, throttle) in [
            ("TableWriteProvisionedThroughputExceeded", Throttle::Table),
            ("TableWriteMaxOnDemandThroughputExceeded", Throttle::Table),
            ("IndexWriteProvisionedThroughputExceeded", Throttle::Index),
            ("TableWriteKeyRangeThroughputExceeded", Throttle::HotPartition),
            ("IndexWriteKeyRangeThroughputExceeded", Throttle::HotPartition),
            ("IndexWriteAccountLimitExceeded", Throttle::Account),
            ("TableWriteAccountLimitExceeded", Throttle::Account),
            ("something new", Throttle::Unknown),
        ] {
            for member in ["ThrottlingReasons", "throttlingReasons"] {
                let body = json!({"__type": "ThrottlingException", member: [{"reason": reason, "resource": "arn"}]});
                assert_eq!(refusal(400, None, body.to_string().as_bytes()), CallError::Throttled(throttle), "{reason}");
            }
        }
    }
}
