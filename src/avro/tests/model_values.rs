//! Random values of a model, as apache-avro values, as JSON, and as the trees that a visitor receives.

use super::{model::Model, tree::Tree};
use crate::avro::text;
use apache_avro::{Decimal, Duration, types::Value};
use std::collections::HashMap;

/// A source of choices that are determined by a seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % end as u64).unwrap()
    }

    pub(crate) fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    fn long(&mut self) -> i64 {
        let value = self.roll().cast_signed();
        value >> self.below(64)
    }

    fn int(&mut self) -> i32 {
        i32::try_from(self.long() >> 32).unwrap()
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.roll().to_le_bytes()[0]).collect()
    }

    fn text(&mut self) -> String {
        (0..self.below(9)).map(|_| ['a', 'ß', '"', '\n', '😀', '\0', 'Z', ' '][self.below(8)]).collect()
    }
}

/// Returns a value of `model`, whose enclosing records are `around`.
pub(crate) fn value(model: &Model, dice: &mut Dice, around: &mut Vec<Model>) -> Value {
    match model {
        Model::Null => Value::Null,
        Model::Boolean => Value::Boolean(dice.chance(2)),
        Model::Int => Value::Int(dice.int()),
        Model::Long => Value::Long(dice.long()),
        Model::Float => Value::Float(dice.int() as f32 / 7.0),
        Model::Double => Value::Double(dice.long() as f64 / 7.0),
        Model::Bytes => {
            let len = dice.below(9);
            Value::Bytes(if dice.chance(2) { dice.bytes(len) } else { dice.text().into_bytes() })
        }
        Model::String => Value::String(dice.text()),
        Model::Date => Value::Date(dice.int()),
        Model::TimeMillis => Value::TimeMillis(dice.int()),
        Model::TimeMicros => Value::TimeMicros(dice.long()),
        Model::TimestampMillis => Value::TimestampMillis(dice.long()),
        Model::TimestampMicros => Value::TimestampMicros(dice.long()),
        Model::TimestampNanos => Value::TimestampNanos(dice.long()),
        Model::LocalTimestampMillis => Value::LocalTimestampMillis(dice.long()),
        Model::LocalTimestampMicros => Value::LocalTimestampMicros(dice.long()),
        // A decimal of full length, because apache-avro does not resolve decimals with fewer bytes than the precision
        // may need.
        Model::Decimal(_) | Model::FixedDecimal(_) => Value::Decimal(Decimal::from(dice.long().to_be_bytes())),
        Model::Uuid(_) => Value::Uuid(apache_avro::Uuid::from_slice(&dice.bytes(16)).unwrap()),
        Model::Duration(_) => Value::Duration(Duration::from(<[u8; 12]>::try_from(dice.bytes(12)).unwrap())),
        Model::Fixed(_, size) => Value::Fixed(*size, dice.bytes(*size)),
        Model::Enum(_, symbols, _) => {
            let index = dice.below(symbols.len());
            Value::Enum(u32::try_from(index).unwrap(), format!("S{}", symbols[index]))
        }
        Model::Array(items) => Value::Array((0..dice.below(4)).map(|_| value(items, dice, around)).collect()),
        Model::Map(values) => {
            let entries = (0..dice.below(4)).map(|i| (format!("{}{i}", dice.text()), value(values, dice, around)));
            Value::Map(entries.collect::<HashMap<_, _>>())
        }
        Model::Union(branches) => {
            let index = dice.below(branches.len());
            Value::Union(u32::try_from(index).unwrap(), Box::new(value(&branches[index], dice, around)))
        }
        Model::Record(_, fields) => {
            around.push(model.clone());
            let fields = fields.iter().map(|field| (format!("f{}", field.number), value(&field.model, dice, around)));
            let record = Value::Record(fields.collect());
            around.pop();
            record
        }
        Model::Recursive(number) => {
            let record =
                around.iter().rev().find(|model| matches!(model, Model::Record(own, _) if own == number)).cloned();
            match record {
                Some(record) if around.len() < 6 && dice.chance(2) => {
                    Value::Union(1, Box::new(value(&record, dice, around)))
                }
                _ => Value::Union(0, Box::new(Value::Null)),
            }
        }
    }
}

/// Returns `value` of `model` as a JSON body, with unions without tags.
pub(crate) fn json_text(value: &Value, model: &Model, around: &mut Vec<Model>) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let base64 = |bytes: &[u8]| quoted(&base64_simd::STANDARD.encode_to_string(bytes));
    match (value, model) {
        (Value::Null, _) => "null".to_owned(),
        (Value::Boolean(value), _) => value.to_string(),
        (Value::Int(value) | Value::TimeMillis(value) | Value::Date(value), _) => value.to_string(),
        (
            Value::Long(value)
            | Value::TimeMicros(value)
            | Value::TimestampMillis(value)
            | Value::TimestampMicros(value)
            | Value::TimestampNanos(value)
            | Value::LocalTimestampMillis(value)
            | Value::LocalTimestampMicros(value),
            _,
        ) => value.to_string(),
        (Value::Float(value), _) => format!("{value:e}"),
        (Value::Double(value), _) => format!("{value:e}"),
        (Value::Bytes(bytes) | Value::Fixed(_, bytes), _) => base64(bytes),
        (Value::String(text) | Value::Enum(_, text), _) => quoted(text),
        (Value::Uuid(uuid), _) => quoted(&uuid.to_string()),
        (Value::Duration(duration), _) => base64(&<[u8; 12]>::from(*duration)),
        (Value::Decimal(decimal), model) => {
            let scale = if let Model::Decimal(scale) = model { *scale } else { 2 };
            let bytes = Vec::try_from(decimal).unwrap();
            let sign = if bytes.first().is_some_and(|byte| *byte >= 0x80) { -1 } else { 0 };
            let number = bytes.iter().fold(sign, |number: i128, byte| number << 8 | i128::from(*byte));
            format!("\"{number}e-{scale}\"")
        }
        (Value::Array(items), Model::Array(model)) => {
            let items: Vec<_> = items.iter().map(|item| json_text(item, model, around)).collect();
            format!("[{}]", items.join(","))
        }
        (Value::Map(entries), Model::Map(model)) => {
            let entries: Vec<_> = entries
                .iter()
                .map(|(key, value)| format!("{}:{}", quoted(key), json_text(value, model, around)))
                .collect();
            format!("{{{}}}", entries.join(","))
        }
        (Value::Union(index, value), Model::Union(branches)) => json_text(value, &branches[*index as usize], around),
        (Value::Union(_, value), Model::Recursive(number)) => {
            let record =
                around.iter().rev().find(|model| matches!(model, Model::Record(own, _) if own == number)).cloned();
            json_text(value, &record.unwrap(), around)
        }
        (Value::Record(values), Model::Record(_, fields)) => {
            around.push(model.clone());
            let fields: Vec<_> = values
                .iter()
                .map(|(name, value)| {
                    let field = fields.iter().find(|field| format!("f{}", field.number) == *name).unwrap();
                    format!("\"{name}\":{}", json_text(value, &field.model, around))
                })
                .collect();
            around.pop();
            format!("{{{}}}", fields.join(","))
        }
        (value, model) => panic!("{value:?} is not a value of {model:?}"),
    }
}

/// Returns the tree that a visitor receives for `value` of `model`, with fields and keys sorted.
pub(crate) fn tree(value: &Value, model: &Model, around: &mut Vec<Model>) -> Tree {
    match (value, model) {
        (Value::Null, _) => Tree::Null,
        (Value::Boolean(value), _) => Tree::Boolean(*value),
        (Value::Int(value) | Value::TimeMillis(value), _) => Tree::Long((*value).into()),
        (
            Value::Long(value)
            | Value::TimeMicros(value)
            | Value::TimestampMillis(value)
            | Value::TimestampMicros(value)
            | Value::TimestampNanos(value)
            | Value::LocalTimestampMillis(value)
            | Value::LocalTimestampMicros(value),
            _,
        ) => Tree::Long(*value),
        (Value::Float(value), _) => Tree::Float(*value),
        (Value::Double(value), _) => Tree::Double(*value),
        (Value::Date(days), _) => Tree::Date(*days),
        (Value::Bytes(bytes) | Value::Fixed(_, bytes), _) => Tree::Bytes(bytes.clone()),
        (Value::String(text) | Value::Enum(_, text), _) => Tree::String(text.clone()),
        (Value::Uuid(uuid), _) => Tree::Uuid(*uuid.as_bytes()),
        (Value::Duration(duration), _) => Tree::Bytes(<[u8; 12]>::from(*duration).to_vec()),
        (Value::Decimal(decimal), model) => {
            let scale = if let Model::Decimal(scale) = model { *scale } else { 2 };
            // apache-avro cannot represent a decimal without bytes, which a damaged datum may contain.
            sorted(Tree::Decimal(Vec::try_from(decimal).unwrap_or_default(), scale))
        }
        (Value::Array(items), Model::Array(model)) => {
            Tree::Array(items.iter().map(|item| tree(item, model, around)).collect())
        }
        (Value::Map(entries), Model::Map(model)) => {
            sorted(Tree::Map(entries.iter().map(|(key, value)| (key.clone(), tree(value, model, around))).collect()))
        }
        (Value::Union(index, value), Model::Union(branches)) => tree(value, &branches[*index as usize], around),
        (Value::Union(_, value), Model::Recursive(number)) => {
            let record =
                around.iter().rev().find(|model| matches!(model, Model::Record(own, _) if own == number)).cloned();
            tree(value, &record.unwrap(), around)
        }
        (Value::Record(values), Model::Record(_, fields)) => {
            around.push(model.clone());
            let field = |(name, value): &(String, Value)| {
                let field = fields.iter().find(|field| format!("f{}", field.number) == *name).unwrap();
                (name.clone(), tree(value, &field.model, around))
            };
            let record = sorted(Tree::Record(values.iter().map(field).collect()));
            around.pop();
            record
        }
        (value, model) => panic!("{value:?} is not a value of {model:?}"),
    }
}

/// Returns `tree` with fields and keys sorted and decimals shortened.
pub(crate) fn sorted(tree: Tree) -> Tree {
    let entries = |entries: Vec<(String, Tree)>| {
        let mut entries: Vec<_> = entries.into_iter().map(|(key, value)| (key, sorted(value))).collect();
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        entries
    };
    match tree {
        Tree::Array(items) => Tree::Array(items.into_iter().map(sorted).collect()),
        Tree::Map(map) => Tree::Map(entries(map)),
        Tree::Record(fields) => Tree::Record(entries(fields)),
        Tree::Decimal(bytes, scale) => {
            let negative = bytes.first().is_some_and(|byte| *byte >= 0x80);
            let number =
                bytes.iter().fold(if negative { -1 } else { 0 }, |number: i128, byte| number << 8 | i128::from(*byte));
            Tree::Decimal(text::twos_complement(number), scale)
        }
        tree => tree,
    }
}
