//! Tests of the visibility timeouts of returned messages, with a queue that accepts changes and one that does not.

use super::*;
use local::faults::{Plan, Proxy};
use local::mapping::{Mapping, Totals};
use local::sqs::{Message, Queue};
use local::{clock, sqs};

/// Returns a queue endpoint for `queue`, and a proxy for it with `faults`.
fn endpoint_of(queue: &Queue, faults: &Value) -> (Endpoint, Proxy) {
    let endpoint = Endpoint::start(0, "none").unwrap();
    endpoint.change_visibility_of(queue);
    let plan: Plan = serde_json::from_value(json!({"seed": 1, "faults": faults})).unwrap();
    let proxy = Proxy::start(0, endpoint.address(), plan).unwrap();
    (endpoint, proxy)
}

fn with_backoff(mut settings: Settings, sqs: &Proxy, seconds: &str) -> Settings {
    let variables = [("AWS_ENDPOINT_URL_SQS", sqs.url()), ("RETURN_BACKOFF_SECONDS", seconds.to_owned())];
    settings.environment.extend(variables.map(|(name, value)| (name.to_owned(), value)));
    settings
}

fn queue_of(name: &str, bodies: &[(&str, &str)]) -> Queue {
    let mut queue = Queue::new(sqs::Settings::named(name));
    for (group, body) in bodies {
        queue.send(Message::text(*body).in_group(*group), clock::since_epoch()).unwrap();
    }
    queue
}

/// Receives one event and invokes the function with it. Returns the number of seconds until the next message becomes visible,
/// and the metrics `VisibilityChanged` and `VisibilityFailed`.
async fn after_one_receive(queue: &mut Queue, settings: Settings, timeout: Duration) -> (u64, [Value; 2]) {
    let function = Function::start(settings).await.unwrap();
    let delivery = queue.receive(10, clock::since_epoch()).unwrap();
    function.invoke(delivery.event, timeout).await;
    let (metrics, _) = output(function).await;
    let now = clock::since_epoch();
    queue.receive(0, now);
    let back = queue.next_visible().map_or(0, |visible| (visible - now).as_secs_f64().ceil() as u64);
    (back, ["VisibilityChanged", "VisibilityFailed"].map(|name| metrics[0][name].clone()))
}

/// Settings for a function that finds no database at `endpoint`, so that every write fails for a temporary cause.
async fn without_database(endpoint: String) -> Settings {
    let database = database().await;
    let mut settings = settings(&database);
    settings.environment.insert("AWS_ENDPOINT_URL_DYNAMODB".into(), endpoint);
    settings
}

fn order() -> String {
    event("orders.json")["Records"][0]["body"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_time_cures_comes_back_after_the_backoff_and_not_after_the_visibility_timeout() {
    let (timeout, order) = (Duration::from_secs(3), order());
    let bodies = [("g", order.as_str()), ("g", "poison"), ("g", order.as_str())];
    let (silent, closed) = (silent().await, "http://127.0.0.1:9".to_owned());
    for (name, endpoint, seconds, back, changed) in [
        ("orders", &silent, "1", 1, 3),
        ("orders.fifo", &closed, "5", 5, 3),
        // the write is ambiguous, so the group must stay invisible until it can no longer take effect
        ("orders.fifo", &silent, "5", 180, 0),
        ("orders", &silent, "0", 180, 0),
    ] {
        let mut queue = queue_of(name, &bodies);
        let (_endpoint, proxy) = endpoint_of(&queue, &json!([]));
        let settings = with_backoff(without_database(endpoint.clone()).await, &proxy, seconds);
        let (first_back, figures) = after_one_receive(&mut queue, settings, timeout).await;
        // in a standard queue the poison message is visible immediately; in a group it becomes visible together with the others
        let expected = if name == "orders" && seconds == "1" { 0..=1 } else { back / 2..=back };
        assert!(expected.contains(&first_back), "{name}: {first_back} s with a backoff of {seconds} s");
        assert_eq!(figures, [json!(changed), json!(0)], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_is_dead_lettered_without_any_wait_and_a_good_message_is_not_touched() {
    let order = order();
    let mut queue = queue_of("orders", &[("g", &order), ("g", "poison")]);
    let (_endpoint, proxy) = endpoint_of(&queue, &json!([]));
    let database = database().await;
    let function = Function::start(with_backoff(settings(&database), &proxy, "1")).await.unwrap();
    let mapping = Mapping { batch_size: 10, timeout: TIMEOUT };
    let now = clock::since_epoch();
    let Totals { acknowledged, dead_lettered, .. } = mapping.drain(&mut queue, &[function], |_, _| ()).await;
    assert_eq!((acknowledged, dead_lettered), (1, 1));
    let waited = queue.receive(1, now).is_some();
    assert!(!waited && queue.is_empty());
    assert_eq!(proxy.requests(), 5, "one change per receive");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_cannot_be_told_costs_a_second_and_loses_nothing() {
    let timeout = Duration::from_secs(10);
    let bodies: Vec<_> = (0..10).map(|_| ("g", "poison")).collect();
    let silent = json!([{"probability": 1.0, "fault": "silent"}]);
    let refusing = json!([{"probability": 1.0, "fault": {"error": {"code": "ServiceUnavailable"}}}]);
    for faults in [silent, refusing] {
        let mut queue = queue_of("orders", &bodies);
        let (_endpoint, proxy) = endpoint_of(&queue, &faults);
        let database = database().await;
        let started = std::time::Instant::now();
        let settings = with_backoff(settings(&database), &proxy, "1");
        let (back, figures) = after_one_receive(&mut queue, settings, timeout).await;
        assert!((170..=180).contains(&back), "{back} s instead of the queue's own timeout");
        assert_eq!(figures, [json!(0), json!(10)], "{faults}");
        assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    }
}

/// Returns the P99 of the time from first receive to stored for orders whose table throttles every call for the first seconds.
async fn latency_under_a_throttle(backoff: &str) -> Duration {
    const THROTTLED_FOR: Duration = Duration::from_secs(5);
    let order = order();
    let mut queue = queue_of("orders", &[("g", order.as_str()); 40]);
    let (_endpoint, sqs) = endpoint_of(&queue, &json!([]));
    let database = database().await;
    let throttles = json!([{"probability": 1.0, "fault": {"error": {"code": "ThrottlingException"}}}]);
    let plan = |faults: &Value| -> Plan { serde_json::from_value(json!({"seed": 1, "faults": faults})).unwrap() };
    let dynamodb = Proxy::start(0, database.address(), plan(&throttles)).unwrap();
    let mut settings = with_backoff(settings(&database), &sqs, backoff);
    settings.environment.insert("AWS_ENDPOINT_URL_DYNAMODB".into(), dynamodb.url());
    let function = Function::start(settings).await.unwrap();
    let mapping = Mapping { batch_size: 10, timeout: Duration::from_secs(2) };
    let heal = async {
        tokio::time::sleep(THROTTLED_FOR).await;
        dynamodb.set_plan(plan(&json!([])));
        std::future::pending::<()>().await;
    };
    let functions = [function];
    let totals = tokio::select! {
        totals = mapping.drain(&mut queue, &functions, |_, _| ()) => totals,
        () = heal => unreachable!("it never completes"),
    };
    assert_eq!((totals.acknowledged, totals.dead_lettered), (40, 0));
    totals.latency(99).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_throttle_returned_is_stored_in_a_tenth_of_the_time() {
    let (with, without) = tokio::join!(latency_under_a_throttle("1"), latency_under_a_throttle("0"));
    println!("P99 from first receive to stored: {with:.1?} with a backoff of 1 s, {without:.1?} without");
    assert!(with * 10 < without, "{with:?} with the backoff, {without:?} without");
}
