//! `cargo xtask tidy`: conventions of the workspace that the compiler does not check.

mod crates;
mod files;
mod links;

use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folders of generated files, for a source tree without git.
const GENERATED: [&str; 5] = ["target", ".git", ".libtorch", "runs", ".venv"];

/// A file of the workspace.
#[derive(Debug)]
struct File {
    /// Path inside the workspace, with `/`.
    name: String,
    bytes: u64,
    /// Content, if it is text.
    text: Option<String>,
}

/// Checks every file of the workspace and the directions of its dependencies.
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
        found.extend(files::problems(file));
        found.extend(links::dead_links(file, root));
    }
    if found.is_empty() {
        return Ok(());
    }
    bail!("not tidy:\n  {}", found.join("\n  "))
}

/// Files that git tracks or does not ignore; without git, all files.
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
    // Without deleted files and links to folders.
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
            } else if !GENERATED.iter().any(|name| entry.file_name() == *name) {
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
    fn generated_files_are_skipped() {
        let root = tempfile::tempdir().unwrap();
        for name in ["src/lib.rs", "target/debug/lib.rs", "runs/a/log.jsonl"] {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        assert_eq!(walk(root.path()).unwrap(), ["src/lib.rs"]);
    }
}
