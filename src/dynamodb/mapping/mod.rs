//! The mapping of records to items: the reader schema's `dynamodb` property. It is parsed once and checked against the
//! fields of the schema, so that every existing [`Mapping`] is valid.

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

/// Name of the attribute with the time at which an item was written.
pub const PROCESSED_AT: &str = "processed_at";
/// The attribute that holds the record in the `document` layout.
pub const DATA: &str = "data";
/// Name of the key attribute for schemas without a `partitionKey`. It is also the name of the field that provides its
/// value, if the record has that field.
pub const MESSAGE_ID: &str = "message_id";

/// The field with the partition key.
pub(crate) const PARTITION_KEY: TrackedField = TrackedField(0);
/// The field with the sort key.
pub(crate) const SORT_KEY: TrackedField = TrackedField(1);
/// The field with the time to live.
pub(crate) const TTL: TrackedField = TrackedField(2);
/// The field with the version.
pub(crate) const VERSION: TrackedField = TrackedField(3);
/// Number of the first tracked field that is used by key templates.
pub(crate) const FIRST_OF_TEMPLATES: u8 = 4;
/// Maximum number of tracked fields of a mapping. The encoder stores one bit for each in a `u32`.
pub(crate) const MAX_TRACKED_FIELDS: u8 = 32;

/// Index of a table within the function's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(usize);

impl TableId {
    /// Creates the identifier of the table at `index`.
    pub(crate) fn new(index: usize) -> Self {
        Self(index)
    }

    pub(crate) fn index(self) -> usize {
        self.0
    }
}

/// The mapping of the records of one subject to items. It can only be created by [`Mapping::parse`].
#[derive(Debug, Clone)]
pub struct Mapping {
    /// The table that the items are written to.
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

/// The layout of an item: the whole record in one attribute, or each field in an attribute of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Layout {
    #[default]
    Document,
    Attributes,
}

/// The treatment of fields that are null.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Nulls {
    #[default]
    Store,
    Omit,
}

/// Whether a write replaces an existing item.
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

/// The source of a key's value.
#[derive(Debug, Clone)]
pub(crate) enum KeySource {
    /// The id of the message.
    MessageId,
    Field {
        /// Whether the field itself is stored under the key attribute, so that no separate attribute is needed.
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
    /// A field that counts seconds or, depending on its logical type, fractions of a second.
    Field { per_second: i64 },
    /// A number of days after the item is written.
    Days(u32),
}

/// The source of an item's version.
#[derive(Debug, Clone)]
pub(crate) enum Version {
    /// A field of the record: its path in the record, and the attribute names on the path to it in the item.
    Field { path: String, attributes: Vec<String> },
    /// The order of the messages, stored in an attribute of its own.
    Message { attribute: Name, order: MessageOrder },
}

/// The property that defines the order of the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MessageOrder {
    /// The sequence number that a FIFO queue assigns to each message.
    SequenceNumber,
    /// The time at which the message was sent, in milliseconds.
    SentTimestamp,
}

/// The fields of a schema, looked up by paths such as `customer.id`.
pub trait Fields {
    /// Returns the kind of the field at `path`, or the reason why no such field exists.
    fn kind(&self, path: &str) -> Result<FieldKind, String>;
    /// Returns the names of the attributes that the outermost fields become.
    fn names(&self) -> Vec<&str>;

    /// Returns the attribute names on the path to the field at `path`, or `None` if the item omits the field.
    fn attributes(&self, path: &str) -> Option<Vec<String>> {
        Some(path.split('.').map(str::to_owned).collect())
    }

    /// Returns a description of each problem with the fields' attribute names.
    fn problems(&self) -> Vec<String> {
        Vec::new()
    }
}

impl Mapping {
    /// Returns the fields whose values the encoder must track, with their paths.
    pub fn tracked_fields(&self) -> &[(TrackedField, String)] {
        &self.tracked
    }

    /// Returns the number of slots that the encoder needs for tracked fields.
    pub(crate) fn tracked_places(&self) -> usize {
        self.tracked.iter().map(|(field, _)| usize::from(field.0) + 1).max().unwrap_or_default()
    }

    /// Returns the names and types of the partition key and of the sort key, if any. They must match the key schema of the
    /// table.
    pub fn key_schema(&self) -> impl Iterator<Item = (&str, KeyType)> {
        self.keys().map(|key| (key.attribute.text(), key.key_type))
    }

    /// Returns the paths of the fields that the keys are made of.
    pub fn key_fields(&self) -> impl Iterator<Item = &str> {
        let is_of_a_key =
            |field: &TrackedField| [PARTITION_KEY, SORT_KEY].contains(field) || field.0 >= FIRST_OF_TEMPLATES;
        self.tracked.iter().filter(move |(field, _)| is_of_a_key(field)).map(|(_, path)| path.as_str())
    }

    /// Returns the name of the layout, as in the `dynamodb` property.
    pub fn layout(&self) -> &'static str {
        match self.layout {
            Layout::Document => "document",
            Layout::Attributes => "attributes",
        }
    }

    /// Returns the name of the attribute with the expiry time, if the mapping has a time to live.
    pub fn ttl_attribute(&self) -> Option<&str> {
        self.ttl.as_ref().map(|ttl| ttl.attribute.text())
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        [Some(&self.partition_key), self.sort_key.as_ref()].into_iter().flatten()
    }

    /// Returns the source of the version, if the mapping has one: the path of a field, or the name of a message property.
    pub fn version(&self) -> Option<&str> {
        Some(match self.version.as_ref()? {
            Version::Field { path, .. } => path,
            Version::Message { order: MessageOrder::SequenceNumber, .. } => "sequence number",
            Version::Message { order: MessageOrder::SentTimestamp, .. } => "sent timestamp",
        })
    }

    /// Returns the attribute names on the path to the version's value in the item.
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
