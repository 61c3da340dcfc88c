//! Numbers as people read them.

/// Returns `value` with as many digits as mean something, and a comma between thousands.
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 || size == 0.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 0.1 => 2,
        _ => 4,
    };
    let text = format!("{value:.digits$}");
    grouped(trimmed(&text))
}

/// Returns `value` with a unit for thousands, as an axis shows it: 1500 is 1.5k.
pub(crate) fn short(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        size if size >= 1e9 => (value / 1e9, "G"),
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e3 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = if scaled.abs() < 0.1 { 5 } else { 3 };
    format!("{}{unit}", trimmed(&format!("{scaled:.digits$}")))
}

/// Removes the zeros at the end of a fraction.
fn trimmed(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// Thousands apart.
fn grouped(text: &str) -> String {
    let (whole, rest) = text.find('.').map_or((text, ""), |point| text.split_at(point));
    let mut out = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) && digit.is_ascii_digit() && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_mean_something() {
        let texts = [0.0, 0.0123, 0.5, 4.25, 12.34, 123.4, 1_234_567.0, -1_000.0].map(number);
        assert_eq!(texts, ["0", "0.0123", "0.5", "4.25", "12.3", "123", "1,234,567", "-1,000"]);
    }

    #[test]
    fn numbers_on_an_axis_are_short() {
        let texts = [0.0, 0.001, 0.25, 10.0, 1_500.0, 100_000.0, 2e6].map(short);
        assert_eq!(texts, ["0", "0.001", "0.25", "10", "1.5k", "100k", "2M"]);
    }
}
