//! Logical types: the annotations that change how a value is stored, and when they are valid.
//!
//! An annotation that is unknown, or not valid for its type, is ignored, as the specification requires. A `uuid` on a
//! string is not recorded, because its value is stored as a string either way. `big-decimal`, which only two
//! implementations support, is read as plain bytes.

use super::{FixedMeaning, Type};
use crate::{json::Json, record::Unit};
use std::fmt;

/// A number `unscaled * 10^-scale` of at most `precision` digits, with `scale <= precision` and `precision > 0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decimal {
    pub(crate) precision: u32,
    pub(crate) scale: u32,
}

/// The logical type of an `int` or a `long`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Time {
    /// Days since 1970-01-01.
    Date,
    /// Time since midnight.
    OfDay(Unit),
    /// Time since 1970-01-01T00:00:00Z.
    Timestamp(Unit),
    /// Time since 1970-01-01T00:00:00 in no time zone.
    LocalTimestamp(Unit),
}

impl Time {
    /// Returns the number of units of `reader` in one unit of `self`. Returns `None` if `reader` measures something
    /// else, or has a coarser unit, to which a conversion would not be exact.
    pub(crate) fn conversion_to(self, reader: Self) -> Option<u32> {
        match (self, reader) {
            (Self::Date, Self::Date) => Some(1),
            (Self::OfDay(from), Self::OfDay(to))
            | (Self::Timestamp(from), Self::Timestamp(to))
            | (Self::LocalTimestamp(from), Self::LocalTimestamp(to)) => {
                (from <= to).then(|| to.per_second() / from.per_second())
            }
            _ => None,
        }
    }

    /// Returns whether both types measure the same thing and differ at most in their unit.
    pub(crate) fn is_of_the_kind_of(self, other: Self) -> bool {
        self.conversion_to(other).or(other.conversion_to(self)).is_some()
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, unit) = match self {
            Self::Date => return f.write_str("date"),
            Self::OfDay(unit) => ("time", unit),
            Self::Timestamp(unit) => ("timestamp", unit),
            Self::LocalTimestamp(unit) => ("local-timestamp", unit),
        };
        let unit = match unit {
            Unit::Milliseconds => "millis",
            Unit::Microseconds => "micros",
            Unit::Nanoseconds => "nanos",
        };
        write!(f, "{kind}-{unit}")
    }
}

/// Returns `plain` with the logical type that the attributes of its definition declare.
pub(super) fn annotated(plain: Type, attributes: &Json<'_>) -> Type {
    let logical = attributes.get("logicalType").and_then(Json::as_text).unwrap_or_default();
    match (plain, logical) {
        (Type::Int(_), "date") => Type::Int(Some(Time::Date)),
        (Type::Int(_), "time-millis") => Type::Int(Some(Time::OfDay(Unit::Milliseconds))),
        (Type::Long(_), "time-micros") => Type::Long(Some(Time::OfDay(Unit::Microseconds))),
        (Type::Long(_), "timestamp-millis") => Type::Long(Some(Time::Timestamp(Unit::Milliseconds))),
        (Type::Long(_), "timestamp-micros") => Type::Long(Some(Time::Timestamp(Unit::Microseconds))),
        (Type::Long(_), "timestamp-nanos") => Type::Long(Some(Time::Timestamp(Unit::Nanoseconds))),
        (Type::Long(_), "local-timestamp-millis") => Type::Long(Some(Time::LocalTimestamp(Unit::Milliseconds))),
        (Type::Long(_), "local-timestamp-micros") => Type::Long(Some(Time::LocalTimestamp(Unit::Microseconds))),
        (Type::Long(_), "local-timestamp-nanos") => Type::Long(Some(Time::LocalTimestamp(Unit::Nanoseconds))),
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
        (Type::Fixed(mut fixed), "duration") if fixed.size == 12 => {
            fixed.meaning = FixedMeaning::Duration;
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

/// Returns the maximum number of decimal digits such that every number with that many digits fits into `bytes` bytes of
/// two's complement: `floor(log10(2^(8 * bytes - 1) - 1))`.
pub(crate) fn digits_of(bytes: u32) -> u32 {
    /// log10(2) as a fraction, precise enough for the number of bits of any `fixed`.
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
