//! `cargo xtask sweep SWEEP.toml`: a queue of runs, each configuration with each seed.
//!
//! A sweep may be stopped and started again as often as one likes. What has finished is skipped,
//! what was interrupted goes on from its checkpoint, and what failed is tried again. It keeps no
//! state of its own: each run's folder says how far the run is.

mod estimate;
mod interrupt;
mod matrix;
mod queue;
mod setting;
mod state;
#[cfg(test)]
mod tests;

use crate::libtorch::Setup;
use crate::run;
use anyhow::Result;
use clap::Args;
use interrupt::Interrupts;
use matrix::Sweep;
use queue::{Ended, Queue};
use sd_cli::{DeviceChoice, RuntimeArgs};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

const EXAMPLE: &str = "\
A sweep is a TOML file:
  set = [\"train.epochs=20\"]         changes every row, as `train -s` does
  seeds = [0, 1, 2]                 of every row that has none of its own
  out = \"runs/here\"                 in place of runs/NAME-OF-THE-FILE

  [[rows]]
  config = \"configs/quickstart.toml\"
  name = \"half\"                     in place of the configuration's
  set = [\"train.batch_size=32\"]     changes this row, after the others
  seeds = [0]

Exit code: 0 if all runs have finished, 1 if some failed, 130 if it was stopped.";

/// Arguments of `sweep`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct SweepArgs {
    /// The list of runs
    #[arg(value_name = "SWEEP")]
    sweep: PathBuf,

    /// List the runs and how far each is, and start none
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    place: RuntimeArgs,
}

/// Runs what the list asks for and is not done.
pub fn sweep(args: &SweepArgs) -> Result<ExitCode> {
    let sweep = Sweep::read(&args.sweep)?;
    if args.dry_run {
        print!("{}", queue::listing(&sweep)?);
        return Ok(ExitCode::SUCCESS);
    }
    let queue = Queue::open(&sweep)?;
    if queue.is_done()? {
        return Ok(report(&sweep, &Ended::Finished(sweep.runs.len())));
    }
    let libtorch = Setup::from_environment()?.ensure()?;
    let program = run::build(&run::SD_TRAIN, Some(&libtorch))?;
    let interrupts = Arc::new(Interrupts::default());
    interrupts.watch()?;
    let ended = queue.run(&program, &arguments(&args.place), &interrupts)?;
    Ok(report(&sweep, &ended))
}

fn report(sweep: &Sweep, ended: &Ended) -> ExitCode {
    eprintln!("sweep: {ended}");
    if let Ended::Finished(_) = ended {
        eprintln!("sweep: `cargo xtask report {}/*` compares the runs", sweep.out.display());
    }
    ended.code()
}

/// The place as it is written on a command line.
fn arguments(place: &RuntimeArgs) -> Vec<OsString> {
    let device = match place.device {
        DeviceChoice::Auto => "auto".to_owned(),
        DeviceChoice::Cpu => "cpu".to_owned(),
        DeviceChoice::Cuda(index) => format!("cuda:{index}"),
    };
    let mut arguments: Vec<OsString> = vec!["--data-dir".into(), place.data_dir.clone().into()];
    arguments.extend(["--device".into(), device.into()]);
    if let Some(threads) = place.threads {
        arguments.extend(["--threads".into(), threads.to_string().into()]);
    }
    arguments
}
