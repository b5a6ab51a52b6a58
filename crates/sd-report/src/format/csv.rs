//! A table as comma-separated values (RFC 4180), for spreadsheets and scripts.

use crate::document::Table;
use crate::error::Result;

/// Renders the column titles and the rows, quoted where needed.
///
/// # Errors
/// If the writer fails, which it does not in memory.
pub fn render(table: &Table) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(table.columns.iter().map(|column| &column.title))?;
    for row in &table.rows {
        writer.write_record(&row.cells)?;
    }
    let bytes = writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
