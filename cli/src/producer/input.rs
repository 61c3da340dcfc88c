//! Records one by one: the lines of a text, or the records of an Avro container file.

use apache_avro::types::Value;
use avro_ingest::encode::Encoder;
use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// The first bytes of a container file.
const CONTAINER: &[u8] = b"Obj\x01";

/// A record of the input.
pub(crate) struct Record {
    /// Its line, or its place in a container file, from 1.
    pub(crate) number: u64,
    /// As JSON, if it came so.
    pub(crate) json: Option<String>,
    /// Its datum, or what is wrong with it.
    pub(crate) datum: Result<Vec<u8>, String>,
}

/// Where records come from.
pub(crate) struct Input {
    source: Source,
    number: u64,
    from: u64,
    encoder: Encoder,
}

enum Source {
    Lines(Box<dyn BufRead + Send>),
    /// With the schema that the records are resolved to.
    Container(Box<apache_avro::Reader<'static, Box<dyn BufRead + Send>>>, Box<apache_avro::Schema>),
}

impl Input {
    /// Records of `file`, or of standard input if it is `-`, from number `from` on.
    pub(crate) fn open(file: &Path, from: u64, encoder: &Encoder) -> Result<Self, Box<dyn Error>> {
        let cannot = |error: io::Error| format!("cannot read {}: {error}", file.display());
        let mut reader: Box<dyn BufRead + Send> = match file.to_str() {
            Some("-") => Box::new(BufReader::new(io::stdin())),
            _ => Box::new(BufReader::new(File::open(file).map_err(cannot)?)),
        };
        let is_container = reader.fill_buf().map_err(cannot)?.starts_with(CONTAINER);
        let source = if is_container {
            let not_readable =
                |error: apache_avro::Error| format!("{} cannot be read as the schema: {error}", file.display());
            let schema = apache_avro::Schema::parse_str(encoder.version().text()).map_err(not_readable)?;
            let reader = apache_avro::Reader::builder(reader).build().map_err(not_readable)?;
            Source::Container(Box::new(reader), Box::new(schema))
        } else {
            Source::Lines(reader)
        };
        Ok(Self { source, number: 0, from, encoder: encoder.clone() })
    }

    /// Whether the records come from a container file.
    pub(crate) fn is_container(&self) -> bool {
        matches!(self.source, Source::Container(..))
    }

    /// The next record that is wanted. Empty lines are none.
    ///
    /// # Errors
    /// If the input cannot be read on.
    pub(crate) fn next(&mut self) -> Result<Option<Record>, Box<dyn Error>> {
        loop {
            self.number += 1;
            let number = self.number;
            let record = match &mut self.source {
                Source::Lines(reader) => {
                    let mut line = Vec::new();
                    // a line longer than any message is read no further than that
                    let read = reader.by_ref().take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut line)?;
                    if read == 0 {
                        return Ok(None);
                    }
                    if line.len() as u64 > MAX_LINE_BYTES {
                        return Err(format!("line {number} is longer than {MAX_LINE_BYTES} bytes").into());
                    }
                    line_record(number, line, &self.encoder)
                }
                Source::Container(reader, schema) => match reader.next() {
                    None => return Ok(None),
                    Some(Err(error)) => return Err(format!("record {number}: {error}").into()),
                    Some(Ok(value)) => Some(Record { number, json: None, datum: datum(value, schema) }),
                },
            };
            if let Some(record) = record.filter(|_| number >= self.from) {
                return Ok(Some(record));
            }
        }
    }
}

/// The longest line that is read: JSON is some times longer than Avro, whose messages have 1 MiB at most.
const MAX_LINE_BYTES: u64 = 64 << 20;

fn line_record(number: u64, line: Vec<u8>, encoder: &Encoder) -> Option<Record> {
    let Ok(text) = String::from_utf8(line) else {
        return Some(Record { number, json: None, datum: Err("it is not UTF-8".to_owned()) });
    };
    let text = text.trim();
    (!text.is_empty()).then(|| Record {
        number,
        datum: encoder.datum(text).map_err(|error| error.to_string()),
        json: Some(text.to_owned()),
    })
}

/// A record of any writer schema as a datum of `schema`.
fn datum(value: Value, schema: &apache_avro::Schema) -> Result<Vec<u8>, String> {
    let resolved = value.resolve(schema).map_err(|error| error.to_string())?;
    let writer = apache_avro::writer::datum::GenericDatumWriter::builder(schema).build();
    let datum = writer.and_then(|writer| writer.write_value_to_vec(resolved));
    datum.map_err(|error| error.to_string())
}
