//! Tests of the queue's semantics with simulated time.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::time::Duration;

use bytes::Bytes;
use local::sqs::{Attribute, Delivery, Disorder, InvalidMessage, Message, Queue, Receipt, Settings};
use serde_json::{Value, json};

const NOW: Duration = Duration::from_secs(1_700_000_000);
const VISIBILITY: Duration = Duration::from_secs(180);

fn queue_of(bodies: &[&str]) -> Queue {
    let mut queue = Queue::new(Settings::named("orders"));
    for body in bodies {
        queue.send(Message::text(*body), NOW).unwrap();
    }
    queue
}

fn fifo_of(messages: &[(&str, &str)]) -> Queue {
    let mut queue = Queue::new(Settings::named("orders.fifo"));
    for (group, body) in messages {
        queue.send(Message::text(*body).in_group(*group), NOW).unwrap();
    }
    queue
}

fn records(delivery: &Delivery) -> Vec<Value> {
    let event: Value = serde_json::from_slice(&delivery.event).unwrap();
    event["Records"].as_array().unwrap().clone()
}

fn bodies(delivery: Option<&Delivery>) -> Vec<String> {
    delivery.map(records).unwrap_or_default().iter().map(|record| record["body"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_event_shows_a_message_as_lambda_does() {
    let mut queue = Queue::new(Settings::named("orders"));
    let message = Message::text("hello \"you\"")
        .with("schema", Attribute::String("order/1".into()))
        .with("avro", Attribute::Binary(Bytes::from_static(&[0xC3, 1, 0])));
    let id = queue.send(message, NOW).unwrap();
    let delivery = queue.receive(10, NOW + Duration::from_millis(7)).unwrap();
    let record = &records(&delivery)[0];
    assert_eq!(delivery.receipts[0].message_id, id);
    assert_eq!(
        *record,
        json!({
            "messageId": id,
            "receiptHandle": record["receiptHandle"],
            "body": "hello \"you\"",
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": "1700000000000",
                "SenderId": "AIDALOCALLOCALLOCALLO",
                "ApproximateFirstReceiveTimestamp": "1700000000007",
            },
            "messageAttributes": {
                "schema": {"stringValue": "order/1", "stringListValues": [], "binaryListValues": [], "dataType": "String"},
                "avro": {"binaryValue": "wwEA", "stringListValues": [], "binaryListValues": [], "dataType": "Binary"},
            },
            // from: printf 'hello "you"' | md5sum
            "md5OfBody": "1994c59d30b328294d687f55014b20b5",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:orders",
            "awsRegion": "us-east-1",
        })
    );
    let handle = record["receiptHandle"].as_str().unwrap();
    assert!(handle.len() == 420 && handle.starts_with("AQEB"), "{handle}");
}

#[test]
fn a_fifo_event_names_the_group_and_numbers_its_messages_in_order() {
    let mut queue = fifo_of(&[("one", "a"), ("one", "b")]);
    let delivery = queue.receive(10, NOW).unwrap();
    let attributes: Vec<_> = records(&delivery).into_iter().map(|record| record["attributes"].clone()).collect();
    assert_eq!(attributes[0]["MessageGroupId"], "one");
    assert_eq!(attributes[0]["MessageDeduplicationId"].as_str().unwrap(), delivery.receipts[0].message_id);
    let number = |index: usize| attributes[index]["SequenceNumber"].as_str().unwrap().to_owned();
    assert_eq!(number(0).len(), 20);
    assert!(number(0) < number(1));
}

#[test]
fn a_received_message_is_out_of_sight_until_its_visibility_timeout_is_over() {
    let mut queue = queue_of(&["a"]);
    let first = queue.receive(10, NOW).unwrap();
    assert!(queue.receive(10, NOW + VISIBILITY - Duration::from_millis(1)).is_none());
    assert_eq!(queue.next_visible(), Some(NOW + VISIBILITY));
    let second = queue.receive(10, NOW + VISIBILITY).unwrap();
    assert_eq!((first.receipts[0].receive_count, second.receipts[0].receive_count), (1, 2));
    let (first, second) = (&records(&first)[0], &records(&second)[0]);
    assert_eq!(second["attributes"]["ApproximateReceiveCount"], "2");
    assert_ne!(first["receiptHandle"], second["receiptHandle"]);
    let when = |record: &Value| record["attributes"]["ApproximateFirstReceiveTimestamp"].clone();
    assert_eq!(when(first), when(second));
}

#[test]
fn only_the_latest_receipt_deletes() {
    let mut queue = queue_of(&["a"]);
    let first = queue.receive(10, NOW).unwrap();
    let second = queue.receive(10, NOW + VISIBILITY).unwrap();
    assert!(!queue.delete(&first.receipts[0]));
    assert_eq!(queue.len(), 1);
    assert!(queue.delete(&second.receipts[0]));
    assert!(!queue.delete(&second.receipts[0]));
    assert!(queue.is_empty());
    assert!(queue.receive(10, NOW + 2 * VISIBILITY).is_none());
}

#[test]
fn a_receipt_outlives_the_visibility_timeout_on_a_standard_queue_only() {
    let mut standard = queue_of(&["a", "b"]);
    let late = standard.receive(1, NOW).unwrap();
    assert_eq!(bodies(standard.receive(1, NOW).as_ref()), ["b"]);
    // receiving zero messages makes both visible again
    assert!(standard.receive(0, NOW + VISIBILITY).is_none());
    assert!(standard.delete(&late.receipts[0]));
    assert_eq!(bodies(standard.receive(10, NOW + VISIBILITY).as_ref()), ["b"]);

    let mut fifo = fifo_of(&[("one", "a")]);
    let late = fifo.receive(1, NOW).unwrap();
    assert!(fifo.receive(0, NOW + VISIBILITY).is_none());
    assert!(!fifo.delete(&late.receipts[0]));
    assert_eq!(fifo.len(), 1);
}

#[test]
fn a_message_received_too_often_becomes_a_dead_letter() {
    let mut queue = Queue::new(Settings { max_receive_count: 2, ..Settings::named("orders") });
    let id = queue.send(Message::text("a"), NOW).unwrap();
    queue.send(Message::text("b"), NOW).unwrap();
    let delivery = queue.receive(10, NOW).unwrap();
    assert!(queue.delete(&delivery.receipts[1]));
    assert!(queue.receive(10, NOW + VISIBILITY).is_some());
    assert!(queue.dead_letters().is_empty());
    assert!(queue.receive(10, NOW + 2 * VISIBILITY).is_none());
    assert!(queue.is_empty());
    let dead = &queue.dead_letters()[0];
    assert_eq!((&dead.message_id, dead.message.body.as_str(), dead.receive_count), (&id, "a", 2));
}

#[test]
fn a_batch_has_no_more_messages_than_asked_for() {
    let mut queue = queue_of(&["a", "b", "c"]);
    assert_eq!(bodies(queue.receive(2, NOW).as_ref()), ["a", "b"]);
    assert_eq!(bodies(queue.receive(2, NOW).as_ref()), ["c"]);
    assert!(queue.receive(2, NOW).is_none());
}

#[test]
fn an_event_stays_within_six_megabytes_and_loses_nothing_of_what_does_not_fit() {
    let mut queue = Queue::new(Settings::named("orders"));
    for _ in 0..10 {
        queue.send(Message::text("x".repeat(1024 * 1024)), NOW).unwrap();
    }
    let sizes = std::iter::from_fn(|| queue.receive(10, NOW)).map(|delivery| {
        assert!(delivery.event.len() <= 6 * 1024 * 1024);
        records(&delivery).len()
    });
    assert_eq!(sizes.collect::<Vec<_>>(), [5, 5]);
}

#[test]
fn a_group_with_a_message_out_of_sight_waits_and_the_others_do_not() {
    let mut queue = fifo_of(&[("one", "a"), ("two", "b"), ("one", "c"), ("one", "d"), ("two", "e")]);
    let first = queue.receive(2, NOW).unwrap();
    assert_eq!(bodies(Some(&first)), ["a", "c"], "as many messages of one group as possible");
    let second = queue.receive(10, NOW).unwrap();
    assert_eq!(bodies(Some(&second)), ["b", "e"]);
    assert!(queue.receive(10, NOW).is_none());

    // c failed, so d must wait for it
    assert!(queue.delete(&first.receipts[0]));
    assert!(queue.receive(10, NOW).is_none());
    assert_eq!(bodies(queue.receive(10, NOW + VISIBILITY).as_ref()), ["b", "e", "c", "d"]);
}

#[test]
fn a_group_is_free_again_when_all_it_has_out_of_sight_is_deleted() {
    let mut queue = fifo_of(&[("one", "a"), ("one", "b")]);
    let delivery = queue.receive(1, NOW).unwrap();
    assert!(queue.receive(1, NOW).is_none());
    assert!(queue.delete(&delivery.receipts[0]));
    assert_eq!(bodies(queue.receive(1, NOW).as_ref()), ["b"]);
}

#[test]
fn a_dead_letter_opens_its_group() {
    let mut queue = Queue::new(Settings { max_receive_count: 1, ..Settings::named("orders.fifo") });
    for body in ["a", "b"] {
        queue.send(Message::text(body).in_group("one"), NOW).unwrap();
    }
    assert_eq!(bodies(queue.receive(1, NOW).as_ref()), ["a"]);
    assert_eq!(bodies(queue.receive(1, NOW + VISIBILITY).as_ref()), ["b"]);
    assert_eq!(queue.dead_letters().len(), 1);
}

#[test]
fn a_fifo_queue_wants_a_group_and_a_standard_one_ignores_it() {
    let mut fifo = fifo_of(&[]);
    assert_eq!(fifo.send(Message::text("a"), NOW), Err(InvalidMessage::GroupRequired));
    let mut standard = queue_of(&[]);
    for body in ["a", "b"] {
        standard.send(Message::text(body).in_group("one"), NOW).unwrap();
    }
    assert_eq!(bodies(standard.receive(1, NOW).as_ref()), ["a"]);
    assert_eq!(bodies(standard.receive(1, NOW).as_ref()), ["b"]);
}

#[test]
fn two_queues_do_not_give_the_same_message_ids() {
    let id = |name: &str| Queue::new(Settings::named(name)).send(Message::text("a"), NOW).unwrap();
    assert_ne!(id("orders"), id("payments"));
}

#[test]
fn every_message_of_a_long_group_is_delivered_once() {
    let mut queue = fifo_of(&[]);
    for number in 0..20_000 {
        queue.send(Message::text("a").in_group(["one", "two"][number % 2]), NOW).unwrap();
    }
    let mut delivered = 0;
    while let (Some(one), two) = (queue.receive(10, NOW), queue.receive(10, NOW)) {
        assert!(queue.receive(10, NOW).is_none());
        let receipts = one.receipts.iter().chain(two.iter().flat_map(|delivery| &delivery.receipts));
        delivered += receipts.filter(|receipt| queue.delete(receipt)).count();
    }
    assert_eq!(delivered, 20_000);
}

#[test]
fn a_standard_queue_may_deliver_twice_and_out_of_order_and_loses_nothing() {
    let disorder = Disorder { seed: 7, reach: 20, duplicates: 0.2 };
    let mut queue = Queue::new(Settings { disorder, max_receive_count: 100, ..Settings::named("orders") });
    for number in 0..1000 {
        queue.send(Message::text(number.to_string()), NOW).unwrap();
    }
    let mut delivered = Vec::new();
    let mut received = Vec::new();
    // each event is acknowledged only after the next one has been received
    while let Some(delivery) = queue.receive(10, NOW) {
        delivered.extend(bodies(Some(&delivery)).iter().map(|body| body.parse::<i64>().unwrap()));
        received.push(delivery.receipts);
        if let Some(receipts) = received.len().checked_sub(2).and_then(|last| received.get(last)) {
            acknowledge(&mut queue, receipts);
        }
    }
    received.iter().for_each(|receipts| acknowledge(&mut queue, receipts));
    assert!(queue.is_empty());
    assert!(delivered.len() > 1100, "{} deliveries", delivered.len());
    let mut firsts = Vec::new();
    for number in delivered {
        if !firsts.contains(&number) {
            firsts.push(number);
        }
    }
    assert_eq!(firsts.len(), 1000);
    assert!(!firsts.is_sorted());
    assert!(firsts.iter().zip(0..).all(|(number, place)| (number - place as i64).abs() <= 20));
}

fn acknowledge(queue: &mut Queue, receipts: &[Receipt]) {
    for receipt in receipts {
        // false if the message has been redelivered since, in which case the later receipt deletes it
        queue.delete(receipt);
    }
}
