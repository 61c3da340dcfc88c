//! Where a record goes: the reader schema's `dynamodb` property, parsed and checked against the schema's own fields once,
//! so that a mapping that exists can be carried out.

mod excess;
mod parse;
mod table;
mod template;
#[cfg(test)]
mod tests;

pub use excess::{MAX_KEY_NAME_BYTES, name_excess};
pub use parse::MappingError;
pub use table::{TableName, TableScope};
pub(crate) use table::{is_account_id, is_region};
pub(crate) use template::{Part, Template};

use crate::record::{FieldKind, Name, TrackedField};
use serde::Deserialize;

/// The attribute that says when an item was written.
pub const PROCESSED_AT: &str = "processed_at";
/// The attribute that holds the record in the `document` layout.
pub const DATA: &str = "data";
/// The key attribute of a record whose schema names none, and the field it is taken from if the record has it.
pub const MESSAGE_ID: &str = "message_id";

/// The field that is the partition key.
pub(crate) const PARTITION_KEY: TrackedField = TrackedField(0);
/// The field that is the sort key.
pub(crate) const SORT_KEY: TrackedField = TrackedField(1);
/// The field that is the time to live.
pub(crate) const TTL: TrackedField = TrackedField(2);
/// The field that is the version.
pub(crate) const VERSION: TrackedField = TrackedField(3);
/// The first of the fields that key templates name.
pub(crate) const FIRST_OF_TEMPLATES: u8 = 4;
/// The most tracked fields of a mapping: the encoder keeps a bit for each.
pub(crate) const MAX_TRACKED_FIELDS: u8 = 32;

/// Index of a table within the function's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(usize);

impl TableId {
    /// The table at `index`.
    pub(crate) fn new(index: usize) -> Self {
        Self(index)
    }

    pub(crate) fn index(self) -> usize {
        self.0
    }
}

/// How a record becomes an item. Built by [`Mapping::parse`] only.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// The table.
    pub table: TableName,
    pub(crate) layout: Layout,
    pub(crate) nulls: Nulls,
    pub(crate) write: Write,
    pub(crate) partition_key: Key,
    pub(crate) sort_key: Option<Key>,
    pub(crate) ttl: Option<Ttl>,
    pub(crate) version: Option<Version>,
    tracked: Vec<(TrackedField, String)>,
}

/// Whether the record is one attribute or each of its fields is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Layout {
    #[default]
    Document,
    Attributes,
}

/// What becomes of a record's fields that are null.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Nulls {
    #[default]
    Store,
    Omit,
}

/// Whether a write replaces an item that is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Write {
    #[default]
    Put,
    Create,
}

/// The type of a key attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    /// A string.
    S,
    /// A number.
    N,
    /// Binary.
    B,
}

/// A key attribute.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) attribute: Name,
    key_type: KeyType,
    pub(crate) source: KeySource,
}

/// What a key's value is made of.
#[derive(Debug, Clone)]
pub(crate) enum KeySource {
    /// The message's id.
    MessageId,
    Field {
        /// The record's own field is the attribute already.
        in_place: bool,
    },
    Template(Template),
}

#[derive(Debug, Clone)]
pub(crate) struct Ttl {
    pub(crate) attribute: Name,
    pub(crate) in_place: bool,
    pub(crate) source: TtlSource,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum TtlSource {
    /// A field that counts seconds or, by its logical type, fractions of one.
    Field { per_second: i64 },
    /// Days after the item is written.
    Days(u32),
}

/// What orders an item's versions.
#[derive(Debug, Clone)]
pub(crate) enum Version {
    /// A field of the record: its path, and the attribute names on the way to it in the item.
    Field { path: String, attributes: Vec<String> },
    /// The order of the messages, kept in an attribute of its own.
    Message { attribute: Name, order: MessageOrder },
}

/// What orders messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MessageOrder {
    /// The number that a FIFO queue gives each message.
    SequenceNumber,
    /// When the message was sent, in milliseconds.
    SentTimestamp,
}

/// What a schema says of its fields: the answer to a path such as `customer.id`.
pub trait Fields {
    /// What the field at `path` holds, or why there is none.
    fn kind(&self, path: &str) -> Result<FieldKind, String>;
    /// The attributes that the outermost fields become.
    fn names(&self) -> Vec<&str>;

    /// The attribute names on the way to the field at `path`. `None` if it is left out of the item.
    fn attributes(&self, path: &str) -> Option<Vec<String>> {
        Some(path.split('.').map(str::to_owned).collect())
    }

    /// What is wrong with the attribute names of fields.
    fn problems(&self) -> Vec<String> {
        Vec::new()
    }
}

impl Mapping {
    /// The fields the encoder must be told of, by path.
    pub fn tracked_fields(&self) -> &[(TrackedField, String)] {
        &self.tracked
    }

    /// How many places there must be for tracked fields.
    pub(crate) fn tracked_places(&self) -> usize {
        self.tracked.iter().map(|(field, _)| usize::from(field.0) + 1).max().unwrap_or_default()
    }

    /// The name and type of the partition key and, if there is one, the sort key: what the table must be keyed by.
    pub fn key_schema(&self) -> impl Iterator<Item = (&str, KeyType)> {
        self.keys().map(|key| (key.attribute.text(), key.key_type))
    }

    /// The paths of the fields that the keys are made of.
    pub fn key_fields(&self) -> impl Iterator<Item = &str> {
        let is_of_a_key =
            |field: &TrackedField| [PARTITION_KEY, SORT_KEY].contains(field) || field.0 >= FIRST_OF_TEMPLATES;
        self.tracked.iter().filter(move |(field, _)| is_of_a_key(field)).map(|(_, path)| path.as_str())
    }

    /// The layout, as the property names it.
    pub fn layout(&self) -> &'static str {
        match self.layout {
            Layout::Document => "document",
            Layout::Attributes => "attributes",
        }
    }

    /// The attribute that says when an item expires, if one does.
    pub fn ttl_attribute(&self) -> Option<&str> {
        self.ttl.as_ref().map(|ttl| ttl.attribute.text())
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        [Some(&self.partition_key), self.sort_key.as_ref()].into_iter().flatten()
    }

    /// What orders an item's versions, if something does: a field's path or the messages' order.
    pub fn version(&self) -> Option<&str> {
        Some(match self.version.as_ref()? {
            Version::Field { path, .. } => path,
            Version::Message { order: MessageOrder::SequenceNumber, .. } => "sequence number",
            Version::Message { order: MessageOrder::SentTimestamp, .. } => "sent timestamp",
        })
    }

    /// The names on the way to the version's value within the item.
    pub(crate) fn version_path(&self) -> Option<Box<dyn Iterator<Item = &str> + '_>> {
        Some(match self.version.as_ref()? {
            Version::Field { attributes, .. } => {
                let document = (self.layout == Layout::Document).then_some(DATA);
                Box::new(document.into_iter().chain(attributes.iter().map(String::as_str)))
            }
            Version::Message { attribute, .. } => Box::new(std::iter::once(attribute.text())),
        })
    }
}
