//! `ingest replay`: moves dead-lettered and quarantined messages back to their original queue.
//!
//! # Guarantee
//!
//! However the process ends, each message is either accepted by the target or still in the source queue. A message is in both
//! queues only if a response was lost, a deletion failed, or the process was killed between two calls. The next run with the
//! same journal deletes the messages whose acceptance is recorded, and does not send them again.
//!
//! # States of a message
//!
//! ```text
//! received ─> held ─────────────────────────> released      not selected, refused, or after a refused one: made visible at the end
//!         └─> in flight ─> accepted ─> deleted              one entry of the journal after the acceptance, one after the deletion
//!                  │           └─────> in both queues       the deletion failed: the next run deletes it
//!                  ├─────────────────> released             the target refused it
//!                  └─────────────────> unknown              no response: it stays in the source, and may be in both queues
//! ```
//!
//! 1. Each message is processed once per run. If it is redelivered, because its visibility timeout was too short or SQS
//!    delivered it twice, only its receipt handle is updated. If all messages are redelivered, the run ends with an error,
//!    because it would never end otherwise.
//! 2. Received messages stay invisible until the end of the run, because they would be redelivered otherwise. Their visibility
//!    timeout is short, and a background task extends it ([`held`]). At the end, a run makes the held messages visible. After a
//!    second signal or SIGKILL, they become visible when their timeout ends.
//! 3. SQS allows 12 hours from the receive and about 120,000 messages in flight. A run stops after 11 hours or at 100,000 held
//!    messages.
//! 4. A receive without a response may have made messages invisible, and so may a run that was killed. The source counts as
//!    empty only after the visibility timeout has passed since then. A receive from a FIFO queue is retried with the same
//!    attempt id, so that it returns the same messages.
//!
//! # Order
//!
//! A call to a FIFO queue carries at most one message per group ([`calls`]), because SQS can refuse one entry and accept later
//! ones. A refused message blocks only its own group.
//!
//! A FIFO source returns no message of a group while another message of that group is invisible. A held message therefore hides
//! its successors. The run reports the group and the blocking message, and exits with code 1. With `--rest-to`, messages that
//! the filter does not select move to another queue, so that they block nothing.
//!
//! # The journal
//!
//! `replay-<queue>.journal` names both queues. It records acceptances and deletions by message id, and the clean end of each
//! run ([`record`]). A run that ends cleanly and leaves no message in both queues removes it.
//!
//! # Signals
//!
//! SIGINT, SIGTERM and SIGHUP end a run after the calls in flight, which have five seconds to finish. A second signal ends the
//! process immediately. The journal is consistent in both cases ([`interrupt`]).

mod calls;
mod held;
mod interrupt;
mod letter;
mod mover;
mod record;
mod report;

use crate::aws::Aws;
use crate::duration::duration;
use crate::names::one_of;
use crate::numbers::whole;
use crate::queue::{MAX_CALL_MESSAGES, Queue, QueueName};
use crate::settings::{of_decoding, wire_formats};
use crate::{Outcome, json_encoding};
use avro_ingest::avro::JsonEncoding;
use avro_ingest::outcome::Reason;
use avro_ingest::schema_dir;
use avro_ingest::settings::Settings;
use avro_ingest::transcode::Transcoder;
use clap::builder::PossibleValuesParser;
use held::{Held, Keeper};
use interrupt::Interrupt;
use mover::{Limits, Mover};
use record::Record;
use report::Report;
use std::collections::HashMap;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Moves dead-lettered or quarantined messages back to their queue, each as it was before.
///
/// A message that is not moved stays in its queue. Exit code 1 if a message was not moved, is in both queues or could not be
/// seen
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ingest replay --from DLQ_URL --to QUEUE_URL --dry-run
  ingest replay --from QUARANTINE_URL --to QUEUE_URL --reason unknown_schema --since 2d
  ingest replay --from DLQ_URL --to QUEUE_URL --schema order --limit 10
  ingest replay --from DLQ_URL.fifo --to QUEUE_URL.fifo --schema order --rest-to OTHER_URL")]
pub(crate) struct Arguments {
    /// Dead-letter or quarantine queue, as a URL, ARN or name
    #[arg(long, value_name = "QUEUE")]
    from: String,
    /// Queue to which the messages are moved back, as a URL, ARN or name
    #[arg(long, value_name = "QUEUE")]
    to: String,
    /// Select only messages that were quarantined, or would now be rejected, for this reason
    #[arg(long, value_name = "REASON", hide_possible_values = true, value_parser = PossibleValuesParser::new(Reason::ALL.iter().map(|reason| reason.code())))]
    reason: Option<String>,
    /// Select only messages of this subject
    #[arg(long, value_name = "SUBJECT")]
    schema: Option<String>,
    /// Select only messages sent within this time, such as 12h or 2d
    #[arg(long, value_name = "TIME", value_parser = duration)]
    since: Option<Duration>,
    /// Maximum number of messages to move
    #[arg(long, value_name = "N", value_parser = whole(1..=u64::MAX))]
    limit: Option<u64>,
    /// Move unselected messages to this queue, unchanged; without it, held messages hide their successors in a FIFO queue
    #[arg(long, value_name = "QUEUE", conflicts_with = "dry_run")]
    rest_to: Option<String>,
    /// Show the messages and how they would be processed, without moving any
    #[arg(long)]
    dry_run: bool,
    /// Journal of the moved messages [default: replay-QUEUE.journal]
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Visibility timeout of received messages in seconds; the run extends it as needed
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..=43_200))]
    visibility_timeout: u32,
    /// Schema directory
    #[arg(long, default_value = "schemas", value_name = "DIR")]
    schemas: PathBuf,
    /// Allowed wire formats, in order [default: WIRE_FORMATS, or derived from the schemas]
    #[arg(long, value_name = "LIST", value_parser = wire_formats)]
    wire_formats: Option<String>,
    /// JSON encoding of message bodies, plain or avro (Avro's own JSON encoding) [default: JSON_ENCODING]
    #[arg(long, value_name = "ENCODING", hide_possible_values = true, value_parser = one_of::<JsonEncoding>(JsonEncoding::ALL.iter().map(|encoding| encoding.name())))]
    json_encoding: Option<JsonEncoding>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: Arguments) -> Outcome {
    let encoding = json_encoding(arguments.json_encoding)?;
    let config = Settings::parse(|name| match name {
        "TABLE_NAME" => Some("processed_messages".to_owned()),
        "WIRE_FORMATS" if arguments.wire_formats.is_some() => arguments.wire_formats.clone(),
        "JSON_ENCODING" => Some(encoding.to_string()),
        name => of_decoding(name).or_else(|| crate::no_functions_scope(name)),
    })?;
    let transcoder = Transcoder::new(&config, schema_dir::read(&arguments.schemas)?)?;
    let interrupt = Interrupt::listen()?;
    let found = tokio::select! {
        found = SourceAndTargets::find(&arguments) => Some(found?),
        () = interrupt.raised() => None,
    };
    // a signal arrived before anything began
    let Some(queues) = found else { return Ok(false) };
    let record = if arguments.dry_run {
        Record::none()
    } else {
        Record::open(&journal_path(&arguments, queues.from.name()), queues.from.name(), queues.to.name())?
    };
    let held = Arc::new(Held::new(Duration::from_secs(arguments.visibility_timeout.into())));
    let keeper = Keeper::start(Arc::clone(&held), Arc::clone(&queues.from));
    let mut mover = Mover {
        arguments: &arguments,
        transcoder: &transcoder,
        queues: &queues,
        interrupt: &interrupt,
        held: &held,
        limits: Limits::SQS,
        record,
        report: Report::default(),
        invisible_until: None,
        stopped_groups: HashMap::new(),
        selected: 0,
        redelivered: 0,
    };
    let ended = mover.run().await;
    let Mover { mut record, mut report, invisible_until, .. } = mover;

    // make the messages visible that were not moved, however the run ended
    keeper.stop(&interrupt).await;
    report.still_invisible = held.release(&queues.from, &interrupt).await;
    if invisible_until.is_some_and(|until| local::clock::now() < until) {
        report.still_invisible += MAX_CALL_MESSAGES;
    }
    if let Ok(ending) = &ended {
        report.ending = *ending;
    }
    let closed = record.close(&mut report);
    let printed = report.print(&arguments);
    ended?;
    closed?;
    printed?;
    Ok(report.is_all_well())
}

/// Source and target queues of a run.
struct SourceAndTargets {
    from: Arc<Queue>,
    to: Queue,
    rest_to: Option<Queue>,
}

impl SourceAndTargets {
    /// Resolves the queues that a command names.
    ///
    /// # Errors
    /// If a queue is not found, or two names refer to the same queue.
    async fn find(arguments: &Arguments) -> Result<Self, Box<dyn Error>> {
        let from = Arc::new(Queue::find(Aws::load().await?, &arguments.from).await?);
        let to = Queue::find(Aws::load().await?, &arguments.to).await?;
        let rest_to = match &arguments.rest_to {
            Some(queue) => Some(Queue::find(Aws::load().await?, queue).await?),
            None => None,
        };
        let mut given = vec![("--from", &arguments.from, from.name()), ("--to", &arguments.to, to.name())];
        given.extend(arguments.rest_to.iter().zip(&rest_to).map(|(text, queue)| ("--rest-to", text, queue.name())));
        for (place, (option, text, name)) in given.iter().enumerate() {
            let same = given.iter().skip(place + 1).find(|(_, _, other)| other == name);
            if let Some((other, other_text, _)) = same {
                let advice = match *option {
                    "--from" => "the run would never end",
                    _ => "leave the filter and --rest-to out instead",
                };
                return Err(format!("{option} {text} and {other} {other_text} are one queue: {advice}").into());
            }
        }
        Ok(Self { from, to, rest_to })
    }
}

/// Returns the path of the journal. The default is a file in the working directory, named after the source queue.
fn journal_path(arguments: &Arguments, from: &QueueName) -> PathBuf {
    arguments.journal.clone().unwrap_or_else(|| {
        let is_plain = |character: &char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
        let name: String = from.name.chars().filter(is_plain).collect();
        PathBuf::from(format!("replay-{name}.journal"))
    })
}
