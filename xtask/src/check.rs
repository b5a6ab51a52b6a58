//! Tests, and all that has to pass before a commit.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context, Result};

use crate::run::{cargo, finish, root};
use crate::{libtorch, tidy};

/// All tests of the workspace.
///
/// # Errors
/// If libtorch cannot be had or a test fails.
pub fn test(arguments: &[OsString]) -> Result<()> {
    let mut command = cargo_here(&["test", "--workspace", "--all-features"]);
    // Examples in the documentation get no rpath from build scripts.
    command.env("LD_LIBRARY_PATH", libtorch::ensure()?.join("lib"));
    finish(command.args(arguments)).context("tests")
}

/// Format, lints, tests, documentation, tidiness; stops at the first that fails.
///
/// # Errors
/// Names the step that failed.
pub fn check() -> Result<()> {
    let everything = ["--workspace", "--all-features"];
    step("format", "cargo fmt --all", &mut cargo_here(&["fmt", "--all", "--check"]))?;
    libtorch::ensure()?;
    let mut clippy = cargo_here(&["clippy", "--all-targets"]);
    step("lints", "see above", clippy.args(everything).args(["--", "-D", "warnings"]))?;
    let mut doc = cargo_here(&["doc", "--no-deps"]);
    step("documentation", "see above", doc.args(everything).env("RUSTDOCFLAGS", "-D warnings"))?;
    eprintln!("== tidy");
    tidy::tidy(&root())?;
    eprintln!("== tests");
    test(&[])
}

fn step(name: &'static str, mend: &'static str, command: &mut Command) -> Result<()> {
    eprintln!("== {name}");
    finish(command).with_context(|| format!("{name} (to mend it: {mend})"))
}

fn cargo_here(arguments: &[&str]) -> Command {
    let mut command = cargo();
    command.args(arguments).current_dir(root());
    command
}
