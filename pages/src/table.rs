//! Tables that scroll in a box of their own.

use maud::{Markup, html};

/// A table: the first column is text, the others are numbers.
#[derive(Debug, Clone)]
pub struct Table {
    /// Name, which is read out but not drawn.
    pub name: String,
    /// The names of the columns.
    pub head: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn draw(&self) -> Markup {
        let table = html! {
            table {
                thead { tr { @for name in &self.head { th scope="col" { (name) } } } }
                tbody {
                    @for row in &self.rows {
                        tr {
                            @for (column, cell) in row.iter().enumerate() {
                                @if column == 0 { th scope="row" { (cell) } } @else { td { (cell) } }
                            }
                        }
                    }
                }
            }
        };
        html! { div.card.table { (scrolling(&self.name, &table)) } }
    }
}

/// Draws `table` in a box that scrolls, by the keyboard too.
pub(crate) fn scrolling(name: &str, table: &Markup) -> Markup {
    html! { div.scroll tabindex="0" role="group" aria-label={ "Table: " (name) } { (table) } }
}
