//! `ingest send`: records as messages into a queue.

use crate::Outcome;
use crate::aws::{Aws, CallError};
use crate::duration::jitter;
use crate::producer::{MAX_MESSAGE_BYTES, Messages, Packed, Produced, Record, RecordOptions};
use crate::queue::{MAX_CALL_MESSAGES, Outgoing, Queue, string};
use avro_ingest::encode::{Codec, Encoder};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

/// Sends records, a line of JSON each or an Avro container file, to a queue. Exit code 1 if a record is wrong or is not taken.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  ingest send --queue-url URL --schema order orders.jsonl
  ingest send --queue-url URL --schema order --records-per-message 100 --codec zstandard --rate 500 backfill.avro
  ingest send --queue-url URL.fifo --schema order --group-id customer_id orders.jsonl")]
pub(crate) struct Arguments {
    /// The queue's URL
    #[arg(long, value_name = "URL")]
    queue_url: String,
    #[command(flatten)]
    records: RecordOptions,
    /// Messages a second at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Calls in flight; one for a FIFO queue, whose groups keep their order
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    concurrency: u32,
    /// Field of the record, a path, that is the message group
    #[arg(long, value_name = "FIELD")]
    group_id: Option<String>,
    /// A message attribute of type String
    #[arg(long, value_name = "NAME=VALUE", value_parser = attribute)]
    attribute: Vec<(String, String)>,
    /// Where the records go that are not taken, to be sent again
    #[arg(long, value_name = "FILE", default_value = "unsent.jsonl")]
    unsent: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Whether the queue keeps the order of its groups.
    fn is_fifo(&self) -> bool {
        self.queue_url.ends_with(".fifo")
    }

    /// Calls in flight: one where there is an order to keep.
    fn calls(&self) -> usize {
        if self.is_fifo() { 1 } else { self.concurrency as usize }
    }
}

/// How often a message is sent that the queue does not take for now, beside the repetitions of whole calls.
const ATTEMPTS: u32 = 8;
/// The longest wait before the second; it doubles.
const BACKOFF: Duration = Duration::from_millis(100);

fn attribute(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("not NAME=VALUE".to_owned()),
    }
}

/// A message and the records in it.
struct Pending {
    outgoing: Outgoing,
    records: Vec<Record>,
}

/// What came of a call's messages.
struct Sent {
    taken: Vec<Pending>,
    refused: Vec<(Pending, String)>,
    retries: u64,
    /// Why no other call will fare better.
    stopped: Option<CallError>,
}

#[derive(Default)]
struct SendTotals {
    messages: u64,
    records: u64,
    retries: u64,
    /// The last record that was read.
    last: u64,
    unsent: Vec<Record>,
    mistakes: u64,
}

pub(crate) async fn run(arguments: Arguments) -> Outcome {
    let aws = Aws::load().await?;
    aws.region()?;
    let messages = arguments.records.messages(arguments.group_id.clone())?;
    if arguments.records.strict {
        refuse_mistakes(arguments.records.messages(arguments.group_id.clone())?)?;
    }
    let container = messages.is_container().then(|| messages.encoder().clone());
    let arguments = Arc::new(arguments);
    let queue = Arc::new(Queue::new(aws, arguments.queue_url.clone()));
    let started = local::clock::since_epoch();
    let bar = ProgressBar::no_length()
        .with_style(ProgressStyle::with_template("  {spinner} {pos} messages  {per_sec}  {elapsed}")?);
    let mut totals = SendTotals::default();
    let end = send_all(read(messages, Arc::clone(&arguments))?, &queue, &arguments, &bar, &mut totals).await;
    bar.finish_and_clear();
    let seconds = (local::clock::since_epoch() - started).as_secs_f64();
    write_unsent(&arguments.unsent, &totals.unsent, container.as_ref())?;
    print(&totals, seconds, arguments.json)?;
    match end? {
        End::Input => Ok(totals.unsent.is_empty() && totals.mistakes == 0),
        End::Interrupt => {
            eprintln!("interrupted: --from-line {} goes on", totals.last + 1);
            Ok(false)
        }
        End::Queue(error) => {
            let SendTotals { messages, last, .. } = totals;
            let went_on = format!("{messages} messages were sent before; --from-line {} goes on", last + 1);
            Err(format!("{}: {error}; {went_on}", arguments.queue_url).into())
        }
    }
}

/// Reads the whole input once before anything is sent.
fn refuse_mistakes(mut messages: Messages) -> Result<(), Box<dyn Error>> {
    let mut mistakes = 0_u64;
    while let Some(produced) = messages.next()? {
        if let Produced::Wrong(record, problem) = produced {
            mistakes += 1;
            eprintln!("line {}: {problem}", record.number);
        }
    }
    if mistakes > 0 { Err(format!("nothing was sent: {mistakes} records are wrong").into()) } else { Ok(()) }
}

/// The messages of one call, and what was read with them.
#[derive(Default)]
struct Batch {
    messages: Vec<Pending>,
    /// The last record of all this.
    last: u64,
    mistakes: u64,
}

/// Reads the input on a thread of its own, because that blocks, and gives the messages call by call.
fn read(mut messages: Messages, arguments: Arc<Arguments>) -> Result<Receiver<Result<Batch, String>>, Box<dyn Error>> {
    let (sender, receiver) = channel(1);
    std::thread::Builder::new().spawn(move || {
        let mut next = None;
        loop {
            let batch = batch(&mut messages, &mut next, &arguments).map_err(|error| error.to_string());
            let is_last = batch.as_ref().map_or(true, |batch| batch.messages.is_empty());
            if sender.blocking_send(batch).is_err() || is_last {
                return;
            }
        }
    })?;
    Ok(receiver)
}

/// Ten messages, and as many bytes as SQS takes in a call; none at the end.
fn batch(messages: &mut Messages, next: &mut Option<Pending>, arguments: &Arguments) -> Result<Batch, Box<dyn Error>> {
    let (mut batch, mut bytes) = (Batch::default(), 0);
    while batch.messages.len() < MAX_CALL_MESSAGES {
        let pending = match next.take() {
            Some(pending) => pending,
            None => match messages.next()? {
                None => break,
                Some(Produced::Message(packed)) => pending(packed, arguments),
                Some(Produced::Wrong(record, problem)) => {
                    batch.last = batch.last.max(record.number);
                    batch.mistakes += 1;
                    eprintln!("line {}: {problem}", record.number);
                    continue;
                }
            },
        };
        bytes += pending.outgoing.bytes();
        // what a FIFO queue does not take comes again, and must not come behind the next of its group
        let follows =
            |other: &Pending| other.outgoing.group.is_some() && other.outgoing.group == pending.outgoing.group;
        let is_blocked = arguments.is_fifo() && batch.messages.iter().any(follows);
        if is_blocked || (bytes > MAX_MESSAGE_BYTES && !batch.messages.is_empty()) {
            *next = Some(pending);
            break;
        }
        batch.last = pending.records.last().map_or(batch.last, |record| batch.last.max(record.number));
        batch.messages.push(pending);
    }
    Ok(batch)
}

/// Why sending ended.
enum End {
    Input,
    Interrupt,
    /// No other call will fare better.
    Queue(CallError),
}

/// Sends until the input ends, somebody interrupts, or the queue takes nothing at all. What was taken from the input by then is
/// in the queue or among the unsent.
async fn send_all(
    mut batches: Receiver<Result<Batch, String>>,
    queue: &Arc<Queue>,
    arguments: &Arguments,
    bar: &ProgressBar,
    totals: &mut SendTotals,
) -> Result<End, Box<dyn Error>> {
    let mut calls = JoinSet::new();
    let mut end = None;
    let mut ticks = arguments.rate.map(|rate| interval(Duration::from_secs_f64(1.0 / f64::from(rate))));
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    loop {
        let has_room = end.is_none() && calls.len() < arguments.calls();
        tokio::select! {
            batch = batches.recv(), if has_room => match batch.transpose() {
                Err(error) => end = Some(Err(error.into())),
                Ok(batch) => {
                    let Batch { messages, last, mistakes } = batch.unwrap_or_default();
                    totals.last = totals.last.max(last);
                    totals.mistakes += mistakes;
                    if messages.is_empty() {
                        end = Some(Ok(End::Input));
                        continue;
                    }
                    if let Some(ticks) = &mut ticks {
                        let all = async {
                            for _ in &messages {
                                ticks.tick().await;
                            }
                        };
                        tokio::select! {
                            () = all => {}
                            interrupted = &mut interrupt => {
                                interrupted?;
                                end = Some(Ok(End::Interrupt));
                            }
                        }
                    }
                    calls.spawn(send(Arc::clone(queue), messages));
                }
            },
            Some(sent) = calls.join_next() => {
                let sent = sent?;
                bar.inc(sent.taken.len() as u64);
                if let Some(error) = totals.add(sent) {
                    end = Some(Ok(End::Queue(error)));
                }
            }
            interrupted = &mut interrupt, if end.is_none() => {
                interrupted?;
                end = Some(Ok(End::Interrupt));
            }
            else => return end.unwrap_or(Ok(End::Input)),
        }
        if calls.is_empty()
            && let Some(end) = end.take()
        {
            return end;
        }
    }
}

impl SendTotals {
    /// Takes in what came of a call, and gives why no other will fare better.
    fn add(&mut self, sent: Sent) -> Option<CallError> {
        self.messages += sent.taken.len() as u64;
        self.records += sent.taken.iter().map(|pending| pending.records.len() as u64).sum::<u64>();
        self.retries += sent.retries;
        for (pending, cause) in sent.refused {
            if let (Some(first), Some(last), None) = (pending.records.first(), pending.records.last(), &sent.stopped) {
                eprintln!("lines {} to {}: not taken: {cause}", first.number, last.number);
            }
            self.unsent.extend(pending.records);
        }
        sent.stopped
    }
}

fn pending(packed: Packed, arguments: &Arguments) -> Pending {
    let given = arguments.attribute.iter().map(|(name, value)| (name.clone(), string(value.clone())));
    let mut attributes: BTreeMap<_, _> = given.collect();
    attributes.extend(packed.schema.map(|name| ("schema".to_owned(), string(name))));
    let number = packed.records.first().map_or(0, |record| record.number);
    // a message that is sent again after a lost answer has the same id, and so is taken once
    let deduplication_id = arguments.is_fifo().then(|| {
        let mut hasher = DefaultHasher::new();
        (&packed.body, number).hash(&mut hasher);
        format!("{number}-{:016x}", hasher.finish())
    });
    Pending {
        outgoing: Outgoing { body: packed.body, attributes, group: packed.group, deduplication_id },
        records: packed.records,
    }
}

/// Sends the messages of one call, and those again that the queue does not take for now.
async fn send(queue: Arc<Queue>, mut waiting: Vec<Pending>) -> Sent {
    let mut sent = Sent { taken: Vec::new(), refused: Vec::new(), retries: 0, stopped: None };
    let mut backoff = BACKOFF;
    for attempt in 1.. {
        let outgoing: Vec<Outgoing> = waiting.iter().map(|pending| pending.outgoing.clone()).collect();
        let ends = match queue.send(&outgoing).await {
            Ok(ends) => ends,
            Err(error) if error.is_transient() && attempt < ATTEMPTS => {
                sent.retries += waiting.len() as u64;
                pause(&mut backoff).await;
                continue;
            }
            Err(error) => {
                let cause = error.to_string();
                sent.refused.extend(waiting.into_iter().map(|pending| (pending, cause.clone())));
                sent.stopped = Some(error);
                return sent;
            }
        };
        let mut again = Vec::new();
        for (pending, end) in waiting.into_iter().zip(ends) {
            match end {
                Ok(()) => sent.taken.push(pending),
                Err(refusal) if refusal.is_final || attempt == ATTEMPTS => sent.refused.push((pending, refusal.code)),
                Err(_) => again.push(pending),
            }
        }
        if again.is_empty() {
            break;
        }
        sent.retries += again.len() as u64;
        waiting = again;
        pause(&mut backoff).await;
    }
    sent
}

/// Waits for a random part of `backoff`, which doubles.
async fn pause(backoff: &mut Duration) {
    sleep(jitter(*backoff)).await;
    *backoff *= 2;
}

/// Writes the records that were not sent, if there are any, as they came: lines, or a container file by its encoder.
fn write_unsent(path: &Path, unsent: &[Record], container: Option<&Encoder>) -> Result<(), Box<dyn Error>> {
    if unsent.is_empty() {
        return Ok(());
    }
    let bytes = match container {
        Some(encoder) => {
            let datums: Vec<&[u8]> = unsent.iter().filter_map(|record| record.datum.as_deref().ok()).collect();
            encoder.container_of_datums(&datums, Codec::Null)?
        }
        None => unsent
            .iter()
            .filter_map(|record| Some(format!("{}\n", record.json.as_ref()?).into_bytes()))
            .flatten()
            .collect(),
    };
    fs::write(path, bytes).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    eprintln!("{} records were not sent: they are in {}", unsent.len(), path.display());
    Ok(())
}

fn print(totals: &SendTotals, seconds: f64, json: bool) -> Result<(), Box<dyn Error>> {
    let rate = |count: u64| count as f64 / seconds.max(f64::EPSILON);
    let SendTotals { messages, records, retries, mistakes, unsent, .. } = totals;
    if json {
        let report = json!({
            "messages": messages, "records": records, "seconds": seconds, "retries": retries,
            "unsent": unsent.len(), "wrong": mistakes,
        });
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{messages} messages with {records} records sent in {seconds:.1} s");
        println!("{:.0} messages and {:.0} records a second, {retries} retries", rate(*messages), rate(*records));
    }
    Ok(())
}
