//! `ingest inspect`: what the function would make of one body.

use crate::{EVERY_WIRE_FORMAT, Outcome};
use avro_ingest::decode::{DecodeBuffers, decode_message};
use avro_ingest::schema_dir;
use avro_ingest::settings::Settings;
use avro_ingest::sqs::Event;
use avro_ingest::transcode::Transcoder;
use serde_json::{Value, json};
use std::fs;
use std::io::Read;
use std::path::PathBuf;

/// Decodes one message body and prints its framing, its schema and the items it becomes, or why it is rejected.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The body as it is in the queue; standard input if neither this nor --file is given
    body: Option<String>,
    /// A file that holds the body
    #[arg(long, value_name = "FILE", conflicts_with = "body")]
    file: Option<PathBuf>,
    /// Schema directory
    #[arg(long, default_value = "schemas", value_name = "DIR")]
    schemas: PathBuf,
    /// Allowed framings, in order
    #[arg(long, default_value = EVERY_WIRE_FORMAT, value_name = "LIST")]
    wire_formats: String,
    /// The message attribute `schema`: `subject` or `subject/version`
    #[arg(long, value_name = "NAME")]
    schema: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let config = Settings::parse(|name| match name {
        "TABLE_NAME" => Some("processed_messages".to_owned()),
        "WIRE_FORMATS" => Some(arguments.wire_formats.clone()),
        _ => None,
    })?;
    let transcoder = Transcoder::new(&config, schema_dir::read(&arguments.schemas)?)?;
    let body = match (&arguments.body, &arguments.file) {
        (Some(body), _) => body.clone(),
        (None, Some(file)) => {
            fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?
        }
        (None, None) => {
            let mut body = String::new();
            std::io::stdin().read_to_string(&mut body)?;
            body
        }
    };
    let attributes = match &arguments.schema {
        Some(schema) => json!({"schema": {"dataType": "String", "stringValue": schema}}),
        None => json!({}),
    };
    let record = json!({"messageId": "inspected", "body": body, "messageAttributes": attributes});
    let event = json!({"Records": [record]}).to_string();
    let event = Event::parse(event.as_bytes())?;
    let message = event.messages.first().ok_or("no message")?;
    let mut encoder = transcoder.encoder(local::clock::since_epoch(), 0);
    match decode_message(&transcoder, message, 0, &mut encoder, &mut DecodeBuffers::default()) {
        Err(rejection) => {
            println!("rejected  {rejection}");
            Ok(false)
        }
        Ok(decoded) => {
            let version = decoded.version.map_or_else(|| "of its own".to_owned(), |version| version.to_string());
            println!("format    {}", decoded.format);
            println!("schema    {}", transcoder.subject(decoded.subject));
            println!("version   {version}");
            println!("records   {}", decoded.records);
            let items = encoder.finish_event();
            for item in items.as_slice() {
                let item: Value = serde_json::from_slice(items.attributes(item))?;
                println!("item      {}", serde_json::to_string_pretty(&item)?);
            }
            Ok(true)
        }
    }
}
