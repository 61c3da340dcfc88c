//! A received message: its state before it was quarantined, and how it would be processed now.

use super::Arguments;
use crate::queue::{Outgoing, Received};
use avro_ingest::decode::{DecodeBuffers, decode_message};
use avro_ingest::quarantine::{Addition, restore};
use avro_ingest::sqs::{Event, OriginalAttribute};
use avro_ingest::transcode::Transcoder;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// A message as it was before it was quarantined, and how it would be processed now.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) message: Received,
    /// Received attributes, including those that the function added when it quarantined the message.
    received_attributes: BTreeMap<String, OriginalAttribute>,
    /// Reason code for which the message was quarantined.
    pub(super) reason: Option<String>,
    pub(super) subject: String,
    /// Number of items that the message would produce, or the reason code for which it would be rejected.
    fate: Result<usize, String>,
}

impl Letter {
    /// Decodes a message as the function would at `now`.
    pub(super) fn read(mut message: Received, transcoder: &Transcoder, now: Duration) -> Self {
        let received_attributes = message.attributes.clone();
        let addition = restore(&mut message.attributes);
        let (reason, known) = addition.map_or((None, None), |Addition { reason, subject }| (Some(reason), subject));
        let (subject, fate) = decoded(&message, transcoder, now);
        let subject = subject.or(known).unwrap_or_else(|| "unknown".to_owned());
        Self { message, received_attributes, reason, subject, fate }
    }

    /// Returns whether the filter selects the message at `now`.
    pub(super) fn is_selected(&self, arguments: &Arguments, now: Duration) -> bool {
        let Arguments { reason, schema, since, .. } = arguments;
        let is_of = |reason: &String| {
            self.reason.as_ref() == Some(reason) || (self.reason.is_none() && self.fate.as_ref().err() == Some(reason))
        };
        let earliest = since.map(|since| now.saturating_sub(since));
        let is_recent =
            |earliest: Duration| self.message.sent_ms.is_some_and(|sent| Duration::from_millis(sent) >= earliest);
        reason.as_ref().is_none_or(is_of)
            && schema.as_ref().is_none_or(|schema| *schema == self.subject)
            && earliest.is_none_or(is_recent)
    }

    /// Returns the reason, the subject and the expected outcome.
    pub(super) fn group(&self) -> (String, String, String) {
        let fate = match &self.fate {
            Ok(items) => format!("{items} items"),
            Err(reason) => format!("rejected: {reason}"),
        };
        (self.reason.clone().unwrap_or_else(|| "dead letter".to_owned()), self.subject.clone(), fate)
    }

    /// Returns the message to send, as it was before it was quarantined.
    pub(super) fn restored(&self, to_fifo: bool) -> Outgoing {
        self.outgoing(self.message.attributes.clone(), to_fifo)
    }

    /// Returns the message to send, as it was received.
    pub(super) fn unchanged(&self, to_fifo: bool) -> Outgoing {
        self.outgoing(self.received_attributes.clone(), to_fifo)
    }

    fn outgoing(&self, attributes: BTreeMap<String, OriginalAttribute>, to_fifo: bool) -> Outgoing {
        let message = &self.message;
        Outgoing {
            body: message.body.clone(),
            attributes,
            group: message.group.clone().or_else(|| to_fifo.then(|| message.id.clone())),
            // lets a FIFO queue drop duplicates if the message is sent again
            deduplication_id: to_fifo.then(|| message.id.clone()),
        }
    }
}

/// Returns the subject of a message, if known, and its number of items or the reason code for which it would be rejected.
fn decoded(message: &Received, transcoder: &Transcoder, now: Duration) -> (Option<String>, Result<usize, String>) {
    let event = json!({"Records": [message.record("")]}).to_string();
    let event = Event::parse(event.as_bytes()).ok();
    let Some(first) = event.as_ref().and_then(|event| event.messages.first()) else {
        return (None, Err("malformed".to_owned()));
    };
    let mut encoder = transcoder.encoder(now, 0);
    match decode_message(transcoder, first, 0, &mut encoder, &mut DecodeBuffers::default()) {
        Ok(decoded) => (Some(transcoder.subject(decoded.subject).to_owned()), Ok(decoded.records)),
        Err(rejection) => {
            let text = rejection.to_string();
            (None, Err(text.split(':').next().unwrap_or_default().to_owned()))
        }
    }
}
