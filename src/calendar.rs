//! Converts days since 1970-01-01 to dates and back.
//!
//! The conversion is implemented here because an Avro date may be any 32-bit number, and the `time` crate, which is a
//! dependency anyway, supports only years up to 9999. The module is pure.
//!
//! Years are counted from 1 March, so that the leap day is the last day of a year and the lengths of months follow one
//! formula. Eras of 400 years all have the same number of days.

use std::io::Write;

const DAYS_FROM_0000_03_01_TO_EPOCH: i64 = 719_468;
const DAYS_PER_ERA: i64 = 146_097;
const YEARS_PER_ERA: i64 = 400;

/// Year, month and day of the proleptic Gregorian calendar.
type Date = (i64, i64, i64);

/// Appends a date in ISO 8601. Years outside 0000 to 9999 have a sign and as many digits as they need.
pub(crate) fn push_date(out: &mut Vec<u8>, days: i32) {
    let (year, month, day) = date_of(days.into());
    // Writing to memory cannot fail.
    let _ = match year {
        0..=9999 => write!(out, "{year:04}-{month:02}-{day:02}"),
        _ => write!(out, "{year:+05}-{month:02}-{day:02}"),
    };
}

/// Returns the days from 1970-01-01 to the date in `text`, such as `2024-01-15`. The year has four digits, and the
/// month and the day have two.
pub(crate) fn days_of_text(text: &str) -> Option<i32> {
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text.as_bytes() else { return None };
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0')))
    };
    let date = (number(&[y1, y2, y3, y4])?, number(&[m1, m2])?, number(&[d1, d2])?);
    let days = days_of(date);
    // A day that does not exist in its month is converted to a day of another month, so the dates differ.
    (date_of(days) == date).then(|| i32::try_from(days).ok())?
}

fn date_of(days: i64) -> Date {
    let days = days + DAYS_FROM_0000_03_01_TO_EPOCH;
    let (era, day_of_era) = (days.div_euclid(DAYS_PER_ERA), days.rem_euclid(DAYS_PER_ERA));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - days_before_year(year_of_era);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - days_before_month(month_from_march) + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * YEARS_PER_ERA + year_of_era + i64::from(month <= 2), month, day)
}

fn days_of((year, month, day): Date) -> i64 {
    let (year, month_from_march) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year_of_era) = (year.div_euclid(YEARS_PER_ERA), year.rem_euclid(YEARS_PER_ERA));
    let day_of_era = days_before_year(year_of_era) + days_before_month(month_from_march) + day - 1;
    era * DAYS_PER_ERA + day_of_era - DAYS_FROM_0000_03_01_TO_EPOCH
}

fn days_before_year(year_of_era: i64) -> i64 {
    365 * year_of_era + year_of_era / 4 - year_of_era / 100
}

fn days_before_month(month_from_march: i64) -> i64 {
    (153 * month_from_march + 2) / 5
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(days: i32) -> String {
        let mut out = Vec::new();
        push_date(&mut out, days);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn dates_follow_the_calendar() {
        for (days, expected) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (11_016, "2000-02-29"),
            (19_737, "2024-01-15"),
            (19_782, "2024-02-29"),
            (-25_509, "1900-02-28"),
            (-25_508, "1900-03-01"),
            (2_932_896, "9999-12-31"),
            (2_932_897, "+10000-01-01"),
            (-719_162, "0001-01-01"),
            (-719_529, "-0001-12-31"),
        ] {
            assert_eq!(text(days), expected);
            let is_plain = !expected.starts_with(['+', '-']);
            assert_eq!(days_of_text(expected), is_plain.then_some(days), "{expected}");
        }
    }

    #[test]
    fn a_day_that_is_not_in_the_calendar_is_none() {
        for wrong in [
            "2023-02-29",
            "1900-02-29",
            "2024-13-01",
            "2024-00-01",
            "2024-04-31",
            "2024-04-00",
            "2024-1-15",
            "20240115",
            "+024-01-15",
        ] {
            assert_eq!(days_of_text(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn every_day_is_read_back_and_is_the_day_after_the_one_before(days in -5_000_000..5_000_000_i64) {
            let (date, next) = (date_of(days), date_of(days + 1));
            prop_assert_eq!(days_of(date), days);
            prop_assert!(next == (date.0, date.1, date.2 + 1) || next == (date.0, date.1 + 1, 1) || next == (date.0 + 1, 1, 1));
            prop_assert!((28..=31).contains(&date.2) || next.2 == date.2 + 1);
        }
    }
}
