//! Numbers as DynamoDB writes and compares them: exact, in plain notation, and within its range. All functions append to a
//! buffer.

use crate::record::ItemError;

/// Maximum number of significant digits of a number.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html#HowItWorks.DataTypes.Number>
pub const MAX_NUMBER_DIGITS: usize = 38;
/// Maximum decimal exponent of a number, as in 9.99E+125.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html#HowItWorks.DataTypes.Number>
pub const MAX_NUMBER_EXPONENT: i64 = 125;
/// Minimum decimal exponent of a number, as in 1E-130.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html#HowItWorks.DataTypes.Number>
pub const MIN_NUMBER_EXPONENT: i64 = -130;

const NOT_FINITE: ItemError = ItemError::Number("the number is NaN or infinite");
const OUT_OF_RANGE: ItemError = ItemError::Number("the number is outside 1E-130 to 9.99E+125");
const TOO_MANY_DIGITS: ItemError = ItemError::Number("the number has more than 38 significant digits");

/// Appends an integer.
pub(crate) fn push_long(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends the shortest text that parses back to the same `double`.
pub(crate) fn push_double(out: &mut Vec<u8>, value: f64) -> Result<(), ItemError> {
    if !value.is_finite() {
        return Err(NOT_FINITE);
    }
    if let Some(hundredths) = hundredths(value) {
        push_hundredths(out, hundredths);
        return Ok(());
    }
    let magnitude = value.abs();
    // a double never needs more than 17 digits, so only the range must be checked
    if magnitude != 0.0 && !(1e-130..1e126).contains(&magnitude) {
        return Err(OUT_OF_RANGE);
    }
    push_shortest(out, zmij::Buffer::new().format_finite(value));
    Ok(())
}

/// Returns `value` in hundredths, if it has at most two decimal places, as prices do. Different texts of at most 15 digits
/// never parse to the same `double`, so a text with two decimal places that parses back to `value` is also its shortest
/// text.
fn hundredths(value: f64) -> Option<i64> {
    const MOST: f64 = 1e13;
    #[expect(clippy::cast_possible_truncation, reason = "it is below 1e15")]
    let count = (value.abs() < MOST).then(|| (value * 100.0 + 0.5_f64.copysign(value)) as i64)?;
    // both operands are exact, so the quotient is the double nearest to the text, which is also the result of parsing the
    // text
    (count as f64 / 100.0 == value).then_some(count)
}

fn push_hundredths(out: &mut Vec<u8>, hundredths: i64) {
    if hundredths < 0 {
        out.push(b'-');
    }
    let (whole, part) = (hundredths.unsigned_abs() / 100, hundredths.unsigned_abs() % 100);
    out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
    let digit = |value: u64| b'0' + u8::try_from(value).unwrap_or_default();
    match (part / 10, part % 10) {
        (0, 0) => {}
        (tens, 0) => out.extend_from_slice(&[b'.', digit(tens)]),
        (tens, ones) => out.extend_from_slice(&[b'.', digit(tens), digit(ones)]),
    }
}

/// Appends the shortest text that parses back to the same `float`.
pub(crate) fn push_float(out: &mut Vec<u8>, value: f32) -> Result<(), ItemError> {
    if !value.is_finite() {
        return Err(NOT_FINITE);
    }
    push_shortest(out, zmij::Buffer::new().format_finite(value));
    Ok(())
}

fn push_shortest(out: &mut Vec<u8>, text: &str) {
    let text = text.strip_suffix(".0").unwrap_or(text);
    // DynamoDB has no negative zero
    out.extend_from_slice(if text == "-0" { b"0" } else { text.as_bytes() });
}

/// Appends `unscaled * 10^-scale` exactly. `unscaled` is a big-endian two's complement integer, and an empty slice means
/// zero.
pub(crate) fn push_decimal(out: &mut Vec<u8>, unscaled: &[u8], scale: u32) -> Result<(), ItemError> {
    let mut buffer = itoa::Buffer::new();
    let wide;
    let (negative, all) = match integer(unscaled) {
        Some(value) => (value < 0, buffer.format(value.unsigned_abs())),
        None => {
            wide = wide_digits(unscaled)?;
            (is_negative(unscaled), wide.as_str())
        }
    };
    let digits = all.trim_end_matches('0').as_bytes();
    if digits.is_empty() {
        out.push(b'0');
        return Ok(());
    }
    if digits.len() > MAX_NUMBER_DIGITS {
        return Err(TOO_MANY_DIGITS);
    }
    let exponent = length(all.as_bytes()) - length(digits) - i64::from(scale);
    let leading = exponent + length(digits) - 1;
    if !(MIN_NUMBER_EXPONENT..=MAX_NUMBER_EXPONENT).contains(&leading) {
        return Err(OUT_OF_RANGE);
    }
    if negative {
        out.push(b'-');
    }
    push_plain(out, digits, exponent);
    Ok(())
}

/// Appends `digits * 10^exponent` in plain notation. The range limits the output to 38 digits and 130 zeros.
fn push_plain(out: &mut Vec<u8>, digits: &[u8], exponent: i64) {
    let zeros = |out: &mut Vec<u8>, count: usize| out.resize(out.len() + count, b'0');
    let shift = usize::try_from(exponent.unsigned_abs()).unwrap_or_default();
    if exponent >= 0 {
        out.extend_from_slice(digits);
        zeros(out, shift);
    } else if let Some((whole, fraction)) = digits.len().checked_sub(shift).and_then(|at| digits.split_at_checked(at)) {
        out.extend_from_slice(if whole.is_empty() { b"0" } else { whole });
        out.push(b'.');
        out.extend_from_slice(fraction);
    } else {
        out.extend_from_slice(b"0.");
        zeros(out, shift - digits.len());
        out.extend_from_slice(digits);
    }
}

fn is_negative(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|byte| byte & 0x80 != 0)
}

/// Returns the decimal digits of an integer that does not fit into 128 bits. Such an integer may still have few significant
/// digits, followed by many zeros.
fn wide_digits(bytes: &[u8]) -> Result<String, ItemError> {
    /// Maximum length of an integer, in bytes. No number in range needs more, because its exponent is at most 125, with as
    /// many digits after the decimal point.
    const MAX_BYTES: usize = 128;
    const GROUP: u64 = 1_000_000_000;
    if bytes.len() > MAX_BYTES {
        return Err(TOO_MANY_DIGITS);
    }
    let mut magnitude = bytes.to_vec();
    if is_negative(bytes) {
        // two's complement: invert all bits and add one
        let mut carry = true;
        for byte in magnitude.iter_mut().rev() {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
    }
    let mut groups = Vec::new();
    while magnitude.iter().any(|&byte| byte != 0) {
        let mut remainder = 0;
        for byte in &mut magnitude {
            let value = remainder << 8 | u64::from(*byte);
            // the remainder is less than the divisor, so the quotient is less than 256
            *byte = u8::try_from(value / GROUP).unwrap_or(u8::MAX);
            remainder = value % GROUP;
        }
        groups.push(remainder);
    }
    let digits: String = groups.iter().rev().map(|group| format!("{group:09}")).collect();
    Ok(digits.trim_start_matches('0').to_owned())
}

/// Reads a two's complement integer of any length, if its value fits into 128 bits.
fn integer(bytes: &[u8]) -> Option<i128> {
    let negative = is_negative(bytes);
    let filler = if negative { 0xFF } else { 0 };
    let significant = bytes.iter().position(|&byte| byte != filler).map_or(&[][..], |at| bytes.split_at(at).1);
    let mut wide = [filler; 16];
    let start = wide.len().checked_sub(significant.len())?;
    wide.get_mut(start..)?.copy_from_slice(significant);
    let value = i128::from_be_bytes(wide);
    ((value < 0) == negative).then_some(value)
}

/// Appends the canonical form of the number in `text`, so that numbers that DynamoDB considers equal become equal bytes:
/// `1`, `1.0` and `10e-1` are the same key. `text` must be a number as written by this module or by DynamoDB.
pub(crate) fn push_canonical_number(out: &mut Vec<u8>, text: &str) {
    let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    let is_zero = |byte: &u8| *byte == b'0';
    let (leading, trailing) = (digits().take_while(is_zero).count(), digits().rev().take_while(is_zero).count());
    let Some(significant) = (whole.len() + fraction.len()).checked_sub(leading + trailing).filter(|count| *count > 0)
    else {
        return out.push(b'0');
    };
    if is_negative {
        out.push(b'-');
    }
    out.extend(digits().skip(leading).take(significant));
    out.push(b'e');
    let shift = i64::try_from(trailing).unwrap_or(i64::MAX) - length(fraction.as_bytes());
    push_long(out, exponent.parse::<i64>().unwrap_or_default() + shift);
}

fn length(digits: &[u8]) -> i64 {
    i64::try_from(digits.len()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical_number(number: &str) -> String {
        text(|out| push_canonical_number(out, number))
    }

    fn text(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn decimal(unscaled: i128, scale: u32) -> Result<String, ItemError> {
        let mut out = Vec::new();
        push_decimal(&mut out, &unscaled.to_be_bytes(), scale).map(|()| String::from_utf8(out).unwrap())
    }

    fn double(value: f64) -> Result<String, ItemError> {
        let mut out = Vec::new();
        push_double(&mut out, value).map(|()| String::from_utf8(out).unwrap())
    }

    proptest! {
        #[test]
        fn every_double_in_range_reads_back_as_it_was(value in proptest::num::f64::NORMAL) {
            match double(value) {
                Ok(text) => prop_assert_eq!(text.parse::<f64>().unwrap(), value),
                Err(error) => prop_assert!(!(1e-130..1e126).contains(&value.abs()), "{} {}", value, error),
            }
        }

        #[test]
        fn a_price_and_its_neighbours_are_as_short_as_they_can_be(hundredths in -2_000_000_000_000_000..2_000_000_000_000_000_i64, digits in 0u32..16) {
            let price = (hundredths / 10_i64.pow(digits)) as f64 / 100.0;
            for value in [price, price.next_up(), price.next_down()] {
                let shortest = text(|out| push_shortest(out, zmij::Buffer::new().format_finite(value)));
                if value == 0.0 || value.abs() >= 1e-130 {
                    prop_assert_eq!(double(value).unwrap(), shortest);
                }
            }
        }

        #[test]
        fn every_float_reads_back_as_it_was(value in proptest::num::f32::NORMAL) {
            prop_assert_eq!(text(|out| push_float(out, value).unwrap()).parse::<f32>().unwrap(), value);
        }

        #[test]
        fn a_decimal_is_exact_whatever_its_sign_extension(unscaled in -10i128.pow(38) + 1..10i128.pow(38), scale in 0u32..60, extra in 0usize..4) {
            let filler = if unscaled < 0 { 0xFF } else { 0 };
            let mut bytes = vec![filler; extra];
            bytes.extend(unscaled.to_be_bytes());
            let text = text(|out| push_decimal(out, &bytes, scale).unwrap());
            let exact: String = format!("{unscaled}e-{scale}");
            prop_assert_eq!(canonical_number(&text), canonical_number(&exact), "{}", text);
        }
    }

    #[test]
    fn numbers_are_written_in_their_shortest_form() {
        assert_eq!(double(1.0).unwrap(), "1");
        assert_eq!(double(-0.0).unwrap(), "0");
        assert_eq!(double(19.99).unwrap(), "19.99");
        assert_eq!(text(|out| push_float(out, 0.1).unwrap()), "0.1");
        assert_eq!(text(|out| push_long(out, i64::MIN)), "-9223372036854775808");
    }

    #[test]
    fn numbers_the_database_cannot_hold_are_refused() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(double(value), Err(NOT_FINITE));
        }
        assert!(double(9.99e125).is_ok() && double(-1e-130).is_ok());
        for value in [1e126, -1e126, f64::MAX, 9.9e-131, f64::MIN_POSITIVE] {
            assert_eq!(double(value), Err(OUT_OF_RANGE), "{value}");
        }
    }

    #[test]
    fn a_decimal_has_at_most_38_significant_digits() {
        let nines = 10i128.pow(38) - 1;
        assert_eq!(decimal(10i128.pow(36) + 1, 0).unwrap().len(), 37);
        assert_eq!(decimal(nines, 0).unwrap().len(), 38);
        assert_eq!(decimal(10i128.pow(38) + 1, 0), Err(TOO_MANY_DIGITS));
        assert_eq!(decimal(10i128.pow(38), 0).unwrap(), format!("1{}", "0".repeat(38)), "one digit, 38 zeros");
        assert_eq!(push_decimal(&mut Vec::new(), &[0x7F; 17], 0), Err(TOO_MANY_DIGITS));
        assert_eq!(push_decimal(&mut Vec::new(), &[0x7F; 100_000], 0), Err(TOO_MANY_DIGITS));
    }

    #[test]
    fn zeros_behind_the_significant_digits_do_not_count() {
        // 10^40 = 2^40 * 5^40, in 17 bytes
        let bytes = [0x1D, 0x63, 0x29, 0xF1, 0xC3, 0x5C, 0xA4, 0xBF, 0xAB, 0xB9, 0xF5, 0x61, 0, 0, 0, 0, 0];
        assert_eq!(text(|out| push_decimal(out, &bytes, 38).unwrap()), "100");
        let mut negative = bytes.map(|byte| !byte);
        // the five trailing zero bytes became 0xFF, so that the carry of the addition passes through them
        negative[11] += 1;
        negative[12..].fill(0);
        assert_eq!(text(|out| push_decimal(out, &negative, 41).unwrap()), "-0.1");
    }

    #[test]
    fn a_decimal_stays_in_the_databases_range() {
        assert!(decimal(1, 130).is_ok());
        assert_eq!(decimal(1, 131), Err(OUT_OF_RANGE));
        assert!(decimal(12, 131).is_ok(), "1.2E-130");
        assert_eq!(decimal(1, u32::MAX), Err(OUT_OF_RANGE));
        assert_eq!(decimal(0, u32::MAX).unwrap(), "0");
    }

    #[test]
    fn decimals_read_as_people_write_them() {
        for (unscaled, scale, expected) in [
            (1999, 2, "19.99"),
            (-5, 2, "-0.05"),
            (100, 2, "1"),
            (1050, 2, "10.5"),
            (12, 2, "0.12"),
            (-7, 0, "-7"),
            (1, 3, "0.001"),
        ] {
            assert_eq!(decimal(unscaled, scale).unwrap(), expected);
        }
        assert_eq!(text(|out| push_decimal(out, &[], 5).unwrap()), "0");
    }

    #[test]
    fn equal_numbers_have_one_canonical_spelling() {
        for same in [&["1", "1.0", "10e-1", "0.1E+1"][..], &["0", "-0", "0.00", "0e5"], &["-1500", "-1.5e3", "-15E2"]] {
            for text in same {
                assert_eq!(canonical_number(text), canonical_number(same[0]), "{text}");
            }
        }
        assert_ne!(canonical_number("1"), canonical_number("-1"));
        assert_ne!(canonical_number("1"), canonical_number("10"));
    }
}
