//! The inside of a plot: grid, target, areas, lines, bars and dots.

use super::axis::Axis;
use super::{Across, Chart, Colour, Drawn, HEIGHT, Series};
use maud::{Markup, PreEscaped, html};
use std::fmt::Write;

/// Width of a plot in the units of its paths. They are stretched to the width of the plot.
const UNITS: f64 = 1_000.0;
/// Share of a step that a bar takes.
const BAR: f64 = 0.55;
/// Maximum number of points of a line that are marked with dots.
const MAX_MARKED: usize = 12;
/// Maximum number of bars that have their sum above them.
const MAX_SUMS: usize = 6;
/// Distance of a sum from its bar in pixels.
const SUM_DISTANCE: f64 = 5.0;

/// Draws the inside of the plot of `chart`.
pub(super) fn marks(chart: &Chart, across: &Axis, up: &Axis) -> Markup {
    let plot = Plot { places: chart.across.places(across), up };
    let is_bars = matches!(chart.across, Across::Steps { .. });
    let stacks = chart.stacks();
    html! {
        @for tick in &up.ticks {
            line.grid x1="0" x2="100%" y1=(plot.height(*tick)) y2=(plot.height(*tick)) {}
        }
        svg.stretched width="100%" height=(HEIGHT) viewBox=(format!("0 0 {UNITS} {HEIGHT}")) preserveAspectRatio="none" {
            @for (colour, class, path) in plot.paths(chart, &stacks, is_bars) {
                path class=(format!("{class} {}", colour.class())) d=(path) {}
            }
        }
        @if is_bars { (plot.bars(chart, &stacks)) }
        @for series in &chart.series { (plot.dots(series, is_bars)) }
        @if let Some((target, _)) = &chart.target {
            line.target x1="0" x2="100%" y1=(plot.height(*target)) y2=(plot.height(*target)) {}
        }
    }
}

struct Plot<'a> {
    /// Place of each value across: 0 to 1.
    places: Vec<f64>,
    up: &'a Axis,
}

impl Plot<'_> {
    /// Returns the distance of `value` from the top, in pixels.
    fn height(&self, value: f64) -> String {
        height(self.up, value)
    }

    fn paths(&self, chart: &Chart, stacks: &[Vec<f64>], is_bars: bool) -> Vec<(Colour, &'static str, String)> {
        let mut paths = Vec::new();
        let mut layers = stacks.iter();
        let mut below: Option<&Vec<f64>> = None;
        for Series { colour, drawn, .. } in &chart.series {
            match drawn {
                Drawn::Line(values) => paths.push((*colour, "line", self.line(values))),
                Drawn::Area(values) => {
                    paths.push((*colour, "tint", self.band(&floor(values), values)));
                    paths.push((*colour, "line", self.line(values)));
                }
                Drawn::Band { low: (_, low), high: (_, high) } => {
                    paths.push((*colour, "band", self.band(low, high)));
                }
                Drawn::Stacked(_) => {
                    let Some(layer) = layers.next() else { continue };
                    let present = |values: &[f64]| values.iter().copied().map(Some).collect::<Vec<_>>();
                    if !is_bars {
                        let low = below.map_or_else(|| vec![Some(0.0); layer.len()], |below| present(below));
                        paths.push((*colour, "layer", self.band(&low, &present(layer))));
                    }
                    below = Some(layer);
                }
                Drawn::Dots(_) => {}
            }
        }
        paths.retain(|(_, _, path)| !path.is_empty());
        paths
    }

    /// Returns the path of a line that has a gap wherever a value is missing.
    fn line(&self, values: &[Option<f64>]) -> String {
        let mut path = String::new();
        for run in self.runs(values) {
            self.points(&mut path, run.into_iter());
        }
        path
    }

    /// Returns the path around the area between two lines, without the stretches where one of them has no value.
    fn band(&self, low: &[Option<f64>], high: &[Option<f64>]) -> String {
        let both: Vec<Option<(f64, f64)>> = low.iter().zip(high).map(|(low, high)| low.zip(*high)).collect();
        let mut path = String::new();
        for run in self.runs(&both) {
            // a point alone has no area, and its dots show it
            if run.len() > 1 {
                let there = run.iter().map(|(place, (_, high))| (*place, *high));
                let back = run.iter().rev().map(|(place, (low, _))| (*place, *low));
                self.points(&mut path, there.chain(back));
                path.push('z');
            }
        }
        path
    }

    /// Splits values into runs without a gap, each value with its place.
    fn runs<T: Copy>(&self, values: &[Option<T>]) -> Vec<Vec<(f64, T)>> {
        let points: Vec<Option<(f64, T)>> =
            self.places.iter().zip(values).map(|(place, value)| value.map(|value| (*place, value))).collect();
        points.split(Option::is_none).map(|run| run.iter().copied().flatten().collect()).collect()
    }

    fn points(&self, path: &mut String, points: impl Iterator<Item = (f64, f64)>) {
        for (index, (place, value)) in points.enumerate() {
            let command = if index == 0 { 'M' } else { ' ' };
            let _ = write!(path, "{command}{:.0} {}", place * UNITS, self.height(value));
        }
    }

    fn bars(&self, chart: &Chart, stacks: &[Vec<f64>]) -> Markup {
        let width = BAR / (self.places.len().max(1) as f64);
        let colours = chart.series.iter().filter(|series| matches!(series.drawn, Drawn::Stacked(_)));
        let colours: Vec<Colour> = colours.map(|series| series.colour).collect();
        let nothing = vec![0.0; self.places.len()];
        let below = std::iter::once(&nothing).chain(stacks);
        let sums = stacks.last().filter(|sums| sums.len() <= MAX_SUMS);
        html! {
            @for ((colour, layer), below) in colours.iter().zip(stacks).zip(below) {
                @for ((place, high), low) in self.places.iter().zip(layer).zip(below) {
                    @if high > low {
                        rect class=(format!("layer {}", colour.class())) x=(percent(place - width / 2.0)) width=(percent(width))
                            y=(self.height(*high)) height=(difference(self.up, *low, *high)) {}
                    }
                }
            }
            @for (place, sum) in self.places.iter().zip(sums.into_iter().flatten()) {
                text.sum x=(percent(*place)) y=(format!("{:.1}", from_top(self.up, *sum) - SUM_DISTANCE)) {
                    (crate::number::number(*sum))
                }
            }
        }
    }

    /// Draws dots, those of a line with few points, and those that have no neighbour to be joined with.
    fn dots(&self, series: &Series, is_bars: bool) -> Markup {
        let colour = series.colour.class();
        html! {
            @for column in series.columns() {
                @let alone = |index: usize| {
                    let at = |index: Option<usize>| index.and_then(|index| column.values.get(index)).is_some_and(Option::is_some);
                    !at(index.checked_sub(1)) && !at(index.checked_add(1))
                };
                @for (index, (place, value)) in self.places.iter().zip(column.values).enumerate() {
                    @if let Some(value) = value {
                        @match &series.drawn {
                            Drawn::Dots(_) => circle class=(format!("dot {colour}")) cx=(percent(*place)) cy=(self.height(*value)) r="6" {},
                            Drawn::Line(values) if values.len() <= MAX_MARKED || alone(index) => {
                                circle class=(format!("dot {colour}")) cx=(percent(*place)) cy=(self.height(*value)) r="3.5" {}
                            },
                            Drawn::Area(_) | Drawn::Band { .. } if alone(index) => {
                                circle class=(format!("dot {colour}")) cx=(percent(*place)) cy=(self.height(*value)) r="3.5" {}
                            },
                            Drawn::Stacked(_) if !is_bars && self.places.len() == 1 => {
                                circle class=(format!("dot {colour}")) cx=(percent(*place)) cy=(self.height(*value)) r="3.5" {}
                            },
                            _ => (PreEscaped("")),
                        }
                    }
                }
            }
        }
    }
}

fn floor(values: &[Option<f64>]) -> Vec<Option<f64>> {
    values.iter().map(|value| value.map(|_| 0.0)).collect()
}

/// Returns the distance of `value` from the top of the plot, in pixels.
pub(super) fn from_top(up: &Axis, value: f64) -> f64 {
    HEIGHT * (1.0 - up.place(value))
}

/// Returns [`from_top`] as text.
pub(super) fn height(up: &Axis, value: f64) -> String {
    let text = format!("{:.1}", from_top(up, value));
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

fn difference(up: &Axis, low: f64, high: f64) -> String {
    format!("{:.1}", from_top(up, low) - from_top(up, high))
}

/// Returns a share as SVG's percentage.
pub(super) fn percent(share: f64) -> String {
    let text = format!("{:.2}", share * 100.0);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}%")
}
