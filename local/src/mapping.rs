//! The event source mapping: it delivers a queue's messages to functions and deletes what their responses acknowledge.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::clock;
use crate::lambda::{Function, Invocation, Outcome};
use crate::sqs::{Delivery, Queue, Receipt, failed_messages};

/// How a mapping is configured. Partial batch responses (`ReportBatchItemFailures`) are always on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// Messages per event, 1 to 10,000.
    pub batch_size: usize,
    /// The function's timeout.
    pub timeout: Duration,
}

/// What a mapping has done so far.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// Messages in all events together: each message counts as often as it was delivered.
    pub delivered: usize,
    /// Those of them that were not a message's first.
    pub redelivered: usize,
    /// Messages acknowledged and so deleted.
    pub acknowledged: usize,
    /// Messages that a response acknowledges although they have been delivered again or are gone since: it deletes nothing.
    pub outdated: usize,
    /// Messages that moved to the dead-letter queue; [`Queue::dead_letters`] has them.
    pub dead_lettered: usize,
    /// Messages still in the queue.
    pub remaining: usize,
    /// Invocations that failed all their messages, by cause: `function_error`, `timed_out`, `crashed`, or the
    /// [code](crate::sqs::CompleteFailure::code) of a response that Lambda does not accept.
    pub failed_invocations: BTreeMap<&'static str, usize>,
    /// The duration of each invocation, in the order they ended.
    pub durations: Vec<Duration>,
    /// From first receive to deletion of each message that was acknowledged, with the waiting to become visible.
    pub latencies: Vec<Duration>,
    /// Time spent, without the waiting for messages to become visible, which is skipped.
    pub elapsed: Duration,
}

impl Totals {
    /// How many invocations have ended.
    pub fn invocations(&self) -> usize {
        self.durations.len()
    }

    /// The duration that `percent` of the invocations, 1 to 100, did not exceed. None before the first.
    pub fn percentile(&self, percent: usize) -> Option<Duration> {
        percentile(&self.durations, percent)
    }

    /// The time from first receive to deletion that `percent` of the acknowledged messages, 1 to 100, did not exceed. None before the first.
    pub fn latency(&self, percent: usize) -> Option<Duration> {
        percentile(&self.latencies, percent)
    }
}

fn percentile(values: &[Duration], percent: usize) -> Option<Duration> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

impl Mapping {
    /// Delivers until the queue is empty: every message is acknowledged or a dead letter. Each function gets as many
    /// events at once as it [can take](Function::max_concurrency). `progress` sees each invocation that has ended.
    ///
    /// What was sent in the past is visible now. When only messages out of sight are left, the time until they come back
    /// is skipped: from then on the queue gets a later time.
    pub async fn drain(
        &self,
        queue: &mut Queue,
        functions: &[Function],
        mut progress: impl FnMut(&Totals, &Invocation),
    ) -> Totals {
        let started = clock::now();
        let dead_before = queue.dead_letters().len();
        let mut totals = Totals::default();
        let mut skipped = Duration::ZERO;
        let mut free: Vec<usize> = functions
            .iter()
            .enumerate()
            .flat_map(|(index, function)| vec![index; function.max_concurrency()])
            .collect();
        let mut running = JoinSet::new();
        loop {
            while let Some(&index) = free.last()
                && let Some(function) = functions.get(index)
                && let Some(Delivery { event, receipts }) =
                    queue.receive(self.batch_size, clock::since_epoch() + skipped)
            {
                free.pop();
                totals.count(&receipts);
                let invocation = function.invoke(event, self.timeout);
                running.spawn(async move { (index, receipts, invocation.await) });
            }
            totals.dead_lettered = queue.dead_letters().len() - dead_before;
            totals.remaining = queue.len();
            totals.elapsed = clock::now() - started;
            match running.join_next().await {
                Some(Ok((index, receipts, invocation))) => {
                    free.push(index);
                    totals.apply(queue, &receipts, &invocation, clock::since_epoch() + skipped);
                    totals.elapsed = clock::now() - started;
                    progress(&totals, &invocation);
                }
                // only this runtime's end can keep a task from waiting for its invocation
                Some(Err(_)) => return totals,
                None => match queue.next_visible() {
                    Some(visible) if !free.is_empty() => {
                        skipped = skipped.max(visible.saturating_sub(clock::since_epoch()));
                    }
                    _ => return totals,
                },
            }
        }
    }
}

impl Totals {
    fn count(&mut self, receipts: &[Receipt]) {
        self.delivered += receipts.len();
        self.redelivered += receipts.iter().filter(|receipt| receipt.receive_count > 1).count();
    }

    /// Deletes what the invocation acknowledges.
    fn apply(&mut self, queue: &mut Queue, receipts: &[Receipt], invocation: &Invocation, now: Duration) {
        self.durations.push(invocation.duration);
        let failed = match &invocation.outcome {
            Outcome::Response(response) => {
                let ids: Vec<_> = receipts.iter().map(|receipt| receipt.message_id.as_str()).collect();
                failed_messages(&ids, response).map_err(crate::sqs::CompleteFailure::code)
            }
            Outcome::Error { .. } => Err("function_error"),
            Outcome::TimedOut => Err("timed_out"),
            Outcome::Crashed(_) => Err("crashed"),
        };
        match failed {
            Err(cause) => *self.failed_invocations.entry(cause).or_default() += 1,
            Ok(failed) => {
                let acknowledged = receipts.iter().enumerate().filter(|(position, _)| !failed.contains(position));
                for (_, receipt) in acknowledged {
                    if queue.delete(receipt) {
                        self.acknowledged += 1;
                        self.latencies.push(now.saturating_sub(receipt.first_received));
                    } else {
                        self.outdated += 1;
                    }
                }
            }
        }
        self.remaining = queue.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_smallest_duration_that_covers_its_share() {
        let totals =
            |count| Totals { durations: (1..=count).rev().map(Duration::from_millis).collect(), ..Totals::default() };
        let percentiles =
            |count| [50, 95, 99, 100].map(|percent| totals(count).percentile(percent).map(|d| d.as_millis()));
        assert_eq!(percentiles(100), [Some(50), Some(95), Some(99), Some(100)]);
        assert_eq!(percentiles(10), [Some(5), Some(10), Some(10), Some(10)]);
        assert_eq!(percentiles(1), [Some(1); 4]);
        assert_eq!(percentiles(0), [None; 4]);
    }
}
