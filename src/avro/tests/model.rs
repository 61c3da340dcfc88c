//! Generates random schemas, and schemas to which they evolve, for comparison with apache-avro.

use super::model_values::Dice;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// A schema in which named types have numbers instead of names. A number identifies the same type in all schemas of a
/// test case.
#[derive(Debug, Clone)]
pub(crate) enum Model {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Date,
    TimeMillis,
    TimeMicros,
    TimestampMillis,
    TimestampMicros,
    TimestampNanos,
    LocalTimestampMillis,
    LocalTimestampMicros,
    /// A decimal of bytes with a precision of up to 18. Contains the scale, which is up to 9.
    Decimal(u32),
    /// A decimal of eight bytes with the scale 2.
    FixedDecimal(u32),
    Uuid(u32),
    Duration(u32),
    Fixed(u32, usize),
    Enum(u32, Vec<u8>, Option<u8>),
    Array(Box<Model>),
    Map(Box<Model>),
    Union(Vec<Model>),
    Record(u32, Vec<ModelField>),
    /// A union of `null` and the enclosing record with this number.
    Recursive(u32),
}

#[derive(Debug, Clone)]
pub(crate) struct ModelField {
    pub(crate) number: u32,
    pub(crate) model: Model,
    /// Whether the field has a default.
    pub(crate) default: bool,
}

fn leaf() -> impl Strategy<Value = Model> {
    use Model::*;
    prop_oneof![
        4 => prop::sample::select(vec![Null, Boolean, Int, Long, Float, Double, Bytes, String]),
        2 => prop::sample::select(vec![
            Date, TimeMillis, TimeMicros, TimestampMillis, TimestampMicros, TimestampNanos, LocalTimestampMillis,
            LocalTimestampMicros,
            Decimal(0), Decimal(2), FixedDecimal(0), Uuid(0), Duration(0), Recursive(0),
        ]),
        1 => (0_usize..5).prop_map(|size| Fixed(0, size)),
        1 => prop::collection::btree_set(0_u8..8, 1..5)
            .prop_map(|symbols| Enum(0, symbols.into_iter().rev().collect(), None)),
    ]
}

/// Generates any record.
pub(crate) fn model() -> impl Strategy<Value = Model> {
    let inner = leaf().prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            inner.clone().prop_map(|items| Model::Array(Box::new(items))),
            inner.clone().prop_map(|values| Model::Map(Box::new(values))),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Model::Union),
            prop::collection::vec(inner, 0..5).prop_map(record),
        ]
    });
    prop::collection::vec(inner, 0..6).prop_map(record).prop_map(|mut model| {
        settle(&mut model, &mut 0, None);
        model
    })
}

fn record(models: Vec<Model>) -> Model {
    let field = |(model, number)| ModelField { number, model, default: false };
    Model::Record(0, models.into_iter().zip(0..).map(field).collect())
}

/// Assigns numbers to the named types and makes the unions valid: no union is directly in a union, and no kind occurs
/// twice. This also excludes two named types of one kind, because apache-avro distinguishes them by their values and
/// not by their names.
fn settle(model: &mut Model, next: &mut u32, around: Option<u32>) {
    match model {
        Model::FixedDecimal(number)
        | Model::Uuid(number)
        | Model::Duration(number)
        | Model::Fixed(number, _)
        | Model::Enum(number, ..) => {
            *number = *next;
            *next += 1;
        }
        Model::Recursive(number) => match around {
            Some(record) => *number = record,
            None => *model = Model::Null,
        },
        Model::Array(inner) | Model::Map(inner) => settle(inner, next, around),
        Model::Union(branches) => {
            let mut kinds = BTreeSet::new();
            branches.retain(|branch| {
                !matches!(branch, Model::Union(_) | Model::Recursive(_)) && kinds.insert(kind(branch))
            });
            // apache-avro also reads a number as a narrower type, and does not promote a number with a logical type.
            let mut number = false;
            let numbers = ["int", "long", "float", "double"];
            branches.retain(|branch| !numbers.contains(&kind(branch)) || !std::mem::replace(&mut number, true));
            // apache-avro reads a string as an enum or as a fixed of any size, an array as bytes, and a map as a
            // record. It does not read a string as a decimal.
            let kinds: Vec<_> = branches.iter().map(kind).collect();
            let text = kinds.iter().any(|kind| ["string", "bytes"].contains(kind));
            branches.retain(|branch| !(text && ["fixed", "enum", "array"].contains(&kind(branch))));
            branches.retain(|branch| !(kinds.contains(&"record") && kind(branch) == "map"));
            branches.retain(|branch| !(kinds.contains(&"string") && matches!(branch, Model::Decimal(_))));
            if branches.is_empty() {
                branches.push(Model::Null);
            }
            branches.iter_mut().for_each(|branch| settle(branch, next, around));
        }
        Model::Record(number, fields) => {
            *number = *next;
            *next += 1;
            let own = *number;
            fields.iter_mut().for_each(|field| settle(&mut field.model, next, Some(own)));
        }
        _ => {}
    }
}

/// Returns the kind of the type without its logical type.
fn kind(model: &Model) -> &'static str {
    match model {
        Model::Null => "null",
        Model::Boolean => "boolean",
        Model::Int | Model::Date | Model::TimeMillis => "int",
        Model::Long
        | Model::TimeMicros
        | Model::TimestampMillis
        | Model::TimestampMicros
        | Model::TimestampNanos
        | Model::LocalTimestampMillis
        | Model::LocalTimestampMicros => "long",
        Model::Float => "float",
        Model::Double => "double",
        Model::Bytes | Model::Decimal(_) => "bytes",
        Model::String => "string",
        Model::FixedDecimal(_) | Model::Uuid(_) | Model::Duration(_) | Model::Fixed(..) => "fixed",
        Model::Enum(..) => "enum",
        Model::Array(_) => "array",
        Model::Map(_) => "map",
        Model::Union(_) => "union",
        Model::Record(..) | Model::Recursive(_) => "record",
    }
}

/// Returns the JSON of the schema.
pub(crate) fn schema(model: &Model) -> String {
    let logical = |ty: &str, logical: &str| format!(r#"{{"type":"{ty}","logicalType":"{logical}"}}"#);
    let fixed =
        |number: &u32, size: usize, more: &str| format!(r#"{{"type":"fixed","name":"N{number}","size":{size}{more}}}"#);
    match model {
        Model::Date => logical("int", "date"),
        Model::TimeMillis => logical("int", "time-millis"),
        Model::TimeMicros => logical("long", "time-micros"),
        Model::TimestampMillis => logical("long", "timestamp-millis"),
        Model::TimestampMicros => logical("long", "timestamp-micros"),
        Model::TimestampNanos => logical("long", "timestamp-nanos"),
        Model::LocalTimestampMillis => logical("long", "local-timestamp-millis"),
        Model::LocalTimestampMicros => logical("long", "local-timestamp-micros"),
        Model::Decimal(scale) => {
            format!(r#"{{"type":"bytes","logicalType":"decimal","precision":18,"scale":{scale}}}"#)
        }
        Model::FixedDecimal(number) => fixed(number, 8, r#","logicalType":"decimal","precision":18,"scale":2"#),
        Model::Uuid(number) => fixed(number, 16, r#","logicalType":"uuid""#),
        Model::Duration(number) => fixed(number, 12, r#","logicalType":"duration""#),
        Model::Fixed(number, size) => fixed(number, *size, ""),
        Model::Enum(number, symbols, default) => {
            let symbols: Vec<_> = symbols.iter().map(|symbol| format!("\"S{symbol}\"")).collect();
            let default = default.map(|symbol| format!(r#","default":"S{symbol}""#)).unwrap_or_default();
            format!(r#"{{"type":"enum","name":"N{number}","symbols":[{}]{default}}}"#, symbols.join(","))
        }
        Model::Array(items) => format!(r#"{{"type":"array","items":{}}}"#, schema(items)),
        Model::Map(values) => format!(r#"{{"type":"map","values":{}}}"#, schema(values)),
        Model::Union(branches) => format!("[{}]", branches.iter().map(schema).collect::<Vec<_>>().join(",")),
        Model::Record(number, fields) => {
            let fields: Vec<_> = fields.iter().map(field).collect();
            format!(r#"{{"type":"record","name":"N{number}","fields":[{}]}}"#, fields.join(","))
        }
        Model::Recursive(number) => format!(r#"["null","N{number}"]"#),
        primitive => format!("\"{}\"", kind(primitive)),
    }
}

fn field(field: &ModelField) -> String {
    let default = if field.default { format!(r#","default":{}"#, default(&field.model)) } else { String::new() };
    format!(r#"{{"name":"f{}","type":{}{default}}}"#, field.number, schema(&field.model))
}

/// Returns a default for any type, as the schema writes it.
fn default(model: &Model) -> String {
    match model {
        Model::Boolean => "true".to_owned(),
        Model::Float | Model::Double => "1.5".to_owned(),
        Model::Bytes | Model::String => r#""a""#.to_owned(),
        Model::Decimal(_) => r#""\u0000\u0000\u0000\u0000\u0000\u0000\u0001\u0000""#.to_owned(),
        Model::FixedDecimal(_) => format!("\"{}\"", "\\u0001".repeat(8)),
        Model::Uuid(_) => format!("\"{}\"", "a".repeat(16)),
        Model::Duration(_) => format!("\"{}\"", "a".repeat(12)),
        Model::Fixed(_, size) => format!("\"{}\"", "a".repeat(*size)),
        Model::Enum(_, symbols, _) => format!("\"S{}\"", symbols[0]),
        Model::Array(_) => "[]".to_owned(),
        Model::Map(_) => "{}".to_owned(),
        Model::Union(branches) => default(&branches[0]),
        Model::Record(_, fields) => {
            let fields: Vec<_> =
                fields.iter().map(|field| format!(r#""f{}":{}"#, field.number, default(&field.model))).collect();
            format!("{{{}}}", fields.join(","))
        }
        Model::Null | Model::Recursive(_) => "null".to_owned(),
        _ => "7".to_owned(),
    }
}

/// Returns a schema that can read data written with `model`, although perhaps not every value.
pub(crate) fn evolved(model: &Model, dice: &mut Dice, fresh: &mut u32) -> Model {
    let promoted = match (model, dice.below(4)) {
        (Model::Int, 0) => Model::Long,
        (Model::Int | Model::Long, 1) => Model::Double,
        (Model::Int | Model::Long, 2) => Model::Float,
        (Model::Float, 0) => Model::Double,
        (Model::Bytes, 0) => Model::String,
        (Model::String, 0) => Model::Bytes,
        (model, _) => model.clone(),
    };
    match promoted {
        Model::Array(items) => Model::Array(Box::new(evolved(&items, dice, fresh))),
        Model::Map(values) => Model::Map(Box::new(evolved(&values, dice, fresh))),
        Model::Enum(number, mut symbols, _) => {
            // One common symbol remains, because otherwise no value could be read.
            let removable = symbols.len() > 1;
            if dice.chance(2) {
                symbols.reverse();
                symbols.push(8);
            }
            if removable && dice.chance(2) {
                symbols.remove(0);
            }
            let default = dice.chance(2).then(|| symbols[symbols.len() - 1]);
            Model::Enum(number, symbols, default)
        }
        Model::Union(mut branches) => {
            // The branches themselves are not changed, because apache-avro selects them by value and not by type and
            // name.
            if dice.chance(3) {
                branches.reverse();
            }
            // A union whose only readable branch is null is rejected at startup, although nulls could be read.
            if branches.iter().skip(1).any(|branch| !matches!(branch, Model::Null)) && dice.chance(3) {
                branches.remove(0);
            }
            Model::Union(branches)
        }
        Model::Record(number, fields) => {
            let mut kept: Vec<_> = fields.iter().filter(|_| !dice.chance(5)).cloned().collect();
            for field in &mut kept {
                field.model = evolved(&field.model, dice, fresh);
            }
            if dice.chance(3) {
                kept.reverse();
            }
            if dice.chance(3) {
                *fresh += 1;
                let models = [
                    Model::Int,
                    Model::String,
                    Model::Array(Box::new(Model::Long)),
                    Model::Bytes,
                    Model::Decimal(1),
                    Model::Union(vec![Model::Null, Model::Long]),
                    Model::Fixed(1000 + *fresh, 3),
                    record(vec![Model::Double, Model::Boolean]),
                ];
                let mut model = models[dice.below(models.len())].clone();
                if let Model::Record(number, _) = &mut model {
                    *number = 2000 + *fresh;
                }
                kept.push(ModelField { number: 100 + *fresh, model, default: true });
            }
            Model::Record(number, kept)
        }
        other => other,
    }
}
