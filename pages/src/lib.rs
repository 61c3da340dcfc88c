//! Pages that need nothing from outside: what they say is data, and this crate turns it into one HTML file.
//!
//! A file has one style sheet and one script, both inline and named by their hashes in its content security policy. It has no inline event
//! handler and no `style` attribute, makes no request, and is complete without the script. Every text is escaped.

mod chart;
mod moment;
mod number;
mod page;
mod parts;
mod style;
mod table;

pub use chart::{Across, Chart, Colour, Drawn, Scale, Series};
pub use number::number;
pub use page::{Block, Fact, Page, Part, Section, Verdict};
pub use parts::{Check, Share, Shares, Tile};
pub use table::Table;

use maud::{Markup, PreEscaped, html};

/// Returns `at_ms`, in milliseconds since the Unix epoch, as a date and a time of day in UTC.
pub fn utc(at_ms: u64) -> String {
    moment::text(at_ms, moment::Form::Full)
}

/// Returns `text` with a capital first letter.
pub fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// Draws a heading of `level`.
fn heading(level: u8, text: &str) -> Markup {
    let text = html! { (text) }.into_string();
    PreEscaped(format!("<h{level}>{text}</h{level}>"))
}
