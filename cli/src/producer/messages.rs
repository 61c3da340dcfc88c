//! The messages of an input, one after another.

use super::packing::{Packed, Packing};
use super::{Input, Record};
use avro_ingest::encode::Encoder;
use serde_json::Value;
use std::collections::VecDeque;
use std::error::Error;

/// What comes of records.
pub(crate) enum Produced {
    Message(Packed),
    /// A record that is in no message, and why.
    Wrong(Record, String),
}

/// Packs the records of an input.
pub(crate) struct Messages {
    input: Input,
    packing: Packing,
    /// The path of the field that is the message group.
    group_field: Option<String>,
    held: Vec<Record>,
    held_group: Option<String>,
    ready: VecDeque<Produced>,
    has_ended: bool,
}

impl Messages {
    pub(crate) fn new(input: Input, packing: Packing, group_field: Option<String>) -> Self {
        let (held, ready) = (Vec::new(), VecDeque::new());
        Self { input, packing, group_field, held, held_group: None, ready, has_ended: false }
    }

    pub(crate) fn encoder(&self) -> &Encoder {
        self.packing.encoder()
    }

    pub(crate) fn is_container(&self) -> bool {
        self.input.is_container()
    }

    /// The next message or mistake. None at the end.
    ///
    /// # Errors
    /// If the input cannot be read on.
    pub(crate) fn next(&mut self) -> Result<Option<Produced>, Box<dyn Error>> {
        while self.ready.is_empty() && !self.has_ended {
            match self.input.next()? {
                Some(record) => self.take(record),
                None => {
                    self.has_ended = true;
                    self.pack();
                }
            }
        }
        Ok(self.ready.pop_front())
    }

    fn take(&mut self, record: Record) {
        if let Err(problem) = &record.datum {
            let problem = problem.clone();
            return self.ready.push_back(Produced::Wrong(record, problem));
        }
        let group = match self.group_field.as_deref().map(|field| group_of(&record, field)).transpose() {
            Ok(group) => group,
            Err(problem) => return self.ready.push_back(Produced::Wrong(record, problem)),
        };
        if !self.held.is_empty() && (group != self.held_group || !self.packing.has_room(&self.held, &record)) {
            self.pack();
        }
        self.held_group = group;
        self.held.push(record);
    }

    fn pack(&mut self) {
        if self.held.is_empty() {
            return;
        }
        match self.packing.pack(std::mem::take(&mut self.held), self.held_group.take()) {
            Ok(packed) => self.ready.push_back(Produced::Message(packed)),
            Err((problem, records)) => {
                self.ready.extend(records.into_iter().map(|record| Produced::Wrong(record, problem.clone())));
            }
        }
    }
}

/// The text or number at the path `field` of a record in JSON.
fn group_of(record: &Record, field: &str) -> Result<String, String> {
    let json = record.json.as_deref().ok_or("--group-id needs records as JSON")?;
    let value: Value = serde_json::from_str(json).map_err(|_| "it is not JSON")?;
    match value.pointer(&format!("/{}", field.replace('.', "/"))) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        _ => Err(format!("{field}: no text or number for the message group")),
    }
}
