//! Parsers for numbers on the command line. Each error states the accepted range. Pure.

use std::ops::RangeInclusive;

/// Maximum of a quantity. It exceeds any realistic value, and is small enough for exact calculation.
const MAX_QUANTITY: f64 = 1e8;

/// Parses a positive number.
pub(crate) fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number <= MAX_QUANTITY => Ok(number),
        _ => Err(format!("not a number above zero and at most {MAX_QUANTITY}")),
    }
}

/// Parses a number that is not negative.
pub(crate) fn not_negative(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.0..=MAX_QUANTITY).contains(&number) => Ok(number),
        _ => Err(format!("not a number from 0 to {MAX_QUANTITY}")),
    }
}

/// Returns a parser for whole numbers in `range`. For a negative number, `clap`'s own parser for `u64` does not state the
/// range.
pub(crate) fn whole(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<u64, String> + Clone + Send + Sync {
    move |text| match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ if *range.end() == u64::MAX => Err(format!("not a whole number of at least {}", range.start())),
        _ => Err(format!("not a whole number from {} to {}", range.start(), range.end())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_outside_of_the_range_is_answered_with_the_range() {
        assert_eq!((positive("1e8"), not_negative("0"), not_negative("1e8")), (Ok(1e8), Ok(0.0), Ok(1e8)));
        for wrong in ["-1", "NaN", "inf", "1e9", "x", ""] {
            assert!(positive(wrong).is_err() && not_negative(wrong).is_err(), "{wrong}");
        }
        assert!(positive("0").is_err());
        assert_eq!((whole(1..=3)("1"), whole(1..=3)("3"), whole(1..=u64::MAX)("7")), (Ok(1), Ok(3), Ok(7)));
        assert_eq!(whole(1..=3)("4").unwrap_err(), "not a whole number from 1 to 3");
        assert_eq!(whole(1..=u64::MAX)("-1").unwrap_err(), "not a whole number of at least 1");
    }
}
