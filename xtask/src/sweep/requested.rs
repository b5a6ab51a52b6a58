//! The requested configuration of a run, which a sweep writes to the run's folder.

use crate::atomic_write;
use anyhow::{Context, Result};
use std::path::Path;
use toml::Table;

/// File of the requested configuration. `config.toml` beside it also has the defaults, which only
/// sd-train knows.
pub const FILE: &str = "asked.toml";

/// Writes the requested configuration atomically to the folder of its run.
pub fn write(folder: &Path, requested: &Table) -> Result<()> {
    let path = folder.join(FILE);
    let text =
        toml::to_string(requested).with_context(|| format!("cannot write {}", path.display()))?;
    atomic_write::write(&path, text.as_bytes())
}
