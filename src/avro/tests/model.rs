//! Random schemas and schemas they evolve to, for the oracle.

use super::model_values::Dice;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// A schema before it has names: a named type is the one its number names, in every schema of a case.
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
    /// A decimal on bytes: precision up to 18, scale up to 9.
    Decimal(u32),
    /// A decimal of scale 2 on eight bytes.
    FixedDecimal(u32),
    Uuid(u32),
    Duration(u32),
    Fixed(u32, usize),
    Enum(u32, Vec<u8>, Option<u8>),
    Array(Box<Model>),
    Map(Box<Model>),
    Union(Vec<Model>),
    Record(u32, Vec<ModelField>),
    /// `null`, or the record around here: the one of this number.
    Recursive(u32),
}

#[derive(Debug, Clone)]
pub(crate) struct ModelField {
    pub(crate) number: u32,
    pub(crate) model: Model,
    /// Whether it has a default.
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

/// Any record.
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

/// Numbers the named types and makes the unions legal: no union in a union, no kind twice, and no two named types of one
/// kind, which apache-avro tells apart by what fits and not by their names.
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
            // apache-avro takes a number for a narrower one, too, and promotes no annotated one.
            let mut number = false;
            let numbers = ["int", "long", "float", "double"];
            branches.retain(|branch| !numbers.contains(&kind(branch)) || !std::mem::replace(&mut number, true));
            // It takes text for a fixed of any size or an enum, an array for bytes, a map for a record, and no
            // text for a decimal.
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

/// The Avro type below any logical one.
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

/// The schema's JSON.
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

/// A default of any type, as its schema spells it.
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

/// A schema that can read what `model` wrote, though perhaps not every value of it.
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
            // One symbol is left in common: else no value could ever be read.
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
            // Branches themselves stay as they are: apache-avro chooses them by what fits, not by type and name.
            if dice.chance(3) {
                branches.reverse();
            }
            // A union of which only null is left is refused at start, though nulls could be read.
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
