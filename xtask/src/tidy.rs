//! Conventions of docs/style.md and docs/architecture.md that a program can check.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Lines a Rust file may have without a reason.
const LINES: usize = 400;
/// Bytes a tracked file may have.
const BYTES: u64 = 4 << 20;
/// Crates, and what their `[dependencies]` may not name.
const FORBIDDEN: [(&str, &[&str]); 6] = [
    ("crates/sd-layers", &["sd-models", "sd-data", "sd-train", "sd-bench"]),
    ("crates/sd-models", &["sd-data", "sd-train", "sd-bench"]),
    ("crates/sd-data", &["tch", "sd-layers", "sd-models", "sd-train", "sd-bench"]),
    ("crates/sd-bench", &["tch", "sd-layers", "sd-models", "sd-train", "sd-data"]),
    ("crates/sd-train", &["xtask"]),
    ("xtask", &["tch", "sd-layers", "sd-models", "sd-train", "sd-data", "sd-bench"]),
];

/// Checks every file that git tracks under `root`.
///
/// # Errors
/// Lists what is not as it should be.
pub fn tidy(root: &Path) -> Result<()> {
    let output = Command::new("git").arg("ls-files").current_dir(root).output();
    let listed = output.context("cannot start git")?.stdout;
    let mut found = Vec::new();
    for name in String::from_utf8_lossy(&listed).lines() {
        let path = root.join(name);
        let Ok(bytes) = fs::read(&path) else { continue };
        found.extend(complaints(name, &bytes));
    }
    for (krate, forbidden) in FORBIDDEN {
        let manifest = fs::read_to_string(root.join(krate).join("Cargo.toml"))?;
        found.extend(wrong_way(krate, &manifest, forbidden));
    }
    if found.is_empty() {
        return Ok(());
    }
    bail!("not tidy:\n{}", found.join("\n"))
}

fn complaints(name: &str, bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    if bytes.len() as u64 > BYTES {
        found.push(format!("{name}: {} bytes, at most {BYTES}", bytes.len()));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return found };
    for home in ["home", "root", "Users"] {
        if text.contains(&format!("/{home}/")) {
            found.push(format!("{name}: a path of somebody's machine (/{home}/…)"));
        }
    }
    if !name.ends_with(".rs") {
        return found;
    }
    let file = name.rsplit('/').next().unwrap_or(name);
    if ["utils.rs", "common.rs", "helpers.rs"].contains(&file) {
        found.push(format!("{name}: a file is named for its subject"));
    }
    let lines = text.lines().count();
    if lines > LINES && !text.contains("//! tidy: long because") {
        found.push(format!("{name}: {lines} lines, at most {LINES} without a reason"));
    }
    if name.ends_with("src/lib.rs") && !(text.starts_with("//!") && text.contains("//! ```")) {
        found.push(format!("{name}: no essay with an example on top"));
    }
    found
}

fn wrong_way(krate: &str, manifest: &str, forbidden: &[&str]) -> Vec<String> {
    let section = manifest.split("\n[dependencies]").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    let named = |name: &&&str| {
        section.lines().any(|line| line.split(['.', ' ', '=']).next() == Some(**name))
    };
    let found = forbidden.iter().filter(named);
    found.map(|name| format!("{krate}: may not depend on {name}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complains_of_what_style_forbids() {
        let long = "\n".repeat(LINES + 1);
        assert_eq!(complaints("a/utils.rs", b"").len(), 1);
        assert_eq!(complaints("a/b.rs", long.as_bytes()).len(), 1);
        assert_eq!(complaints("a/src/lib.rs", b"//! An essay.").len(), 1);
        assert_eq!(complaints("notes.md", format!("see /{}/x", "home").as_bytes()).len(), 1);
        assert!(complaints("a/src/lib.rs", b"//! An essay.\n//! ```\n").is_empty());
    }

    #[test]
    fn complains_of_a_dependency_the_wrong_way() {
        let manifest = "[package]\n\n[dependencies]\ntch.workspace = true\n\n[lints]\n";
        assert_eq!(wrong_way("crates/sd-data", manifest, &["tch"]).len(), 1);
        let development = "[dependencies]\n\n[dev-dependencies]\ntch.workspace = true\n";
        assert!(wrong_way("crates/sd-data", development, &["tch"]).is_empty());
    }
}
