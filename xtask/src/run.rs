//! Starting our programs: built with their progress in sight, then put in this process's place.

use crate::libtorch::Libtorch;
use crate::workspace;
use anyhow::{Context, Result, bail, ensure};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

/// A program of the workspace; package and binary share their name.
#[derive(Debug)]
pub struct Program {
    name: &'static str,
    features: &'static [&'static str],
}

/// Trains, evaluates and counts.
pub const SD_TRAIN: Program = Program { name: "sd-train", features: &[] };
/// The same, with ONNX Runtime.
pub const SD_TRAIN_ALL: Program = Program { name: "sd-train", features: &["ort"] };
/// Reports.
pub const SD_REPORT: Program = Program { name: "sd-report", features: &["cli"] };
/// Measures the loader, training steps and inference.
pub const SD_BENCH: Program = Program { name: "sd-bench", features: &[] };
/// Classifies images with an exported network.
pub const SD_INFER: Program = Program { name: "sd-infer", features: &["cli", "ort"] };
/// Fetches, shows and checks data sets.
pub const SD_DATA: Program = Program { name: "sd-data", features: &["cli"] };

/// Builds the program for release where it is not, and becomes it: signals, exit code and output
/// are the program's own. Returns only if it could not be started.
pub fn become_program<A: AsRef<OsStr>>(
    program: &Program,
    libtorch: Option<&Libtorch>,
    args: impl IntoIterator<Item = A>,
) -> Result<ExitCode> {
    let mut command = Command::new(build(program, libtorch)?);
    command.args(args);
    replace(command)
}

/// Puts the command in this process's place. Returns only if it could not be started.
pub fn replace(mut command: Command) -> Result<ExitCode> {
    let error = command.exec();
    Err(error).with_context(|| format!("cannot start {}", command.get_program().display()))
}

/// Builds the program and says where cargo put it; standard output stays clean.
pub fn build(program: &Program, libtorch: Option<&Libtorch>) -> Result<PathBuf> {
    let mut cargo = workspace::cargo("build");
    cargo.args(["--release", "--package", program.name, "--bin", program.name]);
    if !program.features.is_empty() {
        cargo.arg("--features").arg(program.features.join(","));
    }
    cargo.arg("--message-format=json-render-diagnostics");
    if let Some(libtorch) = libtorch {
        libtorch.set_for(&mut cargo);
    }
    let mut child = cargo.stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let mut executable = None;
    if let Some(messages) = child.stdout.take() {
        for line in BufReader::new(messages).lines() {
            executable = built(&line?, program.name).or(executable);
        }
    }
    if !child.wait()?.success() {
        bail!("cannot build {}; cargo's messages are above", program.name);
    }
    executable.with_context(|| format!("cargo built {} and named no executable", program.name))
}

/// The executable that a line of cargo's messages announces, if it is the one asked for.
fn built(message: &str, name: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    if message["reason"] != "compiler-artifact" || message["target"]["name"] != name {
        return None;
    }
    message["executable"].as_str().map(PathBuf::from)
}

/// Runs a program to its end; it prints nothing, for standard output belongs to the result's name.
///
/// # Errors
/// If it cannot be started or fails; its own messages went to standard error.
pub fn finish(command: &mut Command) -> Result<()> {
    let program = command.get_program().display().to_string();
    let status = command
        .stdout(Stdio::null())
        .status()
        .with_context(|| format!("cannot start {program}"))?;
    ensure!(status.success(), "{program} failed ({status}); its messages are above");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_the_one_asked_for() {
        let artifact = |name: &str, executable: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","target":{{"name":"{name}"}},"executable":{executable}}}"#
            )
        };
        let path = "target/release/sd-train";
        let quoted = format!("\"{path}\"");
        assert_eq!(built(&artifact("sd-train", &quoted), "sd-train"), Some(path.into()));
        assert_eq!(built(&artifact("sd-train", "null"), "sd-train"), None);
        assert_eq!(built(&artifact("build-script-build", &quoted), "sd-train"), None);
        assert_eq!(built(r#"{"reason":"build-finished","success":true}"#, "sd-train"), None);
        assert_eq!(built("not JSON", "sd-train"), None);
    }
}
