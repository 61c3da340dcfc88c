//! The largest events that Lambda delivers to a function of the least memory: each must be stored or returned.

use super::TuneError;
use super::cgroup::Cgroup;
use super::share::Share;
use crate::events::MAX_EVENT_BYTES;
use crate::process::{Process, RunConfig};
use avro_ingest::avro::WireFormat;
use avro_ingest::encode::{self, Codec, Encoder};
use bytes::Bytes;
use local::lambda::Outcome;
use local::sqs::{Message, Queue, Settings};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The least memory of a function.
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>
const LEAST_MEMORY_MB: u32 = 128;
/// The least timeout that the template allows.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The most messages of a batch.
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html>
const MAX_MESSAGES: usize = 10_000;
/// Records of a container: the default of `MAX_RECORDS`.
const RECORDS: usize = 10_000;
/// Characters of a record of text, of which [`RECORDS`] are just under the default of `MAX_INFLATED_BYTES`.
const CHARACTERS: usize = 1_600;

const NUMBER: &str = r#"{"type": "record", "name": "Number", "fields": [{"name": "n", "type": "int"}]}"#;
const TEXT: &str = r#"{"type": "record", "name": "Text", "fields": [{"name": "text", "type": "string"}]}"#;

/// What became of one of these events.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Edge {
    pub(crate) event: String,
    pub(crate) messages: usize,
    pub(crate) records_a_message: usize,
    pub(crate) event_bytes: usize,
    /// Messages that are to come again.
    pub(crate) returned: usize,
    /// Items that were written.
    pub(crate) items: u64,
    pub(crate) seconds: f64,
    pub(crate) peak_resident_mb: f64,
}

/// The events at the edge, on schemas of their own below `folder`.
pub(super) async fn measure(bootstrap: &Path, folder: &Path, period_us: u32) -> Result<Vec<Edge>, Box<dyn Error>> {
    let schemas = folder.join("edge-schemas");
    for (subject, schema) in [("number", NUMBER), ("text", TEXT)] {
        fs::create_dir_all(schemas.join(subject))?;
        fs::write(schemas.join(subject).join("1.avsc"), schema)?;
    }
    let number = Encoder::for_subject(&schemas, "number")?;
    let datum = number.datum(r#"{"n": 1}"#)?;
    let text = Encoder::for_subject(&schemas, "text")?;
    let long = text.datum(&format!(r#"{{"text": "{}"}}"#, "a".repeat(CHARACTERS)))?;
    let events = [
        ("small records, one a message", 1, number.frame_datum(WireFormat::SingleObject, &datum)?),
        ("containers of small records", RECORDS, number.container_of_datums(&vec![&datum; RECORDS], Codec::Null)?),
        (
            "containers that inflate to 16 MB each",
            RECORDS,
            text.container_of_datums(&vec![&long; RECORDS], Codec::Deflate)?,
        ),
    ];
    let mut edges = Vec::new();
    for (event, records, framed) in events {
        eprintln!("{LEAST_MEMORY_MB} MB: an event of {event}");
        let (messages, payload) = full_event(&encode::body(&framed))?;
        edges.push(handle(bootstrap, &schemas, period_us, event, messages, records, payload).await?);
    }
    Ok(edges)
}

/// As many messages with this body as Lambda delivers at once.
fn full_event(body: &str) -> Result<(usize, Bytes), Box<dyn Error>> {
    let mut queue = Queue::new(Settings::named("edge"));
    let sent = local::clock::since_epoch();
    // more than there is room for
    for _ in 0..MAX_MESSAGES.min(MAX_EVENT_BYTES / body.len() + 1) {
        queue.send(Message::text(body), sent)?;
    }
    let delivery = queue.receive(MAX_MESSAGES, sent).ok_or("nothing was delivered")?;
    Ok((delivery.receipts.len(), delivery.event))
}

async fn handle(
    bootstrap: &Path,
    schemas: &Path,
    period_us: u32,
    event: &str,
    messages: usize,
    records_a_message: usize,
    payload: Bytes,
) -> Result<Edge, Box<dyn Error>> {
    let group = Cgroup::create(Share::of(LEAST_MEMORY_MB, period_us), LEAST_MEMORY_MB).map_err(TuneError::NoGroups)?;
    let config = RunConfig {
        memory_mb: LEAST_MEMORY_MB,
        launcher: group.launcher(),
        schemas: PathBuf::from(schemas),
        ..RunConfig::default()
    };
    let process = Process::start(bootstrap, &config).await?;
    let event_bytes = payload.len();
    let invocation = process.invoke(payload, TIMEOUT).await;
    let Outcome::Response(response) = &invocation.outcome else {
        let killed = format!("{event}, {messages} messages with {LEAST_MEMORY_MB} MB: {:?}", invocation.outcome);
        return Err(TuneError::Killed(killed).into());
    };
    let response: Response = serde_json::from_slice(response)?;
    let edge = Edge {
        event: event.to_owned(),
        messages,
        records_a_message,
        event_bytes,
        returned: response.failures.len(),
        items: process.items(),
        seconds: invocation.duration.as_secs_f64(),
        peak_resident_mb: process.peak_resident_bytes()? as f64 / f64::from(1 << 20),
    };
    if edge.is_lost() {
        return Err(TuneError::Killed(format!("more messages are acknowledged than written: {edge:?}")).into());
    }
    Ok(edge)
}

impl Edge {
    /// Whether a message counts as stored whose items the endpoint has not got.
    fn is_lost(&self) -> bool {
        let stored = (self.messages - self.returned) * self.records_a_message;
        u64::try_from(stored).is_ok_and(|stored| self.items < stored)
    }
}

#[derive(Deserialize)]
struct Response {
    #[serde(rename = "batchItemFailures")]
    failures: Vec<serde_json::Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_event_ends_at_6_mb_or_10_000_messages() {
        let (messages, event) = full_event("AAAA").unwrap();
        assert!(messages <= MAX_MESSAGES && event.len() <= MAX_EVENT_BYTES);
        assert!(event.len() > 5 << 20 || messages == MAX_MESSAGES, "{messages} messages, {} bytes", event.len());
        let (messages, event) = full_event(&"A".repeat(1 << 19)).unwrap();
        assert!(messages == 11 && event.len() > 5 << 20, "{messages} messages, {} bytes", event.len());
    }

    #[test]
    fn what_is_not_returned_must_be_written() {
        let edge = |returned, items| Edge {
            event: String::new(),
            messages: 10,
            records_a_message: 100,
            event_bytes: 0,
            returned,
            items,
            seconds: 1.0,
            peak_resident_mb: 1.0,
        };
        assert!(!edge(0, 1_000).is_lost() && edge(0, 999).is_lost());
        assert!(!edge(10, 0).is_lost() && !edge(10, 500).is_lost() && edge(9, 99).is_lost());
    }
}
