//! Conventions of the workspace that no compiler knows, as checks.

mod crates;
mod files;
mod links;

use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folders that hold what was made, for a tree that came without git.
const MADE: [&str; 5] = ["target", ".git", ".libtorch", "runs", ".venv"];

/// A file as the rules see it.
#[derive(Debug)]
struct File {
    /// Inside the workspace, with `/`.
    name: String,
    bytes: u64,
    /// What it says, if it is text.
    text: Option<String>,
}

/// Checks every file of the workspace and the directions of its crates.
pub fn tidy(root: &Path) -> Result<()> {
    let mut files = Vec::new();
    for name in names(root)? {
        let path = root.join(&name);
        let content = fs::read(&path).with_context(|| path.display().to_string())?;
        let (bytes, text) = (content.len() as u64, String::from_utf8(content).ok());
        files.push(File { name, bytes, text });
    }
    let mut found = crates::wrong_directions(&crates::metadata()?);
    for file in &files {
        found.extend(files::complaints(file));
        found.extend(links::dead_links(file, root));
    }
    if found.is_empty() {
        return Ok(());
    }
    bail!("not tidy:\n  {}", found.join("\n  "))
}

/// The files that are in git or about to be, or all that are there where git is not.
fn names(root: &Path) -> Result<Vec<String>> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output();
    let mut names = match listed {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout)
            .split_terminator('\0')
            .map(str::to_owned)
            .collect(),
        _ => walk(root)?,
    };
    // Removed here and not yet in git, or a link to a folder.
    names.retain(|name| root.join(name).is_file());
    Ok(names)
}

fn walk(root: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(inner) = folders.pop() {
        for entry in root.join(&inner).read_dir()? {
            let entry = entry?;
            let path = inner.join(entry.file_name());
            if !entry.file_type()?.is_dir() {
                names.push(path.display().to_string());
            } else if !MADE.iter().any(|made| entry.file_name() == *made) {
                folders.push(path);
            }
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_not_looked_at() {
        let root = tempfile::tempdir().unwrap();
        for name in ["src/lib.rs", "target/debug/lib.rs", "runs/a/log.jsonl"] {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        assert_eq!(walk(root.path()).unwrap(), ["src/lib.rs"]);
    }
}
