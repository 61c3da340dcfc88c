//! Tests of the Lambda emulator with a real process.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

use std::num::NonZero;
use std::time::Duration;

use bytes::Bytes;
use local::lambda::{Function, InitError, Invocation, Outcome, Settings, Stream};
use serde_json::{Value, json};

/// Longer than any call in these tests takes.
const LONG: Duration = Duration::from_secs(60);

fn settings() -> Settings {
    Settings::new(env!("CARGO_BIN_EXE_fixture"))
}

fn with_init(init: &str) -> Settings {
    let mut settings = settings();
    settings.environment.insert("INIT".into(), init.into());
    settings
}

fn event(event: &Value) -> Bytes {
    event.to_string().into()
}

fn answer(invocation: &Invocation) -> Value {
    match &invocation.outcome {
        Outcome::Response(response) => serde_json::from_slice(response).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_answer_comes_back_and_the_process_serves_on() {
    let function = Function::start(settings()).await.unwrap();
    assert!(function.init_duration().is_some());
    for size in [1, 100, 6_000_000] {
        let invocation = function.invoke(event(&json!("x".repeat(size))), LONG).await;
        assert_eq!(answer(&invocation), size + 2);
    }
    assert!(function.usage().unwrap().peak_resident_bytes > 6_000_000);
}

#[tokio::test]
async fn the_process_gets_the_variables_lambda_sets_and_inherits_nothing() {
    let mut settings = settings();
    settings.environment.insert("TABLE_NAME".into(), "orders".into());
    settings.memory_mb = 1769;
    let function = Function::start(settings).await.unwrap();
    let invocation = function.invoke(event(&json!({"do": "describe"})), LONG).await;
    let described = answer(&invocation);
    for (name, value) in [
        ("TABLE_NAME", "orders"),
        ("AWS_LAMBDA_FUNCTION_NAME", "avro-ingest"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1769"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_REGION", "us-east-1"),
    ] {
        assert_eq!(described["environment"][name], value, "{name}");
    }
    assert_eq!(described["environment"]["CARGO_MANIFEST_DIR"], Value::Null);
    assert_eq!(described["environment"]["AWS_LAMBDA_MAX_CONCURRENCY"], Value::Null);
    let headers = &described["headers"];
    assert_eq!(headers["lambda-runtime-aws-request-id"], invocation.request_id);
    assert_eq!(
        headers["lambda-runtime-invoked-function-arn"],
        "arn:aws:lambda:us-east-1:000000000000:function:avro-ingest"
    );
    let deadline: u128 = headers["lambda-runtime-deadline-ms"].as_str().unwrap().parse().unwrap();
    let now = local::clock::since_epoch();
    assert!(deadline > now.as_millis() && deadline <= (now + LONG).as_millis());
    assert!(headers["lambda-runtime-trace-id"].as_str().unwrap().starts_with("Root=1-"));
}

#[tokio::test]
async fn an_error_is_reported_and_the_process_serves_on() {
    let function = Function::start(settings()).await.unwrap();
    let invocation = function.invoke(event(&json!({"do": "error"})), LONG).await;
    let Outcome::Error { error_type, message } = invocation.outcome else { panic!("{invocation:?}") };
    assert_eq!((error_type.as_str(), message.as_str()), ("Fixture.Error", "as told"));
    assert_eq!(answer(&function.invoke(event(&json!("x")), LONG).await), 3);
}

#[tokio::test]
async fn a_response_over_six_megabytes_is_an_error() {
    let function = Function::start(settings()).await.unwrap();
    let invocation = function.invoke(event(&json!({"do": "large"})), LONG).await;
    let Outcome::Error { error_type, .. } = invocation.outcome else {
        panic!("a response that is too large was accepted")
    };
    assert_eq!(error_type, "Function.ResponseSizeTooLarge");
}

#[tokio::test]
async fn a_crash_fails_its_invocation_and_the_next_finds_a_new_process() {
    let function = Function::start(settings()).await.unwrap();
    let crash = function.invoke(event(&json!({"do": "crash"})), LONG);
    let next = function.invoke(event(&json!("x")), LONG);
    let Outcome::Crashed(exit) = crash.await.outcome else { panic!("no crash") };
    assert_eq!(exit.status.unwrap().code(), Some(4));
    assert_eq!(exit.stderr, ["crashing"]);
    assert_eq!(answer(&next.await), 3);
}

#[tokio::test]
async fn a_timeout_ends_the_process_with_its_invocation() {
    let function = Function::start(settings()).await.unwrap();
    let sleep = event(&json!({"do": "sleep", "milliseconds": 600_000}));
    let invocation = function.invoke(sleep, Duration::from_millis(20)).await;
    assert!(matches!(invocation.outcome, Outcome::TimedOut), "{invocation:?}");
    assert!(invocation.duration >= Duration::from_millis(20));
    assert_eq!(answer(&function.invoke(event(&json!("x")), LONG).await), 3);
}

#[tokio::test]
async fn a_kill_crashes_what_is_in_flight_and_nothing_that_waits() {
    let function = Function::start(settings()).await.unwrap();
    let sleeping = function.invoke(event(&json!({"do": "sleep", "milliseconds": 600_000})), LONG);
    let waiting = function.invoke(event(&json!("x")), LONG);
    function.kill();
    let Outcome::Crashed(exit) = sleeping.await.outcome else { panic!("no crash") };
    assert_eq!(exit.status.unwrap().code(), None);
    assert_eq!(answer(&waiting.await), 3);
}

#[tokio::test]
async fn a_managed_instance_works_on_several_events_and_survives_a_timeout() {
    let function = Function::start(Settings { max_concurrency: NonZero::new(2).unwrap(), ..settings() }).await.unwrap();
    let slow = function.invoke(event(&json!({"do": "sleep", "milliseconds": 600_000})), Duration::from_millis(20));
    let described = answer(&function.invoke(event(&json!({"do": "describe"})), LONG).await);
    assert_eq!(described["environment"]["AWS_LAMBDA_MAX_CONCURRENCY"], "2");
    assert!(matches!(slow.await.outcome, Outcome::TimedOut));
    assert!(function.init_duration().is_some(), "the process is still the same");
    assert_eq!(answer(&function.invoke(event(&json!("x")), LONG).await), 3);
}

#[tokio::test]
async fn every_line_of_output_is_kept_until_taken() {
    let function = Function::start(settings()).await.unwrap();
    function.invoke(event(&json!({"do": "print"})), LONG).await;
    let mut lines: Vec<_> =
        function.stop().await.into_iter().map(|line| (line.stream == Stream::Stderr, line.text)).collect();
    lines.sort();
    assert_eq!(lines, [(false, "to stdout".to_owned()), (true, "to stderr".to_owned())]);
}

#[tokio::test]
async fn an_init_error_is_what_the_start_fails_with() {
    let error = Function::start(with_init("error")).await.unwrap_err();
    let InitError::Reported { error_type, message, stderr } = error else { panic!("{error}") };
    assert_eq!((error_type.as_str(), message.as_str()), ("Fixture.Init", "as told"));
    assert_eq!(stderr, ["about to fail"]);
}

#[tokio::test]
async fn a_process_that_ends_or_hangs_during_init_fails_the_start() {
    let error = Function::start(with_init("exit")).await.unwrap_err();
    let InitError::Exited(exit) = error else { panic!("{error}") };
    assert_eq!((exit.status.unwrap().code(), exit.stderr), (Some(3), vec!["leaving".to_owned()]));

    let hanging = Settings { init_timeout: Duration::from_millis(50), ..with_init("hang") };
    let error = Function::start(hanging).await.unwrap_err();
    assert!(matches!(error, InitError::TimedOut(_)), "{error}");

    let error = Function::start(Settings::new("no/such/bootstrap")).await.unwrap_err();
    assert!(matches!(error, InitError::NotStarted(_)), "{error}");
}
