//! A file of a Debian package, without installing it and without root.

use crate::{Error, Result};
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The content of `package`, in a folder that lasts as long as what is returned.
pub(super) fn unpack(package: &str, say: &mut dyn FnMut(&str)) -> Result<TempDir> {
    let failed =
        |reason: String| Error::Source { origin: format!("Debian's package `{package}`"), reason };
    let folder = TempDir::new().map_err(|error| failed(error.to_string()))?;
    say(&format!("downloading Debian's package {package}"));
    run(folder.path(), "apt-get", &["download".as_ref(), package.as_ref()]).map_err(failed)?;
    let archive = std::fs::read_dir(folder.path())
        .map_err(|error| failed(error.to_string()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| failed("`apt-get download` left no `.deb` file".to_owned()))?;
    run(folder.path(), "dpkg", &["-x".as_ref(), archive.as_ref(), ".".as_ref()]).map_err(failed)?;
    Ok(folder)
}

/// Runs a program in `folder`; if it fails, what it said.
fn run(folder: &Path, program: &str, arguments: &[&Path]) -> std::result::Result<(), String> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot start `{program}`: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("`{program}` ended with {}: {}", output.status, said.trim()))
}
