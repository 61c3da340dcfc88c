//! `ingest encode`: encodes records as message bodies.

use crate::Outcome;
use crate::output::{OutputError, errln};
use crate::producer::{Packed, Produced, RecordOptions};
use serde_json::{Value, json};
use std::io::{self, BufWriter, Write};

/// Encodes records, one JSON object per line, as message bodies, one per line, or as an event. Exit code 1 if a record is
/// invalid; it is reported and left out.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  ingest encode --schema order orders.jsonl
  ingest encode --schema order --records-per-message 100 --codec zstandard orders.jsonl
  ingest encode --schema order/1 --event < orders.jsonl > event.json && ingest local --event event.json")]
pub(crate) struct Arguments {
    #[command(flatten)]
    records: RecordOptions,
    /// Print a single SQS event instead
    #[arg(long)]
    event: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let mut messages = arguments.records.messages()?;
    let mut out = BufWriter::new(io::stdout().lock());
    let (mut waiting, mut mistakes) = (Vec::new(), 0_u64);
    // an event is printed as a whole, and with --strict all bodies or none are printed
    let waits = arguments.event || arguments.records.strict;
    while let Some(produced) = messages.next()? {
        match produced {
            Produced::Message(message) if waits => waiting.push(message),
            Produced::Message(message) => writeln!(out, "{}", message.body).map_err(OutputError::from)?,
            Produced::Wrong(record, problem) => {
                mistakes += 1;
                errln!("line {}: {problem}", record.raw.number);
            }
        }
    }
    if mistakes == 0 || !arguments.records.strict {
        if arguments.event {
            writeln!(out, "{}", event(&waiting)).map_err(OutputError::from)?;
        } else {
            waiting.iter().try_for_each(|message| writeln!(out, "{}", message.body)).map_err(OutputError::from)?;
        }
    }
    out.flush().map_err(OutputError::from)?;
    Ok(mistakes == 0)
}

/// Returns an event in the format in which Lambda delivers it.
fn event(messages: &[Packed]) -> Value {
    let sent = local::clock::since_epoch().as_millis().to_string();
    let records = messages.iter().enumerate().map(|(index, message)| {
        let attributes = match &message.schema {
            Some(name) => json!({"schema": {"dataType": "String", "stringValue": name}}),
            None => json!({}),
        };
        json!({
            "messageId": format!("00000000-0000-4000-8000-{:012x}", index + 1),
            "receiptHandle": "none",
            "body": message.body,
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": sent,
                "SenderId": "AIDAENCODED",
                "ApproximateFirstReceiveTimestamp": sent,
            },
            "messageAttributes": attributes,
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:encoded",
            "awsRegion": "us-east-1",
        })
    });
    json!({"Records": records.collect::<Vec<_>>()})
}
