//! A DynamoDB client that speaks JSON over HTTP without the SDK. Tests read tables with it.

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Map, Value, json};

use crate::http;

/// Type of a key attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// `S`
    String,
    /// `N`
    Number,
    /// `B`
    Binary,
}

/// One attribute of a table's primary key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The attribute's name.
    pub attribute: String,
    /// The attribute's type.
    pub kind: KeyKind,
}

impl Key {
    /// Creates a key attribute `attribute` of type `kind`.
    pub fn new(attribute: &str, kind: KeyKind) -> Self {
        Self { attribute: attribute.to_owned(), kind }
    }
}

/// A table to create, in on-demand mode and without indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The table's name.
    pub name: String,
    /// The partition key.
    pub partition_key: Key,
    /// The sort key, if it has one.
    pub sort_key: Option<Key>,
}

impl Table {
    /// Creates a table `name` whose primary key is the string attribute `attribute`.
    pub fn keyed_by(name: &str, attribute: &str) -> Self {
        Self { name: name.to_owned(), partition_key: Key::new(attribute, KeyKind::String), sort_key: None }
    }

    /// Adds a sort key.
    #[must_use]
    pub fn sorted_by(self, sort_key: Key) -> Self {
        Self { sort_key: Some(sort_key), ..self }
    }

    fn request(&self) -> Value {
        let keys = || [(&self.partition_key, "HASH")].into_iter().chain(self.sort_key.iter().map(|key| (key, "RANGE")));
        let kind = |key: &Key| match key.kind {
            KeyKind::String => "S",
            KeyKind::Number => "N",
            KeyKind::Binary => "B",
        };
        json!({
            "TableName": self.name,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions":
                keys().map(|(key, _)| json!({"AttributeName": key.attribute, "AttributeType": kind(key)})).collect::<Vec<_>>(),
            "KeySchema":
                keys().map(|(key, role)| json!({"AttributeName": key.attribute, "KeyType": role})).collect::<Vec<_>>(),
        })
    }
}

/// Reason why a call failed.
#[derive(Debug)]
pub enum CallError {
    /// The connection could not be opened, or it broke.
    Unreachable(Box<dyn Error + Send + Sync>),
    /// The response is not valid JSON.
    Unreadable(serde_json::Error),
    /// The endpoint refused the call.
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// The error's code without its namespace, such as `ResourceNotFoundException`.
        code: String,
        /// The endpoint's error message.
        message: String,
    },
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(_) => f.write_str("the endpoint cannot be reached"),
            Self::Unreadable(_) => f.write_str("the endpoint's answer is no json"),
            Self::Refused { status, code, message } => {
                write!(f, "the endpoint refused with {status} {code}: {message}")
            }
        }
    }
}

impl Error for CallError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unreachable(source) => Some(source.as_ref()),
            Self::Unreadable(source) => Some(source),
            Self::Refused { .. } => None,
        }
    }
}

/// A client for one DynamoDB endpoint. Its signatures are placeholders.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    http: legacy::Client<HttpConnector, Full<Bytes>>,
}

impl Client {
    /// Creates a client for the endpoint at `address`. It connects on first use.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, http: http::client() }
    }

    /// Returns the endpoint's address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Calls `operation`, such as `PutItem`, with `request` as DynamoDB JSON, and returns the response as DynamoDB JSON.
    ///
    /// # Errors
    /// Returns an error if the endpoint cannot be reached, refuses the call, or responds with something other than JSON.
    pub async fn call(&self, operation: &str, request: &Value) -> Result<Value, CallError> {
        let request = Request::post(format!("http://{}/", self.address))
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
            .header("x-amz-date", "20240101T000000Z")
            .header("authorization", AUTHORIZATION)
            .body(Full::new(Bytes::from(request.to_string())))
            .map_err(|error| CallError::Unreachable(error.into()))?;
        let response = self.http.request(request).await.map_err(|error| CallError::Unreachable(error.into()))?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| CallError::Unreachable(error.into()))?;
        let body: Value = serde_json::from_slice(&body.to_bytes()).map_err(CallError::Unreadable)?;
        if status.is_success() {
            return Ok(body);
        }
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
        let code = text("__type").rsplit('#').next().unwrap_or_default().to_owned();
        Err(CallError::Refused { status, code, message: text("message").to_owned() })
    }

    /// Creates `table`, which is ready for use when this returns.
    ///
    /// # Errors
    /// Returns the errors of [`call`](Self::call).
    pub async fn create_table(&self, table: &Table) -> Result<(), CallError> {
        self.call("CreateTable", &table.request()).await.map(drop)
    }

    /// Returns the item of `table` with the key `key`, such as `json!({"message_id": {"S": "m1"}})`.
    ///
    /// # Errors
    /// Returns the errors of [`call`](Self::call).
    pub async fn get(&self, table: &str, key: &Value) -> Result<Option<Map<String, Value>>, CallError> {
        let request = json!({"TableName": table, "Key": key, "ConsistentRead": true});
        match self.call("GetItem", &request).await? {
            Value::Object(mut answer) => Ok(answer.remove("Item").and_then(object)),
            _ => Ok(None),
        }
    }

    /// Returns every item of `table`, in unspecified order.
    ///
    /// # Errors
    /// Returns the errors of [`call`](Self::call).
    pub async fn scan(&self, table: &str) -> Result<Vec<Map<String, Value>>, CallError> {
        let mut items = Vec::new();
        self.pages(table, "ALL_ATTRIBUTES", |page| {
            if let Some(Value::Array(found)) = page.remove("Items") {
                items.extend(found.into_iter().filter_map(object));
            }
        })
        .await?;
        Ok(items)
    }

    /// Returns the number of items in `table`.
    ///
    /// # Errors
    /// Returns the errors of [`call`](Self::call).
    pub async fn count(&self, table: &str) -> Result<u64, CallError> {
        let mut count = 0;
        self.pages(table, "COUNT", |page| count += page.get("Count").and_then(Value::as_u64).unwrap_or_default())
            .await?;
        Ok(count)
    }

    async fn pages(
        &self,
        table: &str,
        select: &str,
        mut see: impl FnMut(&mut Map<String, Value>),
    ) -> Result<(), CallError> {
        let mut request = json!({"TableName": table, "Select": select, "ConsistentRead": true});
        while let Value::Object(mut page) = self.call("Scan", &request).await? {
            see(&mut page);
            match (page.remove("LastEvaluatedKey"), &mut request) {
                (Some(key), Value::Object(request)) => request.insert("ExclusiveStartKey".to_owned(), key),
                _ => break,
            };
        }
        Ok(())
    }
}

/// A well-formed header with a placeholder signature. The endpoints here check its form only.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=local/20240101/us-east-1/dynamodb/aws4_request, \
     SignedHeaders=host;x-amz-date;x-amz-target, Signature=0000000000000000000000000000000000000000000000000000000000000000";

fn object(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(object) => Some(object),
        _ => None,
    }
}
