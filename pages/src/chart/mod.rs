//! A chart: series over a common horizontal axis, drawn as SVG, with a legend outside the plot and its data as a table.
//!
//! Positions across are percentages and positions up are pixels, so that a chart takes any width while its texts and lines keep their size.

mod alone;
mod axis;
mod figure;
mod marks;

use crate::moment::{self, Form};
use crate::number::number;
use axis::Axis;

/// Height of a plot in pixels.
const HEIGHT: f64 = 180.0;

/// A chart.
#[derive(Debug, Clone)]
pub struct Chart {
    /// Title.
    pub title: String,
    /// Unit of the vertical axis, in words.
    pub unit: String,
    /// The horizontal axis.
    pub across: Across,
    /// The scale of the vertical axis.
    pub scale: Scale,
    /// Series, of which the last is on top.
    pub series: Vec<Series>,
    /// A horizontal line, and its name.
    pub target: Option<(f64, String)>,
    /// A sentence below the chart.
    pub note: Option<String>,
}

/// The horizontal axis: what the values of each series belong to, one by one.
#[derive(Debug, Clone)]
pub enum Across {
    /// Stretches of time.
    Time {
        /// The beginning of each, in milliseconds since the Unix epoch.
        starts_ms: Vec<u64>,
        /// The length of each.
        width_ms: u64,
    },
    /// Numbers.
    Numbers {
        /// Label of the axis, with the unit.
        label: String,
        /// The numbers.
        values: Vec<f64>,
        /// Names of the rows of the table; empty if the rows show the numbers.
        names: Vec<String>,
        /// The scale.
        scale: Scale,
    },
    /// Hours of a day, from 0 to 24.
    Hours(Vec<f64>),
    /// Steps without a distance, at which series can be stacked as bars.
    Steps {
        /// Label of the axis, with the unit.
        label: String,
        /// Their names.
        names: Vec<String>,
    },
}

/// The scale of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// From zero if it is vertical.
    Linear,
    /// Of values above zero.
    Logarithmic,
    /// Logarithmic if a linear scale would hide the smallest values.
    Fitting,
}

/// Maximum ratio of the largest to the smallest value that a linear scale shows.
const LINEAR_RATIO: f64 = 20.0;

/// Values that belong together.
#[derive(Debug, Clone)]
pub struct Series {
    /// Name in the legend and in the table.
    pub name: String,
    /// Colour.
    pub colour: Colour,
    /// The values and how they are drawn.
    pub drawn: Drawn,
}

/// Values, none where there is nothing to show, and how they are drawn.
#[derive(Debug, Clone)]
pub enum Drawn {
    /// A line.
    Line(Vec<Option<f64>>),
    /// A line above a tinted area.
    Area(Vec<Option<f64>>),
    /// The area between two lines, each with the name of its edge.
    Band {
        /// The lower edge.
        low: (String, Vec<Option<f64>>),
        /// The upper edge.
        high: (String, Vec<Option<f64>>),
    },
    /// Stacked on the series before it: as bars at steps, else as areas.
    Stacked(Vec<Option<f64>>),
    /// Dots that no line joins.
    Dots(Vec<Option<f64>>),
}

/// A colour of the page. Each is legible on a light and on a dark background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// The colour of what matters most.
    Blue,
    /// Orange.
    Orange,
    /// Green.
    Green,
    /// Purple.
    Purple,
    /// Teal.
    Teal,
    /// Pink.
    Pink,
    /// The colour of what is missed.
    Red,
    /// The colour of what matters least.
    Grey,
}

impl Colour {
    /// Colours of series that have no meaning of their own, in order.
    pub const SERIES: [Self; 6] = [Self::Blue, Self::Orange, Self::Green, Self::Purple, Self::Teal, Self::Pink];

    /// Returns its class in the style.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Blue => "blue",
            Self::Orange => "orange",
            Self::Green => "green",
            Self::Purple => "purple",
            Self::Teal => "teal",
            Self::Pink => "pink",
            Self::Red => "red",
            Self::Grey => "grey",
        }
    }
}

/// A column of the table: the values of a line, or of an edge of a band.
struct Column<'a> {
    name: &'a str,
    colour: Colour,
    values: &'a [Option<f64>],
}

impl Series {
    /// Creates a line.
    pub fn line(name: impl Into<String>, colour: Colour, values: Vec<Option<f64>>) -> Self {
        Self { name: name.into(), colour, drawn: Drawn::Line(values) }
    }

    /// Creates a layer of a stack.
    pub fn stacked(name: impl Into<String>, colour: Colour, values: Vec<Option<f64>>) -> Self {
        Self { name: name.into(), colour, drawn: Drawn::Stacked(values) }
    }

    fn columns(&self) -> Vec<Column<'_>> {
        let colour = self.colour;
        match &self.drawn {
            Drawn::Band { low, high } => [low, high]
                .into_iter()
                .map(|(name, values)| Column { name: name.as_str(), colour, values: values.as_slice() })
                .collect(),
            Drawn::Line(values) | Drawn::Area(values) | Drawn::Stacked(values) | Drawn::Dots(values) => {
                vec![Column { name: &self.name, colour, values }]
            }
        }
    }
}

impl Chart {
    /// Returns true if no series has a value.
    pub fn is_empty(&self) -> bool {
        self.columns().all(|column| column.values.iter().all(Option::is_none))
    }

    fn columns(&self) -> impl Iterator<Item = Column<'_>> {
        self.series.iter().flat_map(Series::columns)
    }

    /// Returns the axes, the horizontal one first.
    fn axes(&self) -> (Axis, Axis) {
        let own = self.columns().flat_map(|column| column.values.iter().copied().flatten().collect::<Vec<_>>());
        let target = self.target.as_ref().map(|(target, _)| *target);
        let values: Vec<f64> = own.chain(self.stacks().into_iter().flatten()).chain(target).collect();
        let is_logarithmic = self.scale.is_logarithmic(&values);
        (self.across.axis(), Axis::vertical(values.into_iter(), is_logarithmic))
    }

    /// Returns the sums of the stacked series, layer by layer from below.
    fn stacks(&self) -> Vec<Vec<f64>> {
        let mut sums = vec![0.0; self.across.len()];
        let mut layers = Vec::new();
        for series in &self.series {
            if let Drawn::Stacked(values) = &series.drawn {
                for (sum, value) in sums.iter_mut().zip(values) {
                    *sum += value.unwrap_or_default();
                }
                layers.push(sums.clone());
            }
        }
        layers
    }

    /// Returns the data in words, for those who do not see it.
    fn summary(&self) -> String {
        let parts = self.columns().filter_map(|Column { name, values, .. }| {
            let present = || values.iter().copied().flatten();
            let (low, high) = (present().reduce(f64::min)?, present().reduce(f64::max)?);
            Some(match low == high {
                true => format!("{name} {}", number(low)),
                false => format!("{name} from {} to {}", number(low), number(high)),
            })
        });
        let parts: Vec<String> = parts.chain(self.target.as_ref().map(|(_, name)| name.clone())).collect();
        format!("{}, {}: {}", self.title, self.unit, parts.join("; "))
    }
}

impl Scale {
    fn is_logarithmic(self, values: &[f64]) -> bool {
        match self {
            Self::Linear => false,
            Self::Logarithmic => true,
            Self::Fitting => {
                let positive = || values.iter().copied().filter(|value| *value > 0.0);
                let ends = positive().reduce(f64::min).zip(positive().reduce(f64::max));
                ends.is_some_and(|(low, high)| high / low > LINEAR_RATIO)
            }
        }
    }
}

impl Across {
    fn len(&self) -> usize {
        match self {
            Self::Time { starts_ms, .. } => starts_ms.len(),
            Self::Numbers { values, .. } | Self::Hours(values) => values.len(),
            Self::Steps { names, .. } => names.len(),
        }
    }

    fn axis(&self) -> Axis {
        match self {
            Self::Time { .. } => {
                let (first, last) = self.time_ends();
                let ticks = moment::ticks(first, last).0.into_iter().map(|tick| tick as f64);
                Axis::with_ticks(first as f64, last as f64, ticks.collect())
            }
            Self::Numbers { values, scale, .. } => {
                Axis::horizontal(values.iter().copied(), scale.is_logarithmic(values))
            }
            Self::Hours(_) => Axis::with_ticks(0.0, 24.0, vec![0.0, 6.0, 12.0, 18.0, 24.0]),
            Self::Steps { names, .. } => {
                let ticks: Vec<f64> = (0_u32..).zip(names).map(|(index, _)| f64::from(index) + 0.5).collect();
                Axis::with_ticks(0.0, (ticks.len() as f64).max(1.0), ticks)
            }
        }
    }

    /// Returns where a time axis begins and ends.
    fn time_ends(&self) -> (u64, u64) {
        let Self::Time { starts_ms, width_ms } = self else { return (0, 1) };
        let first = starts_ms.first().copied().unwrap_or_default();
        (first, starts_ms.last().copied().unwrap_or_default().max(first + width_ms.max(&1)))
    }

    /// Returns where each value is on `axis`: 0 to 1.
    fn places(&self, axis: &Axis) -> Vec<f64> {
        match self {
            Self::Time { starts_ms, .. } => starts_ms.iter().map(|start| axis.place(*start as f64)).collect(),
            Self::Numbers { values, .. } | Self::Hours(values) => {
                values.iter().map(|value| axis.place(*value)).collect()
            }
            Self::Steps { .. } => axis.ticks.iter().map(|tick| axis.place(*tick)).collect(),
        }
    }

    /// Returns the place and the label of each tick, and its point in time on a time axis.
    fn tick_labels(&self, axis: &Axis) -> Vec<(f64, String, Option<u64>)> {
        match self {
            Self::Time { .. } => {
                let (first, last) = self.time_ends();
                let (ticks, form) = moment::ticks(first, last);
                let label = |tick: u64| (axis.place(tick as f64), moment::text(tick, form), Some(tick));
                ticks.into_iter().map(label).collect()
            }
            Self::Numbers { .. } => axis.labels().map(|(tick, label)| (axis.place(tick), label, None)).collect(),
            Self::Hours(_) => {
                axis.ticks.iter().map(|tick| (axis.place(*tick), moment::time_of_day(*tick), None)).collect()
            }
            Self::Steps { names, .. } => {
                axis.ticks.iter().zip(names).map(|(tick, name)| (axis.place(*tick), name.clone(), None)).collect()
            }
        }
    }

    /// Returns how the ticks of a time axis are written.
    fn form(&self) -> Option<Form> {
        let Self::Time { .. } = self else { return None };
        let (first, last) = self.time_ends();
        Some(moment::ticks(first, last).1)
    }

    /// Returns what the axis shows.
    fn label(&self) -> &str {
        match self {
            Self::Time { .. } => "time",
            Self::Hours(_) => "time of day",
            Self::Numbers { label, .. } | Self::Steps { label, .. } => label,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn latency() -> Chart {
        let of = |values: [f64; 4]| values.map(Some).to_vec();
        Chart {
            title: "Latency <end to end>".to_owned(),
            unit: "milliseconds".to_owned(),
            across: Across::Time {
                starts_ms: [0, 1, 2, 3].map(|minute| 1_700_000_000_000 + minute * 60_000).to_vec(),
                width_ms: 60_000,
            },
            scale: Scale::Fitting,
            series: vec![
                Series {
                    name: "P50 to P99".to_owned(),
                    colour: Colour::Blue,
                    drawn: Drawn::Band {
                        low: ("P50".to_owned(), of([10.0, 12.0, 11.0, 10.0])),
                        high: ("P99".to_owned(), of([40.0, 61.0, 45.0, 40.0])),
                    },
                },
                Series::line("P95", Colour::Blue, vec![Some(30.0), None, Some(35.0), Some(30.0)]),
            ],
            target: Some((100.0, "target 100 ms".to_owned())),
            note: None,
        }
    }

    #[test]
    fn a_chart_says_its_data_in_words() {
        assert_eq!(
            latency().summary(),
            "Latency <end to end>, milliseconds: P50 from 10 to 12; P99 from 40 to 61; P95 from 30 to 35; target 100 ms"
        );
    }

    #[test]
    fn a_scale_that_fits_is_logarithmic_where_a_linear_one_would_hide_the_small_values() {
        assert!(!Scale::Fitting.is_logarithmic(&[10.0, 61.0, 100.0]));
        assert!(Scale::Fitting.is_logarithmic(&[10.0, 6_103.0]));
        assert!(!Scale::Fitting.is_logarithmic(&[0.0, 100.0]) && !Scale::Fitting.is_logarithmic(&[]));
    }

    #[test]
    fn stacked_series_are_added_up_from_below() {
        let layers = [vec![Some(1.0), Some(2.0)], vec![Some(3.0), None]];
        let chart = Chart {
            across: Across::Steps { label: "batch".to_owned(), names: vec!["10".to_owned(), "100".to_owned()] },
            series: layers.into_iter().map(|layer| Series::stacked("x", Colour::Blue, layer)).collect(),
            ..latency()
        };
        assert_eq!(chart.stacks(), [[1.0, 2.0], [4.0, 2.0]]);
    }
}
