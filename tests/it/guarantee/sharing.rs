//! Tests of the limits that tables and invocations share: bytes in flight, and concurrent calls per table.

use super::messages::{AUDIT, ORDERS, Sent, Subject, Write};
use super::{good, handler, healthy, invoke};
use avro_ingest::invocation::Memory;
use serde_json::json;

fn sent(subject: Subject, number: usize, note: String) -> Sent {
    let id = format!("{}{number}", subject.name());
    Sent::single(&id, Write { subject, id: id.clone(), version: Some(0), note, delete: false })
}

#[tokio::test(start_paused = true)]
async fn a_table_of_large_items_leaves_another_its_turns() {
    for (large, small) in [(Subject::Plain, Subject::Audit), (Subject::Audit, Subject::Plain)] {
        let table = healthy();
        // a control character has six bytes in DynamoDB JSON, so two calls with these items use up the limit of bytes in flight
        let note = "\u{1}".repeat(60_000);
        let mut batch: Vec<Sent> = (0..100).map(|number| sent(large, number, note.clone())).collect();
        batch.push(sent(small, 0, "small".to_owned()));
        let handler = handler(&table, 49).with_memory(Memory::new(Some(2_000), 1));
        let (returned, figures) = invoke(&handler, &batch, "standard").await;
        assert!(returned.is_empty());
        let its_own = if small == Subject::Audit { AUDIT } else { ORDERS };
        let before = table.written().iter().position(|written| written.table == its_own).unwrap();
        // two calls are in flight when the small item is decoded, and one more may start before its own
        assert!(before <= 75, "it was written after {before} items of the other table");
        assert_eq!(figures["WritesInFlight"], json!(3), "two calls of large items and one of the small item");
    }
}

#[tokio::test(start_paused = true)]
async fn an_invocation_waits_for_the_calls_of_another_to_the_same_table() {
    let table = healthy();
    // one call at a time
    let handler = handler(&table, 0);
    let batches: [Vec<Sent>; 2] = [0, 100].map(|first| (first..first + 100).map(good).collect());
    let [one, other] = batches.each_ref().map(|batch| invoke(&handler, batch, "standard"));
    let ((of_one, _), (of_other, _)) = tokio::join!(one, other);
    assert!(of_one.is_empty() && of_other.is_empty(), "{of_one:?} {of_other:?}");
    assert_eq!(table.count(), 200);
}
