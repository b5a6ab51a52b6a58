//! `cargo xtask bench`: the benchmarks of `sd-bench`, the criterion benches and comparisons with PyTorch.

mod deploy;
mod peers;
mod python;
mod pytorch;

use crate::cli::Passed;
use crate::libtorch::Setup;
use crate::{run, workspace};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::process::{Command, ExitCode, Stdio};

/// Benchmarks.
#[derive(Debug, clap::Subcommand)]
pub enum Bench {
    #[command(flatten)]
    Speed(sd_cli::bench::Bench),
    /// Measure the same work here and in PyTorch in turns, and write a table of ratios
    Peers(peers::PeersArgs),
    /// Measure size, start time, latency, throughput and memory of the exports of a run
    Deploy(deploy::DeployArgs),
    /// Measure single layers, the loader, the objective and the optimiser with `cargo bench`, e.g.
    /// `--bench layers -- --quick`
    #[command(disable_help_flag = true)]
    Criterion(Passed),
}

/// Runs a benchmark.
pub fn bench(bench: Bench) -> Result<ExitCode> {
    let setup = Setup::from_environment()?;
    let libtorch = setup.ensure()?;
    match bench {
        Bench::Speed(_) => {
            // sd-bench has the benchmarks as its commands, without `bench`.
            run::become_program(&run::SD_BENCH, Some(&libtorch), std::env::args_os().skip(2))
        }
        Bench::Peers(args) => peers::peers(&args, &setup, &libtorch),
        Bench::Deploy(args) => deploy::deploy(&args, &setup, &libtorch),
        Bench::Criterion(Passed { args }) => {
            let mut cargo = workspace::cargo("bench");
            cargo.args(["--package", "sd-bench"]).args(args);
            libtorch.set_for(&mut cargo);
            run::replace(cargo)
        }
    }
}

/// This process's command line, for records.
fn command_line() -> String {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    format!("cargo xtask {}", arguments.join(" "))
}

/// Returns the JSON document that a command prints. Its standard error is passed through.
fn document(command: &mut Command) -> Result<Value> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    ensure!(output.status.success(), "{command:?} failed ({})", output.status);
    serde_json::from_slice(&output.stdout).with_context(|| format!("{command:?} printed no JSON"))
}
