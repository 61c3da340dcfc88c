//! Encodes a JSON value as a datum. This is used for defaults of a schema, JSON bodies, and the records of a producer.
//!
//! A JSON body is first encoded as a datum, which is then decoded by the plan like any other datum. Therefore limits,
//! tracked fields and schema evolution work in the same way for both.
//!
//! | Avro | in a record, `plain` | in a record, `avro` | in a schema's default |
//! | --- | --- | --- | --- |
//! | null, boolean, string, enum, array, map, record | the corresponding JSON type | as `plain` | as `plain` |
//! | int, long, time-*, timestamp-* | a number without a fraction or an exponent | as `plain` | as `plain` |
//! | float, double | a number | a number, `"NaN"`, `"Infinity"` or `"-Infinity"` | a number |
//! | bytes, fixed, duration | base64 in either alphabet, padded or not | characters 0 to 255, one per byte | as `avro` |
//! | decimal | an exact number, or a string that contains one | as bytes | as bytes |
//! | date | `2024-01-15`, or days since 1970-01-01 | days | days |
//! | uuid on a fixed | the hyphenated form | as fixed | as fixed |
//! | union | a value of a branch, or `{"<branch>": value}` | null, or `{"<branch>": value}` | a value of a branch |
//!
//! [`JsonEncoding`] selects one of the first two columns. The encoding is never guessed from a value.
//!
//! A union's value without a branch name is read as the first branch that matches it. In a record, a number is read as the
//! first branch that holds it exactly, or as a double if there is no such branch.
//!
//! An absent field is read from a member that one of its aliases names, and otherwise has its default. A member that is
//! not a field is an error, so that no data is lost silently.

mod encoding;
mod error;
mod scalar;
mod union;

pub use encoding::{JsonEncoding, UnknownJsonEncoding};
pub use error::JsonEncodeError;

use super::{
    binary::{push_bytes, push_len, push_long},
    path::WithPath,
    schema::{Field, Record, Schema, Time, Type, TypeId},
    text,
};
use crate::{calendar, json::Json};
use scalar::{number, unscaled};
use std::{borrow::Cow, collections::HashMap};
use union::Choice;
pub(in crate::avro) use union::{branch_named, tag};

/// JSON representation of the types that JSON does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// The representation in a schema's defaults.
    Default,
    /// The representation in a record.
    Record(JsonEncoding),
}

impl Dialect {
    /// The representation in a record in plain JSON.
    const PLAIN: Self = Self::Record(JsonEncoding::Plain);
    /// The representation in a record in Avro's own encoding.
    const AVRO: Self = Self::Record(JsonEncoding::Avro);
}

/// Limits on a datum that is being encoded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) depth: usize,
    pub(crate) values: usize,
    pub(crate) bytes: usize,
}

/// Limits on the datum of a default. No item can hold as much, but a crafted schema may need any amount, because nested
/// defaults of records can double in size with each level.
const DEFAULT_BOUNDS: Bounds = Bounds { depth: 32, values: 1 << 16, bytes: 1 << 18 };

/// Encodes the default of a field of type `ty`.
pub(crate) fn default_datum(
    schema: &Schema,
    ty: TypeId,
    default: &Json<'_>,
    datum: &mut Vec<u8>,
) -> Result<(), JsonFailure> {
    JsonEncoder::new(schema, Dialect::Default, DEFAULT_BOUNDS, datum).value(ty, default)
}

/// Encodes `record` as a datum of `schema`.
pub(crate) fn record_datum(
    schema: &Schema,
    (record, encoding): (&Json<'_>, JsonEncoding),
    bounds: Bounds,
    datum: &mut Vec<u8>,
) -> Result<(), JsonFailure> {
    JsonEncoder::new(schema, Dialect::Record(encoding), bounds, datum).value(schema.root(), record)
}

/// Encodes values and appends them to a datum.
pub(in crate::avro) struct JsonEncoder<'s, 'd> {
    pub(in crate::avro) schema: &'s Schema,
    dialect: Dialect,
    /// The remaining budget.
    bounds: Bounds,
    pub(in crate::avro) datum: &'d mut Vec<u8>,
    /// Results for those union values that several branches may match, by the addresses of the union and the value.
    /// Without this cache, the branches of nested unions would be tried repeatedly, with the number of attempts
    /// doubling at each level.
    choices: HashMap<(usize, usize), Result<Choice, JsonFailure>>,
}

/// An error with its path in the value.
type JsonFailure = Box<WithPath<JsonEncodeError>>;

pub(in crate::avro) type Written = Result<(), JsonFailure>;

/// Returns, for each field of `record`, the position of its member among `members`.
///
/// # Errors
/// Returns an error if there is a member that is not a field.
pub(in crate::avro) fn members_of(
    record: &Record,
    members: &[(Cow<'_, str>, Json<'_>)],
) -> Result<Vec<Option<usize>>, JsonFailure> {
    let sources = record.sources(|name| members.iter().position(|(member, _)| member == name));
    // No two fields share a member, so the count shows whether all members are used.
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

    /// Creates an encoder for a JSON body.
    pub(in crate::avro) fn of_body(
        schema: &'s Schema,
        encoding: JsonEncoding,
        bounds: Bounds,
        datum: &'d mut Vec<u8>,
    ) -> Self {
        Self::new(schema, Dialect::Record(encoding), bounds, datum)
    }

    pub(in crate::avro) fn value(&mut self, ty: TypeId, json: &Json<'_>) -> Written {
        self.bounds.values =
            self.bounds.values.checked_sub(1).ok_or_else(|| WithPath::here(JsonEncodeError::TooLarge))?;
        match (self.schema.get(ty), json) {
            (Type::Union(branches), json) => return self.union(branches, json),
            (Type::Record(record), Json::Object(entries)) => {
                return self.nested(|encoder| encoder.record(record, entries));
            }
            (Type::Array(items), Json::Array(values)) => return self.nested(|encoder| encoder.array(*items, values)),
            (Type::Map(value), Json::Object(entries)) => return self.nested(|encoder| encoder.map(*value, entries)),
            (Type::Null, Json::Null) => {}
            (Type::Boolean, Json::Boolean(value)) => self.datum.push(u8::from(*value)),
            (Type::Int(Some(Time::Date)), Json::Text(text)) if self.dialect == Dialect::PLAIN => {
                let days = calendar::days_of_text(text)
                    .ok_or_else(|| WithPath::here(JsonEncodeError::Text { expected: "a date" }))?;
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
            (Type::Float, Json::Text(text)) if self.dialect == Dialect::AVRO => {
                let value: Option<f32> = text::not_finite(text);
                let value = value.ok_or_else(|| WithPath::here(JsonEncodeError::Number { expected: "float" }))?;
                self.datum.extend_from_slice(&value.to_le_bytes());
            }
            (Type::Double, Json::Text(text)) if self.dialect == Dialect::AVRO => {
                let value: Option<f64> = text::not_finite(text);
                let value = value.ok_or_else(|| WithPath::here(JsonEncodeError::Number { expected: "double" }))?;
                self.datum.extend_from_slice(&value.to_le_bytes());
            }
            (Type::String, Json::Text(text)) => push_bytes(self.datum, text.as_bytes()),
            (Type::Enum(kind), Json::Text(text)) => self.symbol(kind, text)?,
            (Type::Bytes(Some(decimal)), Json::Number(text) | Json::Text(text)) if self.dialect == Dialect::PLAIN => {
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
        if self.datum.len() > self.bounds.bytes {
            return Err(WithPath::here(JsonEncodeError::TooLarge));
        }
        Ok(())
    }

    pub(in crate::avro) fn nested(&mut self, write: impl FnOnce(&mut Self) -> Written) -> Written {
        self.bounds.depth = self.bounds.depth.checked_sub(1).ok_or_else(|| WithPath::here(JsonEncodeError::TooDeep))?;
        let written = write(self);
        self.bounds.depth += 1;
        written
    }

    /// Checks the names of all members before any value is encoded, because the names usually distinguish the records
    /// of a union.
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

    /// Encodes a field from `given`, or from its default if `given` is `None`. Writes nothing if there is neither.
    pub(in crate::avro) fn field(
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
}
