//! Building and starting the programs of the workspace.

use crate::libtorch::Libtorch;
use crate::workspace;
use anyhow::{Context, Result, bail, ensure};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

/// A program of the workspace. Package and binary have the same name.
#[derive(Debug)]
pub struct Program {
    name: &'static str,
    features: &'static [&'static str],
}

/// Trains, evaluates, counts and exports.
pub const SD_TRAIN: Program = Program { name: "sd-train", features: &[] };
/// `sd-train` with ONNX Runtime.
pub const SD_TRAIN_ALL: Program = Program { name: "sd-train", features: &["ort"] };
/// Writes reports.
pub const SD_REPORT: Program = Program { name: "sd-report", features: &["cli"] };
/// Measures the loader, training steps and inference.
pub const SD_BENCH: Program = Program { name: "sd-bench", features: &[] };
/// Classifies images with an exported network.
pub const SD_INFER: Program = Program { name: "sd-infer", features: &["cli", "ort"] };
/// Downloads, shows and checks data sets.
pub const SD_DATA: Program = Program { name: "sd-data", features: &["cli"] };

/// Builds a program in release mode and replaces this process by it, so that it receives the signals
/// and sets the exit code. Returns only if it cannot be started.
pub fn become_program<A: AsRef<OsStr>>(
    program: &Program,
    libtorch: Option<&Libtorch>,
    args: impl IntoIterator<Item = A>,
) -> Result<ExitCode> {
    let mut command = Command::new(build(program, libtorch)?);
    command.args(args);
    replace(command)
}

/// Replaces this process by a command. Returns only if it cannot be started.
pub fn replace(mut command: Command) -> Result<ExitCode> {
    let error = command.exec();
    Err(error).with_context(|| format!("cannot start {}", command.get_program().display()))
}

/// Builds a program in release mode and returns its path. Prints nothing to standard output.
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
            executable = executable_of(&line?, program.name).or(executable);
        }
    }
    if !child.wait()?.success() {
        bail!("cannot build {}; the messages of cargo are above", program.name);
    }
    executable.with_context(|| format!("cargo named no executable of {}", program.name))
}

/// Path of the executable in a message of cargo, if it belongs to the program `name`.
fn executable_of(message: &str, name: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    if message["reason"] != "compiler-artifact" || message["target"]["name"] != name {
        return None;
    }
    message["executable"].as_str().map(PathBuf::from)
}

/// Runs a command to its end and discards its standard output.
///
/// # Errors
/// If it cannot be started or fails.
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
    fn only_the_executable_of_the_program_is_found() {
        let artifact = |name: &str, executable: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","target":{{"name":"{name}"}},"executable":{executable}}}"#
            )
        };
        let path = "target/release/sd-train";
        let quoted = format!("\"{path}\"");
        assert_eq!(executable_of(&artifact("sd-train", &quoted), "sd-train"), Some(path.into()));
        assert_eq!(executable_of(&artifact("sd-train", "null"), "sd-train"), None);
        assert_eq!(executable_of(&artifact("build-script-build", &quoted), "sd-train"), None);
        assert_eq!(
            executable_of(r#"{"reason":"build-finished","success":true}"#, "sd-train"),
            None
        );
        assert_eq!(executable_of("not JSON", "sd-train"), None);
    }
}
