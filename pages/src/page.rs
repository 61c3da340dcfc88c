//! A page: a summary first, then sections.

use crate::chart::Chart;
use crate::heading;
use crate::moment::{self, Form};
use crate::parts::{Check, Shares, Tile, icon};
use crate::style::{SCRIPT, policy, style};
use crate::table::Table;
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// A page.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Kind of the page.
    pub kind: String,
    /// Subject of the page.
    pub title: String,
    /// The most important sentence, if there is one beside the verdict.
    pub lead: Option<String>,
    /// Further facts, by name.
    pub facts: Vec<(String, Fact)>,
    /// The verdict over all parts.
    pub verdict: Verdict,
    /// One part, or several with titles.
    pub parts: Vec<Part>,
    /// Sentences at the end: what was assumed, and how it was made.
    pub notes: Vec<String>,
}

/// A value of a page's head.
#[derive(Debug, Clone)]
pub enum Fact {
    /// A text.
    Text(String),
    /// A period, from and to milliseconds since the Unix epoch.
    Period(u64, u64),
}

/// Verdict on a page or on one of its parts.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// Whether all is as it should be; none if nothing is judged.
    pub met: Option<bool>,
    /// The verdict in a sentence; an empty one is not drawn.
    pub sentence: String,
    /// Each missed target, with the change that helps.
    pub details: Vec<String>,
}

/// A part with a verdict of its own.
#[derive(Debug, Clone, Default)]
pub struct Part {
    /// Title; none if it is the only part.
    pub title: Option<String>,
    /// Verdict.
    pub verdict: Verdict,
    /// Key figures.
    pub tiles: Vec<Tile>,
    /// Sections.
    pub sections: Vec<Section>,
}

/// A section.
#[derive(Debug, Clone, Default)]
pub struct Section {
    /// Title.
    pub title: String,
    /// Content.
    pub blocks: Vec<Block>,
}

/// A block of a section.
#[derive(Debug, Clone)]
pub enum Block {
    /// A paragraph.
    Text(String),
    /// A sentence that says that something bad did not happen.
    Nothing(String),
    /// A heading within the section.
    Heading(String),
    /// Text to be copied.
    Code(String),
    /// Addresses.
    Links(Vec<String>),
    /// Charts, side by side where there is room. One without data is left out.
    Charts(Vec<Chart>),
    /// Requirements with their figures.
    Checks(Vec<Check>),
    /// Bars that share a whole.
    Shares(Shares),
    /// A table.
    Table(Table),
}

impl Page {
    /// Returns the page as an HTML document.
    pub fn html(&self) -> String {
        let style = style();
        let has_times = self.facts.iter().any(|(_, fact)| matches!(fact, Fact::Period(..)));
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(policy(&style));
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="referrer" content="no-referrer";
                    title { (self.title) " · " (self.kind) }
                    link rel="icon" href="data:,";
                    style { (PreEscaped(style.as_str())) }
                }
                body {
                    header {
                        p.kicker { (self.kind) }
                        h1 { (self.title) }
                        @if let Some(lead) = &self.lead { p.lead { (lead) } }
                        dl.facts {
                            @for (name, fact) in &self.facts { div { dt { (name) } dd { (fact.draw()) } } }
                        }
                        @if has_times {
                            p.clock { "Times are in " span #zone { "UTC" } "." button #clock type="button" hidden { "Show local time" } }
                        }
                        (self.verdict.draw())
                        (self.contents())
                    }
                    main {
                        @for (index, part) in self.parts.iter().enumerate() { (part.draw(index)) }
                    }
                    footer { @for note in &self.notes { p { (note) } } }
                    script { (PreEscaped(SCRIPT)) }
                }
            }
        };
        page.into_string() + "\n"
    }

    /// Draws links to the parts, if there are several.
    fn contents(&self) -> Markup {
        html! {
            @if self.parts.len() > 1 {
                nav aria-label="Parts" {
                    ul {
                        @for (index, part) in self.parts.iter().enumerate() {
                            li {
                                a href={ "#part-" (index) } { (part.title.as_deref().unwrap_or_default()) }
                                ": " (part.verdict.sentence)
                            }
                        }
                    }
                }
            }
        }
    }
}

impl Fact {
    fn draw(&self) -> Markup {
        let time = |at_ms: u64| {
            let text = moment::text(at_ms, Form::Full);
            html! { time datetime={ (text.replace(' ', "T")) "Z" } data-t=(at_ms / 1_000) data-f=(Form::Full.code()) { (text) } }
        };
        html! {
            @match self {
                Self::Text(text) => (text),
                Self::Period(from_ms, to_ms) => { (time(*from_ms)) " to " (time(*to_ms)) },
            }
        }
    }
}

impl Verdict {
    fn draw(&self) -> Markup {
        let class = match self.met {
            Some(true) => "verdict met",
            Some(false) => "verdict missed",
            None => "verdict",
        };
        html! {
            @if !self.sentence.is_empty() {
                div class=(class) {
                    @if let Some(met) = self.met { (icon(met, 22)) }
                    div {
                        p { (self.sentence) }
                        @if !self.details.is_empty() { ul { @for detail in &self.details { li { (detail) } } } }
                    }
                }
            }
        }
    }
}

impl Part {
    fn draw(&self, index: usize) -> Markup {
        let level = if self.title.is_some() { 3 } else { 2 };
        html! {
            div #{ "part-" (index) } {
                @if let Some(title) = &self.title {
                    (heading(2, title))
                    (self.verdict.draw())
                }
                @if !self.tiles.is_empty() { ul.tiles { @for tile in &self.tiles { (tile.draw()) } } }
                @for section in &self.sections { (section.draw(level)) }
            }
        }
    }
}

impl Section {
    fn draw(&self, level: u8) -> Markup {
        html! {
            section.group {
                (heading(level, &self.title))
                @for block in &self.blocks { (block.draw(level + 1)) }
            }
        }
    }
}

impl Block {
    fn draw(&self, level: u8) -> Markup {
        html! {
            @match self {
                Self::Text(text) => p { (text) },
                Self::Nothing(text) => div.card.none { (icon(true, 18)) p { (text) } },
                Self::Heading(text) => div.group { (heading(level, text)) },
                Self::Code(text) => pre { code { (text) } },
                Self::Links(addresses) => ul.links { @for address in addresses { li { a href=(address) { (address) } } } },
                Self::Charts(charts) => {
                    @if charts.iter().any(|chart| !chart.is_empty()) {
                        div.charts { @for chart in charts.iter().filter(|chart| !chart.is_empty()) { (chart.figure(level)) } }
                    }
                },
                Self::Checks(checks) => ul.card.checks { @for check in checks { (check.draw()) } },
                Self::Shares(shares) => (shares.draw(level)),
                Self::Table(table) => (table.draw()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        Page {
            kind: "Report".to_owned(),
            title: "orders <b>".to_owned(),
            facts: vec![("Period".to_owned(), Fact::Period(1_700_000_000_000, 1_700_000_060_000))],
            verdict: Verdict { met: Some(false), sentence: "1 & 2".to_owned(), details: vec!["<i>".to_owned()] },
            parts: vec![Part::default()],
            ..Page::default()
        }
    }

    #[test]
    fn a_page_escapes_every_text() {
        let html = page().html();
        assert!(
            html.contains("<h1>orders &lt;b&gt;</h1>") && html.contains("1 &amp; 2") && html.contains("&lt;i&gt;"),
            "{html}"
        );
    }

    #[test]
    fn a_page_allows_its_own_style_and_script_and_has_neither_elsewhere() {
        let html = page().html();
        let between = |start: &str, end: &str| html.split(start).nth(1).unwrap().split(end).next().unwrap().to_owned();
        let hash = |text: &str| {
            let hash = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
            format!("'sha256-{}'", base64_simd::STANDARD.encode_to_string(hash))
        };
        let policy = between("Content-Security-Policy\" content=\"", "\"").replace("&#39;", "'");
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        assert!(policy.contains(&hash(&between("<style>", "</style>"))), "{policy}");
        assert!(policy.contains(&hash(&between("<script>", "</script>"))), "{policy}");
        let body = html.split("<body>").nth(1).unwrap().split("<script>").next().unwrap();
        assert!(!body.contains(" style=") && !body.contains(" on"), "{body}");
    }

    #[test]
    fn a_page_of_several_parts_leads_to_each_of_them() {
        let part = |title: &str| Part { title: Some(title.to_owned()), ..Part::default() };
        let html = Page { parts: vec![part("orders"), part("payments")], ..page() }.html();
        for text in ["href=\"#part-1\">payments", "id=\"part-1\"><h2>payments"] {
            assert!(html.contains(text), "{text} in {html}");
        }
        assert!(!page().html().contains("<nav"));
    }
}
