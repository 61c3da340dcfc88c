//! Tests of what may follow a failed call, which may take effect late, be retried, or never have been sent.

use super::messages::{Sent, Subject, Write, in_group, write_of};
use super::{good, handler, handler_calling, handler_over, healthy, invoke, limit, note_of};
use crate::support::fake_dynamodb::{FakeDynamoDb, Faults};
use crate::support::transport::{self, Responding, response};
use avro_ingest::transport::{HttpTransport, ResponseFuture, TransportError, TransportErrorKind};
use avro_ingest::visibility::Visibility;
use aws_credential_types::provider::error::CredentialsError;
use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn put(message_id: &str, version: i64, note: &str) -> Sent {
    Sent::single(message_id, write_of(Subject::Versioned, "a", version, note))
}

fn deletion(message_id: &str, version: i64) -> Sent {
    Sent::single(message_id, Write { delete: true, ..write_of(Subject::Versioned, "a", version, "") })
}

/// Returns a `Visibility` that records the visibility timeouts that are set, by position of the message.
pub fn visibility(set: Arc<Mutex<BTreeMap<String, u64>>>) -> Visibility {
    let respond = move |request: Request<Bytes>| -> ResponseFuture {
        let body: Value = serde_json::from_slice(request.body()).unwrap();
        let entries = body["Entries"].as_array().unwrap();
        let ids: Vec<Value> = entries.iter().map(|entry| json!({"Id": entry["Id"]})).collect();
        for entry in entries {
            let (id, seconds) = (entry["Id"].as_str().unwrap(), entry["VisibilityTimeout"].as_u64().unwrap());
            set.lock().unwrap().insert(id.to_owned(), seconds);
        }
        Box::pin(async move { Ok(response(200, json!({"Successful": ids, "Failed": []}).to_string())) })
    };
    Visibility::new(transport::sqs(Responding(respond)), "http://sqs.invalid".into(), Duration::from_secs(1), |most| {
        most / 2
    })
}

#[tokio::test(start_paused = true)]
async fn a_group_whose_write_got_no_response_stays_out_of_sight_as_long_as_its_queue_says() {
    let set = Arc::default();
    for faults in [
        Faults { late: 100, ..Faults::default() },
        Faults { gateway: 100, ..Faults::default() },
        Faults { reset_late: 100, ..Faults::default() },
        Faults { panic: 100, ..Faults::default() },
    ] {
        super::silence_planned_panics();
        let table = FakeDynamoDb::new(&["id"], faults, 1);
        let handler = handler(&table, 1).with_visibility(visibility(Arc::clone(&set)));
        let batch = [in_group(put("m0", 1, "first"), "g"), in_group(put("m1", 2, "last"), "g")];
        assert_eq!(invoke(&handler, &batch, "queue.fifo").await.0.len(), 2);
        assert!(set.lock().unwrap().is_empty(), "{faults:?}: {set:?}");
        invoke(&handler, &batch, "standard").await;
        assert_eq!(set.lock().unwrap().len(), 2, "{faults:?}: without an order, both timeouts are shortened");
        set.lock().unwrap().clear();
    }
}

#[tokio::test(start_paused = true)]
async fn a_deletion_and_the_older_put_that_may_be_applied_after_it_stay_out_of_sight() {
    let set = Arc::default();
    for (queue, groups) in [("standard", ["g", "g"]), ("queue.fifo", ["g", "g"]), ("queue.fifo", ["g", "h"])] {
        for faults in [Faults { late: 100, ..Faults::default() }, Faults { reset_late: 100, ..Faults::default() }] {
            let table = FakeDynamoDb::new(&["id"], faults, 1);
            let handler = handler(&table, 1).with_visibility(visibility(Arc::clone(&set)));
            let batch = [in_group(put("m0", 3, "late"), groups[0]), in_group(deletion("m1", 5), groups[1])];
            assert_eq!(invoke(&handler, &batch, queue).await.0.len(), 2);
            assert!(set.lock().unwrap().is_empty(), "{queue} {groups:?} {faults:?}: {set:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_whose_call_the_deadline_cut_off_stays_out_of_sight_too() {
    let set = Arc::default();
    // the deadline is later than the shortest one allowed, and earlier than any response
    let respond = |_| -> ResponseFuture { Box::pin(std::future::pending()) };
    let handler = handler_over(respond).with_visibility(visibility(Arc::clone(&set)));
    let event = json!({"Records": [in_group(put("m0", 1, "first"), "g").record("queue.fifo")]}).to_string();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let context = avro_ingest::invocation::Context { deadline: now + Duration::from_secs(2), ..Default::default() };
    let returned = handler.handle(event.as_bytes(), &context).await.response.unwrap();
    assert_eq!(returned.failures().count(), 1);
    assert!(set.lock().unwrap().is_empty(), "{set:?}");
}

#[tokio::test(start_paused = true)]
async fn a_group_that_was_answered_comes_back_soon() {
    let set = Arc::default();
    for is_sent in [true, false] {
        // responds immediately, so that the deadline does not cut off a call
        let handler = handler_over(move |_| {
            let body = json!({"__type": "x#ThrottlingException", "message": "slow down"}).to_string();
            let unsent = TransportError { kind: TransportErrorKind::NotSent, cause: "as told".into() };
            Box::pin(async move { if is_sent { Ok(response(400, body)) } else { Err(unsent) } })
        });
        let handler = handler.with_visibility(visibility(Arc::clone(&set)));
        let batch = [in_group(put("m0", 1, "first"), "g"), in_group(put("m1", 2, "last"), "g")];
        assert_eq!(invoke(&handler, &batch, "queue.fifo").await.0.len(), 2);
        assert_eq!(std::mem::take(&mut *set.lock().unwrap()).len(), 2, "sent: {is_sent}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deletion_does_not_go_before_an_older_put_that_comes_again() {
    for queue in ["standard", "queue.fifo"] {
        let (table, denied) = (healthy(), Arc::new(Mutex::new(true)));
        let (behind, is_denied) = (table.clone(), Arc::clone(&denied));
        let handler = handler_over(move |request| {
            let is_put = request.headers()["x-amz-target"].to_str().unwrap().ends_with(".PutItem");
            if is_put && *is_denied.lock().unwrap() {
                let body = json!({"__type": "x#AccessDeniedException", "message": "no dynamodb:PutItem"}).to_string();
                return Box::pin(async { Ok(response(400, body)) });
            }
            behind.send(request)
        });
        // the first message is stored, so that the refusal cannot be the table's fault
        let batch = [in_group(good(0), "f"), in_group(put("put", 3, "old"), "g"), in_group(deletion("delete", 5), "h")];
        let (returned, _) = invoke(&handler, &batch, queue).await;
        *denied.lock().unwrap() = false;
        let again: Vec<Sent> = batch.iter().filter(|sent| returned.contains(&sent.message_id)).cloned().collect();
        assert!(invoke(&handler, &again, queue).await.0.is_empty());
        assert_eq!(note_of(&table, "a"), None, "{queue}: {returned:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_holds_up_no_other_group_of_its_key() {
    let table = healthy();
    let behind = table.clone();
    let handler = handler_over(move |request| {
        if String::from_utf8_lossy(request.body()).contains("\"denied\"") {
            let body = json!({"__type": "x#AccessDeniedException", "message": "as told"}).to_string();
            return Box::pin(async { Ok(response(400, body)) });
        }
        behind.send(request)
    });
    let denied = write_of(Subject::Plain, "a", 0, "denied");
    let batch =
        [in_group(good(0), "f"), in_group(Sent::single("m1", denied), "g"), in_group(put("m2", 1, "stored"), "h")];
    let (returned, _) = invoke(&handler, &batch, "queue.fifo").await;
    assert_eq!((returned, note_of(&table, "a")), (["m1".to_owned()].into(), Some("stored".to_owned())));
}

/// Returns the number of calls sent for twenty items, and the metrics. The first `unsent` calls are not sent, and the next two
/// break.
async fn calls_after(unsent: usize) -> (usize, Value) {
    let (calls, table) = (Arc::new(AtomicUsize::new(0)), healthy());
    let count = Arc::clone(&calls);
    let handler = handler_over(move |request| {
        let kind = match count.fetch_add(1, Ordering::Relaxed) {
            number if number < unsent => TransportErrorKind::NotSent,
            number if number < unsent + 2 => TransportErrorKind::Broken,
            _ => return table.send(request),
        };
        Box::pin(async move { Err(TransportError { kind, cause: "as told".into() }) })
    });
    let batch: Vec<Sent> = (0..20).map(good).collect();
    let (returned, figures) = invoke(&handler, &batch, "standard").await;
    assert!(returned.is_empty());
    (calls.load(Ordering::Relaxed) - unsent, figures["RetriedItems"].clone())
}

#[tokio::test(start_paused = true)]
async fn an_item_that_is_denied_beside_calls_that_cannot_be_sent_is_no_broken_table() {
    let handler = handler_over(|request| {
        if String::from_utf8_lossy(request.body()).contains("denied") {
            let body = json!({"__type": "x#AccessDeniedException", "message": "as told"}).to_string();
            return Box::pin(async { Ok(response(400, body)) });
        }
        Box::pin(async { Err(TransportError { kind: TransportErrorKind::NotSent, cause: "as told".into() }) })
    });
    let batch = [put("m0", 1, "denied"), good(1)];
    let event = json!({"Records": batch.iter().map(|sent| sent.record("standard")).collect::<Vec<_>>()}).to_string();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let context = avro_ingest::invocation::Context { deadline: now + Duration::from_secs(20), ..Default::default() };
    let response = handler.handle(event.as_bytes(), &context).await.response;
    assert_eq!(response.unwrap().failures().count(), 2, "both are returned without failing the invocation");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_not_sent_is_no_attempt() {
    let sent_at_once = calls_after(0).await;
    assert_eq!(sent_at_once, (3, json!(40)));
    assert_eq!(calls_after(1).await, sent_at_once);
    assert_eq!(calls_after(9).await, sent_at_once);
}

#[tokio::test(start_paused = true)]
async fn credentials_that_come_late_or_not_at_first_are_not_the_tables_load() {
    let mut limits = Vec::new();
    for (wait, failures) in [(0, 0), (1_200, 0), (0, 40)] {
        let loads = Arc::new(AtomicUsize::new(0));
        let source = aws_credential_types::credential_fn::provide_credentials_fn(move || {
            let fails = loads.fetch_add(1, Ordering::Relaxed) < failures;
            async move {
                tokio::time::sleep(Duration::from_millis(wait)).await;
                if fails { Err(CredentialsError::provider_error("not reached")) } else { Ok(transport::credentials()) }
            }
        });
        let respond = |_| -> ResponseFuture {
            Box::pin(async {
                tokio::time::sleep(Duration::from_millis(5)).await;
                Ok(response(200, json!({"UnprocessedItems": {}, "ConsumedCapacity": []}).to_string()))
            })
        };
        let client = transport::dynamodb_with(Responding(respond), source);
        let handler = handler_calling(client, limit(), None, |most| most / 2);
        let batch: Vec<Sent> = (0..5_000).map(good).collect();
        let (returned, figures) = invoke(&handler, &batch, "standard").await;
        assert!(returned.is_empty());
        limits.push(figures["WriteLimit"].clone());
    }
    assert_eq!(limits, vec![limits[0].clone(); 3]);
}
