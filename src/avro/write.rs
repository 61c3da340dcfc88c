//! Writes a JSON value as a datum: defaults of a schema, bodies in JSON, and what a producer sends.
//!
//! A body in JSON becomes a datum first and is then read by the plan like any other, so that there is one way into a
//! record, and tracked, limits and schema evolution hold on it.
//!
//! | Avro | in a record | in a schema's default |
//! | --- | --- | --- |
//! | null, boolean, string, enum, array, map, record | as JSON has it | the same |
//! | int, long, time-*, timestamp-* | a number without fraction and exponent | the same |
//! | float, double | a number | the same |
//! | bytes, fixed, duration | base64, either alphabet, padded or not | characters 0 to 255, a byte each |
//! | decimal | a number, or a string that holds one; exact | as bytes |
//! | date | `2024-01-15`, or days since 1970-01-01 | days |
//! | uuid on a fixed | its usual form | as fixed |
//! | union | the first branch that takes the value, of a number the first that holds it exactly; if none does, `{"<branch>": value}` | the first that takes it |
//!
//! A field that is absent is read from one of its aliases, else it has its default. A key that is no field is an error:
//! nothing is silently lost.

use super::{
    json::Json,
    path::WithPath,
    schema::{Decimal, Enum, Field, Fixed, FixedMeaning, Int, Record, Schema, Type, TypeId, unqualified},
    text,
};
use std::{borrow::Cow, collections::HashMap, fmt};

/// Why a JSON value is no value of its schema. Never a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonEncodeError {
    /// JSON of another kind than this Avro type needs.
    Kind {
        /// The Avro type.
        expected: &'static str,
    },
    /// A number that the Avro type cannot hold exactly, or not at all.
    Number {
        /// The Avro type.
        expected: &'static str,
    },
    /// A string that is no text of this kind.
    Text {
        /// What it should be the text of.
        expected: &'static str,
    },
    /// Bytes of another number than the fixed has.
    Size {
        /// The number it has.
        expected: u32,
    },
    /// A string that is none of the enum's symbols.
    Symbol,
    /// No branch of the union takes the value.
    NoBranch,
    /// A field that is absent and has no default.
    MissingField,
    /// A key that is no field of the record.
    UnknownField,
    /// Nested deeper than allowed.
    TooDeep,
    /// More values or bytes than allowed.
    TooLarge,
}

impl fmt::Display for JsonEncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind { expected } => write!(f, "not the json of a value of type {expected}"),
            Self::Number { expected } => write!(f, "the number does not fit {expected}"),
            Self::Text { expected } => write!(f, "the string is not {expected}"),
            Self::Size { expected } => write!(f, "not {expected} bytes"),
            Self::Symbol => f.write_str("the string is none of the symbols"),
            Self::NoBranch => f.write_str("no branch of the union takes the value"),
            Self::MissingField => f.write_str("the field is absent and has no default"),
            Self::UnknownField => f.write_str("the object has a key that is no field of the record"),
            Self::TooDeep => f.write_str("nested too deep"),
            Self::TooLarge => f.write_str("too many values or bytes"),
        }
    }
}

impl std::error::Error for JsonEncodeError {}

/// How the JSON spells what JSON has no type for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// As in a schema's defaults.
    Default,
    /// As in a record.
    Record,
}

/// What a datum may grow to while it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) depth: usize,
    pub(crate) values: usize,
    pub(crate) bytes: usize,
}

/// What the default of one field may grow to. No item holds as much, and a schema can ask for any amount: a default of
/// nested records doubles with each level.
const DEFAULT_BOUNDS: Bounds = Bounds { depth: 32, values: 1 << 16, bytes: 1 << 18 };

/// Writes the default of a field of type `ty`.
pub(crate) fn default_datum(
    schema: &Schema,
    ty: TypeId,
    default: &Json<'_>,
    datum: &mut Vec<u8>,
) -> Result<(), Box<WithPath<JsonEncodeError>>> {
    JsonEncoder::new(schema, Dialect::Default, DEFAULT_BOUNDS, datum).value(ty, default)
}

/// Writes `record` as a datum of `schema`.
pub(crate) fn record_datum(
    schema: &Schema,
    record: &Json<'_>,
    bounds: Bounds,
    datum: &mut Vec<u8>,
) -> Result<(), Box<WithPath<JsonEncodeError>>> {
    JsonEncoder::new(schema, Dialect::Record, bounds, datum).value(schema.root(), record)
}

/// Appends `number` as Avro writes an int or a long.
pub(crate) fn push_long(datum: &mut Vec<u8>, number: i64) {
    let mut rest = (number << 1 ^ number >> 63).cast_unsigned();
    while rest >= 0x80 {
        datum.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    datum.push(rest.to_le_bytes()[0]);
}

/// Appends a length or a count. None that fits memory is beyond a long.
pub(crate) fn push_len(datum: &mut Vec<u8>, len: usize) {
    push_long(datum, i64::try_from(len).unwrap_or(i64::MAX));
}

/// Appends `bytes` with their length before them.
pub(crate) fn push_bytes(datum: &mut Vec<u8>, bytes: &[u8]) {
    push_len(datum, bytes.len());
    datum.extend_from_slice(bytes);
}

/// Writes values at the end of a datum.
pub(super) struct JsonEncoder<'s, 'd> {
    pub(super) schema: &'s Schema,
    dialect: Dialect,
    /// What is left of each.
    bounds: Bounds,
    pub(super) datum: &'d mut Vec<u8>,
    /// What came of values of unions that several branches might take, by the addresses of both. Without it the branches
    /// of unions within unions would be tried again and again, and twice as often with each level.
    choices: HashMap<(usize, usize), Result<Choice, Box<WithPath<JsonEncodeError>>>>,
}

/// The branch of a union that takes a value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    index: usize,
    /// Whether the value stands in an object under the branch's name.
    is_tagged: bool,
}

/// Writes a value as the branch of this number and type.
type WriteBranch<'w, 's, 'd> = &'w dyn Fn(&mut JsonEncoder<'s, 'd>, usize, TypeId, &Json<'_>) -> Written;

pub(super) type Written = Result<(), Box<WithPath<JsonEncodeError>>>;

/// For each field of `record`, its member among `members`.
///
/// # Errors
/// If there is a member that is no field.
pub(super) fn members_of(
    record: &Record,
    members: &[(Cow<'_, str>, Json<'_>)],
) -> Result<Vec<Option<usize>>, Box<WithPath<JsonEncodeError>>> {
    let sources = record.sources(|name| members.iter().position(|(member, _)| member == name));
    // no two fields have one member
    if sources.iter().flatten().count() == members.len() {
        Ok(sources)
    } else {
        Err(WithPath::here(JsonEncodeError::UnknownField))
    }
}

impl<'s, 'd> JsonEncoder<'s, 'd> {
    fn new(schema: &'s Schema, dialect: Dialect, bounds: Bounds, datum: &'d mut Vec<u8>) -> Self {
        Self { schema, dialect, bounds, datum, choices: HashMap::new() }
    }

    /// An encoder of a body in JSON.
    pub(super) fn of_body(schema: &'s Schema, bounds: Bounds, datum: &'d mut Vec<u8>) -> Self {
        Self::new(schema, Dialect::Record, bounds, datum)
    }

    pub(super) fn value(&mut self, ty: TypeId, json: &Json<'_>) -> Written {
        self.bounds.values =
            self.bounds.values.checked_sub(1).ok_or_else(|| WithPath::here(JsonEncodeError::TooLarge))?;
        if self.datum.len() > self.bounds.bytes {
            return Err(WithPath::here(JsonEncodeError::TooLarge));
        }
        match (self.schema.get(ty), json) {
            (Type::Union(branches), json) => return self.union(branches, json),
            (Type::Record(record), Json::Object(entries)) => {
                return self.nested(|encoder| encoder.record(record, entries));
            }
            (Type::Array(items), Json::Array(values)) => return self.nested(|encoder| encoder.array(*items, values)),
            (Type::Map(value), Json::Object(entries)) => return self.nested(|encoder| encoder.map(*value, entries)),
            (Type::Null, Json::Null) => {}
            (Type::Boolean, Json::Boolean(value)) => self.datum.push(u8::from(*value)),
            (Type::Int(Int::Date), Json::Text(text)) if self.dialect == Dialect::Record => {
                let days =
                    text::days(text).ok_or_else(|| WithPath::here(JsonEncodeError::Text { expected: "a date" }))?;
                push_long(self.datum, days.into());
            }
            (Type::Int(_), Json::Number(_)) => push_long(self.datum, number::<i32>(json, "int")?.into()),
            (Type::Long(_), Json::Number(_)) => push_long(self.datum, number(json, "long")?),
            (Type::Float, Json::Number(digits)) => {
                let value = digits.parse().ok().filter(|value: &f32| value.is_finite());
                let value = value.ok_or_else(|| WithPath::here(JsonEncodeError::Number { expected: "float" }))?;
                self.datum.extend_from_slice(&value.to_le_bytes());
            }
            (Type::Double, Json::Number(digits)) => {
                let value = digits.parse().ok().filter(|value: &f64| value.is_finite());
                let value = value.ok_or_else(|| WithPath::here(JsonEncodeError::Number { expected: "double" }))?;
                self.datum.extend_from_slice(&value.to_le_bytes());
            }
            (Type::String, Json::Text(text)) => push_bytes(self.datum, text.as_bytes()),
            (Type::Enum(kind), Json::Text(text)) => self.symbol(kind, text)?,
            (Type::Bytes(Some(decimal)), Json::Number(text) | Json::Text(text)) if self.dialect == Dialect::Record => {
                push_bytes(self.datum, &text::twos_complement(unscaled(text, *decimal)?));
            }
            (Type::Bytes(_), Json::Text(text)) => {
                let bytes = self.bytes(text)?;
                push_bytes(self.datum, &bytes);
            }
            (Type::Fixed(fixed), Json::Number(text) | Json::Text(text)) => {
                let bytes = self.fixed(fixed, text, json)?;
                self.datum.extend_from_slice(&bytes);
            }
            (expected, _) => return Err(WithPath::here(JsonEncodeError::Kind { expected: expected.kind() })),
        }
        Ok(())
    }

    pub(super) fn nested(&mut self, write: impl FnOnce(&mut Self) -> Written) -> Written {
        self.bounds.depth = self.bounds.depth.checked_sub(1).ok_or_else(|| WithPath::here(JsonEncodeError::TooDeep))?;
        let written = write(self);
        self.bounds.depth += 1;
        written
    }

    /// Which members there are is looked at before any of them is written: it mostly tells the records of a union apart.
    fn record(&mut self, record: &'s Record, members: &[(Cow<'_, str>, Json<'_>)]) -> Written {
        let sources = members_of(record, members)?;
        for (field, source) in record.fields.iter().zip(&sources) {
            if source.is_none() && field.default.is_none() {
                return Err(WithPath::here(JsonEncodeError::MissingField).in_field(&field.name));
            }
        }
        for (field, source) in record.fields.iter().zip(sources) {
            let given = source.and_then(|source| members.get(source)).map(|(_, value)| value);
            self.field(field, given, |encoder, value| encoder.value(field.ty, value))?;
        }
        Ok(())
    }

    /// Writes a field from `given`, or else from its default. Nothing is written if there is neither.
    pub(super) fn field(
        &mut self,
        field: &Field,
        given: Option<&Json<'_>>,
        write: impl FnOnce(&mut Self, &Json<'_>) -> Written,
    ) -> Written {
        let Some(value) = given.or(field.default.as_ref()) else { return Ok(()) };
        let around = self.dialect;
        if given.is_none() {
            self.dialect = Dialect::Default;
        }
        let written = write(self, value).map_err(|error| error.in_field(&field.name));
        self.dialect = around;
        written
    }

    fn array(&mut self, items: TypeId, values: &[Json<'_>]) -> Written {
        if !values.is_empty() {
            push_len(self.datum, values.len());
        }
        for (index, value) in values.iter().enumerate() {
            self.value(items, value).map_err(|error| error.in_item(index))?;
        }
        push_len(self.datum, 0);
        Ok(())
    }

    fn map(&mut self, values: TypeId, entries: &[(Cow<'_, str>, Json<'_>)]) -> Written {
        if !entries.is_empty() {
            push_len(self.datum, entries.len());
        }
        for (index, (key, value)) in entries.iter().enumerate() {
            push_bytes(self.datum, key.as_bytes());
            self.value(values, value).map_err(|error| error.in_entry(index))?;
        }
        push_len(self.datum, 0);
        Ok(())
    }

    /// The branch that takes the value; see [`choose`](Self::choose).
    fn union(&mut self, branches: &'s [TypeId], json: &Json<'_>) -> Written {
        let write: WriteBranch<'_, 's, 'd> = &|encoder, _, branch, json| encoder.value(branch, json);
        if !self.is_ambiguous(branches, json) {
            return self.choose(branches, json, write).map(drop);
        }
        let key = (branches.as_ptr().addr(), std::ptr::from_ref(json).addr());
        match self.choices.get(&key).cloned() {
            Some(Ok(choice)) => self.chosen(branches, choice, json, write),
            Some(Err(error)) => Err(error),
            None => {
                let choice = self.choose(branches, json, write);
                self.choices.insert(key, choice.clone());
                choice.map(drop)
            }
        }
    }

    /// Whether more than one branch may take a value that has others in it.
    fn is_ambiguous(&self, branches: &[TypeId], json: &Json<'_>) -> bool {
        let takes = |branch: &&TypeId| match (self.schema.get(**branch), json) {
            (Type::Record(_) | Type::Map(_), Json::Object(_)) => true,
            (Type::Array(_), Json::Array(_)) => true,
            _ => false,
        };
        branches.iter().filter(takes).count() > 1
    }

    /// Writes a value as the first branch that takes it. Of a number in a body it is the first that holds it exactly, or
    /// else a double.
    pub(super) fn choose(
        &mut self,
        branches: &[TypeId],
        json: &Json<'_>,
        write: WriteBranch<'_, 's, 'd>,
    ) -> Result<Choice, Box<WithPath<JsonEncodeError>>> {
        let best = self.best_for_number(branches, json);
        let mut failure = None;
        for index in best.into_iter().chain(0..branches.len()) {
            let choice = Choice { index, is_tagged: false };
            match self.chosen(branches, choice, json, write) {
                Ok(()) => return Ok(choice),
                Err(at) if matches!(at.error(), JsonEncodeError::TooLarge) => return Err(at),
                // Of a value that may be absent the reason why it is no null says nothing.
                Err(at) if branches.get(index).is_some_and(|id| !matches!(self.schema.get(*id), Type::Null)) => {
                    failure = Some(if failure.is_none() { at } else { WithPath::here(JsonEncodeError::NoBranch) });
                }
                Err(_) => {}
            }
        }
        if let (Dialect::Record, Json::Object(entries)) = (self.dialect, json)
            && let [(name, _)] = entries.as_slice()
            && let Some(index) = branches.iter().position(|branch| goes_by(self.schema.get(*branch), name))
        {
            let choice = Choice { index, is_tagged: true };
            return self.chosen(branches, choice, json, write).map(|()| choice);
        }
        Err(failure.unwrap_or_else(|| WithPath::here(JsonEncodeError::NoBranch)))
    }

    /// Writes a value as the branch of `choice`, or nothing if it does not take it.
    fn chosen(
        &mut self,
        branches: &[TypeId],
        choice: Choice,
        json: &Json<'_>,
        write: WriteBranch<'_, 's, 'd>,
    ) -> Written {
        let no_branch = || WithPath::here(JsonEncodeError::NoBranch);
        let branch = *branches.get(choice.index).ok_or_else(no_branch)?;
        let value = match json {
            Json::Object(entries) if choice.is_tagged => entries.first().map(|(_, value)| value),
            json => Some(json),
        };
        let start = self.datum.len();
        push_len(self.datum, choice.index);
        let written = write(self, choice.index, branch, value.ok_or_else(no_branch)?);
        if written.is_err() {
            self.datum.truncate(start);
        }
        written
    }

    fn best_for_number(&self, branches: &[TypeId], json: &Json<'_>) -> Option<usize> {
        let (Json::Number(digits), Dialect::Record) = (json, self.dialect) else { return None };
        let is_exact = |branch: &TypeId| match self.schema.get(*branch) {
            Type::Int(_) => digits.parse::<i32>().is_ok(),
            Type::Long(_) => digits.parse::<i64>().is_ok(),
            Type::Float => text::is_exact_float(digits),
            Type::Double => text::is_exact_double(digits),
            Type::Bytes(Some(decimal)) => unscaled(digits, *decimal).is_ok(),
            Type::Fixed(Fixed { size, meaning: FixedMeaning::Decimal(decimal), .. }) => {
                unscaled(digits, *decimal).and_then(|unscaled| sign_extended(unscaled, *size)).is_ok()
            }
            _ => false,
        };
        let is_double = |branch: &TypeId| matches!(self.schema.get(*branch), Type::Double);
        branches.iter().position(is_exact).or_else(|| branches.iter().position(is_double))
    }

    fn symbol(&mut self, kind: &Enum, text: &str) -> Written {
        let index = kind.symbols.iter().position(|symbol| **symbol == *text);
        push_len(self.datum, index.ok_or_else(|| WithPath::here(JsonEncodeError::Symbol))?);
        Ok(())
    }

    fn fixed(&self, fixed: &Fixed, text: &str, json: &Json<'_>) -> Result<Vec<u8>, Box<WithPath<JsonEncodeError>>> {
        let bytes = match (self.dialect, fixed.meaning, json) {
            (Dialect::Record, FixedMeaning::Decimal(decimal), _) => {
                return sign_extended(unscaled(text, decimal)?, fixed.size);
            }
            (Dialect::Record, FixedMeaning::Uuid, Json::Text(_)) => {
                text::uuid(text).ok_or_else(|| WithPath::here(JsonEncodeError::Text { expected: "a uuid" }))?.to_vec()
            }
            (_, _, Json::Text(_)) => self.bytes(text)?,
            _ => return Err(WithPath::here(JsonEncodeError::Kind { expected: "fixed" })),
        };
        if bytes.len() == fixed.size as usize {
            Ok(bytes)
        } else {
            Err(WithPath::here(JsonEncodeError::Size { expected: fixed.size }))
        }
    }

    fn bytes(&self, text: &str) -> Result<Vec<u8>, Box<WithPath<JsonEncodeError>>> {
        let (bytes, expected) = match self.dialect {
            Dialect::Default => (text::bytes_from_code_points(text), "characters 0 to 255"),
            Dialect::Record => (text::bytes_from_base64(text), "base64"),
        };
        bytes.ok_or_else(|| WithPath::here(JsonEncodeError::Text { expected }))
    }
}

fn number<T: std::str::FromStr>(json: &Json<'_>, expected: &'static str) -> Result<T, Box<WithPath<JsonEncodeError>>> {
    json.as_integer().ok_or_else(|| WithPath::here(JsonEncodeError::Number { expected }))
}

fn unscaled(text: &str, decimal: Decimal) -> Result<i128, Box<WithPath<JsonEncodeError>>> {
    let unscaled = text::unscaled(text, decimal.precision, decimal.scale);
    unscaled.ok_or_else(|| WithPath::here(JsonEncodeError::Number { expected: "decimal" }))
}

/// `number` in two's complement of exactly `size` bytes.
fn sign_extended(number: i128, size: u32) -> Result<Vec<u8>, Box<WithPath<JsonEncodeError>>> {
    let shortest = text::twos_complement(number);
    let missing = (size as usize).checked_sub(shortest.len());
    let missing = missing.ok_or_else(|| WithPath::here(JsonEncodeError::Number { expected: "decimal" }))?;
    let mut bytes = vec![if number < 0 { 0xFF } else { 0 }; missing];
    bytes.extend_from_slice(&shortest);
    Ok(bytes)
}

/// Whether Avro's own JSON encoding calls a union's branch by `name`.
fn goes_by(ty: &Type, name: &str) -> bool {
    ty.named().map_or(ty.kind() == name, |named| *named.name == *name || unqualified(&named.name) == name)
}
