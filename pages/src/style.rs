//! The style and the script of all pages.

use base64_simd::STANDARD;
use ring::digest::{SHA256, digest};

/// The colours, light, dark and on paper.
pub(crate) const COLOURS: &str = include_str!("style/colours.css");
/// The style of a chart's inside.
pub(crate) const CHART_STYLE: &str = include_str!("style/chart.css");
const PAGE_STYLE: &str = include_str!("style/page.css");
/// The script: values at the pointer, and the reader's own time.
pub(crate) const SCRIPT: &str = include_str!("page.js");

/// Returns the whole style sheet.
pub(crate) fn style() -> String {
    [COLOURS, CHART_STYLE, PAGE_STYLE].concat()
}

/// Returns the content security policy that allows this style, this script, and nothing else.
pub(crate) fn policy(style: &str) -> String {
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode_to_string(digest(&SHA256, text.as_bytes())));
    format!(
        "default-src 'none'; style-src {}; script-src {}; img-src data:; base-uri 'none'; form-action 'none'",
        hash(style),
        hash(SCRIPT)
    )
}
