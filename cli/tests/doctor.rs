//! `ingest doctor` against moto's server: a stack as the template makes it, broken in a few places.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, reason = "each test uses what it needs of the support")]

mod support;

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::process::Output;
use support::Moto;
use support::web::{Asked, serve};

/// The resources of template.yaml that matter here, under their names in it.
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
    }})
}

fn deploy(moto: &Moto, template: &Value, alarm_actions: &Value) {
    // moto makes no alarms of a template
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

/// Status and text by the check's name.
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

/// What moto does not implement, and so what a role without the permission would see.
const UNKNOWN_HERE: [&str; 5] =
    ["account-concurrency", "function-permissions", "schemas-deployed", "table-keys", "table-time-to-live"];

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

/// A layer as `sam build` makes it.
fn layer(files: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (path, text) in files {
        writer.start_file(*path, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// moto keeps no layer that can be downloaded, so Lambda is a server of the documented answers here.
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
