//! The event source mapping, which delivers a queue's messages to functions and deletes those their responses acknowledge.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::clock;
use crate::lambda::{Function, Invocation, Outcome};
use crate::sqs::{Delivery, Queue, Receipt, failed_messages};

/// Configuration of a mapping. Partial batch responses (`ReportBatchItemFailures`) are always enabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// Maximum number of messages per event, 1 to 10,000.
    pub batch_size: usize,
    /// The function's timeout.
    pub timeout: Duration,
}

/// Counters of a mapping.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// Number of deliveries of messages, including redeliveries.
    pub delivered: usize,
    /// Number of redeliveries.
    pub redelivered: usize,
    /// Number of messages acknowledged and therefore deleted.
    pub acknowledged: usize,
    /// Number of acknowledgements that deleted nothing, because the message had been redelivered or was already gone.
    pub outdated: usize,
    /// Number of messages moved to the dead-letter queue. [`Queue::dead_letters`] returns them.
    pub dead_lettered: usize,
    /// Number of messages still in the queue.
    pub remaining: usize,
    /// Number of invocations that failed all their messages, by cause: `function_error`, `timed_out`, `crashed`, or the
    /// [code](crate::sqs::CompleteFailure::code) of a response that Lambda does not accept.
    pub failed_invocations: BTreeMap<&'static str, usize>,
    /// Duration of each invocation, in the order in which they ended.
    pub durations: Vec<Duration>,
    /// Time from first receive to deletion of each acknowledged message, including the time it was invisible.
    pub latencies: Vec<Duration>,
    /// Elapsed time. It excludes waiting for messages to become visible, because that time is skipped.
    pub elapsed: Duration,
}

impl Totals {
    /// Returns the number of completed invocations.
    pub fn invocations(&self) -> usize {
        self.durations.len()
    }

    /// Returns the given percentile of the invocation durations, 1 to 100. `None` before the first invocation has completed.
    pub fn percentile(&self, percent: usize) -> Option<Duration> {
        percentile(&self.durations, percent)
    }

    /// Returns the given percentile, 1 to 100, of the time from first receive to deletion of the acknowledged messages. `None`
    /// before the first acknowledgement.
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
    /// Delivers messages until the queue is empty, that is, until each one is acknowledged or a dead letter. Each function
    /// receives up to [`max_concurrency`](Function::max_concurrency) events at once. `progress` is called after each
    /// invocation.
    ///
    /// Messages sent in the past are visible immediately. When only invisible messages are left, the mapping does not wait for
    /// them: it passes a later time to the queue from then on.
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
                // a task fails to wait for its invocation only if this runtime is shutting down
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

    /// Deletes the messages that the invocation acknowledges.
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
