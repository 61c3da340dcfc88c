//! Helpers that several checks share. Pure.

use super::checks::Found;
use super::facts::{Facts, scope, text};
use super::unknown::{Fact, Unknown};
use avro_ingest::avro::SchemaFile;
use avro_ingest::settings::Settings;
use serde_json::Value;

/// Checks the mapping. Without the mapping or its function, the result is unknown.
pub(super) fn on_mapping(facts: &Facts, look: impl Fn(&Value) -> Option<String>) -> Found {
    if let Err(missing @ Unknown::NotFound(_)) = &facts.function {
        return Err(missing.clone());
    }
    match facts.mapping.as_ref().map_err(Clone::clone)? {
        Some(mapping) => Ok(look(mapping)),
        None => Err("there is no mapping".into()),
    }
}

/// Reports a problem if a resource does not exist.
pub(super) fn exists<T>(resource: &Fact<T>) -> Found {
    match resource {
        Ok(_) => Ok(None),
        Err(Unknown::NotFound(cause)) => Ok(Some(cause.clone())),
        Err(cause) => Err(cause.clone()),
    }
}

/// Returns all denied calls, without duplicates.
pub(super) fn denied(facts: &Facts) -> Vec<String> {
    let Facts {
        function,
        mapping,
        readers,
        reserved,
        account_concurrency,
        queue,
        queue_key,
        dead_letters,
        quarantine,
        quarantine_open,
        table,
        time_to_live,
        quotas,
        alarms,
        permissions,
        schemas,
        deployed,
        directory: _,
        table_name: _,
    } = facts;
    let causes = [
        function.as_ref().err(),
        mapping.as_ref().err(),
        readers.as_ref().err(),
        reserved.as_ref().err(),
        account_concurrency.as_ref().err(),
        queue.as_ref().err(),
        queue_key.as_ref().err(),
        dead_letters.as_ref().err(),
        quarantine.as_ref().err(),
        quarantine_open.as_ref().err(),
        table.as_ref().err(),
        time_to_live.as_ref().err(),
        quotas.as_ref().err(),
        alarms.as_ref().err(),
        permissions.as_ref().err(),
        schemas.as_ref().err(),
        deployed.as_ref().err(),
    ];
    let mut denied: Vec<String> = Vec::new();
    for cause in causes.into_iter().flatten() {
        if let Unknown::Denied(cause) = cause
            && !denied.contains(cause)
        {
            denied.push(cause.clone());
        }
    }
    denied
}

/// Returns the function's settings as the function reads them at its start.
pub(super) fn settings(function: &Value) -> Result<Settings, String> {
    let variables = function.pointer("/Environment/Variables").cloned().unwrap_or_default();
    let settings = Settings::parse(|name| match name {
        // Lambda sets this variable
        "AWS_REGION" => Some(scope(function).region.unwrap_or("us-east-1").to_owned()),
        name => variables.get(name).and_then(Value::as_str).map(str::to_owned),
    });
    settings.map_err(|problems| problems.to_string())
}

/// Returns the attributes of the dead-letter queue. Without a dead-letter queue, they are unknown.
pub(super) fn dead_letters(facts: &Facts) -> Fact<&Value> {
    let queue = facts.queue.as_ref().map_err(Clone::clone)?;
    let letters = facts.dead_letters.as_ref().map_err(Clone::clone)?.as_ref();
    letters.filter(|letters| !is_same_queue(queue, letters)).ok_or_else(|| "there is no dead-letter queue".into())
}

pub(super) fn is_same_queue(one: &Value, other: &Value) -> bool {
    !text(one, "QueueArn").is_empty() && text(one, "QueueArn") == text(other, "QueueArn")
}

pub(super) fn with_reason(what: &str, function: &Value, reason: &str) -> String {
    match text(function, reason) {
        "" => what.to_owned(),
        reason => format!("{what}: {reason}"),
    }
}

/// Returns the maximum number of concurrent invocations of a mapping. Returns `None` if there is no limit.
pub(super) fn most_concurrent(mapping: &Value) -> Option<u64> {
    let pollers = mapping.pointer("/ProvisionedPollerConfig/MaximumPollers").and_then(Value::as_u64);
    let standard = mapping.pointer("/ScalingConfig/MaximumConcurrency").and_then(Value::as_u64);
    pollers.map(|pollers| pollers * u64::from(simulation::limits::INVOCATIONS_PER_POLLER)).or(standard)
}

pub(super) fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or_default()
}

/// Returns a numeric attribute of a queue. SQS encodes it as a string.
pub(super) fn attribute(queue: &Value, name: &str) -> u64 {
    text(queue, name).parse().unwrap_or_default()
}

/// Returns whether both files are the same version and differ only in white space.
pub(super) fn same_version(one: &SchemaFile, other: &SchemaFile) -> bool {
    let schema = |file: &SchemaFile| serde_json::from_str::<Value>(&file.text).ok();
    one.subject == other.subject
        && one.version == other.version
        && schema(one).is_some()
        && schema(one) == schema(other)
}

/// Returns the partition key and the sort key with their types.
pub(super) fn table_keys(table: &Value) -> Vec<(String, String)> {
    let list = |name: &str| table.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut keys = list("KeySchema");
    keys.sort_by_key(|key| text(key, "KeyType") != "HASH");
    let definitions = list("AttributeDefinitions");
    let with_type = |key: &Value| {
        let name = text(key, "AttributeName");
        let definition = definitions.iter().find(|definition| text(definition, "AttributeName") == name);
        (name.to_owned(), definition.map_or("", |definition| text(definition, "AttributeType")).to_owned())
    };
    keys.iter().map(with_type).collect()
}
