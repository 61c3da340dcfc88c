//! From a message's body to items: the schemas' decoder and their mappings, made from one directory.

use crate::avro::{self, Decoder, SchemaFile, Schemas, Scratch, WireFormat};
use crate::config::Config;
use crate::dynamodb::item::{Encoder, Operation};
use crate::dynamodb::mapping::{Fields, Mapping, TableId};
use crate::outcome::Rejection;
use crate::record::{FieldKind, SubjectId};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Turns messages into items. Immutable, shared by all invocations.
pub struct Transcoder {
    decoder: Decoder,
    mappings: Arc<[(TableId, Mapping)]>,
    subjects: Vec<String>,
}

/// What a message turned out to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transcoded {
    /// How it was framed.
    pub format: WireFormat,
    /// Its records' subject.
    pub subject: SubjectId,
    /// How many records it holds.
    pub records: usize,
}

/// Everything that is wrong with a schema directory, one sentence each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaProblems(Vec<String>);

impl fmt::Display for SchemaProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid schemas: {}", self.0.join("; "))
    }
}

impl std::error::Error for SchemaProblems {}

impl Fields for avro::Subject {
    fn kind(&self, path: &str) -> Result<FieldKind, String> {
        self.field(path).map_err(|error| error.to_string())
    }

    fn names(&self) -> Vec<&str> {
        self.fields().collect()
    }
}

impl Transcoder {
    /// Compiles `files` for `config`. Every problem of every schema and mapping is in the error.
    pub fn new(config: &Config, files: Vec<SchemaFile>) -> Result<Self, SchemaProblems> {
        let schemas = Schemas::parse(files).map_err(|errors| SchemaProblems(vec![errors.to_string()]))?;
        let (mut mappings, mut marks, mut problems) = (Vec::new(), Vec::new(), Vec::new());
        let (mut tables, mut subjects): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        for subject in schemas.subjects() {
            match Mapping::parse(subject.dynamodb(), &config.table_name, subject) {
                Ok(mapping) => {
                    let known = tables.iter().position(|table| *table == mapping.table);
                    let table = known.unwrap_or(tables.len());
                    if known.is_none() {
                        tables.push(mapping.table.clone());
                    }
                    marks.extend(mapping.marks().iter().map(|(mark, path)| (subject.id(), *mark, path.clone())));
                    mappings.push((TableId::new(table), mapping));
                }
                Err(error) => problems.push(format!("subject {}: {error}", subject.name())),
            }
            subjects.push(subject.name().to_owned());
        }
        if !problems.is_empty() {
            return Err(SchemaProblems(problems));
        }
        let options = avro::Options {
            formats: config.wire_formats.clone(),
            default_schema: config.default_schema.clone(),
            limits: avro::Limits {
                max_depth: config.max_depth,
                max_records: config.max_records,
                max_inflated_bytes: config.max_inflated_bytes,
                ..avro::Limits::default()
            },
            marks,
        };
        let decoder = schemas.compile(options).map_err(|error| SchemaProblems(vec![error.to_string()]))?;
        Ok(Self { decoder, mappings: mappings.into(), subjects })
    }

    /// Where records go, by subject, and the table each mapping stands for.
    pub fn mappings(&self) -> &Arc<[(TableId, Mapping)]> {
        &self.mappings
    }

    /// The name of a subject.
    pub fn subject(&self, id: SubjectId) -> &str {
        self.subjects.get(usize::from(id.0)).map_or("", String::as_str)
    }

    /// An encoder of these mappings. `now` is the time since the Unix epoch; `capacity` a guess of the bytes to come.
    pub fn encoder(&self, now: Duration, capacity: usize) -> Encoder<'_> {
        Encoder::new(&self.mappings, now, capacity)
    }

    /// Decodes the records of the message at `position` of the event, whose id is `id`, into `encoder`: all of them, or, if
    /// one is wrong, none.
    pub fn transcode<'m>(
        &'m self,
        input: &avro::Input<'_>,
        (position, id): (usize, &'m str),
        encoder: &mut Encoder<'m>,
        scratch: &mut Scratch,
    ) -> Result<Transcoded, Rejection> {
        let operation = if input.keys_only { Operation::Delete } else { Operation::Put };
        encoder.start_message(position, id, operation);
        match self.decoder.decode(input, scratch, encoder) {
            Ok(decoded) => {
                Ok(Transcoded { format: decoded.format, subject: decoded.subject, records: decoded.records })
            }
            Err(error) => {
                encoder.discard_message();
                Err(Rejection::new(error.reason(), &error))
            }
        }
    }
}
