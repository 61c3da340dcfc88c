//! Tests of the event source mapping with a queue and a real process.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::collections::BTreeMap;
use std::num::NonZero;
use std::time::Duration;

use local::clock::since_epoch;
use local::lambda::{Function, Settings};
use local::mapping::{Mapping, Totals};
use local::sqs::{self, Message, Queue};

const MAPPING: Mapping = Mapping { batch_size: 10, timeout: Duration::from_secs(60) };

async fn function() -> Function {
    Function::start(Settings::new(env!("CARGO_BIN_EXE_fixture"))).await.unwrap()
}

async fn drain(queue: &mut Queue, functions: &[Function]) -> Totals {
    MAPPING.drain(queue, functions, |_, _| ()).await
}

fn queue_of(bodies: impl IntoIterator<Item = &'static str>) -> Queue {
    let mut queue = Queue::new(sqs::Settings::named("orders"));
    for body in bodies {
        queue.send(Message::text(body), since_epoch()).unwrap();
    }
    queue
}

#[tokio::test]
async fn a_poisonous_message_is_redelivered_alone_until_it_is_a_dead_letter() {
    let bodies = (0..25).map(|number| if number == 7 { "poison" } else { "good" });
    let mut queue = queue_of(bodies);
    let totals = drain(&mut queue, &[function().await]).await;
    assert_eq!((totals.delivered, totals.redelivered), (25 + 4, 4));
    assert_eq!((totals.acknowledged, totals.dead_lettered, totals.remaining), (24, 1, 0));
    assert_eq!(totals.invocations(), 3 + 4);
    assert_eq!(totals.failed_invocations, BTreeMap::new());
    let dead = &queue.dead_letters()[0];
    assert_eq!((dead.message.body.as_str(), dead.receive_count), ("poison", 5));
}

#[tokio::test]
async fn a_crash_fails_its_whole_batch_and_costs_nothing_else() {
    let mut queue = queue_of(["good", "deadly", "good"]);
    let mut seen = Vec::new();
    let single = Mapping { batch_size: 2, ..MAPPING };
    let totals = single.drain(&mut queue, &[function().await], |totals, _| seen.push(totals.remaining)).await;
    assert_eq!((totals.acknowledged, totals.dead_lettered), (1, 2), "a crash fails all messages of its batch");
    assert_eq!(totals.failed_invocations, BTreeMap::from([("crashed", 5)]));
    assert_eq!(seen, [3, 2, 2, 2, 2, 2]);
}

#[tokio::test]
async fn several_functions_and_concurrent_ones_share_the_work() {
    let settings =
        Settings { max_concurrency: NonZero::new(3).unwrap(), ..Settings::new(env!("CARGO_BIN_EXE_fixture")) };
    let functions = [function().await, Function::start(settings).await.unwrap()];
    let mut queue = queue_of((0..500).map(|_| "good"));
    let totals = drain(&mut queue, &functions).await;
    assert_eq!((totals.delivered, totals.acknowledged, totals.redelivered), (500, 500, 0));
    assert_eq!(totals.invocations(), 50);
    for function in functions {
        assert!(!function.stop().await.is_empty(), "each function received messages");
    }
}

#[tokio::test]
async fn a_group_goes_on_after_its_dead_letter_and_in_order() {
    let mut queue = Queue::new(sqs::Settings::named("orders.fifo"));
    for body in ["a", "poison", "b", "c"] {
        queue.send(Message::text(body).in_group("one"), since_epoch()).unwrap();
    }
    let function = function().await;
    let totals =
        Mapping { batch_size: 1, ..MAPPING }.drain(&mut queue, std::slice::from_ref(&function), |_, _| ()).await;
    assert_eq!((totals.acknowledged, totals.dead_lettered), (3, 1));
    let bodies: Vec<String> = function.stop().await.iter().map(|line| body_of(&line.text)).collect();
    assert_eq!(bodies, ["a", "b", "c"]);
}

fn body_of(record: &str) -> String {
    let record: serde_json::Value = serde_json::from_str(record).unwrap();
    record["body"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn without_a_function_nothing_is_delivered() {
    let mut queue = queue_of(["good"]);
    let totals = drain(&mut queue, &[]).await;
    assert_eq!((totals.delivered, totals.remaining), (0, 1));
}

#[tokio::test]
async fn kills_on_the_way_lose_nothing_and_count_nothing_twice() {
    let functions = [function().await];
    let mut queue = queue_of((0..1000).map(|_| "good"));
    let totals = MAPPING
        .drain(&mut queue, &functions, |totals, _| {
            if totals.invocations() % 5 == 0 {
                functions[0].kill();
            }
        })
        .await;
    assert_eq!(totals.acknowledged + totals.dead_lettered, 1000);
    assert_eq!(totals.delivered, 1000 + totals.redelivered);
    assert_eq!(totals.remaining, 0);
}
