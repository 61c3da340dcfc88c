//! Hand-written conversion of apache-avro's values to the SDK's.

use apache_avro::types::Value;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use std::collections::HashMap;

/// Returns the attribute value of `value`, or `None` for logical types that no [shape](crate::shape) uses.
pub(crate) fn attribute(value: Value) -> Option<AttributeValue> {
    Some(match value {
        Value::Null => AttributeValue::Null(true),
        Value::Boolean(value) => AttributeValue::Bool(value),
        Value::Int(value) => AttributeValue::N(value.to_string()),
        Value::Long(value) | Value::TimestampMillis(value) => AttributeValue::N(value.to_string()),
        Value::Float(value) => AttributeValue::N(value.to_string()),
        Value::Double(value) => AttributeValue::N(value.to_string()),
        Value::String(value) | Value::Enum(_, value) => AttributeValue::S(value),
        Value::Bytes(value) | Value::Fixed(_, value) => AttributeValue::B(Blob::new(value)),
        Value::Union(_, value) => attribute(*value)?,
        Value::Array(values) => AttributeValue::L(values.into_iter().map(attribute).collect::<Option<_>>()?),
        Value::Map(values) => AttributeValue::M(map(values)?),
        Value::Record(fields) => AttributeValue::M(map(fields)?),
        _ => return None,
    })
}

fn map(values: impl IntoIterator<Item = (String, Value)>) -> Option<HashMap<String, AttributeValue>> {
    values.into_iter().map(|(name, value)| Some((name, attribute(value)?))).collect()
}
