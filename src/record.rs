//! The interface between a decoder and an encoder: the values of a record, one after the other.
//!
//! `avro` opens each record in a [`RecordSink`], walks its datum and calls the [`RecordVisitor`] it got; `dynamodb` implements
//! both. Neither knows the other, and there is no value tree between them. A visitor sees one well-formed record: every start
//! has its end, every field its value.

use std::fmt;

/// Index of a subject within the schema set that decodes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubjectId(pub u16);

/// One of the reader schema's fields that the item mapping asks for: a key, a time to live, a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackedField(pub u8);

/// A field's name, with what it is in JSON made once, when the plan is compiled.
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

    /// The name of a field that is told of for what is tracked in it, and is itself no part of the item.
    pub fn omitted(text: &str) -> Self {
        Self { is_omitted: true, ..Self::new(text) }
    }

    /// Whether the field is no part of the item.
    pub fn is_omitted(&self) -> bool {
        self.is_omitted
    }

    /// How a member of this name begins in JSON: the quoted name and the colon.
    pub fn member(&self) -> &str {
        &self.member
    }

    /// The name as the schema spells it.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Receives the records of messages, one after the other.
pub trait RecordSink {
    /// The visitor of one record.
    type Record<'r>: RecordVisitor
    where
        Self: 'r;

    /// Starts a record of `subject`; an earlier record whose visitor was dropped before [`finish`](RecordVisitor::finish) is
    /// void. `index` is its place in its container, and none if the message is the record. A first record (none or 0) starts
    /// its message anew: whatever was reported of the message before came from reading it in another wire format, and is void.
    ///
    /// # Errors
    /// [`ItemError::Interrupted`] if there is no time or memory left for another record. The decoder tries no other wire
    /// format then.
    fn begin(&mut self, subject: SubjectId, index: Option<usize>) -> Result<Self::Record<'_>, ItemError>;
}

/// Receives one record's values in the order they are decoded, which is the writer's order of fields, not the reader's.
///
/// An error ends the record: the visitor is dropped without a further call.
pub trait RecordVisitor {
    /// `null`.
    fn null(&mut self) -> Result<(), ItemError>;
    /// `boolean`.
    fn boolean(&mut self, value: bool) -> Result<(), ItemError>;
    /// `int`, `long`, and the times and timestamps, in the reader schema's unit.
    fn long(&mut self, value: i64) -> Result<(), ItemError>;
    /// `float`.
    fn float(&mut self, value: f32) -> Result<(), ItemError>;
    /// `double`.
    fn double(&mut self, value: f64) -> Result<(), ItemError>;
    /// `decimal`: `unscaled` is big-endian two's complement, the value is `unscaled * 10^-scale`.
    fn decimal(&mut self, unscaled: &[u8], scale: u32) -> Result<(), ItemError>;
    /// `date`: days since 1970-01-01.
    fn date(&mut self, days: i32) -> Result<(), ItemError>;
    /// `string`, the symbol of an `enum`, a `uuid` written as a string.
    fn string(&mut self, value: &str) -> Result<(), ItemError>;
    /// `uuid` written as sixteen bytes.
    fn uuid(&mut self, value: [u8; 16]) -> Result<(), ItemError>;
    /// `bytes`, `fixed`, `duration`.
    fn bytes(&mut self, value: &[u8]) -> Result<(), ItemError>;

    /// An array starts; each of its items follows an [`array_item`](Self::array_item).
    fn array_start(&mut self) -> Result<(), ItemError>;
    /// The next value is an item of the innermost array.
    fn array_item(&mut self) -> Result<(), ItemError>;
    /// The innermost array ends.
    fn array_end(&mut self) -> Result<(), ItemError>;

    /// A map starts; each of its values follows a [`map_key`](Self::map_key). No key occurs twice.
    fn map_start(&mut self) -> Result<(), ItemError>;
    /// The next value belongs to `key` of the innermost map.
    fn map_key(&mut self, key: &str) -> Result<(), ItemError>;
    /// The innermost map ends.
    fn map_end(&mut self) -> Result<(), ItemError>;

    /// A record value starts, the outermost included; each of its values follows a [`field`](Self::field).
    fn record_start(&mut self) -> Result<(), ItemError>;
    /// The next value is that of the field `name` of the innermost record.
    fn field(&mut self, name: &Name) -> Result<(), ItemError>;
    /// The next value is that of the tracked `field`. Comes after [`field`](Self::field), at most once a record for each.
    fn tracked_field(&mut self, field: TrackedField) -> Result<(), ItemError>;
    /// The innermost record value ends.
    fn record_end(&mut self) -> Result<(), ItemError>;

    /// Completes the record.
    fn finish(self) -> Result<(), ItemError>;
}

/// Why a well-formed record cannot become an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemError {
    /// NaN, an infinity, or a number outside the database's range or precision.
    Number(&'static str),
    /// A key attribute is missing, empty, too long or of another type than the table's.
    Key {
        /// The key's attribute name.
        attribute: Box<str>,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The item is larger than the database takes.
    TooLarge {
        /// The size as the database counts it.
        bytes: usize,
        /// The most it takes.
        limit: usize,
    },
    /// Values are nested deeper than the database takes.
    TooDeep {
        /// The deepest it takes.
        limit: usize,
    },
    /// A map key or field that is not a legal attribute name.
    Name(&'static str),
    /// The field that holds the time to live or the version has no usable value.
    Mapping {
        /// The attribute it should have become.
        attribute: Box<str>,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Nothing is wrong with the record: it is left for another invocation.
    Interrupted(Interruption),
}

/// Why the rest of an event is left for another invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// The time for it is over.
    Deadline,
    /// The items of the event would take more memory than there is for them.
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

/// What a reader schema's field holds, as far as a key, a time to live or a version cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// Becomes a string: string, enum, uuid, date.
    Text,
    /// Becomes a number.
    Number(Quantity),
    /// Becomes binary: bytes, fixed, duration.
    Binary,
    /// Anything else: a collection, a record, a boolean, a union of several kinds.
    Other,
}

/// What a number counts, where its logical type says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// A number without logical type, or a decimal.
    Plain,
    /// A time of day, which is no instant.
    TimeOfDay,
    /// `timestamp-*` or `local-timestamp-*`: the time since 1970-01-01 in this unit.
    Timestamp(Unit),
}

/// The unit of a time or a timestamp. A later one is finer.
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
    /// The number of these units in a second.
    pub(crate) fn per_second(self) -> u32 {
        match self {
            Self::Milliseconds => 1_000,
            Self::Microseconds => 1_000_000,
            Self::Nanoseconds => 1_000_000_000,
        }
    }
}
