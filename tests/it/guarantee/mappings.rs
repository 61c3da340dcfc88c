//! Tests of a mapping that does not match its table. Each of its items is refused, and an operator must correct it.

use super::messages::{Sent, Subject, in_group, write_of};
use super::{good, handler_of, healthy, invoke, noted};
use crate::support::fake_dynamodb::{FakeDynamoDb, StickyFault};
use crate::support::fake_sqs::{FakeSqs, QueueFaults};
use avro_ingest::invocation::{Context, Handler, InvocationError};
use serde_json::json;
use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;
use tokio::time::Instant;

/// A table, a handler that has not written anything yet, and its quarantine queue.
fn scene() -> (FakeDynamoDb, Handler, FakeSqs) {
    let (table, queue) = (healthy(), FakeSqs::new(QueueFaults::default(), 1));
    let handler = handler_of(&table, 49, Some(queue.quarantine()), |most| most / 2);
    (table, handler, queue)
}

fn refuse(table: &FakeDynamoDb, numbers: Range<usize>, fault: StickyFault) {
    numbers.for_each(|number| table.stick(&format!("o{number}"), fault));
}

fn orders(numbers: Range<usize>) -> Vec<Sent> {
    numbers.map(good).collect()
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_meets_every_item_of_a_new_process_fails_the_invocation_and_rejects_nothing() {
    for count in [25, 300] {
        let (table, handler, queue) = scene();
        refuse(&table, 0..count, StickyFault::IndexKeyMismatch);
        let batch = orders(0..count);
        let (returned, figures) = invoke(&handler, &batch, "standard").await;
        assert_eq!((returned.len(), &figures["MessagesRejected"]), (count, &json!(0)));
        assert_eq!(queue.taken().len(), 0);
        assert!(table.calls() <= 12 + 2 * 25 + 12, "{} calls", table.calls());

        let event = json!({"Records": batch.iter().map(|sent| sent.record("standard")).collect::<Vec<_>>()});
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let context = Context { deadline: now + Duration::from_secs(20), ..Context::default() };
        let answer = handler.handle(event.to_string().as_bytes(), &context).await;
        let Err(InvocationError::Fatal(cause)) = answer.response else { panic!("{:?}", answer.response) };
        for part in ["table orders", "Type mismatch for Index Key city", "dynamodb property"] {
            assert!(cause.contains(part), "{part} in {cause}");
        }

        table.unstick_all();
        assert_eq!(
            invoke(&handler, &batch, "standard").await.0,
            BTreeSet::new(),
            "an operator has corrected the mapping"
        );
        assert_eq!(table.count(), count);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_meets_fewer_than_25_items_is_their_own() {
    let (table, handler, queue) = scene();
    refuse(&table, 0..24, StickyFault::IndexKeyMismatch);
    let (returned, figures) = invoke(&handler, &orders(0..24), "standard").await;
    assert_eq!((returned.len(), &figures["MessagesRejected"]), (0, &json!(24)));
    assert_eq!(queue.taken().len(), 24);
}

#[tokio::test(start_paused = true)]
async fn one_key_that_does_not_fit_the_table_of_a_new_process_is_an_operators() {
    let (table, handler, queue) = scene();
    refuse(&table, 0..1, StickyFault::KeyMismatch);
    assert_eq!(invoke(&handler, &orders(0..1), "standard").await.0.len(), 1);
    assert_eq!(queue.taken().len(), 0);
    assert_eq!(invoke(&handler, &[good(1)], "standard").await.0, BTreeSet::new());
    assert_eq!(invoke(&handler, &orders(0..1), "standard").await.0, BTreeSet::new());
    assert_eq!(queue.taken().len(), 1, "after another item was accepted, the fault is the item's");
}

#[tokio::test(start_paused = true)]
async fn once_an_item_was_accepted_a_refusal_is_each_items_own() {
    let (table, handler, _) = scene();
    refuse(&table, 0..300, StickyFault::IndexKeyMismatch);
    assert_eq!(invoke(&handler, &[good(300)], "standard").await.0, BTreeSet::new());
    let (returned, figures) = invoke(&handler, &orders(0..300), "standard").await;
    assert_eq!((returned.len(), &figures["MessagesRejected"]), (0, &json!(300)));
}

#[tokio::test(start_paused = true)]
async fn one_good_item_of_an_event_clears_the_mapping_before_calls_are_divided() {
    let (table, handler, _) = scene();
    refuse(&table, 0..300, StickyFault::IndexKeyMismatch);
    // the last item is in a separate call, and first attempts precede the halves of bisected calls
    let (returned, figures) = invoke(&handler, &orders(0..301), "standard").await;
    assert_eq!((returned.len(), &figures["MessagesRejected"]), (0, &json!(300)));
}

#[tokio::test(start_paused = true)]
async fn small_batches_add_up_until_a_mappings_mistake_is_certain() {
    let (table, handler, queue) = scene();
    refuse(&table, 0..50, StickyFault::IndexKeyMismatch);
    for (batch, rejected) in [(0..10, 10), (10..20, 10), (20..30, 0), (30..40, 0), (40..41, 0)] {
        let count = batch.len();
        let (returned, figures) = invoke(&handler, &orders(batch.clone()), "standard").await;
        assert_eq!((returned.len(), &figures["MessagesRejected"]), (count - rejected, &json!(rejected)), "{batch:?}");
    }
    assert_eq!(queue.taken().len(), 20);
    table.unstick_all();
    let (returned, _) = invoke(&handler, &orders(20..41), "standard").await;
    assert_eq!(returned, BTreeSet::new(), "an operator has corrected the mapping");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_refused_each_time_it_comes_stays_its_own_mistake() {
    let (table, handler, queue) = scene();
    refuse(&table, 0..1, StickyFault::IndexKeyMismatch);
    for _ in 0..40 {
        assert_eq!(invoke(&handler, &orders(0..1), "standard").await.0, BTreeSet::new());
    }
    assert_eq!(queue.taken().len(), 40);
}

#[tokio::test(start_paused = true)]
async fn a_size_that_meets_every_item_is_each_items_own() {
    let (table, handler, _) = scene();
    refuse(&table, 0..60, StickyFault::TooLarge);
    let (returned, figures) = invoke(&handler, &orders(0..60), "standard").await;
    assert_eq!((returned.len(), &figures["MessagesRejected"]), (0, &json!(60)));
}

#[tokio::test(start_paused = true)]
async fn a_mapping_that_does_not_fit_keeps_no_other_of_its_table_from_being_written() {
    for misfit in [Subject::Twin, Subject::Versioned] {
        let (table, handler, _) = scene();
        let message = |subject: Subject, number: usize| {
            let id = format!("{}{number}", subject.name());
            Sent::single(&id, write_of(subject, &id, 0, "note"))
        };
        let misfits: BTreeSet<String> = (0..100).map(|number| format!("{}{number}", misfit.name())).collect();
        misfits.iter().for_each(|id| table.stick(id, StickyFault::IndexKeyMismatch));
        let both = |number| [message(misfit, number), message(Subject::Plain, number)];
        let batch: Vec<Sent> = (0..100).flat_map(both).collect();
        let (returned, figures) = invoke(&handler, &batch, "standard").await;
        assert_eq!((&returned, &figures["MessagesRejected"]), (&misfits, &json!(0)));
        assert_eq!(table.count(), 100);
    }
}

#[tokio::test(start_paused = true)]
async fn accepted_deletions_are_no_evidence_for_a_mappings_puts() {
    let (table, handler, _) = scene();
    refuse(&table, 0..60, StickyFault::IndexKeyMismatch);
    let delete = |number: usize| {
        let id = format!("d{number}");
        let write = super::messages::Write { delete: true, ..write_of(Subject::Plain, &id, 0, "") };
        Sent::single(&id, write)
    };
    let mut batch: Vec<Sent> = (0..30).map(delete).collect();
    batch.extend(orders(0..60));
    let (returned, figures) = invoke(&handler, &batch, "standard").await;
    assert_eq!((returned.len(), &figures["MessagesRejected"]), (60, &json!(0)));
}

#[tokio::test(start_paused = true)]
async fn a_refused_message_of_a_new_process_holds_up_its_group_no_longer_than_first_attempts_take() {
    let (table, handler, _) = scene();
    table.stick("o9", StickyFault::ServerError);
    table.stick("o8", StickyFault::Silent);
    let batch = [
        in_group(good(9), "failing"),
        in_group(good(8), "silent"),
        in_group(noted(0, "poison"), "own"),
        in_group(good(1), "own"),
    ];
    let started = Instant::now();
    let (returned, _) = invoke(&handler, &batch, "queue.fifo").await;
    assert_eq!(returned, BTreeSet::from(["m8".to_owned(), "m9".to_owned()]), "{:?}", started.elapsed());
}
