//! Breaks every check once.

use super::checks::{CHECKS, Check, Severity};
use super::facts::{Facts, QueueKey, SchemaTable};
use super::unknown::{Fact, Unknown};
use avro_ingest::avro::SchemaFile;
use serde_json::{Value, json};

fn file(version: &str, text: &str) -> SchemaFile {
    let path = format!("order/{version}.avsc");
    SchemaFile { subject: "order".to_owned(), version: version.to_owned(), text: text.to_owned(), path }
}

fn key_policy(principal: &str) -> Value {
    json!({"Statement": {"Effect": "Allow", "Principal": {"AWS": [principal]}, "Action": "kms:*", "Resource": "*"}})
}

const ORDER: &str = r#"{"type": "record", "name": "Order", "fields": [{"name": "message_id", "type": "string"}]}"#;

/// Returns a deployment without problems.
fn facts() -> Facts {
    let keys = vec![("message_id".to_owned(), "S".to_owned())];
    Facts {
        function: Ok(json!({"Timeout": 30, "MemorySize": 512, "Environment": {"Variables": {"TABLE_NAME": "orders"}}})),
        mapping: Ok(Some(json!({
            "State": "Enabled", "StateTransitionReason": "USER_INITIATED", "LastProcessingResult": "No records processed", "BatchSize": 10, "MaximumBatchingWindowInSeconds": 0,
            "FunctionResponseTypes": ["ReportBatchItemFailures"], "ScalingConfig": {"MaximumConcurrency": 100},
        }))),
        readers: Ok(vec!["arn:aws:lambda:us-east-1:1:function:ingest:live".to_owned()]),
        reserved: Ok(Some(100)),
        account_concurrency: Ok(1_000),
        queue: Ok(json!({
            "QueueArn": "arn:aws:sqs:us-east-1:1:orders",
            "VisibilityTimeout": "180", "MessageRetentionPeriod": "345600", "SqsManagedSseEnabled": "true",
            "RedrivePolicy": "{\"deadLetterTargetArn\":\"arn:x\",\"maxReceiveCount\":\"12\"}",
        })),
        queue_key: Ok(Some(QueueKey {
            state: "Enabled".to_owned(),
            policy: key_policy("arn:aws:iam::1:root"),
            account: "1".to_owned(),
        })),
        quarantine: Ok(Some(json!({"QueueArn": "arn:aws:sqs:us-east-1:1:quarantine"}))),
        quarantine_open: Ok(true),
        dead_letters: Ok(Some(
            json!({"QueueArn": "arn:x", "MessageRetentionPeriod": "1209600", "ApproximateNumberOfMessages": "0"}),
        )),
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
        deployed: Ok(vec![file("1", ORDER)]),
        directory: Ok(vec![file("1", &ORDER.replace(": ", ":"))]),
        table_name: "orders".to_owned(),
    }
}

/// Returns the names of the checks that find a problem.
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
    ("calls-allowed", |facts| {
        facts.quotas = Err(Unknown::Denied("AccessDenied: dynamodb:DescribeLimits".to_owned()));
    }),
    ("queue-exists", |facts| facts.queue = Err(missing())),
    ("function-exists", |facts| facts.function = Err(missing())),
    ("table-exists", |facts| facts.table = Err(missing())),
    ("function-state", |facts| set(&mut facts.function, "State", json!("Failed"))),
    ("function-update", |facts| set(&mut facts.function, "LastUpdateStatus", json!("InProgress"))),
    ("reserved-concurrency", |facts| facts.reserved = Ok(Some(0))),
    ("mapping-exists", |facts| facts.mapping = Ok(None)),
    ("mapping-enabled", |facts| set_mapping(facts, "State", json!("Disabled"))),
    ("mapping-problem", |facts| {
        set_mapping(
            facts,
            "LastProcessingResult",
            json!("PROBLEM: Lambda is not authorized to perform sqs:ReceiveMessage"),
        );
    }),
    ("mapping-filter", |facts| {
        set_mapping(facts, "FilterCriteria", json!({"Filters": [{"Pattern": "{\"body\":{\"kind\":[\"x\"]}}"}]}));
    }),
    ("queue-readers", |facts| {
        facts.readers.as_mut().unwrap().push("arn:aws:lambda:us-east-1:1:function:other".to_owned());
    }),
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
    ("quarantine-queue", |facts| facts.quarantine_open = Ok(false)),
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
    ("schemas-start", |facts| {
        facts.deployed = Ok(Vec::new());
        facts.directory = Ok(Vec::new());
    }),
    ("schemas-wire-formats", |facts| {
        let ids = ORDER.replace(r#""name": "Order""#, r#""name": "Order", "schemaIds": [42]"#);
        facts.deployed = Ok(vec![file("1", &ids)]);
        facts.directory = facts.deployed.clone();
        let variables = json!({"Variables": {"TABLE_NAME": "orders", "WIRE_FORMATS": "container"}});
        set(&mut facts.function, "Environment", variables);
    }),
    ("schemas-deployed", |facts| facts.directory.as_mut().unwrap().push(file("2", "{}"))),
    ("table-active", |facts| set(&mut facts.table, "TableStatus", json!("DELETING"))),
    ("table-keys", |facts| {
        set(&mut facts.table, "AttributeDefinitions", json!([{"AttributeName": "message_id", "AttributeType": "N"}]));
    }),
    ("table-time-to-live", |facts| set(&mut facts.time_to_live, "TimeToLiveStatus", json!("DISABLED"))),
    ("table-maximum", |facts| set(&mut facts.table, "OnDemandThroughput", json!({"MaxWriteRequestUnits": 9_999}))),
    ("table-quota", |facts| set(&mut facts.quotas, "TableMaxWriteCapacityUnits", json!(19_999))),
    ("alarms-exist", |facts| facts.alarms = Ok(vec![])),
    ("alarms-tell-somebody", |facts| facts.alarms.as_mut().unwrap()[0]["AlarmActions"] = json!([])),
    ("alarms-quiet", |facts| facts.alarms.as_mut().unwrap()[0]["StateValue"] = json!("ALARM")),
];

fn missing() -> Unknown {
    Unknown::NotFound("ResourceNotFoundException".to_owned())
}

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
    // 10 waits of 1 s, 2 s, 4 s, ..., of which jitter leaves at least half: 511 s. 9 waits: 255 s.
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
    // if no schema sets an expiry, the table's time-to-live attribute does not matter
    facts.schemas.as_mut().unwrap()[0].ttl = None;
    assert_eq!(found(&facts), ["schemas-deployed"]);
}

#[test]
fn a_fact_that_may_not_be_read_is_unknown_and_the_others_are_judged() {
    let mut facts = facts();
    facts.permissions = Err("no response".into());
    set(&mut facts.queue, "VisibilityTimeout", json!("30"));
    let unknown: Vec<_> = CHECKS.iter().filter(|check| (check.look)(&facts).is_err()).map(|check| check.name).collect();
    assert_eq!((unknown, found(&facts)), (vec!["function-permissions"], vec!["queue-visibility-timeout"]));
}

#[test]
fn a_dead_letter_or_quarantine_queue_that_is_missing_or_is_the_queue_itself_is_found() {
    let itself =
        || Ok(Some(json!({"QueueArn": "arn:aws:sqs:us-east-1:1:orders", "MessageRetentionPeriod": "1209600"})));
    for letters in [Err(missing()), itself()] {
        assert_eq!(found(&Facts { dead_letters: letters, ..facts() }), ["queue-dead-letters"]);
    }
    for quarantine in [Err(missing()), itself()] {
        assert_eq!(found(&Facts { quarantine, ..facts() }), ["quarantine-queue"]);
    }
    assert_eq!(found(&Facts { quarantine: Ok(None), quarantine_open: Ok(true), ..facts() }), Vec::<&str>::new());
}

#[test]
fn a_mapping_that_lambda_changed_is_found_with_its_reason() {
    for (name, value) in [
        ("StateTransitionReason", json!("Function not found")),
        ("FilterCriteriaError", json!({"ErrorCode": "AccessDeniedException", "Message": "not authorized"})),
    ] {
        let mut facts = facts();
        set_mapping(&mut facts, name, value);
        assert_eq!(found(&facts), ["mapping-problem"], "{name}");
    }
}

#[test]
fn nothing_is_right_about_the_mapping_of_a_function_that_does_not_exist() {
    let facts = Facts { function: Err(missing()), ..facts() };
    let right = CHECKS.iter().filter(|check| check.name.starts_with("mapping-") && check.name != "mapping-exists");
    assert!(right.clone().count() > 4 && right.clone().all(|check| (check.look)(&facts).is_err()));
    let without = Facts { mapping: Ok(None), ..self::facts() };
    assert!(right.clone().all(|check| (check.look)(&without).is_err()));
}

#[test]
fn schemas_that_the_function_does_not_start_with_are_found() {
    let newer = ORDER.replace("]}", r#", {"name": "n", "type": "int"}]}"#);
    let files = vec![file("1", ORDER), file("2", &newer)];
    let facts = Facts { deployed: Ok(files.clone()), directory: Ok(files), ..facts() };
    assert_eq!(found(&facts), ["schemas-start"]);
}

#[test]
fn every_stack_of_the_template_has_the_outputs_that_name_its_parts() {
    let template = include_str!("../../../template.yaml");
    let (_, outputs) = template.split_once("\nOutputs:\n").unwrap();
    for output in ["FunctionArn", "QueueArn", "TableName"] {
        let (_, output) = outputs.split_once(&format!("  {output}:\n")).unwrap();
        let (output, _) = output.split_once("Export:").unwrap();
        assert!(!output.contains("Condition:"), "{output}");
    }
}
