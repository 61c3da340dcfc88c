//! The send times of an event. One that was recorded long ago would be reported as a delivery that took years. Pure.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// Maximum age of a message in a queue.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
const MAX_RETENTION: Duration = Duration::from_hours(14 * 24);

/// Returns `event` with its messages sent by `now`, a millisecond apart in the order of their send times, if one of them has no send
/// time that a queue could have. Another text than an event stays as it is.
pub(super) fn sent_now(event: &[u8], now: Duration) -> Option<Vec<u8>> {
    let mut parsed: Value = serde_json::from_slice(event).ok()?;
    let records = parsed.get_mut("Records")?.as_array_mut()?;
    let times: Vec<Option<u64>> = records.iter().map(send_time).collect();
    if times.iter().all(|time| time.is_some_and(|time| is_plausible(time, now))) {
        return None;
    }
    let distinct: BTreeSet<Option<u64>> = times.iter().copied().collect();
    for (record, time) in records.iter_mut().zip(&times) {
        let later = u64::try_from(distinct.range(time..).count().saturating_sub(1)).unwrap_or_default();
        let sent = now.saturating_sub(Duration::from_millis(later)).as_millis().to_string();
        let attributes = record.as_object_mut()?.entry("attributes").or_insert_with(|| json!({}));
        let attributes = attributes.as_object_mut()?;
        for name in ["SentTimestamp", "ApproximateFirstReceiveTimestamp"] {
            attributes.insert(name.to_owned(), json!(sent));
        }
    }
    serde_json::to_vec(&parsed).ok()
}

fn send_time(record: &Value) -> Option<u64> {
    record.pointer("/attributes/SentTimestamp")?.as_str()?.parse().ok()
}

/// Whether a message that was sent at `time`, in milliseconds, may be in a queue at `now`.
fn is_plausible(time: u64, now: Duration) -> bool {
    now.checked_sub(Duration::from_millis(time)).is_some_and(|age| age <= MAX_RETENTION)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_millis(1_800_000_000_000);

    fn times(sent: &[Option<u64>]) -> Option<Vec<u64>> {
        let record = |sent: &Option<u64>| match sent {
            Some(sent) => json!({"messageId": "m", "attributes": {"SentTimestamp": sent.to_string()}}),
            None => json!({"messageId": "m"}),
        };
        let event = json!({"Records": sent.iter().map(record).collect::<Vec<_>>()}).to_string();
        let event: Value = serde_json::from_slice(&sent_now(event.as_bytes(), NOW)?).unwrap();
        event["Records"].as_array().unwrap().iter().map(send_time).collect()
    }

    #[test]
    fn an_old_event_is_sent_now_in_the_order_that_it_had() {
        let now = 1_800_000_000_000;
        let old = 1_705_314_600_000;
        assert_eq!(times(&[Some(old), Some(old + 5), Some(old), None]), Some(vec![now - 1, now, now - 1, now - 2]));
        // from the future
        assert_eq!(times(&[Some(now + 1)]), Some(vec![now]));
        let retention = 14 * 24 * 3_600 * 1_000;
        assert_eq!(times(&[Some(now), Some(now - retention)]), None);
        assert_eq!(times(&[Some(now - retention - 1)]), Some(vec![now]));
        assert_eq!(times(&[]), None);
    }

    #[test]
    fn what_is_not_an_event_stays_as_it_is() {
        for text in ["", "{", "[]", r#"{"Records": 1}"#, r#"{"Records": [1]}"#, r#"{"Records": [{"attributes": 1}]}"#] {
            assert_eq!(sent_now(text.as_bytes(), NOW), None, "{text}");
        }
    }
}
