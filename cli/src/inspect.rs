//! `ingest inspect`: what the function would make of one body.

use crate::{EVERY_WIRE_FORMAT, Outcome};
use avro_ingest::decode::{DecodeBuffers, decode_message};
use avro_ingest::encode;
use avro_ingest::schema_dir;
use avro_ingest::settings::Settings;
use avro_ingest::sqs::Event;
use avro_ingest::transcode::Transcoder;
use serde_json::{Map, Value, json};
use std::error::Error;
use std::fs;
use std::io::Read;
use std::path::PathBuf;

/// Decodes one message body and prints its framing, its schema and the items it becomes, or why it is rejected. Exit code 1 if it is.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  ingest inspect wwGP7PpMCA...
  ingest inspect --file payment.avro            raw bytes, or base64 as it is in the queue
  aws sqs receive-message --queue-url URL --query 'Messages[0].Body' --output text | ingest inspect --json")]
pub(crate) struct Arguments {
    /// The body as it is in the queue; standard input if neither this nor --file is given
    body: Option<String>,
    /// A file that holds the body, as it is in the queue or the bytes themselves
    #[arg(long, value_name = "FILE", conflicts_with = "body")]
    file: Option<PathBuf>,
    /// The file or standard input holds the bytes themselves, even if they look like text
    #[arg(long, conflicts_with = "body")]
    raw: bool,
    /// Schema directory
    #[arg(long, default_value = "schemas", value_name = "DIR")]
    schemas: PathBuf,
    /// Allowed framings, in order
    #[arg(long, default_value = EVERY_WIRE_FORMAT, value_name = "LIST")]
    wire_formats: String,
    /// The message attribute `schema`: `subject` or `subject/version`
    #[arg(long, value_name = "NAME")]
    schema: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a message's bytes come as.
enum Content {
    /// The body.
    Text(String),
    /// The attribute `avro`.
    Bytes(Vec<u8>),
}

impl Content {
    /// Text if it may be a body: what SQS takes as one, which bytes of Avro hardly ever are.
    fn of(bytes: Vec<u8>) -> Self {
        let is_body = |text: &str| text.chars().all(|char| !char.is_control() || char.is_ascii_whitespace());
        match String::from_utf8(bytes) {
            Ok(text) if is_body(&text) => Self::Text(text),
            Ok(text) => Self::Bytes(text.into_bytes()),
            Err(error) => Self::Bytes(error.into_bytes()),
        }
    }

    /// A message's record in an event.
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

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let config = Settings::parse(|name| match name {
        "TABLE_NAME" => Some("processed_messages".to_owned()),
        "WIRE_FORMATS" => Some(arguments.wire_formats.clone()),
        _ => None,
    })?;
    let transcoder = Transcoder::new(&config, schema_dir::read(&arguments.schemas)?)?;
    let event = json!({"Records": [content(arguments)?.record(arguments.schema.as_deref())]}).to_string();
    let event = Event::parse(event.as_bytes())?;
    let message = event.messages.first().ok_or("no message")?;
    let mut encoder = transcoder.encoder(local::clock::since_epoch(), 0);
    let decoded = match decode_message(&transcoder, message, 0, &mut encoder, &mut DecodeBuffers::default()) {
        Ok(decoded) => decoded,
        Err(rejection) if arguments.json => {
            println!("{}", json!({"rejected": rejection.to_string()}));
            return Ok(false);
        }
        Err(rejection) => {
            println!("rejected  {rejection}");
            return Ok(false);
        }
    };
    let subject = transcoder.subject(decoded.subject);
    let items = encoder.finish_event();
    let items: Vec<Value> =
        items.as_slice().iter().map(|item| serde_json::from_slice(items.attributes(item))).collect::<Result<_, _>>()?;
    if arguments.json {
        let (format, version, records) = (decoded.format.to_string(), decoded.version, decoded.records);
        let report =
            json!({"format": format, "schema": subject, "version": version, "records": records, "items": items});
        println!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(true);
    }
    let version = decoded.version.map_or_else(|| "of its own".to_owned(), |version| version.to_string());
    println!("format    {}", decoded.format);
    println!("schema    {subject}");
    println!("version   {version}");
    println!("records   {}", decoded.records);
    for item in items {
        println!("item      {}", serde_json::to_string_pretty(&item)?);
    }
    Ok(true)
}
