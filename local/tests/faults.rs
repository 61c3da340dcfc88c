//! Tests of fault injection between a client and the embedded database: the response that the client gets, and the table's
//! contents.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeMap;
use std::time::Duration;

use local::credentials::CredentialsEndpoint;
use local::dynamodb::{CallError, Client, Embedded, Table};
use local::faults::{Chance, ErrorCode, Fault, Plan, Proxy, Target, ThrottlingReason};
use serde_json::{Value, json};

struct Scene {
    database: Embedded,
    proxy: Proxy,
    client: Client,
}

impl Scene {
    async fn with(fault: Fault) -> Self {
        let database = Embedded::start(0).unwrap();
        database.client().create_table(&Table::keyed_by("orders", "id")).await.unwrap();
        let proxy = Proxy::start(0, database.address(), Plan::always(fault).unwrap()).unwrap();
        let client = Client::new(proxy.address());
        Self { database, proxy, client }
    }

    async fn put(&self, id: &str) -> Result<Value, CallError> {
        self.client.call("PutItem", &json!({"TableName": "orders", "Item": {"id": {"S": id}}})).await
    }

    async fn put_batch(&self, ids: std::ops::Range<usize>) -> Result<Value, CallError> {
        let put = |id: usize| json!({"PutRequest": {"Item": {"id": {"S": id.to_string()}}}});
        let request = json!({"RequestItems": {"orders": ids.map(put).collect::<Vec<_>>()}});
        self.client.call("BatchWriteItem", &request).await
    }

    async fn stored(&self) -> u64 {
        self.database.client().count("orders").await.unwrap()
    }
}

#[tokio::test]
async fn without_faults_it_is_the_endpoint() {
    let scene = Scene::with(Fault::Truncated).await;
    scene.proxy.set_plan(Plan::none());
    assert_eq!(scene.put_batch(0..25).await.unwrap()["UnprocessedItems"], json!({}));
    assert!(
        matches!(scene.put_batch(0..26).await, Err(CallError::Refused { code, .. }) if code == "ValidationException")
    );
    assert_eq!(scene.client.count("orders").await.unwrap(), 25);
    assert_eq!(scene.proxy.requests(), 3);
    assert_eq!(scene.proxy.injected(), BTreeMap::new());
}

#[tokio::test]
async fn an_error_comes_with_its_status_and_code_and_applies_nothing() {
    let scene = Scene::with(Fault::ResetBefore).await;
    for &code in ErrorCode::ALL {
        scene.proxy.set_plan(Plan::always(Fault::Error { code, reasons: Vec::new() }).unwrap());
        let CallError::Refused { status, code: seen, .. } = scene.put("a").await.unwrap_err() else {
            panic!("{code:?}")
        };
        assert_eq!((status.as_u16(), seen.as_str()), (code.status(), code.name()));
        assert_eq!(scene.proxy.injected()[code.name()], 1);
    }
    assert_eq!(scene.stored().await, 0);
}

#[tokio::test]
async fn a_throttle_says_what_is_throttled_in_the_member_of_its_error() {
    let reason = "TableWriteKeyRangeThroughputExceeded".to_owned();
    let resource = "arn:aws:dynamodb:us-east-1:000000000000:table/orders".to_owned();
    let reasons = vec![ThrottlingReason { reason: reason.clone(), resource: resource.clone() }];
    for (code, member) in [
        (ErrorCode::ProvisionedThroughputExceededException, "ThrottlingReasons"),
        (ErrorCode::RequestLimitExceeded, "ThrottlingReasons"),
        (ErrorCode::ThrottlingException, "throttlingReasons"),
    ] {
        let scene = Scene::with(Fault::Error { code, reasons: reasons.clone() }).await;
        let response = raw_post(scene.proxy.address(), "{}").await.unwrap();
        let (_, body) = response.split_once("\r\n\r\n").unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body[member], json!([{"reason": reason, "resource": resource}]));
    }
}

/// Returns the raw response, read until the connection closes.
async fn raw_post(address: std::net::SocketAddr, body: &str) -> std::io::Result<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    let head = format!("POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all((head + body).as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn what_comes_back_unprocessed_is_not_applied_and_everything_else_is() {
    let scene = Scene::with(Fault::Unprocessed { share: 0.5 }).await;
    let answer = scene.put_batch(0..25).await.unwrap();
    let unprocessed = answer["UnprocessedItems"]["orders"].as_array().unwrap();
    assert!((1..25).contains(&unprocessed.len()));
    assert_eq!(scene.stored().await, 25 - unprocessed.len() as u64);
    for request in unprocessed {
        let key = json!({"id": request["PutRequest"]["Item"]["id"]});
        assert_eq!(scene.database.client().get("orders", &key).await.unwrap(), None);
    }
    scene.put("single").await.unwrap();
    assert_eq!(
        scene.proxy.injected(),
        BTreeMap::from([("unprocessed", 1)]),
        "a call that is not a batch is unaffected"
    );

    let all = Scene::with(Fault::Unprocessed { share: 1.0 }).await;
    assert_eq!(all.put_batch(0..25).await.unwrap()["UnprocessedItems"]["orders"].as_array().unwrap().len(), 25);
    assert_eq!(all.stored().await, 0);
}

#[tokio::test]
async fn a_reset_breaks_the_connection_before_or_after_the_call_was_applied() {
    for (fault, stored) in [(Fault::ResetBefore, 0), (Fault::ResetAfter, 1)] {
        let scene = Scene::with(fault.clone()).await;
        assert!(matches!(scene.put("a").await, Err(CallError::Unreachable(_))), "{fault:?}");
        assert_eq!(scene.stored().await, stored, "{fault:?}");
        let error = raw_post(scene.proxy.address(), "{}").await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{fault:?}");
    }
}

#[tokio::test]
async fn a_broken_answer_is_unreadable_and_its_call_applied() {
    for fault in [Fault::Truncated, Fault::WrongContent] {
        let scene = Scene::with(fault.clone()).await;
        assert!(matches!(scene.put("a").await, Err(CallError::Unreadable(_))), "{fault:?}");
        assert_eq!(scene.stored().await, 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_stall_or_slow_bytes_only_take_time() {
    let time = Duration::from_millis(30);
    for fault in [
        Fault::StallBefore { milliseconds: 30 },
        Fault::StallAfter { milliseconds: 30 },
        Fault::SlowBytes { milliseconds: 30 },
    ] {
        let scene = Scene::with(fault.clone()).await;
        let before = local::clock::since_epoch();
        assert_eq!(scene.put_batch(0..3).await.unwrap()["UnprocessedItems"], json!({}), "{fault:?}");
        assert!(local::clock::since_epoch() - before >= time - Duration::from_millis(1), "{fault:?}");
        assert_eq!(scene.stored().await, 3, "{fault:?}");
    }
}

#[tokio::test]
async fn who_hangs_up_during_a_stall_is_not_applied_before_and_is_after() {
    let forever = 600_000;
    for (fault, stored) in
        [(Fault::StallBefore { milliseconds: forever }, 0), (Fault::StallAfter { milliseconds: forever }, 1)]
    {
        let scene = Scene::with(fault.clone()).await;
        tokio::select! {
            answer = scene.put("a") => panic!("{answer:?}"),
            // until the call has reached the point where it stalls
            () = until(async || scene.proxy.requests() == 1 && scene.stored().await == stored) => {}
        }
        assert_eq!(scene.stored().await, stored, "{fault:?}");
    }
}

async fn until(condition: impl AsyncFn() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap();
}

#[tokio::test]
async fn a_fault_sticks_to_its_item_and_leaves_the_others_alone() {
    let scene = Scene::with(Fault::Truncated).await;
    let error = Fault::Error { code: ErrorCode::InternalServerError, reasons: Vec::new() };
    scene.proxy.set_plan(Plan::new(0, vec![Chance::always(Target::text("7"), error)]).unwrap());
    for _ in 0..3 {
        assert!(
            matches!(scene.put_batch(5..10).await, Err(CallError::Refused { code, .. }) if code == "InternalServerError")
        );
    }
    scene.put_batch(8..10).await.unwrap();
    assert_eq!(scene.stored().await, 2);
    assert_eq!(scene.proxy.injected(), BTreeMap::from([("InternalServerError", 3)]));
}

#[tokio::test]
async fn a_silent_or_half_dead_connection_answers_never_or_half() {
    for (fault, stored) in [(Fault::Silent, 0), (Fault::HalfAnswer, 1)] {
        let scene = Scene::with(fault.clone()).await;
        tokio::select! {
            answer = scene.put("a") => panic!("{answer:?}"),
            () = until(async || scene.proxy.requests() == 1 && scene.stored().await == stored) => {}
        }
        assert_eq!(scene.stored().await, stored, "{fault:?}");
        let alive =
            Chance::always(Target { one_connection_in: std::num::NonZero::new(1000), ..Target::default() }, fault);
        scene.proxy.set_plan(Plan::new(0, vec![alive]).unwrap());
        scene.put("b").await.unwrap();
    }
}

#[tokio::test]
async fn a_gateway_refuses_with_html_and_applies_nothing() {
    let scene = Scene::with(Fault::GatewayError { status: 413 }).await;
    assert!(matches!(scene.put("a").await, Err(CallError::Unreadable(_))));
    assert_eq!(scene.stored().await, 0);
    let response = raw_post(scene.proxy.address(), "{}").await.unwrap();
    assert!(response.starts_with("HTTP/1.1 413"), "{response}");
}

#[tokio::test]
async fn a_service_with_another_clock_refuses_what_is_signed_by_this_one_and_says_its_time() {
    let scene = Scene::with(Fault::Truncated).await;
    scene.proxy.set_plan(Plan::none().with_clock_ahead(3600));
    let CallError::Refused { code, .. } = scene.put("a").await.unwrap_err() else { panic!("not refused") };
    assert_eq!(code, "InvalidSignatureException");
    let response = raw_post(scene.proxy.address(), "{}").await.unwrap();
    let date = response.lines().find_map(|line| line.strip_prefix("date: ")).unwrap();
    let ahead = httpdate::parse_http_date(date).unwrap().duration_since(std::time::UNIX_EPOCH).unwrap()
        - local::clock::since_epoch();
    assert!(ahead > Duration::from_secs(3500) && ahead <= Duration::from_secs(3600), "{ahead:?}");
}

#[tokio::test]
async fn credentials_of_nobody_are_refused() {
    let scene = Scene::with(Fault::Truncated).await;
    let credentials = CredentialsEndpoint::start(0, Duration::from_secs(60), 0).unwrap();
    scene.proxy.set_plan(Plan::none());
    scene.proxy.require_credentials_of(&credentials);
    // this test's client has no credentials, and its signature has an old date
    let CallError::Refused { code, .. } = scene.put("a").await.unwrap_err() else { panic!("not refused") };
    assert_eq!(code, "InvalidSignatureException");
    assert_eq!(scene.stored().await, 0);
}

#[tokio::test]
async fn the_same_seed_brings_the_same_faults_to_the_same_requests() {
    let throttle = Fault::Error { code: ErrorCode::ThrottlingException, reasons: Vec::new() };
    let faults = vec![
        Chance::new(0.3, throttle),
        Chance::new(0.3, Fault::ResetAfter),
        Chance::new(0.3, Fault::Unprocessed { share: 0.5 }),
    ];
    let plan = Plan::new(42, faults).unwrap();
    let mut runs = Vec::new();
    for _ in 0..2 {
        let scene = Scene::with(Fault::ResetBefore).await;
        scene.proxy.set_plan(plan.clone());
        let mut seen = Vec::new();
        for first in 0..40 {
            seen.push(match scene.put_batch(first * 5..first * 5 + 5).await {
                Ok(answer) => answer.to_string(),
                Err(CallError::Unreachable(_)) => "reset".to_owned(),
                Err(error) => error.to_string(),
            });
        }
        let injected = scene.proxy.injected();
        assert_eq!(injected.keys().copied().collect::<Vec<_>>(), ["ThrottlingException", "reset_after", "unprocessed"]);
        runs.push((seen, injected, scene.stored().await));
    }
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_a_broken_connection() {
    let scene = Scene::with(Fault::Truncated).await;
    scene.proxy.set_plan(Plan::none());
    let Scene { database, proxy, client } = scene;
    drop(database);
    assert!(matches!(client.count("orders").await, Err(CallError::Unreachable(_))));
    assert_eq!(proxy.requests(), 1);
}
