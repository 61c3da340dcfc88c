//! The checks: each with a name that stays, what it means, and what to do. Pure.

use super::facts::{Fact, Facts, scope, text};
use avro_ingest::avro::SchemaFile;
use avro_ingest::dynamodb::mapping::TableName;
use avro_ingest::settings::Settings;
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;

/// How bad it is if a check finds something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// Messages are not stored, are stored late, or are lost after a while.
    Error,
    /// It works, until something else goes wrong.
    Warning,
}

/// What a check finds: nothing, what is wrong, or why it is unknown.
type Found = Fact<Option<String>>;

pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) severity: Severity,
    pub(super) why: &'static str,
    pub(super) fix: &'static str,
    pub(super) look: fn(&Facts) -> Found,
}

/// The template's and AWS's advice on the visibility timeout.
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html>
const VISIBILITY_FACTOR: u64 = 6;
/// Same page.
const MIN_RECEIVE_COUNT: u64 = 5;
/// The most that a queue takes.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html>
const MAX_RECEIVE_COUNT: u32 = 1_000;
/// What a good message should outlive in the queue while its table is away; the template's own rule.
const OUTAGE_SECONDS: u64 = 300;
const MAX_BATCH_WITHOUT_WINDOW: u64 = 10;
/// Concurrent executions that an account keeps unreserved.
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html>
const UNRESERVED: u64 = 100;

macro_rules! check {
    ($name:literal, $severity:ident, $why:literal, $fix:literal, $look:expr) => {
        Check { name: $name, severity: Severity::$severity, why: $why, fix: $fix, look: $look }
    };
}

/// The function's `RETURN_BACKOFF_SECONDS`, or its default.
fn return_backoff(function: &Value) -> Duration {
    let set = function.pointer("/Environment/Variables/RETURN_BACKOFF_SECONDS").and_then(Value::as_str);
    let set = set.filter(|seconds| !seconds.is_empty()).and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(set.unwrap_or(1))
}

/// The least time from the first receive of a message that is always returned to the last one there is.
fn seconds_until_dead_letter(receives: u64, backoff: Duration, visibility_seconds: u64) -> u64 {
    let wait = |receive: u32| match backoff {
        Duration::ZERO => Duration::from_secs(visibility_seconds),
        backoff => avro_ingest::visibility::after(backoff, receive, |_| Duration::ZERO),
    };
    let receives = u32::try_from(receives).unwrap_or(u32::MAX).min(MAX_RECEIVE_COUNT);
    (1..receives).map(wait).sum::<Duration>().as_secs()
}

/// Every check, in the order of a message.
pub(super) const CHECKS: &[Check] = &[
    check!(
        "mapping-exists",
        Error,
        "without an event source mapping nothing reads the queue",
        "deploy the template's event Messages, or create the mapping",
        |facts| Ok(facts
            .mapping
            .clone()?
            .is_none()
            .then(|| "no mapping leads from the queue to the function".to_owned()))
    ),
    check!(
        "mapping-enabled",
        Error,
        "a mapping that is disabled reads nothing",
        "aws lambda update-event-source-mapping --enabled --uuid ...",
        |facts| on_mapping(facts, |mapping| {
            let state = text(mapping, "State");
            (!matches!(state, "Enabled" | "Enabling" | "Updating" | "Creating" | ""))
                .then(|| format!("its state is {state}"))
        })
    ),
    check!(
        "mapping-partial-responses",
        Error,
        "without ReportBatchItemFailures Lambda takes a response for full success and deletes the messages that were returned",
        "set FunctionResponseTypes to [ReportBatchItemFailures]",
        |facts| on_mapping(facts, |mapping| {
            let types = mapping.get("FunctionResponseTypes").and_then(Value::as_array);
            let reports = types.is_some_and(|types| types.iter().any(|name| name == "ReportBatchItemFailures"));
            (!reports).then(|| "FunctionResponseTypes has no ReportBatchItemFailures".to_owned())
        })
    ),
    check!(
        "mapping-batch-window",
        Error,
        "batches over 10 need a batching window of a second or more",
        "set MaximumBatchingWindowInSeconds to 1, or BatchSize to 10",
        |facts| on_mapping(facts, |mapping| {
            let (batch, window) = (number(mapping, "BatchSize"), number(mapping, "MaximumBatchingWindowInSeconds"));
            (batch > MAX_BATCH_WITHOUT_WINDOW && window == 0)
                .then(|| format!("BatchSize is {batch}, and there is no window"))
        })
    ),
    check!(
        "mapping-concurrency",
        Error,
        "what the mapping may run at once has to be reserved, or Lambda throttles it and messages are received in vain",
        "raise the function's reserved concurrency, or lower MaximumConcurrency or MaximumPollers",
        |facts| {
            let Some(reserved) = facts.reserved.clone()? else { return Ok(None) };
            on_mapping(facts, |mapping| {
                let most = most_concurrent(mapping)?;
                (most > reserved).then(|| format!("it may run {most} at once, and {reserved} are reserved"))
            })
        }
    ),
    check!(
        "account-concurrency",
        Warning,
        "above the account's concurrency Lambda throttles, and other functions of the account need some of it",
        "ask Service Quotas for more concurrent executions, or lower MaximumConcurrency or MaximumPollers",
        |facts| {
            let account = facts.account_concurrency.clone()?;
            on_mapping(facts, |mapping| {
                let most = most_concurrent(mapping)?;
                (most + UNRESERVED > account)
                    .then(|| format!("it may run {most} at once, and the account has {account}, of which {UNRESERVED} stay for others"))
            })
        }
    ),
    check!(
        "queue-visibility-timeout",
        Error,
        "a message that becomes visible while it is still being written is delivered twice, and is dead-lettered too early",
        "set VisibilityTimeout to 6 times the function's timeout and the batching window",
        |facts| {
            let (queue, function) =
                (facts.queue.as_ref().map_err(Clone::clone)?, facts.function.as_ref().map_err(Clone::clone)?);
            let timeout = number(function, "Timeout");
            on_mapping(facts, |mapping| {
                let needed = VISIBILITY_FACTOR * timeout + number(mapping, "MaximumBatchingWindowInSeconds");
                let is = attribute(queue, "VisibilityTimeout");
                (is < needed).then(|| format!("it is {is} s, and {needed} s are needed"))
            })
        }
    ),
    check!(
        "queue-dead-letters",
        Error,
        "without a dead-letter queue a message that cannot be stored is received until it is too old, and then lost",
        "set a RedrivePolicy to a queue of its own",
        |facts| Ok(facts.dead_letters.clone()?.is_none().then(|| "the queue has no dead-letter queue".to_owned()))
    ),
    check!(
        "queue-receive-count",
        Warning,
        "with few receives a short outage of the table sends good messages to the dead-letter queue",
        "raise maxReceiveCount, 12 outlasts some minutes, or RETURN_BACKOFF_SECONDS",
        |facts| {
            let queue = facts.queue.as_ref().map_err(Clone::clone)?;
            let policy: Value = serde_json::from_str(text(queue, "RedrivePolicy")).unwrap_or_default();
            // a number or a text
            let count = policy.get("maxReceiveCount");
            let Some(count) = count.and_then(|count| count.as_u64().or_else(|| count.as_str()?.parse().ok())) else {
                return Ok(None);
            };
            let visibility = attribute(queue, "VisibilityTimeout");
            let seconds = seconds_until_dead_letter(count, return_backoff(facts.function.as_ref()?), visibility);
            let is_little = count < MIN_RECEIVE_COUNT || seconds < OUTAGE_SECONDS;
            Ok(is_little.then(|| {
                format!("maxReceiveCount is {count}: what is returned each time may be dead after {seconds} s")
            }))
        }
    ),
    check!(
        "dead-letter-retention",
        Warning,
        "a message keeps its age in the dead-letter queue, and is deleted there too early if it is not kept longer",
        "set the dead-letter queue's MessageRetentionPeriod to 1209600, 14 days",
        |facts| {
            let queue = facts.queue.as_ref().map_err(Clone::clone)?;
            let Some(letters) = facts.dead_letters.clone()? else { return Ok(None) };
            let [own, kept] = [queue, &letters].map(|queue| attribute(queue, "MessageRetentionPeriod"));
            Ok((kept <= own).then(|| format!("it keeps them {kept} s, and the queue {own} s")))
        }
    ),
    check!(
        "dead-letters-waiting",
        Warning,
        "these messages are not in the table, and are deleted when they are too old",
        "look at why in the log (reason and detail), fix it, and send them again",
        |facts| {
            let Some(letters) = facts.dead_letters.clone()? else { return Ok(None) };
            let waiting = attribute(&letters, "ApproximateNumberOfMessages");
            Ok((waiting > 0).then(|| format!("about {waiting} messages wait there")))
        }
    ),
    check!(
        "queue-encryption",
        Warning,
        "messages are stored unencrypted",
        "set SqsManagedSseEnabled, which costs nothing, or a KmsMasterKeyId",
        |facts| {
            let queue = facts.queue.as_ref().map_err(Clone::clone)?;
            let encrypted = text(queue, "SqsManagedSseEnabled") == "true" || !text(queue, "KmsMasterKeyId").is_empty();
            Ok((!encrypted).then(|| "neither SqsManagedSseEnabled nor KmsMasterKeyId is set".to_owned()))
        }
    ),
    check!(
        "queue-key",
        Error,
        "a key that is disabled, or that the function's role may not use, lets the function read no message",
        "enable the key, and let its policy allow kms:Decrypt to the account or the role",
        |facts| {
            let Some(key) = facts.queue_key.clone()? else { return Ok(None) };
            if key.state != "Enabled" {
                return Ok(Some(format!("the queue's key is {}", key.state)));
            }
            let role = facts.function.as_ref().map_err(Clone::clone)?;
            let opens = lets_decrypt(&key.policy, &key.account, text(role, "Role"));
            Ok((!opens).then(|| "the policy of the queue's key names neither the account nor the role".to_owned()))
        }
    ),
    check!(
        "function-settings",
        Error,
        "the function does not start with a wrong setting",
        "see docs/settings.md",
        |facts| {
            let function = facts.function.as_ref().map_err(Clone::clone)?;
            let variables = function.pointer("/Environment/Variables").cloned().unwrap_or_default();
            let settings = Settings::parse(|name| match name {
                // Lambda sets it
                "AWS_REGION" => Some("us-east-1".to_owned()),
                name => variables.get(name).and_then(Value::as_str).map(str::to_owned),
            });
            Ok(settings.err().map(|problems| problems.to_string()))
        }
    ),
    check!(
        "function-table",
        Error,
        "the function writes to another table than the one that is looked at",
        "set TABLE_NAME, or give the table that is meant",
        |facts| {
            let function = facts.function.as_ref().map_err(Clone::clone)?;
            let named =
                function.pointer("/Environment/Variables/TABLE_NAME").and_then(Value::as_str).unwrap_or_default();
            let is = &facts.table_name;
            let names = TableName::parse(named).ok().zip(TableName::parse(is).ok());
            let is_one = names.and_then(|(named, is)| scope(function).is_one_table(&named, &is)) == Some(true);
            Ok((!is_one).then(|| format!("TABLE_NAME is {named:?}, and the table is {is:?}")))
        }
    ),
    check!(
        "function-timeout",
        Error,
        "a timeout that is not longer than the margin leaves no time to write anything",
        "raise Timeout, or lower DEADLINE_MARGIN_MS",
        |facts| {
            let function = facts.function.as_ref().map_err(Clone::clone)?;
            let margin = function.pointer("/Environment/Variables/DEADLINE_MARGIN_MS").and_then(Value::as_str);
            let margin: u64 = margin.and_then(|margin| margin.parse().ok()).unwrap_or(500);
            let timeout = number(function, "Timeout") * 1_000;
            Ok((timeout <= 2 * margin)
                .then(|| format!("the timeout is {timeout} ms, and {margin} ms of it are the margin")))
        }
    ),
    check!(
        "function-permissions",
        Error,
        "a call that is denied stores nothing",
        "give the function's role the actions that the template gives it",
        |facts| {
            let denied: Vec<String> = facts
                .permissions
                .clone()?
                .into_iter()
                .filter(|(_, allowed)| !allowed)
                .map(|(action, _)| action)
                .collect();
            Ok((!denied.is_empty()).then(|| format!("denied: {}", denied.join(", "))))
        }
    ),
    check!(
        "schemas-deployed",
        Error,
        "messages of a version that is not deployed are rejected",
        "sam build && sam deploy",
        |facts| {
            let deployed = facts.deployed.as_ref().map_err(Clone::clone)?;
            let missing: Vec<String> = (facts.directory.as_ref().map_err(Clone::clone)?.iter())
                .filter(|file| !deployed.iter().any(|other| same_version(file, other)))
                .map(|file| format!("{}/{}", file.subject, file.version))
                .collect();
            Ok((!missing.is_empty()).then(|| format!("not deployed as in the directory: {}", missing.join(", "))))
        }
    ),
    check!(
        "table-active",
        Error,
        "a table that is not active takes no writes",
        "wait until it is, or restore it",
        |facts| {
            let status = text(facts.table.as_ref().map_err(Clone::clone)?, "TableStatus").to_owned();
            Ok((!matches!(status.as_str(), "ACTIVE" | "UPDATING")).then(|| format!("its status is {status}")))
        }
    ),
    check!(
        "table-keys",
        Error,
        "an item whose key is not the table's is refused",
        "change the schema's dynamodb property or make a table with that key: the key of a table cannot be changed",
        |facts| {
            let table = facts.table.as_ref().map_err(Clone::clone)?;
            let keys = table_keys(table);
            let schemas = facts.schemas.clone()?;
            let wrong = schemas.iter().find(|schema| schema.table == facts.table_name && schema.keys != keys);
            Ok(wrong
                .map(|schema| format!("{} is keyed by {:?}, and the table by {keys:?}", schema.subject, schema.keys)))
        }
    ),
    check!(
        "table-time-to-live",
        Warning,
        "items never expire if the table does not look at the attribute that the schemas write",
        "set the parameter TtlAttribute to that attribute",
        |facts| {
            let live = facts.time_to_live.as_ref().map_err(Clone::clone)?;
            let enabled = matches!(text(live, "TimeToLiveStatus"), "ENABLED" | "ENABLING");
            let looked_at = if enabled { text(live, "AttributeName") } else { "none" };
            let schemas = facts.schemas.as_ref().map_err(Clone::clone)?;
            let of_table = schemas.iter().filter(|schema| schema.table == facts.table_name);
            let ignored: Vec<String> = of_table
                .filter_map(|schema| Some((schema, schema.ttl.as_deref().filter(|ttl| *ttl != looked_at)?)))
                .map(|(schema, ttl)| format!("{} writes {ttl}", schema.subject))
                .collect();
            Ok((!ignored.is_empty()).then(|| format!("{}, and the table looks at {looked_at}", ignored.join(", "))))
        }
    ),
    check!(
        "table-maximum",
        Warning,
        "writes above the table's maximum are throttled, whatever it is warmed for",
        "raise MaxWriteUnits to WarmWriteUnits or more, or set it to 0",
        |facts| {
            let table = facts.table.as_ref().map_err(Clone::clone)?;
            let most = table.pointer("/OnDemandThroughput/MaxWriteRequestUnits").and_then(Value::as_i64);
            let warm = table.pointer("/WarmThroughput/WriteUnitsPerSecond").and_then(Value::as_i64).unwrap_or_default();
            Ok(most
                .filter(|most| *most > 0 && *most < warm)
                .map(|most| format!("its maximum is {most}, and it is warm for {warm}")))
        }
    ),
    check!(
        "table-quota",
        Warning,
        "a table serves no more than the account's quota",
        "ask Service Quotas for more write units of a table",
        |facts| {
            let table = facts.table.as_ref().map_err(Clone::clone)?;
            let quota = number(facts.quotas.as_ref().map_err(Clone::clone)?, "TableMaxWriteCapacityUnits");
            let warm = table.pointer("/WarmThroughput/WriteUnitsPerSecond").and_then(Value::as_u64).unwrap_or_default();
            let most =
                table.pointer("/OnDemandThroughput/MaxWriteRequestUnits").and_then(Value::as_u64).unwrap_or_default();
            let wanted = warm.max(most);
            Ok((quota > 0 && wanted > quota)
                .then(|| format!("{wanted} units a second are wanted, and the quota is {quota}")))
        }
    ),
    check!(
        "alarms-exist",
        Warning,
        "nobody sees that messages are late or lost",
        "deploy the template's alarms",
        |facts| Ok(facts
            .alarms
            .as_ref()
            .map_err(Clone::clone)?
            .is_empty()
            .then(|| "the stack has no alarms".to_owned()))
    ),
    check!(
        "alarms-tell-somebody",
        Warning,
        "an alarm without a topic tells nobody",
        "set the parameter AlarmTopicArn",
        |facts| {
            let silent = facts
                .alarms
                .as_ref()
                .map_err(Clone::clone)?
                .iter()
                .filter(|alarm| alarm.get("AlarmActions").and_then(Value::as_array).is_none_or(Vec::is_empty));
            let silent = silent.count();
            Ok((silent > 0).then(|| format!("{silent} alarms have no action")))
        }
    ),
    check!(
        "alarms-quiet",
        Warning,
        "something is wrong right now",
        "each alarm's description says what to do",
        |facts| {
            let alarms = facts.alarms.as_ref().map_err(Clone::clone)?;
            let loud: Vec<&str> = alarms
                .iter()
                .filter(|alarm| text(alarm, "StateValue") == "ALARM")
                .map(|alarm| text(alarm, "AlarmName"))
                .collect();
            Ok((!loud.is_empty()).then(|| loud.join(", ")))
        }
    ),
];

/// Looks at the mapping; if there is none, `mapping-exists` says so and nothing else does.
fn on_mapping(facts: &Facts, look: impl Fn(&Value) -> Option<String>) -> Found {
    Ok(facts.mapping.as_ref().map_err(Clone::clone)?.as_ref().and_then(look))
}

/// Invocations that a mapping may run at once; none if it is not limited.
fn most_concurrent(mapping: &Value) -> Option<u64> {
    let pollers = mapping.pointer("/ProvisionedPollerConfig/MaximumPollers").and_then(Value::as_u64);
    let standard = mapping.pointer("/ScalingConfig/MaximumConcurrency").and_then(Value::as_u64);
    pollers.map(|pollers| pollers * u64::from(simulation::limits::INVOCATIONS_PER_POLLER)).or(standard)
}

fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or_default()
}

/// An attribute of a queue: a number as a text.
fn attribute(queue: &Value, name: &str) -> u64 {
    text(queue, name).parse().unwrap_or_default()
}

/// Whether both are one version and say the same, but for white space.
fn same_version(one: &SchemaFile, other: &SchemaFile) -> bool {
    let schema = |file: &SchemaFile| serde_json::from_str::<Value>(&file.text).ok();
    one.subject == other.subject
        && one.version == other.version
        && schema(one).is_some()
        && schema(one) == schema(other)
}

/// The partition key and the sort key with their types.
fn table_keys(table: &Value) -> Vec<(String, String)> {
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

/// Whether a key's policy allows decrypting to `account`, whose own policies then decide, or to `role`.
/// <https://docs.aws.amazon.com/kms/latest/developerguide/key-policies.html>
fn lets_decrypt(policy: &Value, account: &str, role: &str) -> bool {
    fn texts(value: Option<&Value>) -> Vec<&str> {
        match value {
            Some(Value::String(text)) => vec![text],
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }
    // the partition before it is another in China
    let root = format!(":iam::{account}:root");
    let statements = match policy.get("Statement") {
        Some(Value::Array(statements)) => statements.iter().collect(),
        Some(statement) => vec![statement],
        None => Vec::new(),
    };
    statements.into_iter().filter(|statement| text(statement, "Effect") == "Allow").any(|statement| {
        let principal = statement.get("Principal");
        let named = texts(principal.and_then(|principal| principal.get("AWS")).or(principal));
        let is_allowed = texts(statement.get("Action"))
            .iter()
            .any(|action| ["*", "kms:*"].contains(action) || action.eq_ignore_ascii_case("kms:Decrypt"));
        is_allowed && named.iter().any(|name| ["*", account, role].contains(name) || name.ends_with(&root))
    })
}

#[cfg(test)]
mod tests {
    use super::super::facts::{QueueKey, SchemaTable};
    use super::*;
    use serde_json::json;

    fn file(version: &str, text: &str) -> SchemaFile {
        let path = format!("order/{version}.avsc");
        SchemaFile { subject: "order".to_owned(), version: version.to_owned(), text: text.to_owned(), path }
    }

    fn key_policy(principal: &str) -> Value {
        json!({"Statement": {"Effect": "Allow", "Principal": {"AWS": [principal]}, "Action": "kms:*", "Resource": "*"}})
    }

    /// A deployment with nothing wrong.
    fn facts() -> Facts {
        let keys = vec![("message_id".to_owned(), "S".to_owned())];
        Facts {
            function: Ok(
                json!({"Timeout": 30, "MemorySize": 512, "Environment": {"Variables": {"TABLE_NAME": "orders"}}}),
            ),
            mapping: Ok(Some(json!({
                "State": "Enabled", "BatchSize": 10, "MaximumBatchingWindowInSeconds": 0,
                "FunctionResponseTypes": ["ReportBatchItemFailures"], "ScalingConfig": {"MaximumConcurrency": 100},
            }))),
            reserved: Ok(Some(100)),
            account_concurrency: Ok(1_000),
            queue: Ok(json!({
                "VisibilityTimeout": "180", "MessageRetentionPeriod": "345600", "SqsManagedSseEnabled": "true",
                "RedrivePolicy": "{\"deadLetterTargetArn\":\"arn:x\",\"maxReceiveCount\":\"12\"}",
            })),
            queue_key: Ok(Some(QueueKey {
                state: "Enabled".to_owned(),
                policy: key_policy("arn:aws:iam::1:root"),
                account: "1".to_owned(),
            })),
            dead_letters: Ok(Some(json!({"MessageRetentionPeriod": "1209600", "ApproximateNumberOfMessages": "0"}))),
            table: Ok(json!({
                "TableStatus": "ACTIVE", "KeySchema": [{"AttributeName": "message_id", "KeyType": "HASH"}],
                "AttributeDefinitions": [{"AttributeName": "message_id", "AttributeType": "S"}],
                "OnDemandThroughput": {"MaxWriteRequestUnits": 20_000}, "WarmThroughput": {"WriteUnitsPerSecond": 10_000},
            })),
            time_to_live: Ok(json!({"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"})),
            quotas: Ok(json!({"TableMaxWriteCapacityUnits": 40_000})),
            alarms: Ok(vec![json!({"AlarmName": "x-success", "StateValue": "OK", "AlarmActions": ["arn:topic"]})]),
            permissions: Ok(vec![("dynamodb:PutItem".to_owned(), true)]),
            schemas: Ok(vec![SchemaTable {
                subject: "order".to_owned(),
                table: "orders".to_owned(),
                keys,
                ttl: Some("expires_at".to_owned()),
            }]),
            deployed: Ok(vec![file("1", "{\"type\": \"record\"}")]),
            directory: Ok(vec![file("1", "{\"type\":\"record\"}")]),
            table_name: "orders".to_owned(),
        }
    }

    /// The names of the checks that find something.
    fn found(facts: &Facts) -> Vec<&'static str> {
        CHECKS.iter().filter(|check| matches!((check.look)(facts), Ok(Some(_)))).map(|check| check.name).collect()
    }

    fn set(fact: &mut Fact<Value>, name: &str, value: Value) {
        fact.as_mut().unwrap()[name] = value;
    }

    fn set_mapping(facts: &mut Facts, name: &str, value: Value) {
        facts.mapping.as_mut().unwrap().as_mut().unwrap()[name] = value;
    }

    #[test]
    fn a_deployment_with_nothing_wrong_is_found_so() {
        assert_eq!(found(&facts()), Vec::<&str>::new());
        assert!(CHECKS.iter().all(|check| (check.look)(&facts()).is_ok()));
    }

    type Break = (&'static str, fn(&mut Facts));
    const BREAKS: &[Break] = &[
        ("mapping-exists", |facts| facts.mapping = Ok(None)),
        ("mapping-enabled", |facts| set_mapping(facts, "State", json!("Disabled"))),
        ("mapping-partial-responses", |facts| set_mapping(facts, "FunctionResponseTypes", json!([]))),
        ("mapping-batch-window", |facts| set_mapping(facts, "BatchSize", json!(11))),
        ("mapping-concurrency", |facts| facts.reserved = Ok(Some(99))),
        ("account-concurrency", |facts| facts.account_concurrency = Ok(199)),
        ("queue-visibility-timeout", |facts| set(&mut facts.queue, "VisibilityTimeout", json!("179"))),
        ("queue-dead-letters", |facts| facts.dead_letters = Ok(None)),
        ("queue-receive-count", |facts| set(&mut facts.queue, "RedrivePolicy", json!("{\"maxReceiveCount\":4}"))),
        ("dead-letter-retention", |facts| set(&mut facts.queue, "MessageRetentionPeriod", json!("1209600"))),
        ("dead-letters-waiting", |facts| {
            facts.dead_letters.as_mut().unwrap().as_mut().unwrap()["ApproximateNumberOfMessages"] = json!("3");
        }),
        ("queue-encryption", |facts| set(&mut facts.queue, "SqsManagedSseEnabled", json!("false"))),
        ("queue-key", |facts| {
            facts.queue_key.as_mut().unwrap().as_mut().unwrap().state = "PendingDeletion".to_owned();
        }),
        ("function-settings", |facts| {
            set(
                &mut facts.function,
                "Environment",
                json!({"Variables": {"TABLE_NAME": "orders", "MAX_IN_FLIGHT": "many"}}),
            );
        }),
        ("function-table", |facts| {
            set(&mut facts.function, "Environment", json!({"Variables": {"TABLE_NAME": "other"}}));
        }),
        ("function-timeout", |facts| set(&mut facts.function, "Timeout", json!(1))),
        ("function-permissions", |facts| facts.permissions = Ok(vec![("dynamodb:PutItem".to_owned(), false)])),
        ("schemas-deployed", |facts| facts.directory.as_mut().unwrap().push(file("2", "{}"))),
        ("table-active", |facts| set(&mut facts.table, "TableStatus", json!("DELETING"))),
        ("table-keys", |facts| {
            set(
                &mut facts.table,
                "AttributeDefinitions",
                json!([{"AttributeName": "message_id", "AttributeType": "N"}]),
            );
        }),
        ("table-time-to-live", |facts| set(&mut facts.time_to_live, "TimeToLiveStatus", json!("DISABLED"))),
        ("table-maximum", |facts| set(&mut facts.table, "OnDemandThroughput", json!({"MaxWriteRequestUnits": 9_999}))),
        ("table-quota", |facts| set(&mut facts.quotas, "TableMaxWriteCapacityUnits", json!(19_999))),
        ("alarms-exist", |facts| facts.alarms = Ok(vec![])),
        ("alarms-tell-somebody", |facts| facts.alarms.as_mut().unwrap()[0]["AlarmActions"] = json!([])),
        ("alarms-quiet", |facts| facts.alarms.as_mut().unwrap()[0]["StateValue"] = json!("ALARM")),
    ];

    #[test]
    fn each_check_finds_what_it_is_for_and_no_other_does() {
        for (name, break_it) in BREAKS {
            let mut facts = facts();
            break_it(&mut facts);
            assert_eq!(found(&facts), [*name]);
        }
    }

    #[test]
    fn every_check_is_broken_once_and_has_a_name_of_its_own() {
        let names: Vec<_> = CHECKS.iter().map(|check| check.name).collect();
        let broken: Vec<_> = BREAKS.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, broken);
        assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), names.len());
    }

    #[test]
    fn the_documentation_has_every_check_as_it_is() {
        let documentation = include_str!("../../../docs/doctor.md");
        let rows: Vec<&str> = documentation.lines().filter(|line| line.starts_with("| `")).collect();
        let expected: Vec<String> = CHECKS
            .iter()
            .map(|Check { name, severity, why, fix, .. }| {
                let severity = match severity {
                    Severity::Error => "error",
                    Severity::Warning => "warning",
                };
                format!("| `{name}` | {severity} | {why} | {fix} |")
            })
            .collect();
        assert_eq!(rows, expected);
    }

    #[test]
    fn a_queues_key_opens_to_the_account_the_role_or_everybody() {
        let opens = |principal: &str| {
            let mut facts = facts();
            set(&mut facts.function, "Role", json!("arn:aws:iam::1:role/function"));
            facts.queue_key.as_mut().unwrap().as_mut().unwrap().policy = key_policy(principal);
            found(&facts).is_empty()
        };
        for principal in ["arn:aws:iam::1:root", "1", "arn:aws:iam::1:role/function", "*"] {
            assert!(opens(principal), "{principal}");
        }
        for principal in ["arn:aws:iam::2:root", "arn:aws:iam::1:role/other"] {
            assert!(!opens(principal), "{principal}");
        }
        let denied = |action: &str, effect: &str| json!({"Statement": [{"Effect": effect, "Principal": "*", "Action": [action], "Resource": "*"}]});
        assert!(lets_decrypt(&denied("kms:Decrypt", "Allow"), "1", "role"));
        assert!(!lets_decrypt(&denied("kms:Encrypt", "Allow"), "1", "role"));
        assert!(!lets_decrypt(&denied("kms:Decrypt", "Deny"), "1", "role"));
    }

    #[test]
    fn the_receives_outlast_an_outage_of_the_table_however_long_what_is_returned_waits() {
        let found_with = |count: u32, backoff: &str| {
            let mut facts = facts();
            set(&mut facts.queue, "RedrivePolicy", json!(format!("{{\"maxReceiveCount\":{count}}}")));
            let variables = json!({"TABLE_NAME": "orders", "RETURN_BACKOFF_SECONDS": backoff});
            set(&mut facts.function, "Environment", json!({"Variables": variables}));
            found(&facts)
        };
        // 1 s doubled ten times, and half of it at least: 511 s; nine times: 255 s
        for (count, backoff, is_found) in
            [(11, "1", false), (10, "1", true), (11, "", false), (10, "2", false), (5, "0", false), (4, "0", true)]
        {
            assert_eq!(found_with(count, backoff) == ["queue-receive-count"], is_found, "{count} with {backoff:?}");
        }
    }

    #[test]
    fn pollers_run_ten_invocations_each() {
        let mut facts = facts();
        set_mapping(&mut facts, "ScalingConfig", Value::Null);
        set_mapping(&mut facts, "ProvisionedPollerConfig", json!({"MaximumPollers": 11}));
        assert_eq!(found(&facts), ["mapping-concurrency"]);
    }

    #[test]
    fn a_version_that_was_changed_is_not_deployed_and_an_attribute_of_another_name_is_not_looked_at() {
        let mut facts = facts();
        facts.directory = Ok(vec![file("1", r#"{"type": "string"}"#)]);
        set(&mut facts.time_to_live, "AttributeName", json!("ttl"));
        assert_eq!(found(&facts), ["schemas-deployed", "table-time-to-live"]);
        // without a schema that expires the table may look at what it likes
        facts.schemas.as_mut().unwrap()[0].ttl = None;
        assert_eq!(found(&facts), ["schemas-deployed"]);
    }

    #[test]
    fn a_fact_that_may_not_be_read_is_unknown_and_the_others_are_judged() {
        let mut facts = facts();
        facts.permissions = Err("AccessDenied: iam:SimulatePrincipalPolicy".to_owned());
        set(&mut facts.queue, "VisibilityTimeout", json!("30"));
        let unknown: Vec<_> =
            CHECKS.iter().filter(|check| (check.look)(&facts).is_err()).map(|check| check.name).collect();
        assert_eq!((unknown, found(&facts)), (vec!["function-permissions"], vec!["queue-visibility-timeout"]));
    }
}
