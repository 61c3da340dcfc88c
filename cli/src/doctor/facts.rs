//! The deployed configuration as AWS reports it. A fact that cannot be read is unknown and carries the reason.

use super::layers;
use super::policy::allows_role;
use super::unknown::{Fact, Unknown};
use crate::aws::{Aws, CLOUDFORMATION, CLOUDWATCH, CallError, DYNAMODB, IAM, KMS, LAMBDA, SQS};
use avro_ingest::avro::SchemaFile;
use avro_ingest::dynamodb::mapping::TableScope;
use avro_ingest::settings::Settings;
use avro_ingest::transcode::Transcoder;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::error::Error;

/// The resources whose alarms are checked.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AlarmTargets {
    pub(super) stack: Option<String>,
    pub(super) function: String,
    pub(super) queue: QueueAddress,
    pub(super) table: String,
}

/// Address of a queue.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum QueueAddress {
    Url(String),
    Arn(String),
}

/// A subject's table: its key attributes by name and type, and its time-to-live attribute.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SchemaTable {
    pub(super) subject: String,
    pub(super) table: String,
    pub(super) keys: Vec<(String, String)>,
    pub(super) ttl: Option<String>,
}

/// The customer managed KMS key that encrypts a queue.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct QueueKey {
    /// `Enabled` if the key can be used.
    pub(super) state: String,
    pub(super) policy: Value,
    pub(super) account: String,
}

#[derive(Debug, Clone)]
pub(super) struct Facts {
    /// Lambda's configuration of the function.
    pub(super) function: Fact<Value>,
    /// The event source mapping from the queue to the function. `None` if there is no such mapping.
    pub(super) mapping: Fact<Option<Value>>,
    /// ARNs of all functions that the queue's mappings invoke, including this function.
    pub(super) readers: Fact<Vec<String>>,
    /// Concurrent executions reserved for the function. `None` if there is no reservation.
    pub(super) reserved: Fact<Option<u64>>,
    /// Limit of concurrent executions of the account.
    pub(super) account_concurrency: Fact<u64>,
    pub(super) queue: Fact<Value>,
    /// The queue's KMS key. `None` if SQS or AWS manages the key.
    pub(super) queue_key: Fact<Option<QueueKey>>,
    /// Attributes of the dead-letter queue. `None` if the queue has no dead-letter queue.
    pub(super) dead_letters: Fact<Option<Value>>,
    /// Attributes of the quarantine queue. `None` if the function has no quarantine queue.
    pub(super) quarantine: Fact<Option<Value>>,
    /// Whether the function may send to the quarantine queue. `true` if the function has no quarantine queue.
    pub(super) quarantine_open: Fact<bool>,
    pub(super) table: Fact<Value>,
    pub(super) time_to_live: Fact<Value>,
    /// The account's DynamoDB quotas.
    pub(super) quotas: Fact<Value>,
    pub(super) alarms: Fact<Vec<Value>>,
    /// Actions that the function's role needs, and whether it is allowed each of them.
    pub(super) permissions: Fact<Vec<(String, bool)>>,
    /// The tables that the deployed schemas require.
    pub(super) schemas: Fact<Vec<SchemaTable>>,
    /// The deployed schema files.
    pub(super) deployed: Fact<Vec<SchemaFile>>,
    /// The schema files of the directory to compare with the deployed files, if the command names one.
    pub(super) directory: Fact<Vec<SchemaFile>>,
    /// Name of the table to check.
    pub(super) table_name: String,
}

pub(super) fn unknown<T>(result: Result<T, CallError>) -> Fact<T> {
    result.map_err(Unknown::from)
}

impl AlarmTargets {
    /// Reads the outputs of a stack of this project's template. They name the stack's queue and table, even if other stacks
    /// created them.
    pub(super) async fn of_stack(aws: &Aws, stack: &str) -> Result<Self, Box<dyn Error>> {
        let parameters = [("StackName".to_owned(), stack.to_owned())];
        let outputs = aws.query(CLOUDFORMATION, "DescribeStacks", "2010-05-15", &parameters, "Stacks/Outputs").await?;
        let find = |key: &str| -> Result<String, String> {
            let of_key = |output: &&BTreeMap<String, String>| output.get("OutputKey").is_some_and(|name| name == key);
            let output = outputs.iter().find(of_key).and_then(|output| output.get("OutputValue"));
            output.cloned().ok_or_else(|| {
                format!("stack {stack} has no output {key}: is it of this template, and is it deployed to the end?")
            })
        };
        let function = find("FunctionArn")?;
        Ok(Self {
            stack: Some(stack.to_owned()),
            function: function.rsplit(':').next().unwrap_or(&function).to_owned(),
            queue: QueueAddress::Arn(find("QueueArn")?),
            table: find("TableName")?,
        })
    }
}

impl Facts {
    pub(super) async fn gather(aws: &Aws, targets: &AlarmTargets, directory: Fact<Vec<SchemaFile>>) -> Self {
        let queue = match &targets.queue {
            QueueAddress::Url(url) => attributes(aws, url).await,
            QueueAddress::Arn(arn) => attributes_of(aws, arn).await,
        };
        let mappings = match &queue {
            Ok(queue) => mappings(aws, text(queue, "QueueArn")).await,
            Err(cause) => Err(cause.clone()),
        };
        let mapping = mappings.as_ref().map(|mappings| mapping_of(mappings, &targets.function).cloned());
        let mapping = mapping.map_err(Clone::clone);
        let function = function(aws, &targets.function, mapping.as_ref().ok().and_then(Option::as_ref)).await;
        let deployed = match &function {
            Ok(function) => layers::schemas(aws, function).await,
            Err(cause) => Err(cause.clone()),
        };
        let dead_letters = match &queue {
            Ok(queue) => dead_letters(aws, queue).await,
            Err(cause) => Err(cause.clone()),
        };
        let queue_key = match &queue {
            Ok(queue) => queue_key(aws, text(queue, "KmsMasterKeyId")).await,
            Err(cause) => Err(cause.clone()),
        };
        let concurrency = format!("/2019-09-30/functions/{}/concurrency", targets.function);
        let reserved = unknown(aws.get(LAMBDA, &concurrency).await);
        let settings = unknown(aws.get(LAMBDA, "/2016-08-19/account-settings/").await);
        let account_concurrency = settings.and_then(|settings| {
            let most = settings.pointer("/AccountLimit/ConcurrentExecutions").and_then(Value::as_u64);
            most.ok_or_else(|| "Lambda did not say".into())
        });
        let named = json!({"TableName": targets.table});
        let call = |operation: &str| format!("DynamoDB_20120810.{operation}");
        let table = unknown(aws.json(DYNAMODB, &call("DescribeTable"), &named).await)
            .map(|answer| answer.get("Table").cloned().unwrap_or_default());
        let time_to_live = unknown(aws.json(DYNAMODB, &call("DescribeTimeToLive"), &named).await)
            .map(|answer| answer.get("TimeToLiveDescription").cloned().unwrap_or_default());
        let quotas = unknown(aws.json(DYNAMODB, &call("DescribeLimits"), &json!({})).await);
        let quarantine = match &function {
            Ok(function) => quarantine(aws, function).await,
            Err(cause) => Err(cause.clone()),
        };
        let quarantine_open = match (&function, &quarantine) {
            (Ok(function), Ok(Some(quarantine))) => may_send(aws, function, quarantine).await,
            (Ok(_), Ok(None)) => Ok(true),
            (Err(cause), _) | (_, Err(cause)) => Err(cause.clone()),
        };
        let alarms = alarms(aws, targets.stack.as_deref()).await;
        let permissions = match (&function, &queue, &table) {
            (Ok(function), Ok(queue), Ok(table)) => permissions(aws, function, queue, table).await,
            (Err(cause), ..) | (_, Err(cause), _) | (.., Err(cause)) => Err(cause.clone()),
        };
        let schemas = match (&deployed, &function) {
            (Ok(files), Ok(function)) => schema_tables(files.clone(), function, &targets.table),
            (Err(cause), _) | (_, Err(cause)) => Err(cause.clone()),
        };
        Self {
            function,
            mapping,
            readers: mappings.map(|mappings| readers(&mappings)),
            reserved: reserved.map(|answer| answer.get("ReservedConcurrentExecutions").and_then(Value::as_u64)),
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
            directory,
            table_name: targets.table.clone(),
        }
    }
}

/// Returns a string member, or an empty string.
pub(super) fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Returns the configuration of the function version that the mapping invokes.
async fn function(aws: &Aws, name: &str, mapping: Option<&Value>) -> Fact<Value> {
    let arn = mapping.map(|mapping| text(mapping, "FunctionArn")).unwrap_or_default();
    let qualifier = arn.split(':').nth(7).map(|qualifier| format!("?Qualifier={qualifier}")).unwrap_or_default();
    unknown(aws.get(LAMBDA, &format!("/2015-03-31/functions/{name}/configuration{qualifier}")).await)
}

/// Returns the region and account in a function's ARN.
pub(super) fn scope(function: &Value) -> TableScope<'_> {
    let mut parts = text(function, "FunctionArn").split(':').skip(3).filter(|part| !part.is_empty());
    TableScope { region: parts.next(), account: parts.next() }
}

/// Returns the tables that the schemas in `files` require. A schema that names no table uses `table`.
fn schema_tables(files: Vec<SchemaFile>, function: &Value, table: &str) -> Fact<Vec<SchemaTable>> {
    let scope = scope(function);
    let settings = Settings::parse(|name| match name {
        "TABLE_NAME" => Some(table.to_owned()),
        "AWS_REGION" => scope.region.map(str::to_owned),
        "ACCOUNT_ID" => scope.account.map(str::to_owned),
        _ => None,
    });
    let settings = settings.map_err(|error| error.to_string())?;
    let transcoder = Transcoder::new(&settings, files).map_err(|error| error.to_string())?;
    let of_subject = transcoder.subjects().map(|(subject, mapping)| SchemaTable {
        subject: subject.name().to_owned(),
        // a schema may name the same table by its name or its ARN
        table: if transcoder.writes_default_table(subject) { table.to_owned() } else { mapping.table.to_string() },
        keys: mapping.key_schema().map(|(name, key_type)| (name.to_owned(), format!("{key_type:?}"))).collect(),
        ttl: mapping.ttl_attribute().map(str::to_owned),
    });
    Ok(of_subject.collect())
}

async fn attributes(aws: &Aws, url: &str) -> Fact<Value> {
    let body = json!({"QueueUrl": url, "AttributeNames": ["All"]});
    let answer = unknown(aws.json(SQS, "AmazonSQS.GetQueueAttributes", &body).await)?;
    Ok(answer.get("Attributes").cloned().unwrap_or_default())
}

/// Returns the attributes of the queue with this ARN.
async fn attributes_of(aws: &Aws, arn: &str) -> Fact<Value> {
    let (name, account) = (arn.rsplit(':').next().unwrap_or(arn), arn.split(':').nth(4).unwrap_or_default());
    let body = json!({"QueueName": name, "QueueOwnerAWSAccountId": account});
    let response = unknown(aws.json(SQS, "AmazonSQS.GetQueueUrl", &body).await)?;
    attributes(aws, text(&response, "QueueUrl")).await
}

/// Returns all event source mappings of the queue.
async fn mappings(aws: &Aws, queue_arn: &str) -> Fact<Vec<Value>> {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let path = format!("/2015-03-31/event-source-mappings/?EventSourceArn={}", encoded(queue_arn));
    let (mut mappings, mut page) = (Vec::new(), path.clone());
    loop {
        let response = unknown(aws.get(LAMBDA, &page).await)?;
        mappings.extend(response.get("EventSourceMappings").and_then(Value::as_array).into_iter().flatten().cloned());
        match response.get("NextMarker").and_then(Value::as_str).filter(|marker| !marker.is_empty()) {
            Some(marker) => page = format!("{path}&Marker={}", encoded(marker)),
            None => return Ok(mappings),
        }
    }
}

/// Returns the mapping that invokes the function or one of its versions and aliases. Prefers an enabled mapping.
fn mapping_of<'m>(mappings: &'m [Value], function: &str) -> Option<&'m Value> {
    let name = function.rsplit(':').next().unwrap_or(function);
    let is_ours = |mapping: &&Value| text(mapping, "FunctionArn").split(':').nth(6).is_some_and(|named| named == name);
    let ours = || mappings.iter().filter(is_ours);
    ours().find(|mapping| is_reading(mapping)).or_else(|| ours().next())
}

/// Returns whether a mapping reads its queue, or will shortly.
pub(super) fn is_reading(mapping: &Value) -> bool {
    matches!(text(mapping, "State"), "Enabled" | "Enabling" | "Updating" | "Creating" | "")
}

/// Returns the functions whose mappings read the queue.
fn readers(mappings: &[Value]) -> Vec<String> {
    let mut readers: Vec<String> = mappings
        .iter()
        .filter(|mapping| is_reading(mapping))
        .map(|mapping| text(mapping, "FunctionArn").to_owned())
        .collect();
    readers.sort();
    readers.dedup();
    readers
}

/// Returns the attributes of the function's quarantine queue.
async fn quarantine(aws: &Aws, function: &Value) -> Fact<Option<Value>> {
    match function.pointer("/Environment/Variables/QUARANTINE_QUEUE_URL").and_then(Value::as_str) {
        None | Some("") => Ok(None),
        Some(url) => attributes(aws, url).await.map(Some),
    }
}

/// Returns whether the role's policies or the queue's policy allow the function to send to the quarantine queue.
async fn may_send(aws: &Aws, function: &Value, quarantine: &Value) -> Fact<bool> {
    let role = text(function, "Role");
    let policy = serde_json::from_str(text(quarantine, "Policy")).unwrap_or_default();
    if allows_role(&policy, &["sqs:SendMessage"], role) {
        return Ok(true);
    }
    let mut wanted = vec![(text(quarantine, "QueueArn"), vec!["sqs:SendMessage"])];
    let key = text(quarantine, "KmsMasterKeyId");
    if key.starts_with("arn:") {
        wanted.push((key, vec!["kms:GenerateDataKey"]));
    }
    Ok(simulate(aws, role, wanted).await?.iter().all(|(_, allowed)| *allowed))
}

async fn dead_letters(aws: &Aws, queue: &Value) -> Fact<Option<Value>> {
    let policy: Value = serde_json::from_str(text(queue, "RedrivePolicy")).unwrap_or_default();
    let arn = text(&policy, "deadLetterTargetArn");
    if arn.is_empty() {
        return Ok(None);
    }
    attributes_of(aws, arn).await.map(Some)
}

/// Returns the key with this id or alias, and its policy.
async fn queue_key(aws: &Aws, id: &str) -> Fact<Option<QueueKey>> {
    if id.is_empty() {
        return Ok(None);
    }
    let answer = unknown(aws.json(KMS, "TrentService.DescribeKey", &json!({"KeyId": id})).await)?;
    let key = answer.get("KeyMetadata").cloned().unwrap_or_default();
    if text(&key, "KeyManager") == "AWS" {
        return Ok(None);
    }
    let named = json!({"KeyId": text(&key, "KeyId"), "PolicyName": "default"});
    let answer = unknown(aws.json(KMS, "TrentService.GetKeyPolicy", &named).await)?;
    let policy = serde_json::from_str(text(&answer, "Policy")).unwrap_or_default();
    let [state, account] = ["KeyState", "AWSAccountId"].map(|name| text(&key, name).to_owned());
    Ok(Some(QueueKey { state, policy, account }))
}

async fn alarms(aws: &Aws, stack: Option<&str>) -> Fact<Vec<Value>> {
    let stack = stack.ok_or("the template's alarms have the stack's name: give --stack")?;
    let mut alarms = Vec::new();
    let mut body = json!({"AlarmNamePrefix": format!("{stack}-"), "AlarmTypes": ["MetricAlarm"]});
    loop {
        let answer = unknown(aws.json(CLOUDWATCH, "GraniteServiceVersion20100801.DescribeAlarms", &body).await)?;
        alarms.extend(answer.get("MetricAlarms").and_then(Value::as_array).into_iter().flatten().cloned());
        match answer.get("NextToken").and_then(Value::as_str) {
            Some(token) => {
                body =
                    json!({"AlarmNamePrefix": format!("{stack}-"), "AlarmTypes": ["MetricAlarm"], "NextToken": token});
            }
            None => return Ok(alarms),
        }
    }
}

/// Returns the actions that the code needs on each resource, and whether the function's role is allowed them.
async fn permissions(aws: &Aws, function: &Value, queue: &Value, table: &Value) -> Fact<Vec<(String, bool)>> {
    let mut wanted = vec![
        (
            text(queue, "QueueArn"),
            vec!["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility"],
        ),
        (text(table, "TableArn"), vec!["dynamodb:BatchWriteItem", "dynamodb:PutItem", "dynamodb:DeleteItem"]),
    ];
    let key = text(queue, "KmsMasterKeyId");
    if key.starts_with("arn:") {
        wanted.push((key, vec!["kms:Decrypt"]));
    }
    simulate(aws, text(function, "Role"), wanted).await
}

/// Returns whether `role` is allowed each action on its resource.
async fn simulate(aws: &Aws, role: &str, wanted: Vec<(&str, Vec<&str>)>) -> Fact<Vec<(String, bool)>> {
    let mut permissions = Vec::new();
    for (resource, actions) in wanted {
        let mut parameters = vec![
            ("PolicySourceArn".to_owned(), role.to_owned()),
            ("ResourceArns.member.1".to_owned(), resource.to_owned()),
        ];
        let numbered = actions
            .iter()
            .zip(1..)
            .map(|(action, number)| (format!("ActionNames.member.{number}"), (*action).to_owned()));
        parameters.extend(numbered);
        let results = aws.query(IAM, "SimulatePrincipalPolicy", "2010-05-08", &parameters, "EvaluationResults").await;
        for result in unknown(results)? {
            let of = |name: &str| result.get(name).cloned().unwrap_or_default();
            permissions.push((of("EvalActionName"), of("EvalDecision") == "allowed"));
        }
    }
    Ok(permissions)
}
