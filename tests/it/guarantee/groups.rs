//! Tests of FIFO groups whose messages write the same keys.

use super::messages::{Sent, Subject, Write};
use super::{handler, healthy, invoke, note_of};
use crate::support::fake_dynamodb::StickyFault;
use std::collections::BTreeSet;

/// A container message in `group` with one item for each of `ids`.
fn writes(message_id: &str, group: &str, ids: &[&str]) -> Sent {
    let write = |(place, id): (usize, &&str)| Write {
        subject: Subject::Plain,
        id: (*id).to_owned(),
        version: None,
        note: format!("{message_id}.{place}"),
        delete: false,
    };
    let writes = ids.iter().enumerate().map(write).collect();
    Sent { group: Some(group.to_owned()), ..Sent::container(message_id, Subject::Plain, writes) }
}

#[tokio::test(start_paused = true)]
async fn what_follows_a_message_whose_key_another_groups_message_wrote_is_written_too() {
    let table = healthy();
    let batch = [
        writes("m0", "a", &["shared"]),
        writes("m1", "b", &["shared"]),
        writes("m2", "c", &["shared"]),
        writes("m3", "b", &["own"]),
    ];
    let (returned, _) = invoke(&handler(&table, 1), &batch, "queue.fifo").await;
    assert!(returned.is_empty(), "{returned:?}");
    assert_eq!(note_of(&table, "shared").as_deref(), Some("m2.0"));
    assert_eq!(note_of(&table, "own").as_deref(), Some("m3.0"));
}

#[tokio::test(start_paused = true)]
async fn what_another_groups_message_stands_for_does_not_let_its_own_group_go_ahead() {
    let table = healthy();
    table.stick("stuck", StickyFault::ServerError);
    let batch = [
        writes("m0", "a", &["shared"]),
        writes("m1", "b", &["shared"]),
        writes("m2", "c", &["shared", "stuck"]),
        writes("m3", "c", &["behind"]),
    ];
    let (returned, _) = invoke(&handler(&table, 1), &batch, "queue.fifo").await;
    assert_eq!(note_of(&table, "behind"), None, "its predecessor in the group is not stored");
    assert!(returned.is_superset(&["m2", "m3"].map(str::to_owned).into()), "{returned:?}");
}

#[tokio::test(start_paused = true)]
async fn each_item_of_a_key_that_groups_share_has_its_end() {
    let table = healthy();
    let batch = [
        writes("m0", "a", &["shared"]),
        writes("m1", "b", &["shared", "shared"]),
        writes("m2", "c", &["shared", "shared", "shared"]),
        writes("m3", "b", &["behind"]),
    ];
    let (returned, figures) = invoke(&handler(&table, 1), &batch, "queue.fifo").await;
    assert_eq!(returned, BTreeSet::new());
    // whether an item is sent before the next one with its key is decoded depends on timing
    let durable = ["MessagesStored", "MessagesSuperseded"].map(|name| figures[name].as_u64().unwrap());
    assert_eq!(durable.iter().sum::<u64>(), 4, "{durable:?}");
    assert_eq!(note_of(&table, "shared").as_deref(), Some("m2.2"));
    assert_eq!(note_of(&table, "behind").as_deref(), Some("m3.0"));
}

#[tokio::test(start_paused = true)]
async fn a_message_without_response_does_not_hold_up_another_group_that_writes_one_of_its_keys() {
    let table = healthy();
    table.stick("stuck", StickyFault::Silent);
    let batch =
        [writes("m0", "a", &["shared", "stuck"]), writes("m1", "b", &["shared"]), writes("m2", "b", &["behind"])];
    let (returned, _) = invoke(&handler(&table, 1), &batch, "queue.fifo").await;
    assert_eq!(returned, BTreeSet::from(["m0".to_owned()]));
    assert_eq!(note_of(&table, "shared").as_deref(), Some("m1.0"));
    assert_eq!(note_of(&table, "behind").as_deref(), Some("m2.0"));
}

#[tokio::test(start_paused = true)]
async fn a_message_without_response_is_no_substitute_for_another_groups_message() {
    let table = healthy();
    table.stick("stuck", StickyFault::Silent);
    let batch = [
        writes("m0", "a", &["shared", "stuck"]),
        writes("m1", "b", &["shared"]),
        writes("m2", "c", &["shared", "stuck"]),
        writes("m3", "b", &["behind"]),
    ];
    let (returned, _) = invoke(&handler(&table, 1), &batch, "queue.fifo").await;
    assert_eq!(returned, ["m0", "m2"].map(str::to_owned).into());
    assert_eq!(note_of(&table, "shared").as_deref(), Some("m1.0"));
    assert_eq!(note_of(&table, "behind").as_deref(), Some("m3.0"));
}
