//! Parses and formats values for which JSON has no type: bytes, UUIDs and decimals.

use std::str::FromStr;
use uuid::{Uuid, fmt::Hyphenated};

/// Decodes base64 in either alphabet, with or without padding.
pub(super) fn bytes_from_base64(text: &str) -> Option<Vec<u8>> {
    let bare = text.trim_end_matches('=');
    if bare.contains(['-', '_']) {
        base64_simd::URL_SAFE_NO_PAD.decode_to_vec(bare).ok()
    } else {
        base64_simd::STANDARD_NO_PAD.decode_to_vec(bare).ok()
    }
}

/// Java's names for the non-finite numbers, in Avro's JSON encoding.
/// <https://javadoc.io/doc/com.fasterxml.jackson.core/jackson-core/latest/com/fasterxml/jackson/core/json/JsonWriteFeature.html>
const NOT_FINITE: [&str; 3] = ["NaN", "Infinity", "-Infinity"];

/// Returns the non-finite `float` or `double` that Java writes as `text`.
pub(super) fn not_finite<T: FromStr>(text: &str) -> Option<T> {
    NOT_FINITE.contains(&text).then(|| text.parse().ok()).flatten()
}

/// Returns the code points of `text` as bytes, which is how Avro writes bytes in JSON. Returns `None` if one exceeds
/// 255.
pub(super) fn bytes_from_code_points(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|character| u8::try_from(character).ok()).collect()
}

/// Returns the bytes of a UUID in the hyphenated form, such as `b7b4a7f0-9c96-4e4a-a687-fb5de9ef0c63`. Other forms are
/// not accepted.
pub(super) fn uuid(text: &str) -> Option<[u8; 16]> {
    let uuid = Uuid::try_parse(text).ok().filter(|_| text.len() == Hyphenated::LENGTH);
    uuid.map(Uuid::into_bytes)
}

/// Returns the integer `n` for which `n * 10^-scale` equals the decimal number in `text`. Returns `None` if there is no
/// such integer, or if it has more than `precision` digits or more than 38.
pub(super) fn unscaled(text: &str, precision: u32, scale: u32) -> Option<i128> {
    const MOST_DIGITS: usize = 38;
    let (negative, unsigned) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() || mantissa.ends_with('.') || mantissa.contains(['+', '-']) {
        return None;
    }
    let mut digits = format!("{whole}{fraction}");
    let shift = exponent.parse::<i32>().ok()?.checked_add(i32::try_from(scale).ok()?)?;
    let shift = shift.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let significant = digits.trim_start_matches('0').len();
    if significant == 0 {
        return digits.bytes().all(|digit| digit == b'0').then_some(0);
    }
    if let Ok(zeros) = usize::try_from(shift) {
        if significant.checked_add(zeros)? > MOST_DIGITS {
            return None;
        }
        digits.extend(std::iter::repeat_n('0', zeros));
    } else {
        let kept = digits.len().checked_sub(usize::try_from(shift.unsigned_abs()).ok()?)?;
        if digits.get(kept..)?.bytes().any(|digit| digit != b'0') {
            return None;
        }
        digits.truncate(kept);
    }
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() || digits.len() > MOST_DIGITS || digits.len() > precision as usize {
        return None;
    }
    let magnitude: i128 = digits.parse().ok().filter(|magnitude| *magnitude > 0)?;
    Some(if negative { -magnitude } else { magnitude })
}

/// Returns whether the `double` nearest to the number in `text` has the same shortest decimal representation.
pub(super) fn is_exact_double(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(|value| has_digits_of(value, text))
}

/// Returns whether the `float` nearest to the number in `text` represents it as exactly as a `double` would.
pub(super) fn is_exact_float(text: &str) -> bool {
    text.parse::<f32>().is_ok_and(|value| has_digits_of(value.into(), text))
}

fn has_digits_of(value: f64, text: &str) -> bool {
    value.is_finite() && significand(&format!("{value:e}")) == significand(text)
}

/// Returns the digits of a number without leading and trailing zeros.
fn significand(text: &str) -> String {
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.trim_matches('0').to_owned()
}

/// Returns the shortest big-endian two's complement representation of `number`.
pub(super) fn twos_complement(number: i128) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let sign = if number < 0 { 0xFF } else { 0 };
    let redundant = bytes.windows(2).take_while(|pair| match pair {
        [first, second] => *first == sign && (second ^ sign) < 0x80,
        _ => false,
    });
    bytes.iter().skip(redundant.count()).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn base64_comes_in_either_alphabet_and_with_or_without_padding() {
        for text in ["+/8=", "+/8", "-_8=", "-_8"] {
            assert_eq!(bytes_from_base64(text), Some(vec![0xFB, 0xFF]), "{text}");
        }
        assert_eq!(bytes_from_base64(""), Some(Vec::new()));
        for wrong in ["+_8=", "a", "a b=", "ä"] {
            assert_eq!(bytes_from_base64(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn code_points_up_to_255_are_bytes() {
        assert_eq!(bytes_from_code_points("\u{0}A\u{ff}"), Some(vec![0, 65, 255]));
        assert_eq!(bytes_from_code_points("\u{100}"), None);
    }

    #[test]
    fn a_uuid_is_read_back_from_its_text() {
        let text = "b7b4a7f0-9c96-4e4a-a687-fb5de9ef0c63";
        let bytes = uuid(text).unwrap();
        assert_eq!(bytes[..3], [0xB7, 0xB4, 0xA7]);
        assert_eq!(Uuid::from_bytes(bytes).to_string(), text);
        assert_eq!(uuid(&text.to_uppercase()), Some(bytes));
        for wrong in [
            "",
            &text[1..],
            &text.replace('-', ""),
            &text.replace('b', "g"),
            &format!("{text}0"),
            &text.replace('-', "0"),
        ] {
            assert_eq!(uuid(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn decimals_are_taken_exactly_or_not_at_all() {
        let read = |text| unscaled(text, 6, 2);
        for (text, number) in [
            ("12.34", 1234),
            ("-12.3", -1230),
            ("1e2", 10_000),
            ("1.5E+1", 1500),
            ("12.3400", 1234),
            ("0.00", 0),
            ("-0", 0),
            ("1200e-2", 1200),
            ("0.0e9", 0),
        ] {
            assert_eq!(read(text), Some(number), "{text}");
        }
        for wrong in [
            "12.345",
            "12345.67",
            "1e5",
            "1e-3",
            "",
            "-",
            ".5",
            "5.",
            "1e",
            "--1",
            "1.-5",
            "+1",
            "1e99999999999",
            "0x1",
            "1e2147483647",
            "z",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(unscaled(&"9".repeat(38), 40, 0), Some(10_i128.pow(38) - 1));
        assert_eq!(unscaled(&"9".repeat(39), 40, 0), None);
    }

    proptest! {
        #[test]
        fn twos_complement_is_as_short_as_it_can_be(number: i128, shift in 0_u32..128) {
            let number = number >> shift;
            let bytes = twos_complement(number);
            let negative = bytes[0] >= 0x80;
            let read = bytes.iter().fold(if negative { -1 } else { 0 }, |read: i128, byte| read << 8 | i128::from(*byte));
            prop_assert_eq!(read, number);
            prop_assert!(bytes.len() == 1 || (bytes[0], bytes[1] < 0x80) != (0, true));
            prop_assert!(bytes.len() == 1 || (bytes[0], bytes[1] >= 0x80) != (0xFF, true));
        }
    }
}
