//! Generates valid sample records of any schema as JSON, to try a schema before a producer exists.

use super::json_encode::{JsonEncoding, tag};
use super::schema::{Decimal, FixedMeaning, Schema, Time, Type, TypeId};
use super::schema_set::SchemaVersion;
use super::text;
use serde_json::{Map, Value, json};

/// Depth from which lists and maps are empty, and unions prefer the branch with the least nesting.
const BUSHY_DEPTH: usize = 3;
/// Maximum depth of a record. A union that exceeds it takes another branch.
const MAX_DEPTH: usize = 24;
/// 2024-01-01, in days and in seconds since 1970.
const FIRST_DAY: u64 = 19_723;
const FIRST_SECOND: u64 = FIRST_DAY * 86_400;
/// Number of different records. Every JSON library supports numbers of this size exactly.
const MAX_NUMBER: u64 = 1 << 31;

impl SchemaVersion {
    /// Returns record `number` of this schema as JSON in `encoding`. A number always gives the same record.
    ///
    /// Strings, numbers, dates and bytes differ from those of all earlier records. Enums and booleans repeat, because
    /// they have only a few values. Returns `None` if the schema has no finite record.
    pub fn sample(&self, number: u32, encoding: JsonEncoding) -> Option<Value> {
        let maker = Maker { schema: self.schema(), number: u64::from(number) % MAX_NUMBER, encoding };
        maker.value(self.schema().root(), "", 0)
    }
}

struct Maker<'s> {
    schema: &'s Schema,
    number: u64,
    encoding: JsonEncoding,
}

impl Maker<'_> {
    /// Returns a value of type `ty` for the field `name`.
    fn value(&self, ty: TypeId, name: &str, depth: usize) -> Option<Value> {
        let number = self.number;
        if depth > MAX_DEPTH {
            return None;
        }
        Some(match self.schema.get(ty) {
            Type::Null => Value::Null,
            Type::Boolean => json!(number.is_multiple_of(2)),
            Type::Int(time) | Type::Long(time) => json!(match time {
                None | Some(Time::OfDay(_)) => number,
                Some(Time::Date) => FIRST_DAY + number,
                Some(Time::Timestamp(unit) | Time::LocalTimestamp(unit)) => {
                    (FIRST_SECOND + number) * u64::from(unit.per_second())
                }
            }),
            // A fraction that both types represent exactly.
            Type::Float => json!((number % (1 << 22)) as f64 + 0.5),
            Type::Double => json!(number as f64 + 0.5),
            Type::String => json!(format!("{name}-{number}")),
            Type::Bytes(None) => json!(self.bytes(&number.to_be_bytes())),
            Type::Bytes(Some(decimal)) => self.decimal(*decimal, None),
            Type::Fixed(fixed) => match fixed.meaning {
                FixedMeaning::Decimal(decimal) => self.decimal(decimal, Some(fixed.size)),
                FixedMeaning::Uuid => {
                    let uuid = format!("00000000-0000-4000-8000-{number:012x}");
                    match self.encoding {
                        JsonEncoding::Plain => json!(uuid),
                        JsonEncoding::Avro => json!(self.bytes(&text::uuid(&uuid)?)),
                    }
                }
                FixedMeaning::Plain | FixedMeaning::Duration => {
                    let mut bytes = vec![0; fixed.size as usize];
                    // The end of the fixed contains the lowest bytes of the number.
                    bytes.iter_mut().rev().zip(number.to_le_bytes()).for_each(|(to, from)| *to = from);
                    json!(self.bytes(&bytes))
                }
            },
            Type::Enum(kind) => json!(pick(&kind.symbols, number)?),
            Type::Array(_) if depth >= BUSHY_DEPTH => json!([]),
            Type::Array(items) => {
                let count = 1 + number % 2;
                json!((0..count).map_while(|_| self.value(*items, name, depth + 1)).collect::<Vec<_>>())
            }
            Type::Map(_) if depth >= BUSHY_DEPTH => json!({}),
            Type::Map(values) => match self.value(*values, name, depth + 1) {
                Some(value) => json!({"key": value}),
                None => json!({}),
            },
            Type::Union(branches) => self.branch(branches, name, depth)?,
            Type::Record(record) => {
                let fields = record.fields.iter().map(|field| {
                    let value = self.value(field.ty, &field.name, depth + 1)?;
                    Some((field.name.to_string(), value))
                });
                Value::Object(fields.collect::<Option<Map<_, _>>>()?)
            }
        })
    }

    /// Returns a value of a branch. The first choice rotates with the record's number, and null is the last choice. At
    /// a depth of `BUSHY_DEPTH` and more, null is the first choice, followed by branches without nested values.
    fn branch(&self, branches: &[TypeId], name: &str, depth: usize) -> Option<Value> {
        let is_null = |branch: &&TypeId| matches!(self.schema.get(**branch), Type::Null);
        let holds_others = |branch: &&TypeId| {
            matches!(self.schema.get(**branch), Type::Array(_) | Type::Map(_) | Type::Union(_) | Type::Record(_))
        };
        let others: Vec<&TypeId> = branches.iter().filter(|branch| !is_null(branch)).collect();
        let nulls = branches.iter().filter(is_null);
        let first = usize::try_from(self.number).ok()? % others.len().max(1);
        let rotated = others.iter().cycle().skip(first).take(others.len()).copied();
        let ordered: Vec<&TypeId> = if depth < BUSHY_DEPTH {
            rotated.chain(nulls).collect()
        } else {
            let (large, small): (Vec<_>, Vec<_>) = rotated.partition(holds_others);
            nulls.chain(small).chain(large).collect()
        };
        ordered.into_iter().find_map(|branch| {
            let value = self.value(*branch, name, depth + 1)?;
            let ty = self.schema.get(*branch);
            let is_tagged = self.encoding == JsonEncoding::Avro && !matches!(ty, Type::Null);
            Some(if is_tagged { json!({tag(ty): value}) } else { value })
        })
    }

    fn bytes(&self, bytes: &[u8]) -> String {
        match self.encoding {
            JsonEncoding::Plain => base64_simd::STANDARD.encode_to_string(bytes),
            JsonEncoding::Avro => bytes.iter().map(|byte| char::from(*byte)).collect(),
        }
    }

    /// Returns a decimal. `size` is the number of bytes if the decimal is a fixed.
    fn decimal(&self, Decimal { precision, scale }: Decimal, size: Option<u32>) -> Value {
        let most = 10_u64.checked_pow(precision.min(18)).unwrap_or(u64::MAX);
        let unscaled = self.number % most;
        if self.encoding == JsonEncoding::Avro {
            let shortest = text::twos_complement(unscaled.into());
            let missing = size.map_or(0, |size| (size as usize).saturating_sub(shortest.len()));
            return json!(self.bytes(&[vec![0; missing], shortest].concat()));
        }
        let digits = format!("{unscaled:0width$}", width = scale as usize + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
        if fraction.is_empty() { json!(whole) } else { json!(format!("{whole}.{fraction}")) }
    }
}

fn pick(from: &[Box<str>], number: u64) -> Option<&str> {
    let index = usize::try_from(number).ok()?.checked_rem(from.len())?;
    from.get(index).map(|text| &**text)
}
