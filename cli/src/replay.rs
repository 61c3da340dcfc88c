//! `ingest replay`: dead-lettered and quarantined messages back to their queue, as they came.

use crate::aws::{Aws, CallError};
use crate::duration::duration;
use crate::page;
use crate::queue::{Outgoing, Queue, Received};
use crate::{EVERY_WIRE_FORMAT, Outcome};
use avro_ingest::decode::{DecodeBuffers, decode_message};
use avro_ingest::quarantine::{Addition, restore};
use avro_ingest::schema_dir;
use avro_ingest::settings::Settings;
use avro_ingest::sqs::Event;
use avro_ingest::transcode::Transcoder;
use serde_json::json;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

/// Sends dead-lettered or quarantined messages to their queue again, each as it was before. Exit code 1 if one was not moved.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  ingest replay --from DLQ_URL --to QUEUE_URL --dry-run
  ingest replay --from QUARANTINE_URL --to QUEUE_URL --reason unknown_schema --since 2d
  ingest replay --from DLQ_URL --to QUEUE_URL --schema order --limit 10")]
pub(crate) struct Arguments {
    /// URL of the dead-letter or quarantine queue
    #[arg(long, value_name = "URL")]
    from: String,
    /// URL of the queue they came from
    #[arg(long, value_name = "URL")]
    to: String,
    /// Only messages that were quarantined, or would be rejected now, for this reason
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// Only messages of this subject
    #[arg(long, value_name = "SUBJECT")]
    schema: Option<String>,
    /// Only messages sent within this time, such as 12h or 2d
    #[arg(long, value_name = "TIME", value_parser = duration)]
    since: Option<Duration>,
    /// So many messages at most
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Show what there is and what would become of it; move nothing
    #[arg(long)]
    dry_run: bool,
    /// Schema directory
    #[arg(long, default_value = "schemas", value_name = "DIR")]
    schemas: PathBuf,
    /// Allowed framings, in order
    #[arg(long, default_value = EVERY_WIRE_FORMAT, value_name = "LIST")]
    wire_formats: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How long a message is out of sight while it is looked at and moved.
const VISIBILITY_SECONDS: u32 = 300;
/// Receives without a message after which the queue counts as empty: one may come from a server that has none.
const EMPTY_RECEIVES: u32 = 3;

/// A message as it was before it was quarantined, and what would become of it.
struct Letter {
    message: Received,
    /// Why it was quarantined.
    reason: Option<String>,
    subject: String,
    /// Items it would be, or why it would be rejected.
    fate: Result<usize, String>,
}

/// Letters that have this in common: reason, subject, and what would become of them.
type Groups = BTreeMap<(String, String, String), usize>;

pub(crate) async fn run(arguments: Arguments) -> Outcome {
    let config = Settings::parse(|name| match name {
        "TABLE_NAME" => Some("processed_messages".to_owned()),
        "WIRE_FORMATS" => Some(arguments.wire_formats.clone()),
        _ => None,
    })?;
    let transcoder = Transcoder::new(&config, schema_dir::read(&arguments.schemas)?)?;
    let from = Queue::new(Aws::load().await?, arguments.from.clone());
    let to = Queue::new(Aws::load().await?, arguments.to.clone());
    let mut replay = Replay {
        arguments: &arguments,
        transcoder: &transcoder,
        held: Vec::new(),
        groups: Groups::new(),
        moved: 0,
        left: 0,
    };
    let ended = tokio::select! {
        ended = replay.run(&from, &to) => Some(ended),
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            None
        }
    };
    // what is not moved is back in sight at once, whatever happened
    let handles: Vec<String> = replay.held.iter().map(|letter| letter.message.receipt_handle.clone()).collect();
    let released = from.change_visibility(&handles, 0).await;
    replay.print()?;
    match ended {
        Some(ended) => ended?,
        None => eprintln!("interrupted: what was not moved is where it was"),
    }
    if !released?.is_empty() {
        eprintln!("some messages are out of sight for up to {VISIBILITY_SECONDS} s more");
    }
    Ok(replay.left == 0)
}

struct Replay<'a> {
    arguments: &'a Arguments,
    transcoder: &'a Transcoder,
    /// Received and neither moved nor released.
    held: Vec<Letter>,
    groups: Groups,
    moved: usize,
    /// Selected, and not moved.
    left: usize,
}

impl Replay<'_> {
    async fn run(&mut self, from: &Queue, to: &Queue) -> Result<(), Box<dyn Error>> {
        let named = |url: &str, error: CallError| format!("{url}: {error}");
        let (mut empty, mut selected) = (0, 0);
        let most = self.arguments.limit.unwrap_or(usize::MAX);
        while empty < EMPTY_RECEIVES && selected < most {
            let received =
                from.receive(10, VISIBILITY_SECONDS, 1).await.map_err(|error| named(&self.arguments.from, error))?;
            empty = if received.is_empty() { empty + 1 } else { 0 };
            let mut letters = Vec::new();
            for message in received {
                let letter = self.letter(message)?;
                if self.is_selected(&letter) && selected < most {
                    selected += 1;
                    let fate = match &letter.fate {
                        Ok(items) => format!("{items} items"),
                        Err(reason) => format!("rejected: {reason}"),
                    };
                    let reason = letter.reason.clone().unwrap_or_else(|| "dead letter".to_owned());
                    *self.groups.entry((reason, letter.subject.clone(), fate)).or_default() += 1;
                    letters.push(letter);
                } else {
                    self.held.push(letter);
                }
            }
            if self.arguments.dry_run {
                self.held.append(&mut letters);
            } else if !letters.is_empty() {
                self.send(letters, from, to).await.map_err(|(url, error)| named(&url, error))?;
            }
        }
        Ok(())
    }

    /// Moves letters: first the queue takes them, then they are deleted where they were.
    async fn send(&mut self, letters: Vec<Letter>, from: &Queue, to: &Queue) -> Result<(), (String, CallError)> {
        let is_fifo = self.arguments.to.ends_with(".fifo");
        let outgoing: Vec<Outgoing> = letters.iter().map(|letter| outgoing(&letter.message, is_fifo)).collect();
        let ends = match send_in_parts(to, &outgoing).await {
            Ok(ends) => ends,
            Err(error) => {
                self.left += letters.len();
                self.held.extend(letters);
                return Err((self.arguments.to.clone(), error));
            }
        };
        let mut taken = Vec::new();
        for (letter, is_taken) in letters.into_iter().zip(ends) {
            if is_taken {
                taken.push(letter.message.receipt_handle);
            } else {
                self.left += 1;
                self.held.push(letter);
            }
        }
        self.moved += taken.len();
        let failed = from.delete(&taken).await.map_err(|error| (self.arguments.from.clone(), error))?;
        if !failed.is_empty() {
            eprintln!(
                "{} messages are in both queues: they could not be deleted from {}",
                failed.len(),
                self.arguments.from
            );
        }
        Ok(())
    }

    fn letter(&self, mut message: Received) -> Result<Letter, Box<dyn Error>> {
        let addition = restore(&mut message.attributes);
        let (reason, known) = addition.map_or((None, None), |Addition { reason, subject }| (Some(reason), subject));
        let event = json!({"Records": [message.record("")]}).to_string();
        let event = Event::parse(event.as_bytes())?;
        let mut encoder = self.transcoder.encoder(local::clock::since_epoch(), 0);
        let first = event.messages.first().ok_or("no message")?;
        let decoded = decode_message(self.transcoder, first, 0, &mut encoder, &mut DecodeBuffers::default());
        let subject = match &decoded {
            Ok(decoded) => self.transcoder.subject(decoded.subject).to_owned(),
            Err(_) => known.unwrap_or_else(|| "unknown".to_owned()),
        };
        let fate = match decoded {
            Ok(decoded) => Ok(decoded.records),
            Err(rejection) => {
                let text = rejection.to_string();
                Err(text.split(':').next().unwrap_or_default().to_owned())
            }
        };
        Ok(Letter { message, reason, subject, fate })
    }

    fn is_selected(&self, letter: &Letter) -> bool {
        let Arguments { reason, schema, since, .. } = self.arguments;
        let is_of = |reason: &String| {
            letter.reason.as_ref() == Some(reason)
                || (letter.reason.is_none() && letter.fate.as_ref().err() == Some(reason))
        };
        let earliest = since.map(|since| local::clock::since_epoch().saturating_sub(since));
        let is_recent =
            |earliest: Duration| letter.message.sent_ms.is_some_and(|sent| Duration::from_millis(sent) >= earliest);
        reason.as_ref().is_none_or(is_of)
            && schema.as_ref().is_none_or(|schema| *schema == letter.subject)
            && earliest.is_none_or(is_recent)
    }

    fn print(&self) -> Result<(), Box<dyn Error>> {
        if self.arguments.json {
            let groups: Vec<_> = self
                .groups
                .iter()
                .map(|((reason, schema, fate), count)| {
                    json!({"reason": reason, "schema": schema, "would_be": fate, "messages": count})
                })
                .collect();
            let report = json!({"groups": groups, "moved": self.moved, "left": self.left});
            println!("{}", serde_json::to_string_pretty(&report)?);
            return Ok(());
        }
        let mut table = page::table(&["reason", "schema", "would be", "messages"]);
        for ((reason, schema, fate), count) in &self.groups {
            table.add_row([reason, schema, fate, &count.to_string()]);
        }
        println!("{table}");
        if self.arguments.dry_run {
            println!("nothing was moved");
        } else {
            println!("{} messages moved, {} not taken", self.moved, self.left);
        }
        Ok(())
    }
}

/// A message as it goes to its queue again.
fn outgoing(message: &Received, is_fifo: bool) -> Outgoing {
    Outgoing {
        body: message.body.clone(),
        attributes: message.attributes.clone(),
        group: message.group.clone().or_else(|| is_fifo.then(|| message.id.clone())),
        // run again after an interruption, a FIFO queue takes it once
        deduplication_id: is_fifo.then(|| message.id.clone()),
    }
}

/// Sends messages one call after another, as large as a call may be, and says which were taken.
async fn send_in_parts(to: &Queue, outgoing: &[Outgoing]) -> Result<Vec<bool>, CallError> {
    let mut taken = Vec::new();
    // ten messages of up to 1 MiB each are received at once, and a call takes 1 MiB: a large one goes alone
    for message in
        outgoing.chunk_by(|one, other| one.bytes() + other.bytes() <= crate::producer::MAX_MESSAGE_BYTES / 10)
    {
        let ends = to.send(message).await?;
        taken.extend(ends.into_iter().map(|end| match end {
            Ok(()) => true,
            Err(refusal) => {
                eprintln!("a message was not taken: {}", refusal.code);
                false
            }
        }));
    }
    Ok(taken)
}
