//! Axes: which part of a scale is shown, where a value is on it, and where the ticks are. Pure.

use crate::number::short;

/// Numbers of intervals between ticks that a linear axis aims at.
const VERTICAL_INTERVALS: f64 = 4.0;
const HORIZONTAL_INTERVALS: f64 = 6.0;
/// Maximum number of ticks of a logarithmic axis.
const MAX_LOGARITHMIC_TICKS: usize = 7;

/// A part of a linear or a logarithmic scale, with ticks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    low: f64,
    high: f64,
    is_logarithmic: bool,
    pub(crate) ticks: Vec<f64>,
}

impl Axis {
    /// Returns a vertical axis for `values` with round ends. A linear one begins at zero.
    pub(crate) fn vertical(values: impl Iterator<Item = f64>, is_logarithmic: bool) -> Self {
        let (low, high) = ends(values.filter(|value| !is_logarithmic || *value > 0.0));
        if is_logarithmic {
            let (low, high) = if low > high { (1.0, 10.0) } else { (below(low), above(high)) };
            let high = if high > low { high } else { above(high * 1.5) };
            return Self { low, high, is_logarithmic, ticks: logarithmic_ticks(low, high) };
        }
        let (low, high) = (low.min(0.0), if high > 0.0 { high } else { 0.0 });
        let high = if high > low { high } else { low + 1.0 };
        let step = nice_step((high - low) / VERTICAL_INTERVALS);
        let (first, last) = ((low / step).floor(), (high / step - 1e-9).ceil());
        Self { low: first * step, high: last * step, is_logarithmic, ticks: steps(first, last, step) }
    }

    /// Returns a horizontal axis that ends where `values` end.
    pub(crate) fn horizontal(values: impl Iterator<Item = f64>, is_logarithmic: bool) -> Self {
        let (low, high) = ends(values.filter(|value| !is_logarithmic || *value > 0.0));
        let (low, high) = match (low, high) {
            (low, high) if low > high => (1.0, 2.0),
            (low, high) if low == high && is_logarithmic => (low / 2.0, high * 2.0),
            (low, high) if low == high => (low - low.abs().max(1.0) / 2.0, high + high.abs().max(1.0) / 2.0),
            ends => ends,
        };
        let ticks = if is_logarithmic {
            let between = |tick: &f64| (low * 0.999..=high * 1.001).contains(tick);
            logarithmic_ticks(below(low), above(high)).into_iter().filter(between).collect()
        } else {
            let step = nice_step((high - low) / HORIZONTAL_INTERVALS);
            steps((low / step - 1e-9).ceil(), (high / step + 1e-9).floor(), step)
        };
        let ticks: Vec<f64> = if ticks.len() < 2 { vec![low, high] } else { ticks };
        Self { low, high, is_logarithmic, ticks }
    }

    /// Returns an axis from `low` to `high` with these ticks.
    pub(crate) fn with_ticks(low: f64, high: f64, ticks: Vec<f64>) -> Self {
        Self { low, high: high.max(low + f64::MIN_POSITIVE), is_logarithmic: false, ticks }
    }

    /// Returns where `value` is between the ends: 0 to 1.
    pub(crate) fn place(&self, value: f64) -> f64 {
        let share = if self.is_logarithmic {
            (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        share.clamp(0.0, 1.0)
    }

    /// Returns each tick with its label.
    pub(crate) fn labels(&self) -> impl Iterator<Item = (f64, String)> {
        self.ticks.iter().map(|tick| (*tick, short(*tick)))
    }
}

fn ends(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values
        .filter(|value| value.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

fn steps(first: f64, last: f64, step: f64) -> Vec<f64> {
    let count = (0_u32..).map(|index| first + f64::from(index)).take_while(|index| *index <= last);
    count.map(|index| index * step).collect()
}

/// Rounds `rough` up to 1, 2, 2.5 or 5 times a power of ten.
fn nice_step(rough: f64) -> f64 {
    let power = power_of_ten(rough);
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * power).into_iter();
    step.into_iter().find(|step| *step >= rough * (1.0 - 1e-9)).unwrap_or(rough)
}

fn power_of_ten(value: f64) -> f64 {
    10_f64.powf((value.max(f64::MIN_POSITIVE).log10() + 1e-9).floor())
}

/// Rounds `value` down to 1, 2 or 5 times a power of ten.
fn below(value: f64) -> f64 {
    let power = power_of_ten(value);
    let step = [5.0, 2.0, 1.0].map(|factor| factor * power).into_iter().find(|step| *step <= value * (1.0 + 1e-9));
    step.unwrap_or(power)
}

/// Rounds `value` up to 1, 2 or 5 times a power of ten.
fn above(value: f64) -> f64 {
    let power = power_of_ten(value);
    let mut steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter();
    steps.find(|step| *step >= value * (1.0 - 1e-9)).unwrap_or(power * 10.0)
}

/// Returns 1, 2 and 5 times each power of ten between the ends, and fewer over many powers.
fn logarithmic_ticks(low: f64, high: f64) -> Vec<f64> {
    let first = power_of_ten(low);
    let powers: Vec<f64> = (0..40).map(|power| first * 10_f64.powi(power)).take_while(|p| *p <= high * 1.001).collect();
    let between = |tick: &f64| (low * 0.999..=high * 1.001).contains(tick);
    let of = |factors: &[f64]| -> Vec<f64> {
        powers.iter().flat_map(|power| factors.iter().map(move |factor| factor * power)).filter(between).collect()
    };
    let all = [of(&[1.0, 2.0, 5.0]), of(&[1.0, 3.0]), of(&[1.0])];
    let few = all.iter().find(|ticks| (2..=MAX_LOGARITHMIC_TICKS).contains(&ticks.len()));
    few.cloned().unwrap_or_else(|| {
        let decades = of(&[1.0]);
        let every = decades.len().div_ceil(MAX_LOGARITHMIC_TICKS).max(1);
        decades.into_iter().step_by(every).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<String> {
        axis.labels().map(|(_, label)| label).collect()
    }

    #[test]
    fn a_linear_axis_begins_at_zero_and_ends_at_a_round_number() {
        for (most, expected) in [
            (61.0, &["0", "20", "40", "60", "80"][..]),
            (1.0, &["0", "0.25", "0.5", "0.75", "1"]),
            (123_456.0, &["0", "50k", "100k", "150k"]),
            (0.003, &["0", "0.001", "0.002", "0.003"]),
            (0.0, &["0", "0.25", "0.5", "0.75", "1"]),
        ] {
            assert_eq!(labels(&Axis::vertical([most].into_iter(), false)), expected, "{most}");
        }
    }

    #[test]
    fn every_axis_has_between_two_and_eight_different_ticks() {
        for exponent in -6..9 {
            for factor in [1.0, 1.7, 3.0, 9.99] {
                for span in [1.0, 1.001, 2.0, 30.0, 1e4, 1e9] {
                    let low = factor * 10_f64.powi(exponent);
                    for is_logarithmic in [false, true] {
                        let values = || [low, low * span].into_iter();
                        for axis in
                            [Axis::vertical(values(), is_logarithmic), Axis::horizontal(values(), is_logarithmic)]
                        {
                            assert!((2..=8).contains(&axis.ticks.len()), "{low} {span} {is_logarithmic}: {axis:?}");
                            assert!(axis.ticks.is_sorted_by(|one, other| one < other), "{axis:?}");
                            let places: Vec<f64> = values().map(|value| axis.place(value)).collect();
                            assert!(places.is_sorted() && places.iter().all(|place| place.is_finite()), "{places:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn an_axis_of_nothing_is_an_axis() {
        for is_logarithmic in [false, true] {
            for axis in [
                Axis::vertical(std::iter::empty(), is_logarithmic),
                Axis::horizontal(std::iter::empty(), is_logarithmic),
            ] {
                assert!(axis.ticks.len() >= 2, "{axis:?}");
            }
        }
    }

    #[test]
    fn a_logarithmic_axis_has_ticks_that_are_read_at_a_glance() {
        assert_eq!(labels(&Axis::vertical([12.0, 61.0].into_iter(), true)), ["10", "20", "50", "100"]);
        assert_eq!(labels(&Axis::vertical([3.0, 6_103.0].into_iter(), true)), ["10", "100", "1k", "10k"]);
        assert_eq!(labels(&Axis::vertical([3.0, 610.0].into_iter(), true)), ["3", "10", "30", "100", "300", "1k"]);
    }
}
