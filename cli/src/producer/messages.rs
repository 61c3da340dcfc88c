//! Packs records into messages.

use super::input::{Content, Input, Raw, Record};
use super::packing::{Packed, Packing};
use avro_ingest::encode::Encoder;
use serde_json::Value;
use std::collections::VecDeque;
use std::error::Error;

/// Maximum length of a message group id and of a deduplication id, in characters.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatchRequestEntry.html>
pub(crate) const MAX_ID_CHARACTERS: usize = 128;

/// Result of packing records.
pub(crate) enum Produced {
    Message(Packed),
    /// A record that is in no message, and the problem.
    Wrong(Record, String),
}

/// Paths of the record fields that hold the message group id and the deduplication id.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyFields {
    pub(crate) group: Option<String>,
    pub(crate) deduplication: Option<String>,
    /// Resolves a field path in a line of JSON. Without an encoder, the line is plain JSON.
    pub(crate) encoder: Option<Encoder>,
}

/// Packs records into messages. Holds records until a message is full.
pub(crate) struct Packer {
    packing: Packing,
    fields: KeyFields,
    held: Vec<Record>,
    held_group: Option<String>,
    held_deduplication: Option<String>,
    ready: VecDeque<Produced>,
}

impl Packer {
    pub(crate) fn new(packing: Packing, fields: KeyFields) -> Self {
        Self { packing, fields, held: Vec::new(), held_group: None, held_deduplication: None, ready: VecDeque::new() }
    }

    /// Adds a record, which may complete a message.
    pub(crate) fn take(&mut self, record: Record) {
        if let Err(problem) = &record.datum {
            let problem = problem.clone();
            return self.ready.push_back(Produced::Wrong(record, problem));
        }
        let (group, deduplication) = match self.fields.of(&record.raw) {
            Ok(keys) => keys,
            Err(problem) => return self.ready.push_back(Produced::Wrong(record, problem)),
        };
        if !self.held.is_empty() && (group != self.held_group || !self.packing.has_room(&self.held, &record)) {
            self.pack();
        }
        self.held_group = group;
        self.held_deduplication = deduplication;
        self.held.push(record);
        // a full message is ready at once, without waiting for the next record
        if self.packing.is_full(&self.held) {
            self.pack();
        }
    }

    /// Packs the held records into a message.
    pub(crate) fn pack(&mut self) {
        let (group, deduplication) = (self.held_group.take(), self.held_deduplication.take());
        if self.held.is_empty() {
            return;
        }
        match self.packing.pack(std::mem::take(&mut self.held), group, deduplication) {
            Ok(packed) => self.ready.push_back(Produced::Message(packed)),
            Err((problem, records)) => {
                self.ready.extend(records.into_iter().map(|record| Produced::Wrong(record, problem.clone())));
            }
        }
    }

    /// Returns the next message or invalid record.
    pub(crate) fn pop(&mut self) -> Option<Produced> {
        self.ready.pop_front()
    }

    /// Returns whether an incomplete message holds records.
    pub(crate) fn holds(&self) -> bool {
        !self.held.is_empty()
    }
}

/// Reads and packs all records of an input.
pub(crate) struct Messages {
    input: Input,
    packer: Packer,
    /// Number of the first record to include.
    from: u64,
    has_ended: bool,
}

impl Messages {
    pub(crate) fn new(input: Input, packing: Packing, from: u64) -> Self {
        Self { input, packer: Packer::new(packing, KeyFields::default()), from, has_ended: false }
    }

    /// Returns the next message or invalid record. Returns `None` at the end.
    ///
    /// # Errors
    /// If the input cannot be read.
    pub(crate) fn next(&mut self) -> Result<Option<Produced>, Box<dyn Error>> {
        loop {
            if let Some(produced) = self.packer.pop() {
                return Ok(Some(produced));
            }
            if self.has_ended {
                return Ok(None);
            }
            match self.input.next()? {
                Some(raw) if raw.number < self.from => {}
                Some(raw) => self.packer.take(self.input.encode(raw)),
                None => {
                    self.has_ended = true;
                    self.packer.pack();
                }
            }
        }
    }
}

impl KeyFields {
    /// Returns the message group id and the deduplication id of a record.
    ///
    /// # Errors
    /// Returns which field is invalid, and why.
    fn of(&self, raw: &Raw) -> Result<(Option<String>, Option<String>), String> {
        if self.group.is_none() && self.deduplication.is_none() {
            return Ok((None, None));
        }
        let (record, encoder): (Value, _) = match &raw.content {
            Content::Line(line) => (serde_json::from_slice(line).map_err(|_| "it is not JSON")?, self.encoder.as_ref()),
            Content::Value(value) => ((**value).clone().try_into().map_err(|_| "it has no form in JSON")?, None),
        };
        let value = |field: &str| match encoder {
            Some(encoder) => encoder.json_field(&record, field),
            None => record.pointer(&format!("/{}", field.replace('.', "/"))),
        };
        let id = |field: &Option<String>| field.as_deref().map(|field| id_of(value(field), field)).transpose();
        Ok((id(&self.group)?, id(&self.deduplication)?))
    }

    /// Returns the message group id of a record, if it has one.
    pub(crate) fn group_of(&self, raw: &Raw) -> Option<String> {
        Self { deduplication: None, ..self.clone() }.of(raw).ok()?.0
    }
}

/// Converts the text or number in `field` of a record to an id that SQS accepts.
fn id_of(value: Option<&Value>, field: &str) -> Result<String, String> {
    let id = match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => return Err(format!("{field}: no text or number for an id")),
    };
    let is_legal = (1..=MAX_ID_CHARACTERS).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    match is_legal {
        true => Ok(id),
        false => Err(format!("{field}: an id has 1 to {MAX_ID_CHARACTERS} letters, digits and punctuation marks")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use avro_ingest::avro::{JsonEncoding, SchemaFile, Schemas};

    /// Returns the group id of a line whose field `tenant` is nullable.
    fn group_of(line: &str, encoding: JsonEncoding) -> Result<Option<String>, String> {
        let text = r#"{"type": "record", "name": "R", "fields": [{"name": "tenant", "type": ["null", "string"]}]}"#;
        let (subject, version, path) = ("r".to_owned(), "1".to_owned(), "r/1.avsc".to_owned());
        let schemas = Schemas::parse(vec![SchemaFile { subject, version, text: text.to_owned(), path }]).unwrap();
        let newest = schemas.subjects().next().unwrap().newest();
        let encoder = Some(Encoder::new(newest).with_json_encoding(encoding));
        let fields = KeyFields { group: Some("tenant".to_owned()), encoder, ..KeyFields::default() };
        let content = Content::Line(line.as_bytes().to_vec());
        fields.of(&Raw { number: 1, after: 0, content }).map(|(group, _)| group)
    }

    #[test]
    fn a_group_is_read_from_a_tagged_union_where_records_are_avros_own_json() {
        let acme = || Ok(Some("acme".to_owned()));
        assert_eq!(group_of(r#"{"tenant": {"string": "acme"}}"#, JsonEncoding::Avro), acme());
        assert_eq!(group_of(r#"{"tenant": "acme"}"#, JsonEncoding::Plain), acme());
        for (line, encoding) in [
            (r#"{"tenant": {"string": "acme"}}"#, JsonEncoding::Plain),
            (r#"{"tenant": "acme"}"#, JsonEncoding::Avro),
            (r#"{"tenant": null}"#, JsonEncoding::Avro),
        ] {
            assert!(group_of(line, encoding).unwrap_err().contains("no text or number"), "{line}");
        }
    }
}
