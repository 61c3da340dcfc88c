//! The report of an invocation: its metrics, one log line for each rejected message, and one for each cause of returned
//! messages. It never contains parts of a payload.

use super::Context;
use super::progress::Progress;
use crate::metrics::{Histogram, Invocation};
use crate::outcome::{Cause, Ledger, Outcome, Rejection};
use crate::sqs::{Event, Message};
use std::collections::BTreeMap;
use std::time::Duration;

/// Maximum number of messages listed in the log line of a cause.
const NAMED_MESSAGES: usize = 10;
/// Maximum number of causes with a log line of their own. All further causes share one line.
const MAX_CAUSES: usize = 20;

/// Start time and durations of the stages of an invocation.
pub(crate) struct Stages {
    /// Start time of the invocation since the Unix epoch.
    pub(crate) at: Duration,
    pub(crate) parse_time: Duration,
    pub(crate) handler_time: Duration,
}

/// Returns the metrics of a completed invocation.
pub(crate) fn metrics<'n>(
    event: &Event<'_>,
    progress: &Progress,
    ledger: Ledger,
    stages: &Stages,
    subjects: impl Iterator<Item = &'n str>,
) -> Invocation {
    let since_sent = |then: Duration| {
        let sent = event.messages.iter().filter_map(|message| message.sent_ms);
        sent.map(|sent| then.saturating_sub(Duration::from_millis(sent))).collect::<Histogram>()
    };
    let mut rejected = BTreeMap::new();
    progress.rejections().for_each(|rejection| *rejected.entry(rejection.reason).or_default() += 1);
    let records = subjects.zip(&progress.records).filter(|(_, count)| **count > 0);
    Invocation {
        at: stages.at,
        ledger,
        rejected,
        records: records.map(|(subject, count)| (subject.to_owned(), *count)).collect(),
        schemas: progress.records.len(),
        decode_time: stages.parse_time + progress.decode_time,
        write_time: progress.write_time,
        handler_time: stages.handler_time,
        writes: progress.figures.clone(),
        delivery_latency: since_sent(stages.at),
        end_to_end_latency: since_sent(stages.at + stages.handler_time),
        ..Invocation::default()
    }
}

/// Logs a warning for messages that are not stored, with the cause. Each rejected message has its own line, because it is a
/// mistake to be fixed. Returned messages share one line for each cause, because they are numerous when the table has a
/// problem.
pub(crate) fn log_failures(event: &Event<'_>, outcomes: &[Outcome], context: &Context) {
    let mut causes = Causes::default();
    for (message, outcome) in event.messages.iter().zip(outcomes) {
        match outcome {
            Outcome::Stored | Outcome::Superseded => {}
            Outcome::Quarantined(rejection) => log_rejected(message, "quarantined", rejection, context),
            Outcome::Returned(Cause::Rejected(rejection)) => log_rejected(message, "returned", rejection, context),
            Outcome::Returned(Cause::Denied(cause)) => causes.add("refused", cause, message),
            Outcome::Returned(Cause::Failed(cause) | Cause::Ambiguous(cause)) => {
                causes.add("unfinished", cause, message);
            }
            Outcome::Returned(Cause::Blocked) => {
                causes.add("blocked", "a message before it in its group was returned", message);
            }
        }
    }
    for ((reason, detail), Returned { count, first }) in causes.0 {
        tracing::warn!(
            request_id = context.request_id,
            outcome = "returned",
            reason,
            detail,
            count,
            message_ids = first.join(" "),
            trace_id = context.trace_id,
            "messages not stored"
        );
    }
}

fn log_rejected(message: &Message<'_>, outcome: &str, rejection: &Rejection, context: &Context) {
    tracing::warn!(
        request_id = context.request_id,
        message_id = %message.id,
        outcome,
        reason = rejection.reason.code(),
        detail = &*rejection.detail,
        receive_count = message.receive_count,
        trace_id = context.trace_id,
        message_trace = message.trace.as_deref().filter(|trace| is_trace_header(trace)),
        "message not stored"
    );
}

/// Returns whether `text` is a valid X-Ray tracing header and therefore contains only ids. The producer of the message
/// controls it, so it must be checked before it is logged.
/// <https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader>
fn is_trace_header(text: &str) -> bool {
    const KEYS: [&str; 5] = ["Root", "Parent", "Sampled", "Self", "Lineage"];
    let is_id = |value: &str| value.bytes().all(|byte| byte.is_ascii_hexdigit() || b"-:?|".contains(&byte));
    text.len() <= MAX_TRACE_BYTES
        && text
            .split(';')
            .all(|part| part.split_once('=').is_some_and(|(key, value)| KEYS.contains(&key) && is_id(value)))
}

/// Maximum length of an X-Ray tracing header in a log line, in bytes. A complete header has about 150.
const MAX_TRACE_BYTES: usize = 256;

/// The returned messages, by reason and detail.
#[derive(Default)]
struct Causes<'a>(BTreeMap<(&'static str, &'a str), Returned<'a>>);

#[derive(Default)]
struct Returned<'a> {
    count: usize,
    first: Vec<&'a str>,
}

impl<'a> Causes<'a> {
    fn add(&mut self, reason: &'static str, detail: &'a str, message: &'a Message<'_>) {
        let is_known = self.0.contains_key(&(reason, detail));
        let detail = if is_known || self.0.len() < MAX_CAUSES { detail } else { "other causes" };
        let returned = self.0.entry((reason, detail)).or_default();
        returned.count += 1;
        if returned.first.len() < NAMED_MESSAGES {
            returned.first.push(&message.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_logged_only_if_it_is_one() {
        let whole =
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1;Lineage=a87bd80c:1|68fd508a:5";
        assert!(is_trace_header(whole) && is_trace_header("Root=1;Sampled=?"));
        for other in ["", "payload", "Root=payload", "Note=1", "Root=1;", &"Root=1;".repeat(100)] {
            assert!(!is_trace_header(other), "{other}");
        }
        let longest = |length: usize| format!("Root={}", "1".repeat(length - 5));
        for (length, fits) in [(MAX_TRACE_BYTES - 1, true), (MAX_TRACE_BYTES, true), (MAX_TRACE_BYTES + 1, false)] {
            assert_eq!(is_trace_header(&longest(length)), fits, "{length}");
        }
    }
}
