//! `cargo xtask check`: the checks that a commit must pass, fastest first.

use crate::libtorch::{Libtorch, Setup};
use crate::{tidy, workspace};
use anyhow::{Context, Result, ensure};
use std::ffi::OsString;
use std::process::Command;

/// Runs the checks up to the first that fails, and prints how to fix that.
pub fn check() -> Result<()> {
    let mut format = workspace::cargo("fmt");
    run("format", format.args(["--all", "--check"]), "`cargo fmt --all` rewrites the files")?;
    eprintln!("check: tidy");
    tidy::tidy(&workspace::root())?;
    dependencies()?;
    let libtorch = Setup::from_environment()?.ensure()?;
    let whole = |subcommand, arguments: &[&str]| {
        let mut cargo = workspace::cargo(subcommand);
        cargo.args(["--workspace", "--all-features"]).args(arguments);
        libtorch.set_for(&mut cargo);
        cargo
    };
    run(
        "clippy",
        &mut whole("clippy", &["--all-targets", "--", "-D", "warnings"]),
        "`cargo clippy --fix --workspace --all-targets --all-features` fixes some",
    )?;
    run(
        "documentation",
        whole("doc", &["--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"),
        "`cargo doc --workspace --no-deps --all-features` prints the same warnings",
    )?;
    run(
        "tests",
        &mut test(&libtorch, &[]),
        "`cargo xtask test NAME` runs those whose name contains NAME",
    )
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

/// Checks the dependencies with cargo-deny and cargo-machete, if they are installed. Advisories are
/// skipped if their list cannot be downloaded from GitHub.
fn dependencies() -> Result<()> {
    let command = |subcommand, arguments: &[&str]| {
        let mut cargo = workspace::cargo(subcommand);
        cargo.args(arguments);
        cargo
    };
    if is_installed(&mut command("deny", &["--version"]), "cargo-deny") {
        let mut deny = command("deny", &["check", "bans", "licenses", "sources"]);
        run("dependencies", &mut deny, "see deny.toml for what is allowed")?;
        if succeeds(&mut command("deny", &["fetch", "db"])) {
            let mut advisories = command("deny", &["check", "advisories"]);
            run("advisories", &mut advisories, "update or replace the dependency")?;
        } else {
            eprintln!("check: advisories skipped, their list cannot be downloaded from GitHub");
        }
    }
    if is_installed(&mut command("machete", &["--version"]), "cargo-machete") {
        let fix = "remove them, or list them under package.metadata.cargo-machete";
        run("unused dependencies", &mut workspace::cargo("machete"), fix)?;
    }
    Ok(())
}

fn is_installed(version: &mut Command, name: &str) -> bool {
    let installed = succeeds(version);
    if !installed {
        eprintln!("check: {name} skipped, it is not installed (`cargo install {name}`)");
    }
    installed
}

/// Whether a command succeeds; discards its output.
fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

fn run(name: &str, command: &mut Command, fix: &str) -> Result<()> {
    eprintln!("check: {name}");
    let status = command.status().context("cannot start cargo")?;
    ensure!(status.success(), "{name} failed: {fix}");
    Ok(())
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
