//! `ingest send`: sends records as messages to a queue.
//!
//! # Guarantee
//!
//! However the process ends, each record that was read is either accepted by the queue, or listed in a file from which the same
//! command sends it again. A record is sent twice only if a response was lost, or if the process was killed or interrupted
//! while its message was in flight.
//!
//! # States of a record
//!
//! | state | where it is | what a resumed run does |
//! | --- | --- | --- |
//! | unread | in the input | reads it |
//! | wrong: cannot be encoded | in the journal, and collected for the file of unsent records | collects it again |
//! | held until its message or its call is full | in the input only | reads it again |
//! | in flight | in the input only; space for the result is reserved in the journal | sends it again with the same deduplication id |
//! | accepted | in the journal, written after the response and before anything else | skips it |
//! | refused, or after a refused record of its FIFO group | in the journal, and collected for the file of unsent records | collects it again |
//!
//! Only [`ledger`] changes the state of a record. Before each call, [`ledger::Ledger::promise`] reserves space for its result,
//! so that a full disk stops the run before a call and not after it.
//!
//! # How a run ends
//!
//! - **Complete**: all records are accepted, refused or wrong. The file of unsent records is written under a temporary name and
//!   flushed, the journal records its hash, the file is renamed, the result is printed, and the journal is removed. If the
//!   process is killed between two of these steps, the next process finds the journal, writes the same file again, and
//!   recognises an existing file by its hash.
//! - **Interrupted** (SIGINT, SIGTERM): no further call begins. Calls in flight have three seconds to finish, or until a second
//!   signal. A message without a response stays pending in the journal.
//! - **Stopped** by an error of the queue, the input or the disk: like an interrupted run, but with exit code 2.
//! - **Killed**: the journal contains every response that was received.
//!
//! A journal is removed at the end of the run if the queue has not responded and no response is outstanding. It would only bind
//! the next command to the options of this one.
//!
//! # Special cases
//!
//! - **Packed records**: a message is accepted or refused as a whole, so the accepted and refused records of a journal always
//!   form whole messages. A resumed run starts a new message after each of them. It therefore creates the same messages with
//!   the same deduplication ids from the same file.
//! - **Pipes** have a journal only with `--journal`. Each entry then holds the hash of the bytes read so far. A resumed run
//!   sends nothing until it has read the same number of bytes with the same hash. Without a journal, all records that were read
//!   and not accepted are written to the file of unsent records at the end, except after SIGKILL. Space for them is reserved
//!   before each call. A record from a pipe waits at most one second for its message and its call to fill up. A resumed run may
//!   therefore pack records differently, so the deduplication id of a message contains its first and its last record number.
//! - **`--from-line`**: the journal stores the first line of its run. A resumed run may name another line if that skips no
//!   pending record. The line then has no effect, because the journal is more precise.
//! - **`--rate`**: see [`pace`]. Retried messages count again.
//! - **FIFO**: one call at a time, with at most one message per group, so that a message which is temporarily refused keeps its
//!   place in the order. After a permanent refusal, the later messages of the group are settled as refused, in order. A wrong
//!   record does not block its group, because the group id itself may be wrong. With `--strict`, nothing is sent if any record
//!   is wrong.

mod attributes;
mod deliver;
mod identity;
mod ledger;
mod meter;
mod pace;
mod reading;
mod unsent;

use crate::Outcome;
use crate::aws::Aws;
use crate::journal::{Journal, Opened, run_id};
use crate::output::{OutputError, errln, outln};
use crate::producer::{Input, KeyFields, Packer, Packing, Produced, RecordOptions, open};
use crate::queue::{Outgoing, Queue, check_url, string};
use crate::signals::EndSignals;
use avro_ingest::encode::Encoder;
use avro_ingest::sqs::OriginalAttribute;
use deliver::{Delivery, End, Phase};
use identity::{ATTRIBUTE_OPTION, Command, Header, InputIdentity, Settled, is_input, is_one_file, is_regular, of_file};
use indicatif::{ProgressBar, ProgressStyle};
use ledger::{Ledger, Pending, Totals};
use meter::{Meter, Prefix, whole};
use reading::{Batch, Reading};
use serde_json::json;
use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use unsent::{Keep, Unsent};

/// Sends records to a queue, from JSON lines or an Avro container file. Repeat the command to resume an incomplete run. Exit
/// code 1 if a record is invalid or refused, or if the run was interrupted.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  ingest send --queue-url URL --schema order orders.jsonl
  ingest send --queue-url URL --schema order --records-per-message 100 --codec zstandard --rate 500 backfill.avro
  ingest send --queue-url URL.fifo --schema order --group-id customer_id orders.jsonl
  produce | ingest send --queue-url URL --schema order --journal produced.journal")]
pub(crate) struct Arguments {
    /// URL of the queue
    #[arg(long, value_name = "URL")]
    queue_url: String,
    #[command(flatten)]
    records: RecordOptions,
    /// Maximum number of messages per second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Maximum number of concurrent calls; always 1 for a FIFO queue, to keep the order of its groups
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    concurrency: u32,
    /// Path of the record field that holds the message group id
    #[arg(long, value_name = "FIELD")]
    group_id: Option<String>,
    /// Path of the record field that holds the deduplication id for a FIFO queue [default: derived from the run and the record
    /// numbers]
    #[arg(long, value_name = "FIELD")]
    dedup_id: Option<String>,
    /// Add a message attribute of type String
    #[arg(long, value_name = "NAME=VALUE")]
    attribute: Vec<String>,
    /// File for invalid and refused records, which can be sent again [default: unsent.jsonl, or unsent.avro]
    #[arg(long, value_name = "FILE")]
    unsent: Option<PathBuf>,
    /// Replace the file of --unsent if it exists
    #[arg(long)]
    overwrite: bool,
    /// File that records the accepted records, so that the repeated command resumes [default: FILE.journal; none for a pipe]
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Time for collecting the records that were read from a pipe when the run ends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// How records become messages.
struct Plan {
    /// Random id of the run.
    run: String,
    is_fifo: bool,
    rate: Option<u32>,
    attributes: BTreeMap<String, OriginalAttribute>,
    fields: KeyFields,
}

impl Arguments {
    /// Returns whether the queue preserves the order within message groups.
    fn is_fifo(&self) -> bool {
        self.queue_url.ends_with(".fifo")
    }

    /// Returns the maximum number of concurrent calls, which is 1 for a FIFO queue.
    fn calls(&self) -> usize {
        if self.is_fifo() { 1 } else { self.concurrency as usize }
    }

    fn fields(&self, encoder: &Encoder) -> KeyFields {
        let (group, deduplication) = (self.group_id.clone(), self.dedup_id.clone());
        KeyFields { group, deduplication, encoder: Some(encoder.clone()) }
    }

    fn attributes(&self) -> Result<BTreeMap<String, OriginalAttribute>, String> {
        Ok(attributes::read(&self.attribute)?.into_iter().map(|(name, value)| (name, string(value))).collect())
    }

    fn packing(&self) -> Result<Packing, Box<dyn Error>> {
        let attributes = self.attributes()?;
        let none = Outgoing { body: String::new(), attributes, group: None, deduplication_id: None };
        Ok(self.records.packing()?.with_attributes(none.bytes()))
    }

    /// Refuses options that contradict each other or do not fit the queue.
    fn check(&self) -> Result<(), String> {
        check_url(&self.queue_url)?;
        if self.is_fifo() && self.group_id.is_none() {
            return Err("a FIFO queue needs --group-id".to_owned());
        }
        if !self.is_fifo() && self.dedup_id.is_some() {
            return Err("--dedup-id is for a FIFO queue, whose URL ends in .fifo".to_owned());
        }
        if self.dedup_id.is_some() && self.records.packs() {
            return Err("--dedup-id is of one record, and --records-per-message packs several".to_owned());
        }
        self.attributes().map(drop)
    }

    /// Returns the path of the journal, if the run has one.
    fn journal_path(&self, is_pipe: bool) -> Option<PathBuf> {
        let beside = || {
            let mut name: OsString = self.records.file.as_os_str().to_owned();
            name.push(".journal");
            PathBuf::from(name)
        };
        self.journal.clone().or_else(|| (!is_pipe).then(beside))
    }

    /// Returns the path of the file of unsent records, which is never the input.
    fn unsent_path(&self, is_container: bool) -> Result<PathBuf, String> {
        let input = &self.records.file;
        if let Some(path) = &self.unsent {
            return match is_input(input, path) {
                true => Err(format!("{} is the input: name another file by --unsent", path.display())),
                false => Ok(path.clone()),
            };
        }
        let extension = if is_container { "avro" } else { "jsonl" };
        let names = (1..).map(|number| match number {
            1 => PathBuf::from(format!("unsent.{extension}")),
            number => PathBuf::from(format!("unsent-{number}.{extension}")),
        });
        names.into_iter().find(|path| !is_input(input, path)).ok_or_else(|| "no name is left".to_owned())
    }

    fn header(&self, packing: &Packing, input: InputIdentity, run: String) -> Result<Header, String> {
        let mut options: BTreeMap<String, String> =
            packing.options().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let fields = [("--group-id", &self.group_id), ("--dedup-id", &self.dedup_id)];
        options.extend(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?))));
        let attributes = attributes::read(&self.attribute)?;
        options.extend(attributes.into_iter().map(|(name, value)| (format!("{ATTRIBUTE_OPTION}{name}"), value)));
        let queue = self.queue_url.clone();
        Ok(Header { command: Command::Send, run, queue, input, options, from_line: self.records.from_line })
    }
}

pub(crate) async fn run(arguments: Arguments) -> Outcome {
    arguments.check()?;
    let aws = Aws::load().await?;
    aws.region()?;
    let Prepared { plan, ledger, meter, settled, input, packer, from, file, journal } = Prepared::new(&arguments)?;
    let started = local::clock::since_epoch();
    let bar = ProgressBar::no_length()
        .with_style(ProgressStyle::with_template("  {spinner} {pos} messages  {per_sec}  {elapsed}")?);
    let (phases, phase) = watch::channel(Phase::Run);
    tokio::spawn(deliver::watch(EndSignals::take()?, phases));

    let ledger = Arc::new(Mutex::new(ledger));
    let is_pipe = file.is_none();
    let reading = Reading { plan, ledger: Arc::clone(&ledger), meter: meter.clone(), settled, from, is_pipe };
    let mut batches = reading::start(reading, input, packer)?;
    let queue = Queue::new(aws, arguments.queue_url.clone());
    let delivery = Arc::new(Delivery::new(queue, Arc::clone(&ledger), arguments.rate, phase));
    let (end, left) = delivery.run(&mut batches, arguments.calls(), &bar).await;
    bar.finish_and_clear();

    if journal.is_none() && !matches!(end, End::Input) {
        drain(&ledger, &meter, &mut batches, &left).await?;
    }
    let end = match file {
        Some(prefix) if matches!(end, End::Input) && has_grown(&arguments.records.file, &prefix) => End::Grown,
        _ => end,
    };
    let finished = finish(&ledger, &end, journal.as_deref(), from)?;
    let seconds = (local::clock::since_epoch() - started).as_secs_f64();
    let printed = print(&finished, seconds, arguments.json);
    if is_complete(&end) {
        lock(&ledger).close()?;
    }
    let Finished { totals, unsent, advice } = finished;
    let is_other_input = matches!(&end, End::Failed(error) if error.contains(meter.mismatch()));
    let before = if is_other_input {
        // the same command would fail in the same way
        "nothing was sent by this run, and the journal is as it was".to_owned()
    } else if totals.earlier > 0 {
        format!("{} messages were sent by this run; {advice}", totals.messages)
    } else {
        format!("{} messages were sent before; {advice}", totals.messages)
    };
    let outcome: Outcome = match end {
        End::Input => Ok(unsent == 0),
        End::Interrupted => {
            errln!("interrupted: {advice}");
            Ok(false)
        }
        End::Queue(error) => Err(format!("{}: {error}; {before}", arguments.queue_url).into()),
        End::Failed(error) => Err(format!("{error}; {before}").into()),
        End::Grown => {
            let file = arguments.records.file.display();
            Err(format!("{file} has grown since it was opened: all of it was sent that was there; {advice}").into())
        }
    };
    // the error that ended the run takes precedence over an error of its report
    let outcome = outcome?;
    printed?;
    Ok(outcome)
}

/// A run before its first call.
struct Prepared {
    plan: Arc<Plan>,
    ledger: Ledger,
    meter: Meter,
    settled: Settled,
    input: Input,
    packer: Packer,
    /// Number of the first record to send.
    from: u64,
    /// Size and hash of the input, if it is a file.
    file: Option<Prefix>,
    /// Path of the journal.
    journal: Option<PathBuf>,
}

impl Prepared {
    /// Opens all files of the run. Refuses options that would overwrite or lose data.
    fn new(arguments: &Arguments) -> Result<Self, Box<dyn Error>> {
        let file = &arguments.records.file;
        let is_pipe = !is_regular(file);
        let path = arguments.journal_path(is_pipe);
        if let Some(path) = path.as_deref().filter(|path| is_input(file, path)) {
            return Err(format!("{} is the input: name another file by --journal", path.display()).into());
        }
        let identity = if is_pipe { InputIdentity::Pipe } else { of_file(file)? };
        let header = arguments.header(&arguments.packing()?, identity, run_id()?)?;
        let Some(path) = path else { return Self::with_journal(arguments, &header, Settled::default(), None, None) };
        let (journal, header, settled, is_new) = open_journal(&path, header)?;
        let mut journal = Some(journal);
        let prepared = Self::with_journal(arguments, &header, settled, Some(path), journal.take_if(|_| !is_new));
        match (prepared, journal) {
            (Ok(mut prepared), Some(journal)) => {
                prepared.ledger.begin(journal);
                Ok(prepared)
            }
            // nothing was sent, and a new journal would only bind the next command to the options of this one
            (Err(error), Some(journal)) => {
                journal.remove()?;
                Err(error)
            }
            (prepared, None) => prepared,
        }
    }

    fn with_journal(
        arguments: &Arguments,
        header: &Header,
        settled: Settled,
        path: Option<PathBuf>,
        journal: Option<Journal>,
    ) -> Result<Self, Box<dyn Error>> {
        let records = &arguments.records;
        let packing = arguments.packing()?;
        let (bytes, expected, file): (Box<dyn Read + Send>, _, _) = match &header.input {
            // read only the bytes that the hash covers
            InputIdentity::File(prefix) => {
                let bytes = open(&records.file)?.take(prefix.bytes);
                (Box::new(bytes), Some(prefix.clone()), Some(prefix.clone()))
            }
            InputIdentity::Pipe => (open(&records.file)?, settled.read.clone(), None),
        };
        let mismatch = match &header.input {
            InputIdentity::File(_) => "the file has changed since it was opened",
            InputIdentity::Pipe => "the input is not the one that the journal is of",
        };
        let (metered, meter) = Meter::of(bytes, expected, mismatch);
        let input = Input::new(Box::new(metered), &records.file, packing.encoder())?;
        if records.strict {
            if file.is_none() {
                return Err("--strict reads the input twice, and so needs a file".into());
            }
            refuse_mistakes(arguments)?;
        }
        let container = input.container_schema();
        let unsent = arguments.unsent_path(container.is_some())?;
        // the journal exists by now, so this also detects links and other spellings of its path
        if path.as_deref().is_some_and(|journal| is_one_file(journal, &unsent)) {
            let unsent = unsent.display();
            return Err(format!("--journal and --unsent name one file, {unsent}: name another by one of them").into());
        }
        let replaces = may_replace(&unsent, arguments.overwrite, &settled)?;
        let keep = if path.is_some() { Keep::ForTheRun } else { Keep::ForGood };
        let unsent = Unsent::prepare(&unsent, replaces, &header.run, container, keep)?;
        let pipe = file.is_none().then(|| meter.clone());
        let has_sent = !settled.is_empty();
        let ledger = Ledger::new(journal, unsent, pipe, header.from_line, has_sent);
        let plan = Plan {
            run: header.run.clone(),
            is_fifo: arguments.is_fifo(),
            rate: arguments.rate,
            attributes: arguments.attributes()?,
            fields: arguments.fields(packing.encoder()),
        };
        let packer = Packer::new(packing, plan.fields.clone());
        let from = header.from_line;
        Ok(Self { plan: Arc::new(plan), ledger, meter, settled, input, packer, from, file, journal: path })
    }
}

/// Opens the journal of the run `header`, or resumes an existing journal.
fn open_journal(path: &Path, header: Header) -> Result<(Journal, Header, Settled, bool), Box<dyn Error>> {
    let mut settled = Settled::default();
    let Opened { journal, found, damaged } = Journal::open(path, &header, |entry| settled.add(entry))?;
    if damaged > 0 {
        errln!("{}: {damaged} lines are unreadable; their records are sent again", path.display());
    }
    let Some(found) = found else { return Ok((journal, header, settled, true)) };
    if let Some(difference) = found.difference(&header, &settled) {
        let path = path.display();
        let sent = "nothing was sent; name another journal by --journal, or remove this one";
        return Err(format!("{path} is the journal of a run that does not fit: {difference}; {sent}").into());
    }
    Ok((journal, found, settled, false))
}

/// Returns whether the file of unsent records may replace an existing file at `path`.
///
/// # Errors
/// If a file exists that must not be replaced.
fn may_replace(path: &Path, overwrite: bool, settled: &Settled) -> Result<bool, String> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(overwrite) };
    // an earlier process of this run wrote the file, and was killed before it could remove the journal
    let is_ours = || settled.unsent.is_some() && File::open(path).and_then(whole).ok() == settled.unsent;
    if metadata.is_file() && (overwrite || is_ours()) {
        return Ok(true);
    }
    Err(format!("{} exists: name another file by --unsent, or replace it by --overwrite", path.display()))
}

/// Reads the whole input before anything is sent, and fails if a record is invalid.
fn refuse_mistakes(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let records = &arguments.records;
    let packing = arguments.packing()?;
    let mut input = Input::new(open(&records.file)?, &records.file, packing.encoder())?;
    let fields = arguments.fields(packing.encoder());
    let mut packer = Packer::new(packing, fields);
    let mut mistakes = 0_u64;
    loop {
        let next = input.next()?;
        let has_ended = next.is_none();
        match next {
            Some(raw) if raw.number < records.from_line => {}
            Some(raw) => packer.take(input.encode(raw)),
            None => packer.pack(),
        }
        while let Some(produced) = packer.pop() {
            if let Produced::Wrong(record, problem) = produced {
                mistakes += 1;
                errln!("line {}: {problem}", record.raw.number);
            }
        }
        if has_ended {
            break;
        }
    }
    if mistakes > 0 { Err(format!("nothing was sent: {mistakes} records are wrong").into()) } else { Ok(()) }
}

/// Returns whether the size of a file has changed.
fn has_grown(file: &Path, then: &Prefix) -> bool {
    fs::metadata(file).is_ok_and(|metadata| metadata.len() != then.bytes)
}

/// Collects all records that were read and not sent, because there is no journal to resume from.
async fn drain(
    ledger: &Mutex<Ledger>,
    meter: &Meter,
    batches: &mut mpsc::Receiver<Batch>,
    left: &[Pending],
) -> Result<(), String> {
    meter.stop();
    let all = async {
        lock(ledger).leave(left)?;
        while let Some(batch) = batches.recv().await {
            match batch {
                Batch::Messages(messages) => lock(ledger).leave(&messages)?,
                Batch::Failed(_) | Batch::End => break,
            }
        }
        Ok(())
    };
    let drained: Result<(), String> = timeout(DRAIN_TIMEOUT, all).await.unwrap_or(Ok(()));
    drained.map_err(|error| lock(ledger).abandoned(&error))
}

/// Result of a run.
struct Finished {
    totals: Totals,
    /// Number of records in the file of unsent records, or in the journal for it.
    unsent: usize,
    /// How to resume the run.
    advice: String,
}

/// Returns whether all records that were read are settled.
fn is_complete(end: &End) -> bool {
    matches!(end, End::Input | End::Grown)
}

/// Completes the run that began at record `from`, or keeps its journal for the next process.
fn finish(ledger: &Mutex<Ledger>, end: &End, journal: Option<&Path>, from: u64) -> Result<Finished, String> {
    let mut ledger = lock(ledger);
    let next = ledger.next_line();
    let unsent = ledger.unsent();
    let advice = match journal.filter(|_| ledger.may_have_sent() && !is_complete(end)) {
        // the command starts at this line by default
        Some(journal) if next == from => format!("the same command goes on, by {}", journal.display()),
        Some(journal) => {
            format!("the same command goes on, by {}; --from-line {next} goes on as well", journal.display())
        }
        None => format!("--from-line {next} goes on"),
    };
    if is_complete(end) || journal.is_none() {
        ledger.complete()?;
    } else {
        ledger.suspend()?;
    }
    Ok(Finished { totals: ledger.totals().clone(), unsent, advice })
}

fn print(finished: &Finished, seconds: f64, json: bool) -> Result<(), OutputError> {
    let rate = |count: u64| count as f64 / seconds.max(f64::EPSILON);
    let Finished { totals: Totals { messages, records, retries, wrong, earlier }, unsent, .. } = finished;
    if json {
        let report = json!({
            "messages": messages, "records": records, "seconds": seconds, "retries": retries,
            "unsent": unsent, "wrong": wrong, "sent_before": earlier,
        });
        return outln!("{report:#}");
    }
    if *earlier > 0 {
        outln!("{earlier} records were sent before")?;
    }
    outln!("{messages} messages with {records} records sent in {seconds:.1} s")?;
    outln!("{:.0} messages and {:.0} records a second, {retries} retries", rate(*messages), rate(*records))
}

/// Locks a mutex even if a thread panicked while holding it. Every change under the lock is atomic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::producer::{Content, Raw};
    use std::fs::File;

    fn header(run: &str) -> Header {
        let input = InputIdentity::File(Prefix { bytes: 2, sha256: String::new() });
        let queue = "q".to_owned();
        Header { command: Command::Send, run: run.to_owned(), queue, input, options: BTreeMap::new(), from_line: 1 }
    }

    fn message(number: u64, text: &str) -> Pending {
        let outgoing =
            Outgoing { body: text.to_owned(), attributes: BTreeMap::new(), group: None, deduplication_id: None };
        let content = Content::Line(text.as_bytes().to_vec());
        Pending { outgoing, records: vec![Raw { number, after: number - 1, content }] }
    }

    #[test]
    fn a_process_that_is_killed_while_it_completes_leaves_what_the_next_one_completes() {
        let folder = std::env::temp_dir().join(format!("ingest-complete-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (journal_path, unsent_path) = (folder.join("journal"), folder.join("unsent.jsonl"));
        // killed after the journal entry, after the rename, or not at all
        for killed_after in 0..3 {
            let open = || open_journal(&journal_path, header("one")).unwrap();
            let refuse = |journal: Journal, replaces| {
                let unsent = Unsent::prepare(&unsent_path, replaces, "one", None, Keep::ForTheRun).unwrap();
                Ledger::new(Some(journal), unsent, None, 1, true)
            };
            let (journal, _, _, is_new) = open();
            assert!(is_new);
            let mut ledger = refuse(journal, false);
            ledger.respond(&[message(1, "a")], &[(message(2, "b"), "no".to_owned())]).unwrap();
            ledger.complete_up_to(killed_after).unwrap();
            drop(ledger);
            if killed_after < 2 {
                let (journal, _, settled, is_new) = open();
                assert!(!is_new && settled.accepted.contains(1) && settled.refused.contains(2));
                let replaces = may_replace(&unsent_path, false, &settled).unwrap();
                let mut ledger = refuse(journal, replaces);
                ledger.unsent_earlier(&message(2, "b").records[0], None).unwrap();
                ledger.complete().and_then(|()| ledger.close()).unwrap();
            }
            assert_eq!(fs::read(&unsent_path).unwrap(), b"b\n");
            assert!(!journal_path.exists());
            fs::remove_file(&unsent_path).unwrap();
        }
        // an existing file with other content does not belong to this run
        let settled = Settled { unsent: Some(whole(&b"b\n"[..]).unwrap()), ..Settled::default() };
        fs::write(&unsent_path, "c\n").unwrap();
        assert!(may_replace(&unsent_path, false, &settled).is_err());
        assert!(whole(File::open(&unsent_path).unwrap()).is_ok());
        fs::remove_dir_all(folder).unwrap();
    }
}
