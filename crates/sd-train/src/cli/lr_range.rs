//! The arguments of `lr-range`.

use std::path::PathBuf;

use super::{ExperimentArgs, Place};

/// Arguments of `lr-range`.
#[derive(Debug, Clone, clap::Args)]
pub struct LrRangeArgs {
    /// What takes the steps; its schedule is left out
    #[command(flatten)]
    pub experiment: ExperimentArgs,

    /// Folder of the figure and the numbers [default: runs/NAME-seedN-lr-range]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// The first learning rate
    #[arg(long, value_name = "RATE", default_value_t = 1e-5)]
    pub from: f64,

    /// The last learning rate
    #[arg(long, value_name = "RATE", default_value_t = 10.0)]
    pub to: f64,

    /// Steps from one to the other; the test ends earlier where the loss diverges
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..))]
    pub steps: u32,

    /// Where it computes, and where the images are
    #[command(flatten)]
    pub place: Place,
}
