//! Long polls: as many as there is work for.

use crate::aws::CallError;
use crate::queue::{MAX_CALL_MESSAGES, Queue, Received};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Seconds that a poll waits for a message. It is never dropped, since what the queue has given to it would be out of sight for
/// the whole visibility timeout: so a shutdown waits for it.
const LONG_POLL_SECONDS: u32 = 5;
/// The same where the end of the queue ends the command.
const SHORT_POLL_SECONDS: u32 = 1;
/// Empty polls one after another, of all receivers, after which a queue counts as empty.
const EMPTY_POLLS: usize = 3;
/// The pause after a poll that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Receives until it is stopped, or, with `once`, until the queue is empty.
pub(super) struct Receivers {
    pub(super) queue: Arc<Queue>,
    /// Polls at once at most.
    pub(super) most: usize,
    pub(super) visibility_seconds: u32,
    pub(super) once: bool,
}

impl Receivers {
    /// Sends what it receives to `sender`, whose room holds the receivers back.
    ///
    /// # Errors
    /// If a poll fails for a cause that no repetition helps.
    pub(super) async fn run(
        self,
        sender: mpsc::Sender<Vec<Received>>,
        stopped: watch::Receiver<bool>,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let (mut wanted, mut empty_polls) = (1, 0);
        let mut polls = JoinSet::new();
        loop {
            let is_empty = self.once && empty_polls >= EMPTY_POLLS;
            while polls.len() < wanted && !*stopped.borrow() && !is_empty {
                polls.spawn(self.poll(sender.clone(), stopped.clone()));
            }
            match polls.join_next().await.transpose()? {
                None => return Ok(()),
                Some(Ok(count)) => {
                    wanted = next_wanted(wanted, count, self.most);
                    empty_polls = if count == 0 { empty_polls + 1 } else { 0 };
                }
                Some(Err(error)) if error.is_transient() => {
                    tracing::warn!(%error, "messages not received");
                    sleep(PAUSE).await;
                }
                Some(Err(error)) => return Err(error.into()),
            }
        }
    }

    /// One poll, and how many messages it brought.
    fn poll(
        &self,
        sender: mpsc::Sender<Vec<Received>>,
        mut stopped: watch::Receiver<bool>,
    ) -> impl Future<Output = Result<usize, CallError>> + use<> {
        let (queue, visibility_seconds) = (Arc::clone(&self.queue), self.visibility_seconds);
        let wait_seconds = if self.once { SHORT_POLL_SECONDS } else { LONG_POLL_SECONDS };
        async move {
            // no room, no poll: messages wait in the queue, where their visibility does not run
            let room = tokio::select! {
                room = sender.reserve() => room,
                _ = stopped.wait_for(|stopped| *stopped) => return Ok(0),
            };
            let Ok(room) = room else { return Ok(0) };
            let received = queue.receive(MAX_CALL_MESSAGES, visibility_seconds, wait_seconds).await?;
            let count = received.len();
            if count > 0 {
                room.send(received);
            }
            Ok(count)
        }
    }
}

/// How many polls there should be after one of `wanted` brought `count` messages: a full one wants another beside it, an empty
/// one wants one less.
fn next_wanted(wanted: usize, count: usize, most: usize) -> usize {
    match count {
        0 => wanted.saturating_sub(1).max(1),
        MAX_CALL_MESSAGES => (wanted + 1).min(most),
        _ => wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_polls_as_bring_messages() {
        let after = |counts: &[usize]| counts.iter().fold(1, |wanted, count| next_wanted(wanted, *count, 4));
        assert_eq!(after(&[10, 10]), 3);
        assert_eq!(after(&[10; 9]), 4, "and no more than allowed");
        assert_eq!(after(&[10, 10, 9, 1]), 3, "a part of a poll says nothing");
        assert_eq!(after(&[10, 10, 0, 0, 0]), 1, "one always waits");
    }
}
