//! `ingest inspect`: decodes a message body as the function would.

use crate::aws::{Aws, CallError};
use crate::names::one_of;
use crate::output::{errln, outln};
use crate::queue::{Queue, Received};
use crate::settings::{of_decoding, wire_formats};
use crate::wire_formats::deploy_line;
use crate::{Outcome, json_encoding, no_functions_scope};
use avro_ingest::avro::{JsonEncoding, WireFormat};
use avro_ingest::decode::{DecodeBuffers, decode_message};
use avro_ingest::encode;
use avro_ingest::schema_dir;
use avro_ingest::settings::Settings;
use avro_ingest::sqs::{Event, Message};
use avro_ingest::transcode::Transcoder;
use serde_json::{Map, Value, json};
use std::error::Error;
use std::fs;
use std::io::Read;
use std::path::PathBuf;

/// Decodes a message body, and prints its wire format, its schema and the resulting items, or why it is rejected. Exit code 1
/// if it is rejected.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  ingest inspect wwGP7PpMCA...
  ingest inspect --file payment.avro            raw bytes, or base64 as it is in the queue
  ingest inspect --queue-url URL --max 3        messages that wait in a queue, which keeps them
  ingest inspect --queue-url URL --max 3 --json | jq -r .message")]
pub(crate) struct Arguments {
    /// Message body as it is in the queue [default: standard input, unless --file is given]
    body: Option<String>,
    /// File that contains the body as it is in the queue, or its raw bytes
    #[arg(long, value_name = "FILE", conflicts_with = "body")]
    file: Option<PathBuf>,
    /// Inspect messages of this queue instead; they stay in the queue
    #[arg(long, value_name = "URL", conflicts_with_all = ["body", "file", "raw", "schema"])]
    queue_url: Option<String>,
    /// Maximum number of messages to inspect
    #[arg(long, value_name = "N", default_value_t = 1, requires = "queue_url", conflicts_with_all = ["body", "file", "raw", "schema"], value_parser = clap::value_parser!(u32).range(1..=1_000))]
    max: u32,
    /// Read raw bytes from the file or standard input, even if they look like text
    #[arg(long, conflicts_with = "body")]
    raw: bool,
    /// Schema directory
    #[arg(long, default_value = "schemas", value_name = "DIR")]
    schemas: PathBuf,
    /// Allowed wire formats, in order [default: WIRE_FORMATS, or derived from the schemas]
    #[arg(long, value_name = "LIST", value_parser = wire_formats)]
    wire_formats: Option<String>,
    /// JSON encoding of message bodies, plain or avro (Avro's own JSON encoding) [default: JSON_ENCODING]
    #[arg(long, value_name = "ENCODING", hide_possible_values = true, value_parser = one_of::<JsonEncoding>(JsonEncoding::ALL.iter().map(|encoding| encoding.name())))]
    json_encoding: Option<JsonEncoding>,
    /// Value of the message attribute `schema`: `subject` or `subject/version`
    #[arg(long, value_name = "NAME")]
    schema: Option<String>,
    /// Print JSON, one value per message
    #[arg(long)]
    json: bool,
}

/// Visibility timeout of inspected messages, in seconds.
const VISIBILITY_SECONDS: u32 = 30;

/// Content of a message.
enum Content {
    /// The message body.
    Text(String),
    /// The message attribute `avro`.
    Bytes(Vec<u8>),
}

impl Content {
    /// Returns text if SQS accepts the bytes as a message body, and bytes otherwise. Avro data is hardly ever valid text.
    fn of(bytes: Vec<u8>) -> Self {
        let is_body = |text: &str| text.chars().all(|char| !char.is_control() || char.is_ascii_whitespace());
        match String::from_utf8(bytes) {
            Ok(text) if is_body(&text) => Self::Text(text),
            Ok(text) => Self::Bytes(text.into_bytes()),
            Err(error) => Self::Bytes(error.into_bytes()),
        }
    }

    /// Returns the message's record in an event.
    fn record(&self, schema: Option<&str>) -> Value {
        let mut attributes = Map::new();
        if let Some(schema) = schema {
            attributes.insert("schema".to_owned(), json!({"dataType": "String", "stringValue": schema}));
        }
        let body = match self {
            Self::Text(body) => body,
            Self::Bytes(bytes) => {
                let value = json!({"dataType": "Binary", "binaryValue": encode::body(bytes)});
                attributes.insert("avro".to_owned(), value);
                "avro"
            }
        };
        json!({"messageId": "inspected", "body": body, "messageAttributes": attributes})
    }
}

fn content(arguments: &Arguments) -> Result<Content, Box<dyn Error>> {
    let bytes = match (&arguments.body, &arguments.file) {
        (Some(body), _) => return Ok(Content::Text(body.clone())),
        (None, Some(file)) => fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?,
        (None, None) => {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes)?;
            bytes
        }
    };
    Ok(if arguments.raw { Content::Bytes(bytes) } else { Content::of(bytes) })
}

pub(crate) async fn run(arguments: Arguments) -> Outcome {
    let encoding = json_encoding(arguments.json_encoding)?;
    let mut config = Settings::parse(|name| match name {
        "TABLE_NAME" => Some("processed_messages".to_owned()),
        "WIRE_FORMATS" if arguments.wire_formats.is_some() => arguments.wire_formats.clone(),
        "JSON_ENCODING" => Some(encoding.to_string()),
        name => of_decoding(name).or_else(|| no_functions_scope(name)),
    })?;
    let files = schema_dir::read(&arguments.schemas)?;
    let allowed = Transcoder::new(&config, files.clone())?;
    config.wire_formats = Some(WireFormat::ALL.to_vec());
    // some schema sets are ambiguous if all wire formats are allowed
    let transcoders = Transcoders { allowed, every: Transcoder::new(&config, files).ok() };
    let Some(url) = &arguments.queue_url else {
        return show(&transcoders, &content(&arguments)?.record(arguments.schema.as_deref()), arguments.json);
    };
    let queue = Queue::new(Aws::load().await?, url.clone());
    let (looked_at, ended) = peek(&queue, usize::try_from(arguments.max)?).await;
    // make the messages visible again, even after an error
    let handles: Vec<String> = looked_at.iter().map(|message| message.receipt_handle.clone()).collect();
    let released = queue.change_visibility(&handles, 0).await;
    ended.and(released.map(|_| ())).map_err(|error| format!("{url}: {error}"))?;
    let mut are_good = true;
    for message in &looked_at {
        let Received { id, receive_count, .. } = message;
        if !arguments.json {
            outln!("message   {id}, received {receive_count} times")?;
        }
        are_good &= show(&transcoders, &message.record(""), arguments.json)?;
    }
    if looked_at.is_empty() {
        errln!("no message is in sight");
    }
    Ok(are_good)
}

/// Receives up to `most` messages, each once. Returns the messages received before an error along with the error.
async fn peek(queue: &Queue, most: usize) -> (Vec<Received>, Result<(), CallError>) {
    let mut looked_at = Vec::new();
    while looked_at.len() < most {
        match queue.receive(most - looked_at.len(), VISIBILITY_SECONDS, 1).await {
            Ok(received) if received.is_empty() => break,
            Ok(received) => looked_at.extend(received),
            Err(error) => return (looked_at, Err(error)),
        }
    }
    (looked_at, Ok(()))
}

/// Transcoders for the allowed wire formats, and for all wire formats.
struct Transcoders {
    allowed: Transcoder,
    every: Option<Transcoder>,
}

impl Transcoders {
    /// Returns the wire format that can decode a message, if that format is not allowed.
    fn disallowed(&self, message: &Message<'_>) -> Option<WireFormat> {
        let every = self.every.as_ref()?;
        let mut encoder = every.encoder(local::clock::since_epoch(), 0);
        let decoded = decode_message(every, message, 0, &mut encoder, &mut DecodeBuffers::default()).ok()?;
        Some(decoded.format).filter(|format| !self.allowed.wire_formats().contains(format))
    }
}

/// Prints how the function would process a message. Returns whether the function would accept it.
fn show(transcoders: &Transcoders, record: &Value, as_json: bool) -> Outcome {
    let event = json!({"Records": [record]}).to_string();
    let event = Event::parse(event.as_bytes())?;
    let message = event.messages.first().ok_or("no message")?;
    let transcoder = &transcoders.allowed;
    let mut encoder = transcoder.encoder(local::clock::since_epoch(), 0);
    let decoded = match decode_message(transcoder, message, 0, &mut encoder, &mut DecodeBuffers::default()) {
        Ok(decoded) => decoded,
        Err(rejection) => {
            if as_json {
                outln!("{}", json!({"message": message.id, "rejected": rejection.to_string()}))?;
            } else {
                outln!("rejected  {rejection}")?;
            }
            if let Some(format) = transcoders.disallowed(message) {
                let line = deploy_line(&[transcoder.wire_formats(), &[format]].concat());
                errln!("it is read in the wire format {format}, which is not allowed here: {line}");
            }
            return Ok(false);
        }
    };
    let subject = transcoder.subject(decoded.subject);
    let items = encoder.finish_event();
    let items: Vec<Value> =
        items.as_slice().iter().map(|item| serde_json::from_slice(items.attributes(item))).collect::<Result<_, _>>()?;
    if as_json {
        let (format, version, records) = (decoded.format.to_string(), decoded.version, decoded.records);
        let report = json!({
            "message": message.id, "format": format, "schema": subject, "version": version, "records": records, "items": items,
        });
        outln!("{report}")?;
        return Ok(true);
    }
    let version = decoded.version.map_or_else(|| "of its own".to_owned(), |version| version.to_string());
    outln!("format    {}", decoded.format)?;
    outln!("schema    {subject}")?;
    outln!("version   {version}")?;
    outln!("records   {}", decoded.records)?;
    for item in items {
        outln!("item      {}", serde_json::to_string_pretty(&item)?)?;
    }
    Ok(true)
}
