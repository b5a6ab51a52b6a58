//! A table as aligned text for a terminal.

use crate::document::{Align, Table};

/// The table as text, a line a row, its columns two spaces apart.
pub fn render(table: &Table) -> String {
    let headings: Vec<&str> = table.columns.iter().map(|column| column.title.as_str()).collect();
    let rows: Vec<Vec<&str>> = std::iter::once(headings)
        .chain(table.rows.iter().map(|row| row.cells.iter().map(String::as_str).collect()))
        .collect();
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..table.columns.len()).map(width).collect();
    let line = |row: &Vec<&str>| {
        let cells =
            row.iter().zip(&table.columns).zip(&widths).map(
                |((cell, column), &width)| match column.align {
                    Align::Left => format!("{cell:<width$}"),
                    Align::Right => format!("{cell:>width$}"),
                },
            );
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Column;

    #[test]
    fn columns_stand_below_each_other() {
        let mut table = Table::new([Column::text("exit"), Column::number("µs"), Column::text("")]);
        table.push(["a long one".to_owned(), "1.2".to_owned(), String::new()]);
        table.push(["–".to_owned(), "1234".to_owned(), "x".to_owned()]);
        assert_eq!(render(&table), "exit          µs\na long one   1.2\n–           1234  x");
    }
}
