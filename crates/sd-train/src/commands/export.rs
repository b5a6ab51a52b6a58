//! `export`: the network of a finished run as ONNX files.

use anyhow::Result;
use sd_cli::ExportArgs;

use super::logging;
use sd_cli::print;

/// Writes the files and prints their names.
///
/// # Errors
/// If the folder is not a run, its weights have another configuration, the exit does not exist, or a
/// layer has no ONNX form.
pub fn export(args: &ExportArgs) -> Result<()> {
    logging::start(None)?;
    for file in crate::export::export(args)? {
        print(file.display())?;
    }
    Ok(())
}
