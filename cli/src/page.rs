//! What a person looks at: tables in a terminal, and pages that need nothing from outside.

use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use std::fmt::Write;

/// A table with these headings.
pub(crate) fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_header(headings.iter().copied());
    table
}

/// An HTML page: text as it is in the terminal, and SVG elements.
pub(crate) fn page<'a>(title: &str, text: &str, plots: impl Iterator<Item = &'a str>) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{title}</title>\n<link rel=\"icon\" href=\"data:,\">\n\
         <style>body{{font-family:sans-serif;margin:2em auto;max-width:1500px}}pre{{font-size:13px;overflow-x:auto}}\
         figure{{display:inline-block;margin:0.5em}}svg{{max-width:100%}}</style></head>\n<body>\n<h1>{title}</h1>\n<pre>{}</pre>\n",
        escaped(text)
    );
    for plot in plots {
        let _ = writeln!(page, "<figure>{plot}</figure>");
    }
    page.push_str("</body>\n</html>\n");
    page
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_escapes_text_and_keeps_plots() {
        let page = page("t", "1 < 2 & 3", ["<svg></svg>"].into_iter());
        assert!(page.contains("1 &lt; 2 &amp; 3") && page.contains("<figure><svg></svg></figure>"));
    }
}
