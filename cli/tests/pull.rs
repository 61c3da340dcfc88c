//! Tests `ingest pull` through its command line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, reason = "each test uses what it needs of the support")]

mod support;

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use support::Moto;
use support::web::{Asked, serve, serve_with_headers};

const ADDRESS: &str =
    r#"{"type":"record","name":"Address","namespace":"shop","fields":[{"name":"city","type":"string"}]}"#;
const ORDER_1: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"message_id","type":"string"},{"name":"to","type":"shop.Address"}]}"#;
const ORDER_2: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"message_id","type":"string"},{"name":"to","type":"shop.Address"},{"name":"note","type":["null","string"],"default":null}]}"#;
const OTHER_KIND: &str = r#"{"subject":"events-value","id":9,"version":1,"schemaType":"JSON","schema":"{}"}"#;

/// Serves Confluent's API as documented: subjects, versions, a version with references, error codes and basic authentication.
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

/// Serves the registry in `tests/data/registry.json` with the API's responses. If `first` returns a response, that response is
/// used instead.
fn ordinary(first: impl Fn(&Asked) -> Option<(u16, String)> + Send + Sync + 'static) -> String {
    let case: Value = serde_json::from_str(include_str!("data/registry.json")).unwrap();
    serve(move |asked: &Asked| {
        if let Some(response) = first(asked) {
            return response;
        }
        let gone = || (404, r#"{"error_code":40401,"message":"Subject not found."}"#.to_owned());
        let path = asked.line.strip_prefix("GET /subjects").unwrap().replace("%2F", "\u{1}");
        let parts: Vec<String> = path.split('/').skip(1).map(|part| part.replace('\u{1}', "/")).collect();
        let subjects = case["registry"].as_object().unwrap();
        let (subject, version) = match parts.as_slice() {
            [] => return (200, json!(subjects.keys().collect::<Vec<_>>()).to_string()),
            [subject, _] => (subject, None),
            [subject, _, version] => (subject, Some(version)),
            _ => return gone(),
        };
        let Some(versions) = subjects.get(subject).and_then(Value::as_array) else { return gone() };
        let Some(version) = version else {
            return (200, json!(versions.iter().map(|version| &version["version"]).collect::<Vec<_>>()).to_string());
        };
        let found = match version.as_str() {
            "latest" => versions.last(),
            number => {
                versions.iter().find(|version| number.parse::<u32>().is_ok_and(|number| version["version"] == number))
            }
        };
        found.map_or_else(gone, |version| (200, version.to_string()))
    })
}

/// Returns the folders in a schema directory.
fn folders(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .map(|entries| entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
        .unwrap_or_default();
    names.sort();
    names
}

fn schema(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn an_ordinary_registry_is_pulled_whole() {
    let expected: Value = serde_json::from_str(include_str!("data/registry.json")).unwrap();
    let expected = &expected["expected"];
    let names = |value: &Value| -> Vec<String> {
        let mut names: Vec<_> =
            value.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    let (url, folder) = (ordinary(|_| None), folder("ordinary"));
    let output = pull(&url, &folder, &[]);
    assert_eq!(json!(output.status.code()), expected["exit code"], "{output:?}");
    assert_eq!(folders(&folder), names(&expected["written"]));
    let lines = text(&output.stderr);
    let (notes, lines): (Vec<&str>, Vec<&str>) = lines.lines().partition(|line| line.starts_with("note "));
    // about the two subjects with the same record name
    assert_eq!(notes.len(), 1, "{notes:?}");
    let mut left_out: Vec<&str> = lines
        .into_iter()
        .map(|line| line.strip_prefix("left out   ").unwrap_or_else(|| panic!("{line}")).split_once(": ").unwrap().0)
        .collect();
    left_out.sort_unstable();
    assert_eq!(left_out, names(&expected["left out, a line each"]));
    let printed: Vec<String> =
        text(&output.stdout).lines().map(|line| line.replace("new        ", "").replace("/1", "")).collect();
    assert_eq!(printed, names(&expected["written"]));
    assert_eq!(schema(&folder.join("orders-value/1.avsc"))["schemaIds"], expected["orders-value schemaIds"]);
    // the nested type that only the reference defines
    assert_eq!(schema(&folder.join("trip-value/1.avsc"))["fields"][1]["type"]["name"], "Zone");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn two_subjects_with_one_record_name_fit_only_where_an_id_tells_them_apart() {
    let (url, folder) = (ordinary(|_| None), folder("one-name"));
    let output = pull(&url, &folder, &["--wire-formats", "confluent,single-object"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).contains("skipped    b-value: ") && !folder.join("b-value").exists(), "{output:?}");
    assert!(folder.join("a-value/1.avsc").exists());
    assert_eq!(pull(&url, &folder, &["--wire-formats", "nonsense"]).status.code(), Some(2));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn wire_formats_with_which_the_function_would_not_read_what_was_pulled_are_named_with_the_parameter() {
    let (url, folder) = (serve(registry), folder("formats"));
    let said = |arguments: &[&str]| {
        let output = pull(&url, &folder, arguments);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let error = text(&output.stderr);
        error.lines().filter(|line| !line.starts_with("left out ")).collect::<String>()
    };
    assert_eq!(said(&[]), "");
    let line = "sam deploy --parameter-overrides WireFormats=single-object,confluent";
    assert!(
        said(&["--wire-formats", "single-object"]).ends_with(line),
        "{}",
        said(&["--wire-formats", "single-object"])
    );
    assert_eq!(said(&["--wire-formats", "single-object,confluent"]), "");
    fs::remove_dir_all(&folder).unwrap();
    // only an id distinguishes two subjects with the same record name
    let (url, folder) = (ordinary(|_| None), self::folder("formats-ordinary"));
    let error = text(&pull(&url, &folder, &[]).stderr);
    assert!(error.contains("sam deploy --parameter-overrides WireFormats=confluent"), "{error}");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_name_with_a_slash_is_one_folder_and_leads_to_no_other_place() {
    let escaping = "..%2F..%2Fescape";
    let body = r#"{"id": 1, "version": 1, "schema": "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"message_id\",\"type\":\"string\"}]}"}"#;
    let url = ordinary(move |asked| match asked.line.split_once("/subjects").unwrap().1 {
        "" => Some((200, r#"["../../escape"]"#.to_owned())),
        path if path == format!("/{escaping}/versions") => Some((200, "[1]".to_owned())),
        path if path == format!("/{escaping}/versions/1") => Some((200, body.to_owned())),
        path => panic!("{path}"),
    });
    let folder = folder("slash");
    let output = pull(&url, &folder, &[]);
    assert_eq!(
        (output.status.code(), folders(&folder)),
        (Some(0), vec!["%2E.%2F..%2Fescape".to_owned()]),
        "{output:?}"
    );
    assert_eq!(text(&pull(&url, &folder, &["--prune"]).stdout), "unchanged  %2E.%2F..%2Fescape/1\n");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_registry_that_is_busy_or_elsewhere_is_asked_again() {
    for status in [429, 500, 502, 503, 504] {
        let calls = AtomicU32::new(0);
        // every second request is refused
        let url = ordinary(move |_| {
            calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(2).then(|| (status, "busy".to_owned()))
        });
        let folder = folder(&format!("busy-{status}"));
        let output = pull(&url, &folder, &["--subject", "place"]);
        assert_eq!((output.status.code(), folders(&folder)), (Some(0), vec!["place".to_owned()]), "{output:?}");
        fs::remove_dir_all(folder).unwrap();
    }
}

#[test]
fn retry_after_is_waited_for_and_one_that_is_too_long_is_said() {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let url = serve_with_headers(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        (503, vec![("retry-after", "7200".to_owned())], String::new())
    });
    let output = pull(&url, &folder("retry-after"), &[]);
    assert_eq!((output.status.code(), calls.load(Ordering::Relaxed)), (Some(2), 1), "{output:?}");
    assert!(text(&output.stderr).contains("try again in 7200 s"), "{output:?}");
    let calls = AtomicU32::new(0);
    let started = local::clock::now();
    let url = serve_with_headers(move |_| match calls.fetch_add(1, Ordering::Relaxed) {
        0 => (429, vec![("retry-after", "2".to_owned())], String::new()),
        _ => (200, vec![], "[]".to_owned()),
    });
    assert_eq!(pull(&url, &folder("retry-after"), &[]).status.code(), Some(0));
    assert!(local::clock::now() - started >= Duration::from_secs(2));
}

#[test]
fn a_redirect_is_followed_and_another_server_gets_no_credentials() {
    let order = json!({"id": 1, "version": 1, "schema": ORDER_1.replace("shop.Address", "string")}).to_string();
    let target = serve(move |asked: &Asked| {
        assert_eq!(asked.header("authorization"), None);
        let body = match asked.line.as_str() {
            "GET /v7/subjects" => r#"["orders-value"]"#.to_owned(),
            "GET /v7/subjects/orders-value/versions" => "[1]".to_owned(),
            "GET /v7/subjects/orders-value/versions/1" => order.clone(),
            line => panic!("{line}"),
        };
        (200, body)
    });
    let url = serve_with_headers(move |asked| {
        assert!(asked.header("authorization").is_some());
        let path = asked.line.strip_prefix("GET ").unwrap();
        let to = match path.strip_prefix("/old") {
            Some(rest) => format!("/new{rest}"),
            None => format!("{target}/v7{}", path.strip_prefix("/new").unwrap()),
        };
        (308, vec![("location", to)], String::new())
    });
    let folder = folder("redirect");
    let output = pull(&format!("{url}/old"), &folder, &[]);
    assert_eq!((output.status.code(), folders(&folder)), (Some(0), vec!["orders-value".to_owned()]), "{output:?}");
    fs::remove_dir_all(&folder).unwrap();
    let circle = serve_with_headers(|_| (308, vec![("location", "/".to_owned())], String::new()));
    let output = pull(&circle, &folder.join("circle"), &["--subject", "x"]);
    assert!(output.status.code() == Some(2) && text(&output.stderr).contains("redirects"), "{output:?}");
}

#[test]
fn what_cannot_be_pulled_is_skipped_and_named_and_the_others_are_written() {
    let bad = |asked: &Asked| match asked.line.as_str() {
        // an invalid schema, a version that the newest version cannot read, an error inside the registry, and a missing
        // reference
        "GET /subjects/a-value/versions/1" => Some((200, r#"{"id":4,"version":1,"schema":"{\"type\":"}"#.to_owned())),
        "GET /subjects/b-value/versions" => Some((200, "[1,2]".to_owned())),
        "GET /subjects/b-value/versions/2" => {
            let schema = r#"{"type":"record","name":"ConnectDefault","fields":[{"name":"message_id","type":"string"},{"name":"n","type":"int"}]}"#;
            Some((200, json!({"id": 9, "version": 2, "schema": schema}).to_string()))
        }
        "GET /subjects/orders-value/versions" => {
            Some((500, r#"{"error_code":50001,"message":"Error in the backend data store"}"#.to_owned()))
        }
        "GET /subjects/place/versions/latest" => {
            Some((404, r#"{"error_code":40402,"message":"Version not found."}"#.to_owned()))
        }
        _ => None,
    };
    let (url, folder) = (ordinary(bad), folder("skipped"));
    let old = folder.join("orders-value/1.avsc");
    fs::create_dir_all(old.parent().unwrap()).unwrap();
    let ours = r#"{"type":"record","name":"Order","schemaIds":[2],"fields":[{"name":"message_id","type":"string"}]}"#;
    fs::write(&old, ours).unwrap();
    let output = pull(&url, &folder, &["--prune"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let errors = text(&output.stderr);
    for (subject, why) in [
        ("a-value", "not JSON"),
        ("b-value", "n: the field is new"),
        ("orders-value", "backend"),
        ("trip-value", "reference"),
    ] {
        let line = errors.lines().find(|line| line.starts_with(&format!("skipped    {subject}: ")));
        assert!(line.is_some_and(|line| line.contains(why)), "{subject}: {errors}");
    }
    assert_eq!(text(&output.stdout), "new        place/1\n");
    // a skipped subject keeps its files, even with --prune
    assert_eq!(folders(&folder), ["orders-value", "place"]);
    assert_eq!(fs::read_to_string(&old).unwrap(), ours);
    let json = pull(&url, &folder, &["--json"]);
    let changes: Value = serde_json::from_slice(&json.stdout).unwrap();
    let actions: Vec<_> = changes.as_array().unwrap().iter().map(|change| change["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["unchanged", "left out", "left out", "left out", "skipped", "skipped", "skipped", "skipped"]);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_version_that_is_deleted_in_the_middle_is_left_out() {
    let url =
        ordinary(|asked| (asked.line == "GET /subjects/orders-value/versions").then(|| (200, "[1,2]".to_owned())));
    let folder = folder("version-gone");
    let output = pull(&url, &folder, &["--subject", "orders-value"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(text(&output.stderr), "left out   orders-value/2: deleted meanwhile\n");
    assert_eq!(text(&output.stdout), "new        orders-value/1\n");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_subject_that_is_asked_for_and_has_no_record_ends_with_2() {
    let url = ordinary(|_| None);
    for subject in ["orders-key", "proto/common/envelope.proto", "gone-value"] {
        let folder = folder("asked-for");
        let output = pull(&url, &folder, &["--subject", "place", "--subject", subject]);
        assert_eq!((output.status.code(), folder.exists()), (Some(2), false), "{output:?}");
        assert!(text(&output.stderr).contains(subject), "{output:?}");
    }
}

/// Number of runs that are killed.
const KILLS: u32 = 25;

#[test]
fn a_kill_at_any_point_leaves_the_old_state_or_the_new_one() {
    let names: Vec<String> = (0..40).map(|number| format!("s{number:02}")).collect();
    let listed = json!(names).to_string();
    let url = ordinary(move |asked| match asked.line.strip_prefix("GET /subjects").unwrap() {
        "" => Some((200, listed.clone())),
        path if path.ends_with("/versions") => Some((200, "[1]".to_owned())),
        path => {
            let id: u32 = path[2..4].parse().unwrap();
            let schema = ORDER_1.replace("shop.Address", "string").replace("Order", &format!("Order{id}"));
            Some((200, json!({"id": id, "version": 1, "schema": schema}).to_string()))
        }
    });
    let folder = folder("kill").join("schemas");
    let ours = r#"{"type":"record","name":"Old","schemaIds":[99],"fields":[{"name":"message_id","type":"string"}]}"#;
    let reset = || {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("old")).unwrap();
        fs::write(folder.join("old/1.avsc"), ours).unwrap();
    };
    let old = vec!["old".to_owned()];
    let arguments = ["pull", "--registry", &url, "--schemas", folder.to_str().unwrap(), "--prune"];
    let command = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ingest"));
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    reset();
    let started = local::clock::now();
    assert!(command().status().unwrap().success());
    let whole = local::clock::now() - started;
    assert_eq!(folders(&folder), names);
    let mut seen_old = 0;
    for kill in 0..KILLS {
        reset();
        let mut process = command().spawn().unwrap();
        // from the start of a run to some time after its end
        std::thread::sleep(whole * kill * 5 / (KILLS * 4));
        let _ = process.kill();
        process.wait().unwrap();
        let is = folders(&folder);
        assert!(is == old || is == names, "{is:?}");
        seen_old += u32::from(is == old);
    }
    assert!(seen_old > 0, "every run ended before it was killed");
    // the next run removes the leftovers
    assert!(command().status().unwrap().success());
    assert_eq!((folders(&folder), folders(folder.parent().unwrap())), (names, vec!["schemas".to_owned()]));
    fs::remove_dir_all(folder.parent().unwrap()).unwrap();
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

/// Serves `ListSchemas` as documented, page by page, because moto does not support it.
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

#[test]
fn an_empty_region_counts_as_unset() {
    let folder = folder("region");
    fs::create_dir_all(&folder).unwrap();
    let config = folder.join("config");
    fs::write(&config, "[default]\nregion = eu-central-1\n").unwrap();
    let none = Path::new("/nonexistent");
    for (variables, config, expected) in [
        ([("AWS_REGION", ""), ("AWS_DEFAULT_REGION", "eu-west-1")], config.as_path(), "eu-west-1"),
        ([("AWS_REGION", ""), ("AWS_DEFAULT_REGION", "")], config.as_path(), "eu-central-1"),
        ([("AWS_REGION", "us-west-2"), ("AWS_DEFAULT_REGION", "eu-west-1")], config.as_path(), "us-west-2"),
        ([("AWS_REGION", ""), ("AWS_DEFAULT_REGION", "")], none, ""),
    ] {
        let url = serve(move |asked: &Asked| {
            let scope = asked.header("authorization").unwrap();
            assert!(scope.contains(&format!("/{expected}/glue/aws4_request")), "{scope}");
            (200, r#"{"Schemas": []}"#.to_owned())
        });
        let output = Command::new(env!("CARGO_BIN_EXE_ingest"))
            .args(["pull", "--glue", "shop", "--schemas", folder.join("schemas").to_str().unwrap()])
            .envs([("AWS_ENDPOINT_URL_GLUE", url.as_str()), ("AWS_CONFIG_FILE", config.to_str().unwrap())])
            .envs([
                ("AWS_ACCESS_KEY_ID", "test"),
                ("AWS_SECRET_ACCESS_KEY", "test"),
                ("AWS_EC2_METADATA_DISABLED", "true"),
            ])
            .envs(variables)
            // an empty profile name also counts as unset
            .env("AWS_PROFILE", "")
            .output()
            .unwrap();
        let code = if expected.is_empty() { Some(2) } else { Some(0) };
        assert_eq!(output.status.code(), code, "{expected}: {output:?}");
        assert_eq!(text(&output.stderr).contains("no region"), expected.is_empty(), "{output:?}");
    }
    fs::remove_dir_all(folder).unwrap();
}
