//! Tests `ingest check` through its command line.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A temporary folder, which is removed when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, files: &[(&str, Value)]) -> Self {
        let folder = std::env::temp_dir().join(format!("ingest-check-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        for (path, content) in files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let text = content.as_str().map_or_else(|| content.to_string(), str::to_owned);
            fs::write(path, text).unwrap();
        }
        Self(folder)
    }

    fn check(&self, more: &[&str]) -> Output {
        check(&self.0, more)
    }

    /// Asserts that the exit code matches the problems, and returns the problems.
    fn problems(&self, more: &[&str]) -> Vec<String> {
        let output = self.check(&[more, &["--json"]].concat());
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        let problems = report["problems"].as_array().unwrap();
        assert_eq!(output.status.code(), Some(i32::from(!problems.is_empty())), "{output:?}");
        problems.iter().map(|problem| problem.as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn check(schemas: &Path, more: &[&str]) -> Output {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ingest"));
    command.current_dir(root).arg("check").arg("--schemas").arg(schemas).args(more).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Returns a record schema with these fields and the property `dynamodb`.
fn record(name: &str, dynamodb: &Value, fields: &Value) -> Value {
    let mut schema = json!({"type": "record", "name": name, "fields": fields});
    if !dynamodb.is_null() {
        schema["dynamodb"] = dynamodb.clone();
    }
    schema
}

fn payment(dynamodb: &Value) -> Value {
    let fields = json!([
        {"name": "tenant", "type": "string"},
        {"name": "id", "type": "long"},
        {"name": "note", "type": ["null", "string"]},
        {"name": "customer", "type": ["null", {"type": "record", "name": "Customer", "fields": [{"name": "id", "type": "string"}]}]},
    ]);
    record("Payment", dynamodb, &fields)
}

fn keyed() -> Value {
    json!({"partitionKey": "tenant", "sortKey": "id", "ttl": {"attribute": "gone_at", "days": 30}, "layout": "attributes"})
}

#[test]
fn a_directory_is_shown_with_keys_layout_ttl_versions_and_fingerprints() {
    let folder = Folder::new("shown", &[("payment/1.avsc", payment(&keyed())), ("payment/2.avsc", payment(&keyed()))]);
    let output = folder.check(&[]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    let shown = text(&output.stdout);
    let schema = apache_avro::Schema::parse_str(&payment(&json!(null)).to_string()).unwrap();
    let fingerprint = schema.fingerprint::<apache_avro::rabin::Rabin>().bytes;
    let number: String = fingerprint.iter().rev().map(|byte| format!("{byte:02x}")).collect();
    let wire: Vec<String> = fingerprint.iter().map(|byte| format!("{byte:02X}")).collect();
    for part in [
        "payment\n",
        "version 1    accepted",
        &format!("version 2    read as   fingerprint {number}, on the wire C3 01 {}", wire.join(" ")),
        "table processed_messages, layout attributes",
        "partition key tenant (S)",
        "sort key id (N)",
        "expires by gone_at",
        "sam deploy --parameter-overrides PartitionKeyName=tenant SortKeyName=id SortKeyType=N TtlAttribute=gone_at",
    ] {
        assert!(shown.contains(part), "{part:?} in {shown}");
    }
}

#[test]
fn the_repositorys_own_schemas_need_no_parameters() {
    let output = check(Path::new("schemas"), &["--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["deploy"], &report["problems"]), (&json!("sam deploy"), &json!([])));
    assert_eq!(report["subjects"][0]["keys"], json!([{"attribute": "message_id", "type": "S"}]));
    for profile in ["default", "latency", "throughput", "peak"] {
        assert_eq!(check(Path::new("schemas"), &["--profile", profile]).status.code(), Some(0), "{profile}");
    }
}

#[test]
fn a_file_that_is_ignored_is_a_problem_and_one_that_is_no_schema_is_none() {
    let files = [
        ("payment/1.avsc", payment(&keyed())),
        ("order.avsc", payment(&keyed())),
        ("payment/deep/2.avsc", payment(&keyed())),
        ("payment/2.AVSC", payment(&keyed())),
        ("payment/README.md", json!("text")),
        ("payment/notes.avdl", json!("protocol P {}")),
    ];
    let problems = Folder::new("ignored", &files).problems(&[]);
    let ignored: Vec<_> = problems.iter().map(|problem| problem.split_once(" is ignored").unwrap().0).collect();
    let names: Vec<_> = ignored.iter().map(|path| path.split_once("ingest-check-ignored").unwrap().1).collect();
    let ends = ["order.avsc", "payment/2.AVSC", "payment/deep/2.avsc", "payment/notes.avdl"];
    assert!(names.iter().zip(ends).all(|(name, end)| name.ends_with(end)), "{names:?}");
    assert_eq!(names.len(), ends.len());
}

#[test]
fn a_key_that_may_be_null_is_a_problem_on_the_way_to_it_and_in_a_template() {
    for (key, field) in [
        (json!({"partitionKey": "note"}), "note"),
        (json!({"partitionKey": {"attribute": "pk", "field": "customer.id"}}), "customer.id"),
        (json!({"partitionKey": {"attribute": "pk", "template": "T#{tenant}#{note}"}}), "note"),
        (json!({"partitionKey": "tenant", "sortKey": {"attribute": "sk", "field": "customer.id"}}), "customer.id"),
    ] {
        let problems = Folder::new("null", &[("payment/1.avsc", payment(&key))]).problems(&[]);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(&format!("subject payment: key field {field} may be null")), "{problems:?}");
    }
    let good = json!({"partitionKey": {"attribute": "pk", "template": "{tenant}#{id}"}});
    assert_eq!(Folder::new("no-null", &[("payment/1.avsc", payment(&good))]).problems(&[]), Vec::<String>::new());
}

#[test]
fn keys_a_layout_or_a_table_that_change_between_versions_are_a_problem() {
    let newest = json!({"partitionKey": "tenant"});
    for (older, what) in [
        (
            json!({"partitionKey": "id"}),
            Some("the key is not the same, id (N) and tenant (S), in version 1 and in version 2"),
        ),
        (
            json!({"partitionKey": "tenant", "layout": "attributes"}),
            Some("the layout is not the same, attributes and document"),
        ),
        (
            json!({"partitionKey": "tenant", "table": "payments"}),
            Some("the table is not the same, payments and processed_messages"),
        ),
        (json!({"partitionKey": "tenant", "nulls": "omit"}), None),
        (Value::Null, None),
    ] {
        let files = [("payment/1.avsc", payment(&older)), ("payment/2.avsc", payment(&newest))];
        let problems = Folder::new("changed", &files).problems(&[]);
        match what {
            None => assert_eq!(problems, Vec::<String>::new()),
            Some(what) => assert!(problems.len() == 1 && problems[0].contains(what), "{problems:?}"),
        }
    }
}

#[test]
fn what_stops_the_function_is_a_problem_each() {
    let fields = json!([{"name": "id", "type": "long"}]);
    let two_keys = [
        ("one/1.avsc", record("One", &json!({"partitionKey": "id"}), &fields)),
        ("two/1.avsc", record("Two", &Value::Null, &fields)),
    ];
    let table = [("one/1.avsc", record("One", &json!({"table": "no good"}), &fields))];
    let files = [("one/one.avsc", record("One", &Value::Null, &fields)), ("two/1.avsc", json!("{"))];
    for (files, said) in [
        (&two_keys[..], &["subject two: its key is message_id (S), but that of subject one in the same table"][..]),
        (&table, &["\"no good\""]),
        (&files, &["one/one.avsc", "two/1.avsc"]),
        (&[("README.md", json!("nothing"))], &["no schema"]),
    ] {
        let problems = Folder::new("stops", files).problems(&[]);
        assert_eq!(problems.len(), said.len(), "{problems:?}");
        assert!(problems.iter().zip(said).all(|(problem, said)| problem.contains(said)), "{problems:?}");
    }
}

#[test]
fn a_profile_whose_table_cannot_hold_the_records_is_a_problem() {
    let folder = Folder::new("profile", &[("payment/1.avsc", payment(&keyed()))]);
    let config = folder.0.join("samconfig.toml");
    let with = |overrides: &str| {
        fs::write(&config, format!("[p.deploy.parameters]\nparameter_overrides = \"{overrides}\"\n")).unwrap();
        folder.problems(&["--profile", "p", "--config", config.to_str().unwrap()])
    };
    let fitting = "PartitionKeyName=tenant SortKeyName=id SortKeyType=N TtlAttribute=gone_at";
    assert_eq!(with(fitting), Vec::<String>::new());
    assert_eq!(with("ExistingTableName=payments"), Vec::<String>::new());
    let problems = with("PartitionKeyName=tenant SortKeyName=id");
    assert_eq!(
        problems,
        [
            "subject payment: it needs SortKeyType=N, and the profile has SortKeyType=S",
            "subject payment: it needs TtlAttribute=gone_at, and the profile has TtlAttribute=expires_at",
        ]
    );
    assert_eq!(folder.check(&["--profile", "q", "--config", config.to_str().unwrap()]).status.code(), Some(2));
    assert_eq!(check(Path::new("/no/such/folder"), &[]).status.code(), Some(2));
}

#[test]
fn annotations_that_are_ignored_are_named_with_subject_version_and_path() {
    let at = |ty: Value| json!([{"name": "tenant", "type": "string"}, {"name": "at", "type": ty}]);
    let key = json!({"partitionKey": "tenant"});
    let old = at(json!({"type": "long", "logicalType": "date"}));
    let mut new = at(json!("long"));
    new[1]["logicalType"] = json!("timestamp-millis");
    let folder =
        Folder::new("ignored", &[("e/1.avsc", record("E", &key, &old)), ("e/2.avsc", record("E", &key, &new))]);
    let problems = folder.problems(&[]);
    assert_eq!(problems[0], "subject e, version 1: at: logicalType date is ignored: it is one of int");
    assert!(
        problems[1].starts_with("subject e, version 2: at: logicalType timestamp-millis is ignored: it stands beside")
    );
    assert_eq!(problems.len(), 2, "{problems:?}");
}

#[test]
fn what_is_over_dynamodbs_limits_whatever_a_record_holds_is_named() {
    let long = |bytes: usize| "x".repeat(bytes);
    let fields = |name: &str| json!([{"name": "id", "type": "string"}, {"name": "f", "type": "int", "dynamodb": {"attribute": name}}]);
    let template = json!({"partitionKey": {"attribute": long(256), "template": format!("{}{{id}}", long(2_049))}});
    let digest = json!([{"name": "d", "type": {"type": "fixed", "name": "D", "size": 2_049}}]);
    let endless = json!([{"name": "id", "type": "string"}, {"name": "next", "type": "E"}]);
    for (schema, expected) in [
        (record("E", &json!({"partitionKey": "id"}), &fields(&long(65_536))), vec!["E.f: attribute xxx"]),
        (record("E", &json!({"partitionKey": "id"}), &fields(&long(65_535))), vec![]),
        (
            record("E", &template, &fields("f")),
            vec!["partitionKey: attribute xxx", "partitionKey: the template has 2049 bytes"],
        ),
        (record("E", &json!({"partitionKey": "d"}), &digest), vec!["partitionKey: field d has 2049 bytes"]),
        (record("E", &json!({"partitionKey": "id"}), &endless), vec!["next: the record holds itself without an end"]),
    ] {
        let problems = Folder::new("limits", &[("e/7.avsc", schema)]).problems(&[]);
        assert_eq!(problems.len(), expected.len(), "{problems:?}");
        for (problem, expected) in problems.iter().zip(expected) {
            assert!(problem.starts_with(&format!("subject e, version 7: {expected}")), "{problem}");
            assert!(problem.ends_with("so that every record is rejected") && problem.len() < 500, "{problem}");
        }
    }
}

/// Returns a payment schema with the registry ids `ids`.
fn with_ids(ids: &Value) -> Value {
    let mut schema = payment(&keyed());
    schema["schemaIds"] = ids.clone();
    schema
}

#[test]
fn ids_that_no_wire_format_reads_and_formats_without_an_id_are_problems_with_the_line_that_fixes_them() {
    let uuid = "b7b4a7f0-9c96-4e4a-a687-fb5de9ef0c63";
    for (ids, formats, fixed) in [
        (json!([42]), "single-object,container", Some("WireFormats=single-object,container,confluent")),
        (json!([42]), "json", Some("WireFormats=json,confluent")),
        (json!([uuid]), "single-object", Some("WireFormats=single-object,glue")),
        (json!([]), "single-object,confluent,glue,datum", Some("WireFormats=single-object,datum")),
        (json!([]), "confluent", Some("'WireFormats=\"\"'")),
        (json!([42]), "glue", Some("WireFormats=confluent")),
        (json!([42]), "confluent", None),
        // the GUID of a Confluent schema, which producers send in a message header
        (json!([42, uuid]), "confluent", None),
        (json!([uuid]), "glue", None),
        (json!([]), "datum", None),
    ] {
        let folder = Folder::new("formats", &[("payment/1.avsc", with_ids(&ids))]);
        let problems = folder.problems(&["--wire-formats", formats]);
        assert_eq!(problems.is_empty(), fixed.is_none(), "{ids} {formats}: {problems:?}");
        if let Some(fixed) = fixed {
            let line = format!("sam deploy --parameter-overrides {fixed}");
            assert!(problems.iter().all(|problem| problem.ends_with(&line)), "{ids} {formats}: {problems:?}");
        }
    }
}

#[test]
fn the_wire_formats_are_those_of_the_option_the_profile_or_the_environment_or_follow_from_the_schemas() {
    let folder = Folder::new("derived", &[("payment/1.avsc", with_ids(&json!([42])))]);
    let formats = |output: &Output| -> Value {
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        report["wire_formats"].clone()
    };
    assert_eq!(formats(&folder.check(&["--json"])), json!(["single-object", "container", "confluent"]));
    assert!(text(&folder.check(&[]).stdout).contains("wire formats single-object, container, confluent\n"));
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let with = |variables: &[(&str, &str)], more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ingest"));
        command.current_dir(root).args(["check", "--json", "--schemas"]).arg(&folder.0).args(more);
        command.envs(variables.iter().copied()).output().unwrap()
    };
    let set = [("WIRE_FORMATS", "confluent,json")];
    assert_eq!(formats(&with(&set, &[])), json!(["confluent", "json"]));
    assert_eq!(formats(&with(&set, &["--wire-formats", "confluent"])), json!(["confluent"]));
    let config = folder.0.join("samconfig.toml");
    let overrides = "[p.deploy.parameters]\nparameter_overrides = \"WireFormats=confluent,datum PartitionKeyName=tenant \
                     SortKeyName=id SortKeyType=N TtlAttribute=gone_at\"\n";
    fs::write(&config, overrides).unwrap();
    let profile = ["--profile", "p", "--config", config.to_str().unwrap()];
    assert_eq!(formats(&with(&set, &profile)), json!(["confluent", "datum"]));
    // a profile without the parameter deploys the template's default, whatever the environment says
    fs::write(&config, overrides.replace("WireFormats=confluent,datum ", "")).unwrap();
    let output = with(&set, &profile);
    assert_eq!(formats(&output), json!(["single-object", "container", "confluent"]));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn a_table_that_the_stack_does_not_make_comes_with_the_commands_that_make_it() {
    let of = |dynamodb: Value| Folder::new("create", &[("click/1.avsc", payment(&dynamodb))]);
    let folder = of(
        json!({"table": "clicks", "partitionKey": "tenant", "sortKey": "id", "ttl": {"attribute": "it's", "days": 1}}),
    );
    let output = folder.check(&[]);
    let create = r#"aws dynamodb create-table --table-name clicks --billing-mode PAY_PER_REQUEST --attribute-definitions '[{"AttributeName":"tenant","AttributeType":"S"},{"AttributeName":"id","AttributeType":"N"}]' --key-schema '[{"AttributeName":"tenant","KeyType":"HASH"},{"AttributeName":"id","KeyType":"RANGE"}]'"#;
    let expire = r#"aws dynamodb update-time-to-live --table-name clicks --time-to-live-specification '{"AttributeName":"it'\''s","Enabled":true}'"#;
    let lines: Vec<&str> = text(&output.stdout).lines().collect();
    assert!(lines.contains(&create) && lines.contains(&expire), "{lines:#?}");
    // no record is written to the stack's own table
    assert!(!text(&output.stdout).contains("A table for them"), "{lines:#?}");
    let report: Value = serde_json::from_slice(&folder.check(&["--json"]).stdout).unwrap();
    assert_eq!(report["tables"], json!([{"table": "clicks", "commands": [create, expire]}]));

    // a table named by ARN, which contains the region, is created once for two subjects
    let arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/clicks";
    let dynamodb = json!({"table": arn, "partitionKey": "tenant"});
    let mut other = payment(&dynamodb);
    other["name"] = json!("Other");
    let folder = Folder::new(
        "create-arn",
        &[
            ("click/1.avsc", payment(&dynamodb)),
            ("other/1.avsc", other),
            ("own/1.avsc", record("Own", &json!({"partitionKey": "id"}), &json!([{"name": "id", "type": "string"}]))),
        ],
    );
    let shown = folder.check(&[]);
    let create = "aws dynamodb create-table --region eu-west-1 --table-name clicks --billing-mode PAY_PER_REQUEST ";
    assert_eq!(text(&shown.stdout).matches(create).count(), 1, "{}", text(&shown.stdout));
    assert!(text(&shown.stdout).contains("A table for them: sam deploy --parameter-overrides PartitionKeyName=id\n"));
}
