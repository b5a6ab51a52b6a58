//! `export`: the network of a finished run as ONNX files or as a folder for PyTorch.

use std::path::Path;

use anyhow::Result;
use sd_cli::{ExportArgs, print};

use super::logging;

/// Writes the files, prints their names, and logs what to run next.
///
/// # Errors
/// If the folder is not a run, its weights have another configuration, the exit does not exist, or a
/// layer has no ONNX form.
pub fn export(args: &ExportArgs) -> Result<()> {
    logging::start(None)?;
    let files = crate::export::export(args)?;
    for file in &files {
        print(file.display())?;
    }
    if args.to.is_some() {
        tracing::info!("next: README.md in the folder shows how to load the network");
        return Ok(());
    }
    // The files of the segments belong together; standard output has nothing but names.
    let model =
        files.first().and_then(|first| if args.staged { first.parent() } else { Some(first) });
    if let Some(model) = model.map(Path::display) {
        tracing::info!(
            "next: `cargo xtask infer {model} IMAGE`, `cargo xtask eval {} --onnx {model}`",
            args.run.display()
        );
    }
    Ok(())
}
