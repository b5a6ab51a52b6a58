//! `cargo xtask check`: the checks that a commit must pass, fastest first.

use crate::libtorch::{Libtorch, Setup};
use crate::{tidy, workspace};
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::process::{Command, ExitCode};

/// Runs the checks up to the first that fails, and prints how to fix that.
pub fn check() -> Result<ExitCode> {
    step("format");
    let mut format = workspace::cargo("fmt");
    format.args(["--all", "--check"]);
    if !passes(format)? {
        return Ok(failed("format", "`cargo fmt --all` rewrites the files"));
    }
    step("tidy");
    tidy::tidy(&workspace::root())?;
    let libtorch = Setup::from_environment()?.ensure()?;
    step("dependencies");
    if !dependencies()? {
        return Ok(failed("dependencies", "see deny.toml for what is allowed"));
    }
    if !no_unused_dependencies()? {
        let fix = "remove them, or list them under package.metadata.cargo-machete";
        return Ok(failed("dependencies", fix));
    }
    step("clippy");
    if !passes(clippy(&libtorch))? {
        let fix = "`cargo clippy --fix --workspace --all-targets --all-features` fixes some";
        return Ok(failed("clippy", fix));
    }
    step("documentation");
    if !passes(documentation(&libtorch))? {
        let fix = "`cargo doc --workspace --no-deps --all-features` prints the same warnings";
        return Ok(failed("documentation", fix));
    }
    step("tests");
    if !passes(test(&libtorch, &[]))? {
        return Ok(failed("tests", "`cargo xtask test NAME` runs those whose name contains NAME"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Command that runs all tests, also of the documentation. The latter get no linker arguments from
/// build scripts, so the loader needs the path of libtorch.
pub fn test(libtorch: &Libtorch, args: &[OsString]) -> Command {
    let mut cargo = workspace::cargo("test");
    // Named packages replace the whole workspace.
    if !names_package(args) {
        cargo.arg("--workspace");
    }
    cargo.arg("--all-features").args(args);
    libtorch.set_for(&mut cargo);
    libtorch.set_loader_for(&mut cargo);
    cargo
}

fn names_package(args: &[OsString]) -> bool {
    args.iter()
        .take_while(|arg| *arg != "--")
        .filter_map(|arg| arg.to_str())
        .any(|arg| arg.starts_with("-p") || arg.starts_with("--package"))
}

fn clippy(libtorch: &Libtorch) -> Command {
    let mut cargo = workspace::cargo("clippy");
    cargo.args(["--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"]);
    libtorch.set_for(&mut cargo);
    cargo
}

fn documentation(libtorch: &Libtorch) -> Command {
    let mut cargo = workspace::cargo("doc");
    cargo.args(["--workspace", "--no-deps", "--all-features"]);
    cargo.env("RUSTDOCFLAGS", "-D warnings");
    libtorch.set_for(&mut cargo);
    cargo
}

/// Whether deny.toml allows the dependencies. Skipped without cargo-deny; the advisories are skipped
/// if their list cannot be downloaded from GitHub.
fn dependencies() -> Result<bool> {
    let deny = |arguments: &[&str]| {
        let mut cargo = workspace::cargo("deny");
        cargo.args(arguments);
        cargo
    };
    if !succeeds(deny(&["--version"])) {
        eprintln!("check: skipped, cargo-deny is not installed (`cargo install cargo-deny`)");
        return Ok(true);
    }
    if !passes(deny(&["check", "bans", "licenses", "sources"]))? {
        return Ok(false);
    }
    if !succeeds(deny(&["fetch", "db"])) {
        eprintln!("check: advisories skipped, their list cannot be downloaded from GitHub");
        return Ok(true);
    }
    passes(deny(&["check", "advisories"]))
}

/// Whether every dependency occurs in the source of its package. Skipped without cargo-machete.
fn no_unused_dependencies() -> Result<bool> {
    let machete = |argument: Option<&str>| {
        let mut cargo = workspace::cargo("machete");
        cargo.args(argument);
        cargo
    };
    if !succeeds(machete(Some("--version"))) {
        eprintln!("check: skipped, cargo-machete is not installed (`cargo install cargo-machete`)");
        return Ok(true);
    }
    passes(machete(None))
}

/// Whether a command succeeds; discards its output.
fn succeeds(mut command: Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

fn passes(mut command: Command) -> Result<bool> {
    let status = command.status().context("cannot start cargo")?;
    Ok(status.success())
}

fn step(name: &str) {
    eprintln!("check: {name}");
}

fn failed(step: &str, fix: &str) -> ExitCode {
    eprintln!("check: {step} failed: {fix}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_packages_are_recognised() {
        let named = |line: &str| {
            names_package(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
        };
        assert!(named("-p sd-data") && named("--package=sd-data") && named("-psd-data"));
        assert!(!named("") && !named("loader --release") && !named("-- -p"));
    }
}
