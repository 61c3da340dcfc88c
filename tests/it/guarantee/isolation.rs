//! Tests that a problem of one item, table or group does not delay or fail others.

use super::messages::{AUDIT, ORDERS, Sent, Subject, Write, in_group, state_of, write_of};
use super::{good, handler, healthy, invoke, noted};
use crate::support::fake_dynamodb::{FakeDynamoDb, Faults, StickyFault};
use crate::support::fake_sqs::{FakeSqs, QueueFaults};
use crate::support::figures;
use avro_ingest::invocation::Context;
use avro_ingest::invocation::Memory;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

fn key(id: &str) -> String {
    json!({"id": {"S": id}}).to_string()
}

#[tokio::test(start_paused = true)]
async fn an_item_that_always_fails_costs_its_neighbours_nothing_whatever_the_failure() {
    for fault in StickyFault::OF_ITEMS {
        let table = healthy();
        table.stick("o7", fault);
        let handler = handler(&table, 49);
        let batch: Vec<Sent> = (0..25).map(good).collect();
        let (returned, figures) = invoke(&handler, &batch, "standard").await;
        assert_eq!(returned, BTreeSet::from(["m7".to_owned()]), "{fault:?}");
        assert_eq!(table.count(), 24, "{fault:?}");
        assert_eq!(figures["MessagesRejected"], 0, "{fault:?}: a retry may still store it");
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_table_does_not_hold_up_a_healthy_one() {
    let table = healthy();
    table.stick(AUDIT, StickyFault::Throttled);
    let handler = handler(&table, 3);
    let of = |subject: Subject, number: usize| {
        let id = format!("{}{number}", subject.name());
        Sent::single(&id, write_of(subject, &id, 0, "note"))
    };
    let mut batch: Vec<Sent> = (0..200).map(|number| of(Subject::Audit, number)).collect();
    batch.extend((0..200).map(|number| of(Subject::Plain, number)));
    let (returned, figures) = invoke(&handler, &batch, "standard").await;
    assert_eq!(returned.len(), 200);
    assert!(returned.iter().all(|id| id.starts_with("audit")));
    // the healthy table needs eight calls, and none of them waits for the other table
    let written = table.written();
    assert_eq!(written.iter().filter(|written| written.table == ORDERS).count(), 200);
    assert!(figures["ThrottlesTable"].as_u64().unwrap() > 0);
}

#[tokio::test(start_paused = true)]
async fn first_attempts_go_before_repeated_ones() {
    let table = healthy();
    table.stick("o0", StickyFault::Silent);
    // one call at a time
    let handler = handler(&table, 0);
    let batch: Vec<Sent> = (0..500).map(good).collect();
    let started = Instant::now();
    let (returned, _) = invoke(&handler, &batch, "standard").await;
    assert!(returned.contains("m0"));
    let stored_first = table.written().iter().take(475).filter(|written| written.table == ORDERS).count();
    assert_eq!(stored_first, 475, "first attempts precede the retry of the silent call");
    assert!(returned.len() <= 25 && started.elapsed() > Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_stored_version_of_another_type_is_overwritten_and_never_acknowledged_as_newer() {
    for stored in [json!({"NULL": true}), json!({"S": "9"}), json!({"BOOL": true})] {
        let table = healthy();
        table.preset(ORDERS, json!({"id": {"S": "a"}, "data": {"M": {"version": stored, "note": {"S": "old"}}}}));
        let handler = handler(&table, 1);
        let batch = [Sent::single("m", write_of(Subject::Versioned, "a", 1, "new"))];
        let (returned, _) = invoke(&handler, &batch, "standard").await;
        let there = state_of(table.item(ORDERS, &key("a")).as_ref());
        assert_eq!(there, Some((Some(1), "new".to_owned())), "{stored}");
        assert!(returned.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn put_three_and_delete_five_leave_nothing_in_any_run() {
    for seed in 0..200 {
        let table = FakeDynamoDb::new(&["id"], Faults::default(), seed);
        let handler = handler(&table, seed);
        let delete = Write { delete: true, ..write_of(Subject::Versioned, "a", 5, "") };
        let batch = [Sent::single("put", write_of(Subject::Versioned, "a", 3, "note")), Sent::single("delete", delete)];
        let (returned, _) = invoke(&handler, &batch, "standard").await;
        assert!(returned.is_empty());
        assert_eq!(table.item(ORDERS, &key("a")), None, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_poison_message_blocks_nothing_of_its_group() {
    let table = healthy();
    let handler = handler(&table, 1);
    let batch: Vec<Sent> = (0..10)
        .map(|number| in_group(if number % 3 == 0 { noted(number, "poison") } else { good(number) }, "g"))
        .collect();
    let (returned, _) = invoke(&handler, &batch, "queue.fifo").await;
    let poison: BTreeSet<String> = [0, 3, 6, 9].map(|number| format!("m{number}")).into();
    assert_eq!(returned, poison);
    assert_eq!(table.count(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_fails_is_blocked_and_holds_up_no_other_group() {
    for fault in StickyFault::OF_ITEMS {
        let table = healthy();
        table.stick("o0", fault);
        let handler = handler(&table, 1);
        let batch: Vec<Sent> =
            (0..10).map(|number| in_group(good(number), if number < 2 { "failing" } else { "healthy" })).collect();
        let (returned, _) = invoke(&handler, &batch, "queue.fifo").await;
        assert_eq!(returned, ["m0", "m1"].map(str::to_owned).into(), "{fault:?}");
        assert_eq!(table.count(), 8, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_condition_without_the_stored_item_acknowledges_nothing() {
    let table = healthy();
    table.stick("a", StickyFault::ConditionFailed);
    let handler = handler(&table, 1);
    let (returned, _) =
        invoke(&handler, &[Sent::single("m", write_of(Subject::Versioned, "a", 1, "new"))], "standard").await;
    assert_eq!(returned, BTreeSet::from(["m".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_hot_partition_does_not_shrink_the_limit_of_its_table() {
    let table = healthy();
    table.stick("o7", StickyFault::HotPartition);
    let handler = handler(&table, 49);
    let batch: Vec<Sent> = (0..100).map(good).collect();
    let (returned, figures) = invoke(&handler, &batch, "standard").await;
    assert_eq!(returned.len(), 1);
    // the sum over two tables, each with at least its initial limit
    assert!(figures["WriteLimit"].as_u64().unwrap() >= 8, "{}", figures["WriteLimit"]);
    assert!(figures["ThrottlesHotPartition"].as_u64().unwrap() > 2);
}

#[tokio::test(start_paused = true)]
async fn an_item_that_always_fails_leaves_time_to_the_chunks_behind_its_own() {
    for fault in StickyFault::OF_ITEMS {
        let table = healthy();
        table.stick("o0", fault);
        // the memory is so small that the event is processed in four chunks
        let handler = handler(&table, 49).with_memory(Memory::new(Some(64), 1));
        let large = |number: usize| {
            Sent::single(
                &format!("m{number}"),
                write_of(Subject::Plain, &format!("o{number}"), 0, &"n".repeat(350_000)),
            )
        };
        let batch: Vec<Sent> = (0..40).map(large).collect();
        let (returned, _) = invoke(&handler, &batch, "standard").await;
        // if a call gets no response, a few of its other items are still pending when the chunk's time is up
        let most = if fault == StickyFault::Silent { 4 } else { 1 };
        assert!(returned.contains("m0") && returned.len() <= most, "{fault:?}: {returned:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_whose_calls_fail_is_sent_fewer_at_once() {
    let table = FakeDynamoDb::new(&["id"], Faults { server_error: 100, ..Faults::default() }, 1);
    let handler = handler(&table, 49);
    let batch: Vec<Sent> = (0..100).map(good).collect();
    let (returned, figures) = invoke(&handler, &batch, "standard").await;
    assert_eq!(returned.len(), 100);
    // the sum over two tables, one of which keeps its initial limit
    assert!(figures["WriteLimit"].as_u64().unwrap() < 8, "{}", figures["WriteLimit"]);
}

#[tokio::test(start_paused = true)]
async fn items_that_come_back_unprocessed_are_written_again_in_the_same_invocation() {
    let table = FakeDynamoDb::new(&["id"], Faults { unprocessed: 60, ..Faults::default() }, 1);
    let batch: Vec<Sent> = (0..100).map(good).collect();
    let event = json!({"Records": batch.iter().map(|sent| sent.record("standard")).collect::<Vec<_>>()}).to_string();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let context = Context { deadline: now + Duration::from_secs(25), ..Context::default() };
    let answer = handler(&table, 49).handle(event.as_bytes(), &context).await;
    let figures = figures(std::str::from_utf8(&answer.metrics).unwrap().lines().next().unwrap());
    assert!(figures["UnprocessedItems"].as_u64().unwrap() > 0, "{}", figures["UnprocessedItems"]);
    assert_eq!(answer.response.unwrap().failures().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn calls_that_the_deadline_cuts_short_do_not_shrink_the_limit() {
    let table = FakeDynamoDb::new(&["id"], Faults { stall: 100, ..Faults::default() }, 1);
    let batch: Vec<Sent> = (0..100).map(good).collect();
    let event = json!({"Records": batch.iter().map(|sent| sent.record("standard")).collect::<Vec<_>>()}).to_string();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    // the deadline precedes the timeout of any call
    let context = Context { deadline: now + Duration::from_millis(1_500), ..Context::default() };
    let answer = handler(&table, 49).handle(event.as_bytes(), &context).await;
    assert_eq!(answer.response.unwrap().failures().count(), 100);
    let figures = figures(std::str::from_utf8(&answer.metrics).unwrap().lines().next().unwrap());
    assert_eq!((table.calls(), &figures["WriteLimit"]), (4, &json!(8)), "two tables, each with its initial limit");
}

#[tokio::test(start_paused = true)]
async fn a_quarantine_queue_that_takes_no_calls_of_several_has_each_message_once() {
    let (table, queue) = (healthy(), FakeSqs::new(QueueFaults { largest_call: Some(1), ..QueueFaults::default() }, 1));
    let handler = super::handler_of(&table, 1, Some(queue.quarantine()), |most| most / 2);
    let batch: Vec<Sent> = (0..4).map(|number| noted(number, "poison")).collect();
    let (returned, figures) = invoke(&handler, &batch, "standard").await;
    assert_eq!((returned.len(), &figures["MessagesQuarantined"]), (0, &json!(4)));
    assert_eq!(queue.taken().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn of_two_writes_of_one_version_the_later_one_stays() {
    for seed in 0..20 {
        let table = FakeDynamoDb::new(&["id"], Faults { server_error: 50, ..Faults::default() }, seed);
        let note = |number: usize| format!("note {number}");
        let batch: [Sent; 3] = std::array::from_fn(|number| {
            Sent::single(&format!("m{number}"), write_of(Subject::Versioned, "a", 5, &note(number)))
        });
        let (returned, _) = invoke(&handler(&table, seed), &batch, "standard").await;
        assert!(returned.is_empty());
        assert_eq!(state_of(table.item(ORDERS, &key("a")).as_ref()), Some((Some(5), note(2))), "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_of_a_group_that_may_be_applied_late_is_followed_by_nothing() {
    let write = |subject, version, note| write_of(subject, "a", version, note);
    let delete = Write { delete: true, ..write(Subject::Versioned, 5, "") };
    let (last, none) = (Some((Some(0), "last".to_owned())), None);
    for (first, second, stored) in [
        (write(Subject::Plain, 0, "first"), write(Subject::Plain, 0, "last"), last),
        // a deletion does not keep its version
        (write(Subject::Versioned, 3, "first"), delete, none),
        // of two writes with the same version, the later one wins
        (
            write(Subject::Versioned, 5, "first"),
            write(Subject::Versioned, 5, "last"),
            Some((Some(5), "last".to_owned())),
        ),
    ] {
        let batch = [("m0", first), ("m1", second)].map(|(id, write)| in_group(Sent::single(id, write), "g"));
        for faults in [
            Faults { late: 100, ..Faults::default() },
            Faults { gateway: 100, ..Faults::default() },
            Faults { reset_late: 100, ..Faults::default() },
        ] {
            let table = FakeDynamoDb::new(&["id"], faults, 1);
            table.heal_after(1);
            let handler = handler(&table, 1);
            let (returned, _) = invoke(&handler, &batch, "queue.fifo").await;
            assert_eq!(returned, ["m0", "m1"].map(str::to_owned).into());
            // the late write of the first delivery has been applied by now, before the second delivery
            tokio::time::sleep(Duration::from_secs(60)).await;
            let (returned, _) = invoke(&handler, &batch, "queue.fifo").await;
            assert!(returned.is_empty());
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!(state_of(table.item(ORDERS, &key("a")).as_ref()), stored);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_never_sent_is_made_again_in_the_order_of_its_group() {
    for queue in ["standard", "queue.fifo"] {
        for subject in [Subject::Plain, Subject::Versioned] {
            let table = FakeDynamoDb::new(&["id"], Faults { refused: 100, ..Faults::default() }, 1);
            table.heal_after(3);
            let write = |note| write_of(subject, "a", 1, note);
            let batch = [("m0", write("first")), ("m1", Write { delete: true, ..write("") }), ("m2", write("last"))];
            let batch = batch.map(|(id, write)| in_group(Sent::single(id, write), "g"));
            let (returned, figures) = invoke(&handler(&table, 1), &batch, queue).await;
            assert!(returned.is_empty(), "{queue}");
            let latency = &figures["WriteLatency"];
            let counts =
                latency["Counts"].as_array().map(|counts| counts.iter().filter_map(serde_json::Value::as_u64).sum());
            assert_eq!(
                counts.unwrap_or(1),
                table.calls() as u64 - 3,
                "only calls that were sent are counted: {latency}"
            );
            assert_eq!(state_of(table.item(ORDERS, &key("a")).as_ref()).map(|(_, note)| note), Some("last".to_owned()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_unversioned_deletion_stands_for_does_not_wait_for_its_messages_other_items() {
    let put = |message, id, version, note| Sent::single(message, write_of(Subject::Versioned, id, version, note));
    let delete = |id: &str| Write { delete: true, version: None, ..write_of(Subject::Versioned, id, 0, "") };
    let deletions = Sent::container("m1", Subject::Versioned, vec![delete("a"), delete("silent")]);
    let batch =
        [put("m0", "a", 1, "first"), deletions, put("m2", "a", 2, "last"), put("m3", "silent", 2, "never stored")];
    let table = healthy();
    table.stick("silent", StickyFault::Silent);
    let (returned, _) = invoke(&handler(&table, 1), &batch, "standard").await;
    assert_eq!(returned, BTreeSet::from(["m1".to_owned(), "m3".to_owned()]));
    assert_eq!(state_of(table.item(ORDERS, &key("a")).as_ref()), Some((Some(2), "last".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_version_that_may_be_applied_late_is_not_followed_by_a_deletion_of_another_group() {
    let put = in_group(Sent::single("m0", write_of(Subject::Versioned, "a", 3, "late")), "g");
    let delete = Write { delete: true, ..write_of(Subject::Versioned, "a", 5, "") };
    let batch = [put, in_group(Sent::single("m1", delete), "h")];
    let table = FakeDynamoDb::new(&["id"], Faults { late: 100, ..Faults::default() }, 1);
    table.heal_after(1);
    let handler = handler(&table, 1);
    for returned in [2, 0] {
        assert_eq!(invoke(&handler, &batch, "queue.fifo").await.0.len(), returned);
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    assert_eq!(table.item(ORDERS, &key("a")), None);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_no_key_of_the_table_is_the_operators_and_rejects_nothing() {
    let table = FakeDynamoDb::new(&["pk"], Faults::default(), 1);
    let handler = handler(&table, 1);
    let batch: Vec<Sent> = (0..60).map(good).collect();
    let (returned, figures) = invoke(&handler, &batch, "standard").await;
    assert_eq!((returned.len(), &figures["MessagesRejected"]), (60, &json!(0)));
    assert!(table.calls() < 120, "{} calls", table.calls());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_panics_keeps_no_room_from_the_others() {
    super::silence_planned_panics();
    let table = FakeDynamoDb::new(&["id"], Faults { panic: 100, ..Faults::default() }, 1);
    // the bodies of the first calls, which panic, use up the whole limit of bytes in flight
    table.heal_after(4);
    let handler = handler(&table, 49);
    let large = |number: usize| {
        let note = "n".repeat(350_000);
        Sent::single(&format!("m{number}"), write_of(Subject::Plain, &format!("o{number}"), 0, &note))
    };
    let batch: Vec<Sent> = (0..250).map(large).collect();
    let started = Instant::now();
    let (returned, _) = invoke(&handler, &batch, "standard").await;
    assert!(returned.len() <= 4 * 25, "items of other calls were returned: {}", returned.len());
    assert!(started.elapsed() < Duration::from_secs(20), "later calls waited: {:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_message_that_fills_a_chunk_has_the_time_to_be_written_before_many_others() {
    let table = healthy();
    let handler = handler(&table, 49).with_memory(Memory::new(Some(64), 1));
    // each needs more than half of the memory, and therefore a chunk of its own
    let large = |number: usize| {
        let note = "n".repeat(600);
        let item = |place: usize| write_of(Subject::Plain, &format!("large{number}.{place}"), 0, &note);
        Sent::container(&format!("large{number}"), Subject::Plain, (0..3_000).map(item).collect())
    };
    let mut batch: Vec<Sent> = (0..2).map(large).collect();
    batch.extend((0..500).map(good));
    let (returned, _) = invoke(&handler, &batch, "standard").await;
    assert!(returned.is_empty(), "{returned:?}");
}

/// Runs in real time, because decoding is slow.
#[tokio::test]
async fn messages_that_are_slow_to_decode_leave_the_time_to_write_those_before_them() {
    let table = healthy();
    let handler = handler(&table, 49);
    let item = |number: usize| write_of(Subject::Plain, &format!("slow{number}"), 0, "n");
    let slow = Sent::container("slow", Subject::Plain, (0..9_000).map(item).collect());
    // each body has an invalid end, so that the message has no items
    let body = format!("{}AAAA", slow.body.trim_end_matches('=').get(..slow.body.len() / 4 * 4 - 4).unwrap());
    let mut batch: Vec<Sent> = (0..3).map(good).collect();
    batch.extend((0..300).map(|number| Sent::undecodable(&format!("slow{number}"), &body)));
    let event = json!({"Records": batch.iter().map(|sent| sent.record("standard")).collect::<Vec<_>>()}).to_string();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let context = Context { deadline: now + Duration::from_secs(6), ..Context::default() };
    let answer = handler.handle(event.as_bytes(), &context).await;
    let returned: BTreeSet<String> = answer.response.unwrap().failures().map(str::to_owned).collect();
    assert!(returned.contains("slow299"), "all messages were decoded in time: {}", returned.len());
    assert_eq!(table.count(), 3);
    assert!((0..3).all(|number| !returned.contains(&format!("m{number}"))));
}

#[tokio::test(start_paused = true)]
async fn a_silent_quarantine_queue_costs_an_event_of_many_chunks_one_call() {
    let (table, queue) = (healthy(), FakeSqs::new(QueueFaults { silent: 100, ..QueueFaults::default() }, 1));
    let handler = super::handler_of(&table, 49, Some(queue.quarantine()), |most| most / 2);
    let handler = handler.with_memory(Memory::new(Some(64), 1));
    let note = "n".repeat(350_000);
    let mut batch: Vec<Sent> = (0..80).map(|number| noted(number, &note)).collect();
    batch.extend((80..90).map(|number| noted(number, "poison")));
    (0..8).for_each(|place| batch.insert(place * 10, Sent::undecodable(&format!("bad{place}"), "%%%")));
    let started = Instant::now();
    let (returned, figures) = invoke(&handler, &batch, "standard").await;
    assert_eq!(returned.len(), 18, "{returned:?}");
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
    assert!(figures["WriteTime"].as_f64().unwrap() < 2_000.0, "the write time includes the quarantine: {figures}");
}

#[tokio::test(start_paused = true)]
async fn a_quarantine_queue_that_falls_silent_in_the_middle_of_a_batch_is_not_asked_again() {
    // one call is refused for its size, then two messages are accepted one by one
    let faults = QueueFaults { largest_call: Some(1), silent_after: Some(3), ..QueueFaults::default() };
    let (table, queue) = (healthy(), FakeSqs::new(faults, 1));
    let handler = super::handler_of(&table, 49, Some(queue.quarantine()), |most| most / 2);
    let handler = handler.with_memory(Memory::new(Some(64), 1));
    let mut batch: Vec<Sent> = (0..5).map(|place| Sent::undecodable(&format!("bad{place}"), "%%%")).collect();
    batch.extend((0..80).map(|number| noted(number, &"n".repeat(350_000))));
    // these messages are in other chunks
    (0..5).for_each(|place| batch.insert(20 + place * 10, Sent::undecodable(&format!("later{place}"), "%%%")));
    let started = Instant::now();
    let (returned, _) = invoke(&handler, &batch, "standard").await;
    assert_eq!((returned.len(), queue.taken().len()), (8, 2), "{returned:?}");
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_twice_in_an_event_is_quarantined_once() {
    let (table, queue) = (healthy(), FakeSqs::new(QueueFaults::default(), 1));
    let handler = super::handler_of(&table, 49, Some(queue.quarantine()), |most| most / 2);
    let handler = handler.with_memory(Memory::new(Some(64), 1));
    // one of the repetitions is in another chunk
    let mut batch: Vec<Sent> = (0..20).map(|number| noted(number, &"n".repeat(350_000))).collect();
    let rejected = [Sent::undecodable("bad", "%%%"), noted(99, "poison")];
    for place in [20, 1, 0] {
        rejected.iter().for_each(|sent| batch.insert(place, sent.clone()));
    }
    let event = json!({"Records": batch.iter().map(|sent| sent.record("standard")).collect::<Vec<_>>()}).to_string();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let context = Context { deadline: now + Duration::from_secs(20), ..Context::default() };
    let answer = handler.handle(event.as_bytes(), &context).await;
    assert_eq!(answer.response.unwrap().failures().count(), 0);
    let ids: Vec<_> = queue
        .taken()
        .iter()
        .map(|entry| entry["MessageAttributes"]["source_message_id"]["StringValue"].clone())
        .collect();
    assert_eq!(ids, ["bad", "m99"]);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_the_quarantine_queue_calls_taken_and_refused_is_returned() {
    let (table, queue) = (healthy(), FakeSqs::new(QueueFaults { contradicted: 100, ..QueueFaults::default() }, 1));
    let handler = super::handler_of(&table, 1, Some(queue.quarantine()), |most| most / 2);
    let (returned, _) = invoke(&handler, &[noted(0, "poison")], "standard").await;
    assert_eq!(returned.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn items_that_always_fail_in_each_of_many_chunks_leave_time_to_all_others() {
    let table = healthy();
    let handler = handler(&table, 49).with_memory(Memory::new(Some(64), 1));
    // a control character has six bytes in DynamoDB JSON, so nine such items fill a chunk
    let note = "\u{1}".repeat(75_000);
    let batch: Vec<Sent> = (0..100).map(|number| noted(number, &note)).collect();
    let stuck: BTreeSet<String> = (0..100).step_by(7).map(|number| format!("m{number}")).collect();
    stuck.iter().for_each(|id| table.stick(&id.replace('m', "o"), StickyFault::ServerError));
    let (returned, _) = invoke(&handler, &batch, "standard").await;
    assert_eq!(returned, stuck);
}

#[tokio::test(start_paused = true)]
async fn calls_that_panic_beside_one_without_response_keep_no_room_from_the_others() {
    super::silence_planned_panics();
    let table = FakeDynamoDb::new(&["id"], Faults { panic: 100, ..Faults::default() }, 1);
    table.stick("silent", StickyFault::Silent);
    table.heal_after(3);
    let handler = handler(&table, 49);
    let mut batch: Vec<Sent> = (0..125).map(|number| noted(number, &"n".repeat(350_000))).collect();
    batch.push(Sent::single("silent", write_of(Subject::Audit, "silent", 0, "note")));
    let (returned, _) = invoke(&handler, &batch, "standard").await;
    assert!(returned.len() <= 2 * 25 + 1, "items of other calls were returned: {}", returned.len());
}

/// Invokes the handler with `batch`. Returns the number of returned messages, or the error of the invocation.
async fn answer(table: &FakeDynamoDb, batch: &[Sent], queue: &str) -> Result<usize, String> {
    let event = json!({"Records": batch.iter().map(|sent| sent.record(queue)).collect::<Vec<_>>()}).to_string();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let context = Context { deadline: now + Duration::from_secs(20), ..Context::default() };
    let response = handler(table, 1).handle(event.as_bytes(), &context).await.response;
    response.map(|response| response.failures().count()).map_err(|error| error.to_string())
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_must_fix_at_one_table_is_said_although_another_keeps_the_event_to_its_end() {
    let table = healthy();
    table.stick(AUDIT, StickyFault::AccessDenied);
    table.stick("o0", StickyFault::ServerError);
    let batch = [good(0), Sent::single("audit", write_of(Subject::Audit, "a", 0, "note"))];
    let error = answer(&table, &batch, "standard").await;
    assert!(error.as_ref().is_err_and(|error| error.contains("table audit: AccessDeniedException")), "{error:?}");
    // as long as another item of the table is retried, the error does not fail the invocation
    table.stick("o1", StickyFault::AccessDenied);
    assert_eq!(answer(&table, &[good(0), good(1)], "standard").await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_must_fix_is_said_although_another_group_got_no_response() {
    let table = healthy();
    table.stick("o0", StickyFault::AccessDenied);
    table.stick("o1", StickyFault::Silent);
    let error = answer(&table, &[in_group(good(0), "a"), in_group(good(1), "b")], "queue.fifo").await;
    assert!(error.as_ref().is_err_and(|error| error.contains("table orders: AccessDeniedException")), "{error:?}");
}
