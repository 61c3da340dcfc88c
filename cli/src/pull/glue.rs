//! Client of an AWS Glue schema registry.

use super::json::Json;
use super::source::{Failure, History, LeftOut, Version};
use crate::aws::{Aws, CallError, GLUE};
use serde_json::{Value, json};
use std::error::Error;

/// Glue's error code for something that does not exist.
const NOT_FOUND: &str = "EntityNotFoundException";

pub(super) struct Glue {
    aws: Aws,
    registry: String,
}

/// An error response concerns one subject. Any other error concerns the whole registry.
impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match &error {
            CallError::Refused { code, .. } if code == NOT_FOUND => Self::Gone(error.to_string()),
            CallError::Refused { .. } if !error.is_transient() => Self::Subject(error.to_string()),
            _ => Self::Registry(error.into()),
        }
    }
}

impl Glue {
    pub(super) async fn new(registry: &str) -> Result<Self, Box<dyn Error>> {
        Ok(Self { aws: Aws::load().await?, registry: registry.to_owned() })
    }

    pub(super) async fn subjects(&self) -> Result<Vec<String>, Box<dyn Error>> {
        let mut subjects = Vec::new();
        let mut body = json!({"RegistryId": {"RegistryName": self.registry}});
        loop {
            let response = self.aws.json(GLUE, "AWSGlue.ListSchemas", &body).await?;
            let schemas = response.get("Schemas").and_then(Value::as_array).into_iter().flatten();
            subjects.extend(schemas.filter_map(|schema| schema.get("SchemaName")?.as_str().map(str::to_owned)));
            let Some(token) = response.get("NextToken").and_then(Value::as_str) else { return Ok(subjects) };
            body = json!({"RegistryId": {"RegistryName": self.registry}, "NextToken": token});
        }
    }

    /// Returns all available versions of a schema. Versions that are deleted or that failed to register are left out.
    pub(super) async fn history(&self, subject: &str) -> Result<History, Failure> {
        let id = json!({"RegistryName": self.registry, "SchemaName": subject});
        let schema = self.aws.json(GLUE, "AWSGlue.GetSchema", &json!({"SchemaId": id})).await?;
        let format = schema.get("DataFormat").and_then(Value::as_str).unwrap_or_default();
        let left_out = |version, why: String| LeftOut { subject: subject.to_owned(), version, why };
        let mut history = History::default();
        if format != "AVRO" {
            history.left_out.push(left_out(None, format!("{format}, not Avro")));
            return Ok(history);
        }
        let newest = schema.get("LatestSchemaVersion").and_then(Value::as_u64).unwrap_or_default();
        let newest = u32::try_from(newest).map_err(|_| Failure::Subject(format!("it has {newest} versions")))?;
        for number in 1..=newest {
            let body = json!({"SchemaId": id, "SchemaVersionNumber": {"VersionNumber": number}});
            let response = match self.aws.json(GLUE, "AWSGlue.GetSchemaVersion", &body).await.map_err(Failure::from) {
                Err(Failure::Gone(_)) => continue,
                response => response?,
            };
            let text = |name| response.get(name).and_then(Value::as_str).unwrap_or_default();
            match text("Status") {
                "AVAILABLE" => {}
                status => {
                    history.left_out.push(left_out(Some(number), format!("its status is {status}")));
                    continue;
                }
            }
            let wrong = |error| Failure::Subject(format!("version {number} is not JSON: {error}"));
            history.versions.push(Version {
                subject: subject.to_owned(),
                number,
                ids: vec![Json::Text(text("SchemaVersionId").to_owned())],
                schema: Json::parse(text("SchemaDefinition")).map_err(wrong)?,
            });
        }
        Ok(history)
    }
}
