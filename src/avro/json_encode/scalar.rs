//! Encodes symbols, bytes, fixed values, numbers and decimals.

use super::{Dialect, JsonEncodeError, JsonEncoder, JsonFailure, Written};
use crate::{
    avro::{
        binary::push_len,
        path::WithPath,
        schema::{Decimal, Enum, Fixed, FixedMeaning},
        text,
    },
    json::Json,
};

impl JsonEncoder<'_, '_> {
    pub(super) fn symbol(&mut self, kind: &Enum, text: &str) -> Written {
        let index = kind.symbols.iter().position(|symbol| **symbol == *text);
        push_len(self.datum, index.ok_or_else(|| WithPath::here(JsonEncodeError::Symbol))?);
        Ok(())
    }

    pub(super) fn fixed(&self, fixed: &Fixed, text: &str, json: &Json<'_>) -> Result<Vec<u8>, JsonFailure> {
        let bytes = match (self.dialect, fixed.meaning, json) {
            (Dialect::PLAIN, FixedMeaning::Decimal(decimal), _) => {
                return sign_extended(unscaled(text, decimal)?, fixed.size);
            }
            (Dialect::PLAIN, FixedMeaning::Uuid, Json::Text(_)) => {
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

    pub(super) fn bytes(&self, text: &str) -> Result<Vec<u8>, JsonFailure> {
        let (bytes, expected) = match self.dialect {
            Dialect::PLAIN => (text::bytes_from_base64(text), "base64"),
            Dialect::AVRO | Dialect::Default => (text::bytes_from_code_points(text), "characters 0 to 255"),
        };
        bytes.ok_or_else(|| WithPath::here(JsonEncodeError::Text { expected }))
    }
}

pub(super) fn number<T: std::str::FromStr>(json: &Json<'_>, expected: &'static str) -> Result<T, JsonFailure> {
    json.as_integer().ok_or_else(|| WithPath::here(JsonEncodeError::Number { expected }))
}

pub(super) fn unscaled(text: &str, decimal: Decimal) -> Result<i128, JsonFailure> {
    let unscaled = text::unscaled(text, decimal.precision, decimal.scale);
    unscaled.ok_or_else(|| WithPath::here(JsonEncodeError::Number { expected: "decimal" }))
}

/// Returns `number` in two's complement with exactly `size` bytes.
pub(super) fn sign_extended(number: i128, size: u32) -> Result<Vec<u8>, JsonFailure> {
    let shortest = text::twos_complement(number);
    let missing = (size as usize).checked_sub(shortest.len());
    let missing = missing.ok_or_else(|| WithPath::here(JsonEncodeError::Number { expected: "decimal" }))?;
    let mut bytes = vec![if number < 0 { 0xFF } else { 0 }; missing];
    bytes.extend_from_slice(&shortest);
    Ok(bytes)
}
