//! A chart as a file of its own, for a page that is not ours, such as one in Markdown.

use super::axis::Axis;
use super::figure::vertical_width;
use super::marks::{from_top, marks, percent};
use super::{Across, Chart, HEIGHT};
use crate::style::{CHART_STYLE, COLOURS};
use maud::{Markup, html};

const WIDTH: f64 = 720.0;
const MARGIN: f64 = 20.0;
/// Distance of the plot from the right edge: a label under its end needs half of its width.
const RIGHT: f64 = 40.0;
/// Distances from the top: the title, the legend, the plot.
const TITLE: f64 = 30.0;
const LEGEND: f64 = 56.0;
const PLOT: f64 = 76.0;
/// Maximum width of a character of the legend, and width of its swatch with the gaps, in pixels.
const CHARACTER: f64 = 7.7;
const SWATCH: f64 = 42.0;

impl Chart {
    /// Draws the chart as an SVG document.
    pub fn svg(&self) -> String {
        let (across, up) = self.axes();
        let left = MARGIN + vertical_width(&up);
        let (width, bottom) = (WIDTH - left - RIGHT, PLOT + HEIGHT);
        let whole = bottom + 56.0;
        let axis_label = match &self.across {
            Across::Time { .. } => "time in UTC",
            across => across.label(),
        };
        let svg = html! {
            svg xmlns="http://www.w3.org/2000/svg" width=(WIDTH) height=(whole) viewBox=(format!("0 0 {WIDTH} {whole}")) role="img"
                aria-label=(self.summary()) {
                style { (COLOURS) (CHART_STYLE) }
                rect.page width="100%" height="100%" rx="8" {}
                text.name x=(MARGIN) y=(TITLE) { (self.title) ", " (self.unit) }
                (self.legend_line())
                @for (tick, label) in up.labels() {
                    text.up x=(left - 8.0) y=(PLOT + from_top(&up, tick)) dy=".35em" { (label) }
                }
                svg.marks x=(left) y=(PLOT) width=(width) height=(HEIGHT) overflow="visible" { (marks(self, &across, &up)) }
                svg x=(left) y=(bottom) width=(width) height="24" overflow="visible" { (self.ticks(&across)) }
                text.foot x=(left + width / 2.0) y=(bottom + 42.0) { (axis_label) }
            }
        };
        svg.into_string() + "\n"
    }

    fn legend_line(&self) -> Markup {
        let names = self.series.iter().map(|series| (series.name.as_str(), series.colour.class()));
        let target = self.target.as_ref().map(|(_, name)| (name.as_str(), "target"));
        let mut x = MARGIN;
        let mut entries = Vec::new();
        for (name, class) in names.chain(target) {
            entries.push((x, name, class));
            x += SWATCH + name.chars().count() as f64 * CHARACTER;
        }
        html! {
            @for (x, name, class) in entries {
                line class=(if class == "target" { class.to_owned() } else { format!("line {class}") }) x1=(x) x2=(x + 18.0)
                    y1=(LEGEND - 4.0) y2=(LEGEND - 4.0) {}
                text x=(x + 24.0) y=(LEGEND) { (name) }
            }
        }
    }

    fn ticks(&self, across: &Axis) -> Markup {
        html! {
            @for (place, label, _) in self.across.tick_labels(across) {
                text.foot x=(percent(place)) y="18" { (label) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::marks::height;
    use super::super::tests::latency;
    use super::*;

    #[test]
    fn a_chart_alone_is_a_document_that_needs_nothing_from_outside() {
        let svg = latency().svg();
        assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\"") && svg.ends_with("</svg>\n"), "{svg}");
        for text in
            ["Latency &lt;end to end&gt;", "milliseconds", "P50 to P99", "target 100 ms", "22:14", "time in UTC"]
        {
            assert!(svg.contains(text), "{text} in {svg}");
        }
        assert!(svg.contains("prefers-color-scheme"), "legible in light and dark");
        assert!(
            !svg.contains("href") && !svg.contains("url(") && !svg.contains("NaN") && !svg.contains("inf"),
            "{svg}"
        );
    }

    #[test]
    fn a_height_has_one_digit_after_the_point_at_most() {
        let axis = Axis::vertical([3.0].into_iter(), false);
        assert_eq!([0.0, 1.0, 3.0].map(|value| height(&axis, value)), ["180", "120", "0"]);
    }
}
