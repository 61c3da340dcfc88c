//! `ingest pull` as its user sees it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, reason = "each test uses what it needs of the support")]

mod support;

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use support::Moto;
use support::web::{Asked, serve};

const ADDRESS: &str =
    r#"{"type":"record","name":"Address","namespace":"shop","fields":[{"name":"city","type":"string"}]}"#;
const ORDER_1: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"message_id","type":"string"},{"name":"to","type":"shop.Address"}]}"#;
const ORDER_2: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"message_id","type":"string"},{"name":"to","type":"shop.Address"},{"name":"note","type":["null","string"],"default":null}]}"#;
const OTHER_KIND: &str = r#"{"subject":"events-value","id":9,"version":1,"schemaType":"JSON","schema":"{}"}"#;

/// A registry as Confluent documents its API: subjects, versions, a version with its references, errors by number, basic
/// authentication.
/// <https://docs.confluent.io/platform/current/schema-registry/develop/api.html>
fn registry(asked: &Asked) -> (u16, String) {
    if asked.header("authorization") != Some("Basic bWU6c2VjcmV0") {
        return (401, r#"{"error_code":401,"message":"Unauthorized"}"#.to_owned());
    }
    let references = json!([{"name": "shop.Address", "subject": "address", "version": 1}]);
    let order = |id: u32, version: u32, schema: &str| json!({"subject": "orders-value", "id": id, "version": version, "references": references, "schema": schema});
    let body = match asked.line.as_str() {
        "GET /subjects" => json!(["orders-value", "events-value"]),
        "GET /subjects/orders-value/versions" => json!([1, 2]),
        "GET /subjects/orders-value/versions/1" => order(41, 1, ORDER_1),
        "GET /subjects/orders-value/versions/2" => order(42, 2, ORDER_2),
        "GET /subjects/address/versions/1" => {
            json!({"subject": "address", "id": 40, "version": 1, "schema": ADDRESS})
        }
        "GET /subjects/events-value/versions" => json!([1]),
        "GET /subjects/events-value/versions/1" => return (200, OTHER_KIND.to_owned()),
        _ => return (404, r#"{"error_code":40401,"message":"Subject not found."}"#.to_owned()),
    };
    (200, body.to_string())
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("ingest-pull-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    folder
}

fn pull(url: &str, folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ingest"))
        .args(["pull", "--registry", url, "--schemas", folder.to_str().unwrap()])
        .args(arguments)
        .envs([("SCHEMA_REGISTRY_USER", "me"), ("SCHEMA_REGISTRY_PASSWORD", "secret")])
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn check(folder: &Path) -> Option<i32> {
    let output = Command::new(env!("CARGO_BIN_EXE_ingest"))
        .args(["check", "--schemas", folder.to_str().unwrap()])
        .output()
        .unwrap();
    output.status.code()
}

#[test]
fn every_version_comes_with_its_id_and_its_references_and_check_accepts_it() {
    let (url, folder) = (serve(registry), folder("all"));
    let output = pull(&url, &folder, &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(text(&output.stdout), "new        orders-value/1\nnew        orders-value/2\n");
    let newest: Value = serde_json::from_str(&fs::read_to_string(folder.join("orders-value/2.avsc")).unwrap()).unwrap();
    assert_eq!(newest["schemaIds"], json!([42]));
    assert_eq!(newest["fields"][1]["type"]["fields"][0]["name"], "city");
    assert_eq!(check(&folder), Some(0));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_second_pull_changes_nothing_and_ours_stays() {
    let (url, folder) = (serve(registry), folder("twice"));
    pull(&url, &folder, &[]);
    let path = folder.join("orders-value/2.avsc");
    let ours = fs::read_to_string(&path).unwrap().replacen('{', r#"{"dynamodb": {"layout": "attributes"},"#, 1);
    fs::write(&path, &ours).unwrap();
    let output = pull(&url, &folder, &["--prune"]);
    assert_eq!(text(&output.stdout), "unchanged  orders-value/1\nunchanged  orders-value/2\n");
    assert_eq!(fs::read_to_string(&path).unwrap(), ours);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_dry_run_shows_the_difference_and_writes_nothing() {
    let (url, folder) = (serve(registry), folder("dry"));
    let output = pull(&url, &folder, &["--dry-run"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stdout).contains("\n+  \"schemaIds\": [42],"), "{}", text(&output.stdout));
    assert!(!folder.exists());
}

#[test]
fn what_the_registry_does_not_have_is_deleted_if_asked_and_only_then() {
    let (url, folder) = (serve(registry), folder("prune"));
    pull(&url, &folder, &[]);
    let old = folder.join("orders-value/3.avsc");
    fs::copy(folder.join("orders-value/2.avsc"), &old).unwrap();
    fs::write(&old, fs::read_to_string(&old).unwrap().replace("42", "43")).unwrap();
    pull(&url, &folder, &[]);
    assert!(old.exists());
    let output = pull(&url, &folder, &["--prune", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let changes: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&changes[2]["action"], old.exists()), (&json!("deleted"), false));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_check_would_refuse_is_not_written() {
    let incompatible = |asked: &Asked| {
        let (status, body) = registry(asked);
        (status, body.replace(r#"\"default\":null"#, r#"\"doc\":\"none\""#))
    };
    let (url, folder) = (serve(incompatible), folder("refused"));
    let output = pull(&url, &folder, &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).contains("note"), "{output:?}");
    assert!(!folder.exists());
}

#[test]
fn wrong_credentials_and_unknown_subjects_end_with_2_and_say_what_to_do() {
    let (url, folder) = (serve(registry), folder("wrong"));
    let unknown = pull(&url, &folder, &["--subject", "nothing"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("404"), "{unknown:?}");
    let output = Command::new(env!("CARGO_BIN_EXE_ingest")).args(["pull", "--registry", &url]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("SCHEMA_REGISTRY_USER"), "{output:?}");
}

#[test]
#[ignore = "needs moto: make test-moto"]
fn glues_versions_come_with_their_uuids() {
    let (moto, folder) = (Moto::start(), folder("glue"));
    let glue = |operation: &str, body: Value| -> Value {
        serde_json::from_str(&moto.json("glue", &format!("AWSGlue.{operation}"), &body.to_string())).unwrap()
    };
    glue("CreateRegistry", json!({"RegistryName": "shop"}));
    let first = ADDRESS.replace("city", "message_id");
    let created = glue(
        "CreateSchema",
        json!({"RegistryId": {"RegistryName": "shop"}, "SchemaName": "orders", "DataFormat": "AVRO",
            "Compatibility": "BACKWARD", "SchemaDefinition": first}),
    );
    let second = first.replace("]}", r#",{"name":"note","type":["null","string"],"default":null}]}"#);
    glue(
        "RegisterSchemaVersion",
        json!({"SchemaId": {"RegistryName": "shop", "SchemaName": "orders"}, "SchemaDefinition": second}),
    );
    let arguments = ["pull", "--glue", "shop", "--subject", "orders", "--schemas", folder.to_str().unwrap()];
    let output = moto.ingest(&arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let schema: Value = serde_json::from_str(&fs::read_to_string(folder.join("orders/1.avsc")).unwrap()).unwrap();
    assert_eq!(schema["schemaIds"][0], created["SchemaVersionId"]);
    assert_eq!((folder.join("orders/2.avsc").exists(), check(&folder)), (true, Some(0)));
    fs::remove_dir_all(folder).unwrap();
}

/// moto does not list schemas; this answers as Glue documents it, page by page.
/// <https://docs.aws.amazon.com/glue/latest/webapi/API_ListSchemas.html>
#[test]
fn glues_schemas_are_listed_page_by_page() {
    let glue = |asked: &Asked| {
        let body: Value = serde_json::from_str(&asked.body).unwrap();
        let answer = match asked.header("x-amz-target").unwrap() {
            "AWSGlue.ListSchemas" if body["NextToken"] == "more" => json!({"Schemas": [{"SchemaName": "two"}]}),
            "AWSGlue.ListSchemas" => json!({"Schemas": [{"SchemaName": "one"}], "NextToken": "more"}),
            "AWSGlue.GetSchema" => json!({"DataFormat": "AVRO", "LatestSchemaVersion": 2}),
            _ if body["SchemaVersionNumber"]["VersionNumber"] == 1 => {
                return (400, r#"{"__type":"EntityNotFoundException","Message":"deleted"}"#.to_owned());
            }
            _ => json!({"SchemaVersionId": "b7b4a7f0-9c96-4e4a-a687-fb5de9ef0c63", "Status": "AVAILABLE",
                "SchemaDefinition": ADDRESS.replace("city", "message_id").replace("Address", body["SchemaId"]["SchemaName"].as_str().unwrap())}),
        };
        assert!(asked.header("authorization").unwrap().contains("/us-east-1/glue/aws4_request"));
        (200, answer.to_string())
    };
    let (url, folder) = (serve(glue), folder("list"));
    let output = Command::new(env!("CARGO_BIN_EXE_ingest"))
        .args(["pull", "--glue", "shop", "--schemas", folder.to_str().unwrap(), "--dry-run", "--json"])
        .envs([("AWS_ENDPOINT_URL_GLUE", url.as_str()), ("AWS_REGION", "us-east-1")])
        .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
        .output()
        .unwrap();
    let changes: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let subjects: Vec<_> =
        changes.as_array().unwrap().iter().map(|change| change["subject"].as_str().unwrap()).collect();
    assert_eq!(subjects, ["one", "two"]);
}
