//! Arguments of `train`.

use std::path::PathBuf;
use std::time::Duration;

use crate::{ExperimentArgs, RuntimeArgs};

const AFTER_HELP: &str = "\
The report is report.html in the run's folder, beside the results (summary.json, evaluation.json),
the weights (model.safetensors; best.safetensors of the best epoch) and the complete configuration
(config.toml).

Next:
  cargo xtask eval RUN               evaluates a run again, with other weights or on another split
  cargo xtask predict RUN IMAGE      classifies images
  cargo xtask report RUN RUN         compares runs
  cargo xtask export RUN             writes an ONNX file that needs no libtorch

Exit code: 0 if the run has finished, 1 if it failed, 130 if it was interrupted or reached a limit
(129 by SIGHUP, 143 by SIGTERM). `--resume` continues it.";

/// Arguments of `train`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct TrainArgs {
    /// Configuration.
    #[command(flatten)]
    pub experiment: ExperimentArgs,

    /// Folder of the run [default: runs/NAME-seedN]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Continue from the last checkpoint in the folder of the run
    #[arg(long)]
    pub resume: bool,

    /// Take one step, print the settings, cost and memory of the run, and write nothing
    #[arg(long, conflicts_with = "resume")]
    pub dry_run: bool,

    /// Train on N images without augmentation and evaluate on the same images: a check that the
    /// network can learn. Give it enough epochs, e.g. `-s train.epochs=100`
    #[arg(long, value_name = "N")]
    pub overfit: Option<usize>,

    /// Stop after this many steps in total, as if interrupted; `--resume` continues
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_steps: Option<u64>,

    /// Stop after this time, e.g. `90m` or `1h30m`, as if interrupted; `--resume` continues
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub time_limit: Option<Duration>,

    /// Write a checkpoint after each epoch, and at least this often
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = humantime::parse_duration)]
    pub checkpoint_every: Duration,

    /// Start N processes on this machine, which share each batch and the cores. Without it, `torchrun
    /// --no-python`, `srun` and `mpirun` start them, see docs/scale.md
    #[arg(long, value_name = "N", conflicts_with = "dry_run", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub processes: Option<u16>,

    /// With several processes: end if another one does not answer for this time
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = humantime::parse_duration)]
    pub timeout: Duration,

    /// Device, threads and data folder.
    #[command(flatten)]
    pub runtime: RuntimeArgs,
}
