//! Parts of a page beside charts and tables: tiles, checks, and bars that share a whole.

use crate::chart::Colour;
use maud::{Markup, html};
use std::fmt::Write;

/// A key figure.
#[derive(Debug, Clone)]
pub struct Tile {
    /// Name.
    pub name: String,
    /// Value, and its unit.
    pub value: (String, String),
    /// Target in words.
    pub target: Option<String>,
    /// Whether it is met; none if nothing is aimed at.
    pub met: Option<bool>,
    /// The value over time; empty if it is not known.
    pub over_time: Vec<Option<f64>>,
}

/// A requirement with its figure.
#[derive(Debug, Clone)]
pub struct Check {
    /// Name.
    pub name: String,
    /// Figure.
    pub value: String,
    /// Limit in words.
    pub limit: String,
    /// The figure as a share of the limit, drawn as a bar; none if a bar would say nothing.
    pub share: Option<f64>,
    /// Whether it holds; none if nothing is required.
    pub met: Option<bool>,
    /// How it was found, or what to change.
    pub note: Option<String>,
}

/// Bars that divide wholes into the same parts.
#[derive(Debug, Clone)]
pub struct Shares {
    /// Title.
    pub title: String,
    /// The names of the parts and their colours.
    pub parts: Vec<(String, Colour)>,
    /// The bars.
    pub rows: Vec<Share>,
}

/// One bar.
#[derive(Debug, Clone)]
pub struct Share {
    /// Name, and the whole in words.
    pub name: (String, String),
    /// The parts, and how each is written.
    pub parts: Vec<(f64, String)>,
}

/// Width and height of a sparkline, of which the width is stretched.
const SPARK: (f64, f64) = (100.0, 30.0);
/// Share of a check's bar that its limit takes: the rest shows by how much it is exceeded.
const LIMIT: f64 = 0.8;
/// Height of a bar that shares a whole, in pixels.
const BAR: f64 = 26.0;

/// Draws what a verdict is in colour and in words.
pub(crate) fn met(met: bool, words: &str) -> Markup {
    html! { b class=(if met { "met" } else { "missed" }) { (icon(met, 14)) (words) } }
}

/// Draws a tick or a cross.
pub(crate) fn icon(met: bool, size: u32) -> Markup {
    let path = if met { "M3 8.5l3.5 3.5L13 5" } else { "M4 4l8 8M12 4l-8 8" };
    html! { svg.icon width=(size) height=(size) viewBox="0 0 16 16" aria-hidden="true" { path d=(path) {} } }
}

impl Tile {
    pub(crate) fn draw(&self) -> Markup {
        let class = match self.met {
            Some(true) => "card tile met",
            Some(false) => "card tile missed",
            None => "card tile",
        };
        let (value, unit) = &self.value;
        html! {
            li class=(class) {
                p.name { (self.name) }
                p.value { (value) @if !unit.is_empty() { " " small { (unit) } } }
                (self.sparkline())
                p.state {
                    @if let Some(is_met) = self.met { (met(is_met, if is_met { "met" } else { "missed" })) " " }
                    @if let Some(target) = &self.target { span { (target) } }
                }
            }
        }
    }

    fn sparkline(&self) -> Markup {
        let (width, height) = SPARK;
        let present = || self.over_time.iter().copied().flatten();
        let (low, high) = (present().fold(0.0, f64::min), present().fold(0.0, f64::max));
        let last = (self.over_time.len().saturating_sub(1) as f64).max(1.0);
        let place = |index: usize, value: f64| {
            let y = if high > low { (value - low) / (high - low) } else { 0.0 };
            format!("{:.1} {:.1}", index as f64 / last * width, height * (1.0 - y))
        };
        let (mut line, mut is_new) = (String::new(), true);
        for (index, value) in self.over_time.iter().enumerate() {
            match value {
                Some(value) => {
                    let _ = write!(line, "{}{}", if is_new { 'M' } else { ' ' }, place(index, *value));
                    is_new = false;
                }
                None => is_new = true,
            }
        }
        let colour = if self.met == Some(false) { "red" } else { "blue" };
        html! {
            @if present().count() > 1 && high > low {
                svg.spark.stretched width="100%" height=(height + 2.0) viewBox=(format!("0 -1 {width} {}", height + 2.0)) preserveAspectRatio="none"
                    aria-hidden="true" { path class=(format!("line {colour}")) d=(line) {} }
            }
        }
    }
}

impl Check {
    pub(crate) fn draw(&self) -> Markup {
        html! {
            li.check {
                p.name { (self.name) }
                div {
                    p.figure { (self.value) span { (self.limit) } }
                    @if let Some(share) = self.share { (self.bar(share)) }
                }
                p.verb { @if let Some(is_met) = self.met { (met(is_met, if is_met { "met" } else { "missed" })) } }
                @if let Some(note) = &self.note { p.note { (note) } }
            }
        }
    }

    fn bar(&self, share: f64) -> Markup {
        let class = if self.met == Some(false) { "missed" } else { "met" };
        let percent = |share: f64| format!("{:.1}%", (share * 100.0).clamp(0.0, 100.0));
        html! {
            svg.bar width="100%" height="8" aria-hidden="true" {
                rect.back width="100%" height="8" rx="4" {}
                rect class=(class) width=(percent((share * LIMIT).max(0.004))) height="8" rx="4" {}
                line.full x1=(percent(LIMIT)) x2=(percent(LIMIT)) y1="-2" y2="10" {}
            }
        }
    }
}

impl Shares {
    pub(crate) fn draw(&self, level: u8) -> Markup {
        html! {
            div.card.shares {
                (crate::heading(level, &self.title))
                @for row in &self.rows { (self.row(row)) }
            }
        }
    }

    fn row(&self, row: &Share) -> Markup {
        let whole: f64 = row.parts.iter().map(|(part, _)| part).sum();
        let share = |part: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let mut left = 0.0;
        let mut bars = Vec::new();
        for ((part, text), (name, colour)) in row.parts.iter().zip(&self.parts) {
            bars.push((left, share(*part), name, text, colour.class()));
            left += share(*part);
        }
        let percent = |share: f64| format!("{:.2}%", share * 100.0);
        let (name, sum) = &row.name;
        html! {
            div.row {
                p { b { (name) } @if !name.is_empty() && !sum.is_empty() { ": " } (sum) }
                svg.bar width="100%" height=(BAR) aria-hidden="true" {
                    @for (left, share, _, _, colour) in &bars {
                        @if *share > 0.0 { rect class=(format!("layer {colour}")) x=(percent(*left)) width=(percent(*share)) height=(BAR) {} }
                    }
                }
                ul.legend {
                    @for (_, share, name, text, colour) in &bars {
                        li {
                            svg.swatch width="12" height="12" aria-hidden="true" { rect class=(format!("layer {colour}")) width="12" height="12" rx="3" {} }
                            (name) " " span { (text) " (" (format!("{:.1}", share * 100.0)) " %)" }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_says_in_words_and_in_colour_whether_its_target_is_met() {
        let tile = Tile {
            name: "end-to-end P95".to_owned(),
            value: ("38".to_owned(), "ms".to_owned()),
            target: Some("at most 100 ms".to_owned()),
            met: Some(true),
            over_time: vec![Some(1.0), None, Some(2.0), Some(3.0)],
        };
        let drawn = tile.draw().into_string();
        assert!(drawn.contains("class=\"card tile met\"") && drawn.contains(">met</b>"), "{drawn}");
        assert!(drawn.contains("at most 100 ms") && drawn.contains("M0.0 20.0M66.7 10.0 100.0 0.0"), "{drawn}");
        let missed = Tile { met: Some(false), ..tile.clone() }.draw().into_string();
        assert!(missed.contains("card tile missed") && missed.contains(">missed</b>"), "{missed}");
        let none = Tile { met: None, target: None, over_time: vec![], ..tile }.draw().into_string();
        assert!(!none.contains("met") && !none.contains("spark"), "{none}");
    }

    #[test]
    fn parts_of_a_whole_fill_its_bar() {
        let parts = [("SQS", Colour::Blue), ("Lambda", Colour::Orange)].map(|(name, colour)| (name.to_owned(), colour));
        let row = Share {
            name: ("at the rate".to_owned(), "$0.4".to_owned()),
            parts: [0.1, 0.3].map(|part| (part, format!("${part}"))).to_vec(),
        };
        let shares = Shares { title: "Price".to_owned(), parts: parts.to_vec(), rows: vec![row] };
        let drawn = shares.draw(3).into_string();
        assert!(
            drawn.contains("x=\"0.00%\" width=\"25.00%\"") && drawn.contains("x=\"25.00%\" width=\"75.00%\""),
            "{drawn}"
        );
        assert!(drawn.contains("$0.3 (75.0 %)"), "{drawn}");
    }

    #[test]
    fn the_bar_of_a_check_ends_at_its_limit_if_it_takes_all_of_it() {
        let check = |share: f64| Check {
            name: "messages in flight".to_owned(),
            value: "1".to_owned(),
            limit: "of at most 1".to_owned(),
            share: Some(share),
            met: Some(share <= 1.0),
            note: None,
        };
        assert!(check(1.0).draw().into_string().contains("class=\"met\" width=\"80.0%\""));
        assert!(check(40.0).draw().into_string().contains("class=\"missed\" width=\"100.0%\""));
    }
}
