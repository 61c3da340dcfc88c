//! Tests `ingest doctor` against moto's server, with a stack like the template's in which a few things are broken.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, reason = "each test uses what it needs of the support")]

mod support;

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::process::{Command, Output};
use support::Moto;
use support::web::{Asked, serve};

/// Returns the relevant resources of template.yaml, under their names in the template.
fn template(visibility_timeout: u32, response_types: &Value) -> Value {
    json!({"Resources": {
        "DeadLetterQueue": {"Type": "AWS::SQS::Queue", "Properties": {"MessageRetentionPeriod": 1_209_600}},
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": {
            "VisibilityTimeout": visibility_timeout, "MessageRetentionPeriod": 345_600, "SqsManagedSseEnabled": true,
            "RedrivePolicy": {"deadLetterTargetArn": {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}, "maxReceiveCount": 12},
        }},
        "Table": {"Type": "AWS::DynamoDB::Table", "Properties": {
            "AttributeDefinitions": [{"AttributeName": "message_id", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "message_id", "KeyType": "HASH"}], "BillingMode": "PAY_PER_REQUEST",
        }},
        "FunctionRole": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}],
        }}},
        "Function": {"Type": "AWS::Lambda::Function", "Properties": {
            "Code": {"ZipFile": "none"}, "Handler": "bootstrap", "Runtime": "python3.12", "Timeout": 30,
            "Role": {"Fn::GetAtt": ["FunctionRole", "Arn"]},
            "Environment": {"Variables": {"TABLE_NAME": {"Ref": "Table"}}},
        }},
        "FunctionMessages": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": {
            "EventSourceArn": {"Fn::GetAtt": ["Queue", "Arn"]}, "FunctionName": {"Ref": "Function"}, "BatchSize": 10,
            "FunctionResponseTypes": response_types,
        }},
    }, "Outputs": {
        "FunctionArn": {"Value": {"Fn::GetAtt": ["Function", "Arn"]}},
        "QueueArn": {"Value": {"Fn::GetAtt": ["Queue", "Arn"]}},
        "TableName": {"Value": {"Ref": "Table"}},
    }})
}

fn deploy(moto: &Moto, template: &Value, alarm_actions: &Value) {
    // moto does not create the alarms of a template
    let alarm = json!({
        "AlarmName": "orders-success", "Namespace": "AvroIngest", "MetricName": "MessagesStored", "Statistic": "Sum",
        "Period": 60, "EvaluationPeriods": 1, "Threshold": 1, "ComparisonOperator": "LessThanThreshold",
        "AlarmActions": alarm_actions,
    });
    moto.json("monitoring", "GraniteServiceVersion20100801.PutMetricAlarm", &alarm.to_string());
    let encoded: String = template
        .to_string()
        .bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    let form = format!("Action=CreateStack&Version=2010-05-15&StackName=orders&TemplateBody={encoded}");
    moto.send("cloudformation", "POST", "/", &[("content-type", "application/x-www-form-urlencoded")], &form);
}

/// Returns the status and the text of each check, by name.
fn findings(output: &Output) -> BTreeMap<String, (String, String)> {
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    findings
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| (text(finding, "check"), (text(finding, "status"), text(finding, "what"))))
        .collect()
}

fn of_status(findings: &BTreeMap<String, (String, String)>, wanted: &str) -> Vec<String> {
    findings.iter().filter(|(_, (status, _))| status == wanted).map(|(name, _)| name.clone()).collect()
}

/// Checks that moto does not support, so that they report the same as for a role without permissions.
const UNKNOWN_HERE: [&str; 7] = [
    "account-concurrency",
    "function-permissions",
    "schemas-deployed",
    "schemas-start",
    "schemas-wire-formats",
    "table-keys",
    "table-time-to-live",
];

#[test]
#[ignore = "needs moto: make test-moto"]
fn what_is_wrong_with_a_stack_is_found_by_name_and_the_rest_is_not() {
    let moto = Moto::start();
    deploy(&moto, &template(30, &json!([])), &json!([]));
    let arguments = ["doctor", "--stack", "orders", "--schemas", "../schemas", "--json"];
    let output = moto.ingest(&arguments);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let findings = findings(&output);
    let problems = of_status(&findings, "problem");
    let expected = ["alarms-tell-somebody", "mapping-partial-responses", "queue-visibility-timeout"];
    assert_eq!(problems, expected, "{findings:#?}");
    assert_eq!(findings["queue-visibility-timeout"].1, "it is 30 s, and 180 s are needed");
    assert!(of_status(&findings, "unknown").iter().all(|name| UNKNOWN_HERE.contains(&name.as_str())), "{findings:#?}");
}

#[test]
#[ignore = "needs moto: make test-moto"]
fn a_stack_with_nothing_wrong_ends_with_0_and_its_parts_may_be_named_one_by_one() {
    let moto = Moto::start();
    let topic = json!(["arn:aws:sns:us-east-1:123456789012:told"]);
    deploy(&moto, &template(180, &json!(["ReportBatchItemFailures"])), &topic);
    let resources = moto.send(
        "cloudformation",
        "POST",
        "/",
        &[("content-type", "application/x-www-form-urlencoded")],
        "Action=DescribeStackResources&Version=2010-05-15&StackName=orders",
    );
    let id_of = |logical: &str| -> String {
        let (_, rest) = resources.split_once(&format!("<LogicalResourceId>{logical}</LogicalResourceId>")).unwrap();
        let (_, rest) = rest.split_once("<PhysicalResourceId>").unwrap();
        rest.split_once('<').unwrap().0.to_owned()
    };
    let (function, queue, table) = (id_of("Function"), id_of("Queue"), id_of("Table"));
    let enable =
        json!({"TableName": table, "TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": true}});
    moto.json("dynamodb", "DynamoDB_20120810.UpdateTimeToLive", &enable.to_string());

    let stack = moto.ingest(&["doctor", "--stack", "orders", "--schemas", "../schemas"]);
    assert_eq!(stack.status.code(), Some(0), "{stack:?}");
    assert!(String::from_utf8_lossy(&stack.stdout).contains("ok       mapping-partial-responses"));

    let parts = ["doctor", "--function", &function, "--queue-url", &queue, "--table", &table, "--json"];
    let parts = moto.ingest(&parts);
    assert_eq!(parts.status.code(), Some(0), "{parts:?}");
    let unknown = of_status(&findings(&parts), "unknown");
    assert!(unknown.contains(&"alarms-exist".to_owned()) && unknown.contains(&"table-keys".to_owned()), "{unknown:?}");
}

#[test]
#[ignore = "needs moto: make test-moto"]
fn a_stack_that_is_not_there_ends_with_2() {
    let moto = Moto::start();
    let output = moto.ingest(&["doctor", "--stack", "nothing"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
#[ignore = "needs moto: make test-moto"]
fn a_queues_key_is_asked_whether_it_is_there_and_whom_it_lets_in() {
    let moto = Moto::start();
    deploy(&moto, &template(180, &json!(["ReportBatchItemFailures"])), &json!([]));
    let kms = |operation: &str, body: Value| -> Value {
        let answer = moto.json("kms", &format!("TrentService.{operation}"), &body.to_string());
        serde_json::from_str(&answer).unwrap_or_default()
    };
    let key = kms("CreateKey", json!({}))["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned();
    let queues: Value = serde_json::from_str(&moto.json("sqs", "AmazonSQS.ListQueues", "{}")).unwrap();
    for queue in queues["QueueUrls"].as_array().unwrap() {
        let attributes = json!({"QueueUrl": queue, "Attributes": {"KmsMasterKeyId": key}});
        moto.json("sqs", "AmazonSQS.SetQueueAttributes", &attributes.to_string());
    }
    let found = || {
        let output = moto.ingest(&["doctor", "--stack", "orders", "--json"]);
        findings(&output)["queue-key"].clone()
    };
    assert_eq!(found().0, "ok");
    let nobody = json!({"Statement": [{
        "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:role/other"}, "Action": "kms:*", "Resource": "*",
    }]});
    kms("PutKeyPolicy", json!({"KeyId": key, "PolicyName": "default", "Policy": nobody.to_string()}));
    assert_eq!(found().0, "problem", "the policy names another role");
    kms("ScheduleKeyDeletion", json!({"KeyId": key}));
    let (status, what) = found();
    assert!(status == "problem" && what.contains("PendingDeletion"), "{status}: {what}");
}

/// Returns a layer archive as `sam build` creates it.
fn layer(files: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (path, text) in files {
        writer.start_file(*path, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// moto has no downloadable layers, so a server with documented responses replaces Lambda.
#[test]
#[ignore = "needs moto: make test-moto"]
fn the_schemas_of_the_functions_layer_are_held_against_the_table_and_the_directory() {
    let moto = Moto::start();
    let queue: Value =
        serde_json::from_str(&moto.json("sqs", "AmazonSQS.CreateQueue", r#"{"QueueName":"orders"}"#)).unwrap();
    let queue = queue["QueueUrl"].as_str().unwrap().to_owned();
    let table = json!({
        "TableName": "orders", "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "message_id", "AttributeType": "N"}],
        "KeySchema": [{"AttributeName": "message_id", "KeyType": "HASH"}],
    });
    moto.json("dynamodb", "DynamoDB_20120810.CreateTable", &table.to_string());
    let lambda = serve(|asked: &Asked| {
        let host = asked.header("host").unwrap();
        let arn = "arn:aws:lambda:us-east-1:123456789012";
        let answer = match asked.line.as_str() {
            line if line.starts_with("GET /2015-03-31/event-source-mappings/?EventSourceArn=arn%3Aaws%3Asqs") => {
                json!({"EventSourceMappings": [{"FunctionArn": format!("{arn}:function:ingest:live"), "State": "Enabled"}]})
            }
            "GET /2015-03-31/functions/ingest/configuration?Qualifier=live" => json!({
                "Timeout": 30, "Layers": [{"Arn": format!("{arn}:layer:schemas:7")}],
                "Environment": {"Variables": {"TABLE_NAME": "orders"}},
            }),
            line if line.starts_with("GET /2018-10-31/layers?find=LayerVersion&Arn=arn%3A") => {
                json!({"Content": {"Location": format!("http://{host}/layer.zip?signature=x")}})
            }
            "GET /layer.zip?signature=x" => {
                assert!(asked.header("authorization").is_none(), "the URL is signed already");
                let order = include_str!("../../schemas/order/1.avsc");
                return (200, layer(&[("schemas/order/1.avsc", order)]));
            }
            _ => return (404, b"{}".to_vec()),
        };
        (200, answer.to_string().into_bytes())
    });
    let arguments = [
        "doctor",
        "--function",
        "ingest",
        "--queue-url",
        &queue,
        "--table",
        "orders",
        "--schemas",
        "../schemas",
        "--json",
    ];
    let output = moto.ingest_with(&arguments, &[("AWS_ENDPOINT_URL_LAMBDA", &lambda)]);
    let findings = findings(&output);
    assert_eq!(findings["schemas-deployed"].0, "ok", "{findings:#?}");
    assert_eq!(findings["table-keys"].0, "problem", "the table's key is a number: {findings:#?}");
    assert_eq!(findings["function-table"].0, "ok");
}

/// Runs `ingest doctor` with `url` as the endpoint of all services.
fn doctor(url: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ingest"))
        .arg("doctor")
        .args(arguments)
        .envs([("AWS_ENDPOINT_URL", url), ("AWS_REGION", "us-east-1")])
        .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
        .env_remove("AWS_PROFILE")
        .output()
        .unwrap()
}

const PARTS: [&str; 6] = [
    "--function",
    "ingest",
    "--queue-url",
    "https://sqs.us-east-1.amazonaws.com/123456789012/orders",
    "--table",
    "orders",
];
const JSON_PARTS: [&str; 7] = [PARTS[0], PARTS[1], PARTS[2], PARTS[3], PARTS[4], PARTS[5], "--json"];

fn code(asked: &Asked, json: &str) -> String {
    if asked.body.starts_with("Action=") {
        format!("<ErrorResponse><Error><Code>{json}</Code><Message>no</Message></Error></ErrorResponse>")
    } else {
        json!({"__type": json, "message": "no"}).to_string()
    }
}

#[test]
fn where_everything_is_denied_nothing_could_be_checked_and_it_ends_with_2() {
    let url = serve(|asked: &Asked| (403, code(asked, "AccessDeniedException")));
    let output = doctor(&url, &JSON_PARTS);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing could be checked"), "{output:?}");
    let findings = findings(&output);
    assert_eq!(of_status(&findings, "problem"), ["calls-allowed"]);
    assert_eq!(of_status(&findings, "ok"), Vec::<String>::new());
    let stack = doctor(&url, &["--stack", "orders"]);
    assert_eq!(stack.status.code(), Some(2), "{stack:?}");
}

#[test]
fn what_does_not_exist_is_a_finding_and_the_rest_is_counted() {
    let url = serve(|asked: &Asked| match asked.header("x-amz-target") {
        Some(target) if target.starts_with("AmazonSQS") => (400, code(asked, "com.amazonaws.sqs#QueueDoesNotExist")),
        Some(target) if target.starts_with("DynamoDB") => {
            (400, code(asked, "com.amazonaws.dynamodb#ResourceNotFoundException"))
        }
        Some(_) => (400, code(asked, "ValidationException")),
        // Lambda returns the error code only in a header
        None => (404, r#"{"Type":"User","Message":"Function not found: ingest"}"#.to_owned()),
    });
    let output = doctor(&url, &JSON_PARTS);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let findings = findings(&output);
    assert_eq!(of_status(&findings, "problem"), ["function-exists", "queue-exists", "table-exists"]);
    assert_eq!(findings["mapping-enabled"].0, "unknown");
    let text = doctor(&url, &PARTS);
    let text = String::from_utf8(text.stdout).unwrap();
    let unknown = of_status(&findings, "unknown").len();
    assert!(text.trim_end().ends_with(&format!("3 wrong, {unknown} unknown")), "{text}");
}

#[test]
fn without_a_region_or_credentials_nothing_could_be_checked() {
    for variables in [&[("AWS_REGION", "us-east-1")][..], &[("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x")]]
    {
        let output = Command::new(env!("CARGO_BIN_EXE_ingest"))
            .arg("doctor")
            .args(PARTS)
            .env_clear()
            .envs([("AWS_EC2_METADATA_DISABLED", "true"), ("HOME", "/nonexistent")])
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{variables:?}: {output:?}");
    }
}

/// Serves a deployment without problems. `with` may change a response, by the name of the call.
fn deployment(with: fn(&str, &mut Value)) -> String {
    let arn = "arn:aws:lambda:us-east-1:123456789012";
    serve(move |asked: &Asked| {
        let host = asked.header("host").unwrap();
        let target = asked.header("x-amz-target").unwrap_or_default();
        let queue = |body: &Value| body["QueueUrl"].as_str().unwrap_or_default().rsplit('/').next().unwrap().to_owned();
        let body: Value = serde_json::from_str(&asked.body).unwrap_or_default();
        let path = asked.line.split(['?', ' ']).nth(1).unwrap_or_default();
        let (name, mut answer) = match (target, path) {
            _ if asked.body.starts_with("Action=DescribeStack") => (
                "stack".to_owned(),
                json!({
                    "FunctionArn": format!("{arn}:function:ingest"), "TableName": "orders",
                    "QueueArn": "arn:aws:sqs:us-east-1:123456789012:orders",
                }),
            ),
            ("AmazonSQS.GetQueueAttributes", _) => {
                let name = queue(&body);
                let mut attributes = json!({
                    "QueueArn": format!("arn:aws:sqs:us-east-1:123456789012:{name}"), "VisibilityTimeout": "180",
                    "SqsManagedSseEnabled": "true", "MessageRetentionPeriod": "345600", "ApproximateNumberOfMessages": "0",
                });
                if name == "orders" {
                    let letters = "arn:aws:sqs:us-east-1:123456789012:letters";
                    attributes["RedrivePolicy"] =
                        json!({"deadLetterTargetArn": letters, "maxReceiveCount": 12}).to_string().into();
                } else {
                    attributes["MessageRetentionPeriod"] = json!("1209600");
                }
                (name, json!({"Attributes": attributes}))
            }
            ("AmazonSQS.GetQueueUrl", _) => {
                ("url".to_owned(), json!({"QueueUrl": format!("https://sqs/{}", body["QueueName"].as_str().unwrap())}))
            }
            (target, _) if target.ends_with("DescribeTable") => (
                "table".to_owned(),
                json!({"Table": {
                    "TableStatus": "ACTIVE", "TableArn": "arn:aws:dynamodb:us-east-1:123456789012:table/orders",
                    "KeySchema": [{"AttributeName": "message_id", "KeyType": "HASH"}],
                    "AttributeDefinitions": [{"AttributeName": "message_id", "AttributeType": "S"}],
                }}),
            ),
            (target, _) if target.ends_with("DescribeTimeToLive") => (
                "live".to_owned(),
                json!({"TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}}),
            ),
            (target, _) if target.ends_with("DescribeLimits") => {
                ("limits".to_owned(), json!({"TableMaxWriteCapacityUnits": 40_000}))
            }
            ("", "/2015-03-31/event-source-mappings/") => (
                "mappings".to_owned(),
                json!({"EventSourceMappings": [{
                    "FunctionArn": format!("{arn}:function:ingest"), "State": "Enabled", "StateTransitionReason": "USER_INITIATED",
                    "BatchSize": 10, "FunctionResponseTypes": ["ReportBatchItemFailures"],
                }]}),
            ),
            ("", "/2015-03-31/functions/ingest/configuration") => (
                "function".to_owned(),
                json!({
                    "Timeout": 30, "State": "Active", "LastUpdateStatus": "Successful", "Role": "arn:aws:iam::123456789012:role/ingest",
                    "Layers": [{"Arn": format!("{arn}:layer:schemas:7")}],
                    "Environment": {"Variables": {"TABLE_NAME": "orders", "WIRE_FORMATS": "", "QUARANTINE_QUEUE_URL": "https://sqs/quarantine"}},
                }),
            ),
            ("", "/2019-09-30/functions/ingest/concurrency") => ("reserved".to_owned(), json!({})),
            ("", "/2016-08-19/account-settings/") => {
                ("account".to_owned(), json!({"AccountLimit": {"ConcurrentExecutions": 1_000}}))
            }
            ("", "/2018-10-31/layers") => {
                ("layer".to_owned(), json!({"Content": {"Location": format!("http://{host}/layer.zip")}}))
            }
            ("", "/layer.zip") => ("archive".to_owned(), json!(null)),
            // IAM allows every action
            _ => ("iam".to_owned(), json!("allowed")),
        };
        with(&name, &mut answer);
        match (name.as_str(), answer) {
            ("archive", Value::Null) => {
                let order = include_str!("../../schemas/order/1.avsc");
                (200, layer(&[("schemas/order/1.avsc", order)]))
            }
            ("archive", text) => (200, layer(&[("schemas/order/1.avsc", text.as_str().unwrap())])),
            ("stack", Value::Object(outputs)) => {
                let output = |(key, value): (&String, &Value)| {
                    let value = value.as_str().unwrap();
                    format!("<member><OutputKey>{key}</OutputKey><OutputValue>{value}</OutputValue></member>")
                };
                let outputs: String = outputs.iter().map(output).collect();
                let stack = format!("<member><StackName>orders</StackName><Outputs>{outputs}</Outputs></member>");
                let result = format!("<DescribeStacksResult><Stacks>{stack}</Stacks></DescribeStacksResult>");
                (200, format!("<DescribeStacksResponse>{result}</DescribeStacksResponse>").into_bytes())
            }
            ("iam", decision) => {
                let actions = asked.body.split('&').filter_map(|pair| pair.split_once("ActionNames.member."));
                let member = |(_, pair): (&str, &str)| {
                    let action = pair.split_once('=').unwrap().1.replace("%3A", ":");
                    let decision = match &decision {
                        Value::Object(decisions) => decisions.get(&action).cloned().unwrap_or_else(|| json!("allowed")),
                        decision => decision.clone(),
                    };
                    let decision = decision.as_str().unwrap();
                    format!(
                        "<member><EvalActionName>{action}</EvalActionName><EvalDecision>{decision}</EvalDecision></member>"
                    )
                };
                let members: String = actions.map(member).collect();
                (200, format!("<R><S><EvaluationResults>{members}</EvaluationResults></S></R>").into_bytes())
            }
            (_, Value::String(error)) => (400, code(asked, &error).into_bytes()),
            (_, answer) => (200, answer.to_string().into_bytes()),
        }
    })
}

type Broken = (&'static str, fn(&str, &mut Value));

/// Single faults of a deployment, each with the check that finds it.
const FAULTS: [Broken; 16] = [
    ("function-state", |name, answer| set(name == "function", answer, "/State", json!("Failed"))),
    ("function-update", |name, answer| set(name == "function", answer, "/LastUpdateStatus", json!("Failed"))),
    ("reserved-concurrency", |name, answer| {
        if name == "reserved" {
            *answer = json!({"ReservedConcurrentExecutions": 0});
        }
    }),
    ("mapping-problem", |name, answer| {
        set(name == "mappings", answer, "/EventSourceMappings/0/StateTransitionReason", json!("Function not found"));
    }),
    ("mapping-problem", |name, answer| {
        if name == "mappings" {
            answer["EventSourceMappings"][0]["LastProcessingResult"] = json!("PROBLEM: Function call failed");
        }
    }),
    ("mapping-filter", |name, answer| {
        if name == "mappings" {
            let pattern = json!({"body": {"kind": ["order"]}}).to_string();
            answer["EventSourceMappings"][0]["FilterCriteria"] = json!({"Filters": [{"Pattern": pattern}]});
        }
    }),
    ("queue-readers", |name, answer| {
        if name == "mappings" {
            let mut other = answer["EventSourceMappings"][0].clone();
            other["FunctionArn"] = json!("arn:aws:lambda:us-east-1:123456789012:function:other");
            answer["EventSourceMappings"].as_array_mut().unwrap().push(other);
        }
    }),
    ("queue-dead-letters", |name, answer| {
        if name == "url" {
            *answer = json!("QueueDoesNotExist");
        }
    }),
    ("queue-dead-letters", |name, answer| {
        if name == "url" {
            *answer = json!({"QueueUrl": "https://sqs/orders"});
        }
    }),
    ("schemas-start", |name, answer| {
        if name == "archive" {
            *answer = json!(r#"{"type":"record","name":"Order","fields":[{"name":"message_id","type":"unknown"}]}"#);
        }
    }),
    ("schemas-wire-formats", |name, answer| {
        if name == "archive" {
            let fields = r#"[{"name":"message_id","type":"string"}]"#;
            *answer = json!(format!(r#"{{"type":"record","name":"Order","schemaIds":[42],"fields":{fields}}}"#));
        }
        set(name == "function", answer, "/Environment/Variables/WIRE_FORMATS", json!("single-object"));
    }),
    ("schemas-wire-formats", |name, answer| {
        set(name == "function", answer, "/Environment/Variables/WIRE_FORMATS", json!("single-object,glue"));
    }),
    ("quarantine-queue", |name, answer| {
        if name == "iam" {
            *answer = json!({"sqs:SendMessage": "implicitDeny"});
        }
    }),
    ("quarantine-queue", |name, answer| {
        if name == "quarantine" {
            *answer = json!("AWS.SimpleQueueService.NonExistentQueue");
        }
    }),
    ("function-permissions", |name, answer| {
        if name == "iam" {
            *answer = json!({"dynamodb:PutItem": "explicitDeny"});
        }
    }),
    ("calls-allowed", |name, answer| {
        if name == "limits" {
            *answer = json!("AccessDeniedException");
        }
    }),
];

fn set(is_it: bool, answer: &mut Value, pointer: &str, value: Value) {
    if is_it {
        *answer.pointer_mut(pointer).unwrap() = value;
    }
}

#[test]
fn each_fault_of_a_deployment_is_found_by_its_check_and_ends_with_1() {
    let fine = doctor(&deployment(|_, _| ()), &JSON_PARTS);
    assert_eq!((fine.status.code(), of_status(&findings(&fine), "problem")), (Some(0), vec![]), "{fine:?}");
    let unknown = of_status(&findings(&fine), "unknown");
    assert_eq!(unknown, ["alarms-exist", "alarms-quiet", "alarms-tell-somebody", "schemas-deployed"]);
    for (check, with) in FAULTS {
        let output = doctor(&deployment(with), &JSON_PARTS);
        assert_eq!((output.status.code(), of_status(&findings(&output), "problem")), (Some(1), vec![check.to_owned()]));
    }
}

#[test]
fn a_quarantine_queue_whose_own_policy_lets_the_role_send_needs_no_other() {
    let url = deployment(|name, answer| match name {
        "iam" => *answer = json!({"sqs:SendMessage": "implicitDeny"}),
        "quarantine" => {
            let policy = json!({"Statement": [{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*",
                "Principal": {"AWS": "arn:aws:iam::123456789012:role/ingest"}}]});
            answer["Attributes"]["Policy"] = json!(policy.to_string());
        }
        _ => {}
    });
    assert_eq!(doctor(&url, &PARTS).status.code(), Some(0));
}

#[test]
fn a_stack_with_a_queue_and_a_table_of_ones_own_is_looked_at_by_its_outputs() {
    let of = |with| {
        let output = doctor(&deployment(with), &["--stack", "orders", "--json"]);
        let findings = findings(&output);
        assert_eq!((&*findings["function-exists"].0, &*findings["mapping-enabled"].0), ("ok", "ok"), "{findings:#?}");
        (output.status.code(), of_status(&findings, "problem"))
    };
    assert_eq!(of(|_, _| ()), (Some(0), vec![]));
    // a table in another account
    let arn = |name: &str, answer: &mut Value| {
        let arn = json!("arn:aws:dynamodb:us-east-1:999999999999:table/orders");
        set(name == "stack", answer, "/TableName", arn.clone());
        set(name == "function", answer, "/Environment/Variables/TABLE_NAME", arn.clone());
        set(name == "table", answer, "/Table/TableArn", arn);
    };
    assert_eq!(of(arn), (Some(0), vec![]));
    let gone = |name: &str, answer: &mut Value| {
        if name == "table" || name == "live" {
            *answer = json!("ResourceNotFoundException");
        }
    };
    assert_eq!(of(gone), (Some(1), vec!["table-exists".to_owned()]));
}

#[test]
fn a_queue_of_ones_own_that_is_gone_is_a_finding() {
    let url = deployment(|name, answer| {
        if name == "url" {
            *answer = json!("AWS.SimpleQueueService.NonExistentQueue");
        }
    });
    let output = doctor(&url, &["--stack", "orders", "--json"]);
    assert_eq!(
        (output.status.code(), of_status(&findings(&output), "problem")),
        (Some(1), vec!["queue-exists".to_owned()])
    );
}

#[test]
fn a_stack_without_the_outputs_of_the_template_says_which_is_missing() {
    let url = deployment(|name, answer| {
        if name == "stack" {
            *answer = json!({"FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:ingest"});
        }
    });
    let output = doctor(&url, &["--stack", "orders"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("stack orders has no output QueueArn"), "{output:?}");
}
