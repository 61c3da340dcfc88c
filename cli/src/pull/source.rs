//! Where schemas come from: a registry with Confluent's API, or AWS Glue.

use super::json::Json;
use super::references::inline;
use crate::aws::{Aws, CallError, GLUE};
use crate::connections::connection_pool;
use avro_ingest::transport::{ConnectionPool, HttpTransport};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderValue, Request, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;

/// References of references at most, so that a circle ends.
const MAX_REFERENCES: usize = 1_000;

/// A version of a subject, as its registry has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Version {
    pub(super) subject: String,
    pub(super) number: u32,
    /// What the registry calls it: a number, or a UUID as a text.
    pub(super) id: Json,
    pub(super) schema: Json,
}

/// A registry with Confluent's API.
/// <https://docs.confluent.io/platform/current/schema-registry/develop/api.html>
pub(super) struct Registry {
    url: String,
    authorization: Option<HeaderValue>,
    pool: ConnectionPool,
}

/// The answer to `GET /subjects/{subject}/versions/{version}`.
#[derive(Debug, Clone, Deserialize)]
struct Answer {
    id: u32,
    version: u32,
    schema: String,
    #[serde(rename = "schemaType")]
    schema_type: Option<String>,
    #[serde(default)]
    references: Vec<Reference>,
}

#[derive(Debug, Clone, Deserialize)]
struct Reference {
    name: String,
    subject: String,
    version: u32,
}

impl Registry {
    /// `lookup` finds credentials in the environment: a token, or a user and a password.
    pub(super) fn new(url: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Box<dyn Error>> {
        let uri: http::Uri = url.parse().map_err(|error| format!("--registry is no URL: {error}"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err("--registry must be a URL that begins with http:// or https://".into());
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(format!(
                "credentials do not belong on the command line: set {USER} and {PASSWORD}, or {TOKEN}"
            )
            .into());
        }
        let authorization = match (lookup(TOKEN), lookup(USER)) {
            (Some(token), _) => Some(format!("Bearer {token}")),
            (None, Some(user)) => {
                let pair = format!("{user}:{}", lookup(PASSWORD).unwrap_or_default());
                Some(format!("Basic {}", avro_ingest::encode::body(pair.as_bytes())))
            }
            (None, None) => None,
        };
        let authorization = authorization.map(HeaderValue::try_from).transpose();
        let mut authorization = authorization.map_err(|_| "the credentials are no text of a header")?;
        if let Some(authorization) = &mut authorization {
            authorization.set_sensitive(true);
        }
        Ok(Self { url: url.trim_end_matches('/').to_owned(), authorization, pool: connection_pool(4)? })
    }

    pub(super) async fn subjects(&self) -> Result<Vec<String>, Box<dyn Error>> {
        self.get("/subjects").await
    }

    /// Every version of a subject. One of another kind than Avro has none.
    pub(super) async fn versions(&self, subject: &str) -> Result<Vec<Version>, Box<dyn Error>> {
        let mut versions = Vec::new();
        let numbers: Vec<u32> = self.get(&format!("/subjects/{}/versions", escaped(subject))).await?;
        for number in numbers {
            let answer = self.version(subject, number).await?;
            if answer.schema_type.as_deref().is_some_and(|kind| kind != "AVRO") {
                continue;
            }
            let wrong = |error| format!("version {number} of {subject} is not JSON: {error}");
            let schema = Json::parse(&answer.schema).map_err(wrong)?;
            let references = self.references(answer.references).await?;
            versions.push(Version {
                subject: subject.to_owned(),
                number: answer.version,
                id: Json::Scalar(answer.id.to_string()),
                schema: inline(&schema, &references),
            });
        }
        Ok(versions)
    }

    async fn version(&self, subject: &str, number: u32) -> Result<Answer, Box<dyn Error>> {
        self.get(&format!("/subjects/{}/versions/{number}", escaped(subject))).await
    }

    /// The types that a schema names, those that they name, and so on.
    async fn references(&self, mut open: Vec<Reference>) -> Result<BTreeMap<String, Json>, Box<dyn Error>> {
        let mut found = BTreeMap::new();
        while let Some(Reference { name, subject, version }) = open.pop() {
            if found.contains_key(&name) {
                continue;
            }
            if found.len() >= MAX_REFERENCES {
                return Err(format!("more than {MAX_REFERENCES} references").into());
            }
            let answer = self.version(&subject, version).await?;
            let wrong = |error| format!("version {version} of {subject} is not JSON: {error}");
            found.insert(name, Json::parse(&answer.schema).map_err(wrong)?);
            open.extend(answer.references);
        }
        Ok(found)
    }

    async fn get<T: for<'de> Deserialize<'de>>(&self, path: &str) -> Result<T, Box<dyn Error>> {
        let url = format!("{}{path}", self.url);
        let mut request = Request::get(&url).header(ACCEPT, "application/vnd.schemaregistry.v1+json, application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let response = self.pool.send(request.body(Bytes::new())?).await;
        let response = response.map_err(|error| format!("{url}: {error}"))?;
        let (status, body) = (response.status(), response.into_body());
        if status.is_success() {
            return Ok(serde_json::from_slice(&body).map_err(|error| format!("{url}: {error}"))?);
        }
        let error: Value = serde_json::from_slice(&body).unwrap_or_default();
        let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
        let hint = if status == StatusCode::UNAUTHORIZED {
            format!(" (set {USER} and {PASSWORD}, or {TOKEN})")
        } else {
            String::new()
        };
        Err(format!("{url}: {status} {message}{hint}").into())
    }
}

const USER: &str = "SCHEMA_REGISTRY_USER";
const PASSWORD: &str = "SCHEMA_REGISTRY_PASSWORD";
const TOKEN: &str = "SCHEMA_REGISTRY_TOKEN";

/// A part of a path, percent-encoded.
fn escaped(part: &str) -> String {
    let mut escaped = String::new();
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// A registry of AWS Glue.
pub(super) struct Glue {
    aws: Aws,
    registry: String,
}

impl Glue {
    pub(super) async fn new(registry: &str) -> Result<Self, Box<dyn Error>> {
        Ok(Self { aws: Aws::load().await?, registry: registry.to_owned() })
    }

    pub(super) async fn subjects(&self) -> Result<Vec<String>, Box<dyn Error>> {
        let mut subjects = Vec::new();
        let mut body = json!({"RegistryId": {"RegistryName": self.registry}});
        loop {
            let answer = self.aws.json(GLUE, "AWSGlue.ListSchemas", &body).await?;
            let schemas = answer.get("Schemas").and_then(Value::as_array).into_iter().flatten();
            subjects.extend(schemas.filter_map(|schema| schema.get("SchemaName")?.as_str().map(str::to_owned)));
            let Some(token) = answer.get("NextToken").and_then(Value::as_str) else { return Ok(subjects) };
            body = json!({"RegistryId": {"RegistryName": self.registry}, "NextToken": token});
        }
    }

    /// Every version of a schema that is available: a deleted or a failed one is left out.
    pub(super) async fn versions(&self, subject: &str) -> Result<Vec<Version>, Box<dyn Error>> {
        let id = json!({"RegistryName": self.registry, "SchemaName": subject});
        let schema = self.aws.json(GLUE, "AWSGlue.GetSchema", &json!({"SchemaId": id})).await?;
        if schema.get("DataFormat").and_then(Value::as_str) != Some("AVRO") {
            return Ok(Vec::new());
        }
        let newest = schema.get("LatestSchemaVersion").and_then(Value::as_u64).unwrap_or_default();
        let mut versions = Vec::new();
        for number in 1..=u32::try_from(newest)? {
            let body = json!({"SchemaId": id, "SchemaVersionNumber": {"VersionNumber": number}});
            let answer = match self.aws.json(GLUE, "AWSGlue.GetSchemaVersion", &body).await {
                Err(CallError::Refused { code, .. }) if code == "EntityNotFoundException" => continue,
                answer => answer?,
            };
            let text = |name| answer.get(name).and_then(Value::as_str).unwrap_or_default();
            if text("Status") != "AVAILABLE" {
                continue;
            }
            let wrong = |error| format!("version {number} of {subject} is not JSON: {error}");
            versions.push(Version {
                subject: subject.to_owned(),
                number,
                id: Json::Text(text("SchemaVersionId").to_owned()),
                schema: Json::parse(text("SchemaDefinition")).map_err(wrong)?,
            });
        }
        Ok(versions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_one_part_of_a_path() {
        assert_eq!(escaped("orders-value"), "orders-value");
        assert_eq!(escaped("a/b é:.c"), "a%2Fb%20%C3%A9%3A.c");
    }

    #[test]
    fn credentials_come_from_the_environment_and_never_from_the_url() {
        let none = |_: &str| None;
        let error = Registry::new("http://me:secret@localhost", none).err().unwrap().to_string();
        assert!(error.contains(USER) && !error.contains("secret"), "{error}");
        let user = |name: &str| match name {
            USER => Some("me".to_owned()),
            PASSWORD => Some("secret".to_owned()),
            _ => None,
        };
        let registry = Registry::new("http://localhost", user).unwrap();
        assert_eq!(registry.authorization.unwrap(), "Basic bWU6c2VjcmV0");
        let token = |name: &str| (name == TOKEN).then(|| "t".to_owned());
        assert_eq!(Registry::new("http://localhost", token).unwrap().authorization.unwrap(), "Bearer t");
        assert!(Registry::new("http://localhost", none).unwrap().authorization.is_none());
    }

    // https://docs.confluent.io/platform/current/schema-registry/develop/api.html#get--subjects-(string-%20subject)-versions-(versionId-%20version)
    #[test]
    fn the_answers_of_the_documentation_are_read() {
        let avro: Answer =
            serde_json::from_str(r#"{"subject":"test","id":1,"version":1,"schema":"{\"type\": \"string\"}"}"#).unwrap();
        assert_eq!((avro.id, avro.schema_type, avro.references.len()), (1, None, 0));
        let referring = r#"{"subject":"order","id":4,"version":2,"schemaType":"AVRO","references":[{"name":"a.Address","subject":"address","version":3}],"schema":"{}"}"#;
        let referring: Answer = serde_json::from_str(referring).unwrap();
        assert_eq!(referring.references[0].version, 3);
    }
}
