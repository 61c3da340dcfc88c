//! From a message's body to items: the schemas' decoder and their mappings, made from one directory.

use crate::avro::{self, Decoder, SchemaFile, Schemas, Scratch};
use crate::config::Config;
use crate::dynamodb::item::{Encoder, Operation};
use crate::dynamodb::mapping::{Fields, Mapping, TableId};
use crate::outcome::{Reason, Rejection};
use crate::record::{FieldKind, SubjectId};
use crate::sqs::{Body, Message};
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

    /// Decodes the records of the message at `position` of the event into `encoder`: all of them, or, if one is wrong, none.
    pub fn transcode<'m>(
        &self,
        message: &'m Message<'_>,
        position: usize,
        encoder: &mut Encoder<'m>,
        buffers: &mut Buffers,
    ) -> Result<Transcoded, Rejection>
    where
        Self: 'm,
    {
        let reject = |reason, detail: &dyn fmt::Display| Rejection { reason, detail: detail.to_string().into() };
        let opened = message.open(&mut buffers.body).map_err(|error| reject(error.reason(), &error))?;
        let operation = match opened.attributes.operation() {
            None | Some("put") => Operation::Put,
            Some("delete") => Operation::Delete,
            Some(other) => {
                let detail = format!("the message attribute operation is {other:?}, neither put nor delete");
                return Err(reject(Reason::InvalidAttribute, &detail));
            }
        };
        let input = avro::Input {
            body: match &opened.body {
                Body::Binary(bytes) => avro::Body::Binary(bytes),
                Body::Json(text) => avro::Body::Json(text),
            },
            schema: opened.attributes.schema(),
            value_schema_id: opened.value_schema_id.as_deref(),
            keys_only: operation == Operation::Delete,
        };
        encoder.start_message(position, &message.id, operation);
        match self.decoder.decode(&input, &mut buffers.scratch, encoder) {
            Ok(decoded) => Ok(Transcoded { subject: decoded.subject, records: decoded.records }),
            Err(error) => {
                encoder.discard_message();
                Err(reject(error.reason(), &error))
            }
        }
    }
}

/// What is used again from message to message.
#[derive(Default)]
pub struct Buffers {
    body: Vec<u8>,
    scratch: Scratch,
}
