//! Tests that an event that exceeds the memory is written in parts, with the writes of each key in order.

use super::late::visibility;
use super::messages::{Sent, Subject, Write, in_group, write_of};
use super::{handler, handler_over, healthy, invoke, note_of, noted};
use crate::support::fake_dynamodb::{FakeDynamoDb, Faults, StickyFault};
use crate::support::transport::response;
use avro_ingest::invocation::Memory;
use avro_ingest::transport::{HttpTransport, ResponseFuture};
use bytes::Bytes;
use http::Request;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Memory so small that twenty messages of 350 KB need several parts.
fn little() -> Memory {
    Memory::new(Some(64), 1)
}

fn write(subject: Subject, version: i64, note: &str) -> Write {
    write_of(subject, "a", version, note)
}

/// A container of `items` items, each with `characters` characters that take six bytes each in DynamoDB JSON.
fn large(message_id: &str, items: usize, characters: usize) -> Sent {
    let note = "\u{1}".repeat(characters);
    let item = |place: usize| write_of(Subject::Plain, &format!("{message_id}.{place}"), 0, &note);
    Sent::container(message_id, Subject::Plain, (0..items).map(item).collect())
}

/// An event whose first and last messages are in different parts.
fn apart(first: Sent, last: Sent) -> Vec<Sent> {
    let between = (0..20).map(|number| in_group(noted(number, &"n".repeat(350_000)), "between"));
    [first].into_iter().chain(between).chain([last]).collect()
}

#[tokio::test(start_paused = true)]
async fn a_deletion_follows_no_put_of_an_earlier_part_that_may_be_applied_late() {
    for queue in ["standard", "queue.fifo"] {
        let table = FakeDynamoDb::new(&["id"], Faults { late: 100, ..Faults::default() }, 1);
        // the put, and the other items of its part
        table.heal_after(2);
        let set = Arc::default();
        let handler = handler(&table, 49).with_memory(little()).with_visibility(visibility(Arc::clone(&set)));
        let put = in_group(Sent::single("put", write(Subject::Versioned, 3, "late")), "g");
        let deletion = Write { delete: true, ..write(Subject::Versioned, 5, "") };
        let batch = apart(put, in_group(Sent::single("delete", deletion), "h"));
        let (mut returned, _) = invoke(&handler, &batch, queue).await;
        assert!(returned.contains("delete"), "{queue}: {returned:?}");
        let last = (batch.len() - 1).to_string();
        assert!(!set.lock().unwrap().contains_key(&last), "{queue}: the put is still ambiguous");
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(60)).await;
            let again: Vec<Sent> = batch.iter().filter(|sent| returned.contains(&sent.message_id)).cloned().collect();
            returned = invoke(&handler, &again, queue).await.0;
        }
        assert_eq!((returned, note_of(&table, "a")), (BTreeSet::new(), None), "{queue}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_later_write_does_not_go_before_one_of_an_earlier_part_that_comes_again() {
    let (table, busy) = (healthy(), Arc::new(Mutex::new(true)));
    let (behind, is_busy) = (table.clone(), Arc::clone(&busy));
    let respond = move |request: Request<Bytes>| -> ResponseFuture {
        if *is_busy.lock().unwrap() && String::from_utf8_lossy(request.body()).contains("\"old\"") {
            let body = json!({"__type": "x#ThrottlingException", "message": "slow down"}).to_string();
            return Box::pin(async { Ok(response(400, body)) });
        }
        behind.send(request)
    };
    let handler = handler_over(respond).with_memory(little());
    let message = |id: &str| Sent::single(id, write(Subject::Plain, 0, id));
    let batch = apart(message("old"), message("new"));
    let (returned, _) = invoke(&handler, &batch, "standard").await;
    assert!(returned.is_superset(&["old", "new"].map(str::to_owned).into()), "{returned:?}");
    *busy.lock().unwrap() = false;
    let again: Vec<Sent> = batch.iter().filter(|sent| returned.contains(&sent.message_id)).cloned().collect();
    assert!(invoke(&handler, &again, "standard").await.0.is_empty());
    assert_eq!(note_of(&table, "a").as_deref(), Some("new"));
}

#[tokio::test(start_paused = true)]
async fn what_is_stuck_in_an_earlier_part_holds_up_no_good_message_for_its_neighbours_key() {
    let (neighbour, stuck) =
        (write(Subject::Plain, 0, "neighbour"), Write { id: "stuck".to_owned(), ..write(Subject::Plain, 0, "") });
    let in_one = vec![Sent::container("one", Subject::Plain, vec![neighbour.clone(), stuck.clone()])];
    let in_two = vec![Sent::single("first", stuck), Sent::single("behind", neighbour)];
    for fault in [
        StickyFault::Silent,
        StickyFault::Reset,
        StickyFault::ServerError,
        StickyFault::Throttled,
        StickyFault::AccessDenied,
    ] {
        for (queue, earlier) in [("standard", &in_one), ("queue.fifo", &in_one), ("queue.fifo", &in_two)] {
            let table = healthy();
            table.stick("stuck", fault);
            let handler = handler(&table, 49).with_memory(little());
            let last = in_group(Sent::single("last", write(Subject::Plain, 0, "last")), "h");
            let mut batch: Vec<Sent> = earlier.iter().map(|sent| in_group(sent.clone(), "g")).collect();
            batch.extend(apart(batch[0].clone(), last).into_iter().skip(1));
            let (returned, _) = invoke(&handler, &batch, queue).await;
            // In a standard queue, nothing is written after an ambiguous write of the same key. Different groups of a FIFO
            // queue have no order.
            let is_ambiguous = queue == "standard" && matches!(fault, StickyFault::Silent | StickyFault::Reset);
            assert_eq!(returned.contains("last"), is_ambiguous, "{fault:?} {queue}: {returned:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_waits_for_calls_that_are_slow_but_answered() {
    let table = healthy();
    let behind = table.clone();
    let respond = move |request: Request<Bytes>| -> ResponseFuture {
        let behind = behind.clone();
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(1_900)).await;
            behind.send(request).await
        })
    };
    let handler = handler_over(respond).with_memory(little());
    let mut batch: Vec<Sent> = (0..3).map(|part| large(&format!("large{part}"), 9, 60_000)).collect();
    batch.extend((0..300).map(|number| noted(number, "good")));
    let (returned, _) = invoke(&handler, &batch, "standard").await;
    assert!(!returned.iter().any(|id| id.starts_with("large")), "{returned:?}");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_fits_only_without_its_group_is_rejected_for_it_never_comes_without() {
    for (queue, group, is_rejected) in [("queue.fifo", "g", true), ("queue.fifo", "h", false), ("standard", "g", false)]
    {
        let table = healthy();
        let handler = handler(&table, 49).with_memory(Memory::new(Some(128), 1));
        let mut batch = vec![in_group(large("large", 42, 60_000), "g")];
        batch.extend((0..9).map(|number| in_group(noted(number, &"n".repeat(250_000)), group)));
        let (returned, figures) = invoke(&handler, &batch, queue).await;
        assert_eq!(returned, BTreeSet::from(["large".to_owned()]), "{queue} {group}");
        assert_eq!(figures["MessagesRejected"], u64::from(is_rejected), "{queue} {group}");
        assert!(invoke(&handler, &batch[..1], queue).await.0.is_empty(), "the message fits on its own");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_too_large_for_the_memory_even_alone_is_rejected_beside_others_of_its_group() {
    let table = healthy();
    let handler = handler(&table, 49).with_memory(Memory::new(Some(128), 1));
    let mut batch = vec![in_group(large("large", 10, 350_000), "g")];
    batch.extend((0..5).map(|number| in_group(noted(number, "good"), "g")));
    let (returned, figures) = invoke(&handler, &batch, "queue.fifo").await;
    assert_eq!((returned, &figures["MessagesRejected"]), (BTreeSet::from(["large".to_owned()]), &json!(1)));
    assert_eq!(table.count(), 5);
}
