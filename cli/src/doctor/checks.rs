//! The checks. Each has a stable name, the reason why it matters, and a fix. Pure.

use super::facts::{Facts, is_reading, scope, text};
use super::filters::drops_everything;
use super::looks::{
    attribute, dead_letters, denied, exists, is_same_queue, most_concurrent, number, on_mapping, same_version,
    settings, table_keys, with_reason,
};
use super::policy::allows_account;
use super::unknown::{Fact, Unknown};
use crate::wire_formats::misfits;
use avro_ingest::avro::WireFormat;
use avro_ingest::dynamodb::mapping::TableName;
use avro_ingest::transcode::Transcoder;
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;

/// Severity of a check that finds a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// Messages are not stored, are stored late, or are lost eventually.
    Error,
    /// The deployment works until something else fails.
    Warning,
}

/// Result of a check: no problem, a problem, or the reason why the result is unknown.
pub(super) type Found = Fact<Option<String>>;

pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) severity: Severity,
    pub(super) why: &'static str,
    pub(super) fix: &'static str,
    pub(super) look: fn(&Facts) -> Found,
}

/// Minimum ratio of the queue's visibility timeout to the function's timeout, as the template and AWS recommend.
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html>
const VISIBILITY_FACTOR: u64 = 6;
/// Minimum `maxReceiveCount` that AWS recommends on the same page.
const MIN_RECEIVE_COUNT: u64 = 5;
/// Maximum `maxReceiveCount` that SQS accepts.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html>
const MAX_RECEIVE_COUNT: u32 = 1_000;
/// Minimum time that a valid message must survive in the queue while its table is unavailable, in seconds. The template has the
/// same rule.
const OUTAGE_SECONDS: u64 = 300;
const MAX_BATCH_WITHOUT_WINDOW: u64 = 10;
/// Concurrent executions that an account must leave unreserved.
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html>
const UNRESERVED: u64 = 100;

macro_rules! check {
    ($name:literal, $severity:ident, $why:literal, $fix:literal, $look:expr) => {
        Check { name: $name, severity: Severity::$severity, why: $why, fix: $fix, look: $look }
    };
}

/// Returns the function's `RETURN_BACKOFF_SECONDS`, or its default.
fn return_backoff(function: &Value) -> Duration {
    let set = function.pointer("/Environment/Variables/RETURN_BACKOFF_SECONDS").and_then(Value::as_str);
    let set = set.filter(|seconds| !seconds.is_empty()).and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(set.unwrap_or(1))
}

/// Returns the minimum time between the first and the last receive of a message that is returned every time.
fn seconds_until_dead_letter(receives: u64, backoff: Duration, visibility_seconds: u64) -> u64 {
    let wait = |receive: u32| match backoff {
        Duration::ZERO => Duration::from_secs(visibility_seconds),
        backoff => avro_ingest::visibility::after(backoff, receive, |_| Duration::ZERO),
    };
    let receives = u32::try_from(receives).unwrap_or(u32::MAX).min(MAX_RECEIVE_COUNT);
    (1..receives).map(wait).sum::<Duration>().as_secs()
}

/// Name of the check that reports denied calls.
pub(super) const CALLS_ALLOWED: &str = "calls-allowed";

/// All checks, ordered by the path of a message from the queue to the table.
pub(super) const CHECKS: &[Check] = &[
    check!(
        "calls-allowed",
        Warning,
        "nobody knows whether what may not be read is right",
        "allow the caller the calls that docs/doctor.md lists",
        |facts| {
            let denied = denied(facts);
            Ok((!denied.is_empty()).then(|| denied.join("; ")))
        }
    ),
    check!(
        "queue-exists",
        Error,
        "a queue that does not exist takes no message",
        "deploy the stack, or give the queue that is meant",
        |facts| exists(&facts.queue)
    ),
    check!(
        "function-exists",
        Error,
        "without the function nothing is stored",
        "deploy the stack, or give the function that is meant",
        |facts| exists(&facts.function)
    ),
    check!(
        "table-exists",
        Error,
        "a table that does not exist takes no item",
        "deploy the stack, or give the table that is meant",
        |facts| exists(&facts.table)
    ),
    check!(
        "function-state",
        Error,
        "a function that is not active runs nothing",
        "read the reason, and deploy the function again",
        |facts| {
            let function = facts.function.as_ref().map_err(Clone::clone)?;
            let state = text(function, "State");
            // an inactive function becomes active when it is invoked
            Ok((!matches!(state, "Active" | "Inactive" | ""))
                .then(|| with_reason(&format!("its state is {state}"), function, "StateReason")))
        }
    ),
    check!(
        "function-update",
        Error,
        "after a failed update the function runs as it was before",
        "read the reason, and deploy the function again",
        |facts| {
            let function = facts.function.as_ref().map_err(Clone::clone)?;
            let status = text(function, "LastUpdateStatus");
            Ok((!matches!(status, "Successful" | ""))
                .then(|| with_reason(&format!("its last update is {status}"), function, "LastUpdateStatusReason")))
        }
    ),
    check!(
        "reserved-concurrency",
        Error,
        "a reserved concurrency of 0 turns the function off",
        "set ReservedConcurrentExecutions to MaxInstances, or remove it",
        |facts| Ok((facts.reserved.clone()? == Some(0)).then(|| "it is 0".to_owned()))
    ),
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
            (!is_reading(mapping)).then(|| format!("its state is {state}"))
        })
    ),
    check!(
        "mapping-problem",
        Error,
        "a mapping that cannot invoke the function, or read the queue, delivers nothing",
        "remove the cause; the mapping tries again by itself, or has to be enabled again",
        |facts| on_mapping(facts, |mapping| {
            let (reason, result) = (text(mapping, "StateTransitionReason"), text(mapping, "LastProcessingResult"));
            let error = mapping.pointer("/FilterCriteriaError/Message").and_then(Value::as_str);
            let is_users = reason.is_empty() || reason.to_ascii_lowercase().starts_with("user");
            let is_fine = ["", "ok", "no records processed"].contains(&result.to_ascii_lowercase().as_str());
            if !is_users {
                Some(format!("StateTransitionReason is {reason:?}"))
            } else if !is_fine {
                Some(format!("LastProcessingResult is {result:?}"))
            } else {
                error.map(|error| format!("FilterCriteriaError is {error:?}"))
            }
        })
    ),
    check!(
        "mapping-filter",
        Error,
        "Lambda deletes the messages that no filter lets through",
        "remove the mapping's FilterCriteria, or correct them",
        |facts| {
            let queue = facts.queue.as_ref().map_err(Clone::clone)?;
            let function = facts.function.as_ref().map_err(Clone::clone)?;
            // another check reports invalid settings, and a function with invalid settings reads no JSON
            let formats = settings(function).ok().and_then(|settings| settings.wire_formats).unwrap_or_default();
            let reads_json = formats.contains(&WireFormat::Json);
            on_mapping(facts, |mapping| drops_everything(mapping, text(queue, "QueueArn"), reads_json))
        }
    ),
    check!(
        "queue-readers",
        Error,
        "each message goes to one of the functions, and the others never see it",
        "give each function a queue of its own, behind an SNS topic if all need every message",
        |facts| {
            let readers = facts.readers.as_ref().map_err(Clone::clone)?;
            Ok((readers.len() > 1).then(|| format!("{} read it", readers.join(", "))))
        }
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
            // another check reports a reserved concurrency of 0
            let Some(reserved) = facts.reserved.clone()?.filter(|reserved| *reserved > 0) else { return Ok(None) };
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
        |facts| {
            let queue = facts.queue.as_ref().map_err(Clone::clone)?;
            match &facts.dead_letters {
                Ok(None) => Ok(Some("the queue has no dead-letter queue".to_owned())),
                Ok(Some(letters)) if is_same_queue(queue, letters) => {
                    Ok(Some("the queue is its own dead-letter queue".to_owned()))
                }
                Ok(Some(_)) => Ok(None),
                Err(Unknown::NotFound(_)) => {
                    Ok(Some("the dead-letter queue of its RedrivePolicy does not exist".to_owned()))
                }
                Err(cause) => Err(cause.clone()),
            }
        }
    ),
    check!(
        "queue-receive-count",
        Warning,
        "with few receives a short outage of the table sends good messages to the dead-letter queue",
        "raise maxReceiveCount, 12 outlasts some minutes, or RETURN_BACKOFF_SECONDS",
        |facts| {
            let queue = facts.queue.as_ref().map_err(Clone::clone)?;
            let policy: Value = serde_json::from_str(text(queue, "RedrivePolicy")).unwrap_or_default();
            // the count is a number or a string
            let count = policy.get("maxReceiveCount");
            let Some(count) = count.and_then(|count| count.as_u64().or_else(|| count.as_str()?.parse().ok())) else {
                return Ok(None);
            };
            let visibility = attribute(queue, "VisibilityTimeout");
            let seconds = seconds_until_dead_letter(
                count,
                return_backoff(facts.function.as_ref().map_err(Clone::clone)?),
                visibility,
            );
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
            let letters = dead_letters(facts)?;
            let [own, kept] = [queue, letters].map(|queue| attribute(queue, "MessageRetentionPeriod"));
            Ok((kept <= own).then(|| format!("it keeps them {kept} s, and the queue {own} s")))
        }
    ),
    check!(
        "dead-letters-waiting",
        Warning,
        "these messages are not in the table, and are deleted when they are too old",
        "look at why in the log (reason and detail), fix it, and send them again",
        |facts| {
            let letters = dead_letters(facts)?;
            let waiting = attribute(letters, "ApproximateNumberOfMessages");
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
            let opens = allows_account(&key.policy, &["kms:Decrypt"], &key.account, text(role, "Role"));
            Ok((!opens).then(|| "the policy of the queue's key names neither the account nor the role".to_owned()))
        }
    ),
    check!(
        "quarantine-queue",
        Error,
        "rejected messages go to the dead-letter queue without a reason, after as many receives as it takes",
        "give the function's role sqs:SendMessage on a quarantine queue of its own, and kms:GenerateDataKey on its key",
        |facts| {
            let queue = facts.queue.as_ref().map_err(Clone::clone)?;
            facts.function.as_ref().map_err(Clone::clone)?;
            match &facts.quarantine {
                Ok(None) => Ok(None),
                Ok(Some(quarantine)) if is_same_queue(queue, quarantine) => {
                    Ok(Some("QUARANTINE_QUEUE_URL is the queue that the function reads".to_owned()))
                }
                Ok(Some(_)) => {
                    Ok((!facts.quarantine_open.clone()?).then(|| "the function may not send to it".to_owned()))
                }
                Err(Unknown::NotFound(_)) => Ok(Some("the queue of QUARANTINE_QUEUE_URL does not exist".to_owned())),
                Err(cause) => Err(cause.clone()),
            }
        }
    ),
    check!(
        "function-settings",
        Error,
        "the function does not start with a wrong setting",
        "see docs/settings.md",
        |facts| {
            let function = facts.function.as_ref().map_err(Clone::clone)?;
            Ok(settings(function).err())
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
        "schemas-start",
        Error,
        "the function does not start with these schemas, and every message comes back",
        "run ingest check in the schema directory, correct it and deploy",
        |facts| {
            let deployed = facts.deployed.as_ref().map_err(Clone::clone)?;
            let settings = settings(facts.function.as_ref().map_err(Clone::clone)?)?;
            let problems = Transcoder::new(&settings, deployed.clone()).err();
            Ok(problems.map(|problems| problems.to_string()))
        }
    ),
    check!(
        "schemas-wire-formats",
        Warning,
        "a message in a wire format that is not allowed, or that no schema has an id for, is rejected",
        "deploy with WireFormats as the line has it",
        |facts| {
            let deployed = facts.deployed.as_ref().map_err(Clone::clone)?;
            let settings = settings(facts.function.as_ref().map_err(Clone::clone)?)?;
            let transcoder = Transcoder::new(&settings, deployed.clone()).map_err(|problems| problems.to_string())?;
            let misfits = misfits(&transcoder);
            Ok((!misfits.is_empty()).then(|| misfits.join("; ")))
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
