//! Points in time: their text in UTC, and ticks at round times. Pure.
//!
//! A page shows UTC; its script can show the reader's own time instead, by the same rules (`page.js`).

use time::{Month, OffsetDateTime};

const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;
/// Maximum number of ticks: as many labels fit next to each other on a narrow screen.
const MAX_TICKS: u64 = 5;
/// Distances between ticks.
const STEPS_MS: [u64; 24] = [
    SECOND_MS,
    2 * SECOND_MS,
    5 * SECOND_MS,
    10 * SECOND_MS,
    15 * SECOND_MS,
    30 * SECOND_MS,
    MINUTE_MS,
    2 * MINUTE_MS,
    5 * MINUTE_MS,
    10 * MINUTE_MS,
    15 * MINUTE_MS,
    30 * MINUTE_MS,
    HOUR_MS,
    2 * HOUR_MS,
    3 * HOUR_MS,
    6 * HOUR_MS,
    12 * HOUR_MS,
    DAY_MS,
    2 * DAY_MS,
    7 * DAY_MS,
    14 * DAY_MS,
    28 * DAY_MS,
    84 * DAY_MS,
    364 * DAY_MS,
];

/// How a point in time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `22:13:20`
    Seconds,
    /// `22:13`, and `14 Nov` at midnight.
    Minutes,
    /// `14 Nov`
    Days,
    /// `2023-11-14 22:13:20`
    Full,
}

impl Form {
    /// Returns the name that the script knows it by.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Minutes => "m",
            Self::Days => "d",
            Self::Full => "f",
        }
    }
}

/// Returns `at_ms`, in milliseconds since the Unix epoch, as text in UTC.
pub(crate) fn text(at_ms: u64, form: Form) -> String {
    let Some(moment) = moment(at_ms) else { return "?".to_owned() };
    let (year, month, day) = moment.to_calendar_date();
    let (hour, minute, second) = moment.to_hms();
    let date = || format!("{day} {}", short_month(month));
    match form {
        Form::Seconds => format!("{hour:02}:{minute:02}:{second:02}"),
        Form::Minutes if (hour, minute) == (0, 0) => date(),
        Form::Minutes => format!("{hour:02}:{minute:02}"),
        Form::Days => date(),
        Form::Full => format!("{year:04}-{:02}-{day:02} {hour:02}:{minute:02}:{second:02}", u8::from(month)),
    }
}

/// Returns an hour of the day, from 0 to 24, as text: 15.5 is `15:30`.
pub(crate) fn time_of_day(hours: f64) -> String {
    let minutes = (hours * 60.0).round();
    format!("{:02.0}:{:02.0}", (minutes / 60.0).floor(), minutes % 60.0)
}

fn moment(at_ms: u64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(i64::try_from(at_ms / SECOND_MS).ok()?).ok()
}

fn short_month(month: Month) -> &'static str {
    match month {
        Month::January => "Jan",
        Month::February => "Feb",
        Month::March => "Mar",
        Month::April => "Apr",
        Month::May => "May",
        Month::June => "Jun",
        Month::July => "Jul",
        Month::August => "Aug",
        Month::September => "Sep",
        Month::October => "Oct",
        Month::November => "Nov",
        Month::December => "Dec",
    }
}

/// Returns round times from `first_ms` to `last_ms`, at least two of them, and how they are written.
pub(crate) fn ticks(first_ms: u64, last_ms: u64) -> (Vec<u64>, Form) {
    let between = |step: u64| {
        let first = first_ms.div_ceil(step);
        (first..).map(move |index| index * step).take_while(move |tick| *tick <= last_ms)
    };
    let fits = |step: &&u64| between(**step).take(6).count() as u64 <= MAX_TICKS;
    let step = STEPS_MS.iter().find(fits).copied().unwrap_or(364 * DAY_MS);
    let form = match step {
        step if step < MINUTE_MS => Form::Seconds,
        step if step < DAY_MS => Form::Minutes,
        _ => Form::Days,
    };
    let ticks: Vec<u64> = between(step).collect();
    if ticks.len() < 2 {
        return (vec![first_ms, last_ms], if last_ms - first_ms < DAY_MS { Form::Seconds } else { Form::Full });
    }
    (ticks, form)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_in_time_is_written_in_utc() {
        let at = 1_700_000_000_000;
        let forms = [Form::Seconds, Form::Minutes, Form::Days, Form::Full].map(|form| text(at, form));
        assert_eq!(forms, ["22:13:20", "22:13", "14 Nov", "2023-11-14 22:13:20"]);
        assert_eq!([0.0, 15.5, 24.0].map(time_of_day), ["00:00", "15:30", "24:00"]);
        assert_eq!(text(1_700_006_400_000, Form::Minutes), "15 Nov", "midnight is a date");
    }

    #[test]
    fn ticks_are_round_times_and_few() {
        let at = |first_ms: u64, length_ms: u64| {
            let (ticks, form) = ticks(first_ms, first_ms + length_ms);
            ticks.into_iter().map(|tick| text(tick, form)).collect::<Vec<_>>()
        };
        let start = 1_700_000_000_000;
        assert_eq!(at(start, 59_000), ["22:13:30", "22:13:45", "22:14:00", "22:14:15"]);
        assert_eq!(at(start, HOUR_MS), ["22:15", "22:30", "22:45", "23:00"]);
        assert_eq!(at(start, DAY_MS), ["15 Nov", "06:00", "12:00", "18:00"]);
        assert_eq!(at(start, 7 * DAY_MS), ["15 Nov", "17 Nov", "19 Nov", "21 Nov"]);
        for length in 1..2_000_u64 {
            let ticks = at(start + length * 7_919, length * length * 997);
            assert!((2..=5).contains(&ticks.len()), "{length}: {ticks:?}");
        }
    }
}
