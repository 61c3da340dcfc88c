//! The calls, through the SDK: it signs, sends, pools and parses, but the body it sends is ours, put in before signing.
//! Nothing here retries: the writer owns the loop, and [`CallError`] says what it needs to decide.

use aws_runtime::retries::classifiers::{THROTTLING_ERRORS, TRANSIENT_ERRORS};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::HttpRequest;
use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::batch_write_item::BatchWriteItemError;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ConsumedCapacity, ThrottlingReason, WriteRequest};
use bytes::Bytes;

use super::item::push_canonical;
use super::json;
use super::mapping::Mapping;

/// What came of a call that DynamoDB took.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// The canonical keys of the items it hands back.
    pub(crate) unprocessed: Vec<Vec<u8>>,
    /// Write request units the call cost.
    pub(crate) write_units: f64,
}

/// Why a call failed, in the terms of what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CallError {
    /// Slow down and try again.
    Throttled(Throttle),
    /// Try again; whether it was applied is unknown.
    Transient {
        /// The connection itself failed, as one does that died while the environment was frozen.
        connection: bool,
        cause: Box<str>,
    },
    /// Something in it can never be written.
    Invalid(Box<str>),
    /// The item there has a newer version.
    Newer,
    /// An operator must mend it: a missing table, access denied, wrong credentials.
    Fatal(Box<str>),
}

/// What limit a throttled write ran into.
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
    fn of(reasons: &[ThrottlingReason]) -> Self {
        let Some(reason) = reasons.first().and_then(ThrottlingReason::reason) else { return Self::Unknown };
        match reason {
            _ if reason.ends_with("KeyRangeThroughputExceeded") => Self::HotPartition,
            _ if reason.ends_with("AccountLimitExceeded") => Self::Account,
            _ if reason.starts_with("Index") => Self::Index,
            _ if reason.starts_with("Table") => Self::Table,
            _ => Self::Unknown,
        }
    }
}

/// Sends a BatchWriteItem whose body is `body`. Its items are all of the table of `mappings`, whose key attributes tell
/// unprocessed items apart.
pub(crate) async fn batch_write(client: &Client, body: Bytes, mappings: &[&Mapping]) -> Result<Answer, CallError> {
    let output =
        client.batch_write_item().customize().mutate_request(move |request| put_body(request, &body)).send().await?;
    // an answer without the list is no answer of DynamoDB's: it names the list even when it is empty
    let unprocessed =
        output.unprocessed_items.ok_or_else(|| transient("the answer has no list of unprocessed items"))?;
    Ok(Answer {
        unprocessed: unprocessed.values().flatten().map(|request| canonical_key(request, mappings)).collect(),
        write_units: output.consumed_capacity.iter().flatten().map(write_units).sum(),
    })
}

/// Sends a PutItem whose body is `body`.
pub(crate) async fn put(client: &Client, body: Bytes, table: &str) -> Result<Answer, CallError> {
    let call = client.put_item().table_name(table).set_item(Some([].into()));
    let output = call.customize().mutate_request(move |request| put_body(request, &body)).send().await?;
    answered(output.consumed_capacity.as_ref())
}

/// Sends a DeleteItem whose body is `body`.
pub(crate) async fn delete(client: &Client, body: Bytes, table: &str) -> Result<Answer, CallError> {
    let call = client.delete_item().table_name(table).set_key(Some([].into()));
    let output = call.customize().mutate_request(move |request| put_body(request, &body)).send().await?;
    answered(output.consumed_capacity.as_ref())
}

/// Opens a connection and loads the credentials by a call that writes nothing: DynamoDB refuses it as empty.
pub(crate) async fn warm_up(client: &Client) -> Result<(), CallError> {
    match client.batch_write_item().send().await.map_err(CallError::from) {
        Ok(_) | Err(CallError::Invalid(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// An answer to a write of one item. It was asked for the capacity it consumed, so one that does not say is no answer of
/// DynamoDB's.
fn answered(consumed: Option<&ConsumedCapacity>) -> Result<Answer, CallError> {
    let consumed = consumed.ok_or_else(|| transient("the answer has no consumed capacity"))?;
    Ok(Answer { write_units: write_units(consumed), ..Answer::default() })
}

fn put_body(request: &mut HttpRequest, body: &Bytes) {
    request.headers_mut().insert("content-length", body.len().to_string());
    *request.body_mut() = body.clone().into();
}

fn write_units(consumed: &ConsumedCapacity) -> f64 {
    consumed.capacity_units().unwrap_or_default()
}

/// The key of an item that was handed back, spelled as the encoder spells it. Empty, and so equal to none, if it is not one
/// of ours.
fn canonical_key(request: &WriteRequest, mappings: &[&Mapping]) -> Vec<u8> {
    let attributes = match (&request.put_request, &request.delete_request) {
        (Some(put), _) => &put.item,
        (None, Some(delete)) => &delete.key,
        (None, None) => return Vec::new(),
    };
    let spell = |mapping: &&Mapping| {
        let mut key = Vec::new();
        for part in [Some(&mapping.partition_key), mapping.sort_key.as_ref()].into_iter().flatten() {
            push_canonical(&mut key, &written(attributes.get(part.attribute.text())?)?);
        }
        Some(key)
    };
    mappings.iter().find_map(spell).unwrap_or_default()
}

/// A key's value as the encoder writes it.
fn written(value: &AttributeValue) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match value {
        AttributeValue::S(text) => {
            out.extend_from_slice(b"{\"S\":");
            json::push_string(&mut out, text);
            out.push(b'}');
        }
        AttributeValue::N(number) => {
            out.extend_from_slice(b"{\"N\":\"");
            out.extend_from_slice(number.as_bytes());
            out.extend_from_slice(b"\"}");
        }
        AttributeValue::B(blob) => {
            out.extend_from_slice(b"{\"B\":\"");
            json::push_base64(&mut out, blob.as_ref());
            out.extend_from_slice(b"\"}");
        }
        _ => return None,
    }
    Some(out)
}

fn transient(cause: &str) -> CallError {
    CallError::Transient { connection: false, cause: cause.into() }
}

/// What the three operations' errors have in common.
trait ServiceError: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static {
    fn throttling_reasons(&self) -> &[ThrottlingReason];
}

macro_rules! service_error {
    ($($error:ident),+) => {
        $(impl ServiceError for $error {
            fn throttling_reasons(&self) -> &[ThrottlingReason] {
                match self {
                    Self::ProvisionedThroughputExceededException(error) => error.throttling_reasons(),
                    Self::RequestLimitExceeded(error) => error.throttling_reasons(),
                    Self::ThrottlingException(error) => error.throttling_reasons(),
                    _ => &[],
                }
            }
        })+
    };
}

service_error!(BatchWriteItemError, PutItemError, DeleteItemError);

impl<E: ServiceError> From<SdkError<E>> for CallError {
    fn from(error: SdkError<E>) -> Self {
        match &error {
            SdkError::ServiceError(context) => of_service(context.err(), context.raw().status().as_u16()),
            SdkError::DispatchFailure(failure) => Self::Transient {
                connection: failure.is_io() || failure.is_timeout(),
                cause: DisplayErrorContext(&error).to_string().into(),
            },
            SdkError::TimeoutError(_) | SdkError::ResponseError(_) => {
                transient(&DisplayErrorContext(&error).to_string())
            }
            // nothing was sent: no credentials, no region, no endpoint
            _ => Self::Fatal(DisplayErrorContext(&error).to_string().into()),
        }
    }
}

fn of_service<E: ServiceError>(error: &E, status: u16) -> CallError {
    let code = error.code().unwrap_or_default();
    let said = || -> Box<str> { format!("{code}: {}", error.message().unwrap_or("no message")).into() };
    match code {
        _ if THROTTLING_ERRORS.contains(&code) => CallError::Throttled(Throttle::of(error.throttling_reasons())),
        "ConditionalCheckFailedException" => CallError::Newer,
        "ValidationException" | "SerializationException" | "ItemCollectionSizeLimitExceededException" => {
            CallError::Invalid(said())
        }
        // two regions or transactions at one item: neither is wrong
        "ReplicatedWriteConflictException" | "TransactionConflictException" => transient(&said()),
        _ if TRANSIENT_ERRORS.contains(&code) || status >= 500 => transient(&said()),
        // a success whose body makes no sense, or a refusal without a code: something between us and DynamoDB answered
        _ if status < 300 || code.is_empty() => transient(&said()),
        _ => CallError::Fatal(said()),
    }
}
