//! Arguments of `train`.

use std::path::PathBuf;
use std::time::Duration;

use crate::RuntimeArgs;

/// A configuration file and changes to it.
#[derive(Debug, Clone, clap::Args)]
pub struct ExperimentArgs {
    /// Configuration file
    #[arg(value_name = "CONFIG", default_value = "configs/quickstart.toml")]
    pub config: PathBuf,

    /// Set a value of the configuration, e.g. `-s train.epochs=5` (may be repeated)
    #[arg(short = 's', long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// Seed, in place of the configuration's
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

/// Arguments of `train`.
#[derive(Debug, Clone, clap::Args)]
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

    /// Take one step, print what the run would be and would cost, and write nothing
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

    /// Device, threads and data folder.
    #[command(flatten)]
    pub runtime: RuntimeArgs,
}
