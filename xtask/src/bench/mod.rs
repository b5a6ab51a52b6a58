//! Measuring speed: `sd-bench`'s benchmarks, the criterion benches, and the same work in PyTorch.

mod deploy;
mod peers;
mod python;
mod setting;

use crate::cli::Passed;
use crate::libtorch::Setup;
use crate::{run, workspace};
use anyhow::Result;
use std::process::ExitCode;

/// What is measured.
#[derive(Debug, clap::Subcommand)]
pub enum Bench {
    #[command(flatten)]
    Speed(sd_cli::bench::Bench),
    /// Measure the same work here and in PyTorch in turns, and write the table of ratios
    Peers(peers::PeersArgs),
    /// Measure a run as it is deployed: sizes, start, latency, throughput and memory of its exports
    Deploy(deploy::DeployArgs),
    /// Measure single layers, the loader, the objective and the optimiser; ARGS go to `cargo bench`,
    /// e.g. `--bench layers -- --quick`
    #[command(disable_help_flag = true)]
    Criterion(Passed),
}

/// Measures it.
pub fn bench(bench: Bench) -> Result<ExitCode> {
    let setup = Setup::from_environment()?;
    let libtorch = setup.ensure()?;
    match bench {
        Bench::Speed(_) => {
            // Without `bench`.
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
