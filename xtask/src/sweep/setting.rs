//! What a sweep asked of a run, kept in its folder.

use crate::atomic_write;
use anyhow::{Context, Result};
use std::path::Path;
use toml::Table;

/// What the sweep asked of the run in a folder. `config.toml` beside it has the defaults filled in,
/// which only sd-train knows.
pub const ASKED: &str = "asked.toml";

/// Keeps in `folder` what is asked of its run: whole, or not at all.
pub fn keep(folder: &Path, setting: &Table) -> Result<()> {
    let path = folder.join(ASKED);
    let text =
        toml::to_string(setting).with_context(|| format!("cannot write {}", path.display()))?;
    atomic_write::write(&path, text.as_bytes())
}
