//! Tables for the terminal.

use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};

/// Creates a table with these headings.
pub(crate) fn with_headings(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_header(headings.iter().copied());
    table
}
