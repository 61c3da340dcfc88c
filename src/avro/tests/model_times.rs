//! Evolutions that change the units of times, and the resulting values.

use super::{
    model::{Model, ModelField},
    model_values::Dice,
};
use apache_avro::types::Value;

/// Returns `model` with finer units for some of its times. Defaults are unchanged, because they are in the reader's
/// unit.
pub(crate) fn finer(model: &Model, dice: &mut Dice) -> Model {
    let keeps = dice.chance(3);
    match model {
        Model::TimeMillis if !keeps => Model::TimeMicros,
        Model::TimestampMillis if !keeps => [Model::TimestampMicros, Model::TimestampNanos][dice.below(2)].clone(),
        Model::TimestampMicros if !keeps => Model::TimestampNanos,
        Model::LocalTimestampMillis if !keeps => Model::LocalTimestampMicros,
        Model::Array(items) => Model::Array(Box::new(finer(items, dice))),
        Model::Map(values) => Model::Map(Box::new(finer(values, dice))),
        Model::Union(branches) => Model::Union(branches.iter().map(|branch| finer(branch, dice)).collect()),
        Model::Record(number, fields) => {
            let field = |field: &ModelField| match field.default {
                true => field.clone(),
                false => ModelField { model: finer(&field.model, dice), ..field.clone() },
            };
            Model::Record(*number, fields.iter().map(field).collect())
        }
        other => other.clone(),
    }
}

/// Converts `value` from the model `from` to the model `to`, which differ only in units. Returns `None` if a number
/// exceeds 64 bits. `around` contains the enclosing records.
pub(crate) fn in_finer_units(
    value: &Value,
    from: &Model,
    to: &Model,
    around: &mut Vec<(Model, Model)>,
) -> Option<Value> {
    let times = |value: &i64, factor: i64| value.checked_mul(factor);
    Some(match (value, from, to) {
        (Value::TimeMillis(value), _, Model::TimeMicros) => Value::TimeMicros(i64::from(*value) * 1_000),
        (Value::TimestampMillis(value), _, Model::TimestampMicros) => Value::TimestampMicros(times(value, 1_000)?),
        (Value::TimestampMillis(value), _, Model::TimestampNanos) => Value::TimestampNanos(times(value, 1_000_000)?),
        (Value::TimestampMicros(value), _, Model::TimestampNanos) => Value::TimestampNanos(times(value, 1_000)?),
        (Value::LocalTimestampMillis(value), _, Model::LocalTimestampMicros) => {
            Value::LocalTimestampMicros(times(value, 1_000)?)
        }
        (Value::Array(items), Model::Array(from), Model::Array(to)) => {
            Value::Array(items.iter().map(|item| in_finer_units(item, from, to, around)).collect::<Option<_>>()?)
        }
        (Value::Map(entries), Model::Map(from), Model::Map(to)) => {
            let entry = |(key, value): (&String, &Value)| Some((key.clone(), in_finer_units(value, from, to, around)?));
            Value::Map(entries.iter().map(entry).collect::<Option<_>>()?)
        }
        (Value::Union(index, value), Model::Union(from), Model::Union(to)) => {
            let (from, to) = (&from[*index as usize], &to[*index as usize]);
            Value::Union(*index, Box::new(in_finer_units(value, from, to, around)?))
        }
        (Value::Union(1, value), Model::Recursive(number), _) => {
            let record = around.iter().rev().find(|(from, _)| matches!(from, Model::Record(own, _) if own == number));
            let (from, to) = record.cloned().unwrap();
            Value::Union(1, Box::new(in_finer_units(value, &from, &to, around)?))
        }
        (Value::Record(values), Model::Record(_, from_fields), Model::Record(_, to_fields)) => {
            around.push((from.clone(), to.clone()));
            let field = |(name, value): &(String, Value)| {
                let at = from_fields.iter().position(|field| format!("f{}", field.number) == *name).unwrap();
                let value = in_finer_units(value, &from_fields[at].model, &to_fields[at].model, around)?;
                Some((name.clone(), value))
            };
            let record = Value::Record(values.iter().map(field).collect::<Option<_>>()?);
            around.pop();
            record
        }
        (value, _, _) => value.clone(),
    })
}
