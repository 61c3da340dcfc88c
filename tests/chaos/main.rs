//! `make chaos`: 200,000 messages through the real binary, whose database throttles, breaks connections, stalls and
//! returns malformed responses as `plan.json` says, and which is killed and restarted on the way. Nothing may be lost, and nothing may be unaccounted for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

use avro_ingest::avro::WireFormat;
use avro_ingest::encode::{self, Encoder};
use local::dynamodb::{Embedded, Table};
use local::faults::{Plan, Proxy};
use local::lambda::{Function, Settings};
use local::mapping::Mapping;
use local::sqs::{self, Message, Queue};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

const TABLE: &str = "processed_messages";
const MESSAGES: usize = 200_000;
/// One in so many messages can never be stored.
const POISON_EVERY: usize = 1_000;
/// One in so many invocations ends with the process being killed.
const KILL_EVERY: usize = 97;

fn order(number: usize) -> Value {
    json!({
        "order_id": format!("order-{number}"),
        "customer_id": format!("customer-{}", number * 7 % 1_000),
        "items": [{"product_id": "sku", "quantity": i32::try_from(number % 9).unwrap(), "price": 9.99}],
        "total_amount": 9.99,
        "timestamp": 1_700_000_000_000_i64 + i64::try_from(number).unwrap(),
    })
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: make chaos"]
async fn nothing_is_lost_and_nothing_is_unaccounted_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let plan: Plan =
        serde_json::from_str(&std::fs::read_to_string(root.join("tests/chaos/plan.json")).unwrap()).unwrap();
    let database = Embedded::start(0).unwrap();
    database.client().create_table(&Table::keyed_by(TABLE, "message_id")).await.unwrap();
    let proxy = Proxy::start(0, database.address(), plan).unwrap();

    let mut settings = Settings::new(env!("CARGO_BIN_EXE_avro-ingest"));
    let schemas = root.join("schemas").display().to_string();
    for (name, value) in [("TABLE_NAME", TABLE), ("SCHEMA_DIR", &schemas), ("AWS_ENDPOINT_URL_DYNAMODB", &proxy.url())]
    {
        settings.environment.insert(name.into(), value.into());
    }
    let functions = [Function::start(settings.clone()).await.unwrap(), Function::start(settings).await.unwrap()];

    // a good message may come back often: only poison may end as a dead letter
    let mut queue = Queue::new(sqs::Settings { max_receive_count: 100, ..sqs::Settings::named("orders") });
    let encoder = Encoder::of_subject(&root.join("schemas"), "order").unwrap();
    let mut poison = BTreeSet::new();
    for number in 0..MESSAGES {
        let mut body = encoder.frame(WireFormat::SingleObject, &order(number)).unwrap();
        let is_poison = number % POISON_EVERY == 0;
        if is_poison {
            body.truncate(body.len() - 3);
        }
        let id = queue.send(Message::text(encode::body(&body)), local::clock::since_epoch()).unwrap();
        if is_poison {
            poison.insert(id);
        }
    }

    let mapping = Mapping { batch_size: 100, timeout: Duration::from_secs(10) };
    let mut kills = 0;
    let totals = mapping
        .drain(&mut queue, &functions, |totals, _| {
            if totals.invocations() % KILL_EVERY == 0 {
                functions[totals.invocations() % functions.len()].kill();
                kills += 1;
            }
        })
        .await;

    let dead: BTreeSet<String> = queue.dead_letters().iter().map(|letter| letter.message_id.clone()).collect();
    assert_eq!(dead, poison, "poison, all of it and nothing else, is dead-lettered");
    assert_eq!(totals.acknowledged, MESSAGES - poison.len());
    assert_eq!(totals.remaining, 0);

    let mut items: BTreeMap<String, Value> = BTreeMap::new();
    for item in database.client().scan(TABLE).await.unwrap() {
        items.insert(item["message_id"]["S"].as_str().unwrap().to_owned(), item["data"]["M"].clone());
    }
    assert_eq!(items.len(), MESSAGES - poison.len(), "every acknowledged message is there, and nothing else");
    for number in (0..MESSAGES).filter(|number| number % POISON_EVERY != 0) {
        let item = &items[&format!("order-{number}")];
        assert_eq!(item["timestamp"]["N"], order(number)["timestamp"].to_string(), "order {number}");
        assert_eq!(item["customer_id"]["S"], order(number)["customer_id"], "order {number}");
    }
    println!(
        "{MESSAGES} messages, {} deliveries, {} invocations, {kills} kills, {:?} in {:.0} s",
        totals.delivered,
        totals.invocations(),
        totals.failed_invocations,
        totals.elapsed.as_secs_f64()
    );
    println!("faults {:?} of {} requests", proxy.injected(), proxy.requests());
    let lines = functions.iter().flat_map(Function::take_output);
    let figures = lines.filter_map(|line| serde_json::from_str::<Value>(&line.text).ok());
    let (mut seen, mut imbalance) = (0_u64, 0.0);
    for figures in figures.filter(|line| line.get("MessagesReceived").is_some()) {
        seen += 1;
        imbalance += figures["LedgerImbalance"].as_f64().unwrap();
    }
    assert!(seen > 0, "the function's metrics are read");
    assert!(imbalance.abs() < f64::EPSILON, "the ledger balances in each of {seen} invocations");
}
