//! What a sweep asked of a run, kept in its folder.

use anyhow::{Context, Result};
use std::io::Write;
use std::path::Path;
use toml::Table;

/// What the sweep asked of the run in a folder. `config.toml` beside it has the defaults filled in,
/// which only sd-train knows.
pub const ASKED: &str = "asked.toml";

/// Keeps in `folder` what is asked of its run: whole, or not at all.
pub fn keep(folder: &Path, setting: &Table) -> Result<()> {
    let path = folder.join(ASKED);
    let write = || -> Result<()> {
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(toml::to_string(setting)?.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&path)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
