//! Logical types: which annotations mean something to us, and when they are valid.
//!
//! An annotation that is unknown, or not valid for the type it stands on, is ignored, as the specification says. What does
//! not change what a value becomes is not kept: `time-millis` is a number like any other `int`, a `uuid` on a string is a
//! string, a `duration` is twelve bytes. `big-decimal`, which only two implementations know, is bytes.

use super::{FixedMeaning, Int, Type};
use crate::{json::Json, record::Unit};

/// A number `unscaled * 10^-scale` of at most `precision` digits, with `scale <= precision` and `precision > 0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decimal {
    pub(crate) precision: u32,
    pub(crate) scale: u32,
}

/// `plain` as the attributes of its definition annotate it.
pub(super) fn annotated(plain: Type, attributes: &Json<'_>) -> Type {
    let logical = attributes.get("logicalType").and_then(Json::as_text).unwrap_or_default();
    match (plain, logical) {
        (Type::Int(_), "date") => Type::Int(Int::Date),
        (Type::Long(_), "timestamp-millis" | "local-timestamp-millis") => Type::Long(Unit::Milliseconds),
        (Type::Long(_), "timestamp-micros" | "local-timestamp-micros") => Type::Long(Unit::Microseconds),
        (Type::Long(_), "timestamp-nanos" | "local-timestamp-nanos") => Type::Long(Unit::Nanoseconds),
        (Type::Bytes(_), "decimal") => Type::Bytes(decimal(attributes)),
        (Type::Fixed(mut fixed), "decimal") => {
            if let Some(decimal) = decimal(attributes).filter(|decimal| decimal.precision <= digits_of(fixed.size)) {
                fixed.meaning = FixedMeaning::Decimal(decimal);
            }
            Type::Fixed(fixed)
        }
        (Type::Fixed(mut fixed), "uuid") if fixed.size == 16 => {
            fixed.meaning = FixedMeaning::Uuid;
            Type::Fixed(fixed)
        }
        (plain, _) => plain,
    }
}

fn decimal(attributes: &Json<'_>) -> Option<Decimal> {
    let precision = attributes.get("precision")?.as_integer().filter(|precision| *precision > 0)?;
    let scale = attributes.get("scale").map_or(Some(0), Json::as_integer)?;
    (scale <= precision).then_some(Decimal { precision, scale })
}

/// The most decimal digits that `bytes` bytes of two's complement hold whatever the digits are:
/// `floor(log10(2^(8 * bytes - 1) - 1))`.
fn digits_of(bytes: u32) -> u32 {
    /// log10(2) to more digits than a `fixed` has bits.
    const LOG10_OF_2: (u128, u128) = (30_102_999_566, 100_000_000_000);
    let bits = (u128::from(bytes) * 8).saturating_sub(1);
    u32::try_from(bits * LOG10_OF_2.0 / LOG10_OF_2.1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_follow_the_specifications_formula() {
        // 2^7-1 = 127, 2^15-1 = 32767, 2^31-1, 2^63-1, 2^95-1, 2^127-1
        for (bytes, digits) in [(0, 0), (1, 2), (2, 4), (4, 9), (8, 18), (12, 28), (16, 38)] {
            assert_eq!(digits_of(bytes), digits, "{bytes}");
        }
    }

    #[test]
    fn a_decimal_is_valid_with_a_positive_precision_and_a_scale_no_larger() {
        let read = |text| decimal(&Json::parse(text, 2).unwrap());
        assert_eq!(read(r#"{"precision":4,"scale":2}"#), Some(Decimal { precision: 4, scale: 2 }));
        assert_eq!(read(r#"{"precision":4,"scale":4}"#), Some(Decimal { precision: 4, scale: 4 }));
        assert_eq!(read(r#"{"precision":4}"#), Some(Decimal { precision: 4, scale: 0 }));
        for invalid in [
            r#"{"precision":0}"#,
            r#"{"scale":1}"#,
            r#"{"precision":1,"scale":2}"#,
            r#"{"precision":2,"scale":-1}"#,
            r#"{"precision":"4","scale":2}"#,
            r#"{"precision":4.0}"#,
        ] {
            assert_eq!(read(invalid), None, "{invalid}");
        }
    }
}
