//! Tests of concurrent invocations in one process, some of which are slow: to decode, or because responses are missing.

use super::messages::{Sent, Subject, in_group, write_of};
use super::{good, handler, healthy, invoke};
use crate::support::fake_dynamodb::StickyFault;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Runs in real time, because the processors are busy decoding. The runtime has as many threads as there are slow events.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_are_slow_to_decode_keep_no_other_invocation_waiting() {
    let table = healthy();
    let handler = Arc::new(handler(&table, 49));
    let compressed = |number: usize| {
        let id = format!("slow{number}");
        Sent::compressed(&id, write_of(Subject::Plain, &id, 0, "note"))
    };
    let slow: Arc<[Sent]> = (0..400).map(compressed).collect();
    let busy: Vec<_> = (0..2)
        .map(|_| {
            let (handler, slow) = (Arc::clone(&handler), Arc::clone(&slow));
            tokio::spawn(async move { invoke(&handler, &slow, "standard").await })
        })
        .collect();
    while table.calls() == 0 && busy.iter().all(|busy| !busy.is_finished()) {
        let small = {
            let handler = Arc::clone(&handler);
            tokio::spawn(async move { invoke(&handler, &[in_group(good(0), "g")], "queue.fifo").await.0 })
        };
        assert_eq!(small.await.unwrap(), BTreeSet::new());
        assert!(busy.iter().all(|busy| !busy.is_finished()), "a small invocation waited for a slow one");
    }
    assert!(table.calls() > 0, "no small invocation wrote its items while the slow ones ran");
    for busy in busy {
        busy.await.expect("it responds before its deadline");
    }
}

#[tokio::test(start_paused = true)]
async fn invocations_without_responses_leave_a_healthy_one_its_calls() {
    let table = healthy();
    let handler = Arc::new(handler(&table, 7));
    let silent = |invocation: usize| -> Vec<Sent> {
        let item = |number: usize| {
            let id = format!("silent{invocation}-{number}");
            table.stick(&id, StickyFault::Silent);
            Sent::single(&id, write_of(Subject::Plain, &id, 0, "note"))
        };
        (0..100).map(item).collect()
    };
    let stuck: Vec<_> = (0..3)
        .map(|invocation| {
            let (handler, batch) = (Arc::clone(&handler), silent(invocation));
            tokio::spawn(async move { invoke(&handler, &batch, "standard").await.0.len() })
        })
        .collect();
    sleep(Duration::from_secs(5)).await;
    let batch: Vec<Sent> = (0..100).map(good).collect();
    let started = Instant::now();
    assert_eq!(invoke(&handler, &batch, "standard").await.0, BTreeSet::new());
    // four calls, one after the other, of at most 60 ms each
    assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
    for stuck in stuck {
        assert_eq!(stuck.await.unwrap(), 100);
    }
}
