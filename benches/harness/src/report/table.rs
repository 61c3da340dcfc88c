//! Tables as HTML.

/// A table: the first column is text, the others are numbers.
pub(super) fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let body: Vec<_> = rows.into_iter().map(|cells| row("td", &cells)).collect();
    format!(r#"<div class="wide"><table>{}{}</table></div>"#, row("th", head), body.concat())
}

fn row<S: AsRef<str>>(kind: &str, cells: &[S]) -> String {
    let cells = cells.iter().enumerate().map(|(column, cell)| {
        let class = if column == 0 { "" } else { r#" class="n""# };
        format!("<{kind}{class}>{}</{kind}>", cell.as_ref())
    });
    format!("<tr>{}</tr>", cells.collect::<String>())
}
