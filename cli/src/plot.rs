//! Plots as SVG text, for pages that need nothing from outside.

use plotters::prelude::{
    ChartBuilder, IntoDrawingArea, IntoLogRange, LineSeries, PathElement, RGBColor, SVGBackend, SeriesLabelPosition,
    WHITE,
};
use plotters::style::{BLACK, Color};
use std::error::Error;
use std::ops::Range;

/// What is plotted.
pub(crate) struct Plot<'a> {
    pub(crate) title: &'a str,
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
    /// Whether the axes, across and up, are logarithmic.
    pub(crate) logarithmic: (bool, bool),
    /// A horizontal line: what is aimed at.
    pub(crate) target: Option<f64>,
    /// Lines by their names.
    pub(crate) lines: Vec<(String, Vec<(f64, f64)>)>,
}

const SIZE: (u32, u32) = (720, 320);
/// Colours that stay apart for people who see red and green as one.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

impl Plot<'_> {
    /// The plot as an SVG element.
    pub(crate) fn svg(&self) -> Result<String, Box<dyn Error>> {
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            area.fill(&WHITE)?;
            let mut builder = ChartBuilder::on(&area);
            builder.caption(self.title, ("sans-serif", 16)).margin(10).x_label_area_size(36).y_label_area_size(64);
            let (across, up) = self.ranges();
            let edges = (across.start, across.end);
            // the two kinds of axis are two types
            macro_rules! draw {
                ($across:expr, $up:expr) => {{
                    let mut chart = builder.build_cartesian_2d($across, $up)?;
                    chart
                        .configure_mesh()
                        .x_desc(self.x)
                        .y_desc(self.y)
                        .x_label_formatter(&|value| short(*value))
                        .y_label_formatter(&|value| short(*value))
                        .light_line_style(BLACK.mix(0.04))
                        .draw()?;
                    if let Some(target) = self.target {
                        let line = [(edges.0, target), (edges.1, target)];
                        chart
                            .draw_series(LineSeries::new(line, BLACK.mix(0.5)))?
                            .label("target")
                            .legend(|(x, y)| PathElement::new([(x, y), (x + 14, y)], BLACK.mix(0.5)));
                    }
                    for ((name, points), colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
                        chart
                            .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?
                            .label(name.as_str())
                            .legend(|(x, y)| PathElement::new([(x, y), (x + 14, y)], colour.stroke_width(2)));
                    }
                    chart
                        .configure_series_labels()
                        .position(SeriesLabelPosition::UpperLeft)
                        .background_style(WHITE.mix(0.8))
                        .draw()?;
                }};
            }
            match self.logarithmic {
                (false, false) => draw!(across, up),
                (false, true) => draw!(across, up.log_scale()),
                (true, false) => draw!(across.log_scale(), up),
                (true, true) => draw!(across.log_scale(), up.log_scale()),
            }
            area.present()?;
        }
        Ok(svg)
    }

    fn ranges(&self) -> (Range<f64>, Range<f64>) {
        let points = || self.lines.iter().flat_map(|(_, points)| points).copied();
        let least = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::INFINITY, f64::min);
        let most = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::NEG_INFINITY, f64::max);
        let (left, right) = (least(&mut points().map(|(x, _)| x)), most(&mut points().map(|(x, _)| x)));
        let ups = || points().map(|(_, y)| y).chain(self.target);
        let top = most(&mut ups().filter(|y| y.is_finite()));
        let bottom = if self.logarithmic.1 { least(&mut ups().filter(|y| *y > 0.0)) } else { 0.0 };
        let or = |value: f64, other: f64| if value.is_finite() { value } else { other };
        let (left, bottom) = (or(left, 0.0), or(bottom, 1.0));
        let right = or(right, 1.0).max(left + f64::EPSILON.max(left.abs() * 1e-9));
        (left..right, bottom..(or(top, 1.0) * 1.1).max(bottom * 2.0).max(f64::MIN_POSITIVE))
    }
}

/// A number as an axis shows it: 1500 is 1.5k.
fn short(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e3 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = format!("{scaled:.3}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_on_an_axis_are_short() {
        assert_eq!([0.0, 0.25, 10.0, 1_500.0, 100_000.0, 2e6].map(short), ["0", "0.25", "10", "1.5k", "100k", "2M"]);
    }

    #[test]
    fn a_plot_names_its_axes_and_lines_and_needs_nothing_from_outside() {
        for logarithmic in [(false, false), (false, true), (true, false), (true, true)] {
            let lines = vec![("p95 <ms>".to_owned(), vec![(1.0, 1.0), (5.0, 200.0)]), ("none".to_owned(), vec![])];
            let plot = Plot { title: "Latency", x: "rate", y: "ms", logarithmic, target: Some(100.0), lines };
            let svg = plot.svg().unwrap();
            for text in ["<svg", "Latency", "rate", "ms", "target", "p95 &lt;ms&gt;", "</svg>"] {
                assert!(svg.contains(text), "{text} in {svg}");
            }
            assert!(!svg.contains("href") && !svg.contains("NaN") && !svg.contains("inf"));
        }
    }

    #[test]
    fn a_plot_of_nothing_is_a_plot() {
        let plot = Plot { title: "t", x: "x", y: "y", logarithmic: (false, false), target: None, lines: vec![] };
        assert!(plot.svg().unwrap().contains("</svg>"));
    }
}
