//! Messages with records of one schema, either from a file or made up.

use super::Sample;
use crate::names::or_nearest;
use avro_ingest::avro::{JsonEncoding, SchemaVersion, Subject, WireFormat};
use avro_ingest::encode::{self, Encoder};
use avro_ingest::settings::Settings;
use avro_ingest::transcode::Transcoder;
use local::sqs::{Attribute, Message};
use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

/// Creates messages of one schema.
pub(super) struct Records {
    version: SchemaVersion,
    encoder: Encoder,
    format: WireFormat,
    json_encoding: JsonEncoding,
    /// The schema's name, for wire formats without a header.
    name: String,
}

impl Records {
    /// Selects the schema called `name`, or the only schema in the directory, and the first wire format that the function
    /// allows.
    pub(super) fn of(transcoder: &Transcoder, name: Option<&str>, settings: &Settings) -> Result<Self, Box<dyn Error>> {
        let subjects: Vec<&Subject> = transcoder.subjects().map(|(subject, _)| subject).collect();
        let names = || subjects.iter().map(|subject| subject.name()).collect::<Vec<_>>().join(", ");
        let (subject, version) = match (name, subjects.as_slice()) {
            (Some(name), _) => name.split_once('/').map_or((name, None), |(name, version)| (name, Some(version))),
            (None, [only]) => (only.name(), None),
            (None, _) => return Err(format!("--schema is needed, one of {}", names()).into()),
        };
        let found = subjects.iter().find(|candidate| candidate.name() == subject).and_then(|subject| match version {
            None => Some(subject.newest()),
            Some(number) => subject.version(number.parse().ok()?),
        });
        let version = found.ok_or_else(|| {
            let known: Vec<&str> = subjects.iter().map(|subject| subject.name()).collect();
            let name = name.unwrap_or_default();
            or_nearest(format!("there is no schema {name}, only {}", names()), name, &known)
        })?;
        let format = *transcoder.wire_formats().first().ok_or("no wire format is allowed")?;
        let name = format!("{subject}/{}", version.number());
        let json_encoding = settings.json_encoding;
        let encoder = Encoder::new(version).with_json_encoding(json_encoding);
        Ok(Self { version: version.clone(), encoder, format, json_encoding, name })
    }

    /// Returns messages for the valid lines of `file`, and a problem for each other line.
    pub(super) fn read(&self, file: &Path) -> Result<(Vec<Sample>, Vec<String>), Box<dyn Error>> {
        let cannot = |error: io::Error| format!("cannot read {}: {error}", file.display());
        let reader: Box<dyn BufRead> = match file.to_str() {
            Some("-") => Box::new(io::stdin().lock()),
            _ => Box::new(BufReader::new(File::open(file).map_err(cannot)?)),
        };
        let (mut samples, mut mistakes) = (Vec::new(), Vec::new());
        for (index, line) in reader.split(b'\n').enumerate() {
            let (line, name) = (line.map_err(cannot)?, format!("line {}", index + 1));
            match std::str::from_utf8(&line).map(str::trim) {
                Ok("") => {}
                Ok(record) => match self.message(record) {
                    Ok(message) => samples.push(Sample { message, name, is_poison: false }),
                    Err(error) => mistakes.push(format!("{name}: {error}")),
                },
                Err(_) => mistakes.push(format!("{name}: it is not UTF-8")),
            }
        }
        Ok((samples, mistakes))
    }

    /// Returns `count` messages with made-up records.
    pub(super) fn made_up(&self, count: u32) -> Result<Vec<Sample>, Box<dyn Error>> {
        let sample = |number| {
            let record = self
                .version
                .sample(number, self.json_encoding)
                .ok_or_else(|| format!("{} has no finite record", self.name))?;
            let (message, name) = (self.message(&record.to_string())?, format!("record {number}"));
            Ok(Sample { message, name, is_poison: false })
        };
        (0..count).map(sample).collect()
    }

    fn message(&self, record: &str) -> Result<Message, encode::EncodeError> {
        let framed = self.encoder.frame_text(self.format, record)?;
        let named = |message: Message| message.with("schema", Attribute::String(self.name.clone()));
        Ok(match self.format {
            WireFormat::Json => named(Message::text(record)),
            WireFormat::Datum => named(Message::text(encode::body(&framed))),
            _ => Message::text(encode::body(&framed)),
        })
    }
}
