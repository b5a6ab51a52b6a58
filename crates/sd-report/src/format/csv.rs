//! A table as comma-separated values (RFC 4180), for spreadsheets and scripts.

use crate::document::Table;
use crate::error::Result;

/// The heading and the rows; quoted where they have to be.
///
/// # Errors
/// Where the writer fails, which in memory it does not.
pub fn render(table: &Table) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(table.columns.iter().map(|column| &column.title))?;
    for row in &table.rows {
        writer.write_record(&row.cells)?;
    }
    let bytes = writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
