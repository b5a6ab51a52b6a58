//! What has to pass before a commit, cheapest first, so that the tests' own lines come last.

use crate::libtorch::{Libtorch, Setup};
use crate::{tidy, workspace};
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::process::{Command, ExitCode};

/// Runs every step; the first that fails ends it, with what mends it.
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
        return Ok(failed("dependencies", "deny.toml says what they may be"));
    }
    if !no_dependency_is_unused()? {
        let mend = "remove them, or declare what is used unseen as xtask/Cargo.toml does";
        return Ok(failed("dependencies", mend));
    }
    step("clippy");
    if !passes(clippy(&libtorch))? {
        let again = "`cargo clippy --fix --workspace --all-targets --all-features` mends some";
        return Ok(failed("clippy", again));
    }
    step("documentation");
    if !passes(documentation(&libtorch))? {
        let again = "`cargo doc --workspace --no-deps --all-features` shows the same warnings";
        return Ok(failed("documentation", again));
    }
    step("tests");
    if !passes(test(&libtorch, &[]))? {
        return Ok(failed("tests", "`cargo xtask test NAME` runs those whose name holds NAME"));
    }
    Ok(ExitCode::SUCCESS)
}

/// All tests, the documentation's examples too. These get no linker arguments from build scripts,
/// so the loader is told where libtorch is.
pub fn test(libtorch: &Libtorch, args: &[OsString]) -> Command {
    let mut cargo = workspace::cargo("test");
    // A package that the user names takes the place of all.
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

/// Whether the dependencies are what deny.toml allows. The tool is not there everywhere; the list
/// of advisories is on GitHub, which not every machine reaches.
fn dependencies() -> Result<bool> {
    let deny = |arguments: &[&str]| {
        let mut cargo = workspace::cargo("deny");
        cargo.args(arguments);
        cargo
    };
    if !answers(deny(&["--version"])) {
        eprintln!("check: skipped, for `cargo install cargo-deny` was not run");
        return Ok(true);
    }
    if !passes(deny(&["check", "bans", "licenses", "sources"]))? {
        return Ok(false);
    }
    if !answers(deny(&["fetch", "db"])) {
        eprintln!("check: advisories skipped, for their list cannot be fetched from GitHub");
        return Ok(true);
    }
    passes(deny(&["check", "advisories"]))
}

/// Whether each dependency is named by a source file of its package. The tool is not there
/// everywhere.
fn no_dependency_is_unused() -> Result<bool> {
    let machete = |argument: Option<&str>| {
        let mut cargo = workspace::cargo("machete");
        cargo.args(argument);
        cargo
    };
    if !answers(machete(Some("--version"))) {
        eprintln!("check: skipped, for `cargo install cargo-machete` was not run");
        return Ok(true);
    }
    passes(machete(None))
}

/// Whether the command can be run, without its output.
fn answers(mut command: Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

fn passes(mut command: Command) -> Result<bool> {
    let status = command.status().context("cannot start cargo")?;
    Ok(status.success())
}

fn step(name: &str) {
    eprintln!("check: {name}");
}

fn failed(step: &str, mend: &str) -> ExitCode {
    eprintln!("check: {step} failed: {mend}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_package_takes_the_place_of_all() {
        let named = |line: &str| {
            names_package(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
        };
        assert!(named("-p sd-data") && named("--package=sd-data") && named("-psd-data"));
        assert!(!named("") && !named("loader --release") && !named("-- -p"));
    }
}
