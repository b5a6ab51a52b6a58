//! Arguments of `lr-range`.

use std::path::PathBuf;

use crate::{ExperimentArgs, RuntimeArgs};

/// Arguments of `lr-range`.
#[derive(Debug, Clone, clap::Args)]
pub struct LrRangeArgs {
    /// Configuration; its schedule is ignored.
    #[command(flatten)]
    pub experiment: ExperimentArgs,

    /// Folder for the figure and the numbers [default: runs/NAME-seedN-lr-range]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Learning rate of the first step
    #[arg(long, value_name = "RATE", default_value_t = 1e-5)]
    pub from: f64,

    /// Learning rate of the last step
    #[arg(long, value_name = "RATE", default_value_t = 10.0)]
    pub to: f64,

    /// Number of steps; the test ends earlier if the loss diverges
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..))]
    pub steps: u32,

    /// Device, threads and data folder.
    #[command(flatten)]
    pub runtime: RuntimeArgs,
}
