//! Reads records one by one, from the lines of a text or from an Avro container file.

use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use avro_ingest::encode::Encoder;
use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// Magic bytes of a container file.
const CONTAINER: &[u8] = b"Obj\x01";
/// Byte order mark, which some editors write at the start of a UTF-8 file.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// Maximum length of a line, in bytes. JSON is several times longer than Avro, whose messages have at most 1 MiB.
const MAX_LINE_BYTES: u64 = 64 << 20;

/// A record as read from the input.
pub(crate) struct Raw {
    /// Line number, or position in the container file, counted from 1.
    pub(crate) number: u64,
    /// Number of the preceding record, or 0. Skipped numbers are empty lines.
    pub(crate) after: u64,
    pub(crate) content: Content,
}

/// The content of a record.
pub(crate) enum Content {
    /// A line without its line feed. It may not be valid UTF-8.
    Line(Vec<u8>),
    /// A value of the container's schema.
    Value(Box<Value>),
}

impl Raw {
    /// Returns the record as JSON, if it was read from text.
    pub(crate) fn json(&self) -> Option<&str> {
        match &self.content {
            Content::Line(line) => std::str::from_utf8(line).ok(),
            Content::Value(_) => None,
        }
    }
}

/// A record and its datum.
pub(crate) struct Record {
    pub(crate) raw: Raw,
    /// The datum, or the problem of the record.
    pub(crate) datum: Result<Vec<u8>, String>,
}

/// A source of records.
pub(crate) struct Input {
    source: Source,
    /// Number of the last line or record read.
    number: u64,
    /// Number of the last record returned.
    after: u64,
    /// Whether the last line read ended with a line feed.
    is_terminated: bool,
    encoder: Encoder,
}

enum Source {
    Lines(Box<dyn BufRead + Send>),
    Container(Box<Container>),
}

struct Container {
    reader: apache_avro::Reader<'static, Box<dyn BufRead + Send>>,
    /// Schema to which the records are resolved.
    schema: apache_avro::Schema,
}

/// Opens `file`, or standard input if it is `-`.
///
/// # Errors
/// If the file cannot be read.
pub(crate) fn open(file: &Path) -> Result<Box<dyn Read + Send>, Box<dyn Error>> {
    Ok(match file.to_str() {
        Some("-") => Box::new(io::stdin()),
        _ => Box::new(File::open(file).map_err(|error| cannot_read(file, &error))?),
    })
}

fn cannot_read(file: &Path, error: &io::Error) -> String {
    format!("cannot read {}: {error}", file.display())
}

impl Input {
    /// Creates an input from `bytes`, the content of `file`.
    ///
    /// # Errors
    /// If the content cannot be read, or it is a container whose schema cannot be parsed.
    pub(crate) fn new(bytes: Box<dyn Read + Send>, file: &Path, encoder: &Encoder) -> Result<Self, Box<dyn Error>> {
        let mut reader: Box<dyn BufRead + Send> = Box::new(BufReader::new(bytes));
        let start = reader.fill_buf().map_err(|error| cannot_read(file, &error))?;
        let source = if start.starts_with(CONTAINER) {
            let not_readable =
                |error: apache_avro::Error| format!("{} cannot be read as the schema: {error}", file.display());
            let schema = apache_avro::Schema::parse_str(encoder.version().text()).map_err(not_readable)?;
            let reader = apache_avro::Reader::builder(reader).build().map_err(not_readable)?;
            Source::Container(Box::new(Container { reader, schema }))
        } else {
            Source::Lines(reader)
        };
        Ok(Self { source, number: 0, after: 0, is_terminated: true, encoder: encoder.clone() })
    }

    /// Returns the writer schema of a container file.
    pub(crate) fn container_schema(&self) -> Option<&apache_avro::Schema> {
        match &self.source {
            Source::Lines(_) => None,
            Source::Container(container) => Some(container.reader.writer_schema()),
        }
    }

    /// Returns whether the last record was read completely. The last line of a complete input may lack a line feed.
    pub(crate) fn is_terminated(&self) -> bool {
        self.is_terminated
    }

    /// Returns the next record without decoding it. Skips empty lines.
    ///
    /// # Errors
    /// If reading fails.
    pub(crate) fn next(&mut self) -> Result<Option<Raw>, Box<dyn Error>> {
        loop {
            self.number += 1;
            let number = self.number;
            let content = match &mut self.source {
                Source::Lines(reader) => match next_line(reader.as_mut(), number)? {
                    None => return Ok(None),
                    Some(line) if line.text.is_empty() => continue,
                    Some(line) => {
                        self.is_terminated = line.is_terminated;
                        Content::Line(line.text)
                    }
                },
                Source::Container(container) => match container.reader.next() {
                    None => return Ok(None),
                    Some(Err(error)) => return Err(format!("record {number}: {error}").into()),
                    Some(Ok(value)) => Content::Value(Box::new(value)),
                },
            };
            let after = std::mem::replace(&mut self.after, number);
            return Ok(Some(Raw { number, after, content }));
        }
    }

    /// Encodes a record read from this input.
    pub(crate) fn encode(&self, raw: Raw) -> Record {
        let datum = match (&raw.content, &self.source) {
            (Content::Line(line), _) => match std::str::from_utf8(line) {
                Ok(text) => self.encoder.datum(text).map_err(|error| error.to_string()),
                Err(_) => Err("it is not UTF-8".to_owned()),
            },
            (Content::Value(value), Source::Container(container)) => datum(value, &container.schema),
            (Content::Value(_), Source::Lines(_)) => Err("it is not a line".to_owned()),
        };
        Record { raw, datum }
    }
}

/// A line without surrounding white space.
struct Line {
    text: Vec<u8>,
    /// Whether the line ended with a line feed.
    is_terminated: bool,
}

/// Reads the next line. Returns `None` at the end.
fn next_line(reader: &mut dyn BufRead, number: u64) -> Result<Option<Line>, Box<dyn Error>> {
    let mut line = Vec::new();
    // bounds the memory that an overlong line can use
    let read = reader.take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut line);
    let read = read.map_err(|error| format!("line {number}: {error}"))?;
    if read == 0 {
        return Ok(None);
    }
    if line.len() as u64 > MAX_LINE_BYTES {
        return Err(format!("line {number} is longer than {MAX_LINE_BYTES} bytes").into());
    }
    let text = if number == 1 { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&line) } else { &line };
    let is_terminated = line.ends_with(b"\n");
    Ok(Some(Line { text: text.trim_ascii().to_vec(), is_terminated }))
}

/// Resolves a value of any writer schema to `schema`, and encodes it.
fn datum(value: &Value, schema: &apache_avro::Schema) -> Result<Vec<u8>, String> {
    let resolved = value.clone().resolve(schema).map_err(|error| error.to_string())?;
    datum_of(resolved, schema)
}

/// Encodes a value of `schema`.
pub(crate) fn datum_of(value: Value, schema: &apache_avro::Schema) -> Result<Vec<u8>, String> {
    let writer = GenericDatumWriter::builder(schema).build();
    let datum = writer.and_then(|writer| writer.write_value_to_vec(value));
    datum.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &'static [u8]) -> Vec<(u64, u64, Vec<u8>)> {
        let encoder = Encoder::for_subject(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas")), "order");
        let mut input = Input::new(Box::new(text), Path::new("-"), &encoder.unwrap()).unwrap();
        let mut lines = Vec::new();
        while let Some(raw) = input.next().unwrap() {
            let Content::Line(line) = raw.content else { panic!("not a line") };
            lines.push((raw.number, raw.after, line));
        }
        lines
    }

    #[test]
    fn a_line_has_its_number_and_that_of_the_record_before() {
        let read = lines(b"a\n\n \r\nb\r\n c");
        assert_eq!(read, [(1, 0, b"a".to_vec()), (4, 1, b"b".to_vec()), (5, 4, b"c".to_vec())]);
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_line() {
        assert_eq!(lines(b"\xEF\xBB\xBFa\nb"), [(1, 0, b"a".to_vec()), (2, 1, b"b".to_vec())]);
        assert_eq!(lines(b"\xEF\xBB\xBF\nb"), [(2, 0, b"b".to_vec())]);
        assert_eq!(lines(b"a\n\xEF\xBB\xBFb")[1].2, b"\xEF\xBB\xBFb");
    }
}
