//! Plots as SVG: lines over named steps, and stacked bars. Colours are classes of the page's style.

use std::fmt::Write;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 118.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 46.0;
/// The least distance between two labels.
const LABEL_HEIGHT: f64 = 15.0;
/// How many marks an axis has, about.
const TICKS: f64 = 4.0;

/// Values over the steps of the x axis.
pub(super) struct Series<'a> {
    pub(super) name: &'a str,
    /// Its colour: a class of the style.
    pub(super) class: &'a str,
    pub(super) values: Vec<f64>,
}

/// What stands along the axes.
pub(super) struct Axes<'a> {
    pub(super) steps: Vec<String>,
    pub(super) x: &'a str,
    pub(super) y: &'a str,
}

/// A line for each series, named at its end.
pub(super) fn lines(axes: &Axes<'_>, series: &[Series<'_>]) -> String {
    let top = series.iter().flat_map(|series| &series.values).copied().fold(0.0, f64::max);
    let scale = Scale::to(top);
    let mut svg = frame(axes, &scale);
    let place = |index: usize| LEFT + (WIDTH - LEFT - RIGHT) * (index as f64 + 0.5) / axes.steps.len() as f64;
    for Series { class, values, name } in series {
        let points: Vec<_> = values.iter().enumerate().map(|(index, value)| (place(index), scale.y(*value))).collect();
        let path: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = write!(svg, r#"<polyline class="line {class}" points="{}"/>"#, path.join(" "));
        for (((x, y), value), step) in points.iter().zip(values).zip(&axes.steps) {
            let value = number(*value);
            let _ = write!(
                svg,
                r#"<circle class="dot {class}" cx="{x:.1}" cy="{y:.1}" r="4"><title>{name}, {step}: {value}</title></circle>"#
            );
        }
    }
    let mut labels: Vec<_> =
        series.iter().filter_map(|series| Some((scale.y(*series.values.last()?), series.name, series.class))).collect();
    labels.sort_by(|one, other| one.0.total_cmp(&other.0));
    let x = place(axes.steps.len().saturating_sub(1)) + 12.0;
    let mut free = f64::MIN;
    for (y, name, class) in labels {
        free = (free + LABEL_HEIGHT).max(y + 4.0);
        let _ = write!(svg, r#"<text class="label {class}" x="{x:.1}" y="{free:.1}">{name}</text>"#);
    }
    svg + "</svg>"
}

/// A bar for each step, made of the series from the bottom up.
pub(super) fn stacked_bars(axes: &Axes<'_>, series: &[Series<'_>]) -> String {
    let total = |step: usize| series.iter().filter_map(|series| series.values.get(step)).sum::<f64>();
    let scale = Scale::to((0..axes.steps.len()).map(total).fold(0.0, f64::max));
    let mut svg = frame(axes, &scale);
    let slot = (WIDTH - LEFT - RIGHT) / axes.steps.len() as f64;
    for (step, name) in axes.steps.iter().enumerate() {
        let x = LEFT + slot * (step as f64 + 0.2);
        let mut below = 0.0;
        for series in series {
            let value = series.values.get(step).copied().unwrap_or_default();
            let (y, bottom) = (scale.y(below + value), scale.y(below));
            let _ = write!(
                svg,
                r#"<rect class="bar {}" x="{x:.1}" y="{y:.1}" width="{:.1}" height="{:.1}"><title>{}, {name}: {}</title></rect>"#,
                series.class,
                slot * 0.6,
                bottom - y,
                series.name,
                number(value)
            );
            below += value;
        }
        let _ = write!(
            svg,
            r#"<text class="total" x="{:.1}" y="{:.1}">{}</text>"#,
            x + slot * 0.3,
            scale.y(below) - 5.0,
            number(below)
        );
    }
    for (place, series) in series.iter().rev().enumerate() {
        let y = TOP + 8.0 + 20.0 * place as f64;
        let _ = write!(
            svg,
            r#"<rect class="bar {}" x="{:.1}" y="{:.1}" width="11" height="11"/><text class="key" x="{:.1}" y="{:.1}">{}</text>"#,
            series.class,
            WIDTH - RIGHT + 10.0,
            y - 10.0,
            WIDTH - RIGHT + 27.0,
            y,
            series.name
        );
    }
    svg + "</svg>"
}

/// The y axis, from zero to a round number.
struct Scale {
    top: f64,
    tick: f64,
}

impl Scale {
    fn to(most: f64) -> Self {
        let rough = (most / TICKS).max(f64::MIN_POSITIVE);
        let power = 10_f64.powf(rough.log10().floor());
        let tick = [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|tick| *tick >= rough);
        let tick = tick.unwrap_or(rough);
        Self { top: (most / tick).ceil() * tick, tick }
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / self.top
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let tick = self.tick;
        (0_u32..).map(move |count| f64::from(count) * tick).take_while(|value| *value <= self.top * 1.001)
    }
}

/// Axes, grid and the names of the steps.
fn frame(axes: &Axes<'_>, scale: &Scale) -> String {
    let mut svg = format!(r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{} by {}">"#, axes.y, axes.x);
    for value in scale.ticks() {
        let (y, end) = (scale.y(value), WIDTH - RIGHT);
        let _ = write!(
            svg,
            r#"<line class="grid" x1="{LEFT}" x2="{end}" y1="{y:.1}" y2="{y:.1}"/><text class="tick" x="{:.1}" y="{:.1}">{}</text>"#,
            LEFT - 8.0,
            y + 4.0,
            number(value)
        );
    }
    let slot = (WIDTH - LEFT - RIGHT) / axes.steps.len() as f64;
    for (index, step) in axes.steps.iter().enumerate() {
        let x = LEFT + slot * (index as f64 + 0.5);
        let _ = write!(svg, r#"<text class="step" x="{x:.1}" y="{:.1}">{step}</text>"#, HEIGHT - BOTTOM + 18.0);
    }
    let middle = (LEFT + WIDTH - RIGHT) / 2.0;
    let _ = write!(svg, r#"<text class="axis" x="{middle:.1}" y="{:.1}">{}</text>"#, HEIGHT - 8.0, axes.x);
    svg
}

/// A number with as many digits as mean something.
pub(super) fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 || size == 0.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 0.1 => 2,
        _ => 4,
    };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    grouped(text)
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
    fn an_axis_ends_at_or_above_its_largest_value_with_few_marks() {
        for most in [0.003, 0.7, 1.0, 9.9, 41.0, 100.0, 123_456.0] {
            let scale = Scale::to(most);
            assert!(scale.top >= most && scale.ticks().count() <= 6, "{most}: {} by {}", scale.top, scale.tick);
            assert!(scale.y(0.0) > scale.y(most));
        }
    }
}
