//! Tests of connections that all stop responding at once while new ones work, as in a failover of a gateway or load balancer.

use super::{database, event, invoke, returned, settings};
use local::dynamodb::Embedded;
use local::faults::{Plan, Proxy};
use local::lambda::{Function, Invocation, Settings};
use serde_json::{Value, json};
use std::time::Duration;

/// Number of connections in the pool when they stop responding.
const CONNECTIONS: u64 = 50;
/// Timeout of a call, plus a margin for a busy machine.
const ONE_TIMEOUT: Duration = Duration::from_millis(3_500);
/// Maximum duration of an invocation that no call delays.
const PROMPT: Duration = Duration::from_millis(1_500);

fn through(proxy: &Proxy, database: &Embedded) -> Settings {
    let mut settings = settings(database);
    let connections = CONNECTIONS.to_string();
    for (name, value) in [
        ("AWS_ENDPOINT_URL_DYNAMODB", proxy.url()),
        ("MIN_IN_FLIGHT", connections.clone()),
        ("MAX_IN_FLIGHT", connections),
    ] {
        settings.environment.insert(name.into(), value);
    }
    settings
}

/// An event with one message, from a FIFO queue if `fifo` is set.
fn one_message(number: usize, fifo: bool) -> Value {
    let mut record = event("orders.json")["Records"][number].clone();
    if fifo {
        record["eventSourceARN"] = json!("arn:aws:sqs:us-east-1:123456789012:orders.fifo");
        record["attributes"]["MessageGroupId"] = json!("g");
        record["attributes"]["SequenceNumber"] = json!(format!("188494964604676961{number:02}"));
    }
    json!({"Records": [record]})
}

fn slow(invocations: &[Invocation]) -> usize {
    invocations.iter().filter(|invocation| invocation.duration > PROMPT).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_connections_that_die_silently_cost_one_invocation_one_timeout() {
    for fifo in [false, true] {
        let database = database().await;
        let proxy = Proxy::start(0, database.address(), Plan::none()).unwrap();
        let function = Function::start(through(&proxy, &database)).await.unwrap();
        assert_eq!(proxy.connections(), CONNECTIONS, "one connection per concurrent call");
        assert!(returned(&invoke(&function, &one_message(0, fifo)).await).is_empty());

        proxy.kill_connections_silently();
        let mut invocations = Vec::new();
        for number in 0..9 {
            invocations.push(invoke(&function, &one_message(number, fifo)).await);
        }
        let durations: Vec<_> = invocations.iter().map(|invocation| invocation.duration).collect();
        let failed = invocations.iter().filter(|invocation| !returned(invocation).is_empty()).count();
        // an ambiguous write of a FIFO queue is not sent again in the same invocation
        assert_eq!(failed, usize::from(fifo), "{durations:?}");
        assert!(slow(&invocations) <= 1 && durations[0] < ONE_TIMEOUT, "{durations:?}");
    }
}
