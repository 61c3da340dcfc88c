//! Splits received messages into batches by number, size and time.

use crate::queue::Received;
use local::clock::now;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// Maximum size of a batch in bytes, the same as the payload limit of Lambda.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
const MAX_BATCH_BYTES: usize = 6 * 1024 * 1024;

/// Received messages, in batches.
pub(super) struct Batches {
    received: mpsc::Receiver<Vec<Received>>,
    /// Maximum number of messages per batch. `None` for a FIFO queue, where each batch consists of the messages of one poll, so
    /// that no message group is in two batches at once.
    size: Option<usize>,
    max_wait: Duration,
    waiting: VecDeque<Received>,
    /// Instant at which the next batch is returned even if it is not full.
    due: Instant,
}

impl Batches {
    pub(super) fn new(received: mpsc::Receiver<Vec<Received>>, size: Option<usize>, max_wait: Duration) -> Self {
        Self { received, size, max_wait, waiting: VecDeque::new(), due: now() }
    }

    /// Returns the next batch. Returns `None` after the last one. Cancel safe: dropping the future loses no messages.
    pub(super) async fn next(&mut self) -> Option<Vec<Received>> {
        let Some(size) = self.size else { return self.received.recv().await };
        if self.waiting.is_empty() {
            self.waiting.extend(self.received.recv().await?);
            self.due = now() + self.max_wait;
        }
        let fill = async {
            while self.waiting.len() < size {
                match self.received.recv().await {
                    Some(more) => self.waiting.extend(more),
                    None => break,
                }
            }
        };
        // after the deadline, a batch that is not full is returned
        let _ = timeout_at(self.due, fill).await;
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < size
            && let Some(message) = self.waiting.pop_front()
        {
            bytes += message.body.len();
            if bytes > MAX_BATCH_BYTES && !batch.is_empty() {
                self.waiting.push_front(message);
                break;
            }
            batch.push(message);
        }
        self.due = now() + self.max_wait;
        Some(batch)
    }

    /// Returns messages that are in no batch: first the buffered messages, then those that running polls still deliver. Returns
    /// `None` after the last ones.
    pub(super) async fn rest(&mut self) -> Option<Vec<Received>> {
        self.received.close();
        if self.waiting.is_empty() { self.received.recv().await } else { Some(self.waiting.drain(..).collect()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use tokio::time::timeout;

    fn message(id: usize, bytes: usize) -> Received {
        Received {
            id: id.to_string(),
            receipt_handle: String::new(),
            body: "x".repeat(bytes),
            attributes: BTreeMap::new(),
            group: None,
            sent_ms: None,
            receive_count: 1,
            system: serde_json::Map::new(),
            received_at: Duration::ZERO,
        }
    }

    async fn sizes(polls: &[usize], bytes: usize, size: Option<usize>) -> Vec<usize> {
        let (sender, received) = mpsc::channel(100);
        for count in polls {
            sender.send((0..*count).map(|id| message(id, bytes)).collect()).await.unwrap();
        }
        drop(sender);
        let mut batches = Batches::new(received, size, Duration::from_millis(1));
        let mut sizes = Vec::new();
        while let Some(batch) = batches.next().await {
            sizes.push(batch.len());
        }
        sizes
    }

    #[tokio::test]
    async fn a_batch_is_full_or_what_came_in_time_and_no_larger_than_an_event() {
        assert_eq!(sizes(&[10, 10, 7], 1, Some(25)).await, [25, 2]);
        assert_eq!(sizes(&[10, 10], 1 << 20, Some(100)).await, [6, 6, 6, 2]);
        assert_eq!(sizes(&[3, 10, 1], 1, None).await, [3, 10, 1], "a poll of a FIFO queue is a batch");
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_waits_no_longer_for_being_asked_for_again() {
        let (sender, received) = mpsc::channel(100);
        sender.send(vec![message(1, 1)]).await.unwrap();
        let most = Duration::from_millis(100);
        let mut batches = Batches::new(received, Some(10), most);
        // whenever another batch ends, the caller drops this future and calls `next` again
        assert!(timeout(most * 3 / 4, batches.next()).await.is_err());
        let next = timeout(most / 2, batches.next()).await;
        assert_eq!(next.map(|batch| batch.map(|batch| batch.len())), Ok(Some(1)));
    }

    #[tokio::test]
    async fn what_is_in_no_batch_is_given_back() {
        let (sender, received) = mpsc::channel(100);
        for _ in 0..3 {
            sender.send((0..10).map(|id| message(id, 1)).collect()).await.unwrap();
        }
        let mut batches = Batches::new(received, Some(15), Duration::from_millis(1));
        assert_eq!(batches.next().await.unwrap().len(), 15);
        drop(sender);
        let mut rest = Vec::new();
        while let Some(more) = batches.rest().await {
            rest.push(more.len());
        }
        assert_eq!(rest, [5, 10]);
    }
}
