//! The interface between a decoder and an encoder, through which the values of a record are passed one after the other.
//!
//! For each record, `avro` requests a visitor from a [`RecordSink`], decodes the datum and calls the [`RecordVisitor`]
//! for each value. `dynamodb` implements both traits. The two modules do not depend on each other, and no tree of
//! values is built between them. A visitor receives one well-formed record: each start is followed by an end, and each
//! field by its value.

use std::fmt;

/// Index of a subject in its schema set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubjectId(pub u16);

/// A field of the reader schema that the item mapping needs: a key, a time to live or a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackedField(pub u8);

/// Name of a field, with its JSON representation. It is created once, when the plan is compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    member: Box<str>,
    text: Box<str>,
    is_omitted: bool,
}

impl Name {
    /// Prepares `text` for use as a JSON object key.
    pub fn new(text: &str) -> Self {
        Self { member: format!("{}:", serde_json::Value::from(text)).into(), text: text.into(), is_omitted: false }
    }

    /// Creates the name of a field that is omitted from the item. Such a field is reported only for the tracked fields
    /// in it.
    pub fn omitted(text: &str) -> Self {
        Self { is_omitted: true, ..Self::new(text) }
    }

    /// Returns whether the field is omitted from the item.
    pub fn is_omitted(&self) -> bool {
        self.is_omitted
    }

    /// Returns the start of a JSON member of this name: the quoted name and the colon.
    pub fn member(&self) -> &str {
        &self.member
    }

    /// Returns the name as the schema writes it.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Receives the records of messages, one after the other.
pub trait RecordSink {
    /// Visitor of one record.
    type Record<'r>: RecordVisitor
    where
        Self: 'r;

    /// Starts a record of `subject`. `index` is the record's position in its container, or `None` if the message is a
    /// single record.
    ///
    /// Discards an earlier record whose visitor was dropped before [`finish`](RecordVisitor::finish). If `index` is
    /// `None` or 0, this is the first record of the message, and all records of the same message received before must
    /// be discarded. They come from an attempt to decode the message in another wire format.
    ///
    /// # Errors
    /// Returns [`ItemError::Interrupted`] if there is not enough time or memory for another record. The decoder then
    /// tries no other wire format.
    fn begin(&mut self, subject: SubjectId, index: Option<usize>) -> Result<Self::Record<'_>, ItemError>;
}

/// Receives the values of one record in the order in which they are decoded. This is the order of the writer schema's
/// fields, not that of the reader schema.
///
/// An error ends the record: the visitor is dropped without another call.
pub trait RecordVisitor {
    /// Receives a `null`.
    fn null(&mut self) -> Result<(), ItemError>;
    /// Receives a `boolean`.
    fn boolean(&mut self, value: bool) -> Result<(), ItemError>;
    /// Receives an `int` or a `long`. A time or timestamp is in the reader schema's unit.
    fn long(&mut self, value: i64) -> Result<(), ItemError>;
    /// Receives a `float`.
    fn float(&mut self, value: f32) -> Result<(), ItemError>;
    /// Receives a `double`.
    fn double(&mut self, value: f64) -> Result<(), ItemError>;
    /// Receives a `decimal`. Its value is `unscaled * 10^-scale`, where `unscaled` is big-endian two's complement.
    fn decimal(&mut self, unscaled: &[u8], scale: u32) -> Result<(), ItemError>;
    /// Receives a `date`, as days since 1970-01-01.
    fn date(&mut self, days: i32) -> Result<(), ItemError>;
    /// Receives a `string`, the symbol of an `enum`, or a `uuid` that is written as a string.
    fn string(&mut self, value: &str) -> Result<(), ItemError>;
    /// Receives a `uuid` that is written as sixteen bytes.
    fn uuid(&mut self, value: [u8; 16]) -> Result<(), ItemError>;
    /// Receives `bytes`, a `fixed` or a `duration`.
    fn bytes(&mut self, value: &[u8]) -> Result<(), ItemError>;

    /// Starts an array. Each of its items is preceded by a call of [`array_item`](Self::array_item).
    fn array_start(&mut self) -> Result<(), ItemError>;
    /// Announces that the next value is an item of the innermost array.
    fn array_item(&mut self) -> Result<(), ItemError>;
    /// Ends the innermost array.
    fn array_end(&mut self) -> Result<(), ItemError>;

    /// Starts a map. Each of its values is preceded by a call of [`map_key`](Self::map_key). No key occurs twice.
    fn map_start(&mut self) -> Result<(), ItemError>;
    /// Announces that the next value is that of `key` in the innermost map.
    fn map_key(&mut self, key: &str) -> Result<(), ItemError>;
    /// Ends the innermost map.
    fn map_end(&mut self) -> Result<(), ItemError>;

    /// Starts a record, which may be the outermost. Each of its values is preceded by a call of [`field`](Self::field).
    fn record_start(&mut self) -> Result<(), ItemError>;
    /// Announces that the next value is that of the field `name` in the innermost record.
    fn field(&mut self, name: &Name) -> Result<(), ItemError>;
    /// Announces that the next value is that of the tracked `field`. Follows [`field`](Self::field), and is called at
    /// most once per record for each tracked field.
    fn tracked_field(&mut self, field: TrackedField) -> Result<(), ItemError>;
    /// Ends the innermost record.
    fn record_end(&mut self) -> Result<(), ItemError>;

    /// Completes the whole record.
    fn finish(self) -> Result<(), ItemError>;
}

/// A reason why a well-formed record cannot become an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemError {
    /// A number is NaN, infinite, or outside DynamoDB's range or precision.
    Number(&'static str),
    /// A key attribute is missing, empty, too long, or of another type than the table's key.
    Key {
        /// Name of the key attribute.
        attribute: Box<str>,
        /// Description of the problem.
        problem: &'static str,
    },
    /// The item exceeds DynamoDB's maximum size.
    TooLarge {
        /// Lower bound of the item's size as DynamoDB counts it, in bytes.
        bytes: usize,
        /// Maximum size of an item, in bytes.
        limit: usize,
    },
    /// The values are nested deeper than DynamoDB allows.
    TooDeep {
        /// Maximum number of levels.
        limit: usize,
    },
    /// A map key or field name is not a valid attribute name.
    Name(&'static str),
    /// The field of the time to live or the version has no usable value.
    Mapping {
        /// Name of the attribute.
        attribute: Box<str>,
        /// Description of the problem.
        problem: &'static str,
    },
    /// The record is valid so far. The message is returned to the queue for another invocation.
    Interrupted(Interruption),
}

/// A reason why the remaining messages of an event are returned to the queue for another invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// The deadline has passed.
    Deadline,
    /// The items of the event would exceed their share of the memory.
    Memory,
}

impl fmt::Display for Interruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deadline => "not decoded by the deadline",
            Self::Memory => "the event's items take more memory than there is for them",
        })
    }
}

impl fmt::Display for ItemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(problem) | Self::Name(problem) => f.write_str(problem),
            Self::Key { attribute, problem } => write!(f, "key attribute {attribute} {problem}"),
            Self::TooLarge { bytes, limit } => {
                write!(f, "the item has at least {bytes} bytes, over the limit of {limit}")
            }
            Self::TooDeep { limit } => write!(f, "values are nested deeper than {limit} levels"),
            Self::Mapping { attribute, problem } => write!(f, "attribute {attribute} {problem}"),
            Self::Interrupted(interruption) => interruption.fmt(f),
        }
    }
}

impl std::error::Error for ItemError {}

/// Kind of a reader schema's field, as far as it matters for a key, a time to live or a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// Stored as a string: string, enum, uuid, date.
    Text,
    /// Stored as a number.
    Number(Quantity),
    /// Stored as binary: bytes, fixed, duration.
    Binary,
    /// Anything else: a collection, a record, a boolean, or a union of several kinds.
    Other,
}

/// Meaning of a number, according to its logical type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// A number without a logical type, or a decimal.
    Plain,
    /// A time of day, which is not an instant.
    TimeOfDay,
    /// A `timestamp-*` or `local-timestamp-*`: the time since 1970-01-01 in this unit.
    Timestamp(Unit),
}

/// Unit of a time or a timestamp, ordered from coarse to fine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// `-millis`
    Milliseconds,
    /// `-micros`
    Microseconds,
    /// `-nanos`
    Nanoseconds,
}

impl Unit {
    /// Returns the number of these units in a second.
    pub(crate) fn per_second(self) -> u32 {
        match self {
            Self::Milliseconds => 1_000,
            Self::Microseconds => 1_000_000,
            Self::Nanoseconds => 1_000_000_000,
        }
    }
}
