//! A chart in a page.

use super::axis::Axis;
use super::marks::{from_top, height, marks, percent};
use super::{Across, Chart, Column, Drawn, HEIGHT, Series};
use crate::heading;
use crate::moment::{self, Form};
use crate::number::number;
use crate::table::scrolling;
use maud::{Markup, PreEscaped, html};
use std::fmt::Write;

/// Width of a character of an axis in pixels, at most.
const CHARACTER: f64 = 7.7;
/// Distance of the labels of the vertical axis from the plot in pixels.
const GAP: f64 = 8.0;
/// Height of the horizontal axis in pixels.
const ACROSS_HEIGHT: f64 = 22.0;
/// Minimum distance of two labels beside the plot in pixels.
const LABEL_HEIGHT: f64 = 15.0;
/// Minimum height of a layer that has its name beside the plot, in pixels.
const MIN_LAYER: f64 = 8.0;
/// Maximum number of labels beside the plot.
const MAX_LABELS: usize = 6;
/// Maximum number of characters of a label beside the plot.
const MAX_LABEL_LENGTH: usize = 16;

impl Chart {
    /// Draws the chart with its heading at `level`.
    pub(crate) fn figure(&self, level: u8) -> Markup {
        let (across, up) = self.axes();
        let labels = self.labels(&up);
        let class = match self.across {
            Across::Steps { .. } => "plot bars",
            _ => "plot",
        };
        html! {
            figure.card.chart {
                div.title {
                    (heading(level, &self.title))
                    p.unit { (self.unit) }
                }
                @if self.series.len() > 1 || self.target.is_some() { (self.legend()) }
                div class=(class) {
                    (vertical(&up))
                    div.area data-xs=(self.xs(&across)) data-title=(self.title) {
                        svg.marks role="img" aria-label=(self.summary()) width="100%" height=(HEIGHT) { (marks(self, &across, &up)) }
                    }
                    (beside(&labels))
                    (self.horizontal(&across))
                }
                @if !matches!(self.across, Across::Time { .. }) { p.across { (self.across.label()) } }
                details {
                    summary { "Data" span.hidden { " of the chart " (self.title) } " as a table" }
                    (scrolling(&self.title, &self.table()))
                }
                @if let Some(note) = &self.note { figcaption { (note) } }
            }
        }
    }

    /// Draws the names of all series with their colours.
    fn legend(&self) -> Markup {
        html! {
            ul.legend {
                @for Series { name, colour, drawn } in &self.series {
                    li {
                        (swatch(drawn, colour.class()))
                        (name)
                    }
                }
                @if let Some((_, name)) = &self.target {
                    li { svg.swatch width="18" height="12" aria-hidden="true" { line.target x1="0" x2="18" y1="6" y2="6" {} } (name) }
                }
            }
        }
    }

    /// Returns the places of the values across, in thousandths, for the script.
    fn xs(&self, across: &Axis) -> String {
        let places = self.across.places(across).into_iter().map(|place| format!("{:.0}", place * 1e3));
        places.collect::<Vec<_>>().join(" ")
    }

    fn horizontal(&self, across: &Axis) -> Markup {
        html! {
            svg.x aria-hidden="true" width="100%" height=(ACROSS_HEIGHT) data-f=[self.across.form().map(Form::code)] {
                @for (place, label, at_ms) in self.across.tick_labels(across) {
                    @if matches!(self.across, Across::Steps { .. }) {} @else {
                        line.tick x1=(percent(place)) x2=(percent(place)) y1="0" y2="4" {}
                    }
                    text x=(percent(place)) y="17" data-t=[at_ms.map(|at_ms| at_ms / 1_000)] { (label) }
                }
            }
        }
    }

    /// Returns the names of lines and edges with their heights at the right end, so that none overlaps another.
    fn labels(&self, up: &Axis) -> Vec<(f64, String, &'static str)> {
        let mut labels = Vec::new();
        let mut layers = self.stacks().into_iter();
        let mut below = 0.0;
        let is_steps = matches!(self.across, Across::Steps { .. });
        for series in &self.series {
            let mut add = |name: &str, value: f64| {
                labels.push((from_top(up, value), name.to_owned(), series.colour.class()));
            };
            match &series.drawn {
                Drawn::Dots(_) => return Vec::new(),
                Drawn::Stacked(_) if is_steps => return Vec::new(),
                Drawn::Stacked(_) => {
                    let layer = layers.next().and_then(|layer| layer.last().copied()).unwrap_or(below);
                    // a layer that is thinner than a letter has nothing to put its name beside
                    if from_top(up, below) - from_top(up, layer) >= MIN_LAYER {
                        add(&series.name, (below + layer) / 2.0);
                    }
                    below = layer;
                }
                _ => {
                    for Column { name, values, .. } in series.columns() {
                        if let Some(Some(value)) = values.last() {
                            add(name, *value);
                        }
                    }
                }
            }
        }
        if self.columns().count() < 2 {
            return Vec::new();
        }
        let is_long = |(_, name, _): &(f64, String, &str)| name.chars().count() > MAX_LABEL_LENGTH;
        if labels.len() > MAX_LABELS || labels.iter().any(is_long) {
            return Vec::new();
        }
        labels.sort_by(|one, other| one.0.total_cmp(&other.0));
        apart(&mut labels);
        labels
    }

    /// Returns the data as a table. Ends of rows and cells are left out, as HTML allows, because a page has thousands of them.
    fn table(&self) -> Markup {
        let mut out = String::from("<table");
        if matches!(self.across, Across::Time { .. }) {
            let _ = write!(out, " data-f={}", Form::Full.code());
        }
        let first = match &self.across {
            Across::Numbers { names, .. } if !names.is_empty() => "name",
            across => across.label(),
        };
        let head = html! {
            thead { tr {
                th scope="col" { (first) }
                @for Column { name, colour, .. } in self.columns() { th scope="col" data-c=(colour.class()) { (name) } }
            } }
        };
        let _ = write!(out, ">{}<tbody>", head.into_string());
        let columns: Vec<Column<'_>> = self.columns().collect();
        for index in 0..self.across.len() {
            let _ = write!(out, "<tr>{}", self.row_name(index).into_string());
            for column in &columns {
                match column.values.get(index).copied().flatten() {
                    Some(value) => {
                        let _ = write!(out, "<td>{}", number(value));
                    }
                    None => out.push_str("<td>–"),
                }
            }
        }
        PreEscaped(out + "</table>")
    }

    fn row_name(&self, index: usize) -> Markup {
        let named = |name: &str| PreEscaped(format!("<th scope=row>{}", html! { (name) }.into_string()));
        match &self.across {
            Across::Time { starts_ms, .. } => {
                let at_ms = starts_ms.get(index).copied().unwrap_or_default();
                PreEscaped(format!("<th scope=row data-t={}>{}", at_ms / 1_000, moment::text(at_ms, Form::Full)))
            }
            Across::Numbers { values, names, .. } => match (names.get(index), values.get(index)) {
                (Some(name), _) => named(name),
                (None, value) => named(&value.copied().map(number).unwrap_or_default()),
            },
            Across::Hours(hours) => named(&moment::time_of_day(hours.get(index).copied().unwrap_or_default())),
            Across::Steps { names, .. } => named(names.get(index).map_or("", String::as_str)),
        }
    }
}

/// Draws the swatch of a series in the legend.
fn swatch(drawn: &Drawn, colour: &str) -> Markup {
    html! {
        svg.swatch width="18" height="12" aria-hidden="true" {
            @match drawn {
                Drawn::Line(_) => line class=(format!("line {colour}")) x1="1" x2="17" y1="6" y2="6" {},
                Drawn::Area(_) => {
                    rect class=(format!("tint {colour}")) x="0" width="18" y="5" height="7" {}
                    line class=(format!("line {colour}")) x1="0" x2="18" y1="5" y2="5" {}
                },
                Drawn::Band { .. } => rect class=(format!("band {colour}")) x="0" width="18" y="0" height="12" {},
                Drawn::Stacked(_) => rect class=(format!("layer {colour}")) x="3" width="12" y="0" height="12" rx="3" {},
                Drawn::Dots(_) => circle class=(format!("dot {colour}")) cx="9" cy="6" r="5" {},
            }
        }
    }
}

/// Returns the width of the labels of the vertical axis in pixels.
pub(super) fn vertical_width(up: &Axis) -> f64 {
    let longest = up.labels().map(|(_, label)| label.chars().count()).max().unwrap_or_default();
    (longest as f64 * CHARACTER).ceil() + GAP
}

fn vertical(up: &Axis) -> Markup {
    let width = vertical_width(up);
    html! {
        svg.y aria-hidden="true" width=(width) height=(HEIGHT) {
            @for (tick, label) in up.labels() {
                text x=(width - GAP) y=(height(up, tick)) dy=".35em" { (label) }
            }
        }
    }
}

/// Draws labels beside the plot. A narrow chart does not show them: its legend says the same.
fn beside(labels: &[(f64, String, &'static str)]) -> Markup {
    let longest = labels.iter().map(|(_, name, _)| name.chars().count()).max().unwrap_or_default();
    html! {
        @if !labels.is_empty() {
            svg.beside aria-hidden="true" width=(GAP + (longest as f64 * CHARACTER).ceil()) height=(HEIGHT) {
                @for (y, name, colour) in labels {
                    text class=(colour) x=(GAP) y=(format!("{y:.1}")) dy=".35em" { (name) }
                }
            }
        }
    }
}

/// Moves labels, which are sorted by their heights, so far apart that none overlaps another or leaves the plot.
fn apart(labels: &mut [(f64, String, &'static str)]) {
    let mut free = 0.0_f64;
    for (y, ..) in labels.iter_mut() {
        *y = y.max(free);
        free = *y + LABEL_HEIGHT;
    }
    let mut free = HEIGHT;
    for (y, ..) in labels.iter_mut().rev() {
        *y = y.min(free);
        free = *y - LABEL_HEIGHT;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::latency;
    use super::*;

    #[test]
    fn a_figure_has_everything_that_is_read_beside_the_plot() {
        let figure = latency().figure(3).into_string();
        for part in [
            "<h3>Latency &lt;end to end&gt;</h3>",
            "<p class=\"unit\">milliseconds</p>",
            "P50 to P99",
            "P95</li>",
            "target 100 ms",
            "<th scope=row data-t=1700000000>2023-11-14 22:13:20",
            "<td>61",
            "<td>–",
            "data-xs=\"0 333 667 1000\"",
        ] {
            assert!(figure.contains(part), "{part} in {figure}");
        }
        assert!(!figure.contains("NaN") && !figure.contains("inf") && !figure.contains("style="), "{figure}");
    }

    #[test]
    fn a_line_has_a_gap_where_there_is_no_value() {
        let figure = latency().figure(3).into_string();
        // from 667 on, after the gap; the value before it has only a dot
        assert!(figure.contains("class=\"line blue\" d=\"M0 126M667 117 1000 126\""), "{figure}");
        assert_eq!(figure.matches("<circle").count(), 3);
    }

    #[test]
    fn labels_beside_a_plot_are_apart_and_inside() {
        let mut labels: Vec<_> = [1.0, 2.0, 3.0, 179.0, 180.0].map(|y| (y, String::new(), "blue")).to_vec();
        apart(&mut labels);
        assert!(labels.windows(2).all(|pair| pair[1].0 - pair[0].0 >= LABEL_HEIGHT), "{labels:?}");
        assert!(labels.iter().all(|(y, ..)| (0.0..=HEIGHT).contains(y)), "{labels:?}");
    }

    #[test]
    fn a_chart_of_nothing_is_a_chart() {
        let mut chart = latency();
        chart.across = Across::Time { starts_ms: vec![], width_ms: 1_000 };
        chart.series.iter_mut().for_each(|series| series.drawn = Drawn::Line(vec![]));
        assert!(chart.is_empty());
        let figure = chart.figure(3).into_string();
        assert!(figure.contains("</figure>") && !figure.contains("NaN") && !figure.contains("inf"), "{figure}");
    }
}
