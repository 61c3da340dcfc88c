//! `ingest replay`: dead-lettered and quarantined messages back to their queue, as they came.
//!
//! # The guarantee
//!
//! Each message is accepted by the target, or still in the source queue, whatever ends the process. A message is in both queues only
//! where a response was lost, a deletion failed, or the process was killed between two calls. The next run with the same journal
//! deletes those whose acceptance is known, and sends none of them again.
//!
//! # The states of a message
//!
//! ```text
//! received ─> held ─────────────────────────> released      not selected, refused, or behind a refused one: visible again at the end
//!         └─> in flight ─> accepted ─> deleted              one entry of the journal after the acceptance, one after the deletion
//!                  │           └─────> in both queues       the deletion failed: the next run deletes it
//!                  ├─────────────────> released             the target refused it
//!                  └─────────────────> unknown              no response: it stays in the source, and may be in both queues
//! ```
//!
//! 1. A message is looked at once per run. If it is redelivered, because its visibility timeout was too short or the queue
//!    delivers twice, only its receipt handle is replaced. If this happens to all of them, the run ends with an error: it would have no end.
//! 2. Whatever is received stays invisible until the end, because it would be redelivered otherwise. The visibility timeout is short and
//!    is extended in the background ([`held`]). Every end of a run makes held messages visible, except a second signal and SIGKILL. After those
//!    they become visible by themselves after the timeout.
//! 3. SQS allows 12 hours from the receive and about 120,000 messages in flight. A run stops at 11 hours or 100,000 held messages.
//! 4. A receive without a response may have made messages invisible, and so has a run that was killed. The source
//!    counts as empty only when the visibility timeout since then is over. A receive from a FIFO queue is repeated with the
//!    same attempt id, which returns the same messages.
//!
//! # Order
//!
//! A call to a FIFO queue carries one message of each group ([`calls`]), because SQS can refuse one entry and accept those behind
//! it. A refused message stops its group and nothing else.
//!
//! A FIFO source returns nothing of a group while one of its messages is invisible. So a held message hides those behind it: the run names
//! the group and the message in front, and ends with exit code 1. With `--rest-to`, messages that the filter does not
//! select move to another queue. Then none of them is in front.
//!
//! # The journal
//!
//! `replay-<queue>.journal` names both queues. It records acceptances and deletions by message id, and the clean end of each run
//! ([`record`]). A run that ends cleanly without a message in both queues removes it.
//!
//! # Signals
//!
//! SIGINT, SIGTERM and SIGHUP end a run after the calls in flight, which have five seconds; a second signal ends the process at once.
//! The journal is true in both cases ([`interrupt`]).

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

/// Sends dead-lettered or quarantined messages to their queue again, each as it was before.
///
/// A message that was not moved stays in its queue. Exit code 1 if one was not moved, is in both queues or could not be seen
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ingest replay --from DLQ_URL --to QUEUE_URL --dry-run
  ingest replay --from QUARANTINE_URL --to QUEUE_URL --reason unknown_schema --since 2d
  ingest replay --from DLQ_URL --to QUEUE_URL --schema order --limit 10
  ingest replay --from DLQ_URL.fifo --to QUEUE_URL.fifo --schema order --rest-to OTHER_URL")]
pub(crate) struct Arguments {
    /// Dead-letter or quarantine queue: URL, ARN or name
    #[arg(long, value_name = "QUEUE")]
    from: String,
    /// Queue that they came from: URL, ARN or name
    #[arg(long, value_name = "QUEUE")]
    to: String,
    /// Only messages that were quarantined, or would be rejected now, for this reason
    #[arg(long, value_name = "REASON", hide_possible_values = true, value_parser = PossibleValuesParser::new(Reason::ALL.iter().map(|reason| reason.code())))]
    reason: Option<String>,
    /// Only messages of this subject
    #[arg(long, value_name = "SUBJECT")]
    schema: Option<String>,
    /// Only messages sent within this time, such as 12h or 2d
    #[arg(long, value_name = "TIME", value_parser = duration)]
    since: Option<Duration>,
    /// Maximum number of messages to move
    #[arg(long, value_name = "N", value_parser = whole(1..=u64::MAX))]
    limit: Option<u64>,
    /// Queue to which the messages that the filter does not select are moved, unchanged: a held message hides those behind it in a FIFO queue
    #[arg(long, value_name = "QUEUE", conflicts_with = "dry_run")]
    rest_to: Option<String>,
    /// Show what there is and what would become of it; move nothing
    #[arg(long)]
    dry_run: bool,
    /// Journal of what was moved [default: replay-QUEUE.journal]
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Visibility timeout of received messages in seconds; the run extends it
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..=43_200))]
    visibility_timeout: u32,
    /// Schema directory
    #[arg(long, default_value = "schemas", value_name = "DIR")]
    schemas: PathBuf,
    /// Allowed framings, in order; WIRE_FORMATS by default, or those that follow from the schemas
    #[arg(long, value_name = "LIST", value_parser = wire_formats)]
    wire_formats: Option<String>,
    /// JSON of json bodies, plain or avro (Avro's own JSON encoding); JSON_ENCODING by default
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
    // nothing has begun
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

    // messages that were not moved are visible again, however the run ended
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

/// The queues of a run.
struct SourceAndTargets {
    from: Arc<Queue>,
    to: Queue,
    rest_to: Option<Queue>,
}

impl SourceAndTargets {
    /// Finds the queues of a command.
    ///
    /// # Errors
    /// If a queue is not found, or two of them are one.
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

/// Path of the journal. The default is a file in the working directory, named after the source queue.
fn journal_path(arguments: &Arguments, from: &QueueName) -> PathBuf {
    arguments.journal.clone().unwrap_or_else(|| {
        let is_plain = |character: &char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
        let name: String = from.name.chars().filter(is_plain).collect();
        PathBuf::from(format!("replay-{name}.journal"))
    })
}
