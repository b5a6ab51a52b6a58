//! A table as comma-separated values (RFC 4180), for spreadsheets and scripts.

use crate::document::Table;
use crate::error::Result;

/// Renders the column titles and the rows, quoted where needed. An apostrophe stands before a text
/// that a spreadsheet would run as a formula.
///
/// # Errors
/// If the writer fails, which it does not in memory.
pub fn render(table: &Table) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(table.columns.iter().map(|column| without_formula(&column.title)))?;
    for row in &table.rows {
        writer.write_record(row.cells.iter().map(|cell| without_formula(cell)))?;
    }
    let bytes = writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The text with an apostrophe before a formula's first character, as OWASP recommends against CSV
/// injection. Numbers, also with a deviation, stay as they are.
fn without_formula(text: &str) -> String {
    let is_number = || text.chars().all(|char| char.is_ascii_digit() || "+-.,e%± ".contains(char));
    let is_formula = match text.chars().next() {
        Some('=' | '@' | '\t' | '\r') => true,
        Some('+' | '-') => text.parse::<f64>().is_err() && !is_number(),
        _ => false,
    };
    if is_formula { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_begin_like_a_formula_are_marked() {
        for text in ["=1+2", "+cmd|' /C calc'!A0", "-2+A1", "@SUM(A1)", "\t=1"] {
            assert_eq!(without_formula(text), format!("'{text}"));
        }
        for text in ["", "-1.5", "+0.4", "1e-3", "-inf", "+0.4 ± 0.1 %", "-", "a=b", "–", "'"] {
            assert_eq!(without_formula(text), text);
        }
    }
}
