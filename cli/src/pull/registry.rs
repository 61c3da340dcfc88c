//! Client of a registry with Confluent's API.
//! <https://docs.confluent.io/platform/current/schema-registry/develop/api.html>

use super::http::{Client, RequestError};
use super::json::Json;
use super::references::inline;
use super::source::{Failure, History, LeftOut, Version};
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use std::collections::{BTreeSet, VecDeque};
use std::error::Error;
use std::fmt::Write;

/// Maximum number of transitive references of a schema, which ends reference cycles.
const MAX_REFERENCES: usize = 1_000;
/// Version number in a reference that means the newest version. In a URL it is `latest`.
const LATEST: i64 = -1;

const USER: &str = "SCHEMA_REGISTRY_USER";
const PASSWORD: &str = "SCHEMA_REGISTRY_PASSWORD";
const TOKEN: &str = "SCHEMA_REGISTRY_TOKEN";

pub(super) struct Registry {
    url: String,
    client: Client,
}

/// Response to `GET /subjects/{subject}/versions/{version}`.
#[derive(Debug, Clone, Deserialize)]
struct Registered {
    id: u32,
    /// Globally unique id of the schema, available since Schema Registry 8. A producer that sends the id in a header sends only
    /// this id.
    guid: Option<String>,
    version: u32,
    schema: String,
    #[serde(rename = "schemaType")]
    schema_type: Option<String>,
    /// Missing, null or a list.
    references: Option<Vec<Reference>>,
}

#[derive(Debug, Clone, Deserialize)]
struct Reference {
    subject: String,
    version: i64,
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        match &error {
            RequestError::Refused { status, .. } => match *status {
                StatusCode::NOT_FOUND => Self::Gone(error.to_string()),
                StatusCode::UNAUTHORIZED => {
                    Self::Registry(format!("{error} (set {USER} and {PASSWORD}, or {TOKEN})").into())
                }
                // an internal error of the registry may affect only this subject
                StatusCode::INTERNAL_SERVER_ERROR => Self::Subject(error.to_string()),
                _ if error.is_transient() => Self::Registry(error.to_string().into()),
                _ => Self::Subject(error.to_string()),
            },
            RequestError::NoResponse { .. } => Self::Registry(error.to_string().into()),
        }
    }
}

impl Registry {
    /// Validates `url`. `lookup` reads credentials from the environment: a token, or a user and a password.
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
        Ok(Self { url: url.trim_end_matches('/').to_owned(), client: Client::new(authorization)? })
    }

    pub(super) async fn subjects(&self) -> Result<Vec<String>, Box<dyn Error>> {
        self.get("/subjects").await.map_err(|failure| failure.to_string().into())
    }

    /// Returns all versions of a subject. Versions that are not Avro, or that were deleted in the meantime, are left out.
    pub(super) async fn history(&self, subject: &str) -> Result<History, Failure> {
        let mut history = History::default();
        let numbers: Vec<u32> = self.get(&format!("/subjects/{}/versions", escaped(subject))).await?;
        for number in numbers {
            let left_out = |why| LeftOut { subject: subject.to_owned(), version: Some(number), why };
            let registered = match self.version(subject, &number.to_string()).await {
                Err(Failure::Gone(_)) => {
                    history.left_out.push(left_out("deleted meanwhile".to_owned()));
                    continue;
                }
                registered => registered?,
            };
            if let Some(kind) = registered.schema_type.filter(|kind| kind != "AVRO") {
                history.left_out.push(left_out(format!("{kind}, not Avro")));
                continue;
            }
            let schema = parsed(&registered.schema, subject, registered.version)?;
            let references = self.references(registered.references.unwrap_or_default()).await?;
            let id = Json::Scalar(registered.id.to_string());
            history.versions.push(Version {
                subject: subject.to_owned(),
                number: registered.version,
                ids: std::iter::once(id).chain(registered.guid.map(Json::Text)).collect(),
                schema: inline(&schema, &references),
            });
        }
        Ok(history)
    }

    async fn version(&self, subject: &str, version: &str) -> Result<Registered, Failure> {
        self.get(&format!("/subjects/{}/versions/{version}", escaped(subject))).await
    }

    /// Returns the schemas that `open` refers to, directly or transitively, in breadth-first order.
    async fn references(&self, open: Vec<Reference>) -> Result<Vec<Json>, Failure> {
        let mut open: VecDeque<Reference> = open.into();
        let (mut schemas, mut known) = (Vec::new(), BTreeSet::new());
        while let Some(Reference { subject, version }) = open.pop_front() {
            if !known.insert((subject.clone(), version)) {
                continue;
            }
            if known.len() > MAX_REFERENCES {
                return Err(Failure::Subject(format!("more than {MAX_REFERENCES} references")));
            }
            let name = if version == LATEST { "latest".to_owned() } else { version.to_string() };
            let registered = match self.version(&subject, &name).await {
                Err(Failure::Gone(cause)) => {
                    return Err(Failure::Subject(format!("its reference does not exist: {cause}")));
                }
                registered => registered?,
            };
            schemas.push(parsed(&registered.schema, &subject, registered.version)?);
            open.extend(registered.references.unwrap_or_default());
        }
        Ok(schemas)
    }

    async fn get<T: for<'de> Deserialize<'de>>(&self, path: &str) -> Result<T, Failure> {
        let url = format!("{}{path}", self.url);
        let body = self.client.get(&url).await?;
        serde_json::from_slice(&body).map_err(|error| Failure::Subject(format!("{url}: not its API: {error}")))
    }
}

fn parsed(schema: &str, subject: &str, version: u32) -> Result<Json, Failure> {
    Json::parse(schema)
        .map_err(|error| Failure::Subject(format!("version {version} of {subject} is not JSON: {error}")))
}

/// Percent-encodes a path segment.
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
        assert_eq!(registry.client.authorization.unwrap(), "Basic bWU6c2VjcmV0");
        let token = |name: &str| (name == TOKEN).then(|| "t".to_owned());
        assert_eq!(Registry::new("http://localhost", token).unwrap().client.authorization.unwrap(), "Bearer t");
        assert!(Registry::new("http://localhost", none).unwrap().client.authorization.is_none());
    }

    // https://docs.confluent.io/platform/current/schema-registry/develop/api.html#get--subjects-(string-%20subject)-versions-(versionId-%20version)
    #[test]
    fn the_answers_of_the_documentation_are_read() {
        let avro: Registered =
            serde_json::from_str(r#"{"subject":"test","id":1,"version":1,"schema":"{\"type\": \"string\"}"}"#).unwrap();
        assert_eq!((avro.id, avro.schema_type, avro.references.map_or(0, |references| references.len())), (1, None, 0));
        let referring = r#"{"subject":"order","id":4,"version":2,"schemaType":"AVRO","references":[{"name":"a.Address","subject":"address","version":3}],"schema":"{}"}"#;
        let referring: Registered = serde_json::from_str(referring).unwrap();
        assert_eq!(referring.references.unwrap()[0].version, 3);
    }
}
