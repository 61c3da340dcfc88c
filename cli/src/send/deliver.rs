//! Sends calls: their concurrency, retries and end.

use super::ledger::{Ledger, Pending};
use super::lock;
use super::pace::{Pace, Start, Ticket};
use super::reading::Batch;
use crate::aws::CallError;
use crate::duration::jitter;
use crate::queue::{Outgoing, Queue, Refusal};
use crate::signals::EndSignals;
use indicatif::ProgressBar;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};

/// Maximum number of attempts per message. [`Queue::send`] retries each call on its own.
const ATTEMPTS: u32 = 8;
/// Maximum wait before the second attempt. It doubles with each further attempt.
const BACKOFF: Duration = Duration::from_millis(100);
/// Timeout of a call.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for calls in flight to finish after the first signal.
const GRACE: Duration = Duration::from_secs(3);
/// Error codes with which SQS may refuse a whole call because of one of its messages.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html#API_SendMessageBatch_Errors>
const ERRORS_OF_A_MESSAGE: [&str; 4] =
    ["BatchRequestTooLong", "InvalidAttributeValue", "InvalidMessageContents", "InvalidParameterValue"];

/// Phase of a run's shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Run,
    /// No further call begins.
    Stop,
    /// Calls in flight are abandoned.
    Cut,
}

/// Reason why sending ended.
#[derive(Debug)]
pub(super) enum End {
    /// The whole input was read and settled.
    Input,
    Interrupted,
    /// The queue returned an error that would affect any other call too.
    Queue(CallError),
    /// The input could not be read, or a file could not be written.
    Failed(String),
    /// As [`End::Input`], but the input file has changed its size in the meantime.
    Grown,
}

/// State that all calls of a run share.
pub(super) struct Delivery {
    queue: Queue,
    ledger: Arc<Mutex<Ledger>>,
    pace: Option<Mutex<Pace>>,
    /// Wakes calls that wait for another call to finish.
    finished: Notify,
    phase: watch::Receiver<Phase>,
}

/// Result of a call.
#[derive(Default)]
struct Called {
    accepted: u64,
    /// Messages that are not settled.
    left: Vec<Pending>,
    end: Option<End>,
}

/// Result of sending messages.
enum Sent {
    Settled,
    /// The queue refuses the call because of one of the messages, without naming it.
    Refused(Vec<Pending>, CallError),
    Left(Vec<Pending>, Option<End>),
}

impl Delivery {
    pub(super) fn new(
        queue: Queue,
        ledger: Arc<Mutex<Ledger>>,
        rate: Option<u32>,
        phase: watch::Receiver<Phase>,
    ) -> Self {
        let pace = rate.map(|rate| Mutex::new(Pace::new(rate)));
        Self { queue, ledger, pace, finished: Notify::new(), phase }
    }

    /// Sends batches until the input ends, a signal arrives, or the queue fails. Returns the reason and the messages that are
    /// not settled.
    pub(super) async fn run(
        self: &Arc<Self>,
        batches: &mut mpsc::Receiver<Batch>,
        at_once: usize,
        bar: &ProgressBar,
    ) -> (End, Vec<Pending>) {
        let (mut calls, mut left) = (JoinSet::new(), Vec::new());
        let mut end: Option<End> = None;
        let mut phase = self.phase.clone();
        // messages that wait for their turn; at most one call waits, so that first attempts start in input order
        let mut next: Option<Vec<Pending>> = None;
        loop {
            let has_room = end.is_none() && calls.len() < at_once;
            let count = next.as_ref().map_or(0, Vec::len);
            tokio::select! {
                _ = phase.wait_for(|phase| *phase > Phase::Run), if end.is_none() => end = Some(End::Interrupted),
                batch = batches.recv(), if has_room && next.is_none() => match batch {
                    None => end = Some(End::Failed("the input cannot be read: its thread ended".to_owned())),
                    Some(Batch::End) => end = Some(End::Input),
                    Some(Batch::Failed(error)) => end = Some(End::Failed(error)),
                    Some(Batch::Messages(messages)) => next = Some(messages),
                },
                turn = self.turn(count), if has_room && next.is_some() => {
                    if let Some(messages) = next.take() {
                        calls.spawn(Arc::clone(self).call(messages, turn));
                    }
                }
                Some(called) = calls.join_next() => match called {
                    Ok(called) => {
                        bar.inc(called.accepted);
                        left.extend(called.left);
                        if let Some(reason) = called.end {
                            end = end.filter(|end| !matches!(end, End::Input)).or(Some(reason));
                        }
                    }
                    Err(error) => end = Some(End::Failed(format!("a call ended: {error}"))),
                },
            }
            if calls.is_empty()
                && let Some(end) = end.take()
            {
                left.extend(next.into_iter().flatten());
                let is_whole = left.is_empty() || !matches!(end, End::Input);
                return (if is_whole { end } else { End::Interrupted }, left);
            }
        }
    }

    /// Settles the messages of a call. Returns those that could not be settled.
    async fn call(self: Arc<Self>, messages: Vec<Pending>, turn: Option<Ticket>) -> Called {
        let mut called = Called::default();
        let messages = match self.hold_back(messages) {
            Ok(messages) => messages,
            Err(error) => return Called { end: Some(End::Failed(error)), ..called },
        };
        let promise = match lock(&self.ledger).promise(&messages) {
            Ok(promise) => promise,
            Err(error) => return Called { left: messages, end: Some(End::Failed(error)), ..called },
        };
        let (mut parts, mut turn) = (vec![messages], turn);
        while let Some(part) = parts.pop().filter(|part| !part.is_empty()) {
            match self.send(part, turn.take(), &mut called.accepted).await {
                Sent::Settled => {}
                Sent::Refused(part, error) => match <[Pending; 1]>::try_from(part) {
                    Ok([message]) => {
                        let refused = [(message, error.to_string())];
                        if let Err(error) = lock(&self.ledger).respond(&[], &refused) {
                            called.end = Some(End::Failed(error));
                        }
                    }
                    Err(part) => parts.extend(part.into_iter().rev().map(|message| vec![message])),
                },
                Sent::Left(part, end) => {
                    called.left.extend(part);
                    called.end = end;
                    called.left.extend(parts.drain(..).rev().flatten());
                }
            }
        }
        lock(&self.ledger).release(promise);
        called
    }

    /// Settles as refused the messages whose FIFO group has an earlier refused record, because they would overtake it. Returns
    /// the others.
    fn hold_back(&self, messages: Vec<Pending>) -> Result<Vec<Pending>, String> {
        let mut ledger = lock(&self.ledger);
        let (mut held, mut others) = (Vec::new(), Vec::new());
        for message in messages {
            match ledger.refused_before(&message) {
                Some(refused) => held.push((message, format!("line {refused} of its group was not"))),
                None => others.push(message),
            }
        }
        ledger.respond(&[], &held)?;
        Ok(others)
    }

    /// Sends messages, and retries those that the queue temporarily refuses.
    async fn send(&self, mut waiting: Vec<Pending>, mut turn: Option<Ticket>, accepted: &mut u64) -> Sent {
        let mut backoff = BACKOFF;
        for attempt in 1.. {
            let outgoing: Vec<Outgoing> = waiting.iter().map(|pending| pending.outgoing.clone()).collect();
            let results = match self.attempt(&outgoing, turn.take()).await {
                None => return Sent::Left(waiting, None),
                Some(Ok(results)) => results,
                Some(Err(error)) if error.is_transient() => {
                    if !matches!(error, CallError::Refused { .. }) {
                        lock(&self.ledger).no_response();
                    }
                    if attempt >= ATTEMPTS {
                        return Sent::Left(waiting, Some(End::Queue(error)));
                    }
                    lock(&self.ledger).retry(waiting.len());
                    self.pause(&mut backoff).await;
                    continue;
                }
                Some(Err(error)) if is_of_a_message(&error) => return Sent::Refused(waiting, error),
                Some(Err(error)) => return Sent::Left(waiting, Some(End::Queue(error))),
            };
            let (mut taken, mut refused, mut again) = (Vec::new(), Vec::new(), Vec::new());
            for (pending, result) in waiting.into_iter().zip(results) {
                match result {
                    Ok(()) => taken.push(pending),
                    Err(Refusal { code, is_final }) if is_final || attempt >= ATTEMPTS => refused.push((pending, code)),
                    Err(_) => again.push(pending),
                }
            }
            if let Err(error) = lock(&self.ledger).respond(&taken, &refused) {
                return Sent::Left(again, Some(End::Failed(error)));
            }
            *accepted += taken.len() as u64;
            if again.is_empty() {
                break;
            }
            lock(&self.ledger).retry(again.len());
            waiting = again;
            self.pause(&mut backoff).await;
        }
        Sent::Settled
    }

    /// Waits until `messages` may be sent. Returns `None` if there is no rate limit.
    async fn turn(&self, messages: usize) -> Option<Ticket> {
        let pace = self.pace.as_ref()?;
        loop {
            let finished = self.finished.notified();
            let start = lock(pace).start(u32::try_from(messages).unwrap_or(u32::MAX), local::clock::now());
            match start {
                Start::Now(ticket) => return Some(ticket),
                Start::At(instant) => sleep_until(instant).await,
                Start::AfterAnother => finished.await,
            }
        }
    }

    /// Makes one call. Returns `None` if the run ends before the call is made or before its response arrives.
    async fn attempt(
        &self,
        outgoing: &[Outgoing],
        turn: Option<Ticket>,
    ) -> Option<Result<Vec<Result<(), Refusal>>, CallError>> {
        let (mut stopped, mut cut) = (self.phase.clone(), self.phase.clone());
        let turn = match turn {
            Some(turn) => Some(turn),
            None => tokio::select! {
                turn = self.turn(outgoing.len()) => turn,
                _ = stopped.wait_for(|phase| *phase > Phase::Run) => return None,
            },
        };
        if *self.phase.borrow() > Phase::Run {
            return None;
        }
        let result = tokio::select! {
            result = timeout(CALL_TIMEOUT, self.queue.send(outgoing)) => Some(result.unwrap_or_else(|_| {
                Err(CallError::NoResponse(format!("no response within {} s", CALL_TIMEOUT.as_secs())))
            })),
            _ = cut.wait_for(|phase| *phase == Phase::Cut) => {
                lock(&self.ledger).no_response();
                None
            }
        };
        if let (Some(pace), Some(ticket)) = (&self.pace, turn) {
            lock(pace).finish(ticket, local::clock::now());
            self.finished.notify_waiters();
        }
        result
    }

    /// Waits for a random part of `backoff`, or until the run ends. Doubles `backoff`.
    async fn pause(&self, backoff: &mut Duration) {
        let mut phase = self.phase.clone();
        tokio::select! {
            () = sleep(jitter(*backoff)) => {}
            _ = phase.wait_for(|phase| *phase > Phase::Run) => {}
        }
        *backoff *= 2;
    }
}

/// Returns whether an error of a whole call may be caused by one of its messages.
fn is_of_a_message(error: &CallError) -> bool {
    matches!(error, CallError::Refused { code, .. } if ERRORS_OF_A_MESSAGE.contains(&code.as_str()))
}

/// Converts signals to phases. The first signal stops the run. A second signal, or [`GRACE`] after the first, abandons the
/// calls in flight. Two further signals end the process, for example if a disk write hangs.
pub(super) async fn watch(mut signals: EndSignals, phase: watch::Sender<Phase>) {
    signals.next().await;
    let _ = phase.send(Phase::Stop);
    let _ = timeout(GRACE, signals.next()).await;
    let _ = phase.send(Phase::Cut);
    signals.next().await;
    signals.next().await;
    std::process::exit(1);
}
