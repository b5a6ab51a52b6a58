//! `cargo xtask sweep SWEEP.toml`: a queue of runs, each configuration with each seed.
//!
//! A sweep may be stopped and started again at any time. It skips finished runs, resumes interrupted
//! ones from their checkpoints and repeats failed ones. It has no state of its own: the folder of
//! each run shows its progress.

mod estimate;
mod interrupt;
mod plan;
mod queue;
mod requested;
mod state;
#[cfg(test)]
mod tests;

use crate::libtorch::Setup;
use crate::run;
use anyhow::Result;
use clap::Args;
use interrupt::Interrupts;
use plan::Sweep;
use queue::{Outcome, Queue};
use sd_cli::{RuntimeArgs, print};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

const EXAMPLE: &str = "\
A sweep is a TOML file:
  set = [\"train.epochs=20\"]         for every row, as in `train -s`
  seeds = [0, 1, 2]                 for every row without seeds
  out = \"runs/here\"                 folder of the runs [default: runs/NAME-OF-THE-FILE]

  [[rows]]
  config = \"configs/quickstart.toml\"
  name = \"half\"                     instead of the configuration's name
  set = [\"train.batch_size=32\"]     for this row, after the `set` for every row
  seeds = [0]

Exit code: 0 if all runs have finished, 1 if some failed, 130 if the sweep was stopped.";

/// Arguments of `sweep`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct SweepArgs {
    /// File with the list of runs
    #[arg(value_name = "SWEEP")]
    sweep: PathBuf,

    /// List the runs and their progress without starting any
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    runtime: RuntimeArgs,
}

/// Runs every run of the list that has not finished.
pub fn sweep(args: &SweepArgs) -> Result<ExitCode> {
    let sweep = Sweep::read(&args.sweep)?;
    if args.dry_run {
        print(queue::listing(&sweep)?.trim_end())?;
        return Ok(ExitCode::SUCCESS);
    }
    let queue = Queue::open(&sweep)?;
    if queue.is_done()? {
        return Ok(report(&sweep, &Outcome::Finished(sweep.runs.len())));
    }
    let libtorch = Setup::from_environment()?.ensure()?;
    let program = run::build(&run::SD_TRAIN, Some(&libtorch))?;
    let interrupts = Arc::new(Interrupts::default());
    interrupts.install()?;
    let outcome = queue.run(&program, &arguments(&args.runtime), &interrupts)?;
    Ok(report(&sweep, &outcome))
}

fn report(sweep: &Sweep, outcome: &Outcome) -> ExitCode {
    eprintln!("sweep: {outcome}");
    if let Outcome::Finished(_) = outcome {
        eprintln!("sweep: `cargo xtask report {}/*` compares the runs", sweep.out.display());
    }
    outcome.code()
}

/// The arguments as written on a command line.
fn arguments(runtime: &RuntimeArgs) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["--data-dir".into(), runtime.data_dir.clone().into()];
    arguments.extend(["--device".into(), runtime.device.to_string().into()]);
    if let Some(threads) = runtime.threads {
        arguments.extend(["--threads".into(), threads.to_string().into()]);
    }
    arguments
}
