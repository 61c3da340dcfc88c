//! Parses durations on the command line, and adds jitter.

use std::time::Duration;

/// Parses a duration such as `90s`, `30m`, `2h` or `7d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "not a duration such as 90s, 30m, 2h or 7d".to_owned();
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text.strip_suffix(unit).unwrap_or(text).parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

/// Returns a random part of `most`.
pub(crate) fn jitter(most: Duration) -> Duration {
    most.mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(
            ["90s", "30m", "2h", "7d"].map(|text| duration(text).unwrap().as_secs()),
            [90, 1_800, 7_200, 604_800]
        );
        for wrong in ["", "h", "10", "1w", "-1h", "1.5h", "99999999999999999999d", "5mm"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
